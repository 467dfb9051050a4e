/* deliver.c - what is the same for every delivery. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/deliver.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "deliver/server.h"

int rh_deliverer_check(const struct rh_deliverer *kind, const char *format,
                       bool archive, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};

    if (archive && kind->archive)
        return 0;
    if (!archive && kind->disks && !kind->formats)
        return 0;
    for (size_t i = 0; kind->formats && kind->formats[i]; i++) {
        if (!archive && kind->disks && !strcmp(kind->formats[i], format))
            return 0;
        rh_buf_printf(&all, "%s%s", i ? ", " : "", kind->formats[i]);
    }
    rh_fail(err, RH_ERR_PLAN_OPTION, "%s does not take a VM as %s", kind->name,
            format);
    if (all.data)
        return rh_hint(err, "use --format with one of: %s", all.data);
    return rh_hint(err, kind->archive
                            ? N_("use --to xen with --format xva, or give "
                                 "--out a folder")
                            : N_("give --out a folder"));
}

bool rh_deliverer_takes(const struct rh_deliverer *kind, const char *option)
{
    static const char *const hosted[] = {"start", "wait-address",
                                         "keep-failed"};

    for (size_t i = 0; i < RH_COUNT(hosted); i++)
        if (!strcmp(hosted[i], option))
            return kind->server || kind->hosted;
    return kind->server && rh_server_takes(kind->server, option);
}

static int put_file(void *user, const char *name, const void *bytes, size_t n,
                    bool executable, rh_error **err)
{
    return rh_delivery_put(user, name, bytes, n, executable, err);
}

static bool is_staged(const struct rh_delivery_request *r,
                      const struct rh_deliverer *kind)
{
    return kind->stager && rh_option_yes(r->options, "staged");
}

struct rh_delivery *rh_delivery_open(const struct rh_delivery_request *request,
                                     rh_error **err)
{
    RH_AUTO(rh_delivery_closep)
    struct rh_delivery *d = rh_new0(struct rh_delivery);

    d->kind = rh_deliverer_of(request->out);
    d->request = *request;
    d->files = (struct rh_target_files){.put = put_file, .user = d};
    unsigned seconds;

    if (rh_address_seconds(request->options, &seconds, err) < 0 ||
        (!is_staged(request, d->kind) &&
         rh_deliverer_check(d->kind, request->format, request->archive, err) <
             0) ||
        d->kind->open(d, err) < 0)
        return NULL;
    return RH_TAKE(d);
}

int rh_delivery_preflight(struct rh_delivery *d, struct rh_findings *findings,
                          rh_error **err)
{
    return d->ops->preflight ? d->ops->preflight(d, findings, err) : 0;
}

int rh_delivery_begin(struct rh_delivery *d, rh_error **err)
{
    if (d->ops->begin(d, err) < 0)
        return -1;
    d->stage = RH_DELIVERY_BEGUN;
    d->request.job->out = &d->files;
    return 0;
}

struct rh_out *rh_delivery_disk(struct rh_delivery *d, size_t i,
                                const char *name, uint64_t size, rh_error **err)
{
    return d->ops->disk(d, i, name, size, err);
}

int rh_delivery_disk_done(struct rh_delivery *d, size_t i, uint64_t file_size,
                          rh_error **err)
{
    return d->ops->disk_done ? d->ops->disk_done(d, i, file_size, err) : 0;
}

int rh_delivery_adopt(struct rh_delivery *d, size_t i, const char *name,
                      int dir, const char *file, rh_error **err)
{
    return d->ops->adopt(d, i, name, dir, file, err);
}

struct rh_out *rh_delivery_archive(struct rh_delivery *d, const char *name,
                                   rh_error **err)
{
    return d->ops->archive(d, name, err);
}

int rh_delivery_put(struct rh_delivery *d, const char *name, const void *bytes,
                    size_t n, bool executable, rh_error **err)
{
    struct rh_delivery_file *file;

    if (!d->ops->put)
        return 0;
    if (d->ops->put(d, name, bytes, n, executable, err) < 0)
        return -1;
    file = rh_vec_add(&d->put);
    file->name = rh_strdup(name);
    file->size = n;
    rh_sha256_hex(bytes, n, file->sha256);
    return 0;
}

int rh_delivery_commit(struct rh_delivery *d, rh_error **err)
{
    if (d->ops->commit(d, err) < 0)
        return -1;
    d->stage = RH_DELIVERY_DONE;
    return d->ops->start ? d->ops->start(d, err) : 0;
}

void rh_delivery_close(struct rh_delivery *d)
{
    if (!d)
        return;
    if (d->ops && d->stage == RH_DELIVERY_BEGUN && d->ops->abort)
        d->ops->abort(d);
    if (d->request.job && d->request.job->out == &d->files)
        d->request.job->out = NULL;
    if (d->ops)
        d->ops->close(d);
    for (size_t i = 0; i < d->put.count; i++)
        free(d->put.items[i].name);
    free(d->put.items);
    json_decref(d->delivered);
    free(d->where);
    free(d);
}
