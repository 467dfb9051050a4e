/* vhdx.h - what opening a VHDX leaves for reading it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_VHDX_VHDX_H
#define RH_FORMATS_VHDX_VHDX_H

#include "base/limits.h"
#include "formats/format.h"

struct vhdx_region {
    uint64_t offset, size; /* in the file; size 0: not there */
};

struct vhdx {
    struct vhdx_region bat, metadata, log;
    uint8_t log_guid[16]; /* all zero: no log */
    uint64_t block;       /* bytes of a block */
    uint64_t sector;      /* logical, 512 or 4096 */
    uint64_t ratio;       /* payload blocks per sector bitmap block */
    uint64_t blocks;      /* payload blocks of the disk */
};

/* The headers, the region tables and the metadata, all checked. */
int rh_vhdx_open_tables(struct rh_reader *r, struct vhdx *v, rh_error **err);
/* CRC-32C (Castagnoli) of n bytes, the four at `field` taken as zero. */
uint32_t rh_vhdx_sum(const uint8_t *p, size_t n, size_t field);

#endif
