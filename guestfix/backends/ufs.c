/* ufs.c - UFS1 and UFS2, read in-process; edits are ufs_edit.c's.
 *
 * Every number of the superblock is checked once when it is opened, every
 * block, inode and directory entry when it is followed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/ufs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    MAGIC1 = 0x011954,
    MAGIC2 = 0x19540119,
    MAGIC2_EA = 0x19012038, /* NetBSD 10: with extended attributes */
    MAGIC_BIG = 0xdecade,   /* Solaris: more than 1 TB */
    BLOCK_MAX = 65536,
    DIR_MAX = 16 * 1024 * 1024,
    DIR_CHUNK = 512, /* no entry crosses it (DIRBLKSIZ) */
    FLAG_UNCLEAN = 1,
    FLAG_NEEDS_FSCK = 4,
    FLAG_GJOURNAL = 0x40,
    FLAG_METACKHASH = 0x200,
    SNAPSHOTS_AT = 1116,
    INODE_FORMAT_44 = 2,
};

int rh_ufs_damaged(struct rh_fs *fs, const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "the UFS file system on %s: %s",
                   fs->volume->device, what);
}

/* --- the superblock
 * ---------------------------------------------------------- */
static bool sound(const struct rh_ufs *u, uint64_t bytes)
{
    return rh_power_of_two(u->bsize) && u->bsize >= 4096 &&
           u->bsize <= BLOCK_MAX && rh_power_of_two(u->fsize) &&
           u->fsize >= 512 && u->fsize <= u->bsize &&
           u->frag == u->bsize / u->fsize && u->frag <= 8 && u->ncg && u->ipg &&
           u->fpg && u->fpg % u->frag == 0 && u->cgsize >= 176 &&
           u->cgsize <= u->bsize && u->cblkno < u->fpg && u->iblkno < u->fpg &&
           u->csaddr < u->size && u->size <= bytes / u->fsize &&
           u->size > (uint64_t)(u->ncg - 1) * u->fpg;
}

/* Solaris (usr/src/uts/common/sys/fs/ufs_fs.h of illumos): fs_clean is 1 or 2,
 * or 253 with a log, whose changes may not all have their places yet. */
static const char *why_locked(const struct rh_ufs *u, const uint8_t *sb)
{
    if (u->solaris)
        return sb[209] == 1 || sb[209] == 2 || sb[209] == 253
                   ? _("Solaris' UFS is only read")
                   : _("it was not unmounted cleanly");
    if (sb[209] != 1 || u->flags & (FLAG_UNCLEAN | FLAG_NEEDS_FSCK))
        return _("it was not unmounted cleanly");
    if (u->flags & FLAG_GJOURNAL)
        return _("it has a gjournal");
    if (!rh_all_zero(sb + SNAPSHOTS_AT, 80))
        return _("it has snapshots");
    return NULL;
}

static struct rh_ufs *read_numbers(const uint8_t *sb, bool ufs2, bool solaris)
{
    struct rh_ufs *u = rh_new0(struct rh_ufs);

    u->ufs2 = ufs2;
    u->solaris = solaris;
    u->cblkno = rh_le32(sb + 12);
    u->iblkno = rh_le32(sb + 16);
    u->old_cgoffset = rh_le32(sb + 24);
    u->old_cgmask = rh_le32(sb + 28);
    u->ncg = rh_le32(sb + 44);
    u->bsize = rh_le32(sb + 48);
    u->fsize = rh_le32(sb + 52);
    u->frag = rh_le32(sb + 56);
    u->fs_id[0] = rh_le32(sb + 144);
    u->fs_id[1] = rh_le32(sb + 148);
    u->cgsize = rh_le32(sb + 160);
    u->ipg = rh_le32(sb + 184);
    u->fpg = rh_le32(sb + 188);
    u->written = ufs2 ? rh_le64(sb + 1072) : rh_le32(sb + 32);
    u->size = ufs2 ? rh_le64(sb + 1080) : rh_le32(sb + 36);
    u->csaddr = ufs2 ? rh_le64(sb + 1096) : rh_le32(sb + 152);
    u->flags = ufs2 ? rh_le32(sb + 1312) : sb[211];
    u->new_dirs = ufs2 || (!solaris && rh_le32(sb + 1324) == INODE_FORMAT_44);
    if (ufs2 && u->flags & FLAG_METACKHASH)
        u->ck = rh_le32(sb + 1308) & 7;
    return u;
}

