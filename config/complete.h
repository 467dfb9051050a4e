/* complete.h - what is guessed and missing, looked at again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONFIG_COMPLETE_H
#define RH_CONFIG_COMPLETE_H

#include "package/package.h"
#include "profiles/profile.h"

/* Defaults and the findings CONFIG-GUESS and CONFIG-MISSING of one VM of the
 * package (or of a copy of it), made anew: after the guest was looked at, less
 * is guessed. */
void rh_package_review(const struct rh_package *p, struct rh_vm *vm,
                       struct rh_findings *findings,
                       const struct rh_profiles *profiles, bool strict);

#endif
