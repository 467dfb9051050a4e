/* inf.h - which Windows a driver's .inf is made for. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_INF_H
#define RH_GUESTFIX_WINDOWS_INF_H

#include <stdbool.h>
#include <stddef.h>

/* The Windows that asks. */
struct rh_inf_for {
    const char *architecture; /* "amd64", "x86", "arm64" */
    unsigned major, minor, build;
};
/* By the decorations in its [Manufacturer] section (NTamd64.10.0...16299); one
 * that has none at all is for any. */
bool rh_inf_fits(const void *bytes, size_t n, const struct rh_inf_for *who);

#endif
