/* engine.c - who is next: one loop over all VMs, a few times a second.
 *
 * The loop only looks at memory; the journal is read when a VM's turn comes
 * and, for VMs that others may be working on, every few seconds. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/batch/batch.h"
#include "convert/batch/run.h"
#include "convert/batch/work_key.h"

enum { REFRESH_SECONDS = 5, PAUSE_MS = 200, PAGE_NS = 2000000000 };

uint64_t rh_batch_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- what others did
 * --------------------------------------------------------- */

void rh_batch_refresh(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    const char *vm = b->jobs->vms.items[i].folder;
    RH_AUTO(rh_closep) int dir = -1;

    rh_record_clear(&t->record);
    rh_batch_journal_read(&b->journal, vm, &t->record);
    if (t->record.state != RH_VM_RUNNING || t->mine)
        return;
    /* A state of a run that was killed says nothing any more. */
    dir = openat(b->journal.vms, vm, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rh_lease_held(dir, "lease", b->jobs->lease_seconds, NULL))
        return;
    t->record.state = RH_VM_PENDING;
    t->record.reserved = 0;
    free(t->record.holder);
    t->record.holder = NULL;
    free(t->record.reason);
    t->record.reason = rh_strdup(_("it was interrupted"));
}

static bool is_final(enum rh_vm_state s)
{
    return s == RH_VM_DONE || s == RH_VM_FAILED || s == RH_VM_REFUSED ||
           s == RH_VM_BLOCKED;
}

/* --- may it start?
 * ----------------------------------------------------------- */

/* Of this run, or of an earlier one: there is nothing to wait for. */
static bool has_ended(const rh_batch *b, size_t i)
{
    const struct rh_task *t = &b->tasks[i];

    if (!b->running)
        return is_final(t->record.state);
    return t->settled || (!t->chosen && is_final(t->record.state)) ||
           (!t->tried && t->record.state == RH_VM_DONE);
}

static char *hold_after(const rh_batch *b, const struct rh_job_vm *vm)
{
    for (size_t k = 0; k < vm->needs.count; k++) {
        size_t other = vm->needs.items[k];
        const char *name = b->jobs->vms.items[other].name;
        enum rh_vm_state s = b->tasks[other].record.state;

        if (s == RH_VM_DONE)
            continue;
        if (has_ended(b, other) && is_final(s))
            return rh_printf(_("after %s, which is %s"), name,
                             _(rh_vm_state_name(s)));
        return rh_printf(_("after %s"), name);
    }
    return NULL;
}

char *rh_batch_hold(const rh_batch *b, size_t i, unsigned open_wave, time_t now)
{
    const struct rh_job_vm *vm = &b->jobs->vms.items[i];
    char *why = hold_after(b, vm);

    if (why)
        return why;
    if (vm->wave > open_wave)
        return rh_printf(_("wave %u is not over"), open_wave);
    rh_job_window_open(vm, now, b->began ? b->began : now, &why);
    return why;
}

/* The same for the loop: without words, and waves looked at once. */
static bool may_start(const rh_batch *b, size_t i, unsigned wave, time_t now)
{
    const struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = &b->jobs->vms.items[i];

    if (!t->chosen || t->settled || t->mine || t->skipped ||
        t->step != RH_STEP_NONE || t->record.retry_at > now ||
        t->record.state == RH_VM_RUNNING)
        return false;
    if (b->dry_run)
        return true;
    if (vm->wave > wave)
        return false;
    for (size_t k = 0; k < vm->needs.count; k++)
        if (b->tasks[vm->needs.items[k]].record.state != RH_VM_DONE)
            return false;
    return rh_job_window_open(vm, now, b->began, NULL);
}

static bool waits_in_vain(const rh_batch *b, size_t i)
{
    const struct rh_job_vm *vm = &b->jobs->vms.items[i];

    for (size_t k = 0; k < vm->needs.count; k++) {
        const struct rh_task *n = &b->tasks[vm->needs.items[k]];

        if (n->record.state != RH_VM_DONE && n->record.state != RH_VM_RUNNING &&
            (n->settled || n->hopeless || !n->chosen))
            return true;
    }
    return false;
}

