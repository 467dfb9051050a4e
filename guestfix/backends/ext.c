/* ext.c - ext2, ext3 and ext4 through libext2fs, over the overlay.
 *
 * The file system never has a path: an io_manager of ours reads and writes the
 * volume.  It is opened for looking; the bitmaps are read, and the superblock
 * marked dirty, with the first edit.  Times come from the file system itself,
 * so that the same input gives the same bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ext2fs/ext2fs.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/ext_io.h"
#include "guestfix/backends/fs.h"
#include "guestfix/backends/unused.h"

enum {
    SMALL_FILE = 64 * 1024,
    RUN_MAX = 4 * 1024 * 1024, /* bytes of one read or write */
    LINK_MAX_BYTES = 4096,
    NAMES_MAX = 200000,
    FREE_INODES = 16, /* fewer are none */
    GROUPS_MAX = 1024 * 1024,
    READS_MAX = 128 * 1024, /* of one operation, besides all bitmaps */
    ALL_READS_MAX = 8 * 1024 * 1024,
};

#define BITS_MAX (1ull << 30) /* 128 MiB; 4 TiB in blocks of 4 KiB */

struct ext {
    ext2_filsys fs;
    struct rh_ext_io io;
    bool writing;
};

static struct ext *ext_of(struct rh_fs *fs)
{
    return fs->state;
}

/* Another operation, whose reads are counted anew. */
static void begin(struct rh_ext_io *io)
{
    io->reads = 0;
}

static struct rh_ext_io *io_of_fs(ext2_filsys e)
{
    return e->io->private_data;
}

/* The reason of a failure: what our own reading said, else libext2fs's. */
static int failed(struct rh_fs *fs, errcode_t code, const char *doing,
                  rh_error **err)
{
    struct ext *e = ext_of(fs);

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
#ifdef __clang_analyzer__ /* it does not look in here */
#define failed(...) (failed(__VA_ARGS__), -1)
#endif

/* --- looking
 * ------------------------------------------------------------------ */
static int ext_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    struct ext2_inode inode;
    errcode_t code;

    begin(&ext_of(fs)->io);
    code = ext2fs_read_inode(ext_of(fs)->fs, (ext2_ino_t)node, &inode);
    if (code)
        return failed(fs, code, "reading an inode", err);
    rh_guest_mode(ret, inode.i_mode);
    ret->size = EXT2_I_SIZE(&inode);
    ret->uid = inode_uid(inode);
    ret->gid = inode_gid(inode);
    ret->mtime = inode.i_mtime;
    ret->inode = node;
    return 0;
}

static int ext_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    ext2_ino_t found;
    errcode_t code;

    begin(&ext_of(fs)->io);
    code = ext2fs_lookup(ext_of(fs)->fs, (ext2_ino_t)dir, name,
                         (int)strlen(name), NULL, &found);
    if (code)
        return failed(fs, code, name, err);
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

    begin(&ext_of(fs)->io);
    code = ext2fs_dir_iterate(ext_of(fs)->fs, (ext2_ino_t)dir, 0, NULL,
                              add_name, ret);
    if (code)
        return failed(fs, code, "listing a folder", err);
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
    errcode_t code = ext2fs_file_open(ext_of(fs)->fs, ino, 0, &file);

    if (code)
        return failed(fs, code, "opening a file", err);
    code = ext2fs_file_read(file, to, (unsigned)n, &got);
    ext2fs_file_close(file);
    if (code || got != n)
        return failed(fs, code, "reading a file", err);
    return 0;
}

