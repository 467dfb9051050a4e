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
    const char *host = rh_http_host(p->server->remote.http);

    for (size_t n = 0; n < i->result.conf.list.count; n++)
        if (i->result.conf.list.items[n].file)
            rh_push_plan(p,
                         "POST https://%s/api2/json/nodes/%s/storage/%s/"
                         "%s (%s%s%s)",
                         host, i->where.node, i->where.import,
                         i->where.serve ? "download-url" : "upload",
                         i->result.conf.list.items[n].file,
                         i->where.serve ? ", sha256, from " : "",
                         i->where.serve ? rh_serve_name(i->where.serve) : "");
    rh_push_plan(p,
                 "POST https://%s/api2/json/nodes/%s/qemu (vmid %s, "
                 "storage %s)",
                 host, i->where.node, i->where.vmid, i->where.storage);
    rh_push_plan(p, "DELETE of the uploaded files");
    if (rh_option_yes(p->server->options, "start"))
        rh_push_plan(p,
                     "POST https://%s/api2/json/nodes/%s/qemu/%s/status/"
                     "start",
                     host, i->where.node, i->where.vmid);
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);
    struct rh_pve_wish wish = {.conf = &i->result.conf};

    p->work = &i->work;
    if (rh_pve_result_open(p->server, p->dir, p->receipt, &i->result, err) < 0)
        return -1;
    p->bytes = i->result.file_bytes;
    wish.virtual_bytes = i->result.virtual_bytes;
    wish.file_bytes = p->bytes;
    wish.largest_file = i->result.largest_file;
    if (rh_pve_look(p->server->state, &wish, &i->where, &p->checks, err) < 0)
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
    bool failed;

    i->work = (struct rh_pve_work){.pve = p->server->state,
                                   .place = &i->where,
                                   .journal = p->journal,
                                   .note = rh_strdup(i->result.note)};
    failed = upload_all(i, err) < 0 ||
             rh_pve_create(&i->work, &i->result.conf, err) < 0;
    if (!failed)
        p->delivered = rh_pve_describe(&i->work, &i->result.conf, err);
    p->sent = i->work.sent;
    if (!p->delivered)
        return -1;
    rh_pve_settle(&i->work);
    return 0;
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

const struct rh_pusher rh_push_proxmox = {
    .server = &rh_server_proxmox,
    .target = "kvm",
    .look = look,
    .send = send,
    .item_free = item_free,
};
