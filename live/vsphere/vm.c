/* vm.c - one VM: what is known of it, and how its disks are read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/vsphere/tags.h"

enum { AREAS_MOST = 4 * 1024 * 1024 }; /* 64 MiB of memory */

struct rh_vs_vm *rh_vs_vm_of(const struct rh_live_vm *vm)
{
    return vm->state;
}

struct rh_vs *rh_vs_vm_session(const struct rh_live_vm *vm)
{
    return rh_vs_of(vm->live);
}

/* --- its datastores ---------------------------------------------------------
 */

static void forget_datastores(struct rh_vs_vm *v)
{
    for (size_t i = 0; i < v->datastores.count; i++) {
        free(v->datastores.items[i].id);
        free(v->datastores.items[i].name);
        free(v->datastores.items[i].type);
    }
    v->datastores.count = 0;
}

static int take_datastore(void *user, const xmlNode *object, rh_error **err)
{
    struct rh_vs_vm *v = user;
    struct rh_vs_datastore *d = rh_vec_add(&v->datastores);
    const xmlNode *summary = rh_vs_property(object, "summary");

    (void)err;
    d->id = rh_strdup(rh_vs_text_at(object, "obj"));
    d->name = rh_strdup(rh_vs_text_at(summary, "name"));
    d->type = rh_strdup(rh_vs_text_at(summary, "type"));
    d->reachable = rh_vs_true_at(summary, "accessible");
    rh_vs_number_at(summary, "freeSpace", &d->free);
    return 0;
}

static int read_datastores(struct rh_vs_vm *v, rh_error **err)
{
    static const char *const paths[] = {"summary", NULL};
    struct rh_vs *s = rh_vs_vm_session(v->vm);
    const xmlNode *list = rh_vs_property(v->object, "datastore");
    struct rh_vs_query q = {.type = "Datastore", .paths = paths};
    const char *ids[64];

    forget_datastores(v);
    for (xmlNode *r = rh_vs_child(list, "ManagedObjectReference");
         r && q.count < RH_COUNT(ids); r = rh_vs_next(r))
        ids[q.count++] = rh_vs_text(r);
    q.ids = ids;
    if (rh_vs_retrieve(s, &q, take_datastore, v, err) < 0 ||
        rh_vs_places(s, err) < 0)
        return -1;
    for (size_t i = 0; i < q.count && !v->datacenter; i++)
        v->datacenter = rh_vs_datacenter_path(s, ids[i]);
    if (!v->datacenter)
        v->datacenter = rh_vs_datacenter_path(
            s, rh_vs_text(rh_vs_property(v->object, "parent")));
    return 0;
}

/* --- its configuration ------------------------------------------------------
 */

/* What is not told may run. */
static enum rh_live_state state_of(const char *power)
{
    if (!strcmp(power, "poweredOff"))
        return RH_LIVE_OFF;
    return !strcmp(power, "suspended") ? RH_LIVE_SUSPENDED : RH_LIVE_ON;
}

static bool is_encrypted(const struct rh_vs_vm *v, const xmlNode *config)
{
    bool any = rh_vs_child(config, "keyId") != NULL;

    for (size_t i = 0; i < v->disks.list.count; i++)
        any |= v->disks.list.items[i].encrypted;
    return any;
}

/* Disks are known by their numbers from the first look on. */
static int same_disks(const struct rh_live_vm *vm,
                      const struct rh_vs_disks *was,
                      const struct rh_vs_disks *now, rh_error **err)
{
    bool same = was->list.count == now->list.count;

    for (size_t i = 0; same && i < now->list.count; i++)
        same = was->list.items[i].key == now->list.items[i].key &&
               !strcmp(was->list.items[i].where, now->list.items[i].where);
    if (same)
        return 0;
    rh_fail(err, RH_ERR_LIVE_BUSY,
            "disks were added to the VM or taken from it meanwhile");
    rh_hint(err, "begin anew, with the disks that it has now");
    return rh_error_subject(err, vm->name);
}

