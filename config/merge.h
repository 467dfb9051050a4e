/* merge.h - one VM's values offered to another, item by item. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONFIG_MERGE_H
#define RH_CONFIG_MERGE_H

#include "descriptors/fill.h"

/* Offer everything that `from` says to `to`; whoever is trusted more wins, and
 * a disagreement is a finding with both values and the rule. */
void rh_merge_vm(struct rh_package *p, struct rh_vm *to,
                 const struct rh_fill_vm *from, const char *name,
                 struct rh_findings *findings);
/* The same for one value. */
void rh_merge_value(struct rh_vm *to, const char *key,
                    const struct rh_field *field, struct rh_value *v,
                    const struct rh_value *offer, struct rh_findings *findings);

#endif
