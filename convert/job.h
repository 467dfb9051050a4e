/* job.h - a conversion: it opens, looks, decides, and copies what it decided.
 *
 * A job goes new -> ready -> done, or failed from wherever it was; then it
 * keeps its error and gives it again.  It never changes its package: each VM
 * is a copy of its own, and so are the findings.  VMs fail on their own, and
 * the others go on.
 *
 *   look.c      what a VM is: its disks, its guest, its addresses
 *   decide.c    what it becomes on one target: devices, edits, findings
 *   decision.c  the same as a document, out and in
 *   run.c       the copy of one VM to all its targets
 *   job.c       the order of these, and the states */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_JOB_H
#define RH_CONVERT_JOB_H

#include "convert/options.h"
#include "deliver/deliver.h"
#include "guestfix/guestfix.h"
#include "package/package.h"
#include "profiles/profile.h"
#include "rehost/rehost.h"
#include "report/findings.h"
#include "report/verdict.h"
#include "targets/target.h"

/* One VM for one target: the public rh_outcome. */
struct rh_job_target {
    const struct rh_target *target;
    const struct rh_job_vm *vm;
    struct rh_target_options options;
    struct rh_profile_devices devices;
    struct rh_machine machine;
    struct rh_target_job job;    /* job.out is set by the run only */
    struct rh_reader **overlays; /* per disk of the VM, in job.disks' order */
    struct rh_findings findings;
    struct rh_edits edits;
    struct rh_guest_facts guest;
    struct rh_delivery *delivery; /* NULL: it was not said where to */
    json_t *receipt;              /* where one is to be kept here; or NULL */
    struct rh_judgement judgement;
    uint64_t output_bytes, seconds; /* estimates */
    int state;                      /* RH_OUTCOME_... */
    rh_error *error;                /* why it failed; or NULL */
    char *result;                   /* where it is, once it is done */
};

struct rh_job_vm {
    size_t index;             /* in the package */
    struct rh_vm *vm;         /* a copy */
    struct rh_findings found; /* the package's, and what was found here */
    const struct rh_profile *profile;
    char *name; /* safe and unique within the package */
    size_t disk_count;
    size_t *order;              /* vm->disks by the result's order */
    struct rh_reader **disks;   /* opened source disks, in that order */
    uint64_t data_bytes;        /* allocated in them, where that is known */
    uint64_t packed_bytes;      /* files of the disks that are read forward */
    bool disks_forward;         /* there are such; see forward.h */
    bool disks_missing;         /* some file is not there: report only */
    struct rh_guest_facts seen; /* in the guest, before devices are chosen */
    /* What looking at the guest leaves for the first target; or NULL. */
    struct rh_appliance *appliance;
    struct rh_reader **looked_at; /* the overlays that it sees */
    struct rh_job_target *targets;
    size_t target_count;
    json_t *recommendation;
    rh_error *error; /* it could not be known: no target will do; or NULL */
};

enum { RH_JOB_TARGETS_MAX = 8 };

/* Who keeps the VM's disks for this job (convert/warm/): its package says what
 * the VM is, the keeper has the bytes.  `disk` is the package's number.  Such a
 * package holds one VM. */
struct rh_receipt_disk;
struct rh_job_keeper {
    struct rh_reader *(*open)(void *user, size_t disk, rh_error **err);
    /* Optional.  Write the edits that `view` (an overlay) shows into what is
     * kept, and hand it to the delivery as its disk number `place`: 1 done, 0
     * it is to be copied, -1. */
    int (*give)(void *user, size_t disk, struct rh_reader *view,
                const struct rh_target_disk *to, const char *format,
                struct rh_delivery *delivery, size_t place,
                struct rh_receipt_disk *receipt, uint64_t *ret_size,
                rh_error **err);
    void *user;
};

