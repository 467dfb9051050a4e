/* look.c - everything that could stand in the way of a VM on a Proxmox node,
 * looked at before the first byte: node, storages, space, rights, bridges, the
 * VM's number. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/proxmox/proxmox.h"

enum { SKEW = 300 /* seconds that matter to tickets and certificates */ };

struct look {
    struct rh_pve *pve;
    const struct rh_pve_wish *wish;
    struct rh_pve_place *place;
    struct rh_checks *checks;
    json_t *storages, *rights;
};

void rh_pve_place_free(struct rh_pve_place *p)
{
    free(p->node);
    free(p->storage);
    free(p->import);
    free(p->vmid);
    rh_serve_close(p->serve);
    *p = (struct rh_pve_place){0};
}

static json_t *node_call(struct look *l, const char *what, json_t *params,
                         rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/nodes/%s%s", l->place->node, what);

    return rh_pve_call(l->pve, "GET", path, params, err);
}

/* --- the node
 * ------------------------------------------------------------------------ */

static int check_node(struct look *l, rh_error **err)
{
    const struct rh_remote_url *u = &l->pve->remote->url;
    json_t *nodes = rh_pve_call(l->pve, "GET", "/nodes", NULL, err), *node;
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};
    bool found = false;
    size_t i;

    if (!nodes)
        return -1;
    json_array_foreach (nodes, i, node) {
        const char *name = rh_pve_text(node, "node");

        rh_buf_printf(&names, "%s%s", i ? ", " : "", name);
        found |= !strcmp(name, u->parts[0]);
    }
    json_decref(nodes);
    if (found) {
        l->place->node = rh_strdup(u->parts[0]);
        rh_check_good(l->checks, "logged in; node %s is there", l->place->node);
        return 0;
    }
    rh_fail(err, RH_ERR_DELIVERY_PLACE, "there is no node \"%s\"", u->parts[0]);
    return rh_hint(err, "there are: %s", names.data ? names.data : "");
}

/* --- storages
 * -------------------------------------------------------------------------- */

static bool has_word(const char *list, const char *word)
{
    size_t m = strlen(word);

    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");

        if (n == m && !strncmp(p, word, n))
            return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static const json_t *storage_named(const struct look *l, const char *name)
{
    size_t i;
    json_t *s;

    json_array_foreach (l->storages, i, s)
        if (!strcmp(rh_pve_text(s, "storage"), name))
            return s;
    return NULL;
}

static bool fits(const json_t *s, const char *content)
{
    const json_t *active = json_object_get(s, "active");

    return has_word(rh_pve_text(s, "content"), content) &&
           (!active || json_integer_value(active) != 0);
}

static char *list_of(const struct look *l, const char *content)
{
    struct rh_buf b = {0};
    size_t i;
    json_t *s;

    json_array_foreach (l->storages, i, s)
        if (fits(s, content))
            rh_buf_printf(&b, "%s%s", b.length ? ", " : "",
                          rh_pve_text(s, "storage"));
    return rh_buf_take(&b);
}

/* What was asked for, else the configuration's, else the only one. */
static const json_t *choose_storage(const struct look *l, const char *asked)
{
    const json_t *s = asked ? storage_named(l, asked) : NULL, *only = NULL;
    size_t i, n = 0;
    json_t *one;

    for (i = 0; !asked && !s && i < l->wish->conf->list.count; i++) {
        const struct rh_pve_setting *v = &l->wish->conf->list.items[i];
        RH_AUTO(rh_freep)
        char *name = rh_strndup(v->value, strcspn(v->value, ":,"));

        s = v->is_volume ? storage_named(l, name) : NULL;
    }
    json_array_foreach (l->storages, i, one)
        if (fits(one, "images")) {
            only = one;
            n++;
        }
    return s || asked || n != 1 ? s : only;
}

static void check_room(struct look *l, const json_t *s)
{
    const char *name = rh_pve_text(s, "storage"),
               *type = rh_pve_text(s, "type");
    bool thick = !strcmp(type, "lvm") || !l->wish->file_bytes;
    uint64_t room = rh_pve_number(s, "avail");
    uint64_t need = thick ? l->wish->virtual_bytes : l->wish->file_bytes;
    RH_AUTO(rh_freep) char *need_text = rh_human_size(need);
    RH_AUTO(rh_freep) char *room_text = rh_human_size(room);
    RH_AUTO(rh_freep)
    char *short_text = rh_human_size(need > room ? need - room : 0);

    if (need > room && (!thick || !strcmp(type, "lvm")))
        rh_check_bad(l->checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\" (%s) is %s short: %s are needed, %s "
                     "are free",
                     name, type, short_text, need_text, room_text);
    else if (need > room)
        rh_check_caution(l->checks,
                         "the storage \"%s\" (%s) has %s free, and the disks "
                         "may grow to %s",
                         name, type, room_text, need_text);
    else
        rh_check_good(l->checks, "storage \"%s\" (%s): %s needed, %s free",
                      name, type, need_text, room_text);
}

static int check_target(struct look *l, rh_error **err)
{
    const struct rh_remote_url *u = &l->pve->remote->url;
    const char *asked = u->count > 1
                            ? u->parts[1]
                            : rh_option(l->pve->remote->options, "storage");
    const json_t *s = choose_storage(l, asked);
    RH_AUTO(rh_freep) char *all = list_of(l, "images");

    if (s && fits(s, "images")) {
        l->place->storage = rh_strdup(rh_pve_text(s, "storage"));
        check_room(l, s);
        return 0;
    }
    if (s)
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                "the storage \"%s\" does not take disks of VMs", asked);
    else if (asked)
        rh_fail(err, RH_ERR_DELIVERY_PLACE, "the node has no storage \"%s\"",
                asked);
    else
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                "it was not said which storage takes the disks");
    return rh_hint(err, "name one in the URL; for disks there are: %s", all);
}

