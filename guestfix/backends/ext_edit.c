/* ext_edit.c - ext2, ext3 and ext4 are changed.
 *
 * The bitmaps are read, and the superblock marked dirty, with the first edit.
 * Times come from the file system itself, so that the same input gives the same
 * bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/ext.h"

static int start_writing(struct rh_fs *fs, rh_error **err)
{
    struct rh_ext *e = rh_ext_of(fs);
    errcode_t code;

    rh_ext_begin(&e->io);
    if (e->writing)
        return 0;
    /* A tree of runs, which is libext2fs's choice, takes any amount of memory
     * for a bitmap that alternates, and ends the process without it. */
    e->fs->default_bitmap_type = EXT2FS_BMAP64_BITARRAY;
    code = ext2fs_read_bitmaps(e->fs);
    if (code)
        return rh_ext_failed(fs, code, "reading the allocation bitmaps", err);
    e->writing = true;
    return 0;
}

int rh_ext_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                     const void *bytes, size_t n, rh_error **err)
{
    struct ext2_xattr_handle *h;
    errcode_t code;

    if (start_writing(fs, err) < 0 || rh_ext_xattrs(fs, node, &h, err) < 0)
        return -1;
    code = ext2fs_xattr_set(h, name, bytes, n);
    if (!code)
        code = ext2fs_xattrs_write(h);
    ext2fs_xattrs_close(&h);
    return code ? rh_ext_failed(fs, code, "writing an extended attribute", err)
                : 0;
}

struct copying {
    struct ext2_xattr_handle *to;
    errcode_t code;
};

static int copy_xattr(char *name, char *value, size_t n, void *user)
{
    struct copying *c = user;

    c->code = ext2fs_xattr_set(c->to, name, value, n);
    return c->code ? XATTR_ABORT : 0;
}

static int copy_xattrs(struct rh_fs *fs, uint64_t from, uint64_t to,
                       rh_error **err)
{
    struct copying c = {0};
    struct ext2_xattr_handle *h;
    size_t n = 0;

    if (rh_ext_xattrs(fs, from, &h, err) < 0)
        return -1;
    ext2fs_xattrs_count(h, &n);
    if (n && rh_ext_xattrs(fs, to, &c.to, err) < 0) {
        ext2fs_xattrs_close(&h);
        return -1;
    }
    if (n) {
        ext2fs_xattrs_iterate(h, copy_xattr, &c);
        if (!c.code)
            c.code = ext2fs_xattrs_write(c.to);
        ext2fs_xattrs_close(&c.to);
    }
    ext2fs_xattrs_close(&h);
    return c.code
               ? rh_ext_failed(fs, c.code, "copying extended attributes", err)
               : 0;
}

/* Space in one piece where there is one, then whole runs of blocks. */
static int write_large(struct rh_fs *fs, ext2_ino_t ino,
                       struct ext2_inode *inode, const char *from, size_t size,
                       rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    blk64_t end = size / e->blocksize, at, n;
    errcode_t code;

    code = ext2fs_fallocate(e, EXT2_FALLOCATE_FORCE_INIT, ino, inode, ~0ULL, 0,
                            end);
    if (code)
        return rh_ext_failed(fs, code, "making room for a file", err);
    for (blk64_t block = 0; block < end; block += n) {
        code = rh_ext_run(e, ino, inode, block, end, &at, &n);
        if (code || !at)
            return rh_ext_failed(fs, code, "finding a new file's blocks", err);
        if (rh_volume_write(fs->disks, fs->volume, from + block * e->blocksize,
                            (size_t)n * e->blocksize, at * e->blocksize,
                            err) < 0)
            return -1;
    }
    return 0;
}

static int write_rest(struct rh_fs *fs, ext2_ino_t ino, const char *bytes,
                      size_t from, size_t size, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    ext2_file_t file;
    unsigned put = 0;
    errcode_t code = ext2fs_file_open(e, ino, EXT2_FILE_WRITE, &file);

    if (code)
        return rh_ext_failed(fs, code, "opening a new file", err);
    code = ext2fs_file_llseek(file, from, EXT2_SEEK_SET, NULL);
    while (!code && from < size) {
        code = ext2fs_file_write(
            file, bytes + from,
            (unsigned)RH_MIN(size - from, (size_t)RH_EXT_RUN), &put);
        from += put;
        if (!code && !put)
            code = ENOSPC;
    }
    if (!code)
        code = ext2fs_file_set_size2(file, (ext2_off64_t)size);
    if (ext2fs_file_close(file) && !code)
        code = EIO;
    return code ? rh_ext_failed(fs, code, "writing a file", err) : 0;
}

