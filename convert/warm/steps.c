/* steps.c - start, sync, cutover, rehearse, abort: the public calls. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/wait.h"
#include "convert/warm/warm.h"
#include "convert/warm/when.h"
#include "deliver/deliver.h"

enum { ROUNDS_AT_MOST = 8 }; /* until the last one was short enough */
#define LEASE "lease"

static void warm_freep(rh_warm **w)
{
    rh_warm_close(*w);
}

void rh_warm_say(rh_warm *w, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    line = rh_vprintf(fmt, ap);
    va_end(ap);
    rh_buf_printf(&w->said, "%s\n", line);
    rh_log(w->lib, RH_LOG_INFO, "%s", line);
}

/* --- options
 * ------------------------------------------------------------------ */

rh_options *rh_warm_options(const rh_options *from, bool with_out)
{
    rh_options *o = rh_options_new();

    for (size_t i = 0; i < from->list.count; i++) {
        const struct rh_option *item = &from->list.items[i];

        if (!rh_option_is_warm(item->key) &&
            (with_out || strcmp(item->key, "out") != 0))
            rh_options_put(o, item->key, item->value);
    }
    return o;
}

/* A job is found again from anywhere: paths that are there become whole. */
static char *whole_path(const char *path)
{
    char *real = strstr(path, "://") ? NULL : realpath(path, NULL);

    return real ? real : rh_strdup(path);
}

static char *whole_value(const char *key, const char *value)
{
    static const char *const paths[] = {"disk",  "fill",   "drivers",
                                        "login", "tls-ca", "source-tls-ca",
                                        "trust", NULL};

    if (!strcmp(key, "key") && !strncmp(value, "file:", 5)) {
        RH_AUTO(rh_freep) char *path = whole_path(value + 5);

        return rh_printf("file:%s", path);
    }
    for (size_t i = 0; paths[i]; i++)
        if (!strcmp(key, paths[i]))
            return whole_path(value);
    return rh_strdup(value);
}

static bool is_folder_name(const char *out)
{
    return !strstr(out, "://") && !strchr(out, ':') && strcmp(out, "-") != 0;
}

/* --out may not be there yet: its folder's path is made whole once it is. */
static char *whole_out(const char *out)
{
    RH_AUTO(rh_freep) char *here = NULL;

    if (!is_folder_name(out) || out[0] == '/')
        return rh_strdup(out);
    here = realpath(".", NULL);
    return rh_printf("%s/%s", here ? here : ".", out);
}

static rh_options *whole_options(const rh_options *o)
{
    rh_options *all = rh_options_new();

    for (size_t i = 0; i < o->list.count; i++) {
        const struct rh_option *item = &o->list.items[i];
        RH_AUTO(rh_freep)
        char *value = !strcmp(item->key, "out")
                          ? whole_out(item->value)
                          : whole_value(item->key, item->value);

        rh_options_put(all, item->key, value);
    }
    return all;
}

static int duration(const rh_options *o, const char *key, double *ret,
                    rh_error **err)
{
    const char *value = rh_option(o, key);

    if (!value)
        return 0;
    if (rh_parse_duration(value, ret))
        return 0;
    rh_fail(err, RH_ERR_USAGE, "--%s cannot be \"%s\"", key, value);
    return rh_hint(err, "write 90s, 30m or 2h");
}

/* --- opening
 * ------------------------------------------------------------------ */

static int take_lease(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *holder = NULL;
    int got = rh_lease_take(w->j.dir, LEASE, RH_LEASE_STALE_SECONDS, &w->lease,
                            &holder, err);

    w->j.lease = w->lease;
    if (got == 1)
        return 0;
    if (got == 0)
        rh_fail(err, RH_ERR_WARM_BUSY, "%s works on this job", holder);
    return rh_error_subject(err, w->j.name);
}

static rh_warm *warm_new(rh_lib *lib)
{
    rh_warm *w = rh_new0(rh_warm);

    w->lib = lib;
    w->j.dir = -1;
    return w;
}

void rh_warm_close(rh_warm *w)
{
    if (!w)
        return;
    rh_lease_release(w->lease);
    rh_warm_journal_close(&w->j);
    rh_buf_free(&w->said);
    free(w);
}

