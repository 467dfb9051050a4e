/* xfs.c - XFS read in-process, version 4 and 5.
 *
 * Offsets are those of "XFS Algorithms & Data Structures" (3rd edition) and the
 * kernel's xfs_format.h.  All numbers are big-endian.  Every block address,
 * inode number and directory entry is held against the superblock; lists of
 * extents are bounded. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/xfs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/unused.h"

enum {
    SB_BYTES = 512,
    ROOT = 1, /* a node; the inode is the superblock's to say */
    INODE_MAX = 2048,
    DIR_MAX = 32 * 1024 * 1024,
    EXTENTS_MAX = 65536,
    TREE_DEPTH_MAX = 8,
    INCOMPAT_FTYPE = 1,
    INCOMPAT_KNOWN = 0x2f | 0x40 | 0x80, /* but for NEEDSREPAIR (0x10) */
    FEATURES2_FTYPE = 0x200,
    FLAG_REALTIME = 1,
    FLAG2_BIGTIME = 8,
    FLAG2_NREXT64 = 16,
    FORMAT_LOCAL = 1,
    FORMAT_EXTENTS = 2,
    FORMAT_BTREE = 3,
};
/* Where a folder's entries end and its indexes begin, as offsets in it. */
static const uint64_t dir_leaf_at = 1ULL << 35;

struct extent {
    uint64_t offset, start, count; /* blocks: in the file, on the volume */
};
struct extents {
    RH_VEC(struct extent) list;
    size_t blocks; /* of the tree that were read */
};

struct inode {
    uint64_t number;
    uint8_t raw[INODE_MAX];
    struct rh_guest_stat about;
    uint32_t flags;
    uint64_t flags2;
    unsigned format;
    const uint8_t *fork; /* in raw */
    size_t fork_size;
};

static struct rh_xfs *xfs_of(struct rh_fs *fs)
{
    return fs->state;
}

static int damaged(struct rh_fs *fs, const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "the XFS file system on %s: %s",
                   fs->volume->device, what);
}

static int read_at(struct rh_fs *fs, void *to, size_t n, uint64_t at,
                   rh_error **err)
{
    return rh_volume_read(fs->disks, fs->volume, to, n, at, err);
}

/* --- inodes
 * ------------------------------------------------------------------- */
/* Bytes from the volume's start of a block as inodes name it. */
static bool block_at(const struct rh_xfs *x, uint64_t fsblock, uint64_t *ret)
{
    uint64_t group = fsblock >> x->agblklog;
    uint64_t within = fsblock & ((1ULL << x->agblklog) - 1);

    if (group >= x->agcount || within >= x->agblocks ||
        group * x->agblocks + within >= x->blocks)
        return false;
    *ret = (group * x->agblocks + within) * x->block;
    return true;
}

static void take_inode(struct inode *i)
{
    const uint8_t *p = i->raw;
    bool v3 = p[4] >= 3;

    rh_guest_mode(&i->about, rh_be16(p + 2));
    i->about.inode = i->number;
    i->format = p[5];
    i->about.uid = rh_be32(p + 8);
    i->about.gid = rh_be32(p + 12);
    i->about.size = rh_be64(p + 56);
    i->flags = rh_be16(p + 90);
    i->flags2 = v3 ? rh_be64(p + 120) : 0;
    i->about.mtime = i->flags2 & FLAG2_BIGTIME
                         ? (int64_t)(rh_be64(p + 40) / 1000000000) - (1LL << 31)
                         : (int32_t)rh_be32(p + 40);
}

static int read_inode(struct rh_fs *fs, uint64_t number, struct inode *ret,
                      rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    uint64_t at, slot;
    size_t core;

    if (number == ROOT)
        number = x->root;
    slot = number & ((1ULL << x->inopblog) - 1);
    if (!block_at(x, number >> x->inopblog, &at))
        return damaged(fs, _("an inode's number is out of range"), err);
    if (read_at(fs, ret->raw, x->inode_size, at + slot * x->inode_size, err) <
        0)
        return -1;
    if (rh_be16(ret->raw) != 0x494e) /* "IN" */
        return damaged(fs, _("an inode is none"), err);
    ret->number = number;
    take_inode(ret);
    core = ret->raw[4] >= 3 ? 176 : 100;
    if (core + (size_t)ret->raw[82] * 8 > x->inode_size)
        return damaged(fs, _("an inode's forks overlap"), err);
    ret->fork = ret->raw + core;
    ret->fork_size =
        ret->raw[82] ? (size_t)ret->raw[82] * 8 : x->inode_size - core;
    return 0;
}

