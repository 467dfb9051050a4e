/* vbox.c - a machine's own settings file of VirtualBox (.vbox).  Elements after
 * VirtualBox-settings.xsd. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/beside.h"
#include "descriptors/ovf/machine.h"

/* A disk image of the registry; snapshots nest. */
struct image {
    const char *uuid, *location;
    const struct image *parent;
};

struct machine {
    struct rh_xml_machine *x;
    xmlNode *hardware;
    struct image images[RH_LIMIT_VM_DISKS];
    size_t image_count;
};

static bool is_on(struct machine *m, const xmlNode *node, const char *name)
{
    bool b = false;

    return rh_parse_bool(rh_xml_attr(m->x, node, name), &b) && b;
}

/* "{3f2504e0-...}" without its braces; "" when it is none. */
static const char *bare_uuid(struct machine *m, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    return n > 2 && text[0] == '{'
               ? rh_arena_strndup(m->x->o.arena, text + 1, n - 2)
               : text;
}

/* --- the registry of images ------------------------------------------------
 */

static void list_images(struct machine *m, const xmlNode *node,
                        const struct image *parent, unsigned depth)
{
    RH_EACH_CHILD(child, node)
    {
        struct image *i;

        if (!rh_xml_is(child, "HardDisk") ||
            m->image_count == RH_COUNT(m->images) || depth > RH_LIMIT_CHAIN)
            continue;
        i = &m->images[m->image_count++];
        i->uuid = bare_uuid(m, rh_xml_attr(m->x, child, "uuid"));
        i->location = rh_xml_attr(m->x, child, "location");
        i->parent = parent;
        list_images(m, child, i, depth + 1);
    }
}

static const struct image *image_of(const struct machine *m, const char *uuid)
{
    for (size_t i = 0; uuid && i < m->image_count; i++)
        if (rh_same_word(m->images[i].uuid, uuid))
            return &m->images[i];
    return NULL;
}

/* A snapshot's disk is laid over its parents, which are notes only. */
static void note_parents(struct machine *m, struct rh_disk_config *d,
                         const struct image *i, const char *subject)
{
    if (!i->parent || !i->parent->uuid)
        return;
    d->parent_id = rh_arena_strdup(m->x->vm->arena, i->parent->uuid);
    rh_finding_add(m->x->findings, RH_F_VMX_SNAPSHOT, subject,
                   "the VM runs on a snapshot (disk \"%s\")", i->location);
    for (i = i->parent; i && i->location; i = i->parent) {
        struct rh_file_note file = {.href = i->location};
        struct rh_disk_note note = {.id = i->uuid,
                                    .href = i->location,
                                    .parent_id =
                                        i->parent ? i->parent->uuid : NULL};

        rh_package_note_file(m->x->o.p, &file);
        rh_package_note_disk(m->x->o.p, &note);
    }
}

/* --- storage ----------------------------------------------------------------
 */

static const char *controller_of(const char *type)
{
    static const char *const models[][2] = {{"AHCI", "sata"},
                                            {"LsiLogic", "lsilogic"},
                                            {"BusLogic", "buslogic"},
                                            {"LsiLogicSas", "lsisas"},
                                            {"PIIX3", "ide"},
                                            {"PIIX4", "ide"},
                                            {"ICH6", "ide"},
                                            {"NVMe", "nvme"},
                                            {"VirtioSCSI", "virtio-scsi"}};

    for (size_t i = 0; type && i < RH_COUNT(models); i++)
        if (!strcmp(models[i][0], type))
            return models[i][1];
    return NULL;
}

struct place {
    const char *model;
    unsigned number; /* of the controller, among those of its bus */
    uint64_t unit;
};

