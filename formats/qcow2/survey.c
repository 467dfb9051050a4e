/* survey.c - every table of a qcow2 file is judged once, before any use.
 *
 * A walk over L1 and all L2 tables (8 bytes for each cluster in use) finds what
 * points past the end, to no cluster's start, or to a place that is used
 * already: two entries on one cluster would make a small file a huge disk, and
 * data on a table would let the guest write the map.  Used places are bits,
 * one per cluster of the file; a file with more clusters than the bits cover
 * is walked once per window of it, so memory stays bounded. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/reader.h"

#define WINDOW_CLUSTERS (64ULL << 20) /* 8 MiB of bits: 4 TiB at 64 KiB */
#define WINDOWS_MAX     64
enum { BATCH = 4096 }; /* bytes of a table looked at together */

struct survey {
    const struct rh_qcow2 *q;
    rh_lib *lib;
    struct rh_io *io;
    uint64_t window, window_end; /* clusters of the file */
    uint8_t *used;               /* tables and data */
    uint8_t *packed;             /* clusters that compressed data touches */
    uint64_t packed_clusters;    /* how many bits that are */
    uint64_t packed_bytes;       /* that the entries into them need at least */
    uint64_t last;               /* place of the data met last */
    struct rh_qcow2_survey found;
};

static bool test_bit(const uint8_t *bits, uint64_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void set_bit(uint8_t *bits, uint64_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1U << (i % 8));
}

/* Note that bytes [at, at + size) of the file are taken; false when one of
 * their clusters is taken already. */
static bool claim(struct survey *s, uint64_t at, uint64_t size)
{
    uint64_t first = RH_MAX(at / s->q->cluster, s->window);
    uint64_t end = RH_MIN(rh_div_up(at + size, s->q->cluster), s->window_end);

    for (uint64_t i = first; i < end; i++) {
        if (test_bit(s->used, i - s->window) ||
            test_bit(s->packed, i - s->window))
            return false;
        set_bit(s->used, i - s->window);
    }
    return true;
}

/* The least that an entry of `size` bytes can need: the sectors before its last
 * are full, and no stream expands without bound (zstd: a block of 128 KiB takes
 * 4 bytes). */
static uint64_t packed_least(const struct rh_qcow2 *q, uint64_t size)
{
    uint64_t least = q->compression == Q_COMPRESSION_ZSTD
                         ? q->cluster / (32 * RH_KIB) + 8
                         : q->cluster / RH_LIMIT_EXPANSION + 1;

    return RH_MAX(least, size - RH_MIN(size, (uint64_t)2 * Q_SECTOR - 1));
}

/* Packed data shares clusters with its like, and with nothing else. */
static bool claim_packed(struct survey *s, uint64_t at, uint64_t size)
{
    uint64_t first = RH_MAX(at / s->q->cluster, s->window);
    uint64_t end = RH_MIN(rh_div_up(at + size, s->q->cluster), s->window_end);

    for (uint64_t i = first; i < end; i++) {
        if (test_bit(s->used, i - s->window))
            return false;
        s->packed_clusters += !test_bit(s->packed, i - s->window);
        set_bit(s->packed, i - s->window);
    }
    if (at / s->q->cluster >= s->window && at / s->q->cluster < s->window_end)
        s->packed_bytes += packed_least(s->q, size);
    return true;
}

/* Streams lie side by side.  Entries that need far more bytes than there are
 * share them: that would make a small file a huge disk, too.  (A stream may run
 * on into the next window; twice the room is for writers that count a sector
 * too many.) */
static int check_packed_room(const struct survey *s, rh_error **err)
{
    uint64_t room = (s->packed_clusters + 2) * s->q->cluster;

    if (s->packed_bytes / 2 <= room)
        return 0;
    return rh_fail(
        err, RH_ERR_QCOW2_OVERLAP,
        "compressed clusters overlap: they need %llu bytes, but lie "
        "in %llu (between 0x%llx and 0x%llx)",
        (unsigned long long)s->packed_bytes, (unsigned long long)room,
        (unsigned long long)(s->window * s->q->cluster),
        (unsigned long long)RH_MIN(s->window_end * s->q->cluster, s->io->size));
}

/* --- L1
 * ------------------------------------------------------------------------------
 */

#define L1_RESERVED 0x7f000000000001ffULL

