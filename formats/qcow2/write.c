/* write.c - qcow2 written data first and header last.
 *
 * The file grows by whole clusters and only ever forward, so refcounts are a
 * counter: every range of clusters that one refcount block counts starts with
 * that block (the first range: after the header), which is written when the
 * range is full.  L2 tables get their place when first needed; a few are held
 * in memory, and those pushed out write only what they gained, so that pieces
 * may come in any order while memory stays flat.  Until finish() writes the
 * header the file is no qcow2: a crash leaves nothing that looks whole.
 *
 * Compressed clusters are packed one after another and count once in every
 * cluster of the file that they touch. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/qcow2.h"

enum { TABLES_MAX = 16, NO_CLUSTER = 0 };

struct table {
    uint8_t *entries; /* big-endian, one cluster; zero: nothing new here */
    uint64_t index;   /* in L1 */
    uint64_t used;    /* when, for choosing whom to push out */
    bool live;
    bool fresh; /* never pushed out: all that is set is in memory */
};

struct seeking {
    struct rh_qcow2_writer_head head;
    struct rh_qcow2_shape shape;
    enum rh_compress compress;
    uint64_t *l1; /* places of L2 tables, bytes; 0: none */
    struct table tables[TABLES_MAX];
    size_t table_count;
    uint64_t clock;

    uint64_t next;           /* first cluster of the file that is free */
    uint8_t *block;          /* refcounts of the range that `next` is in */
    RH_VEC(uint64_t) blocks; /* places of refcount blocks, clusters */

    uint64_t pack_at;    /* where packed data goes on, bytes; 0: nowhere */
    uint16_t pack_count; /* uses of the cluster that pack_at is in */
};

/* What encode() made of one cluster of a unit. */
enum piece_kind { PIECE_ZERO, PIECE_PLAIN, PIECE_PACKED };
struct piece {
    const uint8_t *bytes;
    uint32_t size;
    enum piece_kind kind;
};

/* --- space in the file
 * ------------------------------------------------------------ */

static void set_count(struct seeking *s, uint64_t cluster, uint16_t n)
{
    rh_put_be16(s->block + cluster % s->shape.per_block * 2, n);
}

static int write_block(struct rh_writer *w, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t place = s->blocks.items[s->blocks.count - 1];

    return rh_out_write(w->out, s->block, s->shape.cluster,
                        w->base + place * s->shape.cluster, err);
}

/* The range before is full: its block is final, this one's comes first. */
static int open_range(struct rh_writer *w, rh_error **err)
{
    struct seeking *s = w->state;

    if (write_block(w, err) < 0)
        return -1;
    memset(s->block, 0, s->shape.cluster);
    *rh_vec_add(&s->blocks) = s->next;
    set_count(s, s->next++, 1);
    return 0;
}

/* Up to `want` neighbouring clusters, each used once. */
static int take(struct rh_writer *w, uint64_t want, uint64_t *ret_first,
                uint64_t *ret_got, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t per = s->shape.per_block, got;

    if (s->next % per == 0 && open_range(w, err) < 0)
        return -1;
    got = RH_MIN(want, per - s->next % per);
    *ret_first = s->next;
    *ret_got = got;
    for (uint64_t i = 0; i < got; i++)
        set_count(s, s->next++, 1);
    return 0;
}

/* Nothing more goes into the cluster that packed data ended in. */
static int close_pack(struct rh_writer *w, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t cluster = s->pack_at / s->shape.cluster;
    uint64_t range = cluster / s->shape.per_block;
    uint8_t count[2];

    if (s->pack_at == NO_CLUSTER)
        return 0;
    s->pack_at = NO_CLUSTER;
    if (range == s->blocks.count - 1) {
        set_count(s, cluster, s->pack_count);
        return 0;
    }
    /* Its block is written already: mend the one number. */
    rh_put_be16(count, s->pack_count);
    return rh_out_write(w->out, count, sizeof count,
                        w->base + s->blocks.items[range] * s->shape.cluster +
                            cluster % s->shape.per_block * 2,
                        err);
}

