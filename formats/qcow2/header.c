/* header.c - the first cluster: what the file says it is, and whether we
 * believe it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "formats/qcow2/reader.h"

enum {
    EXT_END = 0,
    EXT_BACKING_NAME_MAX = 1023,
    EXT_FORMAT_NAME_MAX = 63,
};
#define EXT_BACKING_FORMAT 0xe2792acaU
#define EXT_EXTERNAL_DATA  0x44415441U
#define EXT_BITMAPS        0x23852875U

#define HEADER_HEX(n) ((unsigned long long)(n))

static int read_versions(const uint8_t *h, size_t n, struct rh_qcow2 *q,
                         rh_error **err)
{
    uint32_t bits;

    if (n < Q_V2_SIZE)
        return rh_fail(err, RH_ERR_FILE_SHORT,
                       "the file ends within the header (at 0x%zx)", n);
    q->version = rh_be32(h + Q_AT_VERSION);
    if (q->version != 2 && q->version != 3)
        return rh_fail(err, RH_ERR_QCOW2_VERSION,
                       "version %u of the format (at 0x4) is not qcow2 (2 and "
                       "3 are)",
                       q->version);
    bits = rh_be32(h + Q_AT_CLUSTER_BITS);
    if (bits < Q_CLUSTER_BITS_MIN || bits > Q_CLUSTER_BITS_MAX)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "clusters of 2^%u bytes are not possible (at 0x14)",
                       bits);
    q->bits = bits;
    q->cluster = 1ULL << bits;
    if (q->version == 3 && n < Q_V3_SIZE)
        return rh_fail(err, RH_ERR_FILE_SHORT,
                       "the file ends within the header (at 0x%zx)", n);
    return 0;
}

/* Bits 72 to 103 exist in version 3 only; in version 2 extensions may lie
 * there. */
static int read_features(const uint8_t *h, size_t n, struct rh_qcow2 *q,
                         uint32_t *ret_length, rh_error **err)
{
    uint64_t known =
        Q_DIRTY | Q_CORRUPT | Q_EXTERNAL_DATA | Q_COMPRESSION | Q_EXTENDED_L2;
    uint32_t length;

    *ret_length = Q_V2_SIZE;
    q->refcount_order = 4;
    if (q->version == 2)
        return 0;
    q->incompatible = rh_be64(h + Q_AT_INCOMPATIBLE);
    q->bitmaps_valid = rh_be64(h + Q_AT_AUTOCLEAR) & Q_AUTOCLEAR_BITMAPS;
    length = rh_be32(h + Q_AT_HEADER_LENGTH);
    if (length < Q_V3_SIZE || length % 8 || length > q->cluster || length > n)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "the header's length %u is not possible (at 0x64)",
                       length);
    if (q->incompatible & ~known)
        return rh_fail(err, RH_ERR_QCOW2_FEATURE,
                       "the file needs features that are not known (bits "
                       "0x%llx at 0x48)",
                       HEADER_HEX(q->incompatible & ~known));
    if (q->incompatible & Q_EXTERNAL_DATA)
        return rh_fail(err, RH_ERR_QCOW2_EXTERNAL_DATA,
                       "the data lies in another file that the header names "
                       "(bit 2 at 0x48)");
    if (q->incompatible & Q_CORRUPT)
        return rh_fail(err, RH_ERR_QCOW2_CORRUPT,
                       "the file is marked as corrupt (bit 1 at 0x48)");
    q->refcount_order = rh_be32(h + Q_AT_REFCOUNT_ORDER);
    if (q->refcount_order > 6)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "refcounts of 2^%u bits are not possible (at 0x60)",
                       q->refcount_order);
    *ret_length = length;
    return 0;
}

