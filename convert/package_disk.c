/* package_disk.c - a disk of a package as a public rh_disk: as it was exported,
 * or as a job would write it, the guest's edits included. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "convert/disk.h"
#include "convert/job.h"

static rh_disk *wrap(rh_lib *lib, struct rh_reader *r, bool borrowed)
{
    rh_disk *d = rh_new0(rh_disk);

    d->lib = d->source.lib = lib;
    d->source.reader = r;
    d->size = r->size;
    d->borrowed = borrowed;
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

static int no_such(const char *what, size_t number, size_t count,
                   rh_error **err)
{
    return rh_fail(err, RH_ERR_USAGE,
                   "there is no %s %zu: there are %zu, counted from 0", what,
                   number, count);
}

rh_disk *rh_disk_of_package(rh_package *p, size_t vm, size_t disk,
                            rh_error **err)
{
    struct rh_reader *r;

    if (vm >= p->vms.count) {
        no_such("VM", vm, p->vms.count, err);
        return NULL;
    }
    if (disk >= p->vms.items[vm]->disks.count) {
        no_such("disk", disk, p->vms.items[vm]->disks.count, err);
        return NULL;
    }
    r = rh_package_disk(p, vm, disk, err);
    return r ? wrap(p->lib, r, false) : NULL;
}

/* The job's disks stand in the result's order. */
static struct rh_reader *overlay_of(const struct rh_job_vm *v, size_t disk)
{
    for (size_t k = 0; k < v->disk_count; k++)
        if (v->order[k] == disk && v->target_count && v->targets[0].overlays)
            return v->targets[0].overlays[k];
    return NULL;
}

rh_disk *rh_disk_of_job(rh_job *job, size_t vm, size_t disk, rh_error **err)
{
    const struct rh_job_vm *v;
    struct rh_reader *r;

    if (rh_job_prepare(job, err) < 0)
        return NULL;
    if (vm >= job->vms.count) {
        no_such("VM", vm, job->vms.count, err);
        return NULL;
    }
    v = &job->vms.items[vm];
    if (v->error || (v->target_count && v->targets[0].error)) {
        rh_error_again(err, v->error ? v->error : v->targets[0].error);
        return NULL;
    }
    r = overlay_of(v, disk);
    if (!r) {
        no_such("disk", disk, v->disk_count, err);
        return NULL;
    }
    return wrap(job->lib, r, true);
}
