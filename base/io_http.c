/* io_http.c - an http(s) resource as random-access bytes, by libcurl.
 *
 * Ranges are asked for as reading needs them, into a few windows that grow
 * while reading goes on in order.  A broken connection is taken up where it
 * broke; a resource that changes meanwhile (ETag, size) is an error, since half
 * of each would be neither.  A server without ranges is a stream: it sends all
 * in answer to the first request, which waits while nobody reads on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/late.h"
#include "base/limits.h"

#ifdef HAVE_LIBCURL
#include <curl/curl.h>
#include <pthread.h>
#include <time.h>

enum {
    WINDOWS = 4,
    WINDOW_MIN = 64 * 1024,
    WINDOW_MAX = 4 * 1024 * 1024,
    REDIRECTS = 5,
    TRIES = 6,        /* in a row without a byte */
    WAIT_FIRST = 200, /* milliseconds, doubled each time */
    WAIT_MAX = 5000,
    CONNECT_TIME = 30, /* seconds */
    SILENCE = 60,      /* seconds without a byte: broken */
    HEADER_MAX = 1024,
    AHEAD = 512 * 1024, /* of a stream, before the server has to wait */
    POLL_MS = 200,
};

/* clang-format off */
#define CALLS(X, p) \
    X(p, easy_cleanup) X(p, easy_getinfo) X(p, easy_init) X(p, easy_pause) \
    X(p, easy_perform) X(p, easy_setopt) X(p, easy_strerror) \
    X(p, global_init) X(p, multi_add_handle) X(p, multi_cleanup) \
    X(p, multi_info_read) X(p, multi_init) X(p, multi_perform) \
    X(p, multi_poll) X(p, multi_remove_handle) X(p, slist_append) \
    X(p, slist_free_all)
/* clang-format on */
RH_LATE_TABLE(curl, CALLS);

struct window {
    uint8_t *bytes;
    uint64_t offset;
    size_t size;
    size_t ask;    /* how much was asked for, to grow from */
    uint64_t used; /* when, for eviction */
};

struct http {
    rh_lib *lib;
    CURL *curl;
    char *url;       /* may hold a password */
    char *shown;     /* for messages */
    char *validator; /* for If-Range, or NULL */
    uint64_t size;
    pthread_mutex_t lock; /* over all below, and the connection */
    struct window windows[WINDOWS];
    uint64_t clock;
    struct pull *pull; /* a server without ranges, else NULL */
};

/* One request and what came of it. */
struct transfer {
    struct http *h;
    uint64_t offset;   /* asked for */
    uint8_t *to;       /* room for `want` bytes */
    size_t want, got;  /* of this request */
    bool first;        /* the size is not known yet */
    struct pull *pull; /* takes the bytes of a server that sends all */
    char etag[HEADER_MAX], modified[HEADER_MAX];
    bool has_range;
    uint64_t range_start, range_total;
    rh_error *error; /* why the callback stopped it */
};

/* A transfer that goes on while its bytes are read: the first one, as long as
 * it is not known whether the server has ranges; then that of one without. */
struct pull {
    CURLM *multi;
    struct transfer t;
    struct curl_slist *headers;
    struct rh_buf bytes;
    size_t given; /* of them */
    bool whole;   /* the server sends all */
    bool paused, done;
    CURLcode code; /* once done */
};

/* --- names --------------------------------------------------------------- */

/* Without user, password, query and fragment, which may be secrets. */
static char *shown_url(const char *url)
{
    const char *rest = strstr(url, "://");
    const char *host = rest ? rest + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *from = at ? at + 1 : host;

    return rh_printf("%.*s%.*s", (int)(host - url), url,
                     (int)strcspn(from, "?#"), from);
}

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
        t->etag[0] = t->modified[0] = '\0';
        t->has_range = false;
    } else if (header_is(line, n, "ETag", value)) {
        memcpy(t->etag, value, sizeof t->etag);
    } else if (header_is(line, n, "Last-Modified", value)) {
        memcpy(t->modified, value, sizeof t->modified);
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
    return 0;
}

static int take_whole(struct pull *p, const void *bytes, size_t n)
{
    p->whole = true;
    rh_buf_add(&p->bytes, bytes, n);
    return 0;
}

