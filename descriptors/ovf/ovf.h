/* ovf.h - between the files that read an OVF descriptor (ovf*.c).
 *
 * Two passes: ovf_envelope.c reads the tables (files, disks, networks,
 * configurations) and finds the virtual systems; for each, ovf_items.c gathers
 * the hardware items that the chosen configuration has, with overrides
 * applied, and ovf_devices.c makes a VM of them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_OVF_OVF_H
#define RH_DESCRIPTORS_OVF_OVF_H

#include <libxml/tree.h>

#include "package/descriptor.h"
#include "base/names.h"

enum rh_ovf_version { RH_OVF_0_9, RH_OVF_1, RH_OVF_2 };

struct rh_ovf_file {
    const char *id, *href, *compression;
    uint64_t size, chunk_size;
    bool used; /* by a disk or CD drive itself, without a <Disk> */
};
struct rh_ovf_disk {
    const char *id, *file_ref, *parent_ref, *interface;
    uint64_t capacity, populated; /* bytes; 0: not said */
    unsigned uses;
    bool raw, boot; /* as oVirt says it */
    bool elsewhere; /* attached in a configuration that was not chosen */
};
struct rh_ovf {
    struct rh_package *p;
    struct rh_arena *arena;
    const char *name; /* the descriptor's */
    xmlNode *root;
    const char *ns; /* the envelope's namespace */
    enum rh_ovf_version version;
    const char *configuration; /* chosen, or NULL: there are none */
    bool nutanix, vmware;      /* by the namespaces that are declared */
    RH_VEC(struct rh_ovf_file) files;
    RH_VEC(struct rh_ovf_disk) disks;
    struct rh_name_map file_ids, disk_ids, networks;
    unsigned lookups; /* of properties: each is a walk over the tree */
};

/* --- ovf_xml.c: a tree of foreign origin
 * ---------------------------------------- */
/* Parse with every network and entity feature off; a DOCTYPE is refused. */
xmlDoc *rh_ovf_xml(const char *text, size_t n, rh_error **err);
void rh_ovf_xml_freep(xmlDoc **doc);
#define RH_EACH_CHILD(child, node)                                      \
    for (xmlNode *child = (node)->children; child; child = child->next) \
        if (child->type == XML_ELEMENT_NODE)
bool rh_xml_is(const xmlNode *node, const char *local); /* any namespace */
const char *rh_xml_ns(const xmlNode *node);             /* "" when none */
xmlNode *rh_xml_child(const xmlNode *node, const char *local);
/* An attribute by local name; one in the envelope's namespace is preferred.
 * NULL when absent. */
const char *rh_ovf_attr(struct rh_ovf *o, const xmlNode *node,
                        const char *local);
/* Trimmed text of an element, at most RH_LIMIT_NAME bytes. */
const char *rh_ovf_text(struct rh_ovf *o, const xmlNode *node);
const char *rh_ovf_long_text(struct rh_ovf *o, const xmlNode *node);
const char *rh_ovf_child_text(struct rh_ovf *o, const xmlNode *node,
                              const char *local);
/* The i-th word of a list separated by blanks or commas, or NULL. */
const char *rh_ovf_word(struct rh_ovf *o, const char *list, size_t i);
/* "VirtualHardwareSection", whichever way this version of OVF spells it. */
const char *rh_ovf_section(struct rh_ovf *o, const xmlNode *node);
bool rh_ovf_required(struct rh_ovf *o, const xmlNode *node);
/* Is this node in the chosen configuration? */
bool rh_ovf_applies(struct rh_ovf *o, const xmlNode *node);

/* --- ovf_units.c
 * ------------------------------------------------------------------ */
/* "byte * 2^20", "byte*1024*1024", "MegaBytes", "hertz * 10^6"; false when it
 * is none of them or does not fit. */
bool rh_ovf_units(const char *text, uint64_t *ret_factor);

/* --- ovf_items.c
 * ------------------------------------------------------------------ */
