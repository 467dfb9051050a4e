/* serve_tls.h - the server's side of TLS, by OpenSSL, on sockets that never
 * wait.  For base/serve.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_SERVE_TLS_H
#define RH_BASE_SERVE_TLS_H

#include <stddef.h>

#include "base/error.h"

/* A certificate and its key: of PEM files, or (NULL) made now for `host`, a
 * name or an address, good for a few days. */
struct rh_tls_site;
struct rh_tls_site *rh_tls_site_new(const char *cert, const char *key,
                                    const char *host, rh_error **err);
void rh_tls_site_free(struct rh_tls_site *s);
RH_FREEP(rh_tls_site_freep, struct rh_tls_site, rh_tls_site_free)

/* One connection; `fd` stays the caller's.  NULL: no memory. */
struct rh_tls;
struct rh_tls *rh_tls_new(struct rh_tls_site *s, int fd);
void rh_tls_free(struct rh_tls *t);
/* Bytes (the handshake: 1), or one of these; RH_TLS_WAIT: when poll() has
 * *ret_events. */
enum { RH_TLS_END = 0, RH_TLS_WAIT = -1, RH_TLS_BROKEN = -2 };
int rh_tls_handshake(struct rh_tls *t, short *ret_events);
int rh_tls_read(struct rh_tls *t, void *buf, size_t n, short *ret_events);
int rh_tls_write(struct rh_tls *t, const void *buf, size_t n,
                 short *ret_events);

#endif