static int pack_into_new(struct rh_writer *w, uint32_t size, uint64_t *ret_at,
                         rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t first, got;

    if (close_pack(w, err) < 0 || take(w, 1, &first, &got, err) < 0)
        return -1;
    *ret_at = first * s->shape.cluster;
    s->pack_at = *ret_at + size;
    s->pack_count = 1;
    return 0;
}

/* A place for `size` (< a cluster) packed bytes. */
static int pack(struct rh_writer *w, uint32_t size, uint64_t *ret_at,
                rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t cluster = s->shape.cluster;
    uint64_t left = (cluster - s->pack_at % cluster) % cluster;
    uint64_t end = s->pack_at + left, first, got;

    if (s->pack_at == NO_CLUSTER || left == 0 || s->pack_count == UINT16_MAX)
        return pack_into_new(w, size, ret_at, err);
    if (size < left) {
        *ret_at = s->pack_at;
        s->pack_at += size;
        s->pack_count++;
        return 0;
    }
    /* It may run on into the next cluster, if that is the neighbour. */
    if (end != s->next * cluster || s->next % s->shape.per_block == 0)
        return pack_into_new(w, size, ret_at, err);
    *ret_at = s->pack_at;
    s->pack_count++;
    if (close_pack(w, err) < 0)
        return -1;
    if (size == left)
        return 0;
    if (take(w, 1, &first, &got, err) < 0)
        return -1;
    s->pack_at = *ret_at + size;
    s->pack_count = 1;
    return 0;
}

/* --- L2 tables
 * ---------------------------------------------------------------------- */

static int write_entries(struct rh_writer *w, const struct table *t,
                         uint64_t from, uint64_t to, rh_error **err)
{
    struct seeking *s = w->state;

    return rh_out_write(w->out, t->entries + from * 8, (to - from) * 8,
                        w->base + s->l1[t->index] + from * 8, err);
}

static bool entry_set(const struct table *t, uint64_t i)
{
    return rh_be64(t->entries + i * 8) != 0;
}

/* All from the first entry that is set to the last: around them the new file
 * is a hole. */
static int write_fresh(struct rh_writer *w, const struct table *t,
                       rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t from = 0, to = s->shape.per_l2;

    while (from < to && !entry_set(t, from))
        from++;
    while (to > from && !entry_set(t, to - 1))
        to--;
    return write_entries(w, t, from, to, err);
}

/* Write what is set; what is not may have been written before. */
static int flush_table(struct rh_writer *w, struct table *t, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t n = s->shape.per_l2;

    if (!t->live)
        return 0;
    t->live = false;
    if (t->fresh)
        return write_fresh(w, t, err);
    for (uint64_t i = 0; i < n;) {
        uint64_t from = i;

        while (i < n && entry_set(t, i))
            i++;
        if (i > from && write_entries(w, t, from, i, err) < 0)
            return -1;
        while (i < n && !entry_set(t, i))
            i++;
    }
    return 0;
}

static struct table *oldest(struct seeking *s)
{
    struct table *found = &s->tables[0];

    for (size_t i = 0; i < s->table_count; i++) {
        struct table *t = &s->tables[i];

        if (!t->live)
            return t;
        if (t->used < found->used)
            found = t;
    }
    return found;
}

static int load_table(struct rh_writer *w, uint64_t index, struct table **ret,
                      rh_error **err)
{
    struct seeking *s = w->state;
    struct table *t = oldest(s);
    uint64_t first, got;

    if (flush_table(w, t, err) < 0)
        return -1;
    t->fresh = s->l1[index] == 0;
    if (t->fresh) {
        if (take(w, 1, &first, &got, err) < 0)
            return -1;
        s->l1[index] = first * s->shape.cluster;
    }
    memset(t->entries, 0, s->shape.cluster);
    t->index = index;
    t->live = true;
    *ret = t;
    return 0;
}

