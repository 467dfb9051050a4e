/* pipe.c - one archive to standard output: `--out -`. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "deliver/deliver.h"

static bool claims(const char *out)
{
    return !strcmp(out, "-");
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    (void)d;
    (void)err;
    return 0;
}

static struct rh_out *archive(struct rh_delivery *d, const char *name,
                              rh_error **err)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    (void)name;
    if (fd >= 0)
        return rh_out_fd(d->request.lib, fd, "-");
    rh_fail(err, RH_ERR_FILE_OPEN, "there is no standard output");
    return NULL;
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    (void)d;
    (void)err;
    return 0;
}

static void close_pipe(struct rh_delivery *d)
{
    (void)d;
}

static int open_pipe(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.begin = begin,
                                               .archive = archive,
                                               .commit = commit,
                                               .close = close_pipe};

    d->ops = &ops;
    if (d->request.vm_count == 1 && d->request.target_count == 1)
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION,
            "only one VM as an XVA can go to standard output");
    return rh_hint(err, "use --to xen with --format xva, or give --out a "
                        "folder");
}

const struct rh_deliverer rh_deliver_pipe = {
    .name = "standard output",
    .about = N_("one XVA on standard output (--out -)"),
    .claims = claims,
    .archive = true,
    .open = open_pipe,
};
