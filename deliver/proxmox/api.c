/* api.c - calls of Proxmox VE's API, their errors, and tasks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deliver/proxmox/proxmox.h"

enum { POLL_FIRST = 50, POLL_MAX = 1000 /* ms */, LAST_LINES = 6, ENDING = 20 };

const char *rh_pve_text(const json_t *record, const char *field)
{
    const char *text = json_string_value(json_object_get(record, field));

    return text ? text : "";
}

uint64_t rh_pve_number(const json_t *record, const char *field)
{
    const json_t *value = json_object_get(record, field);
    uint64_t n = 0;

    if (json_is_integer(value) && json_integer_value(value) > 0)
        return (uint64_t)json_integer_value(value);
    if (json_is_string(value))
        rh_parse_u64(json_string_value(value), &n);
    return n;
}

/* --- one call
 * --------------------------------------------------------------------- */

static void add_pair(struct rh_buf *b, const char *key, const json_t *value)
{
    RH_AUTO(rh_wipe_freep)
    char *escaped = rh_http_escape(json_string_value(value));

    rh_buf_printf(b, "%s%s=%s", b->length ? "&" : "", key, escaped);
}

static char *form_of(const json_t *params)
{
    struct rh_buf b = {0};
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)params, key, value)
        if (json_is_string(value))
            add_pair(&b, key, value);
    return rh_buf_take(&b);
}

/* What the server says: its message, and what is wrong with which field. */
static char *reason_of(const json_t *doc)
{
    struct rh_buf b = {0};
    const char *field;
    json_t *why;

    rh_buf_puts(&b, rh_pve_text(doc, "message"));
    json_object_foreach (json_object_get(doc, "errors"), field, why)
        if (json_is_string(why))
            rh_buf_printf(&b, " %s: %s", field, json_string_value(why));
    for (size_t i = 0; i < b.length; i++)
        if (b.data[i] == '\n')
            b.data[i] = ' ';
    while (b.length && b.data[b.length - 1] == ' ')
        b.data[--b.length] = '\0';
    return rh_buf_take(&b);
}

static int refuse(struct rh_pve *p, const struct rh_http_request *r,
                  const struct rh_http_answer *a, const char *reason,
                  rh_error **err)
{
    if (a->status == 595 || a->status == 596) {
        rh_fail(err, RH_ERR_HTTP_BUSY, "the node cannot be reached: %s",
                reason);
        rh_error_subject(err, rh_http_name(p->remote->http));
        return rh_hint(err, "look whether the node in the URL is running, or "
                            "name its own address as the host");
    }
    if (strstr(reason, "already exists"))
        rh_fail(err, RH_ERR_DELIVERY_TAKEN, "%s", reason);
    else if (a->status == 400)
        rh_fail(err, RH_ERR_DELIVERY_LIMIT, "the server refuses: %s", reason);
    else if (a->status == 500 || a->status == 501)
        rh_fail(err, RH_ERR_DELIVERY_FAILED, "the server says: %s", reason);
    else
        return rh_http_refuse(p->remote->http, r, a, reason, err);
    return rh_error_subject(err, rh_http_name(p->remote->http));
}

static void note_clock(struct rh_pve *p, const struct rh_http_answer *a)
{
    RH_AUTO(rh_freep) char *date = rh_http_answer_header(a, "Date");
    struct tm t = {0};

    if (date && strptime(date, "%a, %d %b %Y %H:%M:%S", &t))
        p->skew = (long)(timegm(&t) - time(NULL));
}

static json_t *take_answer(struct rh_pve *p, const struct rh_http_request *r,
                           const struct rh_http_answer *a, rh_error **err)
{
    json_t *doc =
        a->body.data ? json_loadb(a->body.data, a->body.length, 0, NULL) : NULL;
    json_t *data = NULL;

    note_clock(p, a);
    if (a->status != 200) {
        RH_AUTO(rh_freep) char *reason = reason_of(doc);

        refuse(p, r, a, reason, err);
    } else if (!json_is_object(doc)) {
        rh_fail(err, RH_ERR_HTTP_STATUS,
                "the server's answer is no JSON: is it Proxmox VE?");
        rh_error_subject(err, rh_http_name(p->remote->http));
    } else {
        data = json_object_get(doc, "data");
        data = data ? json_incref(data) : json_null();
    }
    json_decref(doc);
    return data;
}

