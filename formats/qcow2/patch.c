/* patch.c - a later pass over a qcow2 file of ours (formats/patch.h).
 *
 * Clusters that are there are written in place; new ones go behind the end of
 * the file.  The file is marked dirty (incompatible bit 0 of the format:
 * refcounts cannot be trusted) before the first cluster is added.  Tables go
 * out after the data that they point at, L1 after the L2 tables, and refcounts
 * at finish(), which takes the mark away.  Whoever opens a file that is marked
 * makes the refcounts anew from the tables: we do, and so does QEMU. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/patch.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/patch_state.h"

enum { TABLE_BYTES = 4 * 1024 * 1024, TABLES_LEAST = 2, TABLES_MOST = 256 };

/* --- the head of the file
 * ----------------------------------------------------- */

static int set_mark(struct rh_patch *p, bool dirty, rh_error **err)
{
    struct patch *s = p->state;
    uint8_t bits[8];

    rh_put_be64(bits, dirty ? Q_DIRTY : 0);
    if (rh_patch_pwrite(p, bits, sizeof bits, Q_AT_INCOMPATIBLE, err) < 0 ||
        rh_patch_sync(p, err) < 0)
        return -1;
    s->dirty = dirty;
    return 0;
}

static int not_ours(rh_error **err, const char *why)
{
    return rh_fail(err, RH_ERR_QCOW2_FEATURE,
                   "the qcow2 file is none that can be written again: %s", why);
}

static int check_header(const uint8_t *h, rh_error **err)
{
    unsigned bits = rh_be32(h + Q_AT_CLUSTER_BITS);

    if (rh_be32(h) != Q_MAGIC || rh_be32(h + Q_AT_VERSION) != 3)
        return not_ours(err, "it is no qcow2 of version 3");
    if (rh_be64(h + Q_AT_BACKING_OFFSET) || rh_be32(h + Q_AT_SNAPSHOTS) ||
        rh_be32(h + Q_AT_CRYPT))
        return not_ours(err, "it has a backing file, snapshots or a key");
    if (rh_be64(h + Q_AT_INCOMPATIBLE) & ~Q_DIRTY ||
        rh_be64(h + Q_AT_AUTOCLEAR) || rh_be32(h + Q_AT_REFCOUNT_ORDER) != 4)
        return not_ours(err, "it has features that our files don't have");
    if (bits < Q_WRITE_BITS_MIN || bits > Q_CLUSTER_BITS_MAX)
        return not_ours(err, "its clusters are too small or too large");
    return 0;
}

bool rh_qcow2_inside(const struct rh_patch *p, uint64_t at, uint64_t n)
{
    const struct patch *s = p->state;

    return at >= s->cluster && at % s->cluster == 0 && at <= p->file &&
           n <= p->file - at;
}

static int decode_header(struct rh_patch *p, const uint8_t *h, rh_error **err)
{
    struct patch *s = p->state;

    s->cluster = 1ULL << rh_be32(h + Q_AT_CLUSTER_BITS);
    s->per_l2 = s->cluster / 8;
    s->per_block = s->cluster / 2;
    s->l1_at = rh_be64(h + Q_AT_L1_OFFSET);
    s->l1_count = rh_be32(h + Q_AT_L1_SIZE);
    s->reftable_at = rh_be64(h + Q_AT_REFTABLE_OFFSET);
    s->reftable_clusters = rh_be32(h + Q_AT_REFTABLE_CLUSTERS);
    s->dirty = rh_be64(h + Q_AT_INCOMPATIBLE) & Q_DIRTY;
    p->size = rh_be64(h + Q_AT_SIZE);
    p->grain = (uint32_t)s->cluster;
    if (p->size == 0 || p->size > RH_MAX(p->lib->max_disk_size, RH_TIB) ||
        s->l1_count > Q_L1_MAX / 8 ||
        s->l1_count < rh_div_up(p->size, s->cluster * s->per_l2))
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "its size and its L1 table do not belong together");
    if (s->reftable_clusters == 0 ||
        s->reftable_clusters > Q_REFTABLE_MAX / s->cluster ||
        !rh_qcow2_inside(p, s->l1_at, s->l1_count * 8) ||
        !rh_qcow2_inside(p, s->reftable_at, s->reftable_clusters * s->cluster))
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "its tables lie outside the file");
    return 0;
}

/* On the L1 table or the refcount table. */
static bool on_a_table(const struct patch *s, uint64_t at)
{
    uint64_t l1 = rh_round_up((uint64_t)s->l1_count * 8, s->cluster);

    return (at >= s->l1_at && at - s->l1_at < l1) ||
           (at >= s->reftable_at &&
            at - s->reftable_at < s->reftable_clusters * s->cluster);
}

