/* decision.c - what a job decided, as data: rehost.decision/1.
 *
 * The options that led to it, and for each VM and target what follows from
 * them.  A job made of it decides anew, from the same options, and compares: so
 * a decision can be kept, shown, shipped to another machine, and what is then
 * done is what was decided, or nothing. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/job.h"

#define SCHEMA "rehost.decision/1"

/* --- out
 * ---------------------------------------------------------------------- */

static json_t *disks_json(const struct rh_job_target *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->job.disk_count; i++) {
        const struct rh_target_disk *d = &t->job.disks[i];

        json_array_append_new(list, json_pack("{s:i, s:s?, s:s?, s:I}", "disk",
                                              (int)d->index, "file", d->file,
                                              "bus", d->bus, "virtual_size",
                                              (json_int_t)d->virtual_size));
    }
    return list;
}

static json_t *nics_json(const struct rh_job_target *t)
{
    const struct rh_vm *vm = t->job.vm;
    json_t *list = json_array();

    for (size_t i = 0; i < vm->nics.count; i++) {
        const char *from = rh_text_of(&vm->nics.items[i].network);
        const char *to = rh_target_network(&t->options, from);
        char mac[18];

        rh_vm_nic_mac(vm, i, mac);
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "mac", mac,
                                              "network", rh_json_text(from),
                                              "to", rh_json_text(to)));
    }
    return list;
}

/* Texts for people depend on the language: they stay out. */
static json_t *edits_json(const struct rh_edits *edits)
{
    json_t *list = json_array();

    for (size_t i = 0; i < edits->count; i++) {
        const struct rh_edit *e = &edits->items[i];

        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "where",
                                              rh_json_text(e->where), "fix",
                                              rh_json_text(e->fix), "before",
                                              rh_json_text(e->before), "after",
                                              rh_json_text(e->after)));
    }
    return list;
}

static json_t *findings_json(const struct rh_findings *findings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < findings->count; i++) {
        const struct rh_finding *f = &findings->items[i];

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o}", "id", rh_finding_name(f->id),
                            "severity", rh_severity_name(f->severity),
                            "subject", rh_json_text(f->subject)));
    }
    return list;
}

static json_t *target_json(const struct rh_job_target *t)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s?, s:s?, s:s?}, s:s?, s:s?, s:o, s:o, s:o, "
        "s:o}",
        "target", t->target->name, "verdict",
        rh_verdict_name(t->judgement.verdict), "effort",
        rh_effort_name(t->judgement.effort), "format", rh_job_format(t),
        "devices", "choice", t->options.devices, "disk", t->machine.disk, "nic",
        t->machine.nic, "firmware", t->machine.firmware, "machine",
        t->job.machine, "disks", disks_json(t), "nics", nics_json(t), "edits",
        edits_json(&t->edits), "findings", findings_json(&t->findings));
}

json_t *rh_job_decided(const struct rh_job *job)
{
    json_t *vms = json_array();

    for (size_t i = 0; i < job->vms.count; i++) {
        const struct rh_job_vm *v = &job->vms.items[i];
        const struct rh_vm *vm = job->package->vms.items[v->index];
        json_t *targets = json_array();

        for (size_t t = 0; t < v->target_count && !v->error; t++)
            json_array_append_new(targets, target_json(&v->targets[t]));
        json_array_append_new(
            vms, json_pack("{s:o, s:s, s:o, s:o}", "vm", rh_json_text(vm->id),
                           "name", v->name, "error",
                           v->error ? json_string(rh_error_id(v->error))
                                    : json_null(),
                           "targets", targets));
    }
    return vms;
}

static json_t *options_json(const rh_options *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < o->list.count; i++)
        json_array_append_new(list,
                              json_pack("[s, o]", o->list.items[i].key,
                                        rh_json_text(o->list.items[i].value)));
    return list;
}

