/* vhdx.c - reading VHDX, the disks of Hyper-V since 2012.
 *
 * The block table can be large (64 TiB in 1 MiB blocks: 512 MiB), so it stays
 * in the file: open() walks it once to check every entry, with one bit per MiB
 * of the file to find overlaps; later each block's entry is read when asked
 * for.  After every `ratio` payload entries stands one for a sector bitmap,
 * which only differencing disks use. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/vhdx/vhdx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum state {
    NOT_PRESENT = 0,
    UNDEFINED = 1,
    ZERO = 2,
    UNMAPPED = 3,
    FULLY_PRESENT = 6,
    PARTIALLY_PRESENT = 7,
};
enum {
    ENTRY = 8,
    BATCH = 512,              /* entries read at once */
    BITMAP_SECTORS = 1 << 23, /* that one bitmap block tells of */
};

struct block {
    enum state state;
    uint64_t offset; /* in the file */
};

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail;
    (void)size;
    return n >= 8 && !memcmp(head, "vhdxfile", 8);
}

static struct block decode(uint64_t entry)
{
    return (struct block){(enum state)(entry & 7), entry >> 20 << 20};
}

/* Where a payload block's entry is. */
static uint64_t entry_at(const struct vhdx *v, uint64_t block)
{
    return v->bat.offset + (block + block / v->ratio) * ENTRY;
}

/* Entries of payload blocks [first, first + count), count <= BATCH, cut where
 * a bitmap's entry stands between them; *ret_count is how many were read. */
static int read_entries(struct rh_reader *r, uint64_t first, uint64_t count,
                        struct block ret[BATCH], size_t *ret_count,
                        rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t to_bitmap = v->ratio - first % v->ratio;
    size_t n = (size_t)RH_MIN(RH_MIN(count, (uint64_t)BATCH), to_bitmap);
    uint8_t raw[BATCH * ENTRY];

    if (rh_io_read(r->io, raw, n * ENTRY, entry_at(v, first), err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        ret[i] = decode(rh_le64(raw + i * ENTRY));
    *ret_count = n;
    return 0;
}

/* --- open ----------------------------------------------------------------- */
struct check {
    uint8_t *taken; /* a bit per MiB of the file */
    uint64_t last;  /* offset of the last block met */
    bool ascending;
};

static int take(struct check *c, uint64_t offset, uint64_t size, rh_error **err)
{
    for (uint64_t m = offset / RH_MIB; m < (offset + size) / RH_MIB; m++) {
        if (c->taken[m / 8] & 1 << (m % 8))
            return rh_fail(err, RH_ERR_VHDX_BLOCK,
                           "two parts of the file overlap at 0x%" PRIx64,
                           m * (uint64_t)RH_MIB);
        c->taken[m / 8] |= (uint8_t)(1 << (m % 8));
    }
    return 0;
}

static int check_block(const struct rh_reader *r, struct check *c, uint64_t i,
                       const struct block *b, rh_error **err)
{
    const struct vhdx *v = r->state;

    if (b->state == PARTIALLY_PRESENT || b->state == 4 || b->state == 5)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "block %" PRIu64 " has state %d (at 0x%" PRIx64
                       "), which this kind of disk cannot have",
                       i, (int)b->state, entry_at(v, i));
    if (b->state != FULLY_PRESENT)
        return 0;
    if (b->offset < RH_MIB)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "block %" PRIu64 " at 0x%" PRIx64
                       " covers the file's own tables",
                       i, b->offset);
    if (b->offset > r->io->size || r->io->size - b->offset < v->block)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "block %" PRIu64 " at 0x%" PRIx64
                       " reaches past the end of the file (0x%" PRIx64 ")",
                       i, b->offset, r->io->size);
    c->ascending = c->ascending && b->offset > c->last;
    c->last = b->offset;
    return take(c, b->offset, v->block, err);
}

static int check_blocks(struct rh_reader *r, struct check *c, rh_error **err)
{
    const struct vhdx *v = r->state;
    struct block batch[BATCH];
    size_t n;

    for (uint64_t i = 0; i < v->blocks; i += n) {
        if (rh_go_on(r->lib, err) < 0 ||
            read_entries(r, i, v->blocks - i, batch, &n, err) < 0)
            return -1;
        for (size_t k = 0; k < n; k++)
            if (check_block(r, c, i + k, &batch[k], err) < 0)
                return -1;
    }
    return 0;
}

static int check_bat(struct rh_reader *r, rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t entries = v->blocks + (v->blocks - 1) / v->ratio;
    uint64_t bits = r->io->size / RH_MIB / 8 + 1;
    RH_AUTO(rh_freep) uint8_t *taken = NULL;
    struct check c = {.ascending = true};

    if (entries * ENTRY > v->bat.size)
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "a block table of %" PRIu64 " bytes (at 0x%" PRIx64
                       ") is too short for %" PRIu64 " blocks",
                       v->bat.size, v->bat.offset, v->blocks);
    if (bits > RH_LIMIT_TABLE_BYTES)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "the file is longer than any VHDX can be");
    taken = rh_alloc_big((size_t)bits, err);
    if (!taken)
        return -1;
    memset(taken, 0, (size_t)bits);
    c.taken = taken;
    if (take(&c, 0, RH_MIB, err) < 0 ||
        take(&c, v->bat.offset, v->bat.size, err) < 0 ||
        take(&c, v->metadata.offset, v->metadata.size, err) < 0 ||
        take(&c, v->log.offset, v->log.size, err) < 0 ||
        check_blocks(r, &c, err) < 0)
        return -1;
    r->file_order = c.ascending;
    return 0;
}

static void vhdx_close(struct rh_reader *r)
{
    free(r->state);
    r->state = NULL;
}

static int vhdx_open(struct rh_reader *r, const struct rh_open_options *o,
                     rh_error **err)
{
    struct vhdx *v = rh_new0(struct vhdx);

    (void)o;
    r->state = v;
    if (rh_vhdx_open_tables(r, v, err) < 0) {
        vhdx_close(r);
        return -1;
    }
    v->ratio = BITMAP_SECTORS * v->sector / v->block;
    v->blocks = rh_div_up(r->size, v->block);
    if (check_bat(r, err) < 0) {
        vhdx_close(r);
        return -1;
    }
    r->variant = "dynamic";
    r->grain = (uint32_t)v->block;
    return 0;
}

/* --- reading -------------------------------------------------------------- */
static enum rh_extent_kind kind_of(const struct block *b)
{
    if (b->state == FULLY_PRESENT)
        return RH_EXTENT_DATA;
    return b->state == ZERO ? RH_EXTENT_ZERO : RH_EXTENT_HOLE;
}

static int vhdx_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t first = offset / v->block, next = first;
    struct block batch[BATCH];
    bool more = true;

    while (more && next < v->blocks) {
        size_t n, i;

        if (rh_go_on(r->lib, err) < 0 ||
            read_entries(r, next, v->blocks - next, batch, &n, err) < 0)
            return -1;
        if (next == first)
            ret->kind = kind_of(&batch[0]);
        for (i = 0; i < n && kind_of(&batch[i]) == ret->kind; i++)
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
        struct block b[BATCH];

        if (read_entries(r, offset / v->block, 1, b, &one, err) < 0)
            return -1;
        /* NOLINTNEXTLINE: read_entries() filled it */
        if (b[0].state != FULLY_PRESENT)
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
    .about = N_("VHDX of Hyper-V (read only)"),
    .probe = probe,
    .open = vhdx_open,
    .extent = vhdx_extent,
    .read = vhdx_read,
    .close = vhdx_close,
};
