/* xfs.c - any bytes as an XFS: walked and read, edited in memory.
 *
 * The smallest XFS takes 16 MiB, nearly all of them zeros: the input is a list
 * of sectors, each behind its number (two bytes, little-endian). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "fuzz/guest_fs.h"

enum { DISK = 16 * 1024 * 1024, SECTOR = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t disk[DISK];
    struct guest_disk g;
    struct rh_span span = {.length = DISK};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    unsigned left = 200;
    const char *why;
    struct rh_fs *fs;

    for (size_t at = 0; at + 2 + SECTOR <= size; at += 2 + SECTOR)
        memcpy(disk + (size_t)SECTOR * (rh_le16(data + at) % (DISK / SECTOR)),
               data + at + 2, SECTOR);
    if (guest_disk_open(&g, disk, DISK)) {
        fs = rh_xfs_open(g.disks, &v, &why, NULL);
        if (fs) {
            walk_fs(fs, fs->ops->root, 0, &left);
            fs = rh_scratch_new(fs);
            edit_fs(fs);
            fs->ops->go_back(fs, NULL);
            fs->ops->close(fs);
        }
    }
    guest_disk_close(&g);
    for (size_t at = 0; at + 2 + SECTOR <= size; at += 2 + SECTOR)
        memset(disk + (size_t)SECTOR * (rh_le16(data + at) % (DISK / SECTOR)),
               0, SECTOR);
    return 0;
}
