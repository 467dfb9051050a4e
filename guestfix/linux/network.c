/* network.c - which interface names the guest's configuration counts on.
 *
 * Each form has a reader of its own (net_*.c); here what they found comes
 * together.  Names, MAC addresses and IP addresses come from hostile files:
 * what is no plausible one is passed over. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NICS_MAX = 64 };

bool rh_nic_good_name(const char *name)
{
    size_t n = strlen(name);

    if (!n || n > 15 || !strcmp(name, "lo"))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

/* Names of things that are made in software: nothing to pin. */
static bool is_physical(const char *name)
{
    static const char *const soft[] = {
        "bond",  "br", "team", "tun", "tap", "vlan", "dummy", "docker", "veth",
        "virbr", "wg", "ppp",  "sit", "ib",  "vmbr", "lxc",   "ovs",    "cni"};

    if (strchr(name, '.') || strchr(name, ':'))
        return false;
    for (size_t i = 0; i < RH_COUNT(soft); i++)
        if (!strncmp(name, soft[i], strlen(soft[i])))
            return false;
    return true;
}

static void copy_mac(char to[18], const char *mac)
{
    for (size_t i = 0; i < 17; i++)
        to[i] = (char)tolower((unsigned char)mac[i]);
}

struct rh_nic_name *rh_nic_add(struct rh_linux *l, const char *name,
                               const char *mac, const char *where)
{
    struct rh_nic_name *n = NULL;

    if (!name || !rh_nic_good_name(name) || !is_physical(name))
        return NULL;
    for (size_t i = 0; i < l->nics.count; i++)
        if (!strcmp(l->nics.items[i].name, name))
            n = &l->nics.items[i];
    if (!n) {
        if (l->nics.count == NICS_MAX)
            return NULL;
        n = rh_vec_add(&l->nics);
        n->name = rh_arena_strdup(l->arena, name);
        n->where = rh_arena_strdup(l->arena, where);
        n->nic = SIZE_MAX;
    }
    if (mac && rh_valid_mac(mac) && !n->mac[0])
        copy_mac(n->mac, mac);
    return n;
}

struct rh_nic_name *rh_nic_add_base(struct rh_linux *l, const char *name,
                                    const char *where)
{
    RH_AUTO(rh_freep) char *parent = rh_strndup(name, strcspn(name, ".:"));

    return rh_nic_add(l, parent, NULL, where);
}

void rh_nic_add_words(struct rh_linux *l, const char *words, const char *where)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(words);
    char *save;

    for (char *w = strtok_r(copy, " \t;", &save); w;
         w = strtok_r(NULL, " \t;", &save))
        rh_nic_add_base(l, w, where);
}

struct rh_mac_use *rh_nic_add_mac(struct rh_linux *l, const char *mac,
                                  const char *where)
{
    struct rh_mac_use *m;

    if (!rh_valid_mac(mac) || l->macs.count == NICS_MAX)
        return NULL;
    m = rh_vec_add(&l->macs);
    copy_mac(m->mac, mac);
    m->where = rh_arena_strdup(l->arena, where);
    return m;
}

void rh_network_uses(struct rh_linux *l, const char *kind)
{
    for (size_t i = 0; i < l->networks.count; i++)
        if (!strcmp(l->networks.items[i], kind))
            return;
    *rh_vec_add(&l->networks) = kind;
}

void rh_nic_add_soft(struct rh_linux *l, const char *name, const char *where,
                     const struct rh_net *net)
{
    struct rh_soft_name *s = NULL;

    if (!rh_nic_good_name(name))
        return;
    for (size_t i = 0; i < l->soft.count && !s; i++)
        if (!strcmp(l->soft.items[i].name, name))
            s = &l->soft.items[i];
    if (!s && l->soft.count < NICS_MAX) {
        s = rh_vec_add(&l->soft);
        s->name = rh_arena_strdup(l->arena, name);
        s->where = rh_arena_strdup(l->arena, where);
    }
    if (s && net)
        rh_net_merge(&s->net, net);
}

/* Whatever else speaks of a software interface, there is no NIC to pin. */
static void drop_soft(struct rh_linux *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_nic_name *n = &l->nics.items[i];
        bool soft = false;

        for (size_t k = 0; k < l->soft.count && !soft; k++)
            if (!strcmp(l->soft.items[k].name, n->name)) {
                rh_net_merge(&l->soft.items[k].net, &n->net);
                soft = true;
            }
        if (!soft)
            l->nics.items[kept++] = *n;
    }
    l->nics.count = kept;
}

/* --- what one file says of an interface
 * ----------------------------------------------------------- */
/* Goes by what no name tells: its address, or its place on the bus. */
static void add_nameless(struct rh_linux *l, const struct rh_said *s,
                         const char *where)
{
    struct rh_mac_use *m;

    if (s->soft || s->elsewhere)
        return;
    if (s->mac && (m = rh_nic_add_mac(l, s->mac, where)))
        m->net = s->net;
    if (s->path && l->paths.count < NICS_MAX)
        *rh_vec_add(&l->paths) = (struct rh_path_use){
            s->path, rh_arena_strdup(l->arena, where), s->net};
}

