/* ovf_devices.c - controllers, CPU, memory, network cards and the rest.
 *
 * Controllers come first, whatever the order of the items: children may stand
 * before their parent. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

/* CIM's resource types that a VM is made of. */
enum {
    TYPE_OTHER = 1,
    TYPE_CPU = 3,
    TYPE_MEMORY = 4,
    TYPE_IDE = 5,
    TYPE_SCSI = 6,
    TYPE_ISCSI = 8,
    TYPE_ETHERNET = 10,
    TYPE_FLOPPY = 14,
    TYPE_CD = 15,
    TYPE_DVD = 16,
    TYPE_DISK = 17,
    TYPE_EXTENT = 19,
    TYPE_STORAGE = 20,
    TYPE_SERIAL = 21,
    TYPE_PARALLEL = 22,
    TYPE_USB = 23,
    TYPE_VIDEO = 24,
    TYPE_LOGICAL_DISK = 31,
    TYPE_VOLUME = 32,
    TYPE_RESERVED_34 = 34,
    TYPE_SOUND = 35
};

const char *rh_ovf_item_name(const struct rh_item *item)
{
    const char *name = item->field[RH_ITEM_NAME];
    const char *description = item->field[RH_ITEM_DESCRIPTION];

    if (name && name[0])
        return name;
    return description && description[0] ? description : "?";
}

/* --- controllers
 * -------------------------------------------------------------- */
static const struct {
    unsigned type;
    const char *subtype, *bus, *model;
} models[] = {
    {TYPE_SCSI, "lsilogic", "scsi", "lsilogic"},
    {TYPE_SCSI, "lsilogicsas", "scsi", "lsisas"},
    {TYPE_SCSI, "lsisas1068", "scsi", "lsisas"},
    {TYPE_SCSI, "VirtualSCSI", "scsi", "pvscsi"},
    {TYPE_SCSI, "pvscsi", "scsi", "pvscsi"},
    {TYPE_SCSI, "buslogic", "scsi", "buslogic"},
    {TYPE_SCSI, "virtio", "scsi", "virtio-scsi"},
    {TYPE_SCSI, "virtio-scsi", "scsi", "virtio-scsi"},
    {TYPE_SCSI, "VirtIO_SCSI", "scsi", "virtio-scsi"},
    {TYPE_STORAGE, "AHCI", "sata", "sata"},
    {TYPE_STORAGE, "vmware.sata.ahci", "sata", "sata"},
    {TYPE_STORAGE, "vmware.nvme.controller", "nvme", "nvme"},
    {TYPE_STORAGE, "NVMe", "nvme", "nvme"},
    {TYPE_STORAGE, "virtio-scsi", "scsi", "virtio-scsi"},
    {TYPE_STORAGE, "VirtioSCSI", "scsi", "virtio-scsi"},
};

static bool is_controller(const struct rh_item *item)
{
    const char *subtype = item->field[RH_ITEM_SUBTYPE];

    if (item->type == TYPE_STORAGE)
        return !(subtype && strcasestr(subtype, "nvdimm"));
    return item->type == TYPE_IDE || item->type == TYPE_SCSI ||
           item->type == TYPE_ISCSI;
}

/* The first alternative that is known wins ("virtio lsilogic"). */
static bool known_model(struct rh_ovf *o, struct rh_item *item)
{
    unsigned type = item->type == TYPE_ISCSI ? (unsigned)TYPE_SCSI : item->type;
    const char *list = item->field[RH_ITEM_SUBTYPE];
    const char *word;

    for (size_t i = 0; list && (word = rh_ovf_word(o, list, i)); i++) {
        for (size_t m = 0; m < RH_COUNT(models); m++) {
            if (models[m].type == type &&
                rh_same_word(models[m].subtype, word)) {
                item->bus = models[m].bus;
                item->model = models[m].model;
                return true;
            }
        }
    }
    return false;
}

static void guess_model(struct rh_ovf *o, struct rh_item *item,
                        struct rh_findings *findings)
{
    const char *subtype = item->field[RH_ITEM_SUBTYPE];
    bool sata = item->type == TYPE_STORAGE;

