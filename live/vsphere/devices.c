/* devices.c - a VM's hardware: disks, CD drives, network cards, the rest. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"
#include "descriptors/settings.h"
#include "live/vsphere/machine.h"

static const enum rh_from FROM = RH_FROM_VSPHERE;

/* --- disks ------------------------------------------------------------------
 */

static void say_rdm(const struct rh_vs_disk *d, const char *subject,
                    struct rh_findings *findings)
{
    if (d->rdm_physical)
        rh_finding_add(findings, RH_F_DISK_RDM, subject,
                       "%s is a raw device mapping in physical mode: no "
                       "snapshot holds it and no export does",
                       d->where);
    else if (d->rdm_virtual)
        rh_finding_add(findings, RH_F_DISK_RDM, subject,
                       "%s is a raw device mapping in virtual mode; the "
                       "export gives what it holds",
                       d->where)
            ->severity = RH_SEVERITY_CAUTION;
}

static void add_disk(const struct rh_vs_disk *s, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    struct rh_disk_config *d = rh_vec_add(&vm->disks);
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", vm->disks.count - 1);
    rh_set_text(vm, &d->id, s->where, FROM, NULL);
    rh_set_text(vm, &d->file, s->file, FROM, NULL);
    rh_set_text(vm, &d->format, "vmdk", FROM, NULL);
    if (s->capacity)
        rh_set_number(vm, &d->capacity_bytes, s->capacity, FROM, NULL);
    rh_set_text(vm, &d->controller,
                strcmp(s->controller, "scsi") ? s->controller : "lsilogic",
                FROM, NULL);
    rh_set_number(vm, &d->bus, s->controller_number, FROM, NULL);
    rh_set_number(vm, &d->unit, s->unit, FROM, NULL);
    rh_vm_disk_mode(vm, d, s->mode[0] ? s->mode : NULL, FROM, subject,
                    findings);
    say_rdm(s, subject, findings);
    if (s->shared)
        rh_finding_add(findings, RH_F_VMWARE_SHARED_DISK, subject,
                       "%s is shared with other VMs", s->where);
}

/* bootOptions.bootOrder names devices by their keys. */
static void boot_disks(const xmlNode *config, const struct rh_vs_disks *disks,
                       struct rh_vm *vm)
{
    unsigned n = 0;

    for (xmlNode *b = rh_vs_at(config, "bootOptions/bootOrder"); b;
         b = rh_vs_next(b)) {
        uint64_t key = 0;

        if (!rh_vs_number_at(b, "deviceKey", &key))
            continue;
        for (size_t i = 0; i < disks->list.count; i++)
            if (disks->list.items[i].key == key &&
                rh_vs_is_type(b, "VirtualMachineBootOptionsBootableDiskDevice"))
                rh_set_number(vm, &vm->disks.items[i].boot_order, ++n, FROM,
                              NULL);
    }
}

/* --- CD drives --------------------------------------------------------------
 */

static void add_cdrom(const xmlNode *hardware, const xmlNode *device,
                      struct rh_vm *vm, struct rh_findings *findings)
{
    const xmlNode *controller =
        rh_vs_device(hardware, rh_vs_text_at(device, "controllerKey"));
    const xmlNode *backing = rh_vs_child(device, "backing");
    const char *file = rh_vs_text_at(backing, "fileName");
    const char *bus = "ide", *model = "ide";
    struct rh_cdrom_config *cd;
    uint64_t n;

    if (vm->cdroms.count >= RH_LIMIT_VM_DISKS)
        return;
    cd = rh_vec_add(&vm->cdroms);
    if (controller)
        rh_vs_controller(controller, &bus, &model);
    rh_set_text(vm, &cd->controller, model, FROM, NULL);
    if (rh_vs_number_at(controller, "busNumber", &n))
        rh_set_number(vm, &cd->bus, n, FROM, NULL);
    if (rh_vs_number_at(device, "unitNumber", &n))
        rh_set_number(vm, &cd->unit, n, FROM, NULL);
    if (rh_vs_at(device, "connectable/startConnected"))
        rh_set_bool(vm, &cd->connected,
                    rh_vs_true_at(device, "connectable/startConnected"), FROM,
                    NULL);
    if (rh_vs_is_type(backing, "VirtualCdromIsoBackingInfo") && file[0])
        rh_finding_add(findings, RH_F_VMX_CDROM, "vm",
                       "the CD image \"%s\" stays on its datastore; the drive "
                       "is empty on the target",
                       file);
}

