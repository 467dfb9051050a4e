/* io_http.c - an http(s) resource as random-access bytes, by libcurl.
 *
 * Ranges are asked for as reading needs them, into a few windows that grow
 * while reading goes on in order; then the next ones are asked for ahead, side
 * by side, so that a distant server's delay is waited for once.  No thread of
 * ours does that: one of the readers that wait drives the transfers for all,
 * and who reads what is there gives them a push in passing; in between the
 * kernel's buffers fill.  No byte is asked for twice while its window is kept.
 *
 * A broken connection is taken up where it broke; a resource that changes
 * meanwhile (ETag, size) is an error, since half of each would be neither.  Of
 * one that tells its changes, what comes is kept for the next try where that
 * was asked for (fetched.h), and what an earlier one kept is a window like any
 * other.  A server without ranges is a stream: it sends all in answer to the
 * first request, which waits while nobody reads on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/curl.h"
#include "base/fetched.h"
#include "base/http.h"
#include "base/limits.h"
#include "base/rate.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL
#include <pthread.h>

enum {
    WINDOWS = 8,
    WINDOW_MIN = 64 * 1024,
    WINDOW_MAX = 2 * 1024 * 1024,
    AHEAD = 4,               /* windows asked for before they are needed */
    AHEAD_FROM = 512 * 1024, /* once a window is as large as this */
    PUSH_EVERY = 128 * 1024, /* bytes read, and others' transfers go on */
    REDIRECTS = 5,
    SILENCE = 60, /* seconds without a byte: broken */
    HEADER_MAX = 1024,
    STREAM_AHEAD = 512 * 1024, /* of a stream, before the server has to wait */
};

struct http;

/* One request and what came of it. */
struct transfer {
    struct http *h;
    CURL *curl;
    struct window *window; /* takes the bytes, */
    struct pull *pull;     /* or this: of a server that sends all */
    uint64_t offset;       /* asked for */
    size_t want, got;      /* of this request */
    bool first;            /* the size is not known yet */
    char etag[HEADER_MAX], modified[HEADER_MAX], date[HEADER_MAX];
    bool has_range;
    uint64_t range_start, range_total;
    struct curl_slist *headers;
    unsigned login;  /* of these headers */
    rh_error *error; /* why the callback stopped it */
};

enum state { EMPTY, QUEUED, ACTIVE, BROKEN, DONE };

/* Bytes [offset, offset + want) of the resource, the first `got` are there. */
struct window {
    uint8_t *bytes;
    uint64_t offset;
    size_t want, got;
    size_t kept;   /* of them; by its transfer alone */
    size_t ask;    /* how much was asked for, to grow from */
    uint64_t used; /* when, for eviction */
    enum state state;
    unsigned tries; /* in a row without a byte */
    CURLcode code;  /* why it is BROKEN */
    struct transfer t;
};

struct http {
    rh_lib *lib;
    struct rh_curl_trust own_trust, *trust;
    struct curl_slist *session; /* headers of a session, secrets; or NULL */
    struct rh_http *client;     /* whose session it is */
    rh_http_renew *renew;       /* or NULL */
    void *renew_user;
    unsigned login;   /* the client's, of `session` */
    bool renewed;     /* and nothing has come since */
    rh_http_map *map; /* or NULL */
    void *map_user;
    bool follow;             /* redirects */
    bool log_in;             /* as the environment says */
    char *url;               /* may hold a password */
    char *shown;             /* for messages */
    char *validator;         /* for If-Range, or NULL */
    bool loose;              /* it does not tell every change */
    struct rh_fetched *kept; /* by earlier tries and this one; or NULL */
    uint64_t size;
    pthread_mutex_t lock; /* over all below but `multi` */
    pthread_cond_t news;
    bool driving; /* some thread is in `multi` */
    CURLM *multi;
    struct window windows[WINDOWS];
    uint64_t clock;
    size_t unpushed;   /* bytes read since the last push */
    struct pull *pull; /* a server without ranges, else NULL */
};

/* A transfer that goes on while its bytes are read: the first one, as long as
 * it is not known whether the server has ranges; then that of one without. */
