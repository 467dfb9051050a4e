/* ovf_xml.c - a descriptor as a tree, without what makes XML dangerous.
 *
 * No DTD, no entities of its own, no network; the number of tags and of
 * attributes is bounded before the tree is built, its depth by libxml2 (256).
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

/* A hardware item has about 10 elements, each with an opening and an ending
 * tag; attributes are fewer. */
enum { TAGS_PER_ITEM = 20, LONG_TEXT = 65536 };

static int check_bytes(const char *text, size_t n, rh_error **err)
{
    size_t tags = 0, equals = 0;

    for (size_t i = 0; i < n; i++) {
        tags += text[i] == '<';
        equals += text[i] == '=';
    }
    if (tags > TAGS_PER_ITEM * RH_LIMIT_ITEMS ||
        equals > TAGS_PER_ITEM * RH_LIMIT_ITEMS)
        return rh_fail(err, RH_ERR_OVF_LIMIT,
                       "%zu tags and %zu attributes; at most %d of each are "
                       "read",
                       tags, equals, TAGS_PER_ITEM * RH_LIMIT_ITEMS);
    if (memmem(text, n, "<!DOCTYPE", 9) || memmem(text, n, "<!ENTITY", 8))
        return rh_fail(err, RH_ERR_OVF_DOCTYPE,
                       "the descriptor has a DOCTYPE; an OVF never needs one");
    return 0;
}

void rh_ovf_xml_freep(xmlDoc **doc)
{
    if (*doc)
        xmlFreeDoc(*doc);
}

static void parser_freep(xmlParserCtxt **ctxt)
{
    if (*ctxt)
        xmlFreeParserCtxt(*ctxt);
}

static int xml_failed(xmlParserCtxt *ctxt, rh_error **err)
{
    xmlErrorPtr e = xmlCtxtGetLastError(ctxt);
    RH_AUTO(rh_freep)
    char *line = rh_strdup(e && e->message ? e->message : "not XML");
    RH_AUTO(rh_freep) char *safe = NULL;
    size_t n = strlen(line);

    while (n && strchr("\r\n ", line[n - 1]))
        line[--n] = '\0';
    for (char *p = line; *p; p++)
        *p = *p == '\n' || *p == '\r' ? ' ' : *p;
    safe = rh_printable(line);
    return rh_fail(err, RH_ERR_OVF_XML, "line %d: %s", e ? e->line : 1, safe);
}

/* .NET writes encoding="utf-16" in front of UTF-8: bytes that are one each are
 * none of UTF-16.  NULL: as the document says. */
static const char *encoding_of(const char *text, size_t n)
{
    char head[128];

    snprintf(head, sizeof head, "%.*s", (int)RH_MIN(n, sizeof head - 1), text);
    return !strncmp(head, "<?xml", 5) && strcasestr(head, "utf-16") ? "UTF-8"
                                                                    : NULL;
}

xmlDoc *rh_ovf_xml(const char *text, size_t n, rh_error **err)
{
    RH_AUTO(parser_freep) xmlParserCtxt *ctxt = NULL;
    RH_AUTO(rh_ovf_xml_freep) xmlDoc *doc = NULL;
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR |
                        XML_PARSE_NOWARNING | XML_PARSE_NOCDATA |
                        XML_PARSE_COMPACT;

    if (n > RH_LIMIT_DESCRIPTOR || n > INT32_MAX) {
        rh_fail(err, RH_ERR_OVF_LIMIT,
                "the descriptor has %zu bytes; at most %llu are read", n,
                RH_LIMIT_DESCRIPTOR);
        return NULL;
    }
    if (check_bytes(text, n, err))
        return NULL;
    ctxt = xmlNewParserCtxt();
    if (ctxt)
        doc = xmlCtxtReadMemory(ctxt, text, (int)n, NULL, encoding_of(text, n),
                                options);
    if (!doc || !xmlDocGetRootElement(doc)) {
        xml_failed(ctxt, err);
        return NULL;
    }
    /* In an encoding that hid it from the look at the bytes. */
    if (doc->intSubset || doc->extSubset) {
        rh_fail(err, RH_ERR_OVF_DOCTYPE,
                "the descriptor has a DOCTYPE; an OVF never needs one");
        return NULL;
    }
    return RH_TAKE(doc);
}

