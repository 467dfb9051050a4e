/* volumes.h - what is on the disks: partitions, logical volumes, signatures. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_VOLUMES_H
#define RH_VOLUMES_VOLUMES_H

#include "volumes/disks.h"
#include "volumes/names.h"
#include "vm/vm.h"

enum rh_table { RH_TABLE_NONE, RH_TABLE_MBR, RH_TABLE_GPT };

/* What the first sectors of a disk say. */
struct rh_disk_table {
    struct rh_disk_name name;
    enum rh_table kind;
    uint32_t sector; /* bytes, as the table counts them: 512 or 4096 */
    bool boot_code;  /* in the first sector, and it is no file system's */
    bool active;     /* an MBR partition is marked active */
    uint64_t end;    /* bytes that partitions reach to, also behind the disk */
};

struct rh_volumes {
    RH_VEC(struct rh_volume) all;
    RH_VEC(struct rh_disk_table) disks; /* one for each */
    size_t lvs;                         /* so many of `all` are logical */
    struct rh_arena *arena;             /* owns the strings and spans */
};

/* Everything found on the disks.  `vm` (may be NULL) tells the controllers, by
 * which Linux names disks: disk i is vm->disks.items[i].  Damaged tables end
 * the search on that disk only. */
int rh_volumes_find(struct rh_disks *d, const struct rh_vm *vm,
                    struct rh_volumes *ret, rh_error **err);
void rh_volumes_free(struct rh_volumes *v); /* also for RH_AUTO */

/* By what a configuration file says: UUID=, LABEL=, PARTUUID=, /dev/sda1,
 * /dev/mapper/vg-lv, /dev/vg/lv, /dev/disk/by-uuid/...; NULL: none such. */
const struct rh_volume *rh_volume_named(const struct rh_volumes *v,
                                        const char *spec);
/* Is there one with this content ("ntfs")? */
bool rh_volumes_have(const struct rh_volumes *v, const char *fstype);

/* tables.c: the partitions of one disk, or the disk as a whole. */
int rh_table_read(struct rh_disks *d, size_t disk, struct rh_volumes *into,
                  rh_error **err);
/* Look at a volume's bytes: fstype, uuid, label. */
int rh_signature_read(struct rh_disks *d, struct rh_volume *v,
                      struct rh_arena *arena, rh_error **err);
/* A boot sector of a file system ends like a partition table. */
bool rh_is_boot_sector(const char *fstype);
/* Add the logical volumes of all LVM2_member volumes. */
int rh_lvm_find(struct rh_disks *d, struct rh_volumes *v, rh_error **err);
/* bsdlabel.c: add the partitions of BSD disklabels and of Solaris' VTOC. */
int rh_bsdlabel_find(struct rh_disks *d, struct rh_volumes *all,
                     rh_error **err);
enum { RH_ZFS_NO_CHILD = ~0U };
/* geli.c: find what GELI has encrypted among what nothing else is known of. */
int rh_geli_find(struct rh_disks *d, struct rh_volumes *all, rh_error **err);
/* zfs.c: what a pool's label says of it; strings are printable. */
struct rh_zfs_label {
    const char *pool, *hostname; /* NULL: not said */
    uint64_t version, guid;      /* 5000: by feature flags; 28 and less */
    const char *vdev;            /* "disk", "mirror", "raidz" ... */
    unsigned members;            /* of a mirror or raidz; else 1 */
    const char *path, *phys_path, *devid; /* as the system last saw it */
    const char *features; /* that a reader must know: "a, b"; NULL: none */
    uint64_t top;   /* number of the topmost vdev that this disk is of ... */
    unsigned child; /* ... and its own below that; or RH_ZFS_NO_CHILD */
    unsigned ashift, parity; /* of the topmost vdev; 0: not said */
    /* Its volumes among the VM's disks, this one among them. */
    const struct rh_volume *const *here;
    size_t here_count;
    const char *root; /* "zroot/ROOT/default"; NULL: not read */
    /* Once rh_zpool_look() was: the dataset below the pool that its property
     * bootfs names ("ROOT/default", "": the pool's own). */
    bool looked;
    char *bootfs;           /* NULL: not known, because of ... */
    const char *bootfs_why; /* ... this, translated */
    bool encrypted;         /* by ZFS, and so not to be read */
    void *reader; /* of who reads its files, kept as long as the label */
    void (*reader_free)(void *reader);
};
/* Fills v->zfs and v->label; leaves them where the label is damaged. */
int rh_zfs_read(struct rh_disks *d, struct rh_volume *v, struct rh_arena *a,
                rh_error **err);
/* zpool.c: fill in `bootfs`, once for each label.  -1: the disks cannot be
 * read, or a cancel. */
int rh_zpool_look(struct rh_disks *d, struct rh_zfs_label *l, rh_error **err);
/* When all volumes are found: which belong to one pool. */
void rh_zfs_gather(struct rh_volumes *all);
/* Let go of what a reader keeps.  NULL is fine. */
void rh_zfs_forget(struct rh_zfs_label *l);
/* The text metadata of LVM2 as JSON; NULL when it is not sound. */
struct json_t *rh_lvm_parse(const char *bytes, size_t n);

/* 16 bytes as 8-4-4-4-12 hex digits. */
char *rh_uuid_text(struct rh_arena *arena, const uint8_t bytes[16]);

#endif
