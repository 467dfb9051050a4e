/* export.c - a disk of the pool, read once: GET /export_raw_vdi. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "deliver/xapi/xapi.h"

static int read_from(struct rh_xapi *x, struct rh_http *host, const char *vdi,
                     rh_http_sink *sink, void *user, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    RH_AUTO(rh_freep)
    char *path = rh_printf("/export_raw_vdi?vdi=%s&format=raw", vdi);
    struct rh_http_request r = {
        .path = path, .sink = sink, .user = user, .silence = 900};

    rh_http_set_cookie(host, "session_id", rh_secret_text(x->session));
    if (rh_http_do(host, &r, &a, err) < 0)
        return -1;
    return a.status == 200 ? 0 : rh_http_refuse(host, &r, &a, NULL, err);
}

/* From a host that sees its storage. */
int rh_xapi_read_disk(struct rh_xapi *x, const char *uuid, rh_http_sink *sink,
                      void *user, rh_error **err)
{
    struct rh_xapi_place place = {0};
    json_t *vdi =
        rh_xapi_call(x, "VDI.get_by_uuid", json_pack("[s]", uuid), err);
    json_t *sr =
        vdi ? rh_xapi_call(x, "VDI.get_SR", json_pack("[O]", vdi), err) : NULL;
    struct rh_http *other = NULL;
    int failed =
        sr ? rh_xapi_host_of(x, json_string_value(sr), &place, err) : -1;

    if (!failed && place.address) {
        other = rh_http_beside(x->http, place.address, err);
        failed = other ? 0 : -1;
    }
    if (!failed)
        failed = read_from(x, other ? other : x->http, json_string_value(vdi),
                           sink, user, err);
    rh_http_free(other);
    rh_xapi_place_free(&place);
    json_decref(sr);
    json_decref(vdi);
    return failed;
}
