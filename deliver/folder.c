/* folder.c - a result folder DIR/NAME, or DIR/TARGET/NAME when a VM goes to
 * several targets.  It appears whole, by one rename (base/out.h). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <unistd.h>

#include "deliver/deliver.h"

static bool claims(const char *out)
{
    (void)out;
    return true;
}

static char *parent_of(const struct rh_delivery *d)
{
    if (d->request.target_count == 1)
        return rh_strdup(d->request.out);
    return rh_printf("%s/%s", d->request.out, d->request.target->name);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    RH_AUTO(rh_freep) char *parent = parent_of(d);

    d->state =
        rh_outdir_new(parent, d->request.job->name,
                      rh_option_yes(d->request.options, "overwrite"), err);
    return d->state ? 0 : -1;
}

static int space(struct rh_delivery *d, uint64_t *ret_bytes)
{
    return rh_outdir_space(d->state, ret_bytes);
}

static struct rh_out *file(struct rh_delivery *d, const char *name,
                           rh_error **err)
{
    const struct rh_outdir *dir = d->state;

    return rh_out_file_at(dir->fd, name, err);
}

static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    (void)i;
    (void)size;
    return file(d, name, err);
}

static int put(struct rh_delivery *d, const char *name, const void *bytes,
               size_t n, bool executable, rh_error **err)
{
    return rh_outdir_put(d->state, name, bytes, n, executable, err);
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    return rh_outdir_commit(d->state, err);
}

static void close_folder(struct rh_delivery *d)
{
    RH_AUTO(rh_freep) char *parent = parent_of(d);

    rh_outdir_close(d->state);
    /* DIR/TARGET was made for this one: it goes when nothing is in it. */
    if (d->request.target_count > 1 && d->stage != RH_DELIVERY_DONE)
        rmdir(parent);
}

static int open_folder(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.begin = begin,
                                               .space = space,
                                               .disk = disk,
                                               .archive = file,
                                               .put = put,
                                               .commit = commit,
                                               .close = close_folder};
    RH_AUTO(rh_freep) char *parent = parent_of(d);

    (void)err;
    d->ops = &ops;
    d->where = rh_printf("%s/%s", parent, d->request.job->name);
    d->files.folder = d->where;
    return 0;
}

const struct rh_deliverer rh_deliver_folder = {
    .name = "folder",
    .about = N_("a folder of files"),
    .claims = claims,
    .disks = true,
    .archive = true,
    .open = open_folder,
};
