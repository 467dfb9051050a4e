/* rpc.c - JSON-RPC with XAPI: the session, calls, and what its errors mean. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "deliver/xapi/xapi.h"

static char *quote(const char *text)
{
    json_t *value = json_string(text);
    char *quoted = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;

    json_decref(value);
    return quoted ? quoted : rh_strdup("\"\"");
}

/* --- errors
 * ---------------------------------------------------------------------- */

static const struct {
    const char *code; /* also a beginning of one, with a "*" */
    enum rh_error_id id;
    const char *text, *hint;
} meanings[] = {
    {"HOST_OFFLINE", RH_ERR_HTTP_BUSY, N_("a host of the pool is offline"),
     NULL},
    {"IMPORT_ERROR_PREMATURE_EOF", RH_ERR_HTTP_FAILED,
     N_("the stream ended early"),
     N_("see above why; if there is nothing, run the command again")},
    {"IMPORT_INCOMPATIBLE_VERSION", RH_ERR_DELIVERY_LIMIT,
     N_("the host is older than what the XVA asks for"),
     N_("update the pool to XCP-ng 8.2 or later")},
    {"OPERATION_NOT_ALLOWED", RH_ERR_HTTP_BUSY, N_("somebody works on it"),
     NULL},
    {"OTHER_OPERATION_IN_PROGRESS", RH_ERR_HTTP_BUSY,
     N_("somebody works on it"), NULL},
    {"RBAC_PERMISSION_DENIED", RH_ERR_DELIVERY_RIGHTS,
     N_("the user may not do that"),
     N_("an import needs the role vm-admin or pool-admin")},
    {"SESSION_AUTHENTICATION_FAILED", RH_ERR_LOGIN_REFUSED,
     N_("the user or the password is wrong"), NULL},
    {"SESSION_INVALID", RH_ERR_LOGIN_REFUSED, N_("the session has ended"),
     N_("run the command again")},
    {"SR_FULL", RH_ERR_DELIVERY_SPACE, N_("the storage is full"), NULL},
    {"SR_OPERATION_NOT_SUPPORTED", RH_ERR_DELIVERY_PLACE,
     N_("the storage does not take disks"), NULL},
    {"SR_BACKEND_FAILURE_44", RH_ERR_DELIVERY_SPACE, N_("the storage is full"),
     NULL},
    {"SR_BACKEND_FAILURE_79", RH_ERR_DELIVERY_LIMIT,
     N_("the storage does not take a disk of that size"), NULL},
    {"TASK_CANCELLED", RH_ERR_DELIVERY_FAILED,
     N_("somebody cancelled the task"), N_("run the command again")},
    {"VDI_IO_ERROR", RH_ERR_DELIVERY_FAILED,
     N_("the storage failed, or it is full"),
     N_("look at the storage's free space and at the host's log")},
    {"VDI_IN_USE", RH_ERR_HTTP_BUSY, N_("the disk is in use"), NULL},
    {"VM_TO_IMPORT_IS_NOT_NEWER_VERSION", RH_ERR_DELIVERY_TAKEN,
     N_("a VM with this UUID is there already"),
     N_("take that VM away first, if this one is to replace it")},
};

static void add_params(struct rh_buf *b, const json_t *params)
{
    size_t i;
    json_t *value;

    json_array_foreach (params, i, value) {
        const char *text = json_string_value(value);

        /* References of the pool's database mean nothing to a person. */
        if (text && text[0] && strncmp(text, "OpaqueRef:", 10))
            rh_buf_printf(b, "%s%.300s", b->length ? ", " : ": ", text);
    }
}

const char *rh_xapi_meaning(const char *code, enum rh_error_id *ret_id,
                            const char **ret_hint)
{
    for (size_t i = 0; i < RH_COUNT(meanings); i++)
        if (!strcmp(meanings[i].code, code)) {
            *ret_id = meanings[i].id;
            *ret_hint = meanings[i].hint;
            return meanings[i].text;
        }
    return NULL;
}

