/* guess.c - what plain bytes may be taken for by their name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "formats/format.h"

static bool ends_in(const char *name, size_t n, const char *ending)
{
    size_t m = strlen(ending);

    return n > m && !strncasecmp(name + n - m, ending, m);
}

bool rh_format_raw_name(const char *name)
{
    static const char *const endings[] = {".raw", ".img", ".dd"};
    static const char *const packed[] = {".gz", ".xz", ".zst", ".bz2"};
    size_t n = strlen(name);

    for (size_t i = 0; i < RH_COUNT(packed); i++)
        if (ends_in(name, n, packed[i])) {
            n -= strlen(packed[i]);
            break;
        }
    for (size_t i = 0; i < RH_COUNT(endings); i++)
        if (ends_in(name, n, endings[i]))
            return true;
    return false;
}