static int take_body(struct transfer *t, const void *bytes, size_t n)
{
    long status = 0;

    curl.easy_getinfo(t->h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && t->pull)
        return take_whole(t->pull, bytes, n);
    if (status == 200)
        return changed(t, "it is sent from its start");
    if (status != 206)
        return rh_fail(&t->error, RH_ERR_HTTP_STATUS,
                       "the server answers with status %ld", status);
    if (t->got == 0 && check_range(t) < 0)
        return -1;
    if (n > t->want - t->got)
        return rh_fail(&t->error, RH_ERR_HTTP_FAILED,
                       "the server sends more than was asked for");
    memcpy(t->to + t->got, bytes, n);
    t->got += n;
    return 0;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct transfer *t = user;

    (void)one;
    if (t->pull && t->pull->bytes.length >= AHEAD) {
        t->pull->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return take_body(t, bytes, n) < 0 ? CURL_WRITEFUNC_ERROR : n;
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

/* As the curl program takes them. */
static const char *ca_file(void)
{
    const char *path = secure_getenv("CURL_CA_BUNDLE");

    return path ? path : secure_getenv("SSL_CERT_FILE");
}

static void set_options(struct http *h)
{
    CURL *c = h->curl;
    const char *ca = ca_file();
    bool tls = !strncasecmp(h->url, "https:", 6);

    curl.easy_setopt(c, CURLOPT_URL, h->url);
    curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    /* Who asked for https is not to be led to http. */
    curl.easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                     tls ? "https" : "http,https");
    curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl.easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl.easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl.easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca)
        curl.easy_setopt(c, CURLOPT_CAINFO, ca);
    curl.easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIME);
    curl.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENCE);
    curl.easy_setopt(c, CURLOPT_USERAGENT, "rehost/" RH_VERSION);
    curl.easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

/* The caller frees *ret_headers once the transfer is over. */
static void set_request(struct transfer *t, struct curl_slist **ret_headers)
{
    CURL *c = t->h->curl;
    RH_AUTO(rh_freep)
    char *range = rh_printf("%llu-%llu", (unsigned long long)t->offset,
                            (unsigned long long)(t->offset + t->want - 1));
    RH_AUTO(rh_freep) char *condition = NULL;

    *ret_headers = NULL;
    if (t->h->validator) {
        condition = rh_printf("If-Range: %s", t->h->validator);
        *ret_headers = curl.slist_append(NULL, condition);
    }
    curl.easy_setopt(c, CURLOPT_RANGE, range);
    curl.easy_setopt(c, CURLOPT_HTTPHEADER, *ret_headers);
    curl.easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl.easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl.easy_setopt(c, CURLOPT_XFERINFODATA, t);
}

static CURLcode request(struct transfer *t)
{
    struct curl_slist *headers;
    CURLcode code;

    set_request(t, &headers);
    code = curl.easy_perform(t->h->curl);
    curl.easy_setopt(t->h->curl, CURLOPT_HTTPHEADER, NULL);
    curl.slist_free_all(headers);
    return code;
}