int rh_xapi_fail(const struct rh_xapi *x, const char *what, const char *code,
                 const json_t *params, rh_error **err)
{
    RH_AUTO(rh_buf_free) struct rh_buf b = {0};
    const char *text, *hint;
    enum rh_error_id id;

    rh_buf_printf(&b, "%.100s", code);
    add_params(&b, params);
    text = rh_xapi_meaning(code, &id, &hint);
    if (text) {
        rh_fail(err, id, "%s: %s (%s)", what, _(text), b.data);
        if (hint)
            rh_hint(err, "%s", _(hint));
        return rh_error_subject(err, rh_http_name(x->http));
    }
    rh_fail(err, RH_ERR_DELIVERY_FAILED, "%s: %s", what, b.data);
    return rh_error_subject(err, rh_http_name(x->http));
}

/* --- calls
 * ------------------------------------------------------------------------ */

const char *rh_xapi_text(const json_t *record, const char *field)
{
    const char *text = json_string_value(json_object_get(record, field));

    return text ? text : "";
}

uint64_t rh_xapi_number(const json_t *record, const char *field)
{
    const json_t *value = json_object_get(record, field);
    uint64_t n = 0;

    if (json_is_integer(value))
        return json_integer_value(value) > 0
                   ? (uint64_t)json_integer_value(value)
                   : 0;
    if (json_is_string(value))
        rh_parse_u64(json_string_value(value), &n);
    return n;
}

/* The call as a text that holds secrets: wiped by who sends it. */
static struct rh_secret *call_text(struct rh_xapi *x, const char *method,
                                   const char *first, const char *rest)
{
    RH_AUTO(rh_freep)
    char *head = rh_printf("{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\","
                           "\"params\":[",
                           ++x->calls, method);

    return rh_secret_join(head, first, first[0] && rest[0] ? "," : "", rest,
                          "]}", NULL);
}

static json_t *parse_answer(const struct rh_http_answer *a, rh_error **err)
{
    json_t *doc = a->body.data ? json_loadb(a->body.data, a->body.length,
                                            JSON_DECODE_ANY, NULL)
                               : NULL;

    if (!doc)
        rh_fail(err, RH_ERR_HTTP_STATUS,
                "the server's answer is no JSON: is it XAPI?");
    return doc;
}

/* The result, or NULL with *ret_error (a reference) or *err. */
static json_t *send_call(struct rh_xapi *x, const struct rh_secret *text,
                         json_t **ret_error, rh_error **err)
{
    RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};
    const char *body = rh_secret_text(text);
    struct rh_http_request r = {.method = "POST",
                                .path = "/jsonrpc",
                                .type = "application/json",
                                .body = body,
                                .size = body ? strlen(body) : 0};
    json_t *doc, *result;

    if (!body) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for a call");
        return NULL;
    }
    if (rh_http_do(x->http, &r, &a, err) < 0)
        return NULL;
    if (a.status != 200) {
        rh_http_refuse(x->http, &r, &a, NULL, err);
        return NULL;
    }
    doc = parse_answer(&a, err);
    result = json_incref(json_object_get(doc, "result"));
    *ret_error = json_incref(json_object_get(doc, "error"));
    if (doc && !result && !*ret_error)
        rh_fail(err, RH_ERR_HTTP_STATUS, "the server's answer is no result");
    json_decref(doc);
    if (!result && !*ret_error)
        rh_error_subject(err, rh_http_name(x->http));
    if (json_is_null(*ret_error)) {
        json_decref(*ret_error);
        *ret_error = NULL;
    }
    return result;
}

json_t *rh_xapi_ask(struct rh_xapi *x, const char *method, json_t *args,
                    json_t **ret_error, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *whole = args ? json_dumps(args, JSON_COMPACT) : NULL;
    RH_AUTO(rh_wipe_freep) char *session = quote(rh_secret_text(x->session));
    RH_AUTO(rh_secret_freep) struct rh_secret *text = NULL;

    if (whole) /* without its last bracket; the first is skipped */
        whole[strlen(whole) - 1] = '\0';
    text = call_text(x, method, session, whole ? whole + 1 : "");
    json_decref(args);
    *ret_error = NULL;
    return send_call(x, text, ret_error, err);
}

