/* journal.c - states of VMs as small files that appear whole. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/batch/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"
#include "base/text.h"

enum { STATE_MOST = 1024 * 1024 };

static const char *const state_names[RH_VM_STATES] = {
    "pending", "waiting", "running", "done", "failed", "refused", "blocked"};

const char *rh_vm_state_name(enum rh_vm_state state)
{
    return state_names[state];
}

void rh_record_clear(struct rh_record *r)
{
    free(r->key);
    free(r->stamp);
    free(r->reason);
    free(r->holder);
    free(r->commit);
    json_decref(r->error);
    json_decref(r->targets);
    rh_paths_free(&r->results);
    rh_paths_free(&r->earlier);
    *r = (struct rh_record){0};
}

/* --- folders
 * ----------------------------------------------------------------- */

static int open_folder(int parent, const char *name, bool create)
{
    if (create && mkdirat(parent, name, 0777) < 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int journal_failed(const char *what, rh_error **err)
{
    rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno, "cannot open the folder");
    return rh_error_subject(err, what);
}

/* OUT and what leads to it. */
static void make_out(const char *out)
{
    RH_AUTO(rh_freep) char *path = rh_strdup(out);

    for (char *p = path + 1; p[-1] && *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        mkdir(path, 0777);
        *p = '/';
    }
    mkdir(path, 0777);
}

int rh_batch_journal_open(struct rh_batch_journal *ret,
                          const struct rh_jobs *jobs, bool create,
                          rh_error **err)
{
    int out;

    *ret = (struct rh_batch_journal){rh_strdup(jobs->out), -1, -1, -1,
                                     jobs->lease_seconds};
    if (create)
        make_out(jobs->out);
    out = open_folder(AT_FDCWD, jobs->out, false);
    if (out < 0 && !create)
        return 0;
    if (out < 0)
        return journal_failed(jobs->out, err);
    ret->dir = open_folder(out, ".rehost", create);
    close(out);
    if (ret->dir >= 0) {
        ret->vms = open_folder(ret->dir, "vms", create);
        ret->work = open_folder(ret->dir, "work", create);
    }
    if (create && (ret->vms < 0 || ret->work < 0))
        return journal_failed(".rehost", err);
    return 0;
}

void rh_batch_journal_close(struct rh_batch_journal *j)
{
    for (int *fd = (int[3]){j->dir, j->vms, j->work}, i = 0; i < 3; i++)
        if (fd[i] >= 0)
            close(fd[i]);
    free(j->out);
    *j = (struct rh_batch_journal){NULL, -1, -1, -1, 0};
}

int rh_batch_journal_vm(const struct rh_batch_journal *j, const char *vm,
                        rh_error **err)
{
    int fd = open_folder(j->vms, vm, true);

    return fd < 0 ? journal_failed(vm, err) : fd;
}

/* --- small files
 * ------------------------------------------------------------- */

int rh_batch_journal_put(int dir, const char *name, const char *text, bool sync,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_printf(".%s.part", name);
    RH_AUTO(rh_closep) int fd = -1;

    unlinkat(dir, part, 0);
    fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno, "cannot create it");
        return rh_error_subject(err, name);
    }
    if (rh_pwrite_all(fd, text, strlen(text), 0, name, err) < 0) {
        unlinkat(dir, part, 0);
        return -1;
    }
    if ((sync && fsync(fd) < 0) || renameat(dir, part, dir, name) < 0 ||
        (sync && fsync(dir) < 0)) {
        rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno, "cannot write it");
        unlinkat(dir, part, 0);
        return rh_error_subject(err, name);
    }
    return 0;
}

static json_t *read_json(int dir, const char *vm, const char *name)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", vm, name);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_closep)
    int fd = dir < 0 ? -1 : openat(dir, path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > STATE_MOST)
        return NULL;
    text = rh_malloc((size_t)st.st_size + 1);
    n = read(fd, text, (size_t)st.st_size);
    return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

/* --- records
 * ----------------------------------------------------------------- */

static char *text_of(const json_t *doc, const char *key)
{
    return rh_strdup(json_string_value(json_object_get(doc, key)));
}

static json_int_t number_of(const json_t *doc, const char *key)
{
    return json_integer_value(json_object_get(doc, key));
}

static void texts_of(const json_t *doc, const char *key, rh_paths *ret)
{
    json_t *list = json_object_get(doc, key), *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (json_is_string(item))
            *rh_vec_add(ret) = rh_strdup(json_string_value(item));
}

