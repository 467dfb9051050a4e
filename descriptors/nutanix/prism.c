/* prism.c - a VM as Nutanix Prism answers it: v1, v2, v3, v4, and acli's tree.
 *
 * A table says where each version keeps each field; lists of disks and network
 * cards are read by code.  "num_vcpus" of v2 and acli counts sockets.  What
 * stands around an answer is prism_kinds.c's. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/fill.h"
#include "descriptors/nutanix/prism.h"
#include "descriptors/ovf/ovf.h"
#include "vm/order.h"

/* --- looking up
 * --------------------------------------------------------------------- */
/* Terraform writes a block as a list of one. */
static const json_t *alone(const json_t *o)
{
    return json_is_array(o) && json_array_size(o) == 1 ? json_array_get(o, 0)
                                                       : o;
}

const json_t *rh_prism_at(const json_t *o, const char *path)
{
    char key[64];

    while (o && *path) {
        size_t n = strcspn(path, "/");

        o = alone(o);
        snprintf(key, sizeof key, "%.*s", (int)RH_MIN(n, sizeof key - 1), path);
        o = json_object_get(o, key);
        path += n;
        path += *path == '/';
    }
    return o && !json_is_null(o) ? o : NULL;
}

static bool is_empty(const json_t *v)
{
    return (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v));
}

/* Several paths with '|' between; the first that holds something counts. */
static const json_t *find(const struct rh_prism_answer *a, const char *paths)
{
    char path[128];

    for (size_t i = 0; i < RH_COUNT(a->in); i++) {
        for (const char *p = paths; *p;) {
            size_t n = strcspn(p, "|");
            const json_t *found;

            snprintf(path, sizeof path, "%.*s", (int)n, p);
            found = rh_prism_at(a->in[i], path);
            if (found && !is_empty(found))
                return found;
            p += n;
            p += *p == '|';
        }
    }
    return NULL;
}

static const char *text_in(const json_t *o, const char *paths)
{
    struct rh_prism_answer a = {.in = {o}};
    const json_t *found = find(&a, paths);
    const char *text = json_string_value(found);

    return text && text[0] && strlen(text) <= 65536 ? text : NULL;
}

static bool number_in(const json_t *o, const char *paths, uint64_t *ret)
{
    struct rh_prism_answer a = {.in = {o}};
    const json_t *found = find(&a, paths);

    if (json_is_integer(found) && json_integer_value(found) >= 0) {
        *ret = (uint64_t)json_integer_value(found);
        return true;
    }
    return rh_parse_u64(json_string_value(found), ret);
}

static bool bool_in(const json_t *o, const char *paths, bool *ret)
{
    struct rh_prism_answer a = {.in = {o}};
    const json_t *found = find(&a, paths);

    if (json_is_boolean(found)) {
        *ret = json_is_true(found);
        return true;
    }
    return rh_parse_bool(json_string_value(found), ret);
}

/* --- single values
 * ---------------------------------------------------------------------- */
static const struct {
    const char *key;
    uint64_t factor; /* of a number */
    const char *path[RH_PRISM_KINDS];
} fields[] = {
    {"name", 0, {"vmName", "name", "name", "name", "name"}},
    {"annotation",
     0,
     {"description", "description", "description", "description",
      "annotation"}},
    {"uuid", 0, {"uuid", "uuid", "uuid", "biosUuid|extId", "uuid"}},
    {"machine",
     0,
     {NULL, "machine_type", "resources/machine_type", "machineType",
      "machine_type"}},
    {"memory_bytes",
     RH_MIB,
     {NULL, "memory_mb", "resources/memory_size_mib", NULL, "memory_mb"}},
    {"memory_bytes",
     1,
     {"memoryCapacityInBytes", NULL, NULL, "memorySizeBytes", NULL}},
    {"cpus", 1, {"numVCpus", NULL, NULL, NULL, NULL}},
    {"secure_boot",
     0,
     {NULL, "boot/secure_boot", NULL,
      "bootConfig/isSecureBootEnabled|bootConfig/uefiBoot/isSecureBootEnabled",
      "boot/secure_boot"}},
    {"tpm",
     0,
     {NULL, "vtpm_config/is_vtpm_enabled", "resources/vtpm_config/vtpm_enabled",
      "vtpmConfig/isVtpmEnabled", "vtpm_config/is_vtpm_enabled"}},
    {"nested_virtualization",
     0,
     {NULL, NULL, "resources/hardware_virtualization_enabled",
      "isCpuPassthroughEnabled", NULL}},
    {"os/vmware_id", 0, {NULL, NULL, "resources/guest_os_id", NULL, NULL}},
    {"os/name",
     0,
     {"guestOperatingSystem", "guest_os",
      "resources/guest_tools/nutanix_guest_tools/guest_os_version",
      "guestTools/guestOsVersion", NULL}},
    {"cpu_hot_add", 0, {NULL, NULL, NULL, "isCpuHotplugEnabled", NULL}},
};

