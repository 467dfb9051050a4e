/* bytes.h - numbers in foreign bytes: little- and big-endian, any alignment. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_BYTES_H
#define RH_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RH_READER_(name, type, convert)    \
    static inline type name(const void *p) \
    {                                      \
        type n;                            \
        memcpy(&n, p, sizeof n);           \
        return convert(n);                 \
    }
RH_READER_(rh_le16, uint16_t, le16toh)
RH_READER_(rh_le32, uint32_t, le32toh)
RH_READER_(rh_le64, uint64_t, le64toh)
RH_READER_(rh_be16, uint16_t, be16toh)
RH_READER_(rh_be32, uint32_t, be32toh)
RH_READER_(rh_be64, uint64_t, be64toh)
#undef RH_READER_

#define RH_WRITER_(name, type, convert)      \
    static inline void name(void *p, type n) \
    {                                        \
        n = convert(n);                      \
        memcpy(p, &n, sizeof n);             \
    }
RH_WRITER_(rh_put_le16, uint16_t, htole16)
RH_WRITER_(rh_put_le32, uint32_t, htole32)
RH_WRITER_(rh_put_le64, uint64_t, htole64)
RH_WRITER_(rh_put_be16, uint16_t, htobe16)
RH_WRITER_(rh_put_be32, uint32_t, htobe32)
RH_WRITER_(rh_put_be64, uint64_t, htobe64)
#undef RH_WRITER_

/* Is all of it zero?  memcmp against itself, shifted, after 16 bytes: libc's
 * vector code does the work (measured: as good as hand-written AVX2 here). */
static inline bool rh_all_zero(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < 16; i++) {
        if (i == n)
            return true;
        if (p[i])
            return false;
    }
    return memcmp(p, p + 16, n - 16) == 0;
}

#endif
