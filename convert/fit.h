/* fit.h - which model fits a VM, and why. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FIT_H
#define RH_CONVERT_FIT_H

#include "convert/job.h"

/* Weigh the planned targets' models by what was asked for (--need) and by what
 * the VM itself needs; fills v->recommendation. */
void rh_job_recommend(struct rh_job *job, struct rh_job_vm *v);
/* Are the words of --need known?  USAGE with the list when not. */
int rh_job_check_needs(const struct rh_job *job, rh_error **err);

#endif
