/* ufs.h - UFS1 and UFS2 (FFS) as FreeBSD, OpenBSD and NetBSD write them.
 *
 * Offsets are those of sys/ufs/ffs/fs.h and sys/ufs/ufs/dinode.h of FreeBSD 14;
 * OpenBSD and NetBSD keep the same places.  Little-endian only: amd64, i386 and
 * arm64 are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_UFS_H
#define RH_GUESTFIX_BACKENDS_UFS_H

#include "guestfix/backends/fs.h"

enum {
    RH_UFS_SB_BYTES = 1376, /* of the superblock, as read and checked */
    RH_UFS_SB_SIZE = 8192,  /* the most that it takes on the disk */
    RH_UFS_DIRECT = 12,     /* blocks that an inode names itself */
    RH_UFS_ROOT_INODE = 2,
    RH_UFS_INODE_BYTES = 256, /* of UFS2; UFS1 has half */
};

/* What is checked for a superblock's sums (fs_metackhash). */
enum { RH_UFS_CK_SUPERBLOCK = 1, RH_UFS_CK_GROUP = 2, RH_UFS_CK_INODE = 4 };

struct rh_ufs {
    bool ufs2;
    bool new_dirs; /* d_type and d_namlen are bytes of their own */
    bool solaris;  /* UFS1 as Solaris has it: owners elsewhere, a log */
    uint64_t sb_at;
    uint32_t bsize, fsize, frag; /* bytes of a block, of a fragment; ratio */
    uint32_t ncg, ipg, fpg;      /* groups, inodes and fragments of one */
    uint32_t cblkno, iblkno;     /* fragments from a group's start */
    uint32_t old_cgoffset, old_cgmask;
    uint32_t cgsize; /* bytes */
    uint64_t size;   /* fragments */
    uint64_t csaddr; /* fragment where the groups' totals begin */
    uint32_t nindir; /* addresses in one block */
    uint32_t inopb;  /* inodes in one block */
    uint32_t ck;     /* RH_UFS_CK_...; 0: no sums are kept */
    uint32_t flags;  /* FS_... */
    uint32_t fs_id[2];
    uint64_t written;   /* when the file system was, seconds since 1970 */
    const char *locked; /* why nothing may be written, translated; or NULL */
};

/* An inode, as much of it as is used. */
struct rh_ufs_inode {
    uint64_t number, at; /* `at`: byte in the volume */
    uint8_t raw[RH_UFS_INODE_BYTES];
    struct rh_guest_stat about;
    uint32_t flags;
    uint64_t blocks;                             /* sectors of 512 bytes */
    uint64_t direct[RH_UFS_DIRECT], indirect[3]; /* fragment numbers */
};

static inline struct rh_ufs *rh_ufs_of(struct rh_fs *fs)
{
    return fs->state;
}

/* ufs.c */
int rh_ufs_inode(struct rh_fs *fs, uint64_t number, struct rh_ufs_inode *ret,
                 rh_error **err);
/* The fragment where block `lbn` of a file begins; 0: a hole. */
int rh_ufs_block(struct rh_fs *fs, const struct rh_ufs_inode *i, uint64_t lbn,
                 uint64_t *ret, rh_error **err);
/* One entry of a folder. */
struct rh_ufs_entry {
    uint64_t inode, at; /* `at`: byte in the folder's file */
    uint32_t reclen, namlen;
    char name[256];
};
/* Find `name`; FILE_NOT_FOUND otherwise. */
int rh_ufs_find(struct rh_fs *fs, uint64_t dir, const char *name,
                struct rh_ufs_entry *ret, rh_error **err);
int rh_ufs_damaged(struct rh_fs *fs, const char *what, rh_error **err);
/* First fragment of a group, where its maps and inodes are counted from. */
uint64_t rh_ufs_group_start(const struct rh_ufs *u, uint32_t group);

/* ufs_edit.c: in place, nothing is ever moved. */
int rh_ufs_rewrite(struct rh_fs *fs, uint64_t node, const void *bytes, size_t n,
                   rh_error **err);
int rh_ufs_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err);

#endif