/* On IDE the port is the channel, elsewhere the unit. */
static struct place place_of(struct machine *m, const xmlNode *device,
                             const char *model, unsigned number)
{
    struct place at = {model, number, 0};
    uint64_t port = 0, unit = 0;

    rh_parse_u64(rh_xml_attr(m->x, device, "port"), &port);
    rh_parse_u64(rh_xml_attr(m->x, device, "device"), &unit);
    at.unit = port;
    if (model && !strcmp(model, "ide")) {
        at.number = (unsigned)(port & 0xff);
        at.unit = unit;
    }
    return at;
}

static void plug(struct machine *m, const struct place *at,
                 struct rh_value *controller, struct rh_value *bus,
                 struct rh_value *unit)
{
    rh_xml_put_text(m->x, controller, at->model);
    rh_set_number(m->x->vm, bus, at->number, RH_FROM_VBOX, NULL);
    if (at->unit < 256)
        rh_set_number(m->x->vm, unit, at->unit, RH_FROM_VBOX, NULL);
}

static int add_disk(struct machine *m, const xmlNode *device,
                    const struct place *at, rh_error **err)
{
    const xmlNode *image = rh_xml_child(device, "Image");
    const char *uuid = bare_uuid(m, rh_xml_attr(m->x, image, "uuid"));
    const struct image *i = image_of(m, uuid);
    struct rh_disk_config *d;
    char subject[32];

    if (m->x->vm->disks.count >= RH_LIMIT_VM_DISKS)
        return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d disks",
                       RH_LIMIT_VM_DISKS);
    snprintf(subject, sizeof subject, "disks/%zu", m->x->vm->disks.count);
    d = rh_vec_add(&m->x->vm->disks);
    rh_xml_put_text(m->x, &d->id, uuid ? uuid : subject);
    plug(m, at, &d->controller, &d->bus, &d->unit);
    if (i && i->location && i->location[0]) {
        rh_disk_beside(m->x->o.p, m->x->vm, d, i->location, RH_FROM_VBOX,
                       subject, m->x->findings);
        note_parents(m, d, i, subject);
        return 0;
    }
    rh_finding_add(m->x->findings, RH_F_OVF_REFERENCE, subject,
                   "the disk %s is in no list of images", d->id.text)
        ->severity = RH_SEVERITY_BLOCKER;
    return 0;
}

static int attached(struct machine *m, const xmlNode *device,
                    const struct place *at, rh_error **err)
{
    const char *type = rh_xml_attr(m->x, device, "type");
    struct rh_cdrom_config *cd;

    if (rh_same_word(type, "HardDisk"))
        return add_disk(m, device, at, err);
    if (rh_same_word(type, "Floppy")) {
        rh_vm_add_device(m->x->vm, m->x->findings, "floppy", "floppy", NULL,
                         false);
    } else if (rh_same_word(type, "DVD") &&
               m->x->vm->cdroms.count < RH_LIMIT_VM_DISKS) {
        cd = rh_vec_add(&m->x->vm->cdroms);
        plug(m, at, &cd->controller, &cd->bus, &cd->unit);
    }
    return 0;
}

static int controllers(struct machine *m, const xmlNode *list, rh_error **err)
{
    unsigned used[4] = {0}; /* SCSI of any kind, SATA, NVMe, others */

    RH_EACH_CHILD(c, list)
    {
        const char *type = rh_xml_attr(m->x, c, "type");
        const char *model = controller_of(type);
        const char *bus = model ? rh_controller_bus(model) : NULL;
        unsigned *n = &used[!bus                   ? 3
                            : !strcmp(bus, "scsi") ? 0
                            : !strcmp(bus, "sata") ? 1
                            : !strcmp(bus, "nvme") ? 2
                                                   : 3];

        if (!rh_xml_is(c, "StorageController"))
            continue;
        if (!model)
            rh_finding_add(m->x->findings, RH_F_OVF_CONTROLLER, "vm",
                           "the controller type \"%s\" is not known",
                           type ? type : "");
        RH_EACH_CHILD(device, c)
        {
            struct place at = place_of(m, device, model, *n);

            if (rh_xml_is(device, "AttachedDevice") &&
                attached(m, device, &at, err))
                return -1;
        }
        (*n)++;
    }
    return 0;
}

