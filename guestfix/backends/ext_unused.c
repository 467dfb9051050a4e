/* ext_unused.c - which blocks of an ext file system nothing uses.
 *
 * The maps are read group by group and held against their own checksums and
 * counts: one that does not agree with itself is believed nowhere.  Where a
 * group's map was never written, all but the metadata that lies in it is free
 * ("Ext4 Disk Layout", Lazy Block Group Initialization). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/bytes.h"
#include "guestfix/backends/ext_io.h"
#include "guestfix/backends/unused.h"

/* Blocks [start, end) that hold metadata. */
struct piece {
    blk64_t start, end;
};

struct look {
    ext2_filsys fs;
    struct rh_unused_out *out;
    RH_VEC(struct piece) metadata;
    size_t next;          /* of metadata: the first that may be met */
    uint8_t *map;         /* of one group */
    blk64_t start, until; /* the free run that is open, if start < until */
};

static void look_free(struct look *l)
{
    free(l->metadata.items);
    free(l->map);
}

/* --- the metadata of all groups ------------------------------------------ */

static void keep(struct look *l, blk64_t start, blk64_t count)
{
    if (count)
        *rh_vec_add(&l->metadata) = (struct piece){start, start + count};
}

/* As ext2fs_reserve_super_and_bgd() reserves them. */
static void keep_group(struct look *l, dgrp_t group)
{
    ext2_filsys fs = l->fs;
    blk64_t super = 0, old = 0, new = 0;
    blk64_t descriptors =
        ext2fs_has_feature_meta_bg(fs->super)
            ? fs->super->s_first_meta_bg
            : fs->desc_blocks + (blk64_t)fs->super->s_reserved_gdt_blocks;

    ext2fs_super_and_bgd_loc2(fs, group, &super, &old, &new, NULL);
    if (super || group == 0)
        keep(l, super, 1);
    if (group == 0)
        keep(l, 0, 1);
    if (old)
        keep(l, old, descriptors);
    if (new)
        keep(l, new, 1);
    keep(l, ext2fs_block_bitmap_loc(fs, group), 1);
    keep(l, ext2fs_inode_bitmap_loc(fs, group), 1);
    keep(l, ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group);
}

static int by_start(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static void find_metadata(struct look *l)
{
    for (dgrp_t g = 0; g < l->fs->group_desc_count; g++)
        keep_group(l, g);
    if (l->metadata.count)
        qsort(l->metadata.items, l->metadata.count, sizeof(struct piece),
              by_start);
}

/* --- what is free -------------------------------------------------------- */

static void tell(struct look *l, blk64_t start, blk64_t end)
{
    uint64_t block = l->fs->blocksize;

    if (start < end)
        rh_unused_add(l->out, start * block, end * block);
}

/* Blocks [start, end) are free, but for the metadata among them.  Called with
 * ascending places. */
static void without_metadata(struct look *l, blk64_t start, blk64_t end)
{
    while (start < end && l->next < l->metadata.count) {
        const struct piece *m = &l->metadata.items[l->next];

        if (m->start >= end)
            break;
        if (m->start > start)
            tell(l, start, m->start);
        start = RH_MAX(start, m->end);
        if (m->end > end)
            return;
        l->next++;
    }
    tell(l, start, end);
}

static void free_run(struct look *l, blk64_t start, blk64_t end)
{
    if (l->until == start && l->start < l->until) {
        l->until = end;
        return;
    }
    without_metadata(l, l->start, l->until);
    l->start = start;
    l->until = end;
}

static bool is_set(const uint8_t *map, uint32_t bit)
{
    return map[bit / 8] >> (bit % 8) & 1;
}

/* The group's map, or none that could be believed. */
static bool read_map(struct look *l, dgrp_t group)
{
    ext2_filsys fs = l->fs;
    blk64_t at = ext2fs_block_bitmap_loc(fs, group);
    int bytes = (int)(fs->super->s_clusters_per_group / 8);

    return at && at < ext2fs_blocks_count(fs->super) &&
           io_channel_read_blk64(fs->io, at, 1, l->map) == 0 &&
           ext2fs_block_bitmap_csum_verify(fs, group, (char *)l->map, bytes);
}

/* 1: the group does not agree with itself. */
static int look_at_group(struct look *l, dgrp_t group)
{
    ext2_filsys fs = l->fs;
    blk64_t first = ext2fs_group_first_block2(fs, group);
    blk64_t end = ext2fs_group_last_block2(fs, group) + 1;
    unsigned ratio = (unsigned)EXT2FS_CLUSTER_RATIO(fs);
    uint32_t clusters = (uint32_t)rh_div_up(end - first, ratio), count = 0;

    if (!ext2fs_group_desc_csum_verify(fs, group))
        return 1;
    if (ext2fs_has_group_desc_csum(fs) &&
        ext2fs_bg_flags_test(fs, group, EXT2_BG_BLOCK_UNINIT)) {
        free_run(l, first, end);
        return 0;
    }
    if (!read_map(l, group))
        return 1;
    for (uint32_t i = 0, from; i < clusters; i++) {
        if (is_set(l->map, i))
            continue;
        for (from = i; i < clusters && !is_set(l->map, i);)
            i++;
        count += i - from;
        free_run(l, first + (blk64_t)from * ratio,
                 RH_MIN(first + (blk64_t)i * ratio, end));
    }
    return count != ext2fs_bg_free_blocks_count(fs, group);
}

int rh_ext_unused(ext2_filsys fs, rh_lib *lib, struct rh_unused_out *out,
                  rh_error **err)
{
    RH_AUTO(look_free) struct look l = {.fs = fs, .out = out};

    l.map = rh_calloc(1, fs->blocksize);
    find_metadata(&l);
    for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
        if (g % 64 == 0 && rh_go_on(lib, err) < 0)
            return -1;
        if (look_at_group(&l, g))
            return 1;
    }
    free_run(&l, 0, 0);
    return 0;
}
