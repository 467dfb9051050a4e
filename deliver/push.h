/* push.h - the contract of a push: a result that stands in a folder goes to a
 * hypervisor's API.
 *
 * One row of deliver/push.c's registry for each scheme.  A push logs in once
 * for all results; for each result its calls come in this order: look (changes
 * nothing), send, start; clean for what an interrupted one has left. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_PUSH_H
#define RH_DELIVER_PUSH_H

#include "deliver/remote.h"

struct rh_pusher;
struct rh_push {
    const struct rh_pusher *kind;
    rh_lib *lib;
    const rh_options *options; /* borrowed */
    struct rh_remote remote;
    void *state; /* the kind's */
};

/* One result under way. */
struct rh_push_item {
    struct rh_push *push;
    const char *dir;
    const char *name;      /* of the VM in the result */
    const json_t *receipt; /* borrowed */
    struct rh_journal *journal;
    struct rh_checks checks;
    RH_VEC(char *) plan; /* requests that send() would make, for people */
    uint64_t bytes;      /* to be sent; 0: not known */
    uint64_t sent;
    json_t *delivered; /* {"id","uuid","disks":[...],"nics":[...]} */
    void *state;       /* the kind's */
};
void rh_push_plan(struct rh_push_item *i, const char *fmt, ...) RH_PRINTF(2, 3);

struct rh_pusher {
    const char *scheme; /* "xapi" */
    const char *target; /* "xen": whose results it takes */
    unsigned port;
    bool wants_token; /* a prompt asks for one */
    bool local;       /* "SCHEME:WHAT": we do not log in; remote.text alone is
                         set */
    const char *const *options; /* of \"sr storage import-storage vmid\" those
                                   that it takes; NULL-ended, or NULL */
    int (*open)(struct rh_push *p, rh_error **err); /* log in */
    void (*close)(struct rh_push *p);
    /* Everything that could stand in the way, as checks. */
    int (*look)(struct rh_push_item *i, rh_error **err);
    /* Send it; takes away again what it made when it fails (but with "keep-
     * failed").  Sets i->delivered; the journal then says no more than what is
     * still to be taken away. */
    int (*send)(struct rh_push_item *i, rh_error **err);
    int (*start)(struct rh_push_item *i, rh_error **err);
    /* Optional: rh_address_add() what the guest tells of itself. */
    int (*addresses)(struct rh_push_item *i, json_t *list, rh_error **err);
    void (*item_free)(struct rh_push_item *i);
    /* Optional: the bytes of disk i of a delivery (an entry of the receipt's),
     * in order, to `sink`. */
    int (*read_disk)(struct rh_push *p, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err);
    /* Take away one thing of a journal; it may be gone already.  What must be
     * noted on the way goes into `j`. */
    int (*clean)(struct rh_push *p, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err);
};
/* What a delivery calls its disk i ("id"); NULL with VERIFY_RECEIPT. */
const char *rh_push_disk_id(const json_t *delivery, size_t i, rh_error **err);
const struct rh_pusher *rh_pusher_of(const char *scheme); /* NULL: none */

#endif
