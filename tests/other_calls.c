/* other_calls.c - every public call that is not of a disk or a job: twice with
 * one answer, after failures, and from several threads with a library each.
 *
 *   other_calls GOOD BROKEN RESULT     two sources, and the first's result */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"

enum { THREADS = 4 };

static char **arguments;

struct text {
    char *data;
    size_t length;
    FILE *f;
};

static void say(struct text *t, const char *what, const char *value,
                rh_error *e)
{
    fprintf(t->f, "%s: %s %s\n", what, e ? rh_error_id(e) : "ok",
            value ? value : "-");
    if (e) {
        char *json = rh_error_json(e);

        fprintf(t->f, "%d %s %s %s %s %s\n", rh_error_status(e),
                rh_error_class(e), rh_error_where(e), rh_error_message(e),
                rh_error_hint(e), json);
        free(json);
    }
    rh_error_free(e);
}

/* Takes `value`. */
static void say_free(struct text *t, const char *what, char *value, rh_error *e)
{
    say(t, what, value, e);
    free(value);
}

static void names(struct text *t, rh_lib *lib)
{
    static const char *const kinds[] = {"formats", "targets",  "profiles",
                                        "fixes",   "findings", "nonsense"};
    const char *name, *hint = NULL;
    int status = 0;

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t i = 0; (name = rh_lib_name(lib, kinds[k], i)); i++)
            fprintf(t->f, "%s %s\n", kinds[k], name);
    for (size_t i = 0; (name = rh_error_list(i, &status, &hint)); i++)
        fprintf(t->f, "%s %d %s\n", name, status, hint ? hint : "-");
    fprintf(t->f, "%s\n", rh_version());
    say_free(t, "build", rh_build_info(), NULL);
    fprintf(t->f, "none: %d '%s' '%s' '%s' '%s' '%s'\n", rh_error_status(NULL),
            rh_error_id(NULL), rh_error_class(NULL), rh_error_message(NULL),
            rh_error_where(NULL), rh_error_hint(NULL));
}

static void settings(struct text *t, rh_lib *lib)
{
    static const char *const pairs[][2] = {{"threads", "2"},
                                           {"threads", "0"},
                                           {"threads", "many"},
                                           {"memory", "16MiB"},
                                           {"memory", ""},
                                           {"max-disk-size", "1TiB"},
                                           {"require-manifest", "x"},
                                           {"temp-dir", "/var/tmp"},
                                           {"nonsense", "1"},
                                           {"lang", "xx"}};

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        rh_error *e = NULL;

        rh_lib_set(lib, pairs[i][0], pairs[i][1], &e);
        say(t, pairs[i][0], pairs[i][1], e);
        /* Who does not ask why is told by the result alone. */
        rh_lib_set(lib, pairs[i][0], pairs[i][1], NULL);
    }
}

static void profiles(struct text *t, rh_lib *lib)
{
    rh_error *e = NULL;
    char *all = rh_lib_profiles_json(lib, NULL, &e);

    say_free(t, "profiles", all, e);
    e = NULL;
    all = rh_lib_profiles_json(lib, "no-such", &e);
    say_free(t, "profile", all, e);
}

static void packages(struct text *t, rh_lib *lib, const char *source)
{
    static const char *const forms[] = {"json", "text", "template", "none"};
    rh_error *e = NULL;
    rh_package *p = rh_package_load(lib, source, NULL, &e);

    say(t, "load", NULL, e);
    for (size_t i = 0; p && i < 4; i++) {
        char *text;

        e = NULL;
        text = rh_package_describe(p, forms[i], &e);
        say_free(t, forms[i], text, e);
    }
    for (size_t i = 0; p && i <= rh_package_vm_count(p); i++) {
        char *from = NULL, *value = rh_package_value(p, i, "cpus", &from);

        fprintf(t->f, "vm %zu %s\n", i,
                rh_package_vm_name(p, i) ? rh_package_vm_name(p, i) : "-");
        say_free(t, "cpus", value, NULL);
        free(from);
        say_free(t, "none", rh_package_value(p, i, "no/such", NULL), NULL);
    }
    rh_package_unload(p);
}

/* What names no live source, and one where nothing answers. */
static void inventories(struct text *t, rh_lib *lib)
{
    static const char *const sources[] = {"no-such.ova", "esxi://127.0.0.1:9",
                                          "prism://"};

    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        rh_error *e = NULL;
        char *text = rh_inventory(lib, sources[i], NULL, "json", &e);

        say_free(t, "inventory", text, e);
        for (int twice = 0; twice < 2; twice++) {
            rh_error *why = NULL;
            int n = rh_source_clean(lib, sources[i], NULL, &why);

            say_free(t, n == -1 ? "clean" : "clean, done", NULL, why);
        }
    }
}

/* A disk of a package and of a job on it, and what is none. */
static void disks_within(struct text *t, rh_lib *lib)
{
    rh_options *o = rh_options_new();
    rh_package *p = rh_package_load(lib, arguments[1], NULL, NULL);
    rh_job *job;

    rh_options_add(o, "to", "kvm", NULL);
    job = p ? rh_job_new(p, o, NULL) : NULL;
    for (size_t vm = 0; job && vm <= 1; vm++)
        for (size_t disk = 0; disk <= 1; disk++) {
            rh_error *e = NULL;
            rh_disk *d = rh_disk_of_package(p, vm, disk, &e);

            fprintf(t->f, "disk %zu %zu %llu\n", vm, disk,
                    d ? (unsigned long long)rh_disk_size(d) : 0ULL);
            say(t, "of the package", NULL, e);
            rh_disk_free(d);
            e = NULL;
            d = rh_disk_of_job(job, vm, disk, &e);
            fprintf(t->f, "disk %zu %zu %llu\n", vm, disk,
                    d ? (unsigned long long)rh_disk_size(d) : 0ULL);
            say(t, "of the job", NULL, e);
            rh_disk_free(d);
        }
    rh_job_free(job);
    rh_package_unload(p);
    rh_options_free(o);
}

