/* lib.h - what one user of the library set: bounds, log, progress, cancel.
 *
 * Every long loop asks rh_go_on() once per unit of work (at most 1 MiB of data
 * or a few milliseconds). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_LIB_H
#define RH_BASE_LIB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

typedef struct rh_lib rh_lib;
enum rh_log_level { RH_LOG_DEBUG, RH_LOG_INFO, RH_LOG_WARN };

/* What was read for one purpose and serves all packages. */
struct rh_kept {
    const struct rh_keep *kind;
    void *thing;
};
struct rh_keep {
    void *(*make)(rh_error **err);
    void (*free)(void *thing);
};

struct rh_custom;
struct rh_fetched_store;
struct rh_receiver;
struct rh_rate;
struct rh_lib {
    atomic_bool cancelled;
    unsigned threads;        /* workers, at least 1 */
    unsigned threads_of_all; /* of all libraries side by side; 0: as above */
    uint64_t memory;         /* bytes of buffers all workers may hold */
    uint64_t max_disk_size;  /* largest virtual disk taken, bytes */
    struct rh_rate *rate;    /* of the network; NULL: no limit (rate.h) */
    char *trust;             /* CA file for signatures, or NULL */
    bool require_manifest;
    char *temp_dir; /* for spools and overlays; NULL: $TMPDIR */
    struct rh_fetched_store *fetched; /* fetched.h; NULL: nothing is kept */

    void (*log)(void *user, int level, const char *line);
    void *log_user;
    void (*progress)(void *user, const char *stage, uint64_t done,
                     uint64_t total);
    void *progress_user;
    /* An answer of a person (a password: hidden), to be freed; NULL: none. */
    char *(*ask)(void *user, const char *question, int hidden);
    void *ask_user;
    atomic_uint_least64_t progress_last; /* monotonic ns of the last report */
    int broker;            /* to the process that kept root's rights; 0: none */
    unsigned broker_calls; /* so far (deliver/local) */
    rh_lib *of;            /* whom this one works for: it keeps; or NULL */
    pthread_mutex_t lock;  /* zeroed is unlocked; guards what follows */
    RH_VEC(struct rh_kept) kept;
    RH_VEC(struct rh_custom *) customs;     /* custom.c */
    RH_VEC(struct rh_receiver *) receivers; /* receiver.c */
};

/* 0, or -1 with CANCELLED. */
int rh_go_on(rh_lib *lib, rh_error **err);
/* Report progress of a stage ("copy", "verify", "guest"); at most ten times a
 * second, the end always.  On the thread that runs the job only. */
void rh_progress(rh_lib *lib, const char *stage, uint64_t done, uint64_t total);
void rh_log(rh_lib *lib, enum rh_log_level level, const char *fmt, ...)
    RH_PRINTF(3, 4);

/* The one thing of this kind: made for the first who asks, borrowed by all
 * until the library is freed.  NULL when it could not be made.  Any thread:
 * what is made must be fit for being read by several. */
void *rh_lib_keep(rh_lib *lib, const struct rh_keep *kind, rh_error **err);
/* Free what was kept. */
void rh_lib_drop(rh_lib *lib);

/* A folder for temporary files: lib->temp_dir, $TMPDIR, or /var/tmp.
 * Borrowed. */
const char *rh_temp_dir(const rh_lib *lib);
/* An unlinked temporary file, open for reading and writing; -1 on failure. */
int rh_temp_file(const rh_lib *lib, rh_error **err);
/* rh_pwrite_all() to one: a full disk is another disk than --out's. */
int rh_temp_write(const rh_lib *lib, int fd, const void *buf, size_t n,
                  uint64_t offset, const char *name, rh_error **err);

#endif
