/* vdi.c - VirtualBox's disk images, read only.
 *
 * A header of fixed places, a table with one number for each block of the disk,
 * and the blocks in any order (include/VBox/vd-ifs and VDICore.h of VirtualBox;
 * block/vdi.c of QEMU reads the same).  Differencing images name their parent
 * by id alone, and only VirtualBox knows where that is: they are refused. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/format.h"

enum { /* offsets in the header; numbers are little-endian */
       AT_MARK = 0x40,
       AT_VERSION = 0x44,
       AT_TYPE = 0x4c,
       AT_TABLE = 0x154,
       AT_DATA = 0x158,
       AT_SECTOR = 0x168,
       AT_SIZE = 0x170,
       AT_BLOCK = 0x178,
       AT_EXTRA = 0x17c,
       AT_BLOCKS = 0x180,
       HEADER = 0x200,
};
enum { TYPE_DYNAMIC = 1, TYPE_FIXED = 2, TYPE_UNDO = 3, TYPE_DIFFERENCING = 4 };
enum { LEAST_BLOCK = 4096, MOST_BLOCK = 256 * 1024 * 1024 };
#define VDI_MARK    UINT32_C(0xbeda107f)
#define VDI_NOWHERE UINT32_C(0xffffffff) /* never written */
#define VDI_ZEROS   UINT32_C(0xfffffffe) /* discarded: zeros */

struct vdi {
    uint64_t table_at, data_at; /* in the file */
    uint64_t block, extra;      /* bytes of a block, and in front of it */
    uint64_t blocks;            /* of the disk */
    uint32_t type;
    uint32_t *table; /* number of each block in the file, or VDI_... */
};

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail;
    (void)size;
    return n >= AT_MARK + 4 && rh_le32(head + AT_MARK) == VDI_MARK;
}

static void vdi_close(struct rh_reader *r)
{
    struct vdi *v = r->state;

    if (!v)
        return;
    free(v->table);
    free(v);
    r->state = NULL;
}

/* --- opening ---------------------------------------------------------------
 */

static int check_kind(const struct vdi *v, const uint8_t h[HEADER],
                      rh_error **err)
{
    if (rh_le32(h + AT_VERSION) >> 16 != 1)
        return rh_fail(err, RH_ERR_VDI_HEADER,
                       "VDI version 0x%08x (at 0x%x) is not known",
                       rh_le32(h + AT_VERSION), AT_VERSION);
    if (v->type == TYPE_UNDO || v->type == TYPE_DIFFERENCING) {
        rh_fail(err, RH_ERR_DISK_UNSUPPORTED,
                "this is a differencing VDI: it holds only what changed since "
                "its parent, which it does not name");
        return rh_hint(err, "make it whole: VBoxManage clonemedium FILE "
                            "new.vdi");
    }
    if (v->type != TYPE_DYNAMIC && v->type != TYPE_FIXED)
        return rh_fail(err, RH_ERR_VDI_HEADER,
                       "VDI type %u (at 0x%x) is not known", v->type, AT_TYPE);
    if (rh_le32(h + AT_SECTOR) != 512)
        return rh_fail(err, RH_ERR_VDI_HEADER, "sectors of %u bytes (at 0x%x)",
                       rh_le32(h + AT_SECTOR), AT_SECTOR);
    return 0;
}

static int check_numbers(const struct rh_reader *r, const struct vdi *v,
                         rh_error **err)
{
    uint64_t end = r->io->size;

    if (!rh_power_of_two(v->block) || v->block < LEAST_BLOCK ||
        v->block > MOST_BLOCK || v->extra > MOST_BLOCK)
        return rh_fail(err, RH_ERR_VDI_HEADER,
                       "block size %llu (at 0x%x) is no power of two from 4096 "
                       "to 256 MiB",
                       (unsigned long long)v->block, AT_BLOCK);
    if (r->size == 0 || rh_div_up(r->size, v->block) > v->blocks)
        return rh_fail(err, RH_ERR_VDI_HEADER,
                       "a table of %llu blocks (at 0x%x) is too short for %llu "
                       "bytes",
                       (unsigned long long)v->blocks, AT_BLOCKS,
                       (unsigned long long)r->size);
    if (v->blocks > RH_LIMIT_TABLE_BYTES / sizeof *v->table)
        return rh_fail(err, RH_ERR_VDI_TABLE,
                       "a table of %llu blocks (at 0x%x) is over the limit",
                       (unsigned long long)v->blocks, AT_BLOCKS);
    if (v->table_at < HEADER || v->table_at > end ||
        v->blocks * 4 > end - v->table_at ||
        v->data_at < v->table_at + v->blocks * 4)
        return rh_fail(err, RH_ERR_VDI_TABLE,
                       "the block table at 0x%llx lies outside the file or on "
                       "the data (which begin at 0x%llx)",
                       (unsigned long long)v->table_at,
                       (unsigned long long)v->data_at);
    return 0;
}

