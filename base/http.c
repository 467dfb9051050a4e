/* http.c - one server's client by libcurl: requests, and bodies pushed as they
 * are made.
 *
 * An upload is pushed: whoever makes the bytes calls write(), which drives
 * libcurl until it has taken them, and libcurl's reading stops in between. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/curl.h"
#include "base/limits.h"
#include "base/wait.h"
#include "base/rate.h"

enum {
    SILENCE = 60,             /* seconds */
    UPLOAD_SILENCE = 15 * 60, /* a storage may zero what it allots first */
    HEADERS_MAX = 256 * 1024, /* bytes of an answer's headers */
    UPLOAD_BUFFER = 512 * 1024,
    COOKIES = 64,
};

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

#ifdef HAVE_LIBCURL

struct cookie {
    char *name;
    struct rh_secret *value;
};

struct rh_http {
    rh_lib *lib;
    char *base;      /* "https://HOST:PORT" */
    char *authority; /* in it */
    struct rh_curl_trust trust;
    RH_VEC(struct rh_secret *) headers;
    RH_VEC(struct cookie) cookies;
    CURL *curl;
    rh_http_renew *renew; /* or NULL */
    void *renew_user;
};

/* One request under way. */
struct transfer {
    struct rh_http *h;
    CURL *curl;
    const struct rh_http_request *r;
    struct rh_http_answer *answer;
    struct curl_slist *lines;
    rh_error *error; /* why a callback stopped it */
};

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

    return rh_http_new(&site, err);
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
static void take_cookie(struct rh_http *h, const char *value)
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

static void add_line(struct curl_slist **lines, const char *line)
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
    add_line(lines, b.data);
    rh_wipe(b.data, b.length);
}

static void add_secrets(const struct rh_http *h, struct curl_slist **lines)
{
    for (size_t i = 0; i < h->headers.count; i++)
        add_line(lines, rh_secret_text(h->headers.items[i]));
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

static void add_lines(struct transfer *t)
{
    const struct rh_http_request *r = t->r;
    RH_AUTO(rh_freep) char *type = rh_printf("Content-Type: %s", r->type);

    add_line(&t->lines, "Expect:"); /* many servers never answer it */
    add_line(&t->lines, r->type ? type : "Content-Type:");
    for (size_t i = 0; r->headers && r->headers[i]; i++)
        add_line(&t->lines, r->headers[i]);
    add_secrets(t->h, &t->lines);
}

static void drop_lines(struct transfer *t)
{
    for (struct curl_slist *l = t->lines; l; l = l->next)
        rh_wipe(l->data, strlen(l->data));
    rh_curl.slist_free_all(t->lines);
    t->lines = NULL;
}

/* --- the answer
 * --------------------------------------------------------------- */

void rh_http_answer_free(struct rh_http_answer *a)
{
    if (a->body.data)
        rh_wipe(a->body.data, a->body.length);
    if (a->headers.data)
        rh_wipe(a->headers.data, a->headers.length);
    rh_buf_free(&a->body);
    rh_buf_free(&a->headers);
}

static void answer_reset(struct rh_http_answer *a)
{
    a->status = 0;
    a->body.length = a->headers.length = 0;
    if (a->body.data)
        a->body.data[0] = '\0';
}

/* The value of a header on this line, or NULL. */
static char *value_on(const char *line, size_t n, const char *name)
{
    size_t m = strlen(name);

    if (n <= m || strncasecmp(line, name, m) || line[m] != ':')
        return NULL;
    line += m + 1;
    n -= m + 1;
    while (n && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    return rh_strndup(line, n);
}

char *rh_http_answer_header(const struct rh_http_answer *a, const char *name)
{
    const char *p = a->headers.data;

    while (p && *p) {
        size_t n = strcspn(p, "\n");
        char *value = value_on(p, n, name);

        if (value)
            return value;
        p += n + (p[n] == '\n');
    }
    return NULL;
}

static size_t on_header(char *line, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    struct rh_http_answer *a = t->answer;
    RH_AUTO(rh_wipe_freep) char *cookie = NULL;

    (void)one;
    if (n > 5 && !memcmp(line, "HTTP/", 5))
        a->headers.length = 0; /* behind a "100 Continue" */
    if (n > HEADERS_MAX - a->headers.length) {
        rh_fail(&t->error, RH_ERR_HTTP_FAILED,
                "the server's answer has too many headers");
        return 0;
    }
    rh_buf_add(&a->headers, line, n);
    cookie = value_on(line, n && line[n - 1] == '\n' ? n - 1 : n, "Set-Cookie");
    if (cookie)
        take_cookie(t->h, cookie);
    return n;
}

static bool is_good(const struct transfer *t)
{
    long status = 0;

    rh_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    uint64_t limit = t->r->limit ? t->r->limit : RH_HTTP_ANSWER;

    (void)one;
    if (t->r->sink && is_good(t))
        return rh_rate_take(t->h->lib, n, &t->error) < 0 ||
                       t->r->sink(t->r->user, bytes, n, &t->error) < 0
                   ? 0
                   : n;
    if (n > limit - RH_MIN(limit, (uint64_t)t->answer->body.length)) {
        rh_fail(&t->error, RH_ERR_HTTP_FAILED,
                "the server's answer is larger than %llu bytes",
                (unsigned long long)limit);
        return 0;
    }
    if (rh_rate_take(t->h->lib, n, &t->error) < 0)
        return 0;
    rh_buf_add(&t->answer->body, bytes, n);
    return n;
}

/* Asked several times a second, also while nothing comes. */
static int on_progress(void *user, curl_off_t total, curl_off_t now,
                       curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = user;

    (void)total, (void)now, (void)up_total, (void)up;
    return rh_go_on(t->h->lib, &t->error);
}

/* --- one request
 * --------------------------------------------------------------- */

static void set_method(CURL *c, const struct rh_http_request *r)
{
    const char *method = r->method ? r->method : "GET";

    rh_curl.easy_setopt(c, CURLOPT_HTTPGET, 1L);
    if (!strcmp(method, "HEAD"))
        rh_curl.easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (r->body || !strcmp(method, "POST") || !strcmp(method, "PUT")) {
        rh_curl.easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
        rh_curl.easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)(r->body ? r->size : 0));
    }
    rh_curl.easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
}

