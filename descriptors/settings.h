/* settings.h - VMware's settings beyond the hardware that people should know
 * of before a move. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_SETTINGS_H
#define RH_DESCRIPTORS_SETTINGS_H

#include "report/findings.h"

/* `key` and `value` of a VMX line or of vmw:Config and vmw:ExtraConfig.  True
 * when it is one of those that are looked at, whatever it says. */
bool rh_vmware_setting(const char *key, const char *value,
                       struct rh_findings *findings);

#endif
