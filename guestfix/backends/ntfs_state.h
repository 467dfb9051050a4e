/* ntfs_state.h - was an NTFS volume left clean?
 *
 * rehost-ntfs asks its library; where the appliance mounts the volume nobody
 * says, and a mount for writing would empty a log that still counts. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_NTFS_STATE_H
#define RH_GUESTFIX_BACKENDS_NTFS_STATE_H

#include "guestfix/backends/fs.h"
#include "ntfs/protocol.h"

/* $LogFile's contents: read() gives all n bytes, or -1. */
struct rh_ntfs_log {
    int (*read)(void *user, uint64_t offset, void *ret, size_t n,
                rh_error **err);
    void *user;
    uint64_t size;
};

/* RH_NTFS_UNCLEAN, RH_NTFS_CACHED or 0; what is not understood is unclean. */
int rh_ntfs_log_state(const struct rh_ntfs_log *log, uint64_t *ret,
                      rh_error **err);
/* RH_NTFS_CHKDSK or 0, by the record of $Volume; one that makes no sense is for
 * chkdsk, too. */
int rh_ntfs_volume_state(struct rh_disks *d, const struct rh_volume *v,
                         uint64_t *ret, rh_error **err);
/* RH_NTFS_HIBERNATED or 0, by the first bytes of hiberfil.sys. */
enum { RH_NTFS_HIBERFIL_HEAD = 4096 };
uint64_t rh_ntfs_hiberfil_state(const void *head, size_t n);

/* What keeps it from being written, as trouble of the file system. */
void rh_ntfs_tell_state(struct rh_fs *fs, uint64_t state);

#endif
