/* journal.c - a job's folder and its state. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/warm/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"
#include "base/state.h"
#include "rehost/rehost.h"

enum { STATE_MOST = 16 * 1024 * 1024, NAME_MOST = 120 };
#define JOB "job.json"

static const char *const state_names[RH_WARM_STATES] = {
    "new", "synced", "cutover", "handed-over", "done"};

const char *rh_warm_state_name(enum rh_warm_state state)
{
    return state_names[state];
}

/* --- where jobs are
 * ----------------------------------------------------------- */

static int failed(const char *what, const char *subject, rh_error **err)
{
    rh_fail_errno(err, RH_ERR_WARM_JOURNAL, errno, "cannot %s", what);
    return rh_error_subject(err, subject);
}

static int make_folders(const char *path, mode_t mode, rh_error **err)
{
    return rh_make_folders(path, mode) < 0
               ? failed("make the folder", path, err)
               : 0;
}

/* A whole file, by rename. */
static int put_file(int dir, const char *name, const char *text, rh_error **err)
{
    RH_AUTO(rh_freep) char *part = rh_printf(".%s.part", name);
    RH_AUTO(rh_closep) int fd = -1;

    unlinkat(dir, part, 0);
    fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed("create it", name, err);
    if (rh_pwrite_all(fd, text, strlen(text), 0, name, err) < 0) {
        unlinkat(dir, part, 0);
        return -1;
    }
    if (fsync(fd) < 0 || renameat(dir, part, dir, name) < 0 || fsync(dir) < 0) {
        failed("write it", name, err);
        unlinkat(dir, part, 0);
        return -1;
    }
    return 0;
}

/* NULL: none, or no JSON. */
static json_t *read_json(int dir, const char *name)
{
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_closep)
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size > STATE_MOST)
        return NULL;
    text = rh_malloc((size_t)st.st_size + 1);
    n = read(fd, text, (size_t)st.st_size);
    return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

/* --- names
 * -------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                "uvwxyz0123456789._-";
    size_t n = strlen(name);

    return n && n <= NAME_MOST && name[0] != '.' && name[0] != '-' &&
           strspn(name, plain) == n;
}

static int open_names(int *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *folder = rh_state_path("warm");

    if (make_folders(folder, 0700, err) < 0)
        return -1;
    *ret = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret < 0 ? failed("open it", folder, err) : 0;
}

/* NAME.json -> the job's folder; NULL: there is none. */
static char *find_name(const char *name)
{
    RH_AUTO(rh_closep) int names = -1;
    RH_AUTO(rh_freep) char *file = rh_printf("%s.json", name);
    json_t *doc;
    char *path;

    if (!is_name(name) || open_names(&names, NULL) < 0)
        return NULL;
    doc = read_json(names, file);
    path = rh_strdup(json_string_value(json_object_get(doc, "path")));
    json_decref(doc);
    return path;
}

static int put_name(const struct rh_warm_journal *j, rh_error **err)
{
    RH_AUTO(rh_closep) int names = -1;
    RH_AUTO(rh_freep) char *file = rh_printf("%s.json", j->name);
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;

    if (open_names(&names, err) < 0)
        return -1;
    doc = json_pack("{s:s, s:s}", "schema", "rehost.warm-name/1", "path",
                    j->path);
    text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
    json_decref(doc);
    if (!text)
        return rh_fail(err, RH_ERR_USAGE,
                       "the folder's path is no text in UTF-8");
    return put_file(names, file, text, err);
}

static void drop_name(const struct rh_warm_journal *j)
{
    RH_AUTO(rh_closep) int names = -1;
    RH_AUTO(rh_freep) char *file = rh_printf("%s.json", j->name);
    RH_AUTO(rh_freep) char *path = find_name(j->name);

    if (path && !strcmp(path, j->path) && open_names(&names, NULL) == 0)
        unlinkat(names, file, 0);
}

/* --- creating and opening
 * ----------------------------------------------------- */

static char *absolute(const char *path)
{
    char *real = realpath(path, NULL);

    return real ? real : rh_strdup(path);
}

