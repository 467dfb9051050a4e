/* findings.h - what a person should know before, and what was done about it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_FINDINGS_H
#define RH_REPORT_FINDINGS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/text.h"

enum rh_finding_id {
    RH_F_NONE,
#define FINDING(id, severity, automatic, about, remedy) RH_F_##id,
#include "report/findings.def"
#undef FINDING
    RH_F_COUNT
};
enum rh_severity { RH_SEVERITY_INFO, RH_SEVERITY_CAUTION, RH_SEVERITY_BLOCKER };

struct rh_finding {
    enum rh_finding_id id;
    enum rh_severity severity;
    bool automatic; /* rehost takes care of it */
    char *subject;  /* "vm", "disks/0", "nics/1", "os", a member's name */
    char *message;  /* translated, printable */
    char *remedy;   /* translated, or NULL */
};
struct rh_findings {
    struct rh_finding *items;
    size_t count, room;
};

/* Add one, with the table's severity and remedy; exact duplicates are left
 * out.  The returned pointer is for adjusting and is valid until the next
 * call. */
struct rh_finding *rh_finding_add(struct rh_findings *list,
                                  enum rh_finding_id id, const char *subject,
                                  const char *fmt, ...) RH_PRINTF(4, 5);
/* By printed id ("VMDK-UNCLEAN"); an unknown id becomes PLAN_OTHER. */
struct rh_finding *rh_finding_add_named(struct rh_findings *list,
                                        const char *id, const char *subject,
                                        const char *message);
/* What was said of "disks/I" (prefix "disks/") is about to[I] now, or, where
 * that is SIZE_MAX, about nothing any more. */
void rh_findings_renumber(struct rh_findings *list, const char *prefix,
                          const size_t *to, size_t count);
/* Take away all of that id. */
void rh_findings_drop(struct rh_findings *list, enum rh_finding_id id);
void rh_findings_copy(struct rh_findings *to, const struct rh_findings *from);
void rh_findings_sort(struct rh_findings *list); /* worst first, then id */
enum rh_severity rh_findings_worst(const struct rh_findings *list);
/* Only the first `count` stay. */
void rh_findings_cut(struct rh_findings *list, size_t count);
bool rh_findings_has(const struct rh_findings *list, enum rh_finding_id id);
void rh_findings_free(struct rh_findings *list);          /* also for RH_AUTO */
json_t *rh_findings_json(const struct rh_findings *list); /* array */
const char *rh_finding_name(enum rh_finding_id id);       /* "NIC-RENAME" */
const char *rh_finding_remedy_of(
    enum rh_finding_id id);                       /* untranslated or NULL */
const char *rh_severity_name(enum rh_severity s); /* "caution" */

/* One change inside the guest, as planned and as done. */
struct rh_edit {
    char *where;  /* the guest's file or registry key */
    char *what;   /* one line, translated */
    char *before; /* text or "sha256:..." of the file; NULL: did not exist */
    char *after;  /* likewise; NULL: removed */
    char *fix;    /* the fix's stable name: "linux.initramfs-drivers" */
};
struct rh_edits {
    struct rh_edit *items;
    size_t count, room;
};
void rh_edits_free(struct rh_edits *e);              /* also for RH_AUTO */
void rh_edits_cut(struct rh_edits *e, size_t count); /* only the first stay */
json_t *rh_edits_json(const struct rh_edits *e, bool with_contents);

#endif
