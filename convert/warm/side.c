/* side.c - the source of a warm migration, open for one step.
 *
 * A VM of a platform (live/live.h) is read from a snapshot of ours, which goes
 * when the round ends, and says what changed since the mark of an earlier one.
 * A lone disk (a file, a device, nbd://) or a package is simply read again:
 * what changed isn't told, so all of it is compared with the digests. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/http.h"
#include "base/limits.h"
#include "base/wait.h"
#include "convert/warm/warm.h"
#include "convert/warm/when.h"
#include "live/live.h"

enum { SHUTDOWN_SECONDS = 600 };
#define LEAST_FREE (2 * RH_GIB)

static const struct rh_live_platform *on(const struct rh_warm_side *s)
{
    return s->vm->live->platform;
}

static bool keeps(const rh_warm *w)
{
    return rh_option_yes(w->j.options, "keep-snapshot");
}

/* --- opening
 * ------------------------------------------------------------------ */

/* By the platform's id, once it is known: names change, not least by us. */
static char *address(const rh_warm *w)
{
    const char *host = strstr(w->j.source, "://");
    RH_AUTO(rh_freep) char *id = NULL;

    if (!w->j.vm_id || !host)
        return rh_strdup(w->j.source);
    host += 3;
    id = rh_http_escape(w->j.vm_id);
    return rh_printf("%.*s/%s", (int)(host + strcspn(host, "/") - w->j.source),
                     w->j.source, id);
}

static int check_keeping(const rh_warm *w, const struct rh_warm_side *s,
                         rh_error **err)
{
    if (!keeps(w) || (s->vm && on(s)->follows))
        return 0;
    rh_fail(err, RH_ERR_USAGE,
            "--keep-snapshot is for VMs of vSphere: esxi://, vcenter://");
    return rh_hint(err, "leave it out");
}

int rh_warm_side_open(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    rh_options *o = rh_warm_options(w->j.options, false);
    RH_AUTO(rh_freep) char *source = address(w);

    rh_options_put(o, "warm", "yes");
    if (keeps(w))
        rh_options_put(o, "keep-snapshot", "yes");
    s->package = rh_package_load_for(w->lib, source, o, false, err);
    rh_options_free(o);
    if (!s->package)
        return -1;
    s->vm = rh_live_vm_of(s->package);
    if (s->package->vms.count == 1)
        return check_keeping(w, s, err);
    rh_fail(err, RH_ERR_USAGE, "%zu VMs are in it; a job is for one",
            s->package->vms.count);
    return rh_hint(err, "say which one with --vm");
}

void rh_warm_side_close(struct rh_warm_side *s)
{
    rh_package_unload(s->package);
    s->package = NULL;
    s->vm = NULL;
}

bool rh_warm_side_looks(const struct rh_warm_side *s)
{
    return !s->vm;
}

/* --- before the first byte
 * ---------------------------------------------------- */

static int check_blockers(const struct rh_warm_side *s, rh_error **err)
{
    const rh_finding *f;

    for (size_t i = 0; (f = rh_package_finding(s->package, 0, i)); i++)
        if (rh_finding_severity(f) == RH_FINDING_BLOCKER)
            return rh_fail(err, RH_ERR_PLAN_BLOCKED, "%s: %s (%s)",
                           rh_finding_subject(f), rh_finding_message(f),
                           rh_finding_id(f));
    return 0;
}

static int check_space(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    const char *given = rh_option(w->j.options, "min-free");
    uint64_t least = LEAST_FREE, there = 0;

    if (given && !rh_parse_size(given, &least))
        return rh_fail(err, RH_ERR_USAGE, "--min-free cannot be \"%s\"", given);
    if (!on(s)->space || on(s)->space(s->vm, &there, NULL) < 0 ||
        there >= least)
        return 0;
    return rh_fail(err, RH_ERR_WARM_SPACE,
                   "the source's datastore has %llu bytes free, fewer than "
                   "the %llu below which no snapshot is held",
                   (unsigned long long)there, (unsigned long long)least);
}

static int check_tracking(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    bool tracked = false;

    if (!on(s)->tracking || !on(s)->changed) {
        rh_warm_say(w, _("the platform does not tell what changed: each round "
                         "reads all of the disks"));
        return 0;
    }
    if (on(s)->tracking(s->vm, &tracked, err) < 0)
        return -1;
    if (tracked || rh_option_yes(w->j.options, "enable-cbt"))
        return 0;
    if (keeps(w) && on(s)->follows(s->vm))
        rh_warm_say(w, _("changed block tracking is off: the snapshot of each "
                         "round stays until the next is done, whose delta "
                         "files tell what changed"));
    else if (keeps(w))
        rh_warm_say(w, _("changed block tracking is off, and the disks' delta "
                         "files can't be read: each round reads all of the "
                         "disks"));
    else
        rh_warm_say(w, _("changed block tracking is off: each round reads all "
                         "of the disks (--enable-cbt switches it on)"));
    return 0;
}

