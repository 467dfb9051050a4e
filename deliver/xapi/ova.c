/* ova.c - ova.xml of an XVA: what the pool must have for it, and a change of
 * names before it is sent.
 *
 * The document is one XML-RPC value: {version, objects: [{class, id,
 * snapshot: {field: value}}]} (targets/xcp-ng/metadata.c writes it). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "deliver/xapi/xapi.h"
#include "targets/xcp-ng/xen.h"

RH_FREEP(doc_freep, xmlDoc, xmlFreeDoc)

void rh_ova_free(struct rh_ova *o)
{
    free(o->name);
    free(o->uuid);
    for (size_t i = 0; i < o->networks.count; i++) {
        free(o->networks.items[i].name);
        free(o->networks.items[i].bridge);
    }
    for (size_t i = 0; i < o->macs.count; i++)
        free(o->macs.items[i]);
    free(o->networks.items);
    for (size_t i = 0; i < o->disk_uuids.count; i++)
        free(o->disk_uuids.items[i]);
    free(o->disk_uuids.items);
    free(o->macs.items);
    free(o->disks.items);
    *o = (struct rh_ova){0};
}

/* --- walking
 * ---------------------------------------------------------------------- */

static bool is(const xmlNode *n, const char *name)
{
    return n && n->type == XML_ELEMENT_NODE &&
           !strcmp((const char *)n->name, name);
}

static xmlNode *child(const xmlNode *n, const char *name)
{
    xmlNode *c = n ? n->children : NULL;

    while (c && !is(c, name))
        c = c->next;
    return c;
}

/* The <value> of a <struct>'s member; `value` holds the struct. */
static xmlNode *member(const xmlNode *value, const char *name)
{
    xmlNode *all = child(value, "struct");

    for (xmlNode *m = all ? all->children : NULL; m; m = m->next) {
        xmlNode *label = is(m, "member") ? child(m, "name") : NULL;
        xmlChar *text = label ? xmlNodeGetContent(label) : NULL;
        bool same = text && !strcmp((const char *)text, name);

        xmlFree(text);
        if (same)
            return child(m, "value");
    }
    return NULL;
}

/* The caller frees; "" where there is none. */
static char *text_of(const xmlNode *value, const char *name)
{
    xmlNode *v = member(value, name);
    xmlChar *text = v ? xmlNodeGetContent(v) : NULL;
    char *copy = rh_strdup(text ? (const char *)text : "");

    xmlFree(text);
    return copy;
}

static xmlDoc *parse(const char *xml, size_t n, xmlNode **ret_first,
                     rh_error **err)
{
    RH_AUTO(doc_freep) xmlDoc *doc = NULL;
    xmlNode *objects = NULL;

    if (n <= RH_LIMIT_DESCRIPTOR)
        doc = xmlReadMemory(xml, (int)n, "ova.xml", NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR |
                                XML_PARSE_NOWARNING);
    if (doc && !doc->intSubset)
        objects = member(xmlDocGetRootElement(doc), "objects");
    objects = child(child(objects, "array"), "data");
    if (!objects) {
        rh_fail(err, RH_ERR_XVA_DAMAGED, "ova.xml names no objects");
        return NULL;
    }
    *ret_first = objects->children;
    return RH_TAKE(doc);
}

/* --- reading
 * ---------------------------------------------------------------------- */