json_t *rh_xapi_call(struct rh_xapi *x, const char *method, json_t *args,
                     rh_error **err)
{
    json_t *error, *result = rh_xapi_ask(x, method, args, &error, err);

    if (!error)
        return result;
    rh_xapi_fail(x, method, rh_xapi_text(error, "message"),
                 json_object_get(error, "data"), err);
    json_decref(error);
    json_decref(result);
    return NULL;
}

int rh_xapi_do(struct rh_xapi *x, const char *method, json_t *args,
               rh_error **err)
{
    json_t *result = rh_xapi_call(x, method, args, err);

    json_decref(result);
    return result ? 0 : -1;
}

/* --- the session
 * ------------------------------------------------------------------ */

static int go_to_master(struct rh_xapi *x, const json_t *error, rh_error **err)
{
    const char *address =
        json_string_value(json_array_get(json_object_get(error, "data"), 0));

    if (!address || x->own)
        return rh_fail(err, RH_ERR_DELIVERY_FAILED,
                       "the pool's hosts do not agree on who is its master");
    rh_log(x->remote->lib, RH_LOG_INFO, "%s is no master; going to %s",
           rh_http_name(x->http), address);
    x->own = rh_http_beside(x->remote->http, address, err);
    if (!x->own)
        return -1;
    x->http = x->own;
    return 0;
}

static int try_login(struct rh_xapi *x, json_t **ret_error, rh_error **err)
{
    const struct rh_login *l = &x->remote->login;
    RH_AUTO(rh_wipe_freep) char *user = quote(rh_secret_text(l->user));
    RH_AUTO(rh_wipe_freep) char *password = quote(rh_secret_text(l->password));
    RH_AUTO(rh_secret_freep)
    struct rh_secret *params =
        rh_secret_join(user, ",", password, ",\"1.0\",\"rehost\"", NULL);
    RH_AUTO(rh_secret_freep) struct rh_secret *text = NULL;
    json_t *result;

    text = call_text(x, "session.login_with_password",
                     rh_secret_text(params) ? rh_secret_text(params) : "", "");
    result = send_call(x, text, ret_error, err);
    if (!result)
        return -1;
    x->session = rh_secret_new(json_string_value(result));
    json_decref(result);
    return x->session ? 0
                      : rh_fail(err, RH_ERR_HTTP_STATUS,
                                "the server gives no session");
}

int rh_xapi_login(struct rh_xapi *x, struct rh_remote *r, rh_error **err)
{
    *x = (struct rh_xapi){.remote = r, .http = r->http};
    if (!r->login.user || !r->login.password)
        return rh_fail(err, RH_ERR_LOGIN_MISSING,
                       "XAPI wants a user and a password");
    for (;;) {
        json_t *error = NULL;
        bool slave;

        if (try_login(x, &error, err) == 0)
            break;
        if (!error)
            return -1;
        slave = !strcmp(rh_xapi_text(error, "message"), "HOST_IS_SLAVE");
        if (slave ? go_to_master(x, error, err) < 0
                  : rh_xapi_fail(x, _("log-in"), rh_xapi_text(error, "message"),
                                 NULL, err) < 0) {
            json_decref(error);
            return -1;
        }
        json_decref(error);
    }
    rh_http_set_cookie(x->http, "session_id", rh_secret_text(x->session));
    return 0;
}

void rh_xapi_logout(struct rh_xapi *x)
{
    if (x->session) {
        rh_http_set_lib(x->http, NULL);
        rh_xapi_do(x, "session.logout", NULL, NULL);
        rh_http_set_lib(x->http, x->remote->lib);
        rh_http_forget(x->http);
    }
    rh_secret_free(x->session);
    rh_http_free(x->own);
    *x = (struct rh_xapi){0};
}
