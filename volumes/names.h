/* names.h - how the VM's disks are counted, and what Linux on VMware called
 * them.
 *
 * There is one number for a disk everywhere: its index in vm->disks.  Firmware
 * and Linux count the disks by their slots; this is the one place that knows
 * how. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_NAMES_H
#define RH_VOLUMES_NAMES_H

#include "vm/vm.h"

struct rh_disk_name {
    const char *device; /* "/dev/sda" */
    /* The package does not say the slot of this disk or of one that is counted
     * with it, two share one, or several drivers count them. */
    bool guessed;
};

/* ret_order[n]: the n-th disk as they are counted, an index of vm->disks.  `vm`
 * may be NULL. */
void rh_disk_order(const struct rh_vm *vm, size_t count, size_t *ret_order);
/* ret[i]: the name of disk i. */
void rh_disk_names(const struct rh_vm *vm, size_t count, struct rh_arena *a,
                   struct rh_disk_name *ret);

#endif
