/* submit.c - a batch as Slurm arrays: one task a VM, waves and `after:` as
 * dependencies.
 *
 * Slurm's commands are run, nothing of it is linked.  A task is `rehost batch
 * run JOBS.yaml --only NAME`: leases, work keys and the journal make it
 * harmless that Slurm starts one twice, kills it, or puts it back.  An array's
 * name says which list of VMs it has, so that a later submission finds what is
 * in the queue, also of one that was killed half way, and leaves that out.
 * Facts: squeue(1) (-r: a line a task; %F %K %j: array, index, name), sbatch(1)
 * (--array, --dependency=afterany, --parsable, --requeue), slurm.conf (5)
 * (MaxArraySize: the highest index is one less). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/limits.h"
#include "base/rate.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "convert/batch/submit.h"
#include "convert/batch/work_key.h"
#include "rehost/rehost.h"

enum { ARRAY_USUAL = 1001 }; /* Slurm's own default of MaxArraySize */

/* --- Slurm's commands
 * -------------------------------------------------------- */

/* Run it; *ret_text is what it printed.  SERVICE when it failed. */
static int ask_slurm(const char *const *words, char **ret_text, rh_error **err)
{
    struct rh_worker w;
    int status;

    if (rh_worker_start(&w, words[0], (char *const *)(uintptr_t)words, -1, -1,
                        err) < 0) {
        rh_worker_clear(&w);
        return -1;
    }
    while (!rh_worker_ended(&w))
        poll(NULL, 0, 10);
    status = rh_worker_status(&w);
    if (status == 127)
        rh_fail(err, RH_ERR_BATCH_SLURM, "%s is not installed here", words[0]);
    else if (status)
        rh_fail(err, RH_ERR_BATCH_SLURM, "%s failed: %s", words[0],
                w.said.length ? w.said.data : "");
    else
        *ret_text = rh_strdup(w.printed.length ? w.printed.data : "");
    rh_worker_clear(&w);
    return status ? -1 : 0;
}

static int array_size(size_t *ret, rh_error **err)
{
    static const char *const words[] = {"scontrol", "show", "config", NULL};
    RH_AUTO(rh_freep) char *text = NULL;
    const char *at;

    *ret = ARRAY_USUAL;
    if (ask_slurm(words, &text, err) < 0)
        return -1;
    at = strstr(text, "MaxArraySize");
    at = at ? strchr(at, '=') : NULL;
    if (at && strtoul(at + 1, NULL, 10) > 1)
        *ret = strtoul(at + 1, NULL, 10);
    return 0;
}

/* --- which VMs, in which order
 * ------------------------------------------------ */

struct submission {
    rh_batch *b;
    const rh_options *options;
    int dir;     /* OUT/.rehost/slurm/STAMP */
    char *path;  /* the same, from the root */
    char *stamp; /* its last part */
    char *jobs;  /* the job file, from the root */
    size_t array_size;
    size_t *level; /* of each VM: wave, then place in `after:` */
    size_t levels;
    char *previous; /* "12:13": arrays of the level before */
    json_t *arrays;
    unsigned count; /* arrays so far */
    size_t queued;  /* VMs that an earlier submission has in the queue */
};

static int by_wave(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

/* Depth in `after:` within a wave, then waves behind each other: VMs of one
 * level may run side by side, and a level waits for the one before. */
static void find_levels(struct submission *s)
{
    const struct rh_jobs *jobs = s->b->jobs;
    size_t n = jobs->vms.count, base = 0;
    RH_AUTO(rh_freep) unsigned *waves = rh_calloc(n, sizeof *waves);
    bool changed = true;

    for (size_t i = 0; i < n; i++)
        waves[i] = jobs->vms.items[i].wave;
    qsort(waves, n, sizeof *waves, by_wave);
    while (changed) { /* there are no circles */
        changed = false;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < jobs->vms.items[i].needs.count; k++) {
                size_t need = jobs->vms.items[i].needs.items[k];

                if (jobs->vms.items[need].wave == jobs->vms.items[i].wave &&
                    s->level[i] <= s->level[need]) {
                    s->level[i] = s->level[need] + 1;
                    changed = true;
                }
            }
    }
    for (size_t w = 0; w < n; w++) {
        size_t deepest = 0;

        if (w && waves[w] == waves[w - 1])
            continue;
        for (size_t i = 0; i < n; i++)
            if (jobs->vms.items[i].wave == waves[w]) {
                deepest = RH_MAX(deepest, s->level[i]);
                s->level[i] += base;
            }
        base += deepest + 1;
    }
    s->levels = base;
}

