/* vm.c - one VM of a Prism: as a package's, and its power. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "live/prism/prism.h"

/* --- opening ------------------------------------------------------------- */

static enum rh_live_state state_in(const json_t *vm)
{
    static const char *const paths[] = {"powerState", "power_state",
                                        "status/resources/power_state",
                                        "spec/resources/power_state"};
    const char *text = NULL;

    for (size_t i = 0; !text && i < RH_COUNT(paths); i++)
        text = rh_ntx_text(vm, paths[i]);
    return !text || rh_same_word(text, "on") ? RH_LIVE_ON
           : rh_same_word(text, "off")       ? RH_LIVE_OFF
                                             : RH_LIVE_SUSPENDED;
}

int rh_ntx_refresh(struct rh_live_vm *vm, rh_error **err)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    json_t *doc = NULL;
    char *etag = NULL;

    if (rh_ntx_get(vm->live, vm->id, &doc, &etag, err) < 0) {
        free(etag);
        return -1;
    }
    json_decref(v->doc);
    free(v->etag);
    v->doc = doc;
    v->etag = etag;
    v->state = state_in(doc);
    return 0;
}

/* A time or a number that grows; false: it is none. */
static bool add_told(struct rh_buf *b, const json_t *value)
{
    if (json_is_string(value))
        rh_buf_printf(b, " %s", json_string_value(value));
    else if (json_is_integer(value))
        rh_buf_printf(b, " %lld", (long long)json_integer_value(value));
    else
        return false;
    return true;
}

/* The list of disks of any version. */
static const json_t *disks_in(const json_t *vm)
{
    static const char *const paths[] = {"disks", "vm_disk_info",
                                        "spec/resources/disk_list",
                                        "status/resources/disk_list"};

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        if (json_array_size(rh_ntx_at(vm, paths[i])))
            return rh_ntx_at(vm, paths[i]);
    return NULL;
}

static const char *first_text(const json_t *o, const char *const *paths,
                              size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rh_ntx_text(o, paths[i]))
            return rh_ntx_text(o, paths[i]);
    return NULL;
}

/* Names of files and ids in requests are made of nothing else. */
static char *plain_id(const char *text)
{
    static const char fine[] = "0123456789abcdefABCDEF-";

    return text && strspn(text, fine) == strlen(text) && strlen(text) < 64
               ? rh_strdup(text)
               : NULL;
}

/* The disk of the answer that the parser gave this id. */
static void learn_disk(struct rh_ntx_disk *d, const struct rh_disk_config *c,
                       const json_t *list)
{
    static const char *const vdisk[] = {"disk_address/vmdisk_uuid",
                                        "backingInfo/diskExtId",
                                        "backingInfo/vmDisk/diskExtId"};
    static const char *const source[] = {"extId", "disk_address/device_uuid",
                                         "uuid"};

    d->size = c->capacity_bytes.number;
    for (size_t i = 0; c->id.text && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *file = first_text(item, vdisk, RH_COUNT(vdisk));
        const char *id = first_text(item, source, RH_COUNT(source));

        if (strcmp(file ? file : id ? id : "", c->id.text) != 0)
            continue;
        d->vdisk = plain_id(file);
        d->source = plain_id(id);
        return;
    }
}

static void learn_disks(struct rh_ntx_vm *v, const struct rh_vm *vm)
{
    const json_t *list = disks_in(v->doc);

    for (size_t i = 0; i < vm->disks.count; i++) {
        struct rh_ntx_disk *d = rh_vec_add(&v->disks);

        learn_disk(d, &vm->disks.items[i], list);
    }
}

/* What it is made of. */
static int add_running(struct rh_live *live, json_t *doc, struct rh_buf *ret,
                       rh_error **err)
{
    RH_AUTO(rh_fill_free) struct rh_fill f = {0};
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    const struct rh_vm *vm;
    char hex[65];

    if (rh_ntx_read(live, doc, &f, err) < 0)
        return -1;
    vm = f.vms.items[0].vm;
    rh_buf_printf(&b, "%llu %llu", (unsigned long long)vm->cpus.number,
                  (unsigned long long)vm->memory_bytes.number);
    for (size_t i = 0; i < vm->disks.count; i++)
        rh_buf_printf(
            &b, "\n%s %llu", rh_text_of(&vm->disks.items[i].id),
            (unsigned long long)vm->disks.items[i].capacity_bytes.number);
    for (size_t i = 0; i < vm->nics.count; i++)
        rh_buf_printf(&b, "\n%s", rh_text_of(&vm->nics.items[i].mac));
    rh_sha256_hex(b.data, b.length, hex);
    rh_buf_printf(ret, " runs %s", hex);
    return 0;
}

