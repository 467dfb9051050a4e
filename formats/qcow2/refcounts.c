/* refcounts.c - does the file count its clusters right?
 *
 * Reading needs no refcounts; whoever writes into the file later relies on
 * them.  Uses are counted anew from every table, those of snapshots and dirty
 * bitmaps too, one window of the file's clusters after another, so that memory
 * stays bounded, and compared with what the refcount blocks say.  The COPIED
 * bits of the active tables must be set exactly where the file says one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/reader.h"

enum {
    BATCH = 4096,
    SNAPSHOT_HEAD = 40, /* the fixed part of an entry */
    SNAPSHOTS_MAX = 65536,
    /* A cluster's word: uses, and what bits pointed at it. */
    USES_MAX = 0x3fff,
    WITH_COPIED = 0x4000,
    WITHOUT_COPIED = 0x8000,
};
#define WINDOW          (8ULL << 20) /* clusters: 16 MiB of words, 512 GiB at 64 KiB */
#define REFBLOCK_OFFSET 0xfffffffffffffe00ULL

struct count {
    struct rh_reader *r;
    const struct rh_qcow2 *q;
    uint16_t *words;
    uint64_t first, end; /* the window, in clusters */
    uint64_t clusters;   /* of the file */
    bool active;         /* the walk is over the disk's own tables */
    uint64_t budget;     /* tables that snapshots and bitmaps may still cost */
    bool partly;         /* not every use is known: nothing is a leak */
    uint64_t broken;     /* refcount blocks that lie nowhere */
    uint64_t bitmap_flaws, bitmap_at;
    uint64_t low, low_at, leaks, copied, copied_at;
};

static void use(struct count *c, uint64_t at, uint64_t size, unsigned bits)
{
    uint64_t i = RH_MAX(at / c->q->cluster, c->first);
    uint64_t end;

    if (size == 0 || at >= c->r->io->size)
        return;
    size = RH_MIN(size, c->r->io->size - at);
    end = RH_MIN(rh_div_up(at + size, c->q->cluster), c->end);
    for (; i < end; i++) {
        uint16_t *word = &c->words[i - c->first];

        *word = (uint16_t)(*word | bits);
        if ((*word & USES_MAX) < USES_MAX)
            ++*word;
    }
}

static bool is_place(const struct count *c, uint64_t at)
{
    return at && at % c->q->cluster == 0 && at < c->r->io->size;
}

/* --- what the tables use ------------------------------------------------- */

static unsigned copied_bit(const struct count *c, uint64_t word)
{
    if (!c->active)
        return 0;
    return word & Q_COPIED ? WITH_COPIED : WITHOUT_COPIED;
}

static int use_data(void *user, const uint8_t *raw, uint64_t offset,
                    rh_error **err)
{
    struct count *c = user;
    uint64_t word = rh_be64(raw), at = word & Q_OFFSET, size;

    (void)offset, (void)err;
    if (word & Q_COMPRESSED) {
        rh_qcow2_packed_at(c->q, word, &at, &size);
        use(c, at, size, 0);
    } else if (is_place(c, at)) {
        use(c, at, c->q->cluster, copied_bit(c, word));
    }
    return 0;
}

static int use_table(void *user, uint64_t index, uint64_t entry, rh_error **err)
{
    struct count *c = user;
    uint64_t at = entry & Q_OFFSET;

    if (!is_place(c, at) || c->q->cluster > c->r->io->size - at)
        return 0;
    if (!c->active && c->budget-- == 0) {
        c->budget = 0;
        c->partly = true;
        return 0;
    }
    use(c, at, c->q->cluster, copied_bit(c, entry));
    return rh_qcow2_each_l2(c->q, c->r->lib, c->r->io, index, at, use_data, c,
                            err);
}

static int use_l1(struct count *c, uint64_t at, uint64_t entries,
                  rh_error **err)
{
    uint64_t room = (c->r->io->size - at) / 8;

    use(c, at, entries * 8, 0);
    return rh_qcow2_each_l1(c->r->lib, c->r->io, at, RH_MIN(entries, room),
                            use_table, c, err);
}

