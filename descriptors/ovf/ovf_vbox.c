/* ovf_vbox.c - vbox:Machine, where VirtualBox says what its OVF leaves out:
 * MAC addresses, firmware, clock, TPM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

static bool is_true(struct rh_ovf *o, const xmlNode *node, const char *attr)
{
    bool b = false;

    return rh_parse_bool(rh_ovf_attr(o, node, attr), &b) && b;
}

/* The enabled adapters stand in the order of the OVF's network cards. */
static void adapters(struct rh_ovf *o, const xmlNode *network, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    size_t n = 0;
    char mac[18];

    RH_EACH_CHILD(adapter, network)
    {
        struct rh_nic_config *nic;

        if (!rh_xml_is(adapter, "Adapter") || !is_true(o, adapter, "enabled"))
            continue;
        if (n >= vm->nics.count) {
            rh_finding_add(findings, RH_F_OVF_VALUE, "vm",
                           "vbox:Machine has more network adapters than the "
                           "hardware section; the others were left out");
            return;
        }
        nic = &vm->nics.items[n++];
        if (nic->mac.kind == RH_VALUE_UNSET &&
            rh_mac_of(rh_ovf_attr(o, adapter, "MACAddress"), mac))
            rh_set_text(vm, &nic->mac, mac, RH_FROM_OVF, "vbox:Machine");
        if (nic->connected.kind == RH_VALUE_UNSET &&
            rh_ovf_attr(o, adapter, "cable"))
            rh_set_bool(vm, &nic->connected, is_true(o, adapter, "cable"),
                        RH_FROM_OVF, "vbox:Machine");
    }
}

static void firmware(struct rh_ovf *o, const xmlNode *node, struct rh_vm *vm)
{
    const char *type = rh_ovf_attr(o, node, "type");

    if (!type || vm->firmware.kind != RH_VALUE_UNSET)
        return;
    if (!strncasecmp(type, "EFI", 3)) /* also EFI32, EFI64, EFIDUAL */
        rh_set_text(vm, &vm->firmware, "uefi", RH_FROM_OVF, "vbox:Machine");
    else if (rh_same_word(type, "BIOS"))
        rh_set_text(vm, &vm->firmware, "bios", RH_FROM_OVF, "vbox:Machine");
}

static void rtc(struct rh_ovf *o, const xmlNode *node, struct rh_vm *vm)
{
    const char *text = rh_ovf_attr(o, node, "localOrUTC");

    if (text)
        rh_set_text(vm, &vm->clock,
                    rh_same_word(text, "UTC") ? "utc" : "localtime",
                    RH_FROM_OVF, "vbox:Machine");
}

static void hardware(struct rh_ovf *o, const xmlNode *node, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    RH_EACH_CHILD(child, node)
    {
        const char *type = rh_ovf_attr(o, child, "type");

        if (rh_xml_is(child, "Network"))
            adapters(o, child, vm, findings);
        else if (rh_xml_is(child, "Firmware"))
            firmware(o, child, vm);
        else if (rh_xml_is(child, "RTC"))
            rtc(o, child, vm);
        else if (rh_xml_is(child, "TrustedPlatformModule") && type &&
                 !rh_same_word(type, "None"))
            rh_set_bool(vm, &vm->tpm, true, RH_FROM_OVF, "vbox:Machine");
    }
}

void rh_ovf_vbox(struct rh_ovf *o, xmlNode *machine, struct rh_vm *vm,
                 struct rh_findings *findings)
{
    const char *os = rh_ovf_attr(o, machine, "OSType");
    const char *uuid = rh_ovf_attr(o, machine, "uuid");
    rh_error *ignored = NULL;

    vm->source_kind = "virtualbox";
    if (os && os[0] && vm->os_name.kind == RH_VALUE_UNSET)
        rh_set_text(vm, &vm->os_name, os, RH_FROM_OVF, "vbox:Machine");
    if (uuid && vm->uuid.kind == RH_VALUE_UNSET &&
        rh_vm_set(vm, "uuid", uuid, RH_FROM_OVF, "vbox:Machine", &ignored))
        rh_error_drop(&ignored);
    RH_EACH_CHILD(child, machine)
    {
        if (rh_xml_is(child, "Hardware"))
            hardware(o, child, vm, findings);
    }
}
