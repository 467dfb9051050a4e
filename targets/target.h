/* target.h - the contract of a target: its limits, and what it emits.
 *
 * A target is one folder: TARGET.c, model.yaml (its limits and properties as
 * data), README.md; and one line in targets/registry.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_TARGET_H
#define RH_TARGETS_TARGET_H

#include "base/lib.h"
#include "base/options.h"
#include "base/out.h"
#include "formats/format.h"
#include "profiles/profile.h"
#include "report/findings.h"
#include "vm/vm.h"

struct rh_network_map {
    const char *from, *to; /* `from` "*" matches any */
};

struct rh_target_options {
    const rh_options *given; /* all of the caller's: a target reads its own */
    const char *format;      /* --format, or NULL: the target's own */
    const char *devices;  /* "virtio vmware emulated": decided, never "auto" */
    const char *compress; /* "none zlib zstd keep", or NULL */
    struct rh_network_map *networks;
    size_t network_count;
};

/* One disk of the result. */
struct rh_target_disk {
    size_t index;          /* of vm->disks */
    const char *file;      /* "disk0.qcow2", NULL: inside the XVA */
    uint64_t virtual_size; /* bytes, as written */
    uint64_t file_size;    /* bytes, once written */
    const char *bus;       /* resolved: "scsi0", "virtio0", "sata1", "ide0" */
};

/* Where the small files of the result go. */
struct rh_target_files {
    int (*put)(void *user, const char *name, const void *bytes, size_t n,
               bool executable, rh_error **err);
    void *user;
    const char *folder; /* that will hold them, DIR/NAME; NULL: no folder */
};

/* What the plan decided and what emit writes. */
struct rh_target_job {
    const struct rh_vm *vm;
    const struct rh_profile *profile;
    const struct rh_profile_devices *devices;
    const struct rh_target_options *options;
    const char *name;     /* the safe NAME of the result */
    const char *firmware; /* resolved: "bios" or "uefi" */
    const char *machine;  /* resolved by assign: "q35" or "pc" */
    struct rh_target_disk *disks;
    size_t disk_count;           /* in order: the boot disk first */
    struct rh_target_files *out; /* while the job runs */
    rh_lib *lib;
};

/* What others must know of a target to do their part. */
enum {
    /* Disks and network cards at full speed by the hypervisor's own protocol:
     * the guest must have drivers for it (Xen's blkfront and netfront). */
    RH_TARGET_NEEDS_PV_DRIVERS = 1,
    /* A NIC may have a VLAN's tag: --network-map FROM=TO,tag=VLAN comes as
     * "TO:VLAN". */
    RH_TARGET_TAGS_VLANS = 2,
};

struct rh_target {
    const char *name; /* "kvm", "xen" */
    const char *about;
    const char *folder;  /* "xcp-ng": of targets/FOLDER/model.yaml */
    const char *profile; /* the key of profiles/ID.yaml that holds for it */
    const char *format;  /* default of --format */
    uint64_t disk_unit;  /* disks are written as multiples of it; 0: as long as
                            they are */
    unsigned abilities;  /* RH_TARGET_... */
    /* Options that this target alone takes; NULL-ended, or NULL. */
    const struct rh_option_row *options;
    /* The hypervisor's versions that --target-version names; NULL-ended. */
    const char *const *versions;
    /* Compare VM and choices with the limits; only findings. */
    int (*check)(const struct rh_target_job *job, struct rh_findings *findings,
                 rh_error **err);
    /* Decide job->machine, and for each disk its bus name and file name
     * (job->disks[i].bus, .file). */
    int (*assign)(struct rh_target_job *job, struct rh_findings *findings,
                  rh_error **err);
    /* Write the configuration files into job->out once the disks are there. */
    int (*emit)(const struct rh_target_job *job, rh_error **err);
    /* Targets whose disks lie inside one archive (XVA): open it, get a sink
     * per disk, close it.  NULL when disks are files of their own. */
    const struct rh_archive_ops *archive;
};

struct rh_archive;
struct rh_archive_ops {
    const char *format; /* of --format, and the ending of NAME.FORMAT */
    /* `out`: NAME.FORMAT in job->out, or a pipe; compressed by the caller when
     * it is to be.  Borrowed, as `job` is. */
    struct rh_archive *(*open)(const struct rh_target_job *job,
                               struct rh_out *out, rh_error **err);
    /* A writer for disk `i` of the job, to be fed by the copy, in order; the
     * caller closes it after disk_done(). */
    struct rh_writer *(*disk)(struct rh_archive *a, size_t i,
                              struct rh_reader *source, rh_error **err);
    int (*disk_done)(struct rh_archive *a, struct rh_writer *w, rh_error **err);
    int (*finish)(struct rh_archive *a, uint64_t *ret_size, rh_error **err);
    void (*close)(struct rh_archive *a);
    /* Disk `i` of a finished archive, packed or not, read back. */
    struct rh_reader *(*read)(rh_lib *lib, struct rh_io *file, size_t i,
                              rh_error **err);
};

const struct rh_target *rh_target_named(const char *name); /* NULL: none */
const struct rh_target *rh_target_at(size_t i);

/* --- common.c: for the targets' own use ------------------------------------
 */
/* The VM's tags, one after the other: *at is where to go on (NULL at first);
 * the caller frees; NULL: that was all. */
char *rh_target_tag(const struct rh_target_job *job, const char **at);
/* The VM's description, begun with its real name where the target calls it
 * otherwise (`shown`), and with a line for who delivers it (option "mark"),
 * where that is given.  The caller frees. */
char *rh_target_about(const struct rh_target_job *job, const char *shown);
/* Does the VM get the hardware UUID that its guest knows?  If it is written
 * otherwise than in the package, or is another, that is said. */
void rh_target_say_uuid(const struct rh_target_job *job,
                        enum rh_uuid_order order, struct rh_findings *findings);
/* The last value of an option of the target's own, or NULL. */
const char *rh_target_option(const struct rh_target_job *job, const char *name);
/* What --network-map says for a network of the package; NULL: nothing. */
const char *rh_target_network(const struct rh_target_options *o,
                              const char *from);
/* A file of the result, and one that is text. */
int rh_target_put_bytes(const struct rh_target_job *job, const char *name,
                        const void *bytes, size_t n, bool executable,
                        rh_error **err);
int rh_target_put(const struct rh_target_job *job, const char *name,
                  const char *text, bool executable, rh_error **err);
/* 'it'\''s': one word of the shell, whatever it holds. */
void rh_shell_quote(struct rh_buf *b, const char *text);

#endif
