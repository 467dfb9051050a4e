/* vmdk.c - the VMDK driver: which part of the disk, and what is there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail, (void)size;
    if (n >= 4 && (!memcmp(head, "KDMV", 4) || !memcmp(head, "COWD", 4)))
        return true;
    if (n >= 8 && rh_le64(head) == 0xcafebabe)
        return true;
    return rh_vmdk_text_probe(head, n);
}

static bool streams(const uint8_t *head, size_t n)
{
    return n >= VMDK_SECTOR && !memcmp(head, "KDMV", 4) &&
           rh_le32(head + 8) & VMDK_FLAG_COMPRESSED;
}

uint64_t rh_vmdk_limit(const struct rh_reader *r)
{
    return r->lib && r->lib->max_disk_size ? r->lib->max_disk_size
                                           : RH_LIMIT_DISK_SIZE;
}

/* --- the parts ----------------------------------------------------------- */

static const struct vmdk_part *part_at(const struct vmdk *v, uint64_t offset)
{
    size_t low = 0, high = v->parts.count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (v->parts.items[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    return &v->parts.items[low];
}

/* A hole of a flat file is all zeros, and hides a parent. */
static int flat_extent(const struct vmdk_part *part, uint64_t at,
                       struct rh_extent *ret, rh_error **err)
{
    uint64_t from = part->offset + at, start, end;
    uint64_t stop = part->offset + part->size;

    if (rh_io_data_after(part->io, from, &start, &end, err) < 0)
        return -1;
    ret->kind = start > from ? RH_EXTENT_ZERO : RH_EXTENT_DATA;
    ret->length = RH_MIN(start > from ? start : end, stop) - from;
    return 0;
}

static int extent(struct rh_reader *r, uint64_t offset, struct rh_extent *ret,
                  rh_error **err)
{
    const struct vmdk_part *part = part_at(r->state, offset);
    uint64_t at = offset - part->start;

    if (part->io) {
        if (flat_extent(part, at, ret, err) < 0)
            return -1;
    } else if (!part->map) {
        *ret = (struct rh_extent){part->size - at, RH_EXTENT_ZERO};
    } else if (rh_vmdk_map_extent(part->map, at, ret, err) < 0) {
        return -1;
    }
    ret->length = RH_MIN(ret->length, part->size - at);
    return 0;
}

static int read_part(const struct vmdk_part *part, struct rh_codec *codec,
                     uint8_t *buf, uint64_t n, uint64_t at, rh_error **err)
{
    if (part->io)
        return rh_io_read(part->io, buf, (size_t)n, part->offset + at, err);
    if (!part->map) {
        memset(buf, 0, (size_t)n);
        return 0;
    }
    if (part->map->compressed)
        return rh_vmdk_read_packed(part->map, codec, buf, n, at, err);
    return rh_vmdk_read_plain(part->map, buf, n, at, err);
}

static int read_disk(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    uint8_t *p = buf;

    while (n) {
        const struct vmdk_part *part = part_at(r->state, offset);
        uint64_t at = offset - part->start;
        size_t some = (size_t)RH_MIN((uint64_t)n, part->size - at);

        if (read_part(part, codec, p, some, at, err) < 0)
            return -1;
        p += some;
        n -= some;
        offset += some;
    }
    return 0;
}

static bool has_packed(const struct vmdk_part *part, uint64_t at,
                       uint32_t grain)
{
    return part->map && part->map->compressed && at % grain == 0 &&
           part->map->grain == grain;
}

static int packed(struct rh_reader *r, struct rh_codec *codec, uint64_t offset,
                  size_t count, struct rh_buf *memory, struct rh_packed *ret,
                  rh_error **err)
{
    (void)codec;
    memset(ret, 0, count * sizeof *ret);
    for (size_t i = 0, n = 1; i < count;
         i += n, offset += n * r->grain, n = 1) {
        const struct vmdk_part *part = part_at(r->state, offset);
        uint64_t at = offset - part->start;

        if (!has_packed(part, at, r->grain))
            continue;
        n = (size_t)RH_MIN((uint64_t)(count - i),
                           rh_div_up(part->size - at, r->grain));
        if (rh_vmdk_packed(part->map, at, n, memory, ret + i, err) < 0)
            return -1;
    }
    return 0;
}

/* --- opening ------------------------------------------------------------- */

struct vmdk *rh_vmdk_new(struct rh_reader *r, const struct rh_open_options *o)
{
    struct vmdk *v = rh_new0(struct vmdk);

    pthread_mutex_init(&v->cache.lock, NULL);
    v->cache.reader = r;
    atomic_init(&v->cache.own_room, RH_LIMIT_TRACK_BYTES);
    v->cache.room = o->room ? o->room : &v->cache.own_room;
    r->state = v;
    return v;
}

void rh_vmdk_close(struct rh_reader *r)
{
    struct vmdk *v = r->state;

    if (!v)
        return;
    for (size_t i = 0; i < v->parts.count; i++) {
        rh_io_unref(v->parts.items[i].io);
        rh_vmdk_map_free(v->parts.items[i].map);
    }
    free(v->parts.items);
    for (unsigned i = 0; i < VMDK_SLOTS; i++)
        free(v->cache.slots[i].at);
    free(v->cache.raw);
    rh_vmdk_stream_free(v->stream);
    rh_vmdk_text_free(&v->text);
    pthread_mutex_destroy(&v->cache.lock);
    free(v);
    r->state = NULL;
}

void rh_vmdk_describe(struct rh_reader *r)
{
    const struct vmdk *v = r->state;

    r->variant = v->text.create_type;
    r->adapter_type = rh_strdup(v->text.adapter);
    r->backing_file = rh_strdup(v->text.parent_hint);
    r->sector = (uint32_t)RH_MIN(v->text.logical_sector, (uint64_t)UINT32_MAX);
    if (v->text.logical_sector > VMDK_SECTOR)
        rh_problem_add(r, "VMDK-SECTOR-SIZE",
                       "the disk had sectors of %llu bytes: its partition "
                       "table counts in them",
                       VMDK_X(v->text.logical_sector));
}

static void describe_parts(struct rh_reader *r)
{
    const struct vmdk *v = r->state;

    r->file_order = true;
    for (size_t i = 0; i < v->parts.count; i++) {
        const struct vmdk_map *m = v->parts.items[i].map;

        if (!m)
            continue;
        r->file_order &= m->ascending;
        r->compressed |= m->compressed;
        r->grain = RH_MAX(r->grain, (uint32_t)m->grain);
    }
    r->file_order &= v->parts.count == 1;
}

static int open_disk(struct rh_reader *r, const struct rh_open_options *o,
                     rh_error **err)
{
    rh_vmdk_new(r, o);
    if (rh_vmdk_parts_open(r, o, err) == 0 &&
        rh_vmdk_parent_open(r, o, err) == 0) {
        rh_vmdk_describe(r);
        describe_parts(r);
        return 0;
    }
    rh_error_subject(err, r->name);
    rh_vmdk_close(r);
    return -1;
}

const struct rh_format rh_format_vmdk = {
    .name = "vmdk",
    .about = N_("VMware disks: streamOptimized, sparse, flat, split, chains"),
    .probe = probe,
    .open = open_disk,
    .extent = extent,
    .read = read_disk,
    .packed = packed,
    .close = rh_vmdk_close,
    .streams = streams,
    .open_stream = rh_vmdk_open_stream,
    .next = rh_vmdk_next,
    .check = rh_vmdk_check,
};