/* --- extents
 * ------------------------------------------------------------------ */
static int add_extent(struct rh_fs *fs, struct extents *e, const uint8_t *p,
                      rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    uint64_t high = rh_be64(p), low = rh_be64(p + 8), at, end;
    struct extent one = {.offset = high >> 9 & ((1ULL << 54) - 1),
                         .start = (high & 511) << 43 | low >> 21,
                         .count = low & ((1U << 21) - 1)};

    if (!one.count || e->list.count == EXTENTS_MAX)
        return damaged(fs, _("a list of extents is damaged"), err);
    if (high >> 63) /* set aside, never written: zeros */
        return 0;
    if (!block_at(x, one.start, &at) ||
        !block_at(x, one.start + one.count - 1, &end) ||
        end - at != (one.count - 1) * x->block)
        return damaged(fs, _("an extent lies past the end"), err);
    one.start = at / x->block;
    *rh_vec_add(&e->list) = one;
    return 0;
}

static int add_records(struct rh_fs *fs, struct extents *e, const uint8_t *p,
                       size_t count, rh_error **err)
{
    for (size_t i = 0; i < count; i++)
        if (add_extent(fs, e, p + 16 * i, err) < 0)
            return -1;
    return 0;
}

static bool is_tree_block(const struct rh_xfs *x, const uint8_t *b)
{
    return !memcmp(b, x->v5 ? "BMA3" : "BMAP", 4);
}

/* One block of the tree, and what hangs below it. */
static int walk_tree(struct rh_fs *fs, struct extents *e, uint64_t fsblock,
                     unsigned level, rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    RH_AUTO(rh_freep) uint8_t *b = rh_malloc(x->block);
    size_t head = x->v5 ? 72 : 24, most = (x->block - head) / 16, count;
    uint64_t at;

    if (!block_at(x, fsblock, &at))
        return damaged(fs, _("an extent lies past the end"), err);
    /* Links may all lead to one block, which may be empty. */
    if (++e->blocks > EXTENTS_MAX)
        return damaged(fs, _("a list of extents is damaged"), err);
    if (read_at(fs, b, x->block, at, err) < 0)
        return -1;
    count = rh_be16(b + 6);
    if (!is_tree_block(x, b) || rh_be16(b + 4) != level || count > most)
        return damaged(fs, _("a list of extents is damaged"), err);
    if (!level)
        return add_records(fs, e, b + head, count, err);
    for (size_t i = 0; i < count; i++)
        if (walk_tree(fs, e, rh_be64(b + head + most * 8 + 8 * i), level - 1,
                      err) < 0)
            return -1;
    return 0;
}

static int walk_root(struct rh_fs *fs, struct extents *e, const struct inode *i,
                     rh_error **err)
{
    unsigned level = rh_be16(i->fork);
    size_t count = rh_be16(i->fork + 2), most = (i->fork_size - 4) / 16;

    if (!level || level > TREE_DEPTH_MAX || count > most)
        return damaged(fs, _("a list of extents is damaged"), err);
    for (size_t k = 0; k < count; k++)
        if (walk_tree(fs, e, rh_be64(i->fork + 4 + most * 8 + 8 * k), level - 1,
                      err) < 0)
            return -1;
    return 0;
}

static void extents_free(struct extents *e)
{
    free(e->list.items);
}

static int find_extents(struct rh_fs *fs, const struct inode *i,
                        struct extents *e, rh_error **err)
{
    bool wide = i->flags2 & FLAG2_NREXT64;
    uint64_t count = wide ? rh_be64(i->raw + 24) : rh_be32(i->raw + 76);

    if (i->flags & FLAG_REALTIME)
        return damaged(fs, _("a file lies on its realtime part"), err);
    if (i->format == FORMAT_BTREE)
        return walk_root(fs, e, i, err);
    if (i->format != FORMAT_EXTENTS || count > i->fork_size / 16)
        return damaged(fs, _("a list of extents is damaged"), err);
    return add_records(fs, e, i->fork, (size_t)count, err);
}

/* The extent that holds block `lbn`, else the first behind it; NULL: none.
 * They are in order. */
static const struct extent *extent_of(const struct extents *e, uint64_t lbn)
{
    size_t low = 0, high = e->list.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct extent *x = &e->list.items[mid];

        if (x->offset + x->count <= lbn)
            low = mid + 1;
        else
            high = mid;
    }
    return low < e->list.count ? &e->list.items[low] : NULL;
}

