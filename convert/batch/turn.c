/* turn.c - how one VM's turn ends: done, failed, to be tried again, lost. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/batch/step.h"
#include "rehost/rehost.h"

/* --- end of a VM's turn
 * ------------------------------------------------------ */

const struct rh_job_vm *rh_turn_vm(const rh_batch *b, size_t i)
{
    return &b->jobs->vms.items[i];
}

void rh_turn_text(char **slot, char *value)
{
    free(*slot);
    *slot = value;
}

void rh_turn_let_go(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    rh_worker_clear(&t->worker);
    rh_lease_release(RH_TAKE(t->lease));
    rh_turn_text(&t->staging, NULL);
    t->mine = false;
    t->step = RH_STEP_NONE;
}

/* What can't be written (a full disk, a server that is away) is written by the
 * next run: until then the journal says what was true before. */
void rh_turn_note(rh_batch *b, size_t i)
{
    rh_error *e = NULL;

    if (b->dry_run)
        return;
    if (rh_batch_journal_write(&b->journal, rh_turn_vm(b, i)->folder,
                               &b->tasks[i].record, &e) < 0)
        rh_log(b->lib, RH_LOG_WARN, "%s: %s", rh_turn_vm(b, i)->name,
               rh_error_message(e));
    rh_error_free(e);
}

static double seconds_since(uint64_t began)
{
    return (double)(rh_batch_clock() - began) / 1e9;
}

void rh_turn_end(rh_batch *b, size_t i, enum rh_vm_state state)
{
    struct rh_task *t = &b->tasks[i];

    t->record.state = state;
    t->record.ended = time(NULL);
    t->record.seconds = seconds_since(t->began);
    t->record.reserved = 0;
    rh_turn_text(&t->record.holder, NULL);
    rh_turn_text(&t->record.commit, NULL);
    /* First the leavings, then the word that all is over: who is killed in
     * between leaves a state that the next run completes. */
    rh_worker_clear(&t->worker);
    if (t->mine && !b->dry_run)
        rh_batch_journal_sweep(&b->journal, rh_turn_vm(b, i)->folder);
    rh_turn_note(b, i);
    rh_turn_let_go(b, i);
}

void rh_turn_settle(rh_batch *b, size_t i, enum rh_vm_state state,
                    const char *event)
{
    struct rh_task *t = &b->tasks[i];

    /* What failed goes on with what it has fetched. */
    if (state != RH_VM_FAILED && !b->dry_run && t->mine)
        rh_batch_drop_fetched(b, i);
    rh_turn_text(&t->record.reason, NULL);
    rh_turn_text(&t->record.key, rh_strdup(t->key));
    rh_turn_text(&t->record.stamp, rh_strdup(t->stamp));
    t->settled = true;
    rh_turn_end(b, i, state);
    rh_event(b, event, i);
}

/* --- failures
 * ---------------------------------------------------------------- */

/* Takes `error`. */
void rh_turn_error(struct rh_task *t, json_t *error)
{
    json_decref(t->record.error);
    t->record.error = error;
}

bool rh_turn_error_is(const json_t *error, const char *code)
{
    const char *found = json_string_value(json_object_get(error, "code"));

    return found && !strcmp(found, code);
}

static enum rh_error_class class_of(const json_t *error)
{
    for (enum rh_error_id id = RH_ERR_NONE + 1; id < RH_ERR_COUNT; id++)
        if (rh_turn_error_is(error, rh_error_name_of(id)))
            return rh_error_class_of(id);
    return RH_CLASS_INTERNAL;
}

/* Tries by the kind of error: what only a person mends is not tried again. */
static unsigned tries_for(const struct rh_job_vm *vm, const json_t *error)
{
    static const char *const by_hand[] = {"FILE_EXISTS", "FILE_NOT_FOUND",
                                          "UNAVAILABLE"};

    for (size_t k = 0; k < RH_COUNT(by_hand); k++)
        if (rh_turn_error_is(error, by_hand[k]))
            return 1;
    switch (class_of(error)) {
    case RH_CLASS_IO:
    case RH_CLASS_SERVICE:
    case RH_CLASS_MEMORY:
        return vm->retries + 1;
    case RH_CLASS_INTERNAL: /* a crash: once more, it may be the machine */
        return RH_MIN(vm->retries + 1, 2);
    default:
        return 1;
    }
}

