/* ovf_sections.c - a virtual system's sections: OS, settings, annotation,
 * product, boot order; and those that nobody here can use, by name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"
#include "descriptors/reported.h"
#include "descriptors/settings.h"

/* --- vmw:Config and vmw:ExtraConfig
 * -------------------------------------------- */
static void set_flag(struct rh_vm *vm, struct rh_value *v, const char *text)
{
    bool b;

    if (rh_parse_bool(text, &b))
        rh_set_bool(vm, v, b, RH_FROM_OVF, NULL);
}

static void set_firmware(struct rh_vm *vm, const char *text,
                         struct rh_findings *findings)
{
    if (rh_same_word(text, "efi") || rh_same_word(text, "uefi"))
        rh_set_text(vm, &vm->firmware, "uefi", RH_FROM_OVF, NULL);
    else if (rh_same_word(text, "bios"))
        rh_set_text(vm, &vm->firmware, "bios", RH_FROM_OVF, NULL);
    else
        rh_finding_add(
            findings, RH_F_OVF_VALUE, "firmware",
            "the firmware \"%s\" is neither bios nor efi; it was left out",
            text);
}

static void set_uuid(struct rh_vm *vm, const char *text)
{
    rh_error *ignored = NULL;

    if (rh_vm_set(vm, "uuid", text, RH_FROM_OVF, NULL, &ignored))
        rh_error_drop(&ignored);
}

/* How VMware runs a VM, of no meaning on another hypervisor. */
static bool of_vmware_alone(const char *key)
{
    static const char *const starts[] = {"tools.",
                                         "powerOpInfo.",
                                         "virtualICH7MPresent",
                                         "virtualSMCPresent",
                                         "cpuHotRemoveEnabled",
                                         "simultaneousThreads",
                                         "vPMCEnabled",
                                         "fixedPassthruHotPlugEnabled",
                                         "cpuAllocation.",
                                         "memoryAllocation.",
                                         "flags.",
                                         "connectable.",
                                         "sgxInfo.",
                                         "sevEnabled",
                                         "backing.",
                                         "slotInfo."};

    for (size_t i = 0; i < RH_COUNT(starts); i++) {
        if (!strncmp(key, starts[i], strlen(starts[i])))
            return true;
    }
    return false;
}

static void protection(const char *key, const char *value,
                       struct rh_findings *findings)
{
    bool b = false;

    if (!strcmp(key, "flags.vvtdEnabled") && rh_parse_bool(value, &b) && b)
        rh_finding_add(findings, RH_F_VM_PROTECTION, "vm",
                       "%s is on in the source; it is not set up on the target",
                       key);
}

/* True when the key found its place. */
static bool config(struct rh_vm *vm, const char *key, const char *value,
                   struct rh_findings *findings)
{
    if (!strcmp(key, "firmware"))
        set_firmware(vm, value, findings);
    else if (!strcmp(key, "bootOptions.efiSecureBootEnabled") ||
             !strcmp(key, "uefi.secureBoot.enabled"))
        set_flag(vm, &vm->secure_boot, value);
    else if (!strcmp(key, "cpuHotAddEnabled"))
        set_flag(vm, &vm->cpu_hot_add, value);
    else if (!strcmp(key, "memoryHotAddEnabled"))
        set_flag(vm, &vm->memory_hot_add, value);
    else if (!strcmp(key, "nestedHVEnabled"))
        set_flag(vm, &vm->nested_virtualization, value);
    else if (!strcmp(key, "flags.vbsEnabled"))
        set_flag(vm, &vm->vbs, value);
    else if (!strcmp(key, "uuid"))
        set_uuid(vm, value);
    else
        return false;
    return true;
}

static void nvram(struct rh_ovf *o, struct rh_vm *vm, const char *value,
                  struct rh_findings *findings)
{
    const char *id = strrchr(value, '/');
    const struct rh_ovf_file *file = id ? rh_ovf_file_at(o, id + 1) : NULL;

    rh_vm_add_device(vm, findings, "nvram", file ? file->href : value,
                     file ? NULL : _("not exported"), false);
}

static void configs(struct rh_ovf *o, xmlNode *hardware, struct rh_vm *vm,
                    struct rh_findings *findings)
{
    RH_AUTO(rh_buf_free) struct rh_buf unknown = {0};

