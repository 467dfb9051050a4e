/* network.c - the network cards that Windows knows, what is set on each, and
 * which of the VM's NICs each one is.
 *
 * Cards come from Control\Class, their devices from Enum\PCI, IPv4 from Tcpip,
 * IPv6 from Nsi (the only place that has it).  Windows keeps cards that are
 * long gone, addresses and all: one counts as the VM's only by its slot, its
 * MAC address, its name, or because there is just one of both. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/windows.h"

#define NET_CLASS "{4d36e972-e325-11ce-bfc1-08002be10318}"
enum { NICS_MAX = 256, ADDRESSES_MAX = 64 };

static const char *kept(struct rh_windows *w, struct rh_hive *h, rh_key k,
                        const char *value)
{
    RH_AUTO(rh_freep) char *text = rh_hive_text(h, k, value);

    return text && *text ? rh_arena_strdup(w->arena, text) : NULL;
}

static rh_key in_set(struct rh_windows *w, struct rh_hive *h, const char *path)
{
    rh_key set = w->sets.count ? rh_hive_key(h, 0, w->sets.items[0]) : 0;

    return set ? rh_hive_key(h, set, path) : 0;
}

static rh_key interface_key(struct rh_windows *w, struct rh_hive *h,
                            const char *fmt, const char *guid)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s%s", fmt, guid);

    return in_set(w, h, path);
}

static void add_word(rh_words *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->items[i], word))
            return;
    if (list->count < ADDRESSES_MAX)
        *rh_vec_add(list) = word;
}

/* --- IPv4 --------------------------------------------------------------------
 */
/* "255.255.255.0" is 24; -1: no such mask. */
static int prefix_of(const char *mask)
{
    struct in_addr a;
    uint32_t bits;
    int n = 0;

    if (!mask || inet_pton(AF_INET, mask, &a) != 1)
        return -1;
    bits = ntohl(a.s_addr);
    while (n < 32 && bits >> (31 - n) & 1)
        n++;
    return n == 32 || !(bits << n) ? n : -1;
}

static bool is_address(int family, const char *text)
{
    struct in6_addr a;

    return inet_pton(family, text, &a) == 1;
}

static void read_addresses(struct rh_windows *w, struct rh_hive *h, rh_key k,
                           struct rh_win_nic *n)
{
    RH_AUTO(rh_name_list_freep) char **ip = rh_hive_list(h, k, "IPAddress");
    RH_AUTO(rh_name_list_freep) char **mask = rh_hive_list(h, k, "SubnetMask");
    bool more = mask != NULL;

    for (size_t i = 0; ip && ip[i]; i++) {
        int prefix;

        more = more && mask[i];
        prefix = prefix_of(more ? mask[i] : NULL);
        if (prefix > 0 && is_address(AF_INET, ip[i]) &&
            strcmp(ip[i], "0.0.0.0"))
            add_word(&n->addresses,
                     rh_arena_printf(w->arena, "%s/%d", ip[i], prefix));
    }
}

static void read_gateways(struct rh_windows *w, struct rh_hive *h, rh_key k,
                          struct rh_win_nic *n)
{
    RH_AUTO(rh_name_list_freep)
    char **gw = rh_hive_list(h, k, "DefaultGateway");
    RH_AUTO(rh_name_list_freep)
    char **metric = rh_hive_list(h, k, "DefaultGatewayMetric");
    bool more = metric != NULL;

    for (size_t i = 0; gw && gw[i]; i++) {
        uint64_t m = 0;

        more = more && metric[i];
        if (!is_address(AF_INET, gw[i]) || !strcmp(gw[i], "0.0.0.0"))
            continue;
        if (more && rh_parse_u64(metric[i], &m) && m)
            add_word(&n->gateways, rh_arena_printf(w->arena, "%s metric %u",
                                                   gw[i], (unsigned)m));
        else
            add_word(&n->gateways, rh_arena_strdup(w->arena, gw[i]));
    }
}

