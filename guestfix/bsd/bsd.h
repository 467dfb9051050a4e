/* bsd.h - what is known of a FreeBSD, OpenBSD or NetBSD guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BSD_BSD_H
#define RH_GUESTFIX_BSD_BSD_H

#include "guestfix/engine.h"

extern const struct rh_family rh_freebsd_family, rh_openbsd_family,
    rh_netbsd_family, rh_solaris_family;

enum rh_bsd_system {
    RH_FREEBSD,
    RH_OPENBSD,
    RH_NETBSD,
    RH_SOLARIS,
};
extern const char *const rh_bsd_names[]; /* "freebsd" ..., by the enum */

/* A NIC of the VM, under the name that the source's hardware gave it.  The
 * strings are the arena's. */
struct rh_bsd_nic {
    size_t index; /* of vm->nics */
    const char
        *name; /* "vmx0"; NULL: a model that the system has no name for */
    const char *becomes; /* on the new machine; NULL: none is known */
    const char *link;    /* Solaris: the configuration's name of it; NULL: the
                            same */
    bool used;           /* the guest's configuration counts on it */
    bool dhcp;
    RH_VEC(const char *) addresses; /* "10.0.0.5/24" */
};

enum rh_bsd_built_in { RH_NOT_SEEN, RH_BUILT_IN, RH_NOT_BUILT_IN };
/* A driver for devices of hypervisors, by the device's name: "vtnet". */
struct rh_bsd_driver {
    const char *name;
    enum rh_bsd_built_in built_in; /* RH_NOT_SEEN: the kernel was not read */
    bool file;                     /* as a module in /boot/kernel */
    bool loaded;                   /* at the start, by loader.conf or rc.conf */
};

struct rh_bsd_disk {
    const char *before, *after; /* "da0"; NULL: not known */
};

struct rh_bsd {
    enum rh_bsd_system system;
    struct rh_arena *arena;
    const char *version;    /* "13.2" */
    const char *release;    /* "13.2-RELEASE" */
    const char *pretty;     /* "pfSense 2.7.2 (FreeBSD 14.0)" */
    const char *derivative; /* "pfSense", "OPNsense"; NULL: none */
    const char *arch;       /* "x86_64", "i386", "arm64" */
    const char *hostname, *clock, *clock_where, *timezone;
    const char *root, *swap; /* as fstab names them, or a dataset of ZFS */
    const char *console;     /* as its configuration says; NULL: nothing said */
    bool tools;              /* open-vm-tools start with the system */
    bool illumos;            /* a Solaris, and a free one */
    bool guessed;            /* NICs went by their order, not by slot */
    RH_VEC(struct rh_bsd_nic) nics;
    struct rh_bsd_disk *disks; /* by index of vm->disks */
    size_t disk_count;
    RH_VEC(const char *) made; /* names that it gives itself: wan0 */
    RH_VEC(const char *)
    unmatched; /* names that the configuration counts on
                  and that no NIC of the VM had */
    RH_VEC(const char *) gateways;
    RH_VEC(const char *) dns;
    RH_VEC(const char *) modules; /* loader.conf: X_load="YES"; kld_list */
    RH_VEC(const char *) loaders; /* "gptboot (/dev/sda1)" */
    RH_VEC(struct rh_bsd_driver) drivers; /* FreeBSD's */
};

/* --- names.c: what hardware is called
 * ------------------------------------------ */
/* The name of the `n`-th NIC of a model ("vmxnet3", "virtio", "xen"); NULL: the
 * system has no driver of that kind.  `version`: "13.2". */
char *rh_bsd_nic_name(struct rh_arena *a, enum rh_bsd_system system,
                      const char *model, unsigned n);
/* Names of the VM's disks before and after, by index of vm->disks. */
struct rh_bsd_disk *rh_bsd_disks(struct rh_arena *a, enum rh_bsd_system system,
                                 const char *version,
                                 const struct rh_session *s);
/* The VM's NICs in the order that their bus has them, with their old names and
 * those on `m` (may be NULL). */
void rh_bsd_name_nics(struct rh_bsd *b, const struct rh_vm *vm,
                      const struct rh_machine *m);

/* --- detect.c
 * ----------------------------------------------------------------- */
int rh_bsd_detect(struct rh_bsd *b, struct rh_session *s, rh_error **err);
/* Bytes of the guest's as printable text of the arena. */
const char *rh_bsd_keep(struct rh_bsd *b, const char *text, size_t n);
/* A text file; NULL: none.  The caller frees. */
char *rh_bsd_read(struct rh_session *s, const char *path);
/* The first line of a file, without blanks at its end. */
const char *rh_bsd_line(struct rh_bsd *b, struct rh_session *s,
                        const char *path);
/* The configuration counts on an interface of this name: the NIC, or NULL. */
struct rh_bsd_nic *rh_bsd_use(struct rh_bsd *b, const char *name, size_t n);
/* What one line says to ifconfig(8): "inet 10.0.0.5 netmask 255.255.255.0",
 * "inet 10.0.0.5/24", "DHCP"; OpenBSD leaves the words out. */
void rh_bsd_addresses(struct rh_bsd *b, struct rh_bsd_nic *nic,
                      const char *text);
void rh_bsd_find_arch(struct rh_bsd *b, struct rh_session *s, const char *path);
/* A root on ZFS by its dataset, where no file names it. */
void rh_bsd_find_dataset(struct rh_bsd *b, const struct rh_session *s);

/* --- boot.c, drivers.c
 * ---------------------------------------------------------- */
void rh_bsd_find_loaders(struct rh_bsd *b, struct rh_session *s);
void rh_bsd_find_drivers(struct rh_bsd *b, struct rh_session *s);

/* --- solaris.c
 * ---------------------------------------------------------------- */
int rh_solaris_rank(struct rh_guest *g);
int rh_solaris_detect(struct rh_bsd *b, struct rh_session *s, rh_error **err);
/* What is left to people; `read`: its files were. */
void rh_solaris_advise(struct rh_session *s, const struct rh_bsd *b, bool read);
json_t *rh_bsd_json(const void *facts);

/* --- text.c: editing configuration
 * ------------------------------------------- */
struct rh_swap {
    const char *from, *to;
};
/* Every whole word `from` becomes `to`; words are of letters, digits and _.
 * NULL: nothing to change. */
char *rh_bsd_swap_words(const char *text, const struct rh_swap *swaps,
                        size_t count);
/* Device names behind "/dev/" and at a word's start behind "ufs:/dev/": the
 * disk's name becomes another one, what follows (p2, s1a) stays. */
char *rh_bsd_swap_disks(const char *text, const struct rh_bsd_disk *disks,
                        size_t count);
/* The value of KEY="value" in a shell-like file; the last one counts.  In the
 * arena; NULL: none. */
const char *rh_bsd_value(struct rh_arena *a, const char *text, const char *key);

/* --- fixes.c
 * ------------------------------------------------------------------ */
int rh_fix_bsd_disk_names(struct rh_fix_job *j, rh_error **err);
int rh_fix_bsd_nic_names(struct rh_fix_job *j, rh_error **err);
/* Findings for a guest that was not opened. */
void rh_bsd_advise(struct rh_session *s, enum rh_bsd_system system);

#endif