rh_warm *rh_warm_open(rh_lib *lib, const char *job, rh_error **err)
{
    RH_AUTO(warm_freep) rh_warm *w = warm_new(lib);

    if (rh_warm_journal_open(&w->j, job, err) < 0)
        return NULL;
    return RH_TAKE(w);
}

/* Read what another may have written before we had the lease. */
static int own(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_strdup(w->j.path);

    if (w->lease)
        return 0;
    if (take_lease(w, err) < 0)
        return -1;
    rh_warm_journal_close(&w->j);
    if (rh_warm_journal_open(&w->j, path, err) < 0)
        return -1;
    w->j.lease = w->lease;
    return 0;
}

/* The same, and it is known whether it was handed over. */
static int own_and_look(rh_warm *w, rh_error **err)
{
    return own(w, err) < 0 ? -1 : rh_warm_look_for_result(w, err);
}

static char *job_name(const rh_options *o, const struct rh_package *p)
{
    const char *job = rh_option(o, "job"), *name = rh_option(o, "name");

    if (job)
        return rh_strdup(job);
    if (!name)
        name = rh_package_vm_name(p, 0);
    if (!name)
        name = p->vms.items[0]->id;
    return rh_safe_name(name ? name : "vm");
}

/* Nothing half-made is left of one that could not be begun. */
static int begin_job(rh_warm *w, rh_error **err)
{
    if (take_lease(w, err) < 0) {
        rh_warm_journal_leave(&w->j);
        return -1;
    }
    if (rh_warm_journal_fresh(&w->j, err) < 0)
        return -1;
    if (rh_warm_journal_mark(&w->j, err) == 0 &&
        rh_warm_choose(w, w->j.options, err) == 0 &&
        rh_warm_journal_save(&w->j, err) == 0)
        return 0;
    rh_lease_release(RH_TAKE(w->lease));
    w->j.lease = NULL;
    rh_warm_journal_remove(&w->j, NULL);
    return -1;
}

/* The VM is known, and that it can be one: then the job is. */
static int set_up(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    const char *out = rh_option(w->j.options, "out");
    RH_AUTO(rh_freep) char *name = job_name(w->j.options, s->package);
    const char *vm = rh_package_vm_name(s->package, 0);

    w->j.vm_name = rh_strdup(vm ? vm : s->package->vms.items[0]->id);
    if (rh_warm_side_check(w, s, err) < 0)
        return -1;
    if (rh_warm_journal_create(&w->j, name, is_folder_name(out) ? out : NULL,
                               err) < 0)
        return rh_deliverer_of(out)->parted
                   ? rh_hint(err, "name a user who has a home folder: --run-as "
                                  "USER; or set XDG_STATE_HOME to a folder "
                                  "into which that user may write")
                   : -1;
    return begin_job(w, err);
}

rh_warm *rh_warm_start(rh_lib *lib, const char *source, const rh_options *o,
                       rh_error **err)
{
    const struct rh_reach reach = {.sources = &source, .count = 1};
    RH_AUTO(warm_freep) rh_warm *w = warm_new(lib);
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};

    if (rh_options_check_reach(o, &reach, err) < 0)
        return NULL;
    if (!rh_option(o, "out")) {
        rh_fail(err, RH_ERR_USAGE, "it was not said where to write");
        rh_hint(err, "add --out DIR");
        return NULL;
    }
    w->j.options = whole_options(o);
    w->j.source = whole_path(source);
    if (rh_warm_side_open(w, &s, err) < 0 || rh_warm_foresee(w, &s, err) < 0 ||
        set_up(w, &s, err) < 0)
        return NULL;
    rh_warm_say(w, _("job %s: %s"), w->j.name, w->j.path);
    return RH_TAKE(w);
}

/* --- rounds
 * ------------------------------------------------------------------- */

