/* changes.c - snapshots of a VM and what changed between two of them, by
 * version 3 of Prism Element; their bytes lie in the container, mounted here.
 *
 * A mark is the path of a disk's file in a snapshot: the regions that changed
 * since are told only as long as that snapshot is there (marks_hold).  Each
 * expires in the end. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/wait.h"
#include "live/prism/prism.h"

enum { EXPIRES_DAYS = 14, READY_NAPS = 6000, PAGES_MAX = 10000000 };

static int needs_element(struct rh_live_vm *vm, rh_error **err)
{
    if (rh_ntx_of(vm->live)->element)
        return 0;
    rh_fail(err, RH_ERR_LIVE_UNTRACKED,
            "Prism Central gives no bytes of a VM that runs");
    rh_hint(err, "name the address of the cluster's Prism Element, and mount "
                 "the container by NFS (--datastore-map CONTAINER=FOLDER)");
    return rh_error_subject(err, vm->name);
}

static char *snapshot_url(const char *id)
{
    RH_AUTO(rh_freep) char *part = rh_http_escape(id);

    return rh_printf("%s/vm_snapshots/%s", rh_ntx_v3, part);
}

/* --- snapshots ----------------------------------------------------------- */

static int ask_snapshot(struct rh_live_vm *vm, const char *id, json_t **ret,
                        bool *ret_missing, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = snapshot_url(id);
    struct rh_ntx_request r = {.path = path, .again = true};

    return rh_ntx_ask(vm->live, &r, ret, ret_missing, NULL, err);
}

static int wait_ready(struct rh_live_vm *vm, const char *id, rh_error **err)
{
    for (unsigned naps = 0; naps < READY_NAPS; naps++) {
        RH_AUTO(rh_ntx_json_free) json_t *s = NULL;
        const char *state;
        bool missing;

        if (ask_snapshot(vm, id, &s, &missing, err) < 0)
            return -1;
        state = rh_ntx_text(s, "status/state");
        if (state && !strcmp(state, "COMPLETE"))
            return 0;
        if (missing || !state || !strcmp(state, "ERROR"))
            return rh_fail(err, RH_ERR_LIVE_FAULT,
                           "the snapshot could not be made");
        if (rh_wait_nap(vm->lib, err) < 0)
            return -1;
    }
    return rh_fail(err, RH_ERR_LIVE_FAULT, "the snapshot is not ready");
}

/* Left half made, it is taken away. */
static int settle(struct rh_live_vm *vm, const char *id, rh_error **err)
{
    if (wait_ready(vm, id, err) == 0)
        return 0;
    rh_ntx_delete_snapshot(vm, id, NULL);
    return -1;
}

int rh_ntx_snapshot(struct rh_live_vm *vm, const char *name, bool quiesce,
                    char **ret_id, bool *ret_quiesced, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/vm_snapshots", rh_ntx_v3);
    RH_AUTO(rh_ntx_json_free) json_t *answer = NULL;
    RH_AUTO(rh_ntx_json_free) json_t *body = NULL;
    struct rh_ntx_request r = {.path = path};
    const char *id;

    if (needs_element(vm, err) < 0)
        return -1;
    body =
        json_pack("{s:{s:s}, s:{s:s, s:s, s:I, s:{s:s}}}", "metadata", "kind",
                  "vm_snapshot", "spec", "name", name, "snapshot_type",
                  quiesce ? "APPLICATION_CONSISTENT" : "CRASH_CONSISTENT",
                  "expiration_time_msecs",
                  (json_int_t)(time(NULL) + EXPIRES_DAYS * 86400LL) * 1000,
                  "resources", "entity_uuid", vm->id);
    r.body = body;
    if (rh_ntx_ask(vm->live, &r, &answer, NULL, NULL, err) < 0)
        return -1;
    id = rh_ntx_text(answer, "metadata/uuid");
    if (!id)
        return rh_fail(err, RH_ERR_LIVE_ANSWER, "the snapshot has no id");
    if (settle(vm, id, err) < 0)
        return -1;
    *ret_id = rh_strdup(id);
    *ret_quiesced = quiesce;
    return 0;
}

int rh_ntx_snapshot_noted(struct rh_live_vm *vm, bool quiesce, char **ret_id,
                          struct rh_live_left **left, rh_error **err)
{
    bool quiesced;

