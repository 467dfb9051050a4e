/* journal.h - what is known of each VM of a batch, in small files that appear
 * by rename: OUT/.rehost/vms/VM/{state.json,progress.json,lease,log}.
 *
 * The state is written before and after each step that cannot be taken back,
 * and fsync'ed; who holds the VM's lease writes, anybody reads.  Results are
 * made in OUT/.rehost/work/VM.TOKEN/ and renamed into OUT; a state with
 * `commit` says that they are whole and on their way, so that whoever comes
 * next completes the move. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_JOURNAL_H
#define RH_CONVERT_BATCH_JOURNAL_H

#include <jansson.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "convert/batch/jobs.h"

enum rh_vm_state {
    RH_VM_PENDING,
    RH_VM_WAITING, /* `reason` says for what */
    RH_VM_RUNNING,
    RH_VM_DONE,
    RH_VM_FAILED,  /* may be tried again */
    RH_VM_REFUSED, /* exit status 3 of convert */
    RH_VM_BLOCKED, /* exit status 4 */
    RH_VM_STATES
};
const char *rh_vm_state_name(enum rh_vm_state state);

struct rh_record {
    enum rh_vm_state state;
    char *key;         /* work key of what `state` tells; see work_key.h */
    char *stamp;       /* what the servers said of it then; or NULL */
    unsigned attempts; /* since the batch was begun or resumed last */
    double seconds;    /* of the last attempt */
    time_t started, ended, retry_at;
    char *reason;      /* of WAITING */
    char *holder;      /* "pid 7 on node1" of RUNNING */
    json_t *error;     /* {"code","message","hint","subject"}, or NULL */
    json_t *targets;   /* what came of each (targets.c), or NULL */
    rh_paths results;  /* below OUT */
    rh_paths earlier;  /* results of an earlier source, to be replaced */
    char *commit;      /* folder in work/ whose results are being moved */
    uint64_t reserved; /* bytes of OUT's file system, of RUNNING */
    /* progress.json */
    char stage[32];
    uint64_t bytes_done, bytes_total;
    double rate; /* bytes per second */
};
void rh_record_clear(struct rh_record *r); /* also for RH_AUTO */

struct rh_batch_journal {
    char *out;
    int dir, vms, work; /* OUT/.rehost, its vms/ and work/; or -1 */
    unsigned lease_seconds;
};
/* With `create`, make what is missing; without, a journal that is not there
 * has dir -1 and every VM is pending. */
int rh_batch_journal_open(struct rh_batch_journal *ret,
                          const struct rh_jobs *jobs, bool create,
                          rh_error **err);
void rh_batch_journal_close(struct rh_batch_journal *j);

/* The VM's folder in the journal; -1 with an error when it can't be made. */
int rh_batch_journal_vm(const struct rh_batch_journal *j, const char *vm,
                        rh_error **err);
/* A file that is not there, or is torn, is PENDING. */
void rh_batch_journal_read(const struct rh_batch_journal *j, const char *vm,
                           struct rh_record *ret);
int rh_batch_journal_write(const struct rh_batch_journal *j, const char *vm,
                           const struct rh_record *r, rh_error **err);
/* Not synced: what is lost of it does not matter. */
void rh_batch_journal_progress(const struct rh_batch_journal *j, const char *vm,
                               const struct rh_record *r);
/* A whole file, by rename; with `sync` it is on the medium afterwards. */
int rh_batch_journal_put(int dir, const char *name, const char *text, bool sync,
                         rh_error **err);

/* Move the results of a `commit` into OUT, any number of times until all are
 * there; over a result that is there already only with `replace`, or where it
 * is one of `earlier`.  *ret_missing: one is neither here nor there. */
int rh_batch_journal_commit(const struct rh_batch_journal *j,
                            const struct rh_record *r, bool replace,
                            bool *ret_missing, rh_error **err);
/* Remove what killed runs left of this VM in work/.  Its lease is ours. */
void rh_batch_journal_sweep(const struct rh_batch_journal *j, const char *vm);

#endif
