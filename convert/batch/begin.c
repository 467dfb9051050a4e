/* begin.c - is a VM's turn to be taken: its key, what is done, lease, log-in.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "convert/batch/step.h"
#include "convert/batch/work_key.h"
#include "convert/options.h"
#include "convert/source_stamp.h"

/* "https://host:port" of an address. */
static size_t server_length(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#")
                : strlen(url);
}

/* `server` (may be NULL) is an address up to its server. */
static bool is_server(const char *server, const char *url)
{
    return server && strlen(server) == server_length(url) &&
           !strncmp(server, url, server_length(url));
}

/* What the servers say of the sources now; NULL when one says nothing. */
static char *ask_servers(rh_batch *b, const struct rh_job_vm *vm,
                         bool *ret_sure)
{
    struct rh_buf all = {0};

    *ret_sure = true;
    for (size_t k = 0; k < vm->sources.count; k++) {
        const char *source = vm->sources.items[k];
        RH_AUTO(rh_freep) char *stamp = NULL;
        bool sure = false, refused = false;

        if (!rh_source_is_remote(source))
            continue;
        /* The others of a silent server would cost as long. */
        if (!is_server(b->silent, source))
            stamp =
                rh_source_stamp(b->lib, source, &vm->options, &sure, &refused);
        *ret_sure &= sure;
        if (refused)
            rh_turn_text(&b->refused,
                         rh_strndup(source, server_length(source)));
        if (!stamp) {
            rh_turn_text(&b->silent, rh_strndup(source, server_length(source)));
            rh_buf_free(&all);
            return NULL;
        }
        rh_buf_printf(&all, "%s\n", stamp);
    }
    return rh_buf_take(&all);
}

void rh_task_key(rh_batch *b, size_t i, bool ask)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = rh_turn_vm(b, i);
    bool remote = false;

    if (!t->stamp)
        t->sure = true;
    for (size_t k = 0; k < vm->sources.count; k++)
        remote |= rh_source_is_remote(vm->sources.items[k]);
    if (remote && ask && !t->stamp)
        t->stamp = ask_servers(b, vm, &t->sure);
    if (remote && ask && !t->stamp)
        t->stamp = rh_strdup(t->record.stamp);
    rh_work_key(b->jobs, vm,
                !remote    ? NULL
                : t->stamp ? t->stamp
                           : t->record.stamp,
                t->key);
}

bool rh_task_is_done(const rh_batch *b, size_t i)
{
    const struct rh_task *t = &b->tasks[i];

    if (t->record.state != RH_VM_DONE || !t->record.key ||
        strcmp(t->record.key, t->key))
        return false;
    for (size_t k = 0; k < t->record.results.count; k++) {
        RH_AUTO(rh_freep)
        char *receipt = rh_printf("%s/%s/receipt.json", b->journal.out,
                                  t->record.results.items[k]);

        if (access(receipt, F_OK) < 0)
            return false;
    }
    return true;
}

/* --- begin */

/* Sources whose number of VMs `report` sees otherwise are not planned: the
 * size of their files is what they may need. */
static void plan_by_size(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    struct stat st;

    t->need_fetched = UINT64_MAX;
    t->need_out = RH_MIB;
    for (size_t k = 0; k < rh_turn_vm(b, i)->sources.count; k++)
        if (stat(rh_turn_vm(b, i)->sources.items[k], &st) == 0)
            t->need_out += (uint64_t)st.st_size;
    t->planned = true;
}

/* A run that was killed between "these results are whole" and "done". */
static bool complete_commit(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = rh_turn_vm(b, i);
    bool missing = true;
    rh_error *e = NULL;

    if (!t->record.commit || !t->record.key || strcmp(t->record.key, t->key))
        return false;
    if (rh_batch_journal_commit(&b->journal, &t->record,
                                rh_option_yes(&vm->options, "overwrite"),
                                &missing, &e) < 0 ||
        missing) {
        rh_error_free(e);
        return false;
    }
    if (rh_targets_open(&t->record)) { /* those are to be tried again */
        rh_turn_text(&t->record.commit, NULL);
        return false;
    }
    rh_step_done(b, i);
    return true;
}

/* "esxi://HOST" of an address, as far as two have it in common. */
static bool same_server(const char *a, const char *b)
{
    size_t n = 0;
    const char *host = a ? strstr(a, "://") : NULL;

    if (!host || !b)
        return false;
    n = (size_t)(host + 3 - a) + strcspn(host + 3, "/?#");
    return !strncmp(a, b, n) && (!b[n] || strchr("/?#", b[n]));
}

