/* pipe.c - qcow2 written front to back, for sinks that cannot seek.
 *
 * The source's map says which clusters will hold data, so all places are known
 * before the first byte of it: header, refcount table, refcount blocks, L1, L2
 * tables, data.  The map is walked three times (count, tables, data) and never
 * held; only one table is in memory.  Clusters that the map calls data are
 * written even when they turn out to be zeros. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/qcow2.h"

/* A walk over the clusters that hold data, in ascending runs. */
struct walk {
    struct rh_reader *source;
    uint64_t cluster;
    uint64_t offset; /* on the disk: where the walk goes on */
    uint64_t done;   /* clusters below this were given */
};

struct piping {
    struct rh_qcow2_writer_head head;
    struct rh_qcow2_shape shape;
    struct walk walk;    /* over the data */
    uint64_t first, end; /* its current run of clusters; equal: none left */
    uint8_t *zeros;      /* one cluster */
};

/* The next run [*ret_first, *ret_end) of clusters; equal at the end. */
static int walk_next(struct walk *k, uint64_t *ret_first, uint64_t *ret_end,
                     rh_error **err)
{
    struct rh_extent e;

    /* NOLINTNEXTLINE: a walk has a source */
    while (k->offset < k->source->size) {
        uint64_t first, end;

        if (rh_go_on(k->source->lib, err) < 0 ||
            rh_reader_extent(k->source, k->offset, &e, err) < 0)
            return -1;
        first = RH_MAX(k->offset / k->cluster, k->done);
        end = rh_div_up(k->offset + e.length, k->cluster);
        k->offset += e.length;
        if (e.kind != RH_EXTENT_DATA || end <= first)
            continue;
        k->done = end;
        *ret_first = first;
        *ret_end = end;
        return 0;
    }
    *ret_first = *ret_end = 0;
    return 0;
}

static struct walk walk_from_start(const struct piping *p,
                                   struct rh_reader *source)
{
    return (struct walk){.source = source, .cluster = p->shape.cluster};
}

/* --- the first walk: how much there will be
 * --------------------------------------- */

struct totals {
    uint64_t data, tables; /* clusters */
};

static int count(const struct piping *p, struct totals *ret, rh_error **err)
{
    struct walk k = walk_from_start(p, p->walk.source);
    uint64_t first, end, per = p->shape.per_l2, mapped = 0;

    *ret = (struct totals){0};
    for (;;) {
        if (walk_next(&k, &first, &end, err) < 0)
            return -1;
        if (first == end)
            return 0;
        ret->data += end - first;
        /* `mapped` is one past the last table counted. */
        ret->tables += (end - 1) / per + 1 - RH_MAX(first / per, mapped);
        mapped = (end - 1) / per + 1;
    }
}

/* --- the second walk: the tables
 * ------------------------------------------------------ */

struct places { /* in clusters */
    uint64_t reftable, reftable_clusters, blocks, block_count;
    uint64_t l1, l1_clusters, l2, data, end;
};

static struct places plan(const struct rh_qcow2_shape *q,
                          const struct totals *t)
{
    struct places at = {.reftable = 1,
                        .l1_clusters = rh_qcow2_clusters(q, q->l1_count * 8)};
    uint64_t need = 1;

    do {
        at.block_count = need;
        at.reftable_clusters = rh_qcow2_clusters(q, at.block_count * 8);
        at.blocks = at.reftable + at.reftable_clusters;
        at.l1 = at.blocks + at.block_count;
        at.l2 = at.l1 + at.l1_clusters;
        at.data = at.l2 + t->tables;
        at.end = at.data + t->data;
        need = RH_MAX(rh_div_up(at.end, q->per_block), at.block_count);
    } while (need != at.block_count);
    return at;
}

/* Append to the sink. */
static int append(struct rh_writer *w, const void *bytes, size_t n,
                  rh_error **err)
{
    return rh_out_write(w->out, bytes, n, w->out->position, err);
}

/* Numbers that are written as a table of whole clusters, one by one. */
struct table {
    uint8_t *bytes;
    size_t used, size;
};

static int table_flush(struct rh_writer *w, struct table *t, rh_error **err)
{
    if (t->used == 0)
        return 0;
    memset(t->bytes + t->used, 0, t->size - t->used);
    t->used = 0;
    return append(w, t->bytes, t->size, err);
}

