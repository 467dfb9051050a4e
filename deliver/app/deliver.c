/* deliver.c - `out` "app-vm:NAME": ranges of disks go to the program's
 * functions while they are made. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/deliver.h"

#include <stdlib.h>
#include <string.h>

#include "deliver/app/app.h"

char *rh_app_vm(const char *name, const char *target, json_t *vm, json_t *disks)
{
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "schema", "rehost.receive/1",
                  "name", name, "target", target, "vm", vm, "disks", disks);
    char *text = json_dumps(doc, JSON_INDENT(2));

    json_decref(doc);
    return text;
}

json_t *rh_app_disk(uint64_t index, uint64_t size, const char *position)
{
    return json_pack("{s:I, s:I, s:s, s:s}", "disk", (json_int_t)index,
                     "virtual_size", (json_int_t)size, "format", "raw",
                     "position", position ? position : "");
}

struct state {
    struct rh_receiving *to;
    char *receipt;
};

/* The sink of one disk. */
struct sink {
    struct rh_receiving *to;
    size_t disk;
};

static bool claims(const char *out)
{
    return !strncmp(out, "app-vm:", 7);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    const struct rh_target_job *job = d->request.job;
    struct rh_vm *vm = rh_vm_copy(job->vm);
    json_t *disks = json_array();
    RH_AUTO(rh_freep) char *text = NULL;

    for (size_t i = 0; i < job->disk_count; i++)
        json_array_append_new(disks, rh_app_disk(job->disks[i].index,
                                                 job->disks[i].virtual_size,
                                                 job->disks[i].bus));
    text = rh_app_vm(job->name, d->request.target->name, rh_vm_json(vm), disks);
    rh_vm_free(vm);
    s->to = rh_receiving_begin(d->request.lib, d->request.out, text, err);
    return s->to ? 0 : -1;
}

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    const struct sink *s = o->state;

    return rh_receiving_write(s->to, s->disk, buf, n, offset, err);
}

static int sink_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    const struct sink *s = o->state;

    (void)size;
    return rh_receiving_flush(s->to, s->disk, err);
}

static void sink_close(struct rh_out *o)
{
    free(o->state);
}

static struct rh_out *disk(struct rh_delivery *d, size_t i, const char *name,
                           uint64_t size, rh_error **err)
{
    static const struct rh_out_ops ops = {
        .write = sink_write, .finish = sink_finish, .close = sink_close};
    const struct state *s = d->state;
    struct sink *sink;

    if (rh_receiving_disk(s->to, i, size, err) < 0)
        return NULL;
    sink = rh_new0(struct sink);
    *sink = (struct sink){s->to, i};
    return rh_out_make(&ops, name, true, sink);
}

static int put(struct rh_delivery *d, const char *name, const void *bytes,
               size_t n, bool executable, rh_error **err)
{
    struct state *s = d->state;

    (void)executable;
    (void)err;
    if (strcmp(name, "receipt.json") != 0)
        return 0;
    free(s->receipt);
    s->receipt = rh_strndup(bytes, n);
    return 0;
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    if (rh_receiving_finish(s->to, s->receipt, err) < 0)
        return -1;
    s->to = NULL;
    d->where = rh_printf("%s/%s", d->request.out, d->request.job->name);
    return 0;
}

static void drop(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_receiving_abort(RH_TAKE(s->to));
}

static void close_app(struct rh_delivery *d)
{
    struct state *s = d->state;

    free(s->receipt);
    free(s);
}

static int open_app(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.begin = begin,
                                               .disk = disk,
                                               .put = put,
                                               .commit = commit,
                                               .abort = drop,
                                               .close = close_app};

    d->ops = &ops;
    d->state = rh_new0(struct state);
    return rh_receiver_check(d->request.lib, d->request.out, err);
}

static const char *const formats[] = {"raw", NULL};

const struct rh_deliverer rh_deliver_app = {
    .name = "app-vm:",
    .about = N_("VMs by functions of the program that uses the library"),
    .claims = claims,
    .formats = formats,
    .disks = true,
    .open = open_app,
};
