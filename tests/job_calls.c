/* job_calls.c - what the header promises of rh_job_* calls.
 *
 *   job_calls run-twice SOURCE OUT [KEY=VALUE...]
 *   job_calls report-then-run SOURCE OUT [KEY=VALUE...]
 *   job_calls two-jobs SOURCE          the same job twice on one package
 *   job_calls decide SOURCE OUT [KEY=VALUE...]    the decision, printed
 *   job_calls obey SOURCE OUT DECISION            the decision of that file
 *   job_calls walk SOURCE OUT [KEY=VALUE...]      outcomes, findings, edits
 *   job_calls threads SOURCE OUT       several jobs at once, some cancelled
 *   job_calls late SOURCE KEY=VALUE FILE   set, then fill, after loading
 *   job_calls foreign SOURCE OUT       options that are not for a call
 *   job_calls own SOURCE OUT [FAIL]    by functions of this program; FAIL:
 *                                      "read", "write" or "end" does */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rehost/rehost.h"

static void say(const char *what, rh_error *e)
{
    printf("%s: %s\n", what, e ? rh_error_id(e) : "ok");
    rh_error_free(e);
}

static rh_options *options(const char *out, char **pairs)
{
    rh_options *o = rh_options_new();

    rh_options_add(o, "to", "kvm", NULL);
    if (out)
        rh_options_add(o, "out", out, NULL);
    for (; pairs && *pairs; pairs++) {
        char key[64];
        size_t n = strcspn(*pairs, "=");

        snprintf(key, sizeof key, "%.*s", (int)n, *pairs);
        if (rh_options_add(o, key, *pairs + n + !!(*pairs)[n], NULL) < 0)
            exit(2);
    }
    return o;
}

static rh_package *load(rh_lib *lib, const char *source)
{
    rh_error *e = NULL;
    rh_package *p = rh_package_load(lib, source, NULL, &e);

    if (!p) {
        say("load", e);
        exit(1);
    }
    return p;
}

static void run_twice(rh_package *p, const rh_options *o)
{
    rh_error *e = NULL;
    rh_job *job = rh_job_new(p, o, &e);

    for (int i = 0; job && i < 2; i++) {
        char *summary;

        rh_job_run(job, &e);
        say("run", e);
        summary = rh_job_summary(job);
        printf("state: %d%s\n", rh_job_state(job),
               summary[0] ? ", summed up" : "");
        free(summary);
        e = NULL;
    }
    if (!job)
        say("job", e);
    rh_job_free(job);
}

static void report_then_run(rh_package *p, const rh_options *o)
{
    rh_error *e = NULL;
    rh_job *job = rh_job_new(p, o, &e);
    rh_report *r = job ? rh_job_report(job, &e) : NULL;

    say("report", e);
    e = NULL;
    if (job)
        rh_job_run(job, &e);
    say("run", e);
    rh_report_free(r);
    rh_job_free(job);
}

static void two_jobs(rh_package *p)
{
    for (int i = 0; i < 2; i++) {
        rh_options *o = options(NULL, NULL);
        rh_job *job = rh_job_new(p, o, NULL);
        rh_report *r = rh_job_report(job, NULL);
        char *text = rh_report_render(r, "json", NULL), *from = NULL;
        char *mac = rh_package_value(p, 0, "nics/0/mac", &from);

        printf("%s\nmac %s %s\n---\n", text, mac ? mac : "-",
               from ? from : "-");
        free(text);
        free(mac);
        free(from);
        rh_report_free(r);
        rh_job_free(job);
        rh_options_free(o);
    }
}

static void decide(rh_package *p, const rh_options *o)
{
    rh_error *e = NULL;
    rh_job *job = rh_job_new(p, o, &e);
    char *text = job ? rh_job_decision(job, &e) : NULL;

    if (text)
        puts(text);
    else
        say("decision", e);
    free(text);
    rh_job_free(job);
}

static void obey(rh_package *p, const char *out, const char *path)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    rh_options *more = rh_options_new();
    rh_error *e = NULL;
    rh_job *job;

    text[n] = '\0';
    if (f)
        fclose(f);
    rh_options_add(more, "out", out, NULL);
    job = rh_job_from_decision(p, text, more, &e);
    if (job)
        rh_job_run(job, &e);
    say("obey", e);
    rh_job_free(job);
    rh_options_free(more);
}

