/* check.c - what a VHD that reads well still does not keep to.
 *
 * open.c refused whatever would make a byte doubtful.  Here is what other
 * programs trip over (vhd-util check of XCP-ng refuses odd fields, and believes
 * its map of full blocks), what the sector marks hide, and what takes room for
 * nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum { PIECE = 64 * 1024 };

/* --- fields --------------------------------------------------------------- */
enum { /* in the footer */
       AT_FEATURES = 8,
       AT_DATA = 16,
       AT_CREATOR = 28,
       AT_CREATOR_VERSION = 32,
       AT_GEOMETRY = 56,
       AT_SAVED = 84,
       AT_HIDDEN = 85,
       AT_RESERVED = 86,
};
enum { /* in the dynamic header */
       AT_HEADER_DATA = 8,
       AT_PARENT = 40,
       AT_HEADER_RESERVED = 768,
};
enum { TEMPORARY = 1, RESERVED_FEATURE = 2 };

static void odd(struct rh_reader *r, uint64_t at, const char *what)
{
    rh_problem_add(r, "VHD-FIELDS", N_("%s (at 0x%llx)"), _(what),
                   (unsigned long long)at);
}

/* `p` holds what stands at `place`; bytes [from, to) of it should be zero. */
static void expect_zeros(struct rh_reader *r, const uint8_t *p, uint64_t place,
                         size_t from, size_t to, const char *what)
{
    while (from < to && p[from] == 0)
        from++;
    if (from < to)
        odd(r, place + from, what);
}

/* More than the disk has; the largest there is says nothing. */
static bool geometry_too_large(const struct rh_reader *r,
                               const struct vhd_footer *f)
{
    bool largest = f->geometry.cylinders == 65535 && f->geometry.heads == 16 &&
                   f->geometry.sectors == 255;

    return !largest && rh_vhd_geometry_size(&f->geometry) > r->size;
}

static void check_footer(struct rh_reader *r, const struct vhd *v,
                         const uint8_t p[VHD_FOOTER], uint64_t place)
{
    uint32_t features = rh_be32(p + AT_FEATURES);

    if ((features & ~(uint32_t)TEMPORARY) != RESERVED_FEATURE)
        odd(r, place + AT_FEATURES,
            N_("the footer's features are none that there are"));
    if (v->footer.type == VHD_FIXED && rh_be64(p + AT_DATA) != UINT64_MAX)
        odd(r, place + AT_DATA,
            N_("the footer of a fixed disk names a dynamic header"));
    if (geometry_too_large(r, &v->footer))
        odd(r, place + AT_GEOMETRY,
            N_("the geometry covers more than the disk has"));
    if (p[AT_SAVED] > 1 || p[AT_HIDDEN] > 1)
        odd(r, place + AT_SAVED, N_("a mark is neither yes nor no"));
    expect_zeros(r, p, place, AT_RESERVED, VHD_FOOTER,
                 N_("reserved bytes of the footer are not zero"));
}

static int check_header(struct rh_reader *r, const struct vhd *v,
                        rh_error **err)
{
    uint64_t place = v->footer.header;
    uint8_t h[VHD_HEADER];

    if (rh_io_read(r->io, h, VHD_HEADER, place, err) < 0)
        return -1;
    if (rh_be64(h + AT_HEADER_DATA) != UINT64_MAX)
        odd(r, place + AT_HEADER_DATA,
            N_("the dynamic header names another header"));
    if (v->footer.type == VHD_DYNAMIC)
        expect_zeros(r, h, place, AT_PARENT, AT_HEADER_RESERVED,
                     N_("the dynamic header names a parent, which the disk "
                        "does not have"));
    expect_zeros(r, h, place, AT_HEADER_RESERVED, VHD_HEADER,
                 N_("reserved bytes of the dynamic header are not zero"));
    return 0;
}

