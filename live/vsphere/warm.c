/* warm.c - snapshots, changed areas, power: what a move of a running VM needs.
 *
 * Changed areas go by change ids: that of a snapshot's disk is the mark to ask
 * with later.  "*" asks for what is allocated. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/vsphere/machine.h"

enum { ROUNDS_MOST = 1000000 }; /* of one question for changed areas */

/* --- snapshots --------------------------------------------------------------
 */

static int create(struct rh_live_vm *vm, const char *name, bool quiesce,
                  char **ret_id, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    struct rh_vs_call c = {.method = "CreateSnapshot_Task",
                           .type = "VirtualMachine",
                           .id = vm->id};
    int failed;

    rh_buf_puts(&body, "<name>");
    rh_vs_escape(&body, name);
    rh_buf_printf(&body,
                  "</name><description>made by rehost; it is removed when the "
                  "copy ends</description><memory>false</memory>"
                  "<quiesce>%s</quiesce>",
                  quiesce ? "true" : "false");
    c.body = body.data;
    failed = rh_vs_task(rh_vs_vm_session(vm), &c, true, ret_id, err);
    if (failed && *ret_id) { /* cancelled, and there all the same */
        rh_vs_unsnapshot(vm, *ret_id, NULL);
        free(*ret_id);
        *ret_id = NULL;
    }
    return failed;
}

/* May it be worth a try without flushing? */
static bool is_about_quiescing(enum rh_error_id id)
{
    return id == RH_ERR_LIVE_FAULT || id == RH_ERR_LIVE_NO_TOOLS;
}

int rh_vs_snapshot(struct rh_live_vm *vm, const char *name, bool quiesce,
                   char **ret_id, bool *ret_quiesced, rh_error **err)
{
    rh_error *why = NULL;
    char *id = NULL;
    int failed = create(vm, name, quiesce, &id, &why);

    *ret_quiesced = quiesce && !failed;
    if (failed && quiesce && is_about_quiescing(rh_error_number(why))) {
        rh_log(vm->lib, RH_LOG_WARN,
               _("%s: the guest's disks could not be flushed (%s); the "
                 "snapshot is made without"),
               vm->name, rh_error_message(why));
        rh_error_drop(&why);
        failed = create(vm, name, false, &id, &why);
    }
    if (failed && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    if (failed)
        return rh_error_subject(err, vm->name);
    *ret_id = id;
    return 0;
}

int rh_vs_unsnapshot(struct rh_live_vm *vm, const char *id, rh_error **err)
{
    struct rh_vs_call c = {.method = "RemoveSnapshot_Task",
                           .type = "VirtualMachineSnapshot",
                           .id = id,
                           .body = "<removeChildren>false</removeChildren>"
                                   "<consolidate>true</consolidate>",
                           .cleanup = rh_go_on(vm->lib, NULL) < 0};
    rh_error *why = NULL;
    int failed;

    rh_vs_lease_end(vm); /* while one is open no snapshot goes */
    failed = rh_vs_task(rh_vs_vm_session(vm), &c, true, NULL, &why);
    if (rh_error_number(why) == RH_ERR_LIVE_NOT_FOUND)
        failed = 0;
    if (failed && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return failed ? rh_error_subject(err, vm->name) : 0;
}

/* Of a tree of snapshots, whose depth the platform limits to 32. */
static const char *id_of_name(const xmlNode *list, const char *kind,
                              const char *name, unsigned depth)
{
    enum { DEPTH_MOST = 64 };
    const char *id = NULL;

    for (const xmlNode *t = depth < DEPTH_MOST ? rh_vs_child(list, kind) : NULL;
         t && !id; t = rh_vs_next(t)) {
        const char *its = rh_vs_text_at(t, "name");

        id = its && !strcmp(its, name)
                 ? rh_vs_text_at(t, "snapshot")
                 : id_of_name(t, "childSnapshotList", name, depth + 1);
    }
    return id;
}

int rh_vs_find_snapshot(struct rh_live_vm *vm, const char *name, char **ret_id,
                        rh_error **err)
{
    const xmlNode *all;
    const char *id;

    if (rh_vs_refresh(vm, err) < 0)
        return rh_error_subject(err, vm->name);
    all = rh_vs_property(rh_vs_vm_of(vm)->object, "snapshot");
    id = id_of_name(all, "rootSnapshotList", name, 0);
    *ret_id = id && id[0] ? rh_strdup(id) : NULL;
    return 0;
}

/* --- disks at a snapshot
 * ------------------------------------------------------ */

static int see_snapshot(struct rh_live_vm *vm, const char *snapshot,
                        rh_error **err)
{
    static const char *const paths[] = {"config.hardware", NULL};
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_disks disks = {0};
    const xmlNode *object;

    if (v->seen_snapshot && !strcmp(v->seen_snapshot, snapshot))
        return 0;
    object = rh_vs_object(rh_vs_vm_session(vm), "VirtualMachineSnapshot",
                          snapshot, paths, &doc, err);
    if (!object ||
        rh_vs_disks(rh_vs_property(object, "config.hardware"), &disks, err) < 0)
        return -1;
    rh_vs_disks_free(&v->at_snapshot);
    v->at_snapshot = disks;
    free(v->seen_snapshot);
    v->seen_snapshot = rh_strdup(snapshot);
    return 0;
}

const struct rh_vs_disk *rh_vs_disk_at(struct rh_live_vm *vm, size_t disk,
                                       const char *snapshot, rh_error **err)
{
    struct rh_vs_vm *v = rh_vs_vm_of(vm);
    const struct rh_vs_disk *now =
        disk < v->disks.list.count ? &v->disks.list.items[disk] : NULL;

    if (!now || !snapshot)
        return now;
    if (see_snapshot(vm, snapshot, err) < 0)
        return NULL;
    for (size_t i = 0; i < v->at_snapshot.list.count; i++)
        if (v->at_snapshot.list.items[i].key == now->key)
            return &v->at_snapshot.list.items[i];
    rh_fail(err, RH_ERR_LIVE_NOT_FOUND, "the snapshot does not hold the disk");
    rh_error_subject(err, now->where);
    return NULL;
}

int rh_vs_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
               char **ret_mark, rh_error **err)
{
    const struct rh_vs_disk *d = rh_vs_disk_at(vm, disk, snapshot, err);

    if (!d)
        return -1;
    if (!d->change_id && snapshot)
        return rh_vs_delta_mark(vm, disk, snapshot, ret_mark, err);
    *ret_mark = rh_strdup(d->change_id);
    return 0;
}

/* --- changed areas
 * ------------------------------------------------------------ */

struct asking {
    struct rh_live_vm *vm;
    const struct rh_vs_disk *disk;
    const char *snapshot, *since;
    rh_live_area_fn *area;
    void *user;
    uint64_t at; /* everything before it is told */
};

static int untracked(const struct rh_vs_call *c, const rh_error *why,
                     rh_error **err)
{
    if (strcmp(c->fault, "FileFault") && strcmp(c->property, "changeId"))
        return 0;
    return rh_fail(err, RH_ERR_LIVE_UNTRACKED,
                   "changed block tracking does not know that moment any more "
                   "(it was reset, or the VM was restored): %s",
                   rh_error_message(why));
}

static int tell_areas(struct asking *a, const xmlNode *answer, uint64_t end,
                      rh_error **err)
{
    for (xmlNode *n = rh_vs_child(answer, "changedArea"); n;
         n = rh_vs_next(n)) {
        struct rh_live_area area = {0};
        uint64_t stop;

        if (!rh_vs_number_at(n, "start", &area.start) ||
            !rh_vs_number_at(n, "length", &area.length) ||
            rh_add_overflows(area.start, area.length, &stop) ||
            area.start < a->at || stop > a->disk->capacity)
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "the changed areas are in no order, or lie outside "
                           "the disk");
        a->at = stop;
        if (area.length && a->area(a->user, &area, err) < 0)
            return -1;
    }
    a->at = RH_MAX(a->at, end);
    return 0;
}

