/* check.c - compares a VM and its choices with what Proxmox VE can have. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "targets/kvm/kvm.h"
#include "targets/model.h"

struct check {
    const struct rh_kvm *k;
    const json_t *model;
    struct rh_findings *findings;
};

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

static uint64_t limit(const struct check *c, const char *key)
{
    return rh_model_limit(c->model, key);
}

static const char *subject(const char *kind, size_t i, char buf[32])
{
    snprintf(buf, 32, "%s/%zu", kind, i);
    return buf;
}

/* --- options
 * ------------------------------------------------------------------------ */

static bool valid_storage(const char *s)
{
    size_t n = strlen(s);

    return n >= 2 && isalpha((unsigned char)s[0]) &&
           isalnum((unsigned char)s[n - 1]) &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789_.-") == n;
}

static int check_options(const struct rh_target_job *job, rh_error **err)
{
    const char *storage = rh_target_option(job, "storage");
    const char *id = rh_target_option(job, "vmid");
    uint64_t vmid;

    if (storage && !valid_storage(storage)) {
        rh_fail(err, RH_ERR_TARGET_OPTION,
                "\"%s\" cannot be the name of a Proxmox VE storage", storage);
        return rh_hint(err, "names start with a letter and hold letters, "
                            "digits, dots, dashes and underscores");
    }
    if (!id || (rh_parse_u64(id, &vmid) && vmid >= 100 && vmid <= 999999999 &&
                id[0] != '0'))
        return 0;
    rh_fail(err, RH_ERR_TARGET_OPTION, "--vmid cannot be \"%s\"", id);
    return rh_hint(err, "use a number from 100 to 999999999");
}

/* --- disks
 * ----------------------------------------------------------------------------
 */

static void check_format(const struct check *c)
{
    const struct rh_target_options *o = c->k->job->options;

    if (is(o->format, "xva"))
        rh_finding_add(
            c->findings, RH_F_KVM_FORMAT, "vm",
            N_("XVA is Xen's form of a VM; Proxmox VE and libvirt cannot "
               "read it"));
    if (is(o->format, "vhd"))
        rh_finding_add(
            c->findings, RH_F_KVM_FORMAT_VHD, "vm",
            N_("VHD disks are imported by Proxmox VE, but are slow and "
               "without snapshots where they are used as they are"));
    if (o->compress && strcmp(o->compress, "none"))
        rh_finding_add(
            c->findings, RH_F_KVM_COMPRESSED, "vm",
            N_("compressed clusters are good for the way; a VM that runs "
               "from them is slow"));
}

static void check_disks(const struct check *c)
{
    const struct rh_target_job *job = c->k->job;
    char where[32];

    for (size_t i = 0; i < job->disk_count; i++) {
        const struct rh_target_disk *d = &job->disks[i];

        subject("disks", d->index, where);
        if (!d->bus)
            rh_finding_add(
                c->findings, RH_F_KVM_DISK_COUNT, where,
                N_("no bus of Proxmox VE has a place left for disk %zu"),
                d->index);
        if (is(job->options->format, "raw") &&
            d->virtual_size >= limit(c, "file_size_ext4"))
            rh_finding_add(
                c->findings, RH_F_KVM_DISK_FILE, where,
                N_("disk %zu as a raw file is larger than an ext4 file "
                   "system takes"),
                d->index);
    }
    check_format(c);
    if (c->k->cdrom && !c->k->cdrom_bus)
        rh_finding_add(c->findings, RH_F_KVM_CDROM, "cdroms/0",
                       N_("no bus has a place left for the CD drive"));
    else if (c->k->job->vm->cdroms.count > 1)
        rh_finding_add(c->findings, RH_F_KVM_CDROM, "cdroms/1",
                       N_("the VM has %zu CD drives, the result has one"),
                       c->k->job->vm->cdroms.count);
}

