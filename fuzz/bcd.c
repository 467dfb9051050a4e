/* bcd.c - any bytes as a boot configuration (BCD), and as a device in one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/bytes.h"
#include "guestfix/windows/bcd.h"
#include "guestfix/windows/regf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_volume one = {.part_uuid = "5245484f-01", .offset = 1 << 20};
    struct rh_volumes v = {.all = {.items = &one, .count = 1}};
    struct rh_bcd_device d;
    struct rh_hive *h;
    struct rh_bcd b;
    char *copy;

    rh_bcd_device_of(data, size, &d);
    rh_bcd_volume(&d, &v);
    if (size > 256 * 1024)
        return 0;
    copy = rh_memdup0(data, size);
    if (size >= 512)
        rh_put_le32(copy + 508, rh_regf_checksum(copy));
    h = rh_hive_of(copy, size, "/BCD", "BCD", NULL);
    if (!h)
        return 0;
    rh_bcd_read(h, &b);
    rh_bcd_volume(&b.system, &v);
    rh_bcd_free(&b);
    rh_hive_close(h);
    return 0;
}
