/* fold.c - names that are one name to people: macOS writes marks apart from
 * their letters, Windows Explorer writes Japanese in its own code page, and
 * file systems differ on letter case. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fold.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* Bytes of a code page as UTF-8, or NULL when they are none of it. */
static char *decoded(const char *text, const char *page)
{
    iconv_t cd = iconv_open("UTF-8", page);
    size_t left = strlen(text), room = 4 * left + 1;
    char *from = (char *)(uintptr_t)text, *made, *to;
    size_t got;

    if (cd == (iconv_t)-1)
        return NULL;
    to = made = rh_malloc(room);
    got = iconv(cd, &from, &left, &to, &room);
    iconv_close(cd);
    if (got == (size_t)-1 || !room) {
        free(made);
        return NULL;
    }
    *to = '\0';
    return made;
}

char *rh_utf8_name(const char *name)
{
    char *text;

    if (rh_valid_utf8(name, strlen(name)))
        return rh_strdup(name);
    text = decoded(name, "CP932");
    text = text ? text : decoded(name, "WINDOWS-1252");
    return text ? text : rh_strdup(name);
}
