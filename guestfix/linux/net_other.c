/* net_other.c - network configuration of distributions that go their own way:
 * Gentoo's netifrc, Arch's netctl, dhcpcd, Slackware, ConnMan, Void. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

/* --- netifrc: config_eth0="192.0.2.7/24", and a link init.d/net.eth0
 * ------------------------------------------------------------------ */
struct reading {
    struct rh_linux *l;
    const char *path;
    struct rh_said s;
};

static void netifrc_line(void *user, const char *section, const char *key,
                         char *value)
{
    struct reading *r = user;
    static const char *const stems[] = {"config_", "routes_", "dns_servers_"};
    struct rh_net net = {0};

    (void)section;
    for (size_t i = 0; i < RH_COUNT(stems); i++) {
        size_t n = strlen(stems[i]);
        struct rh_nic_name *nic;

        if (strncmp(key, stems[i], n))
            continue;
        if (i == 0 && strstr(value, "dhcp"))
            net.dhcp = true;
        else if (i == 0)
            rh_net_address(r->l, &net, value, NULL);
        else if (i == 1 && strstr(value, "default via "))
            rh_net_gateways(r->l, &net, strstr(value, "via ") + 4);
        else if (i == 2)
            rh_net_dns(r->l, &net, value);
        nic = rh_nic_add(r->l, key + n, NULL, r->path);
        if (nic)
            rh_net_merge(&nic->net, &net);
        else
            rh_nic_add_soft(r->l, key + n, r->path, &net);
    }
    if (!strncmp(key, "slaves_", 7) || !strncmp(key, "bridge_", 7))
        rh_nic_add_soft(r->l, key + 7, r->path, NULL);
}

static void netifrc(struct rh_linux *l, rh_error **err)
{
    static const char path[] = "/etc/conf.d/net";
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, "/etc/init.d");
    struct reading r = {.l = l, .path = path};

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *script = rh_printf("/etc/init.d/%s", names[i]);

        if (strncmp(names[i], "net.", 4) || !strcmp(names[i], "net.lo"))
            continue;
        rh_network_uses(l, "netifrc");
        rh_nic_add(l, names[i] + 4, NULL, script);
    }
    if (!text)
        return;
    rh_network_uses(l, "netifrc");
    rh_each_assignment(text, netifrc_line, &r);
}

/* --- netctl: one profile a file, in shell
 * ------------------------------------------------------------------ */
static void netctl_line(void *user, const char *section, const char *key,
                        char *value)
{
    struct reading *r = user;

    (void)section;
    if (!strcmp(key, "Interface"))
        r->s.names = value;
    else if (!strcmp(key, "Connection"))
        r->s.soft = strcmp(value, "ethernet") != 0;
    else if (!strcmp(key, "BindsToInterfaces"))
        r->s.lower = rh_trimmed(value, "()'\"");
    else if (!strcmp(key, "IP"))
        r->s.net.dhcp |= !strcmp(value, "dhcp");
    else if (!strcmp(key, "Address"))
        rh_net_address(r->l, &r->s.net, rh_trimmed(value, "()'\""), NULL);
    else if (!strcmp(key, "Gateway"))
        rh_net_gateways(r->l, &r->s.net, value);
    else if (!strcmp(key, "DNS"))
        rh_net_dns(r->l, &r->s.net, value);
}

static void netctl(struct rh_linux *l, rh_error **err)
{
    static const char folder[] = "/etc/netctl";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        RH_AUTO(rh_freep) char *text = NULL;
        struct reading r = {.l = l, .path = path};

        if (rh_is_leftover(names[i]) || rh_guest_is_dir(l->guest, path))
            continue;
        text = rh_guest_text(l->guest, path, err);
        if (!text)
            continue;
        rh_each_assignment(text, netctl_line, &r);
        if (!r.s.names)
            continue;
        rh_network_uses(l, "netctl");
        rh_nic_add_said(l, &r.s, path);
    }
}

/* --- dhcpcd: a service of its own; static addresses below "interface X"
 * ------------------------------------------------------------------ */
static void dhcpcd_value(struct rh_linux *l, struct rh_net *net, char *line)
{
    char *value = strchr(line, '=');

    if (!value)
        return;
    *value++ = '\0';
    if (strstr(line, "ip_address"))
        rh_net_address(l, net, value, NULL);
    else if (strstr(line, "routers"))
        rh_net_gateways(l, net, value);
    else if (strstr(line, "domain_name_servers"))
        rh_net_dns(l, net, value);
}

