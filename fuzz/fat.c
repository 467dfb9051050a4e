/* fat.c - any bytes as a FAT file system: walked, read, edited.  A FAT16 takes
 * 2 MiB at least; what the input lacks of them are zeros. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "fuzz/guest_fs.h"

enum { ROOM = 3 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t disk[ROOM];

    memcpy(disk, data, RH_MIN(size, (size_t)ROOM));
    memset(disk + RH_MIN(size, (size_t)ROOM), 0,
           ROOM - RH_MIN(size, (size_t)ROOM));
    try_fs(disk, ROOM, rh_fat_open);
    return 0;
}
