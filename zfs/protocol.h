/* protocol.h - what rehost and the window of grub-fstest say to each other.
 *
 * One socket of packets.  Each request is a struct rh_zfs_ask, each answer a
 * struct rh_zfs_answer with the bytes behind it; numbers are in the machine's
 * own order (both run on it). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef REHOST_ZFS_PROTOCOL_H
#define REHOST_ZFS_PROTOCOL_H

#include <stdint.h>

enum {
    RH_ZFS_DISKS = 32,       /* volumes of one pool, at most */
    RH_ZFS_PART = 32 * 1024, /* bytes of one answer, at most */
    RH_ZFS_NO_WALLS = 77,    /* exit status: the kernel gave no sandbox */
};

struct rh_zfs_ask {
    uint32_t disk;
    uint32_t length; /* 0: how large is the disk? */
    uint64_t at;
};

struct rh_zfs_answer {
    uint64_t value; /* the size, or the bytes that follow */
};

#endif
