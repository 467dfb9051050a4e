/* zfs.c - any bytes as the nvlist of a ZFS label. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "fuzz/guest_disk.h"
#include "volumes/volumes.h"

enum { LIST_AT = 16 * 1024, LIST_SIZE = 112 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t disk[LIST_AT + LIST_SIZE];
    struct rh_span span = {.length = sizeof disk};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    struct rh_arena *arena = rh_arena_new();
    struct guest_disk g;

    size = RH_MIN(size, (size_t)LIST_SIZE);
    memcpy(disk + LIST_AT, data, size);
    memset(disk + LIST_AT + size, 0, LIST_SIZE - size);
    if (guest_disk_open(&g, disk, sizeof disk)) {
        rh_zfs_read(g.disks, &v, arena, NULL);
        if (v.zfs && (!v.zfs->pool || !v.zfs->vdev))
            abort();
    }
    guest_disk_close(&g);
    rh_arena_free(arena);
    return 0;
}