static int table_put(struct rh_writer *w, struct table *t, uint64_t n,
                     rh_error **err)
{
    rh_put_be64(t->bytes + t->used, n);
    t->used += 8;
    return t->used == t->size ? table_flush(w, t, err) : 0;
}

static int write_refcounts(struct rh_writer *w, const struct places *at,
                           struct table *t, rh_error **err)
{
    struct piping *p = w->state;
    uint64_t per = p->shape.per_block, cluster = p->shape.cluster;

    for (uint64_t i = 0; i < at->block_count; i++)
        if (table_put(w, t, (at->blocks + i) * cluster, err) < 0)
            return -1;
    if (table_flush(w, t, err) < 0)
        return -1;
    for (uint64_t i = 0; i < at->block_count; i++) {
        uint64_t n = RH_MIN(per, at->end - RH_MIN(at->end, i * per));

        memset(t->bytes, 0, t->size);
        for (uint64_t k = 0; k < n; k++)
            rh_put_be16(t->bytes + k * 2, 1);
        if (append(w, t->bytes, t->size, err) < 0)
            return -1;
    }
    return 0;
}

static int write_l1(struct rh_writer *w, const struct places *at,
                    struct table *t, rh_error **err)
{
    struct piping *p = w->state;
    struct walk k = walk_from_start(p, p->walk.source);
    uint64_t first, end, per = p->shape.per_l2, i = 0, place = at->l2;

    for (;;) {
        if (walk_next(&k, &first, &end, err) < 0)
            return -1;
        if (first == end)
            break;
        for (; i < first / per; i++)
            if (table_put(w, t, 0, err) < 0)
                return -1;
        for (; i <= (end - 1) / per; i++)
            if (table_put(w, t, place++ * p->shape.cluster | Q_COPIED, err) < 0)
                return -1;
    }
    for (; i < p->shape.l1_count; i++)
        if (table_put(w, t, 0, err) < 0)
            return -1;
    return table_flush(w, t, err);
}

static int write_l2(struct rh_writer *w, const struct places *at,
                    struct table *t, rh_error **err)
{
    struct piping *p = w->state;
    struct walk k = walk_from_start(p, p->walk.source);
    uint64_t first, end, per = p->shape.per_l2, i = 0, place = at->data;

    for (;;) {
        if (walk_next(&k, &first, &end, err) < 0)
            return -1;
        if (first == end)
            return table_flush(w, t, err);
        /* Another table: finish the one before, skip those without data. */
        if (first / per > i / per) {
            if (table_flush(w, t, err) < 0)
                return -1;
            i = first / per * per;
        }
        if (t->used == 0)
            i = first / per * per;
        for (; i < first; i++)
            if (table_put(w, t, 0, err) < 0)
                return -1;
        for (; i < end; i++)
            if (table_put(w, t, place++ * p->shape.cluster | Q_COPIED, err) < 0)
                return -1;
    }
}

static int write_header(struct rh_writer *w, const struct places *at,
                        struct table *t, rh_error **err)
{
    struct piping *p = w->state;
    uint64_t cluster = p->shape.cluster;

    memset(t->bytes, 0, t->size);
    rh_qcow2_header(&p->shape, at->l1 * cluster, at->reftable * cluster,
                    at->reftable_clusters, t->bytes);
    return append(w, t->bytes, t->size, err);
}

static int write_metadata(struct rh_writer *w, rh_error **err)
{
    struct piping *p = w->state;
    RH_AUTO(rh_freep) uint8_t *bytes = rh_malloc(p->shape.cluster);
    struct table t = {.bytes = bytes, .size = p->shape.cluster};
    struct totals totals;
    struct places at;

    if (count(p, &totals, err) < 0)
        return -1;
    at = plan(&p->shape, &totals);
    if (at.reftable_clusters * p->shape.cluster > Q_REFTABLE_MAX)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the qcow2 file would be too large for its clusters");
    if (write_header(w, &at, &t, err) < 0 ||
        write_refcounts(w, &at, &t, err) < 0 || write_l1(w, &at, &t, err) < 0)
        return -1;
    return write_l2(w, &at, &t, err);
}

/* --- the third walk: the data
 * --------------------------------------------------------------- */

static int next_run(struct piping *p, rh_error **err)
{
    return p->first < p->end ? 0 : walk_next(&p->walk, &p->first, &p->end, err);
}

