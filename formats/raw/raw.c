/* raw.c - a disk's plain bytes.
 *
 * Never found by content (anything could be "raw"): only read when asked for.
 * Reading, the file's holes are the disk's.  Writing, long zero runs become
 * holes; into a pipe everything is written out. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/format.h"

/* A hole is worth its place in the file system's map from HOLE on. */
enum { BLOCK = 4096, HOLE_BLOCKS = 4, UNIT = 1 << 20 };

/* --- reading
 * ------------------------------------------------------------------ */

static int raw_open(struct rh_reader *r, const struct rh_open_options *o,
                    rh_error **err)
{
    (void)o;
    if (r->io->size == 0)
        return rh_fail(err, RH_ERR_FILE_SHORT, "the file is empty");
    r->size = r->io->size;
    r->variant = "raw";
    r->file_order = true;
    return 0;
}

static int raw_extent(struct rh_reader *r, uint64_t offset,
                      struct rh_extent *ret, rh_error **err)
{
    uint64_t start, end;

    if (rh_io_data_after(r->io, offset, &start, &end, err) < 0)
        return -1;
    if (start > offset)
        *ret = (struct rh_extent){start - offset, RH_EXTENT_HOLE};
    else
        *ret = (struct rh_extent){end - offset, RH_EXTENT_DATA};
    return 0;
}

static int raw_lies(struct rh_reader *r, uint64_t offset,
                    struct rh_place_of_bytes *ret, rh_error **err)
{
    (void)err;
    *ret = (struct rh_place_of_bytes){true, offset, r->size - offset};
    return 0;
}

static int raw_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                    size_t n, uint64_t offset, rh_error **err)
{
    (void)codec;
    return rh_io_read(r->io, buf, n, offset, err);
}

/* --- writing
 * ------------------------------------------------------------------- */

/* What encode() finds in a unit: the runs worth writing. */
struct run {
    uint32_t offset, size;
};
struct runs {
    uint32_t count;
    struct run run[UNIT / BLOCK / (HOLE_BLOCKS + 1) + 2];
};

static int raw_create(struct rh_writer *w, const struct rh_create_options *o,
                      rh_error **err)
{
    if (o->compress != RH_COMPRESS_NONE)
        return rh_fail(err, RH_ERR_DISK_COMPRESS,
                       "raw disks cannot be compressed");
    if (o->cluster_size)
        return rh_fail(err, RH_ERR_USAGE, "raw disks have no clusters");
    rh_out_expect(w->out, w->base + o->size);
    w->unit = UNIT;
    w->unit_state = sizeof(struct runs);
    w->iov_max = RH_COUNT(((struct runs *)NULL)->run);
    w->any_order = o->may_seek;
    w->takes_unseen = true;
    w->piece = 1;
    return 0;
}

static size_t zero_blocks(const uint8_t *data, size_t length, size_t at)
{
    size_t n = 0;

    for (; at < length; at += BLOCK, n++)
        if (!rh_all_zero(data + at, RH_MIN((size_t)BLOCK, length - at)))
            break;
    return n;
}

/* Runs of data between holes of at least HOLE_BLOCKS blocks; shorter zeros
 * are written with their neighbours. */
static int raw_encode(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct runs *runs = u->state;
    size_t at = 0, start = 0;
    bool open = false;

    (void)w, (void)err;
    runs->count = u->unseen;
    if (u->unseen) {
        runs->run[0] = (struct run){0, (uint32_t)u->length};
        return 0;
    }
    while (at < u->length) {
        size_t zeros = zero_blocks(u->data, u->length, at);
        bool last = at + zeros * BLOCK >= u->length;

        if (zeros >= HOLE_BLOCKS || last) {
            if (open && at > start)
                runs->run[runs->count++] =
                    (struct run){(uint32_t)start, (uint32_t)(at - start)};
            open = false;
        }
        at += zeros * BLOCK;
        if (last)
            break;
        if (!open)
            start = at;
        open = true;
        at += BLOCK;
    }
    if (open && at >= u->length)
        runs->run[runs->count++] =
            (struct run){(uint32_t)start, (uint32_t)(u->length - start)};
    return 0;
}

static int write_zeros(struct rh_writer *w, uint64_t until, rh_error **err)
{
    static const uint8_t zeros[64 * RH_KIB];

    while (w->out->position < until) {
        size_t n =
            (size_t)RH_MIN((uint64_t)sizeof zeros, until - w->out->position);

        if (rh_go_on(w->lib, err) < 0 ||
            rh_out_write(w->out, zeros, n, w->out->position, err) < 0)
            return -1;
    }
    return 0;
}

static int raw_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    const struct runs *runs = u->state;

    u->iov_count = 0;
    if (!w->out->seekable) {
        if (write_zeros(w, w->base + u->offset, err) < 0)
            return -1;
        u->iov[u->iov_count++] =
            (struct rh_iov){w->base + u->offset, u->data, u->length};
        return 0;
    }
    for (size_t i = 0; i < runs->count; i++)
        u->iov[u->iov_count++] =
            (struct rh_iov){w->base + u->offset + runs->run[i].offset,
                            u->data + runs->run[i].offset, runs->run[i].size};
    return 0;
}

static int raw_finish(struct rh_writer *w, uint64_t *ret_size, rh_error **err)
{
    if (!w->out->seekable && write_zeros(w, w->base + w->size, err) < 0)
        return -1;
    *ret_size = w->size;
    return 0;
}

static const struct rh_writer_ops writer = {
    .create = raw_create,
    .encode = raw_encode,
    .place = raw_place,
    .finish = raw_finish,
};

const struct rh_format rh_format_raw = {
    .name = "raw",
    .about = N_("plain bytes, as the guest sees them"),
    .open = raw_open,
    .extent = raw_extent,
    .read = raw_read,
    .lies = raw_lies,
    .writer = &writer,
};
