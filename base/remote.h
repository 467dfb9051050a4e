/* remote.h - a server by its URL, and a connection to it with who we are.
 *
 *     xapi://HOST[:PORT][/SR]      vcenter://HOST[:PORT]/DC/vm/FOLDER/NAME
 *
 * Deliveries and live sources stand on it: what the URL says, the log-in
 * (base/login.h), whom to believe in TLS.  Nothing is asked of the server. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_REMOTE_H
#define RH_BASE_REMOTE_H

#include "base/http.h"
#include "base/login.h"
#include "base/options.h"

/* --- the URL ----------------------------------------------------------------
 */
enum { RH_REMOTE_PARTS = 40 };
struct rh_remote_url {
    char *scheme;                 /* "xapi" */
    char *authority;              /* "HOST:PORT", the port as given */
    char *parts[RH_REMOTE_PARTS]; /* of the path, unescaped */
    size_t count;
};
/* DELIVERY_URL; HTTP_USERINFO where it holds a user or password. */
int rh_remote_url(const char *text, struct rh_remote_url *ret, rh_error **err);
/* The same with another error for what is no URL. */
int rh_remote_url_as(const char *text, enum rh_error_id wrong,
                     struct rh_remote_url *ret, rh_error **err);
void rh_remote_url_free(struct rh_remote_url *u); /* also for RH_AUTO */

/* --- the connection
 * ------------------------------------------------------------ */
struct rh_remote {
    rh_lib *lib;
    const rh_options *options; /* borrowed */
    char *text;                /* the URL, for people */
    struct rh_remote_url url;
    struct rh_login login;
    struct rh_http *http;
};
/* A side that is written to.  Options: "login", "tls-ca", "pin" (repeat).
 * `port` where the URL has none. */
int rh_remote_open(struct rh_remote *r, rh_lib *lib, const char *url,
                   unsigned port, bool wants_token, const rh_options *options,
                   rh_error **err);
/* The side that is read from.  Options: "login", "source-tls-ca",
 * "source-pin", and where no other side is remote ("out", "target", "deliver"
 * name no URL) "tls-ca" and "pin"; the environment's REHOST_SOURCE_USER and so
 * on.  LIVE_URL. */
int rh_remote_open_source(struct rh_remote *r, rh_lib *lib, const char *url,
                          unsigned port, bool wants_token,
                          const rh_options *options, rh_error **err);
void rh_remote_close(struct rh_remote *r);
/* Wait *ms before asking again, and twice as long the next time; no longer than
 * until `lib` (NULL: nobody) is cancelled, which the next question tells. */
void rh_remote_pause(rh_lib *lib, unsigned *ms, unsigned most);

#endif
