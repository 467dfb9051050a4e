/* xfs.h - XFS, read-only: enough to look into a guest in milliseconds. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_XFS_H
#define RH_GUESTFIX_BACKENDS_XFS_H

#include "guestfix/backends/fs.h"

struct rh_xfs {
    uint32_t block, agblocks, agcount; /* bytes; blocks; groups */
    uint64_t blocks;                   /* in all */
    uint32_t inode_size, dir_block;    /* bytes */
    unsigned agblklog, inopblog;
    uint64_t root, free_blocks;
    bool v5, ftype;
    uint64_t log_at;     /* bytes from the volume's start; 0: elsewhere */
    uint32_t log_blocks; /* of 512 bytes */
};

/* xfs_log.c: does the journal end with a clean unmount?  What was not written
 * back yet would be missed otherwise. */
int rh_xfs_log_clean(struct rh_fs *fs, const struct rh_xfs *x, bool *ret,
                     rh_error **err);

#endif