int rh_warm_side_check(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    if (!s->vm)
        return 0;
    if (!on(s)->snapshot || !on(s)->unsnapshot || !on(s)->state ||
        !on(s)->power) {
        rh_fail(err, RH_ERR_PLAN_BLOCKED,
                "a VM of %s:// can't be moved while it runs", on(s)->scheme);
        return rh_hint(err, "shut it down, and use `rehost convert`");
    }
    w->j.vm_id = rh_strdup(s->vm->id);
    if (check_blockers(s, err) < 0 || check_space(w, s, err) < 0)
        return -1;
    return check_tracking(w, s, err);
}

/* --- snapshots
 * ---------------------------------------------------------------- */

/* One of an earlier round, or of one that died. */
static int drop_snapshot(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    if (!w->j.snapshot_name)
        return 0;
    if (!w->j.snapshot && on(s)->find_snapshot &&
        on(s)->find_snapshot(s->vm, w->j.snapshot_name, &w->j.snapshot, err) <
            0)
        return -1;
    if (w->j.snapshot && on(s)->unsnapshot(s->vm, w->j.snapshot, err) < 0)
        return -1;
    free(w->j.snapshot);
    free(w->j.snapshot_name);
    w->j.snapshot_ended = false;
    w->j.snapshot = w->j.snapshot_name = NULL;
    return rh_warm_journal_save(&w->j, err);
}

/* --- snapshots that marks stand on: the first of them is that of the last
 * round
 * -- */

static int release(rh_warm *w, struct rh_warm_side *s, size_t keep,
                   rh_error **err)
{
    while (w->j.held.count > keep) {
        struct rh_warm_snapshot *h = &w->j.held.items[w->j.held.count - 1];

        if (on(s)->unsnapshot(s->vm, h->id, err) < 0)
            return -1;
        free(h->name);
        free(h->id);
        w->j.held.count--;
        if (rh_warm_journal_save(&w->j, err) < 0)
            return -1;
    }
    return 0;
}

/* It is needed as long as its marks are. */
static int hold(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    if (!w->j.snapshot) /* its maker died before it knew the id */
        return drop_snapshot(w, s, err);
    w->j.snapshot_ended = false;
    *rh_vec_add(&w->j.held) = (struct rh_warm_snapshot){
        RH_TAKE(w->j.snapshot_name), RH_TAKE(w->j.snapshot)};
    return rh_warm_journal_save(&w->j, err);
}

/* Of the round's first try, which the next one goes on from? */
static bool is_first_try(const rh_warm *w)
{
    const struct rh_warm_disk *d =
        w->j.disks.count ? &w->j.disks.items[0] : NULL;

    return w->j.in_round && d && d->part_mark && d->next_mark &&
           !strcmp(d->part_mark, d->next_mark);
}

static bool marks_hold(const rh_warm *w, const struct rh_warm_side *s)
{
    if (!on(s)->marks_hold)
        return false;
    for (size_t i = 0; i < w->j.disks.count; i++) {
        const struct rh_warm_disk *d = &w->j.disks.items[i];

        if (on(s)->marks_hold(d->next_mark ? d->next_mark : d->mark))
            return true;
    }
    return w->j.disks.count == 0 && on(s)->marks_hold(NULL);
}

/* What a round that ended, or was broken off, leaves. */
static int put_away(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    if (!marks_hold(w, s)) /* a mark of an earlier round may, if any */
        return drop_snapshot(w, s, err) < 0 ||
                       (!w->j.in_round && release(w, s, 0, err) < 0)
                   ? -1
                   : 0;
    if (w->j.in_round)
        return is_first_try(w) ? hold(w, s, err) : drop_snapshot(w, s, err);
    if (!w->j.snapshot_ended) /* nothing has come of it; or the VM was off */
        return drop_snapshot(w, s, err);
    return release(w, s, 0, err) < 0 ? -1 : hold(w, s, err);
}

