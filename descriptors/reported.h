/* reported.h - what VMware's tools last said of the running guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_REPORTED_H
#define RH_DESCRIPTORS_REPORTED_H

#include "vm/vm.h"

/* Take it when `key` is the setting that holds it: "guestInfo.detailed.data",
 * also "guestOS.detailed.data".  `value` is key='value' pairs.  What they say
 * beats a name that somebody chose.  False: another setting. */
bool rh_reported_os(struct rh_vm *vm, const char *key, const char *value,
                    enum rh_from from);

#endif
