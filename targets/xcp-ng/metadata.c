/* metadata.c - ova.xml: one XML-RPC value that names the VM, its disks, drives
 * and NICs, and the networks and the storage they hang on.
 *
 * Fields are those that Xen Orchestra's exporter writes; of them xapi insists
 * on the ones that have no default in its data model.  Numbers go as texts,
 * as it writes them.  References are ids of this file, padded so that their
 * byte order is the order of the disks in the archive. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/xcp-ng/xen.h"

#define NOTHING  "OpaqueRef:NULL"
#define LONG_AGO "19700101T00:00:00Z"

/* Ids: the VM is 000, the SR 001, then the disks' VDIs (at most 254: three
 * digits keep their order), and behind them everything else. */
enum { REF_VM = 0, REF_SR = 1, REF_DISKS = 2, REF_SIZE = 16 };

struct refs {
    size_t vbds, vifs, networks, end; /* first id of each kind */
};

static void ref(size_t id, char ret[REF_SIZE])
{
    snprintf(ret, REF_SIZE, "Ref:%03zu", id % 1000000);
}

void rh_xen_disk_ref(size_t disk, char ret[REF_SIZE])
{
    ref(REF_DISKS + disk, ret);
}

/* --- XML-RPC
 * ----------------------------------------------------------------------- */
/* U+FFFE and U+FFFF are no characters of XML. */
static bool no_character(const char *p)
{
    return !strncmp(p, "\xef\xbf\xbe", 3) || !strncmp(p, "\xef\xbf\xbf", 3);
}

static void add_escaped(struct rh_buf *b, const char *text)
{
    for (; *text; text++) {
        if (no_character(text)) {
            rh_buf_putc(b, '?');
            text += 2;
            continue;
        }
        switch (*text) {
        case '&':
            rh_buf_puts(b, "&amp;");
            break;
        case '<':
            rh_buf_puts(b, "&lt;");
            break;
        case '>':
            rh_buf_puts(b, "&gt;");
            break;
        default:
            rh_buf_putc(b, *text);
        }
    }
}

static void open_member(struct rh_buf *b, const char *name)
{
    rh_buf_puts(b, "<member><name>");
    add_escaped(b, name);
    rh_buf_puts(b, "</name><value>");
}

static void close_member(struct rh_buf *b)
{
    rh_buf_puts(b, "</value></member>");
}

static void text(struct rh_buf *b, const char *name, const char *value)
{
    open_member(b, name);
    add_escaped(b, value);
    close_member(b);
}

static void number(struct rh_buf *b, const char *name, uint64_t value)
{
    open_member(b, name);
    rh_buf_printf(b, "%llu", (unsigned long long)value);
    close_member(b);
}

static void boolean(struct rh_buf *b, const char *name, bool value)
{
    open_member(b, name);
    rh_buf_printf(b, "<boolean>%d</boolean>", value);
    close_member(b);
}

static void date(struct rh_buf *b, const char *name)
{
    open_member(b, name);
    rh_buf_puts(b, "<dateTime.iso8601>" LONG_AGO "</dateTime.iso8601>");
    close_member(b);
}

static void open_map(struct rh_buf *b, const char *name)
{
    open_member(b, name);
    rh_buf_puts(b, "<struct>");
}

static void close_map(struct rh_buf *b)
{
    rh_buf_puts(b, "</struct>");
    close_member(b);
}

/* References [first, end); none gives an empty set. */
static void set(struct rh_buf *b, const char *name, size_t first, size_t end)
{
    char id[REF_SIZE];

    open_member(b, name);
    rh_buf_puts(b, "<array><data>");
    for (; first < end; first++) {
        ref(first, id);
        rh_buf_printf(b, "<value>%s</value>", id);
    }
    rh_buf_puts(b, "</data></array>");
    close_member(b);
}

/* Runs of fields with the same empty value, named in one string. */
enum empty { TEXT, MAP, SET, NULL_REF, NO, ZERO };

static void empties(struct rh_buf *b, enum empty kind, const char *names)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(names);
    char *at = NULL;

    for (char *name = strtok_r(copy, " ", &at); name;
         name = strtok_r(NULL, " ", &at)) {
        switch (kind) {
        case TEXT:
            text(b, name, "");
            break;
        case MAP:
            open_map(b, name);
            close_map(b);
            break;
        case SET:
            set(b, name, 0, 0);
            break;
        case NULL_REF:
            text(b, name, NOTHING);
            break;
        case NO:
            boolean(b, name, false);
            break;
        case ZERO:
            number(b, name, 0);
            break;
        }
    }
}