/* The table that maps virtual cluster `number`. */
static int table_for(struct rh_writer *w, uint64_t number, struct table **ret,
                     rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t index = number / s->shape.per_l2;
    struct table *t = NULL;

    for (size_t i = 0; i < s->table_count && !t; i++)
        if (s->tables[i].live && s->tables[i].index == index)
            t = &s->tables[i];
    if (!t && load_table(w, index, &t, err) < 0)
        return -1;
    t->used = ++s->clock;
    *ret = t;
    return 0;
}

static int map_cluster(struct rh_writer *w, uint64_t number, uint64_t entry,
                       rh_error **err)
{
    struct seeking *s = w->state;
    struct table *t;

    if (table_for(w, number, &t, err) < 0)
        return -1;
    rh_put_be64(t->entries + number % s->shape.per_l2 * 8, entry);
    return 0;
}

/* --- encoding: any thread
 * ------------------------------------------------------------- */

/* A whole cluster of plain bytes: the disk's last one may be short. */
static const uint8_t *whole(const struct seeking *s, struct rh_unit *u,
                            const struct piece *p, rh_error **err)
{
    uint8_t *copy;

    if (p->size == s->shape.cluster)
        return p->bytes;
    copy = rh_codec_scratch(u->codec, 3, s->shape.cluster, err);
    if (!copy)
        return NULL;
    memcpy(copy, p->bytes, p->size);
    memset(copy + p->size, 0, s->shape.cluster - p->size);
    return copy;
}

static int compress(const struct seeking *s, struct rh_unit *u, size_t i,
                    struct piece *p, rh_error **err)
{
    size_t cluster = s->shape.cluster, size;
    uint8_t *out = u->room + i * cluster;
    const uint8_t *in = whole(s, u, p, err);

    if (!in)
        return -1;
    /* Without a sector of gain the plain cluster is the better one. */
    size = s->shape.zstd
               ? rh_zstd(u->codec, in, cluster, out, cluster - Q_SECTOR)
               : rh_deflate_4k(u->codec, in, cluster, out, cluster - Q_SECTOR);
    if (size)
        *p = (struct piece){out, (uint32_t)size, PIECE_PACKED};
    return 0;
}

/* Deflate data of exactly one cluster that readers will take as it is: a zlib
 * stream (RFC 1950) loses its two bytes of head and four of checksum. */
static bool keep(const struct seeking *s, const struct rh_packed *k,
                 struct piece *ret)
{
    const uint8_t *b = k->bytes;
    size_t n = k->size;

    if (k->plain_size != s->shape.cluster)
        return false;
    if (k->codec == RH_PACKED_ZLIB) {
        bool deflate = n > 6 && (b[0] & 0x0f) == 8 && !(b[1] & 0x20) &&
                       (b[0] * 256U + b[1]) % 31 == 0;

        if (!deflate)
            return false;
        b += 2;
        n -= 6;
    } else if (k->codec != RH_PACKED_RAW_DEFLATE) {
        return false;
    }
    if (n == 0 || n > s->shape.cluster - Q_SECTOR)
        return false;
    *ret = (struct piece){b, (uint32_t)n, PIECE_PACKED};
    return true;
}

static enum rh_unpack_result unpack(struct rh_codec *c,
                                    const struct rh_packed *k, void *out,
                                    size_t room, size_t *ret_n)
{
    if (k->codec == RH_PACKED_ZLIB)
        return rh_inflate_zlib(c, k->bytes, k->size, out, room, ret_n, NULL);
    if (k->codec == RH_PACKED_ZSTD)
        return rh_unzstd(c, k->bytes, k->size, out, room, ret_n);
    return rh_inflate_raw(c, k->bytes, k->size, out, room, ret_n, NULL);
}

/* Packed bytes that cannot be carried over are unpacked and packed anew; what
 * stays plain then needs memory that lasts, the unit's room. */
