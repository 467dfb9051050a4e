/* network.c - which interface names the guest's configuration counts on.
 *
 * Only names and MAC addresses are taken out of each form; addresses stay where
 * they are.  Names come from hostile files: what is not a plausible interface
 * name is passed over. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "guestfix/linux/linux.h"

enum { NICS_MAX = 64 };

static bool good_name(const char *name)
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

static struct rh_nic_name *add_nic(struct rh_linux *l, const char *name,
                                   const char *mac, const char *where)
{
    struct rh_nic_name *n = NULL;

    if (name && (!good_name(name) || !is_physical(name)))
        return NULL;
    for (size_t i = 0; name && i < l->nics.count; i++)
        if (l->nics.items[i].name && !strcmp(l->nics.items[i].name, name))
            n = &l->nics.items[i];
    if (!n) {
        if (l->nics.count == NICS_MAX || !name)
            return NULL;
        n = rh_vec_add(&l->nics);
        n->name = rh_arena_strdup(l->arena, name);
        n->where = rh_arena_strdup(l->arena, where);
        n->nic = SIZE_MAX;
    }
    if (mac && rh_valid_mac(mac) && !n->mac[0])
        for (size_t i = 0; i < 17; i++)
            n->mac[i] = (char)tolower((unsigned char)mac[i]);
    return n;
}

static void add_mac(struct rh_linux *l, const char *mac, const char *where)
{
    struct rh_mac_use *m;

    if (!rh_valid_mac(mac) || l->macs.count == NICS_MAX)
        return;
    m = rh_vec_add(&l->macs);
    for (size_t i = 0; i < 17; i++)
        m->mac[i] = (char)tolower((unsigned char)mac[i]);
    m->where = rh_arena_strdup(l->arena, where);
}

static void uses(struct rh_linux *l, const char *kind)
{
    for (size_t i = 0; i < l->networks.count; i++)
        if (!strcmp(l->networks.items[i], kind))
            return;
    *rh_vec_add(&l->networks) = kind;
}

/* Made in software: whatever else speaks of it, there is no NIC to pin. */
static void add_soft(struct rh_linux *l, const char *name)
{
    if (good_name(name) && l->soft.count < NICS_MAX)
        *rh_vec_add(&l->soft) = rh_arena_strdup(l->arena, name);
}

static void drop_soft(struct rh_linux *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->nics.count; i++) {
        bool soft = false;

        for (size_t k = 0; k < l->soft.count; k++)
            soft |= !strcmp(l->soft.items[k], l->nics.items[i].name);
        if (!soft)
            l->nics.items[kept++] = l->nics.items[i];
    }
    l->nics.count = kept;
}

/* --- lines
 * ---------------------------------------------------------------------- */
static char *next_line(char **text)
{
    return strsep(text, "\n");
}

/* `key = value` below `[section]` (shell has none): blanks and quotes go. */
typedef void line_fn(void *user, const char *section, const char *key,
                     char *value);

static char *trimmed(char *text, const char *also)
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

static void each_assignment(char *text, line_fn *fn, void *user)
{
    const char *section = "";
    char *line, *value;

    while ((line = next_line(&text))) {
        line = trimmed(line, "");
        if (*line == '[') {
            section = trimmed(line, "[]");
            continue;
        }
        value = strchr(line, '=');
        if (*line == '#' || *line == ';' || !value)
            continue;
        *value++ = '\0';
        fn(user, section, trimmed(line, ""), trimmed(value, "\"'"));
    }
}

/* --- ifupdown
 * ------------------------------------------------------------------- */
/* Options that say what is below an interface made in software. */
static const char *const below[] = {
    "bridge_ports", "bridge-ports",    "bond-slaves",     "bond_slaves",
    "slaves",       "vlan-raw-device", "vlan_raw_device", "bond-ports"};
static const char *const above[] = {"bond-mode", "bond_mode", "bridge_stp",
                                    "bridge-stp"};

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word, words[i]))
            return true;
    return false;
}

/* eth0.100 is a VLAN on eth0, which need not be mentioned elsewhere. */
static struct rh_nic_name *add_name(struct rh_linux *l, const char *name,
                                    const char *where)
{
    RH_AUTO(rh_freep) char *parent = rh_strndup(name, strcspn(name, ".:"));

    return add_nic(l, parent, NULL, where);
}

