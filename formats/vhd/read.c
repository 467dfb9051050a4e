/* read.c - reading fixed and dynamic VHDs, once open.c found them sound.
 *
 * A sector whose bit in its block's bitmap is clear was never written and reads
 * as zeros, whatever lies in the file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum {
    GRAIN = 64 * 1024, /* finest step of the map inside a block */
    BITS = 4096,       /* bytes of bitmap looked at in one read */
    FEW_BITS = 512,    /* likewise, sector by sector */
};

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)size;
    return (n >= VHD_FOOTER && !memcmp(head, "conectix", 8)) ||
           (tail &&
            (!memcmp(tail, "conectix", 8) || !memcmp(tail + 1, "conectix", 8)));
}

static void vhd_close(struct rh_reader *r)
{
    if (r->state)
        rh_vhd_free(r->state);
}

/* --- the map -------------------------------------------------------------- */
static int fixed_extent(struct rh_reader *r, uint64_t offset,
                        struct rh_extent *ret, rh_error **err)
{
    uint64_t start, end;

    if (rh_io_data_after(r->io, offset, &start, &end, err) < 0)
        return -1;
    if (start > offset) {
        ret->kind = RH_EXTENT_HOLE;
        ret->length = RH_MIN(start, r->size) - offset;
    } else {
        ret->kind = RH_EXTENT_DATA;
        ret->length = RH_MIN(end, r->size) - offset;
    }
    return 0;
}

static uint64_t hole_end(const struct vhd *v, uint64_t block)
{
    while (block < v->entries && v->table[block] == VHD_NO_BLOCK)
        block++;
    return block * v->block;
}

/* Inside a block: as far as the bitmap is alike, in steps of GRAIN. */
static int block_extent(struct rh_reader *r, const struct vhd *v,
                        uint64_t offset, struct rh_extent *ret, rh_error **err)
{
    const uint64_t step = RH_MIN(v->block, (uint64_t)GRAIN);
    const size_t bytes = (size_t)RH_MAX(step / VHD_SECTOR / 8, 1);
    uint64_t in_block = offset % v->block, from = in_block / step;
    uint64_t first = from, count = v->block / step, most = BITS / bytes;
    uint8_t bits[BITS];
    bool empty;

    count = RH_MIN(count - from, most);
    if (rh_io_read(r->io, bits, (size_t)count * bytes,
                   (uint64_t)v->table[offset / v->block] * VHD_SECTOR +
                       from * bytes,
                   err) < 0)
        return -1;
    empty = rh_all_zero(bits, bytes);
    do
        from++;
    while (from < first + count &&
           rh_all_zero(bits + (from - first) * bytes, bytes) == empty);
    ret->kind = empty ? RH_EXTENT_HOLE : RH_EXTENT_DATA;
    ret->length = from * step - in_block;
    return 0;
}

static bool bit_at(const uint8_t *bits, uint64_t i)
{
    return bits[i / 8] & (0x80 >> (i % 8));
}

/* In a differencing disk each sector is here or the parent's. */
static int sector_extent(struct rh_reader *r, const struct vhd *v,
                         uint64_t offset, struct rh_extent *ret, rh_error **err)
{
    uint64_t in_block = offset % v->block, sector = in_block / VHD_SECTOR;
    uint64_t first = sector / 8, count = sector + 1, last;
    uint8_t bits[FEW_BITS];
    size_t bytes = (size_t)RH_MIN(rh_div_up(v->block / VHD_SECTOR, 8) - first,
                                  (uint64_t)FEW_BITS);
    bool here;

    if (rh_io_read(r->io, bits, bytes,
                   (uint64_t)v->table[offset / v->block] * VHD_SECTOR + first,
                   err) < 0)
        return -1;
    last = RH_MIN((first + bytes) * 8, v->block / VHD_SECTOR);
    here = bit_at(bits, sector - first * 8);
    while (count < last && bit_at(bits, count - first * 8) == here)
        count++;
    ret->kind = here ? RH_EXTENT_DATA : RH_EXTENT_HOLE;
    ret->length = count * VHD_SECTOR - in_block;
    return 0;
}

static int vhd_extent(struct rh_reader *r, uint64_t offset,
                      struct rh_extent *ret, rh_error **err)
{
    const struct vhd *v = r->state;

    if (!v->table)
        return fixed_extent(r, offset, ret, err);
    if (v->table[offset / v->block] != VHD_NO_BLOCK)
        return (v->footer.type == VHD_DIFFERENCING
                    ? sector_extent
                    : block_extent)(r, v, offset, ret, err);
    ret->kind = RH_EXTENT_HOLE;
    ret->length = hole_end(v, offset / v->block) - offset;
    return 0;
}