bool rh_xml_is(const xmlNode *node, const char *local)
{
    return node->type == XML_ELEMENT_NODE &&
           !strcmp((const char *)node->name, local);
}

const char *rh_xml_ns(const xmlNode *node)
{
    return node->ns && node->ns->href ? (const char *)node->ns->href : "";
}

xmlNode *rh_xml_child(const xmlNode *node, const char *local)
{
    RH_EACH_CHILD(child, node)
    {
        if (rh_xml_is(child, local))
            return child;
    }
    return NULL;
}

static int rank(const struct rh_ovf *o, const xmlAttr *a)
{
    if (!a->ns || !a->ns->href)
        return 2;
    return strcmp((const char *)a->ns->href, o->ns) ? 1 : 3;
}

const char *rh_ovf_attr(struct rh_ovf *o, const xmlNode *node,
                        const char *local)
{
    const xmlAttr *best = NULL;
    const char *kept;
    xmlChar *value;

    for (const xmlAttr *a = node->properties; a; a = a->next) {
        if (!strcmp((const char *)a->name, local) &&
            (!best || rank(o, a) > rank(o, best)))
            best = a;
    }
    if (!best)
        return NULL;
    value = xmlNodeGetContent((const xmlNode *)best);
    kept = rh_arena_strndup(o->arena, value ? (const char *)value : "",
                            RH_LIMIT_NAME);
    xmlFree(value);
    return kept;
}

/* Cut at `limit` bytes, but not within a character. */
static const char *text_of(struct rh_ovf *o, const xmlNode *node, size_t limit)
{
    static const char blanks[] = " \t\r\n";
    xmlChar *content = xmlNodeGetContent(node);
    const char *p = content ? (const char *)content : "";
    const char *kept;
    size_t n;

    p += strspn(p, blanks);
    n = strnlen(p, limit);
    while (n && p[n] && ((unsigned char)p[n] & 0xc0) == 0x80)
        n--;
    while (n && strchr(blanks, p[n - 1]))
        n--;
    kept = rh_arena_strndup(o->arena, p, n);
    xmlFree(content);
    return kept;
}

const char *rh_ovf_text(struct rh_ovf *o, const xmlNode *node)
{
    return text_of(o, node, RH_LIMIT_NAME);
}

const char *rh_ovf_long_text(struct rh_ovf *o, const xmlNode *node)
{
    return text_of(o, node, LONG_TEXT);
}

const char *rh_ovf_child_text(struct rh_ovf *o, const xmlNode *node,
                              const char *local)
{
    const xmlNode *child = rh_xml_child(node, local);

    return child ? rh_ovf_text(o, child) : NULL;
}

const char *rh_ovf_word(struct rh_ovf *o, const char *list, size_t i)
{
    static const char between[] = " \t\r\n,";

    for (;;) {
        size_t n;

        list += strspn(list, between);
        n = strcspn(list, between);
        if (!n)
            return NULL;
        if (!i--)
            return rh_arena_strndup(o->arena, list, n);
        list += n;
    }
}

/* OVF 0.9 says <Section xsi:type="ovf:DiskSection_Type">. */
const char *rh_ovf_section(struct rh_ovf *o, const xmlNode *node)
{
    const char *type, *colon;
    size_t n;

    if (o->version != RH_OVF_0_9 ||
        (!rh_xml_is(node, "Section") && !rh_xml_is(node, "Content")))
        return (const char *)node->name;
    type = rh_ovf_attr(o, node, "type");
    if (!type)
        return (const char *)node->name;
    colon = strchr(type, ':');
    type = colon ? colon + 1 : type;
    n = strlen(type);
    if (n > 5 && !strcmp(type + n - 5, "_Type"))
        n -= 5;
    return rh_arena_strndup(o->arena, type, n);
}

bool rh_ovf_required(struct rh_ovf *o, const xmlNode *node)
{
    const char *text = rh_ovf_attr(o, node, "required");
    bool required = true;

    if (text)
        rh_parse_bool(text, &required);
    return required;
}

bool rh_ovf_applies(struct rh_ovf *o, const xmlNode *node)
{
    const char *list = rh_ovf_attr(o, node, "configuration");
    const char *word;

    if (!list || !list[0])
        return true;
    for (size_t i = 0; (word = rh_ovf_word(o, list, i)); i++) {
        if (o->configuration && !strcmp(word, o->configuration))
            return true;
    }
    return false;
}