static bool is_job(const char *path)
{
    RH_AUTO(rh_freep) char *file = rh_printf("%s/" JOB, path);

    return access(file, F_OK) == 0;
}

static int make_place(struct rh_warm_journal *j, const char *out_folder,
                      rh_error **err)
{
    RH_AUTO(rh_freep)
    char *parent = out_folder ? rh_printf("%s/.rehost-warm", out_folder)
                              : rh_state_path("warm");
    RH_AUTO(rh_freep) char *real = NULL;

    if (out_folder && make_folders(out_folder, 0777, err) < 0)
        return -1;
    if (make_folders(parent, 0700, err) < 0)
        return -1;
    real = absolute(parent);
    j->path = rh_printf("%s/%s", real, j->name);
    return 0;
}

int rh_warm_journal_create(struct rh_warm_journal *j, const char *name,
                           const char *out_folder, rh_error **err)
{
    RH_AUTO(rh_freep) char *there = NULL;

    if (!is_name(name))
        return rh_fail(err, RH_ERR_USAGE,
                       "\"%s\" is no name of a job: letters, digits, \".\", "
                       "\"_\" and \"-\" make one",
                       name);
    there = find_name(name);
    j->name = rh_strdup(name);
    if (make_place(j, out_folder, err) < 0)
        return -1;
    if (mkdir(j->path, 0700) < 0 && errno != EEXIST)
        return failed("make the job's folder", j->path, err);
    j->dir = open(j->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (j->dir < 0)
        return failed("open the job's folder", j->path, err);
    /* One that died before it wrote its state has left nothing of worth. */
    if (there && is_job(there)) {
        rh_fail(err, RH_ERR_WARM_EXISTS, "there is a job of that name already");
        return rh_error_subject(err, there);
    }
    return rh_warm_journal_fresh(j, err);
}

int rh_warm_journal_fresh(struct rh_warm_journal *j, rh_error **err)
{
    if (faccessat(j->dir, JOB, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    rh_fail(err, RH_ERR_WARM_EXISTS, "there is a job of that name already");
    return rh_error_subject(err, j->path);
}

/* --- the state, out
 * ----------------------------------------------------------- */

static json_t *runs_json(const struct rh_warm_disk *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->fixed.count; i++)
        json_array_append_new(
            list, json_pack("[I, I]", (json_int_t)d->fixed.items[i].start,
                            (json_int_t)d->fixed.items[i].length));
    return list;
}

static json_t *disks_json(const struct rh_warm_journal *j)
{
    json_t *list = json_array();

    for (size_t i = 0; i < j->disks.count; i++) {
        const struct rh_warm_disk *d = &j->disks.items[i];

        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:s?, s:s?, s:s?, s:s?, s:o}", "file",
                      d->file, "size", (json_int_t)d->size, "mark", d->mark,
                      "next_mark", d->next_mark, "part_mark", d->part_mark,
                      "there", d->there, "fixed", runs_json(d)));
    }
    return list;
}

json_t *rh_warm_rounds_json(const struct rh_warm_journal *j)
{
    json_t *list = json_array();

    for (size_t i = 0; i < j->rounds.count; i++) {
        const struct rh_warm_round *r = &j->rounds.items[i];

        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:b}", "how", r->how,
                      "bytes_changed", (json_int_t)r->changed, "bytes_sent",
                      (json_int_t)r->sent, "bytes_delivered",
                      (json_int_t)r->delivered, "seconds", r->seconds,
                      "started", (json_int_t)r->started, "last", r->last));
    }
    return list;
}

static json_t *held_json(const struct rh_warm_journal *j)
{
    json_t *list = json_array();

    for (size_t i = 0; i < j->held.count; i++)
        json_array_append_new(list, json_pack("[s, s]", j->held.items[i].name,
                                              j->held.items[i].id));
    return list;
}

static json_t *options_json(const rh_options *o)
{
    json_t *list = json_array();

    for (size_t i = 0; o && i < o->list.count; i++)
        json_array_append_new(list, json_pack("[s, s]", o->list.items[i].key,
                                              o->list.items[i].value));
    return list;
}

