/* names.h - which index a name has: for lists that an input makes long. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_NAMES_H
#define RH_BASE_NAMES_H

#include "base/mem.h"

struct rh_name_map {
    struct rh_name_slot {
        const char *name; /* borrowed */
        size_t index;
    } * slots;
    size_t count, room; /* room: a power of two, or 0 */
};

/* False when the name is there already (the first stays). */
bool rh_name_map_add(struct rh_name_map *n, const char *name, size_t index);
/* SIZE_MAX when it is not there. */
size_t rh_name_map_find(const struct rh_name_map *n, const char *name);
void rh_name_map_free(struct rh_name_map *n); /* also for RH_AUTO */

#endif