/* NULL: it is no single value, or no number. */
static const char *as_text(const json_t *v, uint64_t factor, char *buf,
                           size_t n)
{
    uint64_t number;

    if (json_is_boolean(v))
        return json_is_true(v) ? "true" : "false";
    if (json_is_string(v) && !factor)
        return json_string_value(v);
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        number = (uint64_t)json_integer_value(v);
    else if (!rh_parse_u64(json_string_value(v), &number))
        return NULL;
    if (rh_mul_overflows(number, factor ? factor : 1, &number))
        return NULL;
    snprintf(buf, n, "%" PRIu64, number);
    return buf;
}

/* A value that is not what its field wants is left out, and said. */
static void put(struct rh_prism_answer *a, const char *key, const char *text)
{
    rh_error *e = NULL;

    if (!text || !text[0] ||
        !rh_vm_set(a->to->vm, key, text, a->from, a->f->name, &e))
        return;
    rh_finding_add(&a->to->findings, RH_F_FILL_VALUE, key, "%s: %s (left out)",
                   a->f->name, rh_error_message(e));
    rh_error_drop(&e);
}

static void singles(struct rh_prism_answer *a)
{
    char number[32];
    const char *text;

    for (size_t i = 0; i < RH_COUNT(fields); i++) {
        const char *path = fields[i].path[a->kind];
        const json_t *v = path ? find(a, path) : NULL;

        /* AHV's own UUIDs are sound; a made-up one is no reason to stop. */
        if (!v)
            continue;
        text = as_text(v, fields[i].factor, number, sizeof number);
        if (text)
            put(a, fields[i].key, text);
        else
            rh_prism_wrong(a, path, v);
    }
}

static void topology(struct rh_prism_answer *a)
{
    static const char *const paths[][RH_PRISM_KINDS] = {
        {"", "num_vcpus", "resources/num_sockets", "numSockets", "num_vcpus"},
        {"", "num_cores_per_vcpu", "resources/num_vcpus_per_socket",
         "numCoresPerSocket", "num_cores_per_vcpu"},
        {"", "num_threads_per_core", "resources/num_threads_per_core",
         "numThreadsPerCore", "num_threads_per_core"}};
    struct rh_vm *vm = a->to->vm;
    uint64_t n[3] = {0};
    char number[32] = "";

    for (size_t i = 0; i < 3; i++) {
        const json_t *v = find(a, paths[i][a->kind]);

        if (!v)
            continue;
        if (!as_text(v, 1, number, sizeof number) ||
            !rh_parse_u64(number, &n[i]) || n[i] > 4096) {
            rh_prism_wrong(a, paths[i][a->kind], v);
            n[i] = 0;
        }
    }
    if (n[1])
        rh_set_number(vm, &vm->cores_per_socket, n[1], a->from, a->f->name);
    if (n[2])
        rh_set_number(vm, &vm->threads_per_core, n[2], a->from, a->f->name);
    if (n[0])
        rh_set_number(vm, &vm->cpus,
                      n[0] * (n[1] ? n[1] : 1) * (n[2] ? n[2] : 1), a->from,
                      a->f->name);
}