char *rh_job_decision(rh_job *job, rh_error **err)
{
    json_t *doc;
    char *text;

    if (rh_job_prepare(job, err) < 0)
        return NULL;
    doc = json_pack("{s:s, s:s, s:o, s:o, s:o}", "schema", SCHEMA, "version",
                    rh_version(), "source", rh_json_text(job->package->path),
                    "options", options_json(job->options), "vms",
                    rh_job_decided(job));
    text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    json_decref(doc);
    if (!text)
        rh_fail(err, RH_ERR_BUG, "the decision cannot be written");
    return text;
}

/* --- in
 * ----------------------------------------------------------------------- */

static int not_one(const char *why, rh_error **err)
{
    return rh_fail(err, RH_ERR_DECISION_FORMAT, "this is no decision: %s", why);
}

static int take_options(const json_t *doc, rh_options *to, rh_error **err)
{
    const json_t *list = json_object_get(doc, "options"), *pair;
    size_t i;

    if (!json_is_array(list))
        return not_one("it has no options", err);
    json_array_foreach (list, i, pair) {
        const char *key = json_string_value(json_array_get(pair, 0));
        const char *value = json_string_value(json_array_get(pair, 1));

        if (!key || !value)
            return not_one("an option is not a pair of texts", err);
        if (rh_options_add(to, key, value, err) < 0)
            return -1;
    }
    return 0;
}

static json_t *read_text(const char *text, rh_error **err)
{
    json_error_t why;
    json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    const char *schema = json_string_value(json_object_get(doc, "schema"));

    if (!doc)
        not_one(why.text, err);
    else if (!schema || strcmp(schema, SCHEMA))
        not_one("its schema is not " SCHEMA, err);
    else if (!json_is_array(json_object_get(doc, "vms")))
        not_one("it has no VMs", err);
    else
        return doc;
    json_decref(doc);
    return NULL;
}

static rh_job *job_of(rh_package *package, const json_t *doc,
                      const rh_options *more, rh_error **err)
{
    rh_options *options = rh_options_new();
    rh_job *job = NULL;

    if (take_options(doc, options, err) == 0) {
        for (size_t i = 0; more && i < more->list.count; i++)
            rh_options_put(options, more->list.items[i].key,
                           more->list.items[i].value);
        job = rh_job_new(package, options, err);
    }
    rh_options_free(options);
    if (job)
        job->decided = json_incref(json_object_get(doc, "vms"));
    return job;
}

rh_job *rh_job_from_decision(rh_package *package, const char *decision,
                             const rh_options *more, rh_error **err)
{
    json_t *doc = read_text(decision, err);
    rh_job *job = doc ? job_of(package, doc, more, err) : NULL;

    json_decref(doc);
    return job;
}

/* --- kept to
 * ------------------------------------------------------------------ */

/* Where two values part: "vms/0/targets/0/nics/1/mac". */
static bool same(const json_t *a, const json_t *b, struct rh_buf *path)
{
    size_t at = path->length;
    const char *key;
    json_t *value;

    if (json_is_object(a) && json_is_object(b) &&
        json_object_size(a) == json_object_size(b)) {
        json_object_foreach ((json_t *)(uintptr_t)a, key, value) {
            rh_buf_printf(path, "/%s", key);
            if (!same(value, json_object_get(b, key), path))
                return false;
            path->data[path->length = at] = '\0';
        }
        return true;
    }
    if (json_is_array(a) && json_is_array(b) &&
        json_array_size(a) == json_array_size(b)) {
        for (size_t i = 0; i < json_array_size(a); i++) {
            rh_buf_printf(path, "/%zu", i);
            if (!same(json_array_get(a, i), json_array_get(b, i), path))
                return false;
            path->data[path->length = at] = '\0';
        }
        return true;
    }
    return json_equal(a, b);
}

int rh_job_check_decided(struct rh_job *job, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf path = {0};
    json_t *now = rh_job_decided(job);
    bool equal;

    rh_buf_puts(&path, "vms");
    equal = same(job->decided, now, &path);
    json_decref(now);
    if (equal)
        return 0;
    rh_fail(err, RH_ERR_DECISION_CHANGED,
            "it would not be done as it was decided: %s is another", path.data);
    return rh_error_subject(err, job->package->path);
}
