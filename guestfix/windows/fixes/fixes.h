/* fixes.h - the edits that Windows guests need. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_FIXES_FIXES_H
#define RH_GUESTFIX_WINDOWS_FIXES_FIXES_H

#include "guestfix/windows/start.h"

int rh_fix_win_boot_start(struct rh_fix_job *j, rh_error **err);
int rh_fix_win_virtio(struct rh_fix_job *j, rh_error **err);
int rh_fix_win_vmware_tools(struct rh_fix_job *j, rh_error **err);
int rh_fix_win_efi_fallback(struct rh_fix_job *j, rh_error **err);
int rh_fix_win_first_boot(struct rh_fix_job *j, rh_error **err);

static inline const struct rh_windows *rh_win_of(const struct rh_fix_job *j)
{
    return (const struct rh_windows *)j->facts;
}
/* Can the registry be edited?  Detection has said why not. */
bool rh_win_can_edit(const struct rh_fix_job *j);

#endif
