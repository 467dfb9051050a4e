/* vhdx.h - what opening a VHDX leaves for reading it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_VHDX_VHDX_H
#define RH_FORMATS_VHDX_VHDX_H

#include "base/limits.h"
#include "formats/format.h"

enum {                              /* places and sizes that never change */
       VHDX_HEADERS_AT = 64 * 1024, /* and 128 KiB */
       VHDX_HEADER = 4096,
       VHDX_REGIONS_AT = 192 * 1024, /* and 256 KiB */
       VHDX_TABLE = 64 * 1024,       /* of a region or metadata table */
       VHDX_TABLE_MOST = 2047,       /* entries of one */
       VHDX_SUM_AT = 4,
};
enum vhdx_item {
    VHDX_PARAMETERS,
    VHDX_DISK_SIZE,
    VHDX_DISK_ID,
    VHDX_LOGICAL_SECTOR,
    VHDX_PHYSICAL_SECTOR,
    VHDX_PARENT_LOCATOR,
    VHDX_ITEMS
};

struct vhdx_region {
    uint64_t offset, size; /* in the file; size 0: not there */
};

struct vhdx {
    struct vhdx_region bat, metadata, log;
    uint8_t log_guid[16]; /* all zero: no log */
    unsigned log_version;
    bool fixed, differencing;
    uint64_t block;     /* bytes of a block */
    uint64_t sector;    /* logical, 512 or 4096 */
    uint64_t ratio;     /* payload blocks per sector bitmap block */
    uint64_t blocks;    /* payload blocks of the disk */
    uint64_t header_at; /* the header and region table that count */
    uint64_t regions_at;
    struct vhdx_region items[VHDX_ITEMS]; /* within the metadata region */
};

/* --- the block table (bat.c) -----------------------------------------------
 */
enum vhdx_state {
    VHDX_NOT_PRESENT = 0,
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_FULLY_PRESENT = 6,
    VHDX_PARTIALLY_PRESENT = 7,
};
enum {
    VHDX_ENTRY = 8,
    VHDX_BATCH = 512, /* entries read at once */
};
struct vhdx_block {
    enum vhdx_state state;
    uint64_t offset; /* in the file */
};
/* Entries of payload blocks [first, first + count), count <= VHDX_BATCH, cut
 * where a bitmap's entry stands between them; *ret_count is how many were read.
 */
int rh_vhdx_entries(struct rh_reader *r, uint64_t first, uint64_t count,
                    struct vhdx_block ret[VHDX_BATCH], size_t *ret_count,
                    rh_error **err);
/* In a differencing disk, which sectors of a block are here: n of them from
 * `first` on of a partially present block, a bit each, lowest first, in ret;
 * the first one's is bit first % 8.  n is at most VHDX_SECTORS. */
enum { VHDX_SECTORS = 4096 };
int rh_vhdx_sectors(struct rh_reader *r, uint64_t block, uint64_t first,
                    uint64_t n, uint8_t ret[VHDX_SECTORS / 8 + 1],
                    rh_error **err);
/* A bit for each MiB of the file: set by what lies there.  Fails when two parts
 * overlap, or one lies outside.  Taking more tells whether all of it was free.
 */
struct vhdx_taken {
    uint8_t *bits;
    uint64_t count; /* bits */
    bool ascending; /* blocks lie in the disk's order */
};
int rh_vhdx_take_all(struct rh_reader *r, struct vhdx_taken *ret,
                     rh_error **err);
bool rh_vhdx_take(struct vhdx_taken *t, uint64_t offset, uint64_t size,
                  uint64_t *ret_met);

/* log.c: what the log holds is laid over r->io. */
int rh_vhdx_replay(struct rh_reader *r, struct vhdx *v, rh_error **err);
/* parent.c */
int rh_vhdx_open_parent(struct rh_reader *r, const struct vhdx *v,
                        const struct rh_open_options *o, rh_error **err);
/* The headers, the region tables and the metadata, all checked. */
int rh_vhdx_open_tables(struct rh_reader *r, struct vhdx *v, rh_error **err);
bool rh_vhdx_header_good(const uint8_t p[VHDX_HEADER]);
bool rh_vhdx_regions_good(const uint8_t p[VHDX_TABLE]);
bool rh_vhdx_region_known(const uint8_t entry[32]);
/* Which item an entry of the metadata table is for, or -1. */
int rh_vhdx_item(const uint8_t guid[16]);
/* What does not keep a disk from being read (check.c), as problems. */
int rh_vhdx_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err);
/* CRC-32C (Castagnoli) of n bytes, the four at `field` taken as zero. */
uint32_t rh_vhdx_sum(const uint8_t *p, size_t n, size_t field);

#endif