/* --- one array
 * --------------------------------------------------------------- */

/* For sh: between single quotes. */
static void put_word(struct rh_buf *t, const char *word)
{
    rh_buf_putc(t, '\'');
    for (; *word; word++)
        if (*word == '\'')
            rh_buf_puts(t, "'\\''");
        else
            rh_buf_putc(t, *word);
    rh_buf_putc(t, '\'');
}

/* The list says which VM a task is, a line each. */
static char *script_of(const struct submission *s, const char *list)
{
    struct rh_buf t = {0};

    rh_buf_puts(&t,
                "#!/bin/sh\nname=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" ");
    put_word(&t, list);
    rh_buf_puts(&t, ")\nexec ");
    put_word(&t, s->b->program);
    rh_buf_puts(&t, " batch run ");
    put_word(&t, s->jobs);
    rh_buf_puts(&t, " --only \"$name\" --jobs 1 --progress none");
    /* Tasks on different machines cannot know of each other. */
    if (s->b->bandwidth)
        rh_buf_printf(&t, " --bandwidth %llu",
                      (unsigned long long)RH_MAX(
                          s->b->bandwidth / s->b->at_once, RH_RATE_LEAST));
    rh_buf_puts(&t, " --threads \"${SLURM_CPUS_PER_TASK:-1}\"\n");
    return rh_buf_take(&t);
}

static int submit_array(struct submission *s, const char *script,
                        unsigned number, size_t count, char **ret_id,
                        rh_error **err)
{
    const char *partition = rh_option(s->options, "partition");
    const char *limit = rh_option(s->options, "time");
    const char *words[16] = {"sbatch", "--parsable", "--requeue", NULL};
    RH_AUTO(rh_freep)
    char *name = rh_printf("--job-name=rehost-%s.%u", s->stamp, number);
    RH_AUTO(rh_freep)
    char *array = rh_printf("--array=0-%zu%%%u", count - 1, s->b->at_once);
    RH_AUTO(rh_freep)
    char *output = rh_printf("--output=%s/%%A_%%a.log", s->path);
    RH_AUTO(rh_freep)
    char *cpus = rh_printf("--cpus-per-task=%u", s->b->threads);
    RH_AUTO(rh_freep)
    char *after = rh_printf("--dependency=afterany:%s", s->previous);
    RH_AUTO(rh_freep)
    char *part = rh_printf("--partition=%s", partition ? partition : "");
    RH_AUTO(rh_freep) char *time = rh_printf("--time=%s", limit ? limit : "");
    size_t n = 3;

    words[n++] = name;
    words[n++] = array;
    words[n++] = output;
    if (s->b->jobs->threads)
        words[n++] = cpus;
    if (s->previous)
        words[n++] = after;
    if (partition)
        words[n++] = part;
    if (limit)
        words[n++] = time;
    words[n++] = script;
    if (ask_slurm(words, ret_id, err) < 0)
        return -1;
    (*ret_id)[strcspn(*ret_id, ";\n")] = '\0'; /* ID[;CLUSTER] */
    return 0;
}

/* VMs `first` to `last` of `vms`, all of one level. */
static int add_array(struct submission *s, const size_t *vms, size_t count,
                     struct rh_buf *ids, rh_error **err)
{
    unsigned number = s->count++;
    RH_AUTO(rh_freep) char *list_name = rh_printf("%u.list", number);
    RH_AUTO(rh_freep) char *script_name = rh_printf("%u.sh", number);
    RH_AUTO(rh_freep) char *list = rh_printf("%s/%s", s->path, list_name);
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", s->path, script_name);
    RH_AUTO(rh_freep) char *script = script_of(s, list), *id = NULL;
    RH_AUTO(rh_buf_free) struct rh_buf names = {0};

    if (rh_go_on(s->b->lib, err) < 0)
        return -1;
    for (size_t k = 0; k < count; k++)
        rh_buf_printf(&names, "%s\n", s->b->jobs->vms.items[vms[k]].name);
    if (rh_batch_journal_put(s->dir, list_name, names.data, true, err) < 0 ||
        rh_batch_journal_put(s->dir, script_name, script, true, err) < 0 ||
        submit_array(s, path, number, count, &id, err) < 0)
        return -1;
    rh_buf_printf(ids, "%s%s", ids->length ? ":" : "", id);
    json_array_append_new(s->arrays,
                          json_pack("{s:s, s:I, s:i}", "job", id, "vms",
                                    (json_int_t)count, "wave",
                                    (int)s->b->jobs->vms.items[vms[0]].wave));
    return 0;
}

static int add_level(struct submission *s, size_t level, rh_error **err)
{
    size_t n = s->b->jobs->vms.count, count = 0;
    RH_AUTO(rh_freep) size_t *vms = rh_calloc(n, sizeof *vms);
    RH_AUTO(rh_buf_free) struct rh_buf ids = {0};

    for (size_t i = 0; i < n; i++)
        if (s->level[i] == level && s->b->tasks[i].chosen &&
            !s->b->tasks[i].settled)
            vms[count++] = i;
    for (size_t at = 0; at < count; at += s->array_size)
        if (add_array(s, vms + at, RH_MIN(count - at, s->array_size), &ids,
                      err) < 0)
            return -1;
    if (ids.length) {
        free(s->previous);
        s->previous = rh_buf_take(&ids);
    }
    return 0;
}

/* --- all of it
 * --------------------------------------------------------------- */

static int check_names(const rh_batch *b, rh_error **err)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        if (strchr(b->jobs->vms.items[i].name, '\n'))
            return rh_fail(err, RH_ERR_BATCH_SLURM,
                           "%s:%u: the VM's name has several lines",
                           b->jobs->path, b->jobs->vms.items[i].line);
    return 0;
}

