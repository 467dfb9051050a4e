/* machine.h - one VM of vSphere: what is known of it, and its disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_LIVE_VSPHERE_MACHINE_H
#define RH_LIVE_VSPHERE_MACHINE_H

#include "live/vsphere/vsphere.h"

/* --- disks (disks.c) --------------------------------------------------------
 */
/* "[datastore1] web01/web01-000001.vmdk" in parts. */
struct rh_vs_file {
    char *datastore, *folder, *name; /* "datastore1", "web01", the file */
};
struct rh_vs_disk {
    uint64_t key, capacity; /* of the device; bytes */
    const char *bus;        /* "scsi" */
    const char *controller; /* "pvscsi" */
    uint64_t controller_number, unit;
    char *where;        /* "scsi0:1" */
    char *file;         /* the top of its chain, as the API writes it */
    char *mode, *uuid;  /* "persistent" */
    char *change_id;    /* or NULL: not tracked */
    char *datastore_id; /* of the top file */
    bool independent, encrypted, shared, rdm_physical, rdm_virtual, thin;
    RH_VEC(struct rh_vs_file) chain; /* the top first, its parents behind */
};
struct rh_vs_disks {
    RH_VEC(struct rh_vs_disk) list; /* in the order that firmware counts */
};
/* Of <hardware> (a VM's or a snapshot's); too many or too deep is
 * LIVE_ANSWER. */
int rh_vs_disks(const xmlNode *hardware, struct rh_vs_disks *ret,
                rh_error **err);
void rh_vs_disks_free(struct rh_vs_disks *d); /* also for RH_AUTO */
/* A controller's bus and model by its device type; false: it is none. */
bool rh_vs_controller(const xmlNode *device, const char **ret_bus,
                      const char **ret_model);
/* "ParaVirtualSCSIController" of "pvscsi"; NULL: it is none. */
const char *rh_vs_controller_type(const char *model);
/* The device of that key. */
xmlNode *rh_vs_device(const xmlNode *hardware, const char *key);

/* --- the VM ------------------------------------------------------------------
 */
enum rh_vs_way { RH_VS_FOLDER, RH_VS_LEASE };
struct rh_vs_datastore {
    char *id, *name, *type; /* "VMFS NFS NFS41 vsan VVOL OTHER" */
    uint64_t free;          /* bytes */
    bool reachable;
};
struct rh_vs_lease;
/* What is allocated of a disk: [start, end) in order. */
struct rh_vs_area {
    uint64_t start, end;
};
struct rh_vs_areas {
    uint64_t capacity;
    RH_VEC(struct rh_vs_area) list;
};
struct rh_vs_vm {
    struct rh_live_vm *vm;
    xmlDoc *doc;
    const xmlNode *object; /* its properties, in doc */
    struct rh_vs_disks disks;
    struct rh_vs_disks at_snapshot; /* as `seen_snapshot` has them */
    char *seen_snapshot;
    char *marked; /* the snapshot since which `disks` are as they are */
    RH_VEC(struct rh_vs_datastore) datastores;
    char *datacenter; /* its path */
    enum rh_live_state state;
    bool encrypted;
    enum rh_vs_way way;
    const char *why; /* of the way, N_() */
    bool way_asked;  /* --transport */
    char *ours;      /* the snapshot of a running VM that we read; or NULL */
    struct rh_live_left *left; /* its note */
    struct rh_vs_lease *lease;
    RH_VEC(struct rh_place *) places; /* readers look through them */
    RH_VEC(struct rh_io *)
    deltas; /* files over a snapshot's: what was looked up
               in them is not fetched twice */
    RH_VEC(struct rh_vs_areas *) areas; /* likewise */
};
struct rh_vs_vm *rh_vs_vm_of(const struct rh_live_vm *vm);
struct rh_vs *rh_vs_vm_session(const struct rh_live_vm *vm);

/* stamp.c */
int rh_vs_stamp(struct rh_live *live, const char *id, char **ret,
                bool *ret_sure, rh_error **err);

/* vm.c */
int rh_vs_vm_open(struct rh_live_vm *vm, rh_error **err);
void rh_vs_vm_close(struct rh_live_vm *vm);
int rh_vs_refresh(struct rh_live_vm *vm, rh_error **err);
int rh_vs_describe(struct rh_live_vm *vm, struct rh_package *p, rh_error **err);
struct rh_reader *rh_vs_read(struct rh_live_vm *vm, size_t disk,
                             const char *snapshot, rh_error **err);
struct rh_reader *rh_vs_forward(struct rh_live_vm *vm, size_t disk,
                                const char *snapshot, rh_error **err);
