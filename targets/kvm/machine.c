/* machine.c - what the VM becomes on KVM, one decision each. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "targets/kvm/kvm.h"

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

static bool family_is(const struct rh_target_job *job, const char *family)
{
    return job->profile && is(job->profile->family, family);
}

bool rh_kvm_bus(const char *bus, char ret_kind[8], unsigned *ret_number)
{
    size_t n = bus ? strcspn(bus, "0123456789") : 0;
    uint64_t number;

    if (n == 0 || n >= 8 || !rh_parse_u64(bus + n, &number) || number > 255)
        return false;
    memcpy(ret_kind, bus, n);
    ret_kind[n] = '\0';
    *ret_number = (unsigned)number;
    return true;
}

/* --- names and ids
 * -------------------------------------------------------------- */

/* Labels of letters, digits and inner dashes, as Proxmox VE wants a name. */
static char *dns_name(const char *name)
{
    struct rh_buf b = {0};

    for (const char *p = name; *p && b.length < 200; p++) {
        char last = b.length ? b.data[b.length - 1] : '.';

        if (isalnum((unsigned char)*p)) {
            rh_buf_putc(&b, *p);
        } else if (*p == '.') {
            while (b.length && b.data[b.length - 1] == '-')
                b.data[--b.length] = '\0';
            if (b.length && b.data[b.length - 1] != '.')
                rh_buf_putc(&b, '.');
        } else if (last != '.' && last != '-') {
            rh_buf_putc(&b, '-');
        }
    }
    while (b.length && strchr("-.", b.data[b.length - 1]))
        b.data[--b.length] = '\0';
    if (!b.length)
        rh_buf_puts(&b, "vm");
    return rh_buf_take(&b);
}

static void decide_ids(struct rh_kvm *k)
{
    k->dns_name = dns_name(k->job->name);
    k->own_uuid = rh_vm_smbios_uuid(k->job->vm, RH_UUID_SWAPPED, k->uuid);
    rh_vm_made_up_uuid(k->job->vm, "generation", 0, k->genid);
}

/* --- processors, memory, firmware, chipset
 * --------------------------------------------- */

static void decide_cpus(struct rh_kvm *k)
{
    const struct rh_vm *vm = k->job->vm;
    uint64_t cpus = vm->cpus.kind == RH_VALUE_NUMBER ? vm->cpus.number : 1;
    const struct rh_value *c = &vm->cores_per_socket;

    cpus = RH_MAX(cpus, (uint64_t)1);
    k->sockets = 1;
    k->cores = cpus;
    if (c->kind != RH_VALUE_NUMBER || !c->number)
        return;
    k->topology_changed = cpus % c->number != 0;
    if (k->topology_changed)
        return;
    k->cores = c->number;
    k->sockets = cpus / c->number;
}

static void decide_memory(struct rh_kvm *k)
{
    const struct rh_value *v = &k->job->vm->memory_bytes;
    uint64_t bytes = v->kind == RH_VALUE_NUMBER && v->number ? v->number
                     : k->job->profile && k->job->profile->least_memory
                         ? k->job->profile->least_memory
                         : RH_GIB;

    k->memory = RH_MAX(rh_div_up(bytes, RH_MIB), (uint64_t)16);
}

static void decide_chipset(struct rh_kvm *k)
{
    const char *said = rh_text_of(&k->job->vm->machine);
    const char *by_profile = k->job->devices ? k->job->devices->machine : NULL;
    const char *disk = k->job->devices ? k->job->devices->disk : NULL;

    if (k->uefi || k->tpm) /* Secure Boot needs SMM, which q35 has */
        k->q35 = !is(said, "pc") || k->secure_boot;
    else if (*said)
        k->q35 = strcmp(said, "pc") != 0;
    else if (is(disk, "ide")) /* libvirt's q35 has none */
        k->q35 = false;
    else
        k->q35 = !is(by_profile, "pc");
}

static void decide_firmware(struct rh_kvm *k)
{
    const struct rh_vm *vm = k->job->vm;

    k->uefi = is(k->job->firmware, "uefi");
    k->secure_boot = k->uefi && rh_is_true(&vm->secure_boot);
    k->tpm = rh_is_true(&vm->tpm);
    k->nested = rh_is_true(&vm->nested_virtualization) || rh_is_true(&vm->vbs);
}

static void decide_clock(struct rh_kvm *k)
{
    const char *clock = rh_text_of(&k->job->vm->clock);

    if (!*clock && k->job->profile && k->job->profile->clock)
        clock = k->job->profile->clock;
    k->localtime = *clock ? !strcmp(clock, "localtime") : k->windows;
}

/* --- disks and drives
 * ---------------------------------------------------------------------- */

/* One SCSI controller type for the whole VM; always said, because the default
 * is a chip that no firmware boots from under UEFI. */
static void decide_scsi(struct rh_kvm *k)
{
    const char *disk = k->job->devices ? k->job->devices->disk : NULL;
    bool virtio = is(disk, "virtio-scsi") || is(disk, "virtio-blk");
    bool pvscsi = is(disk, "pvscsi") ||
                  (is(k->job->options->devices, "vmware") && !virtio);

    k->scsihw = pvscsi ? "pvscsi" : "virtio-scsi-single";
    k->scsi_model = pvscsi ? "vmpvscsi" : "virtio-scsi";
}

