/* lease.c - disks as a whole, by an export lease. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "live/vsphere/machine.h"

struct rh_reader *rh_vs_lease_forward(struct rh_live_vm *vm, size_t disk,
                                      const char *snapshot, rh_error **err)
{
    (void)vm, (void)disk, (void)snapshot;
    rh_fail(err, RH_ERR_LIVE_TRANSPORT, "not yet");
    return NULL;
}
struct rh_reader *rh_vs_lease_disk(struct rh_live_vm *vm, size_t disk,
                                   const char *snapshot, rh_error **err)
{
    return rh_vs_lease_forward(vm, disk, snapshot, err);
}
void rh_vs_lease_end(struct rh_live_vm *vm)
{
    (void)vm;
}
