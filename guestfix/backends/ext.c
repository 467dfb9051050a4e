/* ext.c - ext2, ext3 and ext4 through libext2fs, over the overlay.
 *
 * The file system never has a path: an io_manager of ours reads and writes the
 * volume.  It is opened for looking; ext_edit.c changes it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/ext.h"
#include "guestfix/backends/unused.h"

enum {
    LINK_MAX_BYTES = 4096,
    NAMES_MAX = 200000,
    FREE_INODES = 16, /* fewer are none */
    GROUPS_MAX = 1024 * 1024,
    READS_MAX = 128 * 1024, /* of one operation, besides all bitmaps */
    ALL_READS_MAX = 8 * 1024 * 1024,
};

#define BITS_MAX (1ull << 30) /* 128 MiB; 4 TiB in blocks of 4 KiB */

static struct rh_ext_io *io_of_fs(ext2_filsys e)
{
    return e->io->private_data;
}

/* The reason of a failure: what our own reading said, else libext2fs's. */
int(rh_ext_failed)(struct rh_fs *fs, errcode_t code, const char *doing,
                   rh_error **err)
{
    struct rh_ext *e = rh_ext_of(fs);

    if (e->io.failure) {
        if (err && !*err)
            *err = RH_TAKE(e->io.failure);
        rh_error_drop(&e->io.failure);
        return rh_error_context(err, "%s on %s", doing, fs->volume->device);
    }
    if (code == EXT2_ET_FILE_NOT_FOUND)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s on %s: not there", doing,
                       fs->volume->device);
    if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL ||
        code == ENOSPC)
        return rh_fail(err, RH_ERR_GUEST_FULL, "%s on %s: no space left", doing,
                       fs->volume->device);
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "%s on %s: %s", doing,
                   fs->volume->device, rh_ext_message(code));
}

/* --- looking
 * ------------------------------------------------------------------ */
int rh_ext_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                rh_error **err)
{
    struct ext2_inode inode;
    errcode_t code;

    rh_ext_begin(&rh_ext_of(fs)->io);
    code = ext2fs_read_inode(rh_ext_of(fs)->fs, (ext2_ino_t)node, &inode);
    if (code)
        return rh_ext_failed(fs, code, "reading an inode", err);
    rh_guest_mode(ret, inode.i_mode);
    ret->size = EXT2_I_SIZE(&inode);
    ret->uid = inode_uid(inode);
    ret->gid = inode_gid(inode);
    ret->mtime = inode.i_mtime;
    ret->inode = node;
    return 0;
}

int rh_ext_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                  uint64_t *ret, rh_error **err)
{
    ext2_ino_t found;
    errcode_t code;

    rh_ext_begin(&rh_ext_of(fs)->io);
    code = ext2fs_lookup(rh_ext_of(fs)->fs, (ext2_ino_t)dir, name,
                         (int)strlen(name), NULL, &found);
    if (code)
        return rh_ext_failed(fs, code, name, err);
    *ret = found;
    return 0;
}

static int add_name(struct ext2_dir_entry *entry, int offset, int blocksize,
                    char *buf, void *user)
{
    struct rh_names *names = user;
    int n = ext2fs_dirent_name_len(entry);

    (void)offset;
    (void)blocksize;
    (void)buf;
    if (names->count > NAMES_MAX)
        return DIRENT_ABORT; /* which is told */
    if (!(n == 1 && entry->name[0] == '.') &&
        !(n == 2 && !memcmp(entry->name, "..", 2)))
        *rh_vec_add(names) = rh_strndup(entry->name, (size_t)n);
    return 0;
}

static int ext_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    errcode_t code;

    rh_ext_begin(&rh_ext_of(fs)->io);
    code = ext2fs_dir_iterate(rh_ext_of(fs)->fs, (ext2_ino_t)dir, 0, NULL,
                              add_name, ret);
    if (code)
        return rh_ext_failed(fs, code, "listing a folder", err);
    return ret->count > NAMES_MAX
               ? rh_fail(err, RH_ERR_GUEST_DAMAGED,
                         "a folder on %s has more than %d names",
                         fs->volume->device, NAMES_MAX)
               : 0;
}

