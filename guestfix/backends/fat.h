/* fat.h - between looking into a FAT file system and editing it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_FAT_H
#define RH_GUESTFIX_BACKENDS_FAT_H

#include "guestfix/backends/fs.h"
#include "volumes/fat.h"

/* A node is the first cluster of its folder (high half) and the index of its
 * short entry there, plus 2; the root is 1. */
enum { RH_FAT_ROOT = 1 };

struct rh_fat_fs {
    struct rh_fat f;
    bool *changed; /* per 512 bytes of the table */
    uint32_t free; /* clusters */
    bool sound;    /* the tree was gone through: it may be edited */
};

static inline struct rh_fat_fs *rh_fat_of(struct rh_fs *fs)
{
    return fs->state;
}

/* The folder that a node is, as a whole. */
int rh_fat_open_dir(struct rh_fs *fs, uint64_t node, struct rh_fat_dir *ret,
                    rh_error **err);
/* fat_sound.c: does every file have its clusters for itself, and are they
 * marked as used?  -1 where they are not. */
int rh_fat_check(struct rh_fs *fs, rh_error **err);

/* fat_edit.c, as in struct rh_fs_ops. */
int rh_fat_create(struct rh_fs *fs, uint64_t dir, const char *name,
                  const void *bytes, size_t n, uint32_t mode, uint64_t like,
                  rh_error **err);
int rh_fat_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                  rh_error **err);
int rh_fat_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err);
int rh_fat_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                    uint32_t mode, rh_error **err);
int rh_fat_sync(struct rh_fs *fs, rh_error **err);

#endif
