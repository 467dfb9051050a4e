/* job.c - the order of things, the states, and how it ended. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/fetched.h"
#include "convert/fit.h"
#include "targets/model.h"

static void job_freep(rh_job **job)
{
    rh_job_free(*job);
}

/* --- several outcomes
 * --------------------------------------------------------- */

/* cli.md, "Several outcomes in one exit status"; a mistake of the caller's
 * ends everything, as an interruption does. */
static int weight_of(const rh_error *e)
{
    static const int order[] = {4, 3, 1, 2, 130};
    int status = rh_error_status(e);

    for (size_t i = 0; i < RH_COUNT(order); i++)
        if (order[i] == status)
            return (int)i + 1;
    return 0;
}

bool rh_error_outweighs(const rh_error *b, const rh_error *a)
{
    return weight_of(b) > weight_of(a);
}

static bool ends_all(const rh_error *e)
{
    return rh_error_status(e) == 130 || rh_error_status(e) == 2;
}

/* The heaviest of all outcomes; borrowed, NULL when none failed. */
static const rh_error *heaviest(const struct rh_job *job)
{
    const rh_error *worst = NULL;

    for (size_t i = 0; i < job->vms.count; i++) {
        const struct rh_job_vm *v = &job->vms.items[i];

        for (size_t t = 0; t < v->target_count; t++)
            if (rh_error_outweighs(v->targets[t].error, worst))
                worst = v->targets[t].error;
    }
    return worst;
}

/* --- states
 * ------------------------------------------------------------------- */

/* The job keeps a copy, for whoever asks again. */
static int fail(struct rh_job *job, const rh_error *why, rh_error **err)
{
    job->state = RH_JOB_FAILED;
    if (!job->error)
        rh_error_again(&job->error, why);
    return rh_error_again(err, why);
}

/* Taken: `why` is freed. */
static int fail_with(struct rh_job *job, rh_error *why, rh_error **err)
{
    int failed = fail(job, why, err);

    rh_error_free(why);
    return failed;
}

static void outcome_failed(struct rh_job_target *t, const rh_error *why)
{
    if (t->error)
        return;
    t->state = RH_OUTCOME_FAILED;
    rh_error_again(&t->error, why);
}

/* --- deciding
 * ----------------------------------------------------------------- */

/* A VM that can't be known leaves the others of its package as they are. */
static int look(struct rh_job *job, rh_error **err)
{
    for (size_t i = 0; i < job->package->vms.count; i++) {
        struct rh_job_vm *v = rh_vec_add(&job->vms);

        v->index = i;
    }
    for (size_t i = 0; i < job->vms.count; i++) {
        struct rh_job_vm *v = &job->vms.items[i];

        v->target_count = job->target_count;
        v->targets = rh_calloc(v->target_count, sizeof *v->targets);
        for (size_t t = 0; t < v->target_count; t++) {
            v->targets[t].target = job->targets[t];
            v->targets[t].vm = v;
        }
        if (rh_job_look(job, v, &v->error) == 0)
            continue;
        rh_error_subject(&v->error, job->package->path);
        if (ends_all(v->error))
            return rh_error_again(err, v->error);
    }
    return 0;
}

static int decide(struct rh_job *job, struct rh_job_vm *v, rh_error **err)
{
    for (size_t t = 0; t < v->target_count && !v->error; t++) {
        if (rh_job_decide(job, v, &v->targets[t], &v->error) == 0)
            continue;
        rh_error_subject(&v->error, job->package->path);
        if (ends_all(v->error))
            return rh_error_again(err, v->error);
    }
    for (size_t t = 0; t < v->target_count && v->error; t++)
        outcome_failed(&v->targets[t], v->error);
    if (!v->error)
        rh_job_recommend(job, v);
    return 0;
}

/* An archive takes a disk in its own order, a file in any; what is kept packed
 * is looked up. */
static bool takes_forward(const struct rh_job *job)
{
    const char *given = rh_option(job->options, "format");
    const char *compress = rh_option(job->options, "compress");
    const char *out = rh_option(job->options, "out");

    for (size_t i = 0; i < job->target_count; i++) {
        const struct rh_target *t = job->targets[i];

        if (t->archive &&
            !strcmp(given ? given : t->format, t->archive->format))
            return false;
    }
    if (out && rh_deliverer_of(out)->in_order)
        return false;
    return job->package->forward && !job->for_report &&
           !rh_option_yes(job->options, "skip-free") &&
           !(compress && !strcmp(compress, "keep"));
}

/* Is there any VM left that something can be done for? */
static bool any_known(const struct rh_job *job)
{
    for (size_t i = 0; i < job->vms.count; i++)
        if (!job->vms.items[i].error)
            return true;
    return false;
}

static int prepare(struct rh_job *job, rh_error **err)
{
    if (job->package->vms.count == 0)
        return rh_fail(err, RH_ERR_PLAN_NO_VM, "no VM was found in it");
    job->forward = takes_forward(job);
    if (look(job, err) < 0)
        return -1;
    rh_job_duplicates(job);
    for (size_t i = 0; i < job->vms.count; i++)
        if (decide(job, &job->vms.items[i], err) < 0)
            return -1;
    if (!any_known(job))
        return rh_error_again(err, heaviest(job));
    return job->decided ? rh_job_check_decided(job, err) : 0;
}

int rh_job_prepare(struct rh_job *job, rh_error **err)
{
    rh_error *why = NULL;

    if (job->state == RH_JOB_FAILED && job->error)
        return rh_error_again(err, job->error);
    if (job->state != RH_JOB_NEW)
        return 0;
    if (prepare(job, &why) < 0)
        return fail_with(job, why, err);
    job->state = RH_JOB_READY;
    return 0;
}

