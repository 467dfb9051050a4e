/* platform.c - Nutanix Prism as a platform. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "live/prism/prism.h"

const struct rh_live_platform rh_live_prism = {.scheme = "prism",
                                               .kind = "prism",
                                               .port = 9440,
                                               .from = RH_FROM_PRISM,
                                               .open = rh_ntx_open,
                                               .close = rh_ntx_close,
                                               .find = rh_ntx_find,
                                               .list = rh_ntx_list,
                                               .stamp = rh_ntx_stamp,
                                               .vm_open = rh_ntx_vm_open,
                                               .vm_close = rh_ntx_vm_close,
                                               .describe = rh_ntx_describe,
                                               .disk = rh_ntx_disk,
                                               .forward = rh_ntx_forward,
                                               .looks = rh_ntx_looks,
                                               .snapshot = rh_ntx_snapshot,
                                               .unsnapshot = rh_ntx_unsnapshot,
                                               .find_snapshot =
                                                   rh_ntx_find_snapshot,
                                               .unimage = rh_ntx_unimage,
                                               .mark = rh_ntx_mark,
                                               .marks_hold = rh_ntx_marks_hold,
                                               .changed = rh_ntx_changed,
                                               .tracking = rh_ntx_tracking,
                                               .state = rh_ntx_state,
                                               .power = rh_ntx_power,
                                               .refresh = rh_ntx_refresh};
