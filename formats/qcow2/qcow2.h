/* qcow2.h - what the parts of the qcow2 driver share: the format's numbers.
 *
 * Everything in a qcow2 file is big-endian.  A virtual cluster number has two
 * parts: the index into L1 (one table, found by the header) and the index into
 * the L2 table that the L1 entry points at, whose entry says where the data
 * lies.  Refcounts (one table of blocks) say how often each cluster of the file
 * is used; they matter to who writes, not to who reads. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_QCOW2_H
#define RH_FORMATS_QCOW2_H

#include "formats/format.h"

/* Where the header's fields lie. */
enum {
    Q_AT_MAGIC = 0,
    Q_AT_VERSION = 4,
    Q_AT_BACKING_OFFSET = 8,
    Q_AT_BACKING_SIZE = 16,
    Q_AT_CLUSTER_BITS = 20,
    Q_AT_SIZE = 24,
    Q_AT_CRYPT = 32,
    Q_AT_L1_SIZE = 36,
    Q_AT_L1_OFFSET = 40,
    Q_AT_REFTABLE_OFFSET = 48,
    Q_AT_REFTABLE_CLUSTERS = 56,
    Q_AT_SNAPSHOTS = 60,
    Q_AT_SNAPSHOTS_OFFSET = 64,
    Q_V2_SIZE = 72, /* version 2 ends here */
    Q_AT_INCOMPATIBLE = 72,
    Q_AT_COMPATIBLE = 80,
    Q_AT_AUTOCLEAR = 88,
    Q_AT_REFCOUNT_ORDER = 96,
    Q_AT_HEADER_LENGTH = 100,
    Q_V3_SIZE = 104,
    Q_AT_COMPRESSION = 104,
    Q_V3_SIZE_COMPRESSION = 112,
};

#define Q_MAGIC 0x514649fbU /* "QFI\xfb" */

#define Q_DIRTY         (1ULL << 0)
#define Q_CORRUPT       (1ULL << 1)
#define Q_EXTERNAL_DATA (1ULL << 2)
#define Q_COMPRESSION   (1ULL << 3)
#define Q_EXTENDED_L2   (1ULL << 4)

#define Q_AUTOCLEAR_BITMAPS (1ULL << 0)

enum { Q_COMPRESSION_ZLIB = 0, Q_COMPRESSION_ZSTD = 1 };

/* Entries of L1 and L2. */
#define Q_COPIED     (1ULL << 63) /* refcount is exactly one */
#define Q_COMPRESSED (1ULL << 62)
#define Q_ZERO       (1ULL << 0) /* L2, version 3: reads as zeros */
#define Q_OFFSET     0x00fffffffffffe00ULL

/* QEMU reads no larger tables than these. */
#define Q_L1_MAX       (32ULL << 20) /* bytes */
#define Q_REFTABLE_MAX (8ULL << 20)

enum {
    Q_CLUSTER_BITS_MIN = 9,
    Q_CLUSTER_BITS_MAX = 21,
    Q_WRITE_BITS_MIN = 12, /* what the writer offers */
    Q_WRITE_BITS = 16,
    Q_EXTENDED_BITS_MIN = 14,
    Q_SECTOR = 512,
};

/* Compressed entries: bits below this hold the offset, those above (up to bit
 * 61) the number of further sectors. */
static inline unsigned rh_qcow2_sector_shift(unsigned cluster_bits)
{
    return 62 - (cluster_bits - 8);
}

/* --- writing: the numbers both layouts agree on ------------------------------
 */
struct rh_qcow2_shape {
    unsigned bits;
    uint64_t cluster;   /* bytes of a cluster */
    uint64_t per_l2;    /* clusters that one L2 table maps */
    uint64_t per_block; /* clusters that one refcount block counts */
    uint64_t size;      /* of the virtual disk, as the header says it */
    uint64_t l1_count;  /* entries */
    bool zstd;
};
int rh_qcow2_shape_of(struct rh_qcow2_shape *s,
                      const struct rh_create_options *o, rh_error **err);
/* Clusters that n bytes of a table fill, at least one. */
uint64_t rh_qcow2_clusters(const struct rh_qcow2_shape *s, uint64_t bytes);
/* A header of Q_V3_SIZE_COMPRESSION bytes (the rest is the end of extensions:
 * zeros); places in bytes. */
void rh_qcow2_header(const struct rh_qcow2_shape *s, uint64_t l1,
                     uint64_t reftable, uint64_t reftable_clusters,
                     uint8_t ret[Q_V3_SIZE_COMPRESSION + 8]);

/* Two layouts: data first and header last, or tables first for a pipe.  What
 * both keep in w->state starts with this. */
struct rh_qcow2_writer_head {
    const struct rh_writer_ops *ops;
};
extern const struct rh_writer_ops rh_qcow2_seeking, rh_qcow2_piping;
/* patch.c: a later pass over a file of ours. */
extern const struct rh_patch_ops rh_qcow2_patch;

#endif