/* --- the map of full blocks (batmap), a thing of XCP-ng's tools ----------- */
enum {
    BATMAP_HEADER = 512,
    BATMAP_MOST = 4 * 1024 * 1024, /* bytes: four times what a table can need */
    BATMAP_VERSION = 0x00010002,   /* since which the sum is right */
};
struct range {
    uint64_t start, size;
};
struct batmap {
    struct range header, map;
    uint8_t *bits; /* one for each entry of the table; NULL: no map */
    uint32_t version, sum;
};

static void bad_batmap(struct rh_reader *r, uint64_t at, const char *what)
{
    rh_problem_add(r, "VHD-BATMAP", N_("the map of full blocks at 0x%llx: %s"),
                   (unsigned long long)at, _(what));
}

static bool has_batmap(const uint8_t p[VHD_FOOTER])
{
    return !memcmp(p + AT_CREATOR, "tap", 3) &&
           rh_be32(p + AT_CREATOR_VERSION) > 1;
}

/* Its header, right behind the table; false when it makes no sense. */
static bool batmap_decode(struct rh_reader *r, const struct vhd *v,
                          const uint8_t p[BATMAP_HEADER], struct batmap *b)
{
    b->map =
        (struct range){rh_be64(p + 8), (uint64_t)rh_be32(p + 16) * VHD_SECTOR};
    b->version = rh_be32(p + 20);
    b->sum = rh_be32(p + 24);
    if (memcmp(p, "tdbatmap", 8) != 0) {
        bad_batmap(r, b->header.start,
                   N_("the disk's creator promises it, but it is not there"));
        return false;
    }
    if (b->map.start % VHD_SECTOR || b->map.start < VHD_FOOTER ||
        b->map.start > v->end || b->map.size > v->end - b->map.start ||
        b->map.size > BATMAP_MOST || b->map.size < rh_div_up(v->said, 8)) {
        bad_batmap(r, b->header.start, N_("its size or place is not possible"));
        return false;
    }
    return true;
}

static void judge_batmap(struct rh_reader *r, const struct vhd *v,
                         const struct batmap *b)
{
    uint32_t sum = rh_vhd_sum(b->bits, (size_t)b->map.size,
                              (size_t)b->map.size /* no field in it */);
    uint64_t i = 0;

    if (b->version == BATMAP_VERSION && sum != b->sum)
        bad_batmap(r, b->header.start, N_("a wrong sum"));
    while (i < v->said &&
           !(v->table[i] == VHD_NO_BLOCK && b->bits[i / 8] & (0x80 >> (i % 8))))
        i++;
    if (i < v->said)
        bad_batmap(r, b->map.start + i / 8,
                   N_("a block is marked as full that is not there"));
}

static int read_batmap(struct rh_reader *r, const struct vhd *v,
                       struct batmap *b, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bits = NULL;
    uint8_t p[BATMAP_HEADER] = {0};
    uint64_t at = rh_round_up(v->table_at + v->said * 4, VHD_SECTOR);

    b->header = (struct range){at, BATMAP_HEADER};
    if (at <= v->end && v->end - at >= BATMAP_HEADER &&
        rh_io_read(r->io, p, sizeof p, at, err) < 0)
        return -1;
    if (!batmap_decode(r, v, p, b)) {
        b->header.size = b->map.size = 0;
        return 0;
    }
    bits = rh_malloc((size_t)b->map.size);
    if (rh_io_read(r->io, bits, (size_t)b->map.size, b->map.start, err) < 0)
        return -1;
    b->bits = RH_TAKE(bits);
    judge_batmap(r, v, b);
    return 0;
}

/* --- sectors and their marks ---------------------------------------------- */
struct marks {
    struct rh_reader *r;
    const struct vhd *v;
    const struct batmap *b;
    uint8_t *data;            /* PIECE bytes */
    uint64_t stray, stray_at; /* sectors with data, marked as never written */
    uint64_t bent, bent_at;   /* blocks that are full by the batmap alone */
};

static bool all_ones(const uint8_t *p, size_t n)
{
    return p[0] == 0xff && memcmp(p, p + 1, n - 1) == 0;
}

