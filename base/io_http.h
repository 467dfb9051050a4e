/* io_http.h - what the files of a resource read by http share: its requests,
 * the windows that keep their bytes, and who locks what. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_IO_HTTP_H
#define RH_BASE_IO_HTTP_H

#ifdef HAVE_LIBCURL
#include <pthread.h>

#include "base/curl.h"
#include "base/fetched.h"
#include "base/http.h"
#include "base/io.h"
#include "base/slots.h"

enum {
    WINDOWS = 8,
    WINDOW_MIN = 64 * 1024,
    WINDOW_MAX = 2 * 1024 * 1024,
    HEADER_MAX = 1024,
};

struct http;

/* One request and what came of it. */
struct transfer {
    struct http *h;
    CURL *curl;
    struct window *window; /* takes the bytes, */
    struct pull *pull;     /* or this: of a server that sends all */
    uint64_t offset;       /* asked for */
    size_t want, got;      /* of this request */
    bool first;            /* the size is not known yet */
    char etag[HEADER_MAX], modified[HEADER_MAX], date[HEADER_MAX];
    bool has_range;
    uint64_t range_start, range_total;
    struct curl_slist *headers;
    unsigned login;  /* of these headers */
    rh_error *error; /* why the callback stopped it */
};

enum state { EMPTY, QUEUED, ACTIVE, BROKEN, DONE };

/* Bytes [offset, offset + want) of the resource, the first `got` are there. */
struct window {
    uint8_t *bytes;
    uint64_t offset;
    size_t want, got;
    size_t kept;   /* of them; by its transfer alone */
    size_t ask;    /* how much was asked for, to grow from */
    uint64_t used; /* when, for eviction */
    enum state state;
    unsigned tries; /* in a row without a byte */
    CURLcode code;  /* why it is BROKEN */
    struct transfer t;
};

struct http {
    rh_lib *lib;
    struct rh_curl_trust own_trust, *trust;
    struct curl_slist *session; /* headers of a session, secrets; or NULL */
    struct rh_http *client;     /* whose session it is */
    rh_http_renew *renew;       /* or NULL */
    void *renew_user;
    unsigned login;   /* the client's, of `session` */
    bool renewed;     /* and nothing has come since */
    rh_http_map *map; /* or NULL */
    void *map_user;
    bool exact;              /* nothing more than what is read */
    bool follow;             /* redirects */
    bool log_in;             /* as the environment says */
    char *url;               /* may hold a password */
    char *shown;             /* for messages */
    char *validator;         /* for If-Range, or NULL */
    bool loose;              /* it does not tell every change */
    struct rh_fetched *kept; /* by earlier tries and this one; or NULL */
    uint64_t size;
    pthread_mutex_t lock; /* over all below but `multi` */
    pthread_cond_t news;
    bool driving; /* some thread is in `multi` */
    CURLM *multi;
    struct window windows[WINDOWS];
    uint64_t clock;
    size_t unpushed;            /* bytes read since the last push */
    struct pull *pull;          /* a server without ranges, else NULL */
    struct rh_slots_user slots; /* its connections; none: no bound */
    unsigned inside;            /* threads that read */
    bool draining;              /* nothing is started, others wait */
};

/* A transfer that goes on while its bytes are read: the first one, as long as
 * it is not known whether the server has ranges; then that of one without. */
struct pull {
    struct transfer t;
    struct rh_buf bytes;
    size_t given; /* of them */
    bool whole;   /* the server sends all */
    bool paused, done;
    CURLcode code; /* once done */
};

/* --- io_http_request.c: one request, and what its answer says ---------------
 */

/* The headers of the client's session, as they are now; for rh_http_renew. */
void rh_http_take_session(void *http);
/* `t` gets a handle for `h`; rh_transfer_close() undoes it, also of none. */
int rh_transfer_open(struct transfer *t, struct http *h, rh_error **err);
void rh_transfer_close(struct transfer *t);
/* Asks for t->want bytes from t->offset on, once somebody drives h->multi. */
int rh_transfer_start(struct transfer *t, rh_error **err);
void rh_transfer_drop_headers(struct transfer *t);
/* What ended it, with the resource's name; -1. */
int rh_transfer_say(struct transfer *t, CURLcode code, rh_error **err);
/* What If-Range may name, or NULL; whether that misses a change. */
const char *rh_transfer_validator(const struct transfer *t);
bool rh_transfer_is_loose(const struct transfer *t);
/* Keeps for the next try: pieces, or `all` there is. */
void rh_window_keep(struct http *h, struct window *w, bool all);
/* Header lines, secrets among them. */
void rh_lines_drop(struct curl_slist *lines);

/* --- io_http_slots.c: a server's bound of connections ----------------------
 */

/* Wait for the first one, where the client has a bound. */
int rh_http_bind(struct http *h, rh_error **err);
/* The rest with the lock held.  May one more transfer be started? */
bool rh_http_may_start(struct http *h);
/* Wait until it has a connection; others do not drive meanwhile. */
int rh_http_get_slot(struct http *h, rh_error **err);
/* Something has come: does it have to make way for others? */
void rh_http_settle(struct http *h);

/* --- io_http_windows.c -------------------------------------------------------
 */

/* The `n` bytes at `offset`, from any thread. */
int rh_windows_read(struct http *h, void *buf, size_t n, uint64_t offset,
                    rh_error **err);

#endif
#endif
