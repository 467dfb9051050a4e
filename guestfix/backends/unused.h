/* unused.h - what a file system does not use, as it tells it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_UNUSED_H
#define RH_GUESTFIX_BACKENDS_UNUSED_H

#include "formats/gaps.h"

/* Gathers them: bytes of the volume, in any order, none twice. */
struct rh_unused_out {
    struct rh_gaps runs;
    uint64_t size; /* of the volume; what lies behind it is not taken */
};

static inline void rh_unused_add(struct rh_unused_out *out, uint64_t start,
                                 uint64_t end)
{
    end = RH_MIN(end, out->size);
    if (start < end)
        rh_gaps_add(&out->runs, start, end);
}

/* ext_unused.c and xfs_unused.c: 1 when the maps do not agree with themselves.
 */
struct struct_ext2_filsys;
int rh_ext_unused(struct struct_ext2_filsys *fs, rh_lib *lib,
                  struct rh_unused_out *out, rh_error **err);
struct rh_fs;
struct rh_xfs;
int rh_xfs_unused(struct rh_fs *fs, const struct rh_xfs *x,
                  struct rh_unused_out *out, rh_error **err);

#endif