static bool bus_taken(const struct rh_target_job *job, const char *bus)
{
    for (size_t i = 0; i < job->disk_count; i++)
        if (is(job->disks[i].bus, bus))
            return true;
    return false;
}

static void decide_cdrom(struct rh_kvm *k)
{
    static const char *const places[] = {"ide2", "sata5", "sata4", "sata3",
                                         "ide0"};

    k->cdrom = k->job->vm->cdroms.count > 0;
    for (size_t i = 0; i < RH_COUNT(places) && k->cdrom && !k->cdrom_bus; i++)
        if (!bus_taken(k->job, places[i]))
            k->cdrom_bus = places[i];
}

static void decide_serial(struct rh_kvm *k)
{
    enum { PORTS_MAX = 4 };

    for (size_t i = 0; i < k->job->vm->devices.count; i++)
        if (is(k->job->vm->devices.items[i].kind, "serial"))
            k->serial_ports++;
    /* A console that `qm terminal` and `virsh console` reach. */
    if (k->linux_guest && !k->serial_ports)
        k->serial_ports = 1;
    k->serial_ports = RH_MIN(k->serial_ports, (size_t)PORTS_MAX);
}

/* --- network
 * ------------------------------------------------------------------------------------
 */

/* The guest that keeps VMware's devices has a driver for the model that the
 * source gave it; QEMU has the same model or one of the same family. */
static const char *kept_model(const struct rh_kvm *k, const char *source)
{
    static const struct {
        const char *source, *model;
    } same[] = {{"vmxnet3", "vmxnet3"}, {"e1000", "e1000"},
                {"e1000e", "e1000e"},   {"virtio", "virtio"},
                {"rtl8139", "rtl8139"}, {"vmxnet2", "e1000"},
                {"sriov", "vmxnet3"}};

    for (size_t i = 0; i < RH_COUNT(same); i++)
        if (is(source, same[i].source))
            return same[i].model;
    /* AMD's chip: Windows since Vista has no driver for it. */
    if (is(source, "pcnet32") || is(source, "flexible"))
        return k->windows ? "e1000" : "pcnet";
    return NULL;
}

static const char *nic_model(const struct rh_kvm *k,
                             const struct rh_nic_config *n)
{
    const char *model = NULL;

    if (is(k->job->options->devices, "vmware"))
        model = kept_model(k, rh_text_of(&n->model));
    if (!model && k->job->devices)
        model = k->job->devices->nic;
    return model ? model : "e1000";
}

/* "vmbr1", or "vmbr1:20" with a VLAN tag. */
static void decide_bridge(const struct rh_kvm *k, const struct rh_nic_config *n,
                          struct rh_kvm_nic *to)
{
    const char *map =
        rh_target_network(k->job->options, rh_text_of(&n->network));
    const char *colon = map ? strchr(map, ':') : NULL;
    uint64_t vlan;

    to->mapped = map != NULL;
    if (n->vlan.kind == RH_VALUE_NUMBER && n->vlan.number <= 4094)
        to->vlan = (unsigned)n->vlan.number;
    if (colon && rh_parse_u64(colon + 1, &vlan) && vlan && vlan <= 4094) {
        to->vlan = (unsigned)vlan;
        to->bridge = rh_strndup(map, (size_t)(colon - map));
    } else {
        to->bridge = rh_strdup(map ? map : "vmbr0");
    }
}

static void decide_nic(struct rh_kvm *k, size_t i)
{
    const struct rh_nic_config *n = &k->job->vm->nics.items[i];
    struct rh_kvm_nic *to = &k->nics[i];

    to->model = nic_model(k, n);
    to->connected = n->connected.kind != RH_VALUE_BOOL || n->connected.boolean;
    to->made_up = rh_vm_nic_mac(k->job->vm, i, to->mac);
    decide_bridge(k, n, to);
}

/* --- all of it
 * ---------------------------------------------------------------------------------
 */

void rh_kvm_decide(struct rh_kvm *k, const struct rh_target_job *job)
{
    *k = (struct rh_kvm){.job = job};
    k->windows = family_is(job, "windows");
    k->linux_guest = family_is(job, "linux");
    decide_ids(k);
    decide_cpus(k);
    decide_memory(k);
    decide_firmware(k);
    decide_chipset(k);
    decide_clock(k);
    decide_scsi(k);
    decide_cdrom(k);
    decide_serial(k);
    k->storage = rh_target_option(job, "storage");
    if (!k->storage)
        k->storage = "local-lvm";
    k->vmid = rh_target_option(job, "vmid");
    if (!k->vmid)
        k->vmid = "100";
    k->nic_count = job->vm->nics.count;
    k->nics = rh_calloc(k->nic_count, sizeof *k->nics);
    for (size_t i = 0; i < k->nic_count; i++)
        decide_nic(k, i);
}

void rh_kvm_free(struct rh_kvm *k)
{
    for (size_t i = 0; i < k->nic_count; i++)
        free(k->nics[i].bridge);
    free(k->nics);
    free(k->dns_name);
    *k = (struct rh_kvm){0};
}
