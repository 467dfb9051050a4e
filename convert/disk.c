/* disk.c - the public rh_disk: one virtual disk, opened, described, compared.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "convert/copy/copy.h"
#include "convert/disk.h"
#include "vm/vm.h"

void rh_disk_unlock(pthread_mutex_t **lock)
{
    if (*lock)
        pthread_mutex_unlock(*lock);
}

pthread_mutex_t *rh_disk_lock(const rh_disk *d)
{
    pthread_mutex_t *m = (pthread_mutex_t *)(uintptr_t)&d->lock;

    pthread_mutex_lock(m);
    return m;
}

/* The reader that can seek: the same one for as long as the disk is open. */
static struct rh_reader *stored(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);

    return rh_disk_source_store(&d->source, err) < 0 ? NULL : d->source.reader;
}

static void disk_freep(rh_disk **d)
{
    rh_disk_free(*d);
}

void rh_disk_free(rh_disk *d)
{
    if (!d)
        return;
    if (!d->borrowed)
        rh_disk_source_close(&d->source);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

rh_disk *rh_disk_open(rh_lib *lib, const char *path, const char *format,
                      rh_error **err)
{
    RH_AUTO(disk_freep) rh_disk *d = rh_new0(rh_disk);

    d->lib = d->source.lib = lib;
    pthread_mutex_init(&d->lock, NULL);
    if (rh_disk_source_open(&d->source, path, format, err) < 0)
        return NULL;
    d->size = d->source.reader->size;
    return RH_TAKE(d);
}

uint64_t rh_disk_size(const rh_disk *d)
{
    return d->size;
}

int rh_disk_read(rh_disk *d, void *buf, size_t n, uint64_t offset,
                 rh_error **err)
{
    struct rh_reader *r = stored(d, err);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = NULL;

    if (!r)
        return -1;
    codec = rh_codec_new(); /* any thread may call */
    return rh_reader_read(r, codec, buf, n, offset, err);
}

int rh_disk_map(rh_disk *d, rh_extent_fn *fn, void *user, rh_error **err)
{
    struct rh_reader *r = stored(d, err);
    struct rh_extent run = {0};
    uint64_t at = 0, start = 0;

    if (!r)
        return -1;
    while (at < r->size) {
        struct rh_extent e;

        if (rh_go_on(d->lib, err) < 0 || rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        if (run.length && e.kind != run.kind) {
            if (fn(user, start, run.length, (int)run.kind))
                return 0;
            run.length = 0;
        }
        if (!run.length)
            start = at;
        run.kind = e.kind;
        run.length += e.length;
        at += e.length;
    }
    if (run.length)
        fn(user, start, run.length, (int)run.kind);
    return 0;
}

static json_t *problems_json(const struct rh_reader *r)
{
    json_t *list = json_array();
    const char *message, *id;

    for (size_t i = 0; (message = rh_problem_at(r, i, &id)); i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "id", id, "message", message));
    return list;
}

char *rh_disk_json(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);
    uint64_t allocated = 0;
    struct rh_reader *r;
    json_t *doc;
    char *text;

    if (rh_disk_source_store(&d->source, err) < 0)
        return NULL;
    r = d->source.reader;
    if (rh_reader_present(r, &allocated, err) < 0)
        return NULL;
    doc = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:o, s:o}", "schema",
                    "rehost.disk/1", "format", r->format->name, "variant",
                    r->variant, "virtual_size", (json_int_t)r->size,
                    "file_size", (json_int_t)r->io->size, "allocated_bytes",
                    (json_int_t)allocated, "cluster_size", (json_int_t)r->grain,
                    "backing_file", rh_json_text(r->backing_file), "problems",
                    problems_json(r));
    text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    json_decref(doc);
    if (!text)
        rh_fail(err, RH_ERR_BUG, "the description cannot be written");
    return text;
}

int rh_disk_check(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = NULL;

    if (rh_disk_source_store(&d->source, err) < 0)
        return -1;
    codec = rh_codec_new();
    for (struct rh_reader *r = d->source.reader; r; r = r->parent)
        if (r->format->check && r->format->check(r, codec, err) < 0)
            return rh_error_subject(err, r->name);
    return 0;
}

const char *rh_disk_problem(const rh_disk *d, size_t i, const char **ret_id)
{
    RH_LOCKED(d);

    return rh_problem_at(d->source.reader, i, ret_id);
}

int rh_disk_compare(rh_disk *a, rh_disk *b, int *ret_same, uint64_t *ret_offset,
                    rh_error **err)
{
    struct rh_reader *left = stored(a, err);
    struct rh_reader *right = left ? stored(b, err) : NULL;
    struct rh_comparison c;

    if (!right || rh_copy_compare(a->lib, left, right, &c, err) < 0)
        return -1;
    *ret_same = c.same;
    if (!c.same && ret_offset)
        *ret_offset = c.offset;
    return 0;
}
