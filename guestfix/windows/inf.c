/* inf.c - the [Manufacturer] section of an .inf.
 *
 *   %VENDOR% = Models, NTx86.6.1, NTamd64.10.0...16299
 *
 * names the systems that a list of devices is for, each by a decoration:
 * NT[architecture][.[major][.[minor][.[product][.[suite][.[build]]]]]]. Without
 * one it is for 32-bit Windows.  Microsoft's "INF Manufacturer section". */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/inf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "guestfix/windows/hive.h"

enum { INF_MAX = 4 * 1024 * 1024 };

/* As UTF-8 or bytes; the caller frees. */
static char *text_of(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    if (n > INF_MAX)
        n = INF_MAX;
    if (n >= 2 && p[0] == 0xff && p[1] == 0xfe)
        return rh_utf16_text(p + 2, n - 2);
    return rh_strndup(bytes, strnlen(bytes, n));
}

/* The next field of a version: *p behind its dot; 0 where it is empty. */
static unsigned field(const char **p)
{
    char *end;
    unsigned long value;

    if (**p != '.')
        return 0;
    ++*p;
    if (**p < '0' || **p > '9')
        return 0;
    /* The suite is a mask, in hexadecimal or not; it is not asked for. */
    value = strtoul(*p, &end, 0);
    *p = end;
    return value > 1000000 ? 1000000 : (unsigned)value;
}

static bool decoration_fits(const char *d, const struct rh_inf_for *who)
{
    size_t n = strlen(who->architecture);
    unsigned major, minor, build;

    if (strncasecmp(d, "NT", 2))
        return false;
    d += 2;
    if (!strncasecmp(d, who->architecture, n) && (!d[n] || d[n] == '.'))
        d += n;
    else if ((*d && *d != '.') || strcasecmp(who->architecture, "x86"))
        return false;
    major = field(&d);
    minor = field(&d);
    field(&d); /* product */
    field(&d); /* suite */
    build = field(&d);
    if (who->major != major)
        return who->major > major;
    if (who->minor != minor)
        return who->minor > minor;
    return who->build >= build;
}

/* "x = models, decoration, ..."; *ret_any: it has a decoration. */
static bool line_fits(char *line, const struct rh_inf_for *who, bool *ret_any)
{
    char *save = NULL, *word;
    bool first = true, fits = false;

    line = strchr(line, '=');
    if (!line)
        return false;
    for (word = strtok_r(line + 1, ", \t\r", &save); word && !fits;
         word = strtok_r(NULL, ", \t\r", &save)) {
        if (!first) {
            *ret_any = true;
            fits = decoration_fits(word, who);
        }
        first = false;
    }
    return fits;
}

bool rh_inf_fits(const void *bytes, size_t n, const struct rh_inf_for *who)
{
    RH_AUTO(rh_freep) char *text = text_of(bytes, n);
    bool inside = false, any = false, fits = false;
    char *save = NULL, *line;

    for (line = strtok_r(text, "\n", &save); line && !fits;
         line = strtok_r(NULL, "\n", &save)) {
        line += strspn(line, " \t");
        line[strcspn(line, ";")] = '\0';
        if (*line == '[')
            inside = !strncasecmp(line, "[Manufacturer]", 14);
        else if (inside)
            fits = line_fits(line, who, &any);
    }
    return fits || !any;
}
