/* check.c - what a VHDX that reads well still does not keep to.
 *
 * open() refused whatever would make a byte doubtful and told of a damaged twin
 * where the other was used.  Here are the twins it had no need to look at, the
 * parts of table and metadata that only others read, and what takes room for
 * nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum {
    AT_SEQUENCE = 8,
    AT_LOG_VERSION = 64,
    HEADER_END = 80, /* reserved from here on */
    REGION_ENTRY = 32,
    METADATA_ENTRY = 32,
    PIECE = 64 * 1024,
};

static void odd(struct rh_reader *r, uint64_t at, const char *what)
{
    rh_problem_add(r, "VHDX-FIELDS", N_("%s (at 0x%llx)"), _(what),
                   (unsigned long long)at);
}

/* --- the headers ---------------------------------------------------------- */
static int check_headers(struct rh_reader *r, const struct vhdx *v,
                         rh_error **err)
{
    uint8_t p[2][VHDX_HEADER];
    const uint8_t *used = p[v->header_at != VHDX_HEADERS_AT];
    size_t end = HEADER_END;

    for (size_t i = 0; i < 2; i++)
        if (rh_io_read(r->io, p[i], VHDX_HEADER, VHDX_HEADERS_AT * (i + 1),
                       err) < 0)
            return -1;
    if (rh_vhdx_header_good(p[0]) && rh_vhdx_header_good(p[1]) &&
        rh_le64(p[0] + AT_SEQUENCE) == rh_le64(p[1] + AT_SEQUENCE) &&
        memcmp(p[0], p[1], VHDX_HEADER) != 0)
        rh_problem_add(r, "VHDX-HEADER",
                       N_("the headers at 0x%x and 0x%x differ, though they "
                          "have the same sequence number; the first was used"),
                       VHDX_HEADERS_AT, 2 * VHDX_HEADERS_AT);
    if (rh_le16(used + AT_LOG_VERSION))
        odd(r, v->header_at + AT_LOG_VERSION,
            N_("the log has an unknown version"));
    while (end < VHDX_HEADER && used[end] == 0)
        end++;
    if (end < VHDX_HEADER)
        odd(r, v->header_at + end,
            N_("reserved bytes of the header are not zero"));
    return 0;
}

/* --- the region tables ---------------------------------------------------- */
/* open() looks at the second table only when the first is damaged. */
static void compare_regions(struct rh_reader *r, const uint8_t *first,
                            const uint8_t *second)
{
    size_t at = 8; /* behind mark and sum */

    if (!rh_vhdx_regions_good(second)) {
        rh_problem_add(r, "VHDX-HEADER",
                       N_("the region table at 0x%x is damaged; the other was "
                          "used"),
                       VHDX_REGIONS_AT + VHDX_TABLE);
        return;
    }
    while (at < VHDX_TABLE && first[at] == second[at])
        at++;
    if (at < VHDX_TABLE)
        rh_problem_add(r, "VHDX-HEADER",
                       N_("the region tables at 0x%x and 0x%x differ (from "
                          "0x%zx on); the first was used"),
                       VHDX_REGIONS_AT, VHDX_REGIONS_AT + VHDX_TABLE, at);
}

/* Regions that nobody has to know take room, too. */
static void take_unknown(struct rh_reader *r, const struct vhdx *v,
                         const uint8_t *table, struct vhdx_taken *t)
{
    uint32_t count = RH_MIN(rh_le32(table + 8), (uint32_t)VHDX_TABLE_MOST);

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = table + 16 + (size_t)i * REGION_ENTRY;
        uint64_t at = rh_le64(e + 16), size = rh_le32(e + 24), met;

        if (rh_vhdx_region_known(e))
            continue;
        if (at % RH_MIB || size % RH_MIB || at > r->io->size ||
            size > r->io->size - at || !rh_vhdx_take(t, at, size, &met))
            odd(r, v->regions_at + 16 + (uint64_t)i * REGION_ENTRY,
                N_("an unknown region lies outside the file, or on another "
                   "part of it"));
    }
}

static int check_regions(struct rh_reader *r, const struct vhdx *v,
                         struct vhdx_taken *t, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *p = rh_malloc(2 * VHDX_TABLE);
    bool first = v->regions_at == VHDX_REGIONS_AT;

    if (rh_io_read(r->io, p, 2 * VHDX_TABLE, VHDX_REGIONS_AT, err) < 0)
        return -1;
    if (first)
        compare_regions(r, p, p + VHDX_TABLE);
    take_unknown(r, v, first ? p : p + VHDX_TABLE, t);
    return 0;
}

