/* step.c - one VM's steps: plan, space, conversion, commit. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "convert/batch/step.h"
#include "convert/options.h"

enum { GRACE_MS = 20000 };

/* --- space
 * ------------------------------------------------------------------- */

void rh_step_with_space(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    uint64_t more;

    t->fetched_most = rh_batch_fetched_most(b, i, &more);
    t->record.reserved = more + (rh_turn_vm(b, i)->deliver ? 0 : t->need_out);
    rh_turn_note(b, i);
    rh_step_convert(b, i);
}

/* It waits as long as somebody runs who may leave space behind; with nobody
 * left it is a failure like any other full disk. */
bool rh_step_wait_for_space(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    RH_AUTO(rh_freep) char *why = rh_batch_make_room(b, i);
    rh_error *e = NULL;

    if (!why)
        return false;
    if (!rh_batch_somebody_runs(b, i)) {
        rh_fail(&e, RH_ERR_NO_SPACE, "%s", why);
        rh_turn_failed_with(b, i, e);
        return true;
    }
    rh_turn_text(&t->record.reason, RH_TAKE(why));
    t->record.attempts--;
    rh_turn_end(b, i, RH_VM_WAITING);
    rh_event(b, "vm-waiting", i);
    return true;
}

void rh_step_done(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    rh_turn_error(t, NULL);
    rh_paths_free(&t->record.earlier);
    if (b->tasks[i].record.bytes_total)
        t->record.bytes_done = t->record.bytes_total;
    rh_batch_runbook(b, i);
    rh_turn_settle(b, i, RH_VM_DONE, "vm-done");
}

/* Some targets are there, `status` is of those that are not. */
static void done_in_part(rh_batch *b, size_t i, int status)
{
    struct rh_task *t = &b->tasks[i];

    rh_turn_text(&t->record.commit, NULL);
    rh_batch_runbook(b, i);
    rh_turn_failed(b, i, json_incref(t->record.error), status);
}

/* Results are whole in work/: write that down, then move them. */
static void commit(rh_batch *b, size_t i, int status)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = rh_turn_vm(b, i);
    bool missing, replace = rh_option_yes(&vm->options, "overwrite");
    rh_error *e = NULL;

    if (rh_batch_journal_write(&b->journal, vm->folder, &t->record, &e) < 0) {
        rh_turn_failed_with(b, i, e);
        return;
    }
    if (!rh_lease_still(t->lease)) {
        rh_turn_lost(b, i);
        return;
    }
    if (rh_batch_journal_commit(&b->journal, &t->record, replace, &missing,
                                &e) < 0) {
        rh_turn_failed_with(b, i, e);
        return;
    }
    if (missing) {
        rh_fail(&e, RH_ERR_BATCH_JOURNAL, "a result is gone from work/");
        rh_turn_failed_with(b, i, e);
        return;
    }
    if (status)
        done_in_part(b, i, status);
    else
        rh_step_done(b, i);
}

static char *staging_prefix(const rh_batch *b, size_t i)
{
    const char *staging = b->tasks[i].staging;

    return rh_printf("%s/.rehost/work/%s/", b->journal.out,
                     staging ? staging : "");
}

/* The worker's {"results": [DIR...]}, as paths below the staging folder; how
 * many there are. */
static size_t take_results(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    RH_AUTO(rh_freep) char *prefix = staging_prefix(b, i);
    json_t *doc = rh_worker_result(&t->worker), *item;
    size_t k, made = 0;

    rh_targets_take(&t->record, doc, prefix);
    json_array_foreach (json_object_get(doc, "results"), k, item) {
        const char *path = json_string_value(item);

        if (path && !strncmp(path, prefix, strlen(prefix))) {
            *rh_vec_add(&t->record.results) = rh_strdup(path + strlen(prefix));
            made++;
        }
    }
    json_decref(doc);
    return made;
}

/* All but those of targets that are done, and stay. */
static void results_become_earlier(struct rh_record *r)
{
    size_t kept = 0;

    for (size_t k = 0; k < r->results.count; k++)
        if (rh_targets_made(r, r->results.items[k]))
            r->results.items[kept++] = r->results.items[k];
        else
            *rh_vec_add(&r->earlier) = r->results.items[k];
    r->results.count = kept;
}

/* A worker that was interrupted has told what stands on a server by then: that
 * is not made again. */
