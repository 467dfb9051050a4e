/* volumes.c - any bytes as a disk: partition tables, signatures, LVM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "fuzz/guest_disk.h"
#include "volumes/volumes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_disk g;
    struct rh_volumes v = {0};

    if (guest_disk_open(&g, data, size)) {
        rh_volumes_find(g.disks, NULL, &v, NULL);
        for (size_t i = 0; i < v.all.count; i++) {
            const struct rh_volume *one = &v.all.items[i];

            for (size_t k = 0; k < one->span_count; k++)
                if (one->spans[k].offset + one->spans[k].length > size)
                    abort();
        }
        rh_volume_named(&v, "/dev/sda1");
        rh_volume_named(&v, "UUID=\"x\"");
        rh_volumes_free(&v);
    }
    guest_disk_close(&g);
    return 0;
}
