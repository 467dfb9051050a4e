/* limits.h - how large an input may make us grow.  Every number that comes
 * from a file is compared with one of these before memory or time is spent. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_LIMITS_H
#define RH_BASE_LIMITS_H

#define RH_KIB 1024ULL
#define RH_MIB (1024ULL * RH_KIB)
#define RH_GIB (1024ULL * RH_MIB)
#define RH_TIB (1024ULL * RH_GIB)

#define RH_LIMIT_DISK_SIZE   (64 * RH_TIB)  /* default of --max-disk-size */
#define RH_LIMIT_DESCRIPTOR  (16 * RH_MIB)  /* .ovf, .vmx, fill files */
#define RH_LIMIT_INVENTORY   (128 * RH_MIB) /* lists of VMs */
#define RH_LIMIT_VMDK_TEXT   (1 * RH_MIB)   /* a VMDK text descriptor */
#define RH_LIMIT_MANIFEST    (4 * RH_MIB)
#define RH_LIMIT_RESULT_FILE (64 * RH_MIB) /* beside the disks of a result */
#define RH_LIMIT_MEMBERS     65536         /* members of an archive */
#define RH_LIMIT_NAME        4096          /* bytes in a member's name */
#define RH_LIMIT_EXTENTS     8192          /* extents of one VMDK */
#define RH_LIMIT_CHAIN       64            /* disks in a snapshot chain */
#define RH_LIMIT_ITEMS       20000         /* hardware items of a descriptor */
#define RH_LIMIT_VMS         256           /* VMs of one package */
#define RH_LIMIT_VM_DISKS    256
#define RH_LIMIT_VM_NICS     256
#define RH_LIMIT_GRAIN       (64 * RH_MIB)
#define RH_LIMIT_TRACK_BYTES (40 * RH_MIB) /* for knowing grains met */
#define RH_LIMIT_TABLE_BYTES (32 * RH_MIB) /* any one table held at once */
#define RH_LIMIT_EXPANSION   1100          /* deflate cannot exceed 1032:1 */

#endif
