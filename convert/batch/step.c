/* step.c - one VM: lease, key, plan, space, conversion, commit. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/random.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "convert/batch/work_key.h"
#include "convert/options.h"
#include "convert/source_stamp.h"
#include "rehost/rehost.h"

enum { GRACE_MS = 20000 };

/* --- end of a VM's turn
 * ------------------------------------------------------ */

static const struct rh_job_vm *vm_of(const rh_batch *b, size_t i)
{
    return &b->jobs->vms.items[i];
}

static void set_text(char **slot, char *value)
{
    free(*slot);
    *slot = value;
}

static void let_go(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    rh_worker_clear(&t->worker);
    rh_lease_release(RH_TAKE(t->lease));
    set_text(&t->staging, NULL);
    t->mine = false;
    t->step = RH_STEP_NONE;
}

/* What can't be written (a full disk, a server that is away) is written by the
 * next run: until then the journal says what was true before. */
static void note(rh_batch *b, size_t i)
{
    rh_error *e = NULL;

    if (b->dry_run)
        return;
    if (rh_batch_journal_write(&b->journal, vm_of(b, i)->folder,
                               &b->tasks[i].record, &e) < 0)
        rh_log(b->lib, RH_LOG_WARN, "%s: %s", vm_of(b, i)->name,
               rh_error_message(e));
    rh_error_free(e);
}

static double seconds_since(uint64_t began)
{
    return (double)(rh_batch_clock() - began) / 1e9;
}

static void end_turn(rh_batch *b, size_t i, enum rh_vm_state state)
{
    struct rh_task *t = &b->tasks[i];

    t->record.state = state;
    t->record.ended = time(NULL);
    t->record.seconds = seconds_since(t->began);
    t->record.reserved = 0;
    set_text(&t->record.holder, NULL);
    set_text(&t->record.commit, NULL);
    /* First the leavings, then the word that all is over: who is killed in
     * between leaves a state that the next run completes. */
    rh_worker_clear(&t->worker);
    if (t->mine && !b->dry_run)
        rh_batch_journal_sweep(&b->journal, vm_of(b, i)->folder);
    note(b, i);
    let_go(b, i);
}

static void settle(rh_batch *b, size_t i, enum rh_vm_state state,
                   const char *event)
{
    struct rh_task *t = &b->tasks[i];

    /* What failed goes on with what it has fetched. */
    if (state != RH_VM_FAILED && !b->dry_run && t->mine)
        rh_batch_drop_fetched(b, i);
    set_text(&t->record.reason, NULL);
    set_text(&t->record.key, rh_strdup(t->key));
    set_text(&t->record.stamp, rh_strdup(t->stamp));
    t->settled = true;
    end_turn(b, i, state);
    rh_event(b, event, i);
}

/* --- failures
 * ---------------------------------------------------------------- */

/* Takes `error`. */
static void set_error(struct rh_task *t, json_t *error)
{
    json_decref(t->record.error);
    t->record.error = error;
}

static bool code_is(const json_t *error, const char *code)
{
    const char *found = json_string_value(json_object_get(error, "code"));

    return found && !strcmp(found, code);
}

static enum rh_error_class class_of(const json_t *error)
{
    for (enum rh_error_id id = RH_ERR_NONE + 1; id < RH_ERR_COUNT; id++)
        if (code_is(error, rh_error_name_of(id)))
            return rh_error_class_of(id);
    return RH_CLASS_INTERNAL;
}

/* Tries by the kind of error: what only a person mends is not tried again. */
static unsigned tries_for(const struct rh_job_vm *vm, const json_t *error)
{
    static const char *const by_hand[] = {"FILE_EXISTS", "FILE_NOT_FOUND",
                                          "UNAVAILABLE"};

    for (size_t k = 0; k < RH_COUNT(by_hand); k++)
        if (code_is(error, by_hand[k]))
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
    set_text(&t->record.reason,
             rh_printf(_("try %u of %u at %s: %s"), t->record.attempts + 1,
                       tries, clock, message ? message : ""));
    set_text(&t->stamp, NULL); /* it may be another source by then */
    end_turn(b, i, RH_VM_WAITING);
    rh_event(b, "vm-retry", i);
}

/* Of results on their way, those that did not get there are none: what lies in
 * OUT under their names is another's. */
static void forget_unmoved(const rh_batch *b, struct rh_record *r)
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
    set_text(&r->commit, NULL);
}

