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
    struct rh_to_server to;
    struct rh_ova ova;
    struct rh_xo_work work;
    char *xml;     /* with the mark, sent in place of the archive's */
    uint64_t skip; /* bytes of the archive's own ova.xml that are to come */
};

/* --- before
 * ------------------------------------------------------------------------ */

static int look(struct rh_delivery *d, struct rh_checks *checks, rh_error **err)
{
    struct state *s = d->state;
    RH_AUTO(rh_freep) char *xml = rh_xen_metadata(d->request.job, err);
    size_t n = xml ? strlen(xml) : 0;

    if (!xml)
        return -1;
    s->skip = TAR + rh_round_up(n, TAR);
    s->to.work = &s->work;
    if (rh_xo_work_init(&s->work, s->to.server.state, NULL, err) < 0)
        return -1;
    s->work.ova = &s->ova;
    s->xml = rh_ova_change(xml, n, s->work.options, err);
    if (!s->xml || rh_ova_parse(s->xml, strlen(s->xml), &s->ova, err) < 0)
        return -1;
    return rh_xo_look(&s->work, rh_server_place(&s->to.server, "sr"),
                      d->request.data_bytes, checks, err);
}

static void begun(struct rh_delivery *d)
{
    struct state *s = d->state;

    s->work.journal = s->to.journal;
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

static int finish(struct rh_delivery *d, const char **ret_id, rh_error **err)
{
    struct state *s = d->state;

    if (rh_xo_end(&s->work, err) < 0)
        return -1;
    d->delivered = json_pack("{s:s, s:s, s:s, s:O, s:O}", "id", s->work.vm,
                             "uuid", s->work.vm, "as", s->ova.name, "disks",
                             s->work.disks, "nics", s->work.nics);
    rh_journal_done(s->to.journal);
    *ret_id = s->work.vm;
    return 0;
}

static void free_state(struct rh_delivery *d)
{
    struct state *s = d->state;

    rh_xo_work_free(&s->work);
    rh_ova_free(&s->ova);
    free(s->xml);
}

static int open_delivery(struct rh_delivery *d, rh_error **err)
{
    static const struct rh_to_server_steps steps = {
        .look = look, .begun = begun, .finish = finish, .free = free_state};
    static const struct rh_delivery_ops ops = {RH_TO_SERVER_OPS,
                                               .archive = archive};

    if (rh_xva_unpacked(d->request.compressed, err) < 0)
        return -1;
    return rh_to_server_open(d, &rh_new0(struct state)->to, &steps, &ops, err);
}

const struct rh_deliverer rh_deliver_xo = {
    .name = "xo",
    .about = N_("a pool, by Xen Orchestra (--out xo://HOST[/SR])"),
    .server = &rh_server_xo,
    .archive = true,
    .open = open_delivery,
};
