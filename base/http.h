/* http.h - requests to one web server: a session, its log-in, its trust.
 *
 * An rh_http is a client of one server.  It holds what every request carries
 * (headers, cookies: secrets), whom to believe in TLS, and connections that
 * are used again.  Redirects are not followed: the caller sees them and decides
 * where its secrets may go.  Any status is an answer; what fails is the
 * network, TLS, a limit or the user's cancel.
 *
 * Nothing here shows a header, a cookie, a body or a query in a message or in
 * the log; a URL with a user or password in it is refused.
 * Threads: one request at a time and client. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_HTTP_H
#define RH_BASE_HTTP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "base/lib.h"
#include "base/out.h"
#include "base/secret.h"

/* --- a client ---------------------------------------------------------------
 */
/* What follows the server's name may not be a path.  Texts are copied. */
struct rh_http_site {
    rh_lib *lib;
    const char *url;         /* "https://HOST[:PORT]" */
    const char *ca_file;     /* NULL: the system's CAs */
    const char *const *pins; /* "[HOST=]SHA256" of certificates, ended by NULL;
                                or NULL.  A server that a pin names must show
                                that certificate, and needs no CA then. */
};
/* Is it one?  `said` names it in the error: "--pin". */
int rh_http_check_pin(const char *pin, const char *said, rh_error **err);
struct rh_http;
struct rh_http *rh_http_new(const struct rh_http_site *site, rh_error **err);
/* Another server with the same trust ("HOST[:PORT]"), without our secrets. */
struct rh_http *rh_http_beside(const struct rh_http *h, const char *authority,
                               rh_error **err);
/* The server's certificate has this SHA-1 ("AB:CD..."), says one that is
 * trusted: the only one that is believed from then on.  False when it is none.
 */
bool rh_http_trust_ticket(struct rh_http *h, const char *sha1);
void rh_http_free(struct rh_http *h);
RH_FREEP(rh_http_freep, struct rh_http, rh_http_free)
const char *rh_http_name(const struct rh_http *h); /* "https://HOST:PORT" */
const char *rh_http_host(const struct rh_http *h); /* "HOST:PORT", as given */
/* "HOST" of "HOST:PORT" or "[V6]:PORT", without brackets; the caller frees. */
char *rh_http_host_alone(const char *authority);
/* One text for all ways to write it: lower case, no final dot, the port always
 * ("vc.example.net:443", "[::1]:443"); the caller frees. */
enum { RH_HTTP_TLS_PORT = 443 };
char *rh_http_identity(const char *authority, unsigned port);

/* Whose cancel, log and progress hold; NULL: nobody's, for cleaning up after a
 * cancel. */
void rh_http_set_lib(struct rh_http *h, rh_lib *lib);
rh_lib *rh_http_lib(const struct rh_http *h);

/* Send "Name: value" with every request; takes `line`.  NULL is ignored. */
void rh_http_add_header(struct rh_http *h, struct rh_secret *line);
/* "Authorization: Basic ..." of these. */
void rh_http_add_basic(struct rh_http *h, const struct rh_secret *user,
                       const struct rh_secret *password);
/* Cookies that the server sets are sent back to it; this sets one, too. */
void rh_http_set_cookie(struct rh_http *h, const char *name, const char *value);
void rh_http_forget(struct rh_http *h); /* headers and cookies */
/* At most that many connections at once, over all processes of the user, for
 * what is read by rh_http_io() and rh_http_stream(), which wait for their turn
 * (slots.h); clients "beside" it likewise.  0: no bound. */
void rh_http_set_most(struct rh_http *h, unsigned connections);
/* Is there room for one more at this moment? */
bool rh_http_has_room(rh_lib *lib, const struct rh_http *client);
/* For what is read by rh_http_io(): its session ended (401).  Log in anew,
 * unless somebody has since the log-in number *login, which is set to the new
 * one; then call read(arg) while the client is at rest.  *login may be
 * RH_HTTP_NO_LOGIN: whichever there is.  False: a log-in was refused, and is
 * not tried again. */
#define RH_HTTP_NO_LOGIN UINT_MAX
typedef bool rh_http_renew(void *user, unsigned *login, void (*read)(void *),
                           void *arg);
void rh_http_on_ended(struct rh_http *h, rh_http_renew *renew, void *user);

/* --- requests ---------------------------------------------------------------
 */
/* Bytes of a body as they come; a failure ends the request. */
typedef int rh_http_sink(void *user, const void *bytes, size_t n,
                         rh_error **err);