static int judge_l1(void *user, uint64_t index, uint64_t entry, rh_error **err)
{
    struct survey *s = user;
    uint64_t at = entry & Q_OFFSET;

    if (entry & L1_RESERVED || (entry && !at))
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "entry %llu of the L1 table has reserved bits set "
                       "(0x%llx)",
                       (unsigned long long)index, (unsigned long long)entry);
    if (at % s->q->cluster)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "L2 table %llu at 0x%llx is not at the start of a "
                       "cluster",
                       (unsigned long long)index, (unsigned long long)at);
    if (at > s->io->size || s->q->cluster > s->io->size - at)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "L2 table %llu at 0x%llx lies past the end of the file "
                       "(0x%llx)",
                       (unsigned long long)index, (unsigned long long)at,
                       (unsigned long long)s->io->size);
    if (!claim(s, at, s->q->cluster))
        return rh_fail(err, RH_ERR_QCOW2_OVERLAP,
                       "L2 table %llu at 0x%llx lies on another table",
                       (unsigned long long)index, (unsigned long long)at);
    return 0;
}

/* --- L2
 * ------------------------------------------------------------------------------
 */

#define L2_RESERVED 0x3f000000000001feULL

static int bad_entry(const struct survey *s, uint64_t offset, uint64_t word,
                     rh_error **err)
{
    (void)s;
    return rh_fail(err, RH_ERR_QCOW2_TABLE,
                   "the L2 entry for disk offset 0x%llx is not possible "
                   "(0x%llx)",
                   (unsigned long long)offset, (unsigned long long)word);
}

static int past_end(const struct survey *s, uint64_t offset, uint64_t at,
                    rh_error **err)
{
    return rh_fail(err, RH_ERR_QCOW2_TABLE,
                   "the data for disk offset 0x%llx lies past the end of the "
                   "file (at 0x%llx, file ends at 0x%llx)",
                   (unsigned long long)offset, (unsigned long long)at,
                   (unsigned long long)s->io->size);
}

static int overlap(uint64_t offset, uint64_t at, rh_error **err)
{
    return rh_fail(err, RH_ERR_QCOW2_OVERLAP,
                   "the data for disk offset 0x%llx lies on a cluster that is "
                   "in use already (at 0x%llx)",
                   (unsigned long long)offset, (unsigned long long)at);
}

static void note_order(struct survey *s, uint64_t at)
{
    if (at < s->last)
        s->found.file_order = false;
    s->last = at;
}

static int judge_packed(struct survey *s, const uint8_t *raw, uint64_t offset,
                        rh_error **err)
{
    uint64_t word = rh_be64(raw), at, size;

    rh_qcow2_packed_at(s->q, word, &at, &size);
    if (word & Q_COPIED || (s->q->extended && rh_be64(raw + 8)))
        return bad_entry(s, offset, word, err);
    /* The last sector of the file may be short, nothing else. */
    if (at >= s->io->size || size > s->io->size - at + Q_SECTOR - 1)
        return past_end(s, offset, at, err);
    if (!claim_packed(s, at, RH_MIN(size, s->io->size - at)))
        return overlap(offset, at, err);
    s->found.packed = true;
    note_order(s, at);
    return 0;
}

/* Bytes of a cluster that must be in the file: up to the last subcluster with
 * data, and no further than the disk. */
static uint64_t needed(const struct rh_qcow2 *q, const uint8_t *raw,
                       uint64_t offset)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < q->subs; i++)
        if (rh_qcow2_kind_of(q, raw, i) == Q_IS_DATA)
            n = (i + 1) * q->sub;
    return RH_MIN(n, q->size - offset);
}

static int judge_plain(struct survey *s, const uint8_t *raw, uint64_t offset,
                       rh_error **err)
{
    const struct rh_qcow2 *q = s->q;
    uint64_t word = rh_be64(raw), at = word & Q_OFFSET, n;
    uint64_t reserved =
        L2_RESERVED | (q->version == 2 || q->extended ? Q_ZERO : 0);
    uint64_t map = q->extended ? rh_be64(raw + 8) : 0;

    if (word & reserved || at % q->cluster ||
        (map >> 32) & (map & UINT32_MAX) || (!at && (uint32_t)map) ||
        (!at && word & Q_COPIED))
        return bad_entry(s, offset, word, err);
    if (!at)
        return 0;
    n = needed(q, raw, offset);
    if (n && (at > s->io->size || n > s->io->size - at))
        return past_end(s, offset, at, err);
    if (!claim(s, at, q->cluster))
        return overlap(offset, at, err);
    if (n)
        note_order(s, at);
    return 0;
}

static int judge_l2(void *user, const uint8_t *raw, uint64_t offset,
                    rh_error **err)
{
    struct survey *s = user;
    uint64_t word = rh_be64(raw);

    /* Entries behind the disk's end map nothing. */
    if (offset >= s->q->size)
        return 0;
    return word & Q_COMPRESSED ? judge_packed(s, raw, offset, err)
                               : judge_plain(s, raw, offset, err);
}

