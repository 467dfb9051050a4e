/* report.c - the dry run: plans without their last step, one source or many. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/documents.h"
#include "convert/fleet.h"
#include "convert/plan.h"
#include "rehost/rehost.h"
#include "report/render.h"

struct rh_report {
    json_t *document; /* rehost.report/1 */
    rh_error *cause;  /* why the only source was refused */
    int status;
};

static bool goes_somewhere(const json_t *entry)
{
    const json_t *target;
    size_t i;

    json_array_foreach (json_object_get(entry, "targets"), i, target)
        if (strcmp(json_string_value(json_object_get(target, "verdict")),
                   "blocked"))
            return true;
    return false;
}

/* A VM no asked target takes makes 4; a refused source 3, which is worse. */
static void judge(rh_report *r)
{
    const json_t *entry;
    size_t i;

    json_array_foreach (json_object_get(r->document, "vms"), i, entry)
        if (!goes_somewhere(entry) && r->status == 0)
            r->status = 4;
}

static rh_report *report_new(rh_lib *lib, rh_error **err)
{
    rh_report *r = rh_new0(rh_report);

    r->document = rh_report_document(lib, err);
    if (r->document)
        return r;
    rh_report_free(r);
    return NULL;
}

rh_report *rh_plan_report(rh_plan *plan, rh_error **err)
{
    rh_report *r;

    if (rh_plan_prepare(plan, err) < 0)
        return NULL;
    r = report_new(plan->lib, err);
    if (!r)
        return NULL;
    json_object_set_new(r->document, "vms", rh_plan_json(plan));
    judge(r);
    return r;
}

/* Where one was refused the rest does not matter; a file that could not be
 * read says that only when nothing was refused. */
static void note_failed(rh_report *r, struct rh_fleet_item *item)
{
    RH_AUTO(rh_freep) char *text = rh_error_json(item->error);
    json_t *row = json_loads(text, 0, NULL);
    int status = rh_error_status(item->error);

    json_object_set_new(row, "source", rh_json_text(item->source));
    json_array_append_new(json_object_get(r->document, "failed"), row);
    if (status == 3 || (r->status != 3 && r->status != 1))
        r->status = status;
}

static void collect(rh_report *r, rh_fleet *fleet)
{
    json_t *vms = json_object_get(r->document, "vms");
    RH_AUTO(rh_freep) size_t *package = NULL;

    for (size_t i = 0; i < fleet->count; i++) {
        struct rh_fleet_item *item = &fleet->items[i];
        size_t n = json_array_size(vms);

        if (item->vms) {
            json_array_extend(vms, item->vms);
            package = rh_realloc_array(package, json_array_size(vms) + 1,
                                       sizeof *package);
            while (n < json_array_size(vms))
                package[n++] = i;
        } else if (item->error)
            note_failed(r, item);
    }
    if (fleet->count == 1)
        r->cause = RH_TAKE(fleet->items[0].error);
    rh_fleet_duplicates(vms, package);
    judge(r);
}

rh_report *rh_report_run(rh_lib *lib, const char *const *sources, size_t count,
                         const rh_options *options, rh_error **err)
{
    rh_fleet fleet = {0};
    rh_report *r = report_new(lib, err);

    if (!r)
        return NULL;
    rh_fleet_list(sources, count, &fleet);
    if (rh_fleet_plan(lib, &fleet, options, err) == 0) {
        collect(r, &fleet);
    } else {
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
    rh_error_free(r->cause);
    free(r);
}
