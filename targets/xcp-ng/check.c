/* check.c - compares a VM and its choices with what XCP-ng can have. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "targets/model.h"
#include "targets/xcp-ng/xen.h"

struct check {
    const struct rh_target_job *job;
    const json_t *model;
    struct rh_findings *findings;
};

static uint64_t limit(const struct check *c, const char *key)
{
    return rh_model_limit(c->model, key);
}

/* "8.2", "8.2.1": the release before vTPM and qcow2. */
static bool is_8_2(const struct rh_target_job *job)
{
    const char *v = rh_target_option(job, "target-version");

    return v && !strncmp(v, "8.2", 3);
}

static bool format_is(const struct rh_target_job *job, const char *format)
{
    return job->options->format && !strcmp(job->options->format, format);
}

static const char *subject(const char *kind, size_t i, char buf[32])
{
    snprintf(buf, 32, "%s/%zu", kind, i);
    return buf;
}

static void check_guest(const struct check *c)
{
    if (c->job->options->devices && !strcmp(c->job->options->devices, "vmware"))
        rh_finding_add(
            c->findings, RH_F_XEN_DEVICES, "vm",
            N_("XCP-ng has no PVSCSI and no VMXNET3: --devices vmware is "
               "for the KVM model"));
    if (rh_xen_is_windows(c->job))
        rh_finding_add(
            c->findings, RH_F_XEN_WINDOWS_TOOLS, "os",
            N_("Windows first starts on emulated disks and NICs; it gets "
               "fast ones with the PV drivers"));
}

/* --- disks ---------------------------------------------------------------- */
static void check_disk_size(const struct check *c, size_t i, uint64_t size,
                            const char *where)
{
    RH_AUTO(rh_freep) char *shown = rh_human_size(size);
    bool vhd = format_is(c->job, "vhd");

    if (size > limit(c, "qcow2_size")) {
        rh_finding_add(
            c->findings, RH_F_XEN_DISK_SIZE, where,
            N_("disk %zu has %s; XCP-ng's largest disk has 16381 GiB"), i,
            shown);
        return;
    }
    if (size <= limit(c, "vhd_size"))
        return;
    if (vhd || is_8_2(c->job))
        rh_finding_add(
            c->findings, RH_F_XEN_DISK_SIZE, where,
            N_("disk %zu has %s; a VHD, all that XCP-ng 8.2 knows, holds "
               "2040 GiB"),
            i, shown);
    else
        rh_finding_add(
            c->findings, RH_F_XEN_DISK_QCOW2, where,
            N_("disk %zu has %s: over 2040 GiB the storage keeps it as "
               "qcow2, which XCP-ng 8.3 does since May 2026"),
            i, shown);
}

static void check_disks(const struct check *c)
{
    const struct rh_vm *vm = c->job->vm;
    size_t seen = (size_t)limit(c, "emulated_disks");
    bool blind = c->job->devices && c->job->devices->disk &&
                 strcmp(c->job->devices->disk, "xen") != 0;
    char where[32];

    for (size_t i = 0; i < vm->disks.count; i++) {
        const struct rh_value *size = &vm->disks.items[i].capacity_bytes;

        if (size->kind != RH_VALUE_NUMBER)
            continue;
        check_disk_size(c, i, size->number, subject("disks", i, where));
        if (size->number % limit(c, "disk_unit"))
            rh_finding_add(
                c->findings, RH_F_XEN_DISK_ROUNDED, where,
                N_("disk %zu grows to a multiple of 2 MiB, as XCP-ng's "
                   "storage would make it"),
                i);
    }
    if (vm->disks.count > limit(c, "disks"))
        rh_finding_add(c->findings, RH_F_XEN_DISK_COUNT, "vm",
                       N_("the VM has %zu disks; XCP-ng attaches at most 254"),
                       vm->disks.count);
    else if (blind && c->job->disk_count > seen)
        rh_finding_add(
            c->findings, RH_F_XEN_DISK_POSITION,
            subject("disks", c->job->disks[seen].index, where),
            N_("the guest sees only its first %zu disks until it has PV "
               "drivers"),
            seen);
    if (format_is(c->job, "qcow2"))
        rh_finding_add(
            c->findings, RH_F_XEN_FORMAT_QCOW2, "vm",
            N_("qcow2 files are taken by XCP-ng 8.3 (since May 2026) "
               "only"));
}

/* --- network -------------------------------------------------------------- */
static void check_nic(const struct check *c, size_t i)
{
    const struct rh_nic_config *n = &c->job->vm->nics.items[i];
    bool is_mapped;
    RH_AUTO(rh_freep) char *network = rh_xen_network(c->job, i, &is_mapped);
    char where[32];

    subject("nics", i, where);
    if (!is_mapped)
        rh_finding_add(
            c->findings, RH_F_XEN_NETWORK, where,
            N_("NIC %zu goes to the network named \"%s\"; where the pool "
               "has none, an import makes an isolated one"),
            i, network);
    if (n->connected.kind == RH_VALUE_BOOL && !n->connected.boolean)
        rh_finding_add(c->findings, RH_F_XEN_NIC_DISCONNECTED, where,
                       N_("NIC %zu was not connected: it is locked on XCP-ng"),
                       i);
}