/* --- the metadata --------------------------------------------------------- */
/* Where an item of the table lies in the region; size 0: nowhere. */
static struct vhdx_region item_at(const uint8_t *table, unsigned i)
{
    const uint8_t *e = table + METADATA_ENTRY * (1 + (size_t)i);

    return (struct vhdx_region){rh_le32(e + 16), rh_le32(e + 20)};
}

static bool item_fits(const struct vhdx *v, const uint8_t *table, unsigned i)
{
    struct vhdx_region a = item_at(table, i);

    if (a.size == 0)
        return true;
    if (a.offset < VHDX_TABLE || a.offset > v->metadata.size ||
        a.size > v->metadata.size - a.offset)
        return false;
    for (unsigned k = 0; k < i; k++) {
        struct vhdx_region b = item_at(table, k);

        if (b.size && a.offset < b.offset + b.size &&
            b.offset < a.offset + a.size)
            return false;
    }
    return true;
}

static void check_items(struct rh_reader *r, const struct vhdx *v,
                        const uint8_t *table)
{
    unsigned count = RH_MIN(rh_le16(table + 10), (unsigned)VHDX_TABLE_MOST);

    for (unsigned i = 0; i < count; i++)
        if (!item_fits(v, table, i)) {
            odd(r, v->metadata.offset + METADATA_ENTRY * (1 + (uint64_t)i),
                N_("a metadata item lies outside its region, or on another"));
            break;
        }
    if (!v->items[VHDX_DISK_ID].size || !v->items[VHDX_PHYSICAL_SECTOR].size)
        odd(r, v->metadata.offset,
            N_("the metadata lacks the disk's id or its physical sector "
               "size"));
    if (v->items[VHDX_PARENT_LOCATOR].size && !v->differencing)
        odd(r, v->metadata.offset + v->items[VHDX_PARENT_LOCATOR].offset,
            N_("the metadata names a parent, which the disk does not have"));
}

static int check_numbers(struct rh_reader *r, const struct vhdx *v,
                         rh_error **err)
{
    const struct vhdx_region *physical = &v->items[VHDX_PHYSICAL_SECTOR];
    uint64_t at = v->metadata.offset + v->items[VHDX_PARAMETERS].offset + 4;
    uint8_t p[4];

    if (rh_io_read(r->io, p, sizeof p, at, err) < 0)
        return -1;
    if (rh_le32(p) & ~UINT32_C(3))
        odd(r, at, N_("reserved bits of the file parameters are set"));
    at = v->metadata.offset + physical->offset;
    if (!physical->size)
        return 0;
    if (rh_io_read(r->io, p, sizeof p, at, err) < 0)
        return -1;
    if (rh_le32(p) != 512 && rh_le32(p) != 4096)
        odd(r, at, N_("the physical sector size is neither 512 nor 4096"));
    return 0;
}

static int check_metadata(struct rh_reader *r, const struct vhdx *v,
                          rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *p = rh_malloc(VHDX_TABLE);

    if (rh_io_read(r->io, p, VHDX_TABLE, v->metadata.offset, err) < 0)
        return -1;
    check_items(r, v, p);
    return check_numbers(r, v, err);
}

/* --- the block table ------------------------------------------------------ */
struct entries {
    uint64_t bits, bits_at;     /* reserved ones that are set */
    uint64_t bitmaps, maps_at;  /* of sectors, which have no use here */
    uint64_t behind, behind_at; /* blocks behind the disk's end */
};

static void note(uint64_t *count, uint64_t *first, uint64_t at)
{
    if ((*count)++ == 0)
        *first = at;
}

static void check_entry(const struct vhdx *v, uint64_t i, uint64_t entry,
                        struct entries *found)
{
    uint64_t at = v->bat.offset + i * VHDX_ENTRY, chunk = v->ratio + 1;

    if (i % chunk == v->ratio) {
        if (entry & 7 && !v->differencing)
            note(&found->bitmaps, &found->maps_at, at);
    } else if (i - i / chunk >= v->blocks) {
        if ((entry & 7) == VHDX_FULLY_PRESENT)
            note(&found->behind, &found->behind_at, at);
    } else if (entry & 0xffff8) {
        note(&found->bits, &found->bits_at, at);
    }
}

static int walk_table(struct rh_reader *r, const struct vhdx *v,
                      struct entries *found, rh_error **err)
{
    uint8_t raw[VHDX_BATCH * VHDX_ENTRY];
    uint64_t count = v->bat.size / VHDX_ENTRY;