/* One entry of the snapshot table; *ret_size 0: it makes no sense. */
static int use_snapshot(struct count *c, uint64_t at, uint64_t *ret_size,
                        rh_error **err)
{
    uint64_t room = c->r->io->size - at, l1, entries, size;
    uint8_t h[SNAPSHOT_HEAD];

    *ret_size = 0;
    if (room < sizeof h)
        return 0;
    if (rh_io_read(c->r->io, h, sizeof h, at, err) < 0)
        return -1;
    l1 = rh_be64(h);
    entries = rh_be32(h + 8);
    size = rh_round_up(sizeof h + (uint64_t)rh_be32(h + 36) + rh_be16(h + 12) +
                           rh_be16(h + 14),
                       8);
    if (size > room || entries > Q_L1_MAX / 8 || (entries && !is_place(c, l1)))
        return 0;
    *ret_size = size;
    if (entries / 512 > c->budget)
        c->partly = true;
    if (!entries || entries / 512 > c->budget)
        return 0;
    c->budget -= entries / 512;
    return use_l1(c, l1, entries, err);
}

static int use_snapshots(struct count *c, rh_error **err)
{
    uint64_t at = c->q->snapshots_at, size = 1;

    if (!c->q->snapshots)
        return 0;
    if (c->q->snapshots > SNAPSHOTS_MAX || !is_place(c, at)) {
        c->partly = true;
        return 0;
    }
    for (uint32_t i = 0; i < c->q->snapshots && size; i++, at += size)
        if (use_snapshot(c, at, &size, err) < 0)
            return -1;
    c->partly |= size == 0;
    use(c, c->q->snapshots_at, at - c->q->snapshots_at, 0);
    return 0;
}

static void use_by_bitmap(void *user, uint64_t at, uint64_t size)
{
    use(user, at, size, 0);
}

static int use_bitmaps(struct count *c, rh_error **err)
{
    struct rh_qcow2_bitmap_uses uses = {
        .use = use_by_bitmap, .user = c, .budget = &c->budget};

    if (rh_qcow2_use_bitmaps(c->q, c->r->lib, c->r->io, &uses, err) < 0)
        return -1;
    c->partly |= uses.partly;
    c->bitmap_flaws = uses.flaws; /* the same in each window */
    c->bitmap_at = uses.flaw_at;
    return 0;
}

static int use_block(void *user, uint64_t index, uint64_t entry, rh_error **err)
{
    struct count *c = user;
    uint64_t at = entry & REFBLOCK_OFFSET;

    (void)index, (void)err;
    if (is_place(c, at) && c->q->cluster <= c->r->io->size - at)
        use(c, at, c->q->cluster, 0);
    else if (c->first == 0)
        c->broken++;
    return 0;
}

static int count_uses(struct count *c, rh_error **err)
{
    const struct rh_qcow2 *q = c->q;

    memset(c->words, 0, (c->end - c->first) * sizeof *c->words);
    use(c, 0, q->cluster, 0);
    use(c, q->reftable, q->reftable_size, 0);
    if (rh_qcow2_each_l1(c->r->lib, c->r->io, q->reftable, q->reftable_size / 8,
                         use_block, c, err) < 0)
        return -1;
    c->active = true;
    if (use_l1(c, q->l1, q->l1_said, err) < 0)
        return -1;
    c->active = false;
    c->budget = 16 * c->clusters + 1024;
    if (use_snapshots(c, err) < 0)
        return -1;
    return use_bitmaps(c, err);
}

/* --- what the file says -------------------------------------------------- */

static uint64_t stored(const uint8_t *block, uint64_t i, unsigned order)
{
    switch (order) {
    case 6:
        return rh_be64(block + i * 8);
    case 5:
        return rh_be32(block + i * 4);
    case 4:
        return rh_be16(block + i * 2);
    default: /* within a byte, from its lowest bits on */
        return block[i << order >> 3] >> (i << order & 7) &
               ((1U << (1U << order)) - 1);
    }
}

static void judge(struct count *c, uint64_t cluster, uint64_t said)
{
    uint16_t word = c->words[cluster - c->first];
    uint64_t uses = word & USES_MAX;

    if (said < uses) {
        if (c->low++ == 0)
            c->low_at = cluster * c->q->cluster;
    } else if (said > uses && uses < USES_MAX) {
        c->leaks++;
    }
    if (said == 1 ? !(word & WITHOUT_COPIED) : !(word & WITH_COPIED))
        return;
    if (c->copied++ == 0)
        c->copied_at = cluster * c->q->cluster;
}

