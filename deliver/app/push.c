/* push.c - a result that stands in a folder goes to the program's functions.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/push.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "deliver/app/app.h"
#include "deliver/proxmox/proxmox.h"
#include "deliver/result.h"

enum { PIECE = 1024 * 1024 };

struct item {
    struct rh_receiving *to; /* while it is under way */
};

static json_t *disk_of(const json_t *receipt, size_t i)
{
    return json_array_get(json_object_get(receipt, "disks"), i);
}

static uint64_t size_of(const json_t *receipt, size_t i)
{
    json_int_t n = json_integer_value(
        json_object_get(disk_of(receipt, i), "virtual_size"));

    return n > 0 ? (uint64_t)n : 0;
}

static size_t disk_count(const json_t *receipt)
{
    return json_array_size(json_object_get(receipt, "disks"));
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = rh_new0(struct item);

    p->state = p->work = i;
    for (size_t n = 0; n < disk_count(p->receipt); n++)
        p->bytes += size_of(p->receipt, n);
    rh_push_plan(p, "%zu disks to the program's functions",
                 disk_count(p->receipt));
    return rh_receiver_check(p->server->lib, p->server->remote.text, err);
}

/* --- sending
 * ---------------------------------------------------------------------------
 */

static json_t *disks_json(const json_t *receipt)
{
    json_t *list = json_array();

    for (size_t i = 0; i < disk_count(receipt); i++) {
        const json_t *d = disk_of(receipt, i);

        json_array_append_new(
            list, rh_app_disk(
                      (uint64_t)json_integer_value(json_object_get(d, "disk")),
                      size_of(receipt, i),
                      json_string_value(json_object_get(d, "bus"))));
    }
    return list;
}

static int begin(struct rh_push_item *p, struct item *i, rh_error **err)
{
    json_t *doc = rh_result_json(p->dir, "vm.json", err);
    json_t *vm = json_array_get(json_object_get(doc, "vms"), 0);
    RH_AUTO(rh_freep) char *text = NULL;

    if (!doc)
        return -1;
    text = rh_app_vm(
        p->name, json_string_value(json_object_get(p->receipt, "target")),
        vm ? json_incref(vm) : json_object(), disks_json(p->receipt));
    json_decref(doc);
    i->to =
        rh_receiving_begin(p->server->lib, p->server->remote.text, text, err);
    return i->to ? 0 : -1;
}

static int send_run(struct rh_push_item *p, struct rh_reader *r,
                    struct rh_codec *codec, uint8_t *piece, size_t disk,
                    uint64_t offset, uint64_t length, rh_error **err)
{
    const struct item *i = p->state;

    for (uint64_t end = offset + length; offset < end;) {
        size_t n = (size_t)RH_MIN(end - offset, (uint64_t)PIECE);

        if (rh_go_on(p->server->lib, err) < 0 ||
            rh_reader_read(r, codec, piece, n, offset, err) < 0 ||
            (!rh_all_zero(piece, n) &&
             rh_receiving_write(i->to, disk, piece, n, offset, err) < 0))
            return -1;
        offset += n;
        p->sent += n;
    }
    return 0;
}

static int send_disk(struct rh_push_item *p, size_t disk, uint8_t *piece,
                     rh_error **err)
{
    const struct item *i = p->state;
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r =
        rh_result_disk(p->server->lib, p->dir, p->receipt, disk, err);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    struct rh_extent e;

    if (!r)
        return -1;
    if (r->size < size_of(p->receipt, disk))
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "disk %zu is smaller than the receipt says", disk);
    if (rh_receiving_disk(i->to, disk, size_of(p->receipt, disk), err) < 0)
        return -1;
    for (uint64_t at = 0, size = size_of(p->receipt, disk); at < size;
         at += e.length) {
        if (rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        e.length = RH_MIN(e.length, size - at);
        if (e.kind == RH_EXTENT_DATA &&
            send_run(p, r, codec, piece, disk, at, e.length, err) < 0)
            return -1;
        rh_progress(p->server->lib, "send", p->sent, 0);
    }
    return rh_receiving_flush(i->to, disk, err);
}

static json_t *describe(const struct rh_push_item *p)
{
    json_t *disks = json_array();

    for (size_t n = 0; n < disk_count(p->receipt); n++)
        json_array_append_new(
            disks,
            json_pack("{s:o, s:s}", "id", json_sprintf("%zu", n), "position",
                      rh_pve_text(disk_of(p->receipt, n), "bus")));
    return json_pack("{s:s, s:n, s:o, s:[]}", "id", p->name, "uuid", "disks",
                     disks, "nics");
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    RH_AUTO(rh_freep) char *receipt = json_dumps(p->receipt, JSON_INDENT(2));

    if (begin(p, i, err) < 0)
        return -1;
    for (size_t n = 0; n < disk_count(p->receipt); n++)
        if (send_disk(p, n, piece, err) < 0)
            return -1;
    if (rh_receiving_finish(i->to, receipt, err) < 0)
        return -1;
    i->to = NULL;
    p->delivered = describe(p);
    return 0;
}

static void item_free(struct rh_push_item *p)
{
    free(p->state);
}

/* --- the other end
 * --------------------------------------------------------------------- */

static int check(const char *url, rh_error **err)
{
    (void)url;
    (void)err;
    return 0;
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)s;
    (void)j;
    (void)kind;
    (void)id;
    (void)err;
    return 0;
}

static int start(void *work, rh_error **err)
{
    (void)work;
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "the program starts what it has received itself");
}

static void undo(void *work)
{
    struct item *i = work;

    rh_receiving_abort(RH_TAKE(i->to));
}

static const struct rh_server_kind server = {
    .scheme = "app-vm",
    .local = true,
    .check = check,
    .clean = clean,
    .start = start,
    .undo = undo,
};

const struct rh_pusher rh_push_app = {
    .server = &server,
    .look = look,
    .send = send,
    .item_free = item_free,
};