static int read_header(struct rh_reader *r, struct vdi *v, rh_error **err)
{
    uint8_t h[HEADER];

    if (rh_io_read(r->io, h, sizeof h, 0, err) < 0)
        return -1;
    if (!probe(h, sizeof h, NULL, 0))
        return rh_fail(err, RH_ERR_VDI_HEADER, "there is no mark at 0x%x",
                       AT_MARK);
    v->type = rh_le32(h + AT_TYPE);
    v->table_at = rh_le32(h + AT_TABLE);
    v->data_at = rh_le32(h + AT_DATA);
    v->block = rh_le32(h + AT_BLOCK);
    v->extra = rh_le32(h + AT_EXTRA);
    v->blocks = rh_le32(h + AT_BLOCKS);
    r->size = rh_le64(h + AT_SIZE);
    return check_kind(v, h, err) < 0 ? -1 : check_numbers(r, v, err);
}

static bool is_stored(uint32_t number)
{
    return number < VDI_ZEROS;
}

static uint64_t place_of(const struct vdi *v, uint32_t number)
{
    return v->data_at + (v->block + v->extra) * number + v->extra;
}

/* Inside the file, and nobody else's: a bit for each block of the file. */
static int check_block(const struct rh_reader *r, const struct vdi *v,
                       uint64_t i, uint8_t *bits, rh_error **err)
{
    uint32_t number = v->table[i];
    uint64_t at = place_of(v, number);
    uint64_t need = i * v->block < r->size
                        ? RH_MIN(v->block, r->size - i * v->block)
                        : v->block;

    if (at > r->io->size || need > r->io->size - at)
        return rh_fail(err, RH_ERR_VDI_BLOCK,
                       "block %llu at 0x%llx reaches past the end of the file "
                       "(0x%llx)",
                       (unsigned long long)i, (unsigned long long)at,
                       (unsigned long long)r->io->size);
    if (bits[number / 8] >> (number % 8) & 1)
        return rh_fail(err, RH_ERR_VDI_BLOCK,
                       "two entries of the block table name the block at "
                       "0x%llx",
                       (unsigned long long)at);
    bits[number / 8] |= (uint8_t)(1 << (number % 8));
    return 0;
}

static int read_table(struct rh_reader *r, struct vdi *v, rh_error **err)
{
    size_t size = (size_t)v->blocks * sizeof *v->table;
    uint64_t fit = r->io->size / v->block + 1;
    RH_AUTO(rh_freep) uint8_t *bits = rh_alloc_big((size_t)fit / 8 + 1, err);
    uint32_t last = 0;

    v->table = bits ? rh_alloc_big(size, err) : NULL;
    if (!v->table || rh_io_read(r->io, v->table, size, v->table_at, err) < 0)
        return -1;
    memset(bits, 0, (size_t)fit / 8 + 1);
    r->file_order = true;
    for (uint64_t i = 0; i < v->blocks; i++) {
        v->table[i] = le32toh(v->table[i]);
        if (!is_stored(v->table[i]))
            continue;
        if (v->table[i] >= fit)
            return rh_fail(err, RH_ERR_VDI_BLOCK,
                           "block %llu (entry at 0x%llx) lies past the end of "
                           "the file (0x%llx)",
                           (unsigned long long)i,
                           (unsigned long long)(v->table_at + 4 * i),
                           (unsigned long long)r->io->size);
        if (check_block(r, v, i, bits, err) < 0)
            return -1;
        r->file_order &= v->table[i] >= last;
        last = v->table[i];
    }
    return 0;
}

static int vdi_open(struct rh_reader *r, const struct rh_open_options *o,
                    rh_error **err)
{
    struct vdi *v = rh_new0(struct vdi);

    (void)o;
    r->state = v;
    if (read_header(r, v, err) < 0 || read_table(r, v, err) < 0) {
        vdi_close(r);
        return -1;
    }
    r->variant = v->type == TYPE_FIXED ? "fixed" : "dynamic";
    r->grain = (uint32_t)v->block;
    return 0;
}

/* --- reading ---------------------------------------------------------------
 */

static enum rh_extent_kind kind_of(uint32_t number)
{
    return is_stored(number)       ? RH_EXTENT_DATA
           : number == VDI_NOWHERE ? RH_EXTENT_HOLE
                                   : RH_EXTENT_ZERO;
}

static int vdi_extent(struct rh_reader *r, uint64_t offset,
                      struct rh_extent *ret, rh_error **err)
{
    const struct vdi *v = r->state;
    uint64_t block = offset / v->block, end = rh_div_up(r->size, v->block);

    (void)err;
    ret->kind = kind_of(v->table[block]);
    while (block < end && kind_of(v->table[block]) == ret->kind)
        block++;
    ret->length = block * v->block - offset;
    return 0;
}

static int vdi_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                    size_t n, uint64_t offset, rh_error **err)
{
    const struct vdi *v = r->state;
    uint8_t *to = buf;

    (void)codec;
    while (n) {
        uint64_t in_block = offset % v->block;
        size_t part = (size_t)RH_MIN((uint64_t)n, v->block - in_block);
        uint32_t number = v->table[offset / v->block];

        if (!is_stored(number))
            memset(to, 0, part);
        else if (rh_io_read(r->io, to, part, place_of(v, number) + in_block,
                            err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

const struct rh_format rh_format_vdi = {
    .name = "vdi",
    .about = N_("VDI of VirtualBox (read only)"),
    .probe = probe,
    .open = vdi_open,
    .extent = vdi_extent,
    .read = vdi_read,
    .close = vdi_close,
};