/* --- boot and clock
 * ------------------------------------------------------------------------ */
static bool in_answer(const struct rh_prism_answer *a, const char *path,
                      bool *ret)
{
    const json_t *v = find(a, path);

    if (json_is_boolean(v))
        *ret = json_is_true(v);
    return json_is_boolean(v) || rh_parse_bool(json_string_value(v), ret);
}

/* Ansible leaves $objectType out, Terraform names the block. */
static const char *by_block(const struct rh_prism_answer *a)
{
    if (find(a, "bootConfig/uefiBoot|bootConfig/nvramDevice|"
                "bootConfig/isSecureBootEnabled"))
        return "uefi";
    return find(a, "bootConfig/legacyBoot") ? "bios" : NULL;
}

static const char *firmware_of(struct rh_prism_answer *a)
{
    const char *type = json_string_value(
        find(a, a->kind == RH_PRISM_V3
                    ? "resources/boot_config/boot_type|resources/boot_type"
                    : "bootConfig/$objectType"));
    bool uefi = false, secure = false;

    if (a->kind == RH_PRISM_V2 || a->kind == RH_PRISM_ACLI) {
        bool said = in_answer(a, "boot/uefi_boot", &uefi);

        in_answer(a, "boot/secure_boot", &secure);
        if (uefi || secure)
            return "uefi";
        /* acli leaves the whole block out of a BIOS machine. */
        return said || (a->kind == RH_PRISM_ACLI && !find(a, "boot")) ? "bios"
                                                                      : NULL;
    }
    if (!type)
        return by_block(a);
    if (strstr(type, "LegacyBoot") || !strcmp(type, "LEGACY"))
        return "bios";
    return strstr(type, "UefiBoot") || !strcmp(type, "UEFI") ||
                   !strcmp(type, "SECURE_BOOT")
               ? "uefi"
               : NULL;
}

static void boot(struct rh_prism_answer *a)
{
    static const char *const words[][2] = {{"DISK", "disk"},
                                           {"CDROM", "cdrom"},
                                           {"NETWORK", "network"},
                                           {"NIC", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};
    const json_t *list = find(a, "boot/boot_device_order|resources/boot_config/"
                                 "boot_device_order_list|bootConfig/bootOrder|"
                                 "bootConfig/legacyBoot/bootOrder|"
                                 "bootConfig/uefiBoot/bootOrder|"
                                 "resources/boot_device_order_list");
    const char *type =
        json_string_value(find(a, "resources/boot_config/boot_type|"
                                  "resources/boot_type"));

    put(a, "firmware", firmware_of(a));
    if (type && a->kind == RH_PRISM_V3)
        put(a, "secure_boot", strcmp(type, "SECURE_BOOT") ? "false" : "true");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));

        for (size_t w = 0; word && w < RH_COUNT(words); w++) {
            if (rh_same_word(words[w][0], word) &&
                !(order.data && strstr(order.data, words[w][1])))
                rh_buf_printf(&order, "%s%s", order.length ? "," : "",
                              words[w][1]);
        }
    }
    put(a, "boot_order", order.data);
}

static void clock_of(struct rh_prism_answer *a)
{
    const char *zone =
        json_string_value(find(a, "timezone|resources/hardware_clock_timezone|"
                                  "hardwareClockTimezone|hwclock_timezone"));

    if (!zone || !zone[0])
        return;
    put(a, "timezone", zone);
    put(a, "clock", rh_same_word(zone, "UTC") ? "utc" : "localtime");
}

/* --- disks
 * ------------------------------------------------------------------------------------
 */
static const char *controller_of(const char *bus)
{
    static const char *const words[][2] = {
        {"scsi", "virtio-scsi"}, {"ide", "ide"},   {"sata", "sata"},
        {"pci", "virtio-blk"},   {"nvme", "nvme"}, {"spapr", "virtio-scsi"}};

    if (bus && !strncmp(bus, "k", 1) && bus[1] >= 'A' && bus[1] <= 'Z')
        bus++; /* kSCSI */
    for (size_t i = 0; bus && i < RH_COUNT(words); i++) {
        if (rh_same_word(words[i][0], bus))
            return words[i][1];
    }
    return NULL;
}

