/* family.h - Linux, as the engine knows it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_FAMILY_H
#define RH_GUESTFIX_LINUX_FAMILY_H

#include "guestfix/family.h"

/* shipped.c */
const char *rh_linux_shipped(const struct rh_volumes *all, bool *ret_certain);

extern const struct rh_family rh_linux_family;

#endif
