/* rest.c - vCenter's REST API: a session, requests, what its errors mean.
 *
 *     POST   /api/session                     7.0 U2 and later
 *     POST   /rest/com/vmware/cis/session     6.5 and later
 *
 * The log-in is Basic, once; what it gives goes with every other request as
 * "vmware-api-session-id".  Values of /rest stand in {"value": ...}, those of
 * /api by themselves.  A session that has ended (401) is begun anew once for a
 * request.  Facts: VMware's vSphere Automation API reference. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "live/vsphere/tags.h"

enum {
    SILENCE = 30,        /* seconds: nobody waits longer for tags */
    SESSION_MOST = 1024, /* characters of a session's id */
    REASON_MOST = 300,   /* of what the server says */
    MADE = 201,          /* HTTP: a session was */
    MISSING = 404,       /* HTTP */
    NO_METHOD = 405,     /* HTTP: an old gateway has another thing there */
    NOT_LOGGED_IN = 401, /* HTTP */
    NOT_ALLOWED = 403,   /* HTTP */
};

void rh_vs_json_freep(json_t **j)
{
    json_decref(*j);
}

json_t *rh_vs_rest_value(const char *text, size_t n, bool newer)
{
    json_t *doc = n ? json_loadb(text, n, JSON_DECODE_ANY, NULL) : NULL;
    json_t *value;

    if (newer || !doc)
        return doc;
    value = json_incref(json_object_get(doc, "value"));
    json_decref(doc);
    return value;
}

/* --- what went wrong --------------------------------------------------------
 */

/* Of {"messages": [...]}, or {"value": {"messages": [...]}}. */
static char *reason_of(const struct rh_http_answer *a)
{
    RH_AUTO(rh_vs_json_freep)
    json_t *doc = rh_vs_rest_value(a->body.data, a->body.length, true);
    const json_t *list = json_object_get(doc, "messages");
    const char *text;

    if (!list)
        list = json_object_get(json_object_get(doc, "value"), "messages");
    text = json_string_value(
        json_object_get(json_array_get(list, 0), "default_message"));
    return text ? rh_printable(text) : NULL;
}

static int refuse(const struct rh_vs_rest *r, const struct rh_http_answer *a,
                  rh_error **err)
{
    RH_AUTO(rh_freep) char *reason = reason_of(a);
    enum rh_error_id id = RH_ERR_LIVE_FAULT;

    if (a->status == NOT_LOGGED_IN)
        id = RH_ERR_LOGIN_REFUSED;
    else if (a->status == NOT_ALLOWED)
        id = RH_ERR_LIVE_RIGHTS;
    else if (a->status == MISSING)
        id = RH_ERR_LIVE_NOT_FOUND;
    rh_fail(err, id, "the REST API answers with status %ld%s%.*s", a->status,
            reason ? ": " : "", REASON_MOST, reason ? reason : "");
    return rh_error_subject(err, r->s->live->remote.text);
}

/* --- the session ------------------------------------------------------------
 */

static const char *session_path(const struct rh_vs_rest *r)
{
    return r->newer ? "/api/session" : "/rest/com/vmware/cis/session";
}

/* "7.0.2.0" and later */
static bool has_newer(const struct rh_vs *s)
{
    unsigned long part[3] = {0};
    const char *p = s->api ? s->api : "";

    for (size_t i = 0; i < RH_COUNT(part) && *p >= '0' && *p <= '9'; i++) {
        char *end;

        part[i] = strtoul(p, &end, 10);
        p = end + (*end == '.');
    }
    return part[0] > 7 || (part[0] == 7 && (part[1] > 0 || part[2] >= 2));
}

/* It goes into a header. */
static bool is_plain(const char *id)
{
    size_t n = id ? strlen(id) : 0;

    for (size_t i = 0; i < n; i++)
        if (id[i] <= ' ' || id[i] > '~')
            return false;
    return n && n <= SESSION_MOST;
}

static int take_session(struct rh_vs_rest *r, const struct rh_http_answer *a,
                        rh_error **err)
{
    RH_AUTO(rh_vs_json_freep)
    json_t *value = rh_vs_rest_value(a->body.data, a->body.length, r->newer);
    const char *id = json_string_value(value);

    if (!is_plain(id))
        return rh_fail(err, RH_ERR_LIVE_ANSWER,
                       "the REST API gives no session");
    rh_http_add_header(
        r->http, rh_secret_join("vmware-api-session-id: ", id, (char *)NULL));
    r->in = true;
    return 0;
}

