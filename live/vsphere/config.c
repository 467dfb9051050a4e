/* config.c - a VM's configuration: VirtualMachineConfigInfo as values. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/settings.h"
#include "live/vsphere/machine.h"

static const enum rh_from FROM = RH_FROM_VSPHERE;

static void set_text(struct rh_vm *vm, struct rh_value *v, const char *text)
{
    if (text[0])
        rh_set_text(vm, v, text, FROM, NULL);
}

static void set_flag(struct rh_vm *vm, struct rh_value *v, const xmlNode *in,
                     const char *path)
{
    const xmlNode *node = rh_vs_at(in, path);

    if (node)
        rh_set_bool(vm, v, rh_vs_true_at(node, ""), FROM, NULL);
}

/* --- the machine ------------------------------------------------------------
 */

static void processors(const xmlNode *config, struct rh_vm *vm)
{
    uint64_t n;

    if (rh_vs_number_at(config, "hardware/numCPU", &n) && n && n <= 4096)
        rh_set_number(vm, &vm->cpus, n, FROM, NULL);
    /* 0: chosen when it starts (8.0 and later). */
    if (rh_vs_number_at(config, "hardware/numCoresPerSocket", &n) && n &&
        n <= 4096)
        rh_set_number(vm, &vm->cores_per_socket, n, FROM, NULL);
    if (rh_vs_number_at(config, "hardware/memoryMB", &n) && n &&
        n < 1024 * RH_TIB / RH_MIB)
        rh_set_number(vm, &vm->memory_bytes, n * RH_MIB, FROM, NULL);
    set_flag(vm, &vm->cpu_hot_add, config, "cpuHotAddEnabled");
    set_flag(vm, &vm->memory_hot_add, config, "memoryHotAddEnabled");
    set_flag(vm, &vm->nested_virtualization, config, "nestedHVEnabled");
    set_flag(vm, &vm->vbs, config, "flags/vbsEnabled");
}

static void firmware(const xmlNode *config, struct rh_vm *vm)
{
    const char *said = rh_vs_text_at(config, "firmware");

    if (said[0])
        rh_set_text(vm, &vm->firmware, strcmp(said, "efi") ? "bios" : "uefi",
                    FROM, NULL);
    set_flag(vm, &vm->secure_boot, config, "bootOptions/efiSecureBootEnabled");
}

static void identity(const xmlNode *config, struct rh_vm *vm)
{
    const char *instance = rh_vs_text_at(config, "instanceUuid");
    RH_AUTO(rh_freep)
    char *detail =
        instance[0] ? rh_printf("instanceUuid %.60s", instance) : NULL;
    rh_error *ignored = NULL;

    set_text(vm, &vm->name, rh_vs_text_at(config, "name"));
    set_text(vm, &vm->annotation, rh_vs_text_at(config, "annotation"));
    set_text(vm, &vm->os_vmware_id, rh_vs_text_at(config, "guestId"));
    if (rh_vm_set(vm, "uuid", rh_vs_text_at(config, "uuid"), FROM,
                  rh_arena_strdup(vm->arena, detail), &ignored))
        rh_error_drop(&ignored);
}

/* --- the order of starting ---------------------------------------------------
 */

static void boot_order(const xmlNode *config, struct rh_vm *vm)
{
    static const char *const kinds[][2] = {
        {"BootableDiskDevice", "disk"},
        {"BootableCdromDevice", "cdrom"},
        {"BootableEthernetDevice", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};

    for (xmlNode *b = rh_vs_at(config, "bootOptions/bootOrder"); b;
         b = rh_vs_next(b)) {
        RH_AUTO(rh_freep) char *type = rh_vs_type(b);

        for (size_t i = 0; i < RH_COUNT(kinds); i++)
            if (strstr(type, kinds[i][0]) &&
                !(order.data && strstr(order.data, kinds[i][1])))
                rh_buf_printf(&order, "%s%s", order.length ? "," : "",
                              kinds[i][1]);
    }
    if (order.length)
        rh_set_text(vm, &vm->boot_order, order.data, FROM, NULL);
}

/* --- settings that people should know ----------------------------------------
 */

/* extraConfig is what a .vmx says and the API has no name for. */
static void extra(const xmlNode *config, struct rh_vm *vm,
                  struct rh_findings *findings)
{
    for (xmlNode *o = rh_vs_child(config, "extraConfig"); o;
         o = rh_vs_next(o)) {
        const char *key = rh_vs_text_at(o, "key");
        const char *value = rh_vs_text_at(o, "value");

        rh_vmware_setting(key, value, findings);
        if (rh_same_word(key, "rtc.diffFromUTC") && value[0])
            rh_set_text(vm, &vm->clock,
                        strcmp(value, "0") ? "localtime" : "utc", FROM,
                        "rtc.diffFromUTC");
    }
}

static void allocation(const xmlNode *config, const char *which,
                       const char *name, struct rh_findings *findings)
{
    const xmlNode *a = rh_vs_child(config, which);
    RH_AUTO(rh_freep) char *min = rh_printf("sched.%s.min", name);
    RH_AUTO(rh_freep) char *max = rh_printf("sched.%s.max", name);
    RH_AUTO(rh_freep) char *shares = rh_printf("sched.%s.shares", name);
    const char *level = rh_vs_text_at(a, "shares/level");

    rh_vmware_setting(min, rh_vs_text_at(a, "reservation"), findings);
    rh_vmware_setting(max, rh_vs_text_at(a, "limit"), findings);
    rh_vmware_setting(shares, level, findings);
}

static void settings(const xmlNode *config, struct rh_findings *findings)
{
    static const char *const paths[][2] = {
        {"changeTrackingEnabled", "changeTrackingEnabled"},
        {"memoryReservationLockedToMax", "memoryReservationLockedToMax"},
        {"tools.syncTimeWithHost", "tools/syncTimeWithHost"},
        {"sevEnabled", "sevEnabled"},
        {"sgxInfo.epcSize", "sgxInfo/epcSize"},
        {"latencySensitivity.level", "latencySensitivity/level"},
    };

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        rh_vmware_setting(paths[i][0], rh_vs_text_at(config, paths[i][1]),
                          findings);
    allocation(config, "cpuAllocation", "cpu", findings);
    allocation(config, "memoryAllocation", "mem", findings);
    if (rh_vs_true_at(config, "flags/vvtdEnabled"))
        rh_finding_add(findings, RH_F_VM_PROTECTION, "vm",
                       "%s is on in the source; it is not set up on the target",
                       "vvtdEnabled");
    if (rh_vs_at(config, "vAppConfig/property"))
        rh_finding_add(findings, RH_F_VAPP_PROPERTIES, "vm",
                       "vSphere hands settings to the guest (vApp properties)");
}

static void standing(const xmlNode *object, struct rh_findings *findings)
{
    const char *ft =
        rh_vs_text(rh_vs_property(object, "runtime.faultToleranceState"));

    if (ft[0] && strcmp(ft, "notConfigured"))
        rh_finding_add(findings, RH_F_VM_PROTECTION, "vm",
                       "%s is on in the source; it is not set up on the target",
                       "Fault Tolerance");
}

void rh_vs_config(const xmlNode *object, struct rh_vm *vm,
                  struct rh_findings *findings)
{
    const xmlNode *config = rh_vs_property(object, "config");

    vm->source_kind = "vmware";
    identity(config, vm);
    processors(config, vm);
    firmware(config, vm);
    boot_order(config, vm);
    extra(config, vm, findings);
    settings(config, findings);
    standing(object, findings);
}