    RH_EACH_CHILD(child, hardware)
    {
        bool extra = rh_xml_is(child, "ExtraConfig");
        const char *key, *value;

        if (!extra && !rh_xml_is(child, "Config"))
            continue;
        key = rh_ovf_attr(o, child, "key");
        value = rh_ovf_attr(o, child, "value");
        if (!key || !value || !rh_ovf_applies(o, child))
            continue;
        protection(key, value, findings);
        if (extra && !strcmp(key, "nvram"))
            nvram(o, vm, value, findings);
        else if (!config(vm, key, value, findings) &&
                 !rh_reported_os(vm, key, value, RH_FROM_OVF) &&
                 !rh_vmware_setting(key, value, findings) &&
                 !of_vmware_alone(key) && unknown.length < RH_LIMIT_NAME)
            rh_buf_printf(&unknown, "%s%s", unknown.length ? ", " : "", key);
    }
    if (unknown.length)
        rh_finding_add(
            findings, RH_F_OVF_CONFIG_UNKNOWN, "vm",
            "settings of VMware that have no place on the target: %s",
            unknown.data);
}

/* --- single sections
 * -------------------------------------------------------------- */
static void operating_system(struct rh_ovf *o, xmlNode *section,
                             struct rh_vm *vm)
{
    const char *type = rh_ovf_attr(o, section, "osType");
    const char *text = rh_ovf_child_text(o, section, "Description");
    uint64_t id;

    if (rh_parse_u64(rh_ovf_attr(o, section, "id"), &id) && id < 100000)
        rh_set_number(vm, &vm->os_ovf_id, id, RH_FROM_OVF, NULL);
    if (type && type[0])
        rh_set_text(vm, &vm->os_vmware_id, type, RH_FROM_OVF, NULL);
    if (!text || !text[0])
        text = rh_ovf_child_text(o, section, "OSType"); /* VirtualBox */
    /* What the guest itself was seen to be says more. */
    if (text && text[0] && vm->os_kernel.kind == RH_VALUE_UNSET)
        rh_set_text(vm, &vm->os_name, text, RH_FROM_OVF, NULL);
}

static void annotation(struct rh_ovf *o, xmlNode *section, struct rh_vm *vm)
{
    const xmlNode *node = rh_xml_child(section, "Annotation");
    const char *text = node ? rh_ovf_long_text(o, node) : NULL;

    if (text && text[0])
        rh_set_text(vm, &vm->annotation, text, RH_FROM_OVF, NULL);
}

static void product(struct rh_ovf *o, xmlNode *section, bool transport,
                    struct rh_findings *findings)
{
    RH_AUTO(rh_buf_free) struct rh_buf keys = {0};
    const char *name = rh_ovf_child_text(o, section, "Product");
    size_t count = 0;

    RH_EACH_CHILD(child, section)
    {
        const char *key =
            rh_xml_is(child, "Property") ? rh_ovf_attr(o, child, "key") : NULL;

        if (!key)
            continue;
        if (count++ < 12)
            rh_buf_printf(&keys, "%s%s", keys.length ? ", " : "", key);
    }
    if (count)
        rh_finding_add(findings, RH_F_VAPP_PROPERTIES, "vm",
                       "%zu vApp properties (%s%s)%s%s", count, keys.data,
                       count > 12 ? " ..." : "",
                       name ? _(" of the product ") : "", name ? name : "")
            ->severity = transport ? RH_SEVERITY_CAUTION : RH_SEVERITY_INFO;
    else if (name && name[0])
        rh_finding_add(findings, RH_F_OVF_SECTION_DROPPED, "vm",
                       "ProductSection: %s %s", name,
                       rh_ovf_child_text(o, section, "FullVersion")
                           ? rh_ovf_child_text(o, section, "FullVersion")
                           : "");
}

/* vCloud sets the host name at the first start, when that is switched on. */
static void customization(struct rh_ovf *o, xmlNode *section, struct rh_vm *vm,
                          struct rh_findings *findings)
{
    const char *enabled = rh_ovf_child_text(o, section, "Enabled");
    const char *name = rh_ovf_child_text(o, section, "ComputerName");
    bool on = false;

    if (!rh_parse_bool(enabled, &on) || !on)
        return;
    if (name && name[0])
        rh_set_text(vm, &vm->hostname, name, RH_FROM_OVF, NULL);
    rh_finding_add(
        findings, RH_F_OVF_SECTION_DROPPED, "vm",
        "GuestCustomizationSection: vCloud customises this guest when it "
        "starts; that does not happen on the target");
}

/* --- boot order
 * ------------------------------------------------------------------------ */