static const char *source_of(const struct rh_job_vm *vm)
{
    return vm->sources.count ? vm->sources.items[0] : NULL;
}

/* Each VM logs in by itself, and a few wrong passwords lock a user out: what a
 * server has refused in this run is not tried again. */
static const char *refused_before(const rh_batch *b, size_t i)
{
    const struct rh_job_vm *vm = rh_turn_vm(b, i);

    for (size_t k = 0; k < b->jobs->vms.count; k++) {
        const struct rh_task *t = &b->tasks[k];
        const struct rh_job_vm *other = rh_turn_vm(b, k);

        if (k != i && t->tried && t->settled && t->record.error &&
            rh_turn_error_is(t->record.error, "LOGIN_REFUSED") &&
            (same_server(source_of(vm), source_of(other)) ||
             same_server(vm->deliver, other->deliver)))
            return other->name;
    }
    return NULL;
}

static bool may_log_in(rh_batch *b, size_t i)
{
    const char *other = refused_before(b, i),
               *source = source_of(rh_turn_vm(b, i));
    bool asked = source && is_server(b->refused, source);
    rh_error *e = NULL;

    if (!other && !asked)
        return true;
    if (asked) /* it was to say whether the source has changed */
        rh_fail(&e, RH_ERR_LOGIN_REFUSED,
                "the server refused the log-in; it was not tried again");
    else
        rh_fail(
            &e, RH_ERR_LOGIN_REFUSED,
            "the server refused the log-in for \"%s\"; it was not tried again",
            other);
    rh_turn_failed_with(b, i, e);
    return false;
}

static void start_turn(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    char host[64] = "";

    gethostname(host, sizeof host - 1);
    if (!t->tried)
        t->record.attempts = 0;
    t->tried = true;
    t->record.attempts++;
    t->record.state = RH_VM_RUNNING;
    t->record.started = time(NULL);
    t->record.retry_at = 0;
    t->record.bytes_done = t->record.bytes_total = 0;
    t->record.stage[0] = '\0';
    rh_turn_text(&t->record.reason, NULL);
    rh_turn_text(&t->record.holder,
                 rh_printf(_("pid %ld on %s"), (long)getpid(), host));
    rh_turn_note(b, i);
    rh_event(b, "vm-start", i);
    if (!may_log_in(b, i))
        return;
    if (rh_turn_vm(b, i)->sources.count > 1 && !t->planned && !b->dry_run)
        plan_by_size(b, i);
    if (!t->planned) {
        rh_step_plan(b, i);
        return;
    }
    if (rh_step_wait_for_space(b, i))
        return;
    rh_step_with_space(b, i);
}

/* 1: ours; 0: not now; -1: it failed, and that is said. */
static int take_lease(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    rh_error *e = NULL;
    RH_AUTO(rh_closep)
    int dir = rh_batch_journal_vm(&b->journal, rh_turn_vm(b, i)->folder, &e);
    int got = dir < 0 ? -1
                      : rh_lease_take(dir, "lease", b->jobs->lease_seconds,
                                      &t->lease, NULL, &e);

    if (got > 0)
        t->mine = true;
    if (got >= 0)
        return got;
    t->record.attempts++;
    rh_turn_failed_with(b, i, e);
    return -1;
}

bool rh_task_begin(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    unsigned attempts = t->record.attempts;

    t->began = rh_batch_clock();
    if (!b->dry_run) {
        if (t->planned && rh_batch_somebody_runs(b, i)) {
            RH_AUTO(rh_freep) char *why = rh_batch_does_not_fit(b, i);

            if (why)
                return false;
        }
        if (take_lease(b, i) != 1)
            return false;
        rh_batch_refresh(b, i);
        if (t->tried) /* a journal on a full disk does not count on */
            t->record.attempts = attempts;
    }
    rh_task_key(b, i, true);
    if (rh_task_is_done(b, i)) {
        t->settled = true;
        rh_turn_let_go(b, i);
        return false;
    }
    if (!b->dry_run && complete_commit(b, i))
        return false;
    rh_turn_forget_unmoved(b, &t->record);
    if (!b->dry_run) {
        rh_targets_check(b, i);
        rh_batch_journal_sweep(&b->journal, rh_turn_vm(b, i)->folder);
    }
    start_turn(b, i);
    return t->step != RH_STEP_NONE;
}
