/* prism.h - Nutanix Prism: Central by its API of version 4 or 3, Element by
 * version 2, with 3 beside it.
 *
 *   session.c    which server it is; requests, log-in, tasks
 *   inventory.c  what the URL names, lists of VMs, one VM's answer
 *   vm.c         a VM as a package's, its power
 *   disks.c      its disks' bytes: images, or files of a mounted container
 *   changes.c    snapshots and changed regions, of Element alone
 *   platform.c   the row
 *
 * What an answer says of a VM is read by descriptors/nutanix/, as it is from a
 * --fill file.  Facts: the SDKs of Nutanix and its public description of
 * version 3.  A session is what each request carries (Basic, or an API key of
 * version 4): there is nothing to log out of. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_LIVE_PRISM_PRISM_H
#define RH_LIVE_PRISM_PRISM_H

#include <jansson.h>

#include "descriptors/fill.h"
#include "live/live.h"

/* --- a session (session.c) ----------------------------------------------- */
enum rh_ntx_space { RH_NTX_VMM, RH_NTX_TASKS, RH_NTX_NETWORKS, RH_NTX_SPACES };
enum rh_ntx_version { RH_NTX_V2 = 2, RH_NTX_V3, RH_NTX_V4 };
struct rh_ntx {
    enum rh_ntx_version version; /* that describes VMs */
    bool element;                /* Prism Element: version 2, and 3 */
    bool accepted;               /* the log-in was taken once */
    bool refused; /* and is not any more: asking again might lock it */
    int minor[RH_NTX_SPACES]; /* of version 4; -1: not known yet */
    json_t *subnets;          /* id -> name, made once; or NULL */
    json_t *names; /* of the last list: name -> id, null for several; or NULL;
                      under the session's lock */
};

struct rh_ntx_request {
    const char *method; /* NULL: GET, or POST where there is a body */
    const char *path;   /* escaped */
    json_t *body;       /* borrowed; or NULL */
    const char *etag;   /* If-Match; or NULL */
    bool again;         /* harmless when done twice */
    bool cleanup;       /* goes on after a cancel */
};
/* Ask; a log-in that was good before is tried once more.  *ret (may be NULL) is
 * the answer, to be freed; NULL for an empty one.  With `ret_missing`, a 404 is
 * no error.  LOGIN_REFUSED, LIVE_RIGHTS, LIVE_FAULT, LIVE_ANSWER. */
int rh_ntx_ask(struct rh_live *live, const struct rh_ntx_request *r,
               json_t **ret, bool *ret_missing, char **ret_etag,
               rh_error **err);
/* "/api/vmm/v4.1" for a space: its newest version, learned by asking for
 * `probe` ("ahv/config/vms?$limit=1") in each.  The caller frees; NULL with
 * LIVE_ANSWER. */
char *rh_ntx_base(struct rh_live *live, enum rh_ntx_space space,
                  const char *probe, rh_error **err);
/* Wait until a task has ended; *ret (to be freed) is its last answer, also on
 * failure.  `v4`: the task's id is one of version 4's.  `lib` is whose cancel
 * is heard; NULL: nobody's, and two minutes are the limit. */
int rh_ntx_wait(struct rh_live *live, rh_lib *lib, const char *task, bool v4,
                json_t **ret, rh_error **err);

/* Of JSON: "a/b/c", where a list on the way stands for its first item. */
const json_t *rh_ntx_at(const json_t *o, const char *path);
const char *rh_ntx_text(const json_t *o, const char *path); /* NULL: none */
bool rh_ntx_number(const json_t *o, const char *path, uint64_t *ret);
void rh_ntx_json_free(json_t **j); /* for RH_AUTO */

extern const char rh_ntx_v2[], rh_ntx_v3[]; /* the paths of these versions */

/* --- VMs (inventory.c) --------------------------------------------------- */
int rh_ntx_open(struct rh_live *live, rh_error **err);
void rh_ntx_close(struct rh_live *live);
int rh_ntx_find(struct rh_live *live, const struct rh_remote_url *at,
                char **ret_id, rh_error **err);
int rh_ntx_list(struct rh_live *live, const struct rh_remote_url *at,
                rh_live_row_fn *row, void *user, rh_error **err);
