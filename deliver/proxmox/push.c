/* push.c - a result for KVM onto a Proxmox VE node: its disks are uploaded one
 * by one, then the VM is made of them in one call. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/push.h"

struct item {
    struct rh_pve_result result;
    struct rh_pve_place where;
    struct rh_pve_work work;
};

/* --- before
 * ----------------------------------------------------------------------------
 */

static void plan(struct rh_push_item *p, const struct item *i)
{
    const char *host = rh_http_host(p->push->remote.http);

    for (size_t n = 0; n < i->result.conf.list.count; n++)
        if (i->result.conf.list.items[n].file)
            rh_push_plan(p,
                         "POST https://%s/api2/json/nodes/%s/storage/%s/"
                         "upload (%s)",
                         host, i->where.node, i->where.import,
                         i->result.conf.list.items[n].file);
    rh_push_plan(p,
                 "POST https://%s/api2/json/nodes/%s/qemu (vmid %s, "
                 "storage %s)",
                 host, i->where.node, i->where.vmid, i->where.storage);
    rh_push_plan(p, "DELETE of the uploaded files");
    if (rh_option_yes(p->push->options, "start"))
        rh_push_plan(p,
                     "POST https://%s/api2/json/nodes/%s/qemu/%s/status/"
                     "start",
                     host, i->where.node, i->where.vmid);
}

static int check_url(const struct rh_push *p, rh_error **err)
{
    if (p->remote.url.count == 1 || p->remote.url.count == 2)
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_URL,
                   "the URL is proxmox://HOST[:PORT]/NODE[/STORAGE]");
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);
    struct rh_pve_wish wish = {.conf = &i->result.conf};

    if (check_url(p->push, err) < 0 ||
        rh_pve_result_open(p->dir, p->receipt, p->push->options, &i->result,
                           err) < 0)
        return -1;
    p->bytes = i->result.file_bytes;
    wish.virtual_bytes = i->result.virtual_bytes;
    wish.file_bytes = p->bytes;
    if (rh_pve_look(p->push->state, &wish, &i->where, &p->checks, err) < 0)
        return -1;
    plan(p, i);
    return 0;
}

/* --- doing
 * ------------------------------------------------------------------------------
 */

static int upload_all(struct item *i, rh_error **err)
{
    for (size_t n = 0; n < i->result.conf.list.count; n++) {
        struct rh_pve_setting *s = &i->result.conf.list.items[n];
        RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

        if (!s->file)
            continue;
        io = rh_place_open(i->result.place, s->file, err);
        if (!io || rh_pve_upload(&i->work, io, s->file, &s->volume, err) < 0)
            return -1;
    }
    return 0;
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;
    rh_error *left = NULL;
    bool failed;

    i->work = (struct rh_pve_work){.pve = p->push->state,
                                   .place = &i->where,
                                   .journal = p->journal,
                                   .note = rh_strdup(i->result.note)};
    failed = upload_all(i, err) < 0 ||
             rh_pve_create(&i->work, &i->result.conf, err) < 0;
    if (!failed) {
        p->delivered = rh_pve_describe(&i->work, &i->result.conf, err);
        failed = !p->delivered;
    }
    p->sent = i->work.sent;
    if (!failed) {
        rh_pve_settle(&i->work);
        return 0;
    }
    if (rh_option_yes(p->push->options, "keep-failed"))
        return -1;
    if (rh_pve_take_away(&i->work, true, &left) == 0)
        rh_journal_done(p->journal);
    else
        rh_log(p->push->lib, RH_LOG_WARN, "not all was taken away: %s",
               rh_error_message(left));
    rh_error_free(left);
    return -1;
}

static int start(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    return rh_pve_start(&i->work, err);
}

static int addresses(struct rh_push_item *p, json_t *list, rh_error **err)
{
    struct item *i = p->state;

    return rh_pve_addresses(&i->work, list, err);
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_pve_work_free(&i->work);
    rh_pve_place_free(&i->where);
    rh_pve_result_close(&i->result);
    free(i);
}

/* --- the session
 * -------------------------------------------------------------------------- */

static int open_session(struct rh_push *p, rh_error **err)
{
    struct rh_pve *pve = p->state = rh_new0(struct rh_pve);

    return check_url(p, err) < 0 ? -1 : rh_pve_login(pve, &p->remote, err);
}

static void close_session(struct rh_push *p)
{
    if (p->state)
        rh_pve_logout(p->state);
    free(p->state);
}

static int clean(struct rh_push *p, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)j;
    return rh_pve_clean(p->state, kind, id, err);
}

static const char *const own_options[] = {"storage", "import-storage", "vmid",
                                          NULL};

const struct rh_pusher rh_push_proxmox = {
    .scheme = "proxmox",
    .target = "kvm",
    .port = 8006,
    .wants_token = true,
    .options = own_options,
    .open = open_session,
    .close = close_session,
    .look = look,
    .send = send,
    .start = start,
    .addresses = addresses,
    .item_free = item_free,
    .clean = clean,
};
