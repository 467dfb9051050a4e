/* linux.h - what is known of a Linux guest, and the tools that fixes share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_LINUX_H
#define RH_GUESTFIX_LINUX_LINUX_H

#include <jansson.h>
#include <stdint.h>

#include "guestfix/guest.h"
#include "guestfix/guestfix.h"
#include "guestfix/linux/initramfs.h"
#include "volumes/volumes.h"

/* What a boot loader's menu starts.  Paths are the guest's own, and there. */
enum { RH_ENTRY_INITRDS = 4 };
struct rh_boot_entry {
    const char *where; /* the configuration file */
    const char *image; /* NULL: it names one that is not there */
    const char *initrds[RH_ENTRY_INITRDS];
    const char *args;  /* the kernel's, as they stand there; NULL: none */
    bool named_initrd; /* one was named, whether or not it is there */
};

struct rh_kernel {
    const char *version;   /* the name under /lib/modules; NULL: not known */
    const char *image;     /* "/boot/vmlinuz-6.1.0-18-amd64" */
    const char *initramfs; /* NULL: none found */
    struct rh_initramfs content;
    bool read;             /* content is known */
    bool unknown;          /* it could not be understood */
    const char *arguments; /* inside of a unified image; or NULL */
    bool unified;          /* image, initramfs and arguments are one file */
};

/* Addresses that the configuration gives an interface; in the arena. */
enum { RH_NET_MAX = 12 };
struct rh_net {
    const char *addresses[RH_NET_MAX]; /* "192.0.2.10/24" */
    const char *gateways[RH_NET_MAX], *dns[RH_NET_MAX];
    bool dhcp;
};

/* Where a device sits on the PCI bus, in one number; never 0. */
#define RH_PCI(bus, device, function)                                \
    (0x80000000u | (uint32_t)(bus) << 16 | (uint32_t)(device) << 8 | \
     (uint32_t)(function))

/* How a name was given to a NIC of the VM. */
enum rh_nic_how {
    RH_NIC_UNKNOWN,
    RH_NIC_SET,     /* --set nicN.guest_name= */
    RH_NIC_MAC,     /* a file binds the name to the NIC's MAC address */
    RH_NIC_SLOT,    /* the name, or a match by path, tells the slot */
    RH_NIC_BUS,     /* ethN: the order on the PCI bus */
    RH_NIC_ONLY,    /* one name, one NIC */
    RH_NIC_GUESSED, /* in order */
    RH_NIC_DERIVED, /* no file is known to say it: the slot's own name */
};

/* A network interface as the guest's own files name it. */
struct rh_nic_name {
    const char *name;
    char mac[18];      /* "" unless a file binds it to one */
    const char *where; /* the file */
    size_t nic;        /* of the VM; SIZE_MAX: not known */
    enum rh_nic_how how;
    uint32_t path;    /* RH_PCI(...) that a file binds it to, or 0 */
    bool pinned;      /* a .link or rule binds it to its MAC already */
    bool idle;        /* configured, but not brought up by itself */
    bool alternative; /* another name that the same NIC has as well */
    struct rh_net net;
};

/* Made in software: a bond, a bridge, a VLAN. */
struct rh_soft_name {
    const char *name, *where;
    struct rh_net net;
};

/* Configuration that goes by a MAC address alone, whatever the name. */
struct rh_mac_use {
    char mac[18];
    const char *where;
    struct rh_net net;
    bool named; /* its NIC has a name, which has the addresses then */
};

/* Configuration that goes by the place on the PCI bus alone. */
struct rh_path_use {
    uint32_t path;
    const char *where;
    struct rh_net net;
};

struct rh_linux {
    struct rh_guest *guest;
    rh_lib *lib; /* asked for cancel */
    const struct rh_volumes *volumes;
    const struct rh_vm *vm; /* tells slots and MAC addresses; may be NULL */
    struct rh_arena *arena;
    const char *id, *id_like, *version, *pretty, *hostname;
    const char *family; /* "debian rhel suse arch alpine other" */
    bool systemd, selinux, cloud_init, uki;
    const char *root_word; /* what fstab calls the root's device, once asked */
    RH_VEC(struct rh_kernel) kernels;
    RH_VEC(struct rh_boot_entry) entries;
    RH_VEC(const char *) menus; /* the files they were read from */
    const char *immutable; /* "NixOS" ...: what keeps files from being edited */
    const char *top;       /* of an ostree deployment: where its system lies */
    const char *modules_top;      /* "lib/modules" is below it; "" by default */
    RH_VEC(const char *) loaders; /* "grub2-bios", "grub2-efi", "bls" ... */
    RH_VEC(const char *) networks; /* "ifupdown", "netplan" ... */
    RH_VEC(struct rh_nic_name) nics;
    RH_VEC(struct rh_mac_use) macs;
    RH_VEC(struct rh_path_use) paths;
    RH_VEC(struct rh_soft_name) soft;
    bool any_name;       /* the configuration matches any interface ("en*") */
    bool named_by_rules; /* udev's rules give names; .link files are not read */
    bool mdev;           /* busybox's mdev in place of udev: reads no rules */
    bool kernel_names;   /* the kernel's own eth0, eth1 stay */
    bool predictable;    /* udev makes names of the slot: "ens192" */
    bool persistent_rules;    /* udev rules that name NICs by MAC */
    const char *by_driver;    /* a file that matches NICs by their driver */
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
/* Where the system lies when it is not the root, before anything else is read;
 * and what keeps it from being edited, once its name is known. */
void rh_linux_deployment(struct rh_linux *l);
/* The newest deployment of ostree below the root; NULL: there is none. */
char *rh_ostree_newest(struct rh_guest *g);
void rh_linux_immutable(struct rh_linux *l);
/* Every boot loader's menu: fills entries and menus. */
void rh_linux_entries(struct rh_linux *l);
/* Folders that the ESP may be mounted at, NULL-ended. */
extern const char *const rh_esp_tops[];
/* The version in a kernel image's own header ("6.1.0-18-amd64"); NULL: none. */
char *rh_kernel_version(const void *bytes, size_t n);
/* A section of a PE program; NULL: it is none, or has no such section. */
const void *rh_pe_section(const void *bytes, size_t n, const char *name,
                          size_t *ret_size);
bool rh_is_efi_program(const char *path); /* "*.efi" */
int rh_linux_kernels(struct rh_linux *l, rh_error **err);
void rh_linux_loaders(struct rh_linux *l);
int rh_linux_network(struct rh_linux *l, rh_error **err);
/* Who gives NICs their names. */
void rh_linux_naming(struct rh_linux *l);
/* Which NIC of the VM bears which name; takes MACs that only the guest knows
 * over into the VM. */
void rh_linux_match_nics(struct rh_linux *l, struct rh_vm *vm);
json_t *rh_linux_json(const struct rh_linux *l);
/* Where VMware put the NIC, as RH_PCI(); 0: its slot is not known. */
uint32_t rh_nic_place(const struct rh_nic_config *nic);
/* Is this a name that udev makes of the NIC's slot? */
bool rh_nic_slot_name(const struct rh_nic_config *nic, const char *name);
/* How many NICs stand before this one on the bus; SIZE_MAX: cannot be told. */
size_t rh_nic_bus_rank(const struct rh_vm *vm, size_t nic);
/* The N of "ethN"; SIZE_MAX: another name. */
size_t rh_nic_eth_number(const char *name);

/* The module's name in one form: "xen-blkfront" and "xen_blkfront.ko.xz" are
 * alike. */
void rh_module_name(const char *path, char ret[64]);

#endif