/* What waits for a VM that will not be done in this run will not start; nor
 * what waits for that. */
static void give_up_some(rh_batch *b)
{
    bool changed = !b->dry_run;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        b->tasks[i].hopeless = b->tasks[i].skipped;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < b->jobs->vms.count; i++) {
            struct rh_task *t = &b->tasks[i];

            if (t->hopeless || t->settled || !waits_in_vain(b, i))
                continue;
            t->hopeless = changed = true;
        }
    }
}

/* --- one look at everything
 * -------------------------------------------------- */

static void grant_wishes(rh_batch *b)
{
    for (size_t w = 0; w < b->wishes.count; w++) {
        size_t i = rh_name_map_find(&b->jobs->names, b->wishes.items[w]);

        free(b->wishes.items[w]);
        if (i == SIZE_MAX || b->tasks[i].settled)
            continue;
        b->tasks[i].skipped = true;
        if (!b->tasks[i].mine)
            continue;
        rh_task_stop(b, i, _("skipped by hand"));
        rh_batch_drop_fetched(b, i);
    }
    b->wishes.count = 0;
}

static size_t count_running(const rh_batch *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        n += b->tasks[i].step != RH_STEP_NONE;
    return n;
}

unsigned rh_batch_open_wave(const rh_batch *b)
{
    unsigned wave = UINT32_MAX;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (b->tasks[i].chosen && !has_ended(b, i) && !b->tasks[i].hopeless)
            wave = RH_MIN(wave, b->jobs->vms.items[i].wave);
    return wave;
}

static bool anything_left(const rh_batch *b)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (b->tasks[i].chosen && !b->tasks[i].settled && !b->tasks[i].hopeless)
            return true;
    return false;
}

static void start_some(rh_batch *b)
{
    size_t running = count_running(b);
    time_t now = time(NULL);
    unsigned wave = rh_batch_open_wave(b);

    for (size_t i = 0; i < b->jobs->vms.count && running < b->at_once; i++)
        if (may_start(b, i, wave, now) && rh_task_begin(b, i))
            running++;
}

static void look_at_workers(rh_batch *b)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (b->tasks[i].step != RH_STEP_NONE)
            rh_task_look(b, i);
}

/* VMs that another process has in hand, or had. */
static void refresh_others(rh_batch *b)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        struct rh_task *t = &b->tasks[i];

        if (t->mine || t->settled || t->record.state == RH_VM_WAITING)
            continue;
        rh_batch_refresh(b, i);
        if (t->tried || !t->chosen || t->record.state != RH_VM_DONE)
            continue;
        rh_task_key(b, i, false);
        t->settled = rh_task_is_done(b, i);
    }
}

static void write_page(rh_batch *b, bool last)
{
    uint64_t now = rh_batch_clock();
    RH_AUTO(rh_lease_releasep) struct rh_lease *lease = NULL;
    RH_AUTO(rh_freep) char *page = NULL;

    if (b->dry_run || (!last && now - b->page_told < PAGE_NS))
        return;
    b->page_told = now;
    /* Several runs may share the journal, and one page is enough. */
    if (rh_lease_take(b->journal.dir, "page", b->jobs->lease_seconds, &lease,
                      NULL, NULL) != 1)
        return;
    page = rh_batch_page(b, last ? 0 : 5);
    rh_batch_journal_put(b->journal.dir, "status.html", page, false, NULL);
}

/* --- the loop
 * ---------------------------------------------------------------- */

static void wait_a_moment(rh_batch *b)
{
    size_t n = 0, room = 2 * count_running(b);
    RH_AUTO(rh_freep) struct pollfd *fds = rh_calloc(room + 1, sizeof *fds);

    for (size_t i = 0; i < b->jobs->vms.count && n + 2 <= room; i++) {
        const struct rh_worker *w = &b->tasks[i].worker;

        if (b->tasks[i].step == RH_STEP_NONE)
            continue;
        if (w->out >= 0)
            fds[n++] = (struct pollfd){w->out, POLLIN, 0};
        if (w->errors >= 0)
            fds[n++] = (struct pollfd){w->errors, POLLIN, 0};
    }
    pthread_mutex_unlock(&b->lock);
    poll(fds, (nfds_t)n, PAUSE_MS);
    pthread_mutex_lock(&b->lock);
}

