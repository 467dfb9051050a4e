/* fat.h - FAT12, FAT16 and FAT32: the one reader.
 *
 * The allocation table is held in memory, bounded.  Every cluster number is
 * held against the table, every chain ends.  Offsets of the boot sector and of
 * entries: Microsoft's "FAT: General Overview of On-Disk Format". */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_FAT_H
#define RH_VOLUMES_FAT_H

#include "volumes/disks.h"

enum {
    RH_FAT_ENTRY = 32,                     /* bytes */
    RH_FAT_DIR_MAX = 65536 * RH_FAT_ENTRY, /* the format's own bound */
    RH_FAT_DELETED = 0xe5,
    RH_FAT_ATTR_VOLUME = 0x08,
    RH_FAT_ATTR_DIR = 0x10,
    RH_FAT_ATTR_ARCHIVE = 0x20,
    RH_FAT_ATTR_LONG = 0x0f,
};

struct rh_fat {
    struct rh_disks *disks;
    const struct rh_volume *volume;
    unsigned bits;                   /* 12, 16 or 32 */
    uint32_t cluster_size, clusters; /* valid numbers: 2 .. clusters + 1 */
    uint64_t table_at, table_size, data_at;
    unsigned tables;
    uint32_t root_cluster; /* FAT32 */
    uint64_t root_at;      /* FAT12, FAT16: a region of its own */
    uint32_t root_size;
    uint64_t info_at; /* FAT32's FSINFO; 0: none */
    uint8_t *table;
};

/* Read the boot sector and the table.  -1 with *ret_why (static, translated)
 * where it is no sound FAT, with err where reading fails; nothing to unload
 * then. */
int rh_fat_load(struct rh_disks *d, const struct rh_volume *v,
                struct rh_fat *ret, const char **ret_why, rh_error **err);
void rh_fat_unload(struct rh_fat *f); /* also for RH_AUTO */

bool rh_fat_valid(const struct rh_fat *f, uint32_t cluster);
uint32_t rh_fat_next(const struct rh_fat *f, uint32_t cluster);
uint64_t rh_fat_offset(const struct rh_fat *f, uint32_t cluster); /* bytes */
/* In clusters; 0: none, or a circle. */
uint32_t rh_fat_chain_length(const struct rh_fat *f, uint32_t cluster);
int rh_fat_read_chain(const struct rh_fat *f, uint32_t cluster, uint64_t size,
                      uint8_t *to, rh_error **err);
int rh_fat_damaged(const struct rh_fat *f, const char *what, rh_error **err);

/* A folder as a whole; cluster 0 is the root. */
struct rh_fat_dir {
    uint32_t cluster; /* the root's own on FAT32; 0: the fixed region */
    uint8_t *bytes;
    uint32_t size;
};
int rh_fat_read_dir(const struct rh_fat *f, uint32_t cluster,
                    struct rh_fat_dir *ret, rh_error **err);
void rh_fat_dir_free(struct rh_fat_dir *d); /* also for RH_AUTO */
/* Is it FAT12's or FAT16's root? */
bool rh_fat_fixed_root(const struct rh_fat *f, uint32_t cluster);
uint32_t rh_fat_first_cluster(const struct rh_fat *f, const uint8_t *entry);

/* Calls fn for each entry with its name (UTF-8) until it returns true.  Its
 * long entries begin at `first`, the short one is `index`. */
typedef bool rh_fat_entry_fn(void *user, const char *name, uint32_t first,
                             uint32_t index);
void rh_fat_each(const struct rh_fat_dir *d, rh_fat_entry_fn *fn, void *user);
/* Without regard to case; false: there is none. */
bool rh_fat_find(const struct rh_fat_dir *d, const char *name,
                 uint32_t *ret_first, uint32_t *ret_index);

#endif