int rh_vs_refresh(struct rh_live_vm *vm, rh_error **err)
{
    static const char *const paths[] = {"name",
                                        "parent",
                                        "resourcePool",
                                        "config",
                                        "guest",
                                        "runtime.powerState",
                                        "runtime.connectionState",
                                        "runtime.faultToleranceState",
                                        "runtime.consolidationNeeded",
                                        "capability.changeTrackingSupported",
                                        "snapshot",
                                        "datastore",
                                        "customValue",
                                        "availableField",
                                        NULL};
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    xmlNode *object = rh_vs_object(rh_vs_vm_session(vm), "VirtualMachine",
                                   vm->id, paths, &doc, err);
    const xmlNode *config = rh_vs_property(object, "config");
    struct rh_vs_disks disks = {0};

    if (!object)
        return -1;
    if (rh_vs_disks(rh_vs_child(config, "hardware"), &disks, err) < 0)
        return -1;
    if (v->doc && same_disks(vm, &v->disks, &disks, err) < 0) {
        rh_vs_disks_free(&disks);
        return -1;
    }
    rh_vs_folder_forget(v);
    rh_vs_doc_freep(&v->doc);
    v->doc = RH_TAKE(doc);
    v->object = object;
    rh_vs_disks_free(&v->disks);
    v->disks = disks;
    v->state =
        state_of(rh_vs_text(rh_vs_property(object, "runtime.powerState")));
    v->encrypted = is_encrypted(v, config);
    return 0;
}

/* --- the way of its bytes ----------------------------------------------------
 */

static const struct rh_vs_datastore *datastore_of(const struct rh_vs_vm *v,
                                                  const struct rh_vs_disk *d)
{
    for (size_t i = 0; i < v->datastores.count; i++)
        if (!strcmp(v->datastores.items[i].id, d->datastore_id))
            return &v->datastores.items[i];
    return NULL;
}

/* A lease exports all disks at once, so the VM has one way. */
static void choose_way(struct rh_vs_vm *v)
{
    v->way = RH_VS_FOLDER;
    v->why = N_("its disks are files of a datastore (VMFS, NFS)");
    for (size_t i = 0; i < v->disks.list.count; i++) {
        const struct rh_vs_disk *d = &v->disks.list.items[i];
        const struct rh_vs_datastore *s = datastore_of(v, d);

        if (s &&
            (rh_same_word(s->type, "vsan") || rh_same_word(s->type, "VVOL"))) {
            v->way = RH_VS_LEASE;
            v->why = N_("a disk lies on vSAN or vVols, where it is no file");
        } else if (d->rdm_virtual) {
            v->way = RH_VS_LEASE;
            v->why = N_("a disk is a raw device mapping");
        }
    }
}

static int take_way(struct rh_vs_vm *v, rh_error **err)
{
    const char *asked = v->vm->options.transport;

    choose_way(v);
    if (!asked || !strcmp(asked, "auto"))
        return 0;
    v->way_asked = true;
    v->why = N_("--transport says so");
    if (!strcmp(asked, "folder"))
        v->way = RH_VS_FOLDER;
    else if (!strcmp(asked, "lease"))
        v->way = RH_VS_LEASE;
    else
        return rh_fail(err, RH_ERR_USAGE, "--transport cannot be \"%s\"",
                       asked) < 0
                   ? rh_hint(err, "use auto, folder or lease")
                   : -1;
    return 0;
}

/* --- opening and closing
 * ------------------------------------------------------ */

int rh_vs_vm_open(struct rh_live_vm *vm, rh_error **err)
{
    struct rh_vs_vm *v = rh_new0(struct rh_vs_vm);

    vm->state = v;
    v->vm = vm;
    if (rh_vs_refresh(vm, err) < 0 || read_datastores(v, err) < 0 ||
        take_way(v, err) < 0)
        return -1;
    vm->name =
        rh_strdup(rh_vs_text_at(rh_vs_property(v->object, "config"), "name"));
    if (!vm->name[0]) {
        rh_fail(err, RH_ERR_LIVE_RIGHTS,
                "the server does not show the VM's configuration (an orphaned "
                "or unreachable VM, or no right to see it)");
        return rh_error_subject(err, vm->live->remote.text);
    }
    return 0;
}

/* Said where it fails: the source would keep growing it. */
static void remove_ours(struct rh_live_vm *vm)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (!v->ours || rh_vs_unsnapshot(vm, v->ours, &why) == 0) {
        rh_live_left_end(v->left, v->ours != NULL);
        return;
    }
    rh_log(vm->lib, RH_LOG_WARN,
           _("%s: the snapshot \"%s\" that was copied could not be removed "
             "(%s): `rehost convert --clean`, or the next run, does it"),
           vm->name, rh_live_left_name(v->left), rh_error_message(why));
    rh_live_left_end(v->left, false);
}