/* --- the walk
 * ----------------------------------------------------------------------------
 */

int rh_qcow2_each_l2(const struct rh_qcow2 *q, rh_lib *lib, struct rh_io *io,
                     uint64_t index, uint64_t at, rh_qcow2_l2_fn *fn,
                     void *user, rh_error **err)
{
    uint64_t offset = index * q->per_l2 * q->cluster;
    uint8_t buf[BATCH];

    for (uint64_t done = 0; done < q->cluster;) {
        size_t n = (size_t)RH_MIN((uint64_t)BATCH, q->cluster - done);

        if (rh_io_read(io, buf, n, at + done, err) < 0)
            return -1;
        if (!rh_all_zero(buf, n))
            for (size_t i = 0; i < n; i += q->entry)
                if (fn(user, buf + i,
                       offset + (done + i) / q->entry * q->cluster, err) < 0)
                    return -1;
        done += n;
    }
    return rh_go_on(lib, err);
}

int rh_qcow2_each_l1(rh_lib *lib, struct rh_io *io, uint64_t at, uint64_t count,
                     rh_qcow2_l1_fn *fn, void *user, rh_error **err)
{
    uint8_t buf[BATCH];

    for (uint64_t done = 0; done < count * 8;) {
        size_t n = (size_t)RH_MIN((uint64_t)BATCH, count * 8 - done);

        if (rh_io_read(io, buf, n, at + done, err) < 0)
            return -1;
        if (!rh_all_zero(buf, n))
            for (size_t i = 0; i < n; i += 8)
                if (rh_be64(buf + i) &&
                    fn(user, (done + i) / 8, rh_be64(buf + i), err) < 0)
                    return -1;
        done += n;
    }
    return rh_go_on(lib, err);
}

static int walk_table(void *user, uint64_t index, uint64_t entry,
                      rh_error **err)
{
    struct survey *s = user;

    return rh_qcow2_each_l2(s->q, s->lib, s->io, index, entry & Q_OFFSET,
                            judge_l2, s, err);
}

static int each_l1(struct survey *s, rh_qcow2_l1_fn *fn, rh_error **err)
{
    return rh_qcow2_each_l1(s->lib, s->io, s->q->l1, s->q->l1_count, fn, s,
                            err);
}

static int walk_window(struct survey *s, rh_error **err)
{
    const struct rh_qcow2 *q = s->q;
    uint64_t bytes = rh_div_up(s->window_end - s->window, 8);

    memset(s->used, 0, bytes);
    memset(s->packed, 0, bytes);
    s->packed_clusters = s->packed_bytes = 0;
    s->last = 0;
    s->found = (struct rh_qcow2_survey){.file_order = true};
    claim(s, 0, q->cluster);
    if (!claim(s, q->l1, q->l1_count * 8) ||
        (q->reftable_size && !claim(s, q->reftable, q->reftable_size)))
        return rh_fail(err, RH_ERR_QCOW2_OVERLAP,
                       "the header, the L1 table (0x%llx) and the refcount "
                       "table (0x%llx) overlap",
                       (unsigned long long)q->l1,
                       (unsigned long long)q->reftable);
    if (each_l1(s, judge_l1, err) < 0 || each_l1(s, walk_table, err) < 0)
        return -1;
    return check_packed_room(s, err);
}

int rh_qcow2_survey(const struct rh_qcow2 *q, rh_lib *lib, struct rh_io *io,
                    struct rh_qcow2_survey *ret, rh_error **err)
{
    uint64_t clusters = rh_div_up(io->size, q->cluster);
    uint64_t window = RH_MIN(clusters, WINDOW_CLUSTERS);
    RH_AUTO(rh_freep) uint8_t *used = NULL;
    RH_AUTO(rh_freep) uint8_t *packed = NULL;
    struct survey s = {.q = q, .lib = lib, .io = io};

    if (clusters / WINDOW_CLUSTERS >= WINDOWS_MAX)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "a file of 0x%llx bytes is too large for clusters of "
                       "%llu bytes",
                       (unsigned long long)io->size,
                       (unsigned long long)q->cluster);
    s.used = used = rh_alloc_big(rh_div_up(window, 8), err);
    s.packed = packed = rh_alloc_big(rh_div_up(window, 8), err);
    if (!used || !packed)
        return -1;
    for (s.window = 0; s.window < clusters; s.window += window) {
        s.window_end = RH_MIN(s.window + window, clusters);
        if (walk_window(&s, err) < 0)
            return -1;
    }
    *ret = s.found;
    return 0;
}
