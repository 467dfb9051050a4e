/* live.h - VMs of a platform that runs: a session with its server, what VMs
 * there are, what one is, its disks' bytes, and what changed in them since.
 *
 * A platform is a folder below this one with a row (struct rh_live_platform)
 * in registry.c.  A session (struct rh_live) is shared by all who name the
 * same server within one library: a report on 1,000 VMs logs in once.  It ends
 * with the library, also after a cancel.  A VM (struct rh_live_vm) belongs to
 * one package, or to whoever opened it; what was made for it on the platform
 * (snapshots, leases) is taken away when it is closed.
 *
 * Threads: a session may be used from several; a platform takes live->lock
 * around its requests (an rh_http does one at a time), never while it waits
 * for a task.  A VM is used by one thread, but for the readers of its disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_LIVE_LIVE_H
#define RH_LIVE_LIVE_H

#include <pthread.h>

#include "base/remote.h"
#include "package/container.h"

struct rh_live;
struct rh_live_vm;

/* --- what a platform gives --------------------------------------------------
 */
enum rh_live_state {
    RH_LIVE_OFF,
    RH_LIVE_ON,
    RH_LIVE_SUSPENDED,
};
enum rh_live_order {
    RH_LIVE_SHUT_DOWN, /* asks the guest; answers before it is off */
    RH_LIVE_POWER_OFF,
    RH_LIVE_POWER_ON,
};
/* A VM of an inventory.  Texts are borrowed for the call; NULL: not known. */
struct rh_live_row {
    const char *name, *path, *id, *uuid, *guest;
    const char *power; /* "on off suspended" */
    uint64_t cpus, memory_bytes, disk_bytes;
    const char *const *networks; /* ended by NULL */
    unsigned snapshots;
};
typedef int rh_live_row_fn(void *user, const struct rh_live_row *row,
                           rh_error **err);
/* Bytes [start, start + length) of a disk, in ascending order. */
struct rh_live_area {
    uint64_t start, length;
    bool zero; /* they read as zeros now */
};
typedef int rh_live_area_fn(void *user, const struct rh_live_area *a,
                            rh_error **err);

struct rh_live_platform {
    const char *scheme; /* "vcenter" */
    const char *kind;   /* of the package: "vsphere" */
    unsigned port;      /* where the URL has none */
    bool wants_token;
    enum rh_from from; /* of the values */

    /* The session.  open(): log in by live->remote (connected, its log-in
     * known).  A wrong password is never tried twice.  close(): log out, also
     * when half open or after a cancel (rh_http_set_lib(http, NULL)). */
    int (*open)(struct rh_live *live, rh_error **err);
    void (*close)(struct rh_live *live);

    /* What the URL's path names: *ret_id (to be freed) is the platform's id of
     * a VM, NULL for a place that holds VMs.  LIVE_NOT_FOUND, LIVE_SEVERAL. */
    int (*find)(struct rh_live *live, const struct rh_remote_url *at,
                char **ret_id, rh_error **err);
    /* Every VM below that place, in pages: memory does not grow with it. */
    int (*list)(struct rh_live *live, const struct rh_remote_url *at,
                rh_live_row_fn *row, void *user, rh_error **err);

    /* By what the VM of that id is known as unchanged, in one request or two;
     * to be freed.  *ret_sure: whatever changed its disks would change that,
     * too; of one that runs it is false. */
    int (*stamp)(struct rh_live *live, const char *id, char **ret,
                 bool *ret_sure, rh_error **err);

    /* A VM: vm->id, vm->options and vm->live are set.  Reads its
     * configuration. */
    int (*vm_open)(struct rh_live_vm *vm, rh_error **err);
    void (*vm_close)(struct rh_live_vm *vm); /* also half open */
    /* Add the VM to the package (rh_package_add_vm), values with our origin,
     * what they can't say as findings: also what stands in the way of reading
     * its disks (pre-flight), and the way they will come. */
    int (*describe)(struct rh_live_vm *vm, struct rh_package *p,
                    rh_error **err);