static json_t *to_json(const struct rh_warm_journal *j)
{
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:s?, s:s, s:b, s:o, s:o, s:o}", "schema",
        "rehost.warm-job/1", "name", j->name, "state", state_names[j->state],
        "source", j->source, "vm", j->vm_name, "vm_id", j->vm_id, "format",
        j->format, "direct", j->direct, "options", options_json(j->options),
        "disks", disks_json(j), "rounds", rh_warm_rounds_json(j));
    json_t *more = json_pack(
        "{s:I, s:b, s:I, s:I, s:I, s:I, s:f, s:s?, s:s?, s:b, s:b, s:b, s:f, "
        "s:s?, s:s?, s:s?, s:b, s:b, s:b, s:o}",
        "rounds_forgotten", (json_int_t)j->rounds_forgotten, "in_round",
        j->in_round, "at_disk", (json_int_t)j->at_disk, "at", (json_int_t)j->at,
        "round_changed", (json_int_t)j->round_changed, "round_sent",
        (json_int_t)j->round_sent, "round_seconds", j->round_seconds,
        "snapshot_name", j->snapshot_name, "snapshot", j->snapshot,
        "tracking_by_us", j->tracking_by_us, "renamed", j->renamed, "shut_down",
        j->shut_down, "fix_seconds", j->fix_seconds, "result", j->result,
        "mark", j->mark, "delivered_as", j->delivered_as, "started", j->started,
        "staged", j->staged, "snapshot_ended", j->snapshot_ended, "held",
        held_json(j));

    if (doc && more)
        json_object_update(doc, more);
    json_decref(more);
    return doc;
}

int rh_warm_journal_save(struct rh_warm_journal *j, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;

    if (j->lease && !rh_lease_still(j->lease))
        return rh_fail(err, RH_ERR_WARM_BUSY,
                       "another process has taken this job over");
    doc = to_json(j);
    text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
    json_decref(doc);
    if (!text)
        return rh_fail(err, RH_ERR_WARM_JOURNAL,
                       "what is to be remembered is no text in UTF-8");
    /* A name that leads to nothing is none; a job without one is hard to find.
     */
    if (!j->named && put_name(j, err) < 0)
        return -1;
    j->named = true;
    return put_file(j->dir, JOB, text, err);
}

/* --- and in
 * ------------------------------------------------------------------- */

static uint64_t number_of(const json_t *doc, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(doc, key));

    return n > 0 ? (uint64_t)n : 0;
}

static char *text_of(const json_t *doc, const char *key)
{
    return rh_strdup(json_string_value(json_object_get(doc, key)));
}

static bool yes(const json_t *doc, const char *key)
{
    return json_is_true(json_object_get(doc, key));
}

static void read_disks(struct rh_warm_journal *j, const json_t *list)
{
    const json_t *item, *run;
    size_t i, k;

    json_array_foreach (list, i, item) {
        struct rh_warm_disk *d = rh_vec_add(&j->disks);

        d->file = text_of(item, "file");
        d->size = number_of(item, "size");
        d->mark = text_of(item, "mark");
        d->next_mark = text_of(item, "next_mark");
        d->part_mark = text_of(item, "part_mark");
        d->there = text_of(item, "there");
        json_array_foreach (json_object_get(item, "fixed"), k, run) {
            struct rh_warm_run *r = rh_vec_add(&d->fixed);
            json_int_t start = json_integer_value(json_array_get(run, 0));
            json_int_t n = json_integer_value(json_array_get(run, 1));

            r->start = start > 0 ? (uint64_t)start : 0;
            r->length = n > 0 ? (uint64_t)n : 0;
        }
    }
}

static void read_rounds(struct rh_warm_journal *j, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        struct rh_warm_round *r = rh_vec_add(&j->rounds);

        r->how = text_of(item, "how");
        r->changed = number_of(item, "bytes_changed");
        r->sent = number_of(item, "bytes_sent");
        r->delivered = number_of(item, "bytes_delivered");
        r->seconds = json_number_value(json_object_get(item, "seconds"));
        r->started = (time_t)number_of(item, "started");
        r->last = yes(item, "last");
    }
}

