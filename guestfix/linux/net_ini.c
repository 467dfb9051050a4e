/* net_ini.c - files with [sections]: NetworkManager's keyfiles, networkd's
 * .network and .netdev, udev's .link. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

struct file {
    struct rh_linux *l;
    struct rh_said s;
};
typedef void form_line_fn(struct file *f, const char *section, const char *key,
                          char *value);

static bool is_key(const char *section, const char *key, const char *want)
{
    size_t n = strlen(section);

    return !strncmp(want, section, n) && want[n] == '.' &&
           !strcmp(want + n + 1, key);
}

/* address1=192.0.2.5/24,192.0.2.1: the gateway stands behind the comma. */
static void nm_address(struct file *f, const char *key, char *value)
{
    char *gateway = strchr(value, ',');

    if (!strcmp(key, "gateway")) {
        rh_net_gateways(f->l, &f->s.net, value);
    } else if (!strcmp(key, "dns")) {
        rh_net_dns(f->l, &f->s.net, value);
    } else if (!strncmp(key, "address", 7)) {
        if (gateway)
            *gateway++ = '\0';
        rh_net_address(f->l, &f->s.net, value, NULL);
        if (gateway)
            rh_net_gateways(f->l, &f->s.net, gateway);
    }
}

static void nm_line(struct file *f, const char *section, const char *key,
                    char *value)
{
    struct rh_said *s = &f->s;

    if (is_key(section, key, "connection.type")) {
        s->elsewhere =
            strcmp(value, "ethernet") && strcmp(value, "802-3-ethernet");
    } else if (is_key(section, key, "connection.interface-name") ||
               is_key(section, key, "match.interface-name")) {
        s->names = value;
    } else if (is_key(section, key, "connection.autoconnect")) {
        s->idle = rh_says_no(value);
    } else if (is_key(section, key, "ethernet.mac-address") ||
               is_key(section, key, "802-3-ethernet.mac-address")) {
        s->mac = rh_plain_mac(value);
    } else if (is_key(section, key, "vlan.parent")) {
        s->lower = value;
    } else if (is_key(section, key, "match.driver")) {
        s->by_driver = true;
    } else if (is_key(section, key, "match.path")) {
        s->path = rh_pci_in(value);
    } else if (is_key(section, key, "ipv4.method") ||
               is_key(section, key, "ipv6.method")) {
        s->net.dhcp |= !strcmp(value, "auto") && section[3] == '4';
    } else if (!strcmp(section, "ipv4") || !strcmp(section, "ipv6")) {
        nm_address(f, key, value);
    }
}

static void network_line(struct file *f, const char *section, const char *key,
                         char *value)
{
    struct rh_said *s = &f->s;

    if (is_key(section, key, "Match.Name"))
        s->names = value;
    else if (is_key(section, key, "Match.MACAddress") ||
             is_key(section, key, "Match.PermanentMACAddress"))
        s->mac = rh_plain_mac(value);
    else if (is_key(section, key, "Match.Driver"))
        s->by_driver = true;
    else if (is_key(section, key, "Match.Path"))
        s->path = rh_pci_in(value);
    else if (is_key(section, key, "Match.Kind"))
        s->soft = true;
    else if (is_key(section, key, "Network.Address") ||
             is_key(section, key, "Address.Address"))
        rh_net_address(f->l, &s->net, value, NULL);
    else if (is_key(section, key, "Network.Gateway") ||
             is_key(section, key, "Route.Gateway"))
        rh_net_gateways(f->l, &s->net, value);
    else if (is_key(section, key, "Network.DNS"))
        rh_net_dns(f->l, &s->net, value);
    else if (is_key(section, key, "Network.DHCP"))
        s->net.dhcp |= !rh_says_no(value) && strcasecmp(value, "none");
}

static void link_line(struct file *f, const char *section, const char *key,
                      char *value)
{
    /* What the new machine's card has otherwise. */
    static const char *const others[] = {"Match.Path", "Match.Driver",
                                         "Match.Property", "Match.Firmware",
                                         "Match.Virtualization"};
    struct rh_said *s = &f->s;

    for (size_t i = 0; i < RH_COUNT(others); i++)
        s->narrow |= is_key(section, key, others[i]);

    if (is_key(section, key, "Link.Name"))
        s->names = value;
    else if (is_key(section, key, "Match.MACAddress") ||
             is_key(section, key, "Match.PermanentMACAddress"))
        s->mac = rh_plain_mac(value);
    else if (is_key(section, key, "Match.Path"))
        s->path = rh_pci_in(value);
}

static void netdev_line(struct file *f, const char *section, const char *key,
                        char *value)
{
    if (is_key(section, key, "NetDev.Name")) {
        f->s.names = value;
        f->s.soft = true;
    }
}

static const struct form {
    const char *folder, *suffix, *kind;
    form_line_fn *line;
    bool is_link;
} forms[] = {
    {"/etc/NetworkManager/system-connections", "", "NetworkManager", nm_line,
     false},
    {"/usr/lib/NetworkManager/system-connections", ".nmconnection",
     "NetworkManager", nm_line, false},
    {"/etc/systemd/network", ".network", "systemd-networkd", network_line,
     false},
    {"/etc/systemd/network", ".netdev", NULL, netdev_line, false},
    {"/etc/systemd/network", ".link", NULL, link_line, true},
};

struct reader {
    struct file f;
    form_line_fn *line;
};

static void any_line(void *user, const char *section, const char *key,
                     char *value)
{
    struct reader *r = user;

    if (*value)
        r->line(&r->f, section, key, value);
}

/* A .link is no configuration of addresses: where the interface is not named
 * elsewhere, it is one that the administrator cares for all the same. */
static void read_file(struct rh_linux *l, const char *path,
                      const struct form *form, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    struct reader r = {.f = {.l = l}, .line = form->line};
    struct rh_nic_name *n;

    if (!text)
        return;
    rh_each_assignment(text, any_line, &r);
    if (form->is_link && !r.f.s.names)
        return;
    n = rh_nic_add_said(l, &r.f.s, path);
    if (n && form->is_link && r.f.s.mac && !r.f.s.narrow)
        n->pinned = true;
}

/* What has the suffix is read, whatever else stands in the name. */
static bool is_passed_over(const struct form *form, const char *name)
{
    static const char keyfile[] = ".nmconnection";
    size_t n = strlen(name), m = sizeof keyfile - 1;

    return *form->suffix || (n > m && !strcmp(name + n - m, keyfile))
               ? name[0] == '.'
               : rh_is_leftover(name);
}

static void read_folder(struct rh_linux *l, const struct form *form,
                        rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, form->folder);
    size_t m = strlen(form->suffix);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s/%s", form->folder, names[i]);
        size_t n = strlen(names[i]);

        if (n < m || strcmp(names[i] + n - m, form->suffix) ||
            is_passed_over(form, names[i]))
            continue;
        if (form->kind)
            rh_network_uses(l, form->kind);
        read_file(l, path, form, err);
    }
}

void rh_net_ini(struct rh_linux *l, rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(forms); i++)
        read_folder(l, &forms[i], err);
}
