/* fstab.h - what is mounted where, as fstab says it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_FSTAB_H
#define RH_GUESTFIX_LINUX_FSTAB_H

#include "guestfix/engine.h"

/* The volume that a device's name meant on the old machine; NULL: not known.
 * `root_spec` (may be NULL) is what the guest calls `root`. */
const struct rh_volume *rh_device_find(const struct rh_session *s,
                                       const char *root_spec,
                                       const struct rh_volume *root,
                                       const char *spec);

/* Is that by an order of the disks which the package does not settle? */
bool rh_device_guessed(const struct rh_session *s, const char *root_spec,
                       const struct rh_volume *root, const char *spec);

/* One line of fstab, cut into its fields (which point into `line`). */
struct rh_fstab_entry {
    const char *spec, *path, *type, *options;
};
bool rh_fstab_parse(char *line, struct rh_fstab_entry *ret);
/* What it calls the device of "/"; NULL: nothing. */
char *rh_fstab_root(const char *fstab);

/* Ask for the mounts that matter for fixing: /boot, the ESP, /usr ... */
int rh_linux_mounts(struct rh_mounting *m, rh_error **err);

/* What the loader's first entry, or fstab, says of the root's subvolume. */
char *rh_linux_root_options(struct rh_guest *g, bool by_default);

#endif