struct pull {
    struct transfer t;
    struct rh_buf bytes;
    size_t given; /* of them */
    bool whole;   /* the server sends all */
    bool paused, done;
    CURLcode code; /* once done */
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
static const char *validator_of(const struct transfer *t)
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
static bool is_loose(const struct transfer *t)
{
    enum { SETTLED = 60 }; /* seconds; clocks of several servers differ */
    time_t modified = time_of(t->modified), now = time_of(t->date);

    return t->etag[0] != '"' && (modified < 0 || now - modified < SETTLED);
}

static int check_range(struct transfer *t)
{
    const struct http *h = t->h;
    const char *now = validator_of(t);

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
static void keep_some(struct http *h, struct window *w, bool all)
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
    keep_some(t->h, w, false);
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

static int open_handle(struct transfer *t, struct http *h, rh_error **err)
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

static void drop_lines(struct curl_slist *lines)
{
    for (struct curl_slist *l = lines; l; l = l->next)
        rh_wipe(l->data, strlen(l->data));
    if (lines)
        rh_curl.slist_free_all(lines);
}

static void drop_headers(struct transfer *t)
{
    rh_curl.easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
    drop_lines(t->headers);
    t->headers = NULL;
}

static int start_transfer(struct transfer *t, rh_error **err)
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

static void close_handle(struct transfer *t)
{
    if (!t->curl)
        return;
    rh_curl.multi_remove_handle(t->h->multi, t->curl);
    drop_headers(t);
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

static int say(struct transfer *t, CURLcode code, rh_error **err)
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

/* --- a server that sends all --------------------------------------------- */

static void pull_free(struct pull *p)
{
    if (!p)
        return;
    close_handle(&p->t);
    rh_buf_free(&p->bytes);
    free(p);
}
RH_FREEP(pull_freep, struct pull, pull_free)

static struct pull *pull_start(struct http *h, rh_error **err)
{
    RH_AUTO(pull_freep) struct pull *p = rh_new0(struct pull);

    if (open_handle(&p->t, h, err) < 0)
        return NULL;
    p->t.first = true;
    p->t.window = &h->windows[0];
    p->t.window->got = 0;
    p->t.want = WINDOW_MIN;
    p->t.pull = p;
    return start_transfer(&p->t, err) < 0 ? NULL : RH_TAKE(p);
}

/* Let some come; waits a little at most. */
static int pull_step(struct pull *p, rh_error **err)
{
    CURLM *multi = p->t.h->multi;
    CURLMsg *message;
    int running = 0, left;

    if (p->paused) {
        p->paused = false;
        rh_curl.easy_pause(p->t.curl, CURLPAUSE_CONT);
    }
    if (rh_curl.multi_perform(multi, &running) != CURLM_OK)
        return rh_fail(err, RH_ERR_HTTP_FAILED, "the transfer cannot go on");
    while ((message = rh_curl.multi_info_read(multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            p->done = true;
            p->code = message->data.result;
        }
    if (!p->done && p->given == p->bytes.length)
        rh_curl.multi_poll(multi, NULL, 0, RH_CURL_POLL, NULL);
    return rh_go_on(p->t.h->lib, err);
}

static int broke_for_good(const struct rh_stream *s, CURLcode code,
                          rh_error **err)
{
    rh_fail(err, RH_ERR_HTTP_FAILED,
            "the connection broke after %llu bytes (%s), and the server "
            "offers no ranges to go on from there",
            (unsigned long long)s->position, rh_curl.easy_strerror(code));
    return rh_hint(err, "download the file with another tool and give its "
                        "path");
}

static int pull_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                     rh_error **err)
{
    struct http *h = s->state;
    struct pull *p = h->pull;

    if (p->given == p->bytes.length)
        p->given = p->bytes.length = 0;
    while (p->given == p->bytes.length && !p->done)
        if (pull_step(p, err) < 0)
            return -1;
    *ret_n = RH_MIN(n, p->bytes.length - p->given);
    if (*ret_n)
        memcpy(buf, p->bytes.data + p->given, *ret_n);
    p->given += *ret_n;
    if (*ret_n || p->code == CURLE_OK)
        return 0;
    return p->t.error ? say(&p->t, p->code, err)
                      : broke_for_good(s, p->code, err);
}

/* --- the first request --------------------------------------------------- */

/* Up to its end, or to where it shows that the server sends all. */
static int pull_head(struct pull *p, rh_error **err)
{
    while (!p->done && !p->whole)
        if (pull_step(p, err) < 0)
            return rh_error_subject(err, p->t.h->shown);
    return 0;
}

static void take_first(struct http *h, const struct transfer *t)
{
    struct window *w = &h->windows[0];

    h->size = t->range_total;
    h->validator = rh_strdup(validator_of(t));
    h->loose = is_loose(t);
    w->want = w->got;
    w->ask = WINDOW_MIN;
    w->state = DONE;
}

/* It tells the size, and whether there are ranges. */
static int meet(struct http *h, rh_error **err)
{
    h->windows[0].bytes = rh_malloc(WINDOW_MAX);
    for (unsigned tries = 1;; tries++) {
        RH_AUTO(pull_freep) struct pull *p = pull_start(h, err);

        if (!p || pull_head(p, err) < 0)
            return -1;
        if (p->whole) {
            h->pull = RH_TAKE(p);
            return 0;
        }
        if (p->t.got &&
            (p->code == CURLE_OK || rh_curl_may_pass(p->t.curl, p->code))) {
            take_first(h, &p->t);
            return 0;
        }
        if (p->code == CURLE_OK)
            p->code = CURLE_GOT_NOTHING;
        /* A wrong address is likelier than a server that is just starting. */
        if (p->t.error || !rh_curl_may_pass(p->t.curl, p->code) ||
            tries == (rh_curl_not_sent(p->code) ? 2 : RH_CURL_TRIES))
            return say(&p->t, p->code, err);
        if (rh_curl_wait(h->lib, tries, err) < 0)
            return -1;
    }
}

/* --- windows ------------------------------------------------------------- */
/* From here to http_read() the lock is held, but for drive() while it is in
 * libcurl; a QUEUED or ACTIVE window belongs to its transfer. */

static struct window *window_with(struct http *h, uint64_t offset)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->state != EMPTY && offset >= w->offset &&
            offset - w->offset < w->want)
            return w;
    }
    return NULL;
}

static bool in_use(const struct window *w)
{
    return w->state == QUEUED || w->state == ACTIVE;
}

/* The one that was not needed for the longest time; NULL: all are under way. */
static struct window *oldest_window(struct http *h)
{
    struct window *oldest = NULL;

    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (!in_use(w) && (!oldest || w->used < oldest->used))
            oldest = w;
    }
    return oldest;
}

