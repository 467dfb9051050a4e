/* curl.h - libcurl as all of rehost uses it: one handle's options, one view of
 * what a failure means.  For base/http*.c and base/io_http*.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_CURL_H
#define RH_BASE_CURL_H

#ifdef HAVE_LIBCURL
#include <curl/curl.h>

#include "base/http.h"
#include "base/late.h"
#include "base/lib.h"

/* clang-format off */
#define RH_CURL_CALLS(X, p) \
    X(p, easy_cleanup) X(p, easy_getinfo) X(p, easy_init) X(p, easy_pause) \
    X(p, easy_perform) X(p, easy_reset) X(p, easy_setopt) X(p, easy_strerror) \
    X(p, global_init) X(p, multi_add_handle) X(p, multi_cleanup) \
    X(p, multi_info_read) X(p, multi_init) X(p, multi_perform) \
    X(p, multi_poll) X(p, multi_remove_handle) X(p, multi_setopt) \
    X(p, slist_append) X(p, slist_free_all)
/* clang-format on */
extern struct rh_curl_calls {
    RH_CURL_CALLS(RH_LATE_POINTER, curl)
} rh_curl;

enum {
    RH_CURL_TRIES = 6, /* in a row without a byte */
    RH_CURL_POLL = 200 /* milliseconds */
};

/* Whom to believe; and what was seen, for the hint. */
struct rh_curl_trust {
    char *ca_file;   /* NULL: the system's */
    char **pins;     /* "[HOST=]HEX", ended by NULL; or NULL */
    char *host;      /* that is asked, in lower case */
    char ticket[41]; /* SHA-1 in hex that a trusted server gave for this one
                        (vSphere's tickets); goes before all else; or "" */
    char seen[65];   /* SHA-256 of the certificate that was refused */
};
void rh_curl_trust_free(struct rh_curl_trust *t);
/* The pin that holds for the host, or NULL: a CA must vouch. */
const char *rh_curl_pin(const struct rh_curl_trust *t);

/* http.c: what a client's own requests carry, for others that work with it. */
struct rh_http;
struct rh_curl_trust *rh_http_trust(struct rh_http *h); /* borrowed */
/* NULL: nobody can; see rh_http_on_ended(). */
void rh_http_renewal(const struct rh_http *h, rh_http_renew **ret,
                     void **ret_user);
unsigned rh_http_most(const struct rh_http *h); /* rh_http_set_most() */
/* Its headers and cookies: secrets, to be wiped and freed. */
struct curl_slist *rh_http_lines(const struct rh_http *h);

/* Load the library.  Any thread. */
int rh_curl_load(rh_error **err);
/* A handle: no redirects, no signals, TLS checked as `trust` (borrowed as long
 * as the handle lives) says. */
CURL *rh_curl_new(struct rh_curl_trust *trust, rh_error **err);

/* Can it help to try again?  What broke on its way, and a busy server. */
bool rh_curl_may_pass(CURL *c, CURLcode code);
/* Nothing has been asked of the server. */
bool rh_curl_not_sent(CURLcode code);
enum rh_error_id rh_curl_error(CURLcode code);
/* Add what to do about a certificate that nobody vouches for. */
void rh_curl_hint(const struct rh_curl_trust *t, CURLcode code, rh_error **err);
/* Wait before the next try, a little longer each time, but not for the user. */
int rh_curl_wait(rh_lib *lib, unsigned tries, rh_error **err);

#endif
#endif