void rh_vs_vm_close(struct rh_live_vm *vm)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);

    if (!v)
        return;
    rh_vs_lease_end(vm);
    remove_ours(vm);
    for (size_t i = 0; i < v->places.count; i++)
        rh_place_close(v->places.items[i]);
    free(v->places.items);
    rh_vs_folder_forget(v);
    free(v->deltas.items);
    for (size_t i = 0; i < v->areas.count; i++) {
        free(v->areas.items[i]->list.items);
        free(v->areas.items[i]);
    }
    free(v->areas.items);
    forget_datastores(v);
    free(v->datastores.items);
    rh_vs_disks_free(&v->disks);
    rh_vs_disks_free(&v->at_snapshot);
    rh_vs_doc_freep(&v->doc);
    free(v->seen_snapshot);
    free(v->marked);
    free(v->datacenter);
    free(v->ours);
    free(v);
    vm->state = NULL;
}

/* --- as a package's VM
 * -------------------------------------------------------- */

static int refuse_encrypted(struct rh_live_vm *vm, rh_error **err)
{
    return rh_vs_vm_of(vm)->encrypted && vm->options.will_read
               ? rh_fail(err, RH_ERR_LIVE_ENCRYPTED, "the VM is encrypted")
               : 0;
}

int rh_vs_describe(struct rh_live_vm *vm, struct rh_package *p, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    RH_AUTO(rh_findings_free) struct rh_findings findings = {0};
    RH_AUTO(rh_vm_freep) struct rh_vm *config = NULL;
    size_t at;

    if (refuse_encrypted(vm, err) < 0 ||
        rh_live_refuse_running(vm, rh_vs_vm_of(vm)->state, err) < 0)
        return -1;
    config = rh_vm_new(vm->name);
    rh_vs_config(v->object, config, &findings);
    if (rh_vs_devices(rh_vs_vm_session(vm), v->object, &v->disks, config,
                      &findings, err) < 0)
        return -1;
    rh_vs_guest(v->object, config, &findings);
    rh_vs_where(rh_vs_vm_session(vm), v->object, config, &findings);
    if (rh_vs_tags(vm, config, &findings, err) < 0)
        return -1;
    rh_vs_checks(vm, config, &findings);
    at = rh_package_add_vm(p, RH_TAKE(config));
    rh_findings_copy(&p->vm_findings.items[at], &findings);
    return 0;
}

/* --- its disks
 * ---------------------------------------------------------------- */

static int make_ours(struct rh_live_vm *vm, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    bool quiesced = false;

    rh_live_left_end(RH_TAKE(v->left), false); /* of a try that failed */
    v->left = rh_live_left_note(vm, "snapshot", "rehost-", err);
    if (!v->left ||
        rh_vs_snapshot(vm, rh_live_left_name(v->left), vm->options.quiesce,
                       &v->ours, &quiesced, err) < 0)
        return -1;
    rh_live_left_made(v->left, v->ours);
    return 0;
}

/* A running VM's own files are locked: they are read below a snapshot. */
static int freeze(struct rh_live_vm *vm, const char **snapshot, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);

    if (*snapshot || v->state == RH_LIVE_OFF)
        return 0;
    if (!vm->options.snapshot)
        return rh_fail(err, RH_ERR_LIVE_RUNNING, "the VM runs");
    if (!v->ours && make_ours(vm, err) < 0)
        return -1;
    *snapshot = v->ours;
    return 0;
}

static int refuse_disk(const struct rh_vs_vm *v, const struct rh_vs_disk *d,
                       const char *snapshot, rh_error **err)
{
    if (v->encrypted)
        return rh_fail(err, RH_ERR_LIVE_ENCRYPTED, "the VM is encrypted");
    if (d->rdm_physical) {
        rh_fail(err, RH_ERR_LIVE_TRANSPORT,
                "a raw device mapping in physical mode is not read");
        return rh_hint(err, "leave it behind (--drop diskN) and attach the "
                            "LUN on the target by hand, or turn it into a "
                            "virtual disk first");
    }
    if (snapshot && d->independent && v->state != RH_LIVE_OFF) {
        rh_fail(err, RH_ERR_LIVE_RUNNING,
                "it is an independent disk: no snapshot holds it");
        return rh_hint(err, "shut the VM down first");
    }
    return 0;
}

