/* import.c - a whole VM as a stream into PUT /import.
 *
 * The order is XAPI's: the task first, then the request to a host that sees the
 * storage.  Its 200 means nothing; a socket that closes while we still write is
 * not the error either: the task has it.  Objects of an import that failed are
 * taken away by XAPI itself. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deliver/xapi/xapi.h"

enum {
    FIRST_ANSWER = 30, /* seconds until the 200 */
    HOPS = 3,          /* redirects */
    UNUSED = 15,       /* seconds until a task without objects is given up */
    PENDING = 60, /* seconds that a task may take to learn of a lost stream */
    POLL_FIRST = 50, /* milliseconds */
    POLL_MAX = 1000,
};

/* Tasks of ours. */
static const char label[] = "rehost: import ";

/* --- where it goes
 * --------------------------------------------------------------- */

/* Only a host that the pool's own records name is given the session. */
static bool is_member(const struct rh_xapi_place *p, const char *authority)
{
    RH_AUTO(rh_freep) char *alone = rh_http_host_alone(authority);
    const char *key;
    json_t *host;

    json_object_foreach (p->hosts, key, host) {
        const char *address = rh_xapi_text(host, "address");

        if (address[0] &&
            (!strcmp(address, authority) || !strcmp(address, alone)))
            return true;
    }
    return false;
}

static int go_to(struct rh_xapi_import *i, const char *authority,
                 rh_error **err)
{
    struct rh_http *other;

    if (!is_member(i->place, authority)) {
        rh_fail(err, RH_ERR_HTTP_REDIRECT,
                "the server sends us to %s, which is no host of its pool",
                authority);
        return rh_hint(err, "look at the pool's host records; nothing was "
                            "sent there");
    }
    other = rh_http_beside(i->x->http, authority, err);
    if (!other)
        return -1;
    rh_http_free(i->own);
    i->own = i->host = other;
    rh_http_set_cookie(other, "session_id", rh_secret_text(i->x->session));
    return 0;
}

/* "https://ADDRESS/import?..." -> "ADDRESS" */
static char *authority_of(const char *location)
{
    const char *rest = location ? strstr(location, "://") : NULL;

    return rest ? rh_strndup(rest + 3, strcspn(rest + 3, "/?#")) : NULL;
}

static int follow(struct rh_xapi_import *i, const struct rh_http_answer *a,
                  rh_error **err)
{
    RH_AUTO(rh_wipe_freep)
    char *location = rh_http_answer_header(a, "Location");
    RH_AUTO(rh_freep) char *authority = authority_of(location);

    if (!authority)
        return rh_fail(err, RH_ERR_HTTP_REDIRECT,
                       "the server sends us on without an address");
    rh_http_upload_close(RH_TAKE(i->upload));
    return go_to(i, authority, err);
}

/* --- the task
 * --------------------------------------------------------------------- */

static json_t *task_record(struct rh_xapi_import *i, rh_error **err)
{
    return rh_xapi_call(i->x, "task.get_record", json_pack("[s]", i->task),
                        err);
}

/* "<value><array><data><value>OpaqueRef:...</value>" -> the first reference */
static char *first_reference(const char *xml)
{
    const char *p = strstr(xml, "OpaqueRef:");

    return p ? rh_strndup(p, strcspn(p, "< \t\r\n\"")) : NULL;
}

static int say_failure(struct rh_xapi_import *i, const json_t *task,
                       rh_error **err)
{
    json_t *info = json_object_get(task, "error_info");
    const char *code = json_string_value(json_array_get(info, 0));
    json_t *params = json_copy(info);

    json_array_remove(params, 0);
    /* When our stream ended early, what broke it is the better reason. */
    if (i->broken && code && !strcmp(code, "IMPORT_ERROR_PREMATURE_EOF") &&
        err && !*err)
        *err = RH_TAKE(i->broken);
    rh_xapi_fail(i->x, _("the import failed"), code ? code : "?", params, err);
    json_decref(params);
    return -1;
}

/* 1: it goes on; 0: done, or failed with -1. */
static int judge(struct rh_xapi_import *i, const json_t *task, rh_error **err)
{
    const char *status = rh_xapi_text(task, "status");

    if (!strcmp(status, "success")) {
        free(i->vm);
        i->vm = first_reference(rh_xapi_text(task, "result"));
        return 0;
    }
    if (strcmp(status, "failure") && strcmp(status, "cancelled"))
        return 1;
    return say_failure(i, task, err);
}

