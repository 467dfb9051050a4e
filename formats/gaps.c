/* gaps.c - a disk without what its file systems do not use: zeros instead.
 *
 * The gaps are whole units of 64 KiB, so that no cluster is half in one.  The
 * disk itself is the parent of this view: what lies outside of the gaps is its
 * to give. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/gaps.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { UNIT = 64 * 1024, GAPS_MAX = 4 * 1024 * 1024 };

/* --- gathering ----------------------------------------------------------- */

static struct rh_gap *last(struct rh_gaps *g)
{
    return g->list.count ? &g->list.items[g->list.count - 1] : NULL;
}

void rh_gaps_add(struct rh_gaps *g, uint64_t start, uint64_t end)
{
    struct rh_gap *l = last(g);

    if (l && l->end == start)
        l->end = end;
    else if (l && l->end - l->start < UNIT) /* nothing makes it longer */
        *l = (struct rh_gap){start, end};
    else if (g->list.count >= GAPS_MAX)
        g->full = true;
    else
        /* NOLINTNEXTLINE: room is made where there is none */
        *rh_vec_add(&g->list) = (struct rh_gap){start, end};
}

static int by_start(const void *a, const void *b)
{
    const struct rh_gap *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

uint64_t rh_gaps_settle(struct rh_gaps *g)
{
    size_t kept = 0;
    uint64_t sum = 0;

    if (g->list.count)
        qsort(g->list.items, g->list.count, sizeof *g->list.items, by_start);
    for (size_t i = 0; i < g->list.count; i++) {
        uint64_t start = rh_round_up(g->list.items[i].start, UNIT);
        uint64_t end = g->list.items[i].end / UNIT * UNIT;

        if (start >= end)
            continue;
        g->list.items[kept++] = (struct rh_gap){start, end};
        sum += end - start;
    }
    g->list.count = kept;
    return sum;
}

void rh_gaps_free(struct rh_gaps *g)
{
    free(g->list.items);
    *g = (struct rh_gaps){0};
}

/* --- the view ------------------------------------------------------------ */

/* The first gap that ends behind `offset`; NULL: none. */
static const struct rh_gap *gap_from(const struct rh_gaps *g, uint64_t offset)
{
    size_t low = 0, high = g->list.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (g->list.items[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low < g->list.count ? &g->list.items[low] : NULL;
}

static int gaps_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    const struct rh_gap *gap = gap_from(r->state, offset);

    (void)err;
    if (!gap)
        *ret = (struct rh_extent){r->size - offset, RH_EXTENT_HOLE};
    else if (gap->start > offset)
        *ret = (struct rh_extent){gap->start - offset, RH_EXTENT_HOLE};
    else
        *ret = (struct rh_extent){gap->end - offset, RH_EXTENT_ZERO};
    return 0;
}

/* Asked within a gap only: all else is the parent's. */
static int gaps_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    (void)r, (void)codec, (void)offset, (void)err;
    memset(buf, 0, n);
    return 0;
}

static void gaps_close(struct rh_reader *r)
{
    rh_gaps_free(r->state);
    free(r->state);
}

struct rh_reader *rh_reader_without(struct rh_reader *disk,
                                    struct rh_gaps *gaps)
{
    static const struct rh_format format = {
        .name = "gaps",
        .about = N_("a disk without what its file systems do not use"),
        .extent = gaps_extent,
        .read = gaps_read,
        .close = gaps_close,
    };
    struct rh_reader *r = rh_new0(struct rh_reader);
    struct rh_gaps *mine = rh_new0(struct rh_gaps);

    *mine = *gaps;
    *gaps = (struct rh_gaps){0};
    r->format = &format;
    r->lib = disk->lib;
    r->io = rh_io_ref(disk->io);
    r->name = rh_strdup(disk->name);
    r->size = disk->size;
    r->variant = disk->variant;
    r->sector = disk->sector;
    r->file_order = disk->file_order;
    r->parent = disk;
    r->state = mine;
    return r;
}