static int read_bytes(struct rh_fs *fs, const struct extents *e,
                      uint64_t offset, uint8_t *to, size_t n, rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);

    while (n) {
        const struct extent *one = extent_of(e, offset / x->block);
        uint64_t begin = one ? one->offset * x->block : UINT64_MAX, part;

        if (begin > offset) { /* a hole */
            part = RH_MIN((uint64_t)n, begin - offset);
            memset(to, 0, (size_t)part);
        } else {
            uint64_t within = offset - begin;

            part = RH_MIN((uint64_t)n, one->count * x->block - within);
            if (read_at(fs, to, (size_t)part, one->start * x->block + within,
                        err) < 0)
                return -1;
        }
        to += part;
        offset += part;
        n -= (size_t)part;
    }
    return 0;
}

/* --- folders
 * ------------------------------------------------------------------ */
struct entry {
    uint64_t inode;
    char name[256];
    size_t length;
};
/* Not 0: enough. */
typedef int each_entry(void *user, const struct entry *e);

static void take_name(struct entry *e, const uint8_t *name, size_t n)
{
    memcpy(e->name, name, n);
    e->name[n] = '\0';
    e->length = n;
}

/* In the inode itself: count, width, parent, then packed entries. */
static int each_short(struct rh_fs *fs, const struct inode *i, each_entry *fn,
                      void *user, rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    const uint8_t *p = i->fork, *end = p + RH_MIN(i->about.size, i->fork_size);
    size_t count = p[0] ? p[0] : p[1], wide = p[1] ? 8 : 4;
    struct entry e;

    p += 2 + wide;
    for (size_t k = 0; k < count; k++) {
        size_t n = p < end ? p[0] : 0, tail = n + x->ftype;

        if (!n || p + 3 + tail + wide > end)
            return damaged(fs, _("a folder's entries are damaged"), err);
        take_name(&e, p + 3, n);
        p += 3 + tail;
        e.inode = wide == 8 ? rh_be64(p) : rh_be32(p);
        p += wide;
        if (fn(user, &e))
            return 1;
    }
    return 0;
}

/* One block of entries; -1: damaged. */
static int each_in_block(const struct rh_xfs *x, const uint8_t *b, size_t size,
                         each_entry *fn, void *user)
{
    bool single = !memcmp(b, x->v5 ? "XDB3" : "XD2B", 4);
    size_t at = x->v5 ? 64 : 16, end = size;

    if (!single && memcmp(b, x->v5 ? "XDD3" : "XD2D", 4))
        return -1;
    if (single) { /* its index stands at the end */
        uint64_t index = 8 + 8ULL * rh_be32(b + size - 8);

        if (index > size - at)
            return -1;
        end = size - (size_t)index;
    }
    while (at + 8 <= end) {
        struct entry e;
        size_t n, whole;

        if (rh_be16(b + at) == 0xffff) { /* unused */
            whole = rh_be16(b + at + 2);
        } else {
            if (at + 12 > end)
                return -1;
            n = b[at + 8];
            whole = (8 + 1 + n + x->ftype + 2 + 7) & ~(size_t)7;
            if (!n || whole > end - at)
                return -1;
            e.inode = rh_be64(b + at);
            take_name(&e, b + at + 9, n);
            if (fn(user, &e))
                return 1;
        }
        if (whole < 8 || whole % 8 || whole > end - at)
            return -1;
        at += whole;
    }
    return 0;
}

static int each_entry_of(struct rh_fs *fs, uint64_t dir, each_entry *fn,
                         void *user, rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    RH_AUTO(extents_free) struct extents e = {0};
    RH_AUTO(rh_freep) uint8_t *block = NULL;
    struct inode i;

    if (read_inode(fs, dir, &i, err) < 0)
        return -1;
    if (i.about.type != 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder in the guest");
    if (i.format == FORMAT_LOCAL)
        return i.fork_size < 6 ? damaged(fs, _("a folder is damaged"), err)
                               : each_short(fs, &i, fn, user, err);
    if (i.about.size > DIR_MAX || find_extents(fs, &i, &e, err) < 0)
        return i.about.size > DIR_MAX
                   ? damaged(fs, _("a folder is too big"), err)
                   : -1;
    block = rh_malloc(x->dir_block);
    for (uint64_t at = 0; at < i.about.size && at < dir_leaf_at;
         at += x->dir_block) {
        int r;

        if (read_bytes(fs, &e, at, block, x->dir_block, err) < 0)
            return -1;
        if (rh_all_zero(block, x->dir_block))
            continue; /* a hole */
        r = each_in_block(x, block, x->dir_block, fn, user);
        if (r < 0)
            return damaged(fs, _("a folder's entries are damaged"), err);
        if (r)
            return 1;
    }
    return 0;
}

struct search {
    const char *name;
    size_t length;
    uint64_t found;
};

static int is_it(void *user, const struct entry *e)
{
    struct search *s = user;

    if (e->length != s->length || memcmp(e->name, s->name, s->length))
        return 0;
    s->found = e->inode;
    return 1;
}

static int xfs_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    struct search s = {name, strlen(name), 0};
    int r = each_entry_of(fs, dir, is_it, &s, err);

    if (r < 0)
        return -1;
    if (!r)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                       name);
    *ret = s.found;
    return 0;
}

