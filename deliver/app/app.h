/* app.h - VMs that go to the program which uses the library ("app-vm:NAME").
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_APP_APP_H
#define RH_DELIVER_APP_APP_H

#include <jansson.h>

#include "base/receiver.h"

/* rehost.receive/1 as text, for begin; takes `vm` (rehost.vm/1's entry) and
 * `disks`. */
char *rh_app_vm(const char *name, const char *target, json_t *vm,
                json_t *disks);
/* An entry of its disks. */
json_t *rh_app_disk(uint64_t index, uint64_t size, const char *position);

#endif