/* How many blocks from `block` on lie side by side on the volume? */
static errcode_t run_at(ext2_filsys e, ext2_ino_t ino, struct ext2_inode *inode,
                        blk64_t block, blk64_t end, blk64_t *ret_at,
                        blk64_t *ret_count)
{
    blk64_t at = 0, next, n;
    int flags = 0;
    errcode_t code;

    begin(io_of_fs(e));
    code = ext2fs_bmap2(e, ino, inode, NULL, 0, block, &flags, &at);
    if (code)
        return code;
    if (flags & BMAP_RET_UNINIT)
        at = 0;
    for (n = 1; block + n < end && n * e->blocksize < RUN_MAX; n++) {
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
    ext2_filsys e = ext_of(fs)->fs;
    blk64_t end = rh_div_up(size, e->blocksize), at, n;
    size_t part;

    for (blk64_t block = 0; block < end; block += n) {
        errcode_t code = run_at(e, ino, inode, block, end, &at, &n);

        if (code)
            return failed(fs, code, "finding a file's blocks", err);
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
    ext2_filsys e = ext_of(fs)->fs;
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct ext2_inode inode;
    errcode_t code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    uint64_t size;
    int r;

    if (code)
        return failed(fs, code, "reading an inode", err);
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
    if (size <= SMALL_FILE || inode.i_flags & EXT4_INLINE_DATA_FL)
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
    ext2_filsys e = ext_of(fs)->fs;
    struct ext2_inode inode;
    errcode_t code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    RH_AUTO(rh_freep) char *text = NULL;
    uint64_t size;

    if (code)
        return failed(fs, code, "reading a link", err);
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

static int open_xattrs(struct rh_fs *fs, uint64_t node,
                       struct ext2_xattr_handle **ret, rh_error **err)
{
    errcode_t code = ext2fs_xattrs_open(ext_of(fs)->fs, (ext2_ino_t)node, ret);

    if (!code) {
        code = ext2fs_xattrs_read(*ret);
        if (!code)
            return 0;
        ext2fs_xattrs_close(ret);
    }
    return failed(fs, code, "reading extended attributes", err);
}

static int ext_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct ext2_xattr_handle *h;
    void *value;
    size_t n;
    errcode_t code;

    if (open_xattrs(fs, node, &h, err) < 0)
        return -1;
    code = ext2fs_xattr_get(h, name, &value, &n);
    ext2fs_xattrs_close(&h);
    if (code == EXT2_ET_EA_KEY_NOT_FOUND)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "no attribute %s", name);
    if (code)
        return failed(fs, code, name, err);
    *ret_bytes = rh_memdup0(value, n);
    *ret_size = n;
    ext2fs_free_mem(&value);
    return 0;
}

/* The share that is reserved for root counts: root writes here.  Without free
 * inodes there is no room for files, whatever the blocks say. */
static int ext_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;

    (void)err;
    *ret = e->super->s_free_inodes_count < FREE_INODES
               ? 0
               : ext2fs_free_blocks_count(e->super) * e->blocksize;
    return 0;
}

/* --- editing
 * -------------------------------------------------------------------- */
static int start_writing(struct rh_fs *fs, rh_error **err)
{
    struct ext *e = ext_of(fs);
    errcode_t code;

    begin(&e->io);
    if (e->writing)
        return 0;
    /* A tree of runs, which is libext2fs's choice, takes any amount of memory
     * for a bitmap that alternates, and ends the process without it. */
    e->fs->default_bitmap_type = EXT2FS_BMAP64_BITARRAY;
    code = ext2fs_read_bitmaps(e->fs);
    if (code)
        return failed(fs, code, "reading the allocation bitmaps", err);
    e->writing = true;
    return 0;
}

static int ext_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    struct ext2_xattr_handle *h;
    errcode_t code;

    if (start_writing(fs, err) < 0 || open_xattrs(fs, node, &h, err) < 0)
        return -1;
    code = ext2fs_xattr_set(h, name, bytes, n);
    if (!code)
        code = ext2fs_xattrs_write(h);
    ext2fs_xattrs_close(&h);
    return code ? failed(fs, code, "writing an extended attribute", err) : 0;
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

    if (open_xattrs(fs, from, &h, err) < 0)
        return -1;
    ext2fs_xattrs_count(h, &n);
    if (n && open_xattrs(fs, to, &c.to, err) < 0) {
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
    return c.code ? failed(fs, c.code, "copying extended attributes", err) : 0;
}

