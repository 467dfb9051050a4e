/* libvirt.c - a <domain> of libvirt, as `virsh dumpxml` prints it: on KVM
 * hosts, on AHV and on oVirt.  Elements after libvirt's docs/formatdomain.rst.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/beside.h"
#include "descriptors/ovf/machine.h"

static bool is_yes(const char *text)
{
    bool b = false;

    return (rh_parse_bool(text, &b) && b) || rh_same_word(text, "on");
}

/* --- the machine -----------------------------------------------------------
 */

/* libvirt's own units; KiB when none is said. */
static void memory(struct rh_xml_machine *d)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {
        {"b", 1},           {"bytes", 1},    {"KB", 1000},    {"k", RH_KIB},
        {"KiB", RH_KIB},    {"MB", 1000000}, {"M", RH_MIB},   {"MiB", RH_MIB},
        {"GB", 1000000000}, {"G", RH_GIB},   {"GiB", RH_GIB}, {"T", RH_TIB},
        {"TiB", RH_TIB},
    };
    const xmlNode *node = rh_xml_child(d->root, "memory");
    const char *unit = node ? rh_ovf_attr(&d->o, node, "unit") : NULL;
    uint64_t n, factor = unit ? 0 : RH_KIB;

    for (size_t i = 0; unit && i < RH_COUNT(units); i++)
        if (!strcmp(units[i].unit, unit))
            factor = units[i].factor;
    if (!node)
        return;
    if (factor && rh_parse_u64(rh_ovf_text(&d->o, node), &n) && n &&
        !rh_mul_overflows(n, factor, &n) && n <= 1024 * RH_TIB)
        rh_set_number(d->vm, &d->vm->memory_bytes, n, RH_FROM_LIBVIRT, NULL);
    else
        rh_finding_add(d->findings, RH_F_OVF_VALUE, "memory_bytes",
                       "the memory size \"%s\" in units of \"%s\" is not "
                       "understood; it was left out",
                       rh_ovf_text(&d->o, node), unit ? unit : "KiB");
}

static void number(struct rh_xml_machine *d, struct rh_value *v,
                   const char *text)
{
    uint64_t n;

    if (rh_parse_u64(text, &n) && n && n <= 4096)
        rh_set_number(d->vm, v, n, RH_FROM_LIBVIRT, NULL);
}

/* <vcpu> is what the guest may have; `current` what it has. */
static void cpus(struct rh_xml_machine *d)
{
    const xmlNode *vcpu = rh_xml_child(d->root, "vcpu");
    const xmlNode *cpu = rh_xml_child(d->root, "cpu");
    const char *current = vcpu ? rh_ovf_attr(&d->o, vcpu, "current") : NULL;

    if (vcpu)
        number(d, &d->vm->cpus, current ? current : rh_ovf_text(&d->o, vcpu));
    number(d, &d->vm->cores_per_socket,
           rh_xml_attr_of(d, cpu, "topology", "cores"));
    number(d, &d->vm->threads_per_core,
           rh_xml_attr_of(d, cpu, "topology", "threads"));
    for (const xmlNode *f = cpu ? cpu->children : NULL; f; f = f->next) {
        const char *name =
            rh_xml_is(f, "feature") ? rh_ovf_attr(&d->o, f, "name") : NULL;
        const char *policy = name ? rh_ovf_attr(&d->o, f, "policy") : NULL;

        if (name && (!strcmp(name, "vmx") || !strcmp(name, "svm")) &&
            rh_same_word(policy, "require"))
            rh_set_bool(d->vm, &d->vm->nested_virtualization, true,
                        RH_FROM_LIBVIRT, NULL);
    }
}