    /* Disks, by their number in the package.  snapshot NULL: as the disk is
     * now, the VM being off (LIVE_RUNNING otherwise).  disk(): reads anywhere,
     * what comes only as a whole being spooled.  forward(): read by next()
     * once; NULL without an error where disk() is the way. */
    struct rh_reader *(*disk)(struct rh_live_vm *vm, size_t disk,
                              const char *snapshot, rh_error **err);
    struct rh_reader *(*forward)(struct rh_live_vm *vm, size_t disk,
                                 const char *snapshot, rh_error **err);
    /* Can disk() look into it for a report, at the price of what it reads? */
    bool (*looks)(struct rh_live_vm *vm, size_t disk);

    /* --- warm passes; each may be NULL: the platform has no such thing ---- */
    /* A snapshot of ours; *ret_id (to be freed) is the platform's id.  With
     * `quiesce` the guest's tools flush first; *ret_quiesced says if they did.
     * When it returns, the snapshot is there. */
    int (*snapshot)(struct rh_live_vm *vm, const char *name, bool quiesce,
                    char **ret_id, bool *ret_quiesced, rh_error **err);
    /* Optional: the id of the snapshot of that name (to be freed), NULL: there
     * is none; of one whose maker died before it knew the id. */
    int (*find_snapshot)(struct rh_live_vm *vm, const char *name, char **ret_id,
                         rh_error **err);
    /* Gone already is no failure. */
    int (*unsnapshot)(struct rh_live_vm *vm, const char *id, rh_error **err);
    /* Optional: delete the image of that name (and of that id where it is
     * known), which is ours.  *ret_there: there was one. */
    int (*unimage)(struct rh_live *live, const char *name, const char *id,
                   bool *ret_there, rh_error **err);
    /* What to ask changed() with later on (to be freed): the disk's state at a
     * snapshot.  NULL without an error: the platform does not track it. */
    int (*mark)(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                char **ret_mark, rh_error **err);
    /* What changed from `since` (a mark; NULL: what is allocated) to the
     * snapshot (NULL: to now, the VM being off).  LIVE_UNTRACKED: it can't be
     * told (tracking is off, or was reset): compare all. */
    int (*changed)(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                   const char *since, rh_live_area_fn *area, void *user,
                   rh_error **err);
    /* Optional: what changed since that mark (NULL: one that there is not yet)
     * is told only as long as its snapshot is there. */
    bool (*marks_hold)(const char *mark);
    /* Optional, of a VM that is not tracked: does it tell what changed since a
     * snapshot that stands?  With option "keep-snapshot" mark() gives such
     * marks. */
    bool (*follows)(struct rh_live_vm *vm);
    /* Is change tracking on for all disks?  Switch it on or off. */
    int (*tracking)(struct rh_live_vm *vm, bool *ret_on, rh_error **err);
    int (*track)(struct rh_live_vm *vm, bool on, rh_error **err);
    int (*state)(struct rh_live_vm *vm, enum rh_live_state *ret,
                 rh_error **err);
    /* Returns once it is taken; state() says when it is done.  SHUT_DOWN
     * without tools is LIVE_NO_TOOLS. */
    int (*power)(struct rh_live_vm *vm, enum rh_live_order order,
                 rh_error **err);
    int (*rename)(struct rh_live_vm *vm, const char *name, rh_error **err);
    /* The least free space of the places its disks lie on, bytes. */
    int (*space)(struct rh_live_vm *vm, uint64_t *ret_free, rh_error **err);
    /* Read the configuration again (power state, snapshots, marks). */
    int (*refresh)(struct rh_live_vm *vm, rh_error **err);
};
/* The i-th; NULL at the end (registry.c). */
const struct rh_live_platform *rh_live_platform_at(size_t i);
extern const struct rh_live_platform rh_live_esxi, rh_live_vcenter,
    rh_live_prism;

/* --- sessions ---------------------------------------------------------------
 */
struct rh_live {
    const struct rh_live_platform *platform;
    struct rh_lib lib;       /* for its requests: cancelled as the root is */
    struct rh_remote remote; /* without options: those are the caller's */
    char *server;            /* "host:443", however it was written */
    pthread_mutex_t lock;    /* around requests */
    bool is_open;
    bool tidied; /* rh_live_tidy() */
    void *state; /* the platform's */
};
/* Is it the URL of a live source? */
bool rh_live_is(const char *source);
/* Is it the same one that the URL names, by the same scheme? */
bool rh_live_is_at(const struct rh_live *live, const char *url);
/* The session with the URL's server: borrowed until the library is freed. */
struct rh_live *rh_live_open(rh_lib *lib, const char *url,
                             const rh_options *options, rh_error **err);

