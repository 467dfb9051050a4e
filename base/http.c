/* http.c - one server's client by libcurl: its address, whom it trusts, and
 * what every request carries. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/http_client.h"

enum { COOKIES = 64 };

/* --- addresses ---------------------------------------------------------------
 */

char *rh_http_escape(const char *text)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c))
            rh_buf_putc(&b, (char)c);
        else
            rh_buf_printf(&b, "%%%02X", c);
    }
    return rh_buf_take(&b);
}

char *rh_http_host_alone(const char *authority)
{
    const char *end = strchr(authority, ']');

    if (authority[0] == '[' && end)
        return rh_strndup(authority + 1, (size_t)(end - authority - 1));
    return rh_strndup(authority, strcspn(authority, ":"));
}

static bool is_number(const char *text)
{
    return text[0] && strspn(text, "0123456789") == strlen(text);
}

char *rh_http_identity(const char *authority, unsigned port)
{
    RH_AUTO(rh_freep) char *host = rh_http_host_alone(authority);
    const char *end = strchr(authority, ']');
    const char *colon = strchr(end ? end : authority, ':');
    unsigned char address[sizeof(struct in6_addr)];
    char plain[INET6_ADDRSTRLEN];
    size_t n;

    if (colon && is_number(colon + 1))
        port = (unsigned)strtoul(colon + 1, NULL, 10);
    if (end && inet_pton(AF_INET6, host, address) == 1 &&
        inet_ntop(AF_INET6, address, plain, sizeof plain))
        return rh_printf("[%s]:%u", plain, port);
    for (char *p = host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    n = strlen(host);
    if (n > 1 && host[n - 1] == '.')
        host[n - 1] = '\0';
    return rh_printf(end ? "[%s]:%u" : "%s:%u", host, port);
}

#ifdef HAVE_LIBCURL

/* --- a client ----------------------------------------------------------------
 */

static bool good_authority(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-._:[]", *p))
            return false;
    return s[0] != '\0' && s[0] != ':';
}

static int check_address(const char *url, char **ret_authority, rh_error **err)
{
    bool tls = !strncasecmp(url, "https://", 8);
    const char *host = url + (tls ? 8 : 7);
    RH_AUTO(rh_freep) char *authority = NULL;

    if (!tls && strncasecmp(url, "http://", 7))
        return rh_fail(err, RH_ERR_HTTP_ADDRESS, "no address of a web server");
    if (strchr(host, '@')) /* the text itself may hold a password */
        return rh_fail(err, RH_ERR_HTTP_USERINFO,
                       "an address may not hold a user or a password");
    authority = rh_strndup(host, strcspn(host, "/?#"));
    if (!good_authority(authority))
        return rh_fail(err, RH_ERR_HTTP_ADDRESS, "%s is no server's name",
                       authority);
    *ret_authority = RH_TAKE(authority);
    return 0;
}

static bool is_fingerprint(const char *hex)
{
    return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* "Host=AB:CD..." -> "Host=abcd..." */
static char *plain_pin(const char *pin, const char *said, rh_error **err)
{
    const char *equals = strrchr(pin, '=');
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    size_t start;

    if (equals)
        rh_buf_add(&b, pin, (size_t)(equals + 1 - pin));
    start = b.length;
    for (const char *p = equals ? equals + 1 : pin; *p; p++)
        if (*p != ':')
            rh_buf_putc(&b, (char)tolower((unsigned char)*p));
    rh_buf_puts(&b, "");
    if (is_fingerprint(b.data + start))
        return rh_buf_take(&b);
    rh_fail(err, RH_ERR_USAGE, "%s %s is no SHA-256 fingerprint", said, pin);
    rh_hint(err, "`openssl x509 -in CERT -noout -fingerprint -sha256` on the "
                 "server shows it: 64 hex digits, with colons or without");
    return NULL;
}

int rh_http_check_pin(const char *pin, const char *said, rh_error **err)
{
    RH_AUTO(rh_freep) char *plain = plain_pin(pin, said, err);

    return plain ? 0 : -1;
}

static int take_pins(struct rh_http *h, const char *const *pins, rh_error **err)
{
    size_t n = 0;

    while (pins && pins[n])
        n++;
    h->trust.pins = rh_calloc(n + 1, sizeof *h->trust.pins);
    for (size_t i = 0; i < n; i++) {
        h->trust.pins[i] = plain_pin(pins[i], "--pin", err);
        if (!h->trust.pins[i])
            return -1;
    }
    return 0;
}

struct rh_http *rh_http_new(const struct rh_http_site *site, rh_error **err)
{
    RH_AUTO(rh_http_freep) struct rh_http *h = rh_new0(struct rh_http);

    h->lib = site->lib;
    if (check_address(site->url, &h->authority, err) < 0)
        return NULL;
    h->base = rh_printf("%s://%s",
                        strncasecmp(site->url, "https", 5) ? "http" : "https",
                        h->authority);
    h->trust.host = rh_http_host_alone(h->authority);
    if (strlen(h->trust.host) > 1 &&
        h->trust.host[strlen(h->trust.host) - 1] == '.')
        h->trust.host[strlen(h->trust.host) - 1] = '\0';
    h->trust.ca_file = rh_strdup(site->ca_file);
    if (take_pins(h, site->pins, err) < 0 || rh_curl_load(err) < 0)
        return NULL;
    h->curl = rh_curl_new(&h->trust, err);
    if (!h->curl) {
        rh_error_subject(err, h->base);
        return NULL;
    }
    return RH_TAKE(h);
}

struct rh_http *rh_http_beside(const struct rh_http *h, const char *authority,
                               rh_error **err)
{
    RH_AUTO(rh_freep)
    char *url = rh_printf("%.*s%s", (int)(strstr(h->base, "://") - h->base) + 3,
                          h->base, authority);
    struct rh_http_site site = {
        .lib = h->lib,
        .url = url,
        .ca_file = h->trust.ca_file,
        .pins = (const char *const *)h->trust.pins,
    };

    struct rh_http *beside = rh_http_new(&site, err);

    if (beside)
        beside->most = h->most;
    return beside;
}

static bool plain_sha1(const char *sha1, char ret[41])
{
    size_t n = 0;

    for (; *sha1; sha1++) {
        if (*sha1 == ':')
            continue;
        if (n == 40 || !isxdigit((unsigned char)*sha1))
            return false;
        ret[n++] = (char)tolower((unsigned char)*sha1);
    }
    ret[n] = '\0';
    return n == 40;
}

/* A handle has its rules of TLS from when it was made. */
bool rh_http_trust_ticket(struct rh_http *h, const char *sha1)
{
    char hex[41];
    CURL *fresh;

    if (!plain_sha1(sha1, hex))
        return false;
    memcpy(h->trust.ticket, hex, sizeof hex);
    fresh = rh_curl_new(&h->trust, NULL);
    if (!fresh)
        return false;
    rh_curl.easy_cleanup(h->curl);
    h->curl = fresh;
    return true;
}

void rh_http_forget(struct rh_http *h)
{
    for (size_t i = 0; i < h->headers.count; i++)
        rh_secret_free(h->headers.items[i]);
    for (size_t i = 0; i < h->cookies.count; i++) {
        free(h->cookies.items[i].name);
        rh_secret_free(h->cookies.items[i].value);
    }
    h->headers.count = h->cookies.count = 0;
}

void rh_http_free(struct rh_http *h)
{
    if (!h)
        return;
    rh_http_forget(h);
    free(h->headers.items);
    free(h->cookies.items);
    if (h->curl)
        rh_curl.easy_cleanup(h->curl);
    rh_curl_trust_free(&h->trust);
    free(h->authority);
    free(h->base);
    free(h);
}

void rh_http_set_most(struct rh_http *h, unsigned connections)
{
    h->most = connections;
}

unsigned rh_http_most(const struct rh_http *h)
{
    return h->most;
}

const char *rh_http_name(const struct rh_http *h)
{
    return h->base;
}

const char *rh_http_host(const struct rh_http *h)
{
    return h->authority;
}

/* --- what every request carries ----------------------------------------------
 */

void rh_http_add_header(struct rh_http *h, struct rh_secret *line)
{
    if (line)
        *rh_vec_add(&h->headers) = line;
}

static char *base64(const char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = rh_malloc(n / 3 * 4 + 8), *to = out;

    for (size_t i = 0; i < n; i += 3) {
        size_t have = RH_MIN(n - i, (size_t)3);
        uint32_t word = 0;

        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (k < have ? (unsigned char)bytes[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            *to++ = k <= have ? digits[word >> (18 - 6 * k) & 63] : '=';
    }
    *to = '\0';
    return out;
}

void rh_http_add_basic(struct rh_http *h, const struct rh_secret *user,
                       const struct rh_secret *password)
{
    RH_AUTO(rh_secret_freep)
    struct rh_secret *pair = rh_secret_join(rh_secret_text(user), ":",
                                            rh_secret_text(password), NULL);
    const char *text = rh_secret_text(pair);
    RH_AUTO(rh_wipe_freep)
    char *code = text ? base64(text, strlen(text)) : NULL;

    if (code)
        rh_http_add_header(h,
                           rh_secret_join("Authorization: Basic ", code, NULL));
}

void rh_http_set_cookie(struct rh_http *h, const char *name, const char *value)
{
    struct rh_secret *fresh = rh_secret_new(value);
    struct cookie *c = NULL;

    if (!fresh)
        rh_log(h->lib, RH_LOG_WARN,
               "%s: its cookie \"%s\" of %zu bytes is too long to be kept",
               h->authority, name, strlen(value));
    for (size_t i = 0; i < h->cookies.count && !c; i++)
        if (!strcmp(h->cookies.items[i].name, name))
            c = &h->cookies.items[i];
    if (!c && (!fresh || h->cookies.count == COOKIES)) {
        rh_secret_free(fresh);
        return;
    }
    if (!c) {
        c = rh_vec_add(&h->cookies);
        c->name = rh_strdup(name);
    }
    rh_secret_free(c->value);
    c->value = fresh; /* NULL: what it was is not true any more */
}

/* "Set-Cookie: name=value; Path=/": it goes back to this server alone, so the
 * attributes say nothing that matters here. */
void rh_http_take_cookie(struct rh_http *h, const char *value)
{
    size_t n = strcspn(value, "=;");
    RH_AUTO(rh_freep) char *name = NULL;
    RH_AUTO(rh_wipe_freep) char *text = NULL;

    if (!n || value[n] != '=')
        return;
    name = rh_strndup(value, n);
    text = rh_strndup(value + n + 1, strcspn(value + n + 1, ";"));
    rh_http_set_cookie(h, name, text);
}

void rh_http_add_line(struct curl_slist **lines, const char *line)
{
    *lines = rh_curl.slist_append(*lines, line);
}

static void add_cookies(const struct rh_http *h, struct curl_slist **lines)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = 0; i < h->cookies.count; i++)
        if (h->cookies.items[i].value)
            rh_buf_printf(&b, "%s%s=%s",
                          b.data ? "; " : "Cookie: ", h->cookies.items[i].name,
                          rh_secret_text(h->cookies.items[i].value));
    if (!b.data)
        return;
    rh_http_add_line(lines, b.data);
    rh_wipe(b.data, b.length);
}

static void add_secrets(const struct rh_http *h, struct curl_slist **lines)
{
    for (size_t i = 0; i < h->headers.count; i++)
        rh_http_add_line(lines, rh_secret_text(h->headers.items[i]));
    add_cookies(h, lines);
}

struct curl_slist *rh_http_lines(const struct rh_http *h)
{
    struct curl_slist *lines = NULL;

    add_secrets(h, &lines);
    return lines;
}

void rh_http_on_ended(struct rh_http *h, rh_http_renew *renew, void *user)
{
    h->renew = renew;
    h->renew_user = user;
}

void rh_http_renewal(const struct rh_http *h, rh_http_renew **ret,
                     void **ret_user)
{
    *ret = h->renew;
    *ret_user = h->renew_user;
}

rh_lib *rh_http_lib(const struct rh_http *h)
{
    return h->lib;
}

void rh_http_set_lib(struct rh_http *h, rh_lib *lib)
{
    h->lib = lib;
}

struct rh_curl_trust *rh_http_trust(struct rh_http *h)
{
    return &h->trust;
}

void rh_http_add_lines(struct transfer *t)
{
    const struct rh_http_request *r = t->r;
    RH_AUTO(rh_freep) char *type = rh_printf("Content-Type: %s", r->type);

    rh_http_add_line(&t->lines, "Expect:"); /* many servers never answer it */
    rh_http_add_line(&t->lines, r->type ? type : "Content-Type:");
    for (size_t i = 0; r->headers && r->headers[i]; i++)
        rh_http_add_line(&t->lines, r->headers[i]);
    add_secrets(t->h, &t->lines);
}

void rh_http_drop_lines(struct transfer *t)
{
    for (struct curl_slist *l = t->lines; l; l = l->next)
        rh_wipe(l->data, strlen(l->data));
    rh_curl.slist_free_all(t->lines);
    t->lines = NULL;
}

#endif
