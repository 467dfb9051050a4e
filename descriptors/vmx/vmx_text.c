/* vmx_text.c - the text of a VMX: key = "value" lines in any encoding. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/fold.h"
#include "descriptors/vmx/vmx.h"

/* --- encoding
 * ----------------------------------------------------------------------- */
/* The whole text in UTF-8; bytes that do not convert become '?'. NULL when
 * there is no such encoding. */
static char *converted(const char *text, size_t n, const char *from,
                       size_t *ret_n)
{
    /* By its strict table the backslash of a path would be a yen sign; Windows
     * writes its own. */
    bool japanese = rh_same_word(from, "Shift_JIS") ||
                    rh_same_word(from, "SJIS") ||
                    rh_same_word(from, "windows-31j");
    iconv_t c = iconv_open("UTF-8", japanese ? "CP932" : from);
    size_t room = n * 4 + 16, left = room;
    char *out, *to, *in = (char *)(uintptr_t)text;

    if (c == (iconv_t)-1)
        return NULL;
    to = out = rh_malloc(room + 1);
    while (n && iconv(c, &in, &n, &to, &left) == (size_t)-1 && left > 4) {
        if (errno == E2BIG || !n)
            break;
        *to++ = '?';
        left--;
        in++;
        n--;
    }
    iconv_close(c);
    *to = '\0';
    *ret_n = (size_t)(to - out);
    return out;
}

/* --- lines
 * -------------------------------------------------------------------------- */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* |22 is a quote, |0A a new line, |7C a bar. */
static char *unescaped(struct rh_arena *a, const char *text, size_t n)
{
    char *out = rh_arena_zalloc(a, n + 1);
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '|' && i + 2 < n && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            int c = hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]);

            i += 2;
            if (c)
                out[at++] = (char)c;
        } else if (text[i]) {
            out[at++] = text[i];
        }
    }
    return out;
}

static char *lower(struct rh_arena *a, const char *text, size_t n)
{
    char *copy = rh_arena_strndup(a, text, n);

    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

static void trim(const char **p, size_t *n)
{
    while (*n && isspace((unsigned char)**p)) {
        (*p)++;
        (*n)--;
    }
    while (*n && isspace((unsigned char)(*p)[*n - 1]))
        (*n)--;
}

/* True when it is an entry, blank, or a comment. */
static bool read_line(struct rh_vmx *v, const char *line, size_t n)
{
    const char *equal, *value;
    struct rh_vmx_entry *e;
    size_t key_n, value_n;

    trim(&line, &n);
    if (!n || line[0] == '#')
        return true;
    equal = memchr(line, '=', n);
    if (!equal)
        return false;
    key_n = (size_t)(equal - line);
    value = equal + 1;
    value_n = n - key_n - 1;
    trim(&line, &key_n);
    trim(&value, &value_n);
    if (value_n >= 2 && value[0] == '"' && value[value_n - 1] == '"') {
        value++;
        value_n -= 2;
    }
    if (!key_n)
        return false;
    e = rh_vec_add(&v->entries);
    e->key = lower(v->arena, line, key_n);
    e->value = unescaped(v->arena, value, value_n);
    e->order = v->entries.count;
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct rh_vmx_entry *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order ? order : (x->order < y->order ? -1 : 1);
}

static int read_lines(struct rh_vmx *v, const char *text, size_t n,
                      rh_error **err)
{
    for (size_t line = 1; n; line++) {
        const char *end = memchr(text, '\n', n);
        size_t length = end ? (size_t)(end - text) : n;

        if (v->entries.count >= RH_LIMIT_ITEMS)
            return rh_fail(err, RH_ERR_VMX_LIMIT, "more than %d lines",
                           RH_LIMIT_ITEMS);
        if (!read_line(v, text, length)) {
            v->bad_lines++;
            v->first_bad = v->first_bad ? v->first_bad : line;
        }
        text += length + (end != NULL);
        n -= length + (end != NULL);
    }
    return 0;
}

/* The first of equal keys counts; they stand beside each other. */
static void drop_repeated(struct rh_vmx *v)
{
    size_t kept = 0;

    for (size_t i = 0; i < v->entries.count; i++) {
        const struct rh_vmx_entry *e = &v->entries.items[i];
        bool again = kept && !strcmp(v->entries.items[kept - 1].key, e->key);

        if (!again) {
            v->entries.items[kept++] = *e;
        } else if (!v->repeated_key || strcmp(v->repeated_key, e->key)) {
            v->repeated++;
            v->repeated_key = e->key;
        }
    }
    v->entries.count = kept;
}

static const char *encoding(struct rh_arena *a, const char *text, size_t n)
{
    const char *at = memmem(text, n, ".encoding", 9);
    const char *end = text + n;
    size_t length = 0;

    if (!at || (at != text && at[-1] != '\n'))
        return NULL;
    for (at += 9; at < end && (*at == ' ' || *at == '=' || *at == '"'); at++)
        ;
    while (at + length < end && length < 40 &&
           (isalnum((unsigned char)at[length]) || strchr("-_.", at[length])))
        length++;
    return rh_arena_strndup(a, at, length);
}

int rh_vmx_read(struct rh_vmx *v, const char *text, size_t n, rh_error **err)
{
    RH_AUTO(rh_freep) char *utf8 = NULL;
    const char *from;

    if (n > RH_LIMIT_DESCRIPTOR)
        return rh_fail(err, RH_ERR_VMX_LIMIT,
                       "the file has %zu bytes; at most %llu are read", n,
                       RH_LIMIT_DESCRIPTOR);
    v->arena = rh_arena_new();
    from = encoding(v->arena, text, n);
    if (from && from[0] && !rh_same_word(from, "UTF-8")) {
        utf8 = converted(text, n, from, &n);
        v->unknown_encoding = utf8 ? NULL : from;
        text = utf8 ? utf8 : text;
    }
    /* Japanese Windows writes its code page without saying so. */
    if (!utf8 && !v->unknown_encoding && !rh_valid_utf8(text, n) &&
        !memchr(text, 0, n)) {
        utf8 = rh_utf8_name(text);
        text = utf8;
        n = strlen(utf8);
    }
    if (read_lines(v, text, n, err))
        return -1;
    if (v->entries.count > 1)
        qsort(v->entries.items, v->entries.count, sizeof *v->entries.items,
              by_key);
    drop_repeated(v);
    return 0;
}

void rh_vmx_free(struct rh_vmx *v)
{
    free(v->entries.items);
    rh_arena_free(v->arena);
    *v = (struct rh_vmx){0};
}

const char *rh_vmx_get(const struct rh_vmx *v, const char *key)
{
    size_t low = 0, high = v->entries.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(v->entries.items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == v->entries.count || strcmp(v->entries.items[low].key, key))
        return NULL;
    return v->entries.items[low].value;
}

const char *rh_vmx_getf(const struct rh_vmx *v, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *key = NULL;
    va_list ap;

    va_start(ap, fmt);
    key = rh_vprintf(fmt, ap);
    va_end(ap);
    return rh_vmx_get(v, key);
}
