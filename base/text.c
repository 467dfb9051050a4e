/* text.c - translation, printable copies, sizes for people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/data.h"
#include "base/mem.h"

/* "ja" when the environment asks for Japanese, but the system lacks that locale
 * and runs in C. */
static const char *language_without_locale(void)
{
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    const char *now = setlocale(LC_MESSAGES, NULL);

    if (now && strcmp(now, "C"))
        return NULL;
    for (size_t i = 0; i < RH_COUNT(names); i++) {
        const char *value = getenv(names[i]);

        if (value && value[0])
            return strncmp(value, "ja", 2) ? NULL : "ja";
    }
    return NULL;
}

void rh_text_language(const char *lang)
{
    RH_AUTO(rh_freep) char *folder = rh_data_path("locale");

    if (!lang)
        lang = language_without_locale();
    if (lang) {
        /* gettext consults LANGUAGE in any locale but "C"; C.UTF-8 is there
         * on every Debian, so a missing ja_JP locale does not matter. */
        setenv("LANGUAGE", lang, 1);
        if (!setlocale(LC_MESSAGES, "") ||
            !strcmp(setlocale(LC_MESSAGES, NULL), "C"))
            setlocale(LC_MESSAGES, "C.UTF-8");
        if (!strcmp(setlocale(LC_CTYPE, NULL), "C")) /* libc's own texts */
            setlocale(LC_CTYPE, "C.UTF-8");
    }
    if (folder)
        bindtextdomain(RH_TEXT_DOMAIN, folder);
    bind_textdomain_codeset(RH_TEXT_DOMAIN, "UTF-8");
}

const char *rh_text_lang(void)
{
    /* TRANSLATORS: the code of the language that you translate into. */
    return _("en");
}

/* Length of the UTF-8 sequence at p (1..4), or 0 when it is broken. */
static size_t utf8_length(const unsigned char *p, size_t n, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80   ? 1
                    : p[0] < 0xc2 ? 0
                    : p[0] < 0xe0 ? 2
                    : p[0] < 0xf0 ? 3
                    : p[0] < 0xf5 ? 4
                                  : 0;
    uint32_t code = length < 2 ? p[0] : p[0] & (0x7fu >> length);

    if (!length || length > n)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (length > 1 && code < least[length])
        return 0;
    if ((code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
        return 0;
    *ret_code = code;
    return length;
}

/* Characters that move the cursor, reorder the line, or hide. */
static bool unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

char *rh_printable(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    struct rh_buf out = {0};

    while (left) {
        uint32_t code = 0;
        size_t n = utf8_length(p, left, &code);

        if (n && !unprintable(code)) {
            rh_buf_add(&out, p, n);
        } else {
            n = n ? n : 1;
            for (size_t i = 0; i < n; i++)
                rh_buf_printf(&out, "\\x%02x", p[i]);
        }
        p += n;
        left -= n;
    }
    return rh_buf_take(&out);
}

bool rh_valid_utf8(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    uint32_t code;

    while (n) {
        size_t length = utf8_length(p, n, &code);

        if (!length)
            return false;
        p += length;
        n -= length;
    }
    return true;
}

char *rh_human_size(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB",
                                        "TiB",   "PiB", "EiB"};
    double n = (double)bytes;
    size_t i = 0;

    while (n >= 1024 && i + 1 < RH_COUNT(units)) {
        n /= 1024;
        i++;
    }
    return rh_printf(i && n < 100 && n != floor(n) ? "%.1f %s" : "%.0f %s", n,
                     units[i]);
}

bool rh_parse_u64(const char *text, uint64_t *ret_number)
{
    unsigned long long n;
    char *end;

    if (!text || !isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || *end)
        return false;
    *ret_number = n;
    return true;
}

static bool unit_factor(const char *unit, uint64_t *ret)
{
    static const char letters[] = "kmgtpe";
    const char *at;
    uint64_t base = 1024, factor = 1;

    if (!unit[0] || rh_same_word(unit, "b") || rh_same_word(unit, "byte") ||
        rh_same_word(unit, "bytes")) {
        *ret = 1;
        return true;
    }
    at = strchr(letters, tolower((unsigned char)unit[0]));
    if (!at || !*at)
        return false;
    if (rh_same_word(unit + 1, "b"))
        base = 1000;
    else if (unit[1] && !rh_same_word(unit + 1, "ib") &&
             !rh_same_word(unit + 1, "i"))
        return false;
    for (const char *p = letters; p <= at; p++)
        factor *= base;
    *ret = factor;
    return true;
}

bool rh_parse_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t factor;
    double n;
    char *end;

    if (rh_parse_u64(text, ret_bytes))
        return true;
    if (!text || !isdigit((unsigned char)text[0]))
        return false;
    n = strtod(text, &end);
    while (*end == ' ')
        end++;
    if (!unit_factor(end, &factor))
        return false;
    n *= (double)factor;
    if (!(n >= 0 && n < 9.2e18))
        return false;
    *ret_bytes = (uint64_t)n;
    return true;
}

bool rh_parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"yes", "true", "1", "on"};
    static const char *const no[] = {"no", "false", "0", "off"};

    for (size_t i = 0; text && i < RH_COUNT(yes); i++) {
        if (rh_same_word(text, yes[i]) || rh_same_word(text, no[i])) {
            *ret = rh_same_word(text, yes[i]);
            return true;
        }
    }
    return false;
}

bool rh_regex_is_cheap(const char *regex)
{
    enum { PLUSES_MOST = 8, LONGEST = 1024 };
    size_t n = strnlen(regex, LONGEST + 1), pluses = 0;

    for (size_t i = 0; i < n; i++) {
        pluses += regex[i] == '+';
        if (regex[i] == '{' ||
            (regex[i] == '\\' && regex[i + 1] >= '0' && regex[i + 1] <= '9'))
            return false;
    }
    return n <= LONGEST && pluses <= PLUSES_MOST;
}

bool rh_same_word(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}

/* What follows the '?' of such an address names files and hides nothing. */
static bool is_nbd(const char *source, size_t scheme)
{
    return (scheme == 3 && !strncasecmp(source, "nbd", 3)) ||
           (scheme == 4 && !strncasecmp(source, "nbds", 4)) ||
           (scheme == 8 && !strncasecmp(source, "nbd+unix", 8)) ||
           (scheme == 9 && !strncasecmp(source, "nbds+unix", 9));
}

/* Also "https:/host", as it is mistyped; "C:/folder" is no address. */
char *rh_source_shown(const char *source)
{
    size_t n = strcspn(source, ":/?#"), authority;
    const char *host, *at, *from;

    if (n < 2 || source[n] != ':' || source[n + 1] != '/')
        return rh_strdup(source);
    host = source + n + 1;
    host += strspn(host, "/");
    authority = strcspn(host, "/?#");
    at = memrchr(host, '@', authority);
    from = at ? at + 1 : host;
    return rh_printf("%.*s%.*s", (int)(host - source), source,
                     is_nbd(source, n) ? INT_MAX : (int)strcspn(from, "?#"),
                     from);
}
