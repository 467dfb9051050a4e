/* rows.h - what a report says of each VM, before it is a document.
 *
 * Findings stay a list until the end: what VMs of other packages claim is
 * added to it, and the verdict is derived once, from all of them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_ROWS_H
#define RH_CONVERT_ROWS_H

#include "convert/job.h"

struct rh_row_target {
    json_t *about; /* all but the findings and what is derived from them */
    struct rh_findings findings;
    size_t edits;
};
struct rh_row {
    size_t package; /* whose VM it is: a number that the caller gives */
    json_t *about;  /* source, result, vm, recommendation */
    struct rh_row_target *targets;
    size_t target_count;
};
struct rh_rows {
    RH_VEC(struct rh_row) list;
};

/* Those VMs of a job that could be known. */
void rh_rows_of_job(struct rh_rows *rows, const struct rh_job *job,
                    size_t package);
/* One VM for one target alone. */
void rh_rows_of_target(struct rh_rows *rows, const struct rh_job *job,
                       const struct rh_job_target *t);
/* duplicates.c: what VMs of different packages claim, and only one may have. A
 * package's own are found by its job. */
void rh_rows_duplicates(struct rh_rows *rows);
/* The "vms" of rehost.report/1; the caller has the reference. */
json_t *rh_rows_json(const struct rh_rows *rows);
/* Move all rows of `from` behind those of `to`. */
void rh_rows_move(struct rh_rows *to, struct rh_rows *from);
void rh_rows_free(struct rh_rows *rows); /* also for RH_AUTO */

#endif
