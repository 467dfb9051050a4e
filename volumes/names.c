/* names.c - the order of a VM's disks, and their names in Linux. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/names.h"

#include <stdlib.h>
#include <string.h>

/* Who gives the name, in the order in which the drivers are usually loaded. */
enum driver { SCSI, SATA, IDE, NVME, VIRTIO };

struct place {
    size_t disk;
    enum driver driver;
    uint64_t bus, unit;
    bool known; /* bus and unit are said */
};

static enum driver driver_of(const struct rh_value *controller)
{
    static const struct {
        const char *controller;
        enum driver driver;
    } rows[] = {
        {"sata", SATA}, {"ide", IDE}, {"nvme", NVME}, {"virtio-blk", VIRTIO}};

    for (size_t i = 0; controller->kind == RH_VALUE_TEXT && i < RH_COUNT(rows);
         i++)
        if (!strcmp(controller->text, rows[i].controller))
            return rows[i].driver;
    return SCSI;
}

static uint64_t number(const struct rh_value *v)
{
    return v->kind == RH_VALUE_NUMBER ? v->number : 0;
}

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_slot(const struct place *x, const struct place *y)
{
    int r = compare(x->driver, y->driver);

    r = r ? r : compare(x->bus, y->bus);
    return r ? r : compare(x->unit, y->unit);
}

/* What nothing tells apart keeps the package's order. */
static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int r = by_slot(x, y);

    return r ? r : compare(x->disk, y->disk);
}

static struct place *places_of(const struct rh_vm *vm, size_t count)
{
    struct place *places = rh_calloc(count + 1, sizeof *places);

    for (size_t i = 0; i < count; i++) {
        const struct rh_disk_config *c =
            vm && i < vm->disks.count ? &vm->disks.items[i] : NULL;

        places[i].disk = i;
        if (!c)
            continue;
        places[i].driver = driver_of(&c->controller);
        places[i].bus = number(&c->bus);
        places[i].unit = number(&c->unit);
        places[i].known = c->unit.kind == RH_VALUE_NUMBER;
    }
    qsort(places, count, sizeof *places, by_place);
    return places;
}

void rh_disk_order(const struct rh_vm *vm, size_t count, size_t *ret_order)
{
    struct place *places = places_of(vm, count);

    for (size_t i = 0; i < count; i++)
        ret_order[i] = places[i].disk;
    free(places);
}

/* SCSI, SATA and IDE disks share the names sda, sdb ... */
static bool is_sd(enum driver d)
{
    return d == SCSI || d == SATA || d == IDE;
}

static bool counted_together(enum driver a, enum driver b)
{
    return a == b || (is_sd(a) && is_sd(b));
}

/* Is the order of these disks more than a guess? */
static bool is_guess(const struct place *places, size_t count,
                     enum driver driver)
{
    const struct place *before = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct place *p = &places[i];

        if (!counted_together(p->driver, driver))
            continue;
        if (before && (!p->known || !before->known || !by_slot(before, p) ||
                       before->driver != p->driver))
            return true;
        before = p;
    }
    return false;
}

/* "sda", "sdz", "sdaa" */
static char *letter_name(struct rh_arena *a, const char *stem, size_t n)
{
    char text[8];
    size_t at = sizeof text;

    text[--at] = '\0';
    do {
        text[--at] = (char)('a' + n % 26);
        n = n / 26;
    } while (n-- && at);
    return rh_arena_printf(a, "/dev/%s%s", stem, text + at);
}

/* A controller's disks are its namespaces. */
static char *nvme_name(struct rh_arena *a, const struct place *places,
                       size_t at)
{
    size_t controller = 0, name_space = 1;

    for (size_t i = 0; i < at; i++) {
        if (places[i].driver != NVME)
            continue;
        if (places[i].bus == places[at].bus)
            name_space++;
        else if (i + 1 == at || places[i + 1].bus != places[i].bus)
            controller++;
    }
    return rh_arena_printf(a, "/dev/nvme%zun%zu", controller, name_space);
}

void rh_disk_names(const struct rh_vm *vm, size_t count, struct rh_arena *a,
                   struct rh_disk_name *ret)
{
    struct place *places = places_of(vm, count);
    size_t sd = 0, vd = 0;

    for (size_t i = 0; i < count; i++) {
        struct rh_disk_name *name = &ret[places[i].disk];

        name->device = places[i].driver == NVME ? nvme_name(a, places, i)
                       : places[i].driver == VIRTIO
                           ? letter_name(a, "vd", vd++)
                           : letter_name(a, "sd", sd++);
        name->guessed = is_guess(places, count, places[i].driver);
    }
    free(places);
}
