/* jobs.h - the job file of a batch, rehost.jobs/1: which VMs, how, and when.
 *
 * YAML written by hand: every error names the file and the line.  What a VM
 * does not say, `defaults` says; a VM's own list or text takes the default's
 * place, maps (set, network-map) are joined key by key. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_JOBS_H
#define RH_CONVERT_BATCH_JOBS_H

#include <time.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/options.h"

typedef RH_VEC(char *) rh_paths;
void rh_paths_free(rh_paths *paths); /* also for RH_AUTO */

/* A moment of every day, or one of the calendar; local time. */
struct rh_moment {
    enum { RH_MOMENT_NONE, RH_MOMENT_DAILY, RH_MOMENT_ONCE } kind;
    int minutes; /* DAILY: since midnight */
    time_t at;   /* ONCE */
    char *text;  /* as written */
};

struct rh_job_vm {
    char *name;   /* unique in the batch; what `after:` and --only say */
    bool named;   /* by the file: also the result's name */
    char *folder; /* its name in the journal: safe and unique */
    unsigned line, wave;
    rh_paths sources;          /* one, or bare disks that make one VM */
    rh_paths after;            /* names */
    RH_VEC(size_t) needs;      /* the same, as indexes */
    struct rh_options options; /* convert's, in order; no out, no name */
    rh_paths files;            /* of the options, whose content counts */
    char *deliver;             /* an address instead of OUT; or NULL */
    struct rh_moment not_before, not_after;
    unsigned retries;
    bool keep_fetched; /* what servers send, for the next try */
};

struct rh_jobs {
    char *path;   /* of the file */
    char *folder; /* that it lies in; relative paths start there */
    char *out;
    unsigned jobs, threads;     /* 0: not said */
    uint64_t memory, keep_free; /* bytes; 0: not said */
    uint64_t bandwidth;         /* bytes a second; 0: not said */
    unsigned retry_delay, lease_seconds;
    RH_VEC(struct rh_job_vm) vms;
    struct rh_name_map names;
};

/* JOBS_FILE (usage) with file and line, or why the file can't be read. */
struct rh_jobs *rh_jobs_read(const char *path, rh_error **err);
/* The same from memory; `path` says where relative paths start. */
struct rh_jobs *rh_jobs_parse(const char *text, size_t n, const char *path,
                              rh_error **err);
void rh_jobs_free(struct rh_jobs *jobs);
RH_FREEP(rh_jobs_freep, struct rh_jobs, rh_jobs_free)

/* May a VM start now, in a run that began at `began`?  Else *ret_reason (the
 * caller frees) says until when it waits. */
bool rh_job_window_open(const struct rh_job_vm *vm, time_t now, time_t began,
                        char **ret_reason);

/* Is this option given without a value? */
bool rh_job_is_switch(const char *option);
/* "web01" of "exports/web01.ova.gz"; the caller frees. */
char *rh_job_source_name(const char *source);
/* By its name: an OVA, OVF, VMX, or a folder; not a bare disk. */
bool rh_job_is_package(const char *source);

#endif
