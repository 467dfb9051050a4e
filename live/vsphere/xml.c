/* xml.c - reading SOAP answers: elements by name, types by namespace. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "live/vsphere/vsphere.h"

#define XSI "http://www.w3.org/2001/XMLSchema-instance"

void rh_vs_doc_freep(xmlDoc **doc)
{
    if (*doc)
        xmlFreeDoc(*doc);
}

xmlDoc *rh_vs_xml(const char *text, size_t n, rh_error **err)
{
    xmlDoc *doc = NULL;

    if (n && n < INT32_MAX && !memmem(text, n, "<!DOCTYPE", 9))
        doc = xmlReadMemory(text, (int)n, "answer", NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR |
                                XML_PARSE_NOWARNING | XML_PARSE_COMPACT |
                                XML_PARSE_NOCDATA);
    /* In UTF-16, say, the words above are not seen. */
    if (!doc || !xmlDocGetRootElement(doc) || doc->intSubset) {
        rh_vs_doc_freep(&doc);
        rh_fail(err, RH_ERR_LIVE_ANSWER,
                "the server's answer is no XML: is it vSphere?");
        return NULL;
    }
    return doc;
}

bool rh_vs_is(const xmlNode *node, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE &&
           !strcmp((const char *)node->name, name);
}

xmlNode *rh_vs_child(const xmlNode *node, const char *name)
{
    xmlNode *child = node ? node->children : NULL;

    while (child && !rh_vs_is(child, name))
        child = child->next;
    return child;
}

xmlNode *rh_vs_next(const xmlNode *node)
{
    xmlNode *next = node->next;

    while (next && !rh_vs_is(next, (const char *)node->name))
        next = next->next;
    return next;
}

xmlNode *rh_vs_at(const xmlNode *node, const char *path)
{
    xmlNode *at = (xmlNode *)(uintptr_t)node;

    while (at && *path) {
        size_t n = strcspn(path, "/");
        RH_AUTO(rh_freep) char *name = rh_strndup(path, n);

        at = rh_vs_child(at, name);
        path += n + (path[n] == '/');
    }
    return at;
}

const char *rh_vs_text(const xmlNode *node)
{
    const xmlNode *child = node ? node->children : NULL;

    while (child && child->type != XML_TEXT_NODE)
        child = child->next;
    return child && child->content ? (const char *)child->content : "";
}

const char *rh_vs_text_at(const xmlNode *node, const char *path)
{
    return rh_vs_text(rh_vs_at(node, path));
}

bool rh_vs_number_at(const xmlNode *node, const char *path, uint64_t *ret)
{
    uint64_t n;

    if (!rh_parse_u64(rh_vs_text_at(node, path), &n) || n > INT64_MAX)
        return false;
    *ret = n;
    return true;
}

bool rh_vs_true_at(const xmlNode *node, const char *path)
{
    const char *text = rh_vs_text_at(node, path);

    return !strcmp(text, "true") || !strcmp(text, "1");
}

char *rh_vs_type(const xmlNode *node)
{
    xmlChar *value =
        node ? xmlGetNsProp((xmlNode *)(uintptr_t)node, (const xmlChar *)"type",
                            (const xmlChar *)XSI)
             : NULL;
    const char *text = value ? (const char *)value : "";
    const char *colon = strchr(text, ':');
    char *type = rh_strdup(colon ? colon + 1 : text);

    xmlFree(value);
    return type;
}

bool rh_vs_is_type(const xmlNode *node, const char *type)
{
    RH_AUTO(rh_freep) char *is = rh_vs_type(node);

    return !strcmp(is, type);
}

void rh_vs_escape(struct rh_buf *b, const char *text)
{
    rh_buf_puts(b, "");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '<')
            rh_buf_puts(b, "&lt;");
        else if (c == '&')
            rh_buf_puts(b, "&amp;");
        else if (c == '>')
            rh_buf_puts(b, "&gt;");
        else if (c >= 0x20 || c == '\t' || c == '\n')
            rh_buf_putc(b, (char)c);
    }
}

/* --- references -------------------------------------------------------------
 */

void rh_vs_ref_free(struct rh_vs_ref *r)
{
    free(r->type);
    free(r->id);
    *r = (struct rh_vs_ref){0};
}

bool rh_vs_ref_of(const xmlNode *node, struct rh_vs_ref *ret)
{
    xmlChar *type = node ? xmlGetNoNsProp((xmlNode *)(uintptr_t)node,
                                          (const xmlChar *)"type")
                         : NULL;
    bool good = type && rh_vs_text(node)[0];

    rh_vs_ref_free(ret);
    if (good) {
        ret->type = rh_strdup((const char *)type);
        ret->id = rh_strdup(rh_vs_text(node));
    }
    xmlFree(type);
    return good;
}