static void open_object(struct rh_buf *b, const char *class, size_t id)
{
    char name[REF_SIZE];

    ref(id, name);
    rh_buf_puts(b, "<value><struct>");
    text(b, "class", class);
    text(b, "id", name);
    open_map(b, "snapshot");
}

static void close_object(struct rh_buf *b)
{
    close_map(b);
    rh_buf_puts(b, "</struct></value>\n");
}

static void add_ref(struct rh_buf *b, const char *name, size_t id)
{
    char value[REF_SIZE];

    ref(id, value);
    text(b, name, value);
}

static void add_uuid(struct rh_buf *b, const struct rh_target_job *job,
                     const char *class, size_t i)
{
    char uuid[37];

    rh_xen_uuid(job, class, i, uuid);
    text(b, "uuid", uuid);
}

static void add_qos(struct rh_buf *b)
{
    empties(b, TEXT, "qos_algorithm_type status_detail");
    empties(b, MAP, "qos_algorithm_params runtime_properties");
    empties(b, SET, "qos_supported_algorithms");
    empties(b, ZERO, "status_code");
}

/* --- the VM
 * ----------------------------------------------------------------------------
 */
static void add_boot(struct rh_buf *b, const struct rh_target_job *job)
{
    char order[4];

    rh_xen_boot_order(job, order);
    text(b, "HVM_boot_policy", "BIOS order");
    open_map(b, "HVM_boot_params");
    text(b, "firmware", rh_xen_is_uefi(job) ? "uefi" : "bios");
    text(b, "order", order);
    close_map(b);
    text(b, "HVM_shadow_multiplier", "1");
    empties(b, MAP, "NVRAM");
    empties(b, TEXT,
            "PV_args PV_bootloader PV_bootloader_args PV_kernel "
            "PV_legacy_args PV_ramdisk");
}

/* All four alike: no ballooning, which an unprepared guest would not know. */
static void add_resources(struct rh_buf *b, const struct rh_target_job *job)
{
    uint64_t memory = rh_xen_memory(job), cpus = rh_xen_cpus(job);

    number(b, "memory_dynamic_max", memory);
    number(b, "memory_dynamic_min", memory);
    number(b, "memory_static_max", memory);
    number(b, "memory_static_min", memory);
    number(b, "memory_overhead", 11534336);
    empties(b, ZERO, "memory_target");
    number(b, "VCPUs_at_startup", cpus);
    number(b, "VCPUs_max", cpus);
    empties(b, MAP, "VCPUs_params");
}

static int add_platform(struct rh_buf *b, const struct rh_target_job *job,
                        rh_error **err)
{
    json_t *flags = rh_xen_platform(job, err), *value;
    const char *key;

    if (!flags)
        return -1;
    open_map(b, "platform");
    json_object_foreach (flags, key, value)
        text(b, key, json_string_value(value));
    close_map(b);
    json_decref(flags);
    return 0;
}

static void add_other_config(struct rh_buf *b, const struct rh_target_job *job)
{
    char seed[37];

    rh_xen_uuid(job, "mac_seed", 0, seed);
    open_map(b, "other_config");
    text(b, "base_template_name", rh_xen_template(job));
    text(b, "install-methods", "cdrom");
    text(b, "mac_seed", seed);
    close_map(b);
}

static void add_start(struct rh_buf *b, const struct rh_vm *vm)
{
    number(b, "order",
           vm->start_order.kind == RH_VALUE_NUMBER ? vm->start_order.number
                                                   : 0);
    number(b, "start_delay",
           vm->start_delay.kind == RH_VALUE_NUMBER ? vm->start_delay.number
                                                   : 0);
    empties(b, ZERO, "shutdown_delay hardware_platform_version version");
}

static int add_vm(struct rh_buf *b, const struct rh_target_job *job,
                  const struct refs *refs, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_xen_name(job);
    RH_AUTO(rh_freep) char *description = rh_xen_description(job);
    char uuid[37];

    rh_xen_vm_uuid(job, uuid);
    open_object(b, "VM", REF_VM);
    text(b, "uuid", uuid);
    text(b, "name_label", name);
    text(b, "name_description", description);
    text(b, "actions_after_crash", "restart");
    text(b, "actions_after_reboot", "restart");
    text(b, "actions_after_shutdown", "destroy");
    text(b, "domain_type", "hvm");
    text(b, "power_state", "halted");
    text(b, "domid", "-1");
    text(b, "user_version", "1");
    add_boot(b, job);
    add_resources(b, job);
    if (add_platform(b, job, err) < 0)
        return -1;
    add_other_config(b, job);
    add_start(b, job->vm);
    set(b, "VBDs", refs->vbds, refs->vifs);
    set(b, "VIFs", refs->vifs, refs->networks);
    empties(b, SET,
            "VGPUs VTPMs VUSBs allowed_operations attached_PCIs children "
            "consoles crash_dumps snapshots tags");
    empties(b, MAP,
            "blobs blocked_operations current_operations last_boot_CPU_flags "
            "snapshot_info xenstore_data");
    empties(b, NULL_REF,
            "affinity guest_metrics metrics parent resident_on snapshot_of "
            "suspend_SR suspend_VDI");
    empties(b, NO,
            "ha_always_run has_vendor_device is_a_snapshot is_a_template "
            "is_control_domain is_default_template is_snapshot_from_vmpp "
            "is_vmss_snapshot requires_reboot");
    empties(b, TEXT,
            "PCI_bus domarch generation_id ha_restart_priority "
            "last_booted_record recommendations reference_label "
            "snapshot_metadata transportable_snapshot_id");
    date(b, "snapshot_time");
    close_object(b);
    return 0;
}