static void walk(rh_package *p, const rh_options *o)
{
    rh_error *e = NULL;
    rh_job *job = rh_job_new(p, o, &e);
    const rh_outcome *one;
    const rh_finding *f;
    const rh_edit *d;

    if (job)
        rh_job_run(job, &e);
    say("run", e);
    for (size_t i = 0; job && (one = rh_job_outcome(job, i)); i++) {
        printf("vm %zu %s %s state %d verdict %s effort %s error %s%s result "
               "%s\n",
               rh_outcome_vm(one), rh_outcome_name(one), rh_outcome_target(one),
               rh_outcome_state(one), rh_outcome_verdict(one),
               rh_outcome_effort(one), rh_error_id(rh_outcome_error(one)),
               rh_error_class(rh_outcome_error(one)),
               rh_outcome_result(one) ? rh_outcome_result(one) : "-");
        for (size_t n = 0; (f = rh_outcome_finding(one, n)); n++)
            printf("finding %s %d %d %s %s %s\n", rh_finding_id(f),
                   rh_finding_severity(f), rh_finding_automatic(f),
                   rh_finding_subject(f), rh_finding_message(f),
                   rh_finding_remedy(f));
        for (size_t n = 0; (d = rh_outcome_edit(one, n)); n++)
            printf("edit %s %s %s\n", rh_edit_where(d), rh_edit_what(d),
                   rh_edit_fix(d));
    }
    rh_job_free(job);
}

/* --- several at once
 * ---------------------------------------------------------- */
enum { THREADS = 4 };
struct one {
    const char *source, *out;
    int number;
    rh_lib *lib;
    pthread_t thread;
    char said[64];
};

static void *work(void *user)
{
    struct one *t = user;
    rh_error *e = NULL;
    char name[16];
    rh_options *o = options(t->out, NULL);
    rh_package *p = rh_package_load(t->lib, t->source, NULL, &e);
    rh_job *job;

    snprintf(name, sizeof name, "vm%d", t->number);
    rh_options_add(o, "name", name, NULL);
    rh_options_add(o, "format", "raw", NULL);
    job = p ? rh_job_new(p, o, &e) : NULL;
    if (job)
        rh_job_run(job, &e);
    snprintf(t->said, sizeof t->said, "%s", e ? rh_error_id(e) : "ok");
    rh_error_free(e);
    rh_job_free(job);
    rh_package_unload(p);
    rh_options_free(o);
    return NULL;
}

static void threads(const char *source, const char *out)
{
    struct one all[THREADS];

    for (int i = 0; i < THREADS; i++) {
        all[i] = (struct one){.source = source, .out = out, .number = i};
        all[i].lib = rh_lib_new(NULL);
        rh_lib_set(all[i].lib, "threads", "2", NULL);
        pthread_create(&all[i].thread, NULL, work, &all[i]);
    }
    for (int i = 1; i < THREADS; i += 2) {
        usleep(2000);
        rh_lib_cancel(all[i].lib);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(all[i].thread, NULL);
        printf("vm%d %s\n", i, all[i].said);
        rh_lib_free(all[i].lib);
    }
}

/* --- bytes of our own
 * --------------------------------------------------------- */
struct own {
    int fd;
    const char *out, *fail;
};
struct own_file {
    const struct own *own;
    int fd;
    char path[512];
};

static int own_read(void *user, void *buf, size_t n, uint64_t offset)
{
    const struct own *own = user;

    if (own->fail && !strcmp(own->fail, "read") && offset > 100000)
        return EIO;
    return pread(own->fd, buf, n, (off_t)offset) == (ssize_t)n ? 0 : EIO;
}

static void *own_open(void *user, const char *name)
{
    const struct own *own = user;
    struct own_file *f = calloc(1, sizeof *f);

    f->own = own;
    snprintf(f->path, sizeof f->path, "%s/%s", own->out,
             name[0] ? name : "disk");
    for (char *p = f->path + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            mkdir(f->path, 0777);
            *p = '/';
        }
    f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    return f;
}

static int own_write(void *file, const void *buf, size_t n, uint64_t offset)
{
    const struct own_file *f = file;

    if (f->own->fail && !strcmp(f->own->fail, "write"))
        return ENOSPC;
    return pwrite(f->fd, buf, n, (off_t)offset) == (ssize_t)n ? 0 : EIO;
}

static int own_close(void *file, uint64_t size, int whole)
{
    struct own_file *f = file;
    int why = whole && ftruncate(f->fd, (off_t)size) < 0 ? errno : 0;

    close(f->fd);
    if (!whole)
        unlink(f->path);
    free(f);
    return why;
}

static int own_end(void *user, const char *result, int done)
{
    const struct own *own = user;

    printf("end %s %d\n", result, done);
    return done && own->fail && !strcmp(own->fail, "end") ? EACCES : 0;
}

static void own_bytes(rh_lib *lib, const char *source, struct own *own)
{
    rh_error *e = NULL;
    rh_options *o = options("app:there", NULL);
    struct stat st;
    rh_package *p;
    rh_job *job;
    rh_disk *d;

    own->fd = open(source, O_RDONLY);
    fstat(own->fd, &st);
    rh_lib_add_source(lib, "in", (uint64_t)st.st_size, own_read, NULL, own,
                      NULL);
    rh_lib_add_source(lib, "in", 1, own_read, NULL, own, &e);
    say("add twice", e);
    e = NULL;
    rh_lib_add_sink(lib, "there", own_open, own_write, own_close, own_end, own,
                    NULL);
    p = rh_package_load(lib, "app:in", NULL, &e);
    job = p ? rh_job_new(p, o, &e) : NULL;
    if (job && rh_job_run(job, &e) == 0)
        printf("result %s\n", rh_job_result(job, 0));
    say("run", e);
    e = NULL;
    d = rh_disk_open(lib, "app:none", NULL, &e);
    say("open none", e);
    e = NULL;
    rh_disk_free(d);
    rh_job_free(job);
    rh_package_unload(p);
    rh_options_free(o);
    close(own->fd);
}

