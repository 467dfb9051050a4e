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

#include "targets/xcp-ng/rpc.h"
#include "targets/xcp-ng/xen.h"

/* Ids: the VM is 000, the SR 001, then the disks' VDIs (at most 254: three
 * digits keep their order), and behind them everything else. */
enum { REF_VM = 0, REF_SR = 1, REF_DISKS = 2 };

struct refs {
    size_t vbds, vifs, networks, end; /* first id of each kind */
};

void rh_xen_disk_ref(size_t disk, char ret[RPC_REF])
{
    rh_rpc_ref(REF_DISKS + disk, ret);
}

static void open_object(struct rh_buf *b, const char *class, size_t id)
{
    char name[RPC_REF];

    rh_rpc_ref(id, name);
    rh_buf_puts(b, "<value><struct>");
    rh_rpc_text(b, "class", class);
    rh_rpc_text(b, "id", name);
    rh_rpc_open_map(b, "snapshot");
}

static void close_object(struct rh_buf *b)
{
    rh_rpc_close_map(b);
    rh_buf_puts(b, "</struct></value>\n");
}

struct text {
    const char *name, *value;
};

static void add_texts(struct rh_buf *b, const struct text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rh_rpc_text(b, texts[i].name, texts[i].value);
}

static void add_ref(struct rh_buf *b, const char *name, size_t id)
{
    char value[RPC_REF];

    rh_rpc_ref(id, value);
    rh_rpc_text(b, name, value);
}

static void add_uuid(struct rh_buf *b, const struct rh_target_job *job,
                     const char *class, size_t i)
{
    char uuid[37];

    rh_vm_made_up_uuid(job->vm, class, i, uuid);
    rh_rpc_text(b, "uuid", uuid);
}

static void add_qos(struct rh_buf *b)
{
    rh_rpc_empties(b, RPC_TEXT, "qos_algorithm_type status_detail");
    rh_rpc_empties(b, RPC_MAP, "qos_algorithm_params runtime_properties");
    rh_rpc_empties(b, RPC_SET, "qos_supported_algorithms");
    rh_rpc_empties(b, RPC_ZERO, "status_code");
}

/* --- the VM --------------------------------------------------------------- */
static void add_boot(struct rh_buf *b, const struct rh_target_job *job)
{
    char order[4];

    rh_xen_boot_order(job, order);
    rh_rpc_text(b, "HVM_boot_policy", "BIOS order");
    rh_rpc_open_map(b, "HVM_boot_params");
    rh_rpc_text(b, "firmware", rh_xen_is_uefi(job) ? "uefi" : "bios");
    rh_rpc_text(b, "order", order);
    rh_rpc_close_map(b);
    rh_rpc_text(b, "HVM_shadow_multiplier", "1");
    rh_rpc_empties(b, RPC_MAP, "NVRAM");
    rh_rpc_empties(b, RPC_TEXT,
                   "PV_args PV_bootloader PV_bootloader_args PV_kernel "
                   "PV_legacy_args PV_ramdisk");
}

/* All four alike: no ballooning, which an unprepared guest would not know. */
static void add_resources(struct rh_buf *b, const struct rh_target_job *job)
{
    uint64_t memory = rh_xen_memory(job), cpus = rh_xen_cpus(job);

    rh_rpc_number(b, "memory_dynamic_max", memory);
    rh_rpc_number(b, "memory_dynamic_min", memory);
    rh_rpc_number(b, "memory_static_max", memory);
    rh_rpc_number(b, "memory_static_min", memory);
    rh_rpc_number(b, "memory_overhead", 11534336);
    rh_rpc_empties(b, RPC_ZERO, "memory_target");
    rh_rpc_number(b, "VCPUs_at_startup", cpus);
    rh_rpc_number(b, "VCPUs_max", cpus);
    rh_rpc_empties(b, RPC_MAP, "VCPUs_params");
}

static int add_platform(struct rh_buf *b, const struct rh_target_job *job,
                        rh_error **err)
{
    json_t *flags = rh_xen_platform(job, err), *value;
    const char *key;

    if (!flags)
        return -1;
    rh_rpc_open_map(b, "platform");
    json_object_foreach (flags, key, value)
        rh_rpc_text(b, key, json_string_value(value));
    rh_rpc_close_map(b);
    json_decref(flags);
    return 0;
}

static void add_other_config(struct rh_buf *b, const struct rh_target_job *job)
{
    char seed[37];

    rh_vm_made_up_uuid(job->vm, "mac_seed", 0, seed);
    rh_rpc_open_map(b, "other_config");
    rh_rpc_text(b, "base_template_name", rh_xen_template(job));
    rh_rpc_text(b, "install-methods", "cdrom");
    rh_rpc_text(b, "mac_seed", seed);
    rh_rpc_close_map(b);
}

static void add_start(struct rh_buf *b, const struct rh_vm *vm)
{
    rh_rpc_number(
        b, "order",
        vm->start_order.kind == RH_VALUE_NUMBER ? vm->start_order.number : 0);
    rh_rpc_number(
        b, "start_delay",
        vm->start_delay.kind == RH_VALUE_NUMBER ? vm->start_delay.number : 0);
    rh_rpc_empties(b, RPC_ZERO,
                   "shutdown_delay hardware_platform_version version");
}