/* --- running
 * ------------------------------------------------------------------ */

static int refuse_again(struct rh_job *job, rh_error **err)
{
    rh_fail(err, RH_ERR_JOB_DONE, "this job is done already");
    return rh_error_subject(err, job->package->path);
}

static int check_out(struct rh_job *job, rh_error **err)
{
    const char *out = rh_option(job->options, "out");

    if (out && out[0])
        return 0;
    rh_fail(err, RH_ERR_PLAN_OPTION, "it was not said where to write");
    return rh_hint(err, "add --out DIR");
}

/* After an interruption nothing more is begun. */
static void run_vms(struct rh_job *job)
{
    for (size_t i = 0; i < job->vms.count; i++) {
        struct rh_job_vm *v = &job->vms.items[i];
        rh_error *stop = NULL;

        if (rh_go_on(job->lib, &stop) < 0)
            for (size_t t = 0; t < v->target_count; t++)
                outcome_failed(&v->targets[t], stop);
        else if (!v->error)
            rh_job_run_vm(job, v);
        rh_error_free(stop);
    }
}

int rh_job_run(rh_job *job, rh_error **err)
{
    const rh_error *worst;
    rh_error *why = NULL;

    if (job->state == RH_JOB_DONE)
        return refuse_again(job, err);
    if (job->state == RH_JOB_NEW && check_out(job, &why) < 0)
        return fail_with(job, why, err);
    if (rh_job_prepare(job, err) < 0)
        return -1;
    if (check_out(job, &why) < 0)
        return fail_with(job, why, err);
    run_vms(job);
    worst = heaviest(job);
    if (worst)
        return fail(job, worst, err);
    job->state = RH_JOB_DONE;
    /* Results that are not at their place yet may still be lost. */
    if (!rh_option(job->options, "results-at"))
        rh_fetched_done(job->lib);
    return 0;
}

/* --- outcomes
 * ----------------------------------------------------------------- */

int rh_job_state(const rh_job *job)
{
    return job->state;
}

const rh_outcome *rh_job_outcome(const rh_job *job, size_t i)
{
    for (size_t n = 0; n < job->vms.count; n++) {
        const struct rh_job_vm *v = &job->vms.items[n];

        if (i < v->target_count)
            return &v->targets[i];
        i -= v->target_count;
    }
    return NULL;
}

const char *rh_job_result(const rh_job *job, size_t i)
{
    const rh_outcome *o;

    for (size_t n = 0; (o = rh_job_outcome(job, n)); n++)
        if (o->result && i-- == 0)
            return o->result;
    return NULL;
}

char *rh_job_summary(rh_job *job)
{
    return rh_strdup(job->summary.data ? job->summary.data : "");
}

size_t rh_outcome_vm(const rh_outcome *o)
{
    return o->vm->index;
}

const char *rh_outcome_name(const rh_outcome *o)
{
    return o->vm->name ? o->vm->name : "";
}

const char *rh_outcome_target(const rh_outcome *o)
{
    return o->target->name;
}

int rh_outcome_state(const rh_outcome *o)
{
    return o->state;
}

const rh_error *rh_outcome_error(const rh_outcome *o)
{
    return o->error;
}

const char *rh_outcome_result(const rh_outcome *o)
{
    return o->result;
}

const char *rh_outcome_verdict(const rh_outcome *o)
{
    return rh_verdict_name(o->judgement.verdict);
}

const char *rh_outcome_effort(const rh_outcome *o)
{
    return rh_effort_name(o->judgement.effort);
}

const rh_finding *rh_outcome_finding(const rh_outcome *o, size_t i)
{
    return i < o->findings.count ? &o->findings.items[i] : NULL;
}

const rh_edit *rh_outcome_edit(const rh_outcome *o, size_t i)
{
    return i < o->edits.count ? &o->edits.items[i] : NULL;
}

/* --- making and freeing
 * ------------------------------------------------------- */

static void add_options(rh_options *to, const rh_options *from)
{
    for (size_t i = 0; from && i < from->list.count; i++)
        rh_options_put(to, from->list.items[i].key, from->list.items[i].value);
}

rh_job *rh_job_new(rh_package *package, const rh_options *options,
                   rh_error **err)
{
    RH_AUTO(job_freep) rh_job *job = rh_new0(rh_job);

    if (rh_options_without(options, rh_options_of_others, "rh_job_new", err) <
        0)
        return NULL;
    job->lib = package->lib;
    job->package = package;
    job->arena = rh_arena_new();
    job->options = rh_options_new();
    add_options(job->options, options);
    job->models = rh_models_of(job->lib, err);
    if (!job->models || rh_job_read_options(job, err) < 0)
        return NULL;
    job->profiles = rh_profiles_of(job->lib, err);
    return job->profiles ? RH_TAKE(job) : NULL;
}

void rh_job_free(rh_job *job)
{
    if (!job)
        return;
    for (size_t i = 0; i < job->vms.count; i++)
        rh_job_vm_free(&job->vms.items[i]);
    free(job->vms.items);
    rh_buf_free(&job->summary);
    free(job->networks);
    rh_options_free(job->options);
    json_decref(job->decided);
    rh_error_free(job->error);
    if (job->asked_key)
        explicit_bzero(job->asked_key, strlen(job->asked_key));
    free(job->asked_key);
    rh_arena_free(job->arena);
    free(job);
}
