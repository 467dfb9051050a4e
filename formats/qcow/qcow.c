/* qcow.c - QEMU's first format (version 1), read only.
 *
 * Two levels of tables lead to clusters, which may be raw deflate
 * (block/qcow.c of QEMU).  Tables stay in the file but for the first. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/format.h"

enum { /* offsets in the header; numbers are big-endian */
       AT_BACKING = 8,
       AT_BACKING_SIZE = 16,
       AT_SIZE = 24,
       AT_CLUSTER_BITS = 32,
       AT_TABLE_BITS = 33,
       AT_CRYPT = 36,
       AT_L1 = 40,
       HEADER = 48,
};
enum { BATCH = 512, NAME_MOST = 1023 };
#define QCOW_PACKED (UINT64_C(1) << 63)

struct qcow {
    uint64_t cluster, per_table; /* bytes of a cluster; entries of a table */
    unsigned bits;               /* of the cluster size */
    uint64_t l1_count, *l1;
};

/* Where a cluster's bytes are in the file. */
struct stored {
    uint64_t at, size;
};

static bool probe(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size)
{
    (void)tail;
    (void)size;
    return n >= 8 && !memcmp(head, "QFI\xfb\0\0\0\1", 8);
}

static void qcow_close(struct rh_reader *r)
{
    struct qcow *q = r->state;

    if (!q)
        return;
    free(q->l1);
    free(q);
    r->state = NULL;
}

/* --- opening ---------------------------------------------------------------
 */

static int bad_header(const char *what, unsigned at, rh_error **err)
{
    return rh_fail(err, RH_ERR_QCOW2_HEADER, "%s (at 0x%x)", _(what), at);
}

static int take_header(struct rh_reader *r, struct qcow *q,
                       const uint8_t h[HEADER], rh_error **err)
{
    unsigned table_bits = h[AT_TABLE_BITS];

    q->bits = h[AT_CLUSTER_BITS];
    r->size = rh_be64(h + AT_SIZE);
    if (!probe(h, HEADER, NULL, 0))
        return bad_header(N_("this is no qcow of version 1"), 0, err);
    if (q->bits < 9 || q->bits > 16)
        return bad_header(N_("the cluster size is not possible"),
                          AT_CLUSTER_BITS, err);
    if (table_bits < 6 || table_bits > 13)
        return bad_header(N_("the tables' size is not possible"), AT_TABLE_BITS,
                          err);
    if (rh_be32(h + AT_CRYPT))
        return rh_fail(err, RH_ERR_QCOW2_ENCRYPTED,
                       "the file is encrypted (method %u, at 0x%x)",
                       rh_be32(h + AT_CRYPT), AT_CRYPT);
    q->cluster = UINT64_C(1) << q->bits;
    q->per_table = UINT64_C(1) << table_bits;
    if (r->size == 0 || r->size > RH_LIMIT_DISK_SIZE)
        return bad_header(N_("the disk's size is not possible"), AT_SIZE, err);
    q->l1_count = rh_div_up(r->size, q->cluster * q->per_table);
    return 0;
}

static int read_l1(struct rh_reader *r, struct qcow *q, uint64_t at,
                   rh_error **err)
{
    size_t size = (size_t)q->l1_count * sizeof *q->l1;

    if (q->l1_count > RH_LIMIT_TABLE_BYTES / sizeof *q->l1 || at < HEADER ||
        at % 8 || at > r->io->size || size > r->io->size - at)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "the first table (at 0x%llx, %llu entries) lies outside "
                       "the file",
                       (unsigned long long)at, (unsigned long long)q->l1_count);
    q->l1 = rh_alloc_big(size, err);
    if (!q->l1 || rh_io_read(r->io, q->l1, size, at, err) < 0)
        return -1;
    for (uint64_t i = 0; i < q->l1_count; i++) {
        uint64_t table = q->l1[i] = be64toh(q->l1[i]);

        if (table && (table < HEADER || table > r->io->size ||
                      q->per_table * 8 > r->io->size - table))
            return rh_fail(err, RH_ERR_QCOW2_TABLE,
                           "entry %llu of the first table (at 0x%llx): a table "
                           "at 0x%llx lies outside the file",
                           (unsigned long long)i, (unsigned long long)at,
                           (unsigned long long)table);
    }
    return 0;
}