    rh_live_left_end(RH_TAKE(*left), false); /* of a try that failed */
    *left = rh_live_left_note(vm, "snapshot", "rehost-", err);
    if (!*left || rh_ntx_snapshot(vm, rh_live_left_name(*left), quiesce, ret_id,
                                  &quiesced, err) < 0)
        return -1;
    rh_live_left_made(*left, *ret_id);
    return 0;
}

int rh_ntx_delete_snapshot(struct rh_live_vm *vm, const char *id,
                           rh_error **err)
{
    RH_AUTO(rh_freep) char *path = snapshot_url(id);
    struct rh_ntx_request r = {
        .method = "DELETE", .path = path, .again = true, .cleanup = true};
    bool missing;

    return rh_ntx_ask(vm->live, &r, NULL, &missing, NULL, err);
}

int rh_ntx_unsnapshot(struct rh_live_vm *vm, const char *id, rh_error **err)
{
    return rh_ntx_delete_snapshot(vm, id, err) < 0
               ? rh_error_subject(err, vm->name)
               : 0;
}

/* By its name and its VM. */
static const char *id_in(const json_t *page, const char *name, const char *vm)
{
    const json_t *list = rh_ntx_at(page, "entities");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        const char *its = rh_ntx_text(s, "status/name");
        const char *of = rh_ntx_text(s, "status/resources/entity_uuid");

        if (its && !strcmp(its, name) && of && !strcmp(of, vm))
            return rh_ntx_text(s, "metadata/uuid");
    }
    return NULL;
}

int rh_ntx_find_snapshot(struct rh_live_vm *vm, const char *name, char **ret_id,
                         rh_error **err)
{
    enum { PAGE = 500, SNAPSHOTS_MAX = 1000000 };
    RH_AUTO(rh_freep) char *path = rh_printf("%s/vm_snapshots/list", rh_ntx_v3);
    size_t count = PAGE;
    bool missing;

    *ret_id = NULL;
    for (int at = 0; count == PAGE && at < SNAPSHOTS_MAX; at += PAGE) {
        RH_AUTO(rh_ntx_json_free)
        json_t *body = json_pack("{s:s, s:i, s:i}", "kind", "vm_snapshot",
                                 "length", PAGE, "offset", at);
        RH_AUTO(rh_ntx_json_free) json_t *page = NULL;
        struct rh_ntx_request r = {.path = path, .body = body, .again = true};
        const char *id;

        /* Where it can't be asked for, it expires by itself. */
        if (rh_ntx_ask(vm->live, &r, &page, &missing, NULL, err) < 0)
            return -1;
        id = id_in(page, name, vm->id);
        if (id) {
            *ret_id = rh_strdup(id);
            return 0;
        }
        count = json_array_size(rh_ntx_at(page, "entities"));
    }
    return 0;
}

static bool is_of_disk(const char *file, const char *vdisk)
{
    size_t n = file ? strlen(file) : 0, m = vdisk ? strlen(vdisk) : 0;

    return m && n > m && !strcmp(file + n - m, vdisk) && file[n - m - 1] == '/';
}

char *rh_ntx_snapshot_path(struct rh_live_vm *vm, size_t disk,
                           const char *snapshot, rh_error **err)
{
    const struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    const struct rh_ntx_disk *d = disk < v->disks.count
                                      ? &v->disks.items[disk]
                                      : &(struct rh_ntx_disk){0};
    RH_AUTO(rh_ntx_json_free) json_t *s = NULL;
    const json_t *list;
    bool missing;

    if (ask_snapshot(vm, snapshot, &s, &missing, err) < 0)
        return NULL;
    list = rh_ntx_at(s, "status/snapshot_file_list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        const char *path = rh_ntx_text(f, "snapshot_file_path");

        if (path && path[0] == '/' &&
            is_of_disk(rh_ntx_text(f, "file_path"), d->vdisk))
            return rh_strdup(path);
    }
    rh_fail(err, RH_ERR_LIVE_NOT_FOUND,
            missing ? N_("the snapshot is not there any more")
                    : N_("the snapshot does not hold the disk"));
    rh_error_subject(err, vm->name);
    return NULL;
}

/* --- regions ------------------------------------------------------------- */

int rh_ntx_tracking(struct rh_live_vm *vm, bool *ret_on, rh_error **err)
{
    (void)err;
    *ret_on = rh_ntx_of(vm->live)->element;
    return 0;
}

bool rh_ntx_marks_hold(const char *mark)
{
    (void)mark; /* each is a file in its snapshot */
    return true;
}

