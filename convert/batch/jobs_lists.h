/* jobs_lists.h - what the reader of a job file does after the YAML: patterns
 * become files, names become unique, `after:` becomes an order. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_JOBS_LISTS_H
#define RH_CONVERT_BATCH_JOBS_LISTS_H

#include "convert/batch/jobs.h"

/* Files that a pattern names, sorted; one literal name is itself, there or
 * not.  False when a pattern matches nothing. */
bool rh_jobs_expand(const struct rh_jobs *jobs, const char *pattern,
                    rh_paths *ret);
/* PATH as it is, or below the job file's folder; the caller frees. */
char *rh_jobs_path(const struct rh_jobs *jobs, const char *path);
/* Give every VM its unique name and folder. */
int rh_jobs_name_all(struct rh_jobs *jobs, rh_error **err);
/* Resolve `after:`; refuse unknown names, circles, and a later wave. */
int rh_jobs_order(struct rh_jobs *jobs, rh_error **err);

#endif
