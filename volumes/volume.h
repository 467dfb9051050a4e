/* volume.h - a partition or a logical volume, and where its bytes lie. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_VOLUME_H
#define RH_VOLUMES_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the bytes of a volume lie. */
struct rh_span {
    size_t disk;
    uint64_t offset, length;
    uint64_t start; /* in the volume: what the spans before it hold */
};

/* A volume of the guest's disks (partition, logical volume) and its content. */
struct rh_volume {
    size_t disk;           /* index of the VM's disk (first one of a volume) */
    unsigned partition;    /* 1..; 0: the whole disk or a logical volume */
    uint64_t offset, size; /* on the disk; LV: of its first segment */
    const char *device;    /* as VMware's Linux names it: "/dev/sda1",
                              "/dev/mapper/vg-lv" */
    const char
        *fstype;              /* "ext4 xfs btrfs vfat ntfs swap LVM2_member
                                 crypto_LUKS BitLocker geli iso9660 ufs ..." or NULL */
    const char *uuid, *label; /* of the file system; NULL: none */
    const char *part_uuid, *part_type; /* GPT, lower case; MBR: "0x83" */
    const char *part_label;            /* GPT's name of it; NULL: none */
    const char *vg, *lv;               /* of a logical volume */
    const char *dm_uuid; /* a logical volume's: "LVM-" and 64 characters */
    /* Of a partition in a BSD disklabel or a Solaris VTOC inside partition
     * `partition` (0: of the whole disk); 0: none.  'a', 'b'; 's' + `slice`. */
    char letter;
    unsigned slice;
    const char *label_of;     /* whose label it is: "freebsd"; of what holds it,
                                 too */
    const char *duid;         /* OpenBSD's name of the disk, 16 hex digits */
    struct rh_zfs_label *zfs; /* of a zfs_member; or NULL */
    bool has_label;           /* a disklabel parts it further */
    bool broken; /* LVM's own description of it makes no sense: nobody reads it
                  */
    bool bootable;   /* MBR active flag */
    bool hibernated; /* swap that holds a suspended system */
    /* In order; none: the bytes are not simply there (striped, thin, RAID). */
    const struct rh_span *spans;
    size_t span_count;
};

#endif