static int read_small(struct rh_fs *fs, ext2_ino_t ino, char *to, size_t n,
                      rh_error **err)
{
    ext2_file_t file;
    unsigned got = 0;
    errcode_t code = ext2fs_file_open(rh_ext_of(fs)->fs, ino, 0, &file);

    if (code)
        return rh_ext_failed(fs, code, "opening a file", err);
    code = ext2fs_file_read(file, to, (unsigned)n, &got);
    ext2fs_file_close(file);
    if (code || got != n)
        return rh_ext_failed(fs, code, "reading a file", err);
    return 0;
}

/* How many blocks from `block` on lie side by side on the volume? */
errcode_t rh_ext_run(ext2_filsys e, ext2_ino_t ino, struct ext2_inode *inode,
                     blk64_t block, blk64_t end, blk64_t *ret_at,
                     blk64_t *ret_count)
{
    blk64_t at = 0, next, n;
    int flags = 0;
    errcode_t code;

    rh_ext_begin(io_of_fs(e));
    code = ext2fs_bmap2(e, ino, inode, NULL, 0, block, &flags, &at);
    if (code)
        return code;
    if (flags & BMAP_RET_UNINIT)
        at = 0;
    for (n = 1; block + n < end && n * e->blocksize < RH_EXT_RUN; n++) {
        flags = 0;
        code = ext2fs_bmap2(e, ino, inode, NULL, 0, block + n, &flags, &next);
        if (code)
            return code;
        if (flags & BMAP_RET_UNINIT)
            next = 0;
        if (next != (at ? at + n : 0))
            break;
    }
    *ret_at = at;
    *ret_count = n;
    return 0;
}

static int read_runs(struct rh_fs *fs, ext2_ino_t ino, struct ext2_inode *inode,
                     char *to, size_t size, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    blk64_t end = rh_div_up(size, e->blocksize), at, n;
    size_t part;

    for (blk64_t block = 0; block < end; block += n) {
        errcode_t code = rh_ext_run(e, ino, inode, block, end, &at, &n);

        if (code)
            return rh_ext_failed(fs, code, "finding a file's blocks", err);
        part = RH_MIN((size_t)n * e->blocksize,
                      size - (size_t)block * e->blocksize);
        if (!at)
            memset(to + block * e->blocksize, 0, part);
        else if (rh_volume_read(fs->disks, fs->volume,
                                to + block * e->blocksize, part,
                                at * e->blocksize, err) < 0)
            return -1;
    }
    return 0;
}

static int ext_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct ext2_inode inode;
    errcode_t code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    uint64_t size;
    int r;

    if (code)
        return rh_ext_failed(fs, code, "reading an inode", err);
    size = EXT2_I_SIZE(&inode);
    if (!LINUX_S_ISREG(inode.i_mode))
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a regular file");
    if (size > limit)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file of %llu bytes is larger than expected",
                       (unsigned long long)size);
    bytes = rh_alloc_big((size_t)size + 1, err);
    if (!bytes)
        return -1;
    bytes[size] = '\0';
    if (size <= RH_EXT_SMALL || inode.i_flags & EXT4_INLINE_DATA_FL)
        r = read_small(fs, (ext2_ino_t)node, bytes, (size_t)size, err);
    else
        r = read_runs(fs, (ext2_ino_t)node, &inode, bytes, (size_t)size, err);
    if (r < 0)
        return -1;
    *ret_size = (size_t)size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

static int ext_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                         rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct ext2_inode inode;
    errcode_t code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    RH_AUTO(rh_freep) char *text = NULL;
    uint64_t size;

    if (code)
        return rh_ext_failed(fs, code, "reading a link", err);
    size = EXT2_I_SIZE(&inode);
    if (!LINUX_S_ISLNK(inode.i_mode) || size > LINK_MAX_BYTES)
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a symbolic link");
    text = rh_calloc(1, (size_t)size + 1);
    if (ext2fs_is_fast_symlink(&inode) && size <= sizeof inode.i_block)
        memcpy(text, inode.i_block, (size_t)size);
    else if (read_small(fs, (ext2_ino_t)node, text, (size_t)size, err) < 0)
        return -1;
    *ret = RH_TAKE(text);
    return 0;
}

