/* domain.c - libvirt.xml of a result: read, held against what may stand in it,
 * and changed for the host that it goes to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_LIBVIRT
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "deliver/libvirt/virt.h"

#define X(text) ((const xmlChar *)(text))

static bool is(const xmlNode *n, const char *name)
{
    return n && n->type == XML_ELEMENT_NODE && xmlStrEqual(n->name, X(name));
}

static xmlNode *child(const xmlNode *n, const char *name)
{
    xmlNode *c = n ? n->children : NULL;

    while (c && !is(c, name))
        c = c->next;
    return c;
}

/* The caller frees; "" where there is none. */
static char *attribute(const xmlNode *n, const char *name)
{
    xmlChar *text = n ? xmlGetNoNsProp(n, X(name)) : NULL;
    char *copy = rh_strdup(text ? (const char *)text : "");

    xmlFree(text);
    return copy;
}

static bool says(const xmlNode *n, const char *name, const char *value)
{
    RH_AUTO(rh_freep) char *text = attribute(n, name);

    return !strcmp(text, value);
}

static char *content(const xmlNode *n)
{
    xmlChar *text = n ? xmlNodeGetContent(n) : NULL;
    char *copy = rh_strdup(text ? (const char *)text : "");

    xmlFree(text);
    return copy;
}

/* --- what may stand in it
 * -------------------------------------------------------------- */

/* What an element may hold: words, or "*" for anything.  What is not listed
 * holds nothing.  Left out is what names files, devices and programs of the
 * host: loader, kernel, emulator, hostdev, filesystem, qemu:commandline ... */
static const struct {
    const char *element, *children;
} allowed[] = {
    {"domain", "name uuid title description metadata memory currentMemory vcpu "
               "iothreads os features cpu clock on_poweroff on_reboot on_crash "
               "pm devices"},
    {"metadata", "*"},
    {"os", "type firmware boot bootmenu bios smbios"},
    {"firmware", "feature"},
    {"features", "*"},
    {"cpu", "*"},
    {"clock", "*"},
    {"pm", "*"},
    {"devices", "controller disk interface serial console channel input "
                "graphics video tpm rng memballoon watchdog sound panic"},
    {"controller", "driver address model target"},
    {"disk", "driver source target boot serial address readonly wwn vendor "
             "product blockio iotune geometry"},
    {"interface", "mac source model boot link address target mtu vlan"},
    {"vlan", "tag"},
    {"iotune", "*"},
    {"serial", "target address"},
    {"console", "target address"},
    {"channel", "target address"},
    {"input", "address"},
    {"graphics", "listen"},
    {"video", "model address"},
    {"tpm", "backend"},
    {"rng", "backend rate address"},
    {"memballoon", "address stats"},
    {"watchdog", "address"},
    {"sound", "address codec"},
    {"panic", "address"},
};

static bool has_word(const char *words, const char *word)
{
    size_t m = strlen(word);

    for (const char *p = words; *p;) {
        size_t n = strcspn(p, " ");

        if (n == m && !strncmp(p, word, n))
            return true;
        p += n + (p[n] == ' ');
    }
    return false;
}

static const char *children_of(const xmlNode *n)
{
    for (size_t i = 0; i < RH_COUNT(allowed); i++)
        if (is(n, allowed[i].element))
            return allowed[i].children;
    return "";
}

/* The only attributes of a source that stay in the VM's world. */
static bool good_source(const xmlNode *source)
{
    const xmlNode *owner = source->parent;

    for (const xmlAttr *a = source->properties; a; a = a->next) {
        const char *name = (const char *)a->name;

        if (is(owner, "disk")
                ? strcmp(name, "file") != 0
                : strcmp(name, "bridge") && strcmp(name, "network"))
            return false;
    }
    return true;
}

static bool one_of(const xmlNode *n, const char *attribute_name,
                   const char *words)
{
    RH_AUTO(rh_freep) char *value = attribute(n, attribute_name);

    return has_word(words, value);
}

/* Kinds of a device that reach into the host. */
static bool good_kind(const xmlNode *n)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (is(n, "source"))
        return good_source(n);
    if (is(n, "disk"))
        return says(n, "type", "file") && one_of(n, "device", "disk cdrom") &&
               (says(n, "device", "disk") || !child(n, "source"));
    if (is(n, "interface"))
        return one_of(n, "type", "user bridge network");
    if (is(n, "serial") || is(n, "console"))
        return says(n, "type", "pty");
    if (is(n, "channel"))
        return one_of(n, "type", "unix spicevmc");
    if (is(n, "input"))
        return one_of(n, "type", "tablet mouse keyboard");
    if (is(n, "graphics"))
        return !xmlHasProp(n, X("socket"));
    if (is(n, "backend") && is(n->parent, "tpm"))
        return says(n, "type", "emulator");
    if (!is(n, "backend"))
        return true;
    text = content(n);
    return one_of(n, "model", "random builtin") &&
           (!text[0] || !strcmp(text, "/dev/urandom") ||
            !strcmp(text, "/dev/random"));
}

