/* xfs_unused.c - which blocks of an XFS file system nothing uses.
 *
 * Each allocation group keeps its free runs in a B+tree by block number, whose
 * root stands in the group's header ("XFS Algorithms & Data Structures", 3rd
 * edition, AG Free Space Management).  The runs must ascend and their sum must
 * be the header's count, else the maps are not believed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/unused.h"
#include "guestfix/backends/xfs.h"

enum { DEPTH_MAX = 8, AGF_BYTES = 64 };

struct group {
    struct rh_fs *fs;
    const struct rh_xfs *x;
    struct rh_unused_out *out;
    uint64_t first;  /* block of the volume */
    uint32_t length; /* blocks */
    uint64_t end;    /* of the last run, within the group */
    uint64_t free;   /* blocks, so far */
};

static uint64_t bytes_at(const struct group *g, uint64_t block)
{
    return (g->first + block) * g->x->block;
}

/* 1: they do not ascend. */
static int add_records(struct group *g, const uint8_t *p, size_t count)
{
    for (size_t i = 0; i < count; i++, p += 8) {
        uint64_t start = rh_be32(p), n = rh_be32(p + 4);

        if (start < g->end || !n || start + n > g->length)
            return 1;
        g->end = start + n;
        g->free += n;
        rh_unused_add(g->out, bytes_at(g, start), bytes_at(g, start + n));
    }
    return 0;
}

/* One block of the tree and what hangs below it.  No block is read twice: its
 * runs would not ascend. */
static int walk(struct group *g, uint32_t block, unsigned level, rh_error **err)
{
    const struct rh_xfs *x = g->x;
    RH_AUTO(rh_freep) uint8_t *b = rh_malloc(x->block);
    size_t head = x->v5 ? 56 : 16, room = x->block - head;
    size_t most = level ? room / 12 : room / 8, count;

    if (block >= g->length)
        return 1;
    if (rh_volume_read(g->fs->disks, g->fs->volume, b, x->block,
                       bytes_at(g, block), err) < 0)
        return -1;
    count = rh_be16(b + 6);
    if (memcmp(b, x->v5 ? "AB3B" : "ABTB", 4) || rh_be16(b + 4) != level ||
        count > most)
        return 1;
    if (!level)
        return add_records(g, b + head, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t before = g->free;
        uint32_t child = rh_be32(b + head + most * 8 + 4 * i);
        int r = walk(g, child, level - 1, err);

        if (r || g->free == before)
            return r ? r : 1;
    }
    return 0;
}

static int look_at_group(struct group *g, uint64_t sector, rh_error **err)
{
    uint8_t agf[AGF_BYTES];
    uint32_t levels;
    int r;

    if (rh_volume_read(g->fs->disks, g->fs->volume, agf, sizeof agf,
                       bytes_at(g, 0) + sector, err) < 0)
        return -1;
    levels = rh_be32(agf + 28);
    if (memcmp(agf, "XAGF", 4) || rh_be32(agf + 12) != g->length || !levels ||
        levels > DEPTH_MAX)
        return 1;
    r = walk(g, rh_be32(agf + 16), levels - 1, err);
    return r ? r : g->free != rh_be32(agf + 52);
}

int rh_xfs_unused(struct rh_fs *fs, const struct rh_xfs *x,
                  struct rh_unused_out *out, rh_error **err)
{
    uint8_t sb[104];
    uint64_t sector;

    if (rh_volume_read(fs->disks, fs->volume, sb, sizeof sb, 0, err) < 0)
        return -1;
    sector = rh_be16(sb + 102);
    if (!rh_power_of_two(sector) || sector < 512 || sector > x->block)
        return 1;
    for (uint32_t i = 0; i < x->agcount; i++) {
        uint64_t first = (uint64_t)i * x->agblocks;
        struct group g = {.fs = fs,
                          .x = x,
                          .out = out,
                          .first = first,
                          .length = (uint32_t)RH_MIN((uint64_t)x->agblocks,
                                                     x->blocks - first)};
        rh_lib *lib = rh_disks_lib(fs->disks);
        int r;

        if (lib && rh_go_on(lib, err) < 0)
            return -1;
        r = look_at_group(&g, sector, err);
        if (r)
            return r;
    }
    return 0;
}