struct rh_http_request {
    const char *method; /* NULL: "GET" */
    const char *path;   /* "/jsonrpc", with its query, escaped */
    const char *shown;  /* in messages; NULL: the path without its query */
    const char *type;   /* Content-Type of the body, or NULL */
    const void *body;
    size_t size;
    const char *const *headers; /* "Name: value", ended by NULL; or NULL */
    uint64_t limit;             /* bytes of the answer; 0: RH_HTTP_ANSWER */
    unsigned silence;           /* seconds without a byte; 0: 60 */
    rh_http_sink *sink;         /* takes the body of an answer 200 instead of
                                   answer.body, without a limit; not with `again` */
    void *user;
    bool again; /* harmless when done twice: a broken connection and a busy
                   server are tried again */
};
enum { RH_HTTP_ANSWER = 16 * 1024 * 1024 };

struct rh_http_answer {
    long status;
    struct rh_buf body;    /* NUL-terminated where there is one */
    struct rh_buf headers; /* of the last answer, lines as they came */
};
void rh_http_answer_free(struct rh_http_answer *a); /* also for RH_AUTO */
/* A header's value, to be freed; NULL: there is none. */
char *rh_http_answer_header(const struct rh_http_answer *a, const char *name);

int rh_http_do(struct rh_http *h, const struct rh_http_request *r,
               struct rh_http_answer *ret, rh_error **err);
/* An error for an answer that the caller can't use: HTTP_STATUS with the status
 * and, where given, `reason` (the server's own words, made printable). */
int rh_http_refuse(const struct rh_http *h, const struct rh_http_request *r,
                   const struct rh_http_answer *a, const char *reason,
                   rh_error **err);
/* "a b&c" -> "a%20b%26c"; the caller frees. */
char *rh_http_escape(const char *text);

/* A resource of the server by ranges, several at once and ahead of who reads in
 * order; with the client's headers and cookies as they are now.  It must not
 * outlive the client, which must be at rest, unless rh_http_on_ended() holds.
 * `lib` is whose cancel is heard.  `shown` is its name in messages (NULL: the
 * path).  With a `state` that is another when its bytes are, they are kept for
 * the next try where that was asked for (fetched.h); NULL: nobody can tell.
 * Reads from any thread.  HTTP_FAILED when the server has no ranges. */
struct rh_io *rh_http_io(rh_lib *lib, struct rh_http *client, const char *path,
                         const char *shown, const char *state, rh_error **err);
/* Of an io of rh_http_io(): where data lies, as rh_io_ops.data_after tells it;
 * nothing else is fetched ahead. */
typedef void rh_http_map(void *user, uint64_t offset, uint64_t *ret_start,
                         uint64_t *ret_end);
void rh_http_io_map(struct rh_io *io, rh_http_map *map, void *user);
/* From now on (or no more) nothing is fetched but what is read: of who looks at
 * places that are far apart. */
void rh_http_io_exact(struct rh_io *io, bool exact);

/* A resource that is sent once, from front to back; likewise. */
struct rh_stream *rh_http_stream(rh_lib *lib, struct rh_http *client,
                                 const char *path, const char *shown,
                                 rh_error **err);

/* --- uploads: a body that is still being made --------------------------------
 */
/* `size` is told as Content-Length; RH_HTTP_CHUNKS: not known, it goes in
 * chunks; RH_HTTP_OPEN: neither a length nor chunks, the server knows the
 * body's end by itself.  Whoever writes, waits until the server has taken the
 * bytes.  The answer may come before the end (XAPI's does). */
enum { RH_HTTP_OPEN = -1, RH_HTTP_CHUNKS = -2 };
struct rh_http_upload;
struct rh_http_upload *rh_http_upload_start(struct rh_http *h,
                                            const struct rh_http_request *r,
                                            int64_t size, rh_error **err);
int rh_http_upload_write(struct rh_http_upload *u, const void *bytes, size_t n,
                         rh_error **err);
/* Wait for the answer's headers (at most `seconds`): a server that refuses at
 * once does so before it is sent anything.  They are borrowed; the status is 0
 * when nothing came. */
const struct rh_http_answer *rh_http_upload_wait(struct rh_http_upload *u,
                                                 unsigned seconds,
                                                 rh_error **err);
uint64_t rh_http_upload_sent(const struct rh_http_upload *u);
/* All was written: wait for the answer's end. */
int rh_http_upload_finish(struct rh_http_upload *u, struct rh_http_answer *ret,
                          rh_error **err);
void rh_http_upload_close(struct rh_http_upload *u); /* breaks it off */
RH_FREEP(rh_http_upload_closep, struct rh_http_upload, rh_http_upload_close)
/* As a sink (bytes in order); the upload stays the caller's. */
struct rh_out *rh_http_upload_out(struct rh_http_upload *u);

#endif
