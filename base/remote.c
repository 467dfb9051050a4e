/* remote.c - a server's URL, and being connected to it with who we are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/remote.h"

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

static int split_path(const char *p, enum rh_error_id wrong,
                      struct rh_remote_url *ret, rh_error **err)
{
    while (*p) {
        size_t n;

        p += *p == '/';
        n = strcspn(p, "/");
        if (!n)
            continue;
        if (ret->count == RH_REMOTE_PARTS)
            return rh_fail(err, wrong, "the URL's path has too many parts");
        ret->parts[ret->count] = unescape(p, n);
        if (!ret->parts[ret->count++])
            return rh_fail(err, wrong, "the URL's path is no text");
        p += n;
    }
    return 0;
}

int rh_remote_url(const char *text, struct rh_remote_url *ret, rh_error **err)
{
    return rh_remote_url_as(text, RH_ERR_DELIVERY_URL, ret, err);
}

int rh_remote_url_as(const char *text, enum rh_error_id wrong,
                     struct rh_remote_url *ret, rh_error **err)
{
    const char *rest = strstr(text, "://"), *path;
    struct rh_remote_url u = {0};
    int failed = 0;

    if (!rest || strlen(text) > URL_MAX)
        return rh_fail(err, wrong, "this is no URL of a server");
    path = rest + 3 + strcspn(rest + 3, "/?#");
    if (memchr(rest + 3, '@', strlen(rest + 3)))
        return rh_fail(err, RH_ERR_HTTP_USERINFO,
                       "a URL may not hold a user or a password");
    if (*path == '?' || *path == '#' || path == rest + 3)
        return rh_fail(err, wrong, "the URL names no host");
    u.scheme = rh_strndup(text, (size_t)(rest - text));
    u.authority = rh_strndup(rest + 3, (size_t)(path - rest - 3));
    failed = split_path(path, wrong, &u, err);
    if (failed)
        rh_remote_url_free(&u);
    else
        *ret = u;
    return failed;
}

/* --- the connection
 * ------------------------------------------------------------ */

/* What holds for one side. */
struct side {
    const char *prefix;    /* of the environment's names */
    const char *ca, *pins; /* options; */
    bool common;           /* and those without "source-", too */
    enum rh_error_id wrong;
};

static size_t add_pins(const rh_options *o, const char *key, const char **to,
                       size_t n)
{
    const char *value;

    for (size_t i = 0; (value = rh_option_at(o, key, i)); i++, n++)
        if (to)
            to[n] = value;
    return n;
}

static size_t collect_pins(const struct side *s, const rh_options *o,
                           const char **to)
{
    size_t n = add_pins(o, s->pins, to, 0);

    return s->common ? add_pins(o, "pin", to, n) : n;
}

static int check_pins_of(const rh_options *o, const char *key, rh_error **err)
{
    RH_AUTO(rh_freep) char *said = rh_printf("--%s", key);
    const char *value;

    for (size_t i = 0; (value = rh_option_at(o, key, i)); i++)
        if (rh_http_check_pin(value, said, err) < 0)
            return -1;
    return 0;
}

/* Each by the name under which it was given. */
static int check_pins(const struct side *s, const rh_options *o,
                      const char *pin, rh_error **err)
{
    if (check_pins_of(o, s->pins, err) < 0 ||
        (s->common && check_pins_of(o, "pin", err) < 0))
        return -1;
    return pin ? rh_http_check_pin(pin, _("the log-in file's pin"), err) : 0;
}

/* The caller's pins, and the log-in file's for this host. */
static const char **all_pins(const struct side *s, const rh_options *o,
                             const char *pin)
{
    size_t n = collect_pins(s, o, NULL);
    const char **pins = rh_calloc(n + 2, sizeof *pins);

    collect_pins(s, o, pins);
    pins[n] = pin;
    return pins;
}

static const char *ca_file(const struct side *s, const rh_options *o)
{
    const char *file = rh_option(o, s->ca);

    return file || !s->common ? file : rh_option(o, "tls-ca");
}

static bool has_port(const char *authority)
{
    const char *end = strrchr(authority, ']');

    return strchr(end ? end : authority, ':') != NULL;
}

static int connect_to(struct rh_remote *r, const struct side *side,
                      unsigned port, rh_error **err)
{
    const char *authority = r->url.authority;
    RH_AUTO(rh_freep) char *host = rh_http_host_alone(authority);
    RH_AUTO(rh_freep)
    char *url = has_port(authority)
                    ? rh_printf("https://%s", authority)
                    : rh_printf("https://%s:%u", authority, port);
    RH_AUTO(rh_freep)
    char *pin = r->login.pin ? rh_printf("%s=%s", host, r->login.pin) : NULL;
    const char **pins = NULL;
    struct rh_http_site site = {
        .lib = r->lib, .url = url, .ca_file = ca_file(side, r->options)};

    if (check_pins(side, r->options, r->login.pin, err) < 0)
        return -1;
    site.pins = pins = all_pins(side, r->options, pin);
    r->http = rh_http_new(&site, err);
    free(pins);
    return r->http ? 0 : -1;
}

static int open_side(struct rh_remote *r, const struct side *side,
                     const char *url, unsigned port, bool wants_token,
                     rh_error **err)
{
    struct rh_login_source source = {.lib = r->lib,
                                     .port = port,
                                     .file = rh_option(r->options, "login"),
                                     .prefix = side->prefix,
                                     .wants_token = wants_token};

    if (rh_remote_url_as(url, side->wrong, &r->url, err) < 0)
        return -1;
    r->text = rh_strdup(url);
    if (rh_login_find(&source, r->url.authority, &r->login, err) < 0)
        return -1;
    return connect_to(r, side, port, err);
}

int rh_remote_open(struct rh_remote *r, rh_lib *lib, const char *url,
                   unsigned port, bool wants_token, const rh_options *options,
                   rh_error **err)
{
    static const struct side side = {.prefix = "REHOST_",
                                     .ca = "tls-ca",
                                     .pins = "pin",
                                     .wrong = RH_ERR_DELIVERY_URL};

    *r = (struct rh_remote){.lib = lib, .options = options};
    return open_side(r, &side, url, port, wants_token, err);
}

static bool is_remote(const rh_options *o, const char *key)
{
    const char *value = rh_option(o, key);

    return value && strstr(value, "://");
}

int rh_remote_open_source(struct rh_remote *r, rh_lib *lib, const char *url,
                          unsigned port, bool wants_token,
                          const rh_options *options, rh_error **err)
{
    struct side side = {.prefix = "REHOST_SOURCE_",
                        .ca = "source-tls-ca",
                        .pins = "source-pin",
                        .common = !is_remote(options, "out") &&
                                  !is_remote(options, "target") &&
                                  !is_remote(options, "deliver"),
                        .wrong = RH_ERR_LIVE_URL};

    *r = (struct rh_remote){.lib = lib, .options = options};
    return open_side(r, &side, url, port, wants_token, err);
}

void rh_remote_close(struct rh_remote *r)
{
    rh_http_free(r->http);
    rh_login_free(&r->login);
    rh_remote_url_free(&r->url);
    free(r->text);
    *r = (struct rh_remote){0};
}

void rh_remote_pause(rh_lib *lib, unsigned *ms, unsigned most)
{
    enum { STEP = 100 };

    for (unsigned left = *ms; left && rh_go_on(lib, NULL) == 0;) {
        unsigned part = RH_MIN(left, (unsigned)STEP);
        struct timespec t = {.tv_nsec = (long)part * 1000000L};

        nanosleep(&t, NULL);
        left -= part;
    }
    *ms = RH_MIN(*ms * 2, most);
}
