/* vhdx.c - reading VHDX, the disks of Hyper-V since 2012.
 *
 * The block table stays in the file: bat.c looks through it once at open; later
 * each block's entry is read when asked for. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/vhdx/vhdx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { BITMAP_SECTORS = 1 << 23 }; /* that one bitmap block tells of */

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail;
    (void)size;
    return n >= 8 && !memcmp(head, "vhdxfile", 8);
}

/* --- open ----------------------------------------------------------------- */
static void vhdx_close(struct rh_reader *r)
{
    free(r->state);
    r->state = NULL;
}

static int check_bat(struct rh_reader *r, rh_error **err)
{
    struct vhdx_taken taken;

    if (rh_vhdx_take_all(r, &taken, err) < 0)
        return -1;
    free(taken.bits);
    r->file_order = taken.ascending;
    return 0;
}

static int vhdx_open(struct rh_reader *r, const struct rh_open_options *o,
                     rh_error **err)
{
    struct vhdx *v = rh_new0(struct vhdx);

    r->state = v;
    if (rh_vhdx_open_tables(r, v, err) < 0) {
        vhdx_close(r);
        return -1;
    }
    v->ratio = BITMAP_SECTORS * v->sector / v->block;
    v->blocks = rh_div_up(r->size, v->block);
    if (check_bat(r, err) < 0 ||
        (v->differencing && rh_vhdx_open_parent(r, v, o, err) < 0)) {
        vhdx_close(r);
        return -1;
    }
    r->variant = v->differencing ? "differencing"
                 : v->fixed      ? "fixed"
                                 : "dynamic";
    r->grain = (uint32_t)v->block;
    r->sector = (uint32_t)v->sector;
    return 0;
}

/* --- reading -------------------------------------------------------------- */
/* Over a parent, only what is not there at all is the parent's. */
static enum rh_extent_kind kind_of(const struct vhdx *v,
                                   const struct vhdx_block *b)
{
    if (b->state == VHDX_FULLY_PRESENT || b->state == VHDX_PARTIALLY_PRESENT)
        return RH_EXTENT_DATA;
    return b->state == VHDX_ZERO ||
                   (v->differencing && b->state != VHDX_NOT_PRESENT)
               ? RH_EXTENT_ZERO
               : RH_EXTENT_HOLE;
}

static bool bit_at(const uint8_t *bits, uint64_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

/* Sectors of a partially present block that are alike. */
static int sector_extent(struct rh_reader *r, uint64_t offset,
                         struct rh_extent *ret, rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t in_block = offset % v->block, first = in_block / v->sector;
    uint64_t count =
                 RH_MIN(v->block / v->sector - first, (uint64_t)VHDX_SECTORS),
             n = 1;
    uint8_t bits[VHDX_SECTORS / 8 + 1];
    bool here;

    if (rh_vhdx_sectors(r, offset / v->block, first, count, bits, err) < 0)
        return -1;
    here = bit_at(bits, first % 8);
    while (n < count && bit_at(bits, first % 8 + n) == here)
        n++;
    ret->kind = here ? RH_EXTENT_DATA : RH_EXTENT_HOLE;
    ret->length = (first + n) * v->sector - in_block;
    return 0;
}

static int vhdx_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t first = offset / v->block, next = first;
    struct vhdx_block batch[VHDX_BATCH];
    bool more = true;

    while (more && next < v->blocks) {
        size_t n, i;

        if (rh_go_on(r->lib, err) < 0 ||
            rh_vhdx_entries(r, next, v->blocks - next, batch, &n, err) < 0)
            return -1;
        if (next == first && batch[0].state == VHDX_PARTIALLY_PRESENT)
            return sector_extent(r, offset, ret, err);
        if (next == first)
            ret->kind = kind_of(v, &batch[0]);
        for (i = 0; i < n && kind_of(v, &batch[i]) == ret->kind &&
                    batch[i].state != VHDX_PARTIALLY_PRESENT;
             i++)
            next++;
        more = i == n && ret->kind != RH_EXTENT_DATA;
    }
    ret->length = next * v->block - offset;
    return 0;
}

static int vhdx_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    const struct vhdx *v = r->state;
    uint8_t *to = buf;

    (void)codec;
    while (n) {
        uint64_t in_block = offset % v->block;
        size_t part = (size_t)RH_MIN((uint64_t)n, v->block - in_block), one;
        struct vhdx_block b[VHDX_BATCH];

        if (rh_vhdx_entries(r, offset / v->block, 1, b, &one, err) < 0)
            return -1;
        /* NOLINTNEXTLINE: rh_vhdx_entries() filled it */
        if (kind_of(v, &b[0]) != RH_EXTENT_DATA)
            memset(to, 0, part);
        else if (rh_io_read(r->io, to, part, b[0].offset + in_block, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

const struct rh_format rh_format_vhdx = {
    .name = "vhdx",
    .about = N_("VHDX of Hyper-V, with its log and its parents (read only)"),
    .probe = probe,
    .open = vhdx_open,
    .extent = vhdx_extent,
    .read = vhdx_read,
    .close = vhdx_close,
    .check = rh_vhdx_check,
};
