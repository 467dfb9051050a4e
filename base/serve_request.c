/* serve_request.c - a request as strangers send it (RFC 9112, 9110): nothing
 * but GET and HEAD of one path, and one range. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/serve.h"

enum { LINES_MOST = 64 };

struct piece {
    const char *text;
    size_t n;
};

size_t rh_serve_head_end(const char *text, size_t n)
{
    const char *end = memmem(text, n, "\r\n\r\n", 4);

    return end ? (size_t)(end - text) + 4 : 0;
}

/* Up to CR LF, which are taken off. */
static bool next_line(struct piece *rest, struct piece *ret)
{
    const char *end = memmem(rest->text, rest->n, "\r\n", 2);

    if (!end)
        return false;
    *ret = (struct piece){rest->text, (size_t)(end - rest->text)};
    rest->n -= ret->n + 2;
    rest->text = end + 2;
    return true;
}

static struct piece next_word(struct piece *line)
{
    const char *space = memchr(line->text, ' ', line->n);
    struct piece word = {line->text,
                         space ? (size_t)(space - line->text) : line->n};
    size_t taken = word.n + (space != NULL);

    line->text += taken;
    line->n -= taken;
    return word;
}

static bool is(struct piece p, const char *text)
{
    return p.n == strlen(text) && !memcmp(p.text, text, p.n);
}

/* How long it takes tells nothing about how much of a guess was right. */
static bool is_path(struct piece p, const char *path)
{
    size_t n = strlen(path);
    unsigned char differs = 0;

    if (p.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(p.text[i] ^ path[i]);
    return !differs;
}

/* No control character but a tab, which values may hold. */
static bool is_clean(struct piece p)
{
    for (size_t i = 0; i < p.n; i++)
        if ((unsigned char)p.text[i] < ' ' && p.text[i] != '\t')
            return false;
    return true;
}

static struct piece trim(struct piece p)
{
    while (p.n && (*p.text == ' ' || *p.text == '\t')) {
        p.text++;
        p.n--;
    }
    while (p.n && (p.text[p.n - 1] == ' ' || p.text[p.n - 1] == '\t'))
        p.n--;
    return p;
}

/* Digits up to the end of what is a number; false where there are none or too
 * many. */
static bool take_number(struct piece *p, uint64_t *ret)
{
    size_t n = 0;
    uint64_t value = 0;

    while (n < p->n && p->text[n] >= '0' && p->text[n] <= '9') {
        unsigned digit = (unsigned)(p->text[n++] - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    p->text += n;
    p->n -= n;
    *ret = value;
    return n > 0;
}

/* "bytes=5-", "bytes=5-9", "bytes=-5": 206, or 416 where the file has none of
 * it.  Another unit, and several ranges, mean the whole (200). */
static int take_range(struct piece p, uint64_t size,
                      struct rh_serve_request *ret)
{
    uint64_t from, to;
    bool has_from, has_to;

    if (p.n < 6 || strncasecmp(p.text, "bytes=", 6) != 0 ||
        memchr(p.text, ',', p.n))
        return 200;
    p.text += 6;
    p.n -= 6;
    has_from = take_number(&p, &from);
    if (!p.n || *p.text != '-')
        return 400;
    p.text++;
    p.n--;
    has_to = take_number(&p, &to);
    if (p.n || (!has_from && !has_to) || (has_from && has_to && to < from))
        return 400;
    if (!has_from) {
        from = size - RH_MIN(to, size);
        has_to = false;
    }
    if (from >= size)
        return 416;
    ret->from = from;
    ret->to = has_to && to < size ? to + 1 : size;
    return 206;
}

/* Names of a header: a word without signs that end words. */
static bool is_name(struct piece p)
{
    for (size_t i = 0; i < p.n; i++)
        if (p.text[i] <= ' ' || p.text[i] == 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", p.text[i]))
            return false;
    return p.n > 0;
}

struct headers {
    struct piece range;
    bool has_range, has_body;
};

static bool take_header(struct piece line, struct headers *h)
{
    const char *colon = memchr(line.text, ':', line.n);
    struct piece name, value;

    if (!colon)
        return false;
    name = (struct piece){line.text, (size_t)(colon - line.text)};
    value = trim((struct piece){colon + 1, line.n - name.n - 1});
    if (!is_name(name) || !is_clean(value))
        return false;
    if (name.n == 5 && !strncasecmp(name.text, "Range", 5)) {
        if (h->has_range)
            return false;
        h->has_range = true;
        h->range = value;
    }
    h->has_body |=
        (name.n == 17 && !strncasecmp(name.text, "Transfer-Encoding", 17)) ||
        (name.n == 14 && !strncasecmp(name.text, "Content-Length", 14) &&
         !is(value, "0"));
    return true;
}

static bool take_headers(struct piece *rest, struct headers *h)
{
    struct piece line;

    for (unsigned n = 0; n < LINES_MOST; n++) {
        if (!next_line(rest, &line))
            return false;
        if (!line.n)
            return !rest->n;
        if (!take_header(line, h))
            return false;
    }
    return false;
}

int rh_serve_parse(const char *text, size_t n, const char *path, uint64_t size,
                   struct rh_serve_request *ret)
{
    struct piece rest = {text, n}, line, method, target;
    struct headers h = {0};

    *ret = (struct rh_serve_request){.to = size};
    if (n > RH_SERVE_HEAD)
        return 431;
    if (!next_line(&rest, &line))
        return 400;
    method = next_word(&line);
    target = next_word(&line);
    if ((!is(line, "HTTP/1.1") && !is(line, "HTTP/1.0")) || !is_name(method) ||
        !take_headers(&rest, &h) || h.has_body)
        return 400;
    if (!is_path(target, path))
        return 404;
    ret->head = is(method, "HEAD");
    if (!ret->head && !is(method, "GET"))
        return 405;
    return h.has_range && !ret->head ? take_range(h.range, size, ret) : 200;
}
