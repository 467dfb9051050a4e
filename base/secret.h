/* secret.h - passwords and tokens: memory that is not swapped out, stays out
 * of core dumps, and is wiped before it is given back.
 *
 * A secret is a text.  It goes into a request's header and nowhere else: no
 * message, log, report or argument of a program holds one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_SECRET_H
#define RH_BASE_SECRET_H

#include <stddef.h>

#include "base/error.h"

/* The longest password or token that is taken, bytes. */
enum { RH_SECRET_MAX = 64 * 1024 };

struct rh_secret;
/* NULL for NULL, and for what is longer than RH_SECRET_MAX. */
struct rh_secret *rh_secret_new(const char *text);
/* Several texts in a row ("Cookie: session=", TEXT), ended by NULL. */
struct rh_secret *rh_secret_join(const char *first, ...)
    __attribute__((sentinel));
/* Borrowed, NUL-terminated; NULL gives NULL. */
const char *rh_secret_text(const struct rh_secret *s);
void rh_secret_free(struct rh_secret *s); /* wipes it */
RH_FREEP(rh_secret_freep, struct rh_secret, rh_secret_free)

/* Overwrite memory, so that the compiler keeps the write. */
void rh_wipe(void *p, size_t n);
/* Wipe a text and free it; for RH_AUTO. */
void rh_wipe_freep(char **text);

#endif