static int read_compression(const uint8_t *h, struct rh_qcow2 *q,
                            uint32_t length, rh_error **err)
{
    bool said = q->incompatible & Q_COMPRESSION;

    q->compression = length > Q_AT_COMPRESSION ? h[Q_AT_COMPRESSION] : 0;
    if (q->compression > Q_COMPRESSION_ZSTD ||
        said != (q->compression != Q_COMPRESSION_ZLIB))
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "compression type %u does not fit the features (at "
                       "0x68)",
                       q->compression);
    return 0;
}

static int read_encryption(const uint8_t *h, rh_error **err)
{
    uint32_t method = rh_be32(h + Q_AT_CRYPT);

    if (method == 0)
        return 0;
    return rh_fail(err, RH_ERR_QCOW2_ENCRYPTED,
                   "the disk is encrypted (method %u at 0x20: %s)", method,
                   method == 1   ? "AES"
                   : method == 2 ? "LUKS"
                                 : "unknown");
}

/* Where entries lie: derived numbers, then L1 against them. */
static int read_l1(const uint8_t *h, struct rh_io *io, struct rh_qcow2 *q,
                   rh_error **err)
{
    uint64_t said = rh_be32(h + Q_AT_L1_SIZE);

    q->size = rh_be64(h + Q_AT_SIZE);
    q->extended = q->incompatible & Q_EXTENDED_L2;
    if (q->extended && q->bits < Q_EXTENDED_BITS_MIN)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "extended L2 entries (bit 4 at 0x48) need clusters of "
                       "16 KiB");
    q->entry = q->extended ? 16 : 8;
    q->per_l2 = q->cluster / q->entry;
    q->subs = q->extended ? 32 : 1;
    q->sub = q->cluster / q->subs;
    if (q->size == 0 || q->size % Q_SECTOR || q->size > INT64_MAX)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "a disk of %llu bytes is not possible (at 0x18)",
                       HEADER_HEX(q->size));
    q->l1_count = rh_div_up(q->size, q->cluster * q->per_l2);
    q->l1_said = said;
    q->l1 = rh_be64(h + Q_AT_L1_OFFSET);
    if (said > Q_L1_MAX / 8 || q->l1_count > Q_L1_MAX / 8)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "an L1 table of %llu entries is larger than the limit "
                       "of %llu (at 0x24)",
                       HEADER_HEX(RH_MAX(said, q->l1_count)),
                       HEADER_HEX(Q_L1_MAX / 8));
    if (said < q->l1_count)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "the L1 table has %llu entries, the disk's size needs "
                       "%llu (at 0x24)",
                       HEADER_HEX(said), HEADER_HEX(q->l1_count));
    if (q->l1 == 0 || q->l1 % q->cluster)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "the L1 table at 0x%llx is not at the start of a "
                       "cluster",
                       HEADER_HEX(q->l1));
    if (q->l1 > io->size || q->l1_count * 8 > io->size - q->l1)
        return rh_fail(err, RH_ERR_QCOW2_TABLE,
                       "the L1 table at 0x%llx lies past the end of the file "
                       "(0x%llx)",
                       HEADER_HEX(q->l1), HEADER_HEX(io->size));
    return 0;
}

/* Refcounts are not needed for reading; their place is, so that nothing else
 * is said to lie there. */
static void read_refcounts(const uint8_t *h, struct rh_io *io,
                           struct rh_qcow2 *q)
{
    uint64_t at = rh_be64(h + Q_AT_REFTABLE_OFFSET);
    uint64_t size = rh_be32(h + Q_AT_REFTABLE_CLUSTERS) * q->cluster;

    if (at == 0 || at % q->cluster || size == 0 || size > Q_REFTABLE_MAX ||
        at > io->size || size > io->size - at)
        return;
    q->reftable = at;
    q->reftable_size = size;
}

