/* tar_mend.h - give every block that looks like a tar header its checksum. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_TAR_MEND_H
#define RH_FUZZ_TAR_MEND_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy; the caller frees. */
static inline uint8_t *tar_mend(const uint8_t *data, size_t size)
{
    enum { BLOCK = 512, CHECKSUM = 148, MAGIC = 257 };
    uint8_t *copy = malloc(size + 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        uint8_t *p = copy + at;
        unsigned sum = 0;

        if (memcmp(p + MAGIC, "ustar", 5))
            continue;
        memset(p + CHECKSUM, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++)
            sum += p[i];
        snprintf((char *)p + CHECKSUM, 7, "%06o", sum);
    }
    return copy;
}

#endif
