/* net_ifcfg.c - ifcfg files: of Red Hat's initscripts and NetworkManager, and
 * of SUSE's sysconfig and wicked (ifcfg(5)). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

/* SLES 10 names a file by what does not change, not by the interface:
 * ifcfg-eth-id-00:0c:29:..., ifcfg-eth-bus-pci-0000:02:01.0. */
static const char by_id[] = "eth-id-", by_bus[] = "eth-bus-pci-";

struct file {
    struct rh_linux *l;
    struct rh_said s;
};

/* IPADDR, IPADDR0, IPADDR_0, IPADDR_second: all of one file, in order of their
 * suffix where that is a number. */
static bool numbered(const char *key, const char *stem, size_t *ret_index)
{
    size_t n = strlen(stem);

    if (strncmp(key, stem, n))
        return false;
    key += n;
    key += *key == '_';
    *ret_index = isdigit((unsigned char)*key) ? strtoul(key, NULL, 10) : 0;
    if (*key && !isdigit((unsigned char)*key))
        *ret_index = 1;
    return *ret_index < RH_NET_MAX;
}

static void address_line(struct file *f, const char *key, char *value)
{
    size_t i;

    if (numbered(key, "IPADDR", &i) && strcmp(key, "IPADDR_START")) {
        if (f->s.address[i])
            rh_net_address(f->l, &f->s.net, value, NULL);
        else
            f->s.address[i] = value;
    } else if (numbered(key, "PREFIXLEN", &i) || numbered(key, "PREFIX", &i) ||
               numbered(key, "NETMASK", &i)) {
        f->s.mask[i] = value;
    } else if (!strcmp(key, "IPV6ADDR") ||
               !strcmp(key, "IPV6ADDR_SECONDARIES")) {
        rh_net_address(f->l, &f->s.net, value, NULL);
    } else if (!strcmp(key, "GATEWAY") || !strcmp(key, "IPV6_DEFAULTGW")) {
        rh_net_gateways(f->l, &f->s.net, value);
    } else if (!strncmp(key, "DNS", 3) && isdigit((unsigned char)key[3])) {
        rh_net_dns(f->l, &f->s.net, value);
    } else if (!strcmp(key, "BOOTPROTO")) {
        f->s.net.dhcp |= strcasestr(value, "dhcp") != NULL;
    }
}

static void soft_line(struct rh_said *s, const char *key, char *value)
{
    if (!strcmp(key, "TYPE")) {
        s->soft |= strcasecmp(value, "Ethernet") != 0 &&
                   strcasecmp(value, "OVSPort") != 0;
    } else if (!strcmp(key, "DEVICETYPE")) {
        s->soft |= strcmp(value, "TeamPort") != 0 && strcmp(value, "ovs") != 0;
    } else if (!strcmp(key, "VLAN") || !strcmp(key, "BONDING_MASTER")) {
        s->soft |= !rh_says_no(value);
    } else if (!strcmp(key, "BRIDGE")) { /* Red Hat: the bridge above */
        s->soft |= !strcasecmp(value, "yes");
    } else if (!strcmp(key, "BONDING_OPTS")) {
        s->soft = true;
    } else if (!strcmp(key, "PHYSDEV") || !strcmp(key, "ETHERDEVICE") ||
               !strcmp(key, "BRIDGE_PORTS")) {
        s->lower = value;
        s->soft |= strcmp(key, "PHYSDEV") != 0;
    }
}

static void line(void *user, const char *section, const char *key, char *value)
{
    struct file *f = user;
    struct rh_said *s = &f->s;

    (void)section;
    if (!*value)
        return;
    if (!strcmp(key, "DEVICE"))
        s->names = value;
    else if (!strcmp(key, "HWADDR") || !strcmp(key, "LLADDR"))
        s->mac = rh_plain_mac(value);
    else if (!strcmp(key, "ONBOOT"))
        s->idle = rh_says_no(value);
    else if (!strcmp(key, "STARTMODE"))
        s->idle = rh_says_no(value) || !strcmp(value, "manual");
    else
        soft_line(s, key, value);
    address_line(f, key, value);
}

struct slaves {
    struct rh_linux *l;
    const char *path;
};

static void slave_line(void *user, const char *section, const char *key,
                       char *value)
{
    struct slaves *s = user;

    (void)section;
    if (!strncmp(key, "BONDING_SLAVE", 13))
        rh_nic_add_words(s->l, value, s->path);
}

