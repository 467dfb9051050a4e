/* index.h - the members of an archive by name: what tar.c and archive.c fill.
 *
 * Adding a member applies the rules for hostile names once, for every kind of
 * archive; finishing refuses two members of one name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_INDEX_H
#define RH_PACKAGE_INDEX_H

#include "base/io.h"
#include "base/names.h"

struct rh_entry {
    const char *name;
    const char *raw; /* the name's bytes, where they are no UTF-8; or NULL */
    uint64_t size;   /* bytes of its contents */
    uint64_t offset; /* where they start in a tar, when read in place */
    uint64_t header; /* tar: its first header; zip: its ordinal */
    bool packed;     /* not stored as one plain run: must be spooled */
    struct rh_io *spool; /* its contents once spooled, else NULL */
};

struct rh_index {
    struct rh_arena *arena;
    RH_VEC(struct rh_entry) entries; /* in the archive's order */
    struct rh_entry **sorted;        /* by name, once finished */
    struct rh_name_map near, twice;  /* entries by folded names, once asked */
    bool folded;
    size_t name_bytes;
    size_t seen; /* headers met, also those left out */
};

void rh_index_init(struct rh_index *x);
void rh_index_free(struct rh_index *x); /* what it holds, not x itself */
/* *ret_entry is NULL when the member is of no interest: a macOS resource fork,
 * a leftover of a pax header.  Valid until the next call. */
int rh_index_add(struct rh_index *x, const char *name, size_t n,
                 struct rh_entry **ret_entry, rh_error **err);
/* Count a header that has no member (directory, label) against the limit. */
int rh_index_count(struct rh_index *x, rh_error **err);
int rh_index_finish(struct rh_index *x, rh_error **err);
struct rh_entry *rh_index_find(const struct rh_index *x, const char *name);
/* The one entry whose name is written otherwise; NULL: none, or several. */
struct rh_entry *rh_index_near(struct rh_index *x, const char *name);

#endif
