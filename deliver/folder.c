/* folder.c - a result folder DIR/NAME, or DIR/TARGET/NAME when a VM goes to
 * several targets.  It appears whole, by one rename (base/out.h). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "deliver/deliver.h"

static bool claims(const char *out)
{
    (void)out;
    return true;
}

struct folder {
    struct rh_outdir *dir; /* from begin on */
    char *final;           /* DIR/NAME where it will lie at last */
};

/* DIR, or DIR/TARGET. */
static char *below(const struct rh_delivery *d, const char *dir)
{
    if (d->request.target_count == 1)
        return rh_strdup(dir);
    return rh_printf("%s/%s", dir, d->request.target->name);
}

static char *parent_of(const struct rh_delivery *d)
{
    return below(d, d->request.out);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    RH_AUTO(rh_freep) char *parent = parent_of(d);
    struct folder *f = d->state;

    f->dir = rh_outdir_new(parent, d->request.job->name,
                           rh_option_yes(d->request.options, "overwrite"), err);
    return f->dir ? 0 : -1;
}

static int space(struct rh_delivery *d, uint64_t *ret_bytes)
{
    const struct folder *f = d->state;

    return rh_outdir_space(f->dir, ret_bytes);
}

static bool may_share(struct rh_delivery *d, int fd)
{
    const struct folder *f = d->state;

    return rh_outdir_may_share(f->dir, fd);
}

static struct rh_out *file(struct rh_delivery *d, const char *name,
                           rh_error **err)
{
    const struct folder *f = d->state;

    return rh_out_file_at(f->dir->fd, name, err);
}

static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    (void)i;
    (void)size;
    return file(d, name, err);
}

/* A second name of the same file. */
static int adopt(struct rh_delivery *d, size_t i, const char *name, int dir,
                 const char *file_there, rh_error **err)
{
    const struct folder *f = d->state;

    (void)i;
    if (linkat(dir, file_there, f->dir->fd, name, 0) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                  "cannot take a disk that is there into the result");
    return rh_error_subject(err, name);
}

static int put(struct rh_delivery *d, const char *name, const void *bytes,
               size_t n, bool executable, rh_error **err)
{
    const struct folder *f = d->state;

    return rh_outdir_put(f->dir, name, bytes, n, executable, err);
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    const struct folder *f = d->state;

    return rh_outdir_commit(f->dir, err);
}

static void close_folder(struct rh_delivery *d)
{
    RH_AUTO(rh_freep) char *parent = parent_of(d);
    struct folder *f = d->state;

    rh_outdir_close(f->dir);
    free(f->final);
    free(f);
    /* DIR/TARGET was made for this one: it goes when nothing is in it. */
    if (d->request.target_count > 1 && d->stage != RH_DELIVERY_DONE)
        rmdir(parent);
}

static int open_folder(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.begin = begin,
                                               .space = space,
                                               .may_share = may_share,
                                               .disk = disk,
                                               .adopt = adopt,
                                               .archive = file,
                                               .put = put,
                                               .commit = commit,
                                               .close = close_folder};
    RH_AUTO(rh_freep) char *parent = parent_of(d);
    const char *at = rh_option(d->request.options, "results-at");
    RH_AUTO(rh_freep) char *at_last = below(d, at ? at : d->request.out);
    struct folder *f = rh_new0(struct folder);

    (void)err;
    d->ops = &ops;
    d->state = f;
    d->where = rh_printf("%s/%s", parent, d->request.job->name);
    f->final = rh_printf("%s/%s", at_last, d->request.job->name);
    d->files.folder = f->final;
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
