/* vm.h - a VM's configuration: every value knows where it came from.
 *
 * Values are reached as members (vm->cpus.number) where code knows which one it
 * wants, and by key ("cpus", "nics/0/mac") where it does not: --set, fill
 * files, provenance, JSON, templates.  fields.def is the one list.  What the
 * source does not say is RH_VALUE_UNSET (JSON null), never a default. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VM_VM_H
#define RH_VM_VM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum rh_value_kind {
    RH_VALUE_UNSET,
    RH_VALUE_NUMBER,
    RH_VALUE_BOOL,
    RH_VALUE_TEXT
};

/* Order of trust: a later one replaces an earlier one (rh_vm_offer). */
enum rh_from {
    RH_FROM_NOBODY,
    RH_FROM_DEFAULT, /* a profile's default: "default:PROFILE" */
    RH_FROM_DISK,    /* the disk's partition table, boot code ("disk") */
    RH_FROM_FILL,    /* a --fill file: "fill:FILE" */
    RH_FROM_GUEST,   /* found inside the guest */
    RH_FROM_OVF,     /* the package's descriptor */
    RH_FROM_VMX,
    RH_FROM_LIBVIRT,
    RH_FROM_VBOX,
    RH_FROM_RVTOOLS, /* an inventory of VMs */
    RH_FROM_VSPHERE, /* what a running platform's API says */
    RH_FROM_PRISM,
    RH_FROM_SET /* --set: the last word */
};

struct rh_value {
    enum rh_value_kind kind;
    enum rh_from from;
    bool boolean;
    uint64_t number;
    const char *text;   /* in the VM's arena */
    const char *detail; /* fill file's name, profile id, "EFI system partition
                           on vmdisk1"; NULL: none */
};

/* The `detail` of what VMware's tools last said of the running guest: more than
 * what somebody chose, less than what is seen on the disks. */
#define RH_REPORTED "guestInfo.detailed.data"

struct rh_disk_config {
    struct rh_value id, file, format, variant, capacity_bytes, controller, bus,
        unit, boot_order, mode, serial;
    bool empty;              /* a new disk without a file */
    const char *named;       /* the file's name in the descriptor, where
                                `file` is another; NULL: the same */
    const char *file_id;     /* of an OVF's <File>; NULL: none */
    const char *compression; /* of the file in the package: "gzip" or NULL */
    uint64_t chunk_size;     /* the file is in parts of this size; 0: whole */
    uint64_t file_size;      /* as the descriptor says it, 0: not said */
    const char *parent_id;   /* delta over another disk of the package */
    uint64_t populated_size; /* descriptor's hint, 0: none */
    bool boot;               /* the disk the VM starts from, once known */
};
struct rh_nic_config {
    struct rh_value model, network, mac, connected, slot, vlan, guest_name;
};
struct rh_cdrom_config {
    struct rh_value file, controller, bus, unit, connected;
};
/* Hardware that has no field: serial ports, USB, sound, passthrough ... */
struct rh_device {
    const char *kind; /* "floppy serial parallel usb sound pci-passthrough vtpm
                         nvram nvdimm watchdog video vmci tpm scsi-passthrough
                         other" */
    const char *name;
    const char *detail; /* subtype, backing */
    bool required;
};

struct rh_vm {
    struct rh_arena *arena;
    const char *id;
#define VM_FIELD(key, member, kind, about) struct rh_value member;
#define DISK_FIELD(key, member, kind, about)
#define NIC_FIELD(key, member, kind, about)
#define CDROM_FIELD(key, member, kind, about)
#include "vm/fields.def"
#undef VM_FIELD
#undef DISK_FIELD
#undef NIC_FIELD
#undef CDROM_FIELD
    RH_VEC(struct rh_disk_config) disks;
    RH_VEC(struct rh_nic_config) nics;
    RH_VEC(struct rh_cdrom_config) cdroms;
    RH_VEC(struct rh_device) devices;
    /* The hardware's UUID as the guest's system last saw it, lower case; NULL:
     * nothing tells. */
    const char *seen_uuid;
    /* Where the VM itself is to be had, as an inventory of it tells; or NULL.
     */
    const char *address;
    const char *source_kind; /* "vmware", "nutanix", "virtualbox", "other" */
};

struct rh_vm *rh_vm_new(const char *id);
/* With lists of its own; texts of `vm` are shared, so it must live longer. */
struct rh_vm *rh_vm_copy(const struct rh_vm *vm);
/* `vm` is again what it was when `copy` was made of it; frees the copy. */
void rh_vm_restore(struct rh_vm *vm, struct rh_vm *copy);
void rh_vm_free(struct rh_vm *vm);
RH_FREEP(rh_vm_freep, struct rh_vm, rh_vm_free)

/* --- setting
 * ------------------------------------------------------------------ */
void rh_set_number(struct rh_vm *vm, struct rh_value *v, uint64_t n,
                   enum rh_from from, const char *detail);