static struct rh_nic_name *add_one(struct rh_linux *l, struct rh_said *s,
                                   const char *name, const char *where)
{
    size_t before = l->nics.count;
    struct rh_nic_name *n;

    if (s->soft || s->elsewhere) {
        rh_nic_add_soft(l, name, where, &s->net);
        return NULL;
    }
    if (strpbrk(name, "*?[!")) {
        l->any_name = true;
        return NULL;
    }
    n = rh_nic_add(l, name, s->mac, where);
    if (!n) {
        if (!is_physical(name))
            rh_nic_add_soft(l, name, where, &s->net);
        return NULL;
    }
    if (l->nics.count > before)
        n->idle = s->idle;
    if (!s->idle)
        n->idle = false;
    if (s->path && !n->path)
        n->path = s->path;
    rh_net_merge(&n->net, &s->net);
    return n;
}

struct rh_nic_name *rh_nic_add_said(struct rh_linux *l, struct rh_said *s,
                                    const char *where)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(s->names ? s->names : "");
    struct rh_nic_name *n = NULL;
    char *save;

    for (size_t i = 0; i < RH_NET_MAX; i++)
        rh_net_address(l, &s->net, s->address[i], s->mask[i]);
    if (s->lower)
        rh_nic_add_words(l, s->lower, where);
    for (char *w = strtok_r(copy, " \t;", &save); w;
         w = strtok_r(NULL, " \t;", &save))
        n = add_one(l, s, w, where);
    if (!s->names)
        add_nameless(l, s, where);
    if (s->by_driver)
        l->by_driver = rh_arena_strdup(l->arena, where);
    return n;
}

/* --- addresses
 * ------------------------------------------------------------------ */
static void add_text(struct rh_linux *l, const char **list, const char *text)
{
    for (size_t i = 0; i < RH_NET_MAX; i++) {
        if (list[i] && strcmp(list[i], text))
            continue;
        if (!list[i])
            list[i] = rh_arena_strdup(l->arena, text);
        return;
    }
}

/* Bits of "255.255.255.0" or "24"; SIZE_MAX: neither. */
static size_t bits_of(const char *mask, size_t most)
{
    struct in_addr a;
    char *end;
    size_t n;

    if (inet_pton(AF_INET, mask, &a) == 1) {
        uint32_t m = ntohl(a.s_addr);

        n = m ? (size_t)__builtin_popcount(m) : 0;
        return most == 32 && (m == 0 || ~m + 1 == 1u << (32 - n)) ? n
                                                                  : SIZE_MAX;
    }
    n = strtoul(mask, &end, 10);
    return isdigit((unsigned char)*mask) && !*end && n <= most ? n : SIZE_MAX;
}

/* 4, 6, or 0: no IP address. */
static unsigned family_of(const char *text)
{
    struct in6_addr six;
    struct in_addr four;

    if (inet_pton(AF_INET, text, &four) == 1)
        return 4;
    return inet_pton(AF_INET6, text, &six) == 1 ? 6 : 0;
}

void rh_net_address(struct rh_linux *l, struct rh_net *net, const char *text,
                    const char *mask)
{
    RH_AUTO(rh_freep) char *ip = NULL;
    RH_AUTO(rh_freep) char *whole = NULL;
    unsigned family;
    size_t n, bits;

    if (!text)
        return;
    n = strcspn(text, "/ \t,;");
    ip = rh_strndup(text, n);
    family = family_of(ip);
    if (!family)
        return;
    if (text[n] == '/') {
        RH_AUTO(rh_freep)
        char *own = rh_strndup(text + n + 1, strcspn(text + n + 1, " \t,;"));

        bits = bits_of(own, family == 4 ? 32 : 128);
    } else {
        bits = mask && *mask ? bits_of(mask, family == 4 ? 32 : 128) : SIZE_MAX;
    }
    whole = bits == SIZE_MAX ? rh_strdup(ip) : rh_printf("%s/%zu", ip, bits);
    add_text(l, net->addresses, whole);
}

static void add_list(struct rh_linux *l, const char **list, const char *text)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(text);
    char *save;

    for (char *w = strtok_r(copy, " \t,;[]()'\"", &save); w;
         w = strtok_r(NULL, " \t,;[]()'\"", &save))
        if (family_of(w))
            add_text(l, list, w);
}

void rh_net_gateways(struct rh_linux *l, struct rh_net *net, const char *text)
{
    add_list(l, net->gateways, text);
}

void rh_net_dns(struct rh_linux *l, struct rh_net *net, const char *text)
{
    add_list(l, net->dns, text);
}