static void boot_order(struct rh_xml_machine *d, const xmlNode *os)
{
    static const char *const words[][2] = {
        {"hd", "disk"}, {"cdrom", "cdrom"}, {"network", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};

    RH_EACH_CHILD(child, os)
    {
        const char *dev =
            rh_xml_is(child, "boot") ? rh_ovf_attr(&d->o, child, "dev") : NULL;

        for (size_t i = 0; dev && i < RH_COUNT(words); i++)
            if (!strcmp(words[i][0], dev) &&
                !(order.data && strstr(order.data, words[i][1])))
                rh_buf_printf(&order, "%s%s", order.length ? "," : "",
                              words[i][1]);
    }
    rh_xml_put_text(d, &d->vm->boot_order, order.data);
}

static void firmware(struct rh_xml_machine *d)
{
    const xmlNode *os = rh_xml_child(d->root, "os");
    const xmlNode *loader = os ? rh_xml_child(os, "loader") : NULL;
    const char *said = os ? rh_ovf_attr(&d->o, os, "firmware") : NULL;
    const char *type = loader ? rh_ovf_attr(&d->o, loader, "type") : NULL;
    const char *secure = loader ? rh_ovf_attr(&d->o, loader, "secure") : NULL;
    const char *machine = os ? rh_xml_attr_of(d, os, "type", "machine") : NULL;
    bool uefi = rh_same_word(said, "efi") || rh_same_word(type, "pflash");

    if (!os)
        return;
    /* Without a loader libvirt starts SeaBIOS (on x86). */
    rh_set_text(d->vm, &d->vm->firmware, uefi ? "uefi" : "bios",
                RH_FROM_LIBVIRT, uefi || said ? NULL : "libvirt's default");
    if (uefi && secure)
        rh_set_bool(d->vm, &d->vm->secure_boot, is_yes(secure), RH_FROM_LIBVIRT,
                    NULL);
    if (machine)
        rh_xml_put_text(d, &d->vm->machine,
                        strstr(machine, "q35") ? "q35" : "pc");
    if (uefi && rh_xml_child(os, "nvram"))
        rh_vm_add_device(d->vm, d->findings, "nvram", "NVRAM",
                         rh_ovf_child_text(&d->o, os, "nvram"), false);
    boot_order(d, os);
}

static void clock_of(struct rh_xml_machine *d)
{
    const char *offset = rh_xml_attr_of(d, d->root, "clock", "offset");
    const char *zone = rh_xml_attr_of(d, d->root, "clock", "timezone");

    if (!offset)
        return;
    rh_xml_put_text(d, &d->vm->clock,
                    strcmp(offset, "utc") ? "localtime" : "utc");
    rh_xml_put_text(d, &d->vm->timezone, zone);
}

/* AHV says so in the SMBIOS, oVirt in its metadata. */
static void look_for_origin(struct rh_xml_machine *d)
{
    const xmlNode *smbios = rh_xml_child(d->root, "sysinfo");
    const xmlNode *system = smbios ? rh_xml_child(smbios, "system") : NULL;

    d->vm->source_kind = "other";
    for (const xmlNode *e = system ? system->children : NULL; e; e = e->next)
        if (rh_xml_is(e, "entry") &&
            (strcasestr(rh_ovf_text(&d->o, e), "nutanix") ||
             !strcmp(rh_ovf_text(&d->o, e), "AHV")))
            d->vm->source_kind = "nutanix";
}

/* libosinfo's id: "http://debian.org/debian/12". */
static void os_name(struct rh_xml_machine *d, const xmlNode *node,
                    unsigned depth)
{
    RH_EACH_CHILD(child, node)
    {
        const char *id =
            rh_xml_is(child, "os") ? rh_ovf_attr(&d->o, child, "id") : NULL;
        const char *path = id ? strstr(id, "://") : NULL;

        path = path ? strchr(path + 3, '/') : NULL;
        if (path && path[1] && d->vm->os_name.kind == RH_VALUE_UNSET) {
            char *name = rh_arena_strdup(d->vm->arena, path + 1);

            for (char *p = name; *p; p++)
                *p = *p == '/' ? ' ' : *p;
            rh_xml_put_text(d, &d->vm->os_name, name);
        }
        if (depth < 4)
            os_name(d, child, depth + 1);
    }
}

/* --- disks ------------------------------------------------------------------
 */

static const char *scsi_model(struct rh_xml_machine *d, const char *index)
{
    static const char *const models[][2] = {
        {"virtio-scsi", "virtio-scsi"},
        {"virtio-transitional", "virtio-scsi"},
        {"virtio-non-transitional", "virtio-scsi"},
        {"lsilogic", "lsilogic"},
        {"lsisas1068", "lsisas"},
        {"lsisas1078", "lsisas"},
        {"vmpvscsi", "pvscsi"},
        {"buslogic", "buslogic"}};
    const xmlNode *devices = rh_xml_child(d->root, "devices");

    for (const xmlNode *c = devices ? devices->children : NULL; c;
         c = c->next) {
        const char *type =
            rh_xml_is(c, "controller") ? rh_ovf_attr(&d->o, c, "type") : NULL;
        const char *at = type ? rh_ovf_attr(&d->o, c, "index") : NULL;
        const char *model = type ? rh_ovf_attr(&d->o, c, "model") : NULL;

        if (!rh_same_word(type, "scsi") || strcmp(at ? at : "0", index))
            continue;
        for (size_t i = 0; model && i < RH_COUNT(models); i++)
            if (!strcmp(models[i][0], model))
                return models[i][1];
    }
    return NULL;
}

struct plug {
    struct rh_value *controller, *bus, *unit;
};

/* "sda" is 0, "vdb" 1, "sdaa" 26. */
static uint64_t unit_of(const char *dev)
{
    uint64_t n = 0;

    for (dev += strlen(dev) > 2 ? 2 : strlen(dev);
         *dev >= 'a' && *dev <= 'z' && n < 256; dev++)
        n = n * 26 + (uint64_t)(*dev - 'a') + 1;
    return n ? n - 1 : 0;
}

static void plug(struct rh_xml_machine *d, const xmlNode *disk,
                 const struct plug *at, const char *subject)
{
    static const char *const buses[][2] = {{"virtio", "virtio-blk"},
                                           {"ide", "ide"},
                                           {"sata", "sata"},
                                           {"nvme", "nvme"}};
    const char *bus = rh_xml_attr_of(d, disk, "target", "bus");
    const char *dev = rh_xml_attr_of(d, disk, "target", "dev");
    const char *index = rh_xml_attr_of(d, disk, "address", "controller");
    const char *unit = rh_xml_attr_of(d, disk, "address", "unit");
    const char *ide = rh_xml_attr_of(d, disk, "address", "bus");
    const char *model = NULL;
    uint64_t n = 0;

    index = index ? index : "0";
    for (size_t i = 0; bus && i < RH_COUNT(buses); i++)
        if (!strcmp(buses[i][0], bus))
            model = buses[i][1];
    if (rh_same_word(bus, "scsi"))
        model = scsi_model(d, index);
    if (model)
        rh_xml_put_text(d, at->controller, model);
    else
        rh_finding_add(
            d->findings, RH_F_OVF_CONTROLLER, subject,
            "the disk's bus \"%s\" is not known, or its controller's "
            "model is not said",
            bus ? bus : "");
    if (!bus || !dev)
        return;
    /* IDE's second number is its channel. */
    if (rh_same_word(bus, "ide") && ide)
        index = ide;
    rh_set_number(d->vm, at->bus, rh_parse_u64(index, &n) && n < 256 ? n : 0,
                  RH_FROM_LIBVIRT, NULL);
    n = unit_of(dev);
    if (unit &&
        rh_same_word(rh_xml_attr_of(d, disk, "address", "type"), "drive"))
        rh_parse_u64(unit, &n);
    if (n < 256)
        rh_set_number(d->vm, at->unit, n, RH_FROM_LIBVIRT, NULL);
}

/* file=, dev=, name= of a network disk, volume= of a pool. */
static const char *source_of(struct rh_xml_machine *d, const xmlNode *disk)
{
    static const char *const attrs[] = {"file", "dev", "name", "volume"};
    const char *found = NULL;

    for (size_t i = 0; !found && i < RH_COUNT(attrs); i++)
        found = rh_xml_attr_of(d, disk, "source", attrs[i]);
    return found && found[0] ? found : NULL;
}

static int add_disk(struct rh_xml_machine *d, const xmlNode *node,
                    rh_error **err)
{
    struct rh_vm *vm = d->vm;
    const char *format = rh_xml_attr_of(d, node, "driver", "type");
    const char *order = rh_xml_attr_of(d, node, "boot", "order");
    const char *dev = rh_xml_attr_of(d, node, "target", "dev");
    const char *source = source_of(d, node);
    struct rh_disk_config *disk;
    struct plug at;
    char subject[32];
    uint64_t n;

    if (vm->disks.count >= RH_LIMIT_VM_DISKS)
        return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d disks",
                       RH_LIMIT_VM_DISKS);
    snprintf(subject, sizeof subject, "disks/%zu", vm->disks.count);
    disk = rh_vec_add(&vm->disks);
    at = (struct plug){&disk->controller, &disk->bus, &disk->unit};
    rh_xml_put_text(d, &disk->id, dev ? dev : subject);
    plug(d, node, &at, subject);
    rh_xml_put_text(d, &disk->serial, rh_ovf_child_text(&d->o, node, "serial"));
    if (rh_same_word(format, "raw") || rh_same_word(format, "qcow2"))
        rh_xml_put_text(d, &disk->format, format);
    if (rh_parse_u64(order, &n))
        rh_set_number(vm, &disk->boot_order, n, RH_FROM_LIBVIRT, NULL);
    if (rh_xml_child(node, "shareable"))
        rh_finding_add(d->findings, RH_F_VMWARE_SHARED_DISK, "vm",
                       "the disk %s is shared with other VMs", disk->id.text);
    if (source)
        rh_disk_beside(d->o.p, vm, disk, source, RH_FROM_LIBVIRT, subject,
                       d->findings);
    else
        rh_finding_add(d->findings, RH_F_OVF_REFERENCE, subject,
                       "the disk %s names no file", disk->id.text)
            ->severity = RH_SEVERITY_BLOCKER;
    return 0;
}