static void read_state(const json_t *doc, struct rh_record *r)
{
    const char *state = json_string_value(json_object_get(doc, "state"));

    for (int s = 0; state && s < RH_VM_STATES; s++)
        if (!strcmp(state, state_names[s]))
            r->state = (enum rh_vm_state)s;
    r->key = text_of(doc, "key");
    r->stamp = text_of(doc, "stamp");
    r->reason = text_of(doc, "reason");
    r->holder = text_of(doc, "holder");
    r->commit = text_of(doc, "commit");
    r->attempts = (unsigned)number_of(doc, "attempts");
    r->started = (time_t)number_of(doc, "started");
    r->ended = (time_t)number_of(doc, "ended");
    r->retry_at = (time_t)number_of(doc, "retry_at");
    r->reserved = (uint64_t)number_of(doc, "reserved");
    r->seconds = json_number_value(json_object_get(doc, "seconds"));
    r->error = json_incref(json_object_get(doc, "error"));
    if (!json_is_object(r->error)) {
        json_decref(r->error);
        r->error = NULL;
    }
    r->targets = json_incref(json_object_get(doc, "targets"));
    if (!json_is_array(r->targets)) {
        json_decref(r->targets);
        r->targets = NULL;
    }
    texts_of(doc, "results", &r->results);
    texts_of(doc, "earlier", &r->earlier);
}

static void read_progress(const json_t *doc, struct rh_record *r)
{
    const char *stage = json_string_value(json_object_get(doc, "stage"));

    if (number_of(doc, "started") != (json_int_t)r->started)
        return; /* of an earlier attempt */
    snprintf(r->stage, sizeof r->stage, "%s", stage ? stage : "");
    r->bytes_done = (uint64_t)number_of(doc, "bytes_done");
    r->bytes_total = (uint64_t)number_of(doc, "bytes_total");
    r->rate = json_number_value(json_object_get(doc, "rate"));
}

void rh_batch_journal_read(const struct rh_batch_journal *j, const char *vm,
                           struct rh_record *ret)
{
    json_t *doc = read_json(j->vms, vm, "state.json");

    *ret = (struct rh_record){0};
    if (!doc)
        return;
    read_state(doc, ret);
    json_decref(doc);
    doc = read_json(j->vms, vm, "progress.json");
    if (doc)
        read_progress(doc, ret);
    json_decref(doc);
}

static json_t *list_of(const rh_paths *paths)
{
    json_t *list = json_array();

    for (size_t i = 0; i < paths->count; i++)
        json_array_append_new(list, json_string(paths->items[i]));
    return list;
}

static char *state_text(const struct rh_record *r)
{
    json_t *doc;
    char *text;

    doc = json_pack(
        "{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:i, s:I, s:I, s:I, s:I, s:f, "
        "s:O?, s:O?, s:o, s:o}",
        "schema", "rehost.batch-vm/1", "state", state_names[r->state], "key",
        r->key, "stamp", r->stamp, "reason", r->reason, "holder", r->holder,
        "commit", r->commit, "attempts", (int)r->attempts, "started",
        (json_int_t)r->started, "ended", (json_int_t)r->ended, "retry_at",
        (json_int_t)r->retry_at, "reserved", (json_int_t)r->reserved, "seconds",
        r->seconds, "error", r->error, "targets", r->targets, "results",
        list_of(&r->results), "earlier", list_of(&r->earlier));
    text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
    json_decref(doc);
    return text;
}

int rh_batch_journal_write(const struct rh_batch_journal *j, const char *vm,
                           const struct rh_record *r, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = state_text(r);
    RH_AUTO(rh_closep) int dir = rh_batch_journal_vm(j, vm, err);

    if (dir < 0)
        return -1;
    if (!text)
        return rh_fail(err, RH_ERR_BUG, "a state cannot be written");
    return rh_batch_journal_put(dir, "state.json", text, true, err);
}

void rh_batch_journal_progress(const struct rh_batch_journal *j, const char *vm,
                               const struct rh_record *r)
{
    RH_AUTO(rh_closep) int dir = rh_batch_journal_vm(j, vm, NULL);
    json_t *doc = json_pack("{s:s, s:I, s:I, s:I, s:f}", "stage", r->stage,
                            "started", (json_int_t)r->started, "bytes_done",
                            (json_int_t)r->bytes_done, "bytes_total",
                            (json_int_t)r->bytes_total, "rate", r->rate);
    RH_AUTO(rh_freep) char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

    if (dir >= 0 && text)
        rh_batch_journal_put(dir, "progress.json", text, false, NULL);
    json_decref(doc);
}