/* UFS2 lies at 64 KiB, or (floppies, makefs) where UFS1 does; which of them is
 * meant the superblock says itself. */
static const struct {
    uint64_t at;
    bool ufs2;
} places[] = {{65536, true}, {8192, true}, {8192, false}, {65536, false}};

static bool is_here(const uint8_t *sb, size_t place)
{
    uint32_t magic = rh_le32(sb + 1372);

    if (!places[place].ufs2)
        return magic == MAGIC1 || magic == MAGIC_BIG;
    return (magic == MAGIC2 || magic == MAGIC2_EA) &&
           rh_le64(sb + 1000) == places[place].at;
}

static bool is_solaris(const struct rh_volume *v)
{
    return v->label_of && !strcmp(v->label_of, "solaris");
}

static int find_superblock(struct rh_fs *fs, const char **ret_why,
                           rh_error **err)
{
    uint64_t bytes = rh_volume_bytes(fs->volume);

    for (size_t i = 0; i < RH_COUNT(places); i++) {
        uint8_t sb[RH_UFS_SB_BYTES];
        struct rh_ufs *u;

        if (places[i].at + RH_UFS_SB_SIZE > bytes)
            continue;
        if (rh_volume_read(fs->disks, fs->volume, sb, sizeof sb, places[i].at,
                           err) < 0)
            return -1;
        if (!is_here(sb, i))
            continue;
        u = read_numbers(sb, places[i].ufs2, is_solaris(fs->volume));
        if (!sound(u, bytes)) {
            free(u);
            continue;
        }
        u->sb_at = places[i].at;
        u->nindir = u->bsize / (u->ufs2 ? 8 : 4);
        u->inopb = u->bsize / (u->ufs2 ? 256 : 128);
        u->locked = why_locked(u, sb);
        fs->trouble =
            u->solaris && sb[209] != 0 && sb[209] != 255 ? NULL : u->locked;
        fs->state = u;
        return 0;
    }
    *ret_why = _("its UFS superblock is damaged, or of another kind");
    return 0;
}

/* --- inodes and blocks
 * -------------------------------------------------------- */
uint64_t rh_ufs_group_start(const struct rh_ufs *u, uint32_t group)
{
    uint64_t base = (uint64_t)u->fpg * group;

    return u->ufs2
               ? base
               : base + (uint64_t)u->old_cgoffset * (group & ~u->old_cgmask);
}

static void take_inode(const struct rh_ufs *u, struct rh_ufs_inode *i)
{
    const uint8_t *p = i->raw;

    rh_guest_mode(&i->about, rh_le16(p));
    i->about.inode = i->number;
    i->about.uid = rh_le32(p + (u->ufs2 ? 4 : u->solaris ? 116 : 112));
    i->about.gid = rh_le32(p + (u->ufs2 ? 8 : u->solaris ? 120 : 116));
    i->about.size = rh_le64(p + (u->ufs2 ? 16 : 8));
    i->blocks = u->ufs2 ? rh_le64(p + 24) : rh_le32(p + 104);
    i->flags = rh_le32(p + (u->ufs2 ? 88 : 100));
    i->about.mtime =
        u->ufs2 ? (int64_t)rh_le64(p + 40) : (int32_t)rh_le32(p + 24);
    for (size_t k = 0; k < RH_UFS_DIRECT; k++)
        i->direct[k] =
            u->ufs2 ? rh_le64(p + 112 + 8 * k) : rh_le32(p + 40 + 4 * k);
    for (size_t k = 0; k < 3; k++)
        i->indirect[k] =
            u->ufs2 ? rh_le64(p + 208 + 8 * k) : rh_le32(p + 88 + 4 * k);
}