/* Each version tells by another key when the VM was changed.  What runs
 * changes its disks all the time, and our snapshots may change that time: there
 * count its processors, memory, disks and NICs. */
int rh_ntx_stamp(struct rh_live *live, const char *id, char **ret,
                 bool *ret_sure, rh_error **err)
{
    static const char *const paths[] = {
        "updateTime", "metadata/last_update_time", "vm_logical_timestamp"};
    RH_AUTO(rh_ntx_json_free) json_t *doc = NULL;
    RH_AUTO(rh_freep) char *etag = NULL;
    struct rh_buf b = {0};
    bool told = false;

    if (rh_ntx_get(live, id, &doc, &etag, err) < 0)
        return -1;
    rh_buf_printf(&b, "%s", id);
    if (state_in(doc) == RH_LIVE_OFF) {
        rh_buf_puts(&b, " off");
        for (size_t i = 0; i < RH_COUNT(paths); i++)
            told |= add_told(&b, rh_ntx_at(doc, paths[i]));
    } else if (add_running(live, doc, &b, err) < 0) {
        rh_buf_free(&b);
        return -1;
    }
    *ret_sure = told;
    *ret = rh_buf_take(&b);
    return 0;
}

int rh_ntx_vm_open(struct rh_live_vm *vm, rh_error **err)
{
    RH_AUTO(rh_fill_free) struct rh_fill f = {0};
    struct rh_ntx_vm *v = rh_new0(struct rh_ntx_vm);
    const struct rh_vm *config;

    vm->state = v;
    if (rh_ntx_refresh(vm, err) < 0 ||
        rh_ntx_read(vm->live, v->doc, &f, err) < 0)
        return -1;
    config = f.vms.items[0].vm;
    vm->name = rh_strdup(config->name.text ? config->name.text : vm->id);
    learn_disks(v, config);
    return 0;
}

/* Also after a cancel. */
static bool remove_snapshot(struct rh_live_vm *vm, const char *id)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (!id)
        return false;
    if (rh_ntx_delete_snapshot(vm, id, &why) == 0)
        return true;
    rh_log(vm->lib, RH_LOG_WARN,
           "%s: the snapshot \"rehost-...\" that was copied could not be "
           "removed (%s); it expires by itself",
           vm->name, rh_error_message(why));
    return false;
}

void rh_ntx_vm_close(struct rh_live_vm *vm)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);

    if (!v)
        return;
    rh_live_left_end(v->left, remove_snapshot(vm, v->ours));
    rh_live_left_end(v->last_left, remove_snapshot(vm, v->last));
    for (size_t i = 0; i < v->disks.count; i++) {
        free(v->disks.items[i].source);
        free(v->disks.items[i].vdisk);
        rh_io_unref(v->disks.items[i].spool);
    }
    free(v->disks.items);
    for (size_t i = 0; i < v->places.count; i++)
        free(v->places.items[i].container);
    free(v->places.items);
    json_decref(v->doc);
    free(v->etag);
    free(v->ours);
    free(v->last);
    free(v);
    vm->state = NULL;
}

/* --- as a package's VM --------------------------------------------------- */

static void take_places(struct rh_ntx_vm *v, const struct rh_package *p)
{
    const struct rh_container *c = rh_container_of(p);

    for (size_t i = 0; i < c->datastores.count; i++) {
        struct rh_ntx_place *to = rh_vec_add(&v->places);
        const char *name = c->datastores.items[i].prefix;

        name += strspn(name, "/");
        to->container = rh_strndup(name, strcspn(name, "/"));
        to->folder = c->datastores.items[i].place;
    }
}

static void tell_not_read(const struct rh_ntx_vm *v, struct rh_findings *f,
                          const char *subject)
{
    struct rh_finding *said;

    if (v->state != RH_LIVE_OFF) {
        rh_finding_add(f, RH_F_LIVE_NOT_READ, subject,
                       "the disk was not looked into: it is in use");
        return;
    }
    said = rh_finding_add(f, RH_F_LIVE_NOT_READ, subject,
                          "the disk was not looked into: it could only be "
                          "downloaded as a whole");
    free(said->remedy);
    said->remedy = rh_strdup(_("mount its container by NFS, and give "
                               "--datastore-map CONTAINER=FOLDER, where the "
                               "report needs to know the guest"));
}