/* Whoever reads on where a window ends, or not far behind it, gets a larger
 * one. */
static size_t how_much(const struct http *h, uint64_t offset, size_t need)
{
    size_t ask = WINDOW_MIN;

    for (size_t i = 0; i < WINDOWS; i++) {
        const struct window *w = &h->windows[i];
        uint64_t end = w->offset + w->want;

        if (w->state != EMPTY && offset >= end && offset - end <= w->ask)
            ask = RH_MAX(ask, w->ask * 2);
    }
    return RH_MIN(RH_MAX(ask, need), (size_t)WINDOW_MAX);
}

/* To where data ends, or where a hole that somebody wants to see does. */
static size_t cut_to_data(const struct http *h, uint64_t offset, size_t n)
{
    uint64_t start, end;

    if (!h->map)
        return n;
    h->map(h->map_user, offset, &start, &end);
    end = start > offset ? start : end;
    return end > offset ? (size_t)RH_MIN((uint64_t)n, end - offset) : n;
}

static uint64_t next_data(const struct http *h, uint64_t offset)
{
    uint64_t start = offset, end;

    if (h->map && offset < h->size)
        h->map(h->map_user, offset, &start, &end);
    return RH_MAX(start, offset);
}

/* As much of it as nobody has asked for. */
static size_t cut_to_fit(const struct http *h, uint64_t offset, size_t n)
{
    n = (size_t)RH_MIN((uint64_t)n, h->size - offset);
    n = cut_to_data(h, offset, n);
    if (h->kept)
        n = (size_t)RH_MIN((uint64_t)n,
                           rh_fetched_next(h->kept, offset) - offset);
    for (size_t i = 0; i < WINDOWS; i++) {
        const struct window *w = &h->windows[i];

        if (w->state != EMPTY && w->offset > offset && w->offset - offset < n)
            n = (size_t)(w->offset - offset);
    }
    return n;
}