/* Takes `error`; `status` is convert's exit status. */
static void failed(rh_batch *b, size_t i, json_t *error, int status)
{
    struct rh_task *t = &b->tasks[i];
    unsigned tries = tries_for(vm_of(b, i), error);

    set_error(t, error);
    forget_unmoved(b, &t->record);
    if (status == 3)
        settle(b, i, RH_VM_REFUSED, "vm-refused");
    else if (status == 4)
        settle(b, i, RH_VM_BLOCKED, "vm-blocked");
    else if (t->record.attempts < tries && !b->dry_run)
        try_again(b, i, tries);
    else
        settle(b, i, RH_VM_FAILED, "vm-failed");
}

static void failed_with(rh_batch *b, size_t i, rh_error *e)
{
    RH_AUTO(rh_freep) char *text = rh_error_json(e);
    json_t *doc = json_loads(text, 0, NULL);
    json_t *error = json_incref(json_object_get(doc, "error"));

    json_decref(doc);
    failed(b, i, error, rh_error_status(e));
    rh_error_free(e);
}

/* What a delivery has made on a server its worker takes away itself, when it is
 * asked to end and given the time.  True: it was quicker, and is done. */
static bool let_end(rh_batch *b, size_t i)
{
    struct rh_worker *w = &b->tasks[i].worker;
    int ms = 0;

    if (!vm_of(b, i)->deliver || b->tasks[i].step != RH_STEP_CONVERT)
        return false;
    rh_worker_signal(w, SIGTERM);
    for (; ms < GRACE_MS && !rh_worker_ended(w); ms += 20)
        poll(NULL, 0, 20);
    return !w->pid && rh_worker_status(w) == 0;
}

static void done(rh_batch *b, size_t i);
static size_t take_results(rh_batch *b, size_t i);

/* A worker that was interrupted has told what stands on a server by then: that
 * is not made again. */
static void take_delivered(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    if (!vm_of(b, i)->deliver || t->step != RH_STEP_CONVERT || t->worker.pid ||
        !WIFEXITED(t->worker.status))
        return;
    take_results(b, i);
    set_text(&t->record.key, rh_strdup(t->key));
}

void rh_task_stop(rh_batch *b, size_t i, const char *reason)
{
    struct rh_task *t = &b->tasks[i];

    if (let_end(b, i)) {
        done(b, i);
        return;
    }
    take_delivered(b, i);
    set_text(&t->record.reason, rh_strdup(reason));
    end_turn(b, i, RH_VM_PENDING);
    rh_event(b, "vm-stopped", i);
}

/* Another machine took it over: what it writes counts. */
static void lost(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    rh_worker_clear(&t->worker);
    t->mine = false;
    let_go(b, i);
    rh_log(b->lib, RH_LOG_WARN, "%s: %s", vm_of(b, i)->name,
           _("this machine was silent for too long; another one goes on"));
    rh_event(b, "vm-lost", i);
    rh_batch_refresh(b, i);
}

/* --- workers
 * ----------------------------------------------------------------- */

struct arguments {
    RH_VEC(char *) words;
};

static void add_word(struct arguments *a, char *word)
{
    *rh_vec_add(&a->words) = word;
}

static void free_words(struct arguments *a)
{
    for (size_t k = 0; k < a->words.count; k++)
        free(a->words.items[k]);
    free(a->words.items);
}

static void add_options(struct arguments *a, const struct rh_job_vm *vm,
                        const char *const *only)
{
    for (size_t k = 0; k < vm->options.list.count; k++) {
        const struct rh_option *o = &vm->options.list.items[k];
        bool wanted = !only;

        for (size_t n = 0; only && only[n]; n++)
            wanted |= !strcmp(only[n], o->key);
        if (!wanted)
            continue;
        add_word(a, rh_job_is_switch(o->key)
                        ? rh_printf("--%s", o->key)
                        : rh_printf("--%s=%s", o->key, o->value));
    }
}

