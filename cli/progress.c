/* progress.c - a bar for people, JSON lines for services. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static struct {
    bool shown; /* a bar stands on the terminal's last line */
    char stage[32];
    double started; /* seconds; of this stage */
    uint64_t first; /* bytes that were done when the stage started */
} bar;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *stage_text(const char *stage)
{
    static const struct {
        const char *stage, *text;
    } texts[] = {
        {"copy", N_("copying")},
        {"spool", N_("receiving")},
        {"send", N_("sending")},
        {"verify", N_("verifying")},
        {"guest", N_("looking into the guest")},
        {"look", N_("looking at the disk")},
        {"compare", N_("comparing")},
        {"report", N_("reporting")},
        {"boot", N_("booting")},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!strcmp(texts[i].stage, stage))
            return _(texts[i].text);
    return stage;
}

static int terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col
                                                                      : 80;
}

static void note_stage(const char *stage, uint64_t done)
{
    if (!strcmp(bar.stage, stage))
        return;
    snprintf(bar.stage, sizeof bar.stage, "%s", stage);
    bar.started = seconds();
    bar.first = done;
}

static void time_left(char *text, size_t n, double rate, uint64_t left)
{
    double s = rate > 0 ? (double)left / rate : 0;

    if (rate <= 0 || s > 360000)
        snprintf(text, n, "--:--");
    else if (s >= 3600)
        snprintf(text, n, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60,
                 (int)s % 60);
    else
        snprintf(text, n, "%02d:%02d", (int)s / 60, (int)s % 60);
}

static void draw(void *user, const char *stage, uint64_t done, uint64_t total)
{
    char line[256], cells[64], left[32];
    double elapsed, rate;
    int width = terminal_width(), room = 24, filled;

    (void)user;
    note_stage(stage, done);
    elapsed = seconds() - bar.started;
    rate = elapsed > 0.2 ? (double)(done - bar.first) / elapsed : 0;
    if (!total) {
        snprintf(line, sizeof line, "%s %.1f MiB", stage_text(stage),
                 (double)done / 1048576);
    } else {
        filled = (int)((double)done / (double)total * room);
        memset(cells, ' ', (size_t)room);
        memset(cells, '#', (size_t)filled);
        cells[room] = '\0';
        time_left(left, sizeof left, rate, total - done);
        snprintf(line, sizeof line, "%s [%s] %3d%%  %.1f MiB/s  %s",
                 stage_text(stage), cells,
                 (int)((double)done / (double)total * 100), rate / 1048576,
                 left);
    }
    fprintf(stderr, "\r\033[K%.*s", width - 1, line);
    fflush(stderr);
    bar.shown = true;
}

static void json_line(void *user, const char *stage, uint64_t done,
                      uint64_t total)
{
    double elapsed, rate;

    (void)user;
    note_stage(stage, done);
    elapsed = seconds() - bar.started;
    rate = elapsed > 0 ? (double)(done - bar.first) / elapsed : 0;
    fprintf(stderr,
            "{\"progress\":{\"stage\":\"%s\",\"done\":%llu,\"total\":%llu,"
            "\"bytes_per_second\":%.0f}}\n",
            stage, (unsigned long long)done, (unsigned long long)total, rate);
    fflush(stderr);
}

int cli_progress_start(struct cli *cli, const char *mode)
{
    if (!mode || !strcmp(mode, "auto"))
        mode = isatty(STDERR_FILENO) ? "bar" : "none";
    if (!strcmp(mode, "bar"))
        rh_lib_on_progress(cli->lib, draw, NULL);
    else if (!strcmp(mode, "json"))
        rh_lib_on_progress(cli->lib, json_line, NULL);
    else if (strcmp(mode, "none"))
        return cli_usage(cli, _("--progress is auto, bar, json or none"));
    return 0;
}

void cli_progress_end(void)
{
    if (bar.shown)
        fputs("\r\033[K", stderr);
    bar.shown = false;
}
