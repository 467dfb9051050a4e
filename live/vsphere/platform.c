/* platform.c - ESXi and vCenter as platforms. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "live/live.h"

static int later(struct rh_live *live, rh_error **err)
{
    (void)live;
    return rh_fail(err, RH_ERR_UNAVAILABLE, "this build cannot talk to it yet");
}

static void close_nothing(struct rh_live *live)
{
    (void)live;
}

const struct rh_live_platform rh_live_esxi = {.scheme = "esxi",
                                              .kind = "vsphere",
                                              .port = 443,
                                              .from = RH_FROM_VSPHERE,
                                              .open = later,
                                              .close = close_nothing};
const struct rh_live_platform rh_live_vcenter = {.scheme = "vcenter",
                                                 .kind = "vsphere",
                                                 .port = 443,
                                                 .from = RH_FROM_VSPHERE,
                                                 .open = later,
                                                 .close = close_nothing};
