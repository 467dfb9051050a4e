/* linux.h - what is known of a Linux guest, and the tools that fixes share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_LINUX_H
#define RH_GUESTFIX_LINUX_LINUX_H

#include <jansson.h>

#include "guestfix/guest.h"
#include "guestfix/guestfix.h"
#include "guestfix/linux/initramfs.h"
#include "volumes/volumes.h"

struct rh_kernel {
    const char *version;   /* the name under /lib/modules */
    const char *image;     /* "/boot/vmlinuz-6.1.0-18-amd64" */
    const char *initramfs; /* NULL: none found */
    struct rh_initramfs content;
    bool read;    /* content is known */
    bool unknown; /* it could not be understood */
};

/* A network interface as the guest's own files name it. */
struct rh_nic_name {
    const char *name;
    char mac[18];      /* "" unless a file binds it to one */
    const char *where; /* the file */
    size_t nic;        /* of the VM; SIZE_MAX: not known */
    bool pinned;       /* a .link or rule binds it already */
    bool idle;         /* configured, but not brought up by itself */
};

/* Configuration that goes by a MAC address alone, whatever the name. */
struct rh_mac_use {
    char mac[18];
    const char *where;
};

struct rh_linux {
    struct rh_guest *guest;
    const struct rh_volumes *volumes;
    struct rh_arena *arena;
    const char *id, *id_like, *version, *pretty, *hostname;
    const char *family; /* "debian rhel suse arch alpine other" */
    bool systemd, selinux, cloud_init, uki;
    const char *root_word; /* what fstab calls the root's device, once asked */
    RH_VEC(struct rh_kernel) kernels;
    RH_VEC(const char *) loaders;  /* "grub2-bios", "grub2-efi", "bls" ... */
    RH_VEC(const char *) networks; /* "ifupdown", "netplan" ... */
    RH_VEC(struct rh_nic_name) nics;
    RH_VEC(struct rh_mac_use) macs;
    RH_VEC(const char *) soft; /* bonds, bridges, VLANs of any name */
    bool any_name;         /* the configuration matches any interface ("en*") */
    bool persistent_rules; /* udev rules that name NICs by MAC */
    const char *by_driver; /* a file that matches NICs by their driver */
    unsigned systemd_version; /* 0: cannot be told, or none */
    const char *tools;        /* "open-vm-tools", "vmware-tools", NULL */
    bool qemu_agent, xen_agent;
    /* The hardware clock: "utc" or "localtime", what says so, and its zone
     * ("Asia/Tokyo") where it is local; NULL: cannot be told. */
    const char *clock, *clock_where, *timezone;
};

/* --- detection
 * ------------------------------------------------------------------- */
int rh_linux_detect(struct rh_linux *l, const struct rh_guest_options *o,
                    rh_error **err);
void rh_linux_free(struct rh_linux *l);
int rh_linux_kernels(struct rh_linux *l, rh_error **err);
void rh_linux_loaders(struct rh_linux *l);
int rh_linux_network(struct rh_linux *l, rh_error **err);
/* Which NIC of the VM bears which name; takes MACs that only the guest knows
 * over into the VM. */
void rh_linux_match_nics(struct rh_linux *l, struct rh_vm *vm);
json_t *rh_linux_json(const struct rh_linux *l);

/* The module's name in one form: "xen-blkfront" and "xen_blkfront.ko.xz" are
 * alike. */
void rh_module_name(const char *path, char ret[64]);

#endif
