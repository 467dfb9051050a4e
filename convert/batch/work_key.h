/* work_key.h - what decides whether a VM of a batch is done: the digest of its
 * source, of what was decided, and of the tool's version. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_WORK_KEY_H
#define RH_CONVERT_BATCH_WORK_KEY_H

#include "convert/batch/jobs.h"

/* 64 hex digits.  Of the source's files count name, size, time of last change,
 * and 64 KiB of the beginning and the end; of a descriptor and of fill files,
 * all of it.  Of a remote source count its address and `stamp`, what its
 * server says of it (source_stamp.h; NULL: nothing).  Paths count from the job
 * file's folder: by which way that is reached does not matter. */
void rh_work_key(const struct rh_jobs *jobs, const struct rh_job_vm *vm,
                 const char *stamp, char ret_hex[65]);

#endif