static int repack(const struct seeking *s, struct rh_unit *u, size_t i,
                  struct piece *ret, rh_error **err)
{
    size_t cluster = s->shape.cluster, n = 0, at = i * cluster;
    uint8_t *plain = rh_codec_scratch(u->codec, 2, cluster, err);

    if (!plain)
        return -1;
    if (unpack(u->codec, &u->packed[i], plain, cluster, &n) != RH_UNPACK_OK ||
        n < RH_MIN(cluster, u->length - at))
        return rh_fail(err, RH_ERR_STREAM_DECODE,
                       "the compressed data at 0x%llx of the disk is damaged",
                       (unsigned long long)(u->offset + at));
    n = RH_MIN(n, u->length - at);
    if (rh_all_zero(plain, n))
        return 0;
    *ret = (struct piece){plain, (uint32_t)n, PIECE_PLAIN};
    /* What gained nothing before is not tried again. */
    if (u->packed[i].size <= cluster - Q_SECTOR &&
        compress(s, u, i, ret, err) < 0)
        return -1;
    if (ret->kind == PIECE_PLAIN)
        ret->bytes = memcpy(u->room + at, plain, n);
    return 0;
}

static int encode_one(const struct seeking *s, struct rh_unit *u, size_t i,
                      rh_error **err)
{
    struct piece *p = (struct piece *)u->state + i;
    size_t at = i * s->shape.cluster;
    size_t size = RH_MIN(s->shape.cluster, u->length - at);

    *p = (struct piece){0};
    if (u->packed && u->packed[i].bytes)
        return keep(s, &u->packed[i], p) ? 0 : repack(s, u, i, p, err);
    if (!u->data || (!u->unseen && rh_all_zero(u->data + at, size)))
        return 0;
    *p = (struct piece){u->data + at, (uint32_t)size, PIECE_PLAIN};
    return s->compress == RH_COMPRESS_NONE ? 0 : compress(s, u, i, p, err);
}

static int seeking_encode(struct rh_writer *w, struct rh_unit *u,
                          rh_error **err)
{
    struct seeking *s = w->state;

    for (size_t i = 0; i * s->shape.cluster < u->length; i++)
        if (encode_one(s, u, i, err) < 0)
            return -1;
    return 0;
}

/* --- placing: in order
 * ------------------------------------------------------------------ */

/* How many plain clusters lie side by side in memory from here on. */
static size_t plain_run(const struct seeking *s, const struct piece *p,
                        size_t n)
{
    size_t run = 1;

    while (run < n && p[run].kind == PIECE_PLAIN &&
           p[run].bytes == p[run - 1].bytes + s->shape.cluster)
        run++;
    return run;
}

static int place_plain(struct rh_writer *w, struct rh_unit *u,
                       const struct piece *p, size_t n, uint64_t number,
                       size_t *ret_done, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t cluster = s->shape.cluster, first, got, size;

    if (take(w, plain_run(s, p, n), &first, &got, err) < 0)
        return -1;
    size = (got - 1) * cluster + p[got - 1].size;
    u->iov[u->iov_count++] =
        (struct rh_iov){w->base + first * cluster, p->bytes, size};
    for (uint64_t i = 0; i < got; i++)
        if (map_cluster(w, number + i, (first + i) * cluster | Q_COPIED, err) <
            0)
            return -1;
    *ret_done = got;
    return 0;
}

static int place_packed(struct rh_writer *w, struct rh_unit *u,
                        const struct piece *p, uint64_t number, rh_error **err)
{
    struct seeking *s = w->state;
    unsigned shift = rh_qcow2_sector_shift(s->shape.bits);
    uint64_t at, sectors;

    if (pack(w, p->size, &at, err) < 0)
        return -1;
    sectors = (at + p->size - 1) / Q_SECTOR - at / Q_SECTOR;
    u->iov[u->iov_count++] = (struct rh_iov){w->base + at, p->bytes, p->size};
    return map_cluster(w, number, Q_COMPRESSED | sectors << shift | at, err);
}