static int open_backing(struct rh_reader *r, const uint8_t h[HEADER],
                        const struct rh_open_options *o, rh_error **err)
{
    uint64_t at = rh_be64(h + AT_BACKING);
    uint32_t n = rh_be32(h + AT_BACKING_SIZE);
    char name[NAME_MOST + 1] = "";

    if (!at)
        return 0;
    if (n == 0 || n > NAME_MOST)
        return bad_header(N_("the backing file's name is not possible"),
                          AT_BACKING_SIZE, err);
    if (rh_io_read(r->io, name, n, at, err) < 0)
        return -1;
    r->backing_file = rh_strdup(name);
    return o->ignore_parent
               ? 0
               : rh_reader_open_parent(r, o, name, NULL, NULL, err);
}

/* --- the tables ------------------------------------------------------------
 */

/* Entries of clusters [first, ...) of one table, at most BATCH; zeros where
 * there is no table. */
static int entries(struct rh_reader *r, uint64_t first, uint64_t count,
                   uint64_t ret[BATCH], size_t *ret_count, rh_error **err)
{
    const struct qcow *q = r->state;
    uint64_t table = q->l1[first / q->per_table], i = first % q->per_table;
    size_t n = (size_t)RH_MIN(RH_MIN(count, q->per_table - i), (uint64_t)BATCH);

    *ret_count = n;
    if (!table) {
        memset(ret, 0, n * sizeof *ret);
        return 0;
    }
    if (rh_io_read(r->io, ret, n * sizeof *ret, table + i * 8, err) < 0)
        return -1;
    for (size_t k = 0; k < n; k++)
        ret[k] = be64toh(ret[k]);
    return 0;
}

static struct stored stored_at(const struct qcow *q, uint64_t entry)
{
    unsigned shift = 63 - q->bits;

    if (!(entry & QCOW_PACKED))
        return (struct stored){entry, q->cluster};
    return (struct stored){entry & ((UINT64_C(1) << shift) - 1),
                           entry >> shift & (q->cluster - 1)};
}

static int check_entry(const struct rh_reader *r, uint64_t number,
                       uint64_t entry, uint64_t *sum, rh_error **err)
{
    const struct qcow *q = r->state;
    struct stored s = stored_at(q, entry);
    /* The last one may be short. */
    uint64_t need = RH_MIN(s.size, r->size - number * q->cluster);

    if (!entry)
        return 0;
    if (s.at < HEADER || s.at > r->io->size || need > r->io->size - s.at)
        return rh_fail(err, RH_ERR_QCOW2_CLUSTER,
                       "cluster %llu at 0x%llx lies outside the file",
                       (unsigned long long)number, (unsigned long long)s.at);
    *sum += s.size;
    return 0;
}

/* All that is named must fit into the file: then nothing is named twice so
 * often that a small file becomes a large disk. */
static int survey(struct rh_reader *r, rh_error **err)
{
    const struct qcow *q = r->state;
    uint64_t end = rh_div_up(r->size, q->cluster), sum = 0, entry[BATCH];

    for (uint64_t i = 0; i < end;) {
        size_t n;

        if (i % q->per_table == 0 && !q->l1[i / q->per_table]) {
            i += q->per_table;
            continue;
        }
        if (rh_go_on(r->lib, err) < 0 ||
            entries(r, i, end - i, entry, &n, err) < 0)
            return -1;
        sum += n * sizeof *entry;
        for (size_t k = 0; k < n; k++)
            if (check_entry(r, i + k, entry[k], &sum, err) < 0)
                return -1;
        if (sum > r->io->size + q->cluster)
            return rh_fail(err, RH_ERR_QCOW2_OVERLAP,
                           "clusters or tables are named twice (up to cluster "
                           "%llu more than the file holds)",
                           (unsigned long long)(i + n));
        i += n;
    }
    return 0;
}

static int qcow_open(struct rh_reader *r, const struct rh_open_options *o,
                     rh_error **err)
{
    struct qcow *q = rh_new0(struct qcow);
    uint8_t h[HEADER];

    r->state = q;
    if (rh_io_read(r->io, h, sizeof h, 0, err) < 0 ||
        take_header(r, q, h, err) < 0 ||
        read_l1(r, q, rh_be64(h + AT_L1), err) < 0 || survey(r, err) < 0 ||
        open_backing(r, h, o, err) < 0) {
        qcow_close(r);
        return -1;
    }
    r->variant = "v1";
    r->grain = (uint32_t)q->cluster;
    return 0;
}

