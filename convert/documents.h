/* documents.h - vm.json, report.json, report.html, receipt.json. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_DOCUMENTS_H
#define RH_CONVERT_DOCUMENTS_H

#include "convert/frame_sum.h"
#include "convert/job.h"
#include "deliver/deliver.h"

struct rh_receipt_disk {
    /* Content digests, see copy.c; "" when not taken. */
    char content[65], source_content[65];
    char frame[RH_FRAME_HEX]; /* see frame.h; "" when not taken */
    uint64_t data_bytes;
    uint64_t cloned; /* bytes that share their blocks with the source */
};

/* The one file of all disks, where there is one: size 0 when there is not. */
struct rh_receipt_archive {
    uint64_t size;
    char frame[RH_FRAME_HEX];
};

/* receipt.json as text, with a seal over its bytes: all of it but the seal's
 * own digits.  The caller frees; NULL: out of memory. */
char *rh_receipt_text(json_t *receipt);
/* Is the seal the text's?  True also where there is none (older ones). */
bool rh_receipt_sealed(const char *text, size_t n, bool *ret_has_seal);

/* receipt.json with one more delivery in it, at `path`. */
int rh_receipt_write(const char *path, bool replace, bool sealed,
                     json_t *receipt, const json_t *delivery, rh_error **err);

/* Put them into t->delivery. */
int rh_write_documents(struct rh_job *job, struct rh_job_vm *v,
                       struct rh_job_target *t,
                       const struct rh_receipt_disk *disks,
                       const struct rh_receipt_archive *archive,
                       rh_error **err);
/* The caller has the reference. */
/* A rehost.report/1 without VMs: the models are in it. */
json_t *rh_report_document(rh_lib *lib, rh_error **err);
/* {"error":{...}}; the caller has the reference. */
json_t *rh_error_object(const rh_error *e);
int rh_put_json(struct rh_delivery *d, const char *name, json_t *doc,
                rh_error **err);

#endif
