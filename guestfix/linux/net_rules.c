/* net_rules.c - udev's rules that name NICs: by MAC address as its generator
 * wrote them, by place on the bus as YaST does. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/network.h"

/* key=="value" in a rule; copies the value. */
static bool rule_value(const char *line, const char *key, char *ret, size_t n)
{
    const char *p = strstr(line, key);
    size_t length;

    if (!p)
        return false;
    p += strlen(key);
    p += strspn(p, "= \t");
    if (*p++ != '"')
        return false;
    length = strcspn(p, "\"");
    if (length >= n)
        return false;
    memcpy(ret, p, length);
    ret[length] = '\0';
    return true;
}

/* NAME="..." or NAME:="..." as a key of its own, not INTERFACE_NAME, and no
 * comparison. */
static bool rule_name(const char *line, char *ret, size_t n)
{
    for (const char *p = strstr(line, "NAME"); p; p = strstr(p + 4, "NAME")) {
        const char *q = p + 4 + strspn(p + 4, " \t");
        size_t length;

        q += *q == ':';
        if ((p > line && !strchr(" \t,", p[-1])) || q[0] != '=' || q[1] != '"')
            continue;
        length = strcspn(q + 2, "\"");
        if (length >= n)
            return false;
        memcpy(ret, q + 2, length);
        ret[length] = '\0';
        return true;
    }
    return false;
}

/* What udev noted by itself, of NICs long gone, too: a rule tells the MAC of a
 * name that is configured; its name alone counts when nothing else does. */
static struct rh_nic_name *by_rule(struct rh_linux *l, const char *name,
                                   const char *mac, const char *path,
                                   bool alone)
{
    for (size_t i = 0; !alone && i < l->nics.count; i++)
        if (!strcmp(l->nics.items[i].name, name))
            return rh_nic_add(l, name, mac, path);
    return alone ? rh_nic_add(l, name, mac, path) : NULL;
}

/* Does the rule ask for more than the address: a driver, a place, a maker? */
static bool is_narrow(const char *line)
{
    static const char *const keys[] = {
        "KERNELS",       "ID_PATH}",      "ID_NET_DRIVER}", "ATTRS{vendor}",
        "ATTRS{device}", "ID_VENDOR_ID}", "ID_MODEL_ID}",   "DRIVERS"};
    char value[64];

    for (size_t i = 0; i < RH_COUNT(keys); i++)
        if (rule_value(line, keys[i], value, sizeof value) && value[0] != '?' &&
            value[0] != '*')
            return true;
    return false;
}

static void one_rule(struct rh_linux *l, const char *line, const char *path,
                     bool alone)
{
    char mac[32] = "", name[32], place[64] = "";
    struct rh_nic_name *n;
    bool by_mac, by_path;

    if (line[strspn(line, " \t")] == '#' || !rule_name(line, name, sizeof name))
        return;
    by_mac = rule_value(line, "ATTR{address}", mac, sizeof mac) ||
             rule_value(line, "ATTRS{address}", mac, sizeof mac) ||
             rule_value(line, "SYSFS{address}", mac, sizeof mac);
    by_path = rule_value(line, "KERNELS", place, sizeof place) ||
              rule_value(line, "ID_PATH}", place, sizeof place);
    by_path = by_path && rh_pci_in(place);
    if (!by_mac && !by_path)
        return;
    l->persistent_rules = true;
    n = by_rule(l, name, by_mac ? mac : NULL, path, alone);
    if (n && by_path && !n->path)
        n->path = rh_pci_in(place);
    if (n && by_mac && !strcasecmp(n->mac, mac) && !is_narrow(line))
        n->pinned = true;
}

static void read_file(struct rh_linux *l, const char *path, bool alone,
                      rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    char *rest = text, *line;

    while (text && (line = strsep(&rest, "\n")))
        one_rule(l, line, path, alone);
}

/* Debian of 2004 and older: "eth0 mac 00:0c:29:..." */
static void read_iftab(struct rh_linux *l, rh_error **err)
{
    static const char path[] = "/etc/iftab";
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    char *rest = text, *line, *save;

    while (text && (line = strsep(&rest, "\n"))) {
        char *name = strtok_r(line, " \t\r", &save);
        char *word = name ? strtok_r(NULL, " \t\r", &save) : NULL;
        char *mac = word ? strtok_r(NULL, " \t\r", &save) : NULL;

        if (mac && !strcmp(word, "mac") && name[0] != '#')
            rh_nic_add(l, name, mac, path);
    }
}

void rh_net_rules(struct rh_linux *l, rh_error **err)
{
    static const char folder[] = "/etc/udev/rules.d";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);
    bool alone = l->nics.count == 0;

    read_iftab(l, err);
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        size_t n = strlen(names[i]);

        if (n > 6 && !strcmp(names[i] + n - 6, ".rules"))
            read_file(l, path, alone, err);
    }
}
