/* push.c - a result for KVM onto a Proxmox VE node: its disks are uploaded one
 * by one, then the VM is made of them in one call. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/limits.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/push.h"

struct item {
    struct rh_place *place;
    struct rh_pve_conf conf;
    struct rh_pve_place where;
    struct rh_pve_work work;
    uint64_t virtual_bytes;
};

/* --- the result
 * ----------------------------------------------------------------------- */

static char *read_text(struct item *i, const char *name, rh_error **err)
{
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_place_open(i->place, name, err);
    char *text;
    size_t n;

    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, err) < 0)
        return NULL;
    return text;
}

static int read_conf(struct rh_push_item *p, struct item *i, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = read_text(i, "proxmox.conf", err);
    RH_AUTO(rh_freep) char *vm = text ? read_text(i, "vm.json", err) : NULL;
    json_t *doc;

    if (!vm || rh_pve_conf_parse(text, &i->conf, err) < 0)
        return -1;
    doc = json_loads(vm, 0, NULL);
    rh_pve_conf_map(
        &i->conf,
        json_object_get(json_array_get(json_object_get(doc, "vms"), 0), "nics"),
        p->push->options);
    json_decref(doc);
    if (rh_option(p->push->options, "name"))
        rh_pve_conf_set(&i->conf, "name", rh_option(p->push->options, "name"));
    return 0;
}

/* The receipt knows which file is on which bus. */
static int find_disks(struct rh_push_item *p, struct item *i, rh_error **err)
{
    size_t n;
    json_t *disk;

    json_array_foreach (json_object_get(p->receipt, "disks"), n, disk) {
        const char *file = rh_pve_text(disk, "file");
        struct rh_pve_setting *s =
            rh_pve_conf_find(&i->conf, rh_pve_text(disk, "bus"));
        RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

        if (!s || !file[0])
            return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                           "proxmox.conf and the receipt disagree on disk %zu",
                           n);
        io = rh_place_open(i->place, file, err);
        if (!io)
            return -1;
        s->file = rh_strdup(file);
        p->bytes += io->size;
        i->virtual_bytes += rh_pve_number(disk, "virtual_size");
    }
    return 0;
}

static char *note_of(const struct rh_push_item *p)
{
    RH_AUTO(rh_freep) char *text = json_dumps(p->receipt, JSON_SORT_KEYS);
    char hex[65];

    rh_sha256_hex(text, strlen(text), hex);
    return rh_printf("rehost receipt sha256:%s", hex);
}

/* --- before
 * ----------------------------------------------------------------------------
 */

static void plan(struct rh_push_item *p, const struct item *i)
{
    const char *host = rh_http_host(p->push->remote.http);

    for (size_t n = 0; n < i->conf.list.count; n++)
        if (i->conf.list.items[n].file)
            rh_push_plan(p,
                         "POST https://%s/api2/json/nodes/%s/storage/%s/"
                         "upload (%s)",
                         host, i->where.node, i->where.import,
                         i->conf.list.items[n].file);
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
    struct rh_pve_wish wish = {.conf = &i->conf};

    i->place = rh_place_folder(p->dir, err);
    if (check_url(p->push, err) < 0 || !i->place || read_conf(p, i, err) < 0 ||
        find_disks(p, i, err) < 0)
        return -1;
    wish.virtual_bytes = i->virtual_bytes;
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
    for (size_t n = 0; n < i->conf.list.count; n++) {
        struct rh_pve_setting *s = &i->conf.list.items[n];
        RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

        if (!s->file)
            continue;
        io = rh_place_open(i->place, s->file, err);
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
                                   .note = note_of(p)};
    failed =
        upload_all(i, err) < 0 || rh_pve_create(&i->work, &i->conf, err) < 0;
    if (!failed) {
        p->delivered = rh_pve_describe(&i->work, &i->conf, err);
        failed = !p->delivered;
    }
    p->sent = i->work.sent;
    if (failed && rh_option_yes(p->push->options, "keep-failed"))
        return -1;
    if (rh_pve_take_away(&i->work, failed, &left) == 0)
        rh_journal_done(p->journal);
    else
        rh_log(p->push->lib, RH_LOG_WARN, "not all was taken away: %s",
               rh_error_message(left));
    rh_error_free(left);
    return failed ? -1 : 0;
}

static int start(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    return rh_pve_start(&i->work, err);
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_pve_work_free(&i->work);
    rh_pve_place_free(&i->where);
    rh_pve_conf_free(&i->conf);
    rh_place_close(i->place);
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

static int clean(struct rh_push *p, const char *kind, const char *id,
                 rh_error **err)
{
    return rh_pve_clean(p->state, kind, id, err);
}

const struct rh_pusher rh_push_proxmox = {
    .scheme = "proxmox",
    .target = "kvm",
    .port = 8006,
    .wants_token = true,
    .open = open_session,
    .close = close_session,
    .look = look,
    .send = send,
    .start = start,
    .item_free = item_free,
    .clean = clean,
};
