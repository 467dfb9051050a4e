/* worker.h - one VM's work, in a process of its own: `rehost` run by rehost.
 *
 * Why a process: a crash, a leak, or a library that ends the process (running
 * out of memory, an appliance that hangs) takes one VM down and not the batch;
 * SIGKILL stops it at any point; its memory goes back to the system; and some
 * of what a conversion uses (libguestfs' settings, the language of messages)
 * is one for a whole process.  The price, an exec for each VM, is 10 ms. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BATCH_WORKER_H
#define RH_CONVERT_BATCH_WORKER_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/mem.h"

struct rh_worker {
    pid_t pid;       /* 0: none runs */
    int out, errors; /* pipes, or -1 */
    int log;         /* where its words go, or -1; the worker closes it */
    struct rh_buf printed, said, line;
    char stage[32];
    uint64_t done, total;
    double rate;
    bool moved; /* since somebody looked */
    int status; /* of waitpid, once it ended */
};

/* Takes `log`; `keep` (or -1) is a descriptor that it inherits under its
 * number.  It dies with the thread that started it. */
int rh_worker_start(struct rh_worker *w, const char *program, char *const *argv,
                    int log, int keep, rh_error **err);
/* Read what there is, without waiting.  True when it has ended. */
bool rh_worker_ended(struct rh_worker *w);
void rh_worker_signal(struct rh_worker *w, int number);
/* Kill it if it runs, and free. */
void rh_worker_clear(struct rh_worker *w);
/* Exit status; 128 + the signal's number when it was killed. */
int rh_worker_status(const struct rh_worker *w);
/* What it printed, as JSON; or NULL.  The caller's reference. */
json_t *rh_worker_result(const struct rh_worker *w);
/* {"code", "message", "hint", "subject"} of why it failed, never NULL. */
json_t *rh_worker_error(const struct rh_worker *w);

#endif
