/* run.h - run a batch to its end; its public face is api.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_RUN_H
#define RH_CONVERT_BATCH_RUN_H

#include "convert/batch/batch.h"

/* Fails when the journal can't be written at all; else what came of it is in
 * the records. */
int rh_batch_loop(rh_batch *b, rh_error **err);

#endif
