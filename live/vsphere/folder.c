/* folder.c - a disk by its files: /folder of the host, with ranges.
 *
 *     /folder/DIR/NAME-flat.vmdk?dcPath=ha-datacenter&dsName=datastore1
 *
 * The session's cookie opens it.  Each file of a chain is read by the VMDK
 * driver by itself, and laid over the next one of backing.parent. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "formats/format.h"
#include "live/vsphere/machine.h"

/* --- a folder of a datastore -------------------------------------------------
 */

struct folder {
    struct rh_live_vm *vm;
    char *datastore, *path;
    const struct rh_vs_areas *areas; /* of a flat file in it; or NULL */
};

/* --- a flat file of which only some is allocated
 * ------------------------------ */

struct thin {
    struct rh_io *file;
    const struct rh_vs_areas *areas;
};

static int thin_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    const struct thin *t = io->state;

    return rh_io_read(t->file, buf, n, offset, err);
}

static void find_data(void *user, uint64_t offset, uint64_t *ret_start,
                      uint64_t *ret_end)
{
    const struct rh_vs_areas *areas = user;
    size_t low = 0, high = areas->list.count;

    while (low < high) { /* the first that ends behind it */
        size_t mid = low + (high - low) / 2;

        if (areas->list.items[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_start = *ret_end = areas->capacity;
    if (low < areas->list.count) {
        *ret_start = RH_MAX(areas->list.items[low].start, offset);
        *ret_end = areas->list.items[low].end;
    }
}

static int thin_data_after(struct rh_io *io, uint64_t offset,
                           uint64_t *ret_start, uint64_t *ret_end,
                           rh_error **err)
{
    (void)err;
    find_data((void *)((const struct thin *)io->state)->areas, offset,
              ret_start, ret_end);
    return 0;
}

static void thin_close(struct rh_io *io)
{
    struct thin *t = io->state;

    rh_io_unref(t->file);
    free(t);
}

/* Takes `file`. */
static struct rh_io *thin_io(struct rh_io *file,
                             const struct rh_vs_areas *areas)
{
    static const struct rh_io_ops ops = {thin_read, thin_data_after,
                                         thin_close};
    struct thin *t = rh_new0(struct thin);

    t->file = file;
    t->areas = areas;
    rh_http_io_map(file, find_data, (void *)areas);
    return rh_io_make(&ops, file->name, file->size, t);
}

static bool is_flat(const char *name)
{
    size_t n = strlen(name);

    return n > 10 && !strcmp(name + n - 10, "-flat.vmdk");
}

/* One file that is the disk byte for byte. */
static bool is_whole(const char *name, const struct rh_io *io,
                     const struct rh_vs_areas *areas)
{
    return is_flat(name) && io->size == areas->capacity;
}

/* --- its files
 * ---------------------------------------------------------------- */

static void add_segments(struct rh_buf *b, const char *path)
{
    while (*path) {
        size_t n = strcspn(path, "/");
        RH_AUTO(rh_freep) char *part = rh_strndup(path, n);
        RH_AUTO(rh_freep) char *escaped = rh_http_escape(part);

        rh_buf_printf(b, "/%s", escaped);
        path += n + (path[n] == '/');
    }
}

static char *url_of(const struct folder *f, const char *name)
{
    const char *datacenter = rh_vs_vm_of(f->vm)->datacenter;
    RH_AUTO(rh_freep) char *dc = rh_http_escape(datacenter ? datacenter : "");
    RH_AUTO(rh_freep) char *ds = rh_http_escape(f->datastore);
    struct rh_buf b = {0};

    rh_buf_puts(&b, "/folder");
    add_segments(&b, f->path);
    add_segments(&b, name);
    rh_buf_printf(&b, "?dcPath=%s&dsName=%s", dc, ds);
    return rh_buf_take(&b);
}

static void explain(rh_error **err)
{
    if (err && rh_error_number(*err) == RH_ERR_HTTP_STATUS)
        rh_hint(err, "404: the file is gone, or the datacenter is another; "
                     "500: the file is in use (a backup, another host), or "
                     "lies on vSAN: --transport lease goes another way; 401: "
                     "the user lacks Datastore.Browse or "
                     "Datastore.FileManagement");
}

static struct rh_io *known_delta(const struct rh_vs_vm *v, const char *shown)
{
    for (size_t i = 0; i < v->deltas.count; i++)
        if (!strcmp(v->deltas.items[i]->name, shown))
            return rh_io_ref(v->deltas.items[i]);
    return NULL;
}

void rh_vs_folder_exact(struct rh_live_vm *vm, bool exact)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(vm);

    for (size_t i = 0; i < v->deltas.count; i++)
        rh_http_io_exact(v->deltas.items[i], exact);
}

void rh_vs_folder_forget(struct rh_vs_vm *v)
{
    for (size_t i = 0; i < v->deltas.count; i++)
        rh_io_unref(v->deltas.items[i]);
    v->deltas.count = 0;
}

static struct rh_io *open_file(struct rh_place *p, const char *name,
                               rh_error **err)
{
    const struct folder *f = p->state;
    struct rh_live *live = f->vm->live;
    struct rh_vs_vm *v = rh_vs_vm_of(f->vm);
    bool kept = f->vm->options.keep_snapshot && !is_flat(name);
    RH_AUTO(rh_freep) char *url = url_of(f, name);
    RH_AUTO(rh_freep)
    char *shown = rh_printf("[%s] %s/%s", f->datastore, f->path, name);
    struct rh_io *known = kept ? known_delta(v, shown) : NULL;
    const char *told = rh_live_vm_told(f->vm);
    rh_error *why = NULL;
    struct rh_io *io;

    if (known)
        return known;
    io = rh_http_io(f->vm->lib, live->remote.http, url, shown, told, &why);
    if (!io)
        explain(&why);
    if (err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    if (io && kept)
        *rh_vec_add(&v->deltas) = rh_io_ref(io);
    return io && f->areas && is_whole(name, io, f->areas)
               ? thin_io(io, f->areas)
               : io;
}

static void close_folder(struct rh_place *p)
{
    struct folder *f = p->state;

    free(f->datastore);
    free(f->path);
    free(f);
}

/* The VM keeps it: readers look through it as long as they are open. */
static struct rh_place *place_of(struct rh_live_vm *vm,
                                 const struct rh_vs_file *file,
                                 const struct rh_vs_areas *areas)
{
    static const struct rh_place_ops ops = {.open = open_file,
                                            .close = close_folder};
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    struct folder *f = rh_new0(struct folder);
    struct rh_place *p = rh_new0(struct rh_place);

    f->vm = vm;
    f->areas = areas;
    f->datastore = rh_strdup(file->datastore);
    f->path = rh_strdup(file->folder);
    p->ops = &ops;
    p->name = rh_printf("[%s] %s", file->datastore, file->folder);
    p->state = f;
    *rh_vec_add(&v->places) = p;
    return p;
}

/* --- the chain
 * ---------------------------------------------------------------- */

static struct rh_reader *open_layer(struct rh_live_vm *vm,
                                    const struct rh_vs_file *file,
                                    const struct rh_vs_areas *areas,
                                    unsigned depth, rh_error **err)
{
    struct rh_place *place = place_of(vm, file, areas);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_place_open(place, file->name, err);
    struct rh_open_options o = {
        .lib = vm->lib, .place = place, .depth = depth, .ignore_parent = true};

    return io ? rh_reader_open(io, NULL, &o, err) : NULL;
}

static int check_layer(const struct rh_reader *r, const struct rh_vs_disk *d,
                       bool last, rh_error **err)
{
    if (last && r->backing_file)
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the file \"%.200s\" lies over \"%.200s\", which the "
                       "server does not name",
                       r->name, r->backing_file);
    if (d->capacity && r->size != d->capacity)
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "\"%.200s\" is a disk of %llu bytes, the server says "
                       "%llu",
                       r->name, (unsigned long long)r->size,
                       (unsigned long long)d->capacity);
    return 0;
}

/* The first `count` files of its chain. */
static struct rh_reader *open_layers(struct rh_live_vm *vm,
                                     const struct rh_vs_disk *d, size_t count,
                                     const struct rh_vs_areas *areas,
                                     rh_error **err)
{
    RH_AUTO(rh_reader_closep) struct rh_reader *top = NULL;
    struct rh_reader **at = &top;

    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == d->chain.count;

        *at = open_layer(vm, &d->chain.items[i], last ? areas : NULL,
                         (unsigned)i, err);
        if (!*at || check_layer(*at, d, last, err) < 0)
            return NULL;
        at = &(*at)->parent;
    }
    if (!top)
        rh_fail(err, RH_ERR_LIVE_ANSWER, "the server names no file of it");
    return RH_TAKE(top);
}

struct rh_reader *rh_vs_folder_disk(struct rh_live_vm *vm,
                                    const struct rh_vs_disk *d,
                                    const struct rh_vs_areas *areas,
                                    rh_error **err)
{
    return open_layers(vm, d, d->chain.count, areas, err);
}

struct rh_reader *rh_vs_folder_layers(struct rh_live_vm *vm,
                                      const struct rh_vs_disk *d, size_t count,
                                      rh_error **err)
{
    return open_layers(vm, d, RH_MIN(count, d->chain.count), NULL, err);
}
