/* patch_counts.c - the refcounts of a qcow2 file of ours that is written again:
 * made anew where an earlier pass was cut off, and of what a pass has added. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/patch_state.h"

/* --- refcounts made anew
 * ------------------------------------------------------ */

struct uses {
    uint8_t *bits; /* one for each cluster of the file */
    uint64_t count, last;
};

static int use(struct uses *u, uint64_t cluster, uint64_t n, rh_error **err)
{
    for (; n; n--, cluster++) {
        uint8_t bit = (uint8_t)(1 << cluster % 8);

        if (cluster >= u->count || u->bits[cluster / 8] & bit)
            return rh_qcow2_overlap(cluster, err);
        u->bits[cluster / 8] |= bit;
        u->last = RH_MAX(u->last, cluster);
    }
    return 0;
}

static uint64_t clusters_of(const struct patch *s, uint64_t bytes)
{
    return RH_MAX(rh_div_up(bytes, s->cluster), (uint64_t)1);
}

/* What an L2 table uses; entries that point nowhere are taken out. */
static int use_table(struct rh_patch *p, struct uses *u, uint64_t at,
                     rh_error **err)
{
    struct patch *s = p->state;
    bool mended = false;

    if (use(u, at / s->cluster, 1, err) < 0 ||
        rh_patch_pread(p, s->spare, s->cluster, at, err) < 0)
        return -1;
    for (uint64_t i = 0; i < s->per_l2; i++) {
        uint64_t entry = rh_be64(s->spare + i * 8), data = entry & Q_OFFSET;

        if (entry & NOT_OURS)
            return rh_fail(err, RH_ERR_QCOW2_TABLE,
                           "an entry at 0x%llx is none of ours",
                           (unsigned long long)(at + i * 8));
        if (data && (!rh_qcow2_inside(p, data, 1) || !(entry & Q_COPIED))) {
            rh_put_be64(s->spare + i * 8, 0);
            mended = true;
        } else if (data && use(u, data / s->cluster, 1, err) < 0) {
            return -1;
        }
    }
    return mended ? rh_patch_pwrite(p, s->spare, s->cluster, at, err) : 0;
}

static int find_uses(struct rh_patch *p, struct uses *u, rh_error **err)
{
    struct patch *s = p->state;

    if (use(u, 0, 1, err) < 0 ||
        use(u, s->l1_at / s->cluster, clusters_of(s, s->l1_count * 8), err) <
            0 ||
        use(u, s->reftable_at / s->cluster, s->reftable_clusters, err) < 0)
        return -1;
    for (uint64_t i = 0; i < s->block_count; i++)
        if (use(u, s->blocks[i] / s->cluster, 1, err) < 0)
            return -1;
    for (uint64_t i = 0; i < s->l1_count; i++)
        if (s->l1[i] &&
            (rh_go_on(p->lib, err) < 0 || use_table(p, u, s->l1[i], err) < 0))
            return -1;
    return 0;
}

static int write_uses(struct rh_patch *p, const struct uses *u, rh_error **err)
{
    struct patch *s = p->state;

    for (uint64_t b = 0; b < s->block_count; b++) {
        memset(s->spare, 0, s->cluster);
        for (uint64_t i = 0; i < s->per_block; i++) {
            uint64_t c = b * s->per_block + i;

            if (c < u->count && u->bits[c / 8] & 1 << c % 8)
                rh_put_be16(s->spare + i * 2, 1);
        }
        if (rh_patch_pwrite(p, s->spare, s->cluster, s->blocks[b], err) < 0)
            return -1;
    }
    return 0;
}

int rh_qcow2_counts_anew(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    struct uses u = {.count = s->next};
    int failed;

    u.bits = rh_alloc_big((size_t)rh_div_up(u.count, 8), err);
    if (!u.bits)
        return -1;
    memset(u.bits, 0, (size_t)rh_div_up(u.count, 8));
    failed = find_uses(p, &u, err) < 0 || write_uses(p, &u, err) < 0;
    free(u.bits);
    if (failed)
        return -1;
    s->next = u.last + 1;
    s->counted = RH_MIN(s->next, s->block_count * s->per_block);
    s->changed = true;
    return rh_patch_length(p, s->next * s->cluster, err);
}

/* --- the end: refcounts of what was added
 * ------------------------------------- */

struct plan {
    uint64_t blocks;   /* that there will be */
    uint64_t reftable; /* clusters of a new refcount table; 0: it stays */
    uint64_t end;      /* clusters in the file */
};