static void iface_words(struct rh_linux *l, char **save, bool brought_up,
                        const char *path)
{
    char *word;

    while ((word = strtok_r(NULL, " \t\r", save))) {
        size_t before = l->nics.count;
        struct rh_nic_name *n = add_name(l, word, path);

        if (n && brought_up)
            n->idle = false;
        else if (n && l->nics.count > before)
            n->idle = true;
        if (!brought_up)
            break;
    }
}

static void option_words(struct rh_linux *l, const char *option,
                         const char *iface, char **save, const char *path)
{
    bool lower = is_one_of(option, below, RH_COUNT(below));
    char *word;

    if (lower || is_one_of(option, above, RH_COUNT(above)))
        add_soft(l, iface);
    while (lower && (word = strtok_r(NULL, " \t\r", save)))
        if (strcmp(word, "none") && strcmp(word, "all") &&
            strcmp(word, "regex")) {
            struct rh_nic_name *n = add_name(l, word, path);

            if (n)
                n->idle = false;
        }
}

static void interfaces_text(struct rh_linux *l, char *text, const char *path)
{
    char iface[64] = "", *line, *save;

    while ((line = next_line(&text))) {
        char *word = strtok_r(line, " \t\r", &save);

        if (!word)
            continue;
        if (!strcmp(word, "iface")) {
            save += strspn(save, " \t");
            snprintf(iface, sizeof iface, "%.*s", (int)strcspn(save, " \t\r"),
                     save);
            iface_words(l, &save, false, path);
        } else if (!strcmp(word, "auto") || !strncmp(word, "allow-", 6)) {
            iface_words(l, &save, true, path);
        } else {
            option_words(l, word, iface, &save, path);
        }
    }
}

static int ifupdown(struct rh_linux *l, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *text = rh_guest_text(l->guest, "/etc/network/interfaces", err);
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, "/etc/network/interfaces.d");

    if (text) {
        uses(l, "ifupdown");
        interfaces_text(l, text, "/etc/network/interfaces");
    }
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("/etc/network/interfaces.d/%s", names[i]);
        RH_AUTO(rh_freep) char *more = rh_guest_text(l->guest, path, err);

        if (more)
            interfaces_text(l, more, path);
    }
    return 0;
}

/* --- what one file says of an interface
 * ----------------------------------------------------------- */
struct said {
    const char *names; /* separated by blanks; NULL: none */
    const char *lower; /* the interfaces that a software one stands on */
    const char *mac;
    bool soft, idle;
    bool elsewhere; /* no Ethernet: Wi-Fi and the like */
    bool by_driver;
};

/* One form of a MAC address: systemd takes dashes, too. */
static const char *plain_mac(char *value)
{
    value[strcspn(value, " \t")] = '\0';
    for (char *p = value; *p; p++)
        if (*p == '-')
            *p = ':';
    return value;
}

static void add_words(struct rh_linux *l, const char *words, const char *path)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(words);
    char *save;

    for (char *w = strtok_r(copy, " \t;", &save); w;
         w = strtok_r(NULL, " \t;", &save))
        add_name(l, w, path);
}

static struct rh_nic_name *add_said(struct rh_linux *l, const struct said *s,
                                    const char *path)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(s->names ? s->names : "");
    struct rh_nic_name *n = NULL;
    size_t before;
    char *save;

    if (s->lower)
        add_words(l, s->lower, path);
    for (char *w = strtok_r(copy, " \t;", &save); w;
         w = strtok_r(NULL, " \t;", &save)) {
        if (s->soft || s->elsewhere) {
            add_soft(l, w);
            continue;
        }
        if (strpbrk(w, "*?[!")) {
            l->any_name = true;
            continue;
        }
        before = l->nics.count;
        n = add_nic(l, w, s->mac, path);
        if (n && l->nics.count > before)
            n->idle = s->idle;
        if (n && !s->idle)
            n->idle = false;
    }
    if (s->by_driver)
        l->by_driver = rh_arena_strdup(l->arena, path);
    return n;
}

/* --- ifcfg (Red Hat, SUSE)
 * ----------------------------------------------------------- */