/* What an earlier try has fetched. */
static bool take_kept(struct http *h, struct window *w, uint64_t offset)
{
    uint64_t start;
    size_t n;

    if (!h->kept || !rh_fetched_get(h->kept, offset, w->bytes, &start, &n))
        return false;
    w->offset = start;
    w->want = w->got = w->kept = w->ask = n;
    w->state = DONE;
    return true;
}

/* One that is DONE already came from what was kept. */
static struct window *queue_window(struct http *h, uint64_t offset, size_t ask)
{
    struct window *w = oldest_window(h);

    if (!w)
        return NULL;
    if (!w->bytes)
        w->bytes = rh_malloc(WINDOW_MAX);
    rh_error_free(w->t.error); /* of what nobody came to read */
    w->t.error = NULL;
    w->state = EMPTY; /* it is no neighbour of its own */
    w->tries = 0;
    w->used = ++h->clock;
    if (take_kept(h, w, offset))
        return w;
    w->want = cut_to_fit(h, offset, ask);
    w->offset = offset;
    w->ask = ask;
    w->got = w->kept = 0;
    w->state = QUEUED;
    return w;
}

static size_t under_way(const struct http *h)
{
    size_t n = 0;

    for (size_t i = 0; i < WINDOWS; i++)
        n += in_use(&h->windows[i]);
    return n;
}

static bool is_kept(const struct http *h, uint64_t offset)
{
    uint64_t start;
    size_t n;

    return h->kept && rh_fetched_find(h->kept, offset, &start, &n);
}

/* Whoever reads in a large window will want what follows it. */
static void look_ahead(struct http *h, const struct window *from)
{
    uint64_t offset = next_data(h, from->offset + from->want);
    size_t ask = from->ask;

    for (size_t i = 0; ask >= AHEAD_FROM && i < AHEAD && offset < h->size;
         i++) {
        struct window *next = window_with(h, offset);

        ask = RH_MIN(ask * 2, (size_t)WINDOW_MAX);
        if (!next && under_way(h) < AHEAD && !is_kept(h, offset))
            next = queue_window(h, offset, ask);
        if (!next)
            break;
        next->used = ++h->clock; /* not to be dropped before it is read */
        offset = next_data(h, next->offset + next->want);
    }
}

static void start_queued(struct http *h)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->state != QUEUED)
            continue;
        w->t.window = w;
        w->t.offset = w->offset + w->got;
        w->t.want = w->want - w->got;
        if ((w->t.curl || open_handle(&w->t, h, &w->t.error) == 0) &&
            start_transfer(&w->t, &w->t.error) == 0) {
            w->state = ACTIVE;
            continue;
        }
        w->state = BROKEN;
        w->code = CURLE_OUT_OF_MEMORY;
    }
}

static void end_transfer(struct http *h, CURL *c, CURLcode code)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->t.curl != c || w->state != ACTIVE)
            continue;
        rh_curl.multi_remove_handle(h->multi, c);
        drop_headers(&w->t);
        keep_some(h, w, true);
        w->tries++;
        /* A server may send less than was asked for. */
        w->state = w->got == w->want ? DONE : w->t.got ? QUEUED : BROKEN;
        w->code = code == CURLE_OK ? CURLE_GOT_NOTHING : code;
        if (w->state == QUEUED && code != CURLE_OK)
            w->state = BROKEN;
    }
}