int rh_ufs_inode(struct rh_fs *fs, uint64_t number, struct rh_ufs_inode *ret,
                 rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint32_t bytes = u->ufs2 ? 256 : 128;
    uint64_t in_group, fragment;

    if (number < RH_UFS_ROOT_INODE || number / u->ipg >= u->ncg)
        return rh_ufs_damaged(fs, _("an inode's number is out of range"), err);
    in_group = number % u->ipg;
    fragment = rh_ufs_group_start(u, (uint32_t)(number / u->ipg)) + u->iblkno +
               in_group / u->inopb * u->frag;
    if (fragment + u->frag > u->size)
        return rh_ufs_damaged(fs, _("an inode lies past the end"), err);
    ret->number = number;
    ret->at = fragment * u->fsize + in_group % u->inopb * bytes;
    if (rh_volume_read(fs->disks, fs->volume, ret->raw, bytes, ret->at, err) <
        0)
        return -1;
    take_inode(u, ret);
    return 0;
}

static int address_at(struct rh_fs *fs, uint64_t fragment, uint64_t index,
                      uint64_t *ret, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    size_t width = u->ufs2 ? 8 : 4;
    uint8_t p[8];

    if (!fragment) {
        *ret = 0;
        return 0;
    }
    if (fragment > u->size || u->size - fragment < u->frag)
        return rh_ufs_damaged(fs, _("a block lies past the end"), err);
    if (rh_volume_read(fs->disks, fs->volume, p, width,
                       fragment * u->fsize + index * width, err) < 0)
        return -1;
    *ret = u->ufs2 ? rh_le64(p) : rh_le32(p);
    return 0;
}

int rh_ufs_block(struct rh_fs *fs, const struct rh_ufs_inode *i, uint64_t lbn,
                 uint64_t *ret, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint64_t span = 1;
    unsigned level;

    if (lbn < RH_UFS_DIRECT) {
        *ret = i->direct[lbn];
    } else {
        lbn -= RH_UFS_DIRECT;
        for (level = 0; level < 3; level++) {
            span *= u->nindir; /* at most 16384 cubed */
            if (lbn < span)
                break;
            lbn -= span;
        }
        if (level == 3)
            return rh_ufs_damaged(fs, _("a file is too long"), err);
        *ret = i->indirect[level];
        for (unsigned k = 0; k <= level; k++) {
            span /= u->nindir;
            if (address_at(fs, *ret, lbn / span, ret, err) < 0)
                return -1;
            lbn %= span;
        }
    }
    if (*ret >= u->size)
        return rh_ufs_damaged(fs, _("a block lies past the end"), err);
    return 0;
}

