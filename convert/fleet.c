/* fleet.c - find the packages, and plan them side by side.
 *
 * Each worker has a library object of its own, because one belongs to one
 * thread; the thread that asked reports progress and hands a stop on.  Where a
 * package stands in the list decides where it stands in the report, however
 * long it took. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/fleet.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/wait.h"
#include "convert/endings.h"
#include "live/live.h"
#include "rehost/rehost.h"

/* --- which packages
 * ----------------------------------------------------------- */

enum { DEPTH_MOST = 4 };
typedef RH_VEC(char *) names;

static void names_free(names *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
}

static bool is_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A FIFO that nobody writes to would make all wait. */
static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* All packages below a folder, and what was passed over. */
struct search {
    names found, passed_over; /* the latter as sentences */
};

/* What one folder holds. */
struct listed {
    names folders;
    size_t descriptors, disks;
    char *disk; /* one of them */
};

static void take_entry(struct search *s, struct listed *l, char *path)
{
    RH_AUTO(rh_freep) char *own = path;
    const char *ending = rh_package_ending(path);

    if (is_folder(path)) {
        *rh_vec_add(&l->folders) = RH_TAKE(own);
    } else if (ending && is_file(path)) {
        l->descriptors += strncasecmp(ending, ".ova", 4) != 0;
        *rh_vec_add(&s->found) = RH_TAKE(own);
    } else if (rh_disk_ending(path) && is_file(path)) {
        l->disks++;
        if (!l->disk)
            l->disk = RH_TAKE(own);
    }
}

static void list_folder(struct search *s, const char *folder, struct listed *l)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    if (!d)
        *rh_vec_add(&s->passed_over) =
            rh_printf(_("%s cannot be listed and is left out (%s)"), folder,
                      strerror(errno));
    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.')
            take_entry(s, l, rh_printf("%s/%s", folder, entry->d_name));
    if (d)
        closedir(d);
}

/* Symbolic links to folders are left alone: they may lead in circles.
 * `described`: the folder above has descriptors, which may speak of the disks
 * in this one. */
static void find_packages(struct search *s, const char *folder, int depth,
                          bool described)
{
    struct listed l = {.disk = NULL};

    if (s->found.count >= RH_LIMIT_MEMBERS || depth > DEPTH_MOST) {
        *rh_vec_add(&s->passed_over) =
            rh_printf(_("%s is left out: there are too many packages, or "
                        "folders within folders"),
                      folder);
        return;
    }
    list_folder(s, folder, &l);
    if (l.disks && !l.descriptors && !described)
        *rh_vec_add(&s->passed_over) =
            rh_printf(_("%s: disks without an OVF, VMX or VBOX are left out "
                        "(%zu in that folder); name each VM's disks as a "
                        "source of its own"),
                      l.disk, l.disks);
    for (size_t i = 0; i < l.folders.count; i++)
        find_packages(s, l.folders.items[i], depth + 1, l.descriptors > 0);
    names_free(&l.folders);
    free(l.disk);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_source(rh_fleet *fleet, const char *source)
{
    rh_vec_add(fleet)->source = rh_strdup(source);
}

static void sort(names *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_name);
}

/* A folder that is one package, or none, is a source like any other. */
static void add_folder(rh_lib *lib, rh_fleet *fleet, const char *folder)
{
    struct search s = {.found = {0}};
    size_t n = strlen(folder);
    RH_AUTO(rh_freep) char *plain = NULL;

    while (n > 1 && folder[n - 1] == '/')
        n--;
    plain = rh_strndup(folder, n);
    find_packages(&s, plain, 0, false);
    sort(&s.found);
    sort(&s.passed_over);
    for (size_t i = 0; i < s.found.count; i++)
        add_source(fleet, s.found.items[i]);
    if (!s.found.count)
        add_source(fleet, folder); /* which says what it lacks */
    for (size_t i = 0; s.found.count && i < s.passed_over.count; i++)
        rh_log(lib, RH_LOG_WARN, "%s", s.passed_over.items[i]);
    names_free(&s.found);
    names_free(&s.passed_over);
}

struct listing {
    const char *url;
    names found;
};