static void set_transfer(struct transfer *t)
{
    CURL *c = t->curl;
    RH_AUTO(rh_wipe_freep)
    char *url = rh_printf("%s%s", t->h->base, t->r->path ? t->r->path : "/");

    add_lines(t);
    rh_curl.easy_setopt(c, CURLOPT_URL, url);
    rh_curl.easy_setopt(c, CURLOPT_HTTPHEADER, t->lines);
    rh_curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    rh_curl.easy_setopt(c, CURLOPT_HEADERDATA, t);
    rh_curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    rh_curl.easy_setopt(c, CURLOPT_WRITEDATA, t);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFODATA, t);
    rh_curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

static char *shown_path(const struct rh_http_request *r)
{
    const char *path = r->path ? r->path : "/";

    return r->shown ? rh_strdup(r->shown)
                    : rh_strndup(path, strcspn(path, "?#"));
}

static void log_request(const struct rh_http *h,
                        const struct rh_http_request *r, long status)
{
    RH_AUTO(rh_freep) char *path = shown_path(r);

    rh_log(h->lib, RH_LOG_DEBUG, "%s %s%s: status %ld",
           r->method ? r->method : "GET", h->base, path, status);
}

static int say(struct transfer *t, CURLcode code, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = shown_path(t->r);

    if (t->error) {
        if (err && !*err)
            *err = RH_TAKE(t->error);
        rh_error_free(t->error);
        t->error = NULL;
        return rh_error_subject(err, t->h->base);
    }
    rh_fail(err, rh_curl_error(code), "%s %s failed: %s",
            t->r->method ? t->r->method : "GET", path,
            rh_curl.easy_strerror(code));
    rh_curl_hint(&t->h->trust, code, err);
    return rh_error_subject(err, t->h->base);
}

static CURLcode perform(struct transfer *t)
{
    CURLcode code;

    answer_reset(t->answer);
    t->h->trust.seen[0] = '\0';
    set_method(t->curl, t->r);
    set_transfer(t);
    rh_curl.easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    rh_curl.easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME,
                        (long)(t->r->silence ? t->r->silence : SILENCE));
    code = rh_curl.easy_perform(t->curl);
    rh_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    rh_curl.easy_setopt(t->curl, CURLOPT_POSTFIELDS, NULL);
    drop_lines(t);
    rh_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
    return code;
}

static bool is_busy(long status)
{
    return status == 408 || status == 429 || status == 502 || status == 503 ||
           status == 504;
}

/* Shall it be tried once more? */
static bool once_more(const struct transfer *t, CURLcode code, unsigned tries)
{
    if (t->error)
        return false;
    if (code == CURLE_OK)
        return t->r->again && is_busy(t->answer->status) &&
               tries < RH_CURL_TRIES;
    /* A wrong address is likelier than a server that is just starting. */
    if (rh_curl_not_sent(code))
        return tries < 2;
    return t->r->again && rh_curl_may_pass(t->curl, code) &&
           tries < RH_CURL_TRIES;
}

