/* report.c - the dry run: plans without their last step, one source or many. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/documents.h"
#include "convert/plan.h"
#include "rehost/rehost.h"
#include "report/render.h"

struct rh_report {
    json_t *document; /* rehost.report/1 */
    int status;
};

/* A VM no asked target takes makes 4, a refused source 3 (which is worse). */
static void judge(rh_report *r, const rh_plan *plan)
{
    for (size_t i = 0; i < plan->vms.count; i++) {
        const struct rh_plan_vm *v = &plan->vms.items[i];
        bool goes = false;

        for (size_t t = 0; t < v->targets.count; t++)
            goes |= v->targets.items[t].verdict != RH_BLOCKED;
        if (!goes && r->status == 0)
            r->status = 4;
    }
}

static rh_report *report_new(void)
{
    rh_report *r = rh_new0(rh_report);

    r->document = rh_report_document();
    return r;
}

rh_report *rh_plan_report(rh_plan *plan, rh_error **err)
{
    rh_report *r;

    if (rh_plan_prepare(plan, err) < 0)
        return NULL;
    r = report_new();
    json_object_set_new(r->document, "vms", rh_plan_json(plan));
    judge(r, plan);
    return r;
}

static int report_one(rh_lib *lib, rh_report *r, const char *source,
                      const rh_options *options, rh_error **err)
{
    rh_package *p = rh_package_load(lib, source, options, err);
    rh_plan *plan = p ? rh_plan_new(p, options, err) : NULL;
    json_t *vms;
    int failed = -1;

    if (plan) {
        plan->for_report = true;
        failed = rh_plan_prepare(plan, err);
    }
    if (!failed) {
        vms = rh_plan_json(plan);
        json_array_extend(json_object_get(r->document, "vms"), vms);
        json_decref(vms);
        judge(r, plan);
    }
    rh_plan_free(plan);
    rh_package_unload(p);
    return failed;
}

static void note_failed(rh_report *r, const char *source, const rh_error *e)
{
    RH_AUTO(rh_freep) char *text = rh_error_json(e);
    json_t *error = json_loads(text, 0, NULL);

    json_object_set_new(error, "source", json_string(source));
    json_array_append_new(json_object_get(r->document, "failed"), error);
    r->status = 3;
}

rh_report *rh_report_run(rh_lib *lib, const char *const *sources, size_t count,
                         const rh_options *options, rh_error **err)
{
    rh_report *r = report_new();

    for (size_t i = 0; i < count; i++) {
        rh_error *e = NULL;

        rh_progress(lib, "report", i, count);
        if (report_one(lib, r, sources[i], options, &e) == 0)
            continue;
        /* What the caller did wrong, and a stop, end it all; a broken package
         * is a row. */
        if (rh_error_status(e) == 2 || rh_error_status(e) == 130 ||
            count == 1) {
            if (err && !*err)
                *err = e;
            else
                rh_error_free(e);
            rh_report_free(r);
            return NULL;
        }
        note_failed(r, sources[i], e);
        rh_error_free(e);
    }
    return r;
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
    free(r);
}
