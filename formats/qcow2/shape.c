/* shape.c - the numbers of a qcow2 file to be written, and its header. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/qcow2/qcow2.h"

#include <string.h>

#include "base/bytes.h"

static int choose_cluster(struct rh_qcow2_shape *s, uint32_t wanted,
                          rh_error **err)
{
    if (!wanted)
        wanted = 1U << Q_WRITE_BITS;
    if (!rh_power_of_two(wanted) || wanted < 1U << Q_WRITE_BITS_MIN ||
        wanted > 1U << Q_CLUSTER_BITS_MAX)
        return rh_fail(err, RH_ERR_DISK_CLUSTER_SIZE,
                       "a cluster size of %u bytes is not possible", wanted);
    s->bits = (unsigned)__builtin_ctz(wanted);
    s->cluster = wanted;
    s->per_l2 = wanted / 8;
    s->per_block = wanted / 2; /* 16-bit refcounts */
    return 0;
}

/* Packed clusters are carried over one by one, so ours are as large as the
 * source's. */
static int wanted_cluster(const struct rh_create_options *o, uint32_t *ret,
                          rh_error **err)
{
    uint32_t grain = o->source ? o->source->grain : 0;

    *ret = o->cluster_size;
    if (o->compress != RH_COMPRESS_KEEP || !o->source || !o->source->compressed)
        return 0;
    if (!*ret)
        *ret = grain;
    if (*ret == grain && grain >= 1U << Q_WRITE_BITS_MIN &&
        grain <= 1U << Q_CLUSTER_BITS_MAX)
        return 0;
    rh_fail(err, RH_ERR_DISK_COMPRESS,
            "--compress keep needs clusters as large as the source's (%u "
            "bytes), not of %u bytes",
            grain, *ret);
    return rh_hint(err, "leave --cluster-size away, or use --compress zlib");
}

int rh_qcow2_shape_of(struct rh_qcow2_shape *s,
                      const struct rh_create_options *o, rh_error **err)
{
    uint32_t cluster;

    if (wanted_cluster(o, &cluster, err) < 0 ||
        choose_cluster(s, cluster, err) < 0)
        return -1;
    if (o->size > UINT64_MAX - Q_SECTOR)
        return rh_fail(err, RH_ERR_DISK_TOO_BIG, "the disk's size overflows");
    /* Readers count in sectors; a shorter end is filled with zeros. */
    s->size = rh_round_up(o->size, Q_SECTOR);
    s->l1_count = rh_div_up(s->size, s->cluster * s->per_l2);
    s->zstd = o->compress == RH_COMPRESS_ZSTD;
    if (s->l1_count <= Q_L1_MAX / 8)
        return 0;
    rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
            "qcow2 with clusters of %llu bytes ends at %llu bytes, the disk "
            "has %llu",
            (unsigned long long)s->cluster,
            (unsigned long long)(Q_L1_MAX / 8 * s->cluster * s->per_l2),
            (unsigned long long)s->size);
    return rh_hint(err, "choose a larger --cluster-size");
}

uint64_t rh_qcow2_clusters(const struct rh_qcow2_shape *s, uint64_t bytes)
{
    return RH_MAX(rh_div_up(bytes, s->cluster), (uint64_t)1);
}

void rh_qcow2_header(const struct rh_qcow2_shape *s, uint64_t l1,
                     uint64_t reftable, uint64_t reftable_clusters,
                     uint8_t ret[Q_V3_SIZE_COMPRESSION + 8])
{
    memset(ret, 0, Q_V3_SIZE_COMPRESSION + 8);
    rh_put_be32(ret + Q_AT_MAGIC, Q_MAGIC);
    rh_put_be32(ret + Q_AT_VERSION, 3);
    rh_put_be32(ret + Q_AT_CLUSTER_BITS, s->bits);
    rh_put_be64(ret + Q_AT_SIZE, s->size);
    rh_put_be32(ret + Q_AT_L1_SIZE, (uint32_t)s->l1_count);
    rh_put_be64(ret + Q_AT_L1_OFFSET, l1);
    rh_put_be64(ret + Q_AT_REFTABLE_OFFSET, reftable);
    rh_put_be32(ret + Q_AT_REFTABLE_CLUSTERS, (uint32_t)reftable_clusters);
    rh_put_be32(ret + Q_AT_REFCOUNT_ORDER, 4);
    rh_put_be32(ret + Q_AT_HEADER_LENGTH,
                s->zstd ? Q_V3_SIZE_COMPRESSION : Q_V3_SIZE);
    if (s->zstd) {
        rh_put_be64(ret + Q_AT_INCOMPATIBLE, Q_COMPRESSION);
        ret[Q_AT_COMPRESSION] = Q_COMPRESSION_ZSTD;
    }
}
