/* vhdx_parts.h - a VHDX from a few bytes.
 *
 * A VHDX begins at 1 MiB, too long for a fuzzer to make.  The input holds the
 * parts that matter, one behind the other, and they are laid into a file where
 * a VHDX has them; checksums are made right unless the first byte's lowest bit
 * says otherwise. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_VHDX_PARTS_H
#define RH_FUZZ_VHDX_PARTS_H

#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum {
    VHDX_FILE = 8 * 1024 * 1024,
    VHDX_BLOCKS_AT = 4 * 1024 * 1024,
    VHDX_STEP = 256 * 1024,   /* from data to data there */
    VHDX_DATA = 700,          /* bytes of it */
    VHDX_CHECKED = 64 * 1024, /* bytes under a region table's checksum */
};

static const struct {
    uint32_t at, size, checked;
} vhdx_parts[] = {
    {0, 16, 0},                       /* flags of this fuzzer, overwritten */
    {64 * 1024, 96, 4096},            /* header 1 */
    {128 * 1024, 96, 4096},           /* header 2 */
    {192 * 1024, 144, VHDX_CHECKED},  /* region table 1 */
    {1024 * 1024, 96, 0},             /* log */
    {2 * 1024 * 1024, 288, 0},        /* metadata table */
    {2 * 1024 * 1024 + 65536, 64, 0}, /* its items */
    {3 * 1024 * 1024, 4096, 0},       /* block table */
    {256 * 1024, 144, VHDX_CHECKED},  /* region table 2 */
    {1024 * 1024 + 96, 8192 - 96, 0}, /* the rest of a log entry or two */
};

/* Into the same `file` each time: what no part covers stays as it is. */
static inline void vhdx_lay_out(uint8_t file[VHDX_FILE], const uint8_t *data,
                                size_t size)
{
    bool sums = size && !(data[0] & 1);

    for (size_t i = 0; i < RH_COUNT(vhdx_parts); i++) {
        size_t n = RH_MIN(size, (size_t)vhdx_parts[i].size);
        uint8_t *part = file + vhdx_parts[i].at;

        memset(part, 0, vhdx_parts[i].size);
        memcpy(part, data, n);
        data += n;
        size -= n;
        if (vhdx_parts[i].checked && sums)
            rh_put_le32(part + 4, rh_vhdx_sum(part, vhdx_parts[i].checked, 4));
    }
    for (size_t at = 1024 * 1024; sums && at < 1024 * 1024 + 8192; at += 4096) {
        uint32_t n = rh_le32(file + at + 8);

        if (!memcmp(file + at, "loge", 4) && n <= 64 * 1024)
            rh_put_le32(file + at + 4, rh_vhdx_sum(file + at, n, 4));
    }
    memcpy(file, "vhdxfile", 8);
    /* Some data in each MiB that blocks may be in. */
    for (size_t at = VHDX_BLOCKS_AT; at < VHDX_FILE; at += VHDX_STEP)
        memset(file + at, (int)(at >> 18), VHDX_DATA);
}

#endif