/* Files lie there until the VM is made. */
static int check_import(struct look *l, rh_error **err)
{
    const char *asked = rh_option(l->pve->remote->options, "import-storage");
    const json_t *s = asked ? storage_named(l, asked) : NULL;
    RH_AUTO(rh_freep) char *all = list_of(l, "import");
    size_t i;
    json_t *one;

    json_array_foreach (l->storages, i, one)
        if (!asked && fits(one, "import") &&
            (!s || rh_pve_number(one, "avail") > rh_pve_number(s, "avail")))
            s = one;
    if (!s || !fits(s, "import")) {
        rh_fail(err, RH_ERR_DELIVERY_PLACE,
                asked ? "the storage \"%s\" has not the content type \"Import\""
                      : "no storage of the node has the content type "
                        "\"Import\"",
                asked);
        return rh_hint(err,
                       "Proxmox VE 8.3 and later have it: Datacenter, Storage, "
                       "Edit, Content; with it are: %s",
                       all[0] ? all : "-");
    }
    l->place->import = rh_strdup(rh_pve_text(s, "storage"));
    if (l->wish->file_bytes > rh_pve_number(s, "avail"))
        rh_check_bad(l->checks, RH_ERR_DELIVERY_SPACE,
                     "the storage \"%s\", where files are uploaded to, has "
                     "not room for %llu bytes",
                     l->place->import, (unsigned long long)l->wish->file_bytes);
    else
        rh_check_good(l->checks, "files go to storage \"%s\" first",
                      l->place->import);
    return 0;
}

/* --- rights
 * ------------------------------------------------------------------------------
 */

/* The nearest path that the server names counts. */
static bool may(const struct look *l, const char *path, const char *right)
{
    RH_AUTO(rh_freep) char *p = rh_strdup(path);

    for (;;) {
        const json_t *entry = json_object_get(l->rights, p);
        char *slash = strrchr(p, '/');

        if (entry)
            return json_object_get(entry, right) != NULL;
        if (!slash || !strcmp(p, "/"))
            return false;
        slash[slash == p] = '\0';
    }
}

