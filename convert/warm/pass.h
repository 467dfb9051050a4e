/* pass.h - one disk of one round: from the source into the copy. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_WARM_PASS_H
#define RH_CONVERT_WARM_PASS_H

#include "base/mem.h"
#include "convert/warm/sums.h"
#include "formats/patch.h"

/* Bytes [start, start + length) of the disk. */
struct rh_pass_area {
    uint64_t start, length;
    bool zero; /* they read as zeros */
};
typedef RH_VEC(struct rh_pass_area) rh_pass_areas;
/* In order, without overlaps. */
void rh_pass_areas_sort(rh_pass_areas *areas);

struct rh_pass {
    rh_lib *lib;
    struct rh_reader *source; /* read by several threads */
    struct rh_patch *copy;
    struct rh_sums *sums;
    const rh_pass_areas *areas;  /* that changed; NULL: look everywhere, and
                                    write where the copy is another one */
    bool fresh;                  /* the copy is all zeros */
    uint64_t done_before, total; /* of the progress */
    /* Now and then: everything before `at` is on the medium. */
    int (*keep)(void *user, uint64_t at, uint64_t changed, uint64_t sent,
                rh_error **err);
    void *user;
    /* Out: bytes that were others, and that came from the source. */
    uint64_t changed, sent;
};
/* The copy is flushed, not finished. */
int rh_pass_run(struct rh_pass *p, rh_error **err);
/* Digests of units that are not known, read from the copy, up to `most` bytes
 * of them. */
int rh_pass_learn(rh_lib *lib, struct rh_patch *copy, struct rh_sums *sums,
                  uint64_t size, uint64_t most, rh_error **err);

#endif