int rh_qcow2_overlap(uint64_t at, rh_error **err)
{
    return rh_fail(err, RH_ERR_QCOW2_OVERLAP,
                   "cluster 0x%llx of the file is used twice",
                   (unsigned long long)at);
}

static int read_numbers(struct rh_patch *p, uint64_t at, uint64_t count,
                        uint64_t **ret, rh_error **err)
{
    uint64_t *n = rh_alloc_big((size_t)count * 8 + 8, err);

    if (!n)
        return -1;
    *ret = n;
    if (rh_patch_pread(p, n, (size_t)count * 8, at, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        n[i] = rh_be64(n + i);
    return 0;
}

/* A crash of the machine may have kept a pointer and lost what it points at:
 * only in a file that bears the mark. */
static int read_l1(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;

    if (read_numbers(p, s->l1_at, s->l1_count, &s->l1, err) < 0)
        return -1;
    for (uint64_t i = 0; i < s->l1_count; i++) {
        uint64_t at = s->l1[i] & Q_OFFSET;

        if (s->l1[i] & ~(Q_COPIED | Q_OFFSET) ||
            (s->l1[i] && !(s->l1[i] & Q_COPIED)))
            return rh_fail(err, RH_ERR_QCOW2_TABLE,
                           "entry %llu of its L1 table is none of ours",
                           (unsigned long long)i);
        if (at && on_a_table(s, at))
            return rh_qcow2_overlap(at / s->cluster, err);
        if (at && !rh_qcow2_inside(p, at, 1)) {
            if (!s->dirty)
                return rh_fail(err, RH_ERR_QCOW2_TABLE,
                               "an L2 table lies outside the file (0x%llx)",
                               (unsigned long long)at);
            at = 0;
            s->l1_low = RH_MIN(s->l1_low, i);
            s->l1_high = RH_MAX(s->l1_high, i + 1);
        }
        s->l1[i] = at;
    }
    return 0;
}

static int read_blocks(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t count = s->reftable_clusters * s->cluster / 8;

    if (read_numbers(p, s->reftable_at, count, &s->blocks, err) < 0)
        return -1;
    while (s->block_count < count && s->blocks[s->block_count])
        s->block_count++;
    for (uint64_t i = 0; i < s->block_count; i++)
        if (on_a_table(s, s->blocks[i]))
            return rh_qcow2_overlap(s->blocks[i] / s->cluster, err);
    for (uint64_t i = 0; i < count; i++)
        if (i < s->block_count ? !rh_qcow2_inside(p, s->blocks[i], 1)
                               : s->blocks[i] != 0)
            return rh_fail(err, RH_ERR_QCOW2_TABLE,
                           "entry %llu of its refcount table is none of ours",
                           (unsigned long long)i);
    return 0;
}

/* --- opening
 * ------------------------------------------------------------------ */

static void patch_close(struct rh_patch *p)
{
    struct patch *s = p->state;

    for (size_t i = 0; i < s->table_count; i++)
        free(s->tables[i].entries);
    free(s->tables);
    free(s->l1);
    free(s->blocks);
    free(s->spare);
    free(s);
}

static void make_tables(struct patch *s)
{
    s->table_count =
        (size_t)RH_MIN(RH_MAX(TABLE_BYTES / s->cluster, (uint64_t)TABLES_LEAST),
                       (uint64_t)TABLES_MOST);
    s->tables = rh_calloc(s->table_count, sizeof *s->tables);
    s->spare = rh_malloc(s->cluster);
}

static int patch_open(struct rh_patch *p, rh_error **err)
{
    uint8_t h[Q_V3_SIZE];
    struct patch *s = rh_new0(struct patch);

    p->state = s;
    s->l1_low = UINT64_MAX;
    if (rh_patch_pread(p, h, sizeof h, 0, err) < 0 ||
        check_header(h, err) < 0 || decode_header(p, h, err) < 0)
        return -1;
    make_tables(s);
    if (read_l1(p, err) < 0 || read_blocks(p, err) < 0)
        return -1;
    s->next = rh_div_up(p->file, s->cluster);
    s->counted = s->next;
    if (!s->dirty && s->next > s->block_count * s->per_block)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "clusters at its end have no refcounts");
    return s->dirty ? rh_qcow2_counts_anew(p, err) : 0;
}

/* --- tables
 * ------------------------------------------------------------------- */

static int write_table(struct rh_patch *p, struct table *t, rh_error **err)
{
    struct patch *s = p->state;

    if (!t->live || t->low >= t->high)
        return 0;
    if (rh_patch_pwrite(p, t->entries + t->low * 8, (t->high - t->low) * 8,
                        s->l1[t->index] + t->low * 8, err) < 0)
        return -1;
    t->low = UINT64_MAX;
    t->high = 0;
    return 0;
}

static int write_l1(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t n = s->l1_high - s->l1_low;
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;

    if (s->l1_low >= s->l1_high)
        return 0;
    bytes = rh_alloc_big((size_t)n * 8, err);
    if (!bytes || rh_patch_sync(p, err) < 0)
        return -1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = s->l1[s->l1_low + i];

        rh_put_be64(bytes + i * 8, at ? at | Q_COPIED : 0);
    }
    if (rh_patch_pwrite(p, bytes, (size_t)n * 8, s->l1_at + s->l1_low * 8,
                        err) < 0)
        return -1;
    s->l1_low = UINT64_MAX;
    s->l1_high = 0;
    return 0;
}