static void take_object(struct rh_ova *o, const char *class,
                        const xmlNode *fields)
{
    if (!strcmp(class, "VM")) {
        free(o->name);
        free(o->uuid);
        o->name = text_of(fields, "name_label");
        o->uuid = text_of(fields, "uuid");
    } else if (!strcmp(class, "network")) {
        struct rh_ova_network *net = rh_vec_add(&o->networks);

        net->name = text_of(fields, "name_label");
        net->bridge = text_of(fields, "bridge");
    } else if (!strcmp(class, "VIF")) {
        char *mac = text_of(fields, "MAC");

        for (char *p = mac; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        *rh_vec_add(&o->macs) = mac;
    } else if (!strcmp(class, "VDI")) {
        RH_AUTO(rh_freep) char *text = text_of(fields, "virtual_size");
        uint64_t size = 0;

        rh_parse_u64(text, &size);
        *rh_vec_add(&o->disks) = size;
        *rh_vec_add(&o->disk_uuids) = text_of(fields, "uuid");
        o->virtual_bytes += RH_MIN(size, UINT64_MAX - o->virtual_bytes);
    }
}

int rh_ova_parse(const char *xml, size_t n, struct rh_ova *ret, rh_error **err)
{
    xmlNode *first;
    RH_AUTO(doc_freep) xmlDoc *doc = parse(xml, n, &first, err);
    struct rh_ova o = {0};

    if (!doc)
        return -1;
    for (; first; first = first->next) {
        RH_AUTO(rh_freep)
        char *class = is(first, "value") ? text_of(first, "class") : NULL;
        xmlNode *fields = class ? member(first, "snapshot") : NULL;

        if (fields)
            take_object(&o, class, fields);
        if (o.disks.count > RH_LIMIT_VM_DISKS ||
            o.macs.count > RH_LIMIT_VM_NICS) {
            rh_ova_free(&o);
            return rh_fail(err, RH_ERR_XVA_DAMAGED,
                           "ova.xml names too many objects");
        }
    }
    if (o.name && o.uuid) {
        *ret = o;
        return 0;
    }
    rh_ova_free(&o);
    return rh_fail(err, RH_ERR_XVA_DAMAGED, "ova.xml describes no VM");
}

/* --- changing
 * ---------------------------------------------------------------------- */

static void set_text(xmlNode *value, const char *name, const char *text)
{
    xmlNode *v = member(value, name);

    if (v) {
        xmlNodeSetContent(v, NULL);
        xmlNodeAddContent(v, (const xmlChar *)text);
    }
}

/* What --network-map says for this one; "*" is any. */
static char *mapped(const rh_options *o, const char *from)
{
    const char *map, *any = NULL;

    for (size_t i = 0; (map = rh_option_at(o, "network-map", i)); i++) {
        const char *equals = strrchr(map, '=');
        size_t n = equals ? (size_t)(equals - map) : 0;

        if (n && strlen(from) == n && !strncmp(map, from, n))
            return rh_strdup(equals + 1);
        if (n == 1 && map[0] == '*')
            any = equals + 1;
    }
    return rh_strdup(any);
}

static void add_note(xmlNode *fields, const char *note)
{
    RH_AUTO(rh_freep) char *about = text_of(fields, "name_description");
    RH_AUTO(rh_freep)
    char *noted = rh_printf("%s%s(%s)", about, about[0] ? " " : "", note);

    if (note)
        set_text(fields, "name_description", noted);
}

static void change_object(const xmlNode *object, const rh_options *o)
{
    RH_AUTO(rh_freep) char *class = text_of(object, "class");
    xmlNode *fields = member(object, "snapshot");

    if (!strcmp(class, "VM")) {
        if (rh_option(o, "name"))
            set_text(fields, "name_label", rh_option(o, "name"));
        add_note(fields, rh_option(o, "note"));
    } else if (!strcmp(class, "VDI")) {
        add_note(fields, rh_option(o, "note"));
    } else if (!strcmp(class, "network")) {
        RH_AUTO(rh_freep) char *from = text_of(fields, "name_label");
        RH_AUTO(rh_freep) char *to = mapped(o, from);

        if (!to)
            return;
        set_text(fields, "name_label", to);
        set_text(fields, "bridge", rh_xen_is_bridge(to) ? to : "");
    }
}

char *rh_ova_change(const char *xml, size_t n, const rh_options *o,
                    rh_error **err)
{
    xmlNode *first;
    RH_AUTO(doc_freep) xmlDoc *doc = NULL;
    xmlChar *text = NULL;
    char *copy;
    int length = 0;

    if (!rh_option(o, "network-map") && !rh_option(o, "name") &&
        !rh_option(o, "note"))
        return rh_memdup0(xml, n);
    doc = parse(xml, n, &first, err);
    if (!doc)
        return NULL;
    for (; first; first = first->next)
        if (is(first, "value"))
            change_object(first, o);
    xmlDocDumpMemory(doc, &text, &length);
    copy = rh_memdup0(text, (size_t)length);
    xmlFree(text);
    return copy;
}

void rh_ova_tar(const char *xml, struct rh_buf *ret)
{
    static const char zeros[512];
    uint8_t header[512];
    size_t n = strlen(xml);

    rh_xen_tar_header(header, "ova.xml", n);
    rh_buf_add(ret, header, sizeof header);
    rh_buf_add(ret, xml, n);
    rh_buf_add(ret, zeros, (size_t)(rh_round_up(n, 512) - n));
}
