/* boot.h - what the parts of `rehost boot` share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BOOT_H
#define RH_CONVERT_BOOT_H

#include <jansson.h>
#include <sys/types.h>

#include "base/lib.h"
#include "convert/options.h"

/* A result folder as its receipt and vm.json tell it. */
struct rh_boot_disk {
    char *path, *format; /* "qcow2", "raw", "vpc" */
};
struct rh_boot_nic {
    char *model; /* QEMU's device */
    char *mac;
};
struct rh_boot_vm {
    char *dir, *name;
    char *disk_bus; /* "virtio-scsi virtio-blk pvscsi lsisas sata ide nvme" */
    char *firmware, *machine; /* "bios" or "uefi", "q35" or "pc" */
    bool secure_boot;
    uint64_t memory;
    unsigned cpus;
    RH_VEC(struct rh_boot_disk) disks;
    RH_VEC(struct rh_boot_nic) nics;
};
int rh_boot_read(struct rh_boot_vm *vm, const char *dir,
                 const rh_options *options, rh_error **err);
void rh_boot_vm_free(struct rh_boot_vm *vm);

/* boot_qemu.c: the machine. */
struct rh_boot_qemu {
    pid_t pid;
    int console;   /* the guest's first serial port */
    int control;   /* QMP socket */
    char *folder;  /* temporary: sockets, firmware variables, capture */
    char *capture; /* of the network, pcap */
    bool accelerated;
};
int rh_boot_start(rh_lib *lib, const struct rh_boot_vm *vm,
                  struct rh_boot_qemu *q, rh_error **err);
int rh_boot_screenshot(struct rh_boot_qemu *q, const char *path,
                       rh_error **err);
void rh_boot_stop(struct rh_boot_qemu *q);

/* boot_watch.c: what the console and the wire show. */
struct rh_boot_seen {
    bool bootloader, kernel, init, login;
    const char *failure;       /* stable word, or NULL */
    struct rh_buf text;        /* console text, printable bytes */
    unsigned frames;           /* sent by the guest */
    char mac[18], address[16]; /* of the first guest NIC that spoke IPv4 */
    bool dhcp;
};
int rh_boot_watch(rh_lib *lib, struct rh_boot_qemu *q, unsigned seconds,
                  struct rh_boot_seen *seen, rh_error **err);
void rh_boot_wire(const char *capture, struct rh_boot_seen *seen);

#endif