static void add_cdrom(struct rh_xml_machine *d, const xmlNode *node)
{
    struct rh_cdrom_config *cd;
    struct plug at;

    if (d->vm->cdroms.count >= RH_LIMIT_VM_DISKS)
        return;
    cd = rh_vec_add(&d->vm->cdroms);
    at = (struct plug){&cd->controller, &cd->bus, &cd->unit};
    plug(d, node, &at, "vm");
}

static int drive(struct rh_xml_machine *d, const xmlNode *node, rh_error **err)
{
    const char *device = rh_ovf_attr(&d->o, node, "device");

    if (rh_same_word(device, "cdrom")) {
        add_cdrom(d, node);
        return 0;
    }
    if (rh_same_word(device, "floppy")) {
        rh_vm_add_device(d->vm, d->findings, "floppy", "floppy", NULL, false);
        return 0;
    }
    return add_disk(d, node, err);
}

/* --- network cards ----------------------------------------------------------
 */

static const char *nic_model(const char *said)
{
    static const char *const known[] = {"virtio",  "e1000",   "e1000e",
                                        "rtl8139", "vmxnet3", "pcnet32"};

    if (said && !strcmp(said, "pcnet"))
        return "pcnet32";
    for (size_t i = 0; said && i < RH_COUNT(known); i++)
        if (!strcmp(known[i], said))
            return known[i];
    return NULL;
}