static int seeking_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct seeking *s = w->state;
    const struct piece *p = u->state;
    size_t n = (size_t)rh_div_up(u->length, s->shape.cluster);
    uint64_t number = u->offset / s->shape.cluster;

    if (u->offset % s->shape.cluster || u->offset >= s->shape.size)
        return rh_fail(err, RH_ERR_BUG, "a unit at 0x%llx has no cluster",
                       (unsigned long long)u->offset);
    u->iov_count = 0;
    for (size_t i = 0, done; i < n; i += done) {
        done = 1;
        if (p[i].kind == PIECE_PLAIN &&
            place_plain(w, u, p + i, n - i, number + i, &done, err) < 0)
            return -1;
        if (p[i].kind == PIECE_PACKED &&
            place_packed(w, u, p + i, number + i, err) < 0)
            return -1;
    }
    return 0;
}

/* --- the end: L1, refcounts, header
 * --------------------------------------------------------- */

struct tail {
    uint64_t l1, l1_clusters;
    uint64_t reftable, reftable_clusters;
    uint64_t new_blocks, new_block_count;
    uint64_t end; /* clusters in the file */
};

/* The blocks count the clusters that they themselves and their table fill:
 * grow until all are counted. */
static struct tail plan_tail(const struct seeking *s)
{
    const struct rh_qcow2_shape *q = &s->shape;
    struct tail t = {.l1 = s->next,
                     .l1_clusters = rh_qcow2_clusters(q, q->l1_count * 8)};
    uint64_t blocks = s->blocks.count, need = blocks;

    do {
        blocks = need;
        t.reftable_clusters = rh_qcow2_clusters(q, blocks * 8);
        t.new_block_count = blocks - s->blocks.count;
        t.end =
            s->next + t.l1_clusters + t.reftable_clusters + t.new_block_count;
        need = RH_MAX(rh_div_up(t.end, q->per_block), blocks);
    } while (need != blocks);
    t.reftable = t.l1 + t.l1_clusters;
    t.new_blocks = t.reftable + t.reftable_clusters;
    return t;
}

/* Everything in the tail is used once. */
static int write_tail_counts(struct rh_writer *w, const struct tail *t,
                             rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t per = s->shape.per_block;

    for (uint64_t i = 0, at = t->l1;; i++) {
        uint64_t end = RH_MIN(t->end, s->blocks.count * per);

        for (; at < end; at++)
            set_count(s, at, 1);
        if (write_block(w, err) < 0)
            return -1;
        if (i == t->new_block_count)
            return 0;
        memset(s->block, 0, s->shape.cluster);
        *rh_vec_add(&s->blocks) = t->new_blocks + i;
    }
}

/* An array of numbers, made big-endian in place; pieces without any stay
 * holes. */
static int write_numbers(struct rh_writer *w, uint64_t *n, uint64_t count,
                         uint64_t cluster, rh_error **err)
{
    struct seeking *s = w->state;
    enum { PIECE = 8192 };

    for (uint64_t i = 0; i < count; i += PIECE) {
        size_t part = (size_t)RH_MIN((uint64_t)PIECE, count - i);

        if (rh_all_zero(n + i, part * 8))
            continue;
        for (size_t k = 0; k < part; k++)
            rh_put_be64(&n[i + k], n[i + k]);
        if (rh_out_write(w->out, n + i, part * 8,
                         w->base + cluster * s->shape.cluster + i * 8, err) < 0)
            return -1;
    }
    return 0;
}

