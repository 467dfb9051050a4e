/* registry.c - the kinds of descriptors, in the order they are asked. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>

#include "base/limits.h"
#include "package/descriptor.h"

/* The name of an XML document's root without its prefix; "" when the text is no
 * XML, "?" when a long comment hides it.  UTF-16's and UTF-32's zeros are left
 * out, of which no more than three stand together: a disk without a boot loader
 * begins with 440, and the signature that follows may be any character. */
static void root_of(const char *text, size_t n, char ret[32])
{
    enum { LOOK = 4096 };
    char plain[LOOK + 1];
    size_t m = 0, zeros = 0, length;
    const char *p = plain, *colon;

    ret[0] = '\0';
    for (size_t i = 0; i < n && m < LOOK; i++) {
        zeros = text[i] ? 0 : zeros + 1;
        if (zeros > 3 && !m)
            return;
        if (text[i] && !strchr("\xef\xbb\xbf\xff\xfe", text[i]))
            plain[m++] = text[i];
    }
    plain[m] = '\0';
    p += strspn(p, " \t\r\n");
    if (*p != '<')
        return;
    while (p && (p[1] == '?' || p[1] == '!')) {
        const char *end = !strncmp(p, "<!--", 4) ? strstr(p, "-->") : p;

        p = end ? strchr(end, '>') : NULL;
        p = p ? strchr(p, '<') : NULL;
    }
    ret[0] = '?';
    ret[1] = '\0';
    if (!p)
        return;
    length = strcspn(++p, " \t\r\n/>");
    colon = memchr(p, ':', length);
    if (colon) {
        length -= (size_t)(colon + 1 - p);
        p = colon + 1;
    }
    if (length && length < 32) {
        memcpy(ret, p, length);
        ret[length] = '\0';
    }
}

static bool has_root(const char *text, size_t n, const char *name)
{
    char root[32];

    root_of(text, n, root);
    return !strcmp(root, name);
}

static bool is_libvirt(const char *text, size_t n)
{
    return has_root(text, n, "domain");
}

static bool is_vbox(const char *text, size_t n)
{
    return has_root(text, n, "VirtualBox");
}

/* Any other XML: its parser says what is wrong with it. */
static bool is_ovf(const char *text, size_t n)
{
    char root[32];

    root_of(text, n, root);
    return root[0] && strcasecmp(root, "html");
}

static bool is_vmx(const char *text, size_t n)
{
    static const char *const words[] = {"config.version", "virtualHW.version",
                                        ".encoding", "displayName", "guestOS"};

    if (memchr(text, 0, n))
        return false;
    for (size_t i = 0; i < RH_COUNT(words); i++) {
        const char *found = strcasestr(text, words[i]);

        if (found && strchr(found, '='))
            return true;
    }
    return false;
}

/* The first row of RVTools' tabs: VM, Powerstate ... in any encoding, quoted or
 * not. */
static bool is_rvtools(const char *text, size_t n)
{
    static const char wanted[] = "vm,powerstate,";
    size_t m = 0;

    for (size_t i = 0; i < n && i < 128 && m < sizeof wanted - 1; i++) {
        char c = strchr(";\t", text[i]) && text[i] ? ',' : text[i];

        if (!c || strchr("\xef\xbb\xbf\xff\xfe\" ", c))
            continue;
        if (tolower((unsigned char)c) != wanted[m++])
            return false;
    }
    return m == sizeof wanted - 1;
}

static const struct rh_descriptor kinds[] = {
    {"ovf", ".ovf", "OVF", true, false, is_ovf, rh_ovf_parse, 0},
    {"vmx", ".vmx", "VMX", false, true, is_vmx, rh_vmx_parse, 0},
    {"vbox", ".vbox", "VirtualBox", false, true, is_vbox, rh_vbox_parse, 0},
    {"libvirt", ".xml", "libvirt", false, true, is_libvirt, rh_libvirt_parse,
     0},
    {"rvtools", "tabvInfo.csv", "RVTools", false, false, is_rvtools,
     rh_rvtools_parse, RH_LIMIT_INVENTORY},
};

const struct rh_descriptor *rh_descriptor_at(size_t i)
{
    return i < RH_COUNT(kinds) ? &kinds[i] : NULL;
}

const struct rh_descriptor *rh_descriptor_named(const char *name)
{
    for (size_t i = 0; i < RH_COUNT(kinds); i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}

const struct rh_descriptor *rh_descriptor_of(const char *text, size_t n)
{
    /* An OVF is whatever the others leave. */
    for (size_t i = RH_COUNT(kinds); i-- > 0;)
        if (kinds[i].probe(text, n))
            return &kinds[i];
    return NULL;
}
