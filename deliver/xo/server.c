/* server.c - Xen Orchestra as a server that VMs are delivered to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/xo/xo.h"

static int check(const char *url, rh_error **err)
{
    return rh_remote_check(url, 0, 1, "xo://HOST[:PORT][/SR]", err);
}

static int log_in(struct rh_server *s, rh_error **err)
{
    s->state = rh_new0(struct rh_xo);
    return rh_xo_login(s->state, &s->remote, err);
}

static void log_out(struct rh_server *s)
{
    free(s->state);
}

static int clean(struct rh_server *s, struct rh_journal *j, const char *kind,
                 const char *id, rh_error **err)
{
    (void)j;
    return strcmp(kind, "mark") ? 0 : rh_xo_clean(s->state, id, err);
}

static int read_disk(struct rh_server *s, const json_t *delivery, size_t i,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    const char *uuid = rh_server_disk_id(delivery, i, err);
    RH_AUTO(rh_freep)
    char *path = rh_printf("/rest/v0/vdis/%s.raw", uuid ? uuid : "");
    struct rh_http_request r = {
        .path = path, .sink = sink, .user = user, .silence = 900};

    if (!uuid || rh_http_do(s->remote.http, &r, &a, err) < 0)
        return -1;
    return a.status == 200 ? 0 : rh_xo_fail(s->state, &r, &a, err);
}

static const char *const own_options[] = {"sr", NULL};

const struct rh_server_kind rh_server_xo = {
    .scheme = "xo",
    .port = 443,
    .wants_token = true,
    .options = own_options,
    .check = check,
    .open = log_in,
    .close = log_out,
    .clean = clean,
    .start = rh_xo_start,
    .addresses = rh_xo_addresses,
    .undo = rh_xo_undo,
    .find = rh_xo_find,
    .read_disk = read_disk,
};
