/* names.c - what each system calls its disks and NICs, by driver.
 *
 * Unlike Linux' persistent names these are the driver's name and a counter, so
 * another driver is another name.  Sources: the manual pages of da(4), ada(4),
 * nda(4), vtbd(4), pvscsi(4), vmx(4), vtnet(4), xn in xen(4), re(4) of FreeBSD
 * 14; sd(4), wd(4), vmx(4), vio(4), xnf(4), xbf(4) of OpenBSD 7; ld(4), sd(4),
 * wd(4), vmx(4), vioif(4), wm(4) of NetBSD 10. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

const char *const rh_bsd_names[] = {"freebsd", "openbsd", "netbsd", "solaris"};

/* --- NICs
 * --------------------------------------------------------------------- */
static const struct {
    const char *model, *stem[4]; /* by enum rh_bsd_system */
} nic_stems[] = {
    {"vmxnet3", {"vmx", "vmx", "vmx", "vmxnet3s"}},
    {"e1000", {"em", "em", "wm", "e1000g"}},
    {"e1000e", {"em", "em", "wm", "e1000g"}},
    {"virtio", {"vtnet", "vio", "vioif", "vioif"}},
    {"rtl8139", {"re", "re", "re", "rtls"}},
    {"pcnet32", {"le", "pcn", "pcn", "pcn"}},
    {"flexible",
     {"le", "pcn", "pcn", "pcn"}}, /* AMD's, until tools change it */
    {"xen", {"xn", "xnf", NULL, NULL}},
};

char *rh_bsd_nic_name(struct rh_arena *a, enum rh_bsd_system system,
                      const char *model, unsigned n)
{
    for (size_t i = 0; i < RH_COUNT(nic_stems); i++)
        if (!strcmp(model, nic_stems[i].model) && nic_stems[i].stem[system])
            return rh_arena_printf(a, "%s%u", nic_stems[i].stem[system], n);
    return NULL;
}

/* VMware's slot number: the bridge's in bits 5 to 9, its function above, the
 * device's below.  Buses are numbered bridge by bridge, function by function.
 */
static uint64_t bus_order(const struct rh_nic_config *n)
{
    uint64_t slot = n->slot.number;

    return (slot >> 5 & 31) << 16 | (slot >> 10 & 7) << 8 | (slot & 31);
}

struct place {
    size_t index;
    uint64_t order;
};

static int by_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static struct place *in_order(const struct rh_vm *vm, bool *ret_guessed)
{
    struct place *places = rh_calloc(vm->nics.count + 1, sizeof *places);
    bool slots = true;

    for (size_t i = 0; i < vm->nics.count; i++)
        slots &= vm->nics.items[i].slot.kind == RH_VALUE_NUMBER;
    for (size_t i = 0; i < vm->nics.count; i++)
        places[i] = (struct place){i, slots ? bus_order(&vm->nics.items[i])
                                            : (uint64_t)i};
    if (vm->nics.count)
        qsort(places, vm->nics.count, sizeof *places, by_order);
    *ret_guessed = !slots && vm->nics.count > 1;
    return places;
}

/* Those of one driver share a counter, e1000 and e1000e, too. */
static unsigned count_like(const struct rh_bsd *b, const char *name)
{
    size_t stem = strcspn(name, "0123456789");
    unsigned n = 0;

    if (!strncmp(name, "vmxnet3s", 8))
        stem = 8;
    else if (!strncmp(name, "e1000g", 6))
        stem = 6;
    for (size_t i = 0; i < b->nics.count; i++)
        n += b->nics.items[i].name &&
             !strncmp(b->nics.items[i].name, name, stem);
    return n;
}

void rh_bsd_name_nics(struct rh_bsd *b, const struct rh_vm *vm,
                      const struct rh_machine *m)
{
    RH_AUTO(rh_freep) struct place *places = in_order(vm, &b->guessed);

    for (size_t i = 0; i < vm->nics.count; i++) {
        const struct rh_nic_config *n = &vm->nics.items[places[i].index];
        const char *model = rh_text_of(&n->model);
        char *name = rh_bsd_nic_name(b->arena, b->system, model, 0);
        struct rh_bsd_nic nic = {.index = places[i].index};

        if (n->guest_name.kind == RH_VALUE_TEXT)
            nic.name = rh_arena_strdup(b->arena, n->guest_name.text);
        else if (name)
            nic.name = rh_bsd_nic_name(b->arena, b->system, model,
                                       count_like(b, name));
        /* The new machine has all of one model, in the VM's own order. */
        if (m && m->nic)
            nic.becomes = rh_bsd_nic_name(b->arena, b->system, m->nic,
                                          (unsigned)nic.index);
        *rh_vec_add(&b->nics) = nic;
    }
}

