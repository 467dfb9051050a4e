/* vmx.c - VMware's own description of a VM, beside its disks.
 *
 * What a VMX leaves out has a meaning of its own (one CPU, BIOS): such values
 * are set, and say so in their detail. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/reported.h"
#include "descriptors/settings.h"
#include "descriptors/vmx/vmx.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

#define ABSENT "VMware's default"

static bool is_true(const char *text)
{
    bool b = false;

    return rh_parse_bool(text, &b) && b;
}

static void set_text(struct rh_vm *vm, struct rh_value *v, const char *text)
{
    if (text && text[0])
        rh_set_text(vm, v, text, RH_FROM_VMX, NULL);
}

static void set_flag(struct rh_vm *vm, struct rh_value *v, const char *text)
{
    bool b;

    if (rh_parse_bool(text, &b))
        rh_set_bool(vm, v, b, RH_FROM_VMX, NULL);
}

/* --- the machine
 * ------------------------------------------------------------------ */
static void cpus(const struct rh_vmx *v, struct rh_vm *vm,
                 struct rh_findings *findings)
{
    const char *said = rh_vmx_get(v, "numvcpus");
    uint64_t n;

    if (!said)
        rh_set_number(vm, &vm->cpus, 1, RH_FROM_VMX, ABSENT);
    else if (rh_parse_u64(said, &n) && n && n <= 4096)
        rh_set_number(vm, &vm->cpus, n, RH_FROM_VMX, NULL);
    else
        rh_finding_add(findings, RH_F_OVF_VALUE, "cpus",
                       "the number of CPUs \"%s\" is not one; it was left out",
                       said);
    if (rh_parse_u64(rh_vmx_get(v, "cpuid.corespersocket"), &n) && n &&
        n <= 4096)
        rh_set_number(vm, &vm->cores_per_socket, n, RH_FROM_VMX, NULL);
}

static void memory(const struct rh_vmx *v, struct rh_vm *vm,
                   struct rh_findings *findings)
{
    const char *said = rh_vmx_get(v, "memsize");
    uint64_t n;

    if (!said)
        return;
    if (rh_parse_u64(said, &n) && n && n < 1024 * RH_TIB / RH_MIB)
        rh_set_number(vm, &vm->memory_bytes, n * RH_MIB, RH_FROM_VMX, NULL);
    else
        rh_finding_add(
            findings, RH_F_OVF_VALUE, "memory_bytes",
            "the memory size \"%s\" (MiB) is not understood; it was left "
            "out",
            said);
}

static void firmware(const struct rh_vmx *v, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    const char *said = rh_vmx_get(v, "firmware");
    const char *nvram = rh_vmx_get(v, "nvram");

    if (!said)
        rh_set_text(vm, &vm->firmware, "bios", RH_FROM_VMX, ABSENT);
    else
        rh_set_text(vm, &vm->firmware,
                    rh_same_word(said, "efi") ? "uefi" : "bios", RH_FROM_VMX,
                    NULL);
    set_flag(vm, &vm->secure_boot, rh_vmx_get(v, "uefi.secureboot.enabled"));
    /* A BIOS machine's NVRAM is only its settings screen. */
    if (nvram && nvram[0] && !strcmp(vm->firmware.text, "uefi"))
        rh_vm_add_device(vm, findings, "nvram", nvram, NULL, false);
    if (is_true(rh_vmx_get(v, "vtpm.present")) ||
        rh_vmx_get(v, "managedvm.autoaddvtpm")) {
        rh_set_bool(vm, &vm->tpm, true, RH_FROM_VMX, NULL);
        rh_vm_add_device(vm, findings, "tpm", "vTPM", NULL, true);
    }
}

