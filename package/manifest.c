/* manifest.c - digests by file name, in every spelling that is met.
 *
 * "SHA256(name)= hex" is the standard's.  Blanks come and go around every
 * sign, hex is in either case, lines end in CRLF or not at all, names hold
 * parentheses (the last one before the sign counts), algorithms a dash; and
 * sha256sum's own "hex  name" turns up, too. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/manifest.h"

#include <ctype.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* By strength. */
static const struct algorithm {
    const char *name;
    size_t hex;
} algorithms[] = {
    {"md5", 32},    {"sha1", 40},   {"sha224", 56},
    {"sha256", 64}, {"sha384", 96}, {"sha512", 128},
};

struct span {
    const char *p;
    size_t n;
};

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct span trim(struct span s)
{
    while (s.n && blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static struct span between(const char *from, const char *to)
{
    return trim((struct span){from, (size_t)(to - from)});
}

/* Take one line off the front of the text. */
static struct span next_line(struct span *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    size_t n = end ? (size_t)(end - text->p) : text->n;
    struct span line = trim((struct span){text->p, n});

    text->p += n + (end != NULL);
    text->n -= n + (end != NULL);
    return line;
}

static void skip_mark(struct span *text)
{
    if (text->n >= 3 && !memcmp(text->p, "\xef\xbb\xbf", 3)) {
        text->p += 3;
        text->n -= 3;
    }
}

/* "SHA-256", "Sha256" ... ; the word may hold dashes anywhere.  OpenSSL 3
 * writes "SHA2-256" (openssl dgst, apps/dgst.c prints EVP_MD_get0_name()). */
static const struct algorithm *algorithm_named(struct span word)
{
    char plain[16];
    size_t n = 0;

    for (size_t i = 0; i < word.n && n + 1 < sizeof plain; i++)
        if (word.p[i] != '-')
            plain[n++] = (char)tolower((unsigned char)word.p[i]);
    plain[n] = '\0';
    if (n == 7 && !strncmp(plain, "sha2", 4))
        memmove(plain + 3, plain + 4, n - 3);
    for (size_t i = 0; i < RH_COUNT(algorithms); i++)
        if (!strcmp(plain, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

static bool is_hex(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isxdigit((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

struct parts {
    const struct algorithm *algorithm;
    struct span name, hex;
};

/* ALGORITHM ( NAME ) = HEX */
static bool split_standard(struct span line, struct parts *ret)
{
    const char *open = memchr(line.p, '(', line.n);
    const char *equals = memrchr(line.p, '=', line.n);
    const char *close;

    if (!open || !equals || equals < open)
        return false;
    close = memrchr(open, ')', (size_t)(equals - open));
    if (!close || between(close + 1, equals).n)
        return false;
    ret->algorithm = algorithm_named(between(line.p, open));
    ret->name = (struct span){open + 1, (size_t)(close - open - 1)};
    ret->hex = between(equals + 1, line.p + line.n);
    return ret->algorithm && ret->name.n && is_hex(ret->hex);
}

/* HEX NAME, or HEX *NAME */
static bool split_sum(struct span line, struct parts *ret)
{
    const char *gap = memchr(line.p, ' ', line.n);

    if (!gap)
        return false;
    ret->hex = between(line.p, gap);
    ret->name = between(gap, line.p + line.n);
    if (ret->name.n > 1 && ret->name.p[0] == '*') {
        ret->name.p++;
        ret->name.n--;
    }
    ret->algorithm = NULL;
    for (size_t i = 0; i < RH_COUNT(algorithms); i++)
        if (algorithms[i].hex == ret->hex.n)
            ret->algorithm = &algorithms[i];
    return ret->algorithm && ret->name.n && is_hex(ret->hex);
}

static const char *lower(struct rh_arena *arena, struct span s)
{
    char *text = rh_arena_strndup(arena, s.p, s.n);

    for (char *p = text; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text;
}

static const char *plain_name(struct rh_arena *arena, struct span s)
{
    while (s.n > 2 && s.p[0] == '.' && s.p[1] == '/') {
        s.p += 2;
        s.n -= 2;
    }
    return rh_arena_strndup(arena, s.p, s.n);
}

void rh_manifest_free(struct rh_manifest *m)
{
    free(m->lines.items);
    free(m->odd.items);
    rh_arena_free(m->arena);
    free(m);
}

static void take_line(struct rh_manifest *m, struct span line, unsigned number)
{
    struct rh_manifest_line *to;
    struct parts parts;
    bool sound = split_standard(line, &parts) || split_sum(line, &parts);

    if (!sound || parts.hex.n != parts.algorithm->hex ||
        memchr(line.p, '\0', line.n)) {
        *rh_vec_add(&m->odd) = number;
        return;
    }
    to = rh_vec_add(&m->lines);
    to->name = plain_name(m->arena, parts.name);
    to->algorithm = parts.algorithm->name;
    to->digest = lower(m->arena, parts.hex);
}

/* By name, the strongest algorithm first (its digest is the longest). */
static int by_name(const void *a, const void *b)
{
    const struct rh_manifest_line *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    size_t n = strlen(x->digest), m = strlen(y->digest);

    return order    ? order
           : n != m ? (n < m) - (n > m)
                    : strcmp(x->digest, y->digest);
}

/* One line for each name, with every kind of digest that it has; two of one
 * kind must agree.  `last` is the algorithm that was added last. */
static int make_unique(struct rh_manifest *m, rh_error **err)
{
    struct rh_manifest_line *lines = m->lines.items;
    const char *last = NULL, *digest = NULL;
    size_t kept = 0;

    if (m->lines.count)
        qsort(lines, m->lines.count, sizeof *lines, by_name);
    for (size_t i = 0; i < m->lines.count; i++) {
        struct rh_manifest_line *to = kept ? &lines[kept - 1] : NULL;

        if (!to || strcmp(to->name, lines[i].name)) {
            lines[kept++] = lines[i];
        } else if (last != lines[i].algorithm) {
            to->algorithm = rh_arena_printf(m->arena, "%s+%s", to->algorithm,
                                            lines[i].algorithm);
            to->digest =
                rh_arena_printf(m->arena, "%s+%s", to->digest, lines[i].digest);
        } else if (strcmp(digest, lines[i].digest)) {
            return rh_fail(err, RH_ERR_MANIFEST_CONFLICT,
                           "the manifest gives two digests for \"%s\"",
                           lines[i].name);
        }
        last = lines[i].algorithm;
        digest = lines[i].digest;
    }
    m->lines.count = kept;
    return 0;
}

/* PowerShell's ">" writes UTF-16.  What cannot be decoded stays as it is. */
static char *decode_utf16(const char *text, size_t *n)
{
    bool marked = *n >= 2 && (!memcmp(text, "\xff\xfe", 2) ||
                              !memcmp(text, "\xfe\xff", 2));
    iconv_t cd = marked ? iconv_open("UTF-8", "UTF-16") : (iconv_t)-1;
    size_t left = *n, room = 2 * *n + 1;
    char *from = (char *)(uintptr_t)text, *made, *to;
    size_t got;

    if (cd == (iconv_t)-1)
        return NULL;
    to = made = rh_malloc(room);
    got = iconv(cd, &from, &left, &to, &room);
    iconv_close(cd);
    if (got == (size_t)-1) {
        free(made);
        return NULL;
    }
    *n = (size_t)(to - made);
    return made;
}

struct rh_manifest *rh_manifest_parse(const char *text, size_t n,
                                      rh_error **err)
{
    RH_AUTO(rh_manifest_freep)
    struct rh_manifest *m = rh_new0(struct rh_manifest);
    RH_AUTO(rh_freep) char *decoded = decode_utf16(text, &n);
    struct span rest = {decoded ? decoded : text, n};

    m->arena = rh_arena_new();
    skip_mark(&rest);
    for (unsigned number = 1; rest.n; number++) {
        struct span line = next_line(&rest);

        if (line.n && line.p[0] != '#')
            take_line(m, line, number);
    }
    return make_unique(m, err) < 0 ? NULL : RH_TAKE(m);
}

static int name_only(const void *key, const void *item)
{
    return strcmp(key, ((const struct rh_manifest_line *)item)->name);
}

const struct rh_manifest_line *rh_manifest_find(const struct rh_manifest *m,
                                                const char *name)
{
    if (!m->lines.count)
        return NULL;
    return bsearch(name, m->lines.items, m->lines.count, sizeof *m->lines.items,
                   name_only);
}

/* --- the signature ------------------------------------------------------- */

static unsigned nibble(char c)
{
    return (unsigned)(isdigit((unsigned char)c)
                          ? c - '0'
                          : tolower((unsigned char)c) - 'a' + 10);
}

static unsigned char *from_hex(struct span hex)
{
    unsigned char *bytes = rh_malloc(hex.n / 2);

    for (size_t i = 0; i < hex.n / 2; i++)
        bytes[i] = (unsigned char)(nibble(hex.p[2 * i]) << 4 |
                                   nibble(hex.p[2 * i + 1]));
    return bytes;
}

int rh_cert_parse(const char *text, size_t n, struct rh_cert_text *ret,
                  rh_error **err)
{
    enum { SIGNATURE_HEX_MAX = 4096 }; /* RSA of 16384 bits */
    struct span rest = {text, n};
    const char *pem = memmem(text, n, "-----BEGIN", 10);
    struct parts parts;

    skip_mark(&rest);
    while (rest.n) {
        struct span line = next_line(&rest);

        if (!split_standard(line, &parts) || parts.hex.n % 2 ||
            parts.hex.n > SIGNATURE_HEX_MAX)
            continue;
        if (!pem)
            break;
        ret->algorithm = parts.algorithm->name;
        ret->signature = from_hex(parts.hex);
        ret->signature_size = parts.hex.n / 2;
        ret->pem = pem;
        return 0;
    }
    return rh_fail(err, RH_ERR_CERT_INVALID,
                   pem ? N_("it holds no signature of a manifest")
                       : N_("it holds no certificate"));
}