static void check_nics(const struct check *c)
{
    size_t count = c->job->vm->nics.count;

    for (size_t i = 0; i < count; i++)
        check_nic(c, i);
    if (count > limit(c, "nics"))
        rh_finding_add(c->findings, RH_F_XEN_NIC_COUNT, "vm",
                       N_("the VM has %zu NICs; XCP-ng gives it at most %u"),
                       count, (unsigned)limit(c, "nics"));
    if (count)
        rh_finding_add(
            c->findings, RH_F_XEN_MAC, "vm",
            N_("MAC addresses are kept by import.sh (preserve=true); an "
               "import through the web page makes new ones"));
}

/* --- machine -------------------------------------------------------------- */
static void check_cpus(const struct check *c)
{
    const struct rh_value *cores = &c->job->vm->cores_per_socket;
    uint64_t cpus = rh_xen_cpus(c->job);

    if (cpus > limit(c, "cpus"))
        rh_finding_add(c->findings, RH_F_XEN_CPU_COUNT, "vm",
                       N_("%llu virtual CPUs; XCP-ng gives a VM at most %llu"),
                       (unsigned long long)cpus,
                       (unsigned long long)limit(c, "cpus"));
    else if (cpus > limit(c, "cpus_supported"))
        rh_finding_add(
            c->findings, RH_F_XEN_CPU_MANY, "vm",
            N_("%llu virtual CPUs are more than %llu, up to which XCP-ng "
               "is supported"),
            (unsigned long long)cpus,
            (unsigned long long)limit(c, "cpus_supported"));
    if (cores->kind == RH_VALUE_NUMBER && cores->number && cpus % cores->number)
        rh_finding_add(
            c->findings, RH_F_XEN_TOPOLOGY, "vm",
            N_("%llu virtual CPUs cannot be shared out to sockets of %llu: "
               "each becomes a socket"),
            (unsigned long long)cpus, (unsigned long long)cores->number);
}

static void check_security(const struct check *c)
{
    const struct rh_vm *vm = c->job->vm;

    if (rh_is_true(&vm->secure_boot) && rh_xen_is_uefi(c->job))
        rh_finding_add(
            c->findings, RH_F_XEN_SECURE_BOOT, "vm",
            N_("Secure Boot is on: the VM starts only when the pool holds "
               "Secure Boot certificates"));
    if (!rh_xen_wants_tpm(c->job))
        return;
    if (is_8_2(c->job))
        rh_finding_add(c->findings, RH_F_XEN_TPM_MISSING, "vm",
                       N_("the VM has a TPM, XCP-ng 8.2 has none"));
    else
        rh_finding_add(
            c->findings, RH_F_XEN_TPM, "vm",
            N_("the VM gets a new, empty vTPM, on XCP-ng 8.3 only; keys "
               "that were sealed in the old one are not in the export"));
}

static void check_memory(const struct check *c)
{
    uint64_t bytes = rh_xen_memory(c->job);
    RH_AUTO(rh_freep) char *shown = rh_human_size(bytes);

    if (bytes > limit(c, "memory_supported"))
        rh_finding_add(
            c->findings, RH_F_XEN_MEMORY, "vm",
            N_("%s of memory are more than the 1.5 TiB up to which a VM "
               "is supported"),
            shown);
}

/* An XVA carries the UUID; a VM made anew by a script gets its own. */
static void check_uuid(const struct check *c)
{
    char uuid[37];

    if (rh_vm_smbios_uuid(c->job->vm, RH_UUID_PLAIN, uuid))
        return; /* nobody knows the old one */
    rh_target_say_uuid(c->job, RH_UUID_PLAIN, c->findings);
    if (!c->job->options->format || format_is(c->job, "xva"))
        rh_finding_add(
            c->findings, RH_F_XEN_UUID, "vm",
            N_("the BIOS UUID %s is kept by import.sh (preserve=true); an "
               "import through the web page makes a new one"),
            uuid);
    else
        rh_finding_add(
            c->findings, RH_F_XEN_UUID_NEW, "vm",
            N_("the BIOS UUID %s is not kept: import.sh makes a new VM "
               "for such disks"),
            uuid);
}

static void check_clock(const struct check *c)
{
    long offset;

    if (!rh_xen_time_offset(c->job, &offset))
        rh_finding_add(
            c->findings, RH_F_XEN_CLOCK, "vm",
            N_("the guest keeps its hardware clock in local time, XCP-ng "
               "starts it in UTC: the time is off until the guest sets "
               "it"));
    else if (offset)
        rh_finding_add(
            c->findings, RH_F_XEN_CLOCK_SET, "vm",
            N_("the hardware clock stays in local time (%s): XCP-ng keeps "
               "it %+ld minutes from UTC"),
            rh_text_of(&c->job->vm->timezone), offset / 60);
    if (rh_is_true(&c->job->vm->cpu_hot_add) ||
        rh_is_true(&c->job->vm->memory_hot_add))
        rh_finding_add(
            c->findings, RH_F_XEN_HOTPLUG, "vm",
            N_("hot-add of CPUs or memory was on; the result has a fixed "
               "size"));
    if (rh_is_true(&c->job->vm->nested_virtualization))
        rh_finding_add(c->findings, RH_F_XEN_NESTED, "vm",
                       N_("nested virtualisation is experimental on XCP-ng"));
}

int rh_xen_check(const struct rh_target_job *job, struct rh_findings *findings,
                 rh_error **err)
{
    const json_t *model = rh_model_of(job->lib, "xen", err);
    const struct check c = {job, model, findings};

    if (!model)
        return -1;
    check_guest(&c);
    check_disks(&c);
    check_nics(&c);
    check_cpus(&c);
    check_memory(&c);
    check_security(&c);
    check_uuid(&c);
    check_clock(&c);
    return 0;
}
