/* service_calls.c - the public calls of batches, pushes and warm moves: twice
 * with one answer, after failures, and from several threads.
 *
 *   service_calls batch OVA PROGRAM FOLDER    FOLDER is there and empty
 *   service_calls push URL RESULT             a stand-in of a server; RESULT-0,
 *                                             -1 and -2 are there
 *   service_calls warm DISK FOLDER            FOLDER is there and empty
 *
 * A thread has a library of its own; a batch that runs is also asked, and told,
 * by another thread. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rehost/rehost.h"

enum { THREADS = 3 };

static char **arguments;

/* What a thread found, as text. */
struct report {
    FILE *f;
    char *data;
    size_t length;
};

static void say(struct report *r, const char *what, int good, rh_error *e)
{
    fprintf(r->f, "%s: %s %s\n", what, good ? "good" : "not",
            e ? rh_error_id(e) : "-");
    rh_error_free(e);
}

/* `call` has &e for its error. */
#define SAY(r, what, call)     \
    do {                       \
        rh_error *e = NULL;    \
        int good = (call);     \
                               \
        say(r, what, good, e); \
    } while (0)

static rh_options *options_of(const char *const pairs[][2], size_t n)
{
    rh_options *o = rh_options_new();

    for (size_t i = 0; i < n; i++)
        rh_options_add(o, pairs[i][0], pairs[i][1], NULL);
    return o;
}

/* --- batches -------------------------------------------------------------- */

static void inits(struct report *r, rh_lib *lib)
{
    const char *sources[][1] = {{arguments[2]}, {"no-such.ova"}};

    for (size_t i = 0; i < 4; i++) {
        rh_error *e = NULL;
        char *text = rh_batch_init(lib, sources[i % 2], 1, NULL, &e);

        say(r, "init", text && strstr(text, "kvm"), e);
        free(text);
    }
}

static void renders(struct report *r, rh_batch *b)
{
    static const char *const forms[] = {"json",    "text", "html", "live",
                                        "summary", "open", "none"};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        rh_error *e = NULL;
        char *text = rh_batch_render(b, forms[i], &e);

        say(r, forms[i], text != NULL, e);
        free(text);
    }
}

static void controls(struct report *r, rh_batch *b)
{
    static const char *const words[][2] = {{"pause", NULL},
                                           {"resume", NULL},
                                           {"skip", "no-such"},
                                           {"nonsense", NULL}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        rh_error *e = NULL;
        int failed = rh_batch_control(b, words[i][0], words[i][1], &e);

        say(r, words[i][0], !failed, e);
    }
}

struct runner {
    rh_batch *batch;
    volatile int ended;
    pthread_mutex_t lock;
};

static void *run_batch(void *user)
{
    struct runner *r = user;

    rh_batch_run(r->batch, NULL);
    pthread_mutex_lock(&r->lock);
    r->ended = 1;
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int has_ended(struct runner *r)
{
    int ended;

    pthread_mutex_lock(&r->lock);
    ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

/* This thread asks, and reads events, while the other runs it. */
static void run_beside(struct report *r, rh_batch *b)
{
    struct runner runner = {.batch = b, .lock = PTHREAD_MUTEX_INITIALIZER};
    int events = rh_batch_events(b, NULL);
    char bytes[4096];
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_batch, &runner))
        return;
    while (!has_ended(&runner)) {
        char *text = rh_batch_render(b, "json", NULL);

        free(text);
        rh_batch_control(b, "pause", NULL, NULL);
        rh_batch_status(b);
        rh_batch_control(b, "resume", NULL, NULL);
        while (read(events, bytes, sizeof bytes) > 0)
            ;
        usleep(20000);
    }
    pthread_join(thread, NULL);
    pthread_mutex_destroy(&runner.lock);
    fprintf(r->f, "run: status %d\n", rh_batch_status(b));
}