/* Clusters below `until` that the map promised but nobody handed over. */
static int fill_up_to(struct rh_writer *w, uint64_t until, rh_error **err)
{
    struct piping *p = w->state;

    for (;;) {
        if (next_run(p, err) < 0)
            return -1;
        if (p->first == p->end || p->first >= until)
            return 0;
        for (; p->first < p->end && p->first < until; p->first++)
            if (append(w, p->zeros, p->shape.cluster, err) < 0)
                return -1;
    }
}

static void give(struct rh_writer *w, struct rh_unit *u, uint64_t *at,
                 const void *bytes, size_t n)
{
    (void)w;
    u->iov[u->iov_count++] = (struct rh_iov){*at, bytes, n};
    *at += n;
}

/* Clusters outside the map must be zeros, or the map was wrong. */
static int nothing_lost(const struct rh_unit *u, size_t from, size_t to,
                        rh_error **err)
{
    to = RH_MIN(to, u->length);
    if (from >= to || rh_all_zero(u->data + from, to - from))
        return 0;
    return rh_fail(err, RH_ERR_BUG,
                   "the disk has data at 0x%llx where its map has none",
                   (unsigned long long)(u->offset + from));
}

static int piping_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct piping *p = w->state;
    uint64_t cluster = p->shape.cluster, base = u->offset / cluster;
    uint64_t until = base + rh_div_up(u->length, cluster);
    uint64_t at, checked = base;

    u->iov_count = 0;
    if (fill_up_to(w, base, err) < 0)
        return -1;
    at = w->out->position;
    for (;;) {
        uint64_t end;
        size_t from, size;

        if (next_run(p, err) < 0)
            return -1;
        if (p->first == p->end || p->first >= until)
            break;
        end = RH_MIN(p->end, until);
        from = (size_t)((p->first - base) * cluster);
        size = (size_t)((end - p->first) * cluster);
        if (nothing_lost(u, (size_t)((checked - base) * cluster), from, err) <
            0)
            return -1;
        give(w, u, &at, u->data + from, RH_MIN(size, u->length - from));
        if (size > u->length - from)
            give(w, u, &at, p->zeros, size - (u->length - from));
        p->first = checked = end;
    }
    return nothing_lost(u, (size_t)((checked - base) * cluster), u->length,
                        err);
}

static int piping_finish(struct rh_writer *w, uint64_t *ret_size,
                         rh_error **err)
{
    if (fill_up_to(w, UINT64_MAX, err) < 0)
        return -1;
    *ret_size = w->out->position - w->base;
    return 0;
}

/* --- beginning and end of life
 * ------------------------------------------------------------------ */

static void piping_close(struct rh_writer *w)
{
    struct piping *p = w->state;

    if (!p)
        return;
    free(p->zeros);
    free(p);
    w->state = NULL;
}

static int check_options(const struct rh_create_options *o, rh_error **err)
{
    if (o->compress != RH_COMPRESS_NONE) {
        rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                "compressed qcow2 cannot be written into a pipe");
        return rh_hint(err, "write it to a file, or leave --compress away");
    }
    if (o->source && !o->source->io && !o->source->format->extent)
        return rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                       "qcow2 cannot go from a pipe into a pipe");
    if (!o->source) {
        rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                "qcow2 can be written into a pipe only when the source's map "
                "is known before");
        return rh_hint(err, "write to a file, or use -O raw");
    }
    return 0;
}

static int piping_create(struct rh_writer *w, const struct rh_create_options *o,
                         rh_error **err)
{
    struct rh_qcow2_shape shape = {0};
    struct piping *p;

    if (check_options(o, err) < 0 || rh_qcow2_shape_of(&shape, o, err) < 0)
        return -1;
    p = rh_new0(struct piping);
    p->head.ops = &rh_qcow2_piping;
    p->shape = shape;
    p->walk = (struct walk){.source = o->source, .cluster = shape.cluster};
    p->zeros = rh_calloc(1, shape.cluster);
    w->state = p;
    w->unit = RH_MAX((uint64_t)RH_MIB, shape.cluster);
    w->iov_max = (size_t)(w->unit / shape.cluster) + 2;
    if (write_metadata(w, err) == 0)
        return 0;
    piping_close(w);
    return -1;
}

const struct rh_writer_ops rh_qcow2_piping = {
    .create = piping_create,
    .place = piping_place,
    .finish = piping_finish,
    .close = piping_close,
};
