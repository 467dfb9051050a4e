/* plan.h - everything that is decided before a byte is written.
 *
 * A plan holds, for each VM and each target, the devices, the disks with
 * overlays that carry the guest's edits, the findings and the edits.  The
 * report shows it; the run executes it: a dry run cannot promise something
 * else. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_PLAN_H
#define RH_CONVERT_PLAN_H

#include "convert/options.h"
#include "deliver/deliver.h"
#include "guestfix/guestfix.h"
#include "package/package.h"
#include "profiles/profile.h"
#include "report/findings.h"
#include "targets/target.h"

enum rh_verdict { RH_READY, RH_CAUTION, RH_BLOCKED };

/* One VM for one target. */
struct rh_plan_target {
    const struct rh_target *target;
    struct rh_target_options options;
    struct rh_profile_devices devices;
    struct rh_machine machine;
    struct rh_target_job job;    /* job.out is set by the run only */
    struct rh_reader **overlays; /* per disk of the VM, in job.disks' order */
    struct rh_findings findings;
    struct rh_edits edits;
    struct rh_guest_facts guest;
    struct rh_delivery *delivery; /* NULL: it was not said where to */
    enum rh_verdict verdict;
    uint64_t output_bytes, seconds; /* estimates */
};

struct rh_plan_vm {
    size_t index; /* in the package */
    const struct rh_profile *profile;
    char *name; /* safe and unique within the package */
    size_t disk_count;
    size_t *order;            /* vm->disks by the result's order */
    struct rh_reader **disks; /* opened source disks, in that order */
    uint64_t data_bytes;      /* allocated in them, where that is known */
    uint64_t packed_bytes;    /* files of the disks that are read forward */
    bool disks_forward;       /* there are such; see forward.h */
    bool disks_missing;       /* some file is not there: report only */
    /* What looking at the guest leaves for the first target; or NULL. */
    struct rh_appliance *appliance;
    struct rh_reader **looked_at; /* the overlays that it sees */
    RH_VEC(struct rh_plan_target) targets;
    json_t *recommendation;
};

struct rh_plan {
    rh_lib *lib;
    struct rh_package *package; /* borrowed */
    const rh_options *options;  /* a copy of its own */
    rh_options *own_options;
    const struct rh_profiles *profiles;
    const json_t *models; /* the library's */
    struct rh_network_map *networks;
    size_t network_count;
    RH_VEC(struct rh_plan_vm) vms;
    RH_VEC(char *) results;
    struct rh_buf summary;
    bool for_report; /* a missing disk file is a finding */
    bool forward;    /* disks may come forward: nothing looks into them, and
                        every target takes them so */
};
typedef struct rh_plan rh_plan;

/* Decide everything; with `for_report`, what is not there is a finding. */
int rh_plan_prepare(struct rh_plan *plan, rh_error **err);
/* plan_disks.c: open the VM's disks in the result's order. */
int rh_plan_open_disks(struct rh_plan *plan, struct rh_plan_vm *v,
                       rh_error **err);
/* Is it read by next() only? */
bool rh_plan_disk_forward(const struct rh_reader *r);
/* duplicates.c: what several VMs of the package claim, as findings of each. */
void rh_plan_duplicates(struct rh_plan *plan);
/* What a reader found odd becomes findings; some is found while copying. */
void rh_plan_note_problems(struct rh_findings *findings,
                           const struct rh_reader *r, size_t disk);
/* Look inside the guest of one VM for `inspect --guest`. */
int rh_plan_inspect_vm(struct rh_package *p, size_t vm,
                       const struct rh_profiles *profiles,
                       const rh_options *options, rh_error **err);
void rh_plan_vm_free(struct rh_plan_vm *v);
/* The form of its disks, or of the archive that holds the VM. */
const char *rh_plan_format(const struct rh_plan_target *t);
bool rh_plan_is_archive(const struct rh_plan_target *t);
enum rh_verdict rh_plan_verdict(const struct rh_findings *findings);
const char *rh_verdict_name(enum rh_verdict v);

/* rehost.report/1 of one plan: the "vms" entries. */
json_t *rh_plan_json(struct rh_plan *plan);
/* One VM's receipt, vm.json and so on are written by run.c. */
json_t *rh_plan_vm_json(struct rh_plan *plan, struct rh_plan_vm *v);

#endif