/* Where every version keeps the parts of an address. */
#define BUS                                                                \
    "disk_address/device_bus|device_properties/disk_address/adapter_type|" \
    "diskAddress/busType|addr/bus"
#define INDEX                                                                \
    "disk_address/device_index|device_properties/disk_address/device_index|" \
    "diskAddress/index|addr/index"

static void place(struct rh_prism_answer *a, const json_t *d,
                  struct rh_value *controller, struct rh_value *bus,
                  struct rh_value *unit)
{
    struct rh_vm *vm = a->to->vm;
    uint64_t n = 0;

    rh_set_text(vm, controller, controller_of(text_in(d, BUS)), a->from,
                a->f->name);
    rh_set_number(vm, bus, 0, a->from, a->f->name);
    /* acli's text leaves out a zero. */
    if (number_in(d, INDEX, &n) ? n <= 255 : a->kind == RH_PRISM_ACLI)
        rh_set_number(vm, unit, n, a->from, a->f->name);
}

static bool is_cdrom(const json_t *d)
{
    const char *type = text_in(d, "device_properties/device_type");
    bool b = false;

    return (bool_in(d, "is_cdrom|cdrom", &b) && b) ||
           rh_same_word(type, "CDROM");
}

static bool in_volume_group(const json_t *d)
{
    struct rh_prism_answer a = {.in = {d}};
    const char *type = text_in(d, "backingInfo/$objectType");

    return find(&a, "volume_group_reference|volume_group_uuid|"
                    "disk_address/volume_group_uuid") ||
           (type && strstr(type, "VolumeGroup"));
}

static void add_disk(struct rh_prism_answer *a, const json_t *d)
{
    struct rh_vm *vm = a->to->vm;
    struct rh_disk_config *disk;
    uint64_t n;

    if (in_volume_group(d)) {
        rh_finding_add(
            &a->to->findings, RH_F_NUTANIX_VOLUME_GROUP, "vm",
            "%s: a disk on the %s bus belongs to a volume group, which no "
            "export holds",
            a->f->name, text_in(d, BUS) ? text_in(d, BUS) : "?");
        return;
    }
    disk = rh_vec_add(&vm->disks);
    rh_set_text(vm, &disk->id,
                text_in(d, "disk_address/vmdisk_uuid|backingInfo/diskExtId|"
                           "backingInfo/vmDisk/diskExtId|extId|vmdisk_uuid|"
                           "uuid"),
                a->from, a->f->name);
    place(a, d, &disk->controller, &disk->bus, &disk->unit);
    if (number_in(d,
                  "size|disk_size_bytes|backingInfo/diskSizeBytes|"
                  "backingInfo/vmDisk/diskSizeBytes|vmdisk_size",
                  &n) &&
        n)
        rh_set_number(vm, &disk->capacity_bytes, n, a->from, a->f->name);
    else if (number_in(d, "disk_size_mib", &n) && n && n < INT64_MAX / RH_MIB)
        rh_set_number(vm, &disk->capacity_bytes, n * RH_MIB, a->from,
                      a->f->name);
}

/* v1 has no more than the UUIDs, in no order. */
static void v1_disks(struct rh_prism_answer *a)
{
    const json_t *list = find(a, "nutanixVirtualDiskUuids");
    struct rh_vm *vm = a->to->vm;

    for (size_t i = 0; i < json_array_size(list) && i < RH_LIMIT_VM_DISKS;
         i++) {
        const char *id = json_string_value(json_array_get(list, i));

        if (id)
            rh_set_text(vm,
                        &((struct rh_disk_config *)rh_vec_add(&vm->disks))->id,
                        id, a->from, a->f->name);
    }
}

