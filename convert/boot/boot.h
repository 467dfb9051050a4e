/* boot.h - what the parts of `rehost boot` share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_BOOT_BOOT_H
#define RH_CONVERT_BOOT_BOOT_H

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
    bool secure_boot, tpm;
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
    pid_t pid, tpm_pid;
    int console;  /* the guest's first serial port */
    int control;  /* QMP socket */
    char *folder; /* temporary: firmware variables, captures, QEMU's words */
    size_t nics;  /* each has its capture, net0.pcap ... */
    bool accelerated;
    struct rh_buf heard; /* from the monitor, not yet a whole line */
    unsigned resets;     /* by the guest */
    bool off, stopped;   /* the guest switched off; QEMU gave up */
};
int rh_boot_start(rh_lib *lib, const struct rh_boot_vm *vm, bool kvm,
                  struct rh_boot_qemu *q, rh_error **err);
/* What QEMU wrote about itself before it ended: its last line; "" for none. */
char *rh_boot_last_words(const struct rh_boot_qemu *q);
void rh_boot_stop(struct rh_boot_qemu *q);

/* boot_monitor.c: each 0, or -1. */
int rh_boot_greet(struct rh_boot_qemu *q);
int rh_boot_hear(struct rh_boot_qemu *q); /* events that have come */
int rh_boot_picture(struct rh_boot_qemu *q, char **ret_bytes, size_t *ret_n);
int rh_boot_memory(struct rh_boot_qemu *q, uint64_t at, uint64_t n,
                   char **ret_bytes, size_t *ret_n);
int rh_boot_screenshot(struct rh_boot_qemu *q, const char *path,
                       rh_error **err);

/* boot_watch.c: what the console, the screen and the wire show. */
struct rh_boot_seen {
    bool bootloader, kernel, init, login, graphical;
    const char *failure;  /* stable word, or NULL */
    struct rh_buf text;   /* console text, printable bytes */
    struct rh_buf screen; /* the screen's, in text mode */
    uint8_t *page;        /* that text as the adapter holds it */
    size_t last_row;      /* of it, written last */
    bool graphics;        /* the screen shows a picture */
    uint8_t *pixels;      /* as it was when it last changed */
    size_t pixel_count;
    double still_since; /* 0: never seen */
    double heard;       /* when the serial port spoke last; 0: never */
    unsigned frames;    /* sent by the guest */
    /* Of the first NIC that spoke; of IPv4, else of IPv6. */
    char mac[18], address[46], address6[46];
    bool dhcp;
};
int rh_boot_watch(rh_lib *lib, struct rh_boot_qemu *q, unsigned seconds,
                  struct rh_boot_seen *seen, rh_error **err);
/* Note what `text` says about how far the guest is. */
void rh_boot_marks(struct rh_boot_seen *seen, const char *text);
void rh_boot_wire(const struct rh_boot_qemu *q, struct rh_boot_seen *seen);
void rh_boot_seen_free(struct rh_boot_seen *seen);

/* boot_screen.c */
void rh_boot_look(struct rh_boot_qemu *q, struct rh_boot_seen *seen,
                  double now);

#endif