/* Which firmware starts from which controller: tried with SeaBIOS and OVMF. */
static void check_boot(const struct check *c)
{
    const struct rh_target_job *job = c->k->job;
    char kind[8], where[32];
    unsigned n;

    if (!job->disk_count || !rh_kvm_bus(job->disks[0].bus, kind, &n))
        return;
    subject("disks", job->disks[0].index, where);
    if (c->k->uefi && is(kind, "scsi") && is(c->k->scsihw, "pvscsi"))
        rh_finding_add(
            c->findings, RH_F_KVM_UEFI_PVSCSI, where,
            N_("UEFI starts from PVSCSI with Proxmox VE's firmware; that "
               "of other distributions has no driver for it"));
    if (is(job->options->devices, "vmware"))
        rh_finding_add(
            c->findings, RH_F_KVM_COMPATIBILITY, "vm",
            N_("the guest keeps VMware's device models: it starts as it "
               "is, virtio devices would be faster"));
    if (c->k->uefi)
        rh_finding_add(c->findings, RH_F_KVM_UEFI_VARIABLES, "vm",
                       N_("UEFI boot entries start anew: the firmware takes "
                          "EFI/BOOT/BOOTX64.EFI or the system's own loader"));
}

/* --- network
 * ------------------------------------------------------------------------------
 */

/* What Linux takes as an interface's name and Proxmox VE as a bridge's. */
static bool valid_bridge(const char *s)
{
    size_t n = strlen(s);

    return n && n <= 15 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789_.-") == n;
}

static void check_nic(const struct check *c, size_t i)
{
    const struct rh_kvm_nic *n = &c->k->nics[i];
    const struct rh_nic_config *v = &c->k->job->vm->nics.items[i];
    char where[32];

    subject("nics", i, where);
    if (!n->mapped && !*rh_text_of(&v->network))
        rh_finding_add(
            c->findings, RH_F_KVM_NETWORK, where,
            N_("nothing says which network NIC %zu was on: it goes to "
               "vmbr0 (libvirt: behind QEMU's NAT)"),
            i);
    else if (!n->mapped)
        rh_finding_add(
            c->findings, RH_F_KVM_NETWORK, where,
            N_("NIC %zu was on \"%s\", which has no --network-map: it "
               "goes to vmbr0 (libvirt: behind QEMU's NAT)"),
            i, rh_text_of(&v->network));
    else if (!valid_bridge(n->bridge))
        rh_finding_add(c->findings, RH_F_KVM_BRIDGE, where,
                       N_("\"%s\" cannot be a bridge's name"), n->bridge);
    if (n->made_up)
        rh_finding_add(
            c->findings, RH_F_KVM_MAC, where,
            N_("NIC %zu has no MAC address that can be used (\"%s\"); it "
               "gets %s"),
            i, rh_text_of(&v->mac), n->mac);
    if (!n->connected)
        rh_finding_add(c->findings, RH_F_KVM_NIC_DISCONNECTED, where,
                       N_("NIC %zu was not connected and stays so"), i);
    if (n->vlan)
        rh_finding_add(
            c->findings, RH_F_KVM_VLAN, where,
            N_("NIC %zu gets the VLAN tag %u on Proxmox VE; a bridge of "
               "libvirt does not tag by itself"),
            i, n->vlan);
}

static void check_nics(const struct check *c)
{
    for (size_t i = 0; i < c->k->nic_count; i++)
        check_nic(c, i);
    if (c->k->nic_count > limit(c, "nics"))
        rh_finding_add(
            c->findings, RH_F_KVM_NIC_COUNT, "vm",
            N_("the VM has %zu NICs; Proxmox VE gives it at most %u"),
            c->k->nic_count, (unsigned)limit(c, "nics"));
}

/* --- machine
 * -----------------------------------------------------------------------------------
 */

static void check_cpus(const struct check *c)
{
    unsigned long long cpus = (unsigned long long)(c->k->sockets * c->k->cores);

    if (cpus > limit(c, "cpus"))
        rh_finding_add(c->findings, RH_F_KVM_CPU_COUNT, "vm",
                       N_("%llu virtual CPUs; QEMU gives a VM at most %llu"),
                       cpus, (unsigned long long)limit(c, "cpus"));
    if (c->k->topology_changed)
        rh_finding_add(
            c->findings, RH_F_KVM_TOPOLOGY, "vm",
            N_("%llu virtual CPUs cannot be shared out to sockets of "
               "%llu: they become one socket"),
            cpus, (unsigned long long)c->k->job->vm->cores_per_socket.number);
    if (c->k->nested)
        rh_finding_add(
            c->findings, RH_F_KVM_NESTED, "vm",
            N_("nested virtualisation (or VBS) needs the host's own CPU "
               "type: the VM moves between alike hosts only"));
}

