/* disk_calls.c - what the header promises of rh_disk_* calls.
 *
 *   disk_calls twice FILE FOLDER      every call, twice; what each one said
 *   disk_calls threads FILE FOLDER    every call from several threads at once
 *   disk_calls convert-twice FILE FOLDER   nothing but two conversions */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

enum { THREADS = 4, ROUNDS = 3, CALLS = 8, TEXT = 4096 };

static rh_lib *lib;
static rh_disk *disk;
static const char *folder;
static pthread_barrier_t start;

static int count_extent(void *user, uint64_t offset, uint64_t length, int kind)
{
    (void)kind;
    *(uint64_t *)user += offset ^ length;
    return 0;
}

static void said(char *ret, const char *what, const char *result, rh_error *e)
{
    snprintf(ret, TEXT, "%s: %s", what, e ? rh_error_id(e) : result);
    rh_error_free(e);
}

static void call_read(char *ret, int id)
{
    char buf[65536] = "";
    char sum[32];
    unsigned n = 0;
    rh_error *e = NULL;

    rh_disk_read(disk, buf, sizeof buf, (uint64_t)id * sizeof buf, &e);
    for (size_t i = 0; i < sizeof buf; i++)
        n = n * 31 + (unsigned char)buf[i];
    snprintf(sum, sizeof sum, "%u", n);
    said(ret, "read", sum, e);
}

static void call_convert(char *ret, int id)
{
    char path[TEXT];
    rh_error *e = NULL;
    rh_options *o = rh_options_new();

    rh_options_add(o, "overwrite", "yes", NULL);
    snprintf(path, sizeof path, "%s/%d.qcow2", folder, id);
    rh_disk_convert(disk, path, o, &e);
    rh_options_free(o);
    said(ret, "convert", "ok", e);
}

static void call_json(char *ret)
{
    rh_error *e = NULL;
    char *json = rh_disk_json(disk, &e);
    char start_of[200] = "none";

    if (json)
        snprintf(start_of, sizeof start_of, "%s", json);
    free(json);
    said(ret, "json", start_of, e);
}

static void call_compare(char *ret)
{
    rh_error *e = NULL;
    uint64_t offset = 0;
    int same = 0;

    rh_disk_compare(disk, disk, &same, &offset, &e);
    said(ret, "compare", same ? "same" : "differs", e);
}

static void call(int which, int id, char *ret)
{
    rh_error *e = NULL;
    uint64_t sum = 0;
    char text[32];

    switch (which) {
    case 0:
        call_read(ret, id);
        break;
    case 1:
        rh_disk_map(disk, count_extent, &sum, &e);
        snprintf(text, sizeof text, "%llu", (unsigned long long)sum);
        said(ret, "map", text, e);
        break;
    case 2:
        call_json(ret);
        break;
    case 3:
        rh_disk_check(disk, &e);
        said(ret, "check", "ok", e);
        break;
    case 4:
        said(ret, "problem", rh_disk_problem(disk, 0, NULL) ? "some" : "none",
             NULL);
        break;
    case 5:
        call_compare(ret);
        break;
    case 6:
        call_convert(ret, id);
        break;
    default:
        snprintf(text, sizeof text, "%llu",
                 (unsigned long long)rh_disk_size(disk));
        said(ret, "size", text, NULL);
    }
}

static int twice(int first, int last)
{
    static char text[2][TEXT];
    int wrong = 0;

    for (int which = first; which < last; which++) {
        call(which, 0, text[0]);
        call(which, 0, text[1]);
        printf("%.*s\n", (int)strcspn(text[0], "\n{"), text[0]);
        if (strcmp(text[0], text[1]) && ++wrong)
            printf("the second time %s\n", text[1]);
    }
    return wrong > 0;
}

static void *go(void *argument)
{
    int id = (int)(size_t)argument;
    char text[TEXT];

    pthread_barrier_wait(&start);
    for (int i = 0; i < CALLS; i++)
        call((i + id * 3) % CALLS, id, text);
    call_read(text, id);
    return NULL;
}

static void at_once(void)
{
    pthread_t threads[THREADS];

    pthread_barrier_init(&start, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, go, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
}

static int run(const char *what, const char *path)
{
    rh_error *e = NULL;
    int wrong = 0;

    lib = rh_lib_new(NULL);
    disk = rh_disk_open(lib, path, NULL, &e);
    if (!disk) {
        printf("open: %s\n", rh_error_id(e));
        rh_error_free(e);
        rh_lib_free(lib);
        return 1;
    }
    if (!strcmp(what, "threads"))
        at_once();
    else
        wrong = !strcmp(what, "twice") ? twice(0, CALLS) : twice(6, 7);
    rh_disk_free(disk);
    rh_lib_free(lib);
    return wrong;
}

int main(int count, char **words)
{
    int rounds, wrong = 0;

    if (count < 4)
        return 2;
    folder = words[3];
    rounds = strcmp(words[1], "threads") ? 1 : ROUNDS;
    for (int i = 0; i < rounds; i++)
        wrong |= run(words[1], words[2]);
    puts("done");
    return wrong;
}