/* --- VMs --------------------------------------------------------------------
 */
struct rh_live_options {
    bool will_read;        /* a conversion: disks will be read */
    bool will_look;        /* somebody looks into the guest */
    bool warm;             /* disks are read at snapshots alone */
    bool keep_snapshot;    /* a snapshot stands until the next was read */
    bool snapshot;         /* a running VM may be read from one of ours */
    bool quiesce;          /* likewise, flushed */
    const char *transport; /* NULL: chosen; else the platform's word */
};
struct rh_live_vm {
    struct rh_live *live;
    rh_lib *lib;             /* whose cancel, spools and progress hold */
    char *id;                /* the platform's */
    char *name;              /* set by vm_open() */
    RH_VEC(char *) disk_ids; /* as describe() has numbered them */
    struct rh_live_options options;
    char *told; /* rh_live_vm_told() */
    bool asked;
    void *state; /* the platform's */
};
/* USAGE when the URL names a place instead of a VM. */
struct rh_live_vm *rh_live_vm_open(rh_lib *lib, const char *url,
                                   const rh_options *options, rh_error **err);
/* By the platform's id, to change it alone. */
struct rh_live_vm *rh_live_vm_of_id(rh_lib *lib, struct rh_live *live,
                                    const char *id, rh_error **err);
void rh_live_vm_free(struct rh_live_vm *vm);
/* For platforms: what is in use is not read, but from a snapshot. */
int rh_live_refuse_running(const struct rh_live_vm *vm,
                           enum rh_live_state state, rh_error **err);
void rh_live_tell_state(const struct rh_live_vm *vm, enum rh_live_state state,
                        struct rh_findings *f);
RH_FREEP(rh_live_vm_freep, struct rh_live_vm, rh_live_vm_free)
/* The VM of a live package, borrowed; NULL: it is none. */
struct rh_live_vm *rh_live_vm_of(const struct rh_package *p);
/* The platform's number of disk `disk` of such a package's VM, from which some
 * may have been dropped; SIZE_MAX: it is none of its. */
size_t rh_live_disk_number(const struct rh_package *p, size_t disk);

/* --- what is being made there (left.c) --------------------------------------
 */
/* Something of ours ("snapshot", "image") that is to be made of the VM, by a
 * name that begins with `head` ("rehost-...") and that nobody else has.  It is
 * noted on the medium first, so that the next run takes it away should this one
 * be killed.  Where that can't be written it is told. */
struct rh_live_left;
struct rh_live_left *rh_live_left_note(const struct rh_live_vm *vm,
                                       const char *kind, const char *head,
                                       rh_error **err);
const char *rh_live_left_name(const struct rh_live_left *l);
void rh_live_left_made(struct rh_live_left *l, const char *id);
/* Frees it; the note stays unless the thing is gone, or was never made. */
void rh_live_left_end(struct rh_live_left *l, bool gone);
/* Take away what runs that do not live any more have left at that server.  On
 * failure the first error; the others are gone all the same. */
int rh_live_take_left(struct rh_live *live, rh_lib *lib, size_t *ret_count,
                      rh_error **err);
/* The same once for a session; what fails is told. */
void rh_live_tidy(struct rh_live *live, rh_lib *lib);

/* --- what others stand on ---------------------------------------------------
 */
/* For rh_source_open(): the package of the VM that the URL names. */
int rh_live_package(struct rh_package *p, const char *url,
                    const struct rh_package_options *o, rh_error **err);
/* All VMs below the place that the URL names.  1, and nothing called, when it
 * names a VM. */
int rh_live_inventory(rh_lib *lib, const char *url, const rh_options *options,
                      rh_live_row_fn *row, void *user, rh_error **err);
/* The platform's stamp of the VM that the URL names; the caller frees.  Nobody
 * is asked for a password. */
char *rh_live_stamp(rh_lib *lib, const char *url, const rh_options *options,
                    bool *ret_sure, rh_error **err);
/* A text that is another when the disks may be: the stamp of a VM that is off.
 * NULL: it runs, or nothing tells; or nothing is kept for another try
 * (base/fetched.h), so that nobody needs it.  Borrowed. */
const char *rh_live_vm_told(struct rh_live_vm *vm);
/* The URL of a row's VM on the same server; the caller frees. */
char *rh_live_row_url(const char *url, const struct rh_live_row *row);

#endif
