/* push.h - the contract of a push: a result that stands in a folder goes to a
 * hypervisor's API.
 *
 * One row of deliver/push.c's registry for each server (deliver/server.h).  A
 * push logs in once for all results; for each result its calls come in this
 * order: look (changes nothing), send; the server starts the VM, and undoes
 * what a send that failed has made. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_PUSH_H
#define RH_DELIVER_PUSH_H

#include "deliver/server.h"

struct rh_pusher;
struct rh_push {
    const struct rh_pusher *kind;
    struct rh_server server;
};

/* One result under way. */
struct rh_push_item {
    struct rh_server *server;
    const char *dir;
    const char *name;      /* of the VM in the result */
    const json_t *receipt; /* borrowed */
    bool sealed;           /* the receipt has a seal, which is whole */
    struct rh_journal *journal;
    struct rh_checks checks;
    RH_VEC(char *) plan; /* requests that send() would make, for people */
    uint64_t bytes;      /* to be sent; 0: not known */
    uint64_t sent;
    json_t *delivered; /* {"id","uuid","disks":[...],"nics":[...]} */
    void *state;       /* the kind's */
    void *work;        /* the server's, of this VM; look() sets it */
};
void rh_push_plan(struct rh_push_item *i, const char *fmt, ...) RH_PRINTF(2, 3);

struct rh_pusher {
    const struct rh_server_kind *server;
    const char *target; /* "xen": whose results it takes; NULL: all */
    /* Everything that could stand in the way, as checks. */
    int (*look)(struct rh_push_item *i, rh_error **err);
    /* Send it.  Sets i->delivered; the journal then says no more than what is
     * still to be taken away. */
    int (*send)(struct rh_push_item *i, rh_error **err);
    void (*item_free)(struct rh_push_item *i);
};
const struct rh_pusher *rh_pusher_of(const char *url); /* NULL: none */

#endif
