/* fat_edit.c - FAT file systems edited by programs.
 *
 * Byte 0: the kind of image (a small one that is made here, with tiny or large
 * clusters; or the input's own bytes), byte 1: the program's length. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/edit_fs.h"

#include "base/bytes.h"
#include "volumes/fat.h"

enum { ROOM = 3 * 1024 * 1024, SECTOR = 512 };
static uint8_t disk[ROOM];

static const struct shape {
    unsigned bits, per_cluster, root_entries, table;
    unsigned sectors;
} shapes[] = {
    {12, 1, 16, 3, 600},   {12, 1, 64, 12, 4000},  {12, 8, 512, 2, 2000},
    {16, 1, 16, 24, 5200}, {16, 1, 512, 24, 5200}, {32, 1, 0, 6, 700},
    {32, 2, 0, 16, 3000},  {32, 8, 0, 4, 3000},
};

/* An empty file system: the size of the image. */
static size_t make(const struct shape *s)
{
    uint8_t *b = disk, *table = disk + 2 * SECTOR;

    memset(disk, 0, sizeof disk);
    memcpy(b, "\xeb\x58\x90mkfs.fat", 11);
    rh_put_le16(b + 11, SECTOR);
    b[13] = (uint8_t)s->per_cluster;
    rh_put_le16(b + 14, 2);
    b[16] = 2;
    rh_put_le16(b + 17, (uint16_t)s->root_entries);
    rh_put_le16(b + 19, (uint16_t)s->sectors);
    b[21] = 0xf8;
    if (s->bits == 32) {
        rh_put_le32(b + 36, s->table);
        rh_put_le32(b + 44, 2);
        rh_put_le16(b + 48, 1);
        memcpy(b + SECTOR, "RRaA", 4);
        memcpy(b + SECTOR + 484, "rrAa", 4);
    } else {
        rh_put_le16(b + 22, (uint16_t)s->table);
    }
    rh_put_le16(b + 510, 0xaa55);
    for (unsigned i = 0; i < 2; i++, table += s->table * SECTOR) {
        memset(table, 0xff, s->bits == 12 ? 3 : s->bits / 4);
        if (s->bits == 32)
            rh_put_le32(table + 8, 0x0fffffff);
    }
    return (size_t)s->sectors * SECTOR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p = {.bytes = data + 2};
    size_t n;

    if (size < 2)
        return 0;
    p.n = RH_MIN((size_t)data[1] * 2, size - 2);
    if (data[0] % 9 == RH_COUNT(shapes)) {
        size_t rest = RH_MIN(size - 2 - p.n, (size_t)ROOM);

        memset(disk, 0, sizeof disk);
        memcpy(disk, data + 2 + p.n, rest);
        n = ROOM;
    } else {
        n = make(&shapes[data[0] % 9]);
        p.n = size - 2;
    }
    edit_image(disk, n, &p, rh_fat_open, true);
    return 0;
}