int rh_ntx_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                char **ret_mark, rh_error **err)
{
    *ret_mark = NULL;
    if (!rh_ntx_of(vm->live)->element)
        return 0;
    *ret_mark = rh_ntx_snapshot_path(vm, disk, snapshot, err);
    return *ret_mark ? 0 : -1;
}

struct walk {
    uint64_t at, size; /* regions before `at` are done */
    rh_live_area_fn *area;
    void *user;
};

/* Only what is surely zero is not read: "ZEROED", and version 4's "ZERO". */
static bool is_zero(const char *type)
{
    return type && (rh_same_word(type, "zeroed") || rh_same_word(type, "zero"));
}

/* A region may not go back, nor beyond the disk. */
static int give_region(struct walk *w, const json_t *region, rh_error **err)
{
    const char *type = rh_ntx_text(region, "type");
    uint64_t offset, length;

    type = type ? type : rh_ntx_text(region, "region_type");
    if (!rh_ntx_number(region, "offset", &offset) ||
        !rh_ntx_number(region, "length", &length) || offset < w->at ||
        offset > w->size)
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the changed regions are not in order");
    length = RH_MIN(length, w->size - offset);
    w->at = offset + length;
    if (!length)
        return 0;
    return w->area(w->user,
                   &(struct rh_live_area){offset, length, is_zero(type)}, err);
}

static int one_page(struct rh_live_vm *vm, struct walk *w, const char *path,
                    const char *since, uint64_t *next, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *url = rh_printf("%s/data/changed_regions", rh_ntx_v3);
    RH_AUTO(rh_ntx_json_free)
    json_t *body =
        json_pack("{s:s, s:s*, s:I, s:I}", "snapshot_file_path", path,
                  "reference_snapshot_file_path", since, "start_offset",
                  (json_int_t)*next, "end_offset", (json_int_t)w->size);
    RH_AUTO(rh_ntx_json_free) json_t *answer = NULL;
    struct rh_ntx_request r = {.path = url, .body = body, .again = true};
    const json_t *list;

    if (rh_ntx_ask(vm->live, &r, &answer, NULL, NULL, err) < 0)
        return -1;
    list = rh_ntx_at(answer, "region_list");
    if (!json_is_array(list)) /* no list is not an empty one */
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the answer does not tell the changed regions");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (give_region(w, json_array_get(list, i), err) < 0)
            return -1;
    if (!rh_ntx_number(answer, "next_offset", next))
        *next = w->size;
    return 0;
}

static int all_pages(struct rh_live_vm *vm, struct walk *w, const char *path,
                     const char *since, rh_error **err)
{
    uint64_t next = 0;

    if (!w->size) /* it would have no regions */
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "Prism does not say how large the disk is");
    for (unsigned pages = 0; next < w->size; pages++) {
        uint64_t before = next;

        if (rh_go_on(vm->lib, err) < 0 ||
            one_page(vm, w, path, since, &next, err) < 0)
            return -1;
        if (next <= before || pages > PAGES_MAX)
            return rh_fail(err, RH_ERR_LIVE_ANSWER,
                           "the changed regions do not end");
    }
    return 0;
}

static int snapshot_off(struct rh_live_vm *vm, rh_error **err)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);

    if (v->state != RH_LIVE_OFF)
        return rh_fail(err, RH_ERR_LIVE_RUNNING, "the VM runs");
    return v->last
               ? 0
               : rh_ntx_snapshot_noted(vm, false, &v->last, &v->last_left, err);
}

/* Of a VM that is off, what changed is asked of a snapshot that is made for
 * it. */
int rh_ntx_changed(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                   const char *since, rh_live_area_fn *area, void *user,
                   rh_error **err)
{
    struct rh_ntx_vm *v = rh_ntx_vm_of(vm);
    struct walk w = {.size =
                         disk < v->disks.count ? v->disks.items[disk].size : 0,
                     .area = area,
                     .user = user};
    RH_AUTO(rh_freep) char *path = NULL;
    rh_error *why = NULL;

    if (needs_element(vm, err) < 0 || (!snapshot && snapshot_off(vm, err) < 0))
        return -1;
    path = rh_ntx_snapshot_path(vm, disk, snapshot ? snapshot : v->last, err);
    if (!path)
        return -1;
    if (all_pages(vm, &w, path, since, &why) == 0)
        return 0;
    /* The snapshot that the mark is of may be gone. */
    if (since && rh_error_number(why) == RH_ERR_LIVE_FAULT)
        rh_fail(err, RH_ERR_LIVE_UNTRACKED, "what changed cannot be told: %s",
                rh_error_message(why));
    else if (err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return -1;
}