/* n bytes at `at` of the file whose marks are `bits`. */
static int check_sectors(struct marks *m, const uint8_t *bits, uint64_t at,
                         size_t n, rh_error **err)
{
    uint64_t start, end;

    if (rh_io_data_after(m->r->io, at, &start, &end, err) < 0)
        return -1;
    if (start >= at + n) /* a hole of the file */
        return 0;
    if (rh_io_read(m->r->io, m->data, n, at, err) < 0)
        return -1;
    for (size_t s = 0; s < n / VHD_SECTOR; s++)
        if (!(bits[s / 8] & (0x80 >> (s % 8))) &&
            !rh_all_zero(m->data + s * VHD_SECTOR, VHD_SECTOR) &&
            m->stray++ == 0)
            m->stray_at = at + s * VHD_SECTOR;
    return 0;
}

/* Sectors that are marked as never written should be zero. (Marks beyond the
 * disk's end are common: many writers fill whole bitmaps.) */
static int check_block(struct marks *m, uint64_t i, rh_error **err)
{
    const struct vhd *v = m->v;
    uint64_t at = (uint64_t)v->table[i] * VHD_SECTOR;
    uint8_t bits[PIECE / VHD_SECTOR / 8];
    bool full = true;

    for (uint64_t o = 0; o < v->block; o += PIECE) {
        size_t n = (size_t)RH_MIN(v->block - o, (uint64_t)PIECE);
        size_t bytes = n / VHD_SECTOR / 8; /* LEAST_BLOCK has one */

        if (rh_io_read(m->r->io, bits, bytes, at + o / VHD_SECTOR / 8, err) < 0)
            return -1;
        if (all_ones(bits, bytes))
            continue;
        full = false;
        if (v->footer.type == VHD_DYNAMIC &&
            check_sectors(m, bits, at + v->bitmap + o, n, err) < 0)
            return -1;
    }
    if (m->b->bits && m->b->bits[i / 8] & (0x80 >> (i % 8)) && !full &&
        m->bent++ == 0)
        m->bent_at = at;
    return 0;
}

static void report_marks(const struct marks *m)
{
    if (m->stray)
        rh_problem_add(m->r, "VHD-BITMAP",
                       N_("%llu sectors hold data but are marked as never "
                          "written, the first at 0x%llx; they read as zeros"),
                       (unsigned long long)m->stray,
                       (unsigned long long)m->stray_at);
    if (m->bent)
        rh_problem_add(m->r, "VHD-BATMAP",
                       N_("%llu blocks are marked as full, though not all of "
                          "their sectors are, the first at 0x%llx"),
                       (unsigned long long)m->bent,
                       (unsigned long long)m->bent_at);
}

static int check_marks(struct rh_reader *r, const struct vhd *v,
                       const struct batmap *b, uint8_t *data, rh_error **err)
{
    struct marks m = {.r = r, .v = v, .b = b, .data = data};

    for (uint64_t i = 0; i < v->entries; i++) {
        if (v->table[i] == VHD_NO_BLOCK)
            continue;
        if (rh_go_on(r->lib, err) < 0 || check_block(&m, i, err) < 0)
            return -1;
        if (r->lib)
            rh_progress(r->lib, "check", RH_MIN((i + 1) * v->block, r->size),
                        r->size);
    }
    report_marks(&m);
    return 0;
}

/* --- room ----------------------------------------------------------------- */
static bool meets(const struct range *a, uint64_t start, uint64_t size)
{
    return a->start < start + size && start < a->start + a->size;
}

/* A block on the batmap: whoever writes into the file ruins one by the other.
 */
static void check_batmap_room(struct rh_reader *r, const struct vhd *v,
                              const struct batmap *b)
{
    for (uint64_t i = 0; b->bits && i < v->said; i++) {
        uint64_t at = (uint64_t)v->table[i] * VHD_SECTOR;

        if (v->table[i] != VHD_NO_BLOCK &&
            (meets(&b->header, at, v->bitmap + v->block) ||
             meets(&b->map, at, v->bitmap + v->block))) {
            bad_batmap(r, at, N_("a block lies on it"));
            return;
        }
    }
}

