/* unified.c - any bytes as a kernel's file: its version, the sections of a
 * unified image. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "guestfix/linux/linux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {".linux", ".initrd", ".uname"};
    RH_AUTO(rh_freep) char *version = rh_kernel_version(data, size);
    unsigned sum = version ? (unsigned char)version[0] : 0;

    for (size_t i = 0; i < RH_COUNT(names); i++) {
        size_t n = 0;
        const uint8_t *p = rh_pe_section(data, size, names[i], &n);

        if (p && (p < data || n > size - (size_t)(p - data)))
            abort();
        for (size_t k = 0; p && k < n; k += 512)
            sum += p[k];
    }
    /* Every byte that is asked for must be there. */
    return sum == UINT32_MAX ? -1 : 0;
}