/* As long as the server asks for ("Retry-After: 5"), up to two minutes; else as
 * after any other failure. */
static int wait_again(struct rh_http *h, const struct rh_http_answer *a,
                      CURLcode code, unsigned tries, rh_error **err)
{
    enum { LONGEST = 120, NAPS = 10 };
    RH_AUTO(rh_freep)
    char *text =
        code == CURLE_OK ? rh_http_answer_header(a, "Retry-After") : NULL;
    uint64_t seconds;

    if (!text || !rh_parse_u64(text, &seconds))
        return rh_curl_wait(h->lib, tries, err);
    seconds = RH_MIN(seconds, (uint64_t)LONGEST);
    for (uint64_t naps = RH_MAX(seconds * NAPS, 1U); naps; naps--)
        if (rh_wait_nap(h->lib, err) < 0)
            return -1;
    return 0;
}

int rh_http_do(struct rh_http *h, const struct rh_http_request *r,
               struct rh_http_answer *ret, rh_error **err)
{
    struct transfer t = {.h = h, .curl = h->curl, .r = r, .answer = ret};

    for (unsigned tries = 1;; tries++) {
        CURLcode code;

        if (rh_rate_take(h->lib, r->body ? r->size : 0, err) < 0)
            return -1;
        code = perform(&t);
        if (!once_more(&t, code, tries)) {
            if (code != CURLE_OK)
                return say(&t, code, err);
            log_request(h, r, ret->status);
            return 0;
        }
        rh_log(h->lib, RH_LOG_WARN, "%s: %s; trying again", h->base,
               code == CURLE_OK ? _("the server is busy")
                                : rh_curl.easy_strerror(code));
        if (wait_again(h, ret, code, tries, err) < 0)
            return -1;
    }
}

int rh_http_refuse(const struct rh_http *h, const struct rh_http_request *r,
                   const struct rh_http_answer *a, const char *reason,
                   rh_error **err)
{
    RH_AUTO(rh_freep) char *path = shown_path(r);
    enum rh_error_id id = RH_ERR_HTTP_STATUS;

    if (a->status == 401)
        id = RH_ERR_LOGIN_REFUSED;
    else if (a->status == 403)
        id = RH_ERR_DELIVERY_RIGHTS;
    else if (is_busy(a->status))
        id = RH_ERR_HTTP_BUSY;
    if (reason && reason[0])
        rh_fail(err, id, "%s %s: status %ld: %.500s",
                r->method ? r->method : "GET", path, a->status, reason);
    else
        rh_fail(err, id, "%s %s: the server answers with status %ld",
                r->method ? r->method : "GET", path, a->status);
    return rh_error_subject(err, h->base);
}

/* --- uploads
 * ------------------------------------------------------------------- */

struct rh_http_upload {
    struct transfer t;
    struct rh_http_request r; /* its texts are the caller's */
    struct rh_http_answer answer;
    CURLM *multi;
    const char *next; /* what is being written */
    size_t left;
    uint64_t sent;
    bool ending, paused, done;
    CURLcode code; /* once done */
    char *path, *type, *method;
};

static size_t on_read(char *to, size_t one, size_t n, void *user)
{
    struct rh_http_upload *u = user;
    size_t part = RH_MIN(u->left, one * n);

    if (!part && u->ending)
        return 0;
    if (!part) {
        u->paused = true;
        return CURL_READFUNC_PAUSE;
    }
    memcpy(to, u->next, part);
    u->next += part;
    u->left -= part;
    u->sent += part;
    return part;
}

void rh_http_upload_close(struct rh_http_upload *u)
{
    if (!u)
        return;
    if (u->multi && u->t.curl)
        rh_curl.multi_remove_handle(u->multi, u->t.curl);
    if (u->t.curl)
        rh_curl.easy_cleanup(u->t.curl);
    if (u->multi)
        rh_curl.multi_cleanup(u->multi);
    drop_lines(&u->t);
    rh_error_free(u->t.error);
    rh_http_answer_free(&u->answer);
    rh_wipe_freep(&u->path);
    free(u->type);
    free(u->method);
    free(u);
}

