/* sums.h - what is known of each MiB of a copy: the digest tree.
 *
 * A source that does not say what changed is read as a whole; only units whose
 * digest is another one are looked at and written.  The digests are those of
 * the content digest (convert/copy/copy.c), so that the receipt's comes from
 * them without reading the disk.  The file is away while the copy is written:
 * after an interruption the copy itself is read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_WARM_SUMS_H
#define RH_CONVERT_WARM_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { RH_SUMS_UNIT = 1024 * 1024, RH_SUM = 16 };

struct rh_sums {
    uint64_t count; /* units */
    uint8_t *items; /* RH_SUM bytes each: zeros of a unit that is all zero, 0xff
                       of one that is not known */
};
/* For a disk of `size` bytes: as the file `name` of `dir` says, or not
 * known. */
int rh_sums_open(struct rh_sums *s, int dir, const char *name, uint64_t size,
                 bool believe, rh_error **err);
int rh_sums_save(const struct rh_sums *s, int dir, const char *name,
                 rh_error **err);
void rh_sums_free(struct rh_sums *s); /* also for RH_AUTO */

bool rh_sums_known(const struct rh_sums *s, uint64_t unit);
bool rh_sums_zero(const struct rh_sums *s, uint64_t unit);
void rh_sums_forget(struct rh_sums *s, uint64_t unit);
/* Of n bytes at the unit's start; `data` has room for a whole unit. */
void rh_sum_of(uint8_t *data, size_t n, uint8_t ret[RH_SUM]);
bool rh_sums_same(const struct rh_sums *s, uint64_t unit,
                  const uint8_t sum[RH_SUM]);
void rh_sums_set(struct rh_sums *s, uint64_t unit, const uint8_t sum[RH_SUM]);
/* The content digest; "" where some unit is not known. */
void rh_sums_content(const struct rh_sums *s, char ret_hex[65]);

#endif