static int take_vm(void *user, const struct rh_live_row *row, rh_error **err)
{
    struct listing *l = user;

    (void)err;
    *rh_vec_add(&l->found) = rh_live_row_url(l->url, row);
    return 0;
}

/* All VMs of a place, or the one that is named. */
static void add_live(rh_lib *lib, rh_fleet *fleet, const char *url,
                     const rh_options *options)
{
    struct listing l = {.url = url};
    rh_error *why = NULL;
    int got = rh_live_inventory(lib, url, options, take_vm, &l, &why);

    if (l.found.count)
        qsort(l.found.items, l.found.count, sizeof *l.found.items, by_name);
    for (size_t i = 0; got == 0 && i < l.found.count; i++)
        add_source(fleet, l.found.items[i]);
    if (got != 0)
        add_source(fleet, url);
    if (got < 0) {
        rh_error_subject(&why, url);
        fleet->items[fleet->count - 1].error = why;
    }
    names_free(&l.found);
}

void rh_fleet_list(rh_lib *lib, const char *const *sources, size_t count,
                   const rh_options *options, rh_fleet *ret)
{
    struct stat st;

    for (size_t i = 0; i < count; i++) {
        bool folder = strcmp(sources[i], "-") && !strstr(sources[i], "://") &&
                      stat(sources[i], &st) == 0 && S_ISDIR(st.st_mode);

        if (rh_live_is(sources[i]))
            add_live(lib, ret, sources[i], options);
        else if (folder)
            add_folder(lib, ret, sources[i]);
        else
            add_source(ret, sources[i]);
    }
}

static void item_free(struct rh_fleet_item *item)
{
    free(item->source);
    rh_rows_free(&item->rows);
    for (size_t i = 0; i < item->failed.count; i++) {
        free(item->failed.items[i].vm);
        rh_error_free(item->failed.items[i].error);
    }
    free(item->failed.items);
    rh_error_free(item->error);
}

void rh_fleet_free(rh_fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++)
        item_free(&fleet->items[i]);
    free(fleet->items);
    *fleet = (rh_fleet){0};
}

/* --- one package
 * ---------------------------------------------------------------- */

/* VMs of a package fail on their own. */
static void take_rows(struct rh_fleet_item *item, const struct rh_job *job)
{
    rh_rows_of_job(&item->rows, job, 0);
    for (size_t i = 0; i < job->vms.count; i++) {
        const struct rh_job_vm *v = &job->vms.items[i];
        struct rh_fleet_failed *failed;

        if (!v->error)
            continue;
        failed = rh_vec_add(&item->failed);
        failed->vm = rh_strdup(v->name);
        rh_error_again(&failed->error, v->error);
    }
}

static void plan_item(rh_lib *lib, struct rh_fleet_item *item,
                      const rh_options *options)
{
    rh_package *p = item->error
                        ? NULL
                        : rh_package_load_for(lib, item->source, options, false,
                                              &item->error);
    rh_job *job = p ? rh_job_new(p, options, &item->error) : NULL;

    if (job) {
        job->for_report = true;
        if (rh_job_prepare(job, &item->error) == 0)
            take_rows(item, job);
    }
    rh_job_free(job);
    rh_package_unload(p);
}

/* The caller's fault or wish, not the package's. */
static bool ends_all(const rh_error *e)
{
    return e && (rh_error_status(e) == 2 || rh_error_status(e) == 130);
}

/* --- all of them
 * ------------------------------------------------------------------ */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    rh_lib *lib; /* the caller's */
    rh_fleet *fleet;
    const rh_options *options;
    size_t next, done, workers; /* workers: still at work */
    bool stop;
};
struct worker {
    struct pool *pool;
    rh_lib lib;
    pthread_t thread;
};

/* The caller's log is for one thread. */
static void log_line(void *user, int level, const char *line)
{
    struct pool *pool = user;

    pthread_mutex_lock(&pool->lock);
    pool->lib->log(pool->lib->log_user, level, line);
    pthread_mutex_unlock(&pool->lock);
}

static struct rh_fleet_item *take_item(struct pool *pool)
{
    struct rh_fleet_item *item = NULL;

    pthread_mutex_lock(&pool->lock);
    if (!pool->stop && pool->next < pool->fleet->count)
        item = &pool->fleet->items[pool->next++];
    pthread_mutex_unlock(&pool->lock);
    return item;
}

