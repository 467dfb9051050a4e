/* ext.h - an ext file system that is open: what reading and editing share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_EXT_H
#define RH_GUESTFIX_BACKENDS_EXT_H

#include "guestfix/backends/ext_io.h"
#include "guestfix/backends/fs.h"

enum {
    RH_EXT_SMALL = 64 * 1024,     /* a file that is read at once */
    RH_EXT_RUN = 4 * 1024 * 1024, /* bytes of one read or write */
};

struct rh_ext {
    ext2_filsys fs;
    struct rh_ext_io io;
    bool writing;
};

static inline struct rh_ext *rh_ext_of(struct rh_fs *fs)
{
    return fs->state;
}

/* Another operation, whose reads are counted anew. */
static inline void rh_ext_begin(struct rh_ext_io *io)
{
    io->reads = 0;
}

/* --- ext.c
 * -------------------------------------------------------------------- */
/* The reason of a failure: what our own reading said, else libext2fs's. */
int rh_ext_failed(struct rh_fs *fs, errcode_t code, const char *doing,
                  rh_error **err);
#ifdef __clang_analyzer__ /* it does not look in here */
#define rh_ext_failed(...) (rh_ext_failed(__VA_ARGS__), -1)
#endif
int rh_ext_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                rh_error **err);
int rh_ext_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                  uint64_t *ret, rh_error **err);
int rh_ext_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                     void **ret_bytes, size_t *ret_size, rh_error **err);
/* How many blocks from `block` on lie side by side on the volume? */
errcode_t rh_ext_run(ext2_filsys e, ext2_ino_t ino, struct ext2_inode *inode,
                     blk64_t block, blk64_t end, blk64_t *ret_at,
                     blk64_t *ret_count);
int rh_ext_xattrs(struct rh_fs *fs, uint64_t node,
                  struct ext2_xattr_handle **ret, rh_error **err);

/* --- ext_edit.c
 * -------------------------------------------------------------------- */
int rh_ext_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                     const void *bytes, size_t n, rh_error **err);
int rh_ext_create(struct rh_fs *fs, uint64_t dir, const char *name,
                  const void *bytes, size_t n, uint32_t mode, uint64_t like,
                  rh_error **err);
int rh_ext_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                  rh_error **err);
int rh_ext_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err);
int rh_ext_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                    uint32_t mode, rh_error **err);
int rh_ext_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                   const char *target, rh_error **err);

#endif