/* Servers stand in one text, by commas or blanks. */
static void read_servers(struct rh_windows *w, struct rh_hive *h, rh_key k,
                         int family, rh_words *to)
{
    RH_AUTO(rh_freep) char *text = rh_hive_text(h, k, "NameServer");
    char *save, *word;

    for (word = text ? strtok_r(text, " ,;\t", &save) : NULL; word;
         word = strtok_r(NULL, " ,;\t", &save))
        if (is_address(family, word))
            add_word(to, rh_arena_strdup(w->arena, word));
}

static void read_wins(struct rh_windows *w, struct rh_hive *h, rh_key k,
                      struct rh_win_nic *n)
{
    RH_AUTO(rh_name_list_freep)
    char **list = rh_hive_list(h, k, "NameServerList");

    for (size_t i = 0; list && list[i]; i++)
        if (is_address(AF_INET, list[i]))
            add_word(&n->wins, rh_arena_strdup(w->arena, list[i]));
}

static void read_ipv4(struct rh_windows *w, struct rh_hive *h,
                      struct rh_win_nic *n)
{
    rh_key k = interface_key(w, h, "Services\\Tcpip\\Parameters\\Interfaces\\",
                             n->guid);
    rh_key netbt = interface_key(
        w, h, "Services\\NetBT\\Parameters\\Interfaces\\Tcpip_", n->guid);
    uint64_t dhcp = 1, m;

    /* Leftovers stay when DHCP is on: the switch decides. */
    rh_hive_number(h, k, "EnableDHCP", &dhcp);
    n->dhcp = dhcp != 0;
    if (!n->dhcp) {
        read_addresses(w, h, k, n);
        read_gateways(w, h, k, n);
    }
    read_servers(w, h, k, AF_INET, &n->dns);
    read_wins(w, h, netbt, n);
    n->suffix = kept(w, h, k, "Domain");
    n->metric = rh_hive_number(h, k, "InterfaceMetric", &m) ? m : 0;
    n->mtu = rh_hive_number(h, k, "MTU", &m) && m < 65536 ? m : 0;
    n->netbios =
        rh_hive_number(h, netbt, "NetbiosOptions", &m) && m < 3 ? m : 0;
}

/* --- IPv6 --------------------------------------------------------------------
 * Nsi\{eb004a01-...}\10: names of 16 hexadecimal digits of the card's LUID and
 * 32 of the address; byte 16 of the data is the prefix. */
bool rh_win_is_of_card(const char *name, const struct rh_win_nic *n)
{
    char luid[17];

    if (!n->has_luid)
        return false;
    snprintf(luid, sizeof luid, "000000%02x%02x%02x0600",
             (unsigned)(n->luid_index & 0xff),
             (unsigned)(n->luid_index >> 8 & 0xff),
             (unsigned)(n->luid_index >> 16 & 0xff));
    return !strncasecmp(name, luid, 16);
}

static bool hex_address(const char *hex, char ret[INET6_ADDRSTRLEN])
{
    unsigned char bytes[16];

    for (size_t i = 0; i < 16; i++) {
        char two[3] = {hex[2 * i], hex[2 * i] ? hex[2 * i + 1] : '\0', '\0'};
        char *end;

        bytes[i] = (unsigned char)strtoul(two, &end, 16);
        if (end != two + 2)
            return false;
    }
    /* Link-local ones make themselves. */
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
        return false;
    return inet_ntop(AF_INET6, bytes, ret, INET6_ADDRSTRLEN) != NULL;
}

static void read_ipv6(struct rh_windows *w, struct rh_hive *h,
                      struct rh_win_nic *n)
{
    rh_key nsi = in_set(
        w, h, "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\10");
    rh_key tcp = interface_key(
        w, h, "Services\\Tcpip6\\Parameters\\Interfaces\\", n->guid);
    RH_AUTO(rh_name_list_freep) char **names = rh_hive_values(h, nsi);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) unsigned char *p = NULL;
        char text[INET6_ADDRSTRLEN];
        size_t size = 0;

        if (!rh_win_is_of_card(names[i], n) ||
            !hex_address(names[i] + 16, text))
            continue;
        p = rh_hive_bytes(h, nsi, names[i], &size);
        if (p && size > 16 && p[16] && p[16] <= 128)
            add_word(&n->addresses,
                     rh_arena_printf(w->arena, "%s/%u", text, p[16]));
    }
    read_servers(w, h, tcp, AF_INET6, &n->dns);
}