bool rh_vs_looks(struct rh_live_vm *vm, size_t disk);

/* warm.c */
int rh_vs_snapshot(struct rh_live_vm *vm, const char *name, bool quiesce,
                   char **ret_id, bool *ret_quiesced, rh_error **err);
int rh_vs_find_snapshot(struct rh_live_vm *vm, const char *name, char **ret_id,
                        rh_error **err);
int rh_vs_unsnapshot(struct rh_live_vm *vm, const char *id, rh_error **err);
int rh_vs_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
               char **ret_mark, rh_error **err);
int rh_vs_changed(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                  const char *since, rh_live_area_fn *area, void *user,
                  rh_error **err);
int rh_vs_tracking(struct rh_live_vm *vm, bool *ret_on, rh_error **err);
int rh_vs_track(struct rh_live_vm *vm, bool on, rh_error **err);
int rh_vs_state(struct rh_live_vm *vm, enum rh_live_state *ret, rh_error **err);
int rh_vs_power(struct rh_live_vm *vm, enum rh_live_order order,
                rh_error **err);
int rh_vs_rename(struct rh_live_vm *vm, const char *name, rh_error **err);
int rh_vs_space(struct rh_live_vm *vm, uint64_t *ret_free, rh_error **err);
/* delta.c: by the files that lie over a snapshot's. */
bool rh_vs_marks_hold(const char *mark);
bool rh_vs_follows(struct rh_live_vm *vm);
int rh_vs_delta_mark(struct rh_live_vm *vm, size_t disk, const char *snapshot,
                     char **ret_mark, rh_error **err);
int rh_vs_delta_changed(struct rh_live_vm *vm, size_t disk,
                        const char *snapshot, const char *since,
                        rh_live_area_fn *area, void *user, rh_error **err);
/* The disks as a snapshot has them (NULL: now), by their number. */
const struct rh_vs_disk *rh_vs_disk_at(struct rh_live_vm *vm, size_t disk,
                                       const char *snapshot, rh_error **err);

/* config.c, devices.c, guest.c, checks.c: fill in the VM from the object.
 * They need no server: fuzz/vsphere.c feeds them. */
void rh_vs_config(const xmlNode *object, struct rh_vm *vm,
                  struct rh_findings *findings);
int rh_vs_devices(const struct rh_vs *s, const xmlNode *object,
                  const struct rh_vs_disks *disks, struct rh_vm *vm,
                  struct rh_findings *findings, rh_error **err);
void rh_vs_guest(const xmlNode *object, struct rh_vm *vm,
                 struct rh_findings *findings);
/* "CPU at most 2000 MHz, memory reserved 512 MiB" of a ResourceConfigSpec;
 * NULL: it takes and gives nothing. */
char *rh_vs_pool_terms(const xmlNode *config);
/* Where it lies (place.c); the places are known. */
void rh_vs_where(const struct rh_vs *s, const xmlNode *object, struct rh_vm *vm,
                 struct rh_findings *findings);
/* What stands in the way, or is worth knowing before; asks the server. */
void rh_vs_checks(struct rh_live_vm *vm, struct rh_vm *config,
                  struct rh_findings *findings);

/* --- bytes -------------------------------------------------------------------
 */
/* folder.c: a disk by its files, through its chain. */
/* `areas`: nothing else of its lowest file holds data; NULL: not known. */
struct rh_reader *rh_vs_folder_disk(struct rh_live_vm *vm,
                                    const struct rh_vs_disk *d,
                                    const struct rh_vs_areas *areas,
                                    rh_error **err);
/* Nothing but what is read is fetched of the delta files (no more). */
void rh_vs_folder_exact(struct rh_live_vm *vm, bool exact);
void rh_vs_folder_forget(struct rh_vs_vm *v); /* they may be others by now */
/* The same of the first `count` files of its chain alone: what they do not hold
 * is a hole. */
struct rh_reader *rh_vs_folder_layers(struct rh_live_vm *vm,
                                      const struct rh_vs_disk *d, size_t count,
                                      rh_error **err);
/* lease.c: all disks of the VM (or of a snapshot), one stream each. */
struct rh_reader *rh_vs_lease_forward(struct rh_live_vm *vm, size_t disk,
                                      const char *snapshot, rh_error **err);
struct rh_reader *rh_vs_lease_disk(struct rh_live_vm *vm, size_t disk,
                                   const char *snapshot, rh_error **err);
/* Completed where every disk that was begun was read to its end, aborted
 * otherwise. */
void rh_vs_lease_end(struct rh_live_vm *vm);

#endif
