/* io_http_request.c - one request for a part of a resource, and what its answer
 * says: the range, whether it is still the same resource, the bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/io_http.h"
#include "base/rate.h"
#include "base/text.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL

enum {
    REDIRECTS = 5,
    SILENCE = 60,              /* seconds without a byte: broken */
    STREAM_AHEAD = 512 * 1024, /* of a stream, before the server has to wait */
};

/* --- what the answer says ------------------------------------------------ */

static bool header_is(const char *line, size_t n, const char *name,
                      char *ret_value)
{
    size_t m = strlen(name);

    if (n <= m || strncasecmp(line, name, m) || line[m] != ':')
        return false;
    line += m + 1;
    n -= m + 1;
    while (n && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n &&
           (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    n = RH_MIN(n, (size_t)HEADER_MAX - 1);
    memcpy(ret_value, line, n);
    ret_value[n] = '\0';
    return true;
}

/* "bytes 0-65535/1048576" */
static void take_range(struct transfer *t, const char *value)
{
    const char *dash = strchr(value, '-'), *slash = strchr(value, '/');
    RH_AUTO(rh_freep) char *start = NULL;

    if (strncasecmp(value, "bytes ", 6) || !dash || !slash || dash > slash)
        return;
    start = rh_strndup(value + 6, (size_t)(dash - value - 6));
    t->has_range = rh_parse_u64(start, &t->range_start) &&
                   rh_parse_u64(slash + 1, &t->range_total);
}

static size_t on_header(char *line, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    char value[HEADER_MAX];

    (void)one;
    if (n > 5 && !memcmp(line, "HTTP/", 5)) { /* also after each redirect */
        t->etag[0] = t->modified[0] = t->date[0] = '\0';
        t->has_range = false;
    } else if (header_is(line, n, "ETag", value)) {
        memcpy(t->etag, value, sizeof t->etag);
    } else if (header_is(line, n, "Last-Modified", value)) {
        memcpy(t->modified, value, sizeof t->modified);
    } else if (header_is(line, n, "Date", value)) {
        memcpy(t->date, value, sizeof t->date);
    } else if (header_is(line, n, "Content-Range", value)) {
        take_range(t, value);
    }
    return n;
}

static int changed(struct transfer *t, const char *what)
{
    return rh_fail(&t->error, RH_ERR_HTTP_CHANGED,
                   "the server's file changed while it was read: %s", what);
}

/* A weak ETag promises no equal bytes, so it is no use for If-Range. */
const char *rh_transfer_validator(const struct transfer *t)
{
    if (t->etag[0] == '"')
        return t->etag;
    return t->modified[0] ? t->modified : NULL;
}

/* Of "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7); -1: it is none. */
static time_t time_of(const char *date)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *comma = strchr(date, ','), *at;
    struct tm tm = {0};
    char month[4] = "";
    const char *rest;

    if (!comma || strlen(comma) < 9)
        return -1;
    memcpy(month, comma + 5, 3);
    at = strstr(months, month);
    if (strlen(month) != 3 || !at || (at - months) % 3)
        return -1;
    rest = strptime(comma + 9, "%Y %H:%M:%S", &tm); /* numbers alone */
    tm.tm_mday = (int)strtol(comma + 2, NULL, 10);
    tm.tm_mon = (int)(at - months) / 3;
    return rest ? timegm(&tm) : -1;
}

/* A date tells every change only once it is not of this very moment (RFC 9110,
 * 8.8.2.2); of what changes in between, its size alone might tell. */
bool rh_transfer_is_loose(const struct transfer *t)
{
    enum { SETTLED = 60 }; /* seconds; clocks of several servers differ */
    time_t modified = time_of(t->modified), now = time_of(t->date);

    return t->etag[0] != '"' && (modified < 0 || now - modified < SETTLED);
}

static int check_range(struct transfer *t)
{
    const struct http *h = t->h;
    const char *now = rh_transfer_validator(t);

    if (!t->has_range || t->range_start != t->offset)
        return rh_fail(&t->error, RH_ERR_HTTP_FAILED,
                       "the server answers with other bytes than asked for");
    if (t->first)
        return 0;
    if (t->range_total != h->size)
        return changed(t, "its size is another");
    if (h->validator && now && strcmp(h->validator, now))
        return changed(t, "its ETag or date is another");
    /* A date need not come with a part (RFC 9110, 15.3.7), an ETag must. */
    if (h->validator && h->validator[0] == '"' && !now)
        return changed(t, "its ETag is gone");
    return 0;
}

static int take_whole(struct pull *p, const void *bytes, size_t n)
{
    p->whole = true;
    rh_buf_add(&p->bytes, bytes, n);
    return 0;
}

/* For the next try: pieces, or `all` there is. */
void rh_window_keep(struct http *h, struct window *w, bool all)
{
    while (h->kept && w->got - w->kept >= (all ? 1 : RH_FETCHED_PIECE)) {
        size_t n = RH_MIN(w->got - w->kept, (size_t)RH_FETCHED_PIECE);

        rh_fetched_put(h->kept, w->bytes + w->kept, n, w->offset + w->kept);
        w->kept += n;
    }
}

static int take_piece(struct transfer *t, const void *bytes, size_t n)
{
    struct window *w = t->window;

    if (t->got == 0 && check_range(t) < 0)
        return -1;
    if (n > t->want - t->got)
        return rh_fail(&t->error, RH_ERR_HTTP_FAILED,
                       "the server sends more than was asked for");
    memcpy(w->bytes + w->got, bytes, n);
    t->got += n;
    pthread_mutex_lock(&t->h->lock);
    w->got += n;
    w->tries = 0;
    t->h->renewed = false;
    pthread_mutex_unlock(&t->h->lock);
    rh_window_keep(t->h, w, false);
    return 0;
}

static int take_body(struct transfer *t, const void *bytes, size_t n)
{
    long status = 0;

    rh_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && t->pull)
        return take_whole(t->pull, bytes, n);
    if (status == 200)
        return changed(t, "it is sent from its start");
    if (status != 206)
        return rh_fail(&t->error, RH_ERR_HTTP_STATUS,
                       "the server answers with status %ld", status);
    return take_piece(t, bytes, n);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct transfer *t = user;

    (void)one;
    if (t->pull && t->pull->bytes.length >= STREAM_AHEAD) {
        t->pull->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    /* While this waits, the kernel's buffers fill and the server has to. */
    if (rh_rate_take(t->h->lib, n, &t->error) < 0 || take_body(t, bytes, n) < 0)
        return CURL_WRITEFUNC_ERROR;
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

/* --- one request --------------------------------------------------------- */

/* Never to where a redirect leads: libcurl keeps it to the first host. */
static void log_in(CURL *c)
{
    const char *user = getenv("REHOST_SOURCE_USER");
    const char *password = getenv("REHOST_SOURCE_PASSWORD");

    if (!user || !user[0] || !password || !password[0])
        return;
    rh_curl.easy_setopt(c, CURLOPT_USERNAME, user);
    rh_curl.easy_setopt(c, CURLOPT_PASSWORD, password);
}

int rh_transfer_open(struct transfer *t, struct http *h, rh_error **err)
{
    CURL *c = rh_curl_new(h->trust, err);
    bool tls = !strncasecmp(h->url, "https:", 6);

    t->h = h;
    t->curl = c;
    if (!c)
        return -1;
    rh_curl.easy_setopt(c, CURLOPT_URL, h->url);
    /* Who asked for https is not to be led to http. */
    rh_curl.easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                        tls ? "https" : "http,https");
    rh_curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, h->follow ? 1L : 0L);
    rh_curl.easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    rh_curl.easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    rh_curl.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    rh_curl.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENCE);
    rh_curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    rh_curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    rh_curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    rh_curl.easy_setopt(c, CURLOPT_HEADERDATA, t);
    rh_curl.easy_setopt(c, CURLOPT_WRITEDATA, t);
    rh_curl.easy_setopt(c, CURLOPT_XFERINFODATA, t);
    if (h->log_in)
        log_in(c);
    return 0;
}

