/* csv.c - rows of a CSV text, as RFC 4180 has them and as Excel writes them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "descriptors/rvtools/tables.h"

/* --- characters ----------------------------------------------------------- */

static void put_point(struct rh_buf *b, uint32_t c)
{
    char utf8[4];
    size_t n = 0;

    if (c == 0)
        return; /* no cell holds it, and it would end one */
    if (c < 0x80) {
        utf8[n++] = (char)c;
    } else if (c < 0x800) {
        utf8[n++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        utf8[n++] = (char)(0xe0 | c >> 12);
        utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        utf8[n++] = (char)(0xf0 | c >> 18);
        utf8[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        utf8[n++] = (char)(0x80 | (c & 0x3f));
    rh_buf_add(b, utf8, n);
}

/* A half of a pair that stands alone becomes U+FFFD. */
static void from_utf16(struct rh_buf *b, const unsigned char *p, size_t n,
                       bool big)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        uint32_t c = (uint32_t)p[i + !big] << 8 | p[i + big], low = 0;

        if (c >= 0xd800 && c < 0xdc00 && i + 3 < n)
            low = (uint32_t)p[i + 2 + !big] << 8 | p[i + 2 + big];
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            i += 2;
        } else if (c >= 0xd800 && c < 0xe000) {
            c = 0xfffd;
        }
        put_point(b, c);
    }
}

/* As UTF-8; true when the encoding was guessed. */
static bool decode(const char *text, size_t n, struct rh_buf *ret)
{
    const unsigned char *p = (const unsigned char *)text;
    bool utf8;

    if (n >= 2 &&
        ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff))) {
        from_utf16(ret, p + 2, n - 2, p[0] == 0xfe);
        return false;
    }
    if (n >= 2 && p[0] && !p[1]) {
        from_utf16(ret, p, n, false);
        return false;
    }
    if (n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3)) {
        p += 3;
        n -= 3;
    }
    utf8 = !memchr(p, 0, n) && rh_valid_utf8((const char *)p, n);
    if (utf8)
        rh_buf_add(ret, p, n);
    for (size_t i = 0; !utf8 && i < n; i++)
        put_point(ret, p[i]);
    return !utf8;
}

/* --- rows ------------------------------------------------------------------
 */

struct csv {
    char *at, *end; /* the text is changed in place: quotes go */
    char separator;
    const char *cells[RH_TABLE_COLUMNS];
};

static char separator_of(const char *p, const char *end)
{
    static const char marks[] = {',', ';', '\t'};
    size_t counts[RH_COUNT(marks)] = {0}, best = 0;
    bool quoted = false;

    for (; p < end && (quoted || (*p != '\n' && *p != '\r')); p++) {
        quoted ^= *p == '"';
        for (size_t i = 0; !quoted && i < RH_COUNT(marks); i++)
            counts[i] += *p == marks[i];
    }
    for (size_t i = 1; i < RH_COUNT(marks); i++)
        best = counts[i] > counts[best] ? i : best;
    return marks[best];
}

/* One cell, ended by a NUL in the text itself; what ended it in *ret_mark: the
 * separator, '\n', or 0 at the end. */
static const char *next_cell(struct csv *c, char *ret_mark)
{
    char *start = c->at, *to = c->at;
    bool quoted = false;

    for (; c->at < c->end; c->at++) {
        char k = *c->at;

        if (quoted && k == '"' && c->at + 1 < c->end && c->at[1] == '"') {
            *to++ = '"';
            c->at++;
        } else if (k == '"' && (quoted || to == start)) {
            quoted = !quoted;
        } else if (!quoted && (k == c->separator || k == '\n' || k == '\r')) {
            break;
        } else {
            *to++ = k;
        }
    }
    *ret_mark = c->at < c->end ? *c->at : '\0';
    if (*ret_mark == '\r') {
        *ret_mark = '\n';
        c->at += c->at + 1 < c->end && c->at[1] == '\n';
    }
    c->at += c->at < c->end;
    *to = '\0'; /* over the mark, or the NUL that follows the text */
    return start;
}

static int next_row(struct csv *c, size_t *ret_count, rh_error **err)
{
    size_t count = 0;
    char mark;

    do {
        const char *cell = next_cell(c, &mark);

        if (strlen(cell) > RH_TABLE_CELL)
            return rh_fail(err, RH_ERR_RVTOOLS_LIMIT,
                           "a cell has more than %d bytes", RH_TABLE_CELL);
        if (count < RH_TABLE_COLUMNS)
            c->cells[count++] = cell;
    } while (mark && mark != '\n');
    *ret_count = count;
    return 0;
}

int rh_csv_rows(rh_lib *lib, const char *text, size_t n, rh_table_row *row,
                void *user, bool *ret_guessed, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf plain = {0};
    RH_AUTO(rh_freep) struct csv *c = rh_new0(struct csv);
    size_t count = 0;

    *ret_guessed = decode(text, n, &plain);
    c->at = plain.data;
    c->end = plain.data + plain.length;
    c->separator = plain.length ? separator_of(c->at, c->end) : ',';
    for (size_t i = 0; c->at < c->end; i++) {
        if (i == RH_TABLE_ROWS)
            return rh_fail(err, RH_ERR_RVTOOLS_LIMIT, "more than %d rows",
                           RH_TABLE_ROWS);
        if (rh_go_on(lib, err) < 0 || next_row(c, &count, err) < 0 ||
            row(user, c->cells, count, err) < 0)
            return -1;
    }
    return 0;
}