static void merge_list(const char **to, const char *const *from)
{
    for (size_t i = 0; i < RH_NET_MAX && from[i]; i++)
        for (size_t k = 0; k < RH_NET_MAX; k++) {
            if (to[k] && strcmp(to[k], from[i]))
                continue;
            to[k] = from[i];
            break;
        }
}

void rh_net_merge(struct rh_net *to, const struct rh_net *from)
{
    merge_list(to->addresses, from->addresses);
    merge_list(to->gateways, from->gateways);
    merge_list(to->dns, from->dns);
    to->dhcp |= from->dhcp;
}

/* --- lines
 * ---------------------------------------------------------------------- */
char *rh_trimmed(char *text, const char *also)
{
    char *end;

    text += strspn(text, " \t\r");
    text += strspn(text, also);
    end = text + strlen(text);
    while (end > text && (strchr(" \t\r", end[-1]) || strchr(also, end[-1])))
        end--;
    *end = '\0';
    return text;
}

/* In shell a value ends where a comment or another command begins. */
static void end_shell_value(char *value)
{
    char quote = '\0';

    for (char *p = value; *p; p++) {
        bool comment = *p == '#' && p > value && strchr(" \t", p[-1]);

        if (quote) {
            quote = *p == quote ? '\0' : quote;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (comment || *p == ';') {
            *p = '\0';
            return;
        }
    }
}

void rh_each_assignment(char *text, rh_line_fn *fn, void *user)
{
    const char *section = "";
    char *line, *value;

    while ((line = strsep(&text, "\n"))) {
        line = rh_trimmed(line, "");
        if (*line == '[') {
            section = rh_trimmed(line, "[]");
            continue;
        }
        value = strchr(line, '=');
        if (*line == '#' || *line == ';' || !value)
            continue;
        *value++ = '\0';
        if (!*section) {
            end_shell_value(value);
            line += strncmp(line, "export ", 7) ? 0 : 7;
        }
        fn(user, section, rh_trimmed(line, ""), rh_trimmed(value, "\"'"));
    }
}

bool rh_says_no(const char *value)
{
    return !strcasecmp(value, "no") || !strcasecmp(value, "false") ||
           !strcasecmp(value, "off") || !strcmp(value, "0");
}

const char *rh_plain_mac(char *value)
{
    value[strcspn(value, " \t")] = '\0';
    for (char *p = value; *p; p++)
        if (*p == '-')
            *p = ':';
    return value;
}

bool rh_is_leftover(const char *name)
{
    static const char *const marks[] = {".rpm",  ".bak", ".orig", ".old",
                                        ".save", ".swp", ".dpkg", "-range"};
    size_t n = strlen(name);

    for (size_t i = 0; i < RH_COUNT(marks); i++)
        if (strstr(name, marks[i]))
            return true;
    return !n || name[0] == '.' || name[n - 1] == '~';
}

uint32_t rh_pci_in(const char *text)
{
    for (const char *p = strstr(text, "0000:"); p; p = strstr(p + 1, "0000:")) {
        unsigned bus, device, function;

        /* The widths bound the numbers.  NOLINTNEXTLINE(cert-err34-c) */
        if (sscanf(p, "0000:%2x:%2x.%1x", &bus, &device, &function) == 3)
            return RH_PCI(bus, device, function);
    }
    return 0;
}

/* --- all forms
 * ------------------------------------------------------------------ */
/* Where no file of the interface names a resolver, the system's own does. */
static void system_dns(struct rh_linux *l)
{
    RH_AUTO(rh_freep)
    char *text = rh_guest_text(l->guest, "/etc/resolv.conf", NULL);
    char *rest = text, *line;
    struct rh_net net = {0};

    while (text && (line = strsep(&rest, "\n"))) {
        line += strspn(line, " \t");
        if (!strncmp(line, "nameserver", 10))
            rh_net_dns(l, &net, line + 10);
    }
    /* The stub of systemd-resolved says nothing. */
    if (net.dns[0] && !strncmp(net.dns[0], "127.", 4))
        return;
    for (size_t i = 0; i < l->nics.count; i++)
        if (l->nics.items[i].net.addresses[0] && !l->nics.items[i].net.dns[0])
            rh_net_merge(&l->nics.items[i].net, &net);
    for (size_t i = 0; i < l->soft.count; i++)
        if (l->soft.items[i].net.addresses[0] && !l->soft.items[i].net.dns[0])
            rh_net_merge(&l->soft.items[i].net, &net);
}

int rh_linux_network(struct rh_linux *l, rh_error **err)
{
    static void (*const forms[])(struct rh_linux *, rh_error **) = {
        rh_net_ifupdown, rh_net_netplan, rh_net_ifcfg, rh_net_ini,
        rh_net_other};
    rh_error *why = NULL;

    for (size_t i = 0; i < RH_COUNT(forms); i++)
        forms[i](l, &why);
    drop_soft(l);
    rh_net_rules(l, &why);
    system_dns(l);
    if (why) {
        if (err && !*err)
            *err = why;
        else
            rh_error_free(why);
        return -1;
    }
    return 0;
}