/* --- network cards ----------------------------------------------------------
 */

static const char *nic_model(const char *type)
{
    static const char *const rows[][2] = {
        {"VirtualVmxnet3", "vmxnet3"},
        {"VirtualVmxnet3Vrdma", "vmxnet3"},
        {"VirtualVmxnet2", "vmxnet2"},
        {"VirtualE1000", "e1000"},
        {"VirtualE1000e", "e1000e"},
        {"VirtualPCNet32", "pcnet32"},
        {"VirtualSriovEthernetCard", "sriov"},
    };

    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (!strcmp(rows[i][0], type))
            return rows[i][1];
    return NULL;
}

/* Its name for people: a distributed port group and an opaque network are
 * named by their ids. */
static const char *network_of(const struct rh_vs *s, const xmlNode *backing,
                              const char *summary)
{
    const char *group = rh_vs_text_at(backing, "port/portgroupKey");
    const char *opaque = rh_vs_text_at(backing, "opaqueNetworkId");
    const char *name = rh_vs_text_at(backing, "deviceName");
    const struct rh_vs_place *p = s && group[0] ? rh_vs_place(s, group) : NULL;

    if (p)
        return p->name;
    if (name[0])
        return name;
    return opaque[0] ? opaque : group[0] ? group : summary;
}

/* slotInfo, or the .vmx's line. */
static bool slot_of(const xmlNode *config, const xmlNode *device, uint64_t *ret)
{
    RH_AUTO(rh_freep) char *line = NULL;
    uint64_t key = 0;

    if (rh_vs_number_at(device, "slotInfo/pciSlotNumber", ret))
        return *ret < 65536;
    if (!rh_vs_number_at(device, "key", &key) || key < 4000 || key > 4999)
        return false;
    line = rh_printf("ethernet%u.pciSlotNumber", (unsigned)key - 4000);
    for (xmlNode *o = rh_vs_child(config, "extraConfig"); o; o = rh_vs_next(o))
        if (rh_same_word(rh_vs_text_at(o, "key"), line))
            return rh_vs_number_at(o, "value", ret) && *ret < 65536;
    return false;
}

static void add_nic(const struct rh_vs *s, const xmlNode *config,
                    const xmlNode *device, const char *type, struct rh_vm *vm,
                    struct rh_findings *findings)
{
    const char *model = nic_model(type);
    const char *network =
        network_of(s, rh_vs_child(device, "backing"),
                   rh_vs_text_at(device, "deviceInfo/summary"));
    struct rh_nic_config *nic;
    rh_error *ignored = NULL;
    char key[32];
    uint64_t slot;

    if (vm->nics.count >= RH_LIMIT_VM_NICS)
        return;
    nic = rh_vec_add(&vm->nics);
    snprintf(key, sizeof key, "nics/%zu", vm->nics.count - 1);
    if (model)
        rh_set_text(vm, &nic->model, model, FROM, NULL);
    else
        rh_finding_add(findings, RH_F_OVF_NIC_MODEL, key,
                       "the network card type \"%s\" is not known; the "
                       "profile's choice is used",
                       type);
    if (model && !strcmp(model, "sriov"))
        rh_finding_add(findings, RH_F_DEVICE_SRIOV, key,
                       "%s is an SR-IOV function of the host; it becomes an "
                       "ordinary network card",
                       rh_vs_text_at(device, "deviceInfo/label"));
    if (network[0])
        rh_set_text(vm, &nic->network, network, FROM, NULL);
    if (rh_vs_at(device, "connectable/startConnected"))
        rh_set_bool(vm, &nic->connected,
                    rh_vs_true_at(device, "connectable/startConnected"), FROM,
                    NULL);
    if (slot_of(config, device, &slot))
        rh_set_number(vm, &nic->slot, slot, FROM, NULL);
    snprintf(key, sizeof key, "nics/%zu/mac", vm->nics.count - 1);
    if (rh_vm_set(vm, key, rh_vs_text_at(device, "macAddress"), FROM, NULL,
                  &ignored)) {
        rh_finding_add(findings, RH_F_OVF_VALUE, key,
                       "\"%s\" is not a usable MAC address; it was left out",
                       rh_vs_text_at(device, "macAddress"));
        rh_error_drop(&ignored);
    }
}