static bool says_no(const char *value)
{
    return !strcasecmp(value, "no") || !strcasecmp(value, "false") ||
           !strcasecmp(value, "off") || !strcmp(value, "0");
}

static void ifcfg_line(void *user, const char *section, const char *key,
                       char *value)
{
    struct said *s = user;

    (void)section;
    if (!*value)
        return;
    if (!strcmp(key, "DEVICE")) {
        s->names = value;
    } else if (!strcmp(key, "HWADDR")) {
        s->mac = plain_mac(value);
    } else if (!strcmp(key, "TYPE")) {
        s->soft |= strcasecmp(value, "Ethernet") != 0;
    } else if (!strcmp(key, "DEVICETYPE")) {
        s->soft |= strcmp(value, "TeamPort") != 0;
    } else if (!strcmp(key, "VLAN") || !strcmp(key, "BONDING_MASTER")) {
        s->soft |= !says_no(value);
    } else if (!strcmp(key, "BRIDGE")) { /* Red Hat: the bridge above */
        s->soft |= !strcasecmp(value, "yes");
    } else if (!strcmp(key, "BONDING_OPTS")) {
        s->soft = true;
    } else if (!strcmp(key, "PHYSDEV") || !strcmp(key, "ETHERDEVICE") ||
               !strcmp(key, "BRIDGE_PORTS")) {
        s->lower = value;
        s->soft |= strcmp(key, "PHYSDEV") != 0;
    } else if (!strcmp(key, "ONBOOT")) {
        s->idle = says_no(value);
    } else if (!strcmp(key, "STARTMODE")) {
        s->idle = says_no(value) || !strcmp(value, "manual");
    }
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
        add_words(s->l, value, s->path);
}

/* SUSE names the interface by the file; Red Hat by DEVICE alone, and a file
 * without one goes by its MAC. */
static void ifcfg_file(struct rh_linux *l, const char *folder, const char *name,
                       bool by_file, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    RH_AUTO(rh_freep) char *again = rh_strdup(text);
    RH_AUTO(rh_freep) char *parent = NULL;
    struct said s = {0};

    if (!text)
        return;
    each_assignment(text, ifcfg_line, &s);
    if (by_file)
        s.names = name + 6;
    if (s.names && strpbrk(s.names, ".:")) {
        parent = rh_strndup(s.names, strcspn(s.names, ".:"));
        if (!s.lower)
            s.lower = parent;
        s.soft = true;
    }
    add_said(l, &s, path);
    if (by_file)
        each_assignment(again, slave_line, &(struct slaves){l, path});
    if (!s.names && s.mac && !s.soft)
        add_mac(l, s.mac, path);
}

/* What editors and package managers leave is read by nobody. */
static bool is_leftover(const char *name)
{
    static const char *const marks[] = {".rpm",  ".bak", ".orig", ".old",
                                        ".save", ".swp", ".dpkg", "-range"};
    size_t n = strlen(name);

    for (size_t i = 0; i < RH_COUNT(marks); i++)
        if (strstr(name, marks[i]))
            return true;
    return !n || name[0] == '.' || name[n - 1] == '~';
}

static void ifcfg(struct rh_linux *l, const char *folder, const char *kind,
                  bool by_file, rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        if (strncmp(names[i], "ifcfg-", 6) || !strcmp(names[i], "ifcfg-lo") ||
            is_leftover(names[i]))
            continue;
        uses(l, kind);
        ifcfg_file(l, folder, names[i], by_file, err);
    }
}

/* --- INI-like: NetworkManager, networkd, .link, .netdev
 * ------------------------------------------ */
static bool is_key(const char *section, const char *key, const char *want)
{
    size_t n = strlen(section);

    return !strncmp(want, section, n) && want[n] == '.' &&
           !strcmp(want + n + 1, key);
}

