/* events.c - what happens, told as JSON: to a pipe that callers poll, to the
 * command of --on-event, and to an audit log. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "rehost/rehost.h"

enum {
    HOOKS_AT_ONCE = 8,
    END_WAIT_MS = 10000,
    EVENTS_KEPT = 1024 * 1024,
    NAME_ROOM = 16384
};

static void utc_now(char ret[32])
{
    time_t now = time(NULL);
    struct tm t;

    gmtime_r(&now, &t);
    strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &t);
}

static json_t *event_json(const rh_batch *b, const char *event, size_t vm)
{
    char now[32], host[80] = "";
    const struct rh_record *r;
    json_t *doc, *list;

    utc_now(now);
    gethostname(host, sizeof host - 1);
    doc = json_pack("{s:s, s:s, s:o, s:s+}", "event", event, "time", now,
                    "batch", rh_batch_name(b->jobs->path), "host", host, "");
    if (vm == SIZE_MAX)
        return doc;
    r = &b->tasks[vm].record;
    list = json_array();
    for (size_t k = 0; k < r->results.count; k++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s/%s", b->journal.out, r->results.items[k]);

        json_array_append_new(list, rh_batch_name(path));
    }
    json_object_set_new(doc, "vm", rh_batch_name(b->jobs->vms.items[vm].name));
    json_object_update_new(
        doc,
        json_pack("{s:s, s:i, s:f, s:s, s:I, s:I, s:f, s:o, s:O?, s:s?}",
                  "state", rh_vm_state_name(r->state), "attempt",
                  (int)r->attempts, "seconds", r->seconds, "stage", r->stage,
                  "bytes_done", (json_int_t)r->bytes_done, "bytes_total",
                  (json_int_t)r->bytes_total, "rate", r->rate, "results", list,
                  "error", r->error, "reason", r->reason));
    return doc;
}

/* --- the pipe
 * ---------------------------------------------------------------- */

