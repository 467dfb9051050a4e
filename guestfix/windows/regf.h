/* regf.h - a registry hive's own format: soundness, and its transaction logs.
 *
 * A hive is checked here before any other library sees it, and its logs are
 * replayed before anything is read from it: what a dirty hive says may be
 * thousands of keys old.
 * Facts: the format's public description by M. Suhanov, and real hives with
 * what Windows made of them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_REGF_H
#define RH_GUESTFIX_WINDOWS_REGF_H

#include "base/error.h"
#include "base/limits.h"

#define RH_LIMIT_HIVE (512 * RH_MIB) /* bytes of a hive, or of one log */

enum {
    RH_REGF_BASE = 4096,      /* bytes of the base block; the bins follow */
    RH_REGF_BIG_VALUE = 16344 /* larger ones lie in several cells */
};

/* A log as it lies beside its hive: SYSTEM.LOG1. */
struct rh_regf_log {
    const void *bytes; /* borrowed */
    size_t size;
};

/* What a sound hive holds, as counted by the check. */
struct rh_regf_facts {
    unsigned minor; /* 3 to 5 */
    uint64_t keys, values;
};

/* The XOR over the first 508 bytes of a base block (at least 508 are there). */
uint32_t rh_regf_checksum(const void *base);
/* Are the numbers or the checksum those of a write that did not end? */
bool rh_regf_is_dirty(const void *bytes, size_t n);

/* Base block, bins, cells and the whole tree: is it sound, and clean?
 * `ret` may be NULL.  HIVE_DIRTY, HIVE_DAMAGED, or HIVE_KIND (a differencing
 * hive of a container, or no hive at all). */
int rh_regf_check(const void *bytes, size_t n, struct rh_regf_facts *ret,
                  rh_error **err);
/* Likewise, before libhivex gets it: what is sound to Windows and not to
 * libhivex is put so that both understand it. */
int rh_regf_prepare(void *bytes, size_t n, rh_error **err);

/* Bring a dirty hive up to date from its logs, as Windows would.  1: *ret is
 * a new hive (the caller frees) and *ret_pages say how much was written; 0: the
 * hive is clean, its logs do not count; -1 with HIVE_DIRTY: they do not fit. */
int rh_regf_replay(const void *bytes, size_t n, const struct rh_regf_log *logs,
                   size_t count, void **ret, size_t *ret_n, size_t *ret_pages,
                   rh_error **err);

#endif