void rh_lines_drop(struct curl_slist *lines)
{
    for (struct curl_slist *l = lines; l; l = l->next)
        rh_wipe(l->data, strlen(l->data));
    if (lines)
        rh_curl.slist_free_all(lines);
}

void rh_transfer_drop_headers(struct transfer *t)
{
    rh_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    rh_lines_drop(t->headers);
    t->headers = NULL;
}

int rh_transfer_start(struct transfer *t, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *range = rh_printf("%llu-%llu", (unsigned long long)t->offset,
                            (unsigned long long)(t->offset + t->want - 1));
    RH_AUTO(rh_freep) char *condition = NULL;

    t->got = 0;
    t->has_range = false;
    t->etag[0] = t->modified[0] = t->date[0] = '\0';
    t->login = t->h->login;
    for (struct curl_slist *l = t->h->session; l; l = l->next)
        t->headers = rh_curl.slist_append(t->headers, l->data);
    if (t->h->validator) {
        condition = rh_printf("If-Range: %s", t->h->validator);
        t->headers = rh_curl.slist_append(t->headers, condition);
    }
    rh_curl.easy_setopt(t->curl, CURLOPT_RANGE, range);
    rh_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->headers);
    if (rh_curl.multi_add_handle(t->h->multi, t->curl) == CURLM_OK)
        return 0;
    return rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
}

void rh_transfer_close(struct transfer *t)
{
    if (!t->curl)
        return;
    rh_curl.multi_remove_handle(t->h->multi, t->curl);
    rh_transfer_drop_headers(t);
    rh_curl.easy_cleanup(t->curl);
    rh_error_free(t->error);
}

static int say_status(const struct transfer *t, rh_error **err)
{
    long status = 0;

    rh_curl.easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    rh_fail(err, RH_ERR_HTTP_STATUS, "the server answers with status %ld",
            status);
    if (status == 401 || status == 403)
        rh_hint(err, t->h->log_in
                         ? "the server wants a user and a password (set "
                           "REHOST_SOURCE_USER and REHOST_SOURCE_PASSWORD), or "
                           "a fresh link"
                         : "the server wants another user or password, or a "
                           "fresh link");
    return rh_error_subject(err, t->h->shown);
}

int rh_transfer_say(struct transfer *t, CURLcode code, rh_error **err)
{
    if (t->error) {
        if (err && !*err)
            *err = RH_TAKE(t->error);
        return rh_error_subject(err, t->h->shown);
    }
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return say_status(t, err);
    rh_fail(err, rh_curl_error(code), "fetching failed at 0x%llx: %s",
            (unsigned long long)(t->offset + t->got),
            rh_curl.easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION && t->h->session)
        rh_curl_hint(t->h->trust, code, err);
    return rh_error_subject(err, t->h->shown);
}
#endif