int rh_ext_xattrs(struct rh_fs *fs, uint64_t node,
                  struct ext2_xattr_handle **ret, rh_error **err)
{
    errcode_t code =
        ext2fs_xattrs_open(rh_ext_of(fs)->fs, (ext2_ino_t)node, ret);

    if (!code) {
        code = ext2fs_xattrs_read(*ret);
        if (!code)
            return 0;
        ext2fs_xattrs_close(ret);
    }
    return rh_ext_failed(fs, code, "reading extended attributes", err);
}

int rh_ext_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                     void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct ext2_xattr_handle *h;
    void *value;
    size_t n;
    errcode_t code;

    if (rh_ext_xattrs(fs, node, &h, err) < 0)
        return -1;
    code = ext2fs_xattr_get(h, name, &value, &n);
    ext2fs_xattrs_close(&h);
    if (code == EXT2_ET_EA_KEY_NOT_FOUND)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "no attribute %s", name);
    if (code)
        return rh_ext_failed(fs, code, name, err);
    *ret_bytes = rh_memdup0(value, n);
    *ret_size = n;
    ext2fs_free_mem(&value);
    return 0;
}

/* The share that is reserved for root counts: root writes here.  Without free
 * inodes there is no room for files, whatever the blocks say. */
static int ext_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;

    (void)err;
    *ret = e->super->s_free_inodes_count < FREE_INODES
               ? 0
               : ext2fs_free_blocks_count(e->super) * e->blocksize;
    return 0;
}

static int ext_unused(struct rh_fs *fs, struct rh_unused_out *out,
                      const char **ret_why, rh_error **err)
{
    struct rh_ext *e = rh_ext_of(fs);
    int r;

    *ret_why = fs->trouble;
    if (*ret_why)
        return 1;
    rh_ext_begin(&e->io);
    r = rh_ext_unused(e->fs, rh_disks_lib(fs->disks), out, err);
    *ret_why = _("its maps of free blocks do not agree with themselves");
    return r;
}

static int ext_sync(struct rh_fs *fs, rh_error **err)
{
    struct rh_ext *e = rh_ext_of(fs);
    errcode_t code = e->writing ? ext2fs_flush2(e->fs, 0) : 0;

    return code ? rh_ext_failed(fs, code, "writing back", err) : 0;
}

static void ext_close(struct rh_fs *fs)
{
    struct rh_ext *e = rh_ext_of(fs);

    /* What was not synced is not wanted. */
    e->fs->flags &=
        ~(EXT2_FLAG_DIRTY | EXT2_FLAG_IB_DIRTY | EXT2_FLAG_BB_DIRTY);
    ext2fs_free(e->fs);
    rh_error_drop(&e->io.failure);
    free(e);
    free(fs);
}

static const struct rh_fs_ops ext_ops = {
    .root = EXT2_ROOT_INO,
    .stat = rh_ext_stat,
    .lookup = rh_ext_lookup,
    .list = ext_list,
    .read = ext_read,
    .read_link = ext_read_link,
    .create = rh_ext_create,
    .remove = rh_ext_remove,
    .rename = rh_ext_rename,
    .make_dir = rh_ext_make_dir,
    .symlink = rh_ext_symlink,
    .get_xattr = rh_ext_get_xattr,
    .set_xattr = rh_ext_set_xattr,
    .free_space = ext_free_space,
    .unused = ext_unused,
    .sync = ext_sync,
    .close = ext_close,
};

/* --- opening
 * ------------------------------------------------------------------- */
/* What libext2fs cannot do soundly goes by a kernel: replaying a journal, and
 * keeping quota files in step. */
