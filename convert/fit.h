/* fit.h - which model fits a VM, and why. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FIT_H
#define RH_CONVERT_FIT_H

#include "convert/plan.h"

/* Weigh the planned targets' models by what was asked for (--need) and by what
 * the VM itself needs; fills v->recommendation. */
void rh_plan_recommend(struct rh_plan *plan, struct rh_plan_vm *v);
/* Are the words of --need known?  USAGE with the list when not. */
int rh_plan_check_needs(const struct rh_plan *plan, rh_error **err);

#endif