struct room {
    const struct range *tables; /* RANGES of them */
    uint64_t block;             /* what a block takes */
    uint64_t lost, lost_at;
};
enum { RANGES = 4 };

/* Nothing of a block is in [start, end): is there room for one? */
static void note_gap(struct room *room, uint64_t start, uint64_t end)
{
    uint64_t left = start < end ? end - start : 0;

    for (size_t i = 0; i < RANGES; i++) {
        const struct range *t = &room->tables[i];
        uint64_t from = RH_MAX(t->start, start);
        uint64_t to = RH_MIN(t->start + t->size, end);

        left -= from < to ? RH_MIN(to - from, left) : 0;
    }
    if (left < room->block) /* writers align blocks */
        return;
    if (room->lost == 0)
        room->lost_at = start;
    room->lost += left;
}

static void check_behind(struct rh_reader *r, const struct vhd *v)
{
    uint64_t count = 0, at = 0;

    for (uint64_t i = v->entries; i < v->said; i++)
        if (v->table[i] != VHD_NO_BLOCK && count++ == 0)
            at = (uint64_t)v->table[i] * VHD_SECTOR;
    if (count)
        rh_problem_add(r, "VHD-SPACE",
                       N_("%llu blocks lie behind the end of the disk, the "
                          "first at 0x%llx"),
                       (unsigned long long)count, (unsigned long long)at);
}

static int check_room(struct rh_reader *r, const struct vhd *v,
                      const struct batmap *b, rh_error **err)
{
    const struct range tables[RANGES] = {
        {v->footer.header, VHD_HEADER},
        {v->table_at, rh_round_up(v->said * 4, VHD_SECTOR)},
        b->header,
        b->map,
    };
    struct room room = {.tables = tables, .block = v->bitmap + v->block};
    RH_AUTO(rh_freep) uint32_t *sorted = NULL;
    uint64_t count, end = VHD_FOOTER;

    if (rh_vhd_sorted(r, v, &sorted, &count, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        note_gap(&room, end, (uint64_t)sorted[i] * VHD_SECTOR);
        end = (uint64_t)sorted[i] * VHD_SECTOR + room.block;
    }
    note_gap(&room, end, v->end);
    if (room.lost)
        rh_problem_add(r, "VHD-SPACE",
                       N_("%llu bytes of the file belong to no block, from "
                          "0x%llx on"),
                       (unsigned long long)room.lost,
                       (unsigned long long)room.lost_at);
    check_behind(r, v);
    return 0;
}

/* --- the whole ------------------------------------------------------------ */
static void check_fixed(struct rh_reader *r, const struct vhd *v)
{
    if (v->end > r->size)
        rh_problem_add(r, "VHD-SPACE",
                       N_("%llu bytes in front of the footer are not part of "
                          "the disk, from 0x%llx on"),
                       (unsigned long long)(v->end - r->size),
                       (unsigned long long)r->size);
}

static int check_dynamic(struct rh_reader *r, const struct vhd *v,
                         const uint8_t footer[VHD_FOOTER], uint8_t *data,
                         rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bits = NULL;
    struct batmap b = {.bits = NULL};

    if (check_header(r, v, err) < 0 ||
        (has_batmap(footer) && read_batmap(r, v, &b, err) < 0))
        return -1;
    bits = b.bits;
    check_batmap_room(r, v, &b);
    if (check_room(r, v, &b, err) < 0)
        return -1;
    return check_marks(r, v, &b, data, err);
}

int rh_vhd_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err)
{
    const struct vhd *v = r->state;
    uint64_t place = v->end < r->io->size ? v->end : 0;
    uint8_t *data = rh_codec_scratch(codec, 0, PIECE, err);
    uint8_t footer[VHD_FOOTER] = {0}; /* it may lack its last byte */
    size_t n = (size_t)RH_MIN((uint64_t)VHD_FOOTER, r->io->size - place);

    if (!data || rh_io_read(r->io, footer, n, place, err) < 0)
        return -1;
    check_footer(r, v, footer, place);
    if (v->table)
        return check_dynamic(r, v, footer, data, err);
    check_fixed(r, v);
    return 0;
}
