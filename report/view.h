/* view.h - what the text and the page both read out of a report document. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_VIEW_H
#define RH_REPORT_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

/* A member's text, "" when there is none; its number, 0 likewise. */
const char *rh_word(const json_t *o, const char *key);
uint64_t rh_number(const json_t *o, const char *key);

/* A model's name for people, by its target; the target's id when the document
 * does not describe it. */
const char *rh_model_name(const json_t *report, const char *target);
/* The recommended model's name; "" when there is none. */
const char *rh_advised_name(const json_t *report, const json_t *entry);
/* Is there anything to say about which model to take? */
bool rh_has_advice(const json_t *entry);
/* The target that is recommended, else the first. */
const json_t *rh_best_target(const json_t *entry);
/* Translated words for the document's codes. */
const char *rh_verdict_word(const char *verdict);
const char *rh_effort_word(const char *effort);
const char *rh_severity_word(const char *severity);
/* "PVSCSI" for "pvscsi"; what is not known stays as it is. */
const char *rh_device_word(const char *device);
/* "about 3 min"; the caller frees. */
char *rh_human_time(uint64_t seconds);
/* The VM's own name, else its id. */
const char *rh_vm_title(const json_t *entry);
/* Bytes of all its disks. */
uint64_t rh_vm_disk_bytes(const json_t *entry);
const char *rh_vm_os(const json_t *entry);

/* Lines that several targets share stand once, with a bit for each target. */
struct rh_shared {
    const json_t *item;
    unsigned targets;
};
typedef RH_VEC(struct rh_shared) rh_shared_list;
enum rh_kind { RH_KIND_TO_DO, RH_KIND_HANDLED, RH_KIND_NOTES };
/* Findings of all targets: left to people (blockers, cautions), taken care of
 * by rehost, and notes; in the document's order, which is worst first. */
void rh_shared_findings(const json_t *entry, enum rh_kind kind,
                        rh_shared_list *ret);
void rh_shared_edits(const json_t *entry, rh_shared_list *ret);
/* Of one target. */
size_t rh_count_findings(const json_t *target, enum rh_kind kind);

#endif