static struct rh_disk_config *disk_of_item(struct rh_ovf *o,
                                           const struct rh_items *items,
                                           const char *instance,
                                           struct rh_vm *vm)
{
    const char *resource = NULL, *id;

    for (size_t i = 0; instance && i < items->count; i++) {
        const struct rh_item *item = &items->items[i];

        if (item->field[RH_ITEM_ID] &&
            !strcmp(item->field[RH_ITEM_ID], instance))
            resource = item->field[RH_ITEM_HOST_RESOURCE];
    }
    id = resource ? strrchr(resource, '/') : NULL;
    if (!id)
        id = rh_arena_printf(o->arena, "/item-%s", instance ? instance : "?");
    for (size_t i = 0; i < vm->disks.count; i++) {
        if (vm->disks.items[i].id.text &&
            !strcmp(vm->disks.items[i].id.text, id + 1))
            return &vm->disks.items[i];
    }
    return NULL;
}

/* One section for each device, in their order. */
static void boot_order(struct rh_ovf *o, xmlNode *section,
                       const struct rh_items *items, struct rh_vm *vm,
                       unsigned *position)
{
    static const char *const words[][2] = {
        {"disk", "disk"}, {"hdd", "disk"},    {"cdrom", "cdrom"},
        {"cd", "cdrom"},  {"net", "network"}, {"ethernet", "network"}};
    const char *type = rh_ovf_attr(o, section, "type");
    const char *word = NULL;
    const char *before = vm->boot_order.text;
    struct rh_disk_config *disk;

    for (size_t i = 0; type && i < RH_COUNT(words); i++) {
        if (rh_same_word(words[i][0], type))
            word = words[i][1];
    }
    if (!word)
        return;
    ++*position;
    if (!before)
        rh_set_text(vm, &vm->boot_order, word, RH_FROM_OVF, NULL);
    else if (!strstr(before, word))
        rh_set_text(vm, &vm->boot_order,
                    rh_arena_printf(o->arena, "%s,%s", before, word),
                    RH_FROM_OVF, NULL);
    disk = disk_of_item(o, items, rh_ovf_attr(o, section, "instanceId"), vm);
    if (disk && !strcmp(word, "disk") &&
        disk->boot_order.kind == RH_VALUE_UNSET)
        rh_set_number(vm, &disk->boot_order, *position, RH_FROM_OVF, NULL);
}

/* --- sections that nobody here can use
 * -------------------------------------------------- */
static const struct {
    const char *name;
    enum rh_finding_id id; /* NONE: read elsewhere, or without meaning */
    const char *text;
} known[] = {
    {"Info", RH_F_NONE, NULL},
    {"Name", RH_F_NONE, NULL},
    {"References", RH_F_NONE, NULL},
    {"DiskSection", RH_F_NONE, NULL},
    {"NetworkSection", RH_F_NONE, NULL},
    {"DeploymentOptionSection", RH_F_NONE, NULL},
    {"StartupSection", RH_F_NONE, NULL},
    {"Strings", RH_F_NONE, NULL},
    {"VirtualHardwareSection", RH_F_NONE, NULL},
    {"VirtualSystem", RH_F_NONE, NULL},
    {"VirtualSystemCollection", RH_F_NONE, NULL},
    {"NtnxConfig", RH_F_NONE, NULL},
    {"StorageSection", RH_F_NONE, NULL},      /* vmw: storage profile names */
    {"StorageGroupSection", RH_F_NONE, NULL}, /* vmw */
    {"StorageProfile", RH_F_NONE, NULL},
    {"NetworkConfigSection", RH_F_NONE, NULL},     /* vcloud */
    {"NetworkConnectionSection", RH_F_NONE, NULL}, /* vcloud */
    {"LeaseSettingsSection", RH_F_NONE, NULL},     /* vcloud */
    {"CustomizationSection", RH_F_NONE, NULL},     /* vcloud */
    {"EulaSection", RH_F_OVF_SECTION_DROPPED,
     N_("a licence agreement to accept")},
    {"ResourceAllocationSection", RH_F_OVF_SECTION_DROPPED,
     N_("reservations and limits of CPU and memory")},
    {"IpAssignmentSection", RH_F_OVF_SECTION_DROPPED,
     N_("vSphere hands out IP addresses")},
    {"InstallSection", RH_F_OVF_SECTION_CAUTION,
     N_("the VM installs itself when it first starts, and restarts")},
    {"EnvironmentFilesSection", RH_F_OVF_SECTION_CAUTION,
     N_("files that the hypervisor hands to the guest")},
    {"BootDeviceSection", RH_F_OVF_SECTION_CAUTION,
     N_("the order of boot devices in CIM's form")},
    {"SharedDiskSection", RH_F_OVF_SECTION_CAUTION,
     N_("disks that several VMs share; each gets a copy of its own")},
    {"ScaleOutSection", RH_F_OVF_SECTION_CAUTION,
     N_("copies of a VM to be made; one is")},
    {"PlacementSection", RH_F_OVF_SECTION_DROPPED,
     N_("rules on which hosts VMs run")},
    {"PlacementGroupSection", RH_F_OVF_SECTION_DROPPED,
     N_("rules on which hosts VMs run")},
    {"EncryptionSection", RH_F_OVF_ENCRYPTED, N_("the package is encrypted")},
};