static void stop_all(rh_batch *b)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (b->tasks[i].mine)
            rh_task_stop(b, i, _("it was interrupted"));
}

static void loop(rh_batch *b)
{
    time_t refreshed = time(NULL);

    while (anything_left(b)) {
        if (atomic_load(&b->quit) || atomic_load(&b->lib->cancelled)) {
            b->interrupted = true;
            break;
        }
        grant_wishes(b);
        look_at_workers(b);
        give_up_some(b);
        if (!b->paused)
            start_some(b);
        rh_events_look(b);
        write_page(b, false);
        if (time(NULL) - refreshed >= REFRESH_SECONDS && !b->dry_run) {
            refresh_others(b);
            refreshed = time(NULL);
        }
        give_up_some(b);
        if (anything_left(b))
            wait_a_moment(b);
    }
    stop_all(b);
}

/* A run that was killed right behind its last word left its lease. */
static void clear_lease(const rh_batch *b, size_t i)
{
    const char *vm = b->jobs->vms.items[i].folder;
    RH_AUTO(rh_freep) char *path = rh_printf("%s/lease", vm);
    RH_AUTO(rh_lease_releasep) struct rh_lease *lease = NULL;
    RH_AUTO(rh_closep) int dir = -1;

    if (b->dry_run || faccessat(b->journal.vms, path, F_OK, 0) < 0)
        return;
    dir = rh_batch_journal_vm(&b->journal, vm, NULL);
    if (dir >= 0)
        rh_lease_take(dir, "lease", b->jobs->lease_seconds, &lease, NULL, NULL);
}

/* What is done already is known from the journal, whoever did it; what failed,
 * was refused or blocked is tried again. */
static void take_stock(rh_batch *b)
{
    size_t untold = 0;

    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        struct rh_task *t = &b->tasks[i];

        t->settled = t->tried = t->skipped = t->planned = false;
        rh_batch_refresh(b, i);
        if (t->record.state == RH_VM_WAITING) {
            t->record.state = RH_VM_PENDING;
            t->record.retry_at = 0;
        }
        if (t->record.state != RH_VM_DONE)
            continue;
        rh_task_key(b, i, true);
        t->settled = rh_task_is_done(b, i);
        untold += t->settled && t->chosen && !t->sure;
        if (t->settled)
            clear_lease(b, i);
        else
            t->record.state = RH_VM_PENDING;
    }
    if (untold)
        rh_log(b->lib, RH_LOG_WARN,
               dngettext(
                   RH_TEXT_DOMAIN,
                   "of what is done, the disks of %zu VM may have changed "
                   "since (it runs, or nothing tells): it stays as it is; to "
                   "have it done anew, remove its result",
                   "of what is done, the disks of %zu VMs may have changed "
                   "since (they run, or nothing tells): they stay as they "
                   "are; to have one done anew, remove its result",
                   untold),
               untold);
}

int rh_batch_loop(rh_batch *b, rh_error **err)
{
    pthread_mutex_lock(&b->lock);
    b->interrupted = false;
    b->began = time(NULL);
    if (rh_events_begin(b, err) < 0) {
        pthread_mutex_unlock(&b->lock);
        return -1;
    }
    b->running = true;
    take_stock(b);
    if (!b->dry_run)
        rh_batch_sweep_fetched(b);
    rh_event(b, "batch-begin", SIZE_MAX);
    loop(b);
    b->running = false;
    write_page(b, true);
    rh_event(b, b->interrupted ? "batch-interrupted" : "batch-end", SIZE_MAX);
    rh_events_end(b);
    pthread_mutex_unlock(&b->lock);
    return 0;
}
