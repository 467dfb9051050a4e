/* kvm.h - does hardware virtualisation work here, really? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_KVM_H
#define RH_BASE_KVM_H

#include <stdbool.h>

/* Open /dev/kvm and make a VM: a device that is there but broken (nested
 * virtualisation switched off, no permission) counts as none.  *ret_why (may
 * be NULL) is a translated reason when it is false. */
bool rh_kvm_works(const char **ret_why);

#endif