/* 5, 15, 45, 135, 300, 300 seconds: with six retries more than ten minutes. */
static unsigned delay_of(const rh_batch *b, unsigned attempts)
{
    uint64_t delay = b->jobs->retry_delay;

    for (unsigned k = 1; k < attempts && delay < 300; k++)
        delay *= 3;
    return (unsigned)RH_MIN(delay, RH_MAX(b->jobs->retry_delay, 300));
}

static void try_again(rh_batch *b, size_t i, unsigned tries)
{
    struct rh_task *t = &b->tasks[i];
    const char *message =
        json_string_value(json_object_get(t->record.error, "message"));
    char clock[16];
    struct tm at;

    t->record.retry_at = time(NULL) + (time_t)delay_of(b, t->record.attempts);
    localtime_r(&t->record.retry_at, &at);
    strftime(clock, sizeof clock, "%H:%M:%S", &at);
    rh_turn_text(&t->record.reason,
                 rh_printf(_("try %u of %u at %s: %s"), t->record.attempts + 1,
                           tries, clock, message ? message : ""));
    rh_turn_text(&t->stamp, NULL); /* it may be another source by then */
    rh_turn_end(b, i, RH_VM_WAITING);
    rh_event(b, "vm-retry", i);
}

/* Of results on their way, those that did not get there are none: what lies in
 * OUT under their names is another's. */
void rh_turn_forget_unmoved(const rh_batch *b, struct rh_record *r)
{
    size_t kept = 0;

    for (size_t k = 0; r->commit && k < r->results.count; k++) {
        RH_AUTO(rh_freep)
        char *from = rh_printf("%s/%s", r->commit, r->results.items[k]);

        if (faccessat(b->journal.work, from, F_OK, 0) < 0)
            r->results.items[kept++] = r->results.items[k];
        else
            free(r->results.items[k]);
    }
    if (r->commit) {
        r->results.count = kept;
        rh_targets_unmade(r);
    }
    rh_turn_text(&r->commit, NULL);
}

/* Takes `error`; `status` is convert's exit status. */
void rh_turn_failed(rh_batch *b, size_t i, json_t *error, int status)
{
    struct rh_task *t = &b->tasks[i];
    unsigned tries = tries_for(rh_turn_vm(b, i), error);

    rh_turn_error(t, error);
    rh_turn_forget_unmoved(b, &t->record);
    if (status == 3)
        rh_turn_settle(b, i, RH_VM_REFUSED, "vm-refused");
    else if (status == 4)
        rh_turn_settle(b, i, RH_VM_BLOCKED, "vm-blocked");
    else if (t->record.attempts < tries && !b->dry_run)
        try_again(b, i, tries);
    else
        rh_turn_settle(b, i, RH_VM_FAILED, "vm-failed");
}

void rh_turn_failed_with(rh_batch *b, size_t i, rh_error *e)
{
    RH_AUTO(rh_freep) char *text = rh_error_json(e);
    json_t *doc = json_loads(text, 0, NULL);
    json_t *error = json_incref(json_object_get(doc, "error"));

    json_decref(doc);
    rh_turn_failed(b, i, error, rh_error_status(e));
    rh_error_free(e);
}

/* Another machine took it over: what it writes counts. */
void rh_turn_lost(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    rh_worker_clear(&t->worker);
    t->mine = false;
    rh_turn_let_go(b, i);
    rh_log(b->lib, RH_LOG_WARN, "%s: %s", rh_turn_vm(b, i)->name,
           _("this machine was silent for too long; another one goes on"));
    rh_event(b, "vm-lost", i);
    rh_batch_refresh(b, i);
}
