/* platform.c - ESXi and vCenter as platforms. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "live/vsphere/machine.h"

#define SAME_ON_BOTH                                                    \
    .kind = "vsphere", .port = 443, .from = RH_FROM_VSPHERE,            \
    .open = rh_vs_open, .close = rh_vs_close, .find = rh_vs_find,       \
    .list = rh_vs_list, .stamp = rh_vs_stamp, .vm_open = rh_vs_vm_open, \
    .vm_close = rh_vs_vm_close, .describe = rh_vs_describe,             \
    .disk = rh_vs_read, .forward = rh_vs_forward, .looks = rh_vs_looks, \
    .snapshot = rh_vs_snapshot, .find_snapshot = rh_vs_find_snapshot,   \
    .unsnapshot = rh_vs_unsnapshot, .mark = rh_vs_mark,                 \
    .marks_hold = rh_vs_marks_hold, .follows = rh_vs_follows,           \
    .changed = rh_vs_changed, .tracking = rh_vs_tracking,               \
    .track = rh_vs_track, .state = rh_vs_state, .power = rh_vs_power,   \
    .rename = rh_vs_rename, .space = rh_vs_space, .refresh = rh_vs_refresh

const struct rh_live_platform rh_live_esxi = {.scheme = "esxi", SAME_ON_BOTH};
const struct rh_live_platform rh_live_vcenter = {.scheme = "vcenter",
                                                 SAME_ON_BOTH};
