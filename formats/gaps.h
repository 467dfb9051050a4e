/* gaps.h - a disk without what its file systems do not use. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_GAPS_H
#define RH_FORMATS_GAPS_H

#include "formats/format.h"

/* Bytes [start, end) of a disk. */
struct rh_gap {
    uint64_t start, end;
};
struct rh_gaps {
    RH_VEC(struct rh_gap) list;
    bool full; /* some were not taken: there are too many */
};

/* One more; it is one with the last when it begins where that ends. */
void rh_gaps_add(struct rh_gaps *g, uint64_t start, uint64_t end);
/* None is added from now on: they are put in order and cut to whole units of
 * 64 KiB.  They do not overlap.  Returns how many bytes they hold. */
uint64_t rh_gaps_settle(struct rh_gaps *g);
void rh_gaps_free(struct rh_gaps *g); /* also for RH_AUTO */

/* `disk` with zeros in the gaps.  Takes both. */
struct rh_reader *rh_reader_without(struct rh_reader *disk,
                                    struct rh_gaps *gaps);

#endif