static bool may_pass(CURL *c, CURLcode code)
{
    long status = 0;

    switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
        curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        return status >= 500 || status == 408 || status == 429;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static int say_status(const struct http *h, rh_error **err)
{
    long status = 0;

    curl.easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    rh_fail(err, RH_ERR_HTTP_STATUS, "the server answers with status %ld",
            status);
    if (status == 401 || status == 403)
        rh_hint(err, "the server wants a user and a password, or a fresh "
                     "link: https://USER:PASSWORD@HOST/...");
    return rh_error_subject(err, h->shown);
}

static int say(struct http *h, struct transfer *t, CURLcode code,
               rh_error **err)
{
    enum rh_error_id id = RH_ERR_HTTP_FAILED;

    if (t->error) {
        if (err && !*err)
            *err = RH_TAKE(t->error);
        return rh_error_subject(err, h->shown);
    }
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return say_status(h, err);
    if (code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_UNSUPPORTED_PROTOCOL)
        id = RH_ERR_HTTP_REDIRECT;
    else if (code == CURLE_PEER_FAILED_VERIFICATION ||
             code == CURLE_SSL_CONNECT_ERROR ||
             code == CURLE_SSL_CACERT_BADFILE)
        id = RH_ERR_HTTP_TLS;
    rh_fail(err, id, "fetching failed at 0x%llx: %s",
            (unsigned long long)(t->offset + t->got), curl.easy_strerror(code));
    return rh_error_subject(err, h->shown);
}

/* Wait before the next try, a little longer each time, but not for the user. */
static int wait_for(struct http *h, unsigned tries, rh_error **err)
{
    enum { SLICE = 50 };
    unsigned wait = (unsigned)WAIT_FIRST << RH_MIN(tries, 10u);

    for (unsigned ms = 0; ms < RH_MIN(wait, (unsigned)WAIT_MAX); ms += SLICE) {
        struct timespec pause = {.tv_nsec = SLICE * 1000000L};

        if (rh_go_on(h->lib, err) < 0)
            return -1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* --- with patience ------------------------------------------------------- */

/* Exactly n bytes from `offset` on. */
static int fetch(struct http *h, uint64_t offset, uint8_t *to, size_t n,
                 rh_error **err)
{
    size_t got = 0;

    for (unsigned tries = 0; got < n;) {
        struct transfer t = {
            .h = h, .offset = offset + got, .to = to + got, .want = n - got};
        CURLcode code = request(&t);

        got += t.got;
        tries = t.got ? 0 : tries + 1;
        if (code == CURLE_OK && t.got)
            continue; /* a server may send less than was asked for */
        if (code == CURLE_OK)
            code = CURLE_GOT_NOTHING;
        if (t.error || !may_pass(h->curl, code) || tries == TRIES) {
            say(h, &t, code, err);
            rh_error_free(t.error);
            return -1;
        }
        rh_log(h->lib, RH_LOG_WARN, "%s: %s; going on from 0x%llx", h->shown,
               curl.easy_strerror(code), (unsigned long long)(offset + got));
        if (wait_for(h, tries, err) < 0)
            return -1;
    }
    return 0;
}

/* A wrong address is likelier than a server that is just starting. */
static bool nobody_there(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
}

/* --- a server that sends all --------------------------------------------- */

static void pull_free(struct pull *p)
{
    if (!p)
        return;
    curl.multi_remove_handle(p->multi, p->t.h->curl);
    curl.multi_cleanup(p->multi);
    curl.easy_setopt(p->t.h->curl, CURLOPT_HTTPHEADER, NULL);
    curl.slist_free_all(p->headers);
    rh_buf_free(&p->bytes);
    rh_error_free(p->t.error);
    free(p);
}
RH_FREEP(pull_freep, struct pull, pull_free)

static struct pull *pull_start(struct http *h, rh_error **err)
{
    struct pull *p = rh_new0(struct pull);

    p->t = (struct transfer){.h = h,
                             .first = true,
                             .to = h->windows[0].bytes,
                             .want = WINDOW_MIN,
                             .pull = p};
    p->multi = curl.multi_init();
    set_request(&p->t, &p->headers);
    if (p->multi && curl.multi_add_handle(p->multi, h->curl) == CURLM_OK)
        return p;
    rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    pull_free(p);
    return NULL;
}

/* Let some come; waits at most POLL_MS. */
static int pull_step(struct pull *p, rh_error **err)
{
    CURLMsg *message;
    int running = 0, left;

    if (p->paused) {
        p->paused = false;
        curl.easy_pause(p->t.h->curl, CURLPAUSE_CONT);
    }
    if (curl.multi_perform(p->multi, &running) != CURLM_OK)
        return rh_fail(err, RH_ERR_HTTP_FAILED, "the transfer cannot go on");
    while ((message = curl.multi_info_read(p->multi, &left)))
        if (message->msg == CURLMSG_DONE) {
            p->done = true;
            p->code = message->data.result;
        }
    if (!p->done && p->given == p->bytes.length)
        curl.multi_poll(p->multi, NULL, 0, POLL_MS, NULL);
    return rh_go_on(p->t.h->lib, err);
}

static int broke_for_good(const struct rh_stream *s, CURLcode code,
                          rh_error **err)
{
    rh_fail(err, RH_ERR_HTTP_FAILED,
            "the connection broke after %llu bytes (%s), and the server "
            "offers no ranges to go on from there",
            (unsigned long long)s->position, curl.easy_strerror(code));
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
    return p->t.error ? say(h, &p->t, p->code, err)
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
    h->size = t->range_total;
    h->validator = rh_strdup(validator_of(t));
    h->windows[0].size = t->got;
    h->windows[0].ask = WINDOW_MIN;
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
        if (p->t.got && (p->code == CURLE_OK || may_pass(h->curl, p->code))) {
            take_first(h, &p->t);
            return 0;
        }
        if (p->code == CURLE_OK)
            p->code = CURLE_GOT_NOTHING;
        if (p->t.error || !may_pass(h->curl, p->code) ||
            tries == (nobody_there(p->code) ? 2 : TRIES))
            return say(h, &p->t, p->code, err);
        if (wait_for(h, tries, err) < 0)
            return -1;
    }
}

/* --- windows ------------------------------------------------------------- */

static struct window *window_with(struct http *h, uint64_t offset)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->size && offset >= w->offset && offset - w->offset < w->size)
            return w;
    }
    return NULL;
}