static void want(struct look *l, const char *path, const char *right)
{
    if (may(l, path, right))
        return;
    rh_check_bad(l->checks, RH_ERR_DELIVERY_RIGHTS,
                 "the right %s on %s is missing", right, path);
    rh_check_hint(l->checks,
                  "pveum acl modify %s --%s '%s' --roles ROLE, with a role "
                  "that has %s (a token with privilege separation has only "
                  "its own rights)",
                  path, l->pve->token ? "tokens" : "users",
                  l->pve->token ? l->pve->token : "USER", right);
}

static void check_vm_rights(struct look *l)
{
    static const char *const rights[] = {
        "VM.Allocate",      "VM.Audit",         "VM.Config.Disk",
        "VM.Config.CPU",    "VM.Config.Memory", "VM.Config.Network",
        "VM.Config.HWType", "VM.Config.Options"};
    RH_AUTO(rh_freep) char *vm = rh_printf("/vms/%s", l->place->vmid);

    for (size_t i = 0; i < RH_COUNT(rights); i++)
        want(l, vm, rights[i]);
    if (rh_option_yes(l->pve->remote->options, "start"))
        want(l, vm, "VM.PowerMgmt");
}

/* To have the node open a connection: the new right, or the old ones. */
static bool may_fetch(const struct look *l)
{
    RH_AUTO(rh_freep) char *node = rh_printf("/nodes/%s", l->place->node);

    return may(l, node, "Sys.AccessNetwork") ||
           (may(l, "/", "Sys.Audit") && may(l, "/", "Sys.Modify"));
}

static void check_rights(struct look *l)
{
    RH_AUTO(rh_freep)
    char *storage = rh_printf("/storage/%s", l->place->storage);
    RH_AUTO(rh_freep) char *import = rh_printf("/storage/%s", l->place->import);

    check_vm_rights(l);
    want(l, storage, "Datastore.AllocateSpace");
    want(l, import, "Datastore.AllocateTemplate");
    if (!may(l, import, "Datastore.AllocateSpace"))
        want(l, import, "Datastore.Audit");
    if (rh_pve_conf_find(l->wish->conf, "startup") &&
        !may(l, "/", "Sys.Modify")) {
        l->place->drop_startup = true;
        rh_check_caution(l->checks, "the start order is left out: it needs "
                                    "the right Sys.Modify on /");
    }
    if (rh_pve_conf_find(l->wish->conf, "args"))
        rh_check_bad(l->checks, RH_ERR_DELIVERY_RIGHTS,
                     "the setting \"args\" can be set by root@pam itself only");
}

/* --- bridges
 * ------------------------------------------------------------------------------
 */

static const json_t *bridge_named(const json_t *all, const char *name)
{
    size_t i;
    json_t *b;

    json_array_foreach (all, i, b)
        if (!strcmp(rh_pve_text(b, "iface"), name) ||
            !strcmp(rh_pve_text(b, "vnet"), name))
            return b;
    return NULL;
}

static void say_no_bridge(struct look *l, const json_t *all, const char *name)
{
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};
    size_t i;
    json_t *b;

    json_array_foreach (all, i, b)
        rh_buf_printf(&names, "%s%s", i ? ", " : "", rh_pve_text(b, "iface"));
    rh_check_bad(l->checks, RH_ERR_DELIVERY_NETWORK,
                 "the node has no bridge \"%s\"", name);
    rh_check_hint(l->checks,
                  "name one with --network-map 'FROM=BRIDGE'; there are: %s",
                  names.data ? names.data : "");
}

