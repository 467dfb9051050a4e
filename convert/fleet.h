/* fleet.h - dry runs of many packages at once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FLEET_H
#define RH_CONVERT_FLEET_H

#include "convert/plan.h"

struct rh_fleet_item {
    char *source;
    json_t *vms;     /* the report's "vms" of it, or NULL */
    rh_error *error; /* why it was refused, or NULL */
};
typedef RH_VEC(struct rh_fleet_item) rh_fleet;

/* One item per source, a folder of packages being as many as it holds, sorted
 * by name. */
void rh_fleet_list(const char *const *sources, size_t count, rh_fleet *ret);
/* Plan them all, lib->threads at a time; fails when cancelled, or at what the
 * caller did wrong. */
int rh_fleet_plan(rh_lib *lib, rh_fleet *fleet, const rh_options *options,
                  rh_error **err);
void rh_fleet_free(rh_fleet *fleet);

/* duplicates.c: what VMs of different packages claim, and only one may have;
 * package[i] is that of vms[i].  A package's own are found by its plan. */
void rh_fleet_duplicates(json_t *vms, const size_t *package);

#endif
