/* ufs_edit.c - change a UFS file where it lies.
 *
 * A file keeps its blocks.  It may grow into the fragments behind its last one,
 * when they belong to the same block and are free, and give such fragments
 * back; nothing else is allocated.  A name is changed inside its directory
 * entry.  Kept right: size, blocks, times and check hash of the inode; free
 * maps, totals and check hash of the group; the totals of the file system and
 * the superblock's check hash (sys/ufs/ffs/ffs_alloc.c, ffs_subr.c of FreeBSD
 * say which these are). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/ufs.h"

enum {
    GROUP_MAGIC = 0x090255,
    GROUP_FREE = 36, /* cg_cs.cs_nffree */
    GROUP_SUMS = 52, /* cg_frsum: runs of free fragments by length */
    GROUP_FREE_MAP = 96,
    GROUP_HASH = 132,
    SB_OLD_FREE = 204,
    SB_FREE = 1032,
    SB_HASH = 1304,
    INODE_HASH = 244,
};

static int in_place(rh_error **err, const char *what)
{
    return rh_fail(err, RH_ERR_GUEST_IN_PLACE,
                   "it does not fit where it lies: %s", what);
}

/* FreeBSD's calculate_crc32c(~0, ...): no final inversion. */
static uint32_t hash(const uint8_t *bytes, size_t n)
{
    return ext2fs_crc32c_le(~0U, bytes, n);
}

static int put(struct rh_fs *fs, uint64_t at, const void *bytes, size_t n,
               rh_error **err)
{
    return rh_volume_write(fs->disks, fs->volume, bytes, n, at, err);
}

/* --- the inode
 * ---------------------------------------------------------------- */
/* No clock in the output: the newest time that is known, which the guest's own
 * tools (make, rsync, backups) see as not older than what was there. */
static uint64_t now_for(const struct rh_ufs *u, const struct rh_ufs_inode *i)
{
    uint64_t before = i->about.mtime > 0 ? (uint64_t)i->about.mtime : 0;
    uint64_t now = RH_MAX(u->written, before);

    return u->ufs2 ? now : RH_MIN(now, (uint64_t)INT32_MAX);
}

static int put_inode(struct rh_fs *fs, struct rh_ufs_inode *i, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint64_t now = now_for(u, i);
    uint8_t *p = i->raw;

    if (u->ufs2) {
        rh_put_le64(p + 16, i->about.size);
        rh_put_le64(p + 24, i->blocks);
        rh_put_le64(p + 40, now); /* contents */
        rh_put_le64(p + 48, now); /* inode */
        rh_put_le32(p + 64, 0);
        rh_put_le32(p + 72, 0);
        if (u->ck & RH_UFS_CK_INODE) {
            rh_put_le32(p + INODE_HASH, 0);
            rh_put_le32(p + INODE_HASH, hash(p, 256));
        }
        return put(fs, i->at, p, 256, err);
    }
    rh_put_le64(p + 8, i->about.size);
    rh_put_le32(p + 104, (uint32_t)i->blocks);
    rh_put_le32(p + 24, (uint32_t)now);
    rh_put_le32(p + 28, 0);
    rh_put_le32(p + 32, (uint32_t)now);
    rh_put_le32(p + 36, 0);
    return put(fs, i->at, p, 128, err);
}

/* --- fragments taken and given back
 * ------------------------------------------- */
struct group {
    uint8_t *bytes;
    uint64_t at;
    uint8_t *map; /* a bit for each fragment: 1 is free */
    uint32_t index;
};

static void group_free(struct group *g)
{
    free(g->bytes);
}

static int read_group(struct rh_fs *fs, uint64_t fragment, struct group *ret,
                      rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint32_t map;

    ret->index = (uint32_t)(fragment / u->fpg);
    if (ret->index >= u->ncg)
        return rh_ufs_damaged(fs, _("a block lies past the end"), err);
    ret->at = (rh_ufs_group_start(u, ret->index) + u->cblkno) * u->fsize;
    ret->bytes = rh_malloc(u->cgsize);
    if (rh_volume_read(fs->disks, fs->volume, ret->bytes, u->cgsize, ret->at,
                       err) < 0)
        return -1;
    map = rh_le32(ret->bytes + GROUP_FREE_MAP);
    if (rh_le32(ret->bytes + 4) != GROUP_MAGIC || map > u->cgsize ||
        u->cgsize - map < rh_div_up(u->fpg, 8))
        return rh_ufs_damaged(fs, _("a cylinder group is damaged"), err);
    if (u->ck & RH_UFS_CK_GROUP) {
        uint32_t kept = rh_le32(ret->bytes + GROUP_HASH);

        rh_put_le32(ret->bytes + GROUP_HASH, 0);
        if (kept != hash(ret->bytes, u->cgsize))
            return rh_ufs_damaged(fs, _("a cylinder group is damaged"), err);
    }
    ret->map = ret->bytes + map;
    return 0;
}