static int switch_tracking_on(rh_warm *w, struct rh_warm_side *s,
                              rh_error **err)
{
    bool tracked = true;

    if (w->j.tracking_by_us || !rh_option_yes(w->j.options, "enable-cbt") ||
        !on(s)->tracking || !on(s)->track)
        return 0;
    if (on(s)->tracking(s->vm, &tracked, err) < 0)
        return -1;
    if (tracked)
        return 0;
    w->j.tracking_by_us = true;
    if (rh_warm_journal_save(&w->j, err) < 0)
        return -1;
    return on(s)->track(s->vm, true, err);
}

/* Snapshots that only keep marks must not fill a datastore. */
static int watch_space(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    size_t held = w->j.held.count;

    if (check_space(w, s, err) == 0)
        return 0;
    if (held && err && rh_error_number(*err) == RH_ERR_WARM_SPACE &&
        release(w, s, 0, NULL) == 0)
        rh_warm_say(w, _("snapshots of ours at the source are removed: the "
                         "next round compares all of the disks"));
    return -1;
}

static int take_snapshot(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    bool quiesce = rh_option_yes(w->j.options, "quiesce"), quiesced = false;

    if (watch_space(w, s, err) < 0 || switch_tracking_on(w, s, err) < 0)
        return -1;
    w->j.snapshot_ended = false;
    w->j.snapshot_name =
        rh_printf("rehost-%s-%zu-%llx", w->j.name, w->j.rounds.count + 1,
                  (unsigned long long)time(NULL));
    if (rh_warm_journal_save(&w->j, err) < 0 ||
        on(s)->snapshot(s->vm, w->j.snapshot_name, quiesce, &w->j.snapshot,
                        &quiesced, err) < 0)
        return -1;
    if (quiesce && !quiesced)
        rh_warm_say(w, _("the guest's tools could not flush it: the snapshot "
                         "is as after a power cut"));
    return rh_warm_journal_save(&w->j, err);
}

/* What the next round asks with. */
static int take_marks(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    for (size_t i = 0; i < w->j.disks.count; i++) {
        struct rh_warm_disk *d = &w->j.disks.items[i];

        free(d->next_mark);
        d->next_mark = NULL;
        if (on(s)->mark && w->j.snapshot &&
            on(s)->mark(s->vm, i, w->j.snapshot, &d->next_mark, err) < 0)
            return -1;
    }
    return 0;
}

static int refresh(struct rh_warm_side *s, bool *ret_off, rh_error **err)
{
    enum rh_live_state state;

    if ((on(s)->refresh && on(s)->refresh(s->vm, err) < 0) ||
        on(s)->state(s->vm, &state, err) < 0)
        return -1;
    *ret_off = state == RH_LIVE_OFF;
    return 0;
}

int rh_warm_side_freeze(rh_warm *w, struct rh_warm_side *s, bool last,
                        rh_error **err)
{
    bool off;

    if (!s->vm)
        return 0;
    if (put_away(w, s, err) < 0 || refresh(s, &off, err) < 0)
        return -1;
    if (last && !off)
        return rh_fail(err, RH_ERR_WARM_RUNNING,
                       "the source VM was started again");
    if (!off && take_snapshot(w, s, err) < 0)
        return -1;
    return take_marks(w, s, err);
}

int rh_warm_side_thaw(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    return s->vm ? put_away(w, s, err) : 0;
}

/* --- disks
 * -------------------------------------------------------------------- */

struct rh_reader *rh_warm_side_disk(rh_warm *w, struct rh_warm_side *s,
                                    size_t i, rh_error **err)
{
    if (!s->vm)
        return rh_package_disk(s->package, 0, i, err);
    return on(s)->disk(s->vm, i, w->j.snapshot, err);
}

static int add_area(void *user, const struct rh_live_area *a, rh_error **err)
{
    enum { AREAS_MOST = 32 * 1024 * 1024 };
    rh_pass_areas *areas = user;

    if (areas->count >= AREAS_MOST)
        return rh_fail(err, RH_ERR_LIVE_UNTRACKED,
                       "the disk has too many changed areas");
    *rh_vec_add(areas) = (struct rh_pass_area){a->start, a->length, a->zero};
    return 0;
}

int rh_warm_side_areas(rh_warm *w, struct rh_warm_side *s, size_t i,
                       const char *since, rh_pass_areas *ret, bool *ret_known,
                       rh_error **err)
{
    rh_error *why = NULL;
    size_t before = ret->count;
    int failed;

    *ret_known = false;
    if (!s->vm || !on(s)->changed)
        return 0;
    failed =
        on(s)->changed(s->vm, i, w->j.snapshot, since, add_area, ret, &why);
    *ret_known = !failed;
    if (!failed)
        return 0;
    ret->count = before;
    if (rh_error_number(why) != RH_ERR_LIVE_UNTRACKED)
        failed = rh_error_again(err, why);
    else
        failed = 0;
    if (!failed)
        rh_log(w->lib, RH_LOG_WARN, "disk %zu: %s; all of it is compared", i,
               rh_error_message(why));
    rh_error_free(why);
    return failed;
}