static int add_nic(struct rh_xml_machine *d, const xmlNode *node,
                   rh_error **err)
{
    static const char *const sources[] = {"portgroup", "network", "bridge",
                                          "dev"};
    const char *said = rh_xml_attr_of(d, node, "model", "type");
    const char *type = rh_ovf_attr(&d->o, node, "type");
    const char *network = NULL;
    struct rh_nic_config *nic;
    char key[32];

    if (d->vm->nics.count >= RH_LIMIT_VM_NICS)
        return rh_fail(err, RH_ERR_OVF_LIMIT, "more than %d network cards",
                       RH_LIMIT_VM_NICS);
    snprintf(key, sizeof key, "nics/%zu/mac", d->vm->nics.count);
    nic = rh_vec_add(&d->vm->nics);
    rh_xml_put(d, key, rh_xml_attr_of(d, node, "mac", "address"));
    for (size_t i = 0; !network && i < RH_COUNT(sources); i++)
        network = rh_xml_attr_of(d, node, "source", sources[i]);
    rh_xml_put_text(d, &nic->network, network);
    if (rh_same_word(type, "hostdev"))
        rh_xml_put_text(d, &nic->model, "sriov");
    else if (nic_model(said))
        rh_xml_put_text(d, &nic->model, nic_model(said));
    else if (said)
        rh_finding_add(d->findings, RH_F_OVF_NIC_MODEL, "vm",
                       "the network card type \"%s\" is not known; the "
                       "profile's choice is used",
                       said);
    if (rh_xml_attr_of(d, node, "link", "state"))
        rh_set_bool(d->vm, &nic->connected,
                    strcmp(rh_xml_attr_of(d, node, "link", "state"), "down") !=
                        0,
                    RH_FROM_LIBVIRT, NULL);
    return 0;
}

