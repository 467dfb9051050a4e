/* deliver.c - `convert --out xapi://HOST/SR`: the XVA is sent while it is made,
 * and nothing of it lies here. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/xapi/xapi.h"
#include "targets/xcp-ng/xen.h"

struct state {
    struct rh_to_server to;
    struct rh_ova ova;
    struct rh_xapi_place place;
    struct rh_xapi_work work;
    char *xml;
};

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    struct rh_xapi *x = s->to.server.state;
    const char *xml = s->xml = rh_xen_metadata(d->request.job, err);

    s->to.work = &s->work;
    s->place.staged = rh_option_yes(d->request.options, "staged");
    s->place.single = s->work.single = s->place.staged;
    if (!xml || rh_ova_parse(xml, strlen(xml), &s->ova, err) < 0 ||
        rh_xapi_look(x, rh_server_place(&s->to.server, "sr"), &s->ova,
                     d->request.data_bytes, &s->place, checks, err) < 0)
        return -1;
    if (rh_checks_bad(checks))
        return 0;
    return rh_xapi_dry_run(x, &s->place, xml, checks, err);
}

/* XAPI takes away what came of a stream that broke: there is no going on. */
static int say_broken(rh_error **err)
{
    if (err && rh_error_class_of(rh_error_number(*err)) == RH_CLASS_NETWORK)
        rh_hint(err, "run it again: a stream begins anew; where lines break "
                     "often, `rehost convert --out DIR`, then `rehost push "
                     "--disk-by-disk`, which goes on");
    return -1;
}

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    struct state *s = o->state;

    (void)offset;
    return rh_xapi_import_write(&s->work.import, buf, n, err) < 0
               ? say_broken(err)
               : 0;
}

static struct rh_out *archive(struct rh_delivery *d, const char *name,
                              rh_error **err)
{
    static const struct rh_out_ops ops = {.write = sink_write};
    struct state *s = d->state;

    s->work.import = (struct rh_xapi_import){
        .x = s->to.server.state, .place = &s->place, .journal = s->to.journal};
    if (rh_xapi_import_begin(&s->work.import, s->ova.name, err) < 0)
        return NULL;
    return rh_out_make(&ops, name, false, s);
}

static int there(struct rh_delivery *d, size_t i, const char *id,
                 struct rh_reader *disk, const struct rh_range *changed,
                 size_t count, rh_error **err)
{
    struct state *s = d->state;
    struct rh_xapi_disks *disks = &s->work.disks;
    json_t *ref = rh_xapi_call(s->to.server.state, "VDI.get_by_uuid",
                               json_pack("[s]", id), err);
    struct rh_xapi_disk *to;

    if (!ref)
        return -1;
    while (disks->list.count <= i)
        rh_vec_add(&disks->list);
    to = &disks->list.items[i];
    to->ref = rh_strdup(json_string_value(ref));
    to->uuid = rh_strdup(id);
    json_decref(ref);
    return rh_xapi_vdi_write(s->to.server.state, &s->place, to->ref, disk,
                             changed, count, &disks->sent, err);
}

static int end_import(struct state *s, rh_error **err)
{
    struct rh_xapi_disks *disks = &s->work.disks;

    if (!s->place.staged)
        return rh_xapi_import_end(&s->work.import, err) < 0 ? say_broken(err)
                                                            : 0;
    disks->x = s->to.server.state;
    disks->place = &s->place;
    disks->journal = s->to.journal;
    if (disks->list.count != s->ova.disks.count)
        return rh_fail(err, RH_ERR_BUG, "a disk is not there");
    return rh_xapi_disks_vm(disks, &s->ova, s->xml, err);
}

/* For the receipt that was asked for; where it can't be learnt, that is told
 * there. */
static json_t *describe(struct rh_delivery *d, const char *vm)
{
    struct state *s = d->state;
    json_t *disks = NULL, *nics = NULL, *ret = NULL;
    RH_AUTO(rh_freep) char *uuid = NULL;

    if (rh_option(d->request.options, "receipt") &&
        rh_xapi_describe(s->to.server.state, vm, &disks, &nics, &uuid, NULL) ==
            0)
        ret = json_pack("{s:s, s:s, s:s, s:O, s:O}", "id", uuid, "uuid", uuid,
                        "as", s->ova.name, "disks", disks, "nics", nics);
    json_decref(disks);
    json_decref(nics);
    return ret;
}

static int finish(struct rh_delivery *d, const char **ret_id, rh_error **err)
{
    struct state *s = d->state;

    if (end_import(s, err) < 0)
        return -1;
    if (!rh_xapi_made(&s->work)->vm)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the task names no VM that it made");
    d->delivered = describe(d, rh_xapi_made(&s->work)->vm);
    rh_xapi_settle(&s->work);
    *ret_id = s->ova.uuid;
    return 0;
}

static void free_state(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_xapi_work_free(&s->work);
    free(s->xml);
    rh_xapi_place_free(&s->place);
    rh_ova_free(&s->ova);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_to_server_steps steps = {
        .look = look, .finish = finish, .free = free_state};
    static const struct rh_delivery_ops ops = {
        RH_TO_SERVER_OPS, .archive = archive, .there = there};

    if (rh_xva_unpacked(d->request.compressed, err) < 0)
        return -1;
    return rh_to_server_open(d, &rh_new0(struct state)->to, &steps, &ops, err);
}

const struct rh_deliverer rh_deliver_xapi = {
    .name = "xapi",
    .about = N_("an XCP-ng pool, by its API (--out xapi://HOST[/SR])"),
    .server = &rh_server_xapi,
    .archive = true,
    .open = open_delivery,
    .stager = &rh_xapi_stager,
};
