/* ovf_other.c - hardware that a target has no equal of: said, not carried. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"
#include "descriptors/settings.h"

/* What becomes of each kind; `id` is the finding. */
static const struct {
    const char *kind;
    enum rh_finding_id id;
    const char *about; /* NULL: nothing worth saying */
} kinds[] = {
    {"serial", RH_F_DEVICE_SERIAL, N_("a serial port")},
    {"floppy", RH_F_DEVICE_DROPPED, N_("a floppy drive")},
    {"parallel", RH_F_DEVICE_DROPPED, N_("a parallel port")},
    {"usb", RH_F_DEVICE_DROPPED, N_("a USB controller")},
    {"sound", RH_F_DEVICE_DROPPED, N_("a sound card")},
    {"watchdog", RH_F_DEVICE_DROPPED, N_("a watchdog")},
    {"tape", RH_F_DEVICE_DROPPED, N_("a tape or another SCSI device")},
    {"other", RH_F_DEVICE_DROPPED, N_("another device")},
    {"pci-passthrough", RH_F_DEVICE_PASSTHROUGH,
     N_("a device of the host that was passed through")},
    {"scsi-passthrough", RH_F_DEVICE_SCSI_PASSTHROUGH,
     N_("a SCSI device of the host that was passed through")},
    {"vgpu", RH_F_DEVICE_VGPU, N_("a virtual GPU")},
    {"usb-device", RH_F_DEVICE_USB, N_("a USB device of the host")},
    {"nvdimm", RH_F_DEVICE_NVDIMM, N_("a non-volatile memory module")},
    {"nvram", RH_F_NVRAM_CONTENTS, N_("UEFI variables (NVRAM)")},
    {"tpm", RH_F_TPM_CONTENTS, N_("a virtual TPM")},
    {"video", RH_F_NONE, NULL},
    {"vmci", RH_F_NONE, NULL},
};

struct rh_device *rh_vm_add_device(struct rh_vm *vm,
                                   struct rh_findings *findings,
                                   const char *kind, const char *name,
                                   const char *detail, bool required)
{
    struct rh_device *d = rh_vec_add(&vm->devices);

    d->kind = rh_arena_strdup(vm->arena, kind);
    d->name = rh_arena_strdup(vm->arena, name);
    d->detail = rh_arena_strdup(vm->arena, detail);
    d->required = required;
    for (size_t i = 0; i < RH_COUNT(kinds); i++) {
        if (!strcmp(kinds[i].kind, kind) && kinds[i].about)
            rh_finding_add(findings, kinds[i].id, "vm", "%s: %s%s%s%s",
                           _(kinds[i].about), name, detail ? " (" : "",
                           detail ? detail : "", detail ? ")" : "");
    }
    return d;
}

static const struct {
    unsigned type;          /* 0: any */
    const char *in_subtype; /* part of it, or NULL: any */
    const char *kind;
} devices[] = {
    {0, "vmware.vtpm", "tpm"},        /* as type 1, or 34: the subtype tells */
    {0, "passthrough-vmiop", "vgpu"}, /* NVIDIA's mediated devices */
    {0, "pci.passthrough", "pci-passthrough"},
    {0, "nvdimm", "nvdimm"},
    {0, "usb.device", "usb-device"},
    {0, "vmware.vmci", "vmci"},
    {0, "soundcard", "sound"},
    {0, "watchdog", "watchdog"},
    {32768, "nvram", "nvram"}, /* VirtualBox 7.1 */
    {32768, NULL, "video"},    /* oVirt's graphics */
    {14, NULL, "floppy"},
    {18, NULL, "tape"},
    {21, NULL, "serial"},
    {22, NULL, "parallel"},
    {23, NULL, "usb"},
    {24, NULL, "video"},
    {35, NULL, "sound"},
    {1, NULL, "other"},
};

static const char *kind_of(const struct rh_item *item)
{
    const char *subtype = item->field[RH_ITEM_SUBTYPE];

    for (size_t i = 0; i < RH_COUNT(devices); i++) {
        const char *part = devices[i].in_subtype;

        if (devices[i].type && devices[i].type != item->type)
            continue;
        if (!part || (subtype && strcasestr(subtype, part)))
            return devices[i].kind;
    }
    return NULL;
}

