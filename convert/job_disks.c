/* plan_disks.c - open a VM's disks, and what they have to say. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "convert/job.h"
#include "package/forward.h"

void rh_job_note_problems(struct rh_findings *findings,
                          const struct rh_reader *r, size_t disk)
{
    RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", disk);

    for (; r; r = r->parent)
        for (size_t i = 0; i < r->problems.count; i++)
            rh_finding_add_named(findings, r->problems.items[i].id, subject,
                                 r->problems.items[i].message);
}

/* Not in the package, beside it where nothing is opened, or on a LUN. */
static bool is_absent(const rh_error *cause)
{
    return rh_error_number(cause) == RH_ERR_PACKAGE_FILE_MISSING ||
           rh_error_number(cause) == RH_ERR_PACKAGE_HREF ||
           rh_error_number(cause) == RH_ERR_VMDK_DEVICE;
}

bool rh_job_disk_forward(const struct rh_reader *r)
{
    return r->format->next && !r->io;
}

/* No part of a grain stays over in what any writer takes at once: the clusters
 * of a qcow2, which has 64 KiB when nothing else is asked for. */
static bool fits(const struct rh_job *job, const struct rh_reader *r)
{
    uint32_t piece = 0;

    if (rh_option_cluster(job->options, &piece, NULL) < 0)
        return false;
    return r->grain % RH_MAX(piece, (uint32_t)64 * 1024) == 0;
}

/* *ret stays NULL when it is opened as any disk is. */
static void open_forward(struct rh_job *job, struct rh_job_vm *v, size_t i,
                         struct rh_reader **ret)
{
    struct rh_package *p = job->package;
    RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", v->order[i]);
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r =
        job->forward ? rh_package_disk_forward(p, v->index, v->order[i], NULL)
                     : NULL;
    const struct rh_member *m;

    if (!r || !fits(job, r))
        return;
    for (size_t k = 0;
         (m = rh_package_disk_member(p, v->index, v->order[i], k)); k++)
        v->packed_bytes += m->size;
    v->disks_forward = true;
    rh_finding_add(
        &v->found, RH_F_DISK_FORWARD, subject,
        "its compressed file is unpacked while it is converted, and not "
        "stored before");
    *ret = RH_TAKE(r);
}

static int open_one(struct rh_job *job, struct rh_job_vm *v, size_t i,
                    rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *cause = NULL;
    uint64_t data = 0;

    if (!job->keeper && job->for_report &&
        !rh_package_disk_looks(job->package, v->index, v->order[i])) {
        v->disks_missing = true;
        return 0;
    }
    if (job->keeper)
        v->disks[i] = job->keeper->open(job->keeper->user, v->order[i], &cause);
    else
        open_forward(job, v, i, &v->disks[i]);
    if (!v->disks[i] && !cause)
        v->disks[i] =
            rh_package_disk(job->package, v->index, v->order[i], &cause);
    if (!v->disks[i]) {
        /* A report works from the descriptor alone. */
        if (job->for_report && is_absent(cause)) {
            v->disks_missing = true;
            return 0;
        }
        if (err && !*err)
            *err = RH_TAKE(cause);
        return -1;
    }
    rh_job_note_problems(&v->found, v->disks[i], v->order[i]);
    if (v->disks[i]->io && rh_reader_allocated(v->disks[i], &data, err) < 0)
        return -1;
    v->data_bytes += data;
    return 0;
}

int rh_job_open_disks(struct rh_job *job, struct rh_job_vm *v, rh_error **err)
{
    size_t count = job->package->vms.items[v->index]->disks.count;

    v->disks = rh_calloc(count, sizeof *v->disks);
    v->disk_count = count;
    for (size_t i = 0; i < count; i++)
        if (open_one(job, v, i, err) < 0)
            return -1;
    return 0;
}
