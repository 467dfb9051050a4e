/* guestfix.h - look into a guest and change what the new machine needs.
 *
 * The disks are readers, with an overlay on each; edits land in the overlays
 * and nowhere else.  The same call plans (dry run: the overlays are thrown
 * away) and applies, so that a report cannot promise something else. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_GUESTFIX_H
#define RH_GUESTFIX_GUESTFIX_H

#include <jansson.h>

#include "base/lib.h"
#include "base/options.h"
#include "formats/format.h"
#include "formats/gaps.h"
#include "profiles/profile.h"
#include "report/findings.h"
#include "vm/vm.h"

/* What the new machine will be: decided by the plan. */
struct rh_machine {
    const char *model;   /* the key of its devices in a profile */
    const char *devices; /* "virtio", "vmware", "emulated" */
    const char *disk; /* "virtio-scsi", "virtio-blk", "pvscsi", "sata", "ide",
                         "xen" */
    const char *nic;  /* "virtio", "vmxnet3", "e1000", "xen" ... */
    const char *firmware; /* "bios" or "uefi" */
    bool secure_boot;
    bool needs_pv_drivers; /* of the hypervisor's own, see target.h */
};

struct rh_guest_options {
    rh_lib *lib;
    const struct rh_profiles *profiles;
    struct rh_vm *vm; /* facts go in with from GUEST; MACs are read */
    /* Overlay n is that of vm->disks.items[order[n]]; NULL: of item n.  From
     * there on a disk's number is its index in vm->disks, everywhere. */
    const size_t *order;
    const struct rh_machine *machine;
    const char *drivers;     /* --drivers DIR-OR-ISO, or NULL */
    const char *const *keys; /* --key of LUKS volumes, NULL-ended; or NULL */
    bool dry_run; /* the edits are thrown away: what can only be read in-process
                     is edited in memory, without the appliance */
    bool no_appliance; /* direct backend only: never start libguestfs */
    /* Where rh_guest_inspect() leaves the appliance it started, if it did, for
     * rh_guest_fix() on the same overlays; NULL: each starts its own. */
    struct rh_appliance **appliance;
    /* "fix", "no-fix": ids of fixes, which exist; may be NULL. */
    const struct rh_options *choices;
    struct rh_findings *findings;
    struct rh_edits *edits;
};

struct rh_appliance;
/* Before its overlays are closed.  NULL is fine. */
void rh_appliance_free(struct rh_appliance *a);

/* Facts found in the guest, as JSON for report.json ("guest" object). */
struct rh_guest_facts {
    json_t *json;
    char *backend; /* "direct", "libguestfs" or "none" */
};

/* Look only: OS, boot loader, NICs; fills vm and facts.  A guest that cannot be
 * read (unknown, encrypted) is a finding, not an error. */
int rh_guest_inspect(struct rh_reader **overlays, size_t count,
                     const struct rh_guest_options *o,
                     struct rh_guest_facts *ret, rh_error **err);
/* Look, then make the edits that machine needs, into the overlays.  How each
 * fix ended stands in the facts ("fixes": done, nothing-to-do, not-possible,
 * failed, left-out).  One that failed is undone, and a finding; it is an error
 * only when the disks themselves, or we, failed. */
int rh_guest_fix(struct rh_reader **overlays, size_t count,
                 const struct rh_guest_options *o, struct rh_guest_facts *ret,
                 rh_error **err);
/* unused.c: what the file systems on these disks do not use, for
 * rh_reader_without(): gaps[i] of disks[i], settled.  A file system that was
 * not left clean, or whose maps do not agree with themselves, is left whole;
 * findings say so.  `order` as above; vm may be NULL. */
int rh_guest_unused(struct rh_reader **disks, size_t count,
                    const struct rh_vm *vm, const size_t *order, rh_lib *lib,
                    struct rh_gaps *gaps, struct rh_findings *findings,
                    rh_error **err);
/* Would it start from a disk of this kind ("pvscsi"), as far as was seen?
 * Nothing seen: yes.  *ret_why (static, translated) is set when it would not.
 */
bool rh_guest_starts_on(const struct rh_guest_facts *f, const char *disk,
                        const char **ret_why);
void rh_guest_facts_free(struct rh_guest_facts *f);

#endif