static struct plan plan_end(const struct patch *s)
{
    struct plan t = {.blocks = s->block_count};
    uint64_t need;

    do {
        uint64_t table;

        need = t.blocks;
        table = clusters_of(s, need * 8);
        if (table > s->reftable_clusters)
            t.reftable = table * 2; /* so that it moves seldom */
        t.end = s->next + (t.blocks - s->block_count) + t.reftable;
        t.blocks = RH_MAX(t.blocks, rh_div_up(t.end, s->per_block));
    } while (t.blocks != need);
    return t;
}

static void set_counts(const struct patch *s, uint64_t block, uint64_t from,
                       uint64_t to, uint16_t n)
{
    uint64_t first = block * s->per_block;

    from = RH_MAX(from, first);
    to = RH_MIN(to, first + s->per_block);
    for (; from < to; from++)
        rh_put_be16(s->spare + (from - first) * 2, n);
}

static int write_counts(struct rh_patch *p, const struct plan *t,
                        uint64_t old_blocks, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t old = s->reftable_at / s->cluster;

    for (uint64_t b = 0; b < t->blocks; b++) {
        uint64_t first = b * s->per_block, end = first + s->per_block;
        bool leaves =
            t->reftable && old < end && old + s->reftable_clusters > first;

        if (end <= s->counted && !leaves)
            continue;
        if (b < old_blocks
                ? rh_patch_pread(p, s->spare, s->cluster, s->blocks[b], err) < 0
                : !memset(s->spare, 0, s->cluster))
            return -1;
        set_counts(s, b, s->counted, t->end, 1);
        if (leaves)
            set_counts(s, b, old, old + s->reftable_clusters, 0);
        if (rh_patch_pwrite(p, s->spare, s->cluster, s->blocks[b], err) < 0)
            return -1;
    }
    return 0;
}

static int write_reftable(struct rh_patch *p, uint64_t at, uint64_t clusters,
                          rh_error **err)
{
    struct patch *s = p->state;
    RH_AUTO(rh_freep)
    uint8_t *bytes = rh_alloc_big((size_t)(clusters * s->cluster), err);

    if (!bytes)
        return -1;
    memset(bytes, 0, (size_t)(clusters * s->cluster));
    for (uint64_t i = 0; i < s->block_count; i++)
        rh_put_be64(bytes + i * 8, s->blocks[i]);
    return rh_patch_pwrite(p, bytes, (size_t)(clusters * s->cluster), at, err);
}

/* The header's pointer to it: within one sector, so old or new. */
static int move_reftable(struct rh_patch *p, uint64_t at, uint64_t clusters,
                         rh_error **err)
{
    struct patch *s = p->state;
    uint8_t field[12];

    rh_put_be64(field, at);
    rh_put_be32(field + 8, (uint32_t)clusters);
    if (rh_patch_sync(p, err) < 0 ||
        rh_patch_pwrite(p, field, sizeof field, Q_AT_REFTABLE_OFFSET, err) < 0)
        return -1;
    s->reftable_at = at;
    s->reftable_clusters = clusters;
    return 0;
}

static int add_counts(struct rh_patch *p, const struct plan *t, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t old = s->block_count, at = s->next * s->cluster;
    uint64_t reftable = (s->next + t->blocks - old) * s->cluster;

    s->blocks =
        rh_realloc_array(s->blocks, (size_t)t->blocks + 1, sizeof *s->blocks);
    for (uint64_t i = old; i < t->blocks; i++, at += s->cluster)
        s->blocks[i] = at;
    s->block_count = t->blocks;
    /* The table points at blocks that are on the medium. */
    if (rh_patch_length(p, t->end * s->cluster, err) < 0 ||
        write_counts(p, t, old, err) < 0 || rh_patch_sync(p, err) < 0 ||
        write_reftable(p, t->reftable ? reftable : s->reftable_at,
                       t->reftable ? t->reftable : s->reftable_clusters,
                       err) < 0)
        return -1;
    if (t->reftable && move_reftable(p, reftable, t->reftable, err) < 0)
        return -1;
    s->next = s->counted = t->end;
    return rh_patch_sync(p, err);
}

int rh_qcow2_counts_added(struct rh_patch *p, rh_error **err)
{
    const struct patch *s = p->state;
    struct plan t = plan_end(s);

    if (RH_MAX(t.reftable, s->reftable_clusters) * s->cluster > Q_REFTABLE_MAX)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the qcow2 file would be too large for its clusters");
    return add_counts(p, &t, err);
}