static int keep_name(void *user, const struct entry *e)
{
    struct rh_names *names = user;

    if (strcmp(e->name, ".") && strcmp(e->name, "..") &&
        strlen(e->name) == e->length && !strchr(e->name, '/'))
        *rh_vec_add(names) = rh_strdup(e->name);
    return 0;
}

static int xfs_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    return each_entry_of(fs, dir, keep_name, ret, err) < 0 ? -1 : 0;
}

/* --- files
 * -------------------------------------------------------------------- */
static int xfs_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    struct inode i;

    if (read_inode(fs, node, &i, err) < 0)
        return -1;
    *ret = i.about;
    return 0;
}

static int xfs_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(extents_free) struct extents e = {0};
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    struct inode i;

    if (read_inode(fs, node, &i, err) < 0)
        return -1;
    if (i.about.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a file in the guest");
    if (i.about.size > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    bytes = rh_alloc_big((size_t)i.about.size + 1, err);
    if (!bytes || find_extents(fs, &i, &e, err) < 0 ||
        read_bytes(fs, &e, 0, bytes, (size_t)i.about.size, err) < 0)
        return -1;
    bytes[i.about.size] = '\0';
    *ret_size = (size_t)i.about.size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

/* Long ones have blocks; those of version 5 begin with a header. */
static int read_far_link(struct rh_fs *fs, const struct inode *i, char *target,
                         rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);
    RH_AUTO(extents_free) struct extents e = {0};
    size_t head = x->v5 ? 56 : 0, part;
    uint8_t header[56];
    uint64_t at = 0;

    if (find_extents(fs, i, &e, err) < 0)
        return -1;
    for (size_t done = 0; done < i->about.size; done += part, at += x->block) {
        part = (size_t)RH_MIN(i->about.size - done, x->block - head);
        if (read_bytes(fs, &e, at, header, head, err) < 0)
            return -1;
        if (head && memcmp(header, "XSLM", 4))
            return damaged(fs, _("a symbolic link is damaged"), err);
        if (read_bytes(fs, &e, at + head, (uint8_t *)target + done, part, err) <
            0)
            return -1;
    }
    return 0;
}

static int xfs_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *target = NULL;
    struct inode i;

    if (read_inode(fs, node, &i, err) < 0)
        return -1;
    if (i.about.type != 'l')
        return rh_fail(err, RH_ERR_FILE_TYPE,
                       "not a symbolic link in the guest");
    if (!i.about.size || i.about.size > 1024 ||
        (i.format == FORMAT_LOCAL && i.about.size > i.fork_size))
        return damaged(fs, _("a symbolic link is damaged"), err);
    target = rh_calloc(1, (size_t)i.about.size + 1);
    if (i.format == FORMAT_LOCAL)
        memcpy(target, i.fork, (size_t)i.about.size);
    else if (read_far_link(fs, &i, target, err) < 0)
        return -1;
    *ret = RH_TAKE(target);
    return 0;
}

/* Attributes are only for files that are written beside others. */
static int xfs_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    (void)fs, (void)node, (void)ret_bytes, (void)ret_size;
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: no such attribute", name);
}

static int xfs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    const struct rh_xfs *x = xfs_of(fs);

    (void)err;
    *ret = RH_MIN(x->free_blocks, x->blocks) * x->block;
    return 0;
}

static int xfs_unused(struct rh_fs *fs, struct rh_unused_out *out,
                      const char **ret_why, rh_error **err)
{
    *ret_why = _("its maps of free blocks do not agree with themselves");
    return rh_xfs_unused(fs, xfs_of(fs), out, err);
}

static void xfs_close(struct rh_fs *fs)
{
    free(fs->state);
    free(fs);
}