/* --- disks
 * --------------------------------------------------------------------------------
 */
static void add_sr(struct rh_buf *b, const struct rh_target_job *job)
{
    open_object(b, "SR", REF_SR);
    add_uuid(b, job, "SR", 0);
    text(b, "name_label", "rehost");
    text(b, "type", "ext");
    text(b, "content_type", "user");
    set(b, "VDIs", REF_DISKS, REF_DISKS + job->disk_count);
    empties(b, TEXT, "name_description");
    empties(b, SET, "PBDs allowed_operations tags");
    empties(b, MAP, "blobs current_operations other_config sm_config");
    empties(b, ZERO, "physical_size physical_utilisation virtual_allocation");
    empties(b, NO, "shared");
    close_object(b);
}

static void add_vdi(struct rh_buf *b, const struct rh_target_job *job, size_t i,
                    const struct refs *refs)
{
    const struct rh_target_disk *d = &job->disks[i];
    const struct rh_value *id = &job->vm->disks.items[d->index].id;
    RH_AUTO(rh_freep) char *vm = rh_xen_name(job);
    RH_AUTO(rh_freep) char *label = rh_printf("%s %zu", vm, i);
    RH_AUTO(rh_freep)
    char *about = rh_printable(id->kind == RH_VALUE_TEXT ? id->text : "");

    open_object(b, "VDI", REF_DISKS + i);
    add_uuid(b, job, "VDI", i);
    text(b, "name_label", label);
    text(b, "name_description", about);
    text(b, "type", "user");
    text(b, "on_boot", "persist");
    add_ref(b, "SR", REF_SR);
    number(b, "virtual_size", d->virtual_size);
    number(b, "physical_utilisation", RH_MIB);
    set(b, "VBDs", refs->vbds + i, refs->vbds + i + 1);
    boolean(b, "managed", true);
    empties(b, NO,
            "allow_caching cbt_enabled is_a_snapshot missing read_only "
            "sharable storage_lock");
    empties(b, NULL_REF, "metadata_of_pool metrics parent snapshot_of");
    empties(b, SET, "allowed_operations crash_dumps snapshots tags");
    empties(b, MAP,
            "blobs current_operations other_config sm_config "
            "xenstore_data");
    empties(b, TEXT, "location");
    date(b, "snapshot_time");
    close_object(b);
}

/* The i-th disk, or behind them the empty CD drive. */
static void add_vbd(struct rh_buf *b, const struct rh_target_job *job, size_t i,
                    const struct refs *refs)
{
    bool cd = i == job->disk_count;

    open_object(b, "VBD", refs->vbds + i);
    add_uuid(b, job, "VBD", i);
    add_ref(b, "VM", REF_VM);
    if (cd)
        empties(b, NULL_REF, "VDI");
    else
        add_ref(b, "VDI", REF_DISKS + i);
    number(b, "userdevice", cd ? XEN_CD_POSITION : rh_xen_position(i));
    text(b, "type", cd ? "CD" : "Disk");
    text(b, "mode", cd ? "RO" : "RW");
    boolean(b, "bootable", i == 0);
    boolean(b, "empty", cd);
    boolean(b, "unpluggable", true);
    empties(b, TEXT, "device");
    empties(b, NO, "currently_attached storage_lock");
    empties(b, NULL_REF, "metrics");
    empties(b, SET, "allowed_operations");
    empties(b, MAP, "current_operations other_config");
    add_qos(b);
    close_object(b);
}

/* --- network
 * -------------------------------------------------------------------------------
 */