static int start(rh_batch *b, size_t i, struct arguments *a, int log,
                 rh_error **err)
{
    struct rh_task *t = &b->tasks[i];
    int failure;

    add_word(a, rh_printf("--threads=%u", b->threads));
    add_word(a, rh_printf("--memory=%llu", (unsigned long long)b->memory));
    if (b->rate >= 0)
        add_word(a, rh_printf("--bandwidth=%llu@%d",
                              (unsigned long long)b->bandwidth, b->rate));
    add_word(a, rh_printf("--lang=%s", rh_text_lang()));
    add_word(a, rh_strdup("--progress=json"));
    add_word(a, rh_strdup("--json"));
    add_word(a, rh_strdup("--"));
    for (size_t k = 0; k < vm_of(b, i)->sources.count; k++)
        add_word(a, rh_strdup(vm_of(b, i)->sources.items[k]));
    add_word(a, NULL);
    failure = rh_worker_start(&t->worker, b->program, a->words.items, log,
                              b->rate, err);
    free_words(a);
    return failure;
}

/* The log of a VM: the words of its last attempt. */
static int open_log(const rh_batch *b, size_t i)
{
    RH_AUTO(rh_closep)
    int dir = b->dry_run
                  ? -1
                  : rh_batch_journal_vm(&b->journal, vm_of(b, i)->folder, NULL);

    return dir < 0 ? -1
                   : openat(dir, "log",
                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

/* A dry run without the guest: how much space, and whether it opens at all.
 * It takes milliseconds. */
static void begin_plan(rh_batch *b, size_t i)
{
    /* All that report takes of what convert takes. */
    static const char *const planned[] = {"to",
                                          "fill",
                                          "set",
                                          "vm",
                                          "strict",
                                          "configuration",
                                          "drop",
                                          "key",
                                          "source-format",
                                          "trust",
                                          "datastore-map",
                                          "login",
                                          "pin",
                                          "tls-ca",
                                          "source-pin",
                                          "source-tls-ca",
                                          "snapshot",
                                          "transport",
                                          "require-manifest",
                                          "format",
                                          "compress",
                                          "devices",
                                          "fix",
                                          "no-fix",
                                          "no-guest-fix",
                                          "drivers",
                                          "network-map",
                                          "remove-vmware-tools",
                                          "skip-free",
                                          "storage",
                                          "vmid",
                                          "run-as",
                                          "sr",
                                          "target-version",
                                          "max-disk-size",
                                          "temp-dir",
                                          NULL};
    const char *deliver = vm_of(b, i)->deliver;
    struct arguments a = {0};
    rh_error *e = NULL;

    b->tasks[i].step = RH_STEP_PLAN;
    add_word(&a, rh_strdup("rehost"));
    add_word(&a, rh_strdup("report"));
    if (!b->dry_run)
        add_word(&a, rh_strdup("--no-guest"));
    if (vm_of(b, i)->sources.count > 1)
        add_word(&a, rh_strdup("--one-vm"));
    /* So that it gives up its rights before it reads. */
    if (deliver && rh_out_is_parted(deliver))
        add_word(&a, rh_printf("--target=%s", deliver));
    add_options(&a, vm_of(b, i), planned);
    if (start(b, i, &a, open_log(b, i), &e) < 0)
        failed_with(b, i, e);
}

static int new_staging(const rh_batch *b, size_t i, rh_error **err)
{
    char hex[13];

    if (rh_random_hex(hex, 6, err) < 0)
        return -1;
    set_text(&b->tasks[i].staging,
             rh_printf("%s.%s", vm_of(b, i)->folder, hex));
    return 0;
}

static int make_staging(const rh_batch *b, size_t i, rh_error **err)
{
    const struct rh_task *t = &b->tasks[i];

    if (new_staging(b, i, err) < 0)
        return -1;
    if (mkdirat(b->journal.work, t->staging, 0777) == 0)
        return 0;
    return rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno,
                         "cannot create the folder \"%s\"", t->staging);
}

static void begin_convert(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = vm_of(b, i);
    struct arguments a = {0};
    rh_error *e = NULL;
    char *there;

    t->step = RH_STEP_CONVERT;
    add_word(&a, rh_strdup("rehost"));
    add_word(&a, rh_strdup("convert"));
    if (vm->deliver) {
        add_word(&a, rh_printf("--out=%s", vm->deliver));
    } else if (make_staging(b, i, &e) < 0) {
        free_words(&a);
        failed_with(b, i, e);
        return;
    } else {
        add_word(&a, rh_printf("--out=%s/.rehost/work/%s", b->journal.out,
                               t->staging));
        add_word(&a, rh_printf("--results-at=%s", b->journal.out));
    }
    if (t->fetched_most) {
        add_word(&a, rh_printf("--fetched-dir=%s/.rehost/fetched/%s",
                               b->journal.out, vm->folder));
        add_word(&a, rh_printf("--fetched-most=%llu",
                               (unsigned long long)t->fetched_most));
    }
    for (size_t k = 0; (there = rh_targets_done(&t->record, k)); k++) {
        add_word(&a, rh_printf("--done=%s", there));
        free(there);
    }
    if (vm->named)
        add_word(&a, rh_printf("--name=%s", vm->name));
    add_options(&a, vm, NULL);
    if (start(b, i, &a, open_log(b, i), &e) < 0)
        failed_with(b, i, e);
}

/* --- space
 * ------------------------------------------------------------------- */

static void begin_with_space(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    uint64_t more;

    t->fetched_most = rh_batch_fetched_most(b, i, &more);
    t->record.reserved = more + (vm_of(b, i)->deliver ? 0 : t->need_out);
    note(b, i);
    begin_convert(b, i);
}

/* It waits as long as somebody runs who may leave space behind; with nobody
 * left it is a failure like any other full disk. */
static bool wait_for_space(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    RH_AUTO(rh_freep) char *why = rh_batch_make_room(b, i);
    rh_error *e = NULL;

    if (!why)
        return false;
    if (!rh_batch_somebody_runs(b, i)) {
        rh_fail(&e, RH_ERR_NO_SPACE, "%s", why);
        failed_with(b, i, e);
        return true;
    }
    set_text(&t->record.reason, RH_TAKE(why));
    t->record.attempts--;
    end_turn(b, i, RH_VM_WAITING);
    rh_event(b, "vm-waiting", i);
    return true;
}

/* --- steps
 * ------------------------------------------------------------------- */

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
            set_text(&b->refused, rh_strndup(source, server_length(source)));
        if (!stamp) {
            set_text(&b->silent, rh_strndup(source, server_length(source)));
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
    const struct rh_job_vm *vm = vm_of(b, i);
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

static void done(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];

    set_error(t, NULL);
    rh_paths_free(&t->record.earlier);
    if (b->tasks[i].record.bytes_total)
        t->record.bytes_done = t->record.bytes_total;
    rh_batch_runbook(b, i);
    settle(b, i, RH_VM_DONE, "vm-done");
}

/* Some targets are there, `status` is of those that are not. */
static void done_in_part(rh_batch *b, size_t i, int status)
{
    struct rh_task *t = &b->tasks[i];

    set_text(&t->record.commit, NULL);
    rh_batch_runbook(b, i);
    failed(b, i, json_incref(t->record.error), status);
}

/* Results are whole in work/: write that down, then move them. */
static void commit(rh_batch *b, size_t i, int status)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = vm_of(b, i);
    bool missing, replace = rh_option_yes(&vm->options, "overwrite");
    rh_error *e = NULL;

    if (rh_batch_journal_write(&b->journal, vm->folder, &t->record, &e) < 0) {
        failed_with(b, i, e);
        return;
    }
    if (!rh_lease_still(t->lease)) {
        lost(b, i);
        return;
    }
    if (rh_batch_journal_commit(&b->journal, &t->record, replace, &missing,
                                &e) < 0) {
        failed_with(b, i, e);
        return;
    }
    if (missing) {
        rh_fail(&e, RH_ERR_BATCH_JOURNAL, "a result is gone from work/");
        failed_with(b, i, e);
        return;
    }
    if (status)
        done_in_part(b, i, status);
    else
        done(b, i);
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

static void converted(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    int status = rh_worker_status(&t->worker);
    /* Who was killed has told nothing of what it made. */
    bool told = WIFEXITED(t->worker.status) && status != 130;
    size_t made;

    if (status && !told) {
        take_delivered(b, i);
        failed(b, i, rh_worker_error(&t->worker), status);
        return;
    }
    if (!vm_of(b, i)->deliver)
        results_become_earlier(&t->record);
    made = take_results(b, i);
    set_text(&t->record.key, rh_strdup(t->key));
    if (vm_of(b, i)->deliver && !status) {
        done(b, i);
        return;
    }
    if (vm_of(b, i)->deliver || (status ? !made : !t->record.results.count)) {
        failed(b, i, rh_worker_error(&t->worker), status ? status : 1);
        return;
    }
    set_error(t, status ? rh_worker_error(&t->worker) : NULL);
    set_text(&t->record.commit, rh_strdup(t->staging));
    commit(b, i, status);
}

static void planned(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    int status = rh_worker_status(&t->worker);
    json_t *report;

    /* What convert makes of words that report refuses, it says itself. */
    if (status && status != 4 && (status != 2 || b->dry_run)) {
        failed(b, i, rh_worker_error(&t->worker), status);
        return;
    }
    report = rh_worker_result(&t->worker);
    rh_batch_note_needs(b, i, report);
    json_decref(report);
    rh_worker_clear(&t->worker);
    if (b->dry_run) {
        RH_AUTO(rh_freep) char *size = rh_human_size(t->need_out);

        t->settled = true;
        set_text(&t->record.reason,
                 rh_printf(_("would be converted: %s"), size));
        end_turn(b, i, status == 4 ? RH_VM_BLOCKED : RH_VM_PENDING);
        return;
    }
    if (wait_for_space(b, i))
        return;
    begin_with_space(b, i);
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
        rh_batch_journal_progress(&b->journal, vm_of(b, i)->folder, &t->record);
    rh_event(b, "vm-progress", i);
}

void rh_task_look(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    bool ended = rh_worker_ended(&t->worker);

    if (t->lease && rh_lease_lost(t->lease)) {
        lost(b, i);
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

/* --- begin
 * ------------------------------------------------------------------- */

/* Sources whose number of VMs `report` sees otherwise are not planned: the
 * size of their files is what they may need. */
static void plan_by_size(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    struct stat st;

    t->need_fetched = UINT64_MAX;
    t->need_out = RH_MIB;
    for (size_t k = 0; k < vm_of(b, i)->sources.count; k++)
        if (stat(vm_of(b, i)->sources.items[k], &st) == 0)
            t->need_out += (uint64_t)st.st_size;
    t->planned = true;
}

/* A run that was killed between "these results are whole" and "done". */
static bool complete_commit(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    const struct rh_job_vm *vm = vm_of(b, i);
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
        set_text(&t->record.commit, NULL);
        return false;
    }
    done(b, i);
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
    const struct rh_job_vm *vm = vm_of(b, i);

    for (size_t k = 0; k < b->jobs->vms.count; k++) {
        const struct rh_task *t = &b->tasks[k];
        const struct rh_job_vm *other = vm_of(b, k);

        if (k != i && t->tried && t->settled && t->record.error &&
            code_is(t->record.error, "LOGIN_REFUSED") &&
            (same_server(source_of(vm), source_of(other)) ||
             same_server(vm->deliver, other->deliver)))
            return other->name;
    }
    return NULL;
}

static bool may_log_in(rh_batch *b, size_t i)
{
    const char *other = refused_before(b, i), *source = source_of(vm_of(b, i));
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
    failed_with(b, i, e);
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
    set_text(&t->record.reason, NULL);
    set_text(&t->record.holder,
             rh_printf(_("pid %ld on %s"), (long)getpid(), host));
    note(b, i);
    rh_event(b, "vm-start", i);
    if (!may_log_in(b, i))
        return;
    if (vm_of(b, i)->sources.count > 1 && !t->planned && !b->dry_run)
        plan_by_size(b, i);
    if (!t->planned) {
        begin_plan(b, i);
        return;
    }
    if (wait_for_space(b, i))
        return;
    begin_with_space(b, i);
}

/* 1: ours; 0: not now; -1: it failed, and that is said. */
static int take_lease(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    rh_error *e = NULL;
    RH_AUTO(rh_closep)
    int dir = rh_batch_journal_vm(&b->journal, vm_of(b, i)->folder, &e);
    int got = dir < 0 ? -1
                      : rh_lease_take(dir, "lease", b->jobs->lease_seconds,
                                      &t->lease, NULL, &e);

    if (got > 0)
        t->mine = true;
    if (got >= 0)
        return got;
    t->record.attempts++;
    failed_with(b, i, e);
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
        let_go(b, i);
        return false;
    }
    if (!b->dry_run && complete_commit(b, i))
        return false;
    forget_unmoved(b, &t->record);
    if (!b->dry_run) {
        rh_targets_check(b, i);
        rh_batch_journal_sweep(&b->journal, vm_of(b, i)->folder);
    }
    start_turn(b, i);
    return t->step != RH_STEP_NONE;
}