/* 1: there is none at that path. */
static int log_in_at(struct rh_vs_rest *r, rh_error **err)
{
    const struct rh_login *l = &r->s->live->remote.login;
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    struct rh_http_request q = {
        .method = "POST", .path = session_path(r), .silence = SILENCE};
    int failed;

    rh_http_forget(r->http);
    rh_http_add_basic(r->http, l->user, l->password);
    failed = rh_http_do(r->http, &q, &a, err);
    rh_http_forget(r->http);
    if (failed)
        return -1;
    if (a.status == MISSING || a.status == NO_METHOD)
        return 1;
    return a.status == 200 || a.status == MADE ? take_session(r, &a, err)
                                               : refuse(r, &a, err);
}

static int log_in(struct rh_vs_rest *r, rh_error **err)
{
    int got;

    r->in = false;
    got = log_in_at(r, err);
    if (got == 1 && r->newer) {
        r->newer = false;
        got = log_in_at(r, err);
    }
    if (got == 1)
        return rh_fail(err, RH_ERR_UNAVAILABLE,
                       "the server has no REST API (vCenter 6.5 and later "
                       "have one)");
    return got;
}

static int begin(struct rh_vs_rest *r, rh_error **err)
{
    struct rh_live *live = r->s->live;

    r->newer = has_newer(r->s);
    r->http =
        rh_http_beside(live->remote.http, rh_http_host(live->remote.http), err);
    if (!r->http)
        return -1;
    rh_http_set_lib(r->http, &live->lib);
    return log_in(r, err);
}

static void log_out(struct rh_vs_rest *r)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    struct rh_http_request q = {
        .method = "DELETE", .path = session_path(r), .silence = SILENCE};
    rh_error *ignored = NULL;

    rh_http_set_lib(r->http, NULL);
    rh_http_do(r->http, &q, &a, &ignored);
    rh_error_free(ignored);
    r->in = false;
}

void rh_vs_rest_end(struct rh_vs_rest *r)
{
    if (r->in)
        log_out(r);
    rh_http_free(r->http);
    rh_error_free(r->why);
    *r = (struct rh_vs_rest){0};
}

/* --- requests ---------------------------------------------------------------
 */

static char *path_of(const struct rh_vs_rest *r,
                     const struct rh_vs_rest_call *c)
{
    return rh_printf("%s%s%s%s",
                     r->newer ? "/api/cis/" : "/rest/com/vmware/cis/", c->what,
                     !c->action ? ""
                     : r->newer ? "?action="
                                : "?~action=",
                     c->action ? c->action : "");
}

static int send(struct rh_vs_rest *r, const struct rh_vs_rest_call *c,
                struct rh_http_answer *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = path_of(r, c);
    RH_AUTO(rh_freep)
    char *body = c->body ? json_dumps(c->body, JSON_COMPACT) : NULL;
    struct rh_http_request q = {.method = body ? "POST" : "GET",
                                .path = path,
                                .type = body ? "application/json" : NULL,
                                .body = body,
                                .size = body ? strlen(body) : 0,
                                .silence = SILENCE,
                                .again = true};

    return rh_http_do(r->http, &q, ret, err);
}

/* What came of one object says nothing about the next one; all else does. */
static bool is_for_all(const struct rh_vs_rest *r, const rh_error *e)
{
    enum rh_error_id id = rh_error_number(e);

    return id != RH_ERR_CANCELLED && (!r->in || (id != RH_ERR_LIVE_RIGHTS &&
                                                 id != RH_ERR_LIVE_NOT_FOUND));
}

static int ask(struct rh_vs_rest *r, const struct rh_vs_rest_call *c,
               json_t **ret, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};

    if (!r->http && begin(r, err) < 0)
        return -1;
    if (send(r, c, &a, err) < 0)
        return -1;
    if (a.status == NOT_LOGGED_IN) {
        rh_http_answer_free(&a);
        a = (struct rh_http_answer){0};
        if (log_in(r, err) < 0 || send(r, c, &a, err) < 0)
            return -1;
    }
    if (a.status != 200)
        return refuse(r, &a, err);
    *ret = rh_vs_rest_value(a.body.data, a.body.length, r->newer);
    return 0;
}

int rh_vs_rest_ask(struct rh_vs_rest *r, const struct rh_vs_rest_call *c,
                   json_t **ret, rh_error **err)
{
    rh_error *why = NULL;
    int failed;

    if (r->why) {
        rh_error_again(err, r->why);
        return -1;
    }
    failed = ask(r, c, ret, &why);
    if (failed && is_for_all(r, why))
        rh_error_again(&r->why, why);
    if (failed && err && !*err)
        *err = RH_TAKE(why);
    rh_error_free(why);
    return failed;
}