/* Any text will do there. */
static void add_tags(struct rh_buf *b, const struct rh_target_job *job)
{
    const char *at = NULL;
    char *tag;

    rh_rpc_open_set(b, "tags");
    while ((tag = rh_target_tag(job, &at))) {
        RH_AUTO(rh_freep) char *printable = rh_printable(tag);

        rh_rpc_set_text(b, printable);
        free(tag);
    }
    rh_rpc_close_set(b);
}

static int add_vm(struct rh_buf *b, const struct rh_target_job *job,
                  const struct refs *refs, rh_error **err)
{
    static const struct text always[] = {
        {"actions_after_crash", "restart"},
        {"actions_after_reboot", "restart"},
        {"actions_after_shutdown", "destroy"},
        {"domain_type", "hvm"},
        {"power_state", "halted"},
        {"domid", "-1"},
        {"user_version", "1"},
    };
    RH_AUTO(rh_freep) char *name = rh_xen_name(job);
    RH_AUTO(rh_freep) char *description = rh_xen_description(job);
    char uuid[37];

    rh_vm_smbios_uuid(job->vm, RH_UUID_PLAIN, uuid);
    open_object(b, "VM", REF_VM);
    rh_rpc_text(b, "uuid", uuid);
    rh_rpc_text(b, "name_label", name);
    rh_rpc_text(b, "name_description", description);
    add_texts(b, always, RH_COUNT(always));
    add_boot(b, job);
    add_resources(b, job);
    if (add_platform(b, job, err) < 0)
        return -1;
    add_other_config(b, job);
    add_start(b, job->vm);
    rh_rpc_set(b, "VBDs", refs->vbds, refs->vifs);
    rh_rpc_set(b, "VIFs", refs->vifs, refs->networks);
    rh_rpc_empties(
        b, RPC_SET,
        "VGPUs VTPMs VUSBs allowed_operations attached_PCIs children "
        "consoles crash_dumps snapshots");
    add_tags(b, job);
    rh_rpc_empties(
        b, RPC_MAP,
        "blobs blocked_operations current_operations last_boot_CPU_flags "
        "snapshot_info xenstore_data");
    rh_rpc_empties(
        b, RPC_NULL_REF,
        "affinity guest_metrics metrics parent resident_on snapshot_of "
        "suspend_SR suspend_VDI");
    rh_rpc_empties(
        b, RPC_NO,
        "ha_always_run has_vendor_device is_a_snapshot is_a_template "
        "is_control_domain is_default_template is_snapshot_from_vmpp "
        "is_vmss_snapshot requires_reboot");
    rh_rpc_empties(b, RPC_TEXT,
                   "PCI_bus domarch generation_id ha_restart_priority "
                   "last_booted_record recommendations reference_label "
                   "snapshot_metadata transportable_snapshot_id");
    rh_rpc_date(b, "snapshot_time");
    close_object(b);
    return 0;
}

/* --- disks ---------------------------------------------------------------- */
static void add_sr(struct rh_buf *b, const struct rh_target_job *job)
{
    open_object(b, "SR", REF_SR);
    add_uuid(b, job, "SR", 0);
    rh_rpc_text(b, "name_label", "rehost");
    rh_rpc_text(b, "type", "ext");
    rh_rpc_text(b, "content_type", "user");
    rh_rpc_set(b, "VDIs", REF_DISKS, REF_DISKS + job->disk_count);
    rh_rpc_empties(b, RPC_TEXT, "name_description");
    rh_rpc_empties(b, RPC_SET, "PBDs allowed_operations tags");
    rh_rpc_empties(b, RPC_MAP,
                   "blobs current_operations other_config sm_config");
    rh_rpc_empties(b, RPC_ZERO,
                   "physical_size physical_utilisation virtual_allocation");
    rh_rpc_empties(b, RPC_NO, "shared");
    close_object(b);
}

