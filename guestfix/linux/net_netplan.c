/* net_netplan.c - netplan's YAML (netplan(5)). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "guestfix/linux/network.h"

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

/* --- addresses
 * ------------------------------------------------------------------ */
typedef void add_fn(struct plan *p, struct rh_net *net, yaml_node_t *item);

/* An address may stand alone, or as a key above its options. */
static void add_address(struct plan *p, struct rh_net *net, yaml_node_t *item)
{
    if (item->type == YAML_MAPPING_NODE &&
        item->data.mapping.pairs.start < item->data.mapping.pairs.top)
        item =
            yaml_document_get_node(p->doc, item->data.mapping.pairs.start->key);
    rh_net_address(p->l, net, scalar(item), NULL);
}

static void add_dns(struct plan *p, struct rh_net *net, yaml_node_t *item)
{
    if (scalar(item))
        rh_net_dns(p->l, net, scalar(item));
}

static void add_route(struct plan *p, struct rh_net *net, yaml_node_t *item)
{
    const char *to = scalar(member(p, item, "to"));
    const char *via = scalar(member(p, item, "via"));

    if (to && via &&
        (!strcmp(to, "default") || !strcmp(to, "0.0.0.0/0") ||
         !strcmp(to, "::/0")))
        rh_net_gateways(p->l, net, via);
}

static void each_item(struct plan *p, struct rh_net *net, yaml_node_t *list,
                      add_fn *add)
{
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return;
    for (yaml_node_item_t *i = list->data.sequence.items.start;
         i < list->data.sequence.items.top; i++)
        add(p, net, yaml_document_get_node(p->doc, *i));
}

static bool is_yes(const char *value)
{
    return value && *value && !rh_says_no(value);
}

static void read_net(struct plan *p, yaml_node_t *body, struct rh_net *net)
{
    const char *four = scalar(member(p, body, "gateway4"));
    const char *six = scalar(member(p, body, "gateway6"));

    each_item(p, net, member(p, body, "addresses"), add_address);
    each_item(p, net, member(p, body, "routes"), add_route);
    each_item(p, net, member(p, member(p, body, "nameservers"), "addresses"),
              add_dns);
    if (four)
        rh_net_gateways(p->l, net, four);
    if (six)
        rh_net_gateways(p->l, net, six);
    net->dhcp = is_yes(scalar(member(p, body, "dhcp4"))) ||
                is_yes(scalar(member(p, body, "dhcp6")));
}

/* --- interfaces
 * ------------------------------------------------------------------ */
static void ethernet(struct plan *p, const char *key, yaml_node_t *body)
{
    yaml_node_t *match = member(p, body, "match");
    const char *set = scalar(member(p, body, "set-name"));
    const char *name = scalar(member(p, match, "name"));
    const char *mac = scalar(member(p, match, "macaddress"));
    struct rh_said s = {.mac = mac};

    read_net(p, body, &s.net);
    s.by_driver = member(p, match, "driver") != NULL;
    /* Any name will do, or the MAC address decides. */
    if (match && !set && (mac || !name))
        s.names = name && !mac ? name : NULL;
    else
        s.names = set ? set : name ? name : key;
    rh_nic_add_said(p->l, &s, p->path);
}

static void soft(struct plan *p, const char *key, yaml_node_t *body)
{
    struct rh_net net = {0};

    read_net(p, body, &net);
    rh_nic_add_soft(p->l, key, p->path, &net);
}

static void each_member(struct plan *p, yaml_node_t *map,
                        void (*fn)(struct plan *, const char *, yaml_node_t *))
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return;
    for (yaml_node_pair_t *i = map->data.mapping.pairs.start;
         i < map->data.mapping.pairs.top; i++) {
        const char *key = scalar(yaml_document_get_node(p->doc, i->key));

        if (key)
            fn(p, key, yaml_document_get_node(p->doc, i->value));
    }
}

static void read_text(struct rh_linux *l, const char *text, const char *path)
{
    static const char *const above[] = {"bonds", "bridges", "vlans"};
    yaml_parser_t parser;
    yaml_document_t doc;
    struct plan p = {l, &doc, path};
    yaml_node_t *all;

    if (!yaml_parser_initialize(&parser))
        return;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text,
                                 strlen(text));
    if (yaml_parser_load(&parser, &doc)) {
        all = member(&p, yaml_document_get_root_node(&doc), "network");
        each_member(&p, member(&p, all, "ethernets"), ethernet);
        for (size_t i = 0; i < RH_COUNT(above); i++)
            each_member(&p, member(&p, all, above[i]), soft);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
}

void rh_net_netplan(struct rh_linux *l, rh_error **err)
{
    static const char *const folders[] = {"/etc/netplan", "/usr/lib/netplan"};

    for (size_t f = 0; f < RH_COUNT(folders); f++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(l->guest, folders[f]);

        for (size_t i = 0; names && names[i]; i++) {
            RH_AUTO(rh_freep)
            char *path = rh_printf("%s/%s", folders[f], names[i]);
            size_t n = strlen(names[i]);
            RH_AUTO(rh_freep) char *text = NULL;

            if (n < 5 || strcmp(names[i] + n - 5, ".yaml"))
                continue;
            text = rh_guest_text(l->guest, path, err);
            if (!text)
                continue;
            rh_network_uses(l, "netplan");
            read_text(l, text, path);
        }
    }
}