int rh_xapi_import_end(struct rh_xapi_import *i, rh_error **err)
{
    time_t start = time(NULL);
    unsigned ms = POLL_FIRST;
    int more = 1;

    if (i->upload && !i->broken) {
        RH_AUTO(rh_http_answer_free) struct rh_http_answer a = {0};

        rh_http_upload_finish(i->upload, &a, &i->broken);
    }
    if (i->broken && rh_error_number(i->broken) == RH_ERR_CANCELLED) {
        if (err && !*err)
            *err = RH_TAKE(i->broken);
        return -1;
    }
    while (more > 0) {
        json_t *task = task_record(i, err);

        if (!task)
            return -1;
        more = judge(i, task, err);
        json_decref(task);
        if (more > 0 && i->broken && time(NULL) - start > PENDING) {
            if (err && !*err)
                *err = RH_TAKE(i->broken);
            return -1;
        }
        if (more > 0)
            rh_remote_pause(i->x->remote->lib, &ms, POLL_MAX);
    }
    return more;
}

/* --- the stream
 * --------------------------------------------------------------------- */

static int request(struct rh_xapi_import *i, const char *path, int64_t size,
                   rh_error **err)
{
    struct rh_http_request r = {.method = "PUT", .path = path};
    const struct rh_http_answer *a;

    for (unsigned hop = 0;; hop++) {
        i->upload = rh_http_upload_start(i->host, &r, size, err);
        a = i->upload ? rh_http_upload_wait(i->upload, FIRST_ANSWER, err)
                      : NULL;
        if (!a)
            return -1;
        if (a->status != 301 && a->status != 302 && a->status != 307)
            break;
        if (hop == HOPS)
            return rh_fail(err, RH_ERR_HTTP_REDIRECT,
                           "the hosts send us in a circle");
        if (follow(i, a, err) < 0)
            return -1;
    }
    i->begun = true;
    if (a->status == 200 || a->status == 0)
        return 0;
    /* The task knows more than the status. */
    i->broken = NULL;
    rh_http_refuse(i->host, &r, a, NULL, &i->broken);
    return rh_xapi_import_end(i, err) < 0
               ? -1
               : rh_fail(err, RH_ERR_DELIVERY_FAILED,
                         "the host refuses the import");
}

int rh_xapi_import_open(struct rh_xapi_import *i, const char *name,
                        const char *path, int64_t size, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_printf("%s%s", label, name);
    RH_AUTO(rh_freep) char *whole = NULL;
    json_t *task =
        rh_xapi_call(i->x, "task.create",
                     json_pack("[ss]", text, "a VM is sent by rehost"), err);

    if (!task)
        return -1;
    i->task = rh_strdup(json_string_value(task));
    json_decref(task);
    i->host = i->x->http;
    if (i->journal && rh_journal_add(i->journal, i->kind ? i->kind : "task",
                                     i->task, err) < 0)
        return -1;
    if (i->place->address && go_to(i, i->place->address, err) < 0)
        return -1;
    whole = rh_printf("%s&task_id=%s", path, i->task);
    return request(i, whole, size, err);
}

int rh_xapi_import_begin(struct rh_xapi_import *i, const char *name,
                         rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/import?sr_id=%s&restore=true", i->place->sr);

    return rh_xapi_import_open(i, name, path, RH_HTTP_OPEN, err);
}

int rh_xapi_import_write(struct rh_xapi_import *i, const void *bytes, size_t n,
                         rh_error **err)
{
    if (i->broken) /* the task will say why */
        return 0;
    if (rh_http_upload_write(i->upload, bytes, n, &i->broken) == 0) {
        i->sent += n;
        return 0;
    }
    /* Nobody reads on: stop here, and hear from the task what happened. */
    if (rh_xapi_import_end(i, err) < 0)
        return -1;
    return 0; /* all was read that is needed; what follows is padding */
}

void rh_xapi_import_free(struct rh_xapi_import *i)
{
    rh_http_upload_close(i->upload);
    rh_http_free(i->own);
    rh_error_free(i->broken);
    free(i->task);
    free(i->vm);
    *i = (struct rh_xapi_import){0};
}

int rh_xapi_addresses(struct rh_xapi *x, const char *vm, json_t *list,
                      rh_error **err)
{
    json_t *ref =
        rh_xapi_call(x, "VM.get_guest_metrics", json_pack("[s]", vm), err);
    const char *text = json_string_value(ref);
    json_t *metrics = NULL, *address;
    const char *key;

    if (text && strcmp(text, RH_XAPI_NULL) != 0)
        metrics = rh_xapi_call(x, "VM_guest_metrics.get_record",
                               json_pack("[s]", text), err);
    json_object_foreach (json_object_get(metrics, "networks"), key, address)
        rh_address_add(list, json_string_value(address));
    json_decref(metrics);
    json_decref(ref);
    return text ? 0 : -1;
}