typedef struct rh_reader *open_fn(struct rh_live_vm *vm, size_t disk,
                                  const char *snapshot, rh_error **err);

static int take_area(void *user, const struct rh_live_area *a, rh_error **err)
{
    struct rh_vs_areas *areas = user;

    if (areas->list.count == AREAS_MOST)
        return rh_fail(err, RH_ERR_LIVE_UNTRACKED, "too many areas");
    *rh_vec_add(&areas->list) =
        (struct rh_vs_area){a->start, a->start + a->length};
    return 0;
}

/* VMFS knows what it has allocated of a thin disk; asking needs change
 * tracking.  Where that says nothing all is read. */
static const struct rh_vs_areas *allocated(struct rh_live_vm *vm, size_t disk,
                                           const struct rh_vs_disk *d,
                                           const char *snapshot)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    const struct rh_vs_datastore *s = datastore_of(v, d);
    struct rh_vs_areas *areas;
    rh_error *why = NULL;

    if (!d->thin || !d->change_id || !s || !strncasecmp(s->type, "NFS", 3))
        return NULL;
    areas = *rh_vec_add(&v->areas) = rh_new0(struct rh_vs_areas);
    areas->capacity = d->capacity;
    if (rh_vs_changed(vm, disk, snapshot, NULL, take_area, areas, &why) == 0)
        return areas;
    rh_log(vm->lib, RH_LOG_INFO, "%s: what is allocated is not known (%s)",
           d->where, rh_error_message(why));
    rh_error_free(why);
    return NULL;
}

static struct rh_reader *open_folder(struct rh_live_vm *vm, size_t disk,
                                     const char *snapshot, rh_error **err)
{
    const struct rh_vs_disk *d = rh_vs_disk_at(vm, disk, snapshot, err);

    return d ? rh_vs_folder_disk(vm, d, allocated(vm, disk, d, snapshot), err)
             : NULL;
}

static struct rh_reader *open_disk(struct rh_live_vm *vm, size_t disk,
                                   const char *snapshot, open_fn *open,
                                   rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    const struct rh_vs_disk *d =
        disk < v->disks.list.count ? &v->disks.list.items[disk] : NULL;
    struct rh_reader *r = NULL;

    if (!d) {
        rh_fail(err, RH_ERR_BUG, "there is no disk %zu", disk);
        return NULL;
    }
    if (freeze(vm, &snapshot, err) == 0 &&
        refuse_disk(v, d, snapshot, err) == 0)
        r = open(vm, disk, snapshot, err);
    if (!r) /* the disks may be others now */
        rh_error_subject(err, disk < v->disks.list.count
                                  ? v->disks.list.items[disk].where
                                  : vm->name);
    return r;
}

struct rh_reader *rh_vs_read(struct rh_live_vm *vm, size_t disk,
                             const char *snapshot, rh_error **err)
{
    return open_disk(vm, disk, snapshot,
                     rh_vs_vm_of(vm)->way == RH_VS_LEASE ? rh_vs_lease_disk
                                                         : open_folder,
                     err);
}

struct rh_reader *rh_vs_forward(struct rh_live_vm *vm, size_t disk,
                                const char *snapshot, rh_error **err)
{
    return rh_vs_vm_of(vm)->way == RH_VS_LEASE
               ? open_disk(vm, disk, snapshot, rh_vs_lease_forward, err)
               : NULL;
}

bool rh_vs_looks(struct rh_live_vm *vm, size_t disk)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(vm);
    const struct rh_live_options *o = &vm->options;
    const struct rh_vs_disk *d =
        disk < v->disks.list.count ? &v->disks.list.items[disk] : NULL;

    if (!d || v->encrypted || d->rdm_physical || o->warm)
        return false;
    if (v->state != RH_LIVE_OFF && !(o->will_read && o->snapshot))
        return false;
    return v->way == RH_VS_LEASE ? o->will_read && o->will_look
                                 : o->will_read || o->will_look;
}