static int read_extension(struct rh_qcow2 *q, uint32_t type, size_t at,
                          const uint8_t *data, uint32_t n, rh_error **err)
{
    if (type == EXT_BITMAPS)
        rh_qcow2_read_bitmaps(&q->bitmaps, at, data, n);
    if (type == EXT_EXTERNAL_DATA)
        return rh_fail(err, RH_ERR_QCOW2_EXTERNAL_DATA,
                       "the header names another file for the data (at 0x%zx)",
                       at);
    if (type != EXT_BACKING_FORMAT)
        return 0;
    if (n > EXT_FORMAT_NAME_MAX)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "the backing file's format (at 0x%zx) has a name of %u "
                       "bytes",
                       at, n);
    free(q->backing_format);
    q->backing_format = rh_memdup0(data, n);
    return 0;
}

static int read_extensions(const uint8_t *h, size_t end, size_t at,
                           struct rh_qcow2 *q, rh_error **err)
{
    while (at < end && end - at >= 8) {
        uint32_t type = rh_be32(h + at), n = rh_be32(h + at + 4);
        uint64_t padded = rh_round_up(n, 8);

        if (type == EXT_END)
            return 0;
        at += 8;
        if (n > end - at)
            return rh_fail(err, RH_ERR_QCOW2_HEADER,
                           "a header extension at 0x%zx runs out of the "
                           "header (%u bytes)",
                           at - 8, n);
        if (read_extension(q, type, at - 8, h + at, n, err) < 0)
            return -1;
        if (padded >= end - at)
            return 0;
        at += (size_t)padded;
    }
    return 0;
}

static int read_backing(const uint8_t *h, size_t n, struct rh_qcow2 *q,
                        rh_error **err)
{
    uint64_t at = rh_be64(h + Q_AT_BACKING_OFFSET);
    uint32_t size = rh_be32(h + Q_AT_BACKING_SIZE);

    if (at == 0)
        return 0;
    if (size == 0 || size > EXT_BACKING_NAME_MAX || at > n || size > n - at)
        return rh_fail(err, RH_ERR_QCOW2_HEADER,
                       "the backing file's name (0x%llx, %u bytes) does not "
                       "lie in the header",
                       HEADER_HEX(at), size);
    if (memchr(h + at, '\0', size))
        return rh_fail(err, RH_ERR_NAME_UNSAFE,
                       "the backing file's name (at 0x%llx) holds a NUL byte",
                       HEADER_HEX(at));
    q->backing_name = rh_memdup0(h + at, size);
    q->backing_at = at;
    return 0;
}

static int judge(const uint8_t *h, size_t n, struct rh_io *io,
                 struct rh_qcow2 *q, rh_error **err)
{
    uint64_t backing;
    uint32_t length;

    if (read_versions(h, n, q, err) < 0)
        return -1;
    n = (size_t)RH_MIN((uint64_t)n, q->cluster);
    if (read_features(h, n, q, &length, err) < 0 ||
        read_compression(h, q, length, err) < 0 ||
        read_encryption(h, err) < 0 || read_l1(h, io, q, err) < 0)
        return -1;
    q->snapshots = rh_be32(h + Q_AT_SNAPSHOTS);
    q->snapshots_at = rh_be64(h + Q_AT_SNAPSHOTS_OFFSET);
    read_refcounts(h, io, q);
    if (read_backing(h, n, q, err) < 0)
        return -1;
    /* Extensions end where the backing file's name starts. */
    backing = rh_be64(h + Q_AT_BACKING_OFFSET);
    return read_extensions(h, backing ? (size_t)RH_MIN(backing, n) : n, length,
                           q, err);
}

int rh_qcow2_read_header(struct rh_io *io, struct rh_qcow2 *ret, rh_error **err)
{
    size_t n = (size_t)RH_MIN(io->size, 1ULL << Q_CLUSTER_BITS_MAX);
    RH_AUTO(rh_freep) uint8_t *h = rh_malloc(n);
    struct rh_qcow2 q = {0};

    if (rh_io_read(io, h, n, 0, err) < 0)
        return -1;
    if (judge(h, n, io, &q, err) == 0) {
        *ret = q;
        return 0;
    }
    free(q.backing_name);
    free(q.backing_format);
    return -1;
}
