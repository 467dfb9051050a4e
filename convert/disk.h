/* disk.h - one virtual disk as the public calls have it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_DISK_H
#define RH_CONVERT_DISK_H

#include <pthread.h>

#include "convert/disk_source.h"
#include "rehost/rehost.h"

struct rh_disk {
    rh_lib *lib;
    uint64_t size; /* bytes; storing the disk does not change it */
    /* Held by every call but those that only read: they take it while the disk
     * is stored, which happens once. */
    pthread_mutex_t lock;
    struct rh_disk_source source;
    bool borrowed; /* its reader is a job's */
};

void rh_disk_unlock(pthread_mutex_t **lock);
pthread_mutex_t *rh_disk_lock(const rh_disk *d);
/* Until the end of the block this disk is ours. */
#define RH_LOCKED(d)                                                           \
    __attribute__((unused)) RH_AUTO(rh_disk_unlock) pthread_mutex_t *locked_ = \
        rh_disk_lock(d)

/* A disk with sectors of 4096 bytes: its partition table, rewritten through the
 * overlay for sectors of 512 (sectors.c).  `known`: its file says that it has
 * such sectors.  *ret_changed is false when the table counts in 512 already. */
/* File systems that count in sectors of 4096 bytes themselves become problems
 * of `told`.  The overlay's table counts in 512. */
int rh_sectors_inside(struct rh_reader *overlay, rh_lib *lib,
                      struct rh_reader *told, rh_error **err);
int rh_sectors_rewrite(struct rh_reader *overlay, bool known, bool *ret_changed,
                       rh_error **err);

#endif