static void read_options(struct rh_warm_journal *j, const json_t *list)
{
    const json_t *item;
    size_t i;

    j->options = rh_options_new();
    json_array_foreach (list, i, item) {
        const char *key = json_string_value(json_array_get(item, 0));
        const char *value = json_string_value(json_array_get(item, 1));

        if (key && value)
            rh_options_put(j->options, key, value);
    }
}

static void read_held(struct rh_warm_journal *j, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        const char *name = json_string_value(json_array_get(item, 0));
        const char *id = json_string_value(json_array_get(item, 1));

        if (name && id)
            *rh_vec_add(&j->held) =
                (struct rh_warm_snapshot){rh_strdup(name), rh_strdup(id)};
    }
}

static void read_rest(struct rh_warm_journal *j, const json_t *doc)
{
    j->rounds_forgotten = number_of(doc, "rounds_forgotten");
    j->direct = yes(doc, "direct");
    j->staged = yes(doc, "staged");
    j->snapshot_ended = yes(doc, "snapshot_ended");
    read_held(j, json_object_get(doc, "held"));
    j->in_round = yes(doc, "in_round");
    j->at_disk = (size_t)number_of(doc, "at_disk");
    j->at = number_of(doc, "at");
    j->round_changed = number_of(doc, "round_changed");
    j->round_sent = number_of(doc, "round_sent");
    j->round_seconds = json_number_value(json_object_get(doc, "round_seconds"));
    j->snapshot_name = text_of(doc, "snapshot_name");
    j->snapshot = text_of(doc, "snapshot");
    j->tracking_by_us = yes(doc, "tracking_by_us");
    j->renamed = yes(doc, "renamed");
    j->shut_down = yes(doc, "shut_down");
    j->fix_seconds = json_number_value(json_object_get(doc, "fix_seconds"));
    j->result = text_of(doc, "result");
    j->mark = text_of(doc, "mark");
    j->delivered_as = text_of(doc, "delivered_as");
    j->started = yes(doc, "started");
}

/* "disk3.qcow2" of disk 3. */
static bool is_copy(const char *file, size_t i)
{
    RH_AUTO(rh_freep) char *head = rh_printf("disk%zu.", i);

    return file && is_name(file) && !strncmp(file, head, strlen(head)) &&
           !strchr(file + strlen(head), '.');
}

#define MARK "rehost warm "

/* Long enough that nobody's VM has it by chance. */
static bool is_mark(const char *mark)
{
    size_t n = sizeof MARK - 1;

    return !strncmp(mark, MARK, n) && strlen(mark) == n + 16 &&
           strspn(mark + n, "0123456789abcdef") == 16;
}

int rh_warm_journal_mark(struct rh_warm_journal *j, rh_error **err)
{
    uint64_t random;

    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return rh_fail(err, RH_ERR_WARM_JOURNAL, "there is no randomness");
    j->mark = rh_printf(MARK "%016llx", (unsigned long long)random);
    return 0;
}

/* Nothing that leads out of the folder, nothing half. */
static bool is_sound(const struct rh_warm_journal *j)
{
    for (size_t i = 0; i < j->disks.count; i++)
        if (!is_copy(j->disks.items[i].file, i))
            return false;
    for (size_t i = 0; i < j->rounds.count; i++)
        if (!j->rounds.items[i].how)
            return false;
    return j->name && is_name(j->name) && j->source && j->format &&
           (!j->mark || is_mark(j->mark)) && (!j->staged || j->mark) &&
           rh_option(j->options, "out") && rh_option(j->options, "to");
}