void rh_set_bool(struct rh_vm *vm, struct rh_value *v, bool b,
                 enum rh_from from, const char *detail);
void rh_set_text(struct rh_vm *vm, struct rh_value *v, const char *text,
                 enum rh_from from, const char *detail);
/* How two known values meet: the more trusted stays, ties keep the first. */
enum rh_offer_result {
    RH_OFFER_TAKEN, /* was unset or less trusted and equal */
    RH_OFFER_SAME,  /* both say the same */
    RH_OFFER_LOST,  /* differs; the old one stays: report it */
    RH_OFFER_WON,   /* differs; the new one replaced the old: report it */
};
enum rh_offer_result rh_vm_offer(struct rh_vm *vm, struct rh_value *v,
                                 const struct rh_value *offer);

/* --- by key
 * ------------------------------------------------------------------- */
struct rh_field {
    const char *key; /* within its object: "mac" */
    enum rh_value_kind kind;
    size_t offset;     /* in struct rh_vm / rh_disk_config / ... */
    const char *about; /* N_() */
};
/* The tables, ended by key == NULL. */
extern const struct rh_field rh_vm_fields[], rh_disk_fields[], rh_nic_fields[],
    rh_cdrom_fields[];
/* "cpus", "os/name", "nics/0/mac", "disks/1/controller"; also the forms of
 * --set: "memory" (= memory_bytes, sizes like 8GiB), "os" (= os/profile),
 * "nic0.mac", "disk1.bus".  NULL when there is no such key or item (an index
 * one past the end is created for nics when `create`). */
struct rh_value *rh_vm_value(struct rh_vm *vm, const char *key, bool create,
                             const struct rh_field **ret_field);
/* Parse and store text by the field's kind; checks it (rh_vm_check_value). */
int rh_vm_set(struct rh_vm *vm, const char *key, const char *text,
              enum rh_from from, const char *detail, rh_error **err);
/* Call fn for every field of the VM, disks, nics, cdroms, with its full key. */
int rh_vm_each(struct rh_vm *vm,
               int (*fn)(void *user, const char *key,
                         const struct rh_field *field, struct rh_value *v),
               void *user);

/* --- out
 * -------------------------------------------------------------------------- */
const char *rh_value_text(const struct rh_value *v, char *buf, size_t n);
/* A text, "" where none was said; a boolean, false likewise. */
const char *rh_text_of(const struct rh_value *v);
bool rh_is_true(const struct rh_value *v);
/* "ovf", "fill:prism.json", "default:windows-2019"; the caller frees. */
char *rh_from_text(const struct rh_value *v);
/* A string, null for NULL.  Files and guests may hold any bytes, JSON only
 * UTF-8: what is none becomes printable. */
json_t *rh_json_text(const char *text);
/* One VM of rehost.vm/1; the caller has the reference. */
json_t *rh_vm_json(struct rh_vm *vm);

/* Words of controllers and NIC models as cli.md lists them; NULL: unknown. */
const char *rh_controller_bus(const char *controller); /* "pvscsi" -> "scsi" */
bool rh_valid_mac(const char *mac); /* unicast, colons, any case */
/* As rehost writes it, of any usual spelling: with colons, dashes, Cisco's
 * dots, or bare; false: no unicast address. */
bool rh_mac_of(const char *text, char ret_mac[18]);
/* The MAC that the NIC has on any target, in lower case: the VM's own, or, when
 * no source says one, one made of the VM's identity (true), so that what is
 * written into the guest and into the target's configuration agree. */
bool rh_vm_nic_mac(const struct rh_vm *vm, size_t nic, char ret_mac[18]);
/* Likewise the VM's UUID; and one for each other object of a role. */
bool rh_vm_uuid(const struct rh_vm *vm, char ret_uuid[37]);
/* The UUID to give a machine so that the guest sees the one it knows.  Where
 * the bytes come from a text differs: SMBIOS 2.6 (QEMU) swaps the first three
 * groups, Xen and VMware do not.  Without what the guest saw, with a UUID that
 * the user set, or with another than the guest's: as rh_vm_uuid(). */
enum rh_uuid_order { RH_UUID_SWAPPED, RH_UUID_PLAIN };
bool rh_vm_smbios_uuid(const struct rh_vm *vm, enum rh_uuid_order order,
                       char ret_uuid[37]);
/* How what the guest saw and what the VM has come together. */
enum rh_uuid_seen { RH_UUID_UNSEEN, RH_UUID_SAME, RH_UUID_FITS, RH_UUID_OTHER };
enum rh_uuid_seen rh_vm_uuid_seen(const struct rh_vm *vm);
/* Its first three groups the other way round. */
void rh_uuid_swap(const char *uuid, char ret_uuid[37]);
void rh_vm_made_up_uuid(const struct rh_vm *vm, const char *role, size_t i,
                        char ret_uuid[37]);

#endif
