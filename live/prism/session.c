/* session.c - requests to Prism: which versions it speaks, who we are, tasks.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/limits.h"
#include "base/wait.h"
#include "live/prism/prism.h"

const char rh_ntx_v2[] = "/PrismGateway/services/rest/v2.0";
const char rh_ntx_v3[] = "/api/nutanix/v3";

enum {
    NEWEST = 3,                /* of version 4 that is asked for */
    TASK_HOURS = 24,           /* an image of a large disk takes long */
    SETTLE = 120,              /* seconds, of one whose end nobody needs */
    ANSWER = 64 * 1024 * 1024, /* Element's list of VMs comes in one piece */
};

/* --- JSON ---------------------------------------------------------------- */

void rh_ntx_json_free(json_t **j)
{
    json_decref(*j);
}

const json_t *rh_ntx_at(const json_t *o, const char *path)
{
    char key[64];

    while (o && *path) {
        size_t n = strcspn(path, "/");

        o = json_is_array(o) ? json_array_get(o, 0) : o;
        snprintf(key, sizeof key, "%.*s", (int)RH_MIN(n, sizeof key - 1), path);
        o = json_object_get(o, key);
        path += n + (path[n] == '/');
    }
    return o && !json_is_null(o) ? o : NULL;
}

const char *rh_ntx_text(const json_t *o, const char *path)
{
    const char *text = json_string_value(rh_ntx_at(o, path));

    return text && text[0] ? text : NULL;
}

bool rh_ntx_number(const json_t *o, const char *path, uint64_t *ret)
{
    const json_t *v = rh_ntx_at(o, path);

    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *ret = (uint64_t)json_integer_value(v);
        return true;
    }
    return rh_parse_u64(json_string_value(v), ret);
}

/* --- who we are ---------------------------------------------------------- */

static void add_login(struct rh_live *live)
{
    const struct rh_login *l = &live->remote.login;

    if (l->token)
        rh_http_add_header(
            live->remote.http,
            rh_secret_join("X-ntnx-api-key: ", rh_secret_text(l->token),
                           (char *)NULL));
    else
        rh_http_add_basic(live->remote.http, l->user, l->password);
}

static int refused(struct rh_live *live, rh_error **err)
{
    rh_fail(err, RH_ERR_LOGIN_REFUSED, "Prism refused the log-in");
    if (live->remote.login.token)
        rh_hint(err, "an API key is one of Prism Central's, for its version 4 "
                     "alone; else give a user and a password");
    return rh_error_subject(err, live->remote.url.authority);
}

/* --- requests ------------------------------------------------------------ */

