/* fleet.h - dry runs of many packages at once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FLEET_H
#define RH_CONVERT_FLEET_H

#include "convert/rows.h"

struct rh_fleet_failed {
    char *vm;
    rh_error *error;
};
struct rh_fleet_item {
    char *source;
    struct rh_rows rows;                   /* of its VMs */
    RH_VEC(struct rh_fleet_failed) failed; /* VMs that could not be known */
    rh_error *error;                       /* why it was refused, or NULL */
};
typedef RH_VEC(struct rh_fleet_item) rh_fleet;

/* One item per source, a folder of packages being as many as it holds, sorted
 * by name, and a place of a live source as many as it has VMs.  One that can't
 * be asked for its VMs is an item with its error.  What is passed over in a
 * folder that has packages is logged: disks that nothing describes, folders
 * that cannot be listed or lie too deep. */
void rh_fleet_list(rh_lib *lib, const char *const *sources, size_t count,
                   const rh_options *options, rh_fleet *ret);
/* Plan them all, lib->threads at a time; fails when cancelled, or at what the
 * caller did wrong. */
int rh_fleet_plan(rh_lib *lib, rh_fleet *fleet, const rh_options *options,
                  rh_error **err);
void rh_fleet_free(rh_fleet *fleet);

#endif
