/* rest.c - calls of Xen Orchestra's REST API, and what its errors mean. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/xo/xo.h"

/* XAPI's own error: "SR_FULL(1, 2)", with XO's word that it is not one of XO.
 */
static bool say_xapi(struct rh_xo *x, const char *text, rh_error **err)
{
    RH_AUTO(rh_freep) char *code = rh_strndup(text, strcspn(text, "( "));
    const char *meaning, *hint;
    enum rh_error_id id;

    meaning = rh_xapi_meaning(code, &id, &hint);
    if (!meaning)
        return false;
    rh_fail(err, id, "the import failed: %s (%.300s)", _(meaning), text);
    if (hint)
        rh_hint(err, "%s", _(hint));
    rh_error_subject(err, rh_http_name(x->remote->http));
    return true;
}

static char *reason_of(const json_t *doc)
{
    struct rh_buf b = {0};
    const json_t *data = json_object_get(doc, "data");
    RH_AUTO(rh_freep)
    char *more = data ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    rh_buf_puts(&b, rh_xapi_text(doc, "error"));
    if (more)
        rh_buf_printf(&b, " %.300s", more);
    return rh_buf_take(&b);
}

int rh_xo_fail(struct rh_xo *x, const struct rh_http_request *r,
               const struct rh_http_answer *a, rh_error **err)
{
    json_t *doc =
        a->body.data ? json_loadb(a->body.data, a->body.length, 0, NULL) : NULL;
    RH_AUTO(rh_freep) char *reason = reason_of(doc);
    bool known = a->status == 500 && say_xapi(x, reason, err);

    json_decref(doc);
    if (known)
        return -1;
    if (a->status == 500 || a->status == 409) {
        rh_fail(err, RH_ERR_DELIVERY_FAILED, "the server says: %s", reason);
        return rh_error_subject(err, rh_http_name(x->remote->http));
    }
    rh_http_refuse(x->remote->http, r, a, reason, err);
    if (a->status == 413 || a->status == 504)
        rh_hint(err, "a proxy in front of Xen Orchestra limits how large or "
                     "how long an upload may be: raise it, or give Xen "
                     "Orchestra's own address");
    return -1;
}

json_t *rh_xo_call(struct rh_xo *x, const char *method, const char *path,
                   json_t *body, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    RH_AUTO(rh_freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    RH_AUTO(rh_freep) char *whole = rh_printf("/rest/v0%s", path);
    struct rh_http_request r = {
        .method = method, .path = whole, .again = !strcmp(method, "GET")};
    json_t *doc;

    json_decref(body);
    if (text) {
        r.type = "application/json";
        r.body = text;
        r.size = strlen(text);
    }
    if (rh_http_do(x->remote->http, &r, &a, err) < 0)
        return NULL;
    if (a.status < 200 || a.status > 299) {
        rh_xo_fail(x, &r, &a, err);
        return NULL;
    }
    if (a.status == 204 || !a.body.length)
        return json_null();
    doc = json_loadb(a.body.data, a.body.length, JSON_DECODE_ANY, NULL);
    if (!doc) {
        rh_fail(err, RH_ERR_HTTP_STATUS,
                "the server's answer is no JSON: is it Xen Orchestra?");
        rh_error_subject(err, rh_http_name(x->remote->http));
    }
    return doc;
}

/* A token as a cookie, or user and password; both at once are refused. */
int rh_xo_login(struct rh_xo *x, struct rh_remote *r, rh_error **err)
{
    const char *token = rh_secret_text(r->login.token);
    const char *password = rh_secret_text(r->login.password);
    json_t *pools;

    *x = (struct rh_xo){.remote = r};
    if (token) {
        rh_http_set_cookie(r->http, "authenticationToken", token);
    } else if (strchr(password, ':')) {
        rh_fail(err, RH_ERR_LOGIN_REFUSED,
                "Xen Orchestra takes no password with a colon");
        return rh_hint(err, "make a token on the user's page of Xen "
                            "Orchestra, and give that");
    } else {
        rh_http_add_basic(r->http, r->login.user, r->login.password);
    }
    pools = rh_xo_call(x, "GET", "/pools", NULL, err);
    json_decref(pools);
    return pools ? 0 : -1;
}
