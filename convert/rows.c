/* rows.c - a report's rows: made of jobs, joined, and written down. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/rows.h"

#include <stdlib.h>

static json_t *target_about(const struct rh_job_target *t)
{
    return json_pack(
        "{s:s, s:o, s:I, s:I, s:b, s:{s:s, s:s?, s:s?, s:s, s:s}, s:O?}",
        "target", t->target->name, "edits", rh_edits_json(&t->edits, false),
        "output_bytes", (json_int_t)t->output_bytes, "seconds",
        (json_int_t)t->seconds, "measured",
        !t->vm->disks_missing && !t->vm->disks_forward, "devices", "choice",
        t->options.devices, "disk", t->machine.disk, "nic", t->machine.nic,
        "firmware", t->machine.firmware, "machine", t->job.machine, "guest",
        t->guest.json);
}

static void add_target(struct rh_row *row, const struct rh_job_target *t)
{
    struct rh_row_target *to = &row->targets[row->target_count++];

    to->about = target_about(t);
    rh_findings_copy(&to->findings, &t->findings);
    to->edits = t->edits.count;
}

/* The addresses seen in the guest stand with its VM: they are the same whatever
 * the target. */
static json_t *vm_json(const struct rh_job_vm *v)
{
    json_t *vm = rh_vm_json(v->vm);
    json_t *nics = json_object_get(v->seen.json, "nics");

    if (json_is_array(nics))
        json_object_set_new(vm, "guest", json_pack("{s:O}", "nics", nics));
    return vm;
}

static struct rh_row *add_row(struct rh_rows *rows, const struct rh_job *job,
                              const struct rh_job_vm *v, size_t package)
{
    struct rh_row *row = rh_vec_add(&rows->list);

    row->package = package;
    row->about =
        json_pack("{s:o, s:s, s:o, s:O?}", "source",
                  rh_json_text(job->package->path), "result", v->name, "vm",
                  vm_json(v), "recommendation", v->recommendation);
    row->targets = rh_calloc(v->target_count, sizeof *row->targets);
    return row;
}

void rh_rows_of_job(struct rh_rows *rows, const struct rh_job *job,
                    size_t package)
{
    for (size_t i = 0; i < job->vms.count; i++) {
        const struct rh_job_vm *v = &job->vms.items[i];
        struct rh_row *row = v->error ? NULL : add_row(rows, job, v, package);

        for (size_t t = 0; row && t < v->target_count; t++)
            add_target(row, &v->targets[t]);
    }
}

void rh_rows_of_target(struct rh_rows *rows, const struct rh_job *job,
                       const struct rh_job_target *t)
{
    add_target(add_row(rows, job, t->vm, 0), t);
}

static json_t *target_json(const struct rh_row_target *t)
{
    struct rh_judgement j = rh_judge(&t->findings, t->edits);
    json_t *o = json_pack("{s:O, s:s, s:s, s:s, s:o}", "target",
                          json_object_get(t->about, "target"), "verdict",
                          rh_verdict_name(j.verdict), "effort",
                          rh_effort_name(j.effort), "effort_by_hand",
                          rh_effort_name(j.effort_by_hand), "findings",
                          rh_findings_json(&t->findings));

    json_object_update(o, t->about);
    return o;
}

json_t *rh_rows_json(const struct rh_rows *rows)
{
    json_t *vms = json_array();

    for (size_t i = 0; i < rows->list.count; i++) {
        const struct rh_row *row = &rows->list.items[i];
        json_t *o = json_copy(row->about), *targets = json_array();

        for (size_t t = 0; t < row->target_count; t++)
            json_array_append_new(targets, target_json(&row->targets[t]));
        json_object_set_new(o, "targets", targets);
        json_array_append_new(vms, o);
    }
    return vms;
}

void rh_rows_move(struct rh_rows *to, struct rh_rows *from)
{
    for (size_t i = 0; i < from->list.count; i++)
        *rh_vec_add(&to->list) = from->list.items[i];
    from->list.count = 0;
}

void rh_rows_free(struct rh_rows *rows)
{
    for (size_t i = 0; i < rows->list.count; i++) {
        struct rh_row *row = &rows->list.items[i];

        for (size_t t = 0; t < row->target_count; t++) {
            json_decref(row->targets[t].about);
            rh_findings_free(&row->targets[t].findings);
        }
        free(row->targets);
        json_decref(row->about);
    }
    free(rows->list.items);
    *rows = (struct rh_rows){0};
}
