/* sectors.c - the partition table of a disk with 4096-byte sectors, rewritten
 * for a target whose disks have sectors of 512.
 *
 * The partitions' bytes stay where they are; only the tables count anew.  GPT:
 * UEFI specification 2.10, 5.3; MBR: 5.2. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "convert/disk.h"
#include "convert/gpt.h"
#include "volumes/volumes.h"

enum {
    OLD = 4096,
    NEW = 512,
    TIMES = OLD / NEW,
    TABLE_MOST = 1024 * 1024, /* bytes of entries */
};
enum { /* in the MBR */
       MBR_ENTRIES = 446,
       MBR_ENTRY = 16,
       MBR_TYPE = 4,
       MBR_START = 8,
       MBR_LENGTH = 12,
       GPT_TYPE = 0xee,
};

/* --- writing ---------------------------------------------------------------
 */

static int count_anew(struct rh_gpt *g, rh_error **err)
{
    for (uint64_t at = 0; at < g->bytes; at += g->each) {
        uint8_t *e = g->entries + at;
        uint64_t first = rh_le64(e + 32), last = rh_le64(e + 40);

        if (rh_all_zero(e, 16))
            continue;
        if (first < g->first || last > g->last || first > last)
            return rh_gpt_unsound(N_("a partition lies outside the disk"), err);
        rh_put_le64(e + 32, first * TIMES);
        rh_put_le64(e + 40, last * TIMES + TIMES - 1);
    }
    return 0;
}

/* Table and copy, in the room that the old ones had. */
static int write_tables(struct rh_gpt *g, rh_error **err)
{
    uint64_t end = (g->other + 1) * OLD, first = g->first * OLD;
    uint64_t behind = (g->last + 1) * OLD;

    if (rh_gpt_blank(g, NEW, RH_MIN(first, (uint64_t)2 * TABLE_MOST), err) <
            0 ||
        rh_gpt_blank(
            g, RH_MAX(behind, end > 2 * TABLE_MOST ? end - 2 * TABLE_MOST : 0),
            end, err) < 0)
        return -1;
    g->sector = NEW;
    g->at = 2;
    g->first *= TIMES;
    g->last = g->last * TIMES + TIMES - 1;
    return rh_gpt_write(g, end / NEW - 1, err);
}

/* --- the MBR ---------------------------------------------------------------
 */

static int scale_mbr(struct rh_reader *disk, uint8_t mbr[NEW], rh_error **err)
{
    for (size_t i = 0; i < 4; i++) {
        uint8_t *e = mbr + MBR_ENTRIES + i * MBR_ENTRY;
        uint64_t start = rh_le32(e + MBR_START) * (uint64_t)TIMES;
        uint64_t length = rh_le32(e + MBR_LENGTH) * (uint64_t)TIMES;

        if (!e[MBR_TYPE])
            continue;
        if (e[MBR_TYPE] == GPT_TYPE && start == TIMES) { /* protects the GPT */
            start = 1;
            length = RH_MIN(disk->size / NEW - 1, (uint64_t)UINT32_MAX);
        }
        if (e[MBR_TYPE] == 5 || e[MBR_TYPE] == 15 || e[MBR_TYPE] == 0x85)
            return rh_gpt_unsound(N_("logical partitions are not rewritten"),
                                  err);
        if (start > UINT32_MAX || length > UINT32_MAX)
            return rh_gpt_unsound(N_("a partition lies behind 2 TiB"), err);
        if (start + length > disk->size / NEW)
            return rh_gpt_unsound(N_("a partition lies outside the disk"), err);
        rh_put_le32(e + MBR_START, (uint32_t)start);
        rh_put_le32(e + MBR_LENGTH, (uint32_t)length);
    }
    return rh_overlay_write(disk, mbr, NEW, 0, err);
}

static int rewrite_gpt(struct rh_gpt *g, struct rh_codec *codec,
                       uint8_t mbr[NEW], rh_error **err)
{
    if (rh_gpt_read(g, codec, err) < 0 || count_anew(g, err) < 0 ||
        write_tables(g, err) < 0)
        return -1;
    return mbr[510] == 0x55 && mbr[511] == 0xaa ? scale_mbr(g->disk, mbr, err)
                                                : 0;
}

/* --- what counts in such sectors itself ------------------------------------
 */

/* The boot sector of FAT, NTFS and exFAT says how long its sectors are. */
static const char *counts_in_4096(const uint8_t *p)
{
    if (p[510] != 0x55 || p[511] != 0xaa)
        return NULL;
    if (!memcmp(p + 3, "EXFAT   ", 8))
        return p[108] == 12 ? "exFAT" : NULL;
    if (rh_le16(p + 11) != OLD)
        return NULL;
    if (!memcmp(p + 3, "NTFS    ", 8))
        return "NTFS";
    return !memcmp(p + 0x36, "FAT", 3) || !memcmp(p + 0x52, "FAT32", 5) ? "FAT"
                                                                        : NULL;
}

int rh_sectors_inside(struct rh_reader *overlay, rh_lib *lib,
                      struct rh_reader *told, rh_error **err)
{
    RH_AUTO(rh_disks_freep)
    struct rh_disks *d = rh_disks_new(&overlay, 1, lib);
    RH_AUTO(rh_volumes_free) struct rh_volumes v = {.arena = rh_arena_new()};

    rh_disk_names(NULL, 1, v.arena, &rh_vec_add(&v.disks)->name);
    if (rh_table_read(d, 0, &v, err) < 0)
        return -1;
    for (size_t i = 0; i < v.all.count; i++) {
        const struct rh_volume *one = &v.all.items[i];
        uint8_t head[NEW];
        const char *what;

        if (one->size < NEW)
            continue;
        if (rh_disks_read(d, 0, head, sizeof head, one->offset, err) < 0)
            return -1;
        what = counts_in_4096(head);
        if (what)
            rh_problem_add(told, "DISK-SECTORS-INSIDE",
                           N_("the file system on partition %u (%s) counts in "
                              "sectors of 4096 bytes itself and is left so"),
                           one->partition, what);
    }
    return 0;
}

int rh_sectors_rewrite(struct rh_reader *overlay, bool known, bool *ret_changed,
                       rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    struct rh_gpt g = {.disk = overlay, .sector = OLD};
    uint8_t head[OLD + NEW] = {0};
    int failed;

    if (rh_reader_read(overlay, codec, head,
                       (size_t)RH_MIN((uint64_t)sizeof head, overlay->size), 0,
                       err) < 0)
        return -1;
    *ret_changed = false;
    if (!known && rh_gpt_is(head + NEW) && !rh_gpt_is(head + OLD))
        return 0;
    *ret_changed = true;
    if (rh_gpt_is(head + OLD)) {
        memcpy(g.header, head + OLD, NEW);
        failed = rewrite_gpt(&g, codec, head, err);
        free(g.entries);
        return failed;
    }
    if (known && head[510] == 0x55 && head[511] == 0xaa)
        return scale_mbr(overlay, head, err);
    return rh_fail(err, RH_ERR_DISK_SECTORS,
                   "it has no partition table that counts in sectors of 4096 "
                   "bytes");
}
