/* proxmox.h - Proxmox VE's API (8, 9), as a delivery uses it.
 *
 * A VM is made by one call with its whole configuration; its disks come from
 * files that were uploaded to a storage with the content type "import" and go
 * away afterwards.  Work runs in tasks (UPIDs) whose exit status decides.
 * Sources of these facts: pve-http-server (AnyEvent.pm), pve-manager,
 * pve-storage, qemu-server (API2/Qemu.pm), the API's own table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_PROXMOX_PROXMOX_H
#define RH_DELIVER_PROXMOX_PROXMOX_H

#include <jansson.h>

#include "base/digest.h"
#include "base/serve.h"
#include "deliver/server.h"

/* --- calls
 * -------------------------------------------------------------------- */
struct rh_pve {
    struct rh_remote *remote;
    char *token;        /* its name, "user@realm!id"; NULL: a ticket */
    long skew;          /* seconds that the node's clock is ahead of ours */
    const char *hidden; /* a secret that tasks' logs show, but not ours: a URL's
                           path; or NULL */
};
int rh_pve_login(struct rh_pve *p, struct rh_remote *r, rh_error **err);
void rh_pve_logout(struct rh_pve *p);
/* The "data" of the answer, whose reference is the caller's.  `params` (an
 * object of texts, taken; or NULL) go as the query or as a form.  The server's
 * own reason stands in the error. */
json_t *rh_pve_call(struct rh_pve *p, const char *method, const char *path,
                    json_t *params, rh_error **err);
/* Fields of a record: "" and 0 where there is none. */
const char *rh_pve_text(const json_t *record, const char *field);
uint64_t rh_pve_number(const json_t *record, const char *field);
/* Wait for a task's end: OK and WARNINGS are good, else its last lines are the
 * reason.  A cancel stops it.  `stage` names its progress. */
int rh_pve_wait(struct rh_pve *p, const char *node, const char *upid,
                const char *stage, rh_error **err);
/* The same, asking `tick` each time whether to go on: a failure of it ends the
 * task like a cancel. */
typedef int rh_pve_tick(void *user, rh_error **err);
int rh_pve_wait_with(struct rh_pve *p, const char *node, const char *upid,
                     const char *stage, rh_pve_tick *tick, void *user,
                     rh_error **err);

/* --- the configuration, as proxmox.conf says
 * ---------------------------------------- */
struct rh_pve_setting {
    char *key, *value;
    char *file;     /* a disk's file, beside the configuration; or NULL */
    char *volume;   /* what is imported for it, once it is uploaded; or NULL */
    bool is_volume; /* a disk, or a small one that is made new */
};
struct rh_pve_conf {
    RH_VEC(struct rh_pve_setting) list;
};
/* DELIVERY_RESULT for what is none. */
int rh_pve_conf_parse(const char *text, struct rh_pve_conf *ret,
                      rh_error **err);
void rh_pve_conf_free(struct rh_pve_conf *c);
/* May it be set?  Not what reaches into the host (args, hookscript ...). */
bool rh_pve_conf_allows(const char *key, const char *value);
bool rh_pve_conf_is_disk(const char *key); /* "scsi0", "efidisk0" */
/* The same of a VM that is being made: what its settings will be, and the bytes
 * of its disks. */
struct rh_target_job;
int rh_pve_conf_of_job(const struct rh_target_job *job, struct rh_pve_conf *ret,
                       uint64_t *ret_bytes, rh_error **err);
struct rh_pve_setting *rh_pve_conf_find(struct rh_pve_conf *c, const char *key);
void rh_pve_conf_set(struct rh_pve_conf *c, const char *key, const char *value);
/* "bridge=vmbr0" of "virtio=...,bridge=vmbr0"; "" where there is none. */
char *rh_pve_part(const char *value, const char *name);
/* Bridges as --network-map says; `nics` of vm.json has the networks' names. */
void rh_pve_conf_map(struct rh_pve_conf *c, const json_t *nics,
                     const rh_options *o);
/* Parameters of POST /nodes/NODE/qemu, and of `qm create`: disks on `storage`,
 * each imported from its volume, or that volume itself. */
enum rh_pve_disks { RH_PVE_IMPORT, RH_PVE_ATTACH };
json_t *rh_pve_conf_params(const struct rh_pve_conf *c, const char *storage,
                           const char *note, enum rh_pve_disks disks);

