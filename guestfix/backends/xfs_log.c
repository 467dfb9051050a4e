/* xfs_log.c - was the XFS journal left clean?
 *
 * Every 512-byte block of the journal bears the number of the round in which it
 * was written: a block's first four bytes, or the second four of a record's
 * header.  The head is where the number falls; the journal is clean when the
 * record before it holds nothing but the mark of an unmount (the kernel's
 * xlog_check_unmount_rec). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/xfs.h"

enum {
    SECTOR = 512,
    RECORD_MAX = 256 * 1024 / SECTOR + 8, /* blocks of one record */
    CYCLES_PER_HEADER = 32 * 1024,
    UNMOUNT = 0x20, /* flag of an operation */
};

struct journal {
    struct rh_fs *fs;
    const struct rh_xfs *x;
    rh_error **err;
};

static int read_block(const struct journal *j, uint32_t block,
                      uint8_t to[SECTOR])
{
    return rh_volume_read(j->fs->disks, j->fs->volume, to, SECTOR,
                          j->x->log_at + (uint64_t)block * SECTOR, j->err);
}

static bool is_header(const uint8_t *b)
{
    return rh_be32(b) == 0xfeedbabe;
}

static int cycle_of(const struct journal *j, uint32_t block, uint32_t *ret)
{
    uint8_t b[SECTOR];

    if (read_block(j, block, b) < 0)
        return -1;
    *ret = rh_be32(is_header(b) ? b + 4 : b);
    return 0;
}

/* The first block that is not of the first one's round; all are: 0. */
static int find_head(const struct journal *j, uint32_t *ret)
{
    uint32_t low = 0, high = j->x->log_blocks - 1, first, cycle;

    if (cycle_of(j, 0, &first) < 0 || cycle_of(j, high, &cycle) < 0)
        return -1;
    *ret = 0;
    if (cycle == first)
        return 0;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (cycle_of(j, mid, &cycle) < 0)
            return -1;
        if (cycle == first)
            low = mid;
        else
            high = mid;
    }
    *ret = high;
    return 0;
}

/* The last record's header; *ret_found false: there is none near. */
static int find_record(const struct journal *j, uint32_t head,
                       uint32_t *ret_block, uint8_t ret[SECTOR],
                       bool *ret_found)
{
    uint32_t most = RH_MIN((uint32_t)RECORD_MAX, j->x->log_blocks);

    for (uint32_t back = 1; back <= most; back++) {
        *ret_block = (head + j->x->log_blocks - back) % j->x->log_blocks;
        if (read_block(j, *ret_block, ret) < 0)
            return -1;
        if (is_header(ret)) {
            *ret_found = true;
            return 0;
        }
    }
    *ret_found = false;
    return 0;
}

static uint32_t header_blocks(const uint8_t *header)
{
    uint32_t size = rh_be32(header + 320);

    if (!(rh_be32(header + 8) & 2) || size <= CYCLES_PER_HEADER)
        return 1;
    return RH_MIN(size / CYCLES_PER_HEADER + !!(size % CYCLES_PER_HEADER), 8U);
}

int rh_xfs_log_clean(struct rh_fs *fs, const struct rh_xfs *x, bool *ret,
                     rh_error **err)
{
    struct journal j = {fs, x, err};
    uint8_t header[SECTOR], b[SECTOR];
    uint32_t head, record, data, after;
    bool found;

    *ret = false;
    if (x->log_blocks < 16 || x->log_at + (uint64_t)x->log_blocks * SECTOR >
                                  rh_volume_bytes(fs->volume))
        return 0;
    if (find_head(&j, &head) < 0 ||
        find_record(&j, head, &record, header, &found) < 0)
        return -1;
    if (!found || rh_be32(header + 40) != 1) /* operations in it */
        return 0;
    data = (record + header_blocks(header)) % x->log_blocks;
    after =
        (data + (rh_be32(header + 12) + SECTOR - 1) / SECTOR) % x->log_blocks;
    if (after != head || read_block(&j, data, b) < 0)
        return after != head ? 0 : -1;
    *ret = b[9] & UNMOUNT;
    return 0;
}