static int open_folder(struct submission *s, rh_error **err)
{
    RH_AUTO(rh_freep) char *below = NULL, *full = NULL;
    char stamp[32];
    time_t now = time(NULL);
    struct tm t;

    gmtime_r(&now, &t);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &t);
    s->stamp = rh_printf("%s-%ld", stamp, (long)getpid());
    below = rh_printf("slurm/%s", s->stamp);
    mkdirat(s->b->journal.dir, "slurm", 0777);
    if (mkdirat(s->b->journal.dir, below, 0777) == 0)
        s->dir = openat(s->b->journal.dir, below,
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    full = realpath(s->b->journal.out, NULL);
    s->jobs = realpath(s->b->jobs->path, NULL);
    if (s->dir < 0 || !full || !s->jobs) {
        rh_fail_errno(err, RH_ERR_BATCH_JOURNAL, errno,
                      "cannot create the folder");
        return rh_error_subject(err, below);
    }
    s->path = rh_printf("%s/.rehost/%s", full, below);
    return 0;
}

/* What is done needs no task. */
static void leave_done(rh_batch *b)
{
    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        rh_batch_refresh(b, i);
        if (b->tasks[i].record.state != RH_VM_DONE)
            continue;
        rh_task_key(b, i, true);
        b->tasks[i].settled = rh_task_is_done(b, i);
    }
}

/* --- what is in the queue already
 * ------------------------------------------------ */

/* "rehost-STAMP.N" of each list of earlier submissions, with commas; NULL:
 * there are none. */
static char *earlier_names(const rh_batch *b)
{
    int fd =
        openat(b->journal.dir, "slurm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct rh_buf names = {0};
    struct dirent *e;

    if (!d && fd >= 0)
        close(fd);
    while (d && (e = readdir(d)))
        for (unsigned n = 0; e->d_name[0] != '.'; n++) {
            RH_AUTO(rh_freep)
            char *list = rh_printf("%s/%u.list", e->d_name, n);

            if (faccessat(dirfd(d), list, F_OK, 0) < 0)
                break;
            rh_buf_printf(&names, "%srehost-%s.%u", names.length ? "," : "",
                          e->d_name, n);
        }
    if (d)
        closedir(d);
    return names.length ? rh_buf_take(&names) : NULL;
}

/* The VM that task `index` of array `name` has; SIZE_MAX: none of ours. */
static size_t queued_vm(const rh_batch *b, const char *name, uint64_t index)
{
    const char *dot = strrchr(name, '.'), *stamp = name + strlen("rehost-");
    RH_AUTO(rh_freep) char *path = NULL, *text = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    size_t n;
    char *line;

    if (strncmp(name, "rehost-", strlen("rehost-")) != 0 || !dot ||
        dot < stamp || strchr(stamp, '/'))
        return SIZE_MAX;
    path = rh_printf("slurm/%.*s/%s.list", (int)(dot - stamp), stamp, dot + 1);
    io = rh_io_file_at(b->journal.dir, path, 0, NULL);
    if (!io || rh_io_slurp(io, RH_LIMIT_DESCRIPTOR, &text, &n, NULL) < 0)
        return SIZE_MAX;
    for (line = text; line && index; index--) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line)
        return SIZE_MAX;
    line[strcspn(line, "\n")] = '\0';
    return rh_name_map_find(&b->jobs->names, line);
}