/* --- disks
 * -------------------------------------------------------------------- */
/* What a controller's disks are called, one column a system. */
static const struct {
    const char *kind, *stem[4];
} disk_stems[] = {
    {"ide", {"ada", "wd", "wd", NULL}},
    {"sata", {"ada", "sd", "wd", NULL}},
    {"virtio-blk", {"vtbd", "sd", "ld", NULL}},
    {"nvme", {"nda", "sd", "ld", NULL}},
    {"xen", {"ada", "sd", NULL, NULL}},
};

static const char *disk_stem(enum rh_bsd_system system, const char *version,
                             const char *kind)
{
    static const char *const scsi[] = {"da", "sd", "sd", NULL};
    bool old =
        system == RH_FREEBSD && version && strtol(version, NULL, 10) < 14;

    for (size_t i = 0; i < RH_COUNT(disk_stems); i++)
        if (!strcmp(kind, disk_stems[i].kind))
            /* nda(4) is the default since FreeBSD 14 on amd64. */
            return old && !strcmp(kind, "nvme") ? "nvd"
                                                : disk_stems[i].stem[system];
    return scsi[system];
}

/* IDE is found first: it sits on VMware's chipset, the others behind bridges.
 */
static uint64_t disk_order(const struct rh_disk_config *d)
{
    const char *controller = rh_text_of(&d->controller);
    uint64_t rank = !strcmp(controller, "ide")    ? 0
                    : !strcmp(controller, "sata") ? 2
                    : !strcmp(controller, "nvme") ? 3
                                                  : 1;

    return rank << 32 | (d->bus.number & 0xffff) << 16 |
           (d->unit.number & 0xffff);
}

static const struct rh_disk_config *vm_disk(const struct rh_session *s,
                                            size_t i)
{
    static const struct rh_disk_config none;
    const struct rh_vm *vm = s->o->vm;

    return vm && i < vm->disks.count ? &vm->disks.items[i] : &none;
}

static void name_before(struct rh_bsd_disk *disks, const struct rh_session *s,
                        enum rh_bsd_system system, const char *version,
                        struct rh_arena *a)
{
    const struct rh_vm *vm = s->o->vm;
    RH_AUTO(rh_freep)
    struct place *places = rh_calloc(s->count + 1, sizeof *places);
    struct {
        const char *stem;
        unsigned next;
    } seen[8] = {0};

    for (size_t i = 0; i < s->count; i++)
        places[i] = (struct place){i, disk_order(vm_disk(s, i))};
    if (s->count)
        qsort(places, s->count, sizeof *places, by_order);
    for (size_t i = 0; i < s->count && vm; i++) {
        const struct rh_disk_config *d = vm_disk(s, places[i].index);
        const char *kind = rh_text_of(&d->controller);
        const char *stem = disk_stem(system, version, kind);

        for (size_t k = 0; stem && k < RH_COUNT(seen); k++) {
            if (seen[k].stem && strcmp(seen[k].stem, stem))
                continue;
            seen[k].stem = stem;
            disks[places[i].index].before =
                rh_arena_printf(a, "%s%u", stem, seen[k].next++);
            break;
        }
    }
}

struct rh_bsd_disk *rh_bsd_disks(struct rh_arena *a, enum rh_bsd_system system,
                                 const char *version,
                                 const struct rh_session *s)
{
    struct rh_bsd_disk *disks =
        rh_arena_zalloc(a, (s->count + 1) * sizeof *disks);
    const char *kind =
        s->o->machine && s->o->machine->disk ? s->o->machine->disk : NULL;
    const char *stem = kind ? disk_stem(system, version, kind) : NULL;

    if (s->o->vm)
        name_before(disks, s, system, version, a);
    for (size_t n = 0; stem && n < s->count; n++) {
        size_t i = s->o->order ? s->o->order[n] : n;
        /* FreeBSD names a Xen disk by its device number: XCP-ng's first four
         * have those of IDE disks (sys/dev/xen/blkfront). */
        bool far = !strcmp(kind, "xen") && system == RH_FREEBSD && n >= 4;

        disks[i].after = rh_arena_printf(a, "%s%zu", far ? "xbd" : stem, n);
    }
    return disks;
}