void rh_ovf_other_item(struct rh_ovf *o, const struct rh_item *item,
                       struct rh_vm *vm, struct rh_findings *findings)
{
    const char *subtype = item->field[RH_ITEM_SUBTYPE];
    const char *kind = kind_of(item);
    const char *type = item->field[RH_ITEM_TYPE];
    const char *resource = item->field[RH_ITEM_HOST_RESOURCE];
    struct rh_ovf_disk *d = resource ? rh_ovf_resource(o, resource) : NULL;
    if (!kind) {
        rh_finding_add(
            findings, RH_F_OVF_ITEM_UNKNOWN, "vm",
            "the hardware item \"%s\" has the resource type \"%s\"%s%s; "
            "rehost does not know it",
            rh_ovf_item_name(item), type ? type : "", subtype ? ", " : "",
            subtype ? subtype : "")
            ->severity =
            item->required ? RH_SEVERITY_CAUTION : RH_SEVERITY_INFO;
        return;
    }
    if (d)
        d->uses++; /* the device is told, and so is what backs it */
    /* An NVDIMM is a controller and the devices on it; one finding is enough.
     */
    if (!strcmp(kind, "nvdimm") && strcasestr(subtype, "controller"))
        return;
    if (!strcmp(kind, "tpm"))
        rh_set_bool(vm, &vm->tpm, true, RH_FROM_OVF, NULL);
    rh_vm_add_device(vm, findings, kind, rh_ovf_item_name(item), subtype,
                     item->required);
}

/* --- settings of devices
 * ---------------------------------------------------------------------- */

static void allocation(const char *key, const char *of, const char *value,
                       const char *units, struct rh_findings *findings)
{
    RH_AUTO(rh_freep) char *named = rh_printf("rasd:%s (%s)", key, of);
    RH_AUTO(rh_freep)
    char *shown = units && units[0] ? rh_printf("%s * %s", value, units)
                                    : rh_strdup(value);
    uint64_t n;

    if (rh_parse_u64(value, &n) && n)
        rh_vmware_setting(named, shown, findings);
}

void rh_ovf_allocation(const struct rh_item *item, const char *of,
                       uint64_t normal, struct rh_findings *findings)
{
    const char *units = item->field[RH_ITEM_UNITS];
    const char *weight = item->field[RH_ITEM_WEIGHT];
    uint64_t n;

    allocation("Reservation", of, item->field[RH_ITEM_RESERVATION], units,
               findings);
    allocation("Limit", of, item->field[RH_ITEM_LIMIT], units, findings);
    if (rh_parse_u64(weight, &n) && n != normal)
        allocation("Weight", of, weight, NULL, findings);
}

void rh_ovf_item_settings(struct rh_ovf *o, const struct rh_item *item,
                          struct rh_findings *findings)
{
    for (unsigned i = 0; i < item->nodes; i++) {
        RH_EACH_CHILD(child, item->node[i])
        {
            const char *key, *value;

            if (!rh_xml_is(child, "Config") && !rh_xml_is(child, "ExtraConfig"))
                continue;
            key = rh_ovf_attr(o, child, "key");
            value = rh_ovf_attr(o, child, "value");
            if (key && value)
                rh_vmware_setting(key, value, findings);
        }
    }
}

/* "independent-nonpersistent" in a VMX, "independent_nonpersistent" in
 * vSphere's own words. */
void rh_vm_disk_mode(struct rh_vm *vm, struct rh_disk_config *d,
                     const char *mode, enum rh_from from, const char *subject,
                     struct rh_findings *findings)
{
    if (!mode || !mode[0])
        return;
    rh_set_text(vm, &d->mode, mode, from, NULL);
    if (strcasestr(mode, "nonpersistent") || rh_same_word(mode, "undoable"))
        rh_finding_add(
            findings, RH_F_VMX_NONPERSISTENT, subject,
            "the disk forgets its changes when the VM stops (mode %s)", mode);
    if (strcasestr(mode, "independent"))
        rh_finding_add(
            findings, RH_F_DISK_INDEPENDENT, subject,
            "the disk is left out of the source's snapshots (mode %s)", mode);
}
