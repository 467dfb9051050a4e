/* package.h - what a VM comes in: OVA, OVF beside its files, VMX, bare disk.
 *
 * Opening reads descriptors and the index only.  Disks are opened one by one,
 * read in place where the container allows it (plain tar, folder, ranged
 * http), else spooled. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_PACKAGE_H
#define RH_PACKAGE_PACKAGE_H

#include "base/digest.h"
#include "base/io.h"
#include "base/lib.h"
#include "base/options.h"
#include "formats/format.h"
#include "report/findings.h"
#include "vm/vm.h"

enum rh_manifest_state {
    RH_MANIFEST_ABSENT,
    RH_MANIFEST_UNVERIFIED, /* there, disks not read yet */
    RH_MANIFEST_VERIFIED
};
enum rh_signature_state {
    RH_SIGNATURE_ABSENT,
    RH_SIGNATURE_UNTRUSTED,
    RH_SIGNATURE_VERIFIED
};

struct rh_package_options {
    const char *vm;            /* --vm: id or name of one VM, or NULL: all */
    const char *configuration; /* --configuration, or NULL: the default one */
    const struct rh_options *all; /* lists are taken from it by name:
                                     "datastore-map" PREFIX=DIR, files that the
                                     descriptor names by PREFIX lie in DIR;
                                     "disk", more bare disks of the VM; "drop"
                                     nic1, disk0 ...; NULL: none */
    const char *source_format;    /* of disks whose content does not say */
    bool will_read;               /* convert: disks will be read (spool now) */
    bool forward; /* nothing will look into the disks but complete(): what can
                     be read forward is not stored for that (forward.h) */
};

/* A file of the package with what its manifest says about it. */
struct rh_member {
    const char *name;
    uint64_t size;
    const char *algorithm; /* "sha256", "sha256+sha1" where the manifest has
                              both, or NULL: not in the manifest */
    const char *digest;    /* lower-case hex, likewise */
    bool verified;
};

struct rh_package {
    rh_lib *lib;
    char *path;       /* as given, fit to be shown */
    const char *kind; /* "ova ovf vmx disk" + "ova.gz" ... as vm.json says */
    enum rh_manifest_state manifest;
    bool loose; /* of a server that does not say when it changes */
    enum rh_signature_state signature;
    char *signer; /* subject of the certificate, or NULL */
    RH_VEC(struct rh_vm *) vms;
    RH_VEC(struct rh_member) members; /* all files but the descriptor's own */
    struct rh_findings findings;      /* of the package as a whole */
    RH_VEC(struct rh_findings) vm_findings; /* one list per VM */
    bool forward;                           /* as in the options */
    bool strict;                            /* a guess is a blocker */
    const char *source_format;              /* as in the options */
    struct rh_place *place;                 /* the members by name */
    struct rh_arena *arena;
    void *state;
};

/* `source` is a path, "-", or an http(s) URL. */
struct rh_package *rh_package_open(rh_lib *lib, const char *source,
                                   const struct rh_package_options *o,
                                   rh_error **err);
void rh_package_free(struct rh_package *p);
RH_FREEP(rh_package_freep, struct rh_package, rh_package_free)

/* --fill and --set, in the order given (most trusted fill first). */
int rh_config_fill(struct rh_package *p, const char *file, rh_error **err);
int rh_config_set(struct rh_package *p, const char *assignment, rh_error **err);
/* The VMs' disks have changed places: what went by number is found anew. */
void rh_package_disks_moved(struct rh_package *p);
/* Disks of one VM that are read from one part (an extent two descriptors name),
 * as findings; those that were opened count. */
void rh_package_parts_shared(struct rh_package *p, size_t vm);
/* Leave out what "drop" of the options names, by the numbers that things have
 * now; after fill and set, before complete. */
int rh_package_drop(struct rh_package *p, const struct rh_options *o,
                    rh_error **err);
/* After all fills: what disks say (partition tables), guesses from the
 * profile, "missing" findings. `strict`: guesses become blockers. */
int rh_package_complete(struct rh_package *p, bool strict, rh_error **err);
/* The overlay file with just what is missing, with comments (YAML). */
char *rh_package_template(struct rh_package *p, size_t vm);

/* The raw bytes of a file of the package by its member's name, as stored (for
 * the digest), and its member.  PACKAGE_FILE_MISSING when absent. */
struct rh_io *rh_package_file(struct rh_package *p, const char *name,
                              struct rh_member **ret_member, rh_error **err);
/* Disk `disk` of VM `vm`, opened (decompressed, chunks joined, parents
 * followed).  For a new empty disk: a reader of zeros. */
struct rh_reader *rh_package_disk(struct rh_package *p, size_t vm, size_t disk,
                                  rh_error **err);
/* Do its disks come from a platform that runs? */
bool rh_package_is_live(const struct rh_package *p);
/* Can a report look into the disk?  Always, but for a live source's disks that
 * only come as a whole, or that a running VM holds. */
bool rh_package_disk_looks(struct rh_package *p, size_t vm, size_t disk);
/* Every file that reading that disk will read (its own or its chunks, extents,
 * parents), for verification: i-th member, NULL at the end.  Valid until the
 * next disk is opened. */
struct rh_member *rh_package_disk_member(struct rh_package *p, size_t vm,
                                         size_t disk, size_t i);
/* Is the digest of this member, which lies at a server, computed from what
 * passes while its disk is read?  Then nobody else has to read it for that. */
bool rh_package_witnesses(const struct rh_package *p,
                          const struct rh_member *m);
/* Once its disk was read: read what is left of it, and compare. */
int rh_package_witness(struct rh_package *p, struct rh_member *m,
                       rh_error **err);
/* Compare; the error is MANIFEST_MISMATCH (exit 3). */
int rh_package_check_digest(struct rh_package *p, struct rh_member *m,
                            const char *hex, rh_error **err);
/* Read and check every listed member not verified yet. */
int rh_package_verify(struct rh_package *p, rh_error **err);

/* rehost.vm/1; the caller has the reference. */
json_t *rh_package_json(struct rh_package *p);

#endif