static int read_bytes(struct rh_fs *fs, const struct rh_ufs_inode *i,
                      uint64_t offset, uint8_t *to, size_t n, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);

    while (n) {
        uint64_t within = offset % u->bsize, fragment;
        size_t part = (size_t)RH_MIN((uint64_t)n, u->bsize - within);

        if (rh_ufs_block(fs, i, offset / u->bsize, &fragment, err) < 0)
            return -1;
        if (!fragment)
            memset(to, 0, part);
        else if (fragment * u->fsize + within + part > u->size * u->fsize)
            return rh_ufs_damaged(fs, _("a block lies past the end"), err);
        else if (rh_volume_read(fs->disks, fs->volume, to, part,
                                fragment * u->fsize + within, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* --- what the tree asks for
 * --------------------------------------------------- */
static int ufs_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    struct rh_ufs_inode i;

    if (rh_ufs_inode(fs, node, &i, err) < 0)
        return -1;
    *ret = i.about;
    return 0;
}

static int wrong_type(const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_FILE_TYPE, "not a %s in the guest", what);
}

/* All of a folder's bytes, which are whole chunks. */
static int read_dir(struct rh_fs *fs, uint64_t dir, uint8_t **ret,
                    size_t *ret_size, rh_error **err)
{
    struct rh_ufs_inode i;

    if (rh_ufs_inode(fs, dir, &i, err) < 0)
        return -1;
    if (i.about.type != 'd')
        return wrong_type("folder", err);
    if (i.about.size > DIR_MAX || i.about.size % DIR_CHUNK)
        return rh_ufs_damaged(fs, _("a folder has an odd size"), err);
    *ret_size = (size_t)i.about.size;
    *ret = rh_alloc_big(*ret_size + 1, err);
    if (!*ret)
        return -1;
    if (read_bytes(fs, &i, 0, *ret, *ret_size, err) == 0)
        return 0;
    free(RH_TAKE(*ret));
    return -1;
}

/* The entry at `at`, which is left behind it; false: the chunk is damaged. */
static bool next_entry(const struct rh_ufs *u, const uint8_t *bytes,
                       size_t size, size_t *at, struct rh_ufs_entry *ret)
{
    const uint8_t *p = bytes + *at;
    size_t left = DIR_CHUNK - *at % DIR_CHUNK;

    if (size - *at < 8)
        return false;
    ret->at = *at;
    ret->inode = rh_le32(p);
    ret->reclen = rh_le16(p + 4);
    ret->namlen = u->new_dirs ? p[7] : rh_le16(p + 6);
    if (ret->reclen < 8 || ret->reclen % 4 || ret->reclen > left ||
        ret->namlen > 255 || ret->namlen + 8 > ret->reclen)
        return false;
    memcpy(ret->name, p + 8, ret->namlen);
    ret->name[ret->namlen] = '\0';
    *at += ret->reclen;
    return true;
}

int rh_ufs_find(struct rh_fs *fs, uint64_t dir, const char *name,
                struct rh_ufs_entry *ret, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    size_t size, at = 0;

    if (read_dir(fs, dir, &bytes, &size, err) < 0)
        return -1;
    while (at < size) {
        if (!next_entry(rh_ufs_of(fs), bytes, size, &at, ret))
            return rh_ufs_damaged(fs, _("a folder's entries are damaged"), err);
        if (ret->inode && ret->namlen == strlen(name) &&
            !memcmp(ret->name, name, ret->namlen))
            return 0;
    }
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                   name);
}

static int ufs_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    struct rh_ufs_entry e;

    if (rh_ufs_find(fs, dir, name, &e, err) < 0)
        return -1;
    *ret = e.inode;
    return 0;
}

static int ufs_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    struct rh_ufs_entry e;
    size_t size, at = 0;

    if (read_dir(fs, dir, &bytes, &size, err) < 0)
        return -1;
    while (at < size) {
        if (!next_entry(rh_ufs_of(fs), bytes, size, &at, &e))
            return rh_ufs_damaged(fs, _("a folder's entries are damaged"), err);
        if (e.inode && e.namlen && strlen(e.name) == e.namlen &&
            strcmp(e.name, ".") && strcmp(e.name, "..") && !strchr(e.name, '/'))
            *rh_vec_add(ret) = rh_strdup(e.name);
    }
    return 0;
}