static void disks(struct rh_prism_answer *a)
{
    const json_t *list =
        find(a, "vm_disk_info|resources/disk_list|disks|disk_list");
    const json_t *cds = find(a, "cdRoms");
    struct rh_vm *vm = a->to->vm;
    size_t count = json_is_object(list) ? 1 : json_array_size(list);

    for (size_t i = 0; i < count + json_array_size(cds); i++) {
        const json_t *d = i >= count ? json_array_get(cds, i - count)
                          : json_is_object(list) ? list
                                                 : json_array_get(list, i);

        if (i >= count || is_cdrom(d)) {
            struct rh_cdrom_config *cd;

            if (vm->cdroms.count >= RH_LIMIT_VM_DISKS)
                continue;
            cd = rh_vec_add(&vm->cdroms);
            place(a, d, &cd->controller, &cd->bus, &cd->unit);
        } else if (vm->disks.count < RH_LIMIT_VM_DISKS) {
            add_disk(a, d);
        }
    }
    if (a->kind == RH_PRISM_V1)
        v1_disks(a);
    /* The order of Prism's lists means nothing. */
    rh_vm_sort_disks(vm);
}

/* --- network cards
 * ------------------------------------------------------------------------------
 */
/* v4 names the kind of its backing, the others the kind of NIC. */
static bool is_sriov(const json_t *n)
{
    const char *backing = text_in(n, "nicBackingInfo/$objectType");
    const char *type = text_in(n, "nic_type|networkInfo/nicType|type");

    return (backing && strcasestr(backing, "sriov")) ||
           rh_same_word(type, "DIRECT_NIC") || rh_same_word(type, "kDirectNic");
}

static void add_nic(struct rh_prism_answer *a, const json_t *n, size_t i)
{
    const char *model =
        text_in(n, "model|backingInfo/model|nicBackingInfo/model");
    const char *network =
        text_in(n, "network_name|subnet_reference/name|subnet_reference/uuid|"
                   "networkInfo/subnet/name|networkInfo/subnet/extId|"
                   "nicNetworkInfo/virtualEthernetNicNetworkInfo/subnet/extId|"
                   "nicNetworkInfo/subnet/extId|network_uuid");
    char key[48];
    bool b;

    rh_vec_add(&a->to->vm->nics);
    if (is_sriov(n)) {
        snprintf(key, sizeof key, "nics/%zu", i);
        rh_finding_add(
            &a->to->findings, RH_F_DEVICE_SRIOV, key,
            "%s: NIC %zu is an SR-IOV function of the host; it becomes an "
            "ordinary one",
            a->f->name, i);
        model = "sriov";
    }
    snprintf(key, sizeof key, "nics/%zu/mac", i);
    put(a, key,
        text_in(n, "mac_address|mac_addr|backingInfo/macAddress|"
                   "nicBackingInfo/virtualEthernetNic/macAddress|"
                   "nicBackingInfo/macAddress"));
    snprintf(key, sizeof key, "nics/%zu/network", i);
    put(a, key, network);
    snprintf(key, sizeof key, "nics/%zu/model", i);
    /* AHV's card is virtio unless another one is named. */
    put(a, key, model ? model : "virtio");
    snprintf(key, sizeof key, "nics/%zu/connected", i);
    if (bool_in(n,
                "is_connected|backingInfo/isConnected|"
                "nicBackingInfo/virtualEthernetNic/isConnected|"
                "nicBackingInfo/isConnected",
                &b))
        put(a, key, b ? "true" : "false");
}

/* "CLUSTER::VM:50:6b:8d:c5:d4:8a" */
static void v1_nics(struct rh_prism_answer *a)
{
    const json_t *list = find(a, "virtualNicIds");
    char key[48];

    for (size_t i = 0; i < json_array_size(list) && i < RH_LIMIT_VM_NICS; i++) {
        const char *id = json_string_value(json_array_get(list, i));
        size_t n = id ? strlen(id) : 0;

        rh_vec_add(&a->to->vm->nics);
        snprintf(key, sizeof key, "nics/%zu/mac", i);
        if (n >= 17)
            put(a, key, id + n - 17);
        snprintf(key, sizeof key, "nics/%zu/model", i);
        put(a, key, "virtio");
    }
}

