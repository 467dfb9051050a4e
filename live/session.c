/* session.c - one session for each server, shared within a library. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "live/live.h"

/* "vcenter://HOST/..." */
static const struct rh_live_platform *platform_of(const char *source)
{
    const struct rh_live_platform *p;

    for (size_t i = 0; (p = rh_live_platform_at(i)); i++) {
        size_t n = strlen(p->scheme);

        if (!strncmp(source, p->scheme, n) && !strncmp(source + n, "://", 3))
            return p;
    }
    return NULL;
}

bool rh_live_is(const char *source)
{
    return platform_of(source) != NULL;
}

bool rh_live_is_at(const struct rh_live *live, const char *url)
{
    RH_AUTO(rh_remote_url_free) struct rh_remote_url at = {0};
    RH_AUTO(rh_freep) char *server = NULL;

    if (platform_of(url) != live->platform ||
        rh_remote_url_as(url, RH_ERR_LIVE_URL, &at, NULL) < 0)
        return false;
    server = rh_http_identity(at.authority, live->platform->port);
    return !strcmp(server, live->server);
}

/* --- the pool --------------------------------------------------------------
 */

/* A log-in that a server has refused: asking again might lock the user out. */
struct refusal {
    const struct rh_live_platform *platform;
    char *server;
    rh_error *why;
};
struct pool {
    pthread_mutex_t lock;
    RH_VEC(struct rh_live *) sessions;
    RH_VEC(struct refusal) refusals;
};

static void *pool_make(rh_error **err)
{
    struct pool *pool = rh_new0(struct pool);

    (void)err;
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

static void live_free(struct rh_live *live)
{
    if (live->remote.http)
        rh_http_set_lib(live->remote.http, NULL);
    live->platform->close(live);
    rh_remote_close(&live->remote);
    pthread_mutex_destroy(&live->lock);
    free(live->server);
    free(live);
}

static void pool_free(void *thing)
{
    struct pool *pool = thing;

    for (size_t i = 0; i < pool->sessions.count; i++)
        live_free(pool->sessions.items[i]);
    free(pool->sessions.items);
    for (size_t i = 0; i < pool->refusals.count; i++) {
        free(pool->refusals.items[i].server);
        rh_error_free(pool->refusals.items[i].why);
    }
    free(pool->refusals.items);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static const struct rh_keep kept_pool = {pool_make, pool_free};

static struct rh_live *find_session(const struct pool *pool,
                                    const struct rh_live_platform *platform,
                                    const char *server)
{
    for (size_t i = 0; i < pool->sessions.count; i++) {
        struct rh_live *live = pool->sessions.items[i];

        if (live->platform == platform && !strcmp(live->server, server))
            return live;
    }
    return NULL;
}

static const rh_error *find_refusal(const struct pool *pool,
                                    const struct rh_live_platform *platform,
                                    const char *server)
{
    for (size_t i = 0; i < pool->refusals.count; i++)
        if (pool->refusals.items[i].platform == platform &&
            !strcmp(pool->refusals.items[i].server, server))
            return pool->refusals.items[i].why;
    return NULL;
}

static void note_refusal(struct pool *pool,
                         const struct rh_live_platform *platform,
                         const char *server, const rh_error *why)
{
    struct refusal *r;

    if (rh_error_number(why) != RH_ERR_LOGIN_REFUSED)
        return;
    r = rh_vec_add(&pool->refusals);
    r->platform = platform;
    r->server = rh_strdup(server);
    rh_error_again(&r->why, why);
}

/* The library that lasts; who works for it may be gone earlier. */
static rh_lib *root_of(rh_lib *lib)
{
    while (lib->of)
        lib = lib->of;
    return lib;
}

static struct rh_live *new_session(rh_lib *lib,
                                   const struct rh_live_platform *platform,
                                   const char *url, const char *server,
                                   const rh_options *options, rh_error **err)
{
    struct rh_live *live = rh_new0(struct rh_live);

    live->platform = platform;
    live->server = rh_strdup(server);
    live->lib.of = root_of(lib);
    /* Until it is open, whoever opened it waits for the answers. */
    live->lib.ask = lib->ask;
    live->lib.ask_user = lib->ask_user;
    pthread_mutex_init(&live->lock, NULL);
    if (rh_remote_open_source(&live->remote, &live->lib, url, platform->port,
                              platform->wants_token, options, err) == 0 &&
        platform->open(live, err) == 0) {
        live->remote.options = NULL;
        live->lib.ask = NULL;
        live->is_open = true;
        return live;
    }
    live_free(live);
    return NULL;
}

/* The pool is locked. */
static struct rh_live *open_in(struct pool *pool, rh_lib *lib,
                               const struct rh_live_platform *platform,
                               const char *url, const char *server,
                               const rh_options *options, rh_error **err)
{
    const rh_error *refusal = find_refusal(pool, platform, server);
    rh_error *why = NULL;
    struct rh_live *live = NULL;

    if (refusal) {
        rh_error_again(err, refusal);
        return NULL;
    }
    live = new_session(lib, platform, url, server, options, &why);
    if (live)
        *rh_vec_add(&pool->sessions) = live;
    else
        note_refusal(pool, platform, server, why);
    if (!live && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return live;
}

struct rh_live *rh_live_open(rh_lib *lib, const char *url,
                             const rh_options *options, rh_error **err)
{
    const struct rh_live_platform *platform = platform_of(url);
    RH_AUTO(rh_remote_url_free) struct rh_remote_url at = {0};
    struct pool *pool = rh_lib_keep(lib, &kept_pool, err);
    RH_AUTO(rh_freep) char *server = NULL;
    struct rh_live *live;

    if (!pool || rh_remote_url_as(url, RH_ERR_LIVE_URL, &at, err) < 0)
        return NULL;
    server = rh_http_identity(at.authority, platform->port);
    pthread_mutex_lock(&pool->lock);
    live = find_session(pool, platform, server);
    if (!live)
        live = open_in(pool, lib, platform, url, server, options, err);
    pthread_mutex_unlock(&pool->lock);
    return live;
}
