/* batch.c - rehost batch init, run, resume, status, submit.
 *
 * The batch runs on a thread of its own; this one listens to its events and to
 * the keys, and draws. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

/* --- init
 * -------------------------------------------------------------------- */

static const struct cli_option init_options[] = {
    {"output", 'o', "JOBS.yaml", N_("where to write it (else printed)"),
     TO_COMMAND},
    {"to", 0, "xen|kvm", N_("the model to convert for (repeat for both)"),
     TO_OPTIONS},
    {"out", 0, "DIR", N_("where the results are to appear"), TO_OPTIONS},
    {"login", 0, "FILE",
     N_("who we are at a live source: YAML, mode 0600 (see rehost push)"),
     TO_OPTIONS},
    {"source-tls-ca", 0, "FILE",
     N_("the CA that signed the source's certificate"), TO_OPTIONS},
    {"source-pin", 0, "[HOST=]SHA256",
     N_("the source's certificate by its fingerprint"), TO_OPTIONS},
    {"from-report", 0, "REPORT.json",
     N_("the VMs of a report, sorted into waves: first what is ready"),
     TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

/* In a job file that lies elsewhere, paths that started here would not lead
 * anywhere. */
static char **whole_paths(struct cli *cli, const char *output)
{
    char **paths = calloc(cli->word_count + 1, sizeof *paths);
    char whole[PATH_MAX];

    for (size_t i = 0; paths && i < cli->word_count; i++) {
        const char *word = cli->words[i];
        int here = !output || !strchr(output, '/') || strstr(word, "://");

        paths[i] = strdup(!here && realpath(word, whole) ? whole : word);
    }
    return paths;
}

static int run_init(struct cli *cli)
{
    const char *output = cli_given(cli, "output");
    char **paths = whole_paths(cli, output), *text = NULL;
    rh_error *e = NULL;
    int status;

    if (output && strcmp(output, "-") && access(output, F_OK) == 0)
        status = cli_usage_hint(cli, _("that job file is there already"),
                                _("give another name with -o"));
    else {
        text = rh_batch_init(cli->lib, (const char *const *)paths,
                             cli->word_count, cli->options, &e);
        status = !text    ? cli_fail(cli, e)
                 : output ? cli_save(cli, output, text)
                          : 0;
        if (text && !output)
            fputs(text, stdout);
    }
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
    free(text);
    return status;
}

const struct cli_command cli_batch_init = {
    "init",
    "SOURCE... [-o JOBS.yaml] [--to xen|kvm] [--from-report REPORT.json]",
    N_("write a job file for many VMs, to be looked through and run"),
    "  rehost batch init /exports -o jobs.yaml\n"
    "  rehost report /exports --to kvm --json report.json\n"
    "  rehost batch init --from-report report.json --to kvm -o jobs.yaml\n"
    "  rehost batch init RVTools_export.xlsx --to kvm -o jobs.yaml\n",
    init_options,
    run_init};

/* --- the live table
 * ---------------------------------------------------------- */

struct screen {
    int live;           /* drawn on a terminal, with keys */
    int json;           /* events as lines on standard error */
    struct termios was; /* of the terminal */
    int raw;
    int paused;
    char asked[256]; /* the name being typed after 's' */
    int asking;
};

static void screen_open(struct screen *s)
{
    struct termios t;

    fputs("\033[?1049h", stderr); /* another page: what was there comes back */
    s->raw = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->was) == 0;
    if (!s->raw)
        return;
    t = s->was;
    t.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void screen_close(struct screen *s)
{
    if (s->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
    fputs("\033[?1049l", stderr);
    fflush(stderr);
}

static void draw(struct screen *s, rh_batch *b)
{
    struct winsize w;
    char *text = rh_batch_render(b, "live", NULL), *line, *rest = text;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row < 4)
        w.ws_row = 24;
    fputs("\033[H", stderr);
    for (int row = 0; text && row + 2 < w.ws_row; row++) {
        line = strsep(&rest, "\n");
        fprintf(stderr, "\033[K\033[?7l%s\033[?7h\r\n", line ? line : "");
        if (!line)
            break;
    }
    if (s->asking)
        fprintf(stderr, "\033[J%s%s", _("skip which VM? "), s->asked);
    else
        fprintf(stderr, "\033[J%s",
                s->paused
                    ? _("paused: p goes on, s skips a VM, q quits (resumable)")
                    : _("p pauses, s skips a VM, q quits (resumable)"));
    fflush(stderr);
    free(text);
}

static void type_name(struct screen *s, rh_batch *b, char key)
{
    size_t n = strlen(s->asked);

    if (key == '\n' || key == '\r') {
        rh_batch_control(b, "skip", s->asked, NULL);
        s->asking = 0;
    } else if (key == 27) {
        s->asking = 0;
    } else if ((key == 127 || key == 8) && n) {
        s->asked[n - 1] = '\0';
    } else if ((unsigned char)key >= 32 && n + 1 < sizeof s->asked) {
        s->asked[n] = key;
        s->asked[n + 1] = '\0';
    }
}

static void read_key(struct screen *s, rh_batch *b)
{
    char key;

    if (read(STDIN_FILENO, &key, 1) != 1) {
        s->raw = 0;
        return;
    }
    if (s->asking) {
        type_name(s, b, key);
    } else if (key == 'p') {
        s->paused = !s->paused;
        rh_batch_control(b, s->paused ? "pause" : "resume", NULL, NULL);
    } else if (key == 'q') {
        rh_batch_control(b, "quit", NULL, NULL);
    } else if (key == 's') {
        s->asking = 1;
        s->asked[0] = '\0';
    }
}

/* --- run
 * --------------------------------------------------------------------- */

struct running {
    rh_batch *batch;
    rh_error *error;
    int failed;
    int done[2]; /* a pipe that closes at the end */
};

static void *work(void *user)
{
    struct running *r = user;

    r->failed = rh_batch_run(r->batch, &r->error);
    close(r->done[1]);
    return NULL;
}

static void pass_events(const struct screen *s, int events)
{
    char buffer[8192];
    ssize_t n;

    while ((n = read(events, buffer, sizeof buffer)) > 0)
        if (s->json)
            fwrite(buffer, 1, (size_t)n, stderr);
    fflush(stderr);
}

static void look_on(struct screen *s, struct running *r, int events)
{
    struct pollfd fds[3] = {{r->done[0], POLLIN, 0},
                            {events, POLLIN, 0},
                            {STDIN_FILENO, POLLIN, 0}};

    while (!(fds[0].revents & (POLLHUP | POLLIN))) {
        if (s->live)
            draw(s, r->batch);
        poll(fds, s->live && s->raw ? 3 : 2, s->live ? 500 : -1);
        if (s->live && s->raw && fds[2].revents)
            read_key(s, r->batch);
        pass_events(s, events);
        if (s->live && !(fds[0].revents & POLLHUP))
            poll(fds, 1, 100); /* ten pictures a second are enough */
    }
    pass_events(s, events);
}

static int choose_screen(struct cli *cli, struct screen *s)
{
    const char *mode = cli_given(cli, "progress");

    rh_on_progress(cli->lib, NULL, NULL);
    s->json = mode && !strcmp(mode, "json");
    s->live = mode && !strcmp(mode, "bar");
    if (!mode || !strcmp(mode, "auto"))
        s->live = isatty(STDERR_FILENO);
    return 0;
}

static int run_on(struct cli *cli, struct running *r)
{
    struct screen s = {0};
    rh_error *e = NULL;
    int events = rh_batch_events(r->batch, &e);
    sigset_t all, before;
    pthread_t thread;
    int failed;

    choose_screen(cli, &s);
    if (events < 0 || pipe2(r->done, O_CLOEXEC) < 0)
        return cli_fail(cli, e);
    if (s.live)
        screen_open(&s);
    /* Signals come to this thread, which waits for them. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    failed = pthread_create(&thread, NULL, work, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        work(r);
    else
        look_on(&s, r, events);
    if (!failed)
        pthread_join(thread, NULL);
    if (s.live)
        screen_close(&s);
    close(r->done[0]);
    return 0;
}

static int run_run(struct cli *cli)
{
    struct running r = {0};
    rh_error *e = NULL;
    int status;

    if (cli->word_count != 1)
        return cli_usage(cli, _("one job file is needed"));
    r.batch = rh_batch_open(cli->lib, cli->words[0], cli->options, &e);
    if (!r.batch)
        return cli_fail(cli, e);
    status = run_on(cli, &r);
    if (!status && r.failed)
        status = cli_fail(cli, r.error);
    if (!status) {
        status = rh_batch_status(r.batch);
        cli_print(cli,
                  rh_batch_render(r.batch, cli->json ? "json" : "summary", &e),
                  e);
    }
    rh_batch_close(r.batch);
    return status;
}

static const struct cli_option run_options[] = {
    {"jobs", 'j', "N", N_("VMs at once (else the job file's, else 2)"),
     TO_OPTIONS},
    {"only", 0, "NAME", N_("this VM alone (repeat)"), TO_OPTIONS},
    {"wave", 0, "N", N_("this wave alone"), TO_OPTIONS},
    {"dry-run", 0, NULL, N_("say what would be done; write nothing"),
     TO_OPTIONS},
    {"on-event", 0, "COMMAND",
     N_("run it for each event, which it gets as JSON on standard input"),
     TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

const struct cli_command cli_batch_run = {
    "run",
    "JOBS.yaml [--jobs N] [--only NAME] [--wave N] [--dry-run]",
    N_("convert many VMs by a job file; what is done stays done"),
    "  rehost batch run jobs.yaml --dry-run\n"
    "  rehost batch run jobs.yaml --jobs 4\n"
    "  rehost batch run jobs.yaml --wave 1 --progress json\n"
    "  rehost batch run jobs.yaml --on-event 'curl -d @- https://chat/hook'\n",
    run_options,
    run_run};

const struct cli_command cli_batch_resume = {
    "resume",
    "JOBS.yaml [--jobs N] [--only NAME] [--wave N]",
    N_("go on with a batch that was interrupted, or whose VMs failed"),
    "  rehost batch resume jobs.yaml\n"
    "  rehost batch resume jobs.yaml --only db01\n",
    run_options,
    run_run};

/* --- submit
 * ------------------------------------------------------------------ */

static const struct cli_option submit_options[] = {
    {"engine", 0, "slurm", N_("which cluster takes the VMs"), TO_OPTIONS},
    {"partition", 0, "P", N_("of the cluster"), TO_OPTIONS},
    {"time", 0, "T", N_("most that one VM may take, as sbatch has it"),
     TO_OPTIONS},
    {"jobs", 'j', "N", N_("VMs at once (else the job file's, else 2)"),
     TO_OPTIONS},
    {"only", 0, "NAME", N_("this VM alone (repeat)"), TO_OPTIONS},
    {"wave", 0, "N", N_("this wave alone"), TO_OPTIONS},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static int run_submit(struct cli *cli)
{
    char *json = NULL, *text = NULL;
    rh_error *e = NULL;
    rh_batch *b;
    int failed;

    if (cli->word_count != 1)
        return cli_usage(cli, _("one job file is needed"));
    b = rh_batch_open(cli->lib, cli->words[0], cli->options, &e);
    if (!b)
        return cli_fail(cli, e);
    failed = rh_batch_submit(b, cli->options, &json, &text, &e) < 0;
    rh_batch_close(b);
    if (failed)
        return cli_fail(cli, e);
    fputs(cli->json ? json : text, stdout);
    free(json);
    free(text);
    return 0;
}

const struct cli_command cli_batch_submit = {
    "submit",
    "JOBS.yaml --engine slurm [--partition P] [--time T] [--jobs N]",
    N_("hand a batch to a cluster, a task a VM; OUT lies on shared storage"),
    "  rehost batch submit jobs.yaml --engine slurm --partition night\n"
    "  rehost batch submit jobs.yaml --engine slurm --time 4:00:00 --jobs 20\n"
    "  rehost batch status jobs.yaml --watch\n",
    submit_options,
    run_submit};

/* --- status
 * ------------------------------------------------------------------ */

static const struct cli_option status_options[] = {
    {"html", 0, "FILE", N_("a page that refreshes itself"), TO_COMMAND},
    {"watch", 0, NULL, N_("again and again, until all has ended"), TO_COMMAND},
    {NULL, 0, NULL, NULL, TO_COMMAND},
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static int show(struct cli *cli, rh_batch *b)
{
    const char *html = cli_given(cli, "html");
    rh_error *e = NULL;
    char *text;
    int status;

    if (html) {
        text = rh_batch_render(b, "html", &e);
        status = text ? cli_save(cli, html, text) : cli_fail(cli, e);
        free(text);
        return status;
    }
    text = rh_batch_render(b, cli->json ? "json" : "text", &e);
    if (text && cli_given(cli, "watch") && !cli->json && isatty(STDOUT_FILENO))
        fputs("\033[H\033[J", stdout);
    return cli_print(cli, text, e);
}

/* Is anything still going on?  The batch's own word for it. */
static int is_over(rh_batch *b)
{
    char *text = rh_batch_render(b, "open", NULL);
    int over = !text || !strcmp(text, "0");

    free(text);
    return over;
}

static int run_status(struct cli *cli)
{
    rh_error *e = NULL;
    rh_batch *b;
    int status;

    if (cli->word_count != 1)
        return cli_usage(cli, _("one job file is needed"));
    b = rh_batch_open(cli->lib, cli->words[0], cli->options, &e);
    if (!b)
        return cli_fail(cli, e);
    status = show(cli, b);
    if (!status && cli_given(cli, "watch")) {
        signal(SIGINT, stop);
        signal(SIGTERM, stop);
        while (!status && !stopped && !is_over(b)) {
            fflush(stdout);
            sleep(2);
            status = show(cli, b);
        }
    }
    rh_batch_close(b);
    return status;
}

const struct cli_command cli_batch_status = {
    "status",
    "JOBS.yaml [--json] [--html FILE] [--watch]",
    N_("how a batch stands, whether it runs or not"),
    "  rehost batch status jobs.yaml\n"
    "  rehost batch status jobs.yaml --json | jq .counts\n"
    "  rehost batch status jobs.yaml --html /srv/www/batch.html --watch\n",
    status_options,
    run_status};
