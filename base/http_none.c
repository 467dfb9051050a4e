/* http_none.c - no client of a server where libcurl was not there when this was
 * built: each call says so, or has nothing to do. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/http.h"

#include "base/secret.h"

#ifndef HAVE_LIBCURL

static int lacking(rh_error **err)
{
    return rh_fail(err, RH_ERR_UNAVAILABLE,
                   "no server can be talked to: libcurl was not there when "
                   "this was built");
}

struct rh_http *rh_http_new(const struct rh_http_site *site, rh_error **err)
{
    (void)site;
    lacking(err);
    return NULL;
}

struct rh_http *rh_http_beside(const struct rh_http *h, const char *authority,
                               rh_error **err)
{
    (void)h, (void)authority;
    lacking(err);
    return NULL;
}

void rh_http_free(struct rh_http *h)
{
    (void)h;
}

const char *rh_http_name(const struct rh_http *h)
{
    (void)h;
    return "";
}

const char *rh_http_host(const struct rh_http *h)
{
    (void)h;
    return "";
}

void rh_http_set_lib(struct rh_http *h, rh_lib *lib)
{
    (void)h, (void)lib;
}

void rh_http_add_header(struct rh_http *h, struct rh_secret *line)
{
    (void)h;
    rh_secret_free(line);
}

void rh_http_add_basic(struct rh_http *h, const struct rh_secret *user,
                       const struct rh_secret *password)
{
    (void)h, (void)user, (void)password;
}

void rh_http_set_cookie(struct rh_http *h, const char *name, const char *value)
{
    (void)h, (void)name, (void)value;
}

void rh_http_set_most(struct rh_http *h, unsigned connections)
{
    (void)h, (void)connections;
}

bool rh_http_has_room(rh_lib *lib, const struct rh_http *client)
{
    (void)lib, (void)client;
    return true;
}

void rh_http_forget(struct rh_http *h)
{
    (void)h;
}

bool rh_http_trust_ticket(struct rh_http *h, const char *sha1)
{
    (void)h, (void)sha1;
    return false;
}

void rh_http_answer_free(struct rh_http_answer *a)
{
    (void)a;
}

char *rh_http_answer_header(const struct rh_http_answer *a, const char *name)
{
    (void)a, (void)name;
    return NULL;
}

int rh_http_do(struct rh_http *h, const struct rh_http_request *r,
               struct rh_http_answer *ret, rh_error **err)
{
    (void)h, (void)r, (void)ret;
    return lacking(err);
}

int rh_http_refuse(const struct rh_http *h, const struct rh_http_request *r,
                   const struct rh_http_answer *a, const char *reason,
                   rh_error **err)
{
    (void)h, (void)r, (void)a, (void)reason;
    return lacking(err);
}

struct rh_http_upload *rh_http_upload_start(struct rh_http *h,
                                            const struct rh_http_request *r,
                                            int64_t size, rh_error **err)
{
    (void)h, (void)r, (void)size;
    lacking(err);
    return NULL;
}

int rh_http_upload_write(struct rh_http_upload *u, const void *bytes, size_t n,
                         rh_error **err)
{
    (void)u, (void)bytes, (void)n;
    return lacking(err);
}

uint64_t rh_http_upload_sent(const struct rh_http_upload *u)
{
    (void)u;
    return 0;
}

const struct rh_http_answer *rh_http_upload_wait(struct rh_http_upload *u,
                                                 unsigned seconds,
                                                 rh_error **err)
{
    (void)u, (void)seconds;
    lacking(err);
    return NULL;
}

int rh_http_upload_finish(struct rh_http_upload *u, struct rh_http_answer *ret,
                          rh_error **err)
{
    (void)u, (void)ret;
    return lacking(err);
}

void rh_http_upload_close(struct rh_http_upload *u)
{
    (void)u;
}

#endif
