/* report.c - the dry run: plans without their last step, one source or many. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/documents.h"
#include "convert/fleet.h"
#include "rehost/rehost.h"
#include "report/redact.h"
#include "report/render.h"

struct rh_report {
    json_t *document; /* rehost.report/1 */
    struct rh_rows rows;
    rh_error *worst; /* of sources and VMs that were refused or failed */
    rh_error *cause; /* why the only source was refused */
    int status;
};

static rh_report *report_new(rh_lib *lib, rh_error **err)
{
    rh_report *r = rh_new0(rh_report);

    r->document = rh_report_document(lib, err);
    if (r->document)
        return r;
    rh_report_free(r);
    return NULL;
}

static bool goes_somewhere(const struct rh_row *row)
{
    for (size_t t = 0; t < row->target_count; t++)
        if (rh_judge(&row->targets[t].findings, row->targets[t].edits)
                .verdict != RH_BLOCKED)
            return true;
    return false;
}

/* A VM no asked target takes makes 4; what failed or was refused is worse. */
static void finish(rh_report *r)
{
    rh_rows_duplicates(&r->rows);
    json_object_set_new(r->document, "vms", rh_rows_json(&r->rows));
    for (size_t i = 0; i < r->rows.list.count; i++)
        if (!goes_somewhere(&r->rows.list.items[i]))
            r->status = 4;
    if (r->worst && rh_error_status(r->worst) != 4)
        r->status = rh_error_status(r->worst);
    else if (r->worst)
        r->status = 4;
}

static void note_failed(rh_report *r, const char *source, const rh_error *why,
                        const char *vm)
{
    json_t *row = rh_error_object(why);
    RH_AUTO(rh_freep) char *shown = rh_source_shown(source);

    json_object_set_new(row, "source", rh_json_text(shown));
    if (vm)
        json_object_set_new(row, "vm", rh_json_text(vm));
    json_array_append_new(json_object_get(r->document, "failed"), row);
    if (!rh_error_outweighs(why, r->worst))
        return;
    rh_error_drop(&r->worst);
    rh_error_again(&r->worst, why);
}

rh_report *rh_job_report(rh_job *job, rh_error **err)
{
    rh_report *r;

    if (rh_job_prepare(job, err) < 0)
        return NULL;
    r = report_new(job->lib, err);
    if (!r)
        return NULL;
    rh_rows_of_job(&r->rows, job, 0);
    for (size_t i = 0; i < job->vms.count; i++)
        if (job->vms.items[i].error)
            note_failed(r, job->package->path, job->vms.items[i].error,
                        job->vms.items[i].name);
    finish(r);
    return r;
}

static void collect(rh_report *r, rh_fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++) {
        struct rh_fleet_item *item = &fleet->items[i];

        for (size_t n = 0; n < item->rows.list.count; n++)
            item->rows.list.items[n].package = i;
        rh_rows_move(&r->rows, &item->rows);
        for (size_t n = 0; n < item->failed.count; n++)
            note_failed(r, item->source, item->failed.items[n].error,
                        item->failed.items[n].vm);
        if (item->error)
            note_failed(r, item->source, item->error, NULL);
    }
    if (fleet->count == 1)
        r->cause = RH_TAKE(fleet->items[0].error);
    finish(r);
}

/* Names on the target's side, as the options have them. */
static void redact(rh_report *r, const rh_options *o)
{
    enum { WORDS_MOST = 256 };
    static const char *const names[] = {"storage", "sr", "import-storage",
                                        "name"};
    char *words[WORDS_MOST] = {0};
    size_t count = 0;
    const char *value, *host;
    json_t *hidden;

    for (size_t i = 0; i < RH_COUNT(names); i++)
        words[count++] = rh_strdup(rh_option(o, names[i]));
    value = rh_option(o, "target");
    host = value ? strstr(value, "://") : NULL;
    if (host)
        words[count++] = rh_strndup(host + 3, strcspn(host + 3, ":/?#"));
    for (size_t i = 0;
         count + 2 < WORDS_MOST && (value = rh_option_at(o, "network-map", i));
         i++) {
        size_t n = strcspn(value, "=");

        words[count++] = rh_strndup(value, n);
        if (value[n])
            words[count++] =
                rh_strndup(value + n + 1, strcspn(value + n + 1, ","));
    }
    hidden = rh_redact(r->document, (const char *const *)words, count);
    json_decref(r->document);
    r->document = hidden;
    /* What was refused is a row of it, without the source's name. */
    rh_error_drop(&r->cause);
    for (size_t i = 0; i < count; i++)
        free(words[i]);
}

/* A mistake of the caller's quotes what it was made with: a value, a file's
 * name. */
static void redact_error(rh_error **err)
{
    enum rh_error_id id;

    if (!err || !*err || rh_error_status(*err) != 2)
        return;
    id = rh_error_number(*err);
    rh_error_drop(err);
    rh_fail(err, id,
            "what was given is refused; it is not repeated here (--redact)");
}

rh_report *rh_report_run(rh_lib *lib, const char *const *sources, size_t count,
                         const rh_options *options, rh_error **err)
{
    const struct rh_reach reach = {.sources = sources, .count = count};
    rh_fleet fleet = {0};
    rh_report *r;

    if (rh_options_check_reach(options, &reach, err) < 0)
        return NULL;
    r = report_new(lib, err);
    if (!r)
        return NULL;
    rh_fleet_list(lib, sources, count, options, &fleet);
    if (rh_fleet_plan(lib, &fleet, options, err) == 0) {
        collect(r, &fleet);
        if (rh_option_yes(options, "redact"))
            redact(r, options);
    } else {
        if (rh_option_yes(options, "redact"))
            redact_error(err);
        rh_report_free(r);
        r = NULL;
    }
    rh_fleet_free(&fleet);
    return r;
}

rh_error *rh_report_cause(rh_report *r)
{
    return RH_TAKE(r->cause);
}

char *rh_report_render(rh_report *r, const char *as, rh_error **err)
{
    if (!strcmp(as, "json"))
        return json_dumps(r->document, JSON_INDENT(2));
    if (!strcmp(as, "text"))
        return rh_render_text(r->document, err);
    if (!strcmp(as, "html"))
        return rh_render_html(r->document, err);
    rh_fail(err, RH_ERR_USAGE, "a report is not rendered as \"%s\"", as);
    return NULL;
}

int rh_report_status(const rh_report *r)
{
    return r->status;
}

void rh_report_free(rh_report *r)
{
    if (!r)
        return;
    json_decref(r->document);
    rh_rows_free(&r->rows);
    rh_error_free(r->worst);
    rh_error_free(r->cause);
    free(r);
}
