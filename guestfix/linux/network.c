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
        "bond",   "br",   "team",  "tun", "tap", "vlan", "dummy",
        "docker", "veth", "virbr", "wg",  "ppp", "sit",  "ib"};

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

/* --- lines
 * ---------------------------------------------------------------------- */
/* KEY=value of one line without quotes and blanks; NULL: another key. */
static char *value_of(char *line, const char *key)
{
    size_t n = strlen(key);
    char *end;

    line += strspn(line, " \t");
    if (strncasecmp(line, key, n))
        return NULL;
    line += n;
    line += strspn(line, " \t");
    if (*line != '=')
        return NULL;
    line++;
    line += strspn(line, " \t\"'");
    end = line + strlen(line);
    while (end > line && strchr(" \t\"'\r", end[-1]))
        end--;
    *end = '\0';
    return line;
}

static char *next_line(char **text)
{
    return strsep(text, "\n");
}

/* --- ifupdown
 * ------------------------------------------------------------------- */
static void interfaces_text(struct rh_linux *l, char *text, const char *path)
{
    char *line, *save;

    while ((line = next_line(&text))) {
        char *word = strtok_r(line, " \t\r", &save);
        bool is_iface = word && !strcmp(word, "iface");

        if (!word ||
            (!is_iface && strcmp(word, "auto") && strncmp(word, "allow-", 6)))
            continue;
        while ((word = strtok_r(NULL, " \t\r", &save))) {
            add_nic(l, word, NULL, path);
            if (is_iface)
                break;
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

/* --- ifcfg (Red Hat, SUSE)
 * ----------------------------------------------------------- */
static void ifcfg_file(struct rh_linux *l, const char *folder, const char *name,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    RH_AUTO(rh_freep) char *device = NULL;
    RH_AUTO(rh_freep) char *mac = NULL;
    char *rest = text, *line, *value;

    while (text && (line = next_line(&rest))) {
        if ((value = value_of(line, "DEVICE")) && !device)
            device = rh_strdup(value);
        else if ((value = value_of(line, "HWADDR")) && !mac)
            mac = rh_strdup(value);
    }
    if (text)
        add_nic(l, device ? device : name + 6, mac, path);
}

static void ifcfg(struct rh_linux *l, const char *folder, const char *kind,
                  rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);

    for (size_t i = 0; names && names[i]; i++) {
        size_t n = strlen(names[i]);

        if (strncmp(names[i], "ifcfg-", 6) || !strcmp(names[i], "ifcfg-lo") ||
            names[i][n - 1] == '~' || strstr(names[i], ".rpm") ||
            strstr(names[i], ".bak") || strstr(names[i], ".orig"))
            continue;
        uses(l, kind);
        ifcfg_file(l, folder, names[i], err);
    }
}

/* --- INI-like: NetworkManager, networkd, .link
 * ------------------------------------------ */
struct ini {
    const char *name_key, *mac_key; /* "Name", "MACAddress" */
    const char *type_key;           /* NetworkManager's "type", or NULL */
};

static void ini_file(struct rh_linux *l, const char *path, const struct ini *k,
                     bool is_link, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    RH_AUTO(rh_freep) char *name = NULL;
    RH_AUTO(rh_freep) char *mac = NULL;
    struct rh_nic_name *n;
    char *rest = text, *line, *value;
    bool ethernet = true;

    while (text && (line = next_line(&rest))) {
        if ((value = value_of(line, k->name_key)) && !name)
            name = rh_strdup(value);
        else if ((value = value_of(line, k->mac_key)) && !mac)
            mac = rh_strndup(value, strcspn(value, " "));
        else if (k->type_key && (value = value_of(line, k->type_key)))
            ethernet =
                !strcmp(value, "ethernet") || !strcmp(value, "802-3-ethernet");
    }
    if (!ethernet || (!name && !mac))
        return;
    if (!name && !is_link)
        add_mac(l, mac, path);
    if (name && strpbrk(name, "*?[! ")) {
        l->any_name = true;
        return;
    }
    n = add_nic(l, name, mac, path);
    if (n && is_link && mac)
        n->pinned = true;
}

static void ini_folder(struct rh_linux *l, const char *folder,
                       const char *suffix, const struct ini *k,
                       const char *kind, rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(l->guest, folder);
    size_t m = strlen(suffix);

    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);
        size_t n = strlen(names[i]);

        if (n < m || strcmp(names[i] + n - m, suffix))
            continue;
        if (kind)
            uses(l, kind);
        ini_file(l, path, k, !kind, err);
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

static void rules(struct rh_linux *l, rh_error **err)
{
    static const char path[] = "/etc/udev/rules.d/70-persistent-net.rules";
    RH_AUTO(rh_freep) char *text = rh_guest_text(l->guest, path, err);
    char *rest = text, *line, mac[32], name[32];
    bool alone = l->nics.count == 0;

    while (text && (line = next_line(&rest))) {
        struct rh_nic_name *n;

        if (line[strspn(line, " \t")] == '#' ||
            !rule_value(line, "ATTR{address}", mac, sizeof mac) ||
            !rule_value(line, "NAME", name, sizeof name))
            continue;
        n = by_rule(l, name, mac, path, alone);
        if (n && !strcasecmp(n->mac, mac))
            n->pinned = true;
    }
}

int rh_linux_network(struct rh_linux *l, rh_error **err)
{
    static const struct ini nm = {"interface-name", "mac-address", "type"};
    static const struct ini networkd = {"Name", "MACAddress", NULL};
    static const char *const nm_folders[] = {
        "/etc/NetworkManager/system-connections"};
    rh_error *why = NULL;

    ifupdown(l, &why);
    netplan(l, &why);
    for (size_t i = 0; i < RH_COUNT(nm_folders); i++)
        ini_folder(l, nm_folders[i], "", &nm, "NetworkManager", &why);
    ifcfg(l, "/etc/sysconfig/network-scripts", "ifcfg", &why);
    ifcfg(l, "/etc/sysconfig/network",
          rh_guest_is_dir(l->guest, "/etc/wicked") ? "wicked" : "ifcfg", &why);
    ini_folder(l, "/etc/systemd/network", ".network", &networkd,
               "systemd-networkd", &why);
    ini_folder(l, "/etc/systemd/network", ".link", &networkd, NULL, &why);
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

/* --- names to NICs
 * ----------------------------------------------------------------------------
 */
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

/* ens192 sits in the slot that VMware numbers 192. */
static void match_by_slot(struct rh_linux *l, struct rh_vm *vm)
{
    for (size_t i = 0; i < l->nics.count; i++)
        for (size_t k = 0; k < vm->nics.count; k++) {
            const struct rh_value *slot = &vm->nics.items[k].slot;
            char name[32];

            if (slot->kind != RH_VALUE_NUMBER || taken(l, k) ||
                l->nics.items[i].nic != SIZE_MAX)
                continue;
            snprintf(name, sizeof name, "ens%u", (unsigned)slot->number);
            if (!strcmp(name, l->nics.items[i].name))
                l->nics.items[i].nic = k;
        }
}

/* What is left over goes together in order, when there are as many of both. */
static void match_in_order(struct rh_linux *l, struct rh_vm *vm)
{
    size_t names = 0, nics = 0, k = 0;

    for (size_t i = 0; i < l->nics.count; i++)
        names += l->nics.items[i].nic == SIZE_MAX;
    for (size_t i = 0; i < vm->nics.count; i++)
        nics += !taken(l, i);
    if (names != nics)
        return;
    for (size_t i = 0; i < l->nics.count; i++) {
        if (l->nics.items[i].nic != SIZE_MAX)
            continue;
        while (taken(l, k))
            k++;
        l->nics.items[i].nic = k;
    }
}

static int by_natural_name(const void *a, const void *b)
{
    const struct rh_nic_name *x = a, *y = b;

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
    match_in_order(l, vm);
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
