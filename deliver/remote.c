/* remote.c - the URL, the log-in and the checks of a delivery to an API. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/remote.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { URL_MAX = 2048 };

/* --- the URL ----------------------------------------------------------------
 */

void rh_remote_url_free(struct rh_remote_url *u)
{
    free(u->scheme);
    free(u->authority);
    for (size_t i = 0; i < u->count; i++)
        free(u->parts[i]);
    *u = (struct rh_remote_url){0};
}

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* "NFS%20share" -> "NFS share"; NULL for what is no text. */
static char *unescape(const char *text, size_t n)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = 0; i < n; i++) {
        char c = text[i];

        if (c == '%') {
            int high = i + 2 < n ? hex(text[i + 1]) : -1;
            int low = i + 2 < n ? hex(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return NULL;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return NULL;
        rh_buf_putc(&b, c);
    }
    return rh_buf_take(&b);
}

static int bad_url(const char *why, rh_error **err)
{
    return rh_fail(err, RH_ERR_DELIVERY_URL, "%s", _(why));
}

static int split_path(const char *p, struct rh_remote_url *ret, rh_error **err)
{
    while (*p) {
        size_t n;

        p += *p == '/';
        n = strcspn(p, "/");
        if (!n)
            continue;
        if (ret->count == RH_REMOTE_PARTS)
            return bad_url(N_("the URL's path has too many parts"), err);
        ret->parts[ret->count] = unescape(p, n);
        if (!ret->parts[ret->count++])
            return bad_url(N_("the URL's path is no text"), err);
        p += n;
    }
    return 0;
}

int rh_remote_url(const char *text, struct rh_remote_url *ret, rh_error **err)
{
    const char *rest = strstr(text, "://"), *path;
    struct rh_remote_url u = {0};
    int failed = 0;

    if (!rest || strlen(text) > URL_MAX)
        return bad_url(N_("no URL of a delivery"), err);
    path = rest + 3 + strcspn(rest + 3, "/?#");
    if (memchr(rest + 3, '@', strlen(rest + 3)))
        return rh_fail(err, RH_ERR_HTTP_USERINFO,
                       "a URL may not hold a user or a password");
    if (*path == '?' || *path == '#' || path == rest + 3)
        return bad_url(N_("the URL names no host"), err);
    u.scheme = rh_strndup(text, (size_t)(rest - text));
    u.authority = rh_strndup(rest + 3, (size_t)(path - rest - 3));
    failed = split_path(path, &u, err);
    if (failed)
        rh_remote_url_free(&u);
    else
        *ret = u;
    return failed;
}

/* --- checks ------------------------------------------------------------------
 */

static struct rh_check *add_check(struct rh_checks *c, const char *fmt,
                                  va_list ap)
{
    struct rh_check *check = rh_vec_add(&c->list);
    RH_AUTO(rh_freep) char *text = rh_vprintf(_(fmt), ap);

    check->text = rh_printable(text);
    return check;
}

void rh_check_good(struct rh_checks *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap);
    va_end(ap);
}

void rh_check_caution(struct rh_checks *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap)->caution = true;
    va_end(ap);
}

void rh_check_bad(struct rh_checks *c, enum rh_error_id id, const char *fmt,
                  ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_check(c, fmt, ap)->id = id;
    va_end(ap);
}

void rh_check_hint(struct rh_checks *c, const char *fmt, ...)
{
    struct rh_check *check = &c->list.items[c->list.count - 1];
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    free(check->hint);
    check->hint = rh_printable(text);
}

int rh_checks_verdict(const struct rh_checks *c, rh_lib *lib, rh_error **err)
{
    const struct rh_check *bad = NULL;

    for (size_t i = 0; i < c->list.count; i++) {
        const struct rh_check *check = &c->list.items[i];

        if (check->id != RH_ERR_NONE && !bad)
            bad = check;
        else if (check->id != RH_ERR_NONE || check->caution)
            rh_log(lib, RH_LOG_WARN, "%s", check->text);
        else
            rh_log(lib, RH_LOG_INFO, "%s", check->text);
    }
    if (!bad)
        return 0;
    rh_fail(err, bad->id, "%s", bad->text);
    return bad->hint ? rh_hint(err, "%s", bad->hint) : -1;
}

bool rh_checks_bad(const struct rh_checks *c)
{
    for (size_t i = 0; i < c->list.count; i++)
        if (c->list.items[i].id != RH_ERR_NONE)
            return true;
    return false;
}

