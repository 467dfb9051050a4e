/* custom.c - bytes that come and go by the caller's own functions. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/custom.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

static const char prefix[] = "app:";

struct rh_custom {
    char *name;
    bool is_sink;
    uint64_t size;
    rh_read_fn *read;
    rh_next_data_fn *next_data;
    rh_sink_open_fn *open;
    rh_sink_write_fn *write;
    rh_sink_close_fn *close;
    rh_sink_end_fn *end;
    void *user;
};

bool rh_is_custom(const char *path)
{
    return !strncmp(path, prefix, strlen(prefix));
}

/* --- by name
 * ------------------------------------------------------------------ */

/* Of this library, or of the one that it works for.  It stays where it is. */
static const struct rh_custom *find(rh_lib *lib, const char *path, bool is_sink)
{
    const struct rh_custom *found = NULL;

    for (; lib && !found; lib = lib->of) {
        pthread_mutex_lock(&lib->lock);
        for (size_t i = 0; i < lib->customs.count && !found; i++) {
            const struct rh_custom *c = lib->customs.items[i];

            if (c->is_sink == is_sink &&
                !strcmp(c->name, path + strlen(prefix)))
                found = c;
        }
        pthread_mutex_unlock(&lib->lock);
    }
    return found;
}

static const struct rh_custom *must_find(rh_lib *lib, const char *path,
                                         bool is_sink, rh_error **err)
{
    const struct rh_custom *c = find(lib, path, is_sink);

    if (c)
        return c;
    rh_fail(err, RH_ERR_FILE_NOT_FOUND,
            is_sink ? N_("the program has added no sink of that name")
                    : N_("the program has added no source of that name"));
    rh_error_subject(err, path);
    return NULL;
}

static int add(rh_lib *lib, const char *name, struct rh_custom c,
               rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s%s", prefix, name);
    struct rh_custom *kept;

    if (!name[0])
        return rh_fail(err, RH_ERR_USAGE, "a source or sink needs a name");
    if (find(lib, path, c.is_sink)) {
        rh_fail(err, RH_ERR_USAGE, "there is one of that name already");
        return rh_error_subject(err, path);
    }
    kept = rh_new0(struct rh_custom);
    *kept = c;
    kept->name = rh_strdup(name);
    pthread_mutex_lock(&lib->lock);
    *rh_vec_add(&lib->customs) = kept;
    pthread_mutex_unlock(&lib->lock);
    return 0;
}

int rh_lib_add_source(rh_lib *lib, const char *name, uint64_t size,
                      rh_read_fn *read, rh_next_data_fn *next_data, void *user,
                      rh_error **err)
{
    if (!read)
        return rh_fail(err, RH_ERR_USAGE, "a source needs a read function");
    return add(
        lib, name,
        (struct rh_custom){
            .size = size, .read = read, .next_data = next_data, .user = user},
        err);
}

int rh_lib_add_sink(rh_lib *lib, const char *name, rh_sink_open_fn *open,
                    rh_sink_write_fn *write, rh_sink_close_fn *close,
                    rh_sink_end_fn *end, void *user, rh_error **err)
{
    if (!open || !write || !close)
        return rh_fail(err, RH_ERR_USAGE,
                       "a sink needs functions to open, write and close");
    return add(lib, name,
               (struct rh_custom){.is_sink = true,
                                  .open = open,
                                  .write = write,
                                  .close = close,
                                  .end = end,
                                  .user = user},
               err);
}

void rh_custom_drop(rh_lib *lib)
{
    for (size_t i = 0; i < lib->customs.count; i++) {
        free(lib->customs.items[i]->name);
        free(lib->customs.items[i]);
    }
    free(lib->customs.items);
}

/* --- reading
 * ------------------------------------------------------------------ */

static int custom_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                       rh_error **err)
{
    const struct rh_custom *c = io->state;
    int why = c->read(c->user, buf, n, offset);

    if (why == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_READ, why, "reading at 0x%llx failed",
                  (unsigned long long)offset);
    return rh_error_subject(err, io->name);
}

/* What it says of itself is checked like any input. */
static int custom_data_after(struct rh_io *io, uint64_t offset,
                             uint64_t *ret_start, uint64_t *ret_end,
                             rh_error **err)
{
    const struct rh_custom *c = io->state;
    uint64_t start = offset, end = io->size;
    int why = c->next_data ? c->next_data(c->user, offset, &start, &end) : 0;

    if (why == 0 && start >= offset && start <= io->size && end >= start &&
        end <= io->size && (end > start || start == io->size)) {
        *ret_start = start;
        *ret_end = end;
        return 0;
    }
    rh_fail_errno(err, RH_ERR_FILE_READ, why ? why : EINVAL,
                  "where its data is after 0x%llx cannot be learned",
                  (unsigned long long)offset);
    return rh_error_subject(err, io->name);
}

struct rh_io *rh_custom_io(rh_lib *lib, const char *path, rh_error **err)
{
    static const struct rh_io_ops ops = {.read = custom_read,
                                         .data_after = custom_data_after};
    const struct rh_custom *c = must_find(lib, path, false, err);

    return c ? rh_io_make(&ops, path, c->size, (void *)(uintptr_t)c) : NULL;
}

/* --- writing
 * ------------------------------------------------------------------ */

struct sink_file {
    const struct rh_custom *sink;
    void *handle; /* the caller's; NULL: closed */
};

static int write_failed(const struct rh_out *o, int why, rh_error **err)
{
    rh_fail_errno(err, RH_ERR_FILE_WRITE, why, "writing failed");
    return rh_error_subject(err, o->name);
}

static int custom_write(struct rh_out *o, const void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    const struct sink_file *f = o->state;
    int why = f->sink->write(f->handle, buf, n, offset);

    return why ? write_failed(o, why, err) : 0;
}

static int custom_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    struct sink_file *f = o->state;
    void *handle = RH_TAKE(f->handle);
    int why = f->sink->close(handle, size, 1);

    return why ? write_failed(o, why, err) : 0;
}

static void custom_close(struct rh_out *o)
{
    struct sink_file *f = o->state;

    if (f->handle)
        f->sink->close(f->handle, 0, 0);
    free(f);
}

struct rh_out *rh_custom_out(rh_lib *lib, const char *path, const char *file,
                             rh_error **err)
{
    static const struct rh_out_ops ops = {
        .write = custom_write, .finish = custom_finish, .close = custom_close};
    const struct rh_custom *c = must_find(lib, path, true, err);
    RH_AUTO(rh_freep)
    char *name = rh_printf("%s%s%s", path, file[0] ? "/" : "", file);
    void *handle = c ? c->open(c->user, file) : NULL;
    struct sink_file *f;

    if (!c)
        return NULL;
    if (!handle) {
        rh_fail(err, RH_ERR_FILE_WRITE, "the program does not take this file");
        rh_error_subject(err, name);
        return NULL;
    }
    f = rh_new0(struct sink_file);
    f->sink = c;
    f->handle = handle;
    return rh_out_make(&ops, name, true, f);
}

int rh_custom_end(rh_lib *lib, const char *path, const char *result, bool whole,
                  rh_error **err)
{
    const struct rh_custom *c = must_find(lib, path, true, err);
    int why = c && c->end ? c->end(c->user, result, whole) : 0;

    if (!c)
        return -1;
    if (!why)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, why,
                  "the program refused the result");
    return rh_error_subject(err, path);
}
