/* push.c - NAME.xva of a result into an XCP-ng pool. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/limits.h"
#include "deliver/push.h"
#include "deliver/xapi/xapi.h"
#include "targets/xcp-ng/xva_read.h"

enum { PIECE = 1024 * 1024 };

struct item {
    struct rh_xva_in xva; /* or its metadata alone */
    struct rh_xapi_place place;
    struct rh_xapi_work work;
    bool files; /* disks are files of the result, not in an XVA */
};

/* --- before
 * ------------------------------------------------------------------------- */

static const char *file_of(const struct rh_push_item *p, size_t n)
{
    return rh_xapi_text(json_array_get(json_object_get(p->receipt, "disks"), n),
                        "file");
}

/* A result of --format vhd has its disks in files, and the VM's metadata. */
static int open_result(struct rh_push_item *p, struct item *i, rh_error **err)
{
    const char *dot = strrchr(file_of(p, 0), '.');
    RH_AUTO(rh_freep) char *metadata = rh_printf("%s-metadata", p->name);

    i->files = dot && !strcmp(dot, ".vhd");
    i->work.single =
        i->files || rh_option_yes(p->server->options, "disk-by-disk");
    return rh_xva_open(p->dir, i->files ? metadata : p->name,
                       p->server->options, &i->xva, err);
}

static struct rh_reader *open_disk(const struct rh_push_item *p,
                                   const struct item *i, size_t n,
                                   rh_error **err)
{
    struct rh_open_options o = {.lib = p->server->lib};
    RH_AUTO(rh_freep) char *archive = rh_printf("%s.xva", p->name);
    RH_AUTO(rh_place_closep)
    struct rh_place *place = rh_place_folder(p->dir, err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io =
        place ? rh_place_open(place, i->files ? file_of(p, n) : archive, err)
              : NULL;

    if (!io)
        return NULL;
    return i->files ? rh_reader_open(io, "vhd", &o, err)
                    : rh_xva_read(p->server->lib, io, n, err);
}

static int measure_disks(struct rh_push_item *p, const struct item *i,
                         rh_error **err)
{
    size_t n = json_array_size(json_object_get(p->receipt, "disks"));

    if (n != i->xva.ova.disks.count)
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "ova.xml and the receipt disagree on the disks");
    p->bytes = 0;
    for (size_t d = 0; d < n; d++) {
        RH_AUTO(rh_reader_closep) struct rh_reader *r = open_disk(p, i, d, err);
        uint64_t data = 0;

        if (!r || rh_reader_allocated(r, &data, err) < 0)
            return -1;
        p->bytes += data;
    }
    return 0;
}

static void plan(struct rh_push_item *p, const struct item *i)
{
    const struct rh_xapi *x = p->server->state;
    const char *host =
        i->place.address ? i->place.address : rh_http_host(x->http);

    for (size_t n = 0; i->work.single && n < i->xva.ova.disks.count; n++)
        rh_push_plan(p,
                     "VDI.create, and PUT https://%s/import_raw_vdi (disk %zu)",
                     host, n);
    if (i->work.single) {
        rh_push_plan(p, "PUT https://%s/import_metadata?restore=true", host);
    } else {
        rh_push_plan(p, "task.create");
        rh_push_plan(p,
                     "PUT https://%s/import?sr_id=%s&restore=true (%llu bytes)",
                     host, i->place.sr, (unsigned long long)p->bytes);
    }
    if (rh_option_yes(p->server->options, "start"))
        rh_push_plan(p, "VM.start");
}

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);
    struct rh_xapi *x = p->server->state;

    p->work = &i->work;
    if (rh_xapi_disks_init(&i->work.disks, x, err) < 0 ||
        open_result(p, i, err) < 0)
        return -1;
    p->bytes = i->xva.file_bytes;
    i->place.single = i->work.single;
    if ((i->work.single && measure_disks(p, i, err) < 0) ||
        rh_xapi_look(x, rh_server_place(p->server, "sr"), &i->xva.ova, p->bytes,
                     &i->place, &p->checks, err) < 0)
        return -1;
    if (rh_checks_bad(&p->checks))
        return 0; /* it is refused anyway */
    if (rh_xapi_dry_run(x, &i->place, i->xva.xml, &p->checks, err) < 0)
        return -1;
    plan(p, i);
    return 0;
}

/* --- the stream
 * ---------------------------------------------------------------------- */

static int pump(struct rh_push_item *p, struct item *i, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf head = {0};
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    uint64_t done = 0;

    rh_ova_tar(i->xva.xml, &head);
    if (rh_xapi_import_write(&i->work.import, head.data, head.length, err) < 0)
        return -1;
    for (;;) {
        size_t n;

        if (rh_stream_read(i->xva.rest, piece, PIECE, &n, err) < 0)
            return -1;
        if (!n)
            break;
        if (rh_xapi_import_write(&i->work.import, piece, n, err) < 0)
            return -1;
        done += n;
        rh_progress(p->server->lib, "send", RH_MIN(done, p->bytes), p->bytes);
    }
    p->sent = i->work.import.sent;
    return 0;
}

/* --- afterwards
 * ---------------------------------------------------------------------- */

static json_t *disks_of(struct rh_xapi *x, const json_t *vm, rh_error **err)
{
    json_t *list = json_array(), *ref;
    size_t i;

    json_array_foreach (json_object_get(vm, "VBDs"), i, ref) {
        json_t *vbd =
            rh_xapi_call(x, "VBD.get_record", json_pack("[O]", ref), err);
        const char *vdi = rh_xapi_text(vbd, "VDI");
        json_t *disk = NULL;

        if (vbd && strcmp(rh_xapi_text(vbd, "type"), "CD") != 0)
            disk =
                rh_xapi_call(x, "VDI.get_record", json_pack("[s]", vdi), err);
        if (disk)
            json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:I}", "id", rh_xapi_text(disk, "uuid"),
                          "position", rh_xapi_text(vbd, "userdevice"), "bytes",
                          (json_int_t)rh_xapi_number(disk, "virtual_size")));
        json_decref(disk);
        json_decref(vbd);
        if (err && *err)
            break;
    }
    return list;
}

