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

/* --- the pool --------------------------------------------------------------
 */

struct pool {
    pthread_mutex_t lock;
    RH_VEC(struct rh_live *) sessions;
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
    free(live);
}

static void pool_free(void *thing)
{
    struct pool *pool = thing;

    for (size_t i = 0; i < pool->sessions.count; i++)
        live_free(pool->sessions.items[i]);
    free(pool->sessions.items);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static const struct rh_keep kept_pool = {pool_make, pool_free};

static struct rh_live *find_session(const struct pool *pool,
                                    const struct rh_live_platform *platform,
                                    const char *authority)
{
    for (size_t i = 0; i < pool->sessions.count; i++) {
        struct rh_live *live = pool->sessions.items[i];

        if (live->platform == platform &&
            !strcmp(live->remote.url.authority, authority))
            return live;
    }
    return NULL;
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
                                   const char *url, const rh_options *options,
                                   rh_error **err)
{
    struct rh_live *live = rh_new0(struct rh_live);

    live->platform = platform;
    live->lib.of = root_of(lib);
    live->lib.ask = lib->ask; /* for now: who asks waits for the answer */
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

struct rh_live *rh_live_open(rh_lib *lib, const char *url,
                             const rh_options *options, rh_error **err)
{
    const struct rh_live_platform *platform = platform_of(url);
    RH_AUTO(rh_remote_url_free) struct rh_remote_url at = {0};
    struct pool *pool = rh_lib_keep(lib, &kept_pool, err);
    struct rh_live *live;

    if (!pool || rh_remote_url_as(url, RH_ERR_LIVE_URL, &at, err) < 0)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    live = find_session(pool, platform, at.authority);
    if (!live) {
        live = new_session(lib, platform, url, options, err);
        if (live)
            *rh_vec_add(&pool->sessions) = live;
    }
    pthread_mutex_unlock(&pool->lock);
    return live;
}