static const char *why_not(const struct ext2_super_block *sb)
{
    if (sb->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
        return _("its journal must be replayed first");
    if (sb->s_feature_ro_compat &
        (EXT4_FEATURE_RO_COMPAT_QUOTA | EXT4_FEATURE_RO_COMPAT_PROJECT))
        return _("it keeps quotas");
    if (sb->s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
        return _("it is a journal");
    if (sb->s_feature_ro_compat & (EXT4_FEATURE_RO_COMPAT_READONLY |
                                   EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS))
        return _("it is marked as read-only");
    if (sb->s_last_orphan ||
        sb->s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT)
        return _("it has files to be cleaned up");
    return NULL;
}

/* libext2fs sizes its bitmaps by some of these numbers and fills them by
 * others: they must agree before it sees them. */
static bool is_sane(const uint8_t *sb, uint64_t room, uint64_t *ret_groups,
                    uint64_t *ret_clusters)
{
    uint32_t log_block = rh_le32(sb + 24), log_cluster = rh_le32(sb + 28);
    uint64_t per_group = rh_le32(sb + 32), clusters = rh_le32(sb + 36);
    uint64_t inodes = rh_le32(sb + 40), inode_size = rh_le16(sb + 88);
    uint64_t blocks = rh_le32(sb + 4), first = rh_le32(sb + 20), block, groups;
    bool bigalloc = rh_le32(sb + 100) & EXT4_FEATURE_RO_COMPAT_BIGALLOC;

    if (log_block > 6 || log_cluster > 20)
        return false;
    block = 1024ULL << log_block;
    if (rh_le32(sb + 96) & EXT4_FEATURE_INCOMPAT_64BIT)
        blocks |= (uint64_t)rh_le32(sb + 0x150) << 32;
    if (bigalloc ? log_cluster < log_block ||
                       per_group != clusters << (log_cluster - log_block)
                 : log_cluster != log_block || clusters != per_group)
        return false;
    if (!clusters || clusters > 8 * block || clusters % 8 || !inodes ||
        inodes > 8 * block || inodes % 8 || blocks > room / block ||
        first != (block == 1024 && !bigalloc) || blocks <= first)
        return false;
    if (rh_le32(sb + 76) && (inode_size < 128 || inode_size > block ||
                             !rh_power_of_two(inode_size)))
        return false;
    groups = rh_div_up(blocks - first, per_group);
    *ret_groups = groups;
    *ret_clusters = blocks >> (bigalloc ? log_cluster - log_block : 0);
    return rh_le32(sb) == groups * inodes;
}

static uint32_t newest_time(const struct ext2_super_block *sb)
{
    uint32_t a = RH_MAX(sb->s_wtime, sb->s_mtime);

    return RH_MAX(a, RH_MAX(sb->s_lastcheck, sb->s_mkfs_time));
}

struct rh_fs *rh_ext_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct rh_fs *fs;
    struct rh_ext *e;
    uint8_t sb[1024];
    uint64_t groups, clusters;
    errcode_t code;

    *ret_why = NULL;
    if (rh_volume_read(d, v, sb, sizeof sb, 1024, err) < 0)
        return NULL;
    if (!is_sane(sb, rh_volume_bytes(v), &groups, &clusters)) {
        *ret_why = _("its superblock is not sound");
        return NULL;
    }
    /* Descriptors and bitmaps are held in memory, a bit for each. */
    if (groups > GROUPS_MAX || clusters > BITS_MAX || rh_le32(sb) > BITS_MAX) {
        *ret_why = _("it is too large to be edited in-process");
        return NULL;
    }
    fs = rh_new0(struct rh_fs);
    e = rh_new0(struct rh_ext);
    fs->state = e;
    fs->disks = d;
    fs->volume = v;
    fs->ops = &ext_ops;
    e->io.disks = d;
    e->io.volume = v;
    e->io.reads_max = READS_MAX + 4 * groups;
    e->io.all_max = ALL_READS_MAX + 4 * groups;
    code = rh_ext_open_io(&e->io, &e->fs);
    if (code) {
        if (e->io.failure && err && !*err)
            *err = RH_TAKE(e->io.failure);
        rh_error_drop(&e->io.failure);
        *ret_why = rh_ext_message(code);
        free(e);
        free(fs);
        return NULL;
    }
    *ret_why = why_not(e->fs->super);
    if (*ret_why) {
        ext_close(fs);
        return NULL;
    }
    e->fs->now = newest_time(e->fs->super);
    if (e->fs->super->s_state & EXT2_ERROR_FS ||
        !(e->fs->super->s_state & EXT2_VALID_FS))
        fs->trouble = _("it was not unmounted cleanly, or has errors");
    return fs;
}
