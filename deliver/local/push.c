/* push.c - `rehost push RESULT --to proxmox-local:STORAGE`, run on a Proxmox VE
 * node as root: each disk is written straight into its new volume.  One copy,
 * no temporary file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "deliver/local/node.h"
#include "deliver/push.h"

struct item {
    struct rh_pve_result result;
    struct rh_node_facts facts;
    struct rh_node_vm vm;
};

static const char *storage_of(const struct rh_server *s)
{
    return strchr(s->remote.text, ':') + 1;
}

/* --- before
 * ------------------------------------------------------------------------ */

static int look(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state = rh_new0(struct item);
    const char *storage = storage_of(p->server);

    p->work = &i->vm;
    if (rh_pve_result_open(p->server, p->dir, p->receipt, &i->result, err) <
            0 ||
        rh_node_look(p->server->lib, storage,
                     rh_option(p->server->options, "vmid"), NULL, &i->facts,
                     err) < 0)
        return -1;
    p->bytes = i->result.file_bytes;
    rh_node_judge(&i->facts, storage,
                  i->facts.thick ? i->result.virtual_bytes
                                 : i->result.file_bytes,
                  &i->result.conf, &p->checks);
    for (size_t n = 0; n < i->result.conf.list.count; n++)
        if (i->result.conf.list.items[n].file)
            rh_push_plan(p, "pvesm alloc %s %s (%s)", storage, i->facts.vmid,
                         i->result.conf.list.items[n].file);
    rh_push_plan(p, "qm create %s", i->facts.vmid);
    if (rh_option_yes(p->server->options, "start"))
        rh_push_plan(p, "qm start %s", i->facts.vmid);
    return 0;
}

/* --- volumes
 * -------------------------------------------------------------------------- */

static int write_disk(struct rh_push_item *p, struct item *i,
                      const struct rh_pve_setting *s, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_node_path(p->server->lib, s->volume, err);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io =
        path ? rh_place_open(i->result.place, s->file, err) : NULL;
    size_t n = strlen(s->file);
    const char *format =
        n > 4 && !strcmp(s->file + n - 4, ".raw") ? "raw" : NULL;
    uint64_t bytes = 0;

    if (!io || rh_local_write(p->server->lib, io, format, path,
                              i->facts.thick ? RH_LOCAL_WRITE : RH_LOCAL_SKIP,
                              &bytes, err) < 0)
        return -1;
    p->sent += bytes;
    return 0;
}

static uint64_t size_of(const json_t *receipt, const char *bus)
{
    size_t i;
    json_t *disk;

    json_array_foreach (json_object_get(receipt, "disks"), i, disk)
        if (!strcmp(rh_pve_text(disk, "bus"), bus))
            return rh_pve_number(disk, "virtual_size");
    return 0;
}

static int write_all(struct rh_push_item *p, struct item *i, rh_error **err)
{
    for (size_t n = 0; n < i->result.conf.list.count; n++) {
        struct rh_pve_setting *s = &i->result.conf.list.items[n];
        const char *volume;

        if (!s->file)
            continue;
        if (rh_node_alloc(&i->vm, size_of(p->receipt, s->key), &volume, err) <
            0)
            return -1;
        s->volume = rh_strdup(volume);
        if (write_disk(p, i, s, err) < 0)
            return -1;
        rh_progress(p->server->lib, "send", n + 1, i->result.conf.list.count);
    }
    return 0;
}

/* --- the VM
 * ------------------------------------------------------------------------------
 */

json_t *rh_node_describe(const struct rh_pve_conf *conf, const char *vmid)
{
    json_t *disks = json_array(), *nics = json_array();

    for (size_t n = 0; n < conf->list.count; n++) {
        const struct rh_pve_setting *s = &conf->list.items[n];
        RH_AUTO(rh_freep) char *bridge = rh_pve_part(s->value, "bridge");
        const char *mac = strchr(s->value, '=');

        if (s->volume)
            json_array_append_new(
                disks,
                json_pack("{s:s, s:s}", "id", s->volume, "position", s->key));
        if (!strncmp(s->key, "net", 3) && mac)
            json_array_append_new(nics, json_pack("{s:s%, s:s}", "mac", mac + 1,
                                                  strcspn(mac + 1, ","),
                                                  "network", bridge));
    }
    return json_pack("{s:s, s:n, s:o, s:o}", "id", vmid, "uuid", "disks", disks,
                     "nics", nics);
}

static int make(struct rh_push_item *p, struct item *i, rh_error **err)
{
    i->vm.note = rh_strdup(i->result.note);
    i->vm.journal = p->journal;
    if (write_all(p, i, err) < 0)
        return -1;
    return rh_node_create(&i->vm,
                          rh_pve_conf_params(&i->result.conf, i->vm.storage,
                                             i->vm.note, RH_PVE_ATTACH),
                          err);
}

static int send(struct rh_push_item *p, rh_error **err)
{
    struct item *i = p->state;

    if (rh_node_vm_init(&i->vm, p->server->lib, storage_of(p->server),
                        &i->facts, err) < 0 ||
        make(p, i, err) < 0)
        return -1;
    p->delivered = rh_node_describe(&i->result.conf, i->facts.vmid);
    rh_journal_done(p->journal);
    return 0;
}

static void item_free(struct rh_push_item *p)
{
    struct item *i = p->state;

    if (!i)
        return;
    rh_node_vm_free(&i->vm);
    rh_node_facts_free(&i->facts);
    rh_pve_result_close(&i->result);
    free(i);
}

static int check(const char *url, rh_error **err)
{
    return rh_node_storage_in(url, err) ? 0 : -1;
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)s;
    (void)j;
    return rh_node_clean(kind, id, err);
}

static int start(void *work, rh_error **err)
{
    const struct rh_node_vm *vm = work;

    return rh_node_start(vm->lib, vm->vmid, err);
}

static int addresses(void *work, json_t *list, rh_error **err)
{
    const struct rh_node_vm *vm = work;

    return rh_node_addresses(vm->lib, vm->vmid, list, err);
}

static void undo(void *work)
{
    struct rh_node_vm *vm = work;

    if (rh_node_take_away(vm, NULL) == 0)
        rh_journal_done(vm->journal);
}

/* A raw volume, from the disk's start on; the new EFI disk is none of ours. */
static int read_disk(struct rh_server *s, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    const char *volume = rh_server_disk_id(delivery, i, err);
    RH_AUTO(rh_freep)
    char *path =
        volume && volume[0] != '-' ? rh_node_path(s->lib, volume, err) : NULL;

    return path ? rh_local_read(s->lib, path, sink, user, err) : -1;
}

static const char *const own_options[] = {"vmid", NULL};

const struct rh_server_kind rh_server_proxmox_local = {
    .scheme = "proxmox-local",
    .local = true,
    .options = own_options,
    .check = check,
    .clean = clean,
    .read_json = rh_local_json,
    .start = start,
    .addresses = addresses,
    .undo = undo,
    .read_disk = read_disk,
};

const struct rh_pusher rh_push_proxmox_local = {
    .server = &rh_server_proxmox_local,
    .target = "kvm",
    .look = look,
    .send = send,
    .item_free = item_free,
};