    for (uint64_t i = 0; i < count; i += VHDX_BATCH) {
        size_t n = (size_t)RH_MIN(count - i, (uint64_t)VHDX_BATCH);

        if (rh_go_on(r->lib, err) < 0 ||
            rh_io_read(r->io, raw, n * VHDX_ENTRY,
                       v->bat.offset + i * VHDX_ENTRY, err) < 0)
            return -1;
        for (size_t k = 0; k < n; k++)
            check_entry(v, i + k, rh_le64(raw + k * VHDX_ENTRY), found);
    }
    return 0;
}

static void report_entries(struct rh_reader *r, const struct entries *found)
{
    if (found->bits)
        rh_problem_add(r, "VHDX-FIELDS",
                       N_("%llu entries of the block table have reserved bits "
                          "set, the first at 0x%llx"),
                       (unsigned long long)found->bits,
                       (unsigned long long)found->bits_at);
    if (found->bitmaps)
        rh_problem_add(r, "VHDX-FIELDS",
                       N_("%llu entries of the block table name a sector "
                          "bitmap, which this kind of disk does not have, the "
                          "first at 0x%llx"),
                       (unsigned long long)found->bitmaps,
                       (unsigned long long)found->maps_at);
    if (found->behind)
        rh_problem_add(r, "VHDX-SPACE",
                       N_("%llu entries of the block table are for blocks "
                          "behind the end of the disk, the first at 0x%llx"),
                       (unsigned long long)found->behind,
                       (unsigned long long)found->behind_at);
}

/* --- room ----------------------------------------------------------------- */
static bool is_taken(const struct vhdx_taken *t, uint64_t m)
{
    return t->bits[m / 8] >> (m % 8) & 1;
}

/* Is something but zeros in the MiB at `at`? */
static int holds_data(struct rh_reader *r, uint64_t at, uint8_t *buf, bool *ret,
                      rh_error **err)
{
    uint64_t end = RH_MIN(at + RH_MIB, r->io->size), start, stop;

    *ret = false;
    for (size_t n; at < end && !*ret; at += n) {
        if (rh_io_data_after(r->io, at, &start, &stop, err) < 0)
            return -1;
        if (start >= end)
            break;
        at = RH_MAX(at, start);
        n = (size_t)RH_MIN(end - at, (uint64_t)PIECE);
        if (rh_io_read(r->io, buf, n, at, err) < 0)
            return -1;
        *ret = !rh_all_zero(buf, n);
    }
    return 0;
}

/* Writers leave room free (QEMU in front of the first block, Hyper-V behind the
 * last): only what holds something was once part of the disk. */
static int check_room(struct rh_reader *r, const struct vhdx_taken *t,
                      uint8_t *buf, rh_error **err)
{
    uint64_t lost = 0, first = 0, start, stop;
    bool some;

    for (uint64_t at = 0; at < r->io->size; at += RH_MIB) {
        if (rh_io_data_after(r->io, at, &start, &stop, err) < 0)
            return -1;
        at = RH_MAX(at, start / RH_MIB * RH_MIB);
        if (start >= r->io->size || is_taken(t, at / RH_MIB))
            continue;
        if (rh_go_on(r->lib, err) < 0 || holds_data(r, at, buf, &some, err) < 0)
            return -1;
        if (some)
            note(&lost, &first, at);
    }
    if (lost)
        rh_problem_add(r, "VHDX-SPACE",
                       N_("%llu MiB of the file hold data that belong to "
                          "nothing, the first at 0x%llx"),
                       (unsigned long long)lost, (unsigned long long)first);
    return 0;
}

/* --- the whole ------------------------------------------------------------ */
int rh_vhdx_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err)
{
    const struct vhdx *v = r->state;
    struct vhdx_taken taken = {.bits = NULL};
    struct entries found = {.bits = 0};
    RH_AUTO(rh_freep) uint8_t *bits = NULL;

    uint8_t *buf = rh_codec_scratch(codec, 0, PIECE, err);

    if (!buf || rh_vhdx_take_all(r, &taken, err) < 0)
        return -1;
    bits = taken.bits;
    if (check_headers(r, v, err) < 0 || check_regions(r, v, &taken, err) < 0 ||
        check_metadata(r, v, err) < 0 || walk_table(r, v, &found, err) < 0)
        return -1;
    report_entries(r, &found);
    return check_room(r, &taken, buf, err);
}
