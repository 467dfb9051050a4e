/* profile.h - what an operating system needs on each model, as data.
 *
 * profiles/ID.yaml; a new OS is a new file.  See profiles/README.md for the
 * keys. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PROFILES_PROFILE_H
#define RH_PROFILES_PROFILE_H

#include <jansson.h>

#include "base/error.h"
#include "base/lib.h"
#include "base/mem.h"
#include "vm/vm.h"

/* One choice of devices for one target. */
struct rh_profile_devices {
    const char *disk;    /* "virtio-scsi", "virtio-blk", "pvscsi", "sata",
                            "ide", "lsisas" ... */
    const char *nic;     /* "virtio", "vmxnet3", "e1000", "e1000e", "rtl8139" */
    const char *machine; /* "q35", "pc", or NULL: either */
};

struct rh_profile_fix {
    const char *name;  /* "linux.initramfs-drivers" */
    json_t *arguments; /* object, may be NULL */
};

/* Every fix there is (fixes.def), NULL-ended. */
extern const char *const rh_fix_names[];

struct rh_profile_target {
    bool supported; /* false: a blocker, `why` says it */
    const char *why;
    const char *devices_auto; /* "virtio", "vmware" or "emulated" */
    struct rh_profile_devices virtio, vmware, emulated; /* disk NULL: none */
    RH_VEC(struct rh_profile_fix) fixes;
};

enum { RH_PROFILE_MODELS = 2 };

struct rh_profile {
    const char *id; /* "debian-12" */
    const char *about;
    const char
        *family; /* "linux windows freebsd openbsd netbsd solaris other" */
    const char *parent;       /* the profile it refines, or NULL */
    const char *pve_ostype;   /* "l26", "win10" ... */
    const char *libosinfo;    /* id URL or NULL */
    const char *xen_template; /* XCP-ng's base template name, or NULL */
    const char *clock;        /* "utc" or "localtime" */
    const char *default_firmware;
    uint64_t least_memory;                          /* bytes, 0: not said */
    struct rh_profile_target on[RH_PROFILE_MODELS]; /* see rh_profile_on */
    json_t *raw; /* the whole document, merged with its parents */
};

struct rh_profiles; /* all of them */
/* Loaded for the first who asks; the library's until it is freed. */
const struct rh_profiles *rh_profiles_of(rh_lib *lib, rh_error **err);
const struct rh_profile *rh_profile_at(const struct rh_profiles *all, size_t i);
const struct rh_profile *rh_profile_named(const struct rh_profiles *all,
                                          const char *id);
/* The most specific one for what is known of the VM (os_* values; guest facts
 * beat osType beat CIM id); never NULL ("other" at last). */
const struct rh_profile *rh_profile_match(const struct rh_profiles *all,
                                          const struct rh_vm *vm);
/* For what inspection found: "debian", "12.5"; NULL when none fits. */
const struct rh_profile *rh_profile_for_guest(const struct rh_profiles *all,
                                              const char *id,
                                              const char *version);
/* Is `p` the same as `general`, or one that inherits from it? */
bool rh_profile_refines(const struct rh_profiles *all,
                        const struct rh_profile *p,
                        const struct rh_profile *general);
/* What it says for a model, by the key in its file: "kvm" or "xen". */
const struct rh_profile_target *rh_profile_on(const struct rh_profile *p,
                                              const char *model);
json_t *rh_profile_json(const struct rh_profile *p);

#endif