/* What the pipe does not take at once waits in memory. */
static void flush_pipe(rh_batch *b)
{
    struct rh_buf *queue = &b->event_queue;
    size_t done = 0;
    ssize_t n = 1;

    while (n > 0 && done < queue->length) {
        n = write(b->events[1], queue->data + done, queue->length - done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (!done)
        return;
    memmove(queue->data, queue->data + done, queue->length - done + 1);
    queue->length -= done;
}

/* Nobody who polls late may hold the batch up, or take all of its memory: what
 * has no room is counted, and the count is told as soon as there is some. */
static void to_pipe(rh_batch *b, const char *line)
{
    struct rh_buf *queue = &b->event_queue;

    if (b->events[1] < 0)
        return;
    flush_pipe(b);
    if (queue->length + strlen(line) > EVENTS_KEPT) {
        b->events_lost++;
        return;
    }
    if (b->events_lost)
        rh_buf_printf(queue, "{\"event\":\"events-lost\",\"count\":%zu}\n",
                      b->events_lost);
    b->events_lost = 0;
    rh_buf_puts(queue, line);
    flush_pipe(b);
}

/* --- the command
 * ------------------------------------------------------------- */

static void run_hook(rh_batch *b, const char *line)
{
    int ends[2];
    pid_t pid;
    ssize_t n;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return;
    pid = fork();
    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (dup2(ends[0], 0) >= 0 && dup2(2, 1) >= 0)
            execl("/bin/sh", "sh", "-c", b->on_event, (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    /* A line is shorter than a socket holds, as a rule: nobody is waited for.
     */
    n = pid > 0 ? send(ends[1], line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT)
                : -1;
    if (pid > 0 && n != (ssize_t)strlen(line))
        rh_log(b->lib, RH_LOG_WARN,
               _("the command of --on-event got a part of an event only"));
    close(ends[1]);
    if (pid > 0)
        *rh_vec_add(&b->hooks) = pid;
}

static void reap_hooks(rh_batch *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->hooks.count; i++) {
        int status = 0;
        pid_t got = waitpid(b->hooks.items[i], &status, WNOHANG);

        if (got == 0)
            b->hooks.items[kept++] = b->hooks.items[i];
        else if (got > 0 && status)
            rh_log(b->lib, RH_LOG_WARN, _("the command of --on-event failed"));
    }
    b->hooks.count = kept;
}

/* Events come in order; a few commands run at a time, the rest waits. */
static void run_hooks(rh_batch *b)
{
    reap_hooks(b);
    while (b->hook_queue.length && b->hooks.count < HOOKS_AT_ONCE) {
        char *end = strchr(b->hook_queue.data, '\n');
        size_t n = (size_t)(end - b->hook_queue.data) + 1;
        RH_AUTO(rh_freep) char *line = rh_strndup(b->hook_queue.data, n);

        memmove(b->hook_queue.data, b->hook_queue.data + n,
                b->hook_queue.length - n + 1);
        b->hook_queue.length -= n;
        run_hook(b, line);
    }
}

/* --- the audit log
 * ----------------------------------------------------------- */

static char *user_name(void)
{
    RH_AUTO(rh_freep) char *room = rh_malloc(NAME_ROOM);
    struct passwd p, *found = NULL;

    if (getpwuid_r(getuid(), &p, room, NAME_ROOM, &found) != 0 || !found)
        return rh_strdup("?");
    return rh_strdup(p.pw_name);
}

/* SHA-256 of each result's receipt, which holds those of all files. */
static json_t *receipts_of(const rh_batch *b, const struct rh_record *r)
{
    json_t *doc = json_object();

    for (size_t k = 0; k < r->results.count; k++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s/%s/receipt.json", b->journal.out,
                               r->results.items[k]);
        RH_AUTO(rh_io_unrefp)
        struct rh_io *io = rh_io_file_at(AT_FDCWD, path, 0, NULL);
        RH_AUTO(rh_freep) char *text = NULL;
        size_t n;
        char hex[65];

        if (!io || rh_io_slurp(io, 64 * RH_MIB, &text, &n, NULL) < 0)
            continue;
        rh_sha256_hex(text, n, hex);
        json_object_set_new(doc, r->results.items[k], json_string(hex));
    }
    return doc;
}

static void to_audit(rh_batch *b, json_t *event, size_t vm)
{
    RH_AUTO(rh_freep) char *user = NULL;
    char *text;

    if (b->audit < 0)
        return;
    user = user_name();
    json_object_set_new(event, "user", json_string(user));
    json_object_set_new(event, "pid", json_integer(getpid()));
    json_object_set_new(event, "version", json_string(rh_version()));
    if (vm != SIZE_MAX) {
        json_object_set_new(event, "work_key", json_string(b->tasks[vm].key));
        if (b->tasks[vm].record.state == RH_VM_DONE)
            json_object_set_new(event, "receipts",
                                receipts_of(b, &b->tasks[vm].record));
    }
    text = json_dumps(event, JSON_COMPACT);
    if (!text || dprintf(b->audit, "%s\n", text) < 0 || fdatasync(b->audit) < 0)
        rh_log(b->lib, RH_LOG_WARN,
               _("an event is missing in the audit log: %s"), strerror(errno));
    free(text);
}

/* One file a run: appending from several machines to one is not safe on NFS. */
static int open_audit(const rh_batch *b, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = NULL;
    char host[80] = "", now[32];
    int fd;

    if (b->dry_run)
        return -1;
    gethostname(host, sizeof host - 1);
    utc_now(now);
    mkdirat(b->journal.dir, "audit", 0777);
    name = rh_printf("audit/%s-%s-%ld.jsonl", now, host, (long)getpid());
    fd = openat(b->journal.dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                0666);
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno,
                      "cannot create the audit log");
        rh_error_subject(err, name);
    }
    return fd;
}

/* --- all three
 * --------------------------------------------------------------- */

int rh_events_begin(rh_batch *b, rh_error **err)
{
    b->audit = open_audit(b, err);
    return b->audit < 0 && !b->dry_run ? -1 : 0;
}

void rh_event(rh_batch *b, const char *event, size_t vm)
{
    json_t *doc = event_json(b, event, vm);
    RH_AUTO(rh_freep) char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    RH_AUTO(rh_freep) char *line = text ? rh_printf("%s\n", text) : NULL;
    bool progress = !strcmp(event, "vm-progress");

    if (line) {
        to_pipe(b, line);
        if (b->on_event && !progress && !b->dry_run) {
            rh_buf_puts(&b->hook_queue, line);
            run_hooks(b);
        }
        if (!progress)
            to_audit(b, doc, vm);
    }
    json_decref(doc);
}

void rh_events_look(rh_batch *b)
{
    if (b->events[1] >= 0)
        flush_pipe(b);
    run_hooks(b);
}

void rh_events_end(rh_batch *b)
{
    for (int waited = 0; waited < END_WAIT_MS; waited += 20) {
        run_hooks(b);
        if (!b->hooks.count && !b->hook_queue.length)
            break;
        usleep(20000);
    }
    if (b->events[1] >= 0)
        flush_pipe(b);
    if (b->event_queue.length || b->events_lost)
        rh_log(b->lib, RH_LOG_WARN,
               _("nobody has read the batch's last events yet"));
    if (b->hook_queue.length)
        rh_log(b->lib, RH_LOG_WARN,
               _("the command of --on-event is too slow: the last events were "
                 "not told"));
    b->hook_queue.length = 0;
    if (b->audit >= 0)
        close(b->audit);
    b->audit = -1;
}
