/* digest.h - SHA-1, SHA-256, SHA-512 and friends, by OpenSSL; XXH64. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_DIGEST_H
#define RH_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* All six kinds at once, in hex, with signs between them and a NUL. */
enum { RH_DIGEST_HEX = 2 * (64 + 48 + 32 + 28 + 20 + 16) + 5 + 1 };

struct rh_digest;
/* "sha1", "sha256", "sha512" (case and a dash do not matter; also sha224,
 * sha384, md5), or several at once: "sha256+sha1".  NULL when one is unknown.
 */
struct rh_digest *rh_digest_new(const char *algorithms);
void rh_digest_add(struct rh_digest *d, const void *bytes, size_t n);
/* Lower-case hex, of several with a + between them; may be called once. */
void rh_digest_hex(struct rh_digest *d, char ret_hex[RH_DIGEST_HEX]);
void rh_digest_reset(struct rh_digest *d);
void rh_digest_free(struct rh_digest *d);
RH_FREEP(rh_digest_freep, struct rh_digest, rh_digest_free)

/* One-shot, for workers: SHA-1 of a chunk as 40 lower-case hex and a NUL. */
void rh_sha1_hex(const void *bytes, size_t n, char ret_hex[41]);
void rh_sha256_hex(const void *bytes, size_t n, char ret_hex[65]);

#endif
