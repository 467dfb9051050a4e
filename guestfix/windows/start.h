/* start.h - does Windows start from a disk on this kind of controller? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_START_H
#define RH_GUESTFIX_WINDOWS_START_H

#include "guestfix/windows/windows.h"

/* What must start before Windows can read a disk of this kind. */
struct rh_win_path {
    const char *disk;  /* as in struct rh_machine: "ide", "pvscsi" */
    unsigned from, to; /* versions, major * 100 + minor */
    bool in_box;       /* drivers of Windows itself: they may be switched on;
                          others only if Windows has bound them */
    const char *bound; /* begin of the PCI ids that they are bound to */
    const char *needed[4], *also[2]; /* services, NULL-ended */
};

/* NULL: no driver of this version of Windows is known for it. */
const struct rh_win_path *rh_win_path(const struct rh_windows *w,
                                      const char *disk);
/* As it stands in the hive.  *ret_service: the one that lacks something. */
enum rh_win_start rh_win_start_of(const struct rh_windows *w,
                                  struct rh_hive *system, const char *disk,
                                  const char **ret_service);
/* Fill w->starts for every kind of disk. */
void rh_win_starts(struct rh_windows *w, struct rh_hive *system,
                   const char *drivers);
const struct rh_win_disk *rh_win_starts_on(const struct rh_windows *w,
                                           const char *disk);

/* Does --drivers hold the driver of a virtio disk for this Windows?  If it
 * would not be loaded, *ret_refusal says why. */
bool rh_win_has_virtio(const struct rh_windows *w, const char *drivers,
                       const char *disk, const char **ret_refusal);

/* The file of a driver in the guest; the caller frees. */
char *rh_win_driver_file(const struct rh_windows *w, struct rh_hive *system,
                         rh_key service, const char *name);

#endif
