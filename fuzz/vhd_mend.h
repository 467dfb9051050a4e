/* vhd_mend.h - right sums for a VHD: wrong ones would stop nearly every input
 * at the door.  The last byte's lowest bit turns that off. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_VHD_MEND_H
#define RH_FUZZ_VHD_MEND_H

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

/* In the footers, and in the header that they point at. */
static inline void vhd_mend(uint8_t *p, size_t size)
{
    enum { SUM_AT = 64, HEADER_SUM_AT = 36 };
    uint64_t header;

    if (size < 2 * VHD_FOOTER || p[size - 1] & 1)
        return;
    header = rh_be64(p + size - VHD_FOOTER + 16);
    if (header <= size - VHD_HEADER && size >= VHD_HEADER)
        rh_put_be32(p + header + HEADER_SUM_AT,
                    rh_vhd_sum(p + header, VHD_HEADER, HEADER_SUM_AT));
    rh_put_be32(p + SUM_AT, rh_vhd_sum(p, VHD_FOOTER, SUM_AT));
    p += size - VHD_FOOTER;
    rh_put_be32(p + SUM_AT, rh_vhd_sum(p, VHD_FOOTER, SUM_AT));
}

#endif
