/* io_http_slots.c - a server that bears only so many connections: readers share
 * them with all other processes of the user (slots.h).
 *
 * A transfer is started only with a slot, so a reader has at most as many
 * connections as slots; idle ones are closed before those are handed back. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io_http.h"

#ifdef HAVE_LIBCURL

static unsigned active(const struct http *h)
{
    unsigned n = 0;

    for (size_t i = 0; i < WINDOWS; i++)
        n += h->windows[i].state == ACTIVE;
    return n;
}

/* What is under way is asked for again from where it stopped. */
static bool close_all(struct http *h)
{
    CURLM *fresh = rh_curl.multi_init();

    if (!fresh)
        return false;
    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &h->windows[i];

        if (w->state != ACTIVE)
            continue;
        rh_curl.multi_remove_handle(h->multi, w->t.curl);
        rh_transfer_drop_headers(&w->t);
        rh_window_keep(h, w, true);
        w->state = w->got == w->want ? DONE : QUEUED;
    }
    rh_curl.multi_cleanup(h->multi);
    h->multi = fresh;
    return true;
}

/* Another reader needs it more: nobody reads here. */
static bool let_go(void *user)
{
    struct http *h = user;
    bool gone;

    if (pthread_mutex_trylock(&h->lock))
        return false;
    gone = !h->inside && !h->driving && !h->pull && close_all(h);
    if (gone)
        rh_slots_gone(&h->slots);
    pthread_mutex_unlock(&h->lock);
    return gone;
}

int rh_http_bind(struct http *h, rh_error **err)
{
    RH_AUTO(rh_freep) char *server = NULL;
    struct rh_slots *s;

    if (!rh_http_most(h->client) || !h->lib)
        return 0;
    server = rh_http_identity(rh_http_host(h->client), RH_HTTP_TLS_PORT);
    s = rh_slots_of(h->lib, server, rh_http_most(h->client));
    if (!s)
        return 0;
    h->slots.let_go = let_go;
    h->slots.user = h;
    h->driving = true; /* until meet() has met it */
    rh_slots_join(s, &h->slots);
    return rh_slots_wait(&h->slots, h->lib, err);
}

bool rh_http_may_start(struct http *h)
{
    if (!h->slots.slots || active(h) < h->slots.count)
        return true;
    return h->slots.count && !h->draining && rh_slots_more(&h->slots);
}

int rh_http_get_slot(struct http *h, rh_error **err)
{
    int failed;

    h->driving = true;
    pthread_mutex_unlock(&h->lock);
    failed = rh_slots_wait(&h->slots, h->lib, err);
    pthread_mutex_lock(&h->lock);
    h->driving = false;
    pthread_cond_broadcast(&h->news);
    return failed;
}

void rh_http_settle(struct http *h)
{
    if (!h->slots.slots)
        return;
    h->draining |= rh_slots_due(&h->slots);
    if (!h->draining || active(h) || !close_all(h))
        return;
    rh_slots_give(&h->slots);
    h->draining = false;
}

bool rh_http_has_room(rh_lib *lib, const struct rh_http *client)
{
    RH_AUTO(rh_freep) char *server = NULL;
    struct rh_slots *s;

    if (!rh_http_most(client) || !lib)
        return true;
    server = rh_http_identity(rh_http_host(client), RH_HTTP_TLS_PORT);
    s = rh_slots_of(lib, server, rh_http_most(client));
    return !s || rh_slots_free(s);
}
#endif