/* --- the map ---------------------------------------------------------------
 */

/* In whole clusters; holes as far as tables are missing. */
static int qcow_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    const struct qcow *q = r->state;
    uint64_t first = offset / q->cluster, end = rh_div_up(r->size, q->cluster);
    uint64_t next = first, entry[BATCH];
    size_t n, k = 0;

    if (entries(r, first, end - first, entry, &n, err) < 0)
        return -1;
    ret->kind = entry[0] ? RH_EXTENT_DATA : RH_EXTENT_HOLE;
    while (k < n && !entry[k] == (ret->kind == RH_EXTENT_HOLE))
        k++;
    next += k;
    while (k == n && ret->kind == RH_EXTENT_HOLE && next < end &&
           next % q->per_table == 0 && !q->l1[next / q->per_table])
        next += q->per_table;
    ret->length = RH_MIN(next, end) * q->cluster - offset;
    return 0;
}

/* --- the bytes -------------------------------------------------------------
 */

static int unpack(struct rh_reader *r, struct rh_codec *codec, uint64_t number,
                  uint64_t entry, uint8_t **ret, rh_error **err)
{
    const struct qcow *q = r->state;
    struct stored s = stored_at(q, entry);
    size_t n = 0;
    uint8_t *packed = rh_codec_scratch(codec, 1, (size_t)q->cluster, err);
    uint8_t *plain = rh_codec_scratch(codec, 2, (size_t)q->cluster, err);

    if (!packed || !plain)
        return -1;
    if (rh_io_read(r->io, packed, (size_t)s.size, s.at, err) < 0)
        return -1;
    if (rh_inflate_raw(codec, packed, (size_t)s.size, plain, (size_t)q->cluster,
                       &n, NULL) != RH_UNPACK_OK ||
        n != q->cluster)
        return rh_fail(err, RH_ERR_QCOW2_CLUSTER,
                       "cluster %llu at 0x%llx does not inflate",
                       (unsigned long long)number, (unsigned long long)s.at);
    *ret = plain;
    return 0;
}

static int read_part(struct rh_reader *r, struct rh_codec *codec, uint8_t *to,
                     size_t n, uint64_t offset, rh_error **err)
{
    const struct qcow *q = r->state;
    uint64_t number = offset / q->cluster, in = offset % q->cluster;
    uint64_t entry[BATCH];
    uint8_t *plain = NULL;
    size_t one;

    if (entries(r, number, 1, entry, &one, err) < 0)
        return -1;
    if (!entry[0]) {
        memset(to, 0, n);
        return 0;
    }
    if (entry[0] & QCOW_PACKED) {
        if (unpack(r, codec, number, entry[0], &plain, err) < 0)
            return -1;
        memcpy(to, plain + in, n);
        return 0;
    }
    return rh_io_read(r->io, to, n, entry[0] + in, err);
}

static int qcow_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    const struct qcow *q = r->state;
    uint8_t *to = buf;

    while (n) {
        size_t part =
            (size_t)RH_MIN((uint64_t)n, q->cluster - offset % q->cluster);

        if (read_part(r, codec, to, part, offset, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* Nothing was looked at when it was opened: read all of it once. */
static int qcow_check(struct rh_reader *r, struct rh_codec *codec,
                      rh_error **err)
{
    const struct qcow *q = r->state;
    uint8_t *data = rh_codec_scratch(codec, 0, (size_t)q->cluster, err);
    uint64_t at = 0;

    while (data && at < r->size) {
        size_t n = (size_t)RH_MIN(q->cluster, r->size - at);
        struct rh_extent e;

        if (rh_go_on(r->lib, err) < 0 || qcow_extent(r, at, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            at += e.length;
            continue;
        }
        if (read_part(r, codec, data, n, at, err) < 0)
            return -1;
        at += n;
    }
    return data ? 0 : -1;
}

const struct rh_format rh_format_qcow = {
    .name = "qcow",
    .about = N_("QEMU's first format, version 1 (read only)"),
    .probe = probe,
    .open = qcow_open,
    .extent = qcow_extent,
    .read = qcow_read,
    .close = qcow_close,
    .check = qcow_check,
};
