/* disks.h - the guest's disks as bytes to read and write, through a small
 * cache: a compressed grain that holds a hundred inodes is inflated once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_DISKS_H
#define RH_VOLUMES_DISKS_H

#include <pthread.h>

#include "formats/format.h"
#include "volumes/volume.h"

struct rh_disks;
/* The overlays are borrowed. */
struct rh_disks *rh_disks_new(struct rh_reader **overlays, size_t count,
                              rh_lib *lib);
void rh_disks_free(struct rh_disks *d);
RH_FREEP(rh_disks_freep, struct rh_disks, rh_disks_free)

/* Another thread uses the overlays as well, with this lock, which is held here
 * for each use of them; NULL: no longer.
 * What it writes is not seen in what was read here before. */
void rh_disks_share(struct rh_disks *d, pthread_mutex_t *lock);
/* rh_overlay_mark(), _keep() and _go_back() of all of them. */
void rh_disks_mark(struct rh_disks *d);
void rh_disks_keep(struct rh_disks *d);
void rh_disks_go_back(struct rh_disks *d);
/* Hold nothing of what was read. */
void rh_disks_forget(struct rh_disks *d);
rh_lib *rh_disks_lib(const struct rh_disks *d);
size_t rh_disks_count(const struct rh_disks *d);
uint64_t rh_disks_size(const struct rh_disks *d, size_t disk);
int rh_disks_read(struct rh_disks *d, size_t disk, void *buf, size_t n,
                  uint64_t offset, rh_error **err);
int rh_disks_write(struct rh_disks *d, size_t disk, const void *buf, size_t n,
                   uint64_t offset, rh_error **err);

/* Bytes of a volume, wherever its spans lie. */
uint64_t rh_volume_bytes(const struct rh_volume *v); /* bytes its spans hold */
int rh_volume_read(struct rh_disks *d, const struct rh_volume *v, void *buf,
                   size_t n, uint64_t offset, rh_error **err);
int rh_volume_write(struct rh_disks *d, const struct rh_volume *v,
                    const void *buf, size_t n, uint64_t offset, rh_error **err);

#endif