enum rh_item_field {
    RH_ITEM_ID,
    RH_ITEM_TYPE,
    RH_ITEM_SUBTYPE,
    RH_ITEM_PARENT,
    RH_ITEM_ADDRESS,
    RH_ITEM_ON_PARENT,
    RH_ITEM_BUS_NUMBER,
    RH_ITEM_QUANTITY,
    RH_ITEM_UNITS,
    RH_ITEM_HOST_RESOURCE,
    RH_ITEM_CONNECTION,
    RH_ITEM_NAME,
    RH_ITEM_DESCRIPTION,
    RH_ITEM_AUTOMATIC,
    RH_ITEM_CORES_PER_SOCKET,
    RH_ITEM_LIMIT,
    RH_ITEM_RESERVATION,
    RH_ITEM_WEIGHT,
    RH_ITEM_MAC, /* oVirt's own */
    RH_ITEM_FIELDS
};
struct rh_item {
    const char *field[RH_ITEM_FIELDS]; /* NULL: no such element; "": empty */
    unsigned type;
    bool required;
    unsigned nodes;
    xmlNode *node[4];  /* the Item and its overrides */
    const char *bus;   /* of a controller: "scsi", or NULL */
    const char *model; /* of a controller: its word in vm.json */
    unsigned number;   /* of a controller */
    bool guessed_model;
};
struct rh_items {
    struct rh_item *items;
    size_t count, room;
    struct rh_name_map ids, controllers; /* by InstanceID */
    size_t twice; /* items whose InstanceID another one has, too */
    const char *twice_id;
};
void rh_items_free(struct rh_items *items);
int rh_ovf_items(struct rh_ovf *o, xmlNode *hardware, struct rh_items *ret,
                 struct rh_findings *findings, rh_error **err);
/* A vmw:Config value of an item, NULL when absent. */
const char *rh_ovf_item_config(struct rh_ovf *o, const struct rh_item *item,
                               const char *key);

/* --- ovf_devices.c, ovf_disks.c
 * ------------------------------------------------------- */
int rh_ovf_devices(struct rh_ovf *o, struct rh_items *items, struct rh_vm *vm,
                   struct rh_findings *findings, rh_error **err);
int rh_ovf_controllers(struct rh_ovf *o, struct rh_items *items,
                       struct rh_findings *findings, rh_error **err);
const struct rh_item *rh_ovf_parent(const struct rh_items *items,
                                    const struct rh_item *child);
void rh_ovf_disk_item(struct rh_ovf *o, const struct rh_items *items,
                      const struct rh_item *item, struct rh_vm *vm,
                      struct rh_findings *findings);
void rh_ovf_cdrom_item(struct rh_ovf *o, const struct rh_items *items,
                       const struct rh_item *item, struct rh_vm *vm,
                       struct rh_findings *findings);
void rh_ovf_other_item(struct rh_ovf *o, const struct rh_item *item,
                       struct rh_vm *vm, struct rh_findings *findings);
/* Reservations, limits and shares of a CPU or memory item; `normal` is the
 * weight that VMware gives a VM of that size by itself. */
void rh_ovf_allocation(const struct rh_item *item, const char *of,
                       uint64_t normal, struct rh_findings *findings);
/* vmw:Config of a device that people should know. */
void rh_ovf_item_settings(struct rh_ovf *o, const struct rh_item *item,
                          struct rh_findings *findings);
/* Disks that snapshots leave out, or that forget. */
void rh_vm_disk_mode(struct rh_vm *vm, struct rh_disk_config *d,
                     const char *mode, enum rh_from from, const char *subject,
                     struct rh_findings *findings);
/* What an item is called in messages. */
const char *rh_ovf_item_name(const struct rh_item *item);
/* Add hardware that has no field, and the finding that goes with its kind. */
struct rh_device *rh_vm_add_device(struct rh_vm *vm,
                                   struct rh_findings *findings,
                                   const char *kind, const char *name,
                                   const char *detail, bool required);
/* "ovf:/file/ID" and friends: the file's href, or NULL. */
struct rh_ovf_file *rh_ovf_file_at(struct rh_ovf *o, const char *id);
struct rh_ovf_disk *rh_ovf_disk_at(struct rh_ovf *o, const char *id);
/* The <Disk> that a HostResource names, or NULL. */
struct rh_ovf_disk *rh_ovf_resource(struct rh_ovf *o, const char *resource);
/* Disks that no VM has, as findings of the package; a VM that is left without
 * disks because of that is blocked. */
void rh_ovf_unused(struct rh_ovf *o);
/* ${property} in a capacity: the property's value, or NULL. */
const char *rh_ovf_property(struct rh_ovf *o, const char *key);

/* --- ovf_sections.c
 * --------------------------------------------------------------------- */
/* Everything of a virtual system (and its hardware section) but the items. */
void rh_ovf_sections(struct rh_ovf *o, xmlNode *system, xmlNode *hardware,
                     const struct rh_items *items, struct rh_vm *vm,
                     struct rh_findings *findings);
/* Sections that stand at the envelope's or a collection's level. */
void rh_ovf_outer_section(struct rh_ovf *o, xmlNode *section);
/* --- ovf_vbox.c, nutanix.c
 * ----------------------------------------------------------------- */
void rh_ovf_vbox(struct rh_ovf *o, xmlNode *machine, struct rh_vm *vm,
                 struct rh_findings *findings);
/* NtnxConfig elements at any depth below `system`. */
void rh_ovf_nutanix(struct rh_ovf *o, xmlNode *system, struct rh_vm *vm,
                    struct rh_findings *findings);
#define RH_NUTANIX_NS "http://www.nutanix.com/ova"

#endif
