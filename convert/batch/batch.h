/* batch.h - a batch in memory: its job file, its journal, what is being done.
 *
 * engine.c decides who is next and looks after the workers; begin.c and step.c
 * take one VM through its steps, which end in turn.c (step.h is theirs);
 * events.c tells; status.c makes documents of it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_BATCH_H
#define RH_CONVERT_BATCH_BATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lease.h"
#include "base/lib.h"
#include "convert/batch/journal.h"
#include "convert/batch/worker.h"

enum rh_step { RH_STEP_NONE, RH_STEP_PLAN, RH_STEP_CONVERT };

/* One VM in this run. */
struct rh_task {
    struct rh_record record; /* as the journal has it, or newer */
    bool chosen;             /* --only, --wave */
    bool settled;            /* nothing more to do in this run */
    bool mine;               /* this run holds its lease */
    bool skipped;            /* by hand */
    bool planned;            /* the needs are known */
    bool tried;              /* in this run */
    bool hopeless; /* it waits for what will not be done in this run */
    enum rh_step step;
    struct rh_worker worker;
    struct rh_lease *lease;
    char *staging; /* folder in work/ */
    char key[65];
    char *stamp; /* what servers say of the sources; NULL: not asked */
    bool sure;   /* ... would be another if a source had changed */
    uint64_t need_out, need_temp; /* bytes */
    uint64_t need_fetched; /* of what servers send; UINT64_MAX: not known */
    uint64_t fetched_most; /* of that may be kept in this attempt */
    uint64_t began, told;  /* monotonic nanoseconds */
};

struct rh_batch {
    rh_lib *lib;
    struct rh_jobs *jobs;
    struct rh_batch_journal journal;
    struct rh_task *tasks; /* as jobs->vms */
    /* options */
    char *program, *on_event;
    unsigned at_once, threads; /* VMs at once; threads of each */
    uint64_t memory;           /* of each */
    uint64_t bandwidth;        /* bytes a second, of all; 0: no limit */
    int rate;                  /* the descriptor that shares it, or -1 */
    bool dry_run;
    /* the run */
    pthread_mutex_t lock; /* guards all that changes, but for the atomics */
    bool running, interrupted, paused;
    time_t began;
    atomic_bool quit;
    int events[2];             /* a pipe, or -1 */
    struct rh_buf event_queue; /* what it has no room for yet */
    size_t events_lost;        /* nor this */
    int audit;                 /* a file, or -1 */
    RH_VEC(pid_t) hooks;       /* --on-event, still running */
    struct rh_buf hook_queue;
    uint64_t page_told;
    char *silent;          /* a server that did not answer, in this run */
    char *refused;         /* a server that refused our log-in, likewise */
    RH_VEC(char *) wishes; /* "skip NAME", from other threads */
};
typedef struct rh_batch rh_batch;

uint64_t rh_batch_clock(void); /* monotonic nanoseconds */

/* --- engine.c */
/* The lowest wave that is not over. */
unsigned rh_batch_open_wave(const rh_batch *b);
/* Why the VM may not start now, or NULL; the caller frees.  Wave, order and
 * window alone. */
char *rh_batch_hold(const rh_batch *b, size_t i, unsigned open_wave,
                    time_t now);
/* Read again what others may have written. */
void rh_batch_refresh(rh_batch *b, size_t i);

/* --- step.c, begin.c: a VM's steps; all on the thread that runs the batch. */
/* Take the lease, and begin.  False: not now; it is settled, or it waits. */
bool rh_task_begin(rh_batch *b, size_t i);
/* Hear its worker, and take the next step when that has ended. */
void rh_task_look(rh_batch *b, size_t i);
/* Stop it; its state becomes pending, with `reason`. */
void rh_task_stop(rh_batch *b, size_t i, const char *reason);
/* Its key in t->key.  `ask`: the servers of remote sources, if that was not
 * done in this run; one that is silent counts as unchanged. */
void rh_task_key(rh_batch *b, size_t i, bool ask);
/* Is a VM done, by its key? */
bool rh_task_is_done(const rh_batch *b, size_t i);

/* --- space.c: who gets how much of OUT's file system */
/* Bytes promised to VMs that run on OUT's file system. */
uint64_t rh_batch_promised(const rh_batch *b);
bool rh_batch_somebody_runs(const rh_batch *b, size_t but);
/* What a VM needs, by what `report` says of it. */
void rh_batch_note_needs(rh_batch *b, size_t i, const json_t *report);
/* Why it does not fit now, or NULL; the caller frees. */
char *rh_batch_does_not_fit(const rh_batch *b, size_t i);
/* The same once what was fetched for VMs that do not run has given way. */
char *rh_batch_make_room(rh_batch *b, size_t i);
/* How much of what servers send for it may be kept; 0: nothing is.  *ret_more:
 * beyond what is there. */
uint64_t rh_batch_fetched_most(rh_batch *b, size_t i, uint64_t *ret_more);
void rh_batch_drop_fetched(rh_batch *b, size_t i);
/* What no VM of the batch will need. */
void rh_batch_sweep_fetched(rh_batch *b);

/* --- targets.c: a VM is not all or nothing */
/* What a worker says; results below `prefix`. */
void rh_targets_take(struct rh_record *r, const json_t *result,
                     const char *prefix);
bool rh_targets_open(const struct rh_record *r); /* is one not done? */
/* Is it the result of one that is done? */
bool rh_targets_made(const struct rh_record *r, const char *result);
/* What is done is what has a result; of the rest r->error is the reason. */
void rh_targets_unmade(struct rh_record *r);
/* Keep what is done by t->key and there. */
void rh_targets_check(rh_batch *b, size_t i);
/* "kvm/web01" of the n-th that is done, NULL at the end; all of them in one
 * text, NULL: none.  The caller frees. */
char *rh_targets_done(const struct rh_record *r, size_t n);
char *rh_targets_text(const struct rh_record *r);
json_t *rh_targets_json(const rh_batch *b, const struct rh_record *r);
/* A line for each that failed. */
void rh_targets_missing(const struct rh_record *r, struct rh_buf *t);

/* --- events.c */
int rh_events_begin(rh_batch *b, rh_error **err);
/* `vm` may be SIZE_MAX: of the batch itself. */
void rh_event(rh_batch *b, const char *event, size_t vm);
void rh_events_look(rh_batch *b);
void rh_events_end(rh_batch *b);

/* --- status.c */
json_t *rh_batch_name(const char *text); /* as JSON, whatever its bytes are */
json_t *rh_batch_json(rh_batch *b);      /* rehost.batch/1 */
char *rh_batch_text(rh_batch *b);        /* a table */
char *rh_batch_live(rh_batch *b);        /* the same, what matters first */
size_t rh_batch_open_count(rh_batch *b); /* VMs that have not ended */
char *rh_batch_page(rh_batch *b, unsigned refresh_seconds); /* HTML */
char *rh_batch_summary(rh_batch *b);
/* 0, 1, 3, 4 or 130 over the chosen VMs. */
int rh_batch_exit(rh_batch *b);

/* --- runbook.c: OUT/.rehost/runbook/VM.txt of a VM that is done */
void rh_batch_runbook(rh_batch *b, size_t i);

#endif