/* --- taking it back
 * ------------------------------------------------------------------ */

/* A disk that is ours says so: the journal, which lies beside a result, may
 * come from anywhere. */
static const char disk_mark[] = "rehost-task";

/* The disks of a VM. */
static json_t *disks_of(struct rh_xapi *x, const json_t *vm, rh_error **err)
{
    json_t *vdis = json_array(), *ref;
    size_t i;

    json_array_foreach (json_object_get(vm, "VBDs"), i, ref) {
        json_t *vdi =
            rh_xapi_call(x, "VBD.get_VDI", json_pack("[O]", ref), err);
        bool good = json_is_string(vdi);

        if (good && strcmp(json_string_value(vdi), RH_XAPI_NULL) != 0)
            json_array_append(vdis, vdi);
        json_decref(vdi);
        if (good)
            continue;
        json_decref(vdis);
        return NULL;
    }
    return vdis;
}

/* With the VM gone nothing would lead to its disks: they are marked and noted
 * before it goes. */
static int note_disk(struct rh_xapi *x, struct rh_journal *j, const char *vdi,
                     const char *task, rh_error **err)
{
    RH_AUTO(rh_freep) char *id = rh_printf("%s %s", vdi, task);

    rh_xapi_do(x, "VDI.remove_from_other_config",
               json_pack("[ss]", vdi, disk_mark), NULL);
    if (rh_xapi_do(x, "VDI.add_to_other_config",
                   json_pack("[sss]", vdi, disk_mark, task), err) < 0)
        return -1;
    return j ? rh_journal_add(j, "vdi", id, err) : 0;
}

static int destroy_all(struct rh_xapi *x, struct rh_journal *j, const char *vm,
                       const json_t *vdis, const char *task, rh_error **err)
{
    size_t i;
    json_t *ref;
    int failed = 0;

    json_array_foreach (vdis, i, ref)
        if (note_disk(x, j, json_string_value(ref), task, err) < 0)
            return -1;
    if (rh_xapi_do(x, "VM.destroy", json_pack("[s]", vm), err) < 0)
        return -1;
    json_array_foreach (vdis, i, ref)
        failed |= rh_xapi_do(x, "VDI.destroy", json_pack("[O]", ref),
                             failed ? NULL : err);
    return failed;
}

static int destroy_vm(struct rh_xapi *x, struct rh_journal *j, const char *vm,
                      const char *task, rh_error **err)
{
    json_t *error;
    json_t *record =
        rh_xapi_ask(x, "VM.get_record", json_pack("[s]", vm), &error, err);
    bool gone = !strcmp(rh_xapi_text(error, "message"), "HANDLE_INVALID");
    json_t *vdis = record ? disks_of(x, record, err) : NULL;
    int failed = gone ? 0 : -1;

    if (error && !gone)
        rh_xapi_fail(x, "VM.get_record", rh_xapi_text(error, "message"),
                     json_object_get(error, "data"), err);
    if (vdis)
        failed = destroy_all(x, j, vm, vdis, task, err);
    json_decref(vdis);
    json_decref(record);
    json_decref(error);
    return failed;
}

/* "VDI TASK" of a journal: its VM went, it did not. */
int rh_xapi_clean_disk(struct rh_xapi *x, const char *id, rh_error **err)
{
    const char *task = strchr(id, ' ');
    RH_AUTO(rh_freep)
    char *vdi = rh_strndup(id, task ? (size_t)(task - id) : 0);
    json_t *error, *record = rh_xapi_ask(x, "VDI.get_record",
                                         json_pack("[s]", vdi), &error, err);
    const char *mark =
        rh_xapi_text(json_object_get(record, "other_config"), disk_mark);
    bool ours = task && record && mark[0] && !strcmp(mark, task + 1) &&
                !json_array_size(json_object_get(record, "VBDs"));
    int failed =
        record || !strcmp(rh_xapi_text(error, "message"), "HANDLE_INVALID")
            ? 0
            : -1;

    if (error && failed)
        rh_xapi_fail(x, "VDI.get_record", rh_xapi_text(error, "message"),
                     json_object_get(error, "data"), err);
    json_decref(record);
    json_decref(error);
    return ours ? rh_xapi_do(x, "VDI.destroy", json_pack("[s]", vdi), err)
                : failed;
}

