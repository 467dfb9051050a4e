/* assign.c - which disk goes on which bus.
 *
 * virtio    SCSI disks on one virtio-scsi controller each, or virtio-blk
 * vmware    each disk on the bus that its controller had, as far as Proxmox VE
 *           has it: PVSCSI stays; there is no LSI SAS 1068 and no NVMe, so
 *           those go to SATA, whose driver every guest brings
 * emulated  SATA or IDE
 *
 * A bus that is full overflows to the next one that the guest may know. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/kvm/kvm.h"
#include "targets/model.h"

struct buses {
    struct rh_target_job *job;
    struct rh_findings *findings;
    unsigned most[4], used[4]; /* by enum bus */
    bool q35;
    bool keep_ide2; /* the CD drive's */
};
enum bus { BUS_SCSI, BUS_VIRTIO, BUS_SATA, BUS_IDE, BUS_COUNT };
static const char *const bus_names[] = {"scsi", "virtio", "sata", "ide"};

static bool is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

/* The number of the next free place; -1 when the bus is full. */
static int next_place(struct buses *b, enum bus bus)
{
    while (b->used[bus] < b->most[bus]) {
        unsigned n = b->used[bus]++;

        if (bus != BUS_IDE)
            return (int)n;
        /* Proxmox VE's q35 has the masters only, and one is the CD's. */
        if ((b->q35 && n % 2) || (b->keep_ide2 && n == 2))
            continue;
        return (int)n;
    }
    return -1;
}

static const enum bus *order_for(enum bus first)
{
    static const enum bus orders[BUS_COUNT][BUS_COUNT] = {
        [BUS_SCSI] = {BUS_SCSI, BUS_VIRTIO, BUS_SATA, BUS_IDE},
        [BUS_VIRTIO] = {BUS_VIRTIO, BUS_SCSI, BUS_SATA, BUS_IDE},
        [BUS_SATA] = {BUS_SATA, BUS_IDE, BUS_SCSI, BUS_VIRTIO},
        [BUS_IDE] = {BUS_IDE, BUS_SATA, BUS_SCSI, BUS_VIRTIO},
    };

    return orders[first];
}

static enum bus bus_of_device(const char *disk)
{
    if (is(disk, "virtio-scsi") || is(disk, "pvscsi"))
        return BUS_SCSI;
    if (is(disk, "virtio-blk"))
        return BUS_VIRTIO;
    return is(disk, "ide") ? BUS_IDE : BUS_SATA;
}

/* A device of a profile for the controller that a disk had. */
static const char *kept_device(const struct rh_target_job *job, size_t disk)
{
    const char *controller = rh_text_of(&job->vm->disks.items[disk].controller);

    if (is(controller, "pvscsi") || is(controller, "ide"))
        return controller;
    if (is(controller, "virtio-scsi") || is(controller, "virtio-blk"))
        return controller;
    return *controller ? "sata" : job->devices->disk;
}

/* Does this disk stay on its controller?  With VMware's devices, and where the
 * user names one. */
static bool stays(const struct rh_target_job *job, size_t disk)
{
    return is(job->options->devices, "vmware") ||
           job->vm->disks.items[disk].controller.from == RH_FROM_SET;
}

/* The guest keeps the driver it starts from: the boot disk's controller
 * decides, and the guest is told so. */
static void keep_devices(struct rh_target_job *job)
{
    struct rh_profile_devices *d;
    const char *disk;

    if (!job->disk_count || !stays(job, job->disks[0].index))
        return;
    disk = kept_device(job, job->disks[0].index);
    if (is(disk, job->devices->disk))
        return;
    d = rh_arena_zalloc(job->vm->arena, sizeof *d);
    *d = *job->devices;
    d->disk = disk;
    job->devices = d;
}

static void say_moved(const struct buses *b, size_t disk, const char *from,
                      const char *bus)
{
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", disk);
    if (is(from, "lsisas") || is(from, "lsilogic") || is(from, "buslogic") ||
        is(from, "nvme"))
        rh_finding_add(
            b->findings, RH_F_KVM_DISK_CONTROLLER, subject,
            N_("Proxmox VE has no %s controller: disk %zu goes to %s"), from,
            disk, bus);
}

static void say_full(const struct buses *b, size_t disk, const char *bus,
                     const char *instead)
{
    char subject[32];

    snprintf(subject, sizeof subject, "disks/%zu", disk);
    rh_finding_add(
        b->findings, RH_F_KVM_DISK_OVERFLOW, subject,
        N_("there is no more place on the %s bus: disk %zu goes to %s"), bus,
        disk, instead);
}

static const char *extension(const struct rh_target_job *job)
{
    return job->options->format ? job->options->format : "qcow2";
}

static void assign_one(struct buses *b, size_t i)
{
    struct rh_target_job *job = b->job;
    struct rh_target_disk *d = &job->disks[i];
    bool keep = stays(job, d->index);
    const char *device = keep ? kept_device(job, d->index) : job->devices->disk;
    const enum bus *order = order_for(bus_of_device(device));

    d->file = rh_arena_printf(job->vm->arena, "disk%zu.%s", i, extension(job));
    for (size_t k = 0; k < BUS_COUNT && !d->bus; k++) {
        int place = next_place(b, order[k]);

        if (place < 0)
            continue;
        d->bus =
            rh_arena_printf(job->vm->arena, "%s%d", bus_names[order[k]], place);
        if (k)
            say_full(b, d->index, bus_names[order[0]], d->bus);
    }
    if (keep && d->bus)
        say_moved(b, d->index,
                  rh_text_of(&job->vm->disks.items[d->index].controller),
                  d->bus);
}

int rh_kvm_assign(struct rh_target_job *job, struct rh_findings *findings,
                  rh_error **err)
{
    const json_t *model = rh_model_of(job->lib, "kvm", err);
    struct buses b = {.job = job, .findings = findings};
    struct rh_kvm k;

    if (!model)
        return -1;
    keep_devices(job);
    rh_kvm_decide(&k, job);
    b.q35 = k.q35;
    job->machine = k.q35 ? "q35" : "pc";
    b.keep_ide2 = k.cdrom;
    rh_kvm_free(&k);
    for (size_t i = 0; i < BUS_COUNT; i++)
        b.most[i] = (unsigned)rh_model_limit(model, bus_names[i]);
    for (size_t i = 0; i < job->disk_count; i++)
        assign_one(&b, i);
    return 0;
}
