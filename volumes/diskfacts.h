/* diskfacts.h - what a disk says of its machine, without its guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_DISKFACTS_H
#define RH_VOLUMES_DISKFACTS_H

#include "formats/format.h"

enum rh_table { RH_TABLE_NONE, RH_TABLE_MBR, RH_TABLE_GPT };
enum { RH_PARTITIONS_SHOWN = 32 };

struct rh_partition {
    unsigned number;
    uint64_t offset, size; /* bytes */
    const char *content;   /* "ext4"-like word, or NULL: not recognised */
};
struct rh_disk_facts {
    enum rh_table table;
    bool boot_code;  /* in the first sector */
    bool active;     /* an MBR partition is marked active */
    bool esp;        /* an EFI system partition */
    bool efi_folder; /* with a folder EFI; also when it could not be read */
    bool efi_loader; /* with EFI/BOOT/BOOTX64.EFI */
    bool bios_boot;  /* a BIOS boot partition (also FreeBSD's) */
    bool windows;    /* Microsoft's reserved partition, or NTFS and active */
    bool bitlocker, luks, lvm;
    struct rh_partition partition[RH_PARTITIONS_SHOWN];
    unsigned partitions;
};
/* Read a few sectors.  A table that makes no sense is none. */
int rh_disk_look(struct rh_reader *r, struct rh_disk_facts *ret,
                 rh_error **err);
/* "GPT: 1 vfat, 2 ext4"; the caller frees. */
char *rh_disk_facts_text(const struct rh_disk_facts *f);

/* espfat.c: does this FAT hold EFI, and EFI/BOOT/BOOTX64.EFI?  Unreadable
 * file systems count as holding EFI: nothing is concluded from damage. */
int rh_esp_look(struct rh_reader *r, struct rh_codec *codec, uint64_t offset,
                uint64_t size, bool *ret_folder, bool *ret_loader,
                rh_error **err);

#endif