/* --- network cards ----------------------------------------------------------
 */

static const char *nic_model(const char *type)
{
    static const char *const models[][2] = {
        {"Am79C970A", "pcnet32"}, {"Am79C973", "pcnet32"},
        {"82540EM", "e1000"},     {"82543GC", "e1000"},
        {"82545EM", "e1000"},     {"virtio", "virtio"}};

    for (size_t i = 0; type && i < RH_COUNT(models); i++)
        if (!strcmp(models[i][0], type))
            return models[i][1];
    return NULL;
}

static const char *network_of(struct machine *m, const xmlNode *adapter)
{
    static const char *const names[][2] = {{"BridgedInterface", "name"},
                                           {"HostOnlyInterface", "name"},
                                           {"InternalNetwork", "name"},
                                           {"NATNetwork", "name"},
                                           {"GenericInterface", "driver"}};

    for (size_t i = 0; i < RH_COUNT(names); i++) {
        const xmlNode *n = rh_xml_child(adapter, names[i][0]);

        if (n)
            return rh_xml_attr(m->x, n, names[i][1]);
    }
    return rh_xml_child(adapter, "NAT") ? "NAT" : NULL;
}

static void add_nic(struct machine *m, const xmlNode *adapter)
{
    const char *hex = rh_xml_attr(m->x, adapter, "MACAddress");
    const char *model = nic_model(rh_xml_attr(m->x, adapter, "type"));
    struct rh_nic_config *nic;
    char key[32], mac[18];

    if (m->x->vm->nics.count >= RH_LIMIT_VM_NICS)
        return;
    snprintf(key, sizeof key, "nics/%zu/mac", m->x->vm->nics.count);
    nic = rh_vec_add(&m->x->vm->nics);
    if (hex && strlen(hex) == 12) {
        snprintf(mac, sizeof mac, "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", hex, hex + 2,
                 hex + 4, hex + 6, hex + 8, hex + 10);
        rh_xml_put(m->x, key, mac);
    }
    /* Without a type VirtualBox has the Am79C973. */
    rh_xml_put_text(m->x, &nic->model, model ? model : "pcnet32");
    rh_xml_put_text(m->x, &nic->network, network_of(m, adapter));
    if (rh_xml_attr(m->x, adapter, "cable"))
        rh_set_bool(m->x->vm, &nic->connected, is_on(m, adapter, "cable"),
                    RH_FROM_VBOX, NULL);
}

/* --- the machine ------------------------------------------------------------
 */

