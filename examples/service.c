/* service.c - what a service does: several conversions at once, each on a
 * thread and a library object of its own, progress through one descriptor, and
 * a stop for one that must not go on.
 *
 * usage: service DIR SOURCE...     a SOURCE behind "!" is cancelled at its
 *                                  first sign of progress, one behind "?" at a
 *                                  random moment, by another thread */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <rehost/rehost.h>

enum { STOP_MOST = 300 }; /* milliseconds */

struct work {
    const char *source, *out;
    int cancel;           /* at the first sign of progress */
    int events;           /* where lines go; each is short enough to be whole */
    int stop_after;       /* milliseconds; 0: nobody stops it */
    rh_lib *lib;          /* while it works; under the lock for others */
    pthread_mutex_t lock; /* a library that is freed cannot be cancelled */
    pthread_t thread;
};

static void say(const struct work *w, const char *what, const char *more)
{
    char line[512];
    int n = snprintf(line, sizeof line, "%s %s %s\n", what, w->source, more);

    if (n < 0 || (size_t)n >= sizeof line ||
        write(w->events, line, (size_t)n) < 0)
        return;
}

static void on_progress(void *user, const char *stage, uint64_t done,
                        uint64_t total)
{
    struct work *w = user;

    (void)stage;
    (void)done;
    (void)total;
    if (w->cancel)
        rh_lib_cancel(w->lib); /* fit for callbacks and other threads */
}

static int convert(struct work *w, rh_error **e)
{
    rh_options *options = rh_options_new();
    rh_package *package = NULL;
    rh_job *job = NULL;
    int failed = -1;

    if (rh_options_add(options, "to", "kvm", e) == 0 &&
        rh_options_add(options, "out", w->out, e) == 0)
        package = rh_package_load(w->lib, w->source, options, e);
    if (package)
        job = rh_job_new(package, options, e);
    if (job)
        failed = rh_job_run(job, e);
    if (!failed)
        say(w, "done", rh_job_result(job, 0));
    rh_job_free(job);
    rh_package_unload(package);
    rh_options_free(options);
    return failed;
}

static void *work(void *user)
{
    struct work *w = user;
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);

    pthread_mutex_lock(&w->lock);
    w->lib = lib;
    pthread_mutex_unlock(&w->lock);
    if (lib) {
        rh_lib_set(lib, "threads", "1", &e);
        rh_lib_set(lib, "memory", "4MiB", &e);
        rh_lib_on_progress(lib, on_progress, w);
        if (convert(w, &e) < 0)
            say(w, "failed", rh_error_id(e));
    }
    pthread_mutex_lock(&w->lock);
    w->lib = NULL;
    pthread_mutex_unlock(&w->lock);
    rh_lib_free(lib);
    rh_error_free(e);
    return NULL;
}

struct works {
    struct work *all;
    int count;
};

/* Cancels each when its time has come. */
static void *stop(void *user)
{
    const struct works *works = user;
    const struct timespec millisecond = {0, 1000000};

    for (int now = 1; now <= STOP_MOST; now++) {
        nanosleep(&millisecond, NULL);
        for (int i = 0; i < works->count; i++) {
            struct work *w = &works->all[i];

            pthread_mutex_lock(&w->lock);
            if (w->stop_after == now && w->lib)
                rh_lib_cancel(w->lib);
            pthread_mutex_unlock(&w->lock);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int count = argc - 2, ends[2], running, stopping;
    struct works works;
    struct work *all;
    pthread_t stopper;
    FILE *events;
    char line[512];

    if (count < 1 || pipe(ends) < 0)
        return 2;
    all = calloc((size_t)count, sizeof *all);
    if (!all)
        return 1;
    srand((unsigned)time(NULL));
    events = fdopen(ends[0], "r");
    for (running = 0; running < count; running++) {
        const char *source = argv[running + 2];

        all[running] = (struct work){
            .source = source + (*source == '!' || *source == '?'),
            .out = argv[1],
            .cancel = *source == '!',
            .events = ends[1],
            .stop_after = *source == '?' ? 1 + rand() % STOP_MOST : 0};
        pthread_mutex_init(&all[running].lock, NULL);
        if (pthread_create(&all[running].thread, NULL, work, &all[running]))
            break;
    }
    works = (struct works){all, running};
    stopping = pthread_create(&stopper, NULL, stop, &works) == 0;
    for (int left = running; events && left && fgets(line, sizeof line, events);
         left--)
        fputs(line, stdout);
    for (int i = 0; i < running; i++)
        pthread_join(all[i].thread, NULL);
    if (stopping)
        pthread_join(stopper, NULL);
    for (int i = 0; i < running; i++)
        pthread_mutex_destroy(&all[i].lock);
    free(all);
    return running == count ? 0 : 1;
}
