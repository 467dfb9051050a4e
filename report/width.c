/* width.c - columns of text, and breaking it into lines. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/width.h"

#include <string.h>

/* Decode one character; broken bytes count as one column each. */
static size_t next(const char *text, uint32_t *ret_code)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            *ret_code = '?';
            return i;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    *ret_code = code;
    return n;
}

/* Unicode's East Asian Width W and F, in whole blocks. */
static const struct {
    uint32_t first, last;
} wide[] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97f},
    {0xac00, 0xd7a3}, {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
    {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
};

static size_t columns_of(uint32_t code)
{
    if (code >= 0x300 && code <= 0x36f)
        return 0;
    for (size_t i = 0; i < RH_COUNT(wide); i++)
        if (code >= wide[i].first && code <= wide[i].last)
            return 2;
    return 1;
}

size_t rh_columns(const char *text)
{
    size_t sum = 0;
    uint32_t code;

    while (*text) {
        text += next(text, &code);
        sum += columns_of(code);
    }
    return sum;
}

char *rh_clip(const char *text, size_t columns)
{
    const char *p = text;
    size_t used = 0;
    uint32_t code;

    if (rh_columns(text) <= columns)
        return rh_strdup(text);
    while (*p) {
        size_t n = next(p, &code);

        if (used + columns_of(code) + 1 > columns)
            break;
        used += columns_of(code);
        p += n;
    }
    return rh_printf("%.*s\xe2\x80\xa6", (int)(p - text), text);
}

static void blanks(struct rh_buf *b, size_t n)
{
    while (n--)
        rh_buf_putc(b, ' ');
}

void rh_pad(struct rh_buf *b, const char *text, size_t columns)
{
    size_t used = rh_columns(text);

    rh_buf_puts(b, text);
    blanks(b, used < columns ? columns - used : 0);
}

enum { LONGEST = 48 };

/* The next piece that stays together: a word with the blanks before it (endless
 * ones are broken), or one wide letter.  Japanese closing marks never begin a
 * line. */
static size_t piece(const char *text, size_t *ret_columns)
{
    const char *p = text;
    size_t sum = 0;
    uint32_t code = 0;

    while (*p == ' ') {
        p++;
        sum++;
    }
    while (*p && *p != ' ' && sum < LONGEST) {
        size_t n = next(p, &code);

        if (p > text && p[-1] != ' ' && columns_of(code) == 2 &&
            code != 0x3001 && code != 0x3002 && code != 0xff09 &&
            code != 0x300d && code != 0x30fc)
            break;
        p += n;
        sum += columns_of(code);
        if (columns_of(code) == 2) {
            uint32_t after;

            if (!*p || (next(p, &after),
                        after != 0x3001 && after != 0x3002 && after != 0x300d))
                break;
        }
    }
    *ret_columns = sum;
    return (size_t)(p - text);
}

void rh_wrap(struct rh_buf *b, const char *text, size_t at, size_t indent,
             size_t width)
{
    bool fresh = true; /* nothing stands on this line yet */

    while (*text) {
        size_t columns;
        size_t n = piece(text, &columns);

        if (!fresh && at + columns > width) {
            rh_buf_putc(b, '\n');
            blanks(b, indent);
            at = indent;
            while (*text == ' ') {
                text++;
                n--;
                columns--;
            }
        }
        rh_buf_add(b, text, n);
        text += n;
        at += columns;
        fresh = false;
    }
    rh_buf_putc(b, '\n');
}
