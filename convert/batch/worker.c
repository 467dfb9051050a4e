/* worker.c - start a process, hear it out, end it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/batch/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

enum {
    PRINTED_MOST = 64 * 1024 * 1024,
    SAID_MOST = 256 * 1024,
    UNKNOWN_STATUS = 255, /* exit status */
};

/* --- start
 * ------------------------------------------------------------------- */

/* After fork() in a process with threads: nothing but system calls. */
static void become(const char *program, char *const *argv, int out, int errors,
                   int null, int keep, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(126); /* it died before we asked to follow it */
    setpgid(0, 0);  /* a terminal's Ctrl-C is the batch's to handle */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0)
        _exit(126);
    if (keep >= 0)
        fcntl(keep, F_SETFD, 0);
    execvp(program, argv);
    _exit(127);
}

static int start_failed(int number, const char *program, rh_error **err)
{
    rh_fail_errno(err, RH_ERR_BATCH_WORKER, number, "cannot start a process");
    return rh_error_subject(err, program);
}

int rh_worker_start(struct rh_worker *w, const char *program, char *const *argv,
                    int log, int keep, rh_error **err)
{
    int out[2] = {-1, -1}, errors[2] = {-1, -1};
    RH_AUTO(rh_closep) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    RH_AUTO(rh_closep) int out_end = -1;
    RH_AUTO(rh_closep) int errors_end = -1;
    pid_t parent = getpid();

    *w = (struct rh_worker){.out = -1, .errors = -1, .log = log};
    if (null < 0 || pipe2(out, O_CLOEXEC) < 0)
        return start_failed(errno, program, err);
    w->out = out[0];
    out_end = out[1];
    if (pipe2(errors, O_CLOEXEC) < 0)
        return start_failed(errno, program, err);
    w->errors = errors[0];
    errors_end = errors[1];
    fcntl(w->out, F_SETFL, O_NONBLOCK);
    fcntl(w->errors, F_SETFL, O_NONBLOCK);
    w->pid = fork();
    if (w->pid == 0)
        become(program, argv, out_end, errors_end, null, keep, parent);
    if (w->pid > 0)
        return 0;
    w->pid = 0;
    return start_failed(errno, program, err);
}

/* --- hear
 * -------------------------------------------------------------------- */

static void note_progress(struct rh_worker *w, const json_t *p)
{
    const char *stage = json_string_value(json_object_get(p, "stage"));

    snprintf(w->stage, sizeof w->stage, "%s", stage ? stage : "");
    w->done = (uint64_t)json_integer_value(json_object_get(p, "done"));
    w->total = (uint64_t)json_integer_value(json_object_get(p, "total"));
    w->rate = json_number_value(json_object_get(p, "bytes_per_second"));
    w->moved = true;
}

/* A line of standard error: progress, or words. */
static void hear_line(struct rh_worker *w, const char *line)
{
    json_t *doc = line[0] == '{' ? json_loads(line, 0, NULL) : NULL;
    const json_t *progress = json_object_get(doc, "progress");

    if (progress) {
        note_progress(w, progress);
    } else if (w->said.length < SAID_MOST) {
        rh_buf_printf(&w->said, "%s\n", line);
        if (w->log >= 0)
            dprintf(w->log, "%s\n", line);
    }
    json_decref(doc);
}

static void hear(struct rh_worker *w, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n' && w->line.length < SAID_MOST) {
            if (bytes[i])
                rh_buf_putc(&w->line, bytes[i]);
            continue;
        }
        hear_line(w, w->line.data ? w->line.data : "");
        rh_buf_free(&w->line);
        w->line = (struct rh_buf){0};
    }
}

