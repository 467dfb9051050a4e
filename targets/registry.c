/* registry.c - the targets there are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "targets/target.h"

/* One line per target. */
#define RH_TARGETS(X) \
    X(kvm)            \
    X(xen)

#define DECLARE(name) extern const struct rh_target rh_target_##name;
RH_TARGETS(DECLARE)
#undef DECLARE

#define ROW(name) &rh_target_##name,
static const struct rh_target *const targets[] = {RH_TARGETS(ROW) NULL};
#undef ROW

const struct rh_target *rh_target_at(size_t i)
{
    return targets[i];
}

const struct rh_target *rh_target_named(const char *name)
{
    for (size_t i = 0; targets[i]; i++)
        if (!strcmp(targets[i]->name, name))
            return targets[i];
    return NULL;
}