static void say_round(rh_warm *w)
{
    const struct rh_warm_round *r = &w->j.rounds.items[w->j.rounds.count - 1];
    RH_AUTO(rh_freep) char *changed = rh_human_size(r->changed);
    RH_AUTO(rh_freep) char *sent = rh_human_size(r->sent);
    RH_AUTO(rh_freep) char *delivered = rh_human_size(r->delivered);

    rh_warm_say(w,
                _("round %zu (%s): %s written, %s read from the source, "
                  "%.1f seconds"),
                w->j.rounds.count + (size_t)w->j.rounds_forgotten, r->how,
                changed, sent, r->seconds);
    if (w->j.staged)
        rh_warm_say(w, _("  %s sent to %s"), delivered,
                    rh_option(w->j.options, "out"));
}

static int refuse_state(const rh_warm *w, rh_error **err)
{
    rh_fail(err, RH_ERR_WARM_STATE,
            "the job is %s: that can't be done any more",
            rh_warm_state_name(w->j.state));
    return rh_error_subject(err, w->j.name);
}

static int one_round(rh_warm *w, bool last, rh_error **err)
{
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};
    bool first = w->j.rounds.count == 0;
    int failed = rh_warm_side_open(w, &s, err) < 0 ||
                 rh_warm_round(w, &s, last, err) < 0 ||
                 rh_warm_stage_send(w, err) < 0;

    if (failed)
        return -1;
    say_round(w);
    return first && rh_warm_try(w, &s, err) < 0 ? -1 : 0;
}

/* The source was started again after a cutover that failed. */
static void back_to_rounds(rh_warm *w)
{
    if (w->j.state == RH_WARM_CUTOVER)
        w->j.state = RH_WARM_SYNCED;
}

static int nap_until(rh_warm *w, time_t until, rh_error **err)
{
    while (time(NULL) < until)
        if (rh_wait_nap(w->lib, err) < 0)
            return -1;
    return 0;
}

/* With --every: until somebody ends it.  What may pass is tried again. */
static int rounds_for_ever(rh_warm *w, double seconds, rh_error **err)
{
    for (;;) {
        rh_error *why = NULL;
        time_t next = time(NULL) + (time_t)seconds;

        if (one_round(w, false, &why) < 0 &&
            (rh_error_status(why) != 1 ||
             rh_error_number(why) == RH_ERR_WARM_BUSY)) {
            int status = rh_error_again(err, why);

            rh_error_free(why);
            return status;
        }
        if (why)
            rh_log(w->lib, RH_LOG_WARN, "%s; the next round is tried again",
                   rh_error_message(why));
        rh_error_free(why);
        if (nap_until(w, next, err) < 0)
            return -1;
    }
}

/* It may be said again, for those who split for it (rh_lib_split). */
static int check_out(const rh_warm *w, const rh_options *o, rh_error **err)
{
    const char *out = rh_option(o, "out");
    const char *own = rh_option(w->j.options, "out");

    if (!out || !strcmp(out, own))
        return 0;
    return rh_fail(err, RH_ERR_USAGE, "the job goes to %s, not to %s", own,
                   out);
}

int rh_warm_sync(rh_warm *w, const rh_options *o, rh_error **err)
{
    double every = 0;

    if (duration(o, "every", &every, err) < 0 || check_out(w, o, err) < 0 ||
        own_and_look(w, err) < 0)
        return -1;
    if (w->j.state > RH_WARM_CUTOVER)
        return refuse_state(w, err);
    back_to_rounds(w);
    return every > 0 ? rounds_for_ever(w, every, err)
                     : one_round(w, false, err);
}

/* --- cutover
 * ------------------------------------------------------------------ */

struct when {
    time_t at, to; /* 0: at once; no end */
    double most;   /* seconds that the last round may take; 0: any */
};

static int read_when(const rh_options *o, struct when *ret, rh_error **err)
{
    const char *at = rh_option(o, "at"), *window = rh_option(o, "window");

    *ret = (struct when){0};
    if (at && window)
        return rh_fail(err, RH_ERR_USAGE,
                       "--at and --window are two ways to say the time");
    if (at && !rh_parse_time(at, time(NULL), &ret->at)) {
        rh_fail(err, RH_ERR_USAGE, "--at cannot be \"%s\"", at);
        return rh_hint(err, "write 02:00, \"Sun 02:00\" or 2026-12-06T02:00");
    }
    if (window && !rh_parse_window(window, time(NULL), &ret->at, &ret->to)) {
        rh_fail(err, RH_ERR_USAGE, "--window cannot be \"%s\"", window);
        return rh_hint(err, "write 02:00-04:00 or \"Sun 02:00-04:00\"");
    }
    return duration(o, "max-last-round", &ret->most, err);
}