static enum rh_finding_id finding_of(const struct rh_check *check)
{
    static const struct {
        enum rh_error_id error;
        enum rh_finding_id finding;
    } rows[] = {
        {RH_ERR_DELIVERY_LIMIT, RH_F_DELIVERY_LIMIT},
        {RH_ERR_DELIVERY_NETWORK, RH_F_DELIVERY_NETWORK},
        {RH_ERR_DELIVERY_RIGHTS, RH_F_DELIVERY_RIGHTS},
        {RH_ERR_DELIVERY_SPACE, RH_F_DELIVERY_SPACE},
        {RH_ERR_DELIVERY_TAKEN, RH_F_DELIVERY_TAKEN},
    };

    for (size_t i = 0; i < RH_COUNT(rows); i++)
        if (rows[i].error == check->id)
            return rows[i].finding;
    return check->caution ? RH_F_DELIVERY_NOTE : RH_F_DELIVERY_PLACE;
}

void rh_checks_find(const struct rh_checks *c, struct rh_findings *findings)
{
    for (size_t i = 0; i < c->list.count; i++) {
        const struct rh_check *check = &c->list.items[i];
        struct rh_finding *f;

        if (check->id == RH_ERR_NONE && !check->caution)
            continue;
        f = rh_finding_add(findings, finding_of(check), "vm", "%s",
                           check->text);
        if (check->hint) {
            free(f->remedy);
            f->remedy = rh_strdup(check->hint);
        }
    }
}

void rh_checks_free(struct rh_checks *c)
{
    for (size_t i = 0; i < c->list.count; i++) {
        free(c->list.items[i].text);
        free(c->list.items[i].hint);
    }
    free(c->list.items);
    *c = (struct rh_checks){0};
}

/* --- the connection
 * ------------------------------------------------------------ */

/* The caller's pins, and the log-in file's for this host. */
static const char **all_pins(const rh_options *o, const char *pin)
{
    const char **pins, *value;
    size_t n = 0;

    while (rh_option_at(o, "pin", n))
        n++;
    pins = rh_calloc(n + 2, sizeof *pins);
    for (size_t i = 0; (value = rh_option_at(o, "pin", i)); i++)
        pins[i] = value;
    pins[n] = pin;
    return pins;
}

static bool has_port(const char *authority)
{
    const char *end = strrchr(authority, ']');

    return strchr(end ? end : authority, ':') != NULL;
}

static int connect_to(struct rh_remote *r, unsigned port, rh_error **err)
{
    const char *authority = r->url.authority;
    RH_AUTO(rh_freep) char *host = rh_http_host_alone(authority);
    RH_AUTO(rh_freep)
    char *url = has_port(authority)
                    ? rh_printf("https://%s", authority)
                    : rh_printf("https://%s:%u", authority, port);
    RH_AUTO(rh_freep)
    char *pin = r->login.pin ? rh_printf("%s=%s", host, r->login.pin) : NULL;
    const char **pins = all_pins(r->options, pin);
    struct rh_http_site site = {.lib = r->lib,
                                .url = url,
                                .ca_file = rh_option(r->options, "tls-ca"),
                                .pins = pins};

    r->http = rh_http_new(&site, err);
    free(pins);
    return r->http ? 0 : -1;
}

int rh_remote_open(struct rh_remote *r, rh_lib *lib, const char *url,
                   unsigned port, bool wants_token, const rh_options *options,
                   rh_error **err)
{
    struct rh_login_source source = {.lib = lib,
                                     .file = rh_option(options, "login"),
                                     .prefix = "REHOST_",
                                     .wants_token = wants_token};

    *r = (struct rh_remote){.lib = lib, .options = options};
    if (rh_remote_url(url, &r->url, err) < 0)
        return -1;
    r->text = rh_strdup(url);
    if (rh_login_find(&source, r->url.authority, &r->login, err) < 0)
        return -1;
    return connect_to(r, port, err);
}

void rh_remote_close(struct rh_remote *r)
{
    rh_http_free(r->http);
    rh_login_free(&r->login);
    rh_remote_url_free(&r->url);
    free(r->text);
    *r = (struct rh_remote){0};
}

void rh_remote_pause(unsigned *ms, unsigned most)
{
    struct timespec t = {.tv_sec = *ms / 1000,
                         .tv_nsec = (long)(*ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
    *ms = RH_MIN(*ms * 2, most);
}
