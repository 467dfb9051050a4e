/* btrfs.c - any bytes as a btrfs: walked and read, by every subvolume.
 *
 * Like xfs.c, a list of blocks, each behind its number (two bytes,
 * little-endian).  Those that look like blocks of its trees, and its
 * superblock, get their checksums here: no mutation would get past them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "fuzz/guest_fs.h"
#include "guestfix/backends/btrfs.h"

enum { DISK = 16 * 1024 * 1024, BLOCK = 4096, SUPER = 65536 };

static uint8_t disk[DISK];

static uint8_t *place(const uint8_t *data, size_t at)
{
    return disk + (size_t)BLOCK * (rh_le16(data + at) % (DISK / BLOCK));
}

static void put_sum(uint8_t *block)
{
    rh_put_le32(block, ~rh_btrfs_crc32c(~0U, block + 32, BLOCK - 32));
}

static void look(struct rh_fs *fs)
{
    static const char *const options[] = {"subvolid=5", "subvol=a",
                                          "ro,subvol=/a/b,subvolid=257",
                                          "subvolid=256"};
    uint64_t root = fs->ops->root, n;
    struct rh_subvolume sub;
    unsigned left = 200;
    char *target;

    walk_fs(fs, root, 0, &left);
    for (size_t i = 0; i < RH_COUNT(options); i++)
        if (fs->ops->subvolume(fs, options[i], &sub, NULL) == 0) {
            left = 50;
            walk_fs(fs, sub.root, 0, &left);
        }
    if (fs->ops->lookup(fs, root, "link", &n, NULL) == 0 &&
        fs->ops->read_link(fs, n, &target, NULL) == 0)
        free(target);
    fs->ops->free_space(fs, &n, NULL);
    ask_unused(fs, DISK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_disk g;
    struct rh_span span = {.length = DISK};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    const char *why = NULL;

    for (size_t at = 0; at + 2 + BLOCK <= size; at += 2 + BLOCK)
        memcpy(place(data, at), data + at + 2, BLOCK);
    for (size_t at = 0; at + 2 + BLOCK <= size; at += 2 + BLOCK)
        if (place(data, at) == disk + SUPER ||
            !memcmp(place(data, at) + 32, disk + SUPER + 32, 16))
            put_sum(place(data, at));
    if (guest_disk_open(&g, disk, DISK)) {
        struct rh_fs *fs = rh_btrfs_open(g.disks, &v, &why, NULL);

        if (fs) {
            look(fs);
            fs = rh_scratch_new(fs);
            edit_fs(fs);
            fs->ops->go_back(fs, NULL);
            fs->ops->close(fs);
        }
    }
    guest_disk_close(&g);
    for (size_t at = 0; at + 2 + BLOCK <= size; at += 2 + BLOCK)
        memset(place(data, at), 0, BLOCK);
    return 0;
}
