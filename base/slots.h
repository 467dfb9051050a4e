/* slots.h - how many connections to a server are open at once, over all
 * processes of a user on this machine.
 *
 * A slot is one byte of a file (below base/state.h), held by a lock that the
 * kernel takes back from whoever dies.  Who waits says so by another lock: who
 * holds more than one, or one for long, then gives way.  Within a process a
 * slot is also taken from readers that nobody reads from.  Where no such file
 * can be had the bound holds for this process alone, which is told once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_SLOTS_H
#define RH_BASE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/lib.h"

enum { RH_SLOTS_MOST = 8 };

struct rh_slots;
/* Those of a server ("host:443"), at most RH_SLOTS_MOST; borrowed until the
 * library is freed. */
struct rh_slots *rh_slots_of(rh_lib *lib, const char *server, unsigned count);

/* Who has connections: one reader.  All but the first two is slots.c's. */
struct rh_slots_user {
    /* Close all connections and call rh_slots_gone(), unless somebody is at it:
     * true.  Called from any thread with locks held: it never waits.  NULL:
     * they can't be closed before the end. */
    bool (*let_go)(void *user);
    void *user;
    struct rh_slots *slots;
    int fds[RH_SLOTS_MOST];
    unsigned count;
    uint64_t since, touched, looked; /* monotonic milliseconds */
};
void rh_slots_join(struct rh_slots *s, struct rh_slots_user *u);
/* Its connections are closed. */
void rh_slots_leave(struct rh_slots_user *u);
/* Wait until it has one.  CANCELLED alone; `lib` is whose cancel. */
int rh_slots_wait(struct rh_slots_user *u, rh_lib *lib, rh_error **err);
/* One more, if it is free and no one waits. */
bool rh_slots_more(struct rh_slots_user *u);
/* Others wait, and it has had its share.  Often called. */
bool rh_slots_due(struct rh_slots_user *u);
/* All back; its connections are closed. */
void rh_slots_give(struct rh_slots_user *u);
void rh_slots_gone(struct rh_slots_user *u); /* likewise, within let_go() */
/* Is one free at this moment? */
bool rh_slots_free(struct rh_slots *s);

#endif
