/* push.c - NAME.xva of a result into a pool, by Xen Orchestra. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/push.h"
#include "deliver/xo/xo.h"

enum { PIECE = 1024 * 1024 };

struct item {
    struct rh_xva_in xva;
    struct rh_xo_work work;
    uint64_t size; /* of what is sent */
};

/* How long it is unpacked, which is told beforehand: a cut upload without a
 * length could pass for a whole one. */
static int measure(struct rh_push_item *p, struct item *i, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    uint64_t rest = 0;
    size_t n = 1;

    while (n) {
        if (rh_go_on(p->server->lib, err) < 0 ||
            rh_stream_read(i->xva.rest, piece, PIECE, &n, err) < 0)
            return -1;
        rest += n;
    }
    rh_ova_tar(i->xva.xml, &head);
    i->size = head.length + rest;
    rh_xva_close(&i->xva);
    return rh_xva_open(p->dir, p->name, i->work.options, &i->xva, err);
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);

    p->work = &i->work;
    if (rh_xo_work_init(&i->work, p->server->state, p->server->options, err) <
        0)
        return -1;
    i->work.ova = &i->xva.ova;
    i->work.journal = p->journal;
    if (rh_xva_open(p->dir, p->name, i->work.options, &i->xva, err) < 0 ||
        measure(p, i, err) < 0)
        return -1;
    p->bytes = i->size;
    if (rh_xo_look(&i->work, rh_server_place(p->server, "sr"), i->size,
                   &p->checks, err) < 0)
        return -1;
    rh_push_plan(p, "POST %s/rest/v0/pools/%s/vms?sr=%s (%llu bytes)",
                 rh_http_name(p->server->remote.http), i->work.pool, i->work.sr,
                 (unsigned long long)i->size);
    rh_push_plan(p, "DELETE and POST /rest/v0/vifs, %zu times (MAC addresses)",
                 i->xva.ova.macs.count);
    if (rh_option_yes(p->server->options, "start"))
        rh_push_plan(p, "POST /rest/v0/vms/ID/actions/start");
    return 0;
}

static int pump(struct rh_push_item *p, struct item *i, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    size_t n = 1;

    rh_ova_tar(i->xva.xml, &head);
    if (rh_xo_begin(&i->work, (int64_t)i->size, err) < 0 ||
        rh_xo_write(&i->work, head.data, head.length, err) < 0)
        return -1;
    for (;;) {
        if (rh_stream_read(i->xva.rest, piece, PIECE, &n, err) < 0)
            return -1;
        if (!n)
            return rh_xo_end(&i->work, err);
        if (rh_xo_write(&i->work, piece, n, err) < 0)
            return -1;
        rh_progress(p->server->lib, "send", i->work.sent, i->size);
    }
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    if (pump(p, i, err) < 0)
        return -1;
    p->sent = i->work.sent;
    p->delivered = json_pack("{s:s, s:s, s:s, s:O, s:O}", "id", i->work.vm,
                             "uuid", i->work.vm, "as", i->xva.ova.name, "disks",
                             i->work.disks, "nics", i->work.nics);
    rh_journal_done(p->journal);
    return 0;
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_xo_work_free(&i->work);
    rh_xva_close(&i->xva);
    free(i);
}

const struct rh_pusher rh_push_xo = {
    .server = &rh_server_xo,
    .target = "xen",
    .look = look,
    .send = send,
    .item_free = item_free,
};