struct rh_job {
    rh_lib *lib;
    struct rh_package *package; /* borrowed, and left as it is */
    rh_options *options;        /* a copy */
    const struct rh_profiles *profiles;
    const json_t *models; /* the library's */
    struct rh_arena *arena;
    struct rh_network_map *networks;
    size_t network_count;
    const struct rh_target *targets[RH_JOB_TARGETS_MAX];
    size_t target_count;
    json_t *decided; /* by an earlier job, to be kept to; or NULL */
    RH_VEC(struct rh_job_vm) vms;
    struct rh_buf summary;
    int state;       /* RH_JOB_... */
    rh_error *error; /* of a failed job */
    char *asked_key; /* of encrypted volumes; wiped at the end; or NULL */
    bool for_report; /* a missing disk file is a finding */
    bool forward;    /* disks may come forward: nothing looks into them, and
                        every target takes them so */
    const struct rh_job_keeper *keeper; /* borrowed; NULL: the package */
};

/* --- job.c */
/* Decide everything; with `for_report`, what is not there is a finding.
 * Nothing to do when that was done. */
int rh_job_prepare(struct rh_job *job, rh_error **err);
/* Of several errors the one that decides the exit status (cli.md, "Several
 * outcomes in one exit status"): does b go before a? */
bool rh_error_outweighs(const rh_error *b, const rh_error *a);

/* --- settings.c: read and check the options that all VMs share. */
int rh_job_read_options(struct rh_job *job, rh_error **err);

/* --- keys.c: keys of encrypted volumes. */
/* NULL-ended, to be tried in that order: those that were named, or the one that
 * a person was asked for. */
char **rh_job_keys(const struct rh_job *job, rh_error **err);
/* Ask for one, where none was named and somebody can be asked. */
bool rh_job_ask_key(struct rh_job *job, const char *vm);
void rh_job_keys_free(char **keys);

/* --- look.c: all that does not depend on a target. */
int rh_job_look(struct rh_job *job, struct rh_job_vm *v, rh_error **err);
/* Look inside the guest of one VM for `inspect --guest`: the package learns. */
int rh_job_inspect_vm(struct rh_package *p, size_t vm,
                      const struct rh_profiles *profiles,
                      const rh_options *options, rh_error **err);
/* Put views without their gaps in the place of the disks that have some. */
int rh_job_skip_free(struct rh_reader **disks, size_t count,
                     const struct rh_vm *vm, const size_t *order, rh_lib *lib,
                     struct rh_findings *findings, rh_error **err);
bool rh_job_leaves_guest(const rh_options *o);
struct rh_guest_options rh_job_guest_options(const struct rh_job *job,
                                             struct rh_job_vm *v);
int rh_job_make_overlays(struct rh_job_vm *v, struct rh_reader ***ret,
                         size_t count, rh_lib *lib, rh_error **err);
void rh_job_free_overlays(struct rh_reader **list, size_t count);
/* As rh_package_load; `will_read`: its disks will be read, not just described.
 */
rh_package *rh_package_load_for(rh_lib *lib, const char *source,
                                const rh_options *options, bool will_read,
                                rh_error **err);
void rh_job_vm_free(struct rh_job_vm *v);

/* --- job_disks.c: open the VM's disks in the result's order. */
int rh_job_open_disks(struct rh_job *job, struct rh_job_vm *v, rh_error **err);
/* Is it read by next() only? */
bool rh_job_disk_forward(const struct rh_reader *r);
/* What a reader found odd becomes findings; some is found while copying. */
void rh_job_note_problems(struct rh_findings *findings,
                          const struct rh_reader *r, size_t disk);

/* --- decide.c */
int rh_job_decide(struct rh_job *job, struct rh_job_vm *v,
                  struct rh_job_target *t, rh_error **err);
/* The form of its disks, or of the archive that holds the VM. */
const char *rh_job_format(const struct rh_job_target *t);
bool rh_job_is_archive(const struct rh_job_target *t);

/* --- decision.c */
/* The "vms" of rehost.decision/1; the caller has the reference. */
json_t *rh_job_decided(const struct rh_job *job);
/* Does it say the same as the decision that the job was made from? */
int rh_job_check_decided(struct rh_job *job, rh_error **err);

/* --- duplicates.c: what several VMs of the package claim, as findings of
 * each. */
void rh_job_duplicates(struct rh_job *job);

/* --- run.c: copy one VM to all targets that can take it; each of them is done
 * or has failed after it. */
void rh_job_run_vm(struct rh_job *job, struct rh_job_vm *v);

/* --- documents.c */
/* rehost.report/1 of one job: the "vms" entries. */
json_t *rh_job_json(struct rh_job *job);

#endif
