/* random.h - numbers that nobody can guess. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_RANDOM_H
#define RH_BASE_RANDOM_H

#include <stddef.h>

#include "base/error.h"

/* Bytes that nobody can guess.  -1 where the system gives none (UNAVAILABLE).
 */
int rh_random(void *ret, size_t n, rh_error **err);
/* 2 * bytes hex digits of them (of at most 16 bytes) and a NUL, that nobody
 * else has: names, marks, tokens. */
int rh_random_hex(char *ret, size_t bytes, rh_error **err);

#endif