/* --- MAC addresses -----------------------------------------------------------
 */
static void put_mac(const char *twelve, char ret[18])
{
    for (size_t i = 0; i < 6; i++) {
        ret[3 * i] = twelve[2 * i];
        ret[3 * i + 1] = twelve[2 * i + 1];
        ret[3 * i + 2] = i < 5 ? ':' : '\0';
    }
    for (char *p = ret; *p; p++)
        if (*p >= 'A' && *p <= 'F')
            *p = (char)(*p + 'a' - 'A');
}

static bool all_hex(const char *p, size_t n)
{
    return strspn(p, "0123456789abcdefABCDEF") >= n;
}

/* PCI Express cards have their serial number as instance: six digits of the
 * MAC address, FFFF, six digits, 00. */
static void mac_of(struct rh_windows *w, struct rh_hive *h, rh_key class_key,
                   struct rh_win_nic *n)
{
    const char *i = n->device->instance;
    const char *own = kept(w, h, class_key, "NetworkAddress");
    char twelve[13] = "";

    if (own && strlen(own) == 12 && all_hex(own, 12)) {
        memcpy(twelve, own, 12);
    } else if (strlen(i) == 18 && all_hex(i, 18) &&
               !strncasecmp(i + 6, "FFFF", 4)) {
        memcpy(twelve, i, 6);
        memcpy(twelve + 6, i + 10, 6);
    }
    if (*twelve)
        put_mac(twelve, n->mac);
}

/* --- the list ----------------------------------------------------------------
 */
static const struct rh_win_device *device_of(const struct rh_windows *w,
                                             const char *number)
{
    RH_AUTO(rh_freep) char *driver = rh_printf("%s\\%s", NET_CLASS, number);

    for (size_t i = 0; i < w->devices.count; i++)
        if (w->devices.items[i].driver &&
            !strcasecmp(w->devices.items[i].driver, driver))
            return &w->devices.items[i];
    return NULL;
}

/* Teams, bridges and switches of Hyper-V are no cards; what is set on them
 * goes with them. */
static bool is_team(const char *component)
{
    static const char *const marks[] = {"ms_implat", "vms_mp",   "ms_bridge",
                                        "ms_nwlb",   "iansvlan", "iansprot"};

    for (size_t i = 0; component && i < RH_COUNT(marks); i++)
        if (strcasestr(component, marks[i]))
            return true;
    return false;
}

static void add_nic(struct rh_windows *w, struct rh_hive *h, rh_key class_key,
                    const char *number)
{
    const struct rh_win_device *d = device_of(w, number);
    const char *guid = kept(w, h, class_key, "NetCfgInstanceId");
    const char *component = kept(w, h, class_key, "ComponentId");
    RH_AUTO(rh_freep) char *connection = NULL;
    struct rh_win_nic *n;
    rh_key k;

    if (is_team(component))
        add_word(&w->teams, component);
    if (!guid || !d || strlen(guid) != 38 || w->nics.count >= NICS_MAX)
        return;
    n = rh_vec_add(&w->nics);
    n->device = d;
    n->guid = guid;
    n->nic = SIZE_MAX;
    n->description = kept(w, h, class_key, "DriverDesc");
    n->has_luid = rh_hive_number(h, class_key, "NetLuidIndex", &n->luid_index);
    connection =
        rh_printf("Control\\Network\\%s\\%s\\Connection", NET_CLASS, guid);
    k = in_set(w, h, connection);
    n->name = kept(w, h, k, "Name");
    mac_of(w, h, class_key, n);
    read_ipv4(w, h, n);
    read_ipv6(w, h, n);
}