static void add_vdi(struct rh_buf *b, const struct rh_target_job *job, size_t i,
                    const struct refs *refs)
{
    const struct rh_target_disk *d = &job->disks[i];
    const char *id = rh_text_of(&job->vm->disks.items[d->index].id);
    RH_AUTO(rh_freep) char *vm = rh_xen_name(job);
    RH_AUTO(rh_freep) char *label = rh_printf("%s %zu", vm, i);
    RH_AUTO(rh_freep) char *about = rh_printable(id);

    open_object(b, "VDI", REF_DISKS + i);
    add_uuid(b, job, "VDI", i);
    rh_rpc_text(b, "name_label", label);
    rh_rpc_text(b, "name_description", about);
    rh_rpc_text(b, "type", "user");
    rh_rpc_text(b, "on_boot", "persist");
    add_ref(b, "SR", REF_SR);
    rh_rpc_number(b, "virtual_size", d->virtual_size);
    rh_rpc_number(b, "physical_utilisation", RH_MIB);
    rh_rpc_set(b, "VBDs", refs->vbds + i, refs->vbds + i + 1);
    rh_rpc_boolean(b, "managed", true);
    rh_rpc_empties(b, RPC_NO,
                   "allow_caching cbt_enabled is_a_snapshot missing read_only "
                   "sharable storage_lock");
    rh_rpc_empties(b, RPC_NULL_REF,
                   "metadata_of_pool metrics parent snapshot_of");
    rh_rpc_empties(b, RPC_SET, "allowed_operations crash_dumps snapshots tags");
    rh_rpc_empties(b, RPC_MAP,
                   "blobs current_operations other_config sm_config "
                   "xenstore_data");
    rh_rpc_empties(b, RPC_TEXT, "location");
    rh_rpc_date(b, "snapshot_time");
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
        rh_rpc_empties(b, RPC_NULL_REF, "VDI");
    else
        add_ref(b, "VDI", REF_DISKS + i);
    rh_rpc_number(b, "userdevice", cd ? XEN_CD_POSITION : rh_xen_position(i));
    rh_rpc_text(b, "type", cd ? "CD" : "Disk");
    rh_rpc_text(b, "mode", cd ? "RO" : "RW");
    rh_rpc_boolean(b, "bootable", i == 0);
    rh_rpc_boolean(b, "empty", cd);
    rh_rpc_boolean(b, "unpluggable", true);
    rh_rpc_empties(b, RPC_TEXT, "device");
    rh_rpc_empties(b, RPC_NO, "currently_attached storage_lock");
    rh_rpc_empties(b, RPC_NULL_REF, "metrics");
    rh_rpc_empties(b, RPC_SET, "allowed_operations");
    rh_rpc_empties(b, RPC_MAP, "current_operations other_config");
    add_qos(b);
    close_object(b);
}

/* --- network -------------------------------------------------------------- */
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
    rh_rpc_text(b, "name_label", name);
    rh_rpc_text(b, "bridge", rh_xen_is_bridge(name) ? name : "");
    rh_rpc_text(b, "MTU", "1500");
    rh_rpc_text(b, "default_locking_mode", "unlocked");
    rh_rpc_boolean(b, "managed", true);
    rh_rpc_empties(b, RPC_TEXT, "name_description");
    rh_rpc_empties(b, RPC_SET, "PIFs VIFs allowed_operations purpose tags");
    rh_rpc_empties(b, RPC_MAP,
                   "assigned_ips blobs current_operations other_config");
    close_object(b);
}

static void add_vif(struct rh_buf *b, const struct rh_target_job *job,
                    size_t nic, const struct refs *refs)
{
    const struct rh_nic_config *n = &job->vm->nics.items[nic];
    bool off = n->connected.kind == RH_VALUE_BOOL && !n->connected.boolean;
    char mac[18];

    rh_vm_nic_mac(job->vm, nic, mac);
    open_object(b, "VIF", refs->vifs + nic);
    add_uuid(b, job, "VIF", nic);
    rh_rpc_number(b, "device", nic);
    rh_rpc_text(b, "MAC", mac);
    rh_rpc_boolean(b, "MAC_autogenerated", false);
    rh_rpc_text(b, "MTU", "1500");
    rh_rpc_text(b, "locking_mode", off ? "disabled" : "network_default");
    rh_rpc_text(b, "ipv4_configuration_mode", "None");
    rh_rpc_text(b, "ipv6_configuration_mode", "None");
    add_ref(b, "VM", REF_VM);
    add_ref(b, "network", refs->networks + network_of(job, nic));
    rh_rpc_empties(b, RPC_TEXT, "ipv4_gateway ipv6_gateway");
    rh_rpc_empties(b, RPC_NO, "currently_attached");
    rh_rpc_empties(b, RPC_NULL_REF, "metrics");
    rh_rpc_empties(
        b, RPC_SET,
        "allowed_operations ipv4_addresses ipv4_allowed ipv6_addresses "
        "ipv6_allowed");
    rh_rpc_empties(b, RPC_MAP, "current_operations other_config");
    add_qos(b);
    close_object(b);
}

/* --- the document --------------------------------------------------------- */
/* xapi refuses what is newer than itself: the oldest release that is current
 * (8.2) and the pair that Xen Orchestra writes. */
static void add_version(struct rh_buf *b)
{
    static const struct text version[] = {
        {"hostname", "localhost"},
        {"date", "2022-01-01"},
        {"product_version", "8.2.1"},
        {"product_brand", "XCP-ng"},
        {"build_number", "release/yangtze/master/58"},
        {"xapi_major", "1"},
        {"xapi_minor", "20"},
        {"export_vsn", "2"},
    };

    rh_rpc_open_map(b, "version");
    add_texts(b, version, RH_COUNT(version));
    rh_rpc_close_map(b);
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
    rh_rpc_open_member(&b, "objects");
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
    rh_rpc_close_member(&b);
    rh_buf_puts(&b, "</struct></value>\n");
    return rh_buf_take(&b);
}
