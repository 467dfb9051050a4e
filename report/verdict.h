/* verdict.h - what all findings of a VM on a target come to.
 *
 * Derived here and nowhere else, from the findings and the number of edits:
 * what is at stake counts, not how many there are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_VERDICT_H
#define RH_REPORT_VERDICT_H

#include "report/findings.h"

enum rh_verdict { RH_READY, RH_CAUTION, RH_BLOCKED };
enum rh_effort { RH_EASY, RH_SOME_CAUTION, RH_MANUAL };

struct rh_judgement {
    enum rh_verdict verdict;
    enum rh_effort effort;         /* that is left to people */
    enum rh_effort effort_by_hand; /* without what rehost takes care of */
};

struct rh_judgement rh_judge(const struct rh_findings *findings, size_t edits);
const char *rh_verdict_name(enum rh_verdict v); /* "ready caution blocked" */
const char *rh_effort_name(enum rh_effort e);   /* "easy some-caution manual" */

#endif