/* Data first, then what points at it. */
static int patch_flush(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;

    if (rh_patch_sync(p, err) < 0)
        return -1;
    for (size_t i = 0; i < s->table_count; i++)
        if (write_table(p, &s->tables[i], err) < 0)
            return -1;
    if (write_l1(p, err) < 0)
        return -1;
    return rh_patch_sync(p, err);
}

static int take_cluster(struct rh_patch *p, uint64_t *ret_at, rh_error **err)
{
    struct patch *s = p->state;

    if (!s->dirty && set_mark(p, true, err) < 0)
        return -1;
    if (s->next >= Q_OFFSET / s->cluster)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the qcow2 file would be too large");
    s->changed = true;
    *ret_at = s->next++ * s->cluster;
    return 0;
}

/* One that is not to be written, the one that was not used for longest. */
static struct table *clean_table(struct patch *s)
{
    struct table *found = NULL;

    for (size_t i = 0; i < s->table_count; i++) {
        struct table *t = &s->tables[i];

        if (!t->live)
            return t;
        if (t->low >= t->high && (!found || t->used < found->used))
            found = t;
    }
    return found;
}

static int load_table(struct rh_patch *p, uint64_t index, bool create,
                      struct table **ret, rh_error **err)
{
    struct patch *s = p->state;
    struct table *t = clean_table(s);
    uint64_t at;

    if (!t && patch_flush(p, err) < 0)
        return -1;
    if (!t)
        t = clean_table(s);
    if (!t)
        return rh_fail(err, RH_ERR_BUG, "no L2 table is free");
    t->live = false;
    if (!t->entries)
        t->entries = rh_malloc(s->cluster);
    t->low = UINT64_MAX;
    t->high = 0;
    if (s->l1[index]) {
        if (rh_patch_pread(p, t->entries, s->cluster, s->l1[index], err) < 0)
            return -1;
    } else if (create) {
        if (take_cluster(p, &at, err) < 0)
            return -1;
        memset(t->entries, 0, s->cluster);
        s->l1[index] = at;
        s->l1_low = RH_MIN(s->l1_low, index);
        s->l1_high = RH_MAX(s->l1_high, index + 1);
        t->low = 0; /* all of it: the place is new */
        t->high = s->per_l2;
    }
    t->index = index;
    t->live = true;
    *ret = t;
    return 0;
}

/* The table that maps `offset`; NULL where there is none and none is made. */
static int table_for(struct rh_patch *p, uint64_t offset, bool create,
                     struct table **ret, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t index = offset / s->cluster / s->per_l2;
    struct table *t = NULL;

    *ret = NULL;
    if (!s->l1[index] && !create)
        return 0;
    for (size_t i = 0; i < s->table_count && !t; i++)
        if (s->tables[i].live && s->tables[i].index == index)
            t = &s->tables[i];
    if (!t && load_table(p, index, create, &t, err) < 0)
        return -1;
    t->used = ++s->clock;
    *ret = t;
    return 0;
}

static int entry_of(struct rh_patch *p, const struct table *t, uint64_t offset,
                    uint64_t *ret, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t entry, at;

    *ret = 0;
    if (!t)
        return 0;
    entry = rh_be64(t->entries + offset / s->cluster % s->per_l2 * 8);
    at = entry & Q_OFFSET;
    if (entry & NOT_OURS ||
        (at && (at % s->cluster || !(entry & Q_COPIED) || at < s->cluster ||
                at / s->cluster >= s->next)))
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "the entry for 0x%llx of the disk is none of ours",
                       (unsigned long long)offset);
    *ret = entry;
    return 0;
}

static void set_entry(struct patch *s, struct table *t, uint64_t offset,
                      uint64_t entry)
{
    uint64_t i = offset / s->cluster % s->per_l2;

    rh_put_be64(t->entries + i * 8, entry);
    t->low = RH_MIN(t->low, i);
    t->high = RH_MAX(t->high, i + 1);
    s->changed = true;
}

