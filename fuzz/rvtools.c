/* rvtools.c - exports of RVTools, workbooks and CSV alike, and every document
 * made of them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/descriptor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_descriptor(rh_rvtools_parse, data, size);
    return 0;
}