static void nm_line(void *user, const char *section, const char *key,
                    char *value)
{
    struct said *s = user;

    if (!*value)
        return;
    if (is_key(section, key, "connection.type")) {
        s->elsewhere =
            strcmp(value, "ethernet") && strcmp(value, "802-3-ethernet");
    } else if (is_key(section, key, "connection.interface-name") ||
               is_key(section, key, "match.interface-name")) {
        s->names = value;
    } else if (is_key(section, key, "connection.autoconnect")) {
        s->idle = says_no(value);
    } else if (is_key(section, key, "ethernet.mac-address") ||
               is_key(section, key, "802-3-ethernet.mac-address")) {
        s->mac = plain_mac(value);
    } else if (is_key(section, key, "vlan.parent")) {
        s->lower = value;
    } else if (is_key(section, key, "match.driver")) {
        s->by_driver = true;
    }
}

static void network_line(void *user, const char *section, const char *key,
                         char *value)
{
    struct said *s = user;

    if (!*value)
        return;
    if (is_key(section, key, "Match.Name"))
        s->names = value;
    else if (is_key(section, key, "Match.MACAddress") ||
             is_key(section, key, "Match.PermanentMACAddress"))
        s->mac = plain_mac(value);
    else if (is_key(section, key, "Match.Driver"))
        s->by_driver = true;
    else if (is_key(section, key, "Match.Kind"))
        s->soft = true;
}

static void link_line(void *user, const char *section, const char *key,
                      char *value)
{
    struct said *s = user;

    if (is_key(section, key, "Link.Name"))
        s->names = value;
    else if (is_key(section, key, "Match.MACAddress") ||
             is_key(section, key, "Match.PermanentMACAddress"))
        s->mac = plain_mac(value);
}

static void netdev_line(void *user, const char *section, const char *key,
                        char *value)
{
    struct said *s = user;

    if (is_key(section, key, "NetDev.Name")) {
        s->names = value;
        s->soft = true;
    }
}

static const struct form {
    const char *folder, *suffix, *kind;
    line_fn *line;
    bool is_link;
} forms[] = {
    {"/etc/NetworkManager/system-connections", "", "NetworkManager", nm_line,
     false},
    {"/etc/systemd/network", ".network", "systemd-networkd", network_line,
     false},
    {"/etc/systemd/network", ".netdev", NULL, netdev_line, false},
    {"/etc/systemd/network", ".link", NULL, link_line, true},
};

static void form_file(struct rh_linux *l, const char *path,
                      const struct form *f, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    struct said s = {0};
    struct rh_nic_name *n;

    if (!text)
        return;
    each_assignment(text, f->line, &s);
    if (f->is_link && !s.names)
        return;
    n = add_said(l, &s, path);
    if (n && f->is_link && s.mac)
        n->pinned = true;
    if (!s.names && s.mac && !s.elsewhere && !s.soft)
        add_mac(l, s.mac, path);
}

static void form_folder(struct rh_linux *l, const struct form *f,
                        rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, f->folder);
    size_t m = strlen(f->suffix);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", f->folder, names[i]);
        size_t n = strlen(names[i]);

        if (n < m || strcmp(names[i] + n - m, f->suffix) ||
            is_leftover(names[i]))
            continue;
        if (f->kind)
            uses(l, f->kind);
        form_file(l, path, f, err);
    }
}

/* --- netplan
 * ----------------------------------------------------------------------------
 */
struct plan {
    struct rh_linux *l;
    yaml_document_t *doc;
    const char *path;
};

static yaml_node_t *member(struct plan *p, yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *i = map->data.mapping.pairs.start;
         i < map->data.mapping.pairs.top; i++) {
        yaml_node_t *k = yaml_document_get_node(p->doc, i->key);

        if (k->type == YAML_SCALAR_NODE &&
            !strcmp((char *)k->data.scalar.value, key))
            return yaml_document_get_node(p->doc, i->value);
    }
    return NULL;
}

static const char *scalar(yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (char *)n->data.scalar.value
                                            : NULL;
}

static void netplan_one(struct plan *p, const char *key, yaml_node_t *body)
{
    yaml_node_t *match = member(p, body, "match");
    const char *set = scalar(member(p, body, "set-name"));
    const char *name = scalar(member(p, match, "name"));
    const char *mac = scalar(member(p, match, "macaddress"));

    if (member(p, match, "driver"))
        p->l->by_driver = rh_arena_strdup(p->l->arena, p->path);
    if (match && !set && !name && !mac)
        return;
    if (match && !set && (mac || (name && strpbrk(name, "*?[")))) {
        /* Any name will do, or the MAC decides. */
        if (mac)
            add_mac(p->l, mac, p->path);
        else
            p->l->any_name = true;
        return;
    }
    add_nic(p->l, set ? set : name ? name : key, mac, p->path);
}

