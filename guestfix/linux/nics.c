/* nics.c - which of the VM's NICs bears which of the guest's names.
 *
 * By what the user says, by MAC address where a file names one, by the slot
 * that the package gives, by the order on the bus for ethN; what is left goes
 * in order when there are as many of both, and that is called a guess.
 *
 * VMware numbers slots so that the bridge can be told (pciSlotNumber): bits
 * 0-4 are the device, bits 5-9 the bridge and bits 10-12 its function.  Bridge
 * 1 is the PCI one at 00:11.0 with bus 02; 5 to 8 are the PCI Express ports at
 * 00:15.0 to 00:18.0 with eight functions and so eight buses each: 192 is
 * 0b:00.0, 1184 is 04:00.0.  (Seen in lspci of ESXi guests; a bridge of another
 * number tells no bus.) */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

enum { PCI_BRIDGE_BUS = 2, FIRST_PORT = 5, LAST_PORT = 8, FIRST_PORT_BUS = 3 };

static const char *text_value(const struct rh_value *v)
{
    return v->kind == RH_VALUE_TEXT ? v->text : NULL;
}

uint32_t rh_nic_place(const struct rh_nic_config *nic)
{
    uint64_t n = nic->slot.number;
    unsigned device, bridge, function;

    if (nic->slot.kind != RH_VALUE_NUMBER || n >= 8192)
        return 0;
    device = (unsigned)n & 31;
    bridge = (unsigned)n >> 5 & 31;
    function = (unsigned)n >> 10;
    if (!bridge)
        return RH_PCI(0, device, 0);
    if (bridge == 1)
        return RH_PCI(PCI_BRIDGE_BUS, device, 0);
    if (bridge < FIRST_PORT || bridge > LAST_PORT)
        return 0;
    return RH_PCI(FIRST_PORT_BUS + (bridge - FIRST_PORT) * 8 + function, device,
                  0);
}

static unsigned bus_of(uint32_t place)
{
    return place >> 16 & 0xff;
}

static unsigned device_of(uint32_t place)
{
    return place >> 8 & 0xff;
}

/* --- names that tell a slot
 * ------------------------------------------------------------------ */
/* ens192 sits in the slot that VMware numbers 192; the firmware numbers slots
 * by bridge and function: 1184 is seen as ens161. */
static unsigned seen_slot(uint64_t number)
{
    return (unsigned)(number % 1024 + number / 1024);
}

/* eno's number is ACPI's: 16777736 is 0x01000208, instance 1 of 02:01.0. */
static bool is_board_name(const char *name, uint32_t place)
{
    char *end;
    unsigned long n;

    if (strncmp(name, "eno", 3) || !isdigit((unsigned char)name[3]))
        return false;
    n = strtoul(name + 3, &end, 10);
    return !*end && n > 0xffffff && (n & 0xff00) >> 8 == bus_of(place) &&
           (n & 0xff) == device_of(place) << 3;
}

bool rh_nic_slot_name(const struct rh_nic_config *nic, const char *name)
{
    uint32_t place = rh_nic_place(nic);
    char want[64];

    if (nic->slot.kind != RH_VALUE_NUMBER)
        return false;
    snprintf(want, sizeof want, "ens%u", seen_slot(nic->slot.number));
    if (!strcmp(want, name))
        return true;
    if (!place)
        return false;
    snprintf(want, sizeof want, "enp%us%u", bus_of(place), device_of(place));
    return !strcmp(want, name) || is_board_name(name, place);
}

/* A name of udev's policy, for whatever slot. */
static bool tells_slot(const char *name)
{
    unsigned a, b;
    char rest;

    /* Only the form counts, and the widths bound the numbers.
     * NOLINTBEGIN(cert-err34-c) */
    return sscanf(name, "ens%9u%c", &a, &rest) == 1 ||
           sscanf(name, "enp%9us%9u%c", &a, &b, &rest) == 2 ||
           sscanf(name, "eno%9u%c", &a, &rest) == 1;
    /* NOLINTEND(cert-err34-c) */
}

/* --- matching
 * ------------------------------------------------------------------ */
static bool taken(const struct rh_linux *l, size_t nic)
{
    for (size_t i = 0; i < l->nics.count; i++)
        if (l->nics.items[i].nic == nic)
            return true;
    return false;
}

