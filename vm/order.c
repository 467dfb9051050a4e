/* order.c - disks in the order that firmware and people count them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vm/order.h"

static unsigned bus_rank(const struct rh_disk_config *d)
{
    static const char *const order[] = {"ide", "scsi", "sata", "nvme",
                                        "virtio"};
    const char *bus = d->controller.kind == RH_VALUE_TEXT
                          ? rh_controller_bus(d->controller.text)
                          : NULL;

    for (unsigned i = 0; bus && i < RH_COUNT(order); i++) {
        if (!strcmp(order[i], bus))
            return i;
    }
    return RH_COUNT(order);
}

static bool comes_before(const struct rh_disk_config *a,
                         const struct rh_disk_config *b)
{
    unsigned x = bus_rank(a), y = bus_rank(b);

    if (x != y)
        return x < y;
    if (a->bus.number != b->bus.number)
        return a->bus.number < b->bus.number;
    if (a->unit.kind == RH_VALUE_UNSET || b->unit.kind == RH_VALUE_UNSET)
        return false;
    return a->unit.number < b->unit.number;
}

/* Stable, so that disks without an address keep the descriptor's order. */
void rh_vm_sort_disks(struct rh_vm *vm)
{
    for (size_t i = 1; i < vm->disks.count; i++) {
        struct rh_disk_config moved = vm->disks.items[i];
        size_t j = i;

        while (j && comes_before(&moved, &vm->disks.items[j - 1])) {
            vm->disks.items[j] = vm->disks.items[j - 1];
            j--;
        }
        vm->disks.items[j] = moved;
    }
}
