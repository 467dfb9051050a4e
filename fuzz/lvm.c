/* lvm.c - any bytes as LVM2's text metadata. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <jansson.h>

#include "volumes/volumes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_decref(rh_lvm_parse((const char *)data, size));
    return 0;
}