/* --- the rest ---------------------------------------------------------------
 */

static void other(struct rh_xml_machine *d, const xmlNode *node)
{
    static const char *const kinds[][2] = {{"serial", "serial"},
                                           {"parallel", "parallel"},
                                           {"sound", "sound"},
                                           {"watchdog", "watchdog"}};
    const char *type = rh_ovf_attr(&d->o, node, "type");

    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (rh_xml_is(node, kinds[i][0]))
            rh_vm_add_device(d->vm, d->findings, kinds[i][1], kinds[i][0], type,
                             false);
    if (rh_xml_is(node, "tpm")) {
        rh_set_bool(d->vm, &d->vm->tpm, true, RH_FROM_LIBVIRT, NULL);
        rh_vm_add_device(d->vm, d->findings, "tpm", "vTPM", NULL, true);
    }
    if (rh_xml_is(node, "hostdev"))
        rh_vm_add_device(d->vm, d->findings,
                         rh_same_word(type, "usb")    ? "usb-device"
                         : rh_same_word(type, "scsi") ? "scsi-passthrough"
                         : rh_same_word(type, "mdev") ? "vgpu"
                                                      : "pci-passthrough",
                         "hostdev", type, false);
}

static int devices(struct rh_xml_machine *d, rh_error **err)
{
    const xmlNode *list = rh_xml_child(d->root, "devices");

    for (xmlNode *c = list ? list->children : NULL; c; c = c->next) {
        int status = 0;

        if (c->type != XML_ELEMENT_NODE)
            continue;
        if (rh_xml_is(c, "disk"))
            status = drive(d, c, err);
        else if (rh_xml_is(c, "interface"))
            status = add_nic(d, c, err);
        else
            other(d, c);
        if (status)
            return -1;
    }
    rh_disks_in_order(d->vm, d->findings);
    return 0;
}

static int read_domain(struct rh_xml_machine *d, rh_error **err)
{
    const char *said = rh_ovf_child_text(&d->o, d->root, "name");
    const char *about = rh_ovf_child_text(&d->o, d->root, "description");

    rh_xml_put_text(d, &d->vm->name, said && said[0] ? said : d->o.name);
    d->vm->id = d->vm->name.text;
    rh_xml_put(d, "uuid", rh_ovf_child_text(&d->o, d->root, "uuid"));
    rh_xml_put_text(d, &d->vm->annotation,
                    about ? about : rh_ovf_child_text(&d->o, d->root, "title"));
    look_for_origin(d);
    memory(d);
    cpus(d);
    firmware(d);
    clock_of(d);
    if (rh_xml_child(d->root, "metadata"))
        os_name(d, rh_xml_child(d->root, "metadata"), 0);
    return devices(d, err);
}

int rh_libvirt_parse(struct rh_package *p, const char *name, const char *text,
                     size_t n, const struct rh_package_options *o,
                     rh_error **err)
{
    return rh_xml_machine_parse(p, name, text, n, o, RH_FROM_LIBVIRT,
                                read_domain, err);
}