/* Whoever reads on where a window ends, or not far behind it, gets a larger
 * one. */
static size_t how_much(const struct http *h, uint64_t offset, size_t need)
{
    size_t ask = WINDOW_MIN;

    for (size_t i = 0; i < WINDOWS; i++) {
        const struct window *w = &h->windows[i];
        uint64_t end = w->offset + w->size;

        if (w->size && offset >= end && offset - end <= w->ask)
            ask = RH_MAX(ask, w->ask * 2);
    }
    ask = RH_MIN(RH_MAX(ask, need), (size_t)WINDOW_MAX);
    return (size_t)RH_MIN((uint64_t)ask, h->size - offset);
}

static struct window *fill_window(struct http *h, uint64_t offset, size_t need,
                                  rh_error **err)
{
    struct window *oldest = &h->windows[0];
    size_t n = how_much(h, offset, need);

    for (size_t i = 1; i < WINDOWS; i++)
        if (h->windows[i].used < oldest->used)
            oldest = &h->windows[i];
    if (!oldest->bytes)
        oldest->bytes = rh_malloc(WINDOW_MAX);
    oldest->size = 0; /* in case it fails */
    if (fetch(h, offset, oldest->bytes, n, err) < 0)
        return NULL;
    oldest->offset = offset;
    oldest->size = oldest->ask = n;
    return oldest;
}

static int read_locked(struct http *h, uint8_t *to, size_t n, uint64_t offset,
                       rh_error **err)
{
    while (n) {
        struct window *w = window_with(h, offset);
        size_t part;

        if (!w)
            w = fill_window(h, offset, n, err);
        if (!w)
            return -1;
        w->used = ++h->clock;
        part = (size_t)RH_MIN((uint64_t)n, w->size - (offset - w->offset));
        memcpy(to, w->bytes + (offset - w->offset), part);
        to += part;
        offset += part;
        n -= part;
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
    if (h->curl)
        curl.easy_cleanup(h->curl);
    for (size_t i = 0; i < WINDOWS; i++)
        free(h->windows[i].bytes);
    pthread_mutex_destroy(&h->lock);
    free(h->validator);
    free(h->shown);
    free(h->url);
    free(h);
}
RH_FREEP(http_freep, struct http, http_free)

static void http_close(struct rh_io *io)
{
    http_free(io->state);
}

static void start_curl(void)
{
    curl.global_init(CURL_GLOBAL_DEFAULT);
}

static void pull_close(struct rh_stream *s)
{
    http_free(s->state);
}

static struct http *http_new(rh_lib *lib, const char *url, rh_error **err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http *h;

    if (RH_LATE_LOAD("libcurl.so.4", curl, err) < 0)
        return NULL;
    pthread_once(&once, start_curl);
    h = rh_new0(struct http);
    pthread_mutex_init(&h->lock, NULL);
    h->lib = lib;
    h->url = rh_strdup(url);
    h->shown = shown_url(url);
    h->curl = curl.easy_init();
    if (h->curl) {
        set_options(h);
        return h;
    }
    rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
    http_free(h);
    return NULL;
}

int rh_http_open(rh_lib *lib, const char *url, struct rh_io **ret_io,
                 struct rh_stream **ret_stream, rh_error **err)
{
    static const struct rh_io_ops ops = {http_read, NULL, http_close};
    static const struct rh_stream_ops stream_ops = {pull_read, pull_close};
    RH_AUTO(http_freep) struct http *h = http_new(lib, url, err);

    *ret_io = NULL;
    *ret_stream = NULL;
    if (!h || meet(h, err) < 0)
        return -1;
    if (h->pull) {
        *ret_stream = rh_stream_make(&stream_ops, h->shown, h);
        (*ret_stream)->lib = lib;
    } else {
        *ret_io = rh_io_make(&ops, h->shown, h->size, h);
    }
    h = NULL;
    return 0;
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
