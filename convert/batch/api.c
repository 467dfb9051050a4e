/* api.c - the public calls on batches. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/rate.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "convert/batch/run.h"
#include "convert/batch/submit.h"
#include "rehost/rehost.h"

/* --- open
 * -------------------------------------------------------------------- */

static int number_option(const rh_options *o, const char *key, unsigned *ret,
                         rh_error **err)
{
    const char *value = rh_option(o, key);
    uint64_t n;

    if (!value)
        return 0;
    if (!rh_parse_u64(value, &n) || n == 0 || n > 1000000)
        return rh_fail(err, RH_ERR_USAGE, "--%s cannot be \"%s\"", key, value);
    *ret = (unsigned)n;
    return 0;
}

static int choose(rh_batch *b, const rh_options *o, rh_error **err)
{
    const char *name;
    unsigned wave = 0;
    bool any = false;

    if (number_option(o, "wave", &wave, err) < 0)
        return -1;
    for (size_t k = 0; (name = rh_option_at(o, "only", k)); k++) {
        size_t i = rh_name_map_find(&b->jobs->names, name);

        if (i == SIZE_MAX)
            return rh_fail(err, RH_ERR_BATCH_VM, "%s: no VM is called \"%s\"",
                           b->jobs->path, name);
        b->tasks[i].chosen = any = true;
    }
    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        if (!any)
            b->tasks[i].chosen = true;
        if (wave && b->jobs->vms.items[i].wave != wave)
            b->tasks[i].chosen = false;
    }
    return 0;
}

/* The budget: so many VMs at once share threads and memory; of the bandwidth
 * each may take what the others leave. */
static int share_out(rh_batch *b, const rh_options *o, rh_error **err)
{
    unsigned threads = b->jobs->threads ? b->jobs->threads : b->lib->threads;
    uint64_t memory = b->jobs->memory;

    b->at_once = b->jobs->jobs ? b->jobs->jobs : 2;
    if (number_option(o, "jobs", &b->at_once, err) < 0)
        return -1;
    b->at_once = RH_MIN(b->at_once, 1024);
    b->threads = RH_MAX(threads / b->at_once, 1);
    b->memory = memory ? RH_MAX(memory / b->at_once, RH_MIB) : b->lib->memory;
    b->bandwidth =
        b->lib->rate ? rh_rate_bytes(b->lib->rate) : b->jobs->bandwidth;
    b->rate = b->bandwidth ? rh_rate_share(err) : -1;
    return b->bandwidth && b->rate < 0 ? -1 : 0;
}

/* rehost itself when it runs this code, else the one that is installed. */
static char *default_program(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    const char *slash;

    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    return rh_strdup(slash && !strcmp(slash + 1, "rehost") ? path : "rehost");
}

static void take_options(rh_batch *b, const rh_options *o)
{
    const char *program = rh_option(o, "program");

    b->program = program ? rh_strdup(program) : default_program();
    b->on_event = rh_strdup(rh_option(o, "on-event"));
    b->dry_run = rh_option_yes(o, "dry-run");
}

rh_batch *rh_batch_open(rh_lib *lib, const char *jobs_file,
                        const rh_options *options, rh_error **err)
{
    rh_batch *b = rh_new0(rh_batch);

    b->lib = lib;
    b->journal.dir = b->journal.vms = b->journal.work = -1;
    b->events[0] = b->events[1] = b->audit = b->rate = -1;
    pthread_mutex_init(&b->lock, NULL);
    take_options(b, options);
    b->jobs = rh_jobs_read(jobs_file, err);
    if (b->jobs) {
        b->tasks = rh_calloc(b->jobs->vms.count, sizeof *b->tasks);
        for (size_t i = 0; i < b->jobs->vms.count; i++)
            b->tasks[i].worker =
                (struct rh_worker){.out = -1, .errors = -1, .log = -1};
    }
    if (!b->jobs || choose(b, options, err) < 0 ||
        share_out(b, options, err) < 0 ||
        rh_batch_journal_open(&b->journal, b->jobs, false, err) < 0) {
        rh_batch_close(b);
        return NULL;
    }
    return b;
}

void rh_batch_close(rh_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; b->jobs && i < b->jobs->vms.count; i++) {
        rh_record_clear(&b->tasks[i].record);
        rh_worker_clear(&b->tasks[i].worker);
        free(b->tasks[i].staging);
        free(b->tasks[i].stamp);
    }
    for (int k = 0; k < 2; k++)
        if (b->events[k] >= 0)
            close(b->events[k]);
    for (size_t i = 0; i < b->wishes.count; i++)
        free(b->wishes.items[i]);
    if (b->rate >= 0)
        close(b->rate);
    rh_batch_journal_close(&b->journal);
    rh_jobs_free(b->jobs);
    rh_buf_free(&b->hook_queue);
    rh_buf_free(&b->event_queue);
    pthread_mutex_destroy(&b->lock);
    free(b->wishes.items);
    free(b->hooks.items);
    free(b->on_event);
    free(b->program);
    free(b->silent);
    free(b->refused);
    free(b->tasks);
    free(b);
}

/* --- run
 * --------------------------------------------------------------------- */

int rh_batch_run(rh_batch *b, rh_error **err)
{
    int failed = 0;

    /* Another thread may be drawing the batch meanwhile. */
    pthread_mutex_lock(&b->lock);
    if (!b->dry_run) {
        rh_batch_journal_close(&b->journal);
        failed = rh_batch_journal_open(&b->journal, b->jobs, true, err);
    }
    pthread_mutex_unlock(&b->lock);
    return failed ? -1 : rh_batch_loop(b, err);
}