static void give(struct rh_linux *l, struct rh_nic_name *n, size_t nic,
                 enum rh_nic_how how)
{
    n->alternative = taken(l, nic);
    n->nic = nic;
    n->how = how;
}

/* --set nicN.guest_name=NAME, whether or not a file is known to say it. */
static void match_set(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t k = 0; k < vm->nics.count; k++) {
        const struct rh_value *v = &vm->nics.items[k].guest_name;
        struct rh_nic_name *n = NULL;

        if (v->kind != RH_VALUE_TEXT || v->from == RH_FROM_GUEST)
            continue;
        for (size_t i = 0; i < l->nics.count && !n; i++)
            if (!strcmp(l->nics.items[i].name, v->text))
                n = &l->nics.items[i];
        if (!n)
            n = rh_nic_add(l, v->text, NULL, "--set");
        if (n)
            give(l, n, k, RH_NIC_SET);
    }
}

/* By what the package says: an address that an earlier look gave to the NIC is
 * no reason of its own. */
static void match_by_mac(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->nics.count; i++)
        for (size_t k = 0; k < vm->nics.count; k++) {
            const struct rh_value *v = &vm->nics.items[k].mac;
            const char *mac = v->from == RH_FROM_GUEST ? NULL : text_value(v);

            if (mac && l->nics.items[i].nic == SIZE_MAX && !taken(l, k) &&
                !strcasecmp(mac, l->nics.items[i].mac))
                give(l, &l->nics.items[i], k, RH_NIC_MAC);
        }
}

/* A NIC may be known by two names of its slot, of which the second is an
 * alternative one; not by its slot where an address gave it another name. */
static bool is_free_for(const struct rh_linux *l, const struct rh_vm *vm,
                        size_t nic)
{
    for (size_t i = 0; i < l->nics.count; i++)
        if (l->nics.items[i].nic == nic &&
            !rh_nic_slot_name(&vm->nics.items[nic], l->nics.items[i].name))
            return false;
    return true;
}

/* By the file's own word on the place, else by what the name says of it. */
static void match_by_slot(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];

        for (size_t k = 0; k < vm->nics.count && n->nic == SIZE_MAX; k++) {
            const struct rh_nic_config *c = &vm->nics.items[k];
            uint32_t place = rh_nic_place(c);

            if (place && n->path
                    ? n->path == place && !taken(l, k)
                    : rh_nic_slot_name(c, n->name) && is_free_for(l, vm, k))
                give(l, n, k, RH_NIC_SLOT);
        }
    }
}

/* How many NICs stand before this one on the bus; SIZE_MAX: not all places are
 * known, or the drivers differ, which the kernel loads in any order. */
size_t rh_nic_bus_rank(const struct rh_vm *vm, size_t nic)
{
    uint32_t own = rh_nic_place(&vm->nics.items[nic]);
    const char *model = text_value(&vm->nics.items[nic].model);
    size_t rank = 0;

    for (size_t k = 0; k < vm->nics.count; k++) {
        uint32_t place = rh_nic_place(&vm->nics.items[k]);
        const char *other = text_value(&vm->nics.items[k].model);

        if (!place || (k != nic && place == own) ||
            strcmp(model ? model : "", other ? other : ""))
            return SIZE_MAX;
        rank += place < own;
    }
    return rank;
}

/* The N of "ethN"; SIZE_MAX: another name. */
size_t rh_nic_eth_number(const char *name)
{
    unsigned long n;
    char *end;

    if (strncmp(name, "eth", 3) || !isdigit((unsigned char)name[3]))
        return SIZE_MAX;
    n = strtoul(name + 3, &end, 10);
    return *end ? SIZE_MAX : n;
}

static void match_by_bus(struct rh_linux *l, struct rh_vm *vm, bool idle_too)
{
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];
        size_t number = rh_nic_eth_number(n->name);

        /* One that rules bound to a NIC of another address may be any. */
        if (n->nic != SIZE_MAX || number == SIZE_MAX || n->pinned ||
            (n->idle && !idle_too))
            continue;
        for (size_t k = 0; k < vm->nics.count && n->nic == SIZE_MAX; k++)
            if (!taken(l, k) && rh_nic_bus_rank(vm, k) == number)
                give(l, n, k, vm->nics.count == 1 ? RH_NIC_ONLY : RH_NIC_BUS);
    }
}