static void open_and_run(struct report *r, rh_lib *lib, const char *file)
{
    const char *pairs[][2] = {{"program", arguments[3]}};
    rh_options *o = options_of(pairs, 1);
    rh_error *e = NULL;
    rh_batch *b = rh_batch_open(lib, file, o, &e);
    char *json = NULL, *text = NULL;

    say(r, "open", b != NULL, e);
    e = NULL;
    if (b) {
        const char *engine[][2] = {{"engine", "no-such"}};
        rh_options *other = options_of(engine, 1);

        renders(r, b);
        controls(r, b);
        rh_batch_submit(b, other, &json, &text, &e);
        say(r, "submit", json != NULL, e);
        rh_options_free(other);
        run_beside(r, b);
        renders(r, b);
        SAY(r, "run again", !rh_batch_run(b, &e));
        fprintf(r->f, "status %d\n", rh_batch_status(b));
    }
    free(json);
    free(text);
    rh_batch_close(b);
    rh_options_free(o);
}

static char *write_jobs(const char *folder, size_t n, const char *name,
                        const char *source)
{
    char *path = NULL;
    FILE *f;

    if (asprintf(&path, "%s/%zu-%s.yaml", folder, n, name) < 0)
        return NULL;
    f = fopen(path, "w");
    fprintf(f,
            "schema: rehost.jobs/1\nout: out%zu-%s\nvms:\n"
            "  - {source: \"%s\", to: kvm, no-guest-fix: true}\n",
            n, name, source);
    fclose(f);
    return path;
}

static void batches(struct report *r, rh_lib *lib, size_t n)
{
    char *good = write_jobs(arguments[4], n, "good", arguments[2]);
    char *empty = write_jobs(arguments[4], n, "empty", "no-such-*.ova");

    for (int i = 0; i < 2; i++) {
        inits(r, lib);
        open_and_run(r, lib, "no-such.yaml");
        open_and_run(r, lib, empty);
        open_and_run(r, lib, good);
        rh_batch_close(NULL);
    }
    free(good);
    free(empty);
}

/* --- pushes --------------------------------------------------------------- */

static char *answer(void *user, const char *question, int hidden)
{
    ++*(int *)user;
    (void)question;
    return strdup(hidden ? "wrong" : "root");
}

/* Each thread has a result of its own: one push at a time holds one. */
static void push_to(struct report *r, rh_lib *lib, size_t n, const char *url)
{
    char mine[4096];
    /* The stand-in's certificate and its log-in. */
    const char *pairs[][2] = {{"to", url},
                              {"dry-run", ""},
                              {"network-map", "*=vmbr0"},
                              {"tls-ca", getenv("CERT")},
                              {"login", getenv("LOGIN")}};
    rh_options *o = options_of(pairs, url == arguments[2] ? 5 : 3);
    rh_error *e = NULL;
    rh_push *p = rh_push_open(lib, o, &e);
    char none[32];
    const char *results[] = {none, mine, mine};

    snprintf(none, sizeof none, "no-such-%zu", n);
    snprintf(mine, sizeof mine, "%s-%zu", arguments[3], n);
    say(r, "open", p != NULL, e);
    for (size_t i = 0; p && i < 3; i++) {
        char *json = NULL, *text = NULL;

        e = NULL;
        rh_push_result(p, results[i], &json, &text, &e);
        say(r, "result", json && text, e);
        free(json);
        free(text);
        SAY(r, "clean", rh_push_clean(p, results[i], &e) == 0);
        text = NULL;
        SAY(r, "verify", rh_push_verify(p, results[i], &text, &e) == 0);
        free(text);
        text = NULL;
        SAY(r, "verify source",
            rh_push_verify_source(p, none, results[i], NULL, &text, &e) == 0);
        free(text);
    }
    rh_push_close(p);
    rh_options_free(o);
}

static void pushes(struct report *r, rh_lib *lib, size_t n)
{
    int asked = 0;

    for (int i = 0; i < 2; i++) {
        push_to(r, lib, n, "nonsense://host");
        push_to(r, lib, n, arguments[2]);
        rh_push_close(NULL);
    }
    /* Without a log-in a person is asked, each time. */
    rh_lib_on_ask(lib, answer, &asked);
    push_to(r, lib, n, "xapi://127.0.0.1:9/");
    push_to(r, lib, n, "xapi://127.0.0.1:9/");
    fprintf(r->f, "asked %d\n", asked);
    rh_lib_on_ask(lib, NULL, NULL);
    push_to(r, lib, n, "xapi://127.0.0.1:9/");
}