/* A result's folder; freed also when half open. */
struct rh_pve_result {
    struct rh_place *place;
    struct rh_pve_conf conf; /* with its disks' files, and as options say */
    uint64_t file_bytes, largest_file, virtual_bytes;
    char *note; /* of the VM's description: the receipt's digest */
};
int rh_pve_result_open(const struct rh_server *s, const char *dir,
                       const json_t *receipt, struct rh_pve_result *ret,
                       rh_error **err);
/* The note by which a VM is known, of the bytes of receipt.json. */
char *rh_pve_note(const void *receipt, size_t n);
/* Has it the form of one?  A journal lies beside a result, which may come from
 * anywhere: a shorter note would stand in the description of many VMs. */
bool rh_pve_is_note(const char *text);
void rh_pve_result_close(struct rh_pve_result *r);

/* --- where
 * ----------------------------------------------------------------------------
 */
struct rh_pve_place {
    char *node, *storage,
        *import; /* where disks go; where files are uploaded */
    char *vmid;
    bool vmid_asked;
    bool drop_startup;      /* no right to set it */
    struct rh_serve *serve; /* the node fetches the disks from it; NULL: they
                               are uploaded */
    bool verified;          /* its certificate is checked there, too */
    bool may_upload;        /* when the node does not come */
};
void rh_pve_place_free(struct rh_pve_place *p);
struct rh_pve_wish {
    struct rh_pve_conf *conf;
    uint64_t virtual_bytes, file_bytes, largest_file; /* files 0: not known */
};
/* Look at everything that could stand in the way. */
int rh_pve_look(struct rh_pve *p, const struct rh_pve_wish *w,
                struct rh_pve_place *ret, struct rh_checks *checks,
                rh_error **err);

/* How the disks go there (options "transfer", "serve", "serve-cert",
 * "serve-key"): uploaded, or fetched by the node (`may_fetch`: we have the
 * right to tell it so). */
int rh_pve_choose_way(struct rh_pve *p, const struct rh_pve_wish *w,
                      bool may_fetch, struct rh_pve_place *place,
                      struct rh_checks *checks, rh_error **err);

/* --- doing
 * ----------------------------------------------------------------------------
 */
struct rh_pve_work {
    struct rh_pve *pve;
    struct rh_pve_place *place;
    struct rh_journal *journal;
    RH_VEC(char *) files; /* volume ids that were uploaded */
    bool made;            /* the VM stands */
    char *note;           /* of the VM's description, to know it by */
    uint64_t sent;
};
/* Bring one disk's file there, whichever way; *ret_volume is
 * "STORAGE:import/NAME". */
int rh_pve_upload(struct rh_pve_work *w, struct rh_io *file, const char *name,
                  char **ret_volume, rh_error **err);
/* Have the node fetch it from us as `name`.  DELIVERY_UNREACHED when it does
 * not come. */
int rh_pve_fetch(struct rh_pve_work *w, struct rh_io *file, const char *name,
                 const char digest[RH_DIGEST_HEX], rh_error **err);
int rh_pve_create(struct rh_pve_work *w, const struct rh_pve_conf *conf,
                  rh_error **err);
/* What stands there now, for the receipt; compared with what was sent. */
json_t *rh_pve_describe(struct rh_pve_work *w, const struct rh_pve_conf *conf,
                        rh_error **err);
/* The same of what the agent itself says: [{"ip-addresses": [...]}]. */
void rh_pve_add_addresses(const json_t *interfaces, json_t *list);
/* For rh_server_proxmox's row: `work` is a struct rh_pve_work. */
int rh_pve_start(void *work, rh_error **err);
int rh_pve_addresses(void *work, json_t *list, rh_error **err);
void rh_pve_undo(void *work);
int rh_pve_find(struct rh_server *s, const char *mark, bool start,
                char **ret_where, rh_error **err);
/* The VM is delivered: it stays whatever comes, and the journal says no more
 * than which uploaded files are still there. */
void rh_pve_settle(struct rh_pve_work *w);
void rh_pve_work_free(struct rh_pve_work *w);
/* One thing of a journal: "file" or "vm"; only if it is ours. */
int rh_pve_clean(struct rh_pve *p, const char *kind, const char *id,
                 rh_error **err);

#endif
