/* appliance.c - the guest's files through libguestfs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/engine.h"

int rh_open_appliance(struct rh_session *s, const char **ret_why,
                      rh_error **err)
{
    (void)s;
    (void)ret_why;
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "this build has no libguestfs, which the guest's file "
                   "system needs");
}
