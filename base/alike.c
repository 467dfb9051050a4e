/* alike.c - comparing names by their letters, however these are written. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/alike.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

static const struct pair {
    uint16_t letter, base, mark;
} pairs[] = {
#define PAIR(letter, base, mark) {letter, base, mark},
#include "base/compose.def"
#undef PAIR
};

/* What is still to be given of a name: a letter's parts come one by one. */
struct letters {
    const unsigned char *at;
    uint32_t waiting[4]; /* a stack */
    unsigned count;
};

static int by_letter(const void *key, const void *row)
{
    uint32_t letter = *(const uint32_t *)key;
    const struct pair *p = row;

    return letter < p->letter ? -1 : letter > p->letter;
}

/* One character; what is no UTF-8 is given byte by byte, marked. */
static uint32_t decode(const unsigned char **p)
{
    enum { NO_UTF8 = 0x110000 };
    const unsigned char *s = *p;
    unsigned more = s[0] < 0x80    ? 0
                    : s[0] < 0xc2  ? 9
                    : s[0] < 0xe0  ? 1
                    : s[0] < 0xf0  ? 2
                    : s[0] <= 0xf4 ? 3
                                   : 9;
    uint32_t c = s[0] & (more ? 0x3fu >> more : 0x7fu);

    for (unsigned i = 1; more < 9 && i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80)
            more = 9;
        else
            c = c << 6 | (s[i] & 0x3f);
    }
    *p += more < 9 ? more + 1 : 1;
    return more < 9 ? c : (uint32_t)NO_UTF8 + s[0];
}

/* Capitals lie at a fixed distance from small letters where this is asked:
 * accents were split off before. */
static uint32_t small(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0x391 && c <= 0x3a9) ||
        (c >= 0x410 && c <= 0x42f) || (c >= 0xc0 && c <= 0xde && c != 0xd7))
        return c + 0x20;
    return c >= 0x400 && c <= 0x40f ? c + 0x50 : c;
}

/* A syllable of Hangul is its two or three letters (Unicode 3.12). */
static bool split_hangul(struct letters *l, uint32_t c)
{
    enum { FIRST = 0xac00, LAST = 0xd7a3, TAILS = 28, VOWELS = 21 };
    uint32_t s = c - FIRST;

    if (c < FIRST || c > LAST)
        return false;
    if (s % TAILS)
        l->waiting[l->count++] = 0x11a7 + s % TAILS;
    l->waiting[l->count++] = 0x1161 + s / TAILS % VOWELS;
    l->waiting[l->count++] = 0x1100 + s / TAILS / VOWELS;
    return true;
}

/* 0 at the end. */
static uint32_t next(struct letters *l)
{
    uint32_t c = l->count ? l->waiting[--l->count] : 0;
    const struct pair *p;

    if (!c && *l->at && split_hangul(l, c = decode(&l->at)))
        c = l->waiting[--l->count];
    while (c && (p = bsearch(&c, pairs, RH_COUNT(pairs), sizeof *pairs,
                             by_letter))) {
        if (p->mark && l->count < RH_COUNT(l->waiting))
            l->waiting[l->count++] = p->mark;
        c = p->base;
    }
    return small(c);
}

bool rh_names_alike(const char *a, const char *b)
{
    struct letters x = {.at = (const unsigned char *)a};
    struct letters y = {.at = (const unsigned char *)b};
    uint32_t c;

    do {
        c = next(&x);
        if (c != next(&y))
            return false;
    } while (c);
    return true;
}

/* Four bytes for each letter, none of them zero. */
char *rh_name_folded(const char *name)
{
    struct letters x = {.at = (const unsigned char *)name};
    struct rh_buf b = {0};
    uint32_t c;

    while ((c = next(&x)) != 0) {
        char bytes[4] = {
            (char)(0x80 | (c >> 18 & 0x7f)), (char)(0x80 | (c >> 12 & 0x3f)),
            (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x40 | (c & 0x3f))};

        rh_buf_add(&b, bytes, sizeof bytes);
    }
    return rh_buf_take(&b);
}
