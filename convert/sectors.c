/* sectors.c - the partition table of a disk with 4096-byte sectors, rewritten
 * for a target whose disks have sectors of 512.
 *
 * The partitions' bytes stay where they are; only the tables count anew.  GPT:
 * UEFI specification 2.10, 5.3; MBR: 5.2. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "convert/disk.h"

enum {
    OLD = 4096,
    NEW = 512,
    TIMES = OLD / NEW,
    TABLE_MOST = 1024 * 1024, /* bytes of entries; usual are 16 KiB */
};
enum { /* offsets in the GPT's header */
       AT_SIZE = 12,
       AT_SUM = 16,
       AT_MINE = 24,
       AT_OTHER = 32,
       AT_FIRST = 40,
       AT_LAST = 48,
       AT_ENTRIES = 72,
       AT_COUNT = 80,
       AT_ENTRY_SIZE = 84,
       AT_ENTRIES_SUM = 88,
};
enum { /* in the MBR */
       MBR_ENTRIES = 446,
       MBR_ENTRY = 16,
       MBR_TYPE = 4,
       MBR_START = 8,
       MBR_LENGTH = 12,
       GPT_TYPE = 0xee,
};

struct gpt {
    struct rh_reader *disk;
    uint8_t header[NEW];
    uint8_t *entries;
    uint64_t bytes;       /* of entries */
    uint64_t first, last; /* usable sectors, old ones */
    uint64_t end;         /* of the copy at the end, bytes */
};

static uint32_t sum(const uint8_t *p, size_t n)
{
    return (uint32_t)crc32(0, p, (unsigned)n);
}

static int damaged(const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_DISK_SECTORS,
                   "the partition table cannot be rewritten: %s", _(what));
}

static bool is_gpt(const uint8_t *header)
{
    return !memcmp(header, "EFI PART", 8);
}

/* --- reading ---------------------------------------------------------------
 */

static int check_header(struct gpt *g, rh_error **err)
{
    uint32_t size = rh_le32(g->header + AT_SIZE);
    uint64_t sectors = g->disk->size / OLD;
    uint8_t copy[NEW];

    if (size < 92 || size > NEW)
        return damaged(N_("the header's size is not possible"), err);
    memcpy(copy, g->header, NEW);
    rh_put_le32(copy + AT_SUM, 0);
    if (sum(copy, size) != rh_le32(g->header + AT_SUM))
        return damaged(N_("a wrong sum in the header"), err);
    g->first = rh_le64(g->header + AT_FIRST);
    g->last = rh_le64(g->header + AT_LAST);
    if (rh_le64(g->header + AT_MINE) != 1 ||
        rh_le64(g->header + AT_OTHER) >= sectors ||
        rh_le64(g->header + AT_OTHER) <= g->last || g->first > g->last ||
        g->first < 2)
        return damaged(N_("the header's places lie outside the disk"), err);
    g->end = (rh_le64(g->header + AT_OTHER) + 1) * OLD;
    return 0;
}

static int read_entries(struct gpt *g, struct rh_codec *codec, rh_error **err)
{
    uint64_t at = rh_le64(g->header + AT_ENTRIES);
    uint64_t count = rh_le32(g->header + AT_COUNT);
    uint64_t each = rh_le32(g->header + AT_ENTRY_SIZE);

    g->bytes = count * each;
    if (each < 128 || each % 128 || !count || g->bytes > TABLE_MOST || at < 2 ||
        at > g->first || g->bytes > (g->first - at) * OLD)
        return damaged(N_("its entries lie where they cannot"), err);
    g->entries = rh_malloc((size_t)g->bytes);
    if (rh_reader_read(g->disk, codec, g->entries, (size_t)g->bytes, at * OLD,
                       err) < 0)
        return -1;
    if (sum(g->entries, (size_t)g->bytes) !=
        rh_le32(g->header + AT_ENTRIES_SUM))
        return damaged(N_("a wrong sum of its entries"), err);
    return 0;
}

/* --- writing ---------------------------------------------------------------
 */

