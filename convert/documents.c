/* documents.c - what convert leaves beside the disks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/documents.h"

#include <stdlib.h>
#include <string.h>

#include "convert/rows.h"
#include "rehost/rehost.h"
#include "report/render.h"
#include "targets/model.h"

int rh_put_json(struct rh_delivery *d, const char *name, json_t *doc,
                rh_error **err)
{
    RH_AUTO(rh_freep) char *text = json_dumps(doc, JSON_INDENT(2));

    if (!text)
        return rh_fail(err, RH_ERR_BUG, "%s cannot be written", name);
    return rh_delivery_put(d, name, text, strlen(text), false, err);
}

static json_t *models_json(rh_lib *lib, rh_error **err)
{
    const json_t *models = rh_models_of(lib, err), *model;
    json_t *list;
    size_t i;

    if (!models)
        return NULL;
    list = json_array();
    json_array_foreach (models, i, model)
        json_array_append_new(list, rh_model_properties(model));
    return list;
}

json_t *rh_report_document(rh_lib *lib, rh_error **err)
{
    json_t *models = models_json(lib, err);

    if (!models)
        return NULL;
    return json_pack("{s:s, s:s, s:[], s:[], s:o}", "schema", "rehost.report/1",
                     "lang", rh_text_lang(), "vms", "failed", "models", models);
}

/* --- the receipt
 * ---------------------------------------------------------------------- */

/* Of several digests the strongest, which comes first. */
static json_t *first_of(const char *list)
{
    return list ? json_stringn(list, strcspn(list, "+")) : json_null();
}

static json_t *source_json(const struct rh_package *p)
{
    static const char *const states[] = {"absent", "unverified", "verified"};
    json_t *files = json_array();

    for (size_t i = 0; i < p->members.count; i++) {
        const struct rh_member *m = &p->members.items[i];

        json_array_append_new(files,
                              json_pack("{s:o, s:I, s:o, s:o, s:b}", "name",
                                        rh_json_text(m->name), "bytes",
                                        (json_int_t)m->size, "algorithm",
                                        first_of(m->algorithm), "digest",
                                        first_of(m->digest), "verified",
                                        m->verified && !p->loose));
    }
    return json_pack("{s:o, s:s, s:s, s:o}", "path", rh_json_text(p->path),
                     "kind", p->kind, "manifest", states[p->manifest], "files",
                     files);
}

/* Where the guest's edits lie on the disk: all else is the source's. */
static json_t *changes_json(const struct rh_job_target *t, size_t i)
{
    json_t *list = json_array();
    uint64_t at = 0, start, length;

    while (t->overlays &&
           rh_overlay_change_at(t->overlays[i], at, &start, &length)) {
        json_array_append_new(
            list, json_pack("[I, I]", (json_int_t)start, (json_int_t)length));
        at = start + length;
    }
    return list;
}

static json_t *disks_json(const struct rh_job_target *t,
                          const struct rh_receipt_disk *receipts)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->job.disk_count; i++) {
        const struct rh_target_disk *d = &t->job.disks[i];
        const struct rh_value *id = &t->job.vm->disks.items[d->index].id;

        json_array_append_new(
            list,
            json_pack(
                "{s:i, s:s?, s:s?, s:s?, s:I, s:I, s:I, s:o*, s:s?, s:s?, s:s?, "
                "s:o}",
                "disk", (int)d->index, "id",
                id->kind == RH_VALUE_TEXT ? id->text : NULL, "file", d->file,
                "bus", d->bus, "virtual_size", (json_int_t)d->virtual_size,
                "file_bytes", (json_int_t)d->file_size, "data_bytes",
                (json_int_t)receipts[i].data_bytes, "cloned_bytes",
                receipts[i].cloned
                    ? json_integer((json_int_t)receipts[i].cloned)
                    : NULL,
                "content_digest",
                receipts[i].content[0] ? receipts[i].content : NULL,
                "source_digest",
                receipts[i].source_content[0] ? receipts[i].source_content
                                              : NULL,
                "frame_digest", receipts[i].frame[0] ? receipts[i].frame : NULL,
                "changed", changes_json(t, i)));
    }
    return list;
}

/* Beside the disks: what was written before the receipt. */
static json_t *files_json(const struct rh_delivery *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->put.count; i++) {
        const struct rh_delivery_file *f = &d->put.items[i];

        json_array_append_new(
            list, json_pack("{s:s, s:I, s:s}", "name", f->name, "bytes",
                            (json_int_t)f->size, "sha256", f->sha256));
    }
    return list;
}

/* The seal's digits, in the text; NULL: there are none. */
static const char *seal_in(const char *text, size_t n)
{
    static const char head[] = "\"seal\": \"";
    const char *at = memmem(text, n, head, sizeof head - 1);

    at = at ? at + sizeof head - 1 : NULL;
    return at && (size_t)(text + n - at) > 64 && at[64] == '"' ? at : NULL;
}

static void seal_of(const char *text, size_t n, const char *seal,
                    char ret_hex[RH_DIGEST_HEX])
{
    RH_AUTO(rh_freep) char *copy = rh_malloc(n);

    memcpy(copy, text, n);
    memset(copy + (seal - text), '0', 64);
    rh_sha256_hex(copy, n, ret_hex);
}

