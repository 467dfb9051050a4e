/* http_client.h - what the files of the client of one server share (http.h):
 * the client, and a request under way. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_HTTP_CLIENT_H
#define RH_BASE_HTTP_CLIENT_H

#ifdef HAVE_LIBCURL
#include "base/curl.h"
#include "base/http.h"

struct cookie {
    char *name;
    struct rh_secret *value;
};

struct rh_http {
    rh_lib *lib;
    char *base;      /* "https://HOST:PORT" */
    char *authority; /* in it */
    struct rh_curl_trust trust;
    RH_VEC(struct rh_secret *) headers;
    RH_VEC(struct cookie) cookies;
    CURL *curl;
    unsigned most;        /* connections of readers; 0: no bound */
    rh_http_renew *renew; /* or NULL */
    void *renew_user;
};

/* One request under way. */
struct transfer {
    struct rh_http *h;
    CURL *curl;
    const struct rh_http_request *r;
    struct rh_http_answer *answer;
    struct curl_slist *lines;
    rh_error *error; /* why a callback stopped it */
};

/* --- http.c: what every request carries -------------------------------------
 */

/* Of an answer's "Set-Cookie: VALUE". */
void rh_http_take_cookie(struct rh_http *h, const char *value);
void rh_http_add_line(struct curl_slist **lines, const char *line);
/* The request's own and the client's secret ones; and away with them. */
void rh_http_add_lines(struct transfer *t);
void rh_http_drop_lines(struct transfer *t);

/* --- http_request.c
 * ----------------------------------------------------------- */

/* Tells t->curl all but what is sent. */
void rh_http_set_transfer(struct transfer *t);
/* What ended it, with the server's name; -1. */
int rh_http_say(struct transfer *t, CURLcode code, rh_error **err);
void rh_http_log(const struct rh_http *h, const struct rh_http_request *r,
                 long status);

#endif
#endif
