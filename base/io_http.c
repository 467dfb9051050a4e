/* io_http.c - an http(s) resource as random-access bytes, by libcurl.
 *
 * Ranges are asked for as reading needs them, into a few windows that grow
 * while reading goes on in order.  A broken connection is taken up where it
 * broke; a resource that changes meanwhile (ETag, size) is an error, since half
 * of each would be neither.  A server without ranges is read once, from front
 * to back, into a spool. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#ifdef HAVE_LIBCURL
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"

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
};

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
    int spool; /* a server without ranges: its bytes, else -1 */
};

/* One request and what came of it. */
struct transfer {
    struct http *h;
    uint64_t offset;  /* asked for */
    uint8_t *to;      /* room for `want` bytes */
    size_t want, got; /* of this request */
    bool first;       /* the size is not known yet */
    uint64_t spooled; /* by a server that sends all */
    char etag[HEADER_MAX], modified[HEADER_MAX];
    bool has_range;
    uint64_t range_start, range_total;
    rh_error *error; /* why the callback stopped it */
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

static int keep_spooled(struct transfer *t, const void *bytes, size_t n)
{
    struct http *h = t->h;
    uint64_t limit = h->lib && h->lib->max_disk_size ? h->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;

    if (h->spool < 0)
        h->spool = rh_temp_file(h->lib, &t->error);
    if (h->spool < 0)
        return -1;
    if (t->spooled + n > limit)
        return rh_fail(&t->error, RH_ERR_STREAM_LIMIT,
                       "the server sends more than %llu bytes",
                       (unsigned long long)limit);
    if (rh_temp_write(h->lib, h->spool, bytes, n, t->spooled, h->shown,
                      &t->error) < 0)
        return -1;
    t->spooled += n;
    return 0;
}

static int take_body(struct transfer *t, const void *bytes, size_t n)
{
    long status = 0;

    curl_easy_getinfo(t->h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && t->first)
        return keep_spooled(t, bytes, n);
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
    return take_body(t, bytes, n) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

/* Asked several times a second, also while nothing comes. */
static int on_progress(void *user, curl_off_t total, curl_off_t now,
                       curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = user;

    (void)now, (void)up_total, (void)up;
    if (t->spooled)
        rh_progress(t->h->lib, "spool", t->spooled, (uint64_t)total);
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

    curl_easy_setopt(c, CURLOPT_URL, h->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    /* Who asked for https is not to be led to http. */
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                     tls ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (ca)
        curl_easy_setopt(c, CURLOPT_CAINFO, ca);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIME);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENCE);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "rehost/" RH_VERSION);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

static CURLcode request(struct transfer *t)
{
    CURL *c = t->h->curl;
    struct curl_slist *headers = NULL;
    RH_AUTO(rh_freep)
    char *range = rh_printf("%llu-%llu", (unsigned long long)t->offset,
                            (unsigned long long)(t->offset + t->want - 1));
    RH_AUTO(rh_freep) char *condition = NULL;
    CURLcode code;

    if (t->h->validator) {
        condition = rh_printf("If-Range: %s", t->h->validator);
        headers = curl_slist_append(NULL, condition);
    }
    curl_easy_setopt(c, CURLOPT_RANGE, range);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    code = curl_easy_perform(c);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return code;
}

static bool may_pass(CURL *c, CURLcode code)
{
    long status = 0;

    switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
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

    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    rh_fail(err, RH_ERR_HTTP_STATUS, "the server answers with status %ld",
            status);
    if (status == 401 || status == 403)
        rh_hint(err, "the server wants a user and a password, or a fresh "
                     "link: https://USER:PASSWORD@HOST/...");
    return rh_where(err, h->shown);
}

static int say(struct http *h, struct transfer *t, CURLcode code,
               rh_error **err)
{
    enum rh_error_id id = RH_ERR_HTTP_FAILED;

    if (t->error) {
        if (err && !*err)
            *err = RH_TAKE(t->error);
        return rh_where(err, h->shown);
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
            (unsigned long long)(t->offset + t->got), curl_easy_strerror(code));
    return rh_where(err, h->shown);
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
               curl_easy_strerror(code), (unsigned long long)(offset + got));
        if (wait_for(h, tries, err) < 0)
            return -1;
    }
    return 0;
}

static int broke_for_good(struct http *h, const struct transfer *t,
                          CURLcode code, rh_error **err)
{
    rh_fail(err, RH_ERR_HTTP_FAILED,
            "the connection broke after %llu bytes (%s), and the server "
            "offers no ranges to go on from there",
            (unsigned long long)t->spooled, curl_easy_strerror(code));
    rh_hint(err, "download the file with another tool and give its path");
    return rh_where(err, h->shown);
}

/* A wrong address is likelier than a server that is just starting. */
static bool nobody_there(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
}

/* The first request tells the size, and whether there are ranges. */
static int meet(struct http *h, rh_error **err)
{
    struct window *w = &h->windows[0];

    w->bytes = rh_malloc(WINDOW_MAX);
    for (unsigned tries = 1;; tries++) {
        struct transfer t = {
            .h = h, .first = true, .to = w->bytes, .want = WINDOW_MIN};
        CURLcode code = request(&t);

        if (t.got && (code == CURLE_OK || may_pass(h->curl, code))) {
            h->size = t.range_total;
            h->validator = rh_strdup(validator_of(&t));
            w->size = t.got;
            w->ask = WINDOW_MIN;
            return 0;
        }
        if (code == CURLE_OK && h->spool >= 0) {
            h->size = t.spooled;
            return 0;
        }
        if (t.spooled && !t.error)
            return broke_for_good(h, &t, code, err);
        if (code == CURLE_OK)
            code = CURLE_GOT_NOTHING;
        if (t.error || !may_pass(h->curl, code) ||
            tries == (nobody_there(code) ? 2 : TRIES)) {
            say(h, &t, code, err);
            rh_error_free(t.error);
            return -1;
        }
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
    if (h->curl)
        curl_easy_cleanup(h->curl);
    for (size_t i = 0; i < WINDOWS; i++)
        free(h->windows[i].bytes);
    if (h->spool >= 0)
        close(h->spool);
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
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct rh_io *spooled(struct http *h, rh_error **err)
{
    int fd = h->spool;

    h->spool = -1;
    return rh_io_fd(fd, h->shown, err);
}

struct rh_io *rh_io_http(rh_lib *lib, const char *url, rh_error **err)
{
    static const struct rh_io_ops ops = {http_read, NULL, http_close};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    RH_AUTO(http_freep) struct http *h = rh_new0(struct http);
    struct rh_io *io;

    h->spool = -1;
    pthread_mutex_init(&h->lock, NULL);
    pthread_once(&once, start_curl);
    h->lib = lib;
    h->url = rh_strdup(url);
    h->shown = shown_url(url);
    h->curl = curl_easy_init();
    if (!h->curl) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for a connection");
        return NULL;
    }
    set_options(h);
    if (meet(h, err) < 0)
        return NULL;
    if (h->spool >= 0)
        return spooled(h, err);
    io = rh_io_make(&ops, h->shown, h->size, h);
    h = NULL;
    return io;
}

#else

struct rh_io *rh_io_http(rh_lib *lib, const char *url, rh_error **err)
{
    (void)lib, (void)url;
    rh_fail(err, RH_ERR_UNAVAILABLE,
            "addresses cannot be read from: libcurl was not there when this "
            "was built");
    return NULL;
}

#endif