static void check_nic(struct look *l, const json_t *all, const char *value)
{
    RH_AUTO(rh_freep) char *name = rh_pve_part(value, "bridge");
    RH_AUTO(rh_freep) char *tag = rh_pve_part(value, "tag");
    const json_t *bridge = bridge_named(all, name);
    RH_AUTO(rh_freep)
    char *zone = rh_printf("/sdn/zones/localnetwork/%s", name);

    if (!bridge) {
        say_no_bridge(l, all, name);
        return;
    }
    rh_check_good(l->checks, "bridge \"%s\" is there", name);
    if (tag[0] && !rh_pve_number(bridge, "bridge_vlan_aware"))
        rh_check_caution(l->checks,
                         "the bridge \"%s\" is not VLAN aware; the node makes "
                         "one for VLAN %s",
                         name, tag);
    if (!strcmp(rh_pve_text(bridge, "type"), "bridge"))
        want(l, zone, "SDN.Use");
}

static int check_bridges(struct look *l, rh_error **err)
{
    json_t *all =
        node_call(l, "/network", json_pack("{s:s}", "type", "any_bridge"), err);

    if (!all)
        return -1;
    for (size_t i = 0; i < l->wish->conf->list.count; i++) {
        const struct rh_pve_setting *s = &l->wish->conf->list.items[i];

        if (!strncmp(s->key, "net", 3) && s->key[3] >= '0' && s->key[3] <= '9')
            check_nic(l, all, s->value);
    }
    json_decref(all);
    return 0;
}

/* --- the number
 * ------------------------------------------------------------------------------
 */

static int check_vmid(struct look *l, rh_error **err)
{
    const char *asked = rh_option(l->pve->remote->options, "vmid");
    rh_error *e = NULL;
    json_t *id =
        rh_pve_call(l->pve, "GET", "/cluster/nextid",
                    asked ? json_pack("{s:s}", "vmid", asked) : NULL, &e);
    RH_AUTO(rh_freep)
    char *number = json_is_integer(id)
                       ? rh_printf("%lld", (long long)json_integer_value(id))
                       : rh_strdup(json_string_value(id));

    l->place->vmid_asked = asked != NULL;
    json_decref(id);
    if (number) {
        l->place->vmid = rh_strdup(asked ? asked : number);
        rh_check_good(l->checks, "the number %s is free", l->place->vmid);
    } else if (e && asked &&
               (rh_error_number(e) == RH_ERR_DELIVERY_TAKEN ||
                rh_error_number(e) == RH_ERR_DELIVERY_LIMIT)) {
        l->place->vmid = rh_strdup(asked);
        rh_check_bad(l->checks, RH_ERR_DELIVERY_TAKEN,
                     "the number %s cannot be had: %s", asked,
                     rh_error_message(e));
    } else {
        if (err && !*err)
            *err = RH_TAKE(e);
        rh_error_free(e);
        return e || (err && *err) ? -1
                                  : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                                            "the server names no free number");
    }
    rh_error_free(e);
    return 0;
}

/* --- all of it
 * ---------------------------------------------------------------------------------
 */

static int look(struct look *l, rh_error **err)
{
    if (check_node(l, err) < 0)
        return -1;
    l->storages = node_call(l, "/storage", NULL, err);
    if (!l->storages || check_target(l, err) < 0 || check_import(l, err) < 0 ||
        check_vmid(l, err) < 0)
        return -1;
    l->rights = rh_pve_call(l->pve, "GET", "/access/permissions", NULL, err);
    if (!l->rights)
        return -1;
    check_rights(l);
    if (labs(l->pve->skew) > SKEW)
        rh_check_caution(l->checks, "the node's clock is %ld seconds off ours",
                         l->pve->skew);
    if (check_bridges(l, err) < 0)
        return -1;
    return rh_pve_choose_way(l->pve, l->wish, may_fetch(l), l->place, l->checks,
                             err);
}

int rh_pve_look(struct rh_pve *p, const struct rh_pve_wish *w,
                struct rh_pve_place *ret, struct rh_checks *checks,
                rh_error **err)
{
    struct look l = {.pve = p, .wish = w, .place = ret, .checks = checks};
    int failed = look(&l, err);

    json_decref(l.storages);
    json_decref(l.rights);
    return failed ? rh_error_subject(err, rh_http_name(p->remote->http)) : 0;
}