static void check_memory(const struct check *c)
{
    uint64_t bytes = c->k->memory * RH_MIB;
    RH_AUTO(rh_freep) char *shown = rh_human_size(bytes);

    if (bytes > limit(c, "memory"))
        rh_finding_add(c->findings, RH_F_KVM_MEMORY, "vm",
                       N_("%s of memory; Proxmox VE gives a VM at most 4 TiB"),
                       shown);
    else if (bytes > limit(c, "memory_40_bits") && !c->k->nested)
        rh_finding_add(
            c->findings, RH_F_KVM_MEMORY_FAR, "vm",
            N_("%s of memory need more than 40 address bits: the VM gets "
               "the host's own CPU type"),
            shown);
}

static void check_security(const struct check *c)
{
    if (c->k->secure_boot)
        rh_finding_add(
            c->findings, RH_F_KVM_SECURE_BOOT, "vm",
            N_("Secure Boot is on, with Microsoft's keys enrolled in a "
               "new variable store"));
    if (c->k->tpm)
        rh_finding_add(
            c->findings, RH_F_KVM_TPM, "vm",
            N_("the VM gets a new, empty TPM 2.0; keys that were sealed "
               "in the old one are not in the export"));
}

static void check_hotplug(const struct check *c)
{
    const struct rh_vm *vm = c->k->job->vm;

    if (rh_is_true(&vm->cpu_hot_add) || rh_is_true(&vm->memory_hot_add))
        rh_finding_add(c->findings, RH_F_KVM_HOTPLUG, "vm",
                       N_("hot-add of CPUs or memory was on; it is off in the "
                          "result"));
}

static void check_clock(const struct check *c)
{
    const char *zone = rh_text_of(&c->k->job->vm->timezone);

    if (c->k->localtime && *zone)
        rh_finding_add(
            c->findings, RH_F_KVM_CLOCK, "vm",
            N_("the hardware clock stays in local time: that of the host, "
               "which must be %s"),
            zone);
    else if (c->k->localtime)
        rh_finding_add(c->findings, RH_F_KVM_CLOCK, "vm",
                       N_("the hardware clock stays in local time: that of the "
                          "host"));
}

static void check_name(const struct check *c)
{
    const char *name = rh_text_of(&c->k->job->vm->name);

    if (*name && strcmp(name, c->k->dns_name))
        rh_finding_add(
            c->findings, RH_F_KVM_NAME, "vm",
            N_("Proxmox VE takes DNS names only: the VM is called %s "
               "there"),
            c->k->dns_name);
    if (strlen(rh_text_of(&c->k->job->vm->annotation)) >
        limit(c, "description"))
        rh_finding_add(
            c->findings, RH_F_KVM_DESCRIPTION, "vm",
            N_("the description is longer than Proxmox VE takes and is "
               "cut"));
}

static void check_tags(const struct check *c)
{
    size_t changed, lost;

    free(rh_kvm_tags(c->k->job, &changed, &lost));
    if (changed)
        rh_finding_add(c->findings, RH_F_KVM_TAGS, "vm",
                       N_("tags that are spelled otherwise on Proxmox VE: %zu"),
                       changed);
    if (lost)
        rh_finding_add(
            c->findings, RH_F_KVM_TAGS, "vm",
            N_("tags that are left out on Proxmox VE, since nothing of "
               "them can be written there, or another one is the "
               "same there: %zu"),
            lost);
}

int rh_kvm_check(const struct rh_target_job *job, struct rh_findings *findings,
                 rh_error **err)
{
    const json_t *model;
    struct rh_kvm k;
    struct check c;

    if (check_options(job, err) < 0)
        return -1;
    model = rh_model_of(job->lib, "kvm", err);
    if (!model)
        return -1;
    rh_kvm_decide(&k, job);
    c = (struct check){&k, model, findings};
    check_disks(&c);
    check_boot(&c);
    check_nics(&c);
    check_cpus(&c);
    check_memory(&c);
    check_security(&c);
    check_hotplug(&c);
    check_clock(&c);
    check_name(&c);
    check_tags(&c);
    rh_target_say_uuid(job, RH_UUID_SWAPPED, findings);
    rh_kvm_free(&k);
    return 0;
}
