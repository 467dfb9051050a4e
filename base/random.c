/* random.c - numbers that nobody can guess. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

int rh_random(void *ret, size_t n, rh_error **err)
{
    ssize_t got = getrandom(ret, n, 0); /* so few are given whole, or none */

    if (got == (ssize_t)n)
        return 0;
    rh_fail_errno(err, RH_ERR_UNAVAILABLE, got < 0 ? errno : EIO,
                  "the system gives no random numbers (getrandom)");
    return rh_hint(err,
                   "let the sandbox or container that rehost runs in allow "
                   "that system call");
}

int rh_random_hex(char *ret, size_t bytes, rh_error **err)
{
    unsigned char random[16];

    if (rh_random(random, bytes, err) < 0)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        snprintf(ret + 2 * i, 3, "%02x", random[i]);
    return 0;
}