/* Space in one piece where there is one, then whole runs of blocks. */
static int write_large(struct rh_fs *fs, ext2_ino_t ino,
                       struct ext2_inode *inode, const char *from, size_t size,
                       rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
    blk64_t end = size / e->blocksize, at, n;
    errcode_t code;

    code = ext2fs_fallocate(e, EXT2_FALLOCATE_FORCE_INIT, ino, inode, ~0ULL, 0,
                            end);
    if (code)
        return failed(fs, code, "making room for a file", err);
    for (blk64_t block = 0; block < end; block += n) {
        code = run_at(e, ino, inode, block, end, &at, &n);
        if (code || !at)
            return failed(fs, code, "finding a new file's blocks", err);
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
    ext2_filsys e = ext_of(fs)->fs;
    ext2_file_t file;
    unsigned put = 0;
    errcode_t code = ext2fs_file_open(e, ino, EXT2_FILE_WRITE, &file);

    if (code)
        return failed(fs, code, "opening a new file", err);
    code = ext2fs_file_llseek(file, from, EXT2_SEEK_SET, NULL);
    while (!code && from < size) {
        code = ext2fs_file_write(file, bytes + from,
                                 (unsigned)RH_MIN(size - from, (size_t)RUN_MAX),
                                 &put);
        from += put;
        if (!code && !put)
            code = ENOSPC;
    }
    if (!code)
        code = ext2fs_file_set_size2(file, (ext2_off64_t)size);
    if (ext2fs_file_close(file) && !code)
        code = EIO;
    return code ? failed(fs, code, "writing a file", err) : 0;
}

/* Contents of a fresh inode. */
static int fill_inode(struct rh_fs *fs, ext2_ino_t ino, const char *bytes,
                      size_t n, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
    struct ext2_inode inode;
    size_t whole = n - n % e->blocksize;
    errcode_t code;

    if (n < SMALL_FILE || !ext2fs_has_feature_extents(e->super))
        return write_rest(fs, ino, bytes, 0, n, err);
    code = ext2fs_read_inode(e, ino, &inode);
    if (code)
        return failed(fs, code, "reading an inode", err);
    if (write_large(fs, ino, &inode, bytes, whole, err) < 0)
        return -1;
    code = ext2fs_inode_size_set(e, &inode, (ext2_off64_t)whole);
    if (!code)
        code = ext2fs_write_inode(e, ino, &inode);
    if (code)
        return failed(fs, code, "writing an inode", err);
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
    ext2_filsys e = ext_of(fs)->fs;
    struct ext2_inode_large inode = {0};
    struct ext2_inode model;
    ext2_extent_handle_t h;
    ext2_ino_t ino;
    errcode_t code =
        ext2fs_new_inode(e, (ext2_ino_t)dir, LINUX_S_IFREG | 0644, NULL, &ino);

    if (code)
        return failed(fs, code, "making a file", err);
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
        return failed(fs, code, "making a file", err);
    *ret = ino;
    return 0;
}

static int add_link(struct rh_fs *fs, uint64_t dir, const char *name,
                    ext2_ino_t ino, int type, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
    errcode_t code = ext2fs_link(e, (ext2_ino_t)dir, name, ino, type);

    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(e, (ext2_ino_t)dir);
        if (!code)
            code = ext2fs_link(e, (ext2_ino_t)dir, name, ino, type);
    }
    return code ? failed(fs, code, name, err) : 0;
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
    if (ext_get_xattr(fs, dir, "security.selinux", &value, &n, NULL) < 0) {
        rh_error_drop(&ext_of(fs)->io.failure);
        return 0;
    }
    return ext_set_xattr(fs, ino, "security.selinux", value, n, err);
}

