/* reported.c - what VMware's tools last said of the running guest: its real
 * name, version and kernel, where the VM's own settings hold what somebody
 * once chose.
 *
 * architecture='X86' bitness='64' distroName='Debian GNU/Linux'
 * distroVersion='12' familyName='Linux' kernelVersion='6.1.0-13-amd64'
 * prettyName='Debian GNU/Linux 12 (bookworm)': keys and quoted values, where a
 * backslash keeps the next character (seen in VMX and OVF of ESXi 6.7 to 8). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "descriptors/reported.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

enum { VALUE_MOST = 200 }; /* bytes of one; longer ones are no name */

struct words {
    char pretty[VALUE_MOST + 1], distro[VALUE_MOST + 1];
    char version[VALUE_MOST + 1], kernel[VALUE_MOST + 1];
    char family[VALUE_MOST + 1];
};

static const struct {
    const char *key;
    size_t at;
} keys[] = {
    {"prettyName", offsetof(struct words, pretty)},
    {"distroName", offsetof(struct words, distro)},
    {"distroVersion", offsetof(struct words, version)},
    {"kernelVersion", offsetof(struct words, kernel)},
    {"familyName", offsetof(struct words, family)},
};

/* As the tools call them, and as profiles do. */
static const char *const families[][2] = {
    {"Linux", "linux"},     {"Windows", "windows"}, {"FreeBSD", "freebsd"},
    {"OpenBSD", "openbsd"}, {"NetBSD", "netbsd"},   {"Solaris", "solaris"},
    {"SunOS", "solaris"},
};

static char *wanted(struct words *w, const char *key, size_t n)
{
    for (size_t i = 0; i < RH_COUNT(keys); i++)
        if (strlen(keys[i].key) == n && !strncasecmp(keys[i].key, key, n))
            return (char *)w + keys[i].at;
    return NULL;
}

/* The value behind its opening quote; `to` may be NULL.  Returns what follows
 * the closing one, NULL where there is none. */
static const char *take_value(const char *p, char *to)
{
    char text[VALUE_MOST + 1];
    size_t n = 0;
    bool fits = true;

    for (; *p && *p != '\''; p++) {
        if (*p == '\\' && p[1])
            p++;
        fits = n < VALUE_MOST && fits;
        if (fits)
            text[n++] = *p;
    }
    if (!*p)
        return NULL;
    text[n] = '\0';
    if (to && fits && !to[0] && rh_valid_utf8(text, n))
        memcpy(to, text, n + 1);
    return p + 1;
}

static void read_words(const char *p, struct words *ret)
{
    while (p && *p) {
        size_t n;

        while (*p && !isalnum((unsigned char)*p))
            p++;
        n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "0123456789_.");
        if (strncmp(p + n, "='", 2)) {
            p += n;
            continue;
        }
        p = take_value(p + n + 2, wanted(ret, p, n));
    }
}

static void set(struct rh_vm *vm, struct rh_value *v, const char *text,
                enum rh_from from)
{
    if (text[0])
        rh_set_text(vm, v, text, from, RH_REPORTED);
}

bool rh_reported_os(struct rh_vm *vm, const char *key, const char *value,
                    enum rh_from from)
{
    struct words w = {0};

    if (strcasecmp(key, "guestInfo.detailed.data") &&
        strcasecmp(key, "guestOS.detailed.data"))
        return false;
    read_words(value, &w);
    set(vm, &vm->os_name, w.pretty[0] ? w.pretty : w.distro, from);
    set(vm, &vm->os_version, w.version, from);
    set(vm, &vm->os_kernel, w.kernel, from);
    for (size_t i = 0; i < RH_COUNT(families); i++)
        if (!strcasecmp(w.family, families[i][0]))
            set(vm, &vm->os_family, families[i][1], from);
    return true;
}
