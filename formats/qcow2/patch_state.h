/* patch_state.h - a qcow2 file of ours that is written again: what patch.c and
 * patch_counts.c share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_QCOW2_PATCH_STATE_H
#define RH_FORMATS_QCOW2_PATCH_STATE_H

#include "formats/patch.h"
#include "formats/qcow2/qcow2.h"

#define NOT_OURS (~(Q_COPIED | Q_OFFSET | Q_ZERO))

struct table {
    uint8_t *entries;   /* big-endian, one cluster */
    uint64_t index;     /* in L1 */
    uint64_t used;      /* when */
    uint64_t low, high; /* entries [low, high) are to be written */
    bool live;
};

struct patch {
    uint64_t cluster, per_l2, per_block; /* bytes, entries, counts */
    uint64_t l1_at, l1_count;
    uint64_t *l1; /* places of L2 tables, bytes; 0: none */
    uint64_t l1_low, l1_high;
    uint64_t reftable_at, reftable_clusters;
    uint64_t *blocks; /* places of refcount blocks, bytes */
    uint64_t block_count;
    uint64_t next;    /* first cluster behind all that is used */
    uint64_t counted; /* clusters below have their counts in the file */
    bool dirty;       /* the mark is set */
    bool changed;     /* something was written since the last finish */
    struct table *tables;
    size_t table_count;
    uint64_t clock;
    uint8_t *spare; /* one cluster */
};

/* --- patch.c */
/* Is `at` a cluster's place, with `n` bytes of the file behind it? */
bool rh_qcow2_inside(const struct rh_patch *p, uint64_t at, uint64_t n);
int rh_qcow2_overlap(uint64_t at, rh_error **err); /* -1 */

/* --- patch_counts.c */
/* Of a file that is marked dirty: refcounts by its tables. */
int rh_qcow2_counts_anew(struct rh_patch *p, rh_error **err);
/* Refcounts of what was added, with room for them. */
int rh_qcow2_counts_added(struct rh_patch *p, rh_error **err);

#endif