static void submitted_array(struct rh_buf *t, const json_t *a)
{
    json_int_t vms = json_integer_value(json_object_get(a, "vms"));

    rh_buf_printf(t,
                  dngettext(RH_TEXT_DOMAIN,
                            "submitted: job %s: %lld VM of wave %lld\n",
                            "submitted: job %s: %lld VMs of wave %lld\n",
                            (unsigned long)vms),
                  json_string_value(json_object_get(a, "job")), (long long)vms,
                  (long long)json_integer_value(json_object_get(a, "wave")));
}

static char *submitted_text(const json_t *doc)
{
    const json_t *arrays = json_object_get(doc, "arrays");
    json_int_t queued = json_integer_value(json_object_get(doc, "queued"));
    struct rh_buf t = {0};
    const json_t *a;
    size_t i;

    json_array_foreach (arrays, i, a)
        submitted_array(&t, a);
    if (queued)
        rh_buf_printf(&t,
                      dngettext(RH_TEXT_DOMAIN,
                                "in the queue already: %lld VM\n",
                                "in the queue already: %lld VMs\n",
                                (unsigned long)queued),
                      (long long)queued);
    if (!t.length)
        rh_buf_puts(&t, _("nothing is left to do\n"));
    return rh_buf_take(&t);
}

int rh_batch_submit(rh_batch *b, const rh_options *options, char **ret_json,
                    char **ret_text, rh_error **err)
{
    const char *engine = rh_option(options, "engine");
    json_t *doc = NULL;
    int failed;

    if (!engine || strcmp(engine, "slurm")) {
        rh_fail(err, RH_ERR_USAGE, "--engine cannot be \"%s\"",
                engine ? engine : "");
        return rh_hint(err, "use slurm");
    }
    pthread_mutex_lock(&b->lock);
    rh_batch_journal_close(&b->journal);
    failed = rh_batch_journal_open(&b->journal, b->jobs, true, err) < 0 ||
             rh_batch_to_slurm(b, options, &doc, err) < 0;
    pthread_mutex_unlock(&b->lock);
    if (failed)
        return -1;
    *ret_text = submitted_text(doc);
    *ret_json = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    return 0;
}

int rh_batch_events(rh_batch *b, rh_error **err)
{
    int failed = 0;

    pthread_mutex_lock(&b->lock);
    if (b->events[0] < 0 && pipe2(b->events, O_CLOEXEC | O_NONBLOCK) < 0)
        failed = rh_fail(err, RH_ERR_MEMORY, "no pipe is to be had");
    pthread_mutex_unlock(&b->lock);
    return failed ? -1 : b->events[0];
}

int rh_batch_control(rh_batch *b, const char *what, const char *vm,
                     rh_error **err)
{
    int failed = 0;

    if (!strcmp(what, "quit")) {
        atomic_store(&b->quit, true);
        return 0;
    }
    pthread_mutex_lock(&b->lock);
    if (!strcmp(what, "pause"))
        b->paused = true;
    else if (!strcmp(what, "resume"))
        b->paused = false;
    else if (strcmp(what, "skip"))
        failed = rh_fail(err, RH_ERR_USAGE,
                         "a batch knows pause, resume, "
                         "skip and quit, not \"%s\"",
                         what);
    else if (!vm || rh_name_map_find(&b->jobs->names, vm) == SIZE_MAX)
        failed = rh_fail(err, RH_ERR_BATCH_VM, "no VM is called \"%s\"",
                         vm ? vm : "");
    else
        *rh_vec_add(&b->wishes) = rh_strdup(vm);
    pthread_mutex_unlock(&b->lock);
    return failed;
}

int rh_batch_status(rh_batch *b)
{
    int status;

    pthread_mutex_lock(&b->lock);
    status = rh_batch_exit(b);
    pthread_mutex_unlock(&b->lock);
    return status;
}

/* --- documents
 * --------------------------------------------------------------- */

static char *render_json(rh_batch *b)
{
    json_t *doc = rh_batch_json(b);
    char *text = json_dumps(doc, JSON_INDENT(2));

    json_decref(doc);
    return text;
}

/* While it runs here, memory knows best; else the journal is read again. */
static void look_again(rh_batch *b)
{
    if (b->running || b->dry_run)
        return;
    if (b->journal.vms < 0) {
        rh_batch_journal_close(&b->journal);
        rh_batch_journal_open(&b->journal, b->jobs, false, NULL);
    }
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        rh_batch_refresh(b, i);
}

char *rh_batch_render(rh_batch *b, const char *as, rh_error **err)
{
    char *text = NULL;

    pthread_mutex_lock(&b->lock);
    if (strcmp(as, "summary"))
        look_again(b);
    if (!strcmp(as, "json"))
        text = render_json(b);
    else if (!strcmp(as, "text"))
        text = rh_batch_text(b);
    else if (!strcmp(as, "live"))
        text = rh_batch_live(b);
    else if (!strcmp(as, "open"))
        text = rh_printf("%zu", rh_batch_open_count(b));
    else if (!strcmp(as, "html"))
        text = rh_batch_page(b, 5);
    else if (!strcmp(as, "summary"))
        text = rh_batch_summary(b);
    else
        rh_fail(err, RH_ERR_USAGE, "a batch is not shown as \"%s\"", as);
    pthread_mutex_unlock(&b->lock);
    return text;
}
