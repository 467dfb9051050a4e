/* many.c - conversions of one source in one process, all at once or one after
 * the other, by the public header.
 *
 *   many each|all COUNT SOURCE TARGET FORMAT DIR
 *
 * Prints "WALL CPU USER PEAK": seconds, and the most MiB that were resident. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "rehost/rehost.h"

struct task {
    pthread_t thread;
    const char *source, *target, *format;
    char out[4096];
    bool failed;
};

static bool add(rh_options *o, const char *key, const char *value, rh_error **e)
{
    return rh_options_add(o, key, value, e) == 0;
}

/* A library of its own: it may have its own threads and memory. */
static void *convert(void *argument)
{
    struct task *t = argument;
    rh_error *e = NULL;
    rh_lib *lib = rh_lib_new(&e);
    rh_options *o = rh_options_new();
    rh_package *p = NULL;
    rh_job *job = NULL;

    t->failed = true;
    if (lib && add(o, "to", t->target, &e) && add(o, "out", t->out, &e) &&
        add(o, "format", t->format, &e) && add(o, "no-guest-fix", "", &e) &&
        (p = rh_package_load(lib, t->source, o, &e)) &&
        (job = rh_job_new(p, o, &e)))
        t->failed = rh_job_run(job, &e) < 0;
    if (t->failed)
        fprintf(stderr, "many: %s\n", e ? rh_error_message(e) : "failed");
    rh_error_free(e);
    rh_job_free(job);
    rh_package_unload(p);
    rh_options_free(o);
    rh_lib_free(lib);
    return NULL;
}

static bool run_all(struct task *tasks, size_t count, bool together)
{
    bool good = true;

    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&tasks[i].thread, NULL, convert, &tasks[i])) {
            count = i;
            good = false;
        } else if (!together) {
            pthread_join(tasks[i].thread, NULL);
        }
    }
    for (size_t i = 0; together && i < count; i++)
        pthread_join(tasks[i].thread, NULL);
    for (size_t i = 0; i < count; i++)
        good &= !tasks[i].failed;
    return good;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    size_t count = argc == 7 ? strtoul(argv[2], NULL, 10) : 0;
    struct task *tasks = calloc(count + 1, sizeof *tasks);
    struct timespec from, to;
    struct rusage used;
    bool good;

    if (!count || !tasks) {
        free(tasks);
        return 2;
    }
    for (size_t i = 0; i < count; i++) {
        tasks[i] = (struct task){
            .source = argv[3], .target = argv[4], .format = argv[5]};
        snprintf(tasks[i].out, sizeof tasks[i].out, "%s/%zu", argv[6], i);
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    good = run_all(tasks, count, !strcmp(argv[1], "all"));
    clock_gettime(CLOCK_MONOTONIC, &to);
    getrusage(RUSAGE_SELF, &used);
    printf("%.3f %.3f %.3f %.1f\n",
           (double)(to.tv_sec - from.tv_sec) +
               (double)(to.tv_nsec - from.tv_nsec) / 1e9,
           seconds(used.ru_utime) + seconds(used.ru_stime),
           seconds(used.ru_utime), (double)used.ru_maxrss / 1024);
    free(tasks);
    return good ? 0 : 1;
}