static void take_delivered(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    if (!rh_turn_vm(b, i)->deliver || t->step != RH_STEP_CONVERT ||
        t->worker.pid || !WIFEXITED(t->worker.status))
        return;
    take_results(b, i);
    rh_turn_text(&t->record.key, rh_strdup(t->key));
}

static void converted(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    int status = rh_worker_status(&t->worker);
    /* Who was killed has told nothing of what it made. */
    bool told = WIFEXITED(t->worker.status) && status != 130;
    size_t made;

    if (status && !told) {
        take_delivered(b, i);
        rh_turn_failed(b, i, rh_worker_error(&t->worker), status);
        return;
    }
    if (!rh_turn_vm(b, i)->deliver)
        results_become_earlier(&t->record);
    made = take_results(b, i);
    rh_turn_text(&t->record.key, rh_strdup(t->key));
    if (rh_turn_vm(b, i)->deliver && !status) {
        rh_step_done(b, i);
        return;
    }
    if (rh_turn_vm(b, i)->deliver ||
        (status ? !made : !t->record.results.count)) {
        rh_turn_failed(b, i, rh_worker_error(&t->worker), status ? status : 1);
        return;
    }
    rh_turn_error(t, status ? rh_worker_error(&t->worker) : NULL);
    rh_turn_text(&t->record.commit, rh_strdup(t->staging));
    commit(b, i, status);
}

static void planned(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    int status = rh_worker_status(&t->worker);
    json_t *report;

    /* What convert makes of words that report refuses, it says itself. */
    if (status && status != 4 && (status != 2 || b->dry_run)) {
        rh_turn_failed(b, i, rh_worker_error(&t->worker), status);
        return;
    }
    report = rh_worker_result(&t->worker);
    rh_batch_note_needs(b, i, report);
    json_decref(report);
    rh_worker_clear(&t->worker);
    if (b->dry_run) {
        RH_AUTO(rh_freep) char *size = rh_human_size(t->need_out);

        t->settled = true;
        rh_turn_text(&t->record.reason,
                     rh_printf(_("would be converted: %s"), size));
        rh_turn_end(b, i, status == 4 ? RH_VM_BLOCKED : RH_VM_PENDING);
        return;
    }
    if (rh_step_wait_for_space(b, i))
        return;
    rh_step_with_space(b, i);
}

static void tell_progress(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    uint64_t now = rh_batch_clock();

    snprintf(t->record.stage, sizeof t->record.stage, "%s", t->worker.stage);
    t->record.bytes_done = t->worker.done;
    t->record.bytes_total = t->worker.total;
    t->record.rate = t->worker.rate;
    t->worker.moved = false;
    if (now - t->told < 1000000000)
        return;
    t->told = now;
    if (!b->dry_run)
        rh_batch_journal_progress(&b->journal, rh_turn_vm(b, i)->folder,
                                  &t->record);
    rh_event(b, "vm-progress", i);
}

void rh_task_look(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    bool ended = rh_worker_ended(&t->worker);

    if (t->lease && rh_lease_lost(t->lease)) {
        rh_turn_lost(b, i);
        return;
    }
    if (t->worker.moved && t->step == RH_STEP_CONVERT)
        tell_progress(b, i);
    if (!ended)
        return;
    if (t->step == RH_STEP_PLAN)
        planned(b, i);
    else
        converted(b, i);
}

/* --- stop */

/* What a delivery has made on a server its worker takes away itself, when it is
 * asked to end and given the time.  True: it was quicker, and is done. */
static bool let_end(rh_batch *b, size_t i)
{
    struct rh_worker *w = &b->tasks[i].worker;
    int ms = 0;

    if (!rh_turn_vm(b, i)->deliver || b->tasks[i].step != RH_STEP_CONVERT)
        return false;
    rh_worker_signal(w, SIGTERM);
    for (; ms < GRACE_MS && !rh_worker_ended(w); ms += 20)
        poll(NULL, 0, 20);
    return !w->pid && rh_worker_status(w) == 0;
}

void rh_task_stop(rh_batch *b, size_t i, const char *reason)
{
    struct rh_task *t = &b->tasks[i];

    if (let_end(b, i)) {
        rh_step_done(b, i);
        return;
    }
    take_delivered(b, i);
    rh_turn_text(&t->record.reason, rh_strdup(reason));
    rh_turn_end(b, i, RH_VM_PENDING);
    rh_event(b, "vm-stopped", i);
}