static int ext_create(struct rh_fs *fs, uint64_t dir, const char *name,
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
    ext2_filsys e = ext_of(fs)->fs;
    struct ext2_inode_large inode;
    errcode_t code = ext2fs_read_inode_full(e, ino, (struct ext2_inode *)&inode,
                                            sizeof inode);

    if (code)
        return failed(fs, code, "removing a file", err);
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
    return code ? failed(fs, code, "removing a file", err) : 0;
}

static int ext_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                      rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
    struct rh_guest_stat st;
    errcode_t code;
    uint64_t node;

    if (start_writing(fs, err) < 0 ||
        ext_lookup(fs, dir, name, &node, err) < 0 ||
        ext_stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type == 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", name);
    code = ext2fs_unlink(e, (ext2_ino_t)dir, name, (ext2_ino_t)node, 0);
    if (code)
        return failed(fs, code, name, err);
    return drop_inode(fs, (ext2_ino_t)node, err);
}

static int ext_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                      uint64_t to_dir, const char *to, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
    struct rh_guest_stat st;
    uint64_t node, old;
    errcode_t code;

    if (start_writing(fs, err) < 0 ||
        ext_lookup(fs, from_dir, from, &node, err) < 0 ||
        ext_stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type == 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", from);
    if (ext_lookup(fs, to_dir, to, &old, NULL) == 0 &&
        ext_remove(fs, to_dir, to, err) < 0)
        return -1;
    rh_error_drop(&ext_of(fs)->io.failure);
    code = ext2fs_unlink(e, (ext2_ino_t)from_dir, from, (ext2_ino_t)node, 0);
    if (code)
        return failed(fs, code, from, err);
    return add_link(fs, to_dir, to, (ext2_ino_t)node,
                    st.type == 'l' ? EXT2_FT_SYMLINK : EXT2_FT_REG_FILE, err);
}

static int ext_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                        uint32_t mode, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
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
        return failed(fs, code, name, err);
    if (ext_lookup(fs, dir, name, &node, err) < 0)
        return -1;
    code = ext2fs_read_inode(e, (ext2_ino_t)node, &inode);
    inode.i_mode = (__u16)(LINUX_S_IFDIR | (mode & 07777));
    inode.i_atime = inode.i_ctime = inode.i_mtime = (__u32)e->now;
    if (!code)
        code = ext2fs_write_inode(e, (ext2_ino_t)node, &inode);
    if (code)
        return failed(fs, code, name, err);
    return label(fs, dir, 0, (ext2_ino_t)node, err);
}

static int ext_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                       const char *target, rh_error **err)
{
    ext2_filsys e = ext_of(fs)->fs;
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
        return failed(fs, code, name, err);
    if (ext_lookup(fs, dir, name, &node, err) < 0)
        return -1;
    return label(fs, dir, 0, (ext2_ino_t)node, err);
}

static int ext_unused(struct rh_fs *fs, struct rh_unused_out *out,
                      const char **ret_why, rh_error **err)
{
    struct ext *e = ext_of(fs);
    int r;

    *ret_why = fs->trouble;
    if (*ret_why)
        return 1;
    begin(&e->io);
    r = rh_ext_unused(e->fs, rh_disks_lib(fs->disks), out, err);
    *ret_why = _("its maps of free blocks do not agree with themselves");
    return r;
}

static int ext_sync(struct rh_fs *fs, rh_error **err)
{
    struct ext *e = ext_of(fs);
    errcode_t code = e->writing ? ext2fs_flush2(e->fs, 0) : 0;

    return code ? failed(fs, code, "writing back", err) : 0;
}

static void ext_close(struct rh_fs *fs)
{
    struct ext *e = ext_of(fs);

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
    .stat = ext_stat,
    .lookup = ext_lookup,
    .list = ext_list,
    .read = ext_read,
    .read_link = ext_read_link,
    .create = ext_create,
    .remove = ext_remove,
    .rename = ext_rename,
    .make_dir = ext_make_dir,
    .symlink = ext_symlink,
    .get_xattr = ext_get_xattr,
    .set_xattr = ext_set_xattr,
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
    struct ext *e;
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
    e = rh_new0(struct ext);
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