/* NICs on one network share its object: the index of the first one there. */
static size_t network_of(const struct rh_target_job *job, size_t nic)
{
    RH_AUTO(rh_freep) char *name = rh_xen_network(job, nic, NULL);

    for (size_t i = 0; i < nic; i++) {
        RH_AUTO(rh_freep) char *other = rh_xen_network(job, i, NULL);

        if (!strcmp(name, other))
            return i;
    }
    return nic;
}

/* xapi looks for the network by name, then by bridge; it makes a new, isolated
 * one when it finds neither.  So a bridge is named only when it was meant. */
static void add_network(struct rh_buf *b, const struct rh_target_job *job,
                        size_t nic, const struct refs *refs)
{
    RH_AUTO(rh_freep) char *name = rh_xen_network(job, nic, NULL);

    open_object(b, "network", refs->networks + nic);
    add_uuid(b, job, "network", nic);
    text(b, "name_label", name);
    text(b, "bridge", rh_xen_is_bridge(name) ? name : "");
    text(b, "MTU", "1500");
    text(b, "default_locking_mode", "unlocked");
    boolean(b, "managed", true);
    empties(b, TEXT, "name_description");
    empties(b, SET, "PIFs VIFs allowed_operations purpose tags");
    empties(b, MAP, "assigned_ips blobs current_operations other_config");
    close_object(b);
}

static void add_vif(struct rh_buf *b, const struct rh_target_job *job,
                    size_t nic, const struct refs *refs)
{
    const struct rh_nic_config *n = &job->vm->nics.items[nic];
    bool off = n->connected.kind == RH_VALUE_BOOL && !n->connected.boolean;
    char mac[18];

    rh_xen_mac(job, nic, mac);
    open_object(b, "VIF", refs->vifs + nic);
    add_uuid(b, job, "VIF", nic);
    number(b, "device", nic);
    text(b, "MAC", mac);
    boolean(b, "MAC_autogenerated", false);
    text(b, "MTU", "1500");
    text(b, "locking_mode", off ? "disabled" : "network_default");
    text(b, "ipv4_configuration_mode", "None");
    text(b, "ipv6_configuration_mode", "None");
    add_ref(b, "VM", REF_VM);
    add_ref(b, "network", refs->networks + network_of(job, nic));
    empties(b, TEXT, "ipv4_gateway ipv6_gateway");
    empties(b, NO, "currently_attached");
    empties(b, NULL_REF, "metrics");
    empties(b, SET,
            "allowed_operations ipv4_addresses ipv4_allowed ipv6_addresses "
            "ipv6_allowed");
    empties(b, MAP, "current_operations other_config");
    add_qos(b);
    close_object(b);
}

/* --- the document
 * -----------------------------------------------------------------------------
 */
/* xapi refuses what is newer than itself: the oldest release that is current
 * (8.2) and the pair that Xen Orchestra writes. */
static void add_version(struct rh_buf *b)
{
    open_map(b, "version");
    text(b, "hostname", "localhost");
    text(b, "date", "2022-01-01");
    text(b, "product_version", "8.2.1");
    text(b, "product_brand", "XCP-ng");
    text(b, "build_number", "release/yangtze/master/58");
    text(b, "xapi_major", "1");
    text(b, "xapi_minor", "20");
    text(b, "export_vsn", "2");
    close_map(b);
}

static void add_nics(struct rh_buf *b, const struct rh_target_job *job,
                     const struct refs *refs)
{
    for (size_t i = 0; i < job->vm->nics.count; i++)
        if (network_of(job, i) == i)
            add_network(b, job, i, refs);
    for (size_t i = 0; i < job->vm->nics.count; i++)
        add_vif(b, job, i, refs);
}

char *rh_xen_metadata(const struct rh_target_job *job, rh_error **err)
{
    struct rh_buf b = {0};
    struct refs refs;

    refs.vbds = REF_DISKS + job->disk_count;
    refs.vifs = refs.vbds + job->disk_count + 1;
    refs.networks = refs.vifs + job->vm->nics.count;
    refs.end = refs.networks + job->vm->nics.count;
    rh_buf_puts(&b, "<value><struct>");
    add_version(&b);
    open_member(&b, "objects");
    rh_buf_puts(&b, "<array><data>\n");
    if (add_vm(&b, job, &refs, err) < 0) {
        rh_buf_free(&b);
        return NULL;
    }
    add_sr(&b, job);
    for (size_t i = 0; i < job->disk_count; i++)
        add_vdi(&b, job, i, &refs);
    for (size_t i = 0; i <= job->disk_count; i++)
        add_vbd(&b, job, i, &refs);
    add_nics(&b, job, &refs);
    rh_buf_puts(&b, "</data></array>");
    close_member(&b);
    rh_buf_puts(&b, "</struct></value>\n");
    return rh_buf_take(&b);
}
