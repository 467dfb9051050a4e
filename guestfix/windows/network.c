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

#include "base/bytes.h"
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
    n->unregistered = rh_hive_number(h, k, "RegistrationEnabled", &m) && !m;
    n->by_name = rh_hive_number(h, k, "RegisterAdapterName", &m) && m;
    n->netbios =
        rh_hive_number(h, netbt, "NetbiosOptions", &m) && m < 3 ? m : 0;
}

/* --- IPv6, and routes --------------------------------------------------------
 * Nsi\{eb004a00- for IPv4, eb004a01- for IPv6}\10 holds addresses, \16 routes.
 * A value's name is a structure in hexadecimal digits (as Wine's nsi.h has
 * them): the card's LUID and the address; or the destination at byte 4, its
 * prefix behind it, the LUID twice, and the next hop. */
bool rh_win_is_of_card(const char *name, size_t digit,
                       const struct rh_win_nic *n)
{
    char luid[17];

    if (!n->has_luid || strlen(name) < digit + 16)
        return false;
    snprintf(luid, sizeof luid, "000000%02x%02x%02x0600",
             (unsigned)(n->luid_index & 0xff),
             (unsigned)(n->luid_index >> 8 & 0xff),
             (unsigned)(n->luid_index >> 16 & 0xff));
    return !strncasecmp(name + digit, luid, 16);
}

static bool hex_bytes(const char *hex, unsigned char *ret, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i] ? hex[2 * i + 1] : '\0', '\0'};
        char *end;

        ret[i] = (unsigned char)strtoul(two, &end, 16);
        if (end != two + 2)
            return false;
    }
    return true;
}