/* "NTNX-Request-Id: UUID": a change that came through twice is done once. */
static char *request_id(void)
{
    uint8_t b[16] = {0};

    if (getrandom(b, sizeof b, 0) != sizeof b)
        memset(b, 7, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return rh_printf("NTNX-Request-Id: %02x%02x%02x%02x-%02x%02x-%02x%02x-"
                     "%02x%02x-%02x%02x%02x%02x%02x%02x",
                     b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
                     b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int send(struct rh_live *live, const struct rh_ntx_request *r,
                struct rh_http_answer *ret, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *body = r->body ? json_dumps(r->body, JSON_COMPACT) : NULL;
    RH_AUTO(rh_freep) char *id = request_id();
    RH_AUTO(rh_freep)
    char *match = r->etag ? rh_printf("If-Match: %s", r->etag) : NULL;
    const char *headers[] = {"Accept: application/json", id, match, NULL};
    struct rh_http_request q = {.method = r->method ? r->method
                                          : body    ? "POST"
                                                    : "GET",
                                .path = r->path,
                                .type = body ? "application/json" : NULL,
                                .body = body,
                                .size = body ? strlen(body) : 0,
                                .headers = headers,
                                .limit = ANSWER,
                                .again = r->again};
    struct rh_ntx *s = rh_ntx_of(live);
    int failed;

    pthread_mutex_lock(&live->lock);
    if (s->refused) {
        pthread_mutex_unlock(&live->lock);
        return refused(live, err);
    }
    rh_http_set_lib(live->remote.http, r->cleanup ? NULL : &live->lib);
    failed = rh_http_do(live->remote.http, &q, ret, err);
    /* What it had taken before: its own session has ended, not ours. */
    if (!failed && ret->status == 401 && s->accepted) {
        rh_http_answer_free(ret);
        *ret = (struct rh_http_answer){0};
        rh_http_forget(live->remote.http);
        add_login(live);
        failed = rh_http_do(live->remote.http, &q, ret, err);
        s->refused = !failed && ret->status == 401;
    }
    rh_http_set_lib(live->remote.http, &live->lib);
    pthread_mutex_unlock(&live->lock);
    return failed;
}

static const char *reason_in(const json_t *doc)
{
    static const char *const paths[] = {"message_list/message",
                                        "data/error/message",
                                        "data/error/detail",
                                        "error_detail",
                                        "message",
                                        "error/message"};

    for (size_t i = 0; i < RH_COUNT(paths); i++)
        if (rh_ntx_text(doc, paths[i]))
            return rh_ntx_text(doc, paths[i]);
    return NULL;
}

static int fault(struct rh_live *live, const struct rh_ntx_request *r,
                 long status, const json_t *doc, rh_error **err)
{
    const char *reason = reason_in(doc);
    int n = (int)strcspn(r->path, "?");

    if (status == 401)
        return refused(live, err);
    if (status == 429 || status == 502 || status == 503 || status == 504)
        rh_fail(err, RH_ERR_HTTP_BUSY, "Prism is busy (status %ld)", status);
    else
        rh_fail(err, status == 403 ? RH_ERR_LIVE_RIGHTS : RH_ERR_LIVE_FAULT,
                "%.*s: status %ld%s%.300s", RH_MIN(n, 200), r->path, status,
                reason ? ": " : "", reason ? reason : "");
    return rh_error_subject(err, live->remote.url.authority);
}

static int not_json(struct rh_live *live, rh_error **err)
{
    rh_fail(err, RH_ERR_LIVE_ANSWER, "the answer is no JSON of Prism's");
    return rh_error_subject(err, live->remote.url.authority);
}

int rh_ntx_ask(struct rh_live *live, const struct rh_ntx_request *r,
               json_t **ret, bool *ret_missing, char **ret_etag, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    RH_AUTO(rh_ntx_json_free) json_t *doc = NULL;

    if (send(live, r, &a, err) < 0)
        return rh_error_subject(err, live->remote.url.authority);
    if (a.body.length)
        doc = json_loadb(a.body.data, a.body.length, 0, NULL);
    if (ret_missing)
        *ret_missing = a.status == 404;
    if (ret_missing && a.status == 404)
        return 0;
    if (a.status < 200 || a.status > 299)
        return fault(live, r, a.status, doc, err);
    if (ret && a.body.length && !doc)
        return not_json(live, err);
    rh_ntx_of(live)->accepted = true;
    if (ret_etag)
        *ret_etag = rh_http_answer_header(&a, "ETag");
    if (ret)
        *ret = RH_TAKE(doc);
    return 0;
}

/* --- versions ------------------------------------------------------------ */

static char *base_of(enum rh_ntx_space space, int minor)
{
    static const char *const names[] = {"vmm", "prism", "networking"};

    return rh_printf("/api/%s/v4.%d", names[space], minor);
}

/* Newest first: a version that is not there is a 404. */
static int learn_minor(struct rh_live *live, enum rh_ntx_space space,
                       const char *probe, rh_error **err)
{
    struct rh_ntx *s = rh_ntx_of(live);

    for (int minor = NEWEST; minor >= 0 && s->minor[space] < 0; minor--) {
        RH_AUTO(rh_freep) char *base = base_of(space, minor);
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", base, probe);
        struct rh_ntx_request r = {.path = path, .again = true};
        bool missing = false;

        if (rh_ntx_ask(live, &r, NULL, &missing, NULL, err) < 0)
            return -1;
        if (!missing)
            s->minor[space] = minor;
    }
    return 0;
}

char *rh_ntx_base(struct rh_live *live, enum rh_ntx_space space,
                  const char *probe, rh_error **err)
{
    struct rh_ntx *s = rh_ntx_of(live);

    if (s->minor[space] < 0 && learn_minor(live, space, probe, err) < 0)
        return NULL;
    if (s->minor[space] >= 0)
        return base_of(space, s->minor[space]);
    rh_fail(err, RH_ERR_LIVE_ANSWER, "version 4 lacks %s", probe);
    rh_error_subject(err, live->remote.url.authority);
    return NULL;
}

static int list_one(struct rh_live *live, const char *kind, const char *plural,
                    bool *ret_missing, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s/list", rh_ntx_v3, plural);
    RH_AUTO(rh_ntx_json_free)
    json_t *body =
        json_pack("{s:s, s:i, s:i}", "kind", kind, "length", 1, "offset", 0);
    struct rh_ntx_request r = {.path = path, .body = body, .again = true};

    return rh_ntx_ask(live, &r, NULL, ret_missing, NULL, err);
}

/* Element alone has snapshots of VMs in version 3. */
static int meet_older(struct rh_live *live, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/cluster", rh_ntx_v2);
    struct rh_ntx_request r = {.path = path, .again = true};
    struct rh_ntx *s = rh_ntx_of(live);
    bool no_v3, missing = true;

    if (list_one(live, "vm", "vms", &no_v3, err) < 0)
        return -1;
    if (!no_v3 &&
        list_one(live, "vm_snapshot", "vm_snapshots", &missing, err) < 0)
        return -1;
    s->element = no_v3 || !missing;
    s->version = s->element ? RH_NTX_V2 : RH_NTX_V3;
    if (!s->element)
        return 0;
    if (rh_ntx_ask(live, &r, NULL, &missing, NULL, err) < 0)
        return -1;
    if (!missing)
        return 0;
    rh_fail(err, RH_ERR_LIVE_ANSWER, "no version of Prism's API answers here");
    return rh_error_subject(err, live->remote.url.authority);
}

int rh_ntx_open(struct rh_live *live, rh_error **err)
{
    struct rh_ntx *s = rh_new0(struct rh_ntx);

    live->state = s;
    for (size_t i = 0; i < RH_NTX_SPACES; i++)
        s->minor[i] = -1;
    add_login(live);
    if (learn_minor(live, RH_NTX_VMM, "ahv/config/vms?$limit=1", err) < 0)
        return -1;
    if (s->minor[RH_NTX_VMM] >= 0) {
        s->version = RH_NTX_V4;
        return 0;
    }
    return live->remote.login.token ? refused(live, err)
                                    : meet_older(live, err);
}

void rh_ntx_close(struct rh_live *live)
{
    struct rh_ntx *s = rh_ntx_of(live);

    if (s)
        json_decref(s->subnets);
    if (s)
        json_decref(s->names);
    free(s);
    live->state = NULL;
}

/* --- tasks --------------------------------------------------------------- */

static char *task_path(struct rh_live *live, const char *task, bool v4,
                       int minor)
{
    RH_AUTO(rh_freep) char *id = rh_http_escape(task);
    RH_AUTO(rh_freep) char *base = NULL;

    (void)live;
    if (!v4)
        return rh_printf("%s/tasks/%s", rh_ntx_v3, id);
    base = base_of(RH_NTX_TASKS, minor);
    return rh_printf("%s/config/tasks/%s", base, id);
}

/* Where tasks stand in version 4 shows with the first of them. */
static int ask_task(struct rh_live *live, const char *task, bool v4,
                    bool cleanup, json_t **ret, rh_error **err)
{
    struct rh_ntx *s = rh_ntx_of(live);
    int *known = &s->minor[RH_NTX_TASKS];
    bool missing = true;

    for (int minor = *known >= 0 ? *known : NEWEST; missing && minor >= 0;
         minor--) {
        RH_AUTO(rh_freep) char *path = task_path(live, task, v4, minor);
        struct rh_ntx_request r = {
            .path = path, .again = true, .cleanup = cleanup};

        if (rh_ntx_ask(live, &r, ret, &missing, NULL, err) < 0)
            return -1;
        if (!missing && v4)
            *known = minor;
        if (!v4)
            break;
    }
    if (!missing && *ret)
        return 0;
    return rh_fail(err, RH_ERR_LIVE_ANSWER, "the task %.100s is not there",
                   task);
}

static int task_failed(const json_t *t, const char *status, rh_error **err)
{
    const char *why = rh_ntx_text(t, "error_detail");

    why = why ? why : rh_ntx_text(t, "data/errorMessages/message");
    return rh_fail(err, RH_ERR_LIVE_FAULT, "the task ended as %.40s%s%.300s",
                   status, why ? ": " : "", why ? why : "");
}

int rh_ntx_wait(struct rh_live *live, rh_lib *lib, const char *task, bool v4,
                json_t **ret, rh_error **err)
{
    time_t until = time(NULL) + (lib ? TASK_HOURS * 3600 : SETTLE);

    for (unsigned naps = 1;; naps = RH_MIN(naps * 2, 16U)) {
        RH_AUTO(rh_ntx_json_free) json_t *t = NULL;
        const char *status;

        if (ask_task(live, task, v4, !lib, &t, err) < 0)
            return -1;
        if (ret) {
            json_decref(*ret);
            *ret = json_incref(t);
        }
        status = rh_ntx_text(t, v4 ? "data/status" : "status");
        if (!status || !strcmp(status, "FAILED") ||
            !strcmp(status, "CANCELED") || !strcmp(status, "ABORTED"))
            return task_failed(t, status ? status : "?", err);
        if (!strcmp(status, "SUCCEEDED"))
            return 0;
        if (time(NULL) > until)
            return rh_fail(err, RH_ERR_LIVE_FAULT, "the task does not end");
        for (unsigned i = 0; i < naps; i++)
            if (rh_wait_nap(lib, err) < 0)
                return -1;
    }
}