/* Left over: names that are still without a NIC. */
static bool is_left(const struct rh_nic_name *n, bool idle_too)
{
    return n->nic == SIZE_MAX && (idle_too || !n->idle);
}

/* One name for the one NIC there is needs no guess, unless its slot is known
 * and the name tells another. */
static enum rh_nic_how how_left(const struct rh_vm *vm,
                                const struct rh_nic_name *n, size_t names)
{
    bool elsewhere =
        vm->nics.items[0].slot.kind == RH_VALUE_NUMBER && tells_slot(n->name);

    return names == 1 && vm->nics.count == 1 && !elsewhere ? RH_NIC_ONLY
                                                           : RH_NIC_GUESSED;
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
        struct rh_nic_name *n = &l->nics.items[i];

        if (!is_left(n, idle_too))
            continue;
        while (taken(l, k))
            k++;
        give(l, n, k, how_left(vm, n, names));
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

/* A MAC that only the configuration knows goes to a NIC that has none: of
 * several, in order. */
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
        if (!bare || known)
            continue;
        rh_set_text(vm, bare, l->macs.items[i].mac, RH_FROM_GUEST,
                    l->macs.items[i].where);
    }
}

/* With a known slot the name that udev gave is known as well; it is kept
 * whether or not a reader knows the file that counts on it. */
static void derive(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t k = 0; k < vm->nics.count; k++) {
        const struct rh_value *slot = &vm->nics.items[k].slot;
        struct rh_nic_name *n;
        char name[32];

        if (slot->kind != RH_VALUE_NUMBER || taken(l, k))
            continue;
        snprintf(name, sizeof name, "ens%u", seen_slot(slot->number));
        n = rh_nic_add(l, name, NULL, "");
        if (n && n->nic == SIZE_MAX)
            give(l, n, k, RH_NIC_DERIVED);
    }
}

/* Addresses of configuration by MAC or by place stand with the NIC's name. */
static bool add_net(struct rh_linux *l, size_t nic, const struct rh_net *net)
{
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];

        if (n->nic != nic || n->alternative)
            continue;
        rh_net_merge(&n->net, net);
        return true;
    }
    return false;
}

static void collect_nets(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t k = 0; k < vm->nics.count; k++) {
        const char *mac = text_value(&vm->nics.items[k].mac);
        uint32_t place = rh_nic_place(&vm->nics.items[k]);

        for (size_t i = 0; mac && i < l->macs.count; i++)
            if (!strcasecmp(l->macs.items[i].mac, mac))
                l->macs.items[i].named = add_net(l, k, &l->macs.items[i].net);
        for (size_t i = 0; place && i < l->paths.count; i++)
            if (l->paths.items[i].path == place)
                add_net(l, k, &l->paths.items[i].net);
    }
}

void rh_linux_match_nics(struct rh_linux *l, struct rh_vm *vm)
{
    if (l->nics.count)
        qsort(l->nics.items, l->nics.count, sizeof *l->nics.items,
              by_natural_name);
    match_set(l, vm);
    match_by_mac(l, vm);
    /* A file that calls the NIC by its slot is left over where names are the
     * kernel's. */
    if (l->kernel_names)
        match_by_bus(l, vm, false);
    match_by_slot(l, vm);
    match_by_bus(l, vm, true);
    match_in_order(l, vm, true);
    match_in_order(l, vm, false);
    if (l->predictable)
        derive(l, vm);
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];
        struct rh_nic_config *c;

        if (n->nic == SIZE_MAX || n->alternative)
            continue;
        c = &vm->nics.items[n->nic];
        if (c->guest_name.kind == RH_VALUE_UNSET)
            rh_set_text(vm, &c->guest_name, n->name, RH_FROM_GUEST,
                        *n->where ? n->where : "PCI slot");
        if (c->mac.kind == RH_VALUE_UNSET && n->mac[0])
            rh_set_text(vm, &c->mac, n->mac, RH_FROM_GUEST, n->where);
    }
    take_macs(l, vm);
    collect_nets(l, vm);
}
