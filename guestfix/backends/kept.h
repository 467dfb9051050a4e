/* kept.h - the small appliance that is made once per host and kept.
 *
 * libguestfs' own takes half a minute to start in emulation.  appliance/make
 * makes a smaller one of the host's kernel and programs; it lies in the user's
 * cache, is made anew when one of them has changed, and is used only when all
 * of it is as it was made.  Whatever is wrong with it, libguestfs' own is there
 * still: nothing here fails but by a cancel. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_KEPT_H
#define RH_GUESTFIX_BACKENDS_KEPT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/lib.h"

struct rh_kept_wish {
    const char *path;    /* where libguestfs looks for appliances */
    const char *version; /* libguestfs' */
    bool emulated;       /* no KVM */
};

/* Borrowed from the cache until it was started. */
struct rh_kept_appliance {
    char *folder; /* NULL: none; why is in the log */
    int lock;
};

/* -1 when the user cancels. */
int rh_kept_borrow(rh_lib *lib, const struct rh_kept_wish *wish,
                   struct rh_kept_appliance *ret, rh_error **err);
/* It does not start, and libguestfs' own does: leave it alone for a day. */
void rh_kept_condemn(const struct rh_kept_appliance *k);
void rh_kept_give_back(struct rh_kept_appliance *k);

#endif
