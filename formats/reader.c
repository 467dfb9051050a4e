/* reader.c - opening a disk by content, and reading through its parents. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static void refuse_unknown(struct rh_io *io, rh_error **err)
{
    enum { SHOWN = 8 };
    uint8_t head[SHOWN] = {0};
    uint64_t n = RH_MIN(io->size, (uint64_t)SHOWN);
    char hex[3 * SHOWN + 1] = "";

    const char *foreign = rh_format_foreign(io);

    if (foreign) {
        rh_fail(err, RH_ERR_DISK_UNSUPPORTED,
                "this is %s, no disk that is read", foreign);
        rh_hint(err, "make a disk of it first (qemu-img convert -O qcow2 for "
                     "disk images), then give that");
    } else if (n == 0)
        rh_fail(err, RH_ERR_DISK_FORMAT_UNKNOWN, "the file is empty");
    else if (rh_io_read(io, head, (size_t)n, 0, err) == 0) {
        for (size_t i = 0; i < n; i++)
            snprintf(hex + 3 * i, 4, " %02x", head[i]);
        rh_fail(err, RH_ERR_DISK_FORMAT_UNKNOWN,
                "its first bytes (at 0x0:%s) are no disk format that is known",
                hex);
    }
    rh_error_subject(err, io->name);
}

/* "d-flat.vmdk", "d-s003.vmdk": the data of what "d.vmdk" describes.  The
 * caller frees; NULL: it is no such name. */
static char *descriptor_of(const char *name)
{
    static const char *const kinds[] = {"-flat.vmdk", "-delta.vmdk",
                                        "-sesparse.vmdk", "-rdm.vmdk",
                                        "-rdmp.vmdk"};
    size_t n = strlen(name), m;

    for (size_t i = 0; i < RH_COUNT(kinds); i++) {
        m = strlen(kinds[i]);
        if (n > m && rh_same_word(name + n - m, kinds[i]))
            return rh_printf("%.*s.vmdk", (int)(n - m), name);
    }
    m = strlen("-s000.vmdk");
    if (n <= m || !rh_same_word(name + n - 5, ".vmdk") || name[n - m] != '-' ||
        !strchr("sSfF", name[n - m + 1]) ||
        strspn(name + n - m + 2, "0123456789") != 3)
        return NULL;
    return rh_printf("%.*s.vmdk", (int)(n - m), name);
}

static void hint_descriptor(const char *name, rh_error **err)
{
    const char *last = strrchr(name, '/');
    RH_AUTO(rh_freep) char *of = descriptor_of(last ? last + 1 : name);

    if (of && err && *err &&
        (rh_error_number(*err) == RH_ERR_VMDK_PART ||
         rh_error_number(*err) == RH_ERR_DISK_FORMAT_UNKNOWN))
        rh_hint(err,
                "it holds a part of a disk's data; give \"%s\", which "
                "describes the disk, with all its parts beside it",
                of);
}

static const struct rh_format *choose(struct rh_io *io, const char *format,
                                      rh_error **err)
{
    rh_error *cause = NULL;
    const struct rh_format *f;

    if (format) {
        f = rh_format_named(format);
        if (!f || !f->open)
            rh_fail(err, RH_ERR_USAGE, "\"%s\" is no format to read", format);
        return f && f->open ? f : NULL;
    }
    f = rh_format_probe(io, &cause);
    if (f && f->open)
        return f;
    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return NULL;
    }
    refuse_unknown(io, err);
    hint_descriptor(io->name, err);
    return NULL;
}

static struct rh_reader *reader_new(const struct rh_format *f, const char *name,
                                    const struct rh_open_options *o)
{
    struct rh_reader *r = rh_new0(struct rh_reader);

    r->format = f;
    r->lib = o->lib;
    r->name = rh_strdup(name);
    return r;
}

/* What every driver's result must keep to, said once. */
static int accept(struct rh_reader *r, rh_error **err)
{
    uint64_t limit = r->lib && r->lib->max_disk_size ? r->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;

    if (r->size == 0)
        return rh_fail(err, RH_ERR_DISK_FORMAT_UNKNOWN,
                       "the disk has no bytes at all");
    if (r->size > limit)
        return rh_fail(err, RH_ERR_DISK_TOO_BIG,
                       "the disk claims %llu bytes, more than the limit of "
                       "%llu",
                       (unsigned long long)r->size, (unsigned long long)limit);
    return 0;
}

struct rh_reader *rh_reader_open(struct rh_io *io, const char *format,
                                 const struct rh_open_options *o,
                                 rh_error **err)
{
    const struct rh_format *f = choose(io, format, err);
    struct rh_reader *r;

    if (!f)
        return NULL;
    r = reader_new(f, io->name, o);
    r->io = rh_io_ref(io);
    if (f->open(r, o, err) < 0) {
        rh_error_subject(err, r->name);
        hint_descriptor(r->name, err);
        r->format = NULL; /* open() left no state of its own */
        rh_reader_close(r);
        return NULL;
    }
    if (accept(r, err) < 0) {
        rh_error_subject(err, r->name);
        rh_reader_close(r);
        return NULL;
    }
    return r;
}

struct rh_reader *rh_reader_open_stream(struct rh_stream *s,
                                        const struct rh_open_options *o,
                                        rh_error **err)
{
    const struct rh_format *f = rh_format_named("vmdk");
    struct rh_reader *r;

    /* The only format that can be read forward is the one made for it. */
    if (!f || !f->open_stream) {
        rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE, "cannot be read from a pipe");
        rh_stream_close(s);
        return NULL;
    }
    r = reader_new(f, s->name, o);
    s->lib = s->lib ? s->lib : o->lib;
    if (f->open_stream(r, s, o, err) < 0) {
        rh_error_subject(err, r->name);
        r->format = NULL;
        rh_reader_close(r);
        return NULL;
    }
    if (accept(r, err) < 0) {
        rh_error_subject(err, r->name);
        rh_reader_close(r);
        return NULL;
    }
    return r;
}