static void *work(void *user)
{
    struct worker *w = user;
    struct pool *pool = w->pool;
    struct rh_fleet_item *item;

    while ((item = take_item(pool))) {
        plan_item(&w->lib, item, pool->options);
        pthread_mutex_lock(&pool->lock);
        pool->done++;
        pool->stop |= ends_all(item->error);
        pthread_cond_signal(&pool->changed);
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_lock(&pool->lock);
    pool->workers--;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void set_up(struct worker *w, struct pool *pool, size_t count)
{
    const rh_lib *lib = pool->lib;

    w->pool = pool;
    w->lib.of = pool->lib;
    w->lib.threads = (unsigned)RH_MAX(lib->threads / count, 1);
    w->lib.threads_of_all = lib->threads;
    w->lib.memory = lib->memory / count;
    w->lib.max_disk_size = lib->max_disk_size;
    w->lib.trust = lib->trust;
    w->lib.require_manifest = lib->require_manifest;
    w->lib.temp_dir = lib->temp_dir;
    w->lib.log = lib->log ? log_line : NULL;
    w->lib.log_user = pool;
}

/* Until all are done: progress goes out, a stop goes in. */
static void look_after(struct pool *pool, struct worker *workers, size_t count)
{
    enum { TENTH_MS = 100 };

    pthread_mutex_lock(&pool->lock);
    while (pool->workers) {
        size_t done = pool->done;

        if (pool->stop || atomic_load(&pool->lib->cancelled)) {
            pool->stop = true;
            for (size_t i = 0; i < count; i++)
                atomic_store(&workers[i].lib.cancelled, true);
        }
        pthread_mutex_unlock(&pool->lock);
        rh_progress(pool->lib, "report", done, pool->fleet->count);
        pthread_mutex_lock(&pool->lock);
        if (pool->workers && pool->done == done)
            rh_wait_cond(&pool->changed, &pool->lock, TENTH_MS);
    }
    pthread_mutex_unlock(&pool->lock);
    rh_progress(pool->lib, "report", pool->done, pool->fleet->count);
}

static void run_pool(struct pool *pool, size_t count)
{
    struct worker *workers = rh_calloc(count, sizeof *workers);
    size_t started = 0;

    pool->workers = count;
    for (size_t i = 0; i < count; i++)
        set_up(&workers[i], pool, count);
    while (started < count && pthread_create(&workers[started].thread, NULL,
                                             work, &workers[started]) == 0)
        started++;
    pthread_mutex_lock(&pool->lock);
    pool->workers -= count - started;
    pthread_mutex_unlock(&pool->lock);
    if (started)
        look_after(pool, workers, started);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (!started)
        work(&workers[0]); /* no threads to be had: here, then */
    free(workers);
}

/* One alone keeps all threads to itself, and the caller's own progress. */
static void plan_all(struct pool *pool)
{
    size_t count = RH_MIN(pool->fleet->count, pool->lib->threads);

    if (count > 1) {
        run_pool(pool, count);
        return;
    }
    for (size_t i = 0; i < pool->fleet->count && !pool->stop; i++) {
        plan_item(pool->lib, &pool->fleet->items[i], pool->options);
        pool->stop = ends_all(pool->fleet->items[i].error);
        rh_progress(pool->lib, "report", i + 1, pool->fleet->count);
    }
}

/* The caller's mistake goes before the stops that it caused. */
static int first_end(rh_fleet *fleet, int status, rh_error **err)
{
    for (size_t i = 0; i < fleet->count; i++) {
        rh_error **e = &fleet->items[i].error;

        if (!*e || rh_error_status(*e) != status)
            continue;
        if (err && !*err)
            *err = RH_TAKE(*e);
        return -1;
    }
    return 0;
}

int rh_fleet_plan(rh_lib *lib, rh_fleet *fleet, const rh_options *options,
                  rh_error **err)
{
    struct pool pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
                        .lib = lib,
                        .fleet = fleet,
                        .options = options};

    rh_wait_cond_init(&pool.changed);
    plan_all(&pool);
    if (first_end(fleet, 2, err) < 0 || first_end(fleet, 130, err) < 0)
        return -1;
    return rh_go_on(lib, err);
}