json_t *rh_pve_call(struct rh_pve *p, const char *method, const char *path,
                    json_t *params, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    bool get = !strcmp(method, "GET"),
         body = params && !get && strcmp(method, "DELETE") != 0;
    RH_AUTO(rh_wipe_freep) char *form = params ? form_of(params) : NULL;
    RH_AUTO(rh_freep)
    char *whole = rh_printf("/api2/json%s%s%s", path, form && !body ? "?" : "",
                            form && !body ? form : "");
    struct rh_http_request r = {.method = method, .path = whole, .again = get};

    json_decref(params);
    if (body) {
        r.type = "application/x-www-form-urlencoded";
        r.body = form;
        r.size = strlen(form);
    }
    if (rh_http_do(p->remote->http, &r, &a, err) < 0)
        return NULL;
    return take_answer(p, &r, &a, err);
}

/* --- the log-in
 * --------------------------------------------------------------------- */

static int use_token(struct rh_pve *p, const char *token, rh_error **err)
{
    const char *equals = strchr(token, '='), *mark = strchr(token, '!');

    if (!equals || !mark || mark > equals ||
        !memchr(token, '@', (size_t)(mark - token))) {
        rh_fail(err, RH_ERR_LOGIN_REFUSED, "the token has not the form of one");
        return rh_hint(err, "a Proxmox token is USER@REALM!NAME=SECRET");
    }
    p->token = rh_strndup(token, (size_t)(equals - token));
    rh_http_add_header(
        p->remote->http,
        rh_secret_join("Authorization: PVEAPIToken=", token, NULL));
    return 0;
}

static int use_password(struct rh_pve *p, rh_error **err)
{
    const struct rh_login *l = &p->remote->login;
    const char *user = rh_secret_text(l->user);
    RH_AUTO(rh_freep)
    char *full = rh_printf("%s%s", user, strchr(user, '@') ? "" : "@pam");
    json_t *ticket =
        rh_pve_call(p, "POST", "/access/ticket",
                    json_pack("{s:s, s:s}", "username", full, "password",
                              rh_secret_text(l->password)),
                    err);
    const char *text = rh_pve_text(ticket, "ticket");
    RH_AUTO(rh_wipe_freep) char *cookie = rh_http_escape(text);

    if (!ticket)
        return -1;
    rh_http_set_cookie(p->remote->http, "PVEAuthCookie", cookie);
    rh_http_add_header(
        p->remote->http,
        rh_secret_join("CSRFPreventionToken: ",
                       rh_pve_text(ticket, "CSRFPreventionToken"), NULL));
    json_decref(ticket);
    return 0;
}

int rh_pve_login(struct rh_pve *p, struct rh_remote *r, rh_error **err)
{
    const char *token = rh_secret_text(r->login.token);
    json_t *version;

    *p = (struct rh_pve){.remote = r};
    if (token ? use_token(p, token, err) < 0 : use_password(p, err) < 0)
        return -1;
    version = rh_pve_call(p, "GET", "/version", NULL, err);
    json_decref(version);
    return version ? 0 : -1;
}

void rh_pve_logout(struct rh_pve *p)
{
    if (p->remote && p->remote->http)
        rh_http_forget(p->remote->http);
    free(p->token);
    *p = (struct rh_pve){0};
}

/* --- tasks
 * ---------------------------------------------------------------------------
 */

static char *task_path(const char *node, const char *upid, const char *what)
{
    RH_AUTO(rh_freep) char *escaped = rh_http_escape(upid);

    return rh_printf("/nodes/%s/tasks/%s%s", node, escaped, what);
}

/* "transferred 1.0 GiB of 8.0 GiB (12.50%)" -> 1250 of 10000 */
static void tell_progress(struct rh_pve *p, const json_t *log,
                          const char *stage)
{
    const char *line =
        rh_pve_text(json_array_get(log, json_array_size(log) - 1), "t");
    const char *open = strrchr(line, '('), *percent = strrchr(line, '%');
    char *end;
    double value;

    if (!open || !percent || percent < open)
        return;
    value = strtod(open + 1, &end);
    if (end == percent && value >= 0 && value <= 100)
        rh_progress(p->remote->lib, stage, (uint64_t)(value * 100), 10000);
}

static json_t *task_log(struct rh_pve *p, const char *node, const char *upid)
{
    RH_AUTO(rh_freep) char *path = task_path(node, upid, "/log");

    return rh_pve_call(p, "GET", path, json_pack("{s:s}", "limit", "5000"),
                       NULL);
}