static void netplan_text(struct rh_linux *l, const char *text, const char *path)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    struct plan p = {l, &doc, path};
    yaml_node_t *all;

    if (!yaml_parser_initialize(&parser))
        return;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text,
                                 strlen(text));
    if (yaml_parser_load(&parser, &doc)) {
        all =
            member(&p, member(&p, yaml_document_get_root_node(&doc), "network"),
                   "ethernets");
        if (all && all->type == YAML_MAPPING_NODE)
            for (yaml_node_pair_t *i = all->data.mapping.pairs.start;
                 i < all->data.mapping.pairs.top; i++) {
                const char *key = scalar(yaml_document_get_node(&doc, i->key));

                if (key)
                    netplan_one(&p, key,
                                yaml_document_get_node(&doc, i->value));
            }
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
}

static void netplan(struct rh_linux *l, rh_error **err)
{
    RH_AUTO(rh_name_list_freep)
    char **names = rh_guest_names(l->guest, "/etc/netplan");

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("/etc/netplan/%s", names[i]);
        RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);

        if (!text || !strstr(names[i], ".yaml"))
            continue;
        uses(l, "netplan");
        netplan_text(l, text, path);
    }
}

/* --- udev's old rules
 * ------------------------------------------------------------------------ */
/* key=="value" in a rule; copies the value. */
static bool rule_value(const char *line, const char *key, char *ret, size_t n)
{
    const char *p = strstr(line, key);
    size_t length;

    if (!p)
        return false;
    p += strlen(key);
    p += strspn(p, "=");
    if (*p++ != '"')
        return false;
    length = strcspn(p, "\"");
    if (length >= n)
        return false;
    memcpy(ret, p, length);
    ret[length] = '\0';
    return true;
}

/* What udev noted by itself, of NICs long gone, too: a rule tells the MAC of a
 * name that is configured; its name alone counts when nothing else does. */
static struct rh_nic_name *by_rule(struct rh_linux *l, const char *name,
                                   const char *mac, const char *path,
                                   bool alone)
{
    for (size_t i = 0; !alone && i < l->nics.count; i++)
        if (!strcmp(l->nics.items[i].name, name))
            return add_nic(l, name, mac, path);
    return alone ? add_nic(l, name, mac, path) : NULL;
}

static void rules_file(struct rh_linux *l, const char *path, bool alone,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    char *rest = text, *line, mac[32], name[32];

    while (text && (line = next_line(&rest))) {
        struct rh_nic_name *n;

        if (line[strspn(line, " \t")] == '#' ||
            !rule_value(line, "ATTR{address}", mac, sizeof mac) ||
            !rule_value(line, "NAME", name, sizeof name))
            continue;
        l->persistent_rules = true;
        n = by_rule(l, name, mac, path, alone);
        if (n && !strcasecmp(n->mac, mac))
            n->pinned = true;
    }
}

static void rules(struct rh_linux *l, rh_error **err)
{
    static const char folder[] = "/etc/udev/rules.d";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);
    bool alone = l->nics.count == 0;

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        size_t n = strlen(names[i]);

        if (n > 6 && !strcmp(names[i] + n - 6, ".rules"))
            rules_file(l, path, alone, err);
    }
}

int rh_linux_network(struct rh_linux *l, rh_error **err)
{
    rh_error *why = NULL;

    ifupdown(l, &why);
    netplan(l, &why);
    ifcfg(l, "/etc/sysconfig/network-scripts", "ifcfg", false, &why);
    ifcfg(l, "/etc/sysconfig/network",
          rh_guest_is_dir(l->guest, "/etc/wicked") ? "wicked" : "ifcfg", true,
          &why);
    for (size_t i = 0; i < RH_COUNT(forms); i++)
        form_folder(l, &forms[i], &why);
    drop_soft(l);
    rules(l, &why);
    if (why) {
        if (err && !*err)
            *err = why;
        else
            rh_error_free(why);
        return -1;
    }
    return 0;
}