static void own_disk(rh_lib *lib, const char *path, struct own *own)
{
    rh_error *e = NULL;
    struct stat st;
    rh_disk *d;

    own->fd = open(path, O_RDONLY);
    fstat(own->fd, &st);
    rh_lib_add_source(lib, "d", (uint64_t)st.st_size, own_read, NULL, own,
                      NULL);
    rh_lib_add_sink(lib, "t", own_open, own_write, own_close, NULL, own, NULL);
    d = rh_disk_open(lib, "app:d", NULL, &e);
    if (d)
        rh_disk_convert(d, "app:t", NULL, &e);
    say("disk", e);
    rh_disk_free(d);
    close(own->fd);
}

/* --- later words
 * -------------------------------------------------------------- */

static void value(rh_package *p, const char *key)
{
    char *from = NULL, *text = rh_package_value(p, 0, key, &from);

    printf("%s %s %s\n", key, text ? text : "-", from ? from : "-");
    free(text);
    free(from);
}

static void late(rh_package *p, const char *assignment, const char *file)
{
    static const char *const bad[] = {"cpus=many", "os=no-such", "=", "x=1"};
    const rh_finding *f;
    rh_error *e = NULL;
    size_t before = 0, after = 0;
    char *one = rh_package_describe(p, "json", NULL), *two;

    while (rh_package_finding(p, 0, before))
        before++;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        rh_package_set(p, bad[i], &e);
        say(bad[i], e);
        e = NULL;
    }
    rh_package_fill(p, "no-such-file", &e);
    say("fill", e);
    e = NULL;
    two = rh_package_describe(p, "json", NULL);
    printf("unchanged %d\n", !strcmp(one, two));
    rh_package_set(p, assignment, &e);
    say("set", e);
    e = NULL;
    value(p, "cpus");
    rh_package_fill(p, file, &e);
    say("fill", e);
    value(p, "annotation");
    while ((f = rh_package_finding(p, 0, after)) && rh_finding_id(f)[0])
        after++;
    printf("findings %d\n", before > 0 && after > 0);
    printf("of the package %d\n",
           rh_package_finding(p, RH_WHOLE_PACKAGE, 9999) == NULL);
    free(one);
    free(two);
}

static void foreign(rh_lib *lib, rh_package *p, const char *out)
{
    rh_options *o = options(out, NULL);
    rh_error *e = NULL;
    char *json = NULL;

    rh_options_add(o, "timeout", "5", NULL);
    rh_job_free(rh_job_new(p, o, &e));
    say("job", e);
    e = NULL;
    rh_package_unload(rh_package_load(lib, "x.ova", o, &e));
    say("load", e);
    e = NULL;
    rh_result_boot(lib, out, o, &json, &e);
    say("boot", e);
    free(json);
    rh_options_free(o);
}

static void use(rh_package *p, char **argv, int argc)
{
    const char *out = argc > 3 ? argv[3] : NULL;
    rh_options *o = NULL;

    if (!strcmp(argv[1], "two-jobs"))
        two_jobs(p);
    else if (!strcmp(argv[1], "obey"))
        obey(p, out, argv[4]);
    else if (!strcmp(argv[1], "late"))
        late(p, argv[3], argv[4]);
    else
        o = options(out, argv + 4);
    if (!strcmp(argv[1], "run-twice"))
        run_twice(p, o);
    if (!strcmp(argv[1], "report-then-run"))
        report_then_run(p, o);
    if (!strcmp(argv[1], "decide"))
        decide(p, o);
    if (!strcmp(argv[1], "walk"))
        walk(p, o);
    rh_options_free(o);
}

int main(int argc, char **argv)
{
    rh_lib *lib;
    rh_package *p;

    if (argc < 3)
        return 2;
    if (!strcmp(argv[1], "threads")) {
        threads(argv[2], argv[3]);
        return 0;
    }
    lib = rh_lib_new(NULL);
    if (!strncmp(argv[1], "own", 3)) {
        struct own own = {-1, argv[3], argc > 4 ? argv[4] : NULL};

        if (!strcmp(argv[1], "own"))
            own_bytes(lib, argv[2], &own);
        else
            own_disk(lib, argv[2], &own);
        rh_lib_free(lib);
        return 0;
    }
    p = load(lib, argv[2]);
    if (!strcmp(argv[1], "foreign"))
        foreign(lib, p, argv[3]);
    else
        use(p, argv, argc);
    rh_package_unload(p);
    rh_lib_free(lib);
    return 0;
}
