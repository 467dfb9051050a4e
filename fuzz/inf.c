/* inf.c - any bytes as a driver's .inf: is it for this Windows? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "guestfix/windows/inf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rh_inf_for all[] = {
        {"amd64", 10, 0, 17763}, {"x86", 6, 1, 7601}, {"arm64", 10, 0, 26100}};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        rh_inf_fits(data, size, &all[i]);
    return 0;
}
