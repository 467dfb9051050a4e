/* redact.h - a report that may be shown to others. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_REDACT_H
#define RH_REPORT_REDACT_H

#include <jansson.h>
#include <stddef.h>

/* A copy of a rehost.report/1 in which names (of VMs, hosts, networks, files,
 * datastores, users) and addresses (MAC, IP, UUID, URL) are replaced, the same
 * one by the same everywhere; sizes, findings and verdicts stay.  `words` are
 * further names to hide (NULL entries are ignored).  The caller has the
 * reference. */
json_t *rh_redact(const json_t *report, const char *const *words, size_t count);

#endif
