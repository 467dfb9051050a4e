/* deliver.c - `convert --out xo://HOST/SR`: the XVA is sent while it is made.
 *
 * Its length is not known before its end, so it goes in chunks: an end that did
 * not come is an error, and what arrived is compared afterwards. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/deliver.h"
#include "deliver/xo/xo.h"
#include "targets/xcp-ng/xen.h"

enum { TAR = 512 };

struct state {
    struct rh_remote remote;
    struct rh_xo xo;
    struct rh_ova ova;
    struct rh_journal *journal;
    struct rh_xo_work work;
    char *xml;     /* with the mark, sent in place of the archive's */
    uint64_t skip; /* bytes of the archive's own ova.xml that are to come */
};

static bool claims(const char *out)
{
    return !strncmp(out, "xo://", 5);
}

/* --- before
 * ------------------------------------------------------------------------ */

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    const struct rh_remote_url *u = &s->remote.url;
    RH_AUTO(rh_freep) char *xml = rh_xen_metadata(d->request.job, err);
    size_t n = xml ? strlen(xml) : 0;

    if (!xml)
        return -1;
    s->skip = TAR + rh_round_up(n, TAR);
    rh_xo_work_init(&s->work, &s->xo, NULL);
    s->work.ova = &s->ova;
    s->xml = rh_ova_change(xml, n, s->work.options, err);
    if (!s->xml || rh_ova_parse(s->xml, strlen(s->xml), &s->ova, err) < 0)
        return -1;
    return rh_xo_look(
        &s->work, u->count ? u->parts[0] : rh_option(d->request.options, "sr"),
        d->request.data_bytes, checks, err);
}

static int preflight(struct rh_delivery *d, struct rh_findings *findings,
                     rh_error **err)
{
    struct state *s = d->state;
    struct rh_checks checks = {0};
    int failed = rh_remote_open(&s->remote, d->request.lib, d->request.out, 443,
                                true, d->request.options, err);

    if (!failed)
        failed = rh_xo_login(&s->xo, &s->remote, err);
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

    (void)j;
    return strcmp(kind, "mark") ? 0 : rh_xo_clean(&s->xo, id, err);
}

static int begin(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep)
    char *key = rh_printf("%s %s", s->remote.text, d->request.job->name);

    s->journal =
        rh_journal_begin(d->request.lib, NULL, key, clean, s, NULL, err);
    s->work.journal = s->journal;
    return s->journal ? 0 : -1;
}

/* --- the stream
 * ----------------------------------------------------------------------- */

static int sink_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    struct state *s = o->state;
    size_t left_out = (size_t)RH_MIN((uint64_t)n, s->skip);

    (void)offset;
    s->skip -= left_out;
    if (left_out == n)
        return 0;
    return rh_xo_write(&s->work, (const char *)buf + left_out, n - left_out,
                       err);
}

static struct rh_out *archive(struct rh_delivery *d, const char *name,
                              rh_error **err)
{
    static const struct rh_out_ops ops = {.write = sink_write};
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    struct state *s = d->state;

    rh_ova_tar(s->xml, &head);
    if (rh_xo_begin(&s->work, RH_HTTP_CHUNKS, err) < 0 ||
        rh_xo_write(&s->work, head.data, head.length, err) < 0)
        return NULL;
    return rh_out_make(&ops, name, false, s);
}

static int commit(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    if (rh_xo_end(&s->work, err) < 0)
        return -1;
    rh_journal_done(s->journal);
    d->where = rh_printf(_("%s at %s"), s->work.vm, s->remote.text);
    return 0;
}

static int start(struct rh_delivery *d, rh_error **err)
{
    struct state *s = d->state;

    return rh_xo_start(&s->work, err);
}

static int addresses(struct rh_delivery *d, json_t *list, rh_error **err)
{
    struct state *s = d->state;

    return rh_xo_addresses(&s->work, list, err);
}

static void abort_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    if (!rh_option_yes(d->request.options, "keep-failed"))
        rh_xo_abort(&s->work);
}

static void close_delivery(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_xo_work_free(&s->work);
    rh_journal_close(s->journal);
    rh_ova_free(&s->ova);
    rh_remote_close(&s->remote);
    free(s->xml);
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
                                               .abort = abort_delivery,
                                               .close = close_delivery};

    d->ops = &ops;
    d->state = rh_new0(struct state);
    if (d->request.compressed) {
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "a compressed XVA cannot be sent while it is made");
        return rh_hint(err, "leave out --compress: zeros are not sent anyway");
    }
    return rh_remote_check(d->request.out, 0, 1, "xo://HOST[:PORT][/SR]", err);
}

static int find(const struct rh_find *f, char **ret_where, rh_error **err)
{
    struct state s = {0};
    int failed = rh_remote_open(&s.remote, f->lib, f->out, 443, true,
                                f->options, err) < 0 ||
                 rh_xo_login(&s.xo, &s.remote, err) < 0;
    RH_AUTO(rh_freep) char *key = rh_printf("%s %s", s.remote.text, f->name);

    if (!failed) {
        s.journal = rh_journal_begin(f->lib, NULL, key, clean, &s, NULL, err);
        failed = !s.journal ||
                 rh_xo_find(&s.xo, f->mark, f->start, ret_where, err) < 0;
    }
    rh_journal_close(s.journal);
    rh_remote_close(&s.remote);
    return failed ? -1 : 0;
}

const struct rh_deliverer rh_deliver_xo = {
    .name = "xo",
    .about = N_("a pool, by Xen Orchestra (--out xo://HOST[/SR])"),
    .claims = claims,
    .archive = true,
    .open = open_delivery,
    .find = find,
};
