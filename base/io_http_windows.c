/* io_http_windows.c - the windows that a resource is read through: which are
 * asked for, who drives their transfers, and what happens when one breaks.
 *
 * The lock is held everywhere here, but for drive() while it is in libcurl; a
 * QUEUED or ACTIVE window belongs to its transfer. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/io_http.h"
#include "base/wait.h"

#ifdef HAVE_LIBCURL

enum {
    AHEAD = 4,               /* windows asked for before they are needed */
    AHEAD_FROM = 512 * 1024, /* once a window is as large as this */
    PUSH_EVERY = 128 * 1024, /* bytes read, and others' transfers go on */
};

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

    if (h->exact)
        return RH_MIN(need, (size_t)WINDOW_MAX);
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

    for (size_t i = 0;
         ask >= AHEAD_FROM && i < AHEAD && offset < h->size && !h->exact; i++) {
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

/* What was needed first. */
static struct window *next_queued(struct http *h)
{
    struct window *first = NULL;

    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->state == QUEUED && (!first || w->used < first->used))
            first = w;
    }
    return first;
}

static void start_queued(struct http *h)
{
    struct window *w;

    while ((w = next_queued(h)) && rh_http_may_start(h)) {
        w->t.window = w;
        w->t.offset = w->offset + w->got;
        w->t.want = w->want - w->got;
        if ((w->t.curl || rh_transfer_open(&w->t, h, &w->t.error) == 0) &&
            rh_transfer_start(&w->t, &w->t.error) == 0) {
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
        rh_transfer_drop_headers(&w->t);
        rh_window_keep(h, w, true);
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
    rh_http_settle(h);
    pthread_cond_broadcast(&h->news);
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
    good = h->renew(h->renew_user, &login, rh_http_take_session, h);
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
        rh_transfer_say(&w->t, w->code, err);
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
    else if (h->slots.slots && !h->slots.count)
        return rh_http_get_slot(h, err);
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

int rh_windows_read(struct http *h, void *buf, size_t n, uint64_t offset,
                    rh_error **err)
{
    int result;

    pthread_mutex_lock(&h->lock);
    h->inside++;
    result = read_locked(h, buf, n, offset, err);
    h->inside--;
    pthread_mutex_unlock(&h->lock);
    return result;
}
#endif
