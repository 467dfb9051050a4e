/* beside.h - disks that a descriptor names by the place they had at the source,
 * and that are looked for beside the descriptor. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_BESIDE_H
#define RH_DESCRIPTORS_BESIDE_H

#include "package/descriptor.h"

/* "/vmfs/...", "C:\\...", "[datastore1] ..." */
bool rh_name_absolute(const char *name);
/* Set d->file, and note the file and the disk; d->id is set already. */
void rh_disk_beside(struct rh_package *p, struct rh_vm *vm,
                    struct rh_disk_config *d, const char *name,
                    enum rh_from from, const char *subject,
                    struct rh_findings *findings);
/* By bus and place, as people and firmware count them; what was said of a disk
 * goes with it. */
void rh_disks_in_order(struct rh_vm *vm, struct rh_findings *findings);

#endif