/* The answer about one VM, with the names of its networks. */
int rh_ntx_get(struct rh_live *live, const char *id, json_t **ret,
               char **ret_etag, rh_error **err);
/* Read by descriptors/nutanix/: the VM is f->vms.items[0]. */
int rh_ntx_read(struct rh_live *live, json_t *doc, struct rh_fill *f,
                rh_error **err);

/* --- one VM -------------------------------------------------------------- */
struct rh_ntx_disk {
    char *source; /* id for an image of it; or NULL */
    char *vdisk;  /* the file's name in its container; or NULL */
    uint64_t size;
    struct rh_io *spool; /* its image, once it was fetched */
};
struct rh_ntx_place { /* --datastore-map */
    char *container;
    struct rh_place *folder; /* the package's */
};
struct rh_ntx_vm {
    json_t *doc;
    char *etag;
    enum rh_live_state state;
    RH_VEC(struct rh_ntx_disk) disks; /* in the package's order */
    RH_VEC(struct rh_ntx_place) places;
    char *ours; /* a snapshot of ours, read from while the VM runs */
    char *last; /* likewise, made of the VM when it was off */
    struct rh_live_left *left, *last_left; /* their notes */
};
static inline struct rh_ntx *rh_ntx_of(const struct rh_live *live)
{
    return live->state;
}
static inline struct rh_ntx_vm *rh_ntx_vm_of(const struct rh_live_vm *vm)
{
    return vm->state;
}

int rh_ntx_stamp(struct rh_live *live, const char *id, char **ret,
                 bool *ret_sure, rh_error **err);
int rh_ntx_vm_open(struct rh_live_vm *vm, rh_error **err);
void rh_ntx_vm_close(struct rh_live_vm *vm);
int rh_ntx_describe(struct rh_live_vm *vm, struct rh_package *p,
                    rh_error **err);
int rh_ntx_state(struct rh_live_vm *vm, enum rh_live_state *ret,
                 rh_error **err);
int rh_ntx_power(struct rh_live_vm *vm, enum rh_live_order order,
                 rh_error **err);
int rh_ntx_refresh(struct rh_live_vm *vm, rh_error **err);

/* --- bytes (disks.c) ----------------------------------------------------- */
struct rh_reader *rh_ntx_disk(struct rh_live_vm *vm, size_t disk,
                              const char *snapshot, rh_error **err);
struct rh_reader *rh_ntx_forward(struct rh_live_vm *vm, size_t disk,
                                 const char *snapshot, rh_error **err);
bool rh_ntx_looks(struct rh_live_vm *vm, size_t disk);
int rh_ntx_unimage(struct rh_live *live, const char *name, const char *id,
                   bool *ret_there, rh_error **err);
/* A file of a mounted container, "/CONTAINER/..."; `container` NULL: of any.
 * NULL without an error where there is none. */
struct rh_io *rh_ntx_file(struct rh_live_vm *vm, const char *container,
                          const char *path);

/* --- changes (changes.c): Element's -------------------------------------- */
int rh_ntx_snapshot(struct rh_live_vm *vm, const char *name, bool quiesce,
                    char **ret_id, bool *ret_quiesced, rh_error **err);
/* One of ours that goes when the VM is closed, with its note. */
int rh_ntx_snapshot_noted(struct rh_live_vm *vm, bool quiesce, char **ret_id,
                          struct rh_live_left **left, rh_error **err);
int rh_ntx_unsnapshot(struct rh_live_vm *vm, const char *id, rh_error **err);
int rh_ntx_find_snapshot(struct rh_live_vm *vm, const char *name, char **ret_id,
                         rh_error **err);
int rh_ntx_delete_snapshot(struct rh_live_vm *vm, const char *id,
                           rh_error **err);
/* "/CONTAINER/.snapshot/..." of a disk in a snapshot; the caller frees. */
char *rh_ntx_snapshot_path(struct rh_live_vm *vm, size_t disk,
                           const char *snapshot, rh_error **err);
bool rh_ntx_marks_hold(const char *mark);
int rh_ntx_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                char **ret_mark, rh_error **err);
int rh_ntx_changed(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                   const char *since, rh_live_area_fn *area, void *user,
                   rh_error **err);
int rh_ntx_tracking(struct rh_live_vm *vm, bool *ret_on, rh_error **err);

#endif
