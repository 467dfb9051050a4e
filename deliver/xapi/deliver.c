/* deliver.c - `convert --out xapi://HOST/SR`: the XVA is sent while it is made,
 * and nothing of it lies here. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/xapi/xapi.h"
#include "targets/xcp-ng/xen.h"

struct state {
    struct rh_remote remote;
    struct rh_xapi xapi;
    struct rh_ova ova;
    struct rh_xapi_place place;
    struct rh_journal *journal;
    struct rh_xapi_import import;
};

static bool claims(const char *out)
{
    return !strncmp(out, "xapi://", 7);
}

static const char *wanted_sr(const struct rh_delivery *d)
{
    const struct state *s = d->state;

    return s->remote.url.count ? s->remote.url.parts[0]
                               : rh_option(d->request.options, "sr");
}

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep) char *xml = rh_xen_metadata(d->request.job, err);

    if (!xml || rh_ova_parse(xml, strlen(xml), &s->ova, err) < 0 ||
        rh_xapi_look(&s->xapi, wanted_sr(d), &s->ova, d->request.data_bytes,
                     &s->place, checks, err) < 0)
        return -1;
    if (rh_checks_bad(checks))
        return 0;
    return rh_xapi_dry_run(&s->xapi, &s->place, xml, checks, err);
}

static int preflight(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err)
{
    struct state *s = d->state;
    struct rh_checks checks = {0};
    int failed = rh_remote_open(&s->remote, d->request.lib, d->request.out, 443,
                                false, d->request.options, err);

    if (!failed)
        failed = rh_xapi_login(&s->xapi, &s->remote, err);
    if (!failed)
        failed = look(d, &checks, err);
    rh_checks_find(&checks, findings);
    rh_checks_free(&checks);
    return failed;
}

static int clean(void *state, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    struct state *s = state;

    return rh_xapi_clean(&s->xapi, j, kind, id, err);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep)
    char *key = rh_printf("%s %s", s->remote.text, d->request.job->name);

    s->journal =
        rh_journal_begin(d->request.lib, NULL, key, clean, s, NULL, err);
    return s->journal ? 0 : -1;
}

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    struct state *s = o->state;

    (void)offset;
    return rh_xapi_import_write(&s->import, buf, n, err);
}

static struct rh_out *archive(struct rh_delivery *d, const char *name,
                              rh_error **err)
{
    static const struct rh_out_ops ops = {.write = sink_write};
    struct state *s = d->state;

    s->import = (struct rh_xapi_import){
        .x = &s->xapi, .place = &s->place, .journal = s->journal};
    if (rh_xapi_import_begin(&s->import, s->ova.name, err) < 0)
        return NULL;
    return rh_out_make(&ops, name, false, s);
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    if (rh_xapi_import_end(&s->import, err) < 0)
        return -1;
    if (!s->import.vm)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the task names no VM that it made");
    rh_xapi_do(&s->xapi, "task.destroy", json_pack("[s]", s->import.task),
               NULL);
    rh_journal_done(s->journal);
    d->where = rh_printf(_("%s at %s"), s->ova.uuid, s->remote.text);
    return 0;
}

static int start(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    return rh_xapi_do(&s->xapi, "VM.start",
                      json_pack("[sbb]", s->import.vm, 0, 0), err);
}

static int addresses(struct rh_delivery *d, json_t *list, rh_error **err)
{
    struct state *s = d->state;

    return rh_xapi_addresses(&s->xapi, s->import.vm, list, err);
}

static void abort_import(struct rh_delivery *d)
{
    struct state *s = d->state;

    if (!rh_option_yes(d->request.options, "keep-failed"))
        rh_xapi_import_abort(&s->import);
}

static void close_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_xapi_import_free(&s->import);
    rh_journal_close(s->journal);
    rh_xapi_place_free(&s->place);
    rh_ova_free(&s->ova);
    if (s->xapi.remote)
        rh_xapi_logout(&s->xapi);
    rh_remote_close(&s->remote);
    free(s);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_delivery_ops ops = {.preflight = preflight,
                                               .begin = begin,
                                               .archive = archive,
                                               .commit = commit,
                                               .start = start,
                                               .addresses = addresses,
                                               .abort = abort_import,
                                               .close = close_delivery};

    d->ops = &ops;
    d->state = rh_new0(struct state);
    if (d->request.compressed) {
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "a compressed XVA cannot be sent while it is made");
        return rh_hint(err, "leave out --compress: zeros are not sent anyway");
    }
    return rh_remote_check(d->request.out, 0, 1, "xapi://HOST[:PORT][/SR]",
                           err);
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    struct state s = {0};
    int failed = rh_remote_open(&s.remote, f->lib, f->out, 443, false,
                                f->options, err) < 0 ||
                 rh_xapi_login(&s.xapi, &s.remote, err) < 0;
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", s.remote.text, f->name);

    if (!failed) {
        s.journal = rh_journal_begin(f->lib, NULL, key, clean, &s, NULL, err);
        failed = !s.journal ||
                 rh_xapi_find(&s.xapi, f->mark, f->start, ret_where, err) < 0;
    }
    rh_journal_close(s.journal);
    if (s.xapi.remote)
        rh_xapi_logout(&s.xapi);
    rh_remote_close(&s.remote);
    return failed ? -1 : 0;
}

const struct rh_deliverer rh_deliver_xapi = {
    .name = "xapi",
    .about = N_("an XCP-ng pool, by its API (--out xapi://HOST[/SR])"),
    .claims = claims,
    .archive = true,
    .open = open_delivery,
    .find = find,
};