    item->bus = sata ? "sata" : "scsi";
    item->model = sata ? "sata" : o->nutanix ? "virtio-scsi" : "lsilogic";
    item->guessed_model = !o->nutanix; /* AHV has no other SCSI */
    if (item->type == TYPE_ISCSI)
        rh_finding_add(
            findings, RH_F_OVF_CONTROLLER, "vm",
            "\"%s\" is written as an iSCSI adapter (resource type 8); it "
            "is taken as a SCSI controller",
            rh_ovf_item_name(item));
    else if (subtype && subtype[0])
        rh_finding_add(
            findings, RH_F_OVF_CONTROLLER, "vm",
            "the controller type \"%s\" is not known; it is taken as %s",
            subtype, item->model);
    else if (!o->nutanix)
        rh_finding_add(
            findings, RH_F_OVF_CONTROLLER, "vm",
            "\"%s\" does not say which controller it is; it is taken as "
            "%s",
            rh_ovf_item_name(item), item->model);
}

static bool number_taken(const struct rh_items *items,
                         const struct rh_item *end, const char *bus,
                         unsigned number)
{
    for (const struct rh_item *i = items->items; i < end; i++) {
        if (i->bus && !strcmp(i->bus, bus) && i->number == number)
            return true;
    }
    return false;
}

static bool small_number(const char *text, unsigned *ret)
{
    uint64_t n;

    if (!text || !rh_parse_u64(text, &n) || n > 255)
        return false;
    *ret = (unsigned)n;
    return true;
}

/* Its address, else the bus number, else the next free one of its kind. */
static void number_controller(const struct rh_items *items,
                              struct rh_item *item)
{
    unsigned n = 0;

    if (!small_number(item->field[RH_ITEM_ADDRESS], &n))
        small_number(item->field[RH_ITEM_BUS_NUMBER], &n);
    while (number_taken(items, item, item->bus, n))
        n++;
    item->number = n;
}

int rh_ovf_controllers(struct rh_ovf *o, struct rh_items *items,
                       struct rh_findings *findings, rh_error **err)
{
    unsigned count = 0;

    for (size_t i = 0; i < items->count; i++) {
        struct rh_item *item = &items->items[i];

        if (!is_controller(item))
            continue;
        if (++count > RH_LIMIT_VM_DISKS)
            return rh_fail(err, RH_ERR_OVF_LIMIT,
                           "more than %d disk controllers", RH_LIMIT_VM_DISKS);
        if (item->type == TYPE_IDE) /* whatever chip: PIIX4, ICH6, virtio */
            item->bus = item->model = "ide";
        else if (!known_model(o, item))
            guess_model(o, item, findings);
        number_controller(items, item);
        if (item->field[RH_ITEM_ID])
            rh_name_map_add(&items->controllers, item->field[RH_ITEM_ID], i);
    }
    return 0;
}

const struct rh_item *rh_ovf_parent(const struct rh_items *items,
                                    const struct rh_item *child)
{
    const char *id = child->field[RH_ITEM_PARENT];
    size_t i =
        id && id[0] ? rh_name_map_find(&items->controllers, id) : SIZE_MAX;

    if (i == SIZE_MAX && id && id[0])
        i = rh_name_map_find(&items->ids, id);
    return i == SIZE_MAX ? NULL : &items->items[i];
}

/* --- CPU and memory
 * ---------------------------------------------------------------- */
static void cpu_item(const struct rh_item *item, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    uint64_t n = 0;

    if (rh_parse_u64(item->field[RH_ITEM_QUANTITY], &n) && n > 4096)
        n = 0;
    rh_ovf_allocation(item, "CPU", n * 1000, findings);
    if (rh_parse_u64(item->field[RH_ITEM_CORES_PER_SOCKET], &n) && n &&
        n <= 4096)
        rh_set_number(vm, &vm->cores_per_socket, n, RH_FROM_OVF, NULL);
    if (!item->field[RH_ITEM_QUANTITY])
        return;
    if (!rh_parse_u64(item->field[RH_ITEM_QUANTITY], &n) || !n || n > 4096)
        rh_finding_add(findings, RH_F_OVF_VALUE, "cpus",
                       "the number of CPUs \"%s\" is not one; it was left out",
                       item->field[RH_ITEM_QUANTITY]);
    else if (vm->cpus.kind != RH_VALUE_UNSET)
        rh_finding_add(findings, RH_F_OVF_VALUE, "cpus",
                       "a second CPU item (%" PRIu64 " CPUs) was left out", n);
    else
        rh_set_number(vm, &vm->cpus, n, RH_FROM_OVF, NULL);
}

static void memory_item(const struct rh_item *item, struct rh_vm *vm,
                        struct rh_findings *findings)
{
    const char *units = item->field[RH_ITEM_UNITS];
    const char *text = item->field[RH_ITEM_QUANTITY];
    uint64_t n, factor = RH_MIB, bytes = 0;

