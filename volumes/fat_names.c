/* fat_names.c - short names with Windows NT's case bits, long ones in parts of
 * 13 UTF-16 units. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/fat_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum { PER_ENTRY = 13, LOWER_BASE = 0x08, LOWER_EXT = 0x10 };

/* Where the 13 units of a long entry stand. */
static const uint8_t places[PER_ENTRY] = {1,  3,  5,  7,  9,  14, 16,
                                          18, 20, 22, 24, 28, 30};

void rh_fat_name_reset(struct rh_fat_name *n)
{
    n->parts = 0;
    n->broken = false;
}

void rh_fat_name_part(struct rh_fat_name *n, const uint8_t *entry)
{
    unsigned order = entry[0] & 0x3f;

    if (entry[0] & 0x40) {
        n->parts = 0;
        n->broken = false;
        n->expected = order;
        n->checksum = entry[13];
        memset(n->units, 0, sizeof n->units);
    }
    n->parts++;
    if (!order || order > 20 || order != n->expected ||
        entry[13] != n->checksum) {
        n->broken = true;
        return;
    }
    n->expected--;
    for (unsigned i = 0; i < PER_ENTRY; i++)
        n->units[(order - 1) * PER_ENTRY + i] = rh_le16(entry + places[i]);
}

static uint8_t checksum_of(const uint8_t name[11])
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 11; i++)
        sum = (uint8_t)((sum & 1 ? 0x80 : 0) + (sum >> 1) + name[i]);
    return sum;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* Surrogates are left as three bytes each: such names are never asked for. */
static void long_text(struct rh_fat_name *n)
{
    char *to = n->text;

    for (unsigned i = 0; n->units[i] && n->units[i] != 0xffff; i++)
        to = put_utf8(to, n->units[i]);
    *to = '\0';
}

static char *put_short(char *to, const uint8_t *from, unsigned n, bool lower)
{
    while (n && from[n - 1] == ' ')
        n--;
    for (unsigned i = 0; i < n; i++) {
        uint8_t c = from[i] == 0x05 && i == 0 ? 0xe5 : from[i];

        if (!c)
            c = '_'; /* a name is a string */
        if (c < 0x80)
            *to++ = (char)(lower ? tolower(c) : c);
        else
            to = put_utf8(to, c);
    }
    return to;
}

static void short_text(struct rh_fat_name *n, const uint8_t *e)
{
    char *to = put_short(n->text, e, 8, e[12] & LOWER_BASE), *dot = to++;

    *dot = '.';
    to = put_short(to, e + 8, 3, e[12] & LOWER_EXT);
    *to = '\0';
    if (to == dot + 1)
        *dot = '\0';
}

bool rh_fat_name_done(struct rh_fat_name *n, const uint8_t *entry)
{
    if (n->parts && !n->broken && !n->expected &&
        checksum_of(entry) == n->checksum) {
        long_text(n);
        return true;
    }
    short_text(n, entry);
    return false;
}

/* --- making
 * ------------------------------------------------------------------- */
static bool short_byte(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("_-~$%'@!(){}^#&", c));
}

/* One case throughout?  Sets *ret_lower. */
static bool one_case(const char *text, size_t n, bool *ret_lower)
{
    bool lower = false, upper = false;

    for (size_t i = 0; i < n; i++) {
        if (!short_byte(text[i]))
            return false;
        lower |= islower((unsigned char)text[i]) != 0;
        upper |= isupper((unsigned char)text[i]) != 0;
    }
    *ret_lower = lower;
    return !(lower && upper);
}

static bool make_plain(const char *name, uint8_t e[32])
{
    const char *dot = strchr(name, '.');
    size_t base = dot ? (size_t)(dot - name) : strlen(name);
    size_t ext = dot ? strlen(dot + 1) : 0;
    bool low_base, low_ext = false;

    if (!base || base > 8 || ext > 3 || (dot && !ext) ||
        !one_case(name, base, &low_base) ||
        (ext && !one_case(dot + 1, ext, &low_ext)))
        return false;
    for (size_t i = 0; i < base; i++)
        e[i] = (uint8_t)toupper((unsigned char)name[i]);
    for (size_t i = 0; i < ext; i++)
        e[8 + i] = (uint8_t)toupper((unsigned char)dot[1 + i]);
    e[12] = (uint8_t)((low_base ? LOWER_BASE : 0) | (low_ext ? LOWER_EXT : 0));
    return true;
}

/* BASE~1.EXT, from whatever of the name fits. */
static void make_alias(const char *name, unsigned tail, uint8_t e[32])
{
    const char *dot = strrchr(name, '.');
    char mark[12];
    size_t n = 0, room;

    snprintf(mark, sizeof mark, "~%u", tail);
    room = strlen(mark) < 8 ? 8 - strlen(mark) : 0;
    for (const char *p = name; *p && p != dot && n < room; p++)
        if (short_byte(*p))
            e[n++] = (uint8_t)toupper((unsigned char)*p);
    memcpy(e + n, mark, strlen(mark));
    n = 8;
    for (const char *p = dot ? dot + 1 : ""; *p && n < 11; p++)
        if (short_byte(*p))
            e[n++] = (uint8_t)toupper((unsigned char)*p);
}

uint32_t rh_fat_name_make(const char *name, unsigned tail,
                          uint8_t ret[RH_FAT_ENTRIES_MAX][32])
{
    size_t n = strlen(name);
    uint32_t parts = (uint32_t)((n + PER_ENTRY - 1) / PER_ENTRY);
    uint8_t *e;

    if (!n || n > 200)
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || (unsigned char)name[i] > 0x7e ||
            strchr("\"*/:<>?\\|", name[i]))
            return 0;
    memset(ret, 0, 32);
    memset(ret[0], ' ', 11);
    if (!tail && make_plain(name, ret[0]))
        return 1;
    memset(ret, 0, (size_t)(parts + 1) * 32);
    e = ret[parts];
    memset(e, ' ', 11);
    make_alias(name, tail ? tail : 1, e);
    for (uint32_t i = 0; i < parts; i++) {
        uint8_t *part = ret[parts - 1 - i];

        part[0] = (uint8_t)((i + 1) | (i + 1 == parts ? 0x40 : 0));
        part[11] = 0x0f;
        part[13] = checksum_of(e);
        for (size_t k = 0; k < PER_ENTRY; k++) {
            size_t at = i * PER_ENTRY + k;

            rh_put_le16(part + places[k], at < n    ? (uint8_t)name[at]
                                          : at == n ? 0
                                                    : 0xffff);
        }
    }
    return parts + 1;
}
