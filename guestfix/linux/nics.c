/* nics.c - which of the VM's NICs bears which of the guest's names.
 *
 * By MAC address where a file names one, by the slot that the package gives,
 * else in order when there are as many of both. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/linux.h"

static const char *text_value(const struct rh_value *v)
{
    return v->kind == RH_VALUE_TEXT ? v->text : NULL;
}

static bool taken(const struct rh_linux *l, size_t nic)
{
    for (size_t i = 0; i < l->nics.count; i++)
        if (l->nics.items[i].nic == nic)
            return true;
    return false;
}

static void match_by_mac(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->nics.count; i++)
        for (size_t k = 0; k < vm->nics.count; k++) {
            const char *mac = text_value(&vm->nics.items[k].mac);

            if (mac && l->nics.items[i].nic == SIZE_MAX &&
                !strcasecmp(mac, l->nics.items[i].mac))
                l->nics.items[i].nic = k;
        }
}

/* ens192 sits in the slot that VMware numbers 192.  Its number holds the
 * function of the bridge above bit 10, the bridge and the device below; the
 * firmware numbers slots by bridge and function: 1184 is seen as ens161. */
static unsigned seen_slot(uint64_t number)
{
    return (unsigned)(number % 1024 + number / 1024);
}

static void match_by_slot(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->nics.count; i++)
        for (size_t k = 0; k < vm->nics.count; k++) {
            const struct rh_value *slot = &vm->nics.items[k].slot;
            char name[32];

            if (slot->kind != RH_VALUE_NUMBER || taken(l, k) ||
                l->nics.items[i].nic != SIZE_MAX)
                continue;
            snprintf(name, sizeof name, "ens%u",
                     seen_slot((uint64_t)slot->number));
            if (!strcmp(name, l->nics.items[i].name))
                l->nics.items[i].nic = k;
        }
}

/* Left over: names that are still without a NIC. */
static bool is_left(const struct rh_nic_name *n, bool idle_too)
{
    return n->nic == SIZE_MAX && (idle_too || !n->idle);
}

/* What is left over goes together in order, when there are as many of both. */
static void match_in_order(struct rh_linux *l, struct rh_vm *vm, bool idle_too)
{
    size_t names = 0, nics = 0, k = 0;

    for (size_t i = 0; i < l->nics.count; i++)
        names += is_left(&l->nics.items[i], idle_too);
    for (size_t i = 0; i < vm->nics.count; i++)
        nics += !taken(l, i);
    if (names != nics)
        return;
    for (size_t i = 0; i < l->nics.count; i++) {
        if (!is_left(&l->nics.items[i], idle_too))
            continue;
        while (taken(l, k))
            k++;
        l->nics.items[i].nic = k;
    }
}

/* VMware gives out ens192, 224, 256, and then ens161, 193 ...: the second
 * functions of the same bridges. */
static unsigned place_of(const char *name)
{
    char *end;
    unsigned long n = strncmp(name, "ens", 3) ? 0 : strtoul(name + 3, &end, 10);

    if (n < 160 || n > 1024 || *end)
        return 0;
    return (unsigned)(n % 32 * 1024 + n);
}

static int by_natural_name(const void *a, const void *b)
{
    const struct rh_nic_name *x = a, *y = b;
    unsigned i = place_of(x->name), k = place_of(y->name);

    if (i && k && i != k)
        return i < k ? -1 : 1;
    return strverscmp(x->name, y->name);
}

/* A MAC that only the configuration knows goes to a NIC that has none. */
static void take_macs(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->macs.count; i++) {
        struct rh_value *bare = NULL;
        bool known = false;

        for (size_t k = 0; k < vm->nics.count; k++) {
            struct rh_value *v = &vm->nics.items[k].mac;

            known |= v->kind == RH_VALUE_TEXT &&
                     !strcasecmp(v->text, l->macs.items[i].mac);
            if (v->kind == RH_VALUE_UNSET && !bare)
                bare = v;
        }
        if (bare && !known)
            rh_set_text(vm, bare, l->macs.items[i].mac, RH_FROM_GUEST,
                        l->macs.items[i].where);
    }
}

void rh_linux_match_nics(struct rh_linux *l, struct rh_vm *vm)
{
    if (l->nics.count)
        qsort(l->nics.items, l->nics.count, sizeof *l->nics.items,
              by_natural_name);
    match_by_mac(l, vm);
    match_by_slot(l, vm);
    match_in_order(l, vm, true);
    match_in_order(l, vm, false);
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];
        struct rh_nic_config *c;

        if (n->nic == SIZE_MAX)
            continue;
        c = &vm->nics.items[n->nic];
        if (c->guest_name.kind == RH_VALUE_UNSET)
            rh_set_text(vm, &c->guest_name, n->name, RH_FROM_GUEST, n->where);
        if (c->mac.kind == RH_VALUE_UNSET && n->mac[0])
            rh_set_text(vm, &c->mac, n->mac, RH_FROM_GUEST, n->where);
    }
    take_macs(l, vm);
}