/* One page of the answer. */
static int ask_areas(struct asking *a, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
    struct rh_vs_call c = {.method = "QueryChangedDiskAreas",
                           .type = "VirtualMachine",
                           .id = a->vm->id,
                           .again = true};
    const xmlNode *answer;
    uint64_t start = 0, length = 0;
    rh_error *why = NULL;

    if (a->snapshot) {
        rh_buf_puts(&body, "<snapshot type=\"VirtualMachineSnapshot\">");
        rh_vs_escape(&body, a->snapshot);
        rh_buf_puts(&body, "</snapshot>");
    }
    rh_buf_printf(&body,
                  "<deviceKey>%llu</deviceKey><startOffset>%llu"
                  "</startOffset><changeId>",
                  (unsigned long long)a->disk->key, (unsigned long long)a->at);
    rh_vs_escape(&body, a->since);
    rh_buf_puts(&body, "</changeId>");
    c.body = body.data;
    doc = rh_vs_call(rh_vs_vm_session(a->vm), &c, &why);
    if (!doc && !untracked(&c, why, err) && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    if (!doc)
        return -1;
    answer = rh_vs_child(rh_vs_response(doc), "returnval");
    if (!rh_vs_number_at(answer, "startOffset", &start) ||
        !rh_vs_number_at(answer, "length", &length) || !length ||
        start > a->at || rh_add_overflows(start, length, &start) ||
        start <= a->at)
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the answer about changed areas does not go on");
    return tell_areas(a, answer, start, err);
}

int rh_vs_changed(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                  const char *since, rh_live_area_fn *area, void *user,
                  rh_error **err)
{
    struct asking a = {.vm = vm,
                       .disk = rh_vs_disk_at(vm, disk, snapshot, err),
                       .snapshot = snapshot,
                       .since = since ? since : "*",
                       .area = area,
                       .user = user};

    if (!a.disk)
        return -1;
    if (rh_vs_marks_hold(since))
        return rh_vs_delta_changed(vm, disk, snapshot, since, area, user, err);
    if (!a.disk->capacity) { /* it would have no areas */
        rh_fail(err, RH_ERR_LIVE_ANSWER,
                "the server does not say how large the disk is");
        return rh_error_subject(err, a.disk->where);
    }
    /* Asking at the end is an error of its own. */
    for (unsigned n = 0; a.at < a.disk->capacity; n++) {
        if (n == ROUNDS_MOST)
            rh_fail(err, RH_ERR_LIVE_ANSWER, "the changed areas do not end");
        if (n == ROUNDS_MOST || rh_go_on(vm->lib, err) < 0 ||
            ask_areas(&a, err) < 0)
            return rh_error_subject(err, a.disk->where);
    }
    return 0;
}

/* --- change tracking
 * ---------------------------------------------------------- */

int rh_vs_tracking(struct rh_live_vm *vm, bool *ret_on, rh_error **err)
{
    const struct rh_vs_vm *v = rh_vs_vm_of(vm);
    const xmlNode *config = rh_vs_property(v->object, "config");

    (void)err;
    *ret_on = rh_vs_true_at(config, "changeTrackingEnabled");
    return 0;
}

int rh_vs_track(struct rh_live_vm *vm, bool on, rh_error **err)
{
    struct rh_vs_call c = {
        .method = "ReconfigVM_Task",
        .type = "VirtualMachine",
        .id = vm->id,
        .body = on ? "<spec><changeTrackingEnabled>true"
                     "</changeTrackingEnabled></spec>"
                   : "<spec><changeTrackingEnabled>false"
                     "</changeTrackingEnabled></spec>",
        .cleanup = !on && rh_go_on(vm->lib, NULL) < 0,
    };

    if (rh_vs_task(rh_vs_vm_session(vm), &c, true, NULL, err) < 0)
        return rh_error_subject(err, vm->name);
    return c.cleanup ? 0 : rh_vs_refresh(vm, err);
}

/* --- power
 * -------------------------------------------------------------------- */

int rh_vs_state(struct rh_live_vm *vm, enum rh_live_state *ret, rh_error **err)
{
    if (rh_vs_refresh(vm, err) < 0)
        return rh_error_subject(err, vm->name);
    *ret = rh_vs_vm_of(vm)->state;
    return 0;
}

int rh_vs_power(struct rh_live_vm *vm, enum rh_live_order order, rh_error **err)
{
    static const char *const methods[] = {
        [RH_LIVE_SHUT_DOWN] = "ShutdownGuest",
        [RH_LIVE_POWER_OFF] = "PowerOffVM_Task",
        [RH_LIVE_POWER_ON] = "PowerOnVM_Task"};
    struct rh_vs_call c = {
        .method = methods[order], .type = "VirtualMachine", .id = vm->id};
    struct rh_vs *s = rh_vs_vm_session(vm);
    int failed = order == RH_LIVE_SHUT_DOWN
                     ? rh_vs_do(s, &c, err)
                     : rh_vs_task(s, &c, true, NULL, err);

    return failed ? rh_error_subject(err, vm->name) : 0;
}

int rh_vs_rename(struct rh_live_vm *vm, const char *name, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf body = {0};
    struct rh_vs_call c = {
        .method = "Rename_Task", .type = "VirtualMachine", .id = vm->id};

    rh_buf_puts(&body, "<newName>");
    for (; *name; name++) {
        char one[2] = {*name, '\0'};

        /* As the API wants these three in names. */
        if (*name == '/' || *name == '\\' || *name == '%')
            rh_buf_printf(&body, "%%%02x", (unsigned)*name);
        else
            rh_vs_escape(&body, one);
    }
    rh_buf_puts(&body, "</newName>");
    c.body = body.data;
    if (rh_vs_task(rh_vs_vm_session(vm), &c, true, NULL, err) < 0)
        return rh_error_subject(err, vm->name);
    return 0;
}

int rh_vs_space(struct rh_live_vm *vm, uint64_t *ret_free, rh_error **err)
{
    static const char *const paths[] = {"summary.freeSpace", NULL};
    const struct rh_vs_vm *v = rh_vs_vm_of(vm);
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < v->datastores.count; i++) {
        RH_AUTO(rh_vs_doc_freep) xmlDoc *doc = NULL;
        const xmlNode *o =
            rh_vs_object(rh_vs_vm_session(vm), "Datastore",
                         v->datastores.items[i].id, paths, &doc, err);
        uint64_t n;

        if (!o)
            return -1;
        if (rh_vs_number_at(rh_vs_property(o, "summary.freeSpace"), "", &n))
            least = RH_MIN(least, n);
    }
    *ret_free = least;
    return 0;
}