static void boot_order(const struct rh_vmx *v, struct rh_vm *vm)
{
    static const char *const words[][2] = {{"hdd", "disk"},
                                           {"cdrom", "cdrom"},
                                           {"ethernet", "network"},
                                           {"pxe", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};
    const char *p = rh_vmx_get(v, "bios.bootorder");

    while (p && *p) {
        size_t n = strcspn(p, ", ");

        for (size_t i = 0; i < RH_COUNT(words); i++) {
            if (n >= strlen(words[i][0]) &&
                !strncasecmp(p, words[i][0], strlen(words[i][0])) &&
                !(order.data && strstr(order.data, words[i][1])))
                rh_buf_printf(&order, "%s%s", order.length ? "," : "",
                              words[i][1]);
        }
        p += n;
        p += strspn(p, ", ");
    }
    if (order.length)
        rh_set_text(vm, &vm->boot_order, order.data, RH_FROM_VMX, NULL);
}

/* The clock's distance from UTC in seconds. */
static void clock_of(const struct rh_vmx *v, struct rh_vm *vm)
{
    const char *said = rh_vmx_get(v, "rtc.difffromutc");

    if (said && said[0])
        rh_set_text(vm, &vm->clock, strcmp(said, "0") ? "localtime" : "utc",
                    RH_FROM_VMX, NULL);
}

static void identity(const struct rh_vmx *v, const char *file, struct rh_vm *vm)
{
    const char *slash = strrchr(file, '/');
    const char *stem = slash ? slash + 1 : file;
    const char *dot = strrchr(stem, '.');
    const char *name = rh_vmx_get(v, "displayname");
    const char *uuid = rh_vmx_get(v, "uuid.bios");
    rh_error *ignored = NULL;

    if (!name || !name[0])
        name = rh_arena_strndup(vm->arena, stem,
                                dot ? (size_t)(dot - stem) : strlen(stem));
    set_text(vm, &vm->name, name);
    set_text(vm, &vm->annotation, rh_vmx_get(v, "annotation"));
    set_text(vm, &vm->os_vmware_id, rh_vmx_get(v, "guestos"));
    if (uuid && rh_vm_set(vm, "uuid", uuid, RH_FROM_VMX, NULL, &ignored))
        rh_error_drop(&ignored);
    set_flag(vm, &vm->cpu_hot_add, rh_vmx_get(v, "vcpu.hotadd"));
    set_flag(vm, &vm->memory_hot_add, rh_vmx_get(v, "mem.hotadd"));
    set_flag(vm, &vm->nested_virtualization, rh_vmx_get(v, "vhv.enable"));
    set_flag(vm, &vm->vbs, rh_vmx_get(v, "windows.vbs.enabled"));
}

/* --- network cards
 * ----------------------------------------------------------------- */
static const char *nic_model(const char *said)
{
    static const char *const known[][2] = {
        {"vmxnet3", "vmxnet3"}, {"vmxnet2", "vmxnet2"},   {"vmxnet", "vmxnet"},
        {"e1000", "e1000"},     {"e1000e", "e1000e"},     {"vlance", "pcnet32"},
        {"pcnet32", "pcnet32"}, {"flexible", "flexible"}, {"sriov", "sriov"}};

    for (size_t i = 0; said && i < RH_COUNT(known); i++) {
        if (rh_same_word(known[i][0], said))
            return known[i][1];
    }
    return NULL;
}

static const char *nic_mac(const struct rh_vmx *v, unsigned i)
{
    const char *type = rh_vmx_getf(v, "ethernet%u.addresstype", i);
    const char *fixed = rh_vmx_getf(v, "ethernet%u.address", i);
    const char *made = rh_vmx_getf(v, "ethernet%u.generatedaddress", i);

    if (rh_same_word(type, "static"))
        return fixed ? fixed : made;
    return made ? made : fixed;
}

static void nic_network(const struct rh_vmx *v, unsigned i, struct rh_vm *vm,
                        struct rh_nic_config *nic)
{
    const char *network = rh_vmx_getf(v, "ethernet%u.networkname", i);

    if (!network || !network[0])
        network = rh_vmx_getf(v, "ethernet%u.dvs.portgroupid", i);
    if (!network || !network[0])
        network = rh_vmx_getf(v, "ethernet%u.vnet", i);
    set_text(vm, &nic->network, network);
}

static void sriov(const char *subject, const char *kind, unsigned i,
                  struct rh_findings *findings)
{
    rh_finding_add(
        findings, RH_F_DEVICE_SRIOV, subject,
        "%s%u is an SR-IOV function of the host; it becomes an ordinary "
        "network card",
        kind, i);
}

static void add_nic(const struct rh_vmx *v, unsigned i, struct rh_vm *vm,
                    struct rh_findings *findings)
{
    const char *model = rh_vmx_getf(v, "ethernet%u.virtualdev", i);
    const char *mac = nic_mac(v, i);
    struct rh_nic_config *nic;
    rh_error *e = NULL;
    char key[32];
    uint64_t n;

    snprintf(key, sizeof key, "nics/%zu", vm->nics.count);
    nic = rh_vec_add(&vm->nics);
    if (!model || !model[0])
        rh_set_text(vm, &nic->model, "pcnet32", RH_FROM_VMX, ABSENT);
    else if (nic_model(model))
        rh_set_text(vm, &nic->model, nic_model(model), RH_FROM_VMX, NULL);
    else
        rh_finding_add(
            findings, RH_F_OVF_NIC_MODEL, key,
            "the network card type \"%s\" is not known; the profile's "
            "choice is used",
            model);
    if (rh_same_word(model, "sriov"))
        sriov(key, "ethernet", i, findings);
    nic_network(v, i, vm, nic);
    set_flag(vm, &nic->connected,
             rh_vmx_getf(v, "ethernet%u.startconnected", i));
    if (rh_parse_u64(rh_vmx_getf(v, "ethernet%u.pcislotnumber", i), &n) &&
        n < 65536)
        rh_set_number(vm, &nic->slot, n, RH_FROM_VMX, NULL);
    snprintf(key, sizeof key, "nics/%zu/mac", vm->nics.count - 1);
    if (mac && rh_vm_set(vm, key, mac, RH_FROM_VMX, NULL, &e)) {
        rh_finding_add(findings, RH_F_OVF_VALUE, key,
                       "\"%s\" is not a usable MAC address; it was left out",
                       mac);
        rh_error_drop(&e);
    }
}

enum { PASSTHROUGH_MOST = 32 }; /* vSphere 8 takes that many */

/* A function that stands in a port group is a network card. */
static bool is_virtual_function(const struct rh_vmx *v, unsigned i)
{
    return rh_vmx_getf(v, "pcipassthru%u.networkname", i) ||
           rh_vmx_getf(v, "pcipassthru%u.macaddress", i) ||
           rh_vmx_getf(v, "pcipassthru%u.generatedmacaddress", i) ||
           rh_same_word(rh_vmx_getf(v, "pcipassthru%u.virtualdev", i), "sriov");
}

static void add_virtual_function(const struct rh_vmx *v, unsigned i,
                                 struct rh_vm *vm, struct rh_findings *findings)
{
    const char *mac = rh_vmx_getf(v, "pcipassthru%u.macaddress", i);
    struct rh_nic_config *nic;
    rh_error *e = NULL;
    char key[32];

    snprintf(key, sizeof key, "nics/%zu", vm->nics.count);
    nic = rh_vec_add(&vm->nics);
    rh_set_text(vm, &nic->model, "sriov", RH_FROM_VMX, NULL);
    set_text(vm, &nic->network, rh_vmx_getf(v, "pcipassthru%u.networkname", i));
    sriov(key, "pciPassthru", i, findings);
    snprintf(key, sizeof key, "nics/%zu/mac", vm->nics.count - 1);
    if (!mac)
        mac = rh_vmx_getf(v, "pcipassthru%u.generatedmacaddress", i);
    if (mac && rh_vm_set(vm, key, mac, RH_FROM_VMX, NULL, &e))
        rh_error_drop(&e);
}

/* DirectPath, a slice of a GPU, or a network card by SR-IOV. */
static void passthrough(const struct rh_vmx *v, struct rh_vm *vm,
                        struct rh_findings *findings)
{
    for (unsigned i = 0; i < PASSTHROUGH_MOST; i++) {
        const char *vgpu = rh_vmx_getf(v, "pcipassthru%u.vgpu", i);
        const char *id = rh_vmx_getf(v, "pcipassthru%u.id", i);
        char name[24];

        if (!is_true(rh_vmx_getf(v, "pcipassthru%u.present", i)))
            continue;
        snprintf(name, sizeof name, "pciPassthru%u", i);
        if (vgpu || rh_same_word(rh_vmx_getf(v, "pcipassthru%u.virtualdev", i),
                                 "vmiop"))
            rh_vm_add_device(vm, findings, "vgpu", name, vgpu, false);
        else if (is_virtual_function(v, i) && vm->nics.count < RH_LIMIT_VM_NICS)
            add_virtual_function(v, i, vm, findings);
        else
            rh_vm_add_device(vm, findings, "pci-passthrough", name, id, false);
    }
}

/* usb.autoConnect.device0 = "path:1/0/1 host:...": a device of the host. */
static void usb_device(const char *key, const char *value, struct rh_vm *vm,
                       struct rh_findings *findings)
{
    if (!strncmp(key, "usb", 3) && strstr(key, ".autoconnect.device") &&
        value[0])
        rh_vm_add_device(vm, findings, "usb-device", key, value, false);
}

/* Some lines of a card, but none that it is present: as with disks. */
static bool is_described(const struct rh_vmx *v, unsigned i)
{
    static const char *const words[] = {"virtualdev", "networkname",
                                        "connectiontype", "addresstype"};

    for (size_t w = 0; w < RH_COUNT(words); w++)
        if (rh_vmx_getf(v, "ethernet%u.%s", i, words[w]))
            return true;
    return false;
}

static void nics(const struct rh_vmx *v, struct rh_vm *vm,
                 struct rh_findings *findings)
{
    for (unsigned i = 0; i < RH_LIMIT_VM_NICS; i++) {
        const char *present = rh_vmx_getf(v, "ethernet%u.present", i);
        char subject[32];

        snprintf(subject, sizeof subject, "nics/%zu", vm->nics.count);
        if (is_true(present)) {
            add_nic(v, i, vm, findings);
        } else if (!present && is_described(v, i)) {
            rh_finding_add(findings, RH_F_VMX_PRESENT, subject,
                           "no line says that %s%u is present; it was taken as "
                           "present",
                           "ethernet", i);
            add_nic(v, i, vm, findings);
        }
    }
}

/* --- the rest
 * ---------------------------------------------------------------------------
 */
static void device(const struct rh_vmx *v, const char *name, const char *kind,
                   struct rh_vm *vm, struct rh_findings *findings)
{
    if (is_true(rh_vmx_getf(v, "%s.present", name)))
        rh_vm_add_device(vm, findings, kind, name,
                         rh_vmx_getf(v, "%s.virtualdev", name), false);
}

static void devices(const struct rh_vmx *v, struct rh_vm *vm,
                    struct rh_findings *findings)
{
    static const char *const kinds[][2] = {{"usb", "usb"},
                                           {"ehci", "usb"},
                                           {"usb_xhci", "usb"},
                                           {"sound", "sound"}};
    /* As many as a VM may have. */
    static const struct {
        const char *name, *kind;
        unsigned most;
    } counted[] = {{"floppy", "floppy", 2},
                   {"serial", "serial", 32},
                   {"parallel", "parallel", 3},
                   {"nvdimm0:", "nvdimm", 64}};

    for (size_t i = 0; i < RH_COUNT(counted); i++)
        for (unsigned n = 0; n < counted[i].most; n++) {
            char name[32];

            snprintf(name, sizeof name, "%s%u", counted[i].name, n);
            device(v, name, counted[i].kind, vm, findings);
        }
    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        device(v, kinds[i][0], kinds[i][1], vm, findings);
    if (is_true(rh_vmx_get(v, "vvtd.enable")))
        rh_finding_add(findings, RH_F_VM_PROTECTION, "vm",
                       "%s is on in the source; it is not set up on the target",
                       "vvtd.enable");
}

static void complain(const struct rh_vmx *v, struct rh_findings *findings)
{
    if (v->bad_lines == 1)
        rh_finding_add(findings, RH_F_VMX_LINES, "vm",
                       "line %zu is not understood", v->first_bad);
    else if (v->bad_lines)
        rh_finding_add(findings, RH_F_VMX_LINES, "vm",
                       "%zu lines are not understood, the first is line %zu",
                       v->bad_lines, v->first_bad);
    if (v->repeated == 1)
        rh_finding_add(findings, RH_F_VMX_LINES, "vm",
                       "\"%s\" stands there more than once; its first line "
                       "counts",
                       v->repeated_key);
    else if (v->repeated)
        rh_finding_add(findings, RH_F_VMX_LINES, "vm",
                       "%zu settings stand there more than once, \"%s\" is one "
                       "of them; the first line of each counts",
                       v->repeated, v->repeated_key);
    if (v->unknown_encoding)
        rh_finding_add(findings, RH_F_VMX_LINES, "vm",
                       "the encoding \"%s\" is not known; names may be wrong",
                       v->unknown_encoding);
}

/* Encryption hides nearly everything: there is nothing to go by. */
static int refuse_encrypted(const struct rh_vmx *v, rh_error **err)
{
    if (rh_vmx_get(v, "encryption.keysafe") || rh_vmx_get(v, "encryption.data"))
        return rh_fail(err, RH_ERR_VMX_ENCRYPTED, "the VM is encrypted");
    return 0;
}

static int refuse_foreign(const struct rh_vmx *v, rh_error **err)
{
    static const char *const usual[] = {"virtualhw.version", "config.version",
                                        "memsize", "guestos", "displayname"};

    for (size_t i = 0; i < RH_COUNT(usual); i++) {
        if (rh_vmx_get(v, usual[i]))
            return 0;
    }
    return rh_fail(err, RH_ERR_VMX_FORMAT,
                   "this is not a VMX: it has none of its usual settings");
}

static int build(struct rh_package *p, const struct rh_vmx *v, const char *name,
                 struct rh_vm *vm, struct rh_findings *findings, rh_error **err)
{
    vm->source_kind = "vmware";
    identity(v, name, vm);
    vm->id = vm->name.text;
    cpus(v, vm, findings);
    memory(v, vm, findings);
    firmware(v, vm, findings);
    boot_order(v, vm);
    clock_of(v, vm);
    nics(v, vm, findings);
    devices(v, vm, findings);
    passthrough(v, vm, findings);
    for (size_t i = 0; i < v->entries.count; i++) {
        const char *key = v->entries.items[i].key;
        const char *value = v->entries.items[i].value;

        if (!rh_reported_os(vm, key, value, RH_FROM_VMX))
            rh_vmware_setting(key, value, findings);
        usb_device(key, value, vm, findings);
    }
    complain(v, findings);
    return rh_vmx_disks(p, v, vm, findings, err);
}

int rh_vmx_parse(struct rh_package *p, const char *name, const char *text,
                 size_t n, const struct rh_package_options *o, rh_error **err)
{
    RH_AUTO(rh_vmx_free) struct rh_vmx v = {0};
    RH_AUTO(rh_findings_free) struct rh_findings findings = {0};
    RH_AUTO(rh_vm_freep) struct rh_vm *vm = NULL;
    size_t at;

    if (rh_vmx_read(&v, text, n, err) || refuse_encrypted(&v, err) ||
        refuse_foreign(&v, err))
        return rh_error_subject(err, name);
    if (o && rh_package_one_configuration(o->configuration, err) < 0)
        return -1;
    vm = rh_vm_new(name);
    if (build(p, &v, name, vm, &findings, err))
        return rh_error_subject(err, name);
    at = rh_package_add_vm(p, RH_TAKE(vm));
    rh_findings_copy(&p->vm_findings.items[at], &findings);
    return 0;
}