static void dhcpcd(struct rh_linux *l, rh_error **err)
{
    static const char path[] = "/etc/dhcpcd.conf";
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    char *rest = text, *line, name[64];
    struct rh_nic_name *n = NULL;

    if (text)
        rh_network_uses(l, "dhcpcd");
    while (text && (line = strsep(&rest, "\n"))) {
        line = rh_trimmed(line, "");
        if (sscanf(line, "interface %63s", name) == 1)
            n = rh_nic_add(l, name, NULL, path);
        else if (n && !strncmp(line, "static ", 7))
            dhcpcd_value(l, &n->net, line + 7);
    }
}

/* --- Slackware: rc.inet1.conf, arrays of shell; IFNAME[n] or ethn
 * ------------------------------------------------------------------ */
struct slackware {
    struct rh_linux *l;
    const char *ip[8], *mask[8], *name[8];
    bool dhcp[8];
    struct rh_net common;
};

static void slackware_line(void *user, const char *section, const char *key,
                           char *value)
{
    struct slackware *s = user;
    char stem[32];
    unsigned i;

    (void)section;
    if (!*value)
        return;
    if (!strcmp(key, "GATEWAY"))
        rh_net_gateways(s->l, &s->common, value);
    /* The width bounds the number.  NOLINTNEXTLINE(cert-err34-c) */
    if (sscanf(key, "%31[A-Z_6][%1u]", stem, &i) != 2 || i >= 8)
        return;
    if (!strcmp(stem, "IPADDR") || !strcmp(stem, "IPADDRS"))
        s->ip[i] = value;
    else if (!strcmp(stem, "NETMASK"))
        s->mask[i] = value;
    else if (!strcmp(stem, "IFNAME"))
        s->name[i] = value;
    else if (!strcmp(stem, "USE_DHCP"))
        s->dhcp[i] = !rh_says_no(value);
}

static void slackware(struct rh_linux *l, rh_error **err)
{
    static const char path[] = "/etc/rc.d/rc.inet1.conf";
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    struct slackware s = {.l = l};

    if (!text)
        return;
    rh_network_uses(l, "rc.inet1");
    rh_each_assignment(text, slackware_line, &s);
    for (unsigned i = 0; i < 8; i++) {
        RH_AUTO(rh_freep)
        char *name = s.name[i] ? rh_strdup(s.name[i]) : rh_printf("eth%u", i);
        struct rh_nic_name *n;

        if (!s.ip[i] && !s.dhcp[i])
            continue;
        n = rh_nic_add(l, name, NULL, path);
        if (!n)
            continue;
        rh_net_address(l, &n->net, s.ip[i], s.mask[i]);
        n->net.dhcp |= s.dhcp[i];
        if (s.ip[i])
            rh_net_merge(&n->net, &s.common);
    }
}

/* --- marks: what configures the network by itself, whatever the names
 * ------------------------------------------------------------------ */
/* A service that is enabled, or a folder of its own. */
static const struct {
    const char *path, *kind;
} marks[] = {
    {"/var/lib/connman", "connman"},
    {"/etc/runit/runsvdir/default/dhcpcd", "dhcpcd"},
    {"/etc/systemd/system/multi-user.target.wants/dhcpcd.service", "dhcpcd"},
    {"/etc/systemd/system/multi-user.target.wants/NetworkManager.service",
     "NetworkManager"},
    {"/etc/systemd/system/multi-user.target.wants/connman.service", "connman"},
    {"/etc/openvswitch/conf.db", "openvswitch"},
    {"/etc/config/network", "openwrt"},
};

/* NetworkManager makes a connection of its own for a NIC that has none, and
 * networkd may be given one in /usr. */
static void others(struct rh_linux *l)
{
    for (size_t i = 0; i < RH_COUNT(marks); i++)
        if (rh_guest_exists(l->guest, marks[i].path))
            rh_network_uses(l, marks[i].kind);
}

void rh_net_other(struct rh_linux *l, rh_error **err)
{
    netifrc(l, err);
    netctl(l, err);
    dhcpcd(l, err);
    slackware(l, err);
    others(l);
}