/* "12" is in "11:12", not in "112". */
static bool has_id(const struct rh_buf *ids, const char *id)
{
    size_t n = strlen(id);

    for (const char *at = ids->length ? ids->data : NULL; at;
         at = strchr(at, ':')) {
        at += *at == ':';
        if (!strncmp(at, id, n) && (at[n] == ':' || !at[n]))
            return true;
    }
    return false;
}

/* One line of squeue: "JOB INDEX NAME". */
static void take_queued(struct submission *s, const char *line,
                        struct rh_buf *ids)
{
    const char *second = strchr(line, ' ');
    const char *third = second ? strchr(second + 1, ' ') : NULL;
    RH_AUTO(rh_freep) char *job = NULL, *index = NULL;
    uint64_t task;
    size_t vm;

    if (!third)
        return;
    job = rh_strndup(line, (size_t)(second - line));
    index = rh_strndup(second + 1, (size_t)(third - second - 1));
    if (!rh_parse_u64(index, &task))
        return;
    vm = queued_vm(s->b, third + 1, task);
    if (vm == SIZE_MAX || s->b->tasks[vm].settled)
        return;
    s->b->tasks[vm].settled = true;
    s->queued++;
    if (!has_id(ids, job))
        rh_buf_printf(ids, "%s%s", ids->length ? ":" : "", job);
}

/* What is submitted now waits for these arrays: they were to come before. */
static int leave_queued(struct submission *s, rh_error **err)
{
    RH_AUTO(rh_freep) char *names = earlier_names(s->b), *text = NULL;
    RH_AUTO(rh_freep) char *only = rh_printf("--name=%s", names ? names : "");
    const char *words[] = {"squeue", "-h", "-r", "-o", "%F %K %j", only, NULL};
    struct rh_buf ids = {0};

    if (!names)
        return 0;
    if (ask_slurm(words, &text, err) < 0)
        return -1;
    for (char *line = text, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        take_queued(s, line, &ids);
    }
    if (ids.length)
        s->previous = rh_buf_take(&ids);
    return 0;
}

static int submit_levels(struct submission *s, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    json_t *doc;
    int failed = 0;

    for (size_t level = 0; level < s->levels && !failed; level++)
        failed = add_level(s, level, err);
    /* Also of a submission that failed half way: its arrays are there. */
    doc = json_pack("{s:s, s:O}", "schema", "rehost.batch-slurm/1", "arrays",
                    s->arrays);
    text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    if (text && rh_batch_journal_put(s->dir, "submitted.json", text, true,
                                     failed ? NULL : err) < 0)
        failed = -1;
    return failed;
}

int rh_batch_to_slurm(rh_batch *b, const rh_options *options, json_t **ret,
                      rh_error **err)
{
    struct submission s = {
        .b = b, .options = options, .dir = -1, .arrays = json_array()};
    int failed = check_names(b, err) < 0 ||
                 array_size(&s.array_size, err) < 0 || open_folder(&s, err) < 0;

    if (!failed) {
        s.level = rh_calloc(b->jobs->vms.count, sizeof *s.level);
        leave_done(b);
        find_levels(&s);
        failed = leave_queued(&s, err) < 0 || submit_levels(&s, err) < 0;
    }
    if (s.dir >= 0)
        close(s.dir);
    free(s.path);
    free(s.stamp);
    free(s.jobs);
    free(s.level);
    free(s.previous);
    if (failed)
        json_decref(s.arrays);
    else
        *ret = json_pack("{s:s, s:o, s:I}", "schema", "rehost.batch-slurm/1",
                         "arrays", s.arrays, "queued", (json_int_t)s.queued);
    return failed ? -1 : 0;
}