/* A text of a task, without what is nobody's business. */
static char *without_secret(const struct rh_pve *p, const char *text)
{
    struct rh_buf b = {0};
    const char *hit;

    while (p->hidden && (hit = strstr(text, p->hidden))) {
        rh_buf_add(&b, text, (size_t)(hit - text));
        rh_buf_puts(&b, "/...");
        text = hit + strlen(p->hidden);
    }
    rh_buf_puts(&b, text);
    return rh_buf_take(&b);
}

static int say_task(struct rh_pve *p, const char *node, const char *upid,
                    const char *status, rh_error **err)
{
    json_t *log = task_log(p, node, upid);
    size_t n = json_array_size(log);
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};

    for (size_t i = n > LAST_LINES ? n - LAST_LINES : 0; i < n; i++) {
        RH_AUTO(rh_freep)
        char *line =
            without_secret(p, rh_pve_text(json_array_get(log, i), "t"));

        rh_buf_printf(&b, "%s%.200s", b.length ? " | " : "", line);
    }
    json_decref(log);
    rh_fail(err,
            strstr(status, "already exists")  ? RH_ERR_DELIVERY_TAKEN
            : strstr(status, "No space left") ? RH_ERR_DELIVERY_SPACE
                                              : RH_ERR_DELIVERY_FAILED,
            "the task failed: %s (its log: %s)", status, b.data ? b.data : "");
    return rh_error_subject(err, rh_http_name(p->remote->http));
}

/* 1: it runs; 0: it ended well; -1. */
static int judge(struct rh_pve *p, const char *node, const char *upid,
                 const char *stage, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = task_path(node, upid, "/status");
    json_t *status = rh_pve_call(p, "GET", path, NULL, err);
    RH_AUTO(rh_freep)
    char *text = without_secret(p, rh_pve_text(status, "exitstatus"));
    bool running = status && strcmp(rh_pve_text(status, "status"), "stopped");
    json_t *log;

    json_decref(status);
    if (!status)
        return -1;
    if (!running && !strcmp(text, "OK"))
        return 0;
    if (!running && strncmp(text, "WARNINGS", 8))
        return say_task(p, node, upid, text, err);
    log = task_log(p, node, upid);
    if (running)
        tell_progress(p, log, stage);
    for (size_t i = 0; !running && i < json_array_size(log); i++) {
        RH_AUTO(rh_freep)
        char *line =
            without_secret(p, rh_pve_text(json_array_get(log, i), "t"));

        if (strstr(line, "WARN"))
            rh_log(p->remote->lib, RH_LOG_WARN, "%s", line);
    }
    json_decref(log);
    return running;
}

/* End it, and see that it has ended: what it makes can be taken away only
 * then. */
static void stop_task(struct rh_pve *p, const char *node, const char *upid)
{
    RH_AUTO(rh_freep) char *path = task_path(node, upid, "");
    RH_AUTO(rh_freep) char *status_path = task_path(node, upid, "/status");
    unsigned ms = POLL_FIRST;

    rh_http_set_lib(p->remote->http, NULL);
    json_decref(rh_pve_call(p, "DELETE", path, NULL, NULL));
    for (unsigned n = 0; n < ENDING; n++) {
        json_t *status = rh_pve_call(p, "GET", status_path, NULL, NULL);
        bool running = !strcmp(rh_pve_text(status, "status"), "running");

        json_decref(status);
        if (!running)
            break;
        rh_remote_pause(NULL, &ms, POLL_MAX);
    }
    rh_http_set_lib(p->remote->http, p->remote->lib);
}

int rh_pve_wait_with(struct rh_pve *p, const char *node, const char *upid,
                     const char *stage, rh_pve_tick *tick, void *user,
                     rh_error **err)
{
    unsigned ms = POLL_FIRST;
    int more;

    if (!upid || !upid[0])
        return rh_fail(err, RH_ERR_DELIVERY_FAILED, "the server names no task");
    while ((more = judge(p, node, upid, stage, err)) > 0) {
        rh_remote_pause(p->remote->lib, &ms, POLL_MAX);
        if (rh_go_on(p->remote->lib, err) < 0 ||
            (tick && tick(user, err) < 0)) {
            stop_task(p, node, upid);
            return -1;
        }
    }
    if (more < 0 && err && *err && rh_error_number(*err) == RH_ERR_CANCELLED)
        stop_task(p, node, upid);
    return more;
}

int rh_pve_wait(struct rh_pve *p, const char *node, const char *upid,
                const char *stage, rh_error **err)
{
    return rh_pve_wait_with(p, node, upid, stage, NULL, NULL, err);
}