    if (!text)
        return;
    if (!rh_parse_u64(text, &n) || !n ||
        (units && units[0] && !rh_ovf_units(units, &factor))) {
        rh_finding_add(
            findings, RH_F_OVF_VALUE, "memory_bytes",
            "the memory size \"%s\" in units of \"%s\" is not understood; "
            "it was left out",
            text, units ? units : "");
        return;
    }
    if (!units || !units[0]) {
        /* Nobody has 16 TiB: a number that large counts bytes. */
        factor = n >= 16 * RH_MIB ? 1 : RH_MIB;
        rh_finding_add(findings, RH_F_OVF_UNITS, "memory_bytes",
                       "the memory size %" PRIu64
                       " has no unit; %s were assumed",
                       n, factor == 1 ? "bytes" : "MiB");
    }
    if (rh_mul_overflows(n, factor, &bytes) || bytes > 1024 * RH_TIB)
        rh_finding_add(
            findings, RH_F_OVF_VALUE, "memory_bytes",
            "the memory size \"%s\" times \"%s\" is beyond any machine; "
            "it was left out",
            text, units ? units : "");
    else if (vm->memory_bytes.kind != RH_VALUE_UNSET)
        rh_finding_add(findings, RH_F_OVF_VALUE, "memory_bytes",
                       "a second memory item (%" PRIu64 " bytes) was left out",
                       bytes);
    else
        rh_set_number(vm, &vm->memory_bytes, bytes, RH_FROM_OVF, NULL);
    rh_ovf_allocation(item, "memory", bytes / RH_MIB * 10, findings);
}

/* --- network cards
 * -------------------------------------------------------------------- */
static const char *nic_model(struct rh_ovf *o, const char *list,
                             const char *subject, struct rh_findings *findings)
{
    static const char *const known[][2] = {
        {"vmxnet3", "vmxnet3"},
        {"vmxnet2", "vmxnet2"},
        {"vmxnet", "vmxnet"},
        {"e1000", "e1000"},
        {"e1000e", "e1000e"},
        {"pcnet32", "pcnet32"},
        {"flexible", "flexible"},
        {"virtio", "virtio"},
        {"sriov", "sriov"},
        {"rtl8139", "rtl8139"},
        /* oVirt's numbers (VmInterfaceType). */
        {"1", "rtl8139"},
        {"2", "e1000"},
        {"3", "virtio"},
        {"5", "sriov"}};
    const char *word;

    for (size_t i = 0; list && (word = rh_ovf_word(o, list, i)); i++) {
        for (size_t m = 0; m < RH_COUNT(known); m++) {
            if (rh_same_word(known[m][0], word))
                return known[m][1];
        }
    }
    word = list ? rh_ovf_word(o, list, 0) : NULL;
    if (word)
        rh_finding_add(
            findings, RH_F_OVF_NIC_MODEL, subject,
            "the network card type \"%s\" is not known; the profile's "
            "choice is used",
            word);
    return NULL;
}

static void nic_address(const struct rh_item *item, struct rh_vm *vm,
                        struct rh_nic_config *nic, const char *subject,
                        struct rh_findings *findings)
{
    const char *text = item->field[RH_ITEM_MAC] ? item->field[RH_ITEM_MAC]
                                                : item->field[RH_ITEM_ADDRESS];
    char mac[18];

    if (!text || strlen(text) < 12) /* a slot number, or nothing */
        return;
    if (!rh_mac_of(text, mac)) {
        rh_finding_add(findings, RH_F_OVF_VALUE, subject,
                       "\"%s\" is not a usable MAC address; it was left out",
                       text);
        return;
    }
    rh_set_text(vm, &nic->mac, mac, RH_FROM_OVF, NULL);
}

static bool known_network(const struct rh_ovf *o, const char *name)
{
    return !o->networks.count ||
           rh_name_map_find(&o->networks, name) != SIZE_MAX;
}