static json_t *nics_of(struct rh_xapi *x, const json_t *vm, rh_error **err)
{
    json_t *list = json_array(), *ref;
    size_t i;

    json_array_foreach (json_object_get(vm, "VIFs"), i, ref) {
        json_t *vif =
            rh_xapi_call(x, "VIF.get_record", json_pack("[O]", ref), err);
        json_t *network =
            vif ? rh_xapi_call(x, "network.get_record",
                               json_pack("[s]", rh_xapi_text(vif, "network")),
                               err)
                : NULL;

        if (network)
            json_array_append_new(
                list,
                json_pack("{s:s, s:s}", "mac", rh_xapi_text(vif, "MAC"),
                          "network", rh_xapi_text(network, "name_label")));
        json_decref(vif);
        json_decref(network);
        if (err && *err)
            break;
    }
    return list;
}

static bool has_mac(const json_t *nics, const char *mac)
{
    size_t i;
    json_t *nic;

    json_array_foreach (nics, i, nic)
        if (rh_same_word(rh_xapi_text(nic, "mac"), mac))
            return true;
    return false;
}

/* Does the pool's VM have what was sent? */
static int compare(const struct item *i, const json_t *disks,
                   const json_t *nics, rh_error **err)
{
    if (json_array_size(disks) != i->xva.ova.disks.count)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the VM there has %zu disks, not %zu",
                       json_array_size(disks), i->xva.ova.disks.count);
    for (size_t n = 0; n < i->xva.ova.macs.count; n++)
        if (!has_mac(nics, i->xva.ova.macs.items[n]))
            return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                           "the VM there has no NIC with the MAC address %s",
                           i->xva.ova.macs.items[n]);
    return 0;
}

int rh_xapi_describe(struct rh_xapi *x, const char *vm_ref, json_t **ret_disks,
                     json_t **ret_nics, char **ret_uuid, rh_error **err)
{
    rh_error *e = NULL;
    json_t *vm =
        rh_xapi_call(x, "VM.get_record", json_pack("[s]", vm_ref), err);

    if (!vm)
        return -1;
    *ret_disks = disks_of(x, vm, &e);
    *ret_nics = nics_of(x, vm, &e);
    *ret_uuid = rh_strdup(rh_xapi_text(vm, "uuid"));
    json_decref(vm);
    if (!e)
        return 0;
    if (err && !*err)
        *err = RH_TAKE(e);
    rh_error_free(e);
    return -1;
}

static int tell(struct rh_push_item *p, struct item *i, rh_error **err)
{
    struct rh_xapi *x = p->server->state;
    const char *vm = rh_xapi_made(&i->work)->vm;
    json_t *disks = NULL, *nics = NULL;
    RH_AUTO(rh_freep) char *uuid = NULL;
    int failed;

    if (!vm)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the task names no VM that it made");
    failed = rh_xapi_describe(x, vm, &disks, &nics, &uuid, err);
    if (!failed)
        failed = compare(i, disks, nics, err);
    if (failed) {
        json_decref(disks);
        json_decref(nics);
        return -1;
    }
    p->delivered =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", uuid, "uuid", uuid, "as",
                  i->xva.ova.name, "disks", disks, "nics", nics);
    return 0;
}

static int send_archive(struct rh_push_item *p, struct item *i, rh_error **err)
{
    struct rh_xapi *x = p->server->state;

    i->work.import = (struct rh_xapi_import){
        .x = x, .place = &i->place, .journal = p->journal};
    if (rh_xapi_import_begin(&i->work.import, i->xva.ova.name, err) < 0 ||
        pump(p, i, err) < 0 || rh_xapi_import_end(&i->work.import, err) < 0)
        return -1;
    return tell(p, i, err);
}

static const char *digest_of(const struct rh_push_item *p, size_t n)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(p->receipt, "disks"), n),
                        "content_digest"));
}

static int send_disks(struct rh_push_item *p, struct item *i, rh_error **err)
{
    i->work.disks.x = p->server->state;
    i->work.disks.place = &i->place;
    i->work.disks.journal = p->journal;
    for (size_t n = 0; n < i->xva.ova.disks.count; n++) {
        RH_AUTO(rh_reader_closep) struct rh_reader *r = open_disk(p, i, n, err);

        if (!r || rh_xapi_disks_send(&i->work.disks, &i->xva.ova, n, r,
                                     digest_of(p, n), err) < 0)
            return -1;
    }
    p->sent = i->work.disks.sent;
    if (rh_xapi_disks_vm(&i->work.disks, &i->xva.ova, i->xva.xml, err) < 0)
        return -1;
    return tell(p, i, err);
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    if (i->work.single ? send_disks(p, i, err) < 0
                       : send_archive(p, i, err) < 0)
        return -1;
    rh_xapi_settle(&i->work);
    return 0;
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_xapi_forget(p->server->state);
    rh_xapi_work_free(&i->work);
    rh_xapi_place_free(&i->place);
    rh_xva_close(&i->xva);
    free(i);
}

const struct rh_pusher rh_push_xapi = {
    .server = &rh_server_xapi,
    .target = "xen",
    .look = look,
    .send = send,
    .item_free = item_free,
};