/* --- the cutover
 * -------------------------------------------------------------- */

static int wait_until_off(rh_warm *w, struct rh_warm_side *s, time_t until,
                          bool *ret_off, rh_error **err)
{
    enum { NAPS = 10 };

    for (;;) {
        if (refresh(s, ret_off, err) < 0)
            return -1;
        if (*ret_off || time(NULL) >= until)
            return 0;
        for (int i = 0; i < NAPS; i++)
            if (rh_wait_nap(w->lib, err) < 0)
                return -1;
    }
}

/* 1: asked, 0: there is nobody to ask. */
static int ask_guest(struct rh_warm_side *s, bool may_power_off, rh_error **err)
{
    rh_error *why = NULL;
    int asked = on(s)->power(s->vm, RH_LIVE_SHUT_DOWN, &why) == 0;

    if (!asked &&
        !(may_power_off && rh_error_number(why) == RH_ERR_LIVE_NO_TOOLS))
        asked = rh_error_again(err, why);
    rh_error_free(why);
    return asked;
}

static int switch_off(rh_warm *w, struct rh_warm_side *s, const rh_options *o,
                      double seconds, rh_error **err)
{
    bool may = rh_option_yes(o, "power-off"), off = false;
    int asked = ask_guest(s, may, err);

    if (asked < 0)
        return -1;
    if (asked &&
        wait_until_off(w, s, time(NULL) + (time_t)seconds, &off, err) < 0)
        return -1;
    if (!off && !may)
        return rh_fail(err, RH_ERR_WARM_RUNNING,
                       "the guest did not shut down within %.0f seconds",
                       seconds);
    if (!off &&
        (on(s)->power(s->vm, RH_LIVE_POWER_OFF, err) < 0 ||
         wait_until_off(w, s, time(NULL) + SHUTDOWN_SECONDS, &off, err) < 0))
        return -1;
    return off ? 0
               : rh_fail(err, RH_ERR_WARM_RUNNING,
                         "the VM could not be switched off");
}

int rh_warm_side_stop(rh_warm *w, struct rh_warm_side *s, const rh_options *o,
                      rh_error **err)
{
    const char *timeout = rh_option(o, "shutdown-timeout");
    double seconds = SHUTDOWN_SECONDS;
    bool off;

    if (timeout && !rh_parse_duration(timeout, &seconds))
        return rh_fail(err, RH_ERR_USAGE, "--shutdown-timeout cannot be \"%s\"",
                       timeout);
    if (!s->vm) /* whoever gives us a disk stops what writes it */
        return rh_option_yes(o, "power-off")
                   ? rh_fail(err, RH_ERR_USAGE,
                             "--power-off is for VMs of a platform: a disk's "
                             "own VM is yours to stop")
                   : 0;
    if (refresh(s, &off, err) < 0)
        return -1;
    if (off)
        return 0;
    w->j.shut_down = true; /* known before it is */
    if (rh_warm_journal_save(&w->j, err) < 0)
        return -1;
    return switch_off(w, s, o, seconds, err);
}

/* That nobody starts it by mistake: a right that is missing is no failure of
 * what was moved. */
int rh_warm_side_retire(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s-moved", w->j.vm_name);
    rh_error *why = NULL;

    if (!s->vm || !on(s)->rename || w->j.renamed)
        return 0;
    if (on(s)->rename(s->vm, name, &why) == 0) {
        w->j.renamed = true;
        rh_warm_say(w, _("the source VM is switched off, and is called %s now"),
                    name);
        return rh_warm_journal_save(&w->j, err);
    }
    rh_warm_say(w, _("the source VM is switched off, but keeps its name: %s"),
                rh_error_message(why));
    rh_error_free(why);
    return 0;
}

int rh_warm_side_clean(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    if (!s->vm)
        return 0;
    if (drop_snapshot(w, s, err) < 0 || release(w, s, 0, err) < 0)
        return -1;
    if (!w->j.tracking_by_us || !on(s)->track)
        return 0;
    if (on(s)->track(s->vm, false, err) < 0)
        return -1;
    w->j.tracking_by_us = false;
    return rh_warm_journal_save(&w->j, err);
}