/* --- data
 * --------------------------------------------------------------------- */

static int read_cluster(struct rh_patch *p, void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    struct patch *s = p->state;
    struct table *t;
    uint64_t entry;

    if (table_for(p, offset, false, &t, err) < 0 ||
        entry_of(p, t, offset, &entry, err) < 0)
        return -1;
    if (!(entry & Q_OFFSET) || entry & Q_ZERO) {
        memset(buf, 0, n);
        return 0;
    }
    return rh_patch_pread(p, buf, n, (entry & Q_OFFSET) + offset % s->cluster,
                          err);
}

/* A cluster that is new, or that read as zeros: all of it is written. */
static int write_whole(struct rh_patch *p, struct table *t, uint64_t entry,
                       const void *buf, size_t n, uint64_t offset,
                       rh_error **err)
{
    struct patch *s = p->state;
    uint64_t at = entry & Q_OFFSET;

    if (!at && take_cluster(p, &at, err) < 0)
        return -1;
    if (n < s->cluster) {
        memset(s->spare, 0, s->cluster);
        memcpy(s->spare + offset % s->cluster, buf, n);
        buf = s->spare;
    }
    if (rh_patch_pwrite(p, buf, s->cluster, at, err) < 0)
        return -1;
    set_entry(s, t, offset, at | Q_COPIED);
    return 0;
}

static int write_cluster(struct rh_patch *p, const void *buf, size_t n,
                         uint64_t offset, rh_error **err)
{
    struct patch *s = p->state;
    struct table *t;
    uint64_t entry;

    if (table_for(p, offset, true, &t, err) < 0 ||
        entry_of(p, t, offset, &entry, err) < 0)
        return -1;
    if (!(entry & Q_OFFSET) || entry & Q_ZERO)
        return write_whole(p, t, entry, buf, n, offset, err);
    return rh_patch_pwrite(p, buf, n, (entry & Q_OFFSET) + offset % s->cluster,
                           err);
}

static int zero_cluster(struct rh_patch *p, uint64_t n, uint64_t offset,
                        rh_error **err)
{
    struct patch *s = p->state;
    uint64_t inside_it = offset % s->cluster, entry, at;
    bool whole = inside_it == 0 && (n == s->cluster || offset + n == p->size);
    struct table *t;

    if (table_for(p, offset, false, &t, err) < 0 ||
        entry_of(p, t, offset, &entry, err) < 0)
        return -1;
    at = entry & Q_OFFSET;
    if (!at || entry & Q_ZERO)
        return 0;
    if (rh_patch_punch(p, whole ? s->cluster : n, at + inside_it, err) < 0)
        return -1;
    if (whole)
        set_entry(s, t, offset, entry | Q_ZERO);
    return 0;
}

static uint64_t part_of(const struct patch *s, uint64_t n, uint64_t offset)
{
    return RH_MIN(n, s->cluster - offset % s->cluster);
}

static int patch_read(struct rh_patch *p, void *buf, size_t n, uint64_t offset,
                      rh_error **err)
{
    char *to = buf;

    while (n) {
        size_t part = (size_t)part_of(p->state, n, offset);

        if (read_cluster(p, to, part, offset, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

static int patch_write(struct rh_patch *p, const void *buf, size_t n,
                       uint64_t offset, rh_error **err)
{
    const char *from = buf;

    while (n) {
        size_t part = (size_t)part_of(p->state, n, offset);

        if (write_cluster(p, from, part, offset, err) < 0)
            return -1;
        from += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* Where no L2 table is, nothing is allocated as far as it would reach. */
static int patch_zero(struct rh_patch *p, uint64_t n, uint64_t offset,
                      rh_error **err)
{
    struct patch *s = p->state;
    uint64_t reach = s->cluster * s->per_l2;

    while (n) {
        uint64_t part = part_of(s, n, offset);

        if (!s->l1[offset / reach])
            part = RH_MIN(n, reach - offset % reach);
        else if (zero_cluster(p, part, offset, err) < 0)
            return -1;
        offset += part;
        n -= part;
    }
    return 0;
}

/* --- the end */

static int patch_finish(struct rh_patch *p, rh_error **err)
{
    const struct patch *s = p->state;

    if (patch_flush(p, err) < 0)
        return -1;
    if (!s->dirty)
        return 0;
    if (rh_qcow2_counts_added(p, err) < 0)
        return -1;
    return set_mark(p, false, err);
}

const struct rh_patch_ops rh_qcow2_patch = {
    .open = patch_open,
    .read = patch_read,
    .write = patch_write,
    .zero = patch_zero,
    .flush = patch_flush,
    .finish = patch_finish,
    .close = patch_close,
};