static int write_tail(struct rh_writer *w, const struct tail *t, rh_error **err)
{
    struct seeking *s = w->state;

    if (write_tail_counts(w, t, err) < 0)
        return -1;
    for (uint64_t i = 0; i < s->shape.l1_count; i++)
        if (s->l1[i])
            s->l1[i] |= Q_COPIED;
    for (size_t i = 0; i < s->blocks.count; i++)
        s->blocks.items[i] *= s->shape.cluster;
    if (write_numbers(w, s->l1, s->shape.l1_count, t->l1, err) < 0)
        return -1;
    return write_numbers(w, s->blocks.items, s->blocks.count, t->reftable, err);
}

static int seeking_finish(struct rh_writer *w, uint64_t *ret_size,
                          rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t cluster = s->shape.cluster;
    uint8_t header[Q_V3_SIZE_COMPRESSION + 8];
    struct tail t;

    if (close_pack(w, err) < 0)
        return -1;
    for (size_t i = 0; i < s->table_count; i++)
        if (flush_table(w, &s->tables[i], err) < 0)
            return -1;
    t = plan_tail(s);
    if (t.reftable_clusters * cluster > Q_REFTABLE_MAX)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the qcow2 file would be too large for its clusters");
    if (write_tail(w, &t, err) < 0)
        return -1;
    rh_qcow2_header(&s->shape, t.l1 * cluster, t.reftable * cluster,
                    t.reftable_clusters, header);
    if (rh_out_write(w->out, header, sizeof header, w->base, err) < 0)
        return -1;
    *ret_size = t.end * cluster;
    return 0;
}

/* --- beginning and end of life
 * ---------------------------------------------------------------- */

static void seeking_close(struct rh_writer *w)
{
    struct seeking *s = w->state;

    if (!s)
        return;
    for (size_t i = 0; i < s->table_count; i++)
        free(s->tables[i].entries);
    free(s->blocks.items);
    free(s->block);
    free(s->l1);
    free(s);
    w->state = NULL;
}

static int start(struct rh_writer *w, rh_error **err)
{
    struct seeking *s = w->state;
    uint64_t cluster = s->shape.cluster;

    /* calloc: the pages of an L1 that stays empty are never touched. */
    s->l1 = calloc(s->shape.l1_count, sizeof *s->l1);
    if (!s->l1)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for the L1 table");
    s->block = rh_calloc(1, cluster);
    s->table_count = (size_t)RH_MIN(RH_MAX(RH_MIB / cluster, (uint64_t)2),
                                    (uint64_t)TABLES_MAX);
    for (size_t i = 0; i < s->table_count; i++)
        s->tables[i].entries = rh_malloc(cluster);
    /* Cluster 0 is the header's, 1 the first refcount block's. */
    *rh_vec_add(&s->blocks) = 1;
    set_count(s, 0, 1);
    set_count(s, 1, 1);
    s->next = 2;
    return 0;
}

static int seeking_create(struct rh_writer *w,
                          const struct rh_create_options *o, rh_error **err)
{
    struct rh_qcow2_shape shape = {0};
    struct seeking *s;
    size_t clusters;

    if (rh_qcow2_shape_of(&shape, o, err) < 0)
        return -1;
    s = rh_new0(struct seeking);
    s->head.ops = &rh_qcow2_seeking;
    s->shape = shape;
    s->compress = o->compress;
    w->state = s;
    if (start(w, err) < 0) {
        seeking_close(w);
        return -1;
    }
    w->unit = RH_MAX((uint64_t)RH_MIB, shape.cluster);
    clusters = (size_t)(w->unit / shape.cluster);
    w->room = o->compress == RH_COMPRESS_NONE ? 0 : w->unit;
    w->unit_state = clusters * sizeof(struct piece);
    w->iov_max = clusters;
    w->any_order = true;
    w->takes_unseen = o->compress == RH_COMPRESS_NONE;
    w->piece = s->shape.cluster;
    return 0;
}

const struct rh_writer_ops rh_qcow2_seeking = {
    .create = seeking_create,
    .encode = seeking_encode,
    .place = seeking_place,
    .finish = seeking_finish,
    .close = seeking_close,
};