/* The file's own name is the interface's, its MAC address, or its place. */
static void name_by_file(struct rh_said *s, const char *name,
                         const char *ret_mac)
{
    if (!strncmp(name, by_id, sizeof by_id - 1)) {
        s->mac = ret_mac;
    } else if (!strncmp(name, by_bus, sizeof by_bus - 1)) {
        s->path = rh_pci_in(name);
    } else {
        s->names = name;
    }
}

/* Says of the base interface that it is there; of "eth0:1" that this one has
 * one address more. */
static void add_sub(struct rh_linux *l, struct rh_said *s, const char *path)
{
    RH_AUTO(rh_freep)
    char *parent = rh_strndup(s->names, strcspn(s->names, ".:"));

    if (strchr(s->names, ':') && !strchr(s->names, '.')) {
        s->names = parent;
        rh_nic_add_said(l, s, path);
        return;
    }
    if (!s->lower)
        s->lower = parent;
    s->soft = true;
    rh_nic_add_said(l, s, path);
}

/* SUSE names the interface by the file; Red Hat by DEVICE alone, and a file
 * without one goes by its MAC. */
static void read_file(struct rh_linux *l, const char *folder, const char *name,
                      bool by_file, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    RH_AUTO(rh_freep) char *again = rh_strdup(text);
    RH_AUTO(rh_freep) char *mac = NULL;
    struct file f = {.l = l};

    if (!text)
        return;
    rh_each_assignment(text, line, &f);
    if (by_file) {
        mac = rh_strdup(name + 6 + RH_MIN(strlen(name + 6), sizeof by_id - 1));
        f.s.mac = NULL; /* LLADDR sets an address, it matches none */
        name_by_file(&f.s, name + 6, mac);
    }
    if (f.s.names && strpbrk(f.s.names, ".:"))
        add_sub(l, &f.s, path);
    else
        rh_nic_add_said(l, &f.s, path);
    if (by_file)
        rh_each_assignment(again, slave_line, &(struct slaves){l, path});
}

/* Default gateways and resolvers that SUSE and RHEL 6 keep apart; they are
 * those of the interface that has an address. */
static void add_common(struct rh_linux *l, const struct rh_net *net)
{
    for (size_t i = 0; i < l->nics.count; i++) {
        struct rh_net *n = &l->nics.items[i].net;
        struct rh_net more = *net;

        if (!n->addresses[0])
            continue;
        if (n->gateways[0])
            memset(more.gateways, 0, sizeof more.gateways);
        if (n->dns[0])
            memset(more.dns, 0, sizeof more.dns);
        rh_net_merge(n, &more);
    }
}

static void common_line(void *user, const char *section, const char *key,
                        char *value)
{
    struct file *f = user;

    (void)section;
    if (!strcmp(key, "GATEWAY"))
        rh_net_gateways(f->l, &f->s.net, value);
    else if (!strcmp(key, "NETCONFIG_DNS_STATIC_SERVERS"))
        rh_net_dns(f->l, &f->s.net, value);
}

static void read_common(struct rh_linux *l)
{
    static const char *const files[] = {"/etc/sysconfig/network",
                                        "/etc/sysconfig/network/config"};
    RH_AUTO(rh_freep)
    char *routes =
        rh_guest_text(l->guest, "/etc/sysconfig/network/routes", NULL);
    struct file f = {.l = l};
    char *rest = routes, *row;

    for (size_t i = 0; i < RH_COUNT(files); i++) {
        RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, files[i], NULL);

        if (text)
            rh_each_assignment(text, common_line, &f);
    }
    while (routes && (row = strsep(&rest, "\n")))
        if (!strncmp(row, "default", 7)) {
            row += 7 + strspn(row + 7, " \t");
            row[strcspn(row, " \t\r")] = '\0';
            rh_net_gateways(l, &f.s.net, row);
        }
    add_common(l, &f.s.net);
}

static void read_folder(struct rh_linux *l, const char *folder,
                        const char *kind, bool by_file, rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        if (strncmp(names[i], "ifcfg-", 6) || !strcmp(names[i], "ifcfg-lo") ||
            rh_is_leftover(names[i]))
            continue;
        rh_network_uses(l, kind);
        read_file(l, folder, names[i], by_file, err);
    }
}

void rh_net_ifcfg(struct rh_linux *l, rh_error **err)
{
    bool wicked = rh_guest_is_dir(l->guest, "/etc/wicked");

    read_folder(l, "/etc/sysconfig/network-scripts", "ifcfg", false, err);
    read_folder(l, "/etc/sysconfig/network", wicked ? "wicked" : "ifcfg", true,
                err);
    read_common(l);
}
