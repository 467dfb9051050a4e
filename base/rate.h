/* rate.h - one budget of bytes a second for all that goes over the network.
 *
 * Whoever takes bytes from a server, or gives it some, asks rh_rate_take()
 * first (sources, deliveries, copies of running VMs): the rh_lib's "bandwidth"
 * decides how long that waits.  A library that works for another one shares
 * its budget; processes share one through a descriptor. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_RATE_H
#define RH_BASE_RATE_H

#include <stdint.h>

#include "base/error.h"
#include "base/lib.h"

enum { RH_RATE_LEAST = 64 * 1024 }; /* bytes a second: less breaks sessions */

/* Wait until `n` more bytes may go.  At once where nothing limits them (also
 * `lib` NULL).  Any thread; fails with CANCELLED alone. */
int rh_rate_take(rh_lib *lib, uint64_t n, rh_error **err);

/* "100M" (bytes a second), or "RATE@FD": the budget that another process made
 * by rh_rate_share() and left open for this one. */
struct rh_rate;
struct rh_rate *rh_rate_new(const char *text, rh_error **err);
void rh_rate_free(struct rh_rate *r);
uint64_t rh_rate_bytes(const struct rh_rate *r); /* a second; NULL: 0 */
/* A descriptor for "RATE@FD" of other processes on this machine (close-on-exec
 * like all of ours; the caller closes it); -1 with MEMORY. */
int rh_rate_share(rh_error **err);

#endif