static int too_late(const struct when *when, rh_error **err)
{
    if (!when->to || time(NULL) < when->to)
        return 0;
    return rh_fail(err, RH_ERR_WARM_WINDOW,
                   "the window ended before the last round was short enough");
}

/* Rounds while the source runs, until one was short: so will the last be. */
static int come_close(rh_warm *w, const struct when *when, rh_error **err)
{
    for (unsigned i = 0;; i++) {
        const struct rh_warm_round *r;

        if (too_late(when, err) < 0)
            return -1;
        if (w->j.state == RH_WARM_CUTOVER)
            return 0;
        if (one_round(w, false, err) < 0)
            return -1;
        r = &w->j.rounds.items[w->j.rounds.count - 1];
        if (when->most <= 0 || r->seconds <= when->most)
            return too_late(when, err);
        if (i >= ROUNDS_AT_MOST && !when->to)
            return rh_fail(err, RH_ERR_WARM_WINDOW,
                           "the last round took %.0f seconds, more than %.0f "
                           "that are allowed",
                           r->seconds, when->most);
    }
}

/* The source is off from here on: an error says what that means. */
static int stands_still(rh_warm *w, rh_error **err)
{
    if (err && *err && w->j.shut_down)
        rh_hint(err,
                "the source VM is switched off, and unchanged: run `rehost "
                "warm cutover %s` again, or start it where it is and go on "
                "with `rehost warm sync %s`",
                w->j.name, w->j.name);
    return -1;
}

/* It could not be switched off: the rounds go on as before. */
static int runs_on(rh_warm *w)
{
    w->j.state = RH_WARM_SYNCED;
    rh_warm_journal_save(&w->j, NULL);
    return -1;
}

static int cut(rh_warm *w, const rh_options *o, rh_error **err)
{
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};

    if (rh_warm_side_open(w, &s, err) < 0 || rh_warm_try(w, &s, err) < 0)
        return -1;
    w->j.state = RH_WARM_CUTOVER;
    if (rh_warm_journal_save(&w->j, err) < 0)
        return -1;
    if (rh_warm_side_stop(w, &s, o, err) < 0)
        return runs_on(w);
    if (rh_warm_round(w, &s, true, err) < 0 || rh_warm_stage_send(w, err) < 0)
        return stands_still(w, err);
    say_round(w);
    if (rh_warm_hand_over(w, &s, rh_option(o, "start") != NULL, err) < 0)
        return stands_still(w, err);
    return 0;
}

static void drop_copies(rh_warm *w)
{
    for (size_t i = 0; i < w->j.disks.count; i++) {
        const char *file = w->j.disks.items[i].file;
        RH_AUTO(rh_freep) char *sums = rh_printf("%s.sums", file);
        RH_AUTO(rh_freep) char *sent = rh_printf("%s.sent", file);

        unlinkat(w->j.dir, file, 0);
        unlinkat(w->j.dir, sums, 0);
        unlinkat(w->j.dir, sent, 0);
    }
}

/* The source keeps existing, under another name; our copies are the result's
 * now, or were delivered. */
static int close_job(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};

    if (rh_warm_side_open(w, &s, err) < 0 ||
        rh_warm_side_retire(w, &s, err) < 0 ||
        rh_warm_side_clean(w, &s, err) < 0)
        return -1;
    drop_copies(w);
    w->j.state = RH_WARM_DONE;
    return rh_warm_journal_save(&w->j, err);
}

static int check_start(const rh_warm *w, const rh_options *o, rh_error **err)
{
    if (!rh_option(o, "start") ||
        !is_folder_name(rh_option(w->j.options, "out")))
        return 0;
    rh_fail(err, RH_ERR_USAGE, "a folder starts nothing");
    return rh_hint(err, "deliver the result with `rehost push RESULT-DIR --to "
                        "URL --start`");
}

