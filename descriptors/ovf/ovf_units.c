/* ovf_units.c - how many bytes a unit is, in every spelling met.
 *
 * DMTF's programmatic units ("byte * 2^20"), with blanks anywhere, products of
 * plain numbers ("byte*1024*1024"), and the words of OVF 0.9 ("MegaBytes"). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "descriptors/ovf/ovf.h"

static const struct {
    const char *word;
    uint64_t factor;
} words[] = {
    {"byte", 1},
    {"bytes", 1},
    {"b", 1},
    {"kilobyte", 1ULL << 10},
    {"kilobytes", 1ULL << 10},
    {"kb", 1ULL << 10},
    {"kib", 1ULL << 10},
    {"megabyte", 1ULL << 20},
    {"megabytes", 1ULL << 20},
    {"mb", 1ULL << 20},
    {"mib", 1ULL << 20},
    {"gigabyte", 1ULL << 30},
    {"gigabytes", 1ULL << 30},
    {"gb", 1ULL << 30},
    {"gib", 1ULL << 30},
    {"terabyte", 1ULL << 40},
    {"terabytes", 1ULL << 40},
    {"tb", 1ULL << 40},
    {"tib", 1ULL << 40},
    {"bit", 0}, /* not whole bytes: refused */
    {"hertz", 1},
    {"kilohertz", 1000},
    {"megahertz", 1000000},
    {"gigahertz", 1000000000},
};

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static bool number_at(const char **p, uint64_t *ret)
{
    uint64_t n = 0;

    *p = skip_blanks(*p);
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++) {
        if (rh_mul_overflows(n, 10ULL, &n) ||
            rh_add_overflows(n, (uint64_t)(**p - '0'), &n))
            return false;
    }
    *ret = n;
    return true;
}

/* One factor: n, or b ^ e. */
static bool factor_at(const char **p, uint64_t *product)
{
    uint64_t base, exponent = 1;

    if (!number_at(p, &base))
        return false;
    *p = skip_blanks(*p);
    if (**p == '^') {
        (*p)++;
        if (!number_at(p, &exponent) || exponent > 64)
            return false;
    }
    while (exponent--) {
        if (rh_mul_overflows(*product, base, product))
            return false;
    }
    return *product > 0;
}

bool rh_ovf_units(const char *text, uint64_t *ret_factor)
{
    const char *p = skip_blanks(text);
    size_t n =
        strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    uint64_t product = 0;

    for (size_t i = 0; i < RH_COUNT(words); i++) {
        if (strlen(words[i].word) == n && !strncasecmp(words[i].word, p, n))
            product = words[i].factor;
    }
    if (!product)
        return false;
    for (p = skip_blanks(p + n); *p; p = skip_blanks(p)) {
        if (*p != '*')
            return false;
        p++;
        if (!factor_at(&p, &product))
            return false;
    }
    *ret_factor = product;
    return true;
}
