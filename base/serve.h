/* serve.h - one file for one reader: a small HTTPS server in this process.
 *
 * Some servers fetch what they are to have (Proxmox VE's download-url).  The
 * file lies under a path that nobody can guess, for as long as one transfer
 * takes (who fetches comes again when its connection broke); only the addresses
 * that were admitted are answered at all.  The path is a secret like a
 * password. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_SERVE_H
#define RH_BASE_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "base/lib.h"
#include "base/secret.h"

struct rh_serve_site {
    rh_lib *lib;
    const char *address;    /* to listen at and in the URL: "HOST[:PORT]"; NULL:
                               ours, on the way to `toward` */
    const char *toward;     /* host that will fetch; it is admitted */
    const char *cert, *key; /* PEM files; NULL: made for this run */
};
struct rh_serve;
/* Bound when it returns; nobody is answered yet.  SERVE_ADDRESS, SERVE_CERT. */
struct rh_serve *rh_serve_open(const struct rh_serve_site *site,
                               rh_error **err);
/* One more address ("10.0.0.1"; what is none is ignored). */
void rh_serve_admit(struct rh_serve *s, const char *address);
const char *rh_serve_name(const struct rh_serve *s); /* "https://HOST:PORT" */

/* Serve `file` (borrowed until it is withdrawn), one at a time: its URL, which
 * the caller frees. */
struct rh_secret *rh_serve_file(struct rh_serve *s, struct rh_io *file,
                                rh_error **err);
enum { RH_SERVE_ADDRESS = 46 }; /* INET6_ADDRSTRLEN */
struct rh_serve_seen {
    uint64_t sent;     /* how far the reader is, bytes of the file */
    unsigned answered; /* requests for the file itself */
    char stranger[RH_SERVE_ADDRESS]; /* who came last and was not let in, or ""
                                      */
};
/* -1 when the file could not be read. */
int rh_serve_look(struct rh_serve *s, struct rh_serve_seen *ret,
                  rh_error **err);
void rh_serve_withdraw(struct rh_serve *s); /* breaks off who is fetching */
void rh_serve_close(struct rh_serve *s);
RH_FREEP(rh_serve_closep, struct rh_serve, rh_serve_close)

/* --- one request
 * ----------------------------------------------------------- */
enum { RH_SERVE_HEAD = 8192 /* bytes of a request, at most */ };
struct rh_serve_request {
    bool head;         /* no body */
    uint64_t from, to; /* of the file; to: behind the last byte */
};
/* `text` is a request's head with the empty line that ends it.  The status to
 * answer with: 200 or 206 and *ret, or 4xx. */
int rh_serve_parse(const char *text, size_t n, const char *path, uint64_t size,
                   struct rh_serve_request *ret);
/* Bytes up to and with the empty line; 0: it is not there yet. */
size_t rh_serve_head_end(const char *text, size_t n);

#endif
