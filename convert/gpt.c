/* gpt.c - the tables of a GPT, for disks that change their length or sectors.
 *
 * UEFI specification 2.10, 5.3: a header in the second sector, its entries
 * behind it, and a copy of both at the disk's very end. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/gpt.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/limits.h"

enum { TABLE_MOST = 1024 * 1024 }; /* bytes of entries; usual are 16 KiB */
enum {                             /* offsets in the header */
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
enum { /* in the protective MBR */
       MBR_ENTRIES = 446,
       MBR_ENTRY = 16,
       MBR_TYPE = 4,
       MBR_START = 8,
       MBR_LENGTH = 12,
       GPT_TYPE = 0xee,
};

static uint32_t sum(const uint8_t *p, size_t n)
{
    return (uint32_t)crc32(0, p, (unsigned)n);
}

int rh_gpt_unsound(const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_DISK_SECTORS,
                   "the partition table cannot be rewritten: %s", _(what));
}

bool rh_gpt_is(const uint8_t *header)
{
    return !memcmp(header, "EFI PART", 8);
}

/* --- reading ---------------------------------------------------------------
 */

static bool sum_fits(const uint8_t header[RH_GPT_HEADER], uint32_t size)
{
    uint8_t copy[RH_GPT_HEADER];

    memcpy(copy, header, sizeof copy);
    rh_put_le32(copy + AT_SUM, 0);
    return sum(copy, size) == rh_le32(header + AT_SUM);
}

static int check_header(struct rh_gpt *g, rh_error **err)
{
    uint32_t size = rh_le32(g->header + AT_SIZE);
    uint64_t sectors = g->disk->size / g->sector;

    if (size < 92 || size > RH_GPT_HEADER)
        return rh_gpt_unsound(N_("the header's size is not possible"), err);
    if (!sum_fits(g->header, size))
        return rh_gpt_unsound(N_("a wrong sum in the header"), err);
    g->first = rh_le64(g->header + AT_FIRST);
    g->last = rh_le64(g->header + AT_LAST);
    g->other = rh_le64(g->header + AT_OTHER);
    if (rh_le64(g->header + AT_MINE) != 1 || g->other >= sectors ||
        g->other <= g->last || g->first > g->last || g->first < 2)
        return rh_gpt_unsound(N_("the header's places lie outside the disk"),
                              err);
    return 0;
}

static int read_entries(struct rh_gpt *g, struct rh_codec *codec,
                        rh_error **err)
{
    uint64_t at = rh_le64(g->header + AT_ENTRIES);
    uint64_t count = rh_le32(g->header + AT_COUNT);

    g->at = at;
    g->each = rh_le32(g->header + AT_ENTRY_SIZE);
    g->bytes = count * g->each;
    if (g->each < 128 || g->each % 128 || !count || g->bytes > TABLE_MOST ||
        at < 2 || at > g->first || g->bytes > (g->first - at) * g->sector)
        return rh_gpt_unsound(N_("its entries lie where they cannot"), err);
    g->entries = rh_malloc((size_t)g->bytes);
    if (rh_reader_read(g->disk, codec, g->entries, (size_t)g->bytes,
                       at * g->sector, err) < 0)
        return -1;
    if (sum(g->entries, (size_t)g->bytes) !=
        rh_le32(g->header + AT_ENTRIES_SUM))
        return rh_gpt_unsound(N_("a wrong sum of its entries"), err);
    return 0;
}

int rh_gpt_read(struct rh_gpt *g, struct rh_codec *codec, rh_error **err)
{
    return check_header(g, err) < 0 ? -1 : read_entries(g, codec, err);
}

/* --- writing ---------------------------------------------------------------
 */

static void seal(struct rh_gpt *g, uint64_t mine, uint64_t other,
                 uint64_t entries)
{
    uint8_t *h = g->header;

    rh_put_le64(h + AT_MINE, mine);
    rh_put_le64(h + AT_OTHER, other);
    rh_put_le64(h + AT_FIRST, g->first);
    rh_put_le64(h + AT_LAST, g->last);
    rh_put_le64(h + AT_ENTRIES, entries);
    rh_put_le32(h + AT_ENTRIES_SUM, sum(g->entries, (size_t)g->bytes));
    rh_put_le32(h + AT_SUM, 0);
    rh_put_le32(h + AT_SUM, sum(h, rh_le32(h + AT_SIZE)));
}

int rh_gpt_blank(struct rh_gpt *g, uint64_t from, uint64_t to, rh_error **err)
{
    static const uint8_t zeros[4096];

    for (size_t n; from < to; from += n) {
        n = (size_t)RH_MIN(to - from, (uint64_t)sizeof zeros);
        if (rh_overlay_write(g->disk, zeros, n, from, err) < 0)
            return -1;
    }
    return 0;
}

