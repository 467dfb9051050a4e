/* bcd.h - the boot configuration of Windows Vista and later: which entry is
 * started, and from where. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_BCD_H
#define RH_GUESTFIX_WINDOWS_BCD_H

#include "guestfix/windows/windows.h"

/* A device as an element has it: a partition goes by the disk's and its own
 * identity, never by a controller. */
struct rh_bcd_device {
    enum {
        RH_BCD_NOWHERE,   /* none is named, or it does not read */
        RH_BCD_BOOT,      /* where the firmware started from */
        RH_BCD_PARTITION, /* of a disk, see below */
        RH_BCD_FILE,      /* inside a file: a RAM disk, a virtual disk */
        RH_BCD_OTHER
    } kind;
    bool gpt;
    bool virtual_disk;  /* FILE: a .vhd or .vhdx */
    char partition[37]; /* GPT: its GUID, lower case */
    uint64_t offset;    /* MBR: bytes from the disk's begin */
    uint32_t signature; /* MBR: the disk's */
};
/* `bytes` are the value of an element; what cannot be read is NOWHERE. */
void rh_bcd_device_of(const void *bytes, size_t n, struct rh_bcd_device *ret);

struct rh_bcd {
    bool has_manager, has_default; /* the object of each is there */
    struct rh_bcd_device manager;  /* of the boot manager's own files */
    struct rh_bcd_device system;   /* of the default entry's Windows */
    char *path, *title;            /* "\Windows\system32\winload.efi" */
    bool once;        /* the next start goes into another entry, once */
    bool safe_mode;   /* services do not start */
    bool testsigning; /* test-signed drivers are loaded */
    bool hypervisor;  /* Hyper-V's starts with Windows */
};
void rh_bcd_free(struct rh_bcd *b);
void rh_bcd_read(struct rh_hive *h, struct rh_bcd *ret);

/* The volume that a device names; NULL: none of them. */
const struct rh_volume *rh_bcd_volume(const struct rh_bcd_device *d,
                                      const struct rh_volumes *v);

/* Find the guest's BCD, keep what it says in `w`, and tell what an
 * administrator should know of it. */
int rh_win_boot(struct rh_windows *w, struct rh_session *s, rh_error **err);

#endif
