/* custom.c - to the functions of the program that uses the library: "app:NAME".
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/custom.h"
#include "deliver/deliver.h"

static int begin(struct rh_delivery *d, rh_error **err)
{
    (void)d;
    (void)err;
    return 0;
}

/* NAME/FILE, or TARGET/NAME/FILE, as folders have them. */
static struct rh_out *file(struct rh_delivery *d, const char *name,
                           rh_error **err)
{
    const char *result = d->where + strlen(d->request.out) + 1;
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", result, name);

    return rh_custom_out(d->request.lib, d->request.out, path, err);
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
    RH_AUTO(rh_out_closep) struct rh_out *o = file(d, name, err);

    (void)executable;
    if (!o || rh_out_write(o, bytes, n, 0, err) < 0)
        return -1;
    return rh_out_finish(o, n, err);
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    return rh_custom_end(d->request.lib, d->request.out,
                         d->where + strlen(d->request.out) + 1, true, err);
}

static void drop(struct rh_delivery *d)
{
    rh_custom_end(d->request.lib, d->request.out,
                  d->where + strlen(d->request.out) + 1, false, NULL);
}

static void close_custom(struct rh_delivery *d)
{
    (void)d;
}

static int open_custom(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.begin = begin,
                                               .disk = disk,
                                               .archive = file,
                                               .put = put,
                                               .commit = commit,
                                               .abort = drop,
                                               .close = close_custom};

    (void)err;
    d->ops = &ops;
    d->where = d->request.target_count == 1
                   ? rh_printf("%s/%s", d->request.out, d->request.job->name)
                   : rh_printf("%s/%s/%s", d->request.out,
                               d->request.target->name, d->request.job->name);
    return 0;
}

const struct rh_deliverer rh_deliver_custom = {
    .name = "app:",
    .about = N_("functions of the program that uses the library"),
    .claims = rh_is_custom,
    .disks = true,
    .archive = true,
    .open = open_custom,
};