/* The block that counts the clusters from `cluster` on; all zero where there
 * is none. */
static int read_block(struct count *c, uint64_t index, uint8_t *block,
                      rh_error **err)
{
    const struct rh_qcow2 *q = c->q;
    uint8_t entry[8] = {0};
    uint64_t at;

    memset(block, 0, q->cluster);
    if (index < q->reftable_size / 8 &&
        rh_io_read(c->r->io, entry, 8, q->reftable + index * 8, err) < 0)
        return -1;
    at = rh_be64(entry) & REFBLOCK_OFFSET;
    if (!is_place(c, at) || q->cluster > c->r->io->size - at)
        return 0;
    return rh_io_read(c->r->io, block, q->cluster, at, err);
}

static int compare(struct count *c, uint8_t *block, rh_error **err)
{
    uint64_t per = c->q->cluster * 8 >> c->q->refcount_order;

    for (uint64_t i = c->first; i < c->end;) {
        uint64_t end = RH_MIN((i / per + 1) * per, c->end);

        if (rh_go_on(c->r->lib, err) < 0 ||
            read_block(c, i / per, block, err) < 0)
            return -1;
        for (; i < end; i++)
            judge(c, i, stored(block, i % per, c->q->refcount_order));
    }
    return 0;
}

/* --- the whole ----------------------------------------------------------- */

static void report(const struct count *c)
{
    if (c->broken)
        rh_problem_add(c->r, "QCOW2-REFCOUNT",
                       "%llu refcount blocks lie outside the file",
                       (unsigned long long)c->broken);
    if (c->low)
        rh_problem_add(c->r, "QCOW2-REFCOUNT",
                       "%llu clusters are used more often than their refcounts "
                       "say, the first at 0x%llx",
                       (unsigned long long)c->low,
                       (unsigned long long)c->low_at);
    if (c->copied)
        rh_problem_add(c->r, "QCOW2-REFCOUNT",
                       "of %llu clusters the tables and the refcounts disagree "
                       "on whether they have one user, the first at 0x%llx",
                       (unsigned long long)c->copied,
                       (unsigned long long)c->copied_at);
    if (c->bitmap_flaws)
        rh_problem_add(c->r, "QCOW2-BITMAPS",
                       "%llu entries of the dirty bitmaps make no sense, the "
                       "first at 0x%llx",
                       (unsigned long long)c->bitmap_flaws,
                       (unsigned long long)c->bitmap_at);
    if (c->leaks && !c->partly)
        rh_problem_add(c->r, "QCOW2-LEAK",
                       "%llu clusters have higher refcounts than uses: they "
                       "waste space, nothing else",
                       (unsigned long long)c->leaks);
}

static int check_all(struct count *c, uint8_t *block, rh_error **err)
{
    uint64_t window = RH_MIN(c->clusters, WINDOW);

    for (c->first = 0; c->first < c->clusters; c->first += window) {
        c->end = RH_MIN(c->first + window, c->clusters);
        if (count_uses(c, err) < 0 || compare(c, block, err) < 0)
            return -1;
    }
    report(c);
    return 0;
}

int rh_qcow2_check_refcounts(struct rh_reader *r, rh_error **err)
{
    const struct rh_qcow2 *q = r->state;
    struct count c = {
        .r = r, .q = q, .clusters = rh_div_up(r->io->size, q->cluster)};
    RH_AUTO(rh_freep) uint8_t *block = NULL;
    RH_AUTO(rh_freep) uint16_t *words = NULL;

    if (!q->reftable) {
        rh_problem_add(r, "QCOW2-REFCOUNT",
                       "the refcount table does not lie in the file");
        return 0;
    }
    block = rh_alloc_big(q->cluster, err);
    c.words = words =
        rh_alloc_big((size_t)RH_MIN(c.clusters, WINDOW) * sizeof *words, err);
    return block && words ? check_all(&c, block, err) : -1;
}