static void reports(struct text *t, rh_lib *lib)
{
    static const char *const forms[] = {"json", "text", "html", "none"};
    rh_options *o = rh_options_new();
    const char *sources[] = {arguments[1], arguments[2]};

    rh_options_add(o, "to", "all", NULL);
    for (size_t n = 1; n <= 2; n++) {
        rh_error *e = NULL;
        rh_report *r =
            rh_report_run(lib, sources + (n == 1), n == 1 ? 1 : 2, o, &e);

        say(t, "report", NULL, e);
        for (size_t i = 0; r && i < 4; i++) {
            char *text;

            e = NULL;
            text = rh_report_render(r, forms[i], &e);
            say_free(t, forms[i], text, e);
        }
        if (r) {
            fprintf(t->f, "status %d\n", rh_report_status(r));
            say(t, "cause", NULL, rh_report_cause(r));
            say(t, "cause again", NULL, rh_report_cause(r));
        }
        rh_report_free(r);
    }
    rh_options_free(o);
}

static void results(struct text *t, rh_lib *lib)
{
    rh_error *e = NULL;
    char *text = NULL;

    rh_result_verify(lib, arguments[1], arguments[3], &text, &e);
    say_free(t, "verify", text, e);
    text = NULL;
    e = NULL;
    rh_result_verify(lib, arguments[1], "no-such", &text, &e);
    say_free(t, "verify", text, e);
    for (int i = 0; i < 2; i++) {
        rh_options *o = rh_options_new();

        text = NULL;
        e = NULL;
        rh_result_verify_with(lib, arguments[1], i ? "no-such" : arguments[3],
                              o, &text, &e);
        say_free(t, "verify with", text, e);
        rh_options_free(o);
    }
    text = NULL;
    e = NULL;
    rh_result_boot(lib, "no-such", NULL, &text, &e);
    say_free(t, "boot", text, e);
}

static void option_names(struct text *t)
{
    rh_options *o = rh_options_new();
    rh_error *e = NULL;

    rh_options_add(o, "to", "kvm", &e);
    say(t, "option", NULL, e);
    e = NULL;
    rh_options_add(o, "no-such", "x", &e);
    say(t, "option", NULL, e);
    rh_options_free(o);
    rh_options_free(NULL);
    rh_package_unload(NULL);
    rh_report_free(NULL);
    rh_job_free(NULL);
    rh_disk_free(NULL);
    rh_lib_free(NULL);
    rh_error_free(NULL);
}

/* Nothing to split: the process goes on as it was. */
static void splits(struct text *t, rh_lib *lib)
{
    static const char *const outs[] = {NULL, "out", "proxmox-local:a b"};

    for (size_t i = 0; i < sizeof outs / sizeof outs[0]; i++) {
        rh_options *o = rh_options_new();
        rh_error *e = NULL;
        int status = 7, ret;

        if (outs[i])
            rh_options_add(o, "out", outs[i], NULL);
        ret = rh_lib_split(lib, o, &status, &e);
        fprintf(t->f, "%d %d ", ret, status);
        say(t, "split", NULL, e);
        rh_options_free(o);
    }
}

static void on_log(void *user, int level, const char *line)
{
    (void)level;
    (void)line;
    ++*(int *)user;
}

static void on_progress(void *user, const char *stage, uint64_t done,
                        uint64_t total)
{
    (void)stage;
    (void)done;
    (void)total;
    ++*(int *)user;
}

/* All of it; how it went as text, yours to free. */
static char *once(rh_lib *lib)
{
    struct text t = {0};

    t.f = open_memstream(&t.data, &t.length);
    names(&t, lib);
    settings(&t, lib);
    profiles(&t, lib);
    packages(&t, lib, arguments[1]);
    packages(&t, lib, arguments[2]);
    inventories(&t, lib);
    disks_within(&t, lib);
    reports(&t, lib);
    results(&t, lib);
    option_names(&t);
    splits(&t, lib);
    fclose(t.f);
    return t.data;
}

/* Time measured is no answer: "about 3 s" may differ. */
static void drop_times(char *text)
{
    static const char *const marks[] = {"\"seconds\": ", "about ", "Time"};

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        for (char *p = text; (p = strstr(p, marks[i]));)
            for (p += strlen(marks[i]); *p && *p != '\n' && *p != '<'; p++)
                *p = ' ';
}

static void *work(void *user)
{
    int lines = 0, steps = 0;
    rh_lib *lib = rh_lib_new(NULL);
    char *first, *second;

    rh_lib_on_log(lib, on_log, &lines);
    rh_lib_on_progress(lib, on_progress, &steps);
    first = once(lib);
    second = once(lib);
    drop_times(first);
    drop_times(second);
    *(char **)user = strcmp(first, second) ? NULL : first;
    if (strcmp(first, second)) {
        fprintf(stderr, "%s\n=====\n%s\n", first, second);
        free(first);
    }
    free(second);
    rh_lib_cancel(lib);
    rh_lib_free(lib);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS];
    char *said[THREADS] = {0};
    int same = 1;

    if (argc < 4)
        return 2;
    arguments = argv;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, work, &said[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++)
        same &= said[i] && said[0] && !strcmp(said[0], said[i]);
    if (said[0])
        fputs(said[0], stdout);
    for (int i = 0; i < THREADS; i++)
        free(said[i]);
    fprintf(stderr, "%s\n", same ? "the same" : "differs");
    return !same;
}