void rh_reader_close(struct rh_reader *r)
{
    if (!r)
        return;
    if (r->format && r->format->close)
        r->format->close(r);
    rh_reader_close(r->parent);
    rh_io_unref(r->io);
    for (size_t i = 0; i < r->problems.count; i++) {
        free(r->problems.items[i].id);
        free(r->problems.items[i].message);
    }
    free(r->problems.items);
    free(r->backing_file);
    free(r->adapter_type);
    free(r->name);
    free(r);
}

/* Any thread that reads may meet one; there are few. */
static pthread_mutex_t problems_lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_known(const struct rh_reader *r, const char *id,
                     const char *message)
{
    for (size_t i = 0; i < r->problems.count; i++)
        if (!strcmp(r->problems.items[i].id, id) &&
            !strcmp(r->problems.items[i].message, message))
            return true;
    return false;
}

void rh_problem_add(struct rh_reader *r, const char *id, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL, *safe = NULL;
    struct rh_problem *p;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    safe = rh_printable(text);
    pthread_mutex_lock(&problems_lock);
    if (!is_known(r, id, safe)) {
        p = rh_vec_add(&r->problems);
        p->id = rh_strdup(id);
        p->message = RH_TAKE(safe);
    }
    pthread_mutex_unlock(&problems_lock);
}

const char *rh_problem_at(const struct rh_reader *r, size_t i,
                          const char **ret_id)
{
    const char *message = NULL;

    pthread_mutex_lock(&problems_lock);
    for (; r && !message; r = r->parent) {
        if (i < r->problems.count) {
            message = r->problems.items[i].message;
            if (ret_id)
                *ret_id = r->problems.items[i].id;
        } else {
            i -= r->problems.count;
        }
    }
    pthread_mutex_unlock(&problems_lock);
    return message;
}

/* A hole shows the parent, as far as the parent reaches; beyond it, zeros. */
static int hole_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *e, rh_error **err)
{
    struct rh_extent below = {0};

    if (!r->parent || offset >= r->parent->size)
        return 0;
    if (rh_reader_extent(r->parent, offset, &below, err) < 0)
        return -1;
    e->length = RH_MIN(e->length, below.length);
    e->kind = below.kind;
    return 0;
}

int rh_reader_extent(struct rh_reader *r, uint64_t offset,
                     struct rh_extent *ret, rh_error **err)
{
    struct rh_extent e = {0};

    if (r->format->extent(r, offset, &e, err) < 0)
        return rh_error_subject(err, r->name);
    e.length = RH_MIN(e.length, r->size - offset);
    if (e.kind == RH_EXTENT_HOLE && hole_extent(r, offset, &e, err) < 0)
        return -1;
    *ret = e;
    return 0;
}

static int read_part(struct rh_reader *r, struct rh_codec *codec, char *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    if (r->format->read(r, codec, buf, n, offset, err) < 0)
        return rh_error_subject(err, r->name);
    return 0;
}

/* With a parent, walk the map: what is a hole here is the parent's to give. */
static int read_merged(struct rh_reader *r, struct rh_codec *codec, char *buf,
                       size_t n, uint64_t offset, rh_error **err)
{
    while (n) {
        struct rh_extent e = {0};
        size_t part;

        if (r->format->extent(r, offset, &e, err) < 0)
            return rh_error_subject(err, r->name);
        part = (size_t)RH_MIN((uint64_t)n, e.length);
        if (e.kind != RH_EXTENT_HOLE) {
            if (read_part(r, codec, buf, part, offset, err) < 0)
                return -1;
        } else if (offset >= r->parent->size) {
            memset(buf, 0, part);
        } else {
            part = (size_t)RH_MIN((uint64_t)part, r->parent->size - offset);
            if (rh_reader_read(r->parent, codec, buf, part, offset, err) < 0)
                return -1;
        }
        buf += part;
        offset += part;
        n -= part;
    }
    return 0;
}

int rh_reader_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                   size_t n, uint64_t offset, rh_error **err)
{
    if (offset > r->size || n > r->size - offset) {
        rh_fail(err, RH_ERR_DISK_RANGE,
                "%zu bytes at 0x%llx lie outside the disk of 0x%llx bytes", n,
                (unsigned long long)offset, (unsigned long long)r->size);
        return rh_error_subject(err, r->name);
    }
    if (r->parent)
        return read_merged(r, codec, buf, n, offset, err);
    return n ? read_part(r, codec, buf, n, offset, err) : 0;
}

int rh_reader_allocated(struct rh_reader *r, uint64_t *ret_bytes,
                        rh_error **err)
{
    uint64_t offset = 0, sum = 0;

    while (!r->walked && offset < r->size) {
        struct rh_extent e = {0};

        if (rh_go_on(r->lib, err) < 0 ||
            rh_reader_extent(r, offset, &e, err) < 0)
            return -1;
        if (e.kind == RH_EXTENT_DATA)
            sum += e.length;
        offset += e.length;
    }
    if (!r->walked) {
        r->allocated = sum;
        r->walked = true;
    }
    *ret_bytes = r->allocated;
    return 0;
}

int rh_reader_present(struct rh_reader *r, uint64_t *ret_bytes, rh_error **err)
{
    if (!r->parent && r->format->present && r->format->present(r, ret_bytes))
        return 0;
    return rh_reader_allocated(r, ret_bytes, err);
}
