/* descriptor.h - between the container (package*.c: tar, folder, manifest,
 * disks) and the descriptors (ovf.c, vmx.c, nutanix.c: what the VM is).
 *
 * The container finds the descriptor, checks its digest, and hands its bytes to
 * one parser.  A parser adds VMs by rh_package_add_vm() and says which files
 * the descriptor knows by rh_package_note_file() and rh_package_note_disk();
 * it opens nothing.  Names are kept as the descriptor writes them (XML
 * entities decoded, %-escapes not): the container resolves them, and refuses
 * what leaves the package. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_DESCRIPTOR_H
#define RH_PACKAGE_DESCRIPTOR_H

#include "package/package.h"

/* --- implemented by the parsers (descriptors/) ---------------------------- */
/* `name` is the descriptor's, for messages; `text` holds n bytes and a NUL.
 * Findings about a VM go to p->vm_findings.items[i], others to p->findings. */
typedef int rh_descriptor_parse(struct rh_package *p, const char *name,
                                const char *text, size_t n,
                                const struct rh_package_options *o,
                                rh_error **err);
rh_descriptor_parse rh_ovf_parse, rh_vmx_parse, rh_libvirt_parse, rh_vbox_parse,
    rh_rvtools_parse;

/* One row for each kind of descriptor (descriptors/registry.c). */
struct rh_descriptor {
    const char *name;   /* of the kind, in vm.json: "ovf" */
    const char *ending; /* of its files: ".ovf" */
    const char *label;  /* for people: "OVF" */
    bool vouched;       /* packages of this kind come with a manifest */
    bool elsewhere;     /* its files may well lie on other datastores */
    bool (*probe)(const char *text, size_t n);
    rh_descriptor_parse *parse;
    uint64_t limit; /* bytes of it; 0: RH_LIMIT_DESCRIPTOR */
};
/* The i-th, in the order they are asked; NULL at the end. */
const struct rh_descriptor *rh_descriptor_at(size_t i);
/* By its kind's name; NULL: there is none. */
const struct rh_descriptor *rh_descriptor_named(const char *name);
/* By content: the first n bytes of it, and a NUL. */
const struct rh_descriptor *rh_descriptor_of(const char *text, size_t n);

/* --- implemented by the container (package.c) ---------------------------- */
/* A <File> of the descriptor, or a file that a VMX names. */
struct rh_file_note {
    const char *href;
    const char *compression; /* "gzip", or NULL */
    uint64_t size;           /* as stored, bytes; 0: not said */
    uint64_t chunk_size;     /* 0: one file */
};
/* A <Disk>, used by a VM or only as the parent of another. */
struct rh_disk_note {
    const char *id;
    const char *href;      /* of its file; NULL: a new, empty disk */
    const char *parent_id; /* delta over that disk, or NULL */
    uint64_t capacity;     /* bytes; 0: not said */
};
/* All three copy what they are given into p->arena (the VM is taken).  The
 * notes do nothing for a package without a container (p->state NULL), so that
 * a fill file can be parsed into a scratch package. */
void rh_package_note_file(struct rh_package *p, const struct rh_file_note *f);
void rh_package_note_disk(struct rh_package *p, const struct rh_disk_note *d);
/* The name under which --datastore-map finds a file, or NULL. */
const char *rh_package_mapped(const struct rh_package *p, const char *name);
/* For a descriptor that has no configurations: OVF_CONFIGURATION where one was
 * asked for (not NULL). */
int rh_package_one_configuration(const char *asked, rh_error **err);
/* Its index in p->vms and p->vm_findings. */
size_t rh_package_add_vm(struct rh_package *p, struct rh_vm *vm);

/* rh_package_disk() also fills in what only the disk's file can say, from
 * RH_FROM_DISK: format, variant, and capacity_bytes (the file is right when
 * the descriptor says another one: a finding tells both).  A VM's disk is
 * matched to its note by disks[i].id, and to its file by disks[i].file. */

#endif