char *rh_receipt_text(json_t *receipt)
{
    static const char none[] = "0000000000000000000000000000000000000000000000"
                               "000000000000000000";
    char hex[RH_DIGEST_HEX], *text;
    const char *seal;

    json_object_set_new(receipt, "seal", json_string(none));
    text = json_dumps(receipt, JSON_INDENT(2));
    seal = text ? seal_in(text, strlen(text)) : NULL;
    if (!seal)
        return text;
    seal_of(text, strlen(text), seal, hex);
    memcpy(text + (seal - text), hex, 64);
    return text;
}

bool rh_receipt_sealed(const char *text, size_t n, bool *ret_has_seal)
{
    const char *seal = seal_in(text, n);
    char hex[RH_DIGEST_HEX];

    *ret_has_seal = seal != NULL;
    if (!seal)
        return true;
    seal_of(text, n, seal, hex);
    return memcmp(hex, seal, 64) == 0;
}

int rh_receipt_write(const char *path, bool replace, bool sealed,
                     json_t *receipt, const json_t *delivery, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_outfile_closep) struct rh_outfile *f = NULL;
    json_t *list = json_object_get(receipt, "delivery");
    struct rh_out *out;

    if (!list) {
        list = json_array();
        json_object_set_new(receipt, "delivery", list);
    }
    json_array_append(list, (json_t *)(uintptr_t)delivery);
    text =
        sealed ? rh_receipt_text(receipt) : json_dumps(receipt, JSON_INDENT(2));
    f = rh_outfile_new(path, replace, &out, err);
    if (!f || rh_out_write(out, text, strlen(text), 0, err) < 0 ||
        rh_out_finish(out, strlen(text), err) < 0)
        return -1;
    return rh_outfile_commit(f, err);
}

static json_t *archive_json(const struct rh_receipt_archive *a)
{
    return a->size ? json_pack("{s:I, s:s?}", "bytes", (json_int_t)a->size,
                               "frame_digest", a->frame[0] ? a->frame : NULL)
                   : json_null();
}

static json_t *receipt_json(struct rh_job *job, struct rh_job_vm *v,
                            struct rh_job_target *t,
                            const struct rh_receipt_disk *disks,
                            const struct rh_receipt_archive *archive)
{
    /* The seal stands before everything that a name could imitate. */
    const char *mark = rh_option(job->options, "receipt-mark");
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:b, s:o, s:o, s:o, "
        "s:o}",
        "schema", "rehost.receipt/1", "seal", "", "tool", "rehost", "version",
        rh_version(), "vm", v->name, "vm_id", rh_json_text(v->vm->id), "target",
        t->target->name, "source", source_json(job->package), "skip_free",
        rh_option_yes(job->options, "skip-free"), "disks", disks_json(t, disks),
        "archive", archive_json(archive), "files", files_json(t->delivery),
        "edits", rh_edits_json(&t->edits, true));

    if (mark) /* of the warm migration that made it */
        json_object_set_new(doc, "mark", json_string(mark));
    return doc;
}

static json_t *one_target_report(struct rh_job *job, struct rh_job_target *t,
                                 rh_error **err)
{
    json_t *doc = rh_report_document(job->lib, err);
    RH_AUTO(rh_rows_free) struct rh_rows rows = {0};

    if (!doc)
        return NULL;
    rh_rows_of_target(&rows, job, t);
    json_object_set_new(doc, "vms", rh_rows_json(&rows));
    return doc;
}

static int put_report(struct rh_job *job, struct rh_job_target *t,
                      rh_error **err)
{
    json_t *doc = one_target_report(job, t, err);
    RH_AUTO(rh_freep) char *html = NULL;
    int failed = !doc || rh_put_json(t->delivery, "report.json", doc, err) < 0;

    if (!failed) {
        html = rh_render_html(doc, err);
        failed = !html || rh_delivery_put(t->delivery, "report.html", html,
                                          strlen(html), false, err) < 0;
    }
    json_decref(doc);
    return failed ? -1 : 0;
}

/* vm.json: rehost.vm/1 with this VM alone, as it is known by now. */
static int put_vm(struct rh_job *job, struct rh_job_vm *v,
                  struct rh_job_target *t, rh_error **err)
{
    json_t *doc = rh_package_json(job->package), *vm = rh_vm_json(v->vm);
    int failed;

    json_object_set_new(vm, "findings", rh_findings_json(&v->found));
    json_object_set_new(doc, "vms", json_pack("[o]", vm));
    failed = rh_put_json(t->delivery, "vm.json", doc, err);
    json_decref(doc);
    return failed;
}

int rh_write_documents(struct rh_job *job, struct rh_job_vm *v,
                       struct rh_job_target *t,
                       const struct rh_receipt_disk *disks,
                       const struct rh_receipt_archive *archive, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *receipt;

    if (put_vm(job, v, t, err) < 0 || put_report(job, t, err) < 0)
        return -1;
    receipt = receipt_json(job, v, t, disks, archive);
    text = rh_receipt_text(receipt);
    if (rh_option(job->options, "receipt"))
        t->receipt = json_incref(receipt);
    json_decref(receipt);
    if (!text)
        return rh_fail(err, RH_ERR_BUG, "the receipt cannot be written");
    return rh_delivery_put(t->delivery, "receipt.json", text, strlen(text),
                           false, err);
}