/* --- warm moves ----------------------------------------------------------- */

static void warm_renders(struct report *r, rh_warm *w)
{
    static const char *const forms[] = {"json", "text", "said", "none"};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        rh_error *e = NULL;
        char *text = rh_warm_render(w, forms[i], &e);

        say(r, forms[i], text != NULL, e);
        free(text);
    }
}

static void warm_steps(struct report *r, rh_warm *w)
{
    const char *bad[][2] = {{"at", "never"}};
    rh_options *o = options_of(bad, 1);

    SAY(r, "cutover at", rh_warm_cutover(w, o, &e) == 0);
    for (int i = 0; i < 2; i++) {
        SAY(r, "sync", rh_warm_sync(w, NULL, &e) == 0);
        SAY(r, "rehearse", rh_warm_rehearse(w, NULL, &e) == 0);
        warm_renders(r, w);
    }
    for (int i = 0; i < 2; i++) {
        SAY(r, "cutover", rh_warm_cutover(w, NULL, &e) == 0);
        warm_renders(r, w);
    }
    for (int i = 0; i < 2; i++)
        SAY(r, "abort", rh_warm_abort(w, &e) == 0);
    rh_options_free(o);
}

static void warm_from(struct report *r, rh_lib *lib, const char *source,
                      const char *name)
{
    char *out = NULL;
    int made = asprintf(&out, "%s/%s", arguments[3], name);
    const char *pairs[][2] = {
        {"to", "kvm"},           {"out", made < 0 ? "." : out},
        {"job", name},           {"name", "warm"},
        {"no-guest-fix", ""},    {"set", "memory_bytes=1073741824"},
        {"source-format", "raw"}};
    rh_options *o = options_of(pairs, sizeof pairs / sizeof pairs[0]);
    rh_error *e = NULL;
    rh_warm *w = rh_warm_start(lib, source, o, &e);

    say(r, "start", w != NULL, e);
    rh_warm_close(w);
    e = NULL;
    w = rh_warm_open(lib, name, &e);
    say(r, "open", w != NULL, e);
    if (w)
        warm_steps(r, w);
    rh_warm_close(w);
    rh_options_free(o);
    free(out);
}

static void moves(struct report *r, rh_lib *lib, size_t n)
{
    char name[32];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "thread-%zu-%u", n, i);
        warm_from(r, lib, "no-such.raw", "never");
        warm_from(r, lib, arguments[2], name);
        rh_warm_close(NULL);
    }
}

/* --- all of it ------------------------------------------------------------ */

struct worker {
    size_t n;
    struct report report;
};

static void *work(void *user)
{
    struct worker *w = user;
    rh_lib *lib = rh_lib_new(NULL);

    w->report.f = open_memstream(&w->report.data, &w->report.length);
    if (!strcmp(arguments[1], "batch"))
        batches(&w->report, lib, w->n);
    else if (!strcmp(arguments[1], "warm"))
        moves(&w->report, lib, w->n);
    else
        pushes(&w->report, lib, w->n);
    fclose(w->report.f);
    rh_lib_free(lib);
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    int same = 1;

    if (argc < 4 || (!strcmp(argv[1], "batch") && argc < 5))
        return 2;
    arguments = argv;
    memset(w, 0, sizeof w);
    for (size_t i = 0; i < THREADS; i++) {
        w[i].n = i;
        pthread_create(&thread[i], NULL, work, &w[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 1; i < THREADS; i++)
        same &= !strcmp(w[0].report.data, w[i].report.data);
    printf("%s%s\n", w[0].report.data, same ? "the same" : "not the same");
    for (size_t i = 1; i < THREADS && !same; i++)
        printf("-----\n%s", w[i].report.data);
    for (size_t i = 0; i < THREADS; i++)
        free(w[i].report.data);
    return !same;
}