/* Ask it to stop, and wait for its end. */
static int stop_task(struct rh_xapi *x, const char *task, json_t **ret_record,
                     rh_error **err)
{
    time_t start = time(NULL);
    unsigned ms = POLL_FIRST;

    rh_xapi_do(x, "task.cancel", json_pack("[s]", task), NULL);
    for (;;) {
        json_t *record =
            rh_xapi_call(x, "task.get_record", json_pack("[s]", task), err);
        const char *status = rh_xapi_text(record, "status");

        if (!record)
            return -1;
        if (strcmp(status, "pending") && strcmp(status, "cancelling")) {
            *ret_record = record;
            return 0;
        }
        /* Nobody works on a task whose import was never asked for. */
        if (time(NULL) - start > UNUSED &&
            !json_object_get(json_object_get(record, "other_config"),
                             "object_creation")) {
            *ret_record = record;
            return 0;
        }
        json_decref(record);
        if (time(NULL) - start > PENDING)
            return rh_fail(err, RH_ERR_DELIVERY_LEFT,
                           "the server's task does not end");
        rh_remote_pause(rh_http_lib(x->http), &ms, POLL_MAX);
    }
}

/* 1: it has ended, and its last record is *ret_record; 0: it is none of ours,
 * or not known any more; XAPI forgets tasks after an hour. */
static int end_task(struct rh_xapi *x, const char *task, json_t **ret_record,
                    rh_error **err)
{
    json_t *error, *record = rh_xapi_ask(x, "task.get_record",
                                         json_pack("[s]", task), &error, err);
    const char *code = rh_xapi_text(error, "message");
    bool there = record && !strncmp(rh_xapi_text(record, "name_label"), label,
                                    sizeof label - 1);
    int failed = record || !strcmp(code, "HANDLE_INVALID") ? 0 : -1;

    if (error && failed)
        rh_xapi_fail(x, "task.get_record", code, json_object_get(error, "data"),
                     err);
    json_decref(record);
    json_decref(error);
    if (!there)
        return failed;
    return stop_task(x, task, ret_record, err) < 0 ? -1 : 1;
}

int rh_xapi_clean_task(struct rh_xapi *x, struct rh_journal *j,
                       const char *task, rh_error **err)
{
    json_t *record = NULL;
    RH_AUTO(rh_freep) char *vm = NULL;
    int ended = end_task(x, task, &record, err);

    if (ended <= 0)
        return ended;
    if (!strcmp(rh_xapi_text(record, "status"), "success"))
        vm = first_reference(rh_xapi_text(record, "result"));
    json_decref(record);
    if (vm && destroy_vm(x, j, vm, task, err) < 0)
        return -1;
    rh_xapi_do(x, "task.destroy", json_pack("[s]", task), NULL);
    return 0;
}

/* Of a VM around disks that were there: it stands whole, or XAPI has taken it
 * away; the disks stay in any case. */
static int clean_metadata(struct rh_xapi *x, const char *task, rh_error **err)
{
    json_t *record = NULL;
    RH_AUTO(rh_freep) char *vm = NULL;
    int ended = end_task(x, task, &record, err);

    if (!strcmp(rh_xapi_text(record, "status"), "success"))
        vm = first_reference(rh_xapi_text(record, "result"));
    json_decref(record);
    if (vm)
        rh_xapi_import_seen(x, vm);
    if (ended > 0)
        rh_xapi_do(x, "task.destroy", json_pack("[s]", task), NULL);
    return ended < 0 ? -1 : 0;
}

int rh_xapi_clean(struct rh_xapi *x, struct rh_journal *j, const char *kind,
                  const char *id, rh_error **err)
{
    if (!strcmp(kind, "task"))
        return rh_xapi_clean_task(x, j, id, err);
    if (!strcmp(kind, "metadata"))
        return clean_metadata(x, id, err);
    if (!strcmp(kind, "vdis"))
        return rh_xapi_clean_marked(x, id, err);
    return strcmp(kind, "vdi") ? 0 : rh_xapi_clean_disk(x, id, err);
}

void rh_xapi_import_abort(struct rh_xapi_import *i)
{
    rh_http_upload_close(RH_TAKE(i->upload));
    if (!i->task)
        return;
    rh_http_set_lib(i->x->http, NULL); /* also after a cancel */
    if (!i->begun) {
        rh_xapi_do(i->x, "task.destroy", json_pack("[s]", i->task), NULL);
        rh_journal_done(i->journal);
    } else if (rh_xapi_clean_task(i->x, i->journal, i->task, NULL) == 0)
        rh_journal_done(i->journal);
    rh_http_set_lib(i->x->http, i->x->remote->lib);
}