static int xfs_sync(struct rh_fs *fs, rh_error **err)
{
    (void)fs, (void)err;
    return 0;
}

/* What would write is not there: see scratch.c. */
static const struct rh_fs_ops ops = {
    .root = ROOT,
    .stat = xfs_stat,
    .lookup = xfs_lookup,
    .list = xfs_list,
    .read = xfs_read,
    .read_link = xfs_read_link,
    .get_xattr = xfs_get_xattr,
    .free_space = xfs_free_space,
    .unused = xfs_unused,
    .sync = xfs_sync,
    .close = xfs_close,
};

/* --- opening
 * ------------------------------------------------------------------ */
static bool sound(const struct rh_xfs *x, const uint8_t *sb, uint64_t bytes)
{
    return rh_power_of_two(x->block) && x->block >= 512 && x->block <= 65536 &&
           rh_power_of_two(x->inode_size) && x->inode_size >= 256 &&
           x->inode_size <= INODE_MAX && x->inode_size <= x->block &&
           x->agblocks && x->agcount && x->agblklog < 32 &&
           x->agblocks <= 1ULL << x->agblklog && x->inopblog <= 8 &&
           x->inode_size << x->inopblog == x->block && sb[192] <= 8 &&
           x->dir_block <= 65536 && x->blocks <= bytes / x->block &&
           x->blocks > (uint64_t)(x->agcount - 1) * x->agblocks;
}

static const char *refuse(const struct rh_xfs *x, const uint8_t *sb)
{
    uint32_t incompat = rh_be32(sb + 216);

    if (x->v5 && incompat & 0x10)
        return _("xfs_repair has to be run on it");
    if (x->v5 && incompat & ~(uint32_t)INCOMPAT_KNOWN)
        return _("it has features that are not known here");
    if (sb[126])
        return _("it was never finished");
    return x->log_at ? NULL : _("its journal is on another device");
}

static struct rh_xfs *read_numbers(const uint8_t *sb)
{
    struct rh_xfs *x = rh_new0(struct rh_xfs);
    uint64_t at;

    x->block = rh_be32(sb + 4);
    x->blocks = rh_be64(sb + 8);
    x->root = rh_be64(sb + 56);
    x->agblocks = rh_be32(sb + 84);
    x->agcount = rh_be32(sb + 88);
    x->v5 = (rh_be16(sb + 100) & 15) == 5;
    x->inode_size = rh_be16(sb + 104);
    x->inopblog = sb[123];
    x->agblklog = sb[124];
    x->free_blocks = rh_be64(sb + 144);
    x->dir_block = sb[192] <= 8 ? x->block << sb[192] : 0;
    x->ftype = x->v5 ? rh_be32(sb + 216) & INCOMPAT_FTYPE
                     : rh_be32(sb + 200) & FEATURES2_FTYPE;
    if (rh_be64(sb + 48) && x->agblklog < 32 &&
        block_at(x, rh_be64(sb + 48), &at)) {
        x->log_at = at;
        x->log_blocks = (uint32_t)RH_MIN(
            (uint64_t)rh_be32(sb + 96) * x->block / 512, (uint64_t)UINT32_MAX);
    }
    return x;
}

static int open_it(struct rh_fs *fs, const char **ret_why, rh_error **err)
{
    uint64_t bytes = rh_volume_bytes(fs->volume);
    uint8_t sb[SB_BYTES];
    struct rh_xfs *x;
    bool clean = false;

    if (bytes < SB_BYTES || read_at(fs, sb, sizeof sb, 0, err) < 0)
        return -1;
    x = read_numbers(sb);
    fs->state = x;
    if (memcmp(sb, "XFSB", 4) || (rh_be16(sb + 100) & 15) < 4 ||
        !sound(x, sb, bytes)) {
        *ret_why = _("its XFS superblock is damaged, or of another kind");
        return -1;
    }
    *ret_why = refuse(x, sb);
    if (*ret_why || rh_xfs_log_clean(fs, x, &clean, err) < 0)
        return -1;
    if (!clean)
        *ret_why = _("its journal has to be replayed");
    return clean ? 0 : -1;
}

struct rh_fs *rh_xfs_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct rh_fs *fs = rh_new0(struct rh_fs);

    fs->disks = d;
    fs->volume = v;
    fs->read_only = true;
    if (open_it(fs, ret_why, err) < 0) {
        free(fs->state);
        free(fs);
        return NULL;
    }
    fs->ops = &ops;
    return fs;
}