static void tell_ways(struct rh_live_vm *vm, struct rh_findings *f)
{
    const struct rh_ntx_vm *v = rh_ntx_vm_of(vm);

    for (size_t i = 0; i < v->disks.count; i++) {
        RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", i);

        rh_finding_add(f, RH_F_LIVE_TRANSPORT, subject,
                       rh_ntx_looks(vm, i)
                           ? N_("the disk is read from its container, which "
                                "is mounted here")
                           : N_("Prism makes an image of the disk, which is "
                                "downloaded as a whole and deleted again"));
        if (vm->options.will_look && !rh_ntx_looks(vm, i))
            tell_not_read(v, f, subject);
    }
}

int rh_ntx_describe(struct rh_live_vm *vm, struct rh_package *p, rh_error **err)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    RH_AUTO(rh_fill_free) struct rh_fill f = {0};
    struct rh_vm *config;
    size_t at;

    if (rh_live_refuse_running(vm, rh_ntx_vm_of(vm)->state, err) < 0 ||
        rh_ntx_read(vm->live, v->doc, &f, err) < 0)
        return -1;
    take_places(v, p);
    config = f.vms.items[0].vm;
    for (size_t i = 0; i < config->disks.count && i < v->disks.count; i++) {
        struct rh_disk_config *d = &config->disks.items[i];
        const struct rh_ntx_disk *n = &v->disks.items[i];

        rh_set_text(config, &d->file,
                    n->vdisk ? rh_arena_printf(config->arena,
                                               ".acropolis/vmdisk/%s", n->vdisk)
                             : d->id.text,
                    RH_FROM_PRISM, f.name);
        rh_set_text(config, &d->format, "raw", RH_FROM_PRISM, f.name);
    }
    rh_live_tell_state(vm, rh_ntx_vm_of(vm)->state, &f.vms.items[0].findings);
    tell_ways(vm, &f.vms.items[0].findings);
    f.vms.items[0].vm = NULL;
    at = rh_package_add_vm(p, config);
    rh_findings_copy(&p->vm_findings.items[at], &f.vms.items[0].findings);
    return 0;
}

/* --- power --------------------------------------------------------------- */

int rh_ntx_state(struct rh_live_vm *vm, enum rh_live_state *ret, rh_error **err)
{
    if (rh_ntx_refresh(vm, err) < 0)
        return -1;
    *ret = rh_ntx_vm_of(vm)->state;
    return 0;
}

static int power_v4(struct rh_live_vm *vm, const char *action, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *base = rh_ntx_base(vm->live, RH_NTX_VMM, "", err);
    RH_AUTO(rh_freep)
    char *path = base ? rh_printf("%s/ahv/config/vms/%s/$actions/%s", base,
                                  vm->id, action)
                      : NULL;
    struct rh_ntx_request r = {.method = "POST", .path = path};

    if (!path || rh_ntx_refresh(vm, err) < 0)
        return -1;
    r.etag = rh_ntx_vm_of(vm)->etag;
    return rh_ntx_ask(vm->live, &r, NULL, NULL, NULL, err);
}

static int power_v2(struct rh_live_vm *vm, const char *transition,
                    rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s/vms/%s/set_power_state/", rh_ntx_v2, vm->id);
    RH_AUTO(rh_ntx_json_free)
    json_t *body = json_pack("{s:s}", "transition", transition);
    struct rh_ntx_request r = {.path = path, .body = body};

    return rh_ntx_ask(vm->live, &r, NULL, NULL, NULL, err);
}

int rh_ntx_power(struct rh_live_vm *vm, enum rh_live_order order,
                 rh_error **err)
{
    static const char *const words[][2] = {
        [RH_LIVE_SHUT_DOWN] = {"shutdown", "ACPI_SHUTDOWN"},
        [RH_LIVE_POWER_OFF] = {"power-off", "OFF"},
        [RH_LIVE_POWER_ON] = {"power-on", "ON"},
    };

    switch (rh_ntx_of(vm->live)->version) {
    case RH_NTX_V4:
        return power_v4(vm, words[order][0], err);
    case RH_NTX_V2:
        return power_v2(vm, words[order][1], err);
    default:
        rh_fail(err, RH_ERR_LIVE_FAULT,
                "version 3 of Prism Central's API has no order for that");
        return rh_hint(err, "switch the VM by hand, or name Prism Element's "
                            "address");
    }
}
