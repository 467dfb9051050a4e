/* bat.c - the block table of a VHDX: read piece by piece, judged as a whole.
 *
 * It can be large (64 TiB in 1 MiB blocks: 512 MiB), so it stays in the file:
 * it is walked once to check every entry, with one bit per MiB of the file to
 * find overlaps.  After every `ratio` payload entries stands one for a sector
 * bitmap, which only differencing disks use. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

static struct vhdx_block decode(uint64_t entry)
{
    return (struct vhdx_block){(enum vhdx_state)(entry & 7), entry >> 20 << 20};
}

/* Where a payload block's entry is. */
static uint64_t entry_at(const struct vhdx *v, uint64_t block)
{
    return v->bat.offset + (block + block / v->ratio) * VHDX_ENTRY;
}

int rh_vhdx_entries(struct rh_reader *r, uint64_t first, uint64_t count,
                    struct vhdx_block ret[VHDX_BATCH], size_t *ret_count,
                    rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t to_bitmap = v->ratio - first % v->ratio;
    size_t n = (size_t)RH_MIN(RH_MIN(count, (uint64_t)VHDX_BATCH), to_bitmap);
    uint8_t raw[VHDX_BATCH * VHDX_ENTRY];

    if (rh_io_read(r->io, raw, n * VHDX_ENTRY, entry_at(v, first), err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        ret[i] = decode(rh_le64(raw + i * VHDX_ENTRY));
    *ret_count = n;
    return 0;
}

/* Where the bitmap of a block's chunk is; 0: there is none. */
static int bitmap_of(struct rh_reader *r, uint64_t block, uint64_t *ret,
                     rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t at = (block / v->ratio + 1) * (v->ratio + 1) - 1;
    struct vhdx_block b;
    uint8_t raw[VHDX_ENTRY];

    *ret = 0;
    if ((at + 1) * VHDX_ENTRY > v->bat.size)
        return 0;
    if (rh_io_read(r->io, raw, sizeof raw, v->bat.offset + at * VHDX_ENTRY,
                   err) < 0)
        return -1;
    b = decode(rh_le64(raw));
    *ret = b.state == VHDX_FULLY_PRESENT ? b.offset : 0;
    return 0;
}

int rh_vhdx_sectors(struct rh_reader *r, uint64_t block, uint64_t first,
                    uint64_t n, uint8_t ret[VHDX_SECTORS / 8 + 1],
                    rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t from = block % v->ratio * (v->block / v->sector) + first, at;
    size_t bytes = (size_t)((from % 8 + n + 7) / 8);

    /* NOLINTNEXTLINE: ratio is at least 16 (blocks of 256 MiB) */
    if (bitmap_of(r, block, &at, err) < 0)
        return -1;
    return rh_io_read(r->io, ret, bytes, at + from / 8, err);
}

/* --- who takes which part of the file ------------------------------------- */
struct check {
    struct vhdx_taken taken;
    uint64_t last; /* offset of the last block met */
    bool partial;  /* one of the chunk at hand needs its bitmap */
};

bool rh_vhdx_take(struct vhdx_taken *t, uint64_t offset, uint64_t size,
                  uint64_t *ret_met)
{
    for (uint64_t m = offset / RH_MIB; m < (offset + size) / RH_MIB; m++) {
        uint8_t bit = (uint8_t)(1 << (m % 8));

        if (t->bits[m / 8] & bit) {
            *ret_met = m * RH_MIB;
            return false;
        }
        t->bits[m / 8] |= bit;
    }
    return true;
}

static int take(struct check *c, uint64_t offset, uint64_t size, rh_error **err)
{
    uint64_t met;

    if (rh_vhdx_take(&c->taken, offset, size, &met))
        return 0;
    return rh_fail(err, RH_ERR_VHDX_BLOCK,
                   "two parts of the file overlap at 0x%" PRIx64, met);
}

static int check_block(const struct rh_reader *r, struct check *c, uint64_t i,
                       const struct vhdx_block *b, rh_error **err)
{
    const struct vhdx *v = r->state;

    bool partial = b->state == VHDX_PARTIALLY_PRESENT;

    if ((partial && !v->differencing) || b->state == 4 || b->state == 5)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "block %" PRIu64 " has state %d (at 0x%" PRIx64
                       "), which this kind of disk cannot have",
                       i, (int)b->state, entry_at(v, i));
    if (b->state != VHDX_FULLY_PRESENT && !partial)
        return 0;
    c->partial |= partial;
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
    c->taken.ascending = c->taken.ascending && b->offset > c->last;
    c->last = b->offset;
    return take(c, b->offset, v->block, err);
}

/* At the end of a chunk. */
static int check_bitmap(struct rh_reader *r, struct check *c, uint64_t block,
                        rh_error **err)
{
    uint64_t at;

    if (!c->partial)
        return 0;
    c->partial = false;
    if (bitmap_of(r, block, &at, err) < 0)
        return -1;
    if (at < RH_MIB || at > r->io->size || r->io->size - at < RH_MIB)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "the sector bitmap for block %" PRIu64 " (at 0x%" PRIx64
                       ") lies outside the file",
                       block, at);
    return take(c, at, RH_MIB, err);
}

static int check_blocks(struct rh_reader *r, struct check *c, rh_error **err)
{
    const struct vhdx *v = r->state;
    struct vhdx_block batch[VHDX_BATCH];
    size_t n;

    for (uint64_t i = 0; i < v->blocks; i += n) {
        if (rh_go_on(r->lib, err) < 0 ||
            rh_vhdx_entries(r, i, v->blocks - i, batch, &n, err) < 0)
            return -1;
        for (size_t k = 0; k < n; k++)
            if (check_block(r, c, i + k, &batch[k], err) < 0)
                return -1;
        if (((i + n) % v->ratio == 0 || i + n == v->blocks) &&
            check_bitmap(r, c, i, err) < 0)
            return -1;
    }
    return 0;
}

int rh_vhdx_take_all(struct rh_reader *r, struct vhdx_taken *ret,
                     rh_error **err)
{
    const struct vhdx *v = r->state;
    uint64_t entries = v->blocks + (v->blocks - 1) / v->ratio;
    uint64_t bytes = r->io->size / RH_MIB / 8 + 1;
    RH_AUTO(rh_freep) uint8_t *bits = NULL;
    struct check c = {.taken = {.count = bytes * 8, .ascending = true}};

    if (entries * VHDX_ENTRY > v->bat.size)
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "a block table of %" PRIu64 " bytes (at 0x%" PRIx64
                       ") is too short for %" PRIu64 " blocks",
                       v->bat.size, v->bat.offset, v->blocks);
    if (bytes > RH_LIMIT_TABLE_BYTES)
        return rh_fail(err, RH_ERR_VHDX_BLOCK,
                       "the file is longer than any VHDX can be");
    c.taken.bits = bits = rh_alloc_big((size_t)bytes, err);
    if (!bits)
        return -1;
    memset(bits, 0, (size_t)bytes);
    if (take(&c, 0, RH_MIB, err) < 0 ||
        take(&c, v->bat.offset, v->bat.size, err) < 0 ||
        take(&c, v->metadata.offset, v->metadata.size, err) < 0 ||
        take(&c, v->log.offset, v->log.size, err) < 0 ||
        check_blocks(r, &c, err) < 0)
        return -1;
    *ret = c.taken;
    ret->bits = RH_TAKE(bits);
    return 0;
}