static void nics(struct rh_prism_answer *a)
{
    const json_t *list = find(a, "vm_nics|resources/nic_list|nics|nic_list");
    size_t count = json_is_object(list) ? 1 : json_array_size(list);

    for (size_t i = 0; i < count && i < RH_LIMIT_VM_NICS; i++)
        add_nic(a, json_is_object(list) ? list : json_array_get(list, i), i);
    if (a->kind == RH_PRISM_V1)
        v1_nics(a);
}

/* --- what has no place
 * ------------------------------------------------------------------------------
 */
/* One is an object in acli's text, and a list elsewhere. */
static void gpus(struct rh_prism_answer *a, const json_t *list)
{
    size_t count = json_is_object(list) ? 1 : json_array_size(list);

    for (size_t i = 0; i < count && i < RH_LIMIT_VM_NICS; i++) {
        const json_t *g = json_is_object(list) ? list : json_array_get(list, i);
        const char *mode = text_in(g, "mode|gpu_mode|gpu_type|type");
        bool shared = mode && strcasestr(mode, "virtual");

        rh_vm_add_device(a->to->vm, &a->to->findings,
                         shared ? "vgpu" : "pci-passthrough", "GPU",
                         text_in(g, "name|gpu_profile|assignable"), true);
    }
}

static void rest(struct rh_prism_answer *a)
{
    static const char *const names[][2] = {
        {"categories|metadata/categories", N_("categories")},
        {"resources/guest_customization|guestCustomization",
         N_("guest customisation")},
        {"affinity|hostAffinity", N_("affinity")},
        {"resources/vnuma_config/num_vnuma_nodes", N_("virtual NUMA")}};
    RH_AUTO(rh_buf_free) struct rh_buf list = {0};
    struct rh_vm *vm = a->to->vm;

    for (size_t i = 0; i < RH_COUNT(names); i++) {
        const json_t *v = find(a, names[i][0]);

        if (v && !(json_is_integer(v) && !json_integer_value(v)))
            rh_buf_printf(&list, "%s%s", list.length ? ", " : "",
                          _(names[i][1]));
    }
    if (list.length)
        rh_finding_add(&a->to->findings, RH_F_FILL_NOT_CARRIED, "vm",
                       "%s: not carried over: %s", a->f->name, list.data);
    gpus(a, find(a, "vm_gpus|resources/gpu_list|gpus|gpu_list"));
    if (find(a, "resources/serial_port_list|serialPorts|serial_port_list"))
        rh_vm_add_device(vm, &a->to->findings, "serial", "serial port", NULL,
                         false);
    if (vm->tpm.boolean)
        rh_vm_add_device(vm, &a->to->findings, "tpm", "vTPM", NULL, true);
}

/* --- one VM
 * ---------------------------------------------------------------------------------
 */
void rh_prism_read(struct rh_prism_answer *a)
{
    a->to->vm->source_kind = "nutanix";
    a->from = a->f->from ? a->f->from : RH_FROM_FILL;
    for (size_t i = 0; i < RH_COUNT(a->in); i++)
        rh_prism_check(a, a->in[i]);
    singles(a);
    topology(a);
    boot(a);
    clock_of(a);
    disks(a);
    nics(a);
    rest(a);
}

int rh_fill_acli_vm(struct rh_fill *f, const char *name, const json_t *vm,
                    rh_error **err)
{
    struct rh_prism_answer a = {
        .f = f, .kind = RH_PRISM_ACLI, .in = {rh_prism_at(vm, "config"), vm}};

    if (!json_is_object(vm) || !json_is_object(a.in[0]))
        return rh_fail(err, RH_ERR_FILL_KIND,
                       "the block \"%s\" has no \"config\"", name);
    a.to = rh_fill_add(f, name);
    rh_prism_read(&a);
    return 0;
}
