/* acli.c - The text of acli vm.get. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/descriptor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_fill(data, size);
    return 0;
}
