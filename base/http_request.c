/* http_request.c - one request to a server, what it answers, and when it is
 * asked once more. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/http_client.h"
#include "base/rate.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL

enum {
    SILENCE = 60,             /* seconds */
    HEADERS_MAX = 256 * 1024, /* bytes of an answer's headers */
};

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
        rh_http_take_cookie(t->h, cookie);
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

void rh_http_set_transfer(struct transfer *t)
{
    CURL *c = t->curl;
    RH_AUTO(rh_wipe_freep)
    char *url = rh_printf("%s%s", t->h->base, t->r->path ? t->r->path : "/");

    rh_http_add_lines(t);
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

void rh_http_log(const struct rh_http *h, const struct rh_http_request *r,
                 long status)
{
    RH_AUTO(rh_freep) char *path = shown_path(r);

    rh_log(h->lib, RH_LOG_DEBUG, "%s %s%s: status %ld",
           r->method ? r->method : "GET", h->base, path, status);
}

int rh_http_say(struct transfer *t, CURLcode code, rh_error **err)
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
    rh_http_set_transfer(t);
    rh_curl.easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    rh_curl.easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME,
                        (long)(t->r->silence ? t->r->silence : SILENCE));
    code = rh_curl.easy_perform(t->curl);
    rh_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    rh_curl.easy_setopt(t->curl, CURLOPT_POSTFIELDS, NULL);
    rh_http_drop_lines(t);
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
                return rh_http_say(&t, code, err);
            rh_http_log(h, r, ret->status);
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

#endif