static void other_section(struct rh_ovf *o, xmlNode *section,
                          struct rh_findings *findings, const char *subject)
{
    const char *name = rh_ovf_section(o, section);

    for (size_t i = 0; i < RH_COUNT(known); i++) {
        if (strcmp(known[i].name, name))
            continue;
        if (known[i].text)
            rh_finding_add(findings, known[i].id, subject, "%s: %s", name,
                           _(known[i].text));
        return;
    }
    rh_finding_add(findings, RH_F_OVF_SECTION_UNKNOWN, subject,
                   "rehost does not know the section %s (namespace %s)", name,
                   rh_xml_ns(section))
        ->severity =
        rh_ovf_required(o, section) ? RH_SEVERITY_CAUTION : RH_SEVERITY_INFO;
}

void rh_ovf_outer_section(struct rh_ovf *o, xmlNode *section)
{
    const char *name = rh_ovf_section(o, section);

    if (!strcmp(name, "ProductSection"))
        product(o, section, false, &o->p->findings);
    else if (strcmp(name, "AnnotationSection"))
        other_section(o, section, &o->p->findings, "package");
}

static bool has_transport(struct rh_ovf *o, const xmlNode *hardware)
{
    const char *transport =
        hardware ? rh_ovf_attr(o, hardware, "transport") : NULL;

    return transport && transport[0];
}

/* oVirt's BiosType: 1 i440FX and SeaBIOS, 2 Q35 and SeaBIOS, 3 Q35 and UEFI,
 * 4 that with Secure Boot; 0 leaves it to the cluster. */
static void ovirt_bios(struct rh_ovf *o, const xmlNode *node, struct rh_vm *vm)
{
    uint64_t n;

    if (!rh_parse_u64(rh_ovf_text(o, node), &n) || n < 1 || n > 4)
        return;
    rh_set_text(vm, &vm->machine, n == 1 ? "pc" : "q35", RH_FROM_OVF, NULL);
    rh_set_text(vm, &vm->firmware, n < 3 ? "bios" : "uefi", RH_FROM_OVF, NULL);
    if (n > 2)
        rh_set_bool(vm, &vm->secure_boot, n == 4, RH_FROM_OVF, NULL);
}

void rh_ovf_sections(struct rh_ovf *o, xmlNode *system, xmlNode *hardware,
                     const struct rh_items *items, struct rh_vm *vm,
                     struct rh_findings *findings)
{
    unsigned position = 0;

    if (hardware)
        configs(o, hardware, vm, findings);
    RH_EACH_CHILD(section, system)
    {
        const char *name = rh_ovf_section(o, section);

        if (!strcmp(name, "BiosType"))
            ovirt_bios(o, section, vm);
        if (!strcmp(name, "OperatingSystemSection"))
            operating_system(o, section, vm);
        else if (!strcmp(name, "AnnotationSection"))
            annotation(o, section, vm);
        else if (!strcmp(name, "ProductSection"))
            product(o, section, has_transport(o, hardware), findings);
        else if (!strcmp(name, "GuestCustomizationSection"))
            customization(o, section, vm, findings);
        else if (!strcmp(name, "BootOrderSection") &&
                 strcmp(rh_xml_ns(section), RH_NUTANIX_NS))
            boot_order(o, section, items, vm, &position);
        else if (!strcmp(name, "Machine"))
            rh_ovf_vbox(o, section, vm, findings);
        else if (strcmp(rh_xml_ns(section), RH_NUTANIX_NS))
            other_section(o, section, findings, "vm");
    }
    rh_ovf_nutanix(o, system, vm, findings);
}