static int vhd_lies(struct rh_reader *r, uint64_t offset,
                    struct rh_place_of_bytes *ret, rh_error **err)
{
    const struct vhd *v = r->state;
    struct rh_extent e;
    uint64_t block;

    *ret = (struct rh_place_of_bytes){true, offset, r->size - offset};
    if (!v->table)
        return 0;
    block = offset / v->block;
    if (v->table[block] == VHD_NO_BLOCK) {
        *ret =
            (struct rh_place_of_bytes){false, 0, hole_end(v, block) - offset};
        return 0;
    }
    /* By the sector: what its bit hides is not read. */
    if (sector_extent(r, v, offset, &e, err) < 0)
        return -1;
    *ret = (struct rh_place_of_bytes){e.kind == RH_EXTENT_DATA,
                                      (uint64_t)v->table[block] * VHD_SECTOR +
                                          v->bitmap + offset % v->block,
                                      e.length};
    return 0;
}

/* Without the bitmaps, each of which lies elsewhere in the file. */
static bool vhd_present(const struct rh_reader *r, uint64_t *ret_bytes)
{
    const struct vhd *v = r->state;
    uint64_t sum = 0;

    for (uint64_t b = 0; v->table && b < v->entries; b++)
        if (v->table[b] != VHD_NO_BLOCK)
            sum += RH_MIN(v->block, r->size - b * v->block);
    *ret_bytes = sum;
    return v->table != NULL;
}

/* --- the bytes ------------------------------------------------------------ */
/* Zero what lies in sectors whose bit is clear; `offset` is in the block. */
static void blank(const uint8_t *bits, uint64_t first_sector, uint8_t *buf,
                  size_t n, uint64_t offset)
{
    for (size_t done = 0; done < n;) {
        uint64_t at = offset + done, sector = at / VHD_SECTOR;
        size_t part = VHD_SECTOR - (size_t)(at % VHD_SECTOR);
        uint64_t bit = sector - first_sector;

        part = RH_MIN(part, n - done);
        if (!bit_at(bits, bit))
            memset(buf + done, 0, part);
        done += part;
    }
}

static bool all_ones(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0xff && memcmp(p, p + 1, n - 1) == 0);
}

/* A range inside one present block, at most BITS * 8 sectors long. */
static int read_present(struct rh_reader *r, const struct vhd *v, uint8_t *buf,
                        size_t n, uint64_t block, uint64_t offset,
                        rh_error **err)
{
    uint64_t at = (uint64_t)v->table[block] * VHD_SECTOR;
    uint64_t first = offset / VHD_SECTOR / 8;
    uint64_t last = (offset + n - 1) / VHD_SECTOR / 8;
    size_t bytes = (size_t)(last - first + 1);
    uint8_t bits[BITS + 1];

    if (rh_io_read(r->io, bits, bytes, at + first, err) < 0)
        return -1;
    if (rh_all_zero(bits, bytes)) {
        memset(buf, 0, n);
        return 0;
    }
    if (rh_io_read(r->io, buf, n, at + v->bitmap + offset, err) < 0)
        return -1;
    if (!all_ones(bits, bytes))
        blank(bits, first * 8, buf, n, offset);
    return 0;
}

static int vhd_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                    size_t n, uint64_t offset, rh_error **err)
{
    const struct vhd *v = r->state;
    uint8_t *to = buf;

    (void)codec;
    if (!v->table)
        return rh_io_read(r->io, buf, n, offset, err);
    while (n) {
        uint64_t block = offset / v->block, in_block = offset % v->block;
        uint64_t room =
            RH_MIN(v->block - in_block, (uint64_t)(BITS - 1) * 8 * VHD_SECTOR);
        size_t part = (size_t)RH_MIN((uint64_t)n, room);

        if (v->table[block] == VHD_NO_BLOCK)
            memset(to, 0, part);
        else if (read_present(r, v, to, part, block, in_block, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

const struct rh_format rh_format_vhd = {
    .name = "vhd",
    .about = N_("VHD of Hyper-V, Virtual PC and XCP-ng (written dynamic), with "
                "its parents"),
    .probe = probe,
    .open = rh_vhd_open,
    .extent = vhd_extent,
    .present = vhd_present,
    .read = vhd_read,
    .lies = vhd_lies,
    .close = vhd_close,
    .check = rh_vhd_check,
    .writer = &rh_vhd_dynamic_writer,
    .patch = &rh_vhd_patch,
};

const struct rh_format rh_format_vhd_fixed = {
    .name = "vhd-fixed",
    .about = N_("VHD that holds every byte (written only; read as vhd)"),
    .writer = &rh_vhd_fixed_writer,
};