static int ufs_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    struct rh_ufs_inode i;

    if (rh_ufs_inode(fs, node, &i, err) < 0)
        return -1;
    if (i.about.type != 'f')
        return wrong_type("file", err);
    if (i.about.size > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    bytes = rh_alloc_big((size_t)i.about.size + 1, err);
    if (!bytes || read_bytes(fs, &i, 0, bytes, (size_t)i.about.size, err) < 0)
        return -1;
    bytes[i.about.size] = '\0';
    *ret_size = (size_t)i.about.size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

/* Short ones stand in the inode, where blocks would be named. */
static int ufs_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                         rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    RH_AUTO(rh_freep) char *target = NULL;
    struct rh_ufs_inode i;
    size_t inside = u->ufs2 ? 120 : 60;

    if (rh_ufs_inode(fs, node, &i, err) < 0)
        return -1;
    if (i.about.type != 'l')
        return wrong_type("symbolic link", err);
    if (i.about.size > 1024)
        return rh_ufs_damaged(fs, _("a symbolic link is too long"), err);
    target = rh_calloc(1, (size_t)i.about.size + 1);
    if (!i.blocks && i.about.size < inside)
        memcpy(target, i.raw + (u->ufs2 ? 112 : 40), (size_t)i.about.size);
    else if (read_bytes(fs, &i, 0, (uint8_t *)target, (size_t)i.about.size,
                        err) < 0)
        return -1;
    *ret = RH_TAKE(target);
    return 0;
}

/* --- what it cannot do
 * -------------------------------------------------------- */
static int cannot(const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_IN_PLACE,
                   "on UFS, files are changed where they lie: %s", what);
}
static int ufs_create(struct rh_fs *fs, uint64_t dir, const char *name,
                      const void *bytes, size_t n, uint32_t mode, uint64_t like,
                      rh_error **err)
{
    (void)fs, (void)dir, (void)bytes, (void)n, (void)mode, (void)like;
    return cannot(name, err);
}
static int ufs_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                      rh_error **err)
{
    (void)fs, (void)dir;
    return cannot(name, err);
}
static int ufs_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                        uint32_t mode, rh_error **err)
{
    (void)fs, (void)dir, (void)mode;
    return cannot(name, err);
}
static int ufs_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                       const char *target, rh_error **err)
{
    (void)fs, (void)dir, (void)target;
    return cannot(name, err);
}
static int ufs_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    (void)fs, (void)node, (void)ret_bytes, (void)ret_size;
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: no such attribute", name);
}
static int ufs_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    (void)fs, (void)node, (void)bytes, (void)n;
    return cannot(name, err);
}
static int ufs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    const struct rh_ufs *u = rh_ufs_of(fs);
    uint8_t total[64];
    uint64_t blocks, fragments;

    if (rh_volume_read(fs->disks, fs->volume, total, sizeof total,
                       u->sb_at + (u->ufs2 ? 1008 : 192), err) < 0)
        return -1;
    blocks = u->ufs2 ? rh_le64(total + 8) : rh_le32(total + 4);
    fragments = u->ufs2 ? rh_le64(total + 24) : rh_le32(total + 12);
    *ret = RH_MIN(blocks, u->size) * u->bsize +
           RH_MIN(fragments, u->size) * u->fsize;
    return 0;
}
static int ufs_sync(struct rh_fs *fs, rh_error **err)
{
    (void)fs, (void)err; /* every edit is written as it is made */
    return 0;
}
static void ufs_close(struct rh_fs *fs)
{
    free(fs->state);
    free(fs);
}

static const struct rh_fs_ops ops = {
    .root = RH_UFS_ROOT_INODE,
    .stat = ufs_stat,
    .lookup = ufs_lookup,
    .list = ufs_list,
    .read = ufs_read,
    .read_link = ufs_read_link,
    .create = ufs_create,
    .rewrite = rh_ufs_rewrite,
    .remove = ufs_remove,
    .rename = rh_ufs_rename,
    .make_dir = ufs_make_dir,
    .symlink = ufs_symlink,
    .get_xattr = ufs_get_xattr,
    .set_xattr = ufs_set_xattr,
    .free_space = ufs_free_space,
    .sync = ufs_sync,
    .close = ufs_close,
};

struct rh_fs *rh_ufs_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct rh_fs *fs = rh_new0(struct rh_fs);

    fs->ops = &ops;
    fs->disks = d;
    fs->volume = v;
    if (find_superblock(fs, ret_why, err) == 0 && fs->state)
        return fs;
    free(fs);
    return NULL;
}