static int refuse(const xmlNode *n, rh_error **err)
{
    rh_fail(err, RH_ERR_DELIVERY_RESULT,
            "libvirt.xml: <%s> in <%s> (line %ld) reaches into the host",
            (const char *)n->name,
            n->parent && n->parent->type == XML_ELEMENT_NODE
                ? (const char *)n->parent->name
                : "",
            xmlGetLineNo(n));
    return rh_hint(err, "take it away, and set it on the host where it is "
                        "wanted");
}

/* Without recursion: a hostile file nests as deep as it likes. */
static int check_all(const xmlNode *root, rh_error **err)
{
    const xmlNode *n = root;

    for (;;) {
        const char *words = children_of(n);
        bool any = !strcmp(words, "*");

        if (n->type == XML_ELEMENT_NODE) {
            if (n != root && (n->ns || !has_word(children_of(n->parent),
                                                 (const char *)n->name)))
                return refuse(n, err);
            if (!good_kind(n))
                return refuse(n, err);
            if (!any && n->children) {
                n = n->children;
                continue;
            }
        }
        while (n != root && !n->next)
            n = n->parent;
        if (n == root)
            return 0;
        n = n->next;
    }
}

/* --- reading
 * ------------------------------------------------------------------------------
 */

void rh_virt_domain_free(struct rh_virt_domain *d)
{
    for (size_t i = 0; i < d->disks.count; i++) {
        free(d->disks.items[i].file);
        free(d->disks.items[i].path);
        free(d->disks.items[i].target);
    }
    for (size_t i = 0; i < d->nics.count; i++) {
        free(d->nics.items[i].mac);
        free(d->nics.items[i].bridge);
    }
    free(d->disks.items);
    free(d->nics.items);
    free(d->name);
    free(d->uuid);
    free(d->machine);
    if (d->doc)
        xmlFreeDoc(d->doc);
    *d = (struct rh_virt_domain){0};
}

static void take_disk(struct rh_virt_domain *d, xmlNode *n)
{
    xmlNode *source = child(n, "source");
    RH_AUTO(rh_freep)
    char *path = attribute(source, says(n, "type", "block") ? "dev" : "file");
    const char *slash = strrchr(path, '/');
    struct rh_virt_disk *disk;

    if (!source)
        return; /* an empty drive */
    disk = rh_vec_add(&d->disks);
    disk->file = rh_strdup(slash ? slash + 1 : path);
    disk->path = rh_strdup(path);
    disk->target = attribute(child(n, "target"), "dev");
    disk->node = n;
}

static void take_nic(struct rh_virt_domain *d, xmlNode *n)
{
    struct rh_virt_nic *nic = rh_vec_add(&d->nics);
    const xmlNode *source = child(n, "source");

    nic->mac = attribute(child(n, "mac"), "address");
    nic->network = says(n, "type", "network");
    if (!says(n, "type", "user"))
        nic->bridge = attribute(source, nic->network ? "network" : "bridge");
    nic->node = n;
}

static int take_devices(struct rh_virt_domain *d, const xmlNode *devices,
                        rh_error **err)
{
    for (xmlNode *n = devices ? devices->children : NULL; n; n = n->next) {
        if (is(n, "disk"))
            take_disk(d, n);
        else if (is(n, "interface"))
            take_nic(d, n);
        if (d->disks.count > RH_LIMIT_VM_DISKS ||
            d->nics.count > RH_LIMIT_VM_NICS)
            return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                           "libvirt.xml has too many devices");
    }
    return 0;
}

static int parse(const char *xml, size_t n, bool trusted,
                 struct rh_virt_domain *ret, rh_error **err)
{
    RH_AUTO(rh_virt_domain_free) struct rh_virt_domain d = {0};
    const xmlNode *root;

    if (n <= RH_LIMIT_DESCRIPTOR)
        d.doc = xmlReadMemory(xml, (int)n, "libvirt.xml", NULL,
                              XML_PARSE_NONET | XML_PARSE_NOERROR |
                                  XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS);
    root = d.doc ? xmlDocGetRootElement(d.doc) : NULL;
    if (!root || ((xmlDoc *)d.doc)->intSubset || !is(root, "domain") ||
        root->ns)
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "libvirt.xml describes no domain");
    if ((!trusted && check_all(root, err) < 0) ||
        take_devices(&d, child(root, "devices"), err) < 0)
        return -1;
    d.name = content(child(root, "name"));
    d.uuid = content(child(root, "uuid"));
    d.machine = attribute(child(child(root, "os"), "type"), "machine");
    if (!d.name[0] || !d.uuid[0])
        return rh_fail(err, RH_ERR_DELIVERY_RESULT,
                       "libvirt.xml gives no name and UUID");
    *ret = d;
    d = (struct rh_virt_domain){0};
    return 0;
}

int rh_virt_domain_parse(const char *xml, size_t n, struct rh_virt_domain *ret,
                         rh_error **err)
{
    return parse(xml, n, false, ret, err);
}

int rh_virt_domain_there(const char *xml, struct rh_virt_domain *ret,
                         rh_error **err)
{
    return parse(xml, strlen(xml), true, ret, err);
}