/* Let transfers go on; waits a little at most, and only when told to. */
static void drive(struct http *h, bool wait)
{
    CURLMsg *message;
    int running, left;

    h->driving = true;
    start_queued(h);
    pthread_mutex_unlock(&h->lock);
    rh_curl.multi_perform(h->multi, &running);
    if (wait && running)
        rh_curl.multi_poll(h->multi, NULL, 0, RH_CURL_POLL, NULL);
    if (wait && running)
        rh_curl.multi_perform(h->multi, &running);
    pthread_mutex_lock(&h->lock);
    while ((message = rh_curl.multi_info_read(h->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            end_transfer(h, message->easy_handle, message->data.result);
    h->driving = false;
    pthread_cond_broadcast(&h->news);
}

static void take_session(void *user)
{
    struct http *h = user;
    struct curl_slist *lines = rh_http_lines(h->client), *old;

    pthread_mutex_lock(&h->lock);
    old = h->session;
    h->session = lines;
    pthread_mutex_unlock(&h->lock);
    drop_lines(old);
}

/* Its session has ended, not its right to read: once until something comes. */
static bool log_in_again(struct http *h, struct window *w)
{
    unsigned login = h->login;
    bool good;
    long status = 0;

    if (w->code == CURLE_HTTP_RETURNED_ERROR)
        rh_curl.easy_getinfo(w->t.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 401 || !h->renew || w->t.error)
        return false;
    if (w->t.login != h->login) /* it was asked for by the old one */
        return true;
    if (h->renewed)
        return false;
    h->renewed = true;
    w->state = QUEUED; /* nobody else takes it up or drops it */
    h->driving = true; /* and nobody starts anything with the old one */
    pthread_mutex_unlock(&h->lock);
    good = h->renew(h->renew_user, &login, take_session, h);
    pthread_mutex_lock(&h->lock);
    h->login = login;
    h->driving = false;
    w->state = BROKEN; /* as before */
    pthread_cond_broadcast(&h->news);
    return good;
}

/* What broke is asked for again from where it broke, after a while. */
static int take_up(struct http *h, struct window *w, rh_error **err)
{
    int failed;

    if (log_in_again(h, w)) {
        w->state = QUEUED;
        return 0;
    }
    if (w->t.error || !rh_curl_may_pass(w->t.curl, w->code) ||
        w->tries >= RH_CURL_TRIES) {
        say(&w->t, w->code, err);
        rh_error_free(w->t.error);
        w->t.error = NULL;
        w->state = EMPTY;
        return -1;
    }
    rh_log(h->lib, RH_LOG_WARN, "%s: %s; going on from 0x%llx", h->shown,
           rh_curl.easy_strerror(w->code),
           (unsigned long long)(w->offset + w->got));
    w->state = QUEUED; /* nobody else takes it up or drops it */
    h->driving = true; /* and nobody starts it before its time */
    pthread_mutex_unlock(&h->lock);
    failed = rh_curl_wait(h->lib, w->tries, err);
    pthread_mutex_lock(&h->lock);
    h->driving = false;
    pthread_cond_broadcast(&h->news);
    return failed;
}

/* Wait until something of it has changed. */
static int await(struct http *h, rh_error **err)
{
    if (h->driving)
        rh_wait_cond(&h->news, &h->lock, RH_CURL_POLL);
    else
        drive(h, true);
    return rh_go_on(h->lib, err);
}

/* The window with the byte at `offset`, which is there. */
static struct window *window_for(struct http *h, uint64_t offset, size_t need,
                                 rh_error **err)
{
    for (;;) {
        struct window *w = window_with(h, offset);

        if (w && w->got > offset - w->offset)
            return w;
        if (w && w->state == BROKEN && !h->driving) {
            if (take_up(h, w, err) < 0)
                return NULL;
            continue;
        }
        if (!w) {
            w = queue_window(h, offset, how_much(h, offset, need));
            if (w)
                look_ahead(h, w);
            if (w && w->state == DONE)
                continue;
        }
        if (await(h, err) < 0)
            return NULL;
    }
}

static void push(struct http *h, size_t n)
{
    h->unpushed += n;
    if (h->unpushed < PUSH_EVERY || h->driving || !under_way(h))
        return;
    h->unpushed = 0;
    drive(h, false);
}

static int read_locked(struct http *h, uint8_t *to, size_t n, uint64_t offset,
                       rh_error **err)
{
    while (n) {
        struct window *w = window_for(h, offset, n, err);
        size_t part;

        if (!w)
            return -1;
        w->used = ++h->clock;
        part = (size_t)RH_MIN((uint64_t)n, w->got - (offset - w->offset));
        memcpy(to, w->bytes + (offset - w->offset), part);
        to += part;
        offset += part;
        n -= part;
        look_ahead(h, w);
        push(h, part);
    }
    return 0;
}

static int http_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    struct http *h = io->state;
    int result;

    pthread_mutex_lock(&h->lock);
    result = read_locked(h, buf, n, offset, err);
    pthread_mutex_unlock(&h->lock);
    return result;
}

/* --- opening ------------------------------------------------------------- */

static void http_free(struct http *h)
{
    pull_free(h->pull);
    for (size_t i = 0; i < WINDOWS; i++) {
        close_handle(&h->windows[i].t);
        if (h->windows[i].state == ACTIVE) /* a cancel, or nobody read it */
            keep_some(h, &h->windows[i], true);
        free(h->windows[i].bytes);
    }
    if (h->kept)
        rh_fetched_free(h->kept);
    if (h->multi)
        rh_curl.multi_cleanup(h->multi);
    drop_lines(h->session);
    pthread_cond_destroy(&h->news);
    pthread_mutex_destroy(&h->lock);
    rh_curl_trust_free(&h->own_trust);
    free(h->validator);
    free(h->shown);
    rh_wipe_freep(&h->url);
    free(h);
}
RH_FREEP(http_freep, struct http, http_free)

static void http_close(struct rh_io *io)
{
    http_free(io->state);
}

static void pull_close(struct rh_stream *s)
{
    http_free(s->state);
}

static struct http *http_new(rh_lib *lib, const char *url, rh_error **err)
{
    struct http *h;

    if (rh_curl_load(err) < 0)
        return NULL;
    h = rh_new0(struct http);
    pthread_mutex_init(&h->lock, NULL);
    rh_wait_cond_init(&h->news);
    h->lib = lib;
    h->url = rh_strdup(url);
    h->shown = rh_source_shown(url);
    h->trust = &h->own_trust;
    h->follow = true;
    h->multi = rh_curl.multi_init();
    if (h->multi)
        return h;
    rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    http_free(h);
    return NULL;
}

/* Behind "user:password@", or NULL. */
static const char *after_userinfo(const char *url)
{
    const char *host = strstr(url, "://"), *at;

    host = host ? host + 3 : url;
    at = memchr(host, '@', strcspn(host, "/?#"));
    return at ? at + 1 : NULL;
}

/* `state`: what another says of its state; or NULL.  Without either nothing is
 * known to be the same later on. */
static void keep_fetched(struct http *h, const char *state)
{
    const char *rest = after_userinfo(h->url);
    RH_AUTO(rh_freep) char *all = NULL;

    if (h->pull || (!state && (h->loose || !h->validator)))
        return;
    all = rh_printf("%s\n%s", state ? state : "",
                    h->validator ? h->validator : "");
    h->kept = rh_fetched_open(h->lib, rest ? rest : h->url, all, h->size);
    keep_some(h, &h->windows[0], true);
}

static const struct rh_io_ops http_ops = {http_read, NULL, http_close};
static const struct rh_stream_ops pull_ops = {pull_read, pull_close};

int rh_http_open(rh_lib *lib, const char *url, struct rh_io **ret_io,
                 struct rh_stream **ret_stream, rh_error **err)
{
    RH_AUTO(http_freep) struct http *h = http_new(lib, url, err);

    *ret_io = NULL;
    *ret_stream = NULL;
    if (!h)
        return -1;
    /* Whom the address names is not asked for again. */
    h->log_in = !after_userinfo(url);
    if (meet(h, err) < 0)
        return -1;
    keep_fetched(h, NULL);
    if (h->pull) {
        *ret_stream = rh_stream_make(&pull_ops, h->shown, h);
        (*ret_stream)->lib = lib;
    } else {
        *ret_io = rh_io_make(&http_ops, h->shown, h->size, h);
        (*ret_io)->loose = h->loose;
    }
    h = NULL;
    return 0;
}

/* With the client's trust, and what its requests carry. */
static struct http *of_client(struct rh_http *client, const char *path,
                              const char *shown, rh_error **err)
{
    RH_AUTO(rh_wipe_freep)
    char *url = rh_printf("%s%s", rh_http_name(client), path);
    RH_AUTO(http_freep)
    struct http *h = http_new(rh_http_lib(client), url, err);

    if (!h)
        return NULL;
    h->trust = rh_http_trust(client);
    h->session = rh_http_lines(client);
    h->client = client;
    rh_http_renewal(client, &h->renew, &h->renew_user);
    if (h->renew)
        h->renew(h->renew_user, &h->login, NULL, NULL);
    h->follow = false;
    if (shown) {
        free(h->shown);
        h->shown = rh_strdup(shown);
    }
    return meet(h, err) < 0 ? NULL : RH_TAKE(h);
}

struct rh_io *rh_http_io(struct rh_http *client, const char *path,
                         const char *shown, const char *state, rh_error **err)
{
    RH_AUTO(http_freep) struct http *h = of_client(client, path, shown, err);
    struct rh_io *io;

    if (!h)
        return NULL;
    if (h->pull) {
        rh_fail(err, RH_ERR_HTTP_FAILED, "the server offers no ranges");
        rh_error_subject(err, h->shown);
        return NULL;
    }
    if (state)
        keep_fetched(h, state);
    io = rh_io_make(&http_ops, h->shown, h->size, h);
    io->loose = h->loose;
    h = NULL;
    return io;
}

void rh_http_io_map(struct rh_io *io, rh_http_map *map, void *user)
{
    struct http *h = io->ops == &http_ops ? io->state : NULL;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->map = map;
    h->map_user = user;
    pthread_mutex_unlock(&h->lock);
}

struct rh_stream *rh_http_stream(struct rh_http *client, const char *path,
                                 const char *shown, rh_error **err)
{
    RH_AUTO(http_freep) struct http *h = of_client(client, path, shown, err);
    struct rh_stream *s = NULL;
    struct rh_io *io;

    if (!h)
        return NULL;
    if (h->pull) {
        s = rh_stream_make(&pull_ops, h->shown, h);
        s->lib = h->lib;
    } else {
        io = rh_io_make(&http_ops, h->shown, h->size, h);
        s = rh_stream_io(io);
        rh_io_unref(io);
    }
    h = NULL;
    return s;
}

#else

int rh_http_open(rh_lib *lib, const char *url, struct rh_io **ret_io,
                 struct rh_stream **ret_stream, rh_error **err)
{
    (void)lib, (void)url;
    *ret_io = NULL;
    *ret_stream = NULL;
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "addresses cannot be read from: libcurl was not there when "
                   "this was built");
}

struct rh_io *rh_http_io(struct rh_http *client, const char *path,
                         const char *shown, const char *state, rh_error **err)
{
    (void)client, (void)path, (void)shown, (void)state;
    rh_fail(err, RH_ERR_UNAVAILABLE,
            "addresses cannot be read from: libcurl was not there when this "
            "was built");
    return NULL;
}

void rh_http_io_map(struct rh_io *io, rh_http_map *map, void *user)
{
    (void)io, (void)map, (void)user;
}

struct rh_stream *rh_http_stream(struct rh_http *client, const char *path,
                                 const char *shown, rh_error **err)
{
    rh_http_io(client, path, shown, NULL, err);
    return NULL;
}

#endif

bool rh_is_url(const char *name)
{
    return !strncasecmp(name, "http://", 7) ||
           !strncasecmp(name, "https://", 8);
}

struct rh_io *rh_io_http(rh_lib *lib, const char *url, rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;
    struct rh_io *io;
    uint64_t limit =
        lib && lib->max_disk_size ? lib->max_disk_size : RH_LIMIT_DISK_SIZE;

    if (rh_http_open(lib, url, &io, &s, err) < 0)
        return NULL;
    if (!s) /* it has ranges */
        return io;
    rh_log(lib, RH_LOG_INFO,
           "%s: the server offers no ranges; all of it is stored first",
           s->name);
    return rh_spool(lib, s, limit, err);
}
