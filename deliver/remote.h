/* remote.h - what deliveries to a hypervisor's API have in common: the checks
 * before the first byte, the journal of what was made.  Their URL and log-in
 * are base/remote.h's:
 *
 *     xapi://HOST[:PORT][/SR]      proxmox://HOST[:PORT]/NODE[/STORAGE]
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_REMOTE_H
#define RH_DELIVER_REMOTE_H

#include <jansson.h>

#include "base/remote.h"
#include "report/findings.h"

/* Is it a URL whose path has so many parts?  `form` says how one looks. */
int rh_remote_check(const char *text, size_t least, size_t most,
                    const char *form, rh_error **err);

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
/* A network that the VM wants is there, or not; `all`: those that are. */
void rh_check_network(struct rh_checks *c, bool there, const char *name,
                      const char *all);
/* What to do about the last one. */
void rh_check_hint(struct rh_checks *c, const char *fmt, ...) RH_PRINTF(2, 3);
/* The first that is bad, as an error; the log has them all. */
int rh_checks_verdict(const struct rh_checks *c, rh_lib *lib, rh_error **err);
bool rh_checks_bad(const struct rh_checks *c);
/* The same as findings of a VM. */
void rh_checks_find(const struct rh_checks *c, struct rh_findings *findings);
void rh_checks_free(struct rh_checks *c);

/* --- the guest's addresses
 * ------------------------------------------------------ */
/* Option "wait-address" (with "start"): seconds; 0: nobody waits. */
int rh_address_seconds(const rh_options *o, unsigned *ret, rh_error **err);
/* Loopback and link-local ones are left out, and what is no address. */
void rh_address_add(json_t *list, const char *text);
/* One look; what it can't learn now it may later. */
typedef int rh_address_look(void *state, json_t *list, rh_error **err);
/* Look until there is one, or the time is up, which is told: an array. */
json_t *rh_address_wait(rh_lib *lib, unsigned seconds, rh_address_look *look,
                        void *state);
char *rh_address_text(const json_t *list); /* "A, B"; the caller frees */

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
/* The same, and what an earlier run has left is taken away first: the last
 * thing that it made goes first. *ret_count (or NULL) of them. */
typedef int rh_journal_clean(void *state, struct rh_journal *j,
                             const char *kind, const char *id, rh_error **err);
struct rh_journal *rh_journal_begin(rh_lib *lib, const char *dir,
                                    const char *url, rh_journal_clean *clean,
                                    void *state, size_t *ret_count,
                                    rh_error **err);
/* The same, but `keep` sees what is left (an array) first.  True: what `clean`
 * is then told to leave goes on in this run, and all stays noted. */
typedef bool rh_journal_keep(void *state, const json_t *left);
struct rh_journal *rh_journal_resume(rh_lib *lib, const char *dir,
                                     const char *url, rh_journal_keep *keep,
                                     rh_journal_clean *clean, void *state,
                                     size_t *ret_count, rh_error **err);
/* The same for all deliveries to that URL that had no result: *ret_count things
 * of runs that are not at work just now. */
int rh_journal_clean_all(rh_lib *lib, const char *url, rh_journal_clean *clean,
                         void *state, size_t *ret_count, rh_error **err);
/* On the disk when it returns. */
int rh_journal_add(struct rh_journal *j, const char *kind, const char *id,
                   rh_error **err);
/* All is as it should be: nothing is left, the journal goes. */
void rh_journal_done(struct rh_journal *j);
void rh_journal_close(struct rh_journal *j); /* what it says stays */
RH_FREEP(rh_journal_closep, struct rh_journal, rh_journal_close)

#endif