/* --- changing
 * ------------------------------------------------------------------------------
 */

static void set_source(xmlNode *owner, const char *name, const char *value)
{
    xmlNode *source = child(owner, "source");

    if (!source)
        source = xmlNewChild(owner, NULL, X("source"), NULL);
    while (source && source->properties)
        xmlRemoveProp(source->properties);
    xmlSetProp(source, X(name), X(value));
}

void rh_virt_domain_disk(struct rh_virt_domain *d, size_t i, const char *path,
                         bool block, const char *format)
{
    xmlNode *disk = d->disks.items[i].node, *driver = child(disk, "driver");

    xmlSetProp(disk, X("type"), X(block ? "block" : "file"));
    set_source(disk, block ? "dev" : "file", path);
    if (driver)
        xmlSetProp(driver, X("type"), X(format));
}

/* What the map calls a bridge may be a network of libvirt's. */
void rh_virt_domain_network(struct rh_virt_domain *d, size_t i)
{
    struct rh_virt_nic *nic = &d->nics.items[i];

    nic->network = true;
    xmlSetProp(nic->node, X("type"), X("network"));
    set_source(nic->node, "network", nic->bridge);
}

static const char *mapped(const rh_options *o, const char *network,
                          const char *bridge)
{
    const char *map, *any = NULL;

    for (size_t i = 0; (map = rh_option_at(o, "network-map", i)); i++) {
        const char *equals = strrchr(map, '=');
        size_t n = equals ? (size_t)(equals - map) : 0;

        if (n && ((strlen(network) == n && !strncmp(map, network, n)) ||
                  (strlen(bridge) == n && !strncmp(map, bridge, n))))
            return equals + 1;
        if (n == 1 && map[0] == '*')
            any = equals + 1;
    }
    return any;
}

static int map_nic(struct rh_virt_nic *nic, const char *network,
                   const rh_options *o, rh_error **err)
{
    const char *to = mapped(o, network, nic->bridge ? nic->bridge : "");

    if (!to)
        return 0;
    if (!to[0] || strchr(to, ','))
        return rh_fail(err, RH_ERR_USAGE,
                       "--network-map of libvirt names a network or a bridge "
                       "alone");
    free(nic->bridge);
    nic->bridge = rh_strdup(to);
    nic->network = false;
    xmlSetProp(nic->node, X("type"), X("bridge"));
    set_source(nic->node, "bridge", to);
    return 0;
}

int rh_virt_domain_map(struct rh_virt_domain *d, const json_t *nics,
                       const rh_options *o, rh_error **err)
{
    const char *name = rh_option(o, "name"), *map;

    for (size_t i = 0; (map = rh_option_at(o, "network-map", i)); i++)
        if (strstr(map, ",tag="))
            return rh_fail(err, RH_ERR_USAGE,
                           "VLANs are the network's matter with libvirt: "
                           "--network-map takes no tag=");
    for (size_t i = 0; i < d->nics.count; i++) {
        const char *network = json_string_value(
            json_object_get(json_array_get(nics, i), "network"));

        if (map_nic(&d->nics.items[i], network ? network : "", o, err) < 0)
            return -1;
    }
    if (name) {
        free(d->name);
        d->name = rh_strdup(name);
        xmlNodeSetContent(child(xmlDocGetRootElement(d->doc), "name"), NULL);
        xmlNodeAddContent(child(xmlDocGetRootElement(d->doc), "name"), X(name));
    }
    return 0;
}

/* Enlightenments and the host's own CPU are KVM's. */
void rh_virt_domain_emulate(struct rh_virt_domain *d)
{
    xmlNode *root = xmlDocGetRootElement(d->doc);
    xmlNode *hyperv = child(child(root, "features"), "hyperv");
    xmlNode *clock = child(root, "clock");

    xmlSetProp(root, X("type"), X("qemu"));
    if (child(root, "cpu"))
        xmlSetProp(child(root, "cpu"), X("mode"), X("maximum"));
    if (hyperv) {
        xmlUnlinkNode(hyperv);
        xmlFreeNode(hyperv);
    }
    for (xmlNode *t = clock ? clock->children : NULL, *next; t; t = next) {
        next = t->next;
        if (is(t, "timer") && says(t, "name", "hypervclock")) {
            xmlUnlinkNode(t);
            xmlFreeNode(t);
        }
    }
}

char *rh_virt_domain_text(const struct rh_virt_domain *d)
{
    xmlChar *text = NULL;
    int n = 0;
    char *copy;

    xmlDocDumpFormatMemory(d->doc, &text, &n, 1);
    copy = text ? rh_memdup0(text, (size_t)n) : NULL;
    xmlFree(text);
    return copy;
}

char *rh_virt_pool_kind(const char *xml)
{
    xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), "pool", NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR |
                                    XML_PARSE_NOWARNING);
    char *kind = attribute(doc ? xmlDocGetRootElement(doc) : NULL, "type");

    if (doc)
        xmlFreeDoc(doc);
    return kind;
}
#endif
