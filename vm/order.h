/* order.h - disks in the order that firmware and people count them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VM_ORDER_H
#define RH_VM_ORDER_H

#include "vm/vm.h"

/* By kind of bus (IDE, SCSI, SATA, NVMe, virtio), controller and place. */
void rh_vm_sort_disks(struct rh_vm *vm);

#endif
