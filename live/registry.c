/* registry.c - the platforms that are known. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "live/live.h"

static const struct rh_live_platform *const platforms[] = {
    &rh_live_esxi,
    &rh_live_vcenter,
    &rh_live_prism,
};

const struct rh_live_platform *rh_live_platform_at(size_t i)
{
    return i < RH_COUNT(platforms) ? platforms[i] : NULL;
}