static void boot_order(struct machine *m, const xmlNode *boot)
{
    static const char *const words[][2] = {
        {"HardDisk", "disk"}, {"DVD", "cdrom"}, {"Network", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};

    for (const xmlNode *c = boot ? boot->children : NULL; c; c = c->next) {
        const char *device =
            rh_xml_is(c, "Order") ? rh_xml_attr(m->x, c, "device") : NULL;

        for (size_t i = 0; device && i < RH_COUNT(words); i++)
            if (!strcmp(words[i][0], device) &&
                !(order.data && strstr(order.data, words[i][1])))
                rh_buf_printf(&order, "%s%s", order.length ? "," : "",
                              words[i][1]);
    }
    rh_xml_put_text(m->x, &m->x->vm->boot_order, order.data);
}

static void hardware(struct machine *m)
{
    struct rh_vm *vm = m->x->vm;
    const xmlNode *h = m->hardware;
    const char *firmware =
        rh_xml_attr(m->x, rh_xml_child(h, "Firmware"), "type");
    const char *clock = rh_xml_attr(m->x, rh_xml_child(h, "RTC"), "localOrUTC");
    const char *tpm =
        rh_xml_attr(m->x, rh_xml_child(h, "TrustedPlatformModule"), "type");
    const char *chipset = rh_xml_attr(m->x, rh_xml_child(h, "Chipset"), "type");
    const char *cpus = rh_xml_attr(m->x, rh_xml_child(h, "CPU"), "count");
    const xmlNode *network = rh_xml_child(h, "Network");
    uint64_t n;

    rh_xml_put(m->x, "cpus", cpus ? cpus : "1");
    if (rh_parse_u64(rh_xml_attr(m->x, rh_xml_child(h, "Memory"), "RAMSize"),
                     &n) &&
        n && n < 1024 * RH_TIB / RH_MIB)
        rh_set_number(vm, &vm->memory_bytes, n * RH_MIB, RH_FROM_VBOX, NULL);
    rh_set_text(vm, &vm->firmware,
                firmware && !strncasecmp(firmware, "EFI", 3) ? "uefi" : "bios",
                RH_FROM_VBOX, firmware ? NULL : "VirtualBox's default");
    if (chipset)
        rh_xml_put_text(m->x, &vm->machine,
                        rh_same_word(chipset, "ICH9") ? "q35" : "pc");
    /* Without the element the clock runs in local time. */
    rh_set_text(vm, &vm->clock,
                rh_same_word(clock, "UTC") ? "utc" : "localtime", RH_FROM_VBOX,
                clock ? NULL : "VirtualBox's default");
    if (tpm && !rh_same_word(tpm, "None")) {
        rh_set_bool(vm, &vm->tpm, true, RH_FROM_VBOX, NULL);
        rh_vm_add_device(vm, m->x->findings, "tpm", "vTPM", tpm, true);
    }
    boot_order(m, rh_xml_child(h, "Boot"));
    for (const xmlNode *a = network ? network->children : NULL; a; a = a->next)
        if (rh_xml_is(a, "Adapter") && is_on(m, a, "enabled"))
            add_nic(m, a);
}

static int read_machine(struct rh_xml_machine *x, rh_error **err)
{
    RH_AUTO(rh_freep) struct machine *m = rh_new0(struct machine);
    const xmlNode *node = rh_xml_child(x->root, "Machine");
    const xmlNode *media = node ? rh_xml_child(node, "MediaRegistry") : NULL;
    const xmlNode *disks = media ? rh_xml_child(media, "HardDisks") : NULL;
    const xmlNode *storage;

    m->x = x;
    m->hardware = node ? rh_xml_child(node, "Hardware") : NULL;
    if (!node || !m->hardware)
        return rh_fail(err, RH_ERR_OVF_NO_VM,
                       "the settings describe no machine, or one that is "
                       "encrypted");
    rh_xml_put_text(x, &x->vm->name, rh_xml_attr(x, node, "name"));
    if (x->vm->name.text)
        x->vm->id = x->vm->name.text;
    rh_xml_put(x, "uuid", bare_uuid(m, rh_xml_attr(x, node, "uuid")));
    rh_xml_put_text(x, &x->vm->os_name, rh_xml_attr(x, node, "OSType"));
    rh_xml_put_text(x, &x->vm->annotation,
                    rh_ovf_child_text(&x->o, node, "Description"));
    x->vm->source_kind = "virtualbox";
    if (disks)
        list_images(m, disks, NULL, 0);
    hardware(m);
    /* Before version 1.19 the controllers stood beside the hardware. */
    storage = rh_xml_child(m->hardware, "StorageControllers");
    storage = storage ? storage : rh_xml_child(node, "StorageControllers");
    if (storage && controllers(m, storage, err))
        return -1;
    rh_disks_in_order(x->vm, x->findings);
    return 0;
}

int rh_vbox_parse(struct rh_package *p, const char *name, const char *text,
                  size_t n, const struct rh_package_options *o, rh_error **err)
{
    return rh_xml_machine_parse(p, name, text, n, o, RH_FROM_VBOX, read_machine,
                                err);
}