static int count_anew(struct gpt *g, rh_error **err)
{
    uint64_t each = rh_le32(g->header + AT_ENTRY_SIZE);

    for (uint64_t at = 0; at < g->bytes; at += each) {
        uint8_t *e = g->entries + at;
        uint64_t first = rh_le64(e + 32), last = rh_le64(e + 40);

        if (rh_all_zero(e, 16))
            continue;
        if (first < g->first || last > g->last || first > last)
            return damaged(N_("a partition lies outside the disk"), err);
        rh_put_le64(e + 32, first * TIMES);
        rh_put_le64(e + 40, last * TIMES + TIMES - 1);
    }
    return 0;
}

static void seal(struct gpt *g, uint64_t mine, uint64_t other, uint64_t entries)
{
    uint8_t *h = g->header;

    rh_put_le64(h + AT_MINE, mine);
    rh_put_le64(h + AT_OTHER, other);
    rh_put_le64(h + AT_FIRST, g->first * TIMES);
    rh_put_le64(h + AT_LAST, g->last * TIMES + TIMES - 1);
    rh_put_le64(h + AT_ENTRIES, entries);
    rh_put_le32(h + AT_ENTRIES_SUM, sum(g->entries, (size_t)g->bytes));
    rh_put_le32(h + AT_SUM, 0);
    rh_put_le32(h + AT_SUM, sum(h, rh_le32(h + AT_SIZE)));
}

static int blank(struct gpt *g, uint64_t from, uint64_t to, rh_error **err)
{
    static const uint8_t zeros[OLD];

    for (size_t n; from < to; from += n) {
        n = (size_t)RH_MIN(to - from, (uint64_t)OLD);
        if (rh_overlay_write(g->disk, zeros, n, from, err) < 0)
            return -1;
    }
    return 0;
}

/* Table and copy, in the room that the old ones had. */
static int write_tables(struct gpt *g, rh_error **err)
{
    uint64_t room = rh_round_up(g->bytes, NEW), last = g->end / NEW - 1;
    uint64_t back = g->end - NEW - room, first = g->first * OLD;
    uint64_t behind = (g->last + 1) * OLD;

    if (back < behind || 2 * NEW + room > first)
        return damaged(N_("there is no room for it"), err);
    if (blank(g, NEW, RH_MIN(first, (uint64_t)2 * TABLE_MOST), err) < 0 ||
        blank(g,
              RH_MAX(behind,
                     g->end > 2 * TABLE_MOST ? g->end - 2 * TABLE_MOST : 0),
              g->end, err) < 0)
        return -1;
    seal(g, 1, last, 2);
    if (rh_overlay_write(g->disk, g->header, NEW, NEW, err) < 0 ||
        rh_overlay_write(g->disk, g->entries, (size_t)g->bytes, 2 * NEW, err) <
            0)
        return -1;
    seal(g, last, 1, back / NEW);
    if (rh_overlay_write(g->disk, g->entries, (size_t)g->bytes, back, err) < 0)
        return -1;
    return rh_overlay_write(g->disk, g->header, NEW, last * NEW, err);
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
            return damaged(N_("logical partitions are not rewritten"), err);
        if (start > UINT32_MAX || length > UINT32_MAX)
            return damaged(N_("a partition lies behind 2 TiB"), err);
        if (start + length > disk->size / NEW)
            return damaged(N_("a partition lies outside the disk"), err);
        rh_put_le32(e + MBR_START, (uint32_t)start);
        rh_put_le32(e + MBR_LENGTH, (uint32_t)length);
    }
    return rh_overlay_write(disk, mbr, NEW, 0, err);
}

static int rewrite_gpt(struct gpt *g, struct rh_codec *codec, uint8_t mbr[NEW],
                       rh_error **err)
{
    if (check_header(g, err) < 0 || read_entries(g, codec, err) < 0 ||
        count_anew(g, err) < 0 || write_tables(g, err) < 0)
        return -1;
    return mbr[510] == 0x55 && mbr[511] == 0xaa ? scale_mbr(g->disk, mbr, err)
                                                : 0;
}

int rh_sectors_rewrite(struct rh_reader *overlay, bool known, bool *ret_changed,
                       rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    struct gpt g = {.disk = overlay};
    uint8_t head[OLD + NEW] = {0};
    int failed;

    if (rh_reader_read(overlay, codec, head,
                       (size_t)RH_MIN((uint64_t)sizeof head, overlay->size), 0,
                       err) < 0)
        return -1;
    *ret_changed = false;
    if (!known && is_gpt(head + NEW) && !is_gpt(head + OLD))
        return 0;
    *ret_changed = true;
    if (is_gpt(head + OLD)) {
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