static void set_upload(struct rh_http_upload *u, int64_t size)
{
    CURL *c = u->t.curl;

    if (size == RH_HTTP_OPEN) /* or libcurl would send chunks */
        add_line(&u->t.lines, "Transfer-Encoding:");
    set_transfer(&u->t);
    rh_curl.easy_setopt(c, CURLOPT_UPLOAD, 1L);
    rh_curl.easy_setopt(c, CURLOPT_CUSTOMREQUEST, u->method);
    rh_curl.easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                        (curl_off_t)(size < 0 ? -1 : size));
    rh_curl.easy_setopt(c, CURLOPT_READFUNCTION, on_read);
    rh_curl.easy_setopt(c, CURLOPT_READDATA, u);
    rh_curl.easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    /* A connection of its own, that nothing follows on. */
    rh_curl.easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    rh_curl.easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
}

struct rh_http_upload *rh_http_upload_start(struct rh_http *h,
                                            const struct rh_http_request *r,
                                            int64_t size, rh_error **err)
{
    struct rh_http_upload *u = rh_new0(struct rh_http_upload);

    u->path = rh_strdup(r->path);
    u->type = rh_strdup(r->type ? r->type : "application/octet-stream");
    u->method = rh_strdup(r->method ? r->method : "PUT");
    u->r = *r;
    u->r.path = u->path;
    u->r.type = u->type;
    u->r.method = u->method;
    u->t = (struct transfer){.h = h, .r = &u->r, .answer = &u->answer};
    h->trust.seen[0] = '\0';
    u->t.curl = rh_curl_new(&h->trust, err);
    u->multi = rh_curl.multi_init();
    if (u->t.curl && u->multi) {
        set_upload(u, size);
        if (rh_curl.multi_add_handle(u->multi, u->t.curl) == CURLM_OK)
            return u;
    }
    rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    rh_http_upload_close(u);
    return NULL;
}