/* --- the rest ---------------------------------------------------------------
 */

static const struct {
    const char *type, *kind;
} others[] = {
    {"VirtualFloppy", "floppy"},          {"VirtualSerialPort", "serial"},
    {"VirtualParallelPort", "parallel"},  {"VirtualUSBController", "usb"},
    {"VirtualUSBXHCIController", "usb"},  {"VirtualUSB", "usb-device"},
    {"VirtualSoundBlaster16", "sound"},   {"VirtualHdAudioCard", "sound"},
    {"VirtualEnsoniq1371", "sound"},      {"VirtualSoundCard", "sound"},
    {"VirtualNVDIMM", "nvdimm"},          {"VirtualSCSIPassthrough", "tape"},
    {"VirtualWDT", "watchdog"},           {"VirtualPrecisionClock", "other"},
    {"VirtualMachineVideoCard", "video"}, {"VirtualMachineVMCIDevice", "vmci"},
};

static void add_passthrough(const xmlNode *device, struct rh_vm *vm,
                            struct rh_findings *findings)
{
    const xmlNode *backing = rh_vs_child(device, "backing");
    bool vgpu = rh_vs_is_type(backing, "VirtualPCIPassthroughVmiopBackingInfo");

    rh_vm_add_device(vm, findings, vgpu ? "vgpu" : "pci-passthrough",
                     rh_vs_text_at(device, "deviceInfo/label"),
                     vgpu ? rh_vs_text_at(backing, "vgpu")
                          : rh_vs_text_at(backing, "deviceName"),
                     false);
}

static void add_other(const xmlNode *device, const char *type, struct rh_vm *vm,
                      struct rh_findings *findings)
{
    const char *label = rh_vs_text_at(device, "deviceInfo/label");

    if (!strcmp(type, "VirtualPCIPassthrough")) {
        add_passthrough(device, vm, findings);
        return;
    }
    if (!strcmp(type, "VirtualTPM")) {
        rh_set_bool(vm, &vm->tpm, true, FROM, NULL);
        rh_vm_add_device(vm, findings, "tpm", "vTPM", NULL, true);
        return;
    }
    for (size_t i = 0; i < RH_COUNT(others); i++)
        if (!strcmp(others[i].type, type))
            rh_vm_add_device(vm, findings, others[i].kind,
                             label[0] ? label : type, NULL, false);
}

static bool is_nic(const xmlNode *device)
{
    return rh_vs_child(device, "macAddress") != NULL;
}

int rh_vs_devices(const struct rh_vs *s, const xmlNode *object,
                  const struct rh_vs_disks *disks, struct rh_vm *vm,
                  struct rh_findings *findings, rh_error **err)
{
    const xmlNode *config = rh_vs_property(object, "config");
    const xmlNode *hardware = rh_vs_child(config, "hardware");
    size_t count = 0;

    for (size_t i = 0; i < disks->list.count; i++)
        add_disk(&disks->list.items[i], vm, findings);
    boot_disks(config, disks, vm);
    for (xmlNode *d = rh_vs_child(hardware, "device"); d; d = rh_vs_next(d)) {
        RH_AUTO(rh_freep) char *type = rh_vs_type(d);

        if (++count > RH_LIMIT_ITEMS)
            return rh_fail(err, RH_ERR_LIVE_ANSWER, "more than %d devices",
                           RH_LIMIT_ITEMS);
        if (!strcmp(type, "VirtualCdrom"))
            add_cdrom(hardware, d, vm, findings);
        else if (is_nic(d))
            add_nic(s, config, d, type, vm, findings);
        else
            add_other(d, type, vm, findings);
    }
    if (!rh_text_of(&vm->firmware)[0] ||
        strcmp(rh_text_of(&vm->firmware), "uefi"))
        return 0;
    rh_vm_add_device(vm, findings, "nvram", "NVRAM", NULL, false);
    return 0;
}
