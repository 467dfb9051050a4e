/* remote.h - what deliveries to a hypervisor's API have in common: the URL, the
 * log-in, the checks before the first byte, the journal of what was made.
 *
 *     xapi://HOST[:PORT][/SR]      proxmox://HOST[:PORT]/NODE[/STORAGE]
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_REMOTE_H
#define RH_DELIVER_REMOTE_H

#include <jansson.h>

#include "base/http.h"
#include "base/login.h"
#include "base/options.h"
#include "report/findings.h"

/* --- the URL ----------------------------------------------------------------
 */
enum { RH_REMOTE_PARTS = 4 };
struct rh_remote_url {
    char *scheme;                 /* "xapi" */
    char *authority;              /* "HOST:PORT", the port as given */
    char *parts[RH_REMOTE_PARTS]; /* of the path, unescaped */
    size_t count;
};
/* DELIVERY_URL; HTTP_USERINFO where it holds a user or password. */
int rh_remote_url(const char *text, struct rh_remote_url *ret, rh_error **err);
void rh_remote_url_free(struct rh_remote_url *u); /* also for RH_AUTO */

/* --- checks ------------------------------------------------------------------
 */
/* One line each, for people: what was looked at, and what came of it. */
struct rh_check {
    char *text;
    enum rh_error_id id; /* why it can't be done; RH_ERR_NONE: it can */
    bool caution;
    char *hint; /* or NULL */
};
struct rh_checks {
    RH_VEC(struct rh_check) list;
};
void rh_check_good(struct rh_checks *c, const char *fmt, ...) RH_PRINTF(2, 3);
void rh_check_caution(struct rh_checks *c, const char *fmt, ...)
    RH_PRINTF(2, 3);
void rh_check_bad(struct rh_checks *c, enum rh_error_id id, const char *fmt,
                  ...) RH_PRINTF(3, 4);
/* What to do about the last one. */
void rh_check_hint(struct rh_checks *c, const char *fmt, ...) RH_PRINTF(2, 3);
/* The first that is bad, as an error; the log has them all. */
int rh_checks_verdict(const struct rh_checks *c, rh_lib *lib, rh_error **err);
bool rh_checks_bad(const struct rh_checks *c);
/* The same as findings of a VM. */
void rh_checks_find(const struct rh_checks *c, struct rh_findings *findings);
void rh_checks_free(struct rh_checks *c);

/* --- the connection
 * ------------------------------------------------------------ */
/* Options: "login", "tls-ca", "pin" (repeat). */
struct rh_remote {
    rh_lib *lib;
    const rh_options *options; /* borrowed */
    char *text;                /* the URL, for people */
    struct rh_remote_url url;
    struct rh_login login;
    struct rh_http *http;
};
/* `port` where the URL has none. */
int rh_remote_open(struct rh_remote *r, rh_lib *lib, const char *url,
                   unsigned port, bool wants_token, const rh_options *options,
                   rh_error **err);
void rh_remote_close(struct rh_remote *r);
/* Wait *ms before asking again, and twice as long the next time. */
void rh_remote_pause(unsigned *ms, unsigned most);

/* --- the journal
 * ---------------------------------------------------------------- */
/* What was made on the server, line by line, before it is made: what a run that
 * was killed has left can be found by it.  In DIR/.push/, or, where there is no
 * result (NULL) or it can't be written, in $XDG_STATE_HOME/rehost/. */
struct rh_journal;
/* One run at a time for a result and URL: HTTP_BUSY. *ret_left: what an earlier
 * run left (an array), or NULL; the caller has the reference. */
struct rh_journal *rh_journal_open(const char *dir, const char *url,
                                   json_t **ret_left, rh_error **err);
/* On the disk when it returns. */
int rh_journal_add(struct rh_journal *j, const char *kind, const char *id,
                   rh_error **err);
/* All is as it should be: nothing is left, the journal goes. */
void rh_journal_done(struct rh_journal *j);
void rh_journal_close(struct rh_journal *j); /* what it says stays */
RH_FREEP(rh_journal_closep, struct rh_journal, rh_journal_close)

#endif
