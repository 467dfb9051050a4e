/* zfs.h - parts of the ZFS back end that stand alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_ZFS_H
#define RH_GUESTFIX_BACKENDS_ZFS_H

#include "guestfix/backends/fs.h"

struct rh_zfs_entry {
    const char *name; /* in the arena */
    char type;        /* 'f', 'd' */
    uint64_t size;    /* UINT64_MAX: GRUB could not open it */
    uint64_t changed; /* 20241231235959; 0: not told */
};
struct rh_zfs_entries {
    struct rh_zfs_entry *items;
    size_t count, room;
};
/* What `ls -l -a` of GRUB prints of a folder.  Lines that are none are passed
 * over. */
void rh_zfs_listing(struct rh_arena *a, const char *text,
                    struct rh_zfs_entries *ret);

#endif