/* What can be done now, without waiting. */
static int step(struct rh_http_upload *u, rh_error **err)
{
    CURLMsg *message;
    int running = 0, left;

    if (u->paused && (u->left || u->ending)) {
        u->paused = false;
        rh_curl.easy_pause(u->t.curl, CURLPAUSE_CONT);
    }
    if (rh_curl.multi_perform(u->multi, &running) != CURLM_OK)
        return rh_fail(err, RH_ERR_HTTP_FAILED, "the transfer cannot go on");
    while ((message = rh_curl.multi_info_read(u->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            u->done = true;
            u->code = message->data.result;
        }
    rh_curl.easy_getinfo(u->t.curl, CURLINFO_RESPONSE_CODE, &u->answer.status);
    return rh_go_on(u->t.h->lib, err);
}

/* Until all is taken (or, ending, all is answered), or the server ends it. */
static int drive(struct rh_http_upload *u, rh_error **err)
{
    unsigned limit = u->r.silence ? u->r.silence : UPLOAD_SILENCE;
    uint64_t last = u->sent;
    time_t since = time(NULL);

    while (!u->done) {
        if (step(u, err) < 0)
            return -1;
        if (u->done || (!u->left && !u->ending))
            break;
        rh_curl.multi_poll(u->multi, NULL, 0, RH_CURL_POLL, NULL);
        if (u->sent != last)
            since = time(NULL);
        last = u->sent;
        if (time(NULL) - since > (time_t)limit)
            return rh_fail(err, RH_ERR_HTTP_FAILED,
                           "the server took nothing for %u seconds", limit);
    }
    return 0;
}

/* A part of a write(). */
static int upload_part(struct rh_http_upload *u, const void *bytes, size_t n,
                       rh_error **err)
{
    if (rh_rate_take(u->t.h->lib, n, err) < 0)
        return -1;
    u->next = bytes;
    u->left = n;
    if (drive(u, err) < 0)
        return rh_error_subject(err, u->t.h->base);
    if (!u->left)
        return 0;
    u->left = 0;
    if (u->code != CURLE_OK)
        return say(&u->t, u->code, err);
    rh_fail(err, RH_ERR_HTTP_FAILED,
            "the server ended the transfer after %llu bytes (status %ld)",
            (unsigned long long)u->sent, u->answer.status);
    return rh_error_subject(err, u->t.h->base);
}

int rh_http_upload_write(struct rh_http_upload *u, const void *bytes, size_t n,
                         rh_error **err)
{
    const char *from = bytes;
    size_t part;

    /* Small enough that no server sees a silence where a rate is set. */
    do {
        part = RH_MIN(n, (size_t)UPLOAD_BUFFER);
        if (upload_part(u, from, part, err) < 0)
            return -1;
        from += part;
        n -= part;
    } while (n);
    return 0;
}

uint64_t rh_http_upload_sent(const struct rh_http_upload *u)
{
    return u->sent;
}

const struct rh_http_answer *rh_http_upload_wait(struct rh_http_upload *u,
                                                 unsigned seconds,
                                                 rh_error **err)
{
    time_t end = time(NULL) + (time_t)seconds;

    while (!u->done && !u->answer.status && time(NULL) <= end) {
        if (step(u, err) < 0)
            return NULL;
        if (!u->done && !u->answer.status)
            rh_curl.multi_poll(u->multi, NULL, 0, RH_CURL_POLL / 10, NULL);
    }
    if (u->done && u->code != CURLE_OK) {
        say(&u->t, u->code, err);
        return NULL;
    }
    return &u->answer;
}

int rh_http_upload_finish(struct rh_http_upload *u, struct rh_http_answer *ret,
                          rh_error **err)
{
    u->ending = true;
    if (drive(u, err) < 0)
        return rh_error_subject(err, u->t.h->base);
    if (u->code != CURLE_OK)
        return say(&u->t, u->code, err);
    log_request(u->t.h, &u->r, u->answer.status);
    *ret = u->answer;
    u->answer = (struct rh_http_answer){0};
    return 0;
}

#else

static int lacking(rh_error **err)
{
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "no server can be talked to: libcurl was not there when "
                   "this was built");
}

struct rh_http *rh_http_new(const struct rh_http_site *site, rh_error **err)
{
    (void)site;
    lacking(err);
    return NULL;
}

struct rh_http *rh_http_beside(const struct rh_http *h, const char *authority,
                               rh_error **err)
{
    (void)h, (void)authority;
    lacking(err);
    return NULL;
}

void rh_http_free(struct rh_http *h)
{
    (void)h;
}

const char *rh_http_name(const struct rh_http *h)
{
    (void)h;
    return "";
}

const char *rh_http_host(const struct rh_http *h)
{
    (void)h;
    return "";
}

void rh_http_set_lib(struct rh_http *h, rh_lib *lib)
{
    (void)h, (void)lib;
}

void rh_http_add_header(struct rh_http *h, struct rh_secret *line)
{
    (void)h;
    rh_secret_free(line);
}

void rh_http_add_basic(struct rh_http *h, const struct rh_secret *user,
                       const struct rh_secret *password)
{
    (void)h, (void)user, (void)password;
}

void rh_http_set_cookie(struct rh_http *h, const char *name, const char *value)
{
    (void)h, (void)name, (void)value;
}

void rh_http_forget(struct rh_http *h)
{
    (void)h;
}

bool rh_http_trust_ticket(struct rh_http *h, const char *sha1)
{
    (void)h, (void)sha1;
    return false;
}

void rh_http_answer_free(struct rh_http_answer *a)
{
    (void)a;
}

char *rh_http_answer_header(const struct rh_http_answer *a, const char *name)
{
    (void)a, (void)name;
    return NULL;
}

int rh_http_do(struct rh_http *h, const struct rh_http_request *r,
               struct rh_http_answer *ret, rh_error **err)
{
    (void)h, (void)r, (void)ret;
    return lacking(err);
}

int rh_http_refuse(const struct rh_http *h, const struct rh_http_request *r,
                   const struct rh_http_answer *a, const char *reason,
                   rh_error **err)
{
    (void)h, (void)r, (void)a, (void)reason;
    return lacking(err);
}

struct rh_http_upload *rh_http_upload_start(struct rh_http *h,
                                            const struct rh_http_request *r,
                                            int64_t size, rh_error **err)
{
    (void)h, (void)r, (void)size;
    lacking(err);
    return NULL;
}

int rh_http_upload_write(struct rh_http_upload *u, const void *bytes, size_t n,
                         rh_error **err)
{
    (void)u, (void)bytes, (void)n;
    return lacking(err);
}

uint64_t rh_http_upload_sent(const struct rh_http_upload *u)
{
    (void)u;
    return 0;
}

const struct rh_http_answer *rh_http_upload_wait(struct rh_http_upload *u,
                                                 unsigned seconds,
                                                 rh_error **err)
{
    (void)u, (void)seconds;
    lacking(err);
    return NULL;
}

int rh_http_upload_finish(struct rh_http_upload *u, struct rh_http_answer *ret,
                          rh_error **err)
{
    (void)u, (void)ret;
    return lacking(err);
}

void rh_http_upload_close(struct rh_http_upload *u)
{
    (void)u;
}

#endif

/* --- an upload as a sink
 * --------------------------------------------------------- */

static int upload_write(struct rh_out *o, const void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    (void)offset;
    return rh_http_upload_write(o->state, buf, n, err);
}

struct rh_out *rh_http_upload_out(struct rh_http_upload *u)
{
    static const struct rh_out_ops ops = {.write = upload_write};

    return rh_out_make(&ops, "upload", false, u);
}
