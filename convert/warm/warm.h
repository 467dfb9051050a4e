/* warm.h - a VM moves while it runs: a full copy, then rounds of what changed,
 * then the cutover.
 *
 *   journal.c  what is known of a job, in its folder
 *   sums.c     the digest tree of the copies
 *   side.c     the source: a disk that is read again, or a VM of a platform
 *              with snapshots and changed areas
 *   pass.c     one disk of one round
 *   round.c    all disks of one round
 *   stage.c    disks at the target, which each round brings up to date
 *   finish.c   the copies become a result: looked at, fixed, handed over
 *   found.c    was it handed over before?
 *   steps.c    start, sync, cutover, rehearse, abort
 *   status.c   rehost.warm/1
 *
 * A round is repeated from its beginning or goes on, whatever ended it: ranges
 * are written again.  What the guest fix changes in a copy is remembered before
 * it is written, and the next round takes it back. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_WARM_WARM_H
#define RH_CONVERT_WARM_WARM_H

#include "base/lease.h"
#include "convert/job.h"
#include "convert/warm/journal.h"
#include "convert/warm/pass.h"
#include "rehost/rehost.h"

struct rh_warm {
    rh_lib *lib;
    struct rh_warm_journal j;
    struct rh_lease *lease;
    struct rh_buf said; /* lines for people */
};

/* --- side.c: the source, open for one step */
struct rh_live_vm;
struct rh_warm_side {
    struct rh_package *package;
    struct rh_live_vm *vm; /* of a platform; or NULL */
};
int rh_warm_side_open(rh_warm *w, struct rh_warm_side *s, rh_error **err);
void rh_warm_side_close(struct rh_warm_side *s); /* also for RH_AUTO */
/* Before the first byte: what can never be done is said now. */
int rh_warm_side_check(rh_warm *w, struct rh_warm_side *s, rh_error **err);
/* What is read is at rest until thaw(), and has marks where it can. */
int rh_warm_side_freeze(rh_warm *w, struct rh_warm_side *s, bool last,
                        rh_error **err);
int rh_warm_side_thaw(rh_warm *w, struct rh_warm_side *s, rh_error **err);
struct rh_reader *rh_warm_side_disk(rh_warm *w, struct rh_warm_side *s,
                                    size_t i, rh_error **err);
/* What changed in disk i since that mark (NULL: what there is), added to *ret;
 * *ret_known false: it isn't told. */
int rh_warm_side_areas(rh_warm *w, struct rh_warm_side *s, size_t i,
                       const char *since, rh_pass_areas *ret, bool *ret_known,
                       rh_error **err);
/* Can its disks be looked into while it runs? */
bool rh_warm_side_looks(const struct rh_warm_side *s);
/* Switched off, or already so. */
int rh_warm_side_stop(rh_warm *w, struct rh_warm_side *s, const rh_options *o,
                      rh_error **err);
/* It was handed over: it gets another name. */
int rh_warm_side_retire(rh_warm *w, struct rh_warm_side *s, rh_error **err);
/* All that is ours there goes. */
int rh_warm_side_clean(rh_warm *w, struct rh_warm_side *s, rh_error **err);

/* --- round.c */
int rh_warm_round(rh_warm *w, struct rh_warm_side *s, bool last,
                  rh_error **err);
/* Disk `i` as the rounds left it. */
struct rh_reader *rh_warm_copy(rh_warm *w, size_t i, rh_error **err);

/* --- finish.c */
/* The format of the copies, and whether they become the result. */
int rh_warm_choose(rh_warm *w, const rh_options *o, rh_error **err);
/* Before a byte is copied: can what was asked for come to anything? */
int rh_warm_foresee(rh_warm *w, struct rh_warm_side *s, rh_error **err);
/* Would it be blocked?  Looks and fixes on the copies, writes nothing. */
int rh_warm_try(rh_warm *w, struct rh_warm_side *s, rh_error **err);
int rh_warm_hand_over(rh_warm *w, struct rh_warm_side *s, bool start,
                      rh_error **err);
int rh_warm_try_out(rh_warm *w, struct rh_warm_side *s, const char *network,
                    rh_error **err);

/* --- stage.c: disks at the target, of a delivery that takes them so */
bool rh_warm_stage_possible(const rh_options *o);
/* After a round: what the copies have otherwise goes there. */
int rh_warm_stage_send(rh_warm *w, rh_error **err);
bool rh_warm_stage_ready(const rh_warm *w); /* they are made */
void rh_warm_stage_options(const rh_warm *w, rh_options *o);
struct rh_delivery;
int rh_warm_stage_give(rh_warm *w, size_t disk, struct rh_reader *view,
                       struct rh_delivery *delivery, size_t place,
                       rh_error **err);
/* They go, unless they are a VM's. */
int rh_warm_stage_clean(rh_warm *w, rh_error **err);

/* --- found.c */
/* Was it handed over by one who died before he could write that down? */
int rh_warm_look_for_result(rh_warm *w, rh_error **err);
/* It was, and is to be started: that is made good. */
int rh_warm_start_result(rh_warm *w, rh_error **err);

/* --- steps.c: a line for people is added to w->said. */
void rh_warm_say(rh_warm *w, const char *fmt, ...) RH_PRINTF(2, 3);
/* The options of a command, without those that are the warm commands' own. */
rh_options *rh_warm_options(const rh_options *from, bool with_out);

#endif