static bool is_free(const struct group *g, uint64_t fragment)
{
    return g->map[fragment / 8] >> fragment % 8 & 1;
}

/* Count the runs of free fragments of one block in or out of cg_frsum. */
static void count_runs(const struct rh_ufs *u, struct group *g, uint64_t block,
                       int by)
{
    uint32_t run = 0;

    for (uint32_t k = 0; k <= u->frag; k++) {
        if (k < u->frag && is_free(g, block + k)) {
            run++;
            continue;
        }
        if (run && run < u->frag) {
            uint8_t *sum = g->bytes + GROUP_SUMS + (size_t)4 * run;

            rh_put_le32(sum, rh_le32(sum) + (uint32_t)by);
        }
        run = 0;
    }
}

/* The totals: of the group, in the table of groups, of the file system. */
static int count_free(struct rh_fs *fs, struct group *g, int by, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint64_t row = u->csaddr * u->fsize + (uint64_t)g->index * 16 + 12;
    uint8_t sb[RH_UFS_SB_SIZE], n[4];
    uint32_t size;

    rh_put_le32(g->bytes + GROUP_FREE,
                rh_le32(g->bytes + GROUP_FREE) + (uint32_t)by);
    if (rh_volume_read(fs->disks, fs->volume, n, 4, row, err) < 0 ||
        rh_volume_read(fs->disks, fs->volume, sb, sizeof sb, u->sb_at, err) < 0)
        return -1;
    rh_put_le32(n, rh_le32(n) + (uint32_t)by);
    if (put(fs, row, n, 4, err) < 0)
        return -1;
    if (!u->ufs2)
        rh_put_le32(sb + SB_OLD_FREE, rh_le32(sb + SB_OLD_FREE) + (uint32_t)by);
    rh_put_le64(sb + SB_FREE, rh_le64(sb + SB_FREE) + (uint64_t)(int64_t)by);
    size = rh_le32(sb + 104);
    if (size < RH_UFS_SB_BYTES || size > sizeof sb)
        return rh_ufs_damaged(fs, _("the superblock is damaged"), err);
    if (u->ck & RH_UFS_CK_SUPERBLOCK) {
        rh_put_le32(sb + SB_HASH, 0);
        rh_put_le32(sb + SB_HASH, hash(sb, size));
    }
    return put(fs, u->sb_at, sb, size, err);
}

/* The last block of a file has `had` fragments from `first` on and shall have
 * `want`. */
static int resize_block(struct rh_fs *fs, uint64_t first, uint32_t had,
                        uint32_t want, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    RH_AUTO(group_free) struct group g = {0};
    uint64_t in_group = first % u->fpg, block = in_group - in_group % u->frag;
    uint32_t low = RH_MIN(had, want), high = RH_MAX(had, want);

    if (had == want)
        return 0;
    if (in_group % u->frag + high > u->frag)
        return in_place(err, _("the block has no more fragments"));
    if (read_group(fs, first, &g, err) < 0 || !g.map)
        return -1;
    for (uint32_t k = 0; k < high; k++)
        if (is_free(&g, in_group + k) != (k >= had))
            return k < had ? rh_ufs_damaged(
                                 fs, _("a file's fragment is marked free"), err)
                           : in_place(err, _("the next fragment is in use"));
    count_runs(u, &g, block, -1);
    for (uint32_t k = low; k < high; k++)
        g.map[(in_group + k) / 8] ^= (uint8_t)(1 << (in_group + k) % 8);
    count_runs(u, &g, block, 1);
    if (count_free(fs, &g, (int)had - (int)want, err) < 0)
        return -1;
    if (u->ck & RH_UFS_CK_GROUP)
        rh_put_le32(g.bytes + GROUP_HASH, hash(g.bytes, u->cgsize));
    return put(fs, g.at, g.bytes, u->cgsize, err);
}

/* --- files
 * -------------------------------------------------------------------- */