static bool is_link_local(const unsigned char *bytes)
{
    return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

static bool hex_address(const char *hex, char ret[INET6_ADDRSTRLEN])
{
    unsigned char bytes[16];

    /* Link-local ones make themselves. */
    return hex_bytes(hex, bytes, 16) && !is_link_local(bytes) &&
           inet_ntop(AF_INET6, bytes, ret, INET6_ADDRSTRLEN) != NULL;
}

static const struct route_form {
    int family;
    const char *key;
    size_t size;      /* of an address */
    size_t luid, hop; /* hexadecimal digits before them */
    unsigned most;
} forms[] = {
    {AF_INET, "Control\\Nsi\\{eb004a00-9b1a-11d4-9123-0050047759bc}\\16", 4,
     RH_WIN_LUID_ROUTE4, 80, 32},
    {AF_INET6, "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\16", 16,
     RH_WIN_LUID_ROUTE6, 112, 128}};

/* ": metric 5" where the value says one; 0 and all ones are automatic. */
static char *metric_words(struct rh_hive *h, rh_key k, const char *name)
{
    enum { AT_METRIC = 12 };
    size_t n = 0;
    RH_AUTO(rh_freep) unsigned char *p = rh_hive_bytes(h, k, name, &n);
    uint32_t metric = p && n >= AT_METRIC + 4 ? rh_le32(p + AT_METRIC) : 0;

    return metric && metric < 10000 ? rh_printf(" metric %u", metric)
                                    : rh_strdup("");
}

static void add_route(struct rh_windows *w, struct rh_hive *h, rh_key k,
                      const struct route_form *f, const char *name,
                      struct rh_win_nic *n)
{
    static const unsigned char zero[16];
    unsigned char to[16], prefix, hop[16];
    char to_text[INET6_ADDRSTRLEN], hop_text[INET6_ADDRSTRLEN];
    RH_AUTO(rh_freep) char *metric = NULL;

    if (strlen(name) < f->hop + 2 * f->size ||
        !hex_bytes(name + 8, to, f->size) ||
        !hex_bytes(name + 8 + 2 * f->size, &prefix, 1) ||
        !hex_bytes(name + f->hop, hop, f->size) || prefix > f->most ||
        !memcmp(hop, zero, f->size) ||
        !inet_ntop(f->family, to, to_text, sizeof to_text) ||
        !inet_ntop(f->family, hop, hop_text, sizeof hop_text))
        return;
    metric = metric_words(h, k, name);
    if (prefix)
        add_word(&n->routes, rh_arena_printf(w->arena, "%s/%u %s%s", to_text,
                                             prefix, hop_text, metric));
    else if (f->family == AF_INET6) /* IPv4's stand with its addresses */
        add_word(&n->gateways,
                 rh_arena_printf(w->arena, "%s%s", hop_text, metric));
}

static void read_routes(struct rh_windows *w, struct rh_hive *h,
                        struct rh_win_nic *n)
{
    for (size_t i = 0; i < RH_COUNT(forms); i++) {
        rh_key k = in_set(w, h, forms[i].key);
        RH_AUTO(rh_name_list_freep) char **names = rh_hive_values(h, k);

        for (size_t v = 0; names && names[v]; v++)
            if (rh_win_is_of_card(names[v], forms[i].luid, n))
                add_route(w, h, k, &forms[i], names[v], n);
    }
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

        if (!rh_win_is_of_card(names[i], RH_WIN_LUID_ADDRESS, n) ||
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

/* Teams, bridges, VLANs of a maker's own and switches of Hyper-V are no cards;
 * what is set on them goes with them. */
static bool is_team(const char *component)
{
    static const char *const marks[] = {
        "ms_implat", "vms_mp",     "ms_bridge", "ms_nwlb",
        "ms_lbfo",                                              /* Microsoft */
        "iansvlan",  "iansprot",   "iansmp",    "iansminiport", /* Intel */
        "blfm",      "basp",                                    /* Broadcom */
        "cpqteam",   "cq_cpqteam", "hp_team",   "mlx4mux",
        "mlx5mux"};

    for (size_t i = 0; component && i < RH_COUNT(marks); i++)
        if (strcasestr(component, marks[i]))
            return true;
    return false;
}

static rh_key connection_of(struct rh_windows *w, struct rh_hive *h,
                            const char *guid)
{
    RH_AUTO(rh_freep)
    char *path =
        rh_printf("Control\\Network\\%s\\%s\\Connection", NET_CLASS, guid);

    return in_set(w, h, path);
}

static void nic_free(struct rh_win_nic *n)
{
    rh_words *all[] = {&n->addresses, &n->gateways, &n->routes, &n->dns,
                       &n->wins};

    for (size_t i = 0; i < RH_COUNT(all); i++)
        free(all[i]->items);
}

/* "Team1 (compositebus\ms_implat_mp): 10.0.0.5/24 10.0.0.6/24" */
static void add_team(struct rh_windows *w, struct rh_hive *h, rh_key class_key,
                     const char *component, const char *guid)
{
    RH_AUTO(nic_free) struct rh_win_nic n = {.guid = guid, .dhcp = true};
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    const char *name =
        guid ? kept(w, h, connection_of(w, h, guid), "Name") : NULL;

    n.has_luid = rh_hive_number(h, class_key, "NetLuidIndex", &n.luid_index);
    if (guid) {
        read_ipv4(w, h, &n);
        read_ipv6(w, h, &n);
    }
    rh_buf_printf(&b, name ? "%s (%s)" : "%.0s%s", name ? name : "", component);
    for (size_t i = 0; i < n.addresses.count; i++)
        rh_buf_printf(&b, "%s%s", i ? " " : ": ", n.addresses.items[i]);
    add_word(&w->teams, rh_arena_strdup(w->arena, b.data));
}

/* VLAN by the driver of a card itself: a number, or a text of one. */
static uint64_t vlan_of(struct rh_windows *w, struct rh_hive *h,
                        rh_key class_key)
{
    const char *text = kept(w, h, class_key, "VlanID");
    uint64_t vlan = 0;

    if (!rh_hive_number(h, class_key, "VlanID", &vlan) && text)
        rh_parse_u64(text, &vlan);
    return vlan < 4095 ? vlan : 0;
}

static void add_nic(struct rh_windows *w, struct rh_hive *h, rh_key class_key,
                    const char *number)
{
    const struct rh_win_device *d = device_of(w, number);
    const char *guid = kept(w, h, class_key, "NetCfgInstanceId");
    const char *component = kept(w, h, class_key, "ComponentId");
    struct rh_win_nic *n;

    if (guid && strlen(guid) != 38)
        guid = NULL;
    if (is_team(component))
        add_team(w, h, class_key, component, guid);
    if (!guid || !d || w->nics.count >= NICS_MAX)
        return;
    n = rh_vec_add(&w->nics);
    n->device = d;
    n->guid = guid;
    n->nic = SIZE_MAX;
    n->description = kept(w, h, class_key, "DriverDesc");
    n->has_luid = rh_hive_number(h, class_key, "NetLuidIndex", &n->luid_index);
    n->name = kept(w, h, connection_of(w, h, guid), "Name");
    n->vlan = vlan_of(w, h, class_key);
    mac_of(w, h, class_key, n);
    read_ipv4(w, h, n);
    read_ipv6(w, h, n);
    read_routes(w, h, n);
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

/* Is the card of the NIC's model? */
static bool is_model(const struct rh_win_nic *n, const struct rh_nic_config *c)
{
    static const struct {
        const char *model, *id;
    } all[] = {
        {"vmxnet3", "VEN_15AD&DEV_07B0"}, {"vmxnet2", "VEN_15AD&DEV_0720"},
        {"vmxnet", "VEN_15AD&DEV_0720"},  {"e1000", "VEN_8086&DEV_100F"},
        {"e1000e", "VEN_8086&DEV_10D3"},  {"pcnet32", "VEN_1022&DEV_2000"}};

    for (size_t i = 0; i < RH_COUNT(all); i++)
        if (has_text(&c->model, all[i].model))
            return !strncasecmp(n->device->id, all[i].id, strlen(all[i].id));
    return false;
}

/* Where the card was replaced by one of another model, both had its slot, and
 * its MAC address. */
static unsigned fitness(const struct rh_win_nic *n,
                        const struct rh_nic_config *c)
{
    return (n->device->gone ? 0U : 2U) + is_model(n, c);
}

static void match(struct rh_windows *w, struct rh_vm *vm,
                  bool (*same)(const struct rh_win_nic *n,
                               const struct rh_nic_config *c))
{
    for (size_t k = 0; k < vm->nics.count; k++) {
        const struct rh_nic_config *c = &vm->nics.items[k];
        struct rh_win_nic *best = NULL;

        for (size_t i = 0; i < w->nics.count && !taken(w, k); i++) {
            struct rh_win_nic *n = &w->nics.items[i];

            if (n->nic == SIZE_MAX && same(n, c) &&
                (!best || fitness(n, c) > fitness(best, c)))
                best = n;
        }
        if (best)
            best->nic = k;
    }
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