/* Contents of a fresh inode. */
static int fill_inode(struct rh_fs *fs, ext2_ino_t ino, const char *bytes,
                      size_t n, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct ext2_inode inode;
    size_t whole = n - n % e->blocksize;
    errcode_t code;

    if (n < RH_EXT_SMALL || !ext2fs_has_feature_extents(e->super))
        return write_rest(fs, ino, bytes, 0, n, err);
    code = ext2fs_read_inode(e, ino, &inode);
    if (code)
        return rh_ext_failed(fs, code, "reading an inode", err);
    if (write_large(fs, ino, &inode, bytes, whole, err) < 0)
        return -1;
    code = ext2fs_inode_size_set(e, &inode, (ext2_off64_t)whole);
    if (!code)
        code = ext2fs_write_inode(e, ino, &inode);
    if (code)
        return rh_ext_failed(fs, code, "writing an inode", err);
    return write_rest(fs, ino, bytes, whole, n, err);
}

static void set_owner(struct ext2_inode *inode, const struct ext2_inode *like)
{
    inode->i_uid = like->i_uid;
    inode->i_gid = like->i_gid;
    inode->osd2.linux2.l_i_uid_high = like->osd2.linux2.l_i_uid_high;
    inode->osd2.linux2.l_i_gid_high = like->osd2.linux2.l_i_gid_high;
}

/* What chattr sets, and does not say how the bytes lie. */
enum {
    KEPT_FLAGS = EXT2_SYNC_FL | EXT2_IMMUTABLE_FL | EXT2_APPEND_FL |
                 EXT2_NODUMP_FL | EXT2_NOATIME_FL,
};

static int new_inode(struct rh_fs *fs, uint64_t dir, uint32_t mode,
                     uint64_t like, ext2_ino_t *ret, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct ext2_inode_large inode = {0};
    struct ext2_inode model;
    ext2_extent_handle_t h;
    ext2_ino_t ino;
    errcode_t code =
        ext2fs_new_inode(e, (ext2_ino_t)dir, LINUX_S_IFREG | 0644, NULL, &ino);

    if (code)
        return rh_ext_failed(fs, code, "making a file", err);
    inode.i_mode = (__u16)(LINUX_S_IFREG | (mode & 07777));
    inode.i_links_count = 1;
    inode.i_atime = inode.i_ctime = inode.i_mtime = (__u32)e->now;
    if (like && !ext2fs_read_inode(e, (ext2_ino_t)like, &model)) {
        inode.i_mode = (__u16)(LINUX_S_IFREG | (model.i_mode & 07777));
        inode.i_flags = model.i_flags & KEPT_FLAGS;
        set_owner((struct ext2_inode *)&inode, &model);
    }
    if (EXT2_INODE_SIZE(e->super) > EXT2_GOOD_OLD_INODE_SIZE) {
        inode.i_extra_isize = sizeof inode - EXT2_GOOD_OLD_INODE_SIZE;
        inode.i_crtime = (__u32)e->now;
    }
    ext2fs_inode_alloc_stats2(e, ino, 1, 0);
    if (ext2fs_has_feature_extents(e->super))
        inode.i_flags |= EXT4_EXTENTS_FL;
    code = ext2fs_write_new_inode(e, ino, (struct ext2_inode *)&inode);
    /* Opening the handle on an empty map writes the extent header. */
    if (!code && ext2fs_has_feature_extents(e->super)) {
        code = ext2fs_extent_open2(e, ino, (struct ext2_inode *)&inode, &h);
        if (!code) {
            ext2fs_extent_free(h);
            code = ext2fs_write_inode(e, ino, (struct ext2_inode *)&inode);
        }
    }
    if (code)
        return rh_ext_failed(fs, code, "making a file", err);
    *ret = ino;
    return 0;
}

static int add_link(struct rh_fs *fs, uint64_t dir, const char *name,
                    ext2_ino_t ino, int type, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    errcode_t code = ext2fs_link(e, (ext2_ino_t)dir, name, ino, type);

    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(e, (ext2_ino_t)dir);
        if (!code)
            code = ext2fs_link(e, (ext2_ino_t)dir, name, ino, type);
    }
    return code ? rh_ext_failed(fs, code, name, err) : 0;
}

/* A new file has the SELinux label of its folder, which is what a policy says
 * for most of /etc and /boot; `like` gives its own instead. */
static int label(struct rh_fs *fs, uint64_t dir, uint64_t like, ext2_ino_t ino,
                 rh_error **err)
{
    RH_AUTO(rh_freep) void *value = NULL;
    size_t n;

    if (like)
        return copy_xattrs(fs, like, ino, err);
    if (rh_ext_get_xattr(fs, dir, "security.selinux", &value, &n, NULL) < 0) {
        rh_error_drop(&rh_ext_of(fs)->io.failure);
        return 0;
    }
    return rh_ext_set_xattr(fs, ino, "security.selinux", value, n, err);
}