/* False at the end. */
static bool read_pipe(struct rh_worker *w, int fd, bool errors)
{
    char buffer[16384];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0) {
        if (errors)
            hear(w, buffer, (size_t)n);
        else if (w->printed.length < PRINTED_MOST)
            rh_buf_add(&w->printed, buffer, (size_t)n);
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void close_pipe(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

bool rh_worker_ended(struct rh_worker *w)
{
    pid_t got;

    if (w->out >= 0 && !read_pipe(w, w->out, false))
        close_pipe(&w->out);
    if (w->errors >= 0 && !read_pipe(w, w->errors, true))
        close_pipe(&w->errors);
    if (!w->pid)
        return true;
    got = waitpid(w->pid, &w->status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    /* Where SIGCHLD is ignored nobody learns how it ended: that is no success.
     */
    if (got < 0)
        w->status = UNKNOWN_STATUS << 8;
    /* What it left behind may hold the pipes open; its own words are there. */
    if (w->out >= 0)
        read_pipe(w, w->out, false);
    if (w->errors >= 0)
        read_pipe(w, w->errors, true);
    if (w->line.length)
        hear(w, "\n", 1);
    close_pipe(&w->out);
    close_pipe(&w->errors);
    close_pipe(&w->log);
    w->pid = 0;
    return true;
}

void rh_worker_signal(struct rh_worker *w, int number)
{
    if (w->pid)
        kill(w->pid, number);
}

void rh_worker_clear(struct rh_worker *w)
{
    if (w->pid) {
        kill(-w->pid, SIGKILL); /* its group: what it started, too */
        kill(w->pid, SIGKILL);  /* before it made one */
        while (waitpid(w->pid, &w->status, 0) < 0 && errno == EINTR)
            continue;
    }
    close_pipe(&w->out);
    close_pipe(&w->errors);
    close_pipe(&w->log);
    rh_buf_free(&w->printed);
    rh_buf_free(&w->said);
    rh_buf_free(&w->line);
    *w = (struct rh_worker){.out = -1, .errors = -1, .log = -1};
}

/* --- what came of it
 * --------------------------------------------------------- */

int rh_worker_status(const struct rh_worker *w)
{
    return WIFEXITED(w->status)     ? WEXITSTATUS(w->status)
           : WIFSIGNALED(w->status) ? 128 + WTERMSIG(w->status)
                                    : 1;
}

json_t *rh_worker_result(const struct rh_worker *w)
{
    return w->printed.length
               ? json_loadb(w->printed.data, w->printed.length, 0, NULL)
               : NULL;
}

/* The error's JSON comes after whatever else was said. */
static json_t *said_error(const struct rh_worker *w)
{
    const char *at = w->said.data;

    for (; at; at = strstr(at, "\n{") ? strstr(at, "\n{") + 1 : NULL) {
        json_t *doc =
            *at == '{' ? json_loads(at, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
        json_t *error = json_incref(json_object_get(doc, "error"));

        json_decref(doc);
        if (json_is_object(error))
            return error;
        json_decref(error);
    }
    return NULL;
}

static json_t *no_words(const struct rh_worker *w)
{
    rh_error *e = NULL;
    json_t *doc;

    if (WIFSIGNALED(w->status))
        rh_fail(&e, RH_ERR_BATCH_WORKER, "the process ended by signal %d (%s)",
                WTERMSIG(w->status), strsignal(WTERMSIG(w->status)));
    else if (rh_worker_status(w) == 127)
        rh_fail(&e, RH_ERR_BATCH_WORKER, "the program could not be started");
    else
        rh_fail(&e, RH_ERR_BATCH_WORKER,
                "the process ended with status %d and gave no reason",
                rh_worker_status(w));
    doc = json_pack("{s:s, s:s, s:s, s:s}", "code", rh_error_id(e), "message",
                    rh_error_message(e), "hint", rh_error_hint(e), "subject",
                    rh_error_where(e));
    rh_error_free(e);
    return doc;
}

json_t *rh_worker_error(const struct rh_worker *w)
{
    json_t *error = WIFSIGNALED(w->status) ? NULL : said_error(w);

    return error ? error : no_words(w);
}