int rh_warm_cutover(rh_warm *w, const rh_options *o, rh_error **err)
{
    struct when when;

    if (read_when(o, &when, err) < 0 || check_out(w, o, err) < 0 ||
        own_and_look(w, err) < 0 || check_start(w, o, err) < 0)
        return -1;
    if (w->j.state == RH_WARM_NEW || w->j.state == RH_WARM_DONE)
        return refuse_state(w, err);
    if (w->j.state != RH_WARM_HANDED &&
        (nap_until(w, when.at, err) < 0 || come_close(w, &when, err) < 0 ||
         cut(w, o, err) < 0))
        return -1;
    if (rh_option(o, "start") && rh_warm_start_result(w, err) < 0)
        return -1;
    return close_job(w, err);
}

/* --- rehearsal and end
 * -------------------------------------------------------- */

int rh_warm_rehearse(rh_warm *w, const rh_options *o, rh_error **err)
{
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};

    if (check_out(w, o, err) < 0 || own(w, err) < 0)
        return -1;
    if (w->j.state != RH_WARM_SYNCED)
        return refuse_state(w, err);
    if (w->j.in_round) {
        rh_fail(err, RH_ERR_WARM_STATE,
                "the last round was interrupted: the copies are of two times");
        return rh_hint(err, "run `rehost warm sync %s` first", w->j.name);
    }
    if (rh_warm_side_open(w, &s, err) < 0)
        return -1;
    return rh_warm_try_out(w, &s, rh_option(o, "network"), err);
}

/* The source can't be reached, now or ever. */
static int still_there(const rh_warm *w, rh_error **err)
{
    return rh_hint(err,
                   "%s is still at the source: run `rehost warm abort %s` "
                   "again when it can be reached; if it is gone for good, "
                   "remove %s",
                   w->j.snapshot_name ? w->j.snapshot_name
                   : w->j.held.count  ? w->j.held.items[0].name
                                      : "changed block tracking",
                   w->j.name, w->j.path);
}

/* The target can't be reached, now or ever. */
static int disks_there(const rh_warm *w, rh_error **err)
{
    if (err && rh_error_number(*err) == RH_ERR_UNAVAILABLE)
        return -1;
    return rh_hint(err,
                   "disks of ours are still at %s, without a VM: run `rehost "
                   "warm abort %s` again when it can be reached; if it is "
                   "gone for good, remove %s",
                   rh_option(w->j.options, "out"), w->j.name, w->j.path);
}

/* Where not even a lease finds room the copies go first: that is what their job
 * is aborted for. */
static int own_to_end(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (own(w, &why) == 0)
        return 0;
    if (rh_error_number(why) != RH_ERR_NO_SPACE ||
        rh_lease_held(w->j.dir, LEASE, RH_LEASE_STALE_SECONDS, NULL)) {
        *err = RH_TAKE(why);
        return -1;
    }
    drop_copies(w);
    return own(w, err);
}

/* A job can be given up while the target can't be asked. */
static void look_if_possible(rh_warm *w)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (rh_warm_look_for_result(w, &why) < 0)
        rh_warm_say(w,
                    _("whether a cutover has left a VM at the target is not "
                      "known: %s"),
                    rh_error_message(why));
}

int rh_warm_abort(rh_warm *w, rh_error **err)
{
    RH_AUTO(rh_warm_side_close) struct rh_warm_side s = {0};
    bool off;

    if (own_to_end(w, err) < 0)
        return -1;
    look_if_possible(w);
    off = w->j.shut_down && w->j.state < RH_WARM_HANDED;
    if ((w->j.snapshot_name || w->j.held.count || w->j.tracking_by_us) &&
        (rh_warm_side_open(w, &s, err) < 0 ||
         rh_warm_side_clean(w, &s, err) < 0))
        return still_there(w, err);
    if (rh_warm_stage_clean(w, err) < 0)
        return disks_there(w, err);
    rh_lease_release(RH_TAKE(w->lease));
    w->j.lease = NULL;
    if (rh_warm_journal_remove(&w->j, err) < 0)
        return -1;
    rh_warm_say(w, _("job %s is gone, and all of ours with it"), w->j.name);
    if (off)
        rh_warm_say(w, _("the source VM is switched off; start it where it "
                         "is when it is to run again"));
    return 0;
}