void rh_win_network(struct rh_windows *w, struct rh_hive *h)
{
    rh_key cards = in_set(w, h, "Control\\Class\\" NET_CLASS);
    RH_AUTO(rh_name_list_freep) char **names = rh_hive_children(h, cards);

    for (size_t i = 0; names && names[i]; i++)
        if (strlen(names[i]) == 4 && strspn(names[i], "0123456789") == 4)
            add_nic(w, h, rh_hive_key(h, cards, names[i]), names[i]);
}

/* --- matching ----------------------------------------------------------------
 */
static bool taken(const struct rh_windows *w, size_t nic)
{
    for (size_t i = 0; i < w->nics.count; i++)
        if (w->nics.items[i].nic == nic)
            return true;
    return false;
}

static bool has_text(const struct rh_value *v, const char *text)
{
    return text && *text && v->kind == RH_VALUE_TEXT &&
           !strcasecmp(v->text, text);
}

static bool by_mac(const struct rh_win_nic *n, const struct rh_nic_config *c)
{
    return has_text(&c->mac, n->mac);
}

static bool by_slot(const struct rh_win_nic *n, const struct rh_nic_config *c)
{
    return n->device->slot >= 0 && c->slot.kind == RH_VALUE_NUMBER &&
           (int64_t)c->slot.number == n->device->slot;
}

static bool by_name(const struct rh_win_nic *n, const struct rh_nic_config *c)
{
    return has_text(&c->guest_name, n->name);
}

static void match(struct rh_windows *w, struct rh_vm *vm,
                  bool (*same)(const struct rh_win_nic *n,
                               const struct rh_nic_config *c))
{
    for (size_t i = 0; i < w->nics.count; i++)
        for (size_t k = 0; k < vm->nics.count; k++)
            if (w->nics.items[i].nic == SIZE_MAX && !taken(w, k) &&
                same(&w->nics.items[i], &vm->nics.items[k]))
                w->nics.items[i].nic = k;
}

/* Does something say for certain that it is another card? */
static bool differs(const struct rh_win_nic *n, const struct rh_nic_config *c)
{
    return n->device->gone ||
           (n->mac[0] && c->mac.kind == RH_VALUE_TEXT && !by_mac(n, c)) ||
           (n->device->slot >= 0 && c->slot.kind == RH_VALUE_NUMBER &&
            !by_slot(n, c));
}

/* One card and one NIC left that may be one another: they are. */
static void match_last(struct rh_windows *w, struct rh_vm *vm)
{
    for (size_t k = 0; k < vm->nics.count; k++) {
        struct rh_win_nic *only = NULL;
        size_t candidates = 0;

        for (size_t i = 0; i < w->nics.count && !taken(w, k); i++) {
            struct rh_win_nic *n = &w->nics.items[i];

            if (n->nic != SIZE_MAX || differs(n, &vm->nics.items[k]))
                continue;
            only = n;
            candidates++;
        }
        if (candidates == 1)
            only->nic = k;
    }
}

void rh_win_match_nics(struct rh_windows *w, struct rh_vm *vm)
{
    match(w, vm, by_mac);
    match(w, vm, by_slot);
    match(w, vm, by_name);
    match_last(w, vm);
    for (size_t i = 0; i < w->nics.count; i++) {
        struct rh_win_nic *n = &w->nics.items[i];
        struct rh_nic_config *c;

        n->ghost = n->nic == SIZE_MAX;
        if (n->ghost)
            continue;
        c = &vm->nics.items[n->nic];
        if (c->guest_name.kind == RH_VALUE_UNSET && n->name)
            rh_set_text(vm, &c->guest_name, rh_arena_strdup(vm->arena, n->name),
                        RH_FROM_GUEST, "SYSTEM");
        if (c->mac.kind == RH_VALUE_UNSET && n->mac[0])
            rh_set_text(vm, &c->mac, rh_arena_strdup(vm->arena, n->mac),
                        RH_FROM_GUEST, "SYSTEM");
        /* The package's MAC is the machine's own word. */
        if (!n->mac[0] && c->mac.kind == RH_VALUE_TEXT)
            snprintf(n->mac, sizeof n->mac, "%s", c->mac.text);
    }
}
