/* windows.h - what is known of a Windows guest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_WINDOWS_WINDOWS_H
#define RH_GUESTFIX_WINDOWS_WINDOWS_H

#include "guestfix/engine.h"
#include "guestfix/windows/hive.h"

/* Where volumes that Windows itself shows no letter for are mounted: no file
 * name holds a colon, so they cover nothing. */
#define RH_WIN_ESP    "/ESP:"
#define RH_WIN_LOADER "/Boot:"

typedef RH_VEC(const char *) rh_words;

/* A PCI device that Windows has met. */
struct rh_win_device {
    const char *id;       /* "VEN_15AD&DEV_07C0&SUBSYS_07C015AD&REV_02" */
    const char *instance; /* "3&61aaa01&0&A0" */
    const char *service, *driver; /* "pvscsi", "{class}\\0003"; or NULL */
    int64_t slot;                 /* PCI slot number, -1: not said */
    bool gone;                    /* Windows saw it removed */
};

/* A network card as Windows knows it, and what is set on it. */
struct rh_win_nic {
    const struct rh_win_device *device;
    const char *guid, *name; /* "{...}", "Ethernet0" */
    const char *description;
    char mac[18]; /* lower case; "" when nothing tells it */
    uint64_t luid_index;
    bool has_luid;
    bool dhcp, ghost;   /* ghost: no card of this machine */
    size_t nic;         /* of the VM; SIZE_MAX: none */
    rh_words addresses; /* "10.3.58.5/24", "2001:db8::5/64" */
    rh_words gateways;  /* "10.3.58.1", "10.3.58.1 metric 5", "fe80::1" */
    rh_words routes;    /* kept: "10.9.0.0/16 10.3.58.9", "... metric 5" */
    rh_words dns, wins;
    const char *suffix;
    uint64_t metric, netbios, mtu; /* 0: automatic, by DHCP, as it is */
    uint64_t vlan;                 /* the card's own tag; 0: none */
    bool unregistered, by_name; /* in DNS: not at all; with its suffix, too */
};

/* How a boot disk's driver stands; what comes later is worse. */
enum rh_win_start {
    RH_WIN_STARTS,   /* at boot, as it is */
    RH_WIN_OFF,      /* once Start is 0 and no StartOverride is there */
    RH_WIN_STAGED,   /* it lies ready; Windows has not installed it */
    RH_WIN_NO_FILE,  /* its service is there, its file is not */
    RH_WIN_NO_DRIVER /* nothing of it is there */
};
enum { RH_WIN_DISKS = 8 };
struct rh_win_disk {
    const char *disk; /* "ide"; see start.c */
    enum rh_win_start start;
    const char *service; /* that lacks something, or NULL */
};

struct rh_windows {
    struct rh_arena *arena;
    struct rh_guest *guest;
    const char *root;                     /* "/Windows" */
    const char *product, *edition, *kind; /* kind: "client", "server" */
    const char *architecture;             /* "x86_64", "x86", "aarch64" */
    const char *language;                 /* "en-US", or "0c0a" */
    unsigned major, minor, build, ubr;
    const char *version; /* "10.0.17763" */
    const char *hostname, *domain;
    const char *timezone;    /* Windows' own name */
    bool utc;                /* RealTimeIsUniversal */
    bool controller;         /* of a domain */
    const char *smbios_uuid; /* as Windows saw it; NULL */
    const char *firmware;    /* "bios", "uefi", NULL */
    const char *bcd;         /* the guest's file of it; NULL: none */
    /* "/dev/sda1": of the boot manager and of Windows, as the BCD says; NULL:
     * it does not, or no volume is that one. */
    const char *boot_volume, *system_volume;
    bool testsigning; /* test-signed drivers are loaded */
    bool readable;   /* SYSTEM and SOFTWARE were; else only the root is known */
    size_t replayed; /* pages that transaction logs held */
    rh_words sets;   /* "ControlSet001": those that can boot, current first */
    RH_VEC(struct rh_win_device) devices;
    RH_VEC(struct rh_win_nic) nics;
    struct rh_win_disk starts[RH_WIN_DISKS];
    rh_words teams; /* teams, bridges, virtual switches */
    rh_words vmware_services;
};

/* --- the registry ------------------------------------------------------------
 */
/* The guest's file of a hive: "SYSTEM".  The caller frees. */
char *rh_win_hive_path(const struct rh_windows *w, const char *name);
struct rh_hive *rh_win_open(const struct rh_windows *w, const char *name,
                            size_t *ret_replayed, rh_error **err);
/* Is it the hive that cannot be used, rather than the disk below it? */
bool rh_win_is_hives_fault(const rh_error *e);
static inline void rh_hive_closep(struct rh_hive **h)
{
    rh_hive_close(*h);
}

/* --- detection ---------------------------------------------------------------
 */
int rh_win_detect(struct rh_windows *w, struct rh_session *s, rh_error **err);
void rh_win_network(struct rh_windows *w, struct rh_hive *h);
void rh_win_match_nics(struct rh_windows *w, struct rh_vm *vm);
/* Is this name of a value in Nsi one of the card's?  Its LUID stands from that
 * hexadecimal digit on. */
enum {
    RH_WIN_LUID_ADDRESS = 0,
    RH_WIN_LUID_ROUTE4 = 48,
    RH_WIN_LUID_ROUTE6 = 80
};
bool rh_win_is_of_card(const char *name, size_t digit,
                       const struct rh_win_nic *n);
void rh_win_say_volumes(struct rh_session *s);
void rh_win_say_cautions(const struct rh_windows *w, struct rh_session *s,
                         struct rh_hive *system, struct rh_hive *software);
void rh_win_free(struct rh_windows *w);
json_t *rh_win_json(const struct rh_windows *w);

extern const struct rh_family rh_windows_family;

#endif
