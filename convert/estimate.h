/* estimate.h - how much space and time a conversion will take. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_ESTIMATE_H
#define RH_CONVERT_ESTIMATE_H

#include "convert/job.h"

/* Fill t->output_bytes and t->seconds from the data found (at most, where disks
 * are not there) and a short measurement of this machine (once per process,
 * about 1 ms). */
void rh_estimate(rh_lib *lib, const struct rh_job_vm *v,
                 struct rh_job_target *t);

#endif
