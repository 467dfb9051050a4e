/* submit.h - hand a batch to a cluster. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_SUBMIT_H
#define RH_CONVERT_BATCH_SUBMIT_H

#include "convert/batch/batch.h"

/* Options "partition" and "time".  *ret, the caller's: {"schema", "arrays":
 * [{"job", "vms", "wave"}], "queued": N}.  BATCH_SLURM when one of its commands
 * fails. */
int rh_batch_to_slurm(rh_batch *b, const rh_options *options, json_t **ret,
                      rh_error **err);

#endif
