/* tags.h - tags of VMs, which vCenter's REST API alone tells.
 *
 *   rest.c   its session, one request
 *   tags.c   which tags VMs have, and what they are called */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_LIVE_VSPHERE_TAGS_H
#define RH_LIVE_VSPHERE_TAGS_H

#include <jansson.h>

#include "live/vsphere/machine.h"

/* --- REST (rest.c) ----------------------------------------------------------
 *
 * A session of its own beside the one of SOAP, by the same log-in and trust.  A
 * log-in that was refused is not tried again. */
struct rh_vs_rest {
    struct rh_vs *s;
    struct rh_http *http; /* NULL: not asked for yet */
    bool newer;           /* /api (7.0 U2), else /rest (6.5) */
    bool in;
    rh_error *why; /* nothing more is asked of it; or NULL */
};
/* A GET, or a POST of `body`.  `what` is the path behind ".../cis/", `action`
 * NULL or what is to be done; *ret is the answer's value (NULL: it has none).
 * LIVE_RIGHTS, LIVE_NOT_FOUND, or that it is not to be had. */
struct rh_vs_rest_call {
    const char *what, *action;
    const json_t *body;
};
int rh_vs_rest_ask(struct rh_vs_rest *r, const struct rh_vs_rest_call *c,
                   json_t **ret, rh_error **err);
/* Logs out; also what was never used. */
void rh_vs_rest_end(struct rh_vs_rest *r);
/* The value in an answer's body, NULL: there is none; `newer` as above. */
json_t *rh_vs_rest_value(const char *text, size_t n, bool newer);
void rh_vs_json_freep(json_t **j);

/* --- tags (tags.c)
 * ------------------------------------------------------------- */
struct rh_vs_tags; /* of a session */
struct rh_vs_tags *rh_vs_tags_new(struct rh_vs *s);
void rh_vs_tags_free(struct rh_vs_tags *t); /* logs out; NULL is none */
/* Set the VM's tags ("CATEGORY:TAG;..."); why they could not be read is a
 * finding.  Fails with CANCELLED alone. */
int rh_vs_tags(struct rh_live_vm *vm, struct rh_vm *config,
               struct rh_findings *findings, rh_error **err);

/* For fuzz/vsphere_tags.c: [{"object_id": {"id"}, "tag_ids": []}...]. */
void rh_vs_tags_take(struct rh_vs_tags *t, const json_t *list);

#endif
