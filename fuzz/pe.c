/* pe.c - any bytes as a driver, and as the catalog of one: who signed it? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>

#include "base/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rh_sign_pe(data, size);
    rh_sign_catalog(data, size, "; an inf", 8);
    rh_sign_catalog(data, size, data, size);
    return 0;
}