static int refuse_locked(struct rh_fs *fs, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);

    return u->locked ? rh_fail(err, RH_ERR_GUEST_IN_PLACE,
                               "the UFS file system on %s is not changed: %s",
                               fs->volume->device, u->locked)
                     : 0;
}

/* Give the last block as many fragments as `n` bytes need. */
static int resize(struct rh_fs *fs, struct rh_ufs_inode *i, uint64_t n,
                  rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint64_t last, first;
    uint32_t had, want;

    if (!n || !i->about.size)
        return in_place(err, _("a file cannot become or stop being empty"));
    last = (i->about.size - 1) / u->bsize;
    if ((n - 1) / u->bsize != last)
        return in_place(err, _("it would need another block"));
    if (last >= RH_UFS_DIRECT)
        return 0; /* whole blocks only */
    had = (uint32_t)(((i->about.size - 1) % u->bsize) / u->fsize + 1);
    want = (uint32_t)(((n - 1) % u->bsize) / u->fsize + 1);
    if (rh_ufs_block(fs, i, last, &first, err) < 0)
        return -1;
    if (!first)
        return in_place(err, _("the file has holes"));
    if (resize_block(fs, first, had, want, err) < 0)
        return -1;
    i->blocks +=
        (uint64_t)((int64_t)want - (int64_t)had) * (uint64_t)(u->fsize / 512);
    return 0;
}

/* All of the file's bytes, and zeros up to the end of its last fragment. */
static int put_contents(struct rh_fs *fs, const struct rh_ufs_inode *i,
                        const uint8_t *bytes, size_t n, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    RH_AUTO(rh_freep) uint8_t *block = rh_malloc(u->bsize);

    for (uint64_t at = 0; at < n; at += u->bsize) {
        size_t part = (size_t)RH_MIN((uint64_t)u->bsize, n - at);
        size_t whole = (size_t)rh_round_up(part, u->fsize);
        uint64_t first;

        if (rh_ufs_block(fs, i, at / u->bsize, &first, err) < 0)
            return -1;
        if (!first)
            return in_place(err, _("the file has holes"));
        if (first + whole / u->fsize > u->size)
            return rh_ufs_damaged(fs, _("a block lies past the end"), err);
        memcpy(block, bytes + at, part);
        memset(block + part, 0, whole - part);
        if (put(fs, first * u->fsize, block, whole, err) < 0)
            return -1;
    }
    return 0;
}

int rh_ufs_rewrite(struct rh_fs *fs, uint64_t node, const void *bytes, size_t n,
                   rh_error **err)
{
    struct rh_ufs_inode i;

    if (refuse_locked(fs, err) < 0 || rh_ufs_inode(fs, node, &i, err) < 0 ||
        resize(fs, &i, n, err) < 0 || put_contents(fs, &i, bytes, n, err) < 0)
        return -1;
    i.about.size = n;
    return put_inode(fs, &i, err);
}

/* --- names
 * -------------------------------------------------------------------- */
int rh_ufs_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    struct rh_ufs_inode dir;
    struct rh_ufs_entry e, there;
    size_t n = strlen(to);
    uint8_t entry[8 + 256] = {0};
    uint64_t first, at;
    uint32_t taken;

    if (from_dir != to_dir)
        return in_place(err, _("a name stays in its folder"));
    if (refuse_locked(fs, err) < 0 ||
        rh_ufs_find(fs, from_dir, from, &e, err) < 0)
        return -1;
    if (rh_ufs_find(fs, from_dir, to, &there, NULL) == 0)
        return in_place(err, _("the new name is there already"));
    taken = (uint32_t)rh_round_up(8 + n + 1, 4);
    if (!n || n > 255 || taken > e.reclen)
        return in_place(err, _("the name is too long for its entry"));
    if (rh_ufs_inode(fs, from_dir, &dir, err) < 0 ||
        rh_ufs_block(fs, &dir, e.at / u->bsize, &first, err) < 0)
        return -1;
    at = first * u->fsize + e.at % u->bsize;
    if (!first || at + taken > u->size * u->fsize)
        return rh_ufs_damaged(fs, _("a folder's entries are damaged"), err);
    if (rh_volume_read(fs->disks, fs->volume, entry, 8, at, err) < 0)
        return -1;
    if (u->new_dirs)
        entry[7] = (uint8_t)n;
    else
        rh_put_le16(entry + 6, (uint16_t)n);
    memcpy(entry + 8, to, n);
    return put(fs, at, entry, taken, err) < 0 ? -1 : put_inode(fs, &dir, err);
}