int rh_ext_create(struct rh_fs *fs, uint64_t dir, const char *name,
                  const void *bytes, size_t n, uint32_t mode, uint64_t like,
                  rh_error **err)
{
    ext2_ino_t ino;

    if (start_writing(fs, err) < 0 ||
        new_inode(fs, dir, mode, like, &ino, err) < 0 ||
        fill_inode(fs, ino, bytes, n, err) < 0 ||
        label(fs, dir, like, ino, err) < 0)
        return -1;
    return add_link(fs, dir, name, ino, EXT2_FT_REG_FILE, err);
}

/* One name less; the inode goes with its last one. */
static int drop_inode(struct rh_fs *fs, ext2_ino_t ino, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct ext2_inode_large inode;
    errcode_t code = ext2fs_read_inode_full(e, ino, (struct ext2_inode *)&inode,
                                            sizeof inode);

    if (code)
        return rh_ext_failed(fs, code, "removing a file", err);
    if (inode.i_links_count)
        inode.i_links_count--;
    if (!inode.i_links_count) {
        code = ext2fs_free_ext_attr(e, ino, &inode);
        inode.i_dtime = (__u32)e->now;
        if (!code &&
            ext2fs_inode_has_valid_blocks2(e, (struct ext2_inode *)&inode))
            code = ext2fs_punch(e, ino, (struct ext2_inode *)&inode, NULL, 0,
                                ~0ULL);
        ext2fs_inode_alloc_stats2(e, ino, -1, 0);
    }
    if (!code)
        code = ext2fs_write_inode_full(e, ino, (struct ext2_inode *)&inode,
                                       sizeof inode);
    return code ? rh_ext_failed(fs, code, "removing a file", err) : 0;
}

int rh_ext_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                  rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct rh_guest_stat st;
    errcode_t code;
    uint64_t node;

    if (start_writing(fs, err) < 0 ||
        rh_ext_lookup(fs, dir, name, &node, err) < 0 ||
        rh_ext_stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type == 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", name);
    code = ext2fs_unlink(e, (ext2_ino_t)dir, name, (ext2_ino_t)node, 0);
    if (code)
        return rh_ext_failed(fs, code, name, err);
    return drop_inode(fs, (ext2_ino_t)node, err);
}

int rh_ext_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct rh_guest_stat st;
    uint64_t node, old;
    errcode_t code;

    if (start_writing(fs, err) < 0 ||
        rh_ext_lookup(fs, from_dir, from, &node, err) < 0 ||
        rh_ext_stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type == 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", from);
    if (rh_ext_lookup(fs, to_dir, to, &old, NULL) == 0 &&
        rh_ext_remove(fs, to_dir, to, err) < 0)
        return -1;
    rh_error_drop(&rh_ext_of(fs)->io.failure);
    code = ext2fs_unlink(e, (ext2_ino_t)from_dir, from, (ext2_ino_t)node, 0);
    if (code)
        return rh_ext_failed(fs, code, from, err);
    return add_link(fs, to_dir, to, (ext2_ino_t)node,
                    st.type == 'l' ? EXT2_FT_SYMLINK : EXT2_FT_REG_FILE, err);
}

int rh_ext_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                    uint32_t mode, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    struct ext2_inode inode;
    uint64_t node;
    errcode_t code;

    if (start_writing(fs, err) < 0)
        return -1;
    code = ext2fs_mkdir(e, (ext2_ino_t)dir, 0, name);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(e, (ext2_ino_t)dir);
        if (!code)
            code = ext2fs_mkdir(e, (ext2_ino_t)dir, 0, name);
    }
    if (code)
        return rh_ext_failed(fs, code, name, err);
    if (rh_ext_lookup(fs, dir, name, &node, err) < 0)
        return -1;
    code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    inode.i_mode = (__u16)(LINUX_S_IFDIR | (mode & 07777));
    inode.i_atime = inode.i_ctime = inode.i_mtime = (__u32)e->now;
    if (!code)
        code = ext2fs_write_inode(e, (ext2_ino_t)node, &inode);
    if (code)
        return rh_ext_failed(fs, code, name, err);
    return label(fs, dir, 0, (ext2_ino_t)node, err);
}

int rh_ext_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                   const char *target, rh_error **err)
{
    ext2_filsys e = rh_ext_of(fs)->fs;
    errcode_t code;
    uint64_t node;

    if (start_writing(fs, err) < 0)
        return -1;
    code = ext2fs_symlink(e, (ext2_ino_t)dir, 0, name, target);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(e, (ext2_ino_t)dir);
        if (!code)
            code = ext2fs_symlink(e, (ext2_ino_t)dir, 0, name, target);
    }
    if (code)
        return rh_ext_failed(fs, code, name, err);
    if (rh_ext_lookup(fs, dir, name, &node, err) < 0)
        return -1;
    return label(fs, dir, 0, (ext2_ino_t)node, err);
}