/* --- results
 * ----------------------------------------------------------------- */

static bool is_there(int dir, const char *path)
{
    struct stat st;

    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* OUT/kvm of OUT/kvm/web01. */
static void make_parent(int out, const char *path)
{
    const char *slash = strrchr(path, '/');
    RH_AUTO(rh_freep)
    char *parent = slash ? rh_strndup(path, (size_t)(slash - path)) : NULL;

    if (parent)
        mkdirat(out, parent, 0777);
}

static int move_failed(const char *path, rh_error **err)
{
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR)
        rh_fail(err, RH_ERR_FILE_EXISTS,
                "there is a result already that is not this batch's");
    else
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot move the result to its place");
    return rh_error_subject(err, path);
}

/* rename() onto a folder with something in it fails on every file system: an
 * earlier result is never lost to a race. */
static int move_one(const struct rh_batch_journal *j, int out,
                    const char *commit, const char *path, bool replace,
                    rh_error **err)
{
    RH_AUTO(rh_freep) char *from = rh_printf("%s/%s", commit, path);
    RH_AUTO(rh_freep) char *old = NULL;

    make_parent(out, path);
    if (replace && is_there(out, path)) {
        RH_AUTO(rh_freep) char *flat = rh_strdup(path);

        for (char *p = flat; *p; p++)
            if (*p == '/')
                *p = '+';
        old = rh_printf("%s/.old+%s", commit, flat);
        if (renameat(out, path, j->work, old) < 0)
            return move_failed(path, err);
    }
    if (renameat(j->work, from, out, path) == 0)
        return 0;
    move_failed(path, err);
    if (old) /* or the sweep would take it away with the rest of work/ */
        renameat(j->work, old, out, path);
    return -1;
}

static void sync_parent(int out, const char *path)
{
    const char *slash = strrchr(path, '/');
    RH_AUTO(rh_freep)
    char *parent = slash ? rh_strndup(path, (size_t)(slash - path)) : NULL;
    RH_AUTO(rh_closep)
    int fd =
        openat(out, parent ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        fsync(fd);
}

static bool is_among(const rh_paths *paths, const char *path)
{
    for (size_t i = 0; i < paths->count; i++)
        if (!strcmp(paths->items[i], path))
            return true;
    return false;
}

int rh_batch_journal_commit(const struct rh_batch_journal *j,
                            const struct rh_record *r, bool replace,
                            bool *ret_missing, rh_error **err)
{
    RH_AUTO(rh_closep) int out = open_folder(AT_FDCWD, j->out, false);
    rh_error *first = NULL;

    *ret_missing = false;
    if (out < 0)
        return journal_failed(j->out, err);
    for (size_t i = 0; i < r->results.count; i++) {
        const char *path = r->results.items[i];
        RH_AUTO(rh_freep) char *from = rh_printf("%s/%s", r->commit, path);

        if (is_there(j->work, from)) {
            bool over = replace || is_among(&r->earlier, path);

            /* One that can't be moved leaves the others alone. */
            if (move_one(j, out, r->commit, path, over, &first) < 0)
                continue;
            sync_parent(out, path);
        } else if (!is_there(out, path)) {
            *ret_missing = true;
        }
    }
    if (!first)
        return 0;
    rh_error_again(err, first);
    rh_error_free(first);
    return -1;
}

/* "web01.TOKEN" is of "web01", "web01.old.TOKEN" is not. */
static bool is_work_of(const char *entry, const char *vm)
{
    const char *dot = strrchr(entry, '.');

    return dot && strlen(vm) == (size_t)(dot - entry) &&
           !strncmp(entry, vm, strlen(vm));
}

/* In one step, so that a run that lost its lease and does not know it finds all
 * of its results to give their names to, or none. */
static void sweep_one(int work, const char *entry, const char *vm)
{
    const char *token = strrchr(entry, '.') + 1;
    bool gone = !strncmp(token, "gone-", 5);
    RH_AUTO(rh_freep)
    char *name = rh_printf("%s.%s%s", vm, gone ? "" : "gone-", token);

    if (gone || renameat(work, entry, work, name) == 0)
        rh_remove_tree(work, name);
}

void rh_batch_journal_sweep(const struct rh_batch_journal *j, const char *vm)
{
    int fd = openat(j->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(d)))
        if (is_work_of(entry->d_name, vm))
            sweep_one(j->work, entry->d_name, vm);
    closedir(d);
}