static int from_json(struct rh_warm_journal *j, const json_t *doc,
                     rh_error **err)
{
    const char *schema = json_string_value(json_object_get(doc, "schema"));
    const char *state = json_string_value(json_object_get(doc, "state"));
    int known = -1;

    for (int s = 0; state && s < RH_WARM_STATES; s++)
        if (!strcmp(state, state_names[s]))
            known = s;
    j->name = text_of(doc, "name");
    j->source = text_of(doc, "source");
    j->vm_name = text_of(doc, "vm");
    j->vm_id = text_of(doc, "vm_id");
    j->format = text_of(doc, "format");
    read_options(j, json_object_get(doc, "options"));
    read_disks(j, json_object_get(doc, "disks"));
    read_rounds(j, json_object_get(doc, "rounds"));
    read_rest(j, doc);
    if (known < 0 || !schema || strcmp(schema, "rehost.warm-job/1") ||
        !is_sound(j))
        return rh_fail(err, RH_ERR_WARM_JOURNAL,
                       "it is not in the form that this version writes");
    j->state = (enum rh_warm_state)known;
    j->named = true;
    return 0;
}

int rh_warm_journal_read(struct rh_warm_journal *j, const char *text, size_t n,
                         rh_error **err)
{
    json_t *doc = json_loadb(text, n, 0, NULL);
    int bad = from_json(j, doc, err);

    json_decref(doc);
    return bad;
}

int rh_warm_journal_open(struct rh_warm_journal *j, const char *job,
                         rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = strchr(job, '/') ? absolute(job) : find_name(job);
    json_t *doc;
    int bad;

    if (path)
        j->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!path || j->dir < 0 || !is_job(path)) {
        rh_fail(err, RH_ERR_WARM_JOB, "there is no such job");
        return rh_error_subject(err, job);
    }
    j->path = RH_TAKE(path);
    doc = read_json(j->dir, JOB);
    bad = from_json(j, doc, err);
    json_decref(doc);
    if (!bad)
        return 0;
    rh_hint(err,
            "look for snapshots of the VM that are called \"rehost-…\", "
            "remove %s by hand, and start a new job",
            j->path);
    return rh_error_subject(err, job);
}

/* --- the end
 * ------------------------------------------------------------------ */

void rh_warm_journal_leave(const struct rh_warm_journal *j)
{
    RH_AUTO(rh_freep) char *parent = rh_strdup(j->path);
    char *slash = strrchr(parent, '/');

    rmdir(j->path);
    if (slash)
        *slash = '\0';
    if (slash)
        rmdir(parent);
}

int rh_warm_journal_remove(struct rh_warm_journal *j, rh_error **err)
{
    RH_AUTO(rh_freep) char *parent = rh_strdup(j->path);
    char *slash = strrchr(parent, '/');
    RH_AUTO(rh_closep) int dir = -1;

    if (!slash)
        return rh_fail(err, RH_ERR_BUG, "a job's folder has no whole path");
    *slash = '\0';
    dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return failed("open it", parent, err);
    rh_remove_tree(dir, slash + 1);
    if (faccessat(dir, slash + 1, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        rh_fail(err, RH_ERR_WARM_JOURNAL, "not all of it could be removed");
        return rh_error_subject(err, j->path);
    }
    drop_name(j);
    rmdir(parent); /* .rehost-warm, where no other job is in it */
    return 0;
}

void rh_warm_journal_close(struct rh_warm_journal *j)
{
    for (size_t i = 0; i < j->disks.count; i++) {
        struct rh_warm_disk *d = &j->disks.items[i];

        free(d->file);
        free(d->mark);
        free(d->next_mark);
        free(d->part_mark);
        free(d->there);
        free(d->fixed.items);
    }
    for (size_t i = 0; i < j->rounds.count; i++)
        free(j->rounds.items[i].how);
    for (size_t i = 0; i < j->held.count; i++) {
        free(j->held.items[i].name);
        free(j->held.items[i].id);
    }
    free(j->held.items);
    free(j->disks.items);
    free(j->rounds.items);
    free(j->name);
    free(j->path);
    free(j->source);
    free(j->vm_name);
    free(j->vm_id);
    free(j->format);
    free(j->snapshot_name);
    free(j->snapshot);
    free(j->result);
    free(j->mark);
    free(j->delivered_as);
    rh_options_free(j->options);
    rh_closep(&j->dir);
    *j = (struct rh_warm_journal){.dir = -1};
}
