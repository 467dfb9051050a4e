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

#include "base/http.h"
#include "base/io_http.h"
#include "base/limits.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL

/* --- a server that sends all --------------------------------------------- */

static void pull_free(struct pull *p)
{
    if (!p)
        return;
    rh_transfer_close(&p->t);
    rh_buf_free(&p->bytes);
    free(p);
}
RH_FREEP(pull_freep, struct pull, pull_free)

static struct pull *pull_start(struct http *h, rh_error **err)
{
    RH_AUTO(pull_freep) struct pull *p = rh_new0(struct pull);

    if (rh_transfer_open(&p->t, h, err) < 0)
        return NULL;
    p->t.first = true;
    p->t.window = &h->windows[0];
    p->t.window->got = 0;
    p->t.want = WINDOW_MIN;
    p->t.pull = p;
    return rh_transfer_start(&p->t, err) < 0 ? NULL : RH_TAKE(p);
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
    return p->t.error ? rh_transfer_say(&p->t, p->code, err)
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
    h->validator = rh_strdup(rh_transfer_validator(t));
    h->loose = rh_transfer_is_loose(t);
    w->want = w->got;
    w->ask = WINDOW_MIN;
    w->state = DONE;
}

void rh_http_take_session(void *http)
{
    struct http *h = http;
    struct curl_slist *lines = rh_http_lines(h->client), *old;

    pthread_mutex_lock(&h->lock);
    old = h->session;
    h->session = lines;
    pthread_mutex_unlock(&h->lock);
    rh_lines_drop(old);
}

/* The client's session had ended before anything came: once. */
static bool meet_again(struct http *h, const struct pull *p)
{
    long status = 0;

    if (p->code == CURLE_HTTP_RETURNED_ERROR)
        rh_curl.easy_getinfo(p->t.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 401 || !h->renew || p->t.error || h->renewed)
        return false;
    h->renewed = true;
    return h->renew(h->renew_user, &h->login, rh_http_take_session, h);
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
        if (meet_again(h, p))
            continue;
        /* A wrong address is likelier than a server that is just starting. */
        if (p->t.error || !rh_curl_may_pass(p->t.curl, p->code) ||
            tries == (rh_curl_not_sent(p->code) ? 2 : RH_CURL_TRIES))
            return rh_transfer_say(&p->t, p->code, err);
        if (rh_curl_wait(h->lib, tries, err) < 0)
            return -1;
    }
}

/* --- opening ------------------------------------------------------------- */

static int http_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    return rh_windows_read(io->state, buf, n, offset, err);
}

static void http_free(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    h->driving = true; /* nobody takes its connections away meanwhile */
    pthread_mutex_unlock(&h->lock);
    pull_free(h->pull);
    for (size_t i = 0; i < WINDOWS; i++) {
        rh_transfer_close(&h->windows[i].t);
        if (h->windows[i].state == ACTIVE) /* a cancel, or nobody read it */
            rh_window_keep(h, &h->windows[i], true);
        free(h->windows[i].bytes);
    }
    if (h->kept)
        rh_fetched_free(h->kept);
    if (h->multi)
        rh_curl.multi_cleanup(h->multi);
    rh_slots_leave(&h->slots);
    rh_lines_drop(h->session);
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
    rh_window_keep(h, &h->windows[0], true);
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
static struct http *of_client(rh_lib *lib, struct rh_http *client,
                              const char *path, const char *shown,
                              rh_error **err)
{
    RH_AUTO(rh_wipe_freep)
    char *url = rh_printf("%s%s", rh_http_name(client), path);
    RH_AUTO(http_freep) struct http *h = http_new(lib, url, err);

    if (!h)
        return NULL;
    h->trust = rh_http_trust(client);
    h->client = client;
    h->follow = false;
    h->login = RH_HTTP_NO_LOGIN;
    rh_http_renewal(client, &h->renew, &h->renew_user);
    if (!h->renew) {
        h->session = rh_http_lines(client);
    } else if (!h->renew(h->renew_user, &h->login, rh_http_take_session, h)) {
        rh_fail(err, RH_ERR_BUG, "no session to read files by");
        return NULL;
    }
    if (shown) {
        free(h->shown);
        h->shown = rh_strdup(shown);
    }
    if (rh_http_bind(h, err) < 0 || meet(h, err) < 0)
        return NULL;
    pthread_mutex_lock(&h->lock);
    h->driving = false; /* rh_http_bind() */
    pthread_mutex_unlock(&h->lock);
    return RH_TAKE(h);
}

struct rh_io *rh_http_io(rh_lib *lib, struct rh_http *client, const char *path,
                         const char *shown, const char *state, rh_error **err)
{
    RH_AUTO(http_freep)
    struct http *h = of_client(lib, client, path, shown, err);
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

void rh_http_io_exact(struct rh_io *io, bool exact)
{
    struct http *h = io->ops == &http_ops ? io->state : NULL;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->exact = exact;
    pthread_mutex_unlock(&h->lock);
}

struct rh_stream *rh_http_stream(rh_lib *lib, struct rh_http *client,
                                 const char *path, const char *shown,
                                 rh_error **err)
{
    RH_AUTO(http_freep)
    struct http *h = of_client(lib, client, path, shown, err);
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

struct rh_io *rh_http_io(rh_lib *lib, struct rh_http *client, const char *path,
                         const char *shown, const char *state, rh_error **err)
{
    (void)lib, (void)client, (void)path, (void)shown, (void)state;
    rh_fail(err, RH_ERR_UNAVAILABLE,
            "addresses cannot be read from: libcurl was not there when this "
            "was built");
    return NULL;
}

void rh_http_io_map(struct rh_io *io, rh_http_map *map, void *user)
{
    (void)io, (void)map, (void)user;
}

void rh_http_io_exact(struct rh_io *io, bool exact)
{
    (void)io, (void)exact;
}

struct rh_stream *rh_http_stream(rh_lib *lib, struct rh_http *client,
                                 const char *path, const char *shown,
                                 rh_error **err)
{
    rh_http_io(lib, client, path, shown, NULL, err);
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