static int nic_item(struct rh_ovf *o, const struct rh_item *item,
                    struct rh_vm *vm, struct rh_findings *findings,
                    rh_error **err)
{
    const char *network = item->field[RH_ITEM_CONNECTION];
    const char *slot = rh_ovf_item_config(o, item, "slotInfo.pciSlotNumber");
    struct rh_nic_config *nic;
    char subject[32];
    uint64_t n;
    bool b;

    if (vm->nics.count >= RH_LIMIT_VM_NICS)
        return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d network cards",
                       RH_LIMIT_VM_NICS);
    snprintf(subject, sizeof subject, "nics/%zu", vm->nics.count);
    nic = rh_vec_add(&vm->nics);
    rh_set_text(vm, &nic->model,
                nic_model(o, item->field[RH_ITEM_SUBTYPE], subject, findings),
                RH_FROM_OVF, NULL);
    if (nic->model.kind == RH_VALUE_TEXT && !strcmp(nic->model.text, "sriov"))
        rh_finding_add(
            findings, RH_F_DEVICE_SRIOV, subject,
            "the network card \"%s\" is an SR-IOV function of the host; "
            "it becomes an ordinary one",
            rh_ovf_item_name(item));
    nic_address(item, vm, nic, subject, findings);
    if (network && network[0]) {
        rh_set_text(vm, &nic->network, network, RH_FROM_OVF, NULL);
        if (!known_network(o, network))
            rh_finding_add(findings, RH_F_OVF_REFERENCE, subject,
                           "the network \"%s\" is not in the package's list of "
                           "networks",
                           network)
                ->severity = RH_SEVERITY_INFO;
    }
    if (rh_parse_bool(item->field[RH_ITEM_AUTOMATIC], &b))
        rh_set_bool(vm, &nic->connected, b, RH_FROM_OVF, NULL);
    if (slot && rh_parse_u64(slot, &n) && n < 65536)
        rh_set_number(vm, &nic->slot, n, RH_FROM_OVF, NULL);
    return 0;
}

/* XenCenter and others write disks as storage extents (19), logical disks (31)
 * or volumes (32). */
static bool is_disk(struct rh_ovf *o, const struct rh_item *item)
{
    const char *resource = item->field[RH_ITEM_HOST_RESOURCE];

    if (item->type == TYPE_DISK)
        return true;
    return (item->type == TYPE_EXTENT || item->type == TYPE_LOGICAL_DISK ||
            item->type == TYPE_VOLUME) &&
           resource && rh_ovf_resource(o, resource) != NULL;
}

/* --- all of them
 * ---------------------------------------------------------------------- */
static int device(struct rh_ovf *o, const struct rh_items *items,
                  const struct rh_item *item, struct rh_vm *vm,
                  struct rh_findings *findings, rh_error **err)
{
    if (is_disk(o, item))
        return 0; /* they came first, in their order */
    rh_ovf_item_settings(o, item, findings);
    switch (item->type) {
    case TYPE_CPU:
        cpu_item(item, vm, findings);
        return 0;
    case TYPE_MEMORY:
        memory_item(item, vm, findings);
        return 0;
    case TYPE_ETHERNET:
        return nic_item(o, item, vm, findings, err);
    case TYPE_CD:
    case TYPE_DVD:
        rh_ovf_cdrom_item(o, items, item, vm, findings);
        return 0;
    default:
        if (!item->bus)
            rh_ovf_other_item(o, item, vm, findings);
        return 0;
    }
}

/* Disks go by controller and place, not by the order of the items. */
static unsigned disk_key(const struct rh_items *items,
                         const struct rh_item *item)
{
    static const char *const order[] = {"ide", "scsi", "sata", "nvme"};
    const struct rh_item *parent = rh_ovf_parent(items, item);
    unsigned key = RH_COUNT(order) << 16, unit = 0;

    for (unsigned i = 0; parent && parent->bus && i < RH_COUNT(order); i++) {
        if (!strcmp(order[i], parent->bus))
            key = i << 16 | parent->number << 8;
    }
    small_number(item->field[RH_ITEM_ON_PARENT], &unit);
    return key | unit;
}

struct keyed {
    unsigned key;
    size_t index;
};
static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int disks(struct rh_ovf *o, const struct rh_items *items,
                 struct rh_vm *vm, struct rh_findings *findings, rh_error **err)
{
    struct keyed keys[RH_LIMIT_VM_DISKS];
    size_t n = 0;

    for (size_t i = 0; i < items->count; i++) {
        if (!is_disk(o, &items->items[i]))
            continue;
        if (n == RH_COUNT(keys))
            return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d disks",
                           RH_LIMIT_VM_DISKS);
        keys[n].key = disk_key(items, &items->items[i]);
        keys[n++].index = i;
    }
    qsort(keys, n, sizeof keys[0], by_key);
    for (size_t i = 0; i < n; i++)
        rh_ovf_disk_item(o, items, &items->items[keys[i].index], vm, findings);
    return 0;
}

int rh_ovf_devices(struct rh_ovf *o, struct rh_items *items, struct rh_vm *vm,
                   struct rh_findings *findings, rh_error **err)
{
    if (rh_ovf_controllers(o, items, findings, err) ||
        disks(o, items, vm, findings, err))
        return -1;
    for (size_t i = 0; i < items->count; i++) {
        if (device(o, items, &items->items[i], vm, findings, err))
            return -1;
    }
    return 0;
}