static int put(struct rh_gpt *g, uint64_t header, uint64_t entries,
               rh_error **err)
{
    if (rh_overlay_write(g->disk, g->entries, (size_t)g->bytes,
                         entries * g->sector, err) < 0)
        return -1;
    return rh_overlay_write(g->disk, g->header, RH_GPT_HEADER,
                            header * g->sector, err);
}

int rh_gpt_write(struct rh_gpt *g, uint64_t last, rh_error **err)
{
    uint64_t room = rh_div_up(g->bytes, g->sector);

    if (last < room + 2 || last - room <= g->last || g->at > g->first ||
        room > g->first - g->at)
        return rh_gpt_unsound(N_("there is no room for it"), err);
    seal(g, 1, last, g->at);
    if (put(g, 1, g->at, err) < 0)
        return -1;
    seal(g, last, 1, last - room);
    return put(g, last, last - room, err);
}

/* --- a longer disk ---------------------------------------------------------
 */

/* What was the copy, if it is one; what lies between is no one's. */
static int forget_copy(struct rh_gpt *g, struct rh_codec *codec, rh_error **err)
{
    uint8_t old[RH_GPT_HEADER];
    uint64_t at, room = rh_div_up(g->bytes, g->sector);

    if (rh_reader_read(g->disk, codec, old, sizeof old, g->other * g->sector,
                       err) < 0)
        return -1;
    if (!rh_gpt_is(old) || rh_le64(old + AT_MINE) != g->other)
        return 0;
    at = rh_le64(old + AT_ENTRIES);
    if (at > g->last && at < g->other && room <= g->other - at &&
        rh_gpt_blank(g, at * g->sector, (at + room) * g->sector, err) < 0)
        return -1;
    return rh_gpt_blank(g, g->other * g->sector, (g->other + 1) * g->sector,
                        err);
}

/* The MBR that keeps others away covers the whole disk. */
static int cover(struct rh_gpt *g, uint8_t *mbr, rh_error **err)
{
    uint64_t sectors = g->disk->size / g->sector - 1;

    if (mbr[510] != 0x55 || mbr[511] != 0xaa)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t *e = mbr + MBR_ENTRIES + i * MBR_ENTRY;

        if (e[MBR_TYPE] == GPT_TYPE && rh_le32(e + MBR_START) == 1)
            rh_put_le32(e + MBR_LENGTH,
                        (uint32_t)RH_MIN(sectors, (uint64_t)UINT32_MAX));
    }
    return rh_overlay_write(g->disk, mbr, 512, 0, err);
}

/* The last sector of any partition; 0: there are none. */
static uint64_t last_used(const struct rh_gpt *g)
{
    uint64_t last = 0;

    for (uint64_t at = 0; at < g->bytes; at += g->each)
        if (!rh_all_zero(g->entries + at, 16))
            last = RH_MAX(last, rh_le64(g->entries + at + 40));
    return last;
}

static int move(struct rh_gpt *g, struct rh_codec *codec, uint8_t *mbr,
                rh_error **err)
{
    uint64_t last = g->disk->size / g->sector - 1;

    if (rh_gpt_read(g, codec, err) < 0)
        return -1;
    /* Nothing is written where a partition may lie. */
    if (last < rh_div_up(g->bytes, g->sector) + 1 ||
        last - rh_div_up(g->bytes, g->sector) - 1 < last_used(g))
        return rh_gpt_unsound(N_("there is no room for it"), err);
    if (last_used(g) > g->last)
        return rh_gpt_unsound(N_("a partition lies outside the disk"), err);
    if (forget_copy(g, codec, err) < 0)
        return -1;
    g->last = last - rh_div_up(g->bytes, g->sector) - 1;
    return rh_gpt_write(g, last, err) < 0 ? -1 : cover(g, mbr, err);
}

int rh_gpt_move(struct rh_reader *overlay, uint64_t before, bool *ret_moved,
                rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    struct rh_gpt g = {.disk = overlay};
    uint8_t head[4096 + RH_GPT_HEADER] = {0};
    int failed;

    *ret_moved = false;
    if (before < 3 * 4096)
        return 0;
    if (rh_reader_read(overlay, codec, head,
                       (size_t)RH_MIN((uint64_t)sizeof head, overlay->size), 0,
                       err) < 0)
        return -1;
    g.sector = rh_gpt_is(head + 512) ? 512 : rh_gpt_is(head + 4096) ? 4096 : 0;
    if (!g.sector)
        return 0;
    memcpy(g.header, head + g.sector, RH_GPT_HEADER);
    failed = move(&g, codec, head, err);
    free(g.entries);
    *ret_moved = !failed;
    return failed;
}
