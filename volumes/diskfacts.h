/* diskfacts.h - what a disk says of its machine, without its guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_DISKFACTS_H
#define RH_VOLUMES_DISKFACTS_H

#include "volumes/volumes.h"

enum { RH_PARTITIONS_SHOWN = 32 };

struct rh_partition {
    unsigned number;
    const char *content; /* "ext4"-like word, static; NULL: not recognised */
    char type[37];       /* of the partition, as its table has it; "": none */
    char name[37];       /* GPT's name of it; "": none */
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
    uint64_t lacking; /* bytes that partitions reach behind its end */
    struct rh_partition partition[RH_PARTITIONS_SHOWN];
    unsigned partitions;
};

/* Of one disk whose tables were read. */
int rh_disk_facts_of(struct rh_disks *d, const struct rh_volumes *v,
                     size_t disk, struct rh_disk_facts *ret, rh_error **err);
/* The same of a disk by itself: a few sectors are read, in their order.  A
 * table that makes no sense is none. */
int rh_disk_look(struct rh_reader *r, struct rh_disk_facts *ret,
                 rh_error **err);
/* "GPT: 1 vfat, 2 ext4"; the caller frees. */
char *rh_disk_facts_text(const struct rh_disk_facts *f);

/* --- the one verdict on firmware (firmware.c) -------------------------------
 */
struct rh_boot_verdict {
    const char *firmware; /* "uefi", "bios"; NULL: the disk boots nothing */
    const char *why;      /* N_() */
    bool strong;          /* it may contradict what the package says */
};
struct rh_boot_verdict rh_boot_judge(const struct rh_disk_facts *f);

#endif
