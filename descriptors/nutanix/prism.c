/* prism.c - a VM as Nutanix Prism answers it: v2, v3, v4, and acli's tree.
 *
 * A table says where each version keeps each field; lists of disks and network
 * cards are read by code.  "num_vcpus" of v2 and acli counts sockets. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/fill.h"
#include "vm/order.h"
#include "descriptors/ovf/ovf.h"

enum version { NONE, V2, V3, V4, ACLI };

/* One VM's answer, and the objects in which a path is looked for in turn: a v3
 * answer may repeat lists in its status only. */
struct answer {
    struct rh_fill *f;
    struct rh_fill_vm *to;
    enum version version;
    const json_t *in[3];
};

/* --- looking up
 * --------------------------------------------------------------------- */
static const json_t *at(const json_t *o, const char *path)
{
    char key[64];

    while (o && *path) {
        size_t n = strcspn(path, "/");

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
static const json_t *find(const struct answer *a, const char *paths)
{
    char path[128];

    for (size_t i = 0; i < RH_COUNT(a->in); i++) {
        for (const char *p = paths; *p;) {
            size_t n = strcspn(p, "|");
            const json_t *found;

            snprintf(path, sizeof path, "%.*s", (int)n, p);
            found = at(a->in[i], path);
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
    struct answer a = {.in = {o}};
    const json_t *found = find(&a, paths);
    const char *text = json_string_value(found);

    return text && text[0] && strlen(text) <= 65536 ? text : NULL;
}

static bool number_in(const json_t *o, const char *paths, uint64_t *ret)
{
    struct answer a = {.in = {o}};
    const json_t *found = find(&a, paths);

    if (json_is_integer(found) && json_integer_value(found) >= 0) {
        *ret = (uint64_t)json_integer_value(found);
        return true;
    }
    return rh_parse_u64(json_string_value(found), ret);
}

static bool bool_in(const json_t *o, const char *paths, bool *ret)
{
    struct answer a = {.in = {o}};
    const json_t *found = find(&a, paths);

    if (json_is_boolean(found)) {
        *ret = json_is_true(found);
        return true;
    }
    return rh_parse_bool(json_string_value(found), ret);
}

/* --- single values
 * ---------------------------------------------------------------------- */
/* By version: v2, v3, v4, acli. */
static const struct {
    const char *key;
    uint64_t factor; /* of a number */
    const char *path[4];
} fields[] = {
    {"name", 0, {"name", "name", "name", "name"}},
    {"annotation",
     0,
     {"description", "description", "description", "annotation"}},
    {"uuid", 0, {"uuid", "uuid", "biosUuid|extId", "uuid"}},
    {"machine",
     0,
     {"machine_type", "resources/machine_type", "machineType", "machine_type"}},
    {"memory_bytes",
     RH_MIB,
     {"memory_mb", "resources/memory_size_mib", NULL, "memory_mb"}},
    {"memory_bytes", 1, {NULL, NULL, "memorySizeBytes", NULL}},
    {"secure_boot",
     0,
     {"boot/secure_boot", NULL, "bootConfig/isSecureBootEnabled",
      "boot/secure_boot"}},
    {"tpm",
     0,
     {"vtpm_config/is_vtpm_enabled", "resources/vtpm_config/vtpm_enabled",
      "vtpmConfig/isVtpmEnabled", "vtpm_config/is_vtpm_enabled"}},
    {"nested_virtualization",
     0,
     {NULL, "resources/hardware_virtualization_enabled",
      "isCpuPassthroughEnabled", NULL}},
    {"os/vmware_id", 0, {NULL, "resources/guest_os_id", NULL, NULL}},
    {"os/name",
     0,
     {"guest_os", "resources/guest_tools/nutanix_guest_tools/guest_os_version",
      "guestTools/guestOsVersion", NULL}},
    {"cpu_hot_add", 0, {NULL, NULL, "isCpuHotplugEnabled", NULL}},
};

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
        return "";
    if (rh_mul_overflows(number, factor ? factor : 1, &number))
        return "";
    snprintf(buf, n, "%" PRIu64, number);
    return buf;
}

/* A value that is not what its field wants is left out, and said. */
static void put(struct answer *a, const char *key, const char *text)
{
    rh_error *e = NULL;

    if (!text || !text[0] ||
        !rh_vm_set(a->to->vm, key, text, RH_FROM_FILL, a->f->name, &e))
        return;
    rh_finding_add(&a->to->findings, RH_F_FILL_VALUE, key, "%s: %s (left out)",
                   a->f->name, rh_error_message(e));
    rh_error_drop(&e);
}

static void singles(struct answer *a)
{
    char number[32];

    for (size_t i = 0; i < RH_COUNT(fields); i++) {
        const char *path = fields[i].path[a->version - V2];
        const json_t *v = path ? find(a, path) : NULL;

        /* AHV's own UUIDs are sound; a made-up one is no reason to stop. */
        if (v)
            put(a, fields[i].key,
                as_text(v, fields[i].factor, number, sizeof number));
    }
}

static void topology(struct answer *a)
{
    static const char *const paths[][4] = {
        {"num_vcpus", "resources/num_sockets", "numSockets", "num_vcpus"},
        {"num_cores_per_vcpu", "resources/num_vcpus_per_socket",
         "numCoresPerSocket", "num_cores_per_vcpu"},
        {"num_threads_per_core", "resources/num_threads_per_core",
         "numThreadsPerCore", "num_threads_per_core"}};
    struct rh_vm *vm = a->to->vm;
    uint64_t n[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        const json_t *v = find(a, paths[i][a->version - V2]);

        if (json_is_integer(v) && json_integer_value(v) > 0 &&
            json_integer_value(v) <= 4096)
            n[i] = (uint64_t)json_integer_value(v);
    }
    if (n[1])
        rh_set_number(vm, &vm->cores_per_socket, n[1], RH_FROM_FILL,
                      a->f->name);
    if (n[2])
        rh_set_number(vm, &vm->threads_per_core, n[2], RH_FROM_FILL,
                      a->f->name);
    if (n[0])
        rh_set_number(vm, &vm->cpus,
                      n[0] * (n[1] ? n[1] : 1) * (n[2] ? n[2] : 1),
                      RH_FROM_FILL, a->f->name);
}

/* --- boot and clock
 * ------------------------------------------------------------------------ */
static const char *firmware_of(struct answer *a)
{
    const char *type = json_string_value(
        find(a, a->version == V3 ? "resources/boot_config/boot_type"
                                 : "bootConfig/$objectType"));
    const json_t *uefi = find(a, "boot/uefi_boot");
    const json_t *secure = find(a, "boot/secure_boot");

    if (a->version == V2 || a->version == ACLI) {
        if (json_is_true(uefi) || json_is_true(secure))
            return "uefi";
        /* acli leaves the whole block out of a BIOS machine. */
        return uefi || a->version == ACLI ? "bios" : NULL;
    }
    if (!type)
        return NULL;
    if (strstr(type, "LegacyBoot") || !strcmp(type, "LEGACY"))
        return "bios";
    return strstr(type, "UefiBoot") || !strcmp(type, "UEFI") ||
                   !strcmp(type, "SECURE_BOOT")
               ? "uefi"
               : NULL;
}

static void boot(struct answer *a)
{
    static const char *const words[][2] = {{"DISK", "disk"},
                                           {"CDROM", "cdrom"},
                                           {"NETWORK", "network"},
                                           {"NIC", "network"}};
    RH_AUTO(rh_buf_free) struct rh_buf order = {0};
    const json_t *list = find(a, "boot/boot_device_order|resources/boot_config/"
                                 "boot_device_order_list|bootConfig/bootOrder");
    const char *type =
        json_string_value(find(a, "resources/boot_config/boot_type"));

    put(a, "firmware", firmware_of(a));
    if (type && a->version == V3)
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

static void clock_of(struct answer *a)
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

static void place(struct answer *a, const json_t *d,
                  struct rh_value *controller, struct rh_value *bus,
                  struct rh_value *unit)
{
    struct rh_vm *vm = a->to->vm;
    uint64_t n = 0;

    rh_set_text(vm, controller, controller_of(text_in(d, BUS)), RH_FROM_FILL,
                a->f->name);
    rh_set_number(vm, bus, 0, RH_FROM_FILL, a->f->name);
    /* acli's text leaves out a zero. */
    if (number_in(d, INDEX, &n) ? n <= 255 : a->version == ACLI)
        rh_set_number(vm, unit, n, RH_FROM_FILL, a->f->name);
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
    struct answer a = {.in = {d}};
    const char *type = text_in(d, "backingInfo/$objectType");

    return find(&a, "volume_group_reference|volume_group_uuid|"
                    "disk_address/volume_group_uuid") ||
           (type && strstr(type, "VolumeGroup"));
}

static void add_disk(struct answer *a, const json_t *d)
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
                           "extId|vmdisk_uuid|uuid"),
                RH_FROM_FILL, a->f->name);
    place(a, d, &disk->controller, &disk->bus, &disk->unit);
    if (number_in(d,
                  "size|disk_size_bytes|backingInfo/diskSizeBytes|"
                  "vmdisk_size",
                  &n) &&
        n)
        rh_set_number(vm, &disk->capacity_bytes, n, RH_FROM_FILL, a->f->name);
    else if (number_in(d, "disk_size_mib", &n) && n && n < INT64_MAX / RH_MIB)
        rh_set_number(vm, &disk->capacity_bytes, n * RH_MIB, RH_FROM_FILL,
                      a->f->name);
}

static void disks(struct answer *a)
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

static void add_nic(struct answer *a, const json_t *n, size_t i)
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

static void nics(struct answer *a)
{
    const json_t *list = find(a, "vm_nics|resources/nic_list|nics|nic_list");
    size_t count = json_is_object(list) ? 1 : json_array_size(list);

    for (size_t i = 0; i < count && i < RH_LIMIT_VM_NICS; i++)
        add_nic(a, json_is_object(list) ? list : json_array_get(list, i), i);
}

/* --- what has no place
 * ------------------------------------------------------------------------------
 */
/* One is an object in acli's text, and a list elsewhere. */
static void gpus(struct answer *a, const json_t *list)
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

static void rest(struct answer *a)
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

/* --- one VM, or a list
 * ---------------------------------------------------------------------------------
 */
static enum version version_of(const json_t *vm)
{
    if (!json_is_object(vm))
        return NONE;
    if (at(vm, "$objectType") || at(vm, "extId"))
        return V4;
    if (at(vm, "spec/resources") || at(vm, "status/resources"))
        return V3;
    return at(vm, "memory_mb") && at(vm, "num_vcpus") ? V2 : NONE;
}

/* {"data": {...}}, {"data": [...]}, {"entities": [...]}, [...], {...} */
static const json_t *unwrapped(const json_t *doc)
{
    if (json_is_object(doc) && at(doc, "data"))
        return at(doc, "data");
    return json_is_object(doc) && at(doc, "entities") ? at(doc, "entities")
                                                      : doc;
}

bool rh_fill_is_prism(const json_t *doc)
{
    doc = unwrapped(doc);
    return version_of(json_is_array(doc) ? json_array_get(doc, 0) : doc) !=
           NONE;
}

static void read_answer(struct answer *a)
{
    a->to->vm->source_kind = "nutanix";
    singles(a);
    topology(a);
    boot(a);
    clock_of(a);
    disks(a);
    nics(a);
    rest(a);
}

static void read_vm(struct rh_fill *f, const json_t *vm)
{
    static const char *const kinds[] = {"", "Prism v2", "Prism v3", "Prism v4"};
    enum version version = version_of(vm);
    struct answer a = {.f = f, .version = version, .in = {vm}};

    if (version == NONE)
        return;
    f->kind = kinds[version];
    a.to = rh_fill_add(f, text_in(vm, "name|spec/name|status/name"));
    if (version == V3) {
        a.in[0] = at(vm, "spec");
        a.in[1] = at(vm, "status");
        a.in[2] = at(vm, "metadata");
    }
    read_answer(&a);
}

int rh_fill_prism(struct rh_fill *f, const json_t *doc, rh_error **err)
{
    doc = unwrapped(doc);
    if (json_array_size(doc) > RH_LIMIT_ITEMS)
        return rh_fail(err, RH_ERR_FILL_LIMIT, "more than %d VMs",
                       RH_LIMIT_ITEMS);
    if (json_is_object(doc))
        read_vm(f, doc);
    for (size_t i = 0; i < json_array_size(doc); i++)
        read_vm(f, json_array_get(doc, i));
    return 0;
}

int rh_fill_acli_vm(struct rh_fill *f, const char *name, const json_t *vm,
                    rh_error **err)
{
    struct answer a = {.f = f, .version = ACLI, .in = {at(vm, "config"), vm}};

    if (!json_is_object(vm) || !a.in[0])
        return rh_fail(err, RH_ERR_FILL_KIND,
                       "the block \"%s\" has no \"config\"", name);
    a.to = rh_fill_add(f, name);
    read_answer(&a);
    return 0;
}
