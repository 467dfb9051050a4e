/* status.c - how a batch stands: rehost.batch/1, a table, a page, a summary. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/text.h"
#include "convert/batch/batch.h"
#include "report/page.h"
#include "report/width.h"

/* What the table says of a VM, which may be more than the journal does. */
struct seen {
    enum rh_vm_state state;
    char *reason;
};

static struct seen see(const rh_batch *b, size_t i, unsigned wave, time_t now)
{
    const struct rh_task *t = &b->tasks[i];
    struct seen s = {t->record.state, NULL};

    if (t->skipped && !t->settled) {
        s.reason = rh_strdup(_("skipped by hand"));
        return s;
    }
    if (s.state == RH_VM_PENDING && !b->dry_run) {
        s.reason = rh_batch_hold(b, i, wave, now);
        if (s.reason)
            s.state = RH_VM_WAITING;
    }
    if (!s.reason && t->record.reason &&
        (s.state == RH_VM_WAITING || s.state == RH_VM_PENDING))
        s.reason = rh_strdup(t->record.reason);
    return s;
}

/* --- JSON
 * -------------------------------------------------------------------- */

json_t *rh_batch_name(const char *text)
{
    RH_AUTO(rh_freep) char *safe = NULL;

    if (rh_valid_utf8(text, strlen(text)))
        return json_string(text);
    safe = rh_printable(text);
    return json_string(safe);
}

static json_t *source_json(const struct rh_job_vm *vm)
{
    json_t *list;

    if (vm->sources.count == 1)
        return rh_batch_name(vm->sources.items[0]);
    list = json_array();
    for (size_t k = 0; k < vm->sources.count; k++)
        json_array_append_new(list, rh_batch_name(vm->sources.items[k]));
    return list;
}

static json_t *results_json(const rh_batch *b, const struct rh_record *r)
{
    json_t *list = json_array();

    for (size_t k = 0; k < r->results.count; k++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s/%s", b->journal.out, r->results.items[k]);

        if (r->state == RH_VM_DONE || rh_targets_made(r, r->results.items[k]))
            json_array_append_new(list, rh_batch_name(path));
    }
    return list;
}

static json_t *vm_json(const rh_batch *b, size_t i, const struct seen *s)
{
    const struct rh_job_vm *vm = &b->jobs->vms.items[i];
    const struct rh_record *r = &b->tasks[i].record;
    bool failed = s->state == RH_VM_FAILED || s->state == RH_VM_REFUSED ||
                  s->state == RH_VM_BLOCKED || s->state == RH_VM_WAITING;

    return json_pack(
        "{s:o, s:o, s:i, s:s, s:s, s:I, s:I, s:f, s:i, s:f, s:o, s:o, s:O?, "
        "s:s?, s:s?}",
        "name", rh_batch_name(vm->name), "source", source_json(vm), "wave",
        (int)vm->wave, "state", rh_vm_state_name(s->state), "stage", r->stage,
        "bytes_done", (json_int_t)r->bytes_done, "bytes_total",
        (json_int_t)r->bytes_total, "rate",
        s->state == RH_VM_RUNNING ? r->rate : 0.0, "attempts", (int)r->attempts,
        "seconds", r->seconds, "results", results_json(b, r), "targets",
        rh_targets_json(b, r), "error", failed ? r->error : NULL, "reason",
        s->reason, "holder", r->holder);
}

json_t *rh_batch_json(rh_batch *b)
{
    size_t counts[RH_VM_STATES] = {0};
    unsigned wave = rh_batch_open_wave(b);
    json_t *vms = json_array(), *sums = json_object();
    time_t now = time(NULL);

    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        struct seen s = see(b, i, wave, now);

        counts[s.state]++;
        json_array_append_new(vms, vm_json(b, i, &s));
        free(s.reason);
    }
    for (int s = 0; s < RH_VM_STATES; s++)
        json_object_set_new(sums, rh_vm_state_name((enum rh_vm_state)s),
                            json_integer((json_int_t)counts[s]));
    return json_pack("{s:s, s:o, s:o, s:b, s:b, s:o, s:o}", "schema",
                     "rehost.batch/1", "jobs", rh_batch_name(b->jobs->path),
                     "out", rh_batch_name(b->journal.out), "running",
                     b->running, "paused", b->paused, "counts", sums, "vms",
                     vms);
}

int rh_batch_exit(rh_batch *b)
{
    size_t counts[RH_VM_STATES] = {0};

    if (b->interrupted)
        return 130;
    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        const struct rh_task *t = &b->tasks[i];

        /* What waits for a VM that was refused or blocked says nothing new. */
        if (t->chosen &&
            !(t->hopeless && !t->skipped && t->record.state == RH_VM_PENDING))
            counts[t->record.state]++;
    }
    if (b->dry_run)
        counts[RH_VM_PENDING] = 0;
    if (counts[RH_VM_FAILED] || counts[RH_VM_PENDING] ||
        counts[RH_VM_WAITING] || counts[RH_VM_RUNNING])
        return 1;
    return counts[RH_VM_REFUSED] ? 3 : counts[RH_VM_BLOCKED] ? 4 : 0;
}

/* --- words
 * ------------------------------------------------------------------- */

static const char *state_word(enum rh_vm_state s)
{
    static const char *const words[RH_VM_STATES] = {
        N_("pending"), N_("waiting"), N_("running"), N_("done"),
        N_("failed"),  N_("refused"), N_("blocked")};

    return _(words[s]);
}

static char *time_text(double seconds)
{
    unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;

    return s >= 3600
               ? rh_printf("%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60)
               : rh_printf("%02lu:%02lu", s / 60, s % 60);
}

/* "copy 42%  120 MiB/s  01:10", or why not. */
static char *how_alone(const struct rh_record *r, const struct seen *s)
{
    const char *message =
        json_string_value(json_object_get(r->error, "message"));
    double left;

    if (s->state == RH_VM_RUNNING && r->bytes_total) {
        RH_AUTO(rh_freep) char *rate = rh_human_size((uint64_t)r->rate);
        RH_AUTO(rh_freep) char *rest = NULL;

        left = r->rate > 0 ? (double)(r->bytes_total - r->bytes_done) / r->rate
                           : 0;
        rest = time_text(left);
        return rh_printf("%s %3.0f%%  %s/s  %s", r->stage,
                         100.0 * (double)r->bytes_done / (double)r->bytes_total,
                         rate, rest);
    }
    if (s->state == RH_VM_RUNNING)
        return rh_strdup(r->stage);
    if (s->reason)
        return rh_strdup(s->reason);
    if (message && s->state != RH_VM_DONE)
        return rh_printf("%s [%s]", message,
                         json_string_value(json_object_get(r->error, "code")));
    if (s->state == RH_VM_DONE)
        return time_text(r->seconds);
    return rh_strdup("");
}

/* With what is there of a VM that is not done. */
static char *how_it_stands(const struct rh_record *r, const struct seen *s)
{
    RH_AUTO(rh_freep) char *how = how_alone(r, s);
    RH_AUTO(rh_freep)
    char *there = s->state == RH_VM_DONE ? NULL : rh_targets_text(r);

    return there ? rh_printf(_("%s; there: %s"), how, there) : RH_TAKE(how);
}

static char *counts_text(rh_batch *b)
{
    json_t *doc = rh_batch_json(b);
    const json_t *counts = json_object_get(doc, "counts");
    struct rh_buf t = {0};

    for (int s = 0; s < RH_VM_STATES; s++) {
        json_int_t n = json_integer_value(
            json_object_get(counts, rh_vm_state_name((enum rh_vm_state)s)));

        if (n)
            rh_buf_printf(&t, "%s%s %lld", t.length ? ", " : "",
                          state_word((enum rh_vm_state)s), (long long)n);
    }
    json_decref(doc);
    return rh_buf_take(&t);
}

enum { NAME_MOST = 32, STATE_COLUMNS = 9 };

static size_t name_width(const rh_batch *b)
{
    size_t width = 4;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        width = RH_MAX(width, rh_columns(b->jobs->vms.items[i].name));
    return RH_MIN(width, NAME_MOST);
}

static void put_row(const rh_batch *b, struct rh_buf *t, size_t i,
                    const struct seen *s, size_t width)
{
    RH_AUTO(rh_freep) char *name = rh_printable(b->jobs->vms.items[i].name);
    RH_AUTO(rh_freep) char *clipped = rh_clip(name, width);
    RH_AUTO(rh_freep) char *how = how_it_stands(&b->tasks[i].record, s);
    RH_AUTO(rh_freep) char *safe = rh_printable(how);

    rh_pad(t, clipped, width + 2);
    rh_pad(t, state_word(s->state), STATE_COLUMNS);
    rh_buf_printf(t, "%s%s\n", safe[0] ? " " : "", safe);
}

char *rh_batch_text(rh_batch *b)
{
    unsigned wave = rh_batch_open_wave(b);
    time_t now = time(NULL);
    size_t width = name_width(b);
    struct rh_buf t = {0};
    RH_AUTO(rh_freep) char *counts = counts_text(b);

    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        struct seen s = see(b, i, wave, now);

        put_row(b, &t, i, &s, width);
        free(s.reason);
    }
    rh_buf_printf(&t, "%s\n", counts);
    return rh_buf_take(&t);
}

/* For a screen, which may be too small for all: what moves, what waits for a
 * person, what comes next, what is over. */
char *rh_batch_live(rh_batch *b)
{
    static const enum rh_vm_state order[RH_VM_STATES] = {
        RH_VM_RUNNING, RH_VM_FAILED,  RH_VM_REFUSED, RH_VM_BLOCKED,
        RH_VM_WAITING, RH_VM_PENDING, RH_VM_DONE};
    unsigned wave = rh_batch_open_wave(b);
    time_t now = time(NULL);
    size_t width = name_width(b), n = b->jobs->vms.count;
    RH_AUTO(rh_freep) struct seen *all = rh_calloc(n + 1, sizeof *all);
    RH_AUTO(rh_freep) char *counts = counts_text(b);
    struct rh_buf t = {0};

    rh_buf_printf(&t, "%s%s\n\n", b->paused ? _("paused; ") : "", counts);
    for (size_t i = 0; i < n; i++)
        all[i] = see(b, i, wave, now);
    for (size_t k = 0; k < RH_COUNT(order); k++)
        for (size_t i = 0; i < n; i++)
            if (all[i].state == order[k])
                put_row(b, &t, i, &all[i], width);
    for (size_t i = 0; i < n; i++)
        free(all[i].reason);
    return rh_buf_take(&t);
}

size_t rh_batch_open_count(rh_batch *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->jobs->vms.count; i++)
        n += b->tasks[i].record.state <= RH_VM_RUNNING;
    return n;
}

/* --- the page
 * ---------------------------------------------------------------- */

static const char *badge_of(enum rh_vm_state s)
{
    static const char *const kinds[RH_VM_STATES] = {
        "badge",         "badge caution", "badge",        "badge ready",
        "badge blocked", "badge blocked", "badge blocked"};

    return kinds[s];
}

static void page_tiles(struct rh_buf *h, const json_t *counts)
{
    rh_tag(h, "div", "class", "tiles", NULL);
    for (int s = 0; s < RH_VM_STATES; s++) {
        json_int_t n = json_integer_value(
            json_object_get(counts, rh_vm_state_name((enum rh_vm_state)s)));

        rh_tag(h, "div", "class", "tile", NULL);
        rh_leaff(h, "strong", NULL, "%lld", (long long)n);
        rh_leaf(h, "span", NULL, state_word((enum rh_vm_state)s));
        rh_end(h, "div");
    }
    rh_end(h, "div");
}

static void page_row(rh_batch *b, struct rh_buf *h, size_t i, unsigned wave,
                     time_t now)
{
    struct seen s = see(b, i, wave, now);
    RH_AUTO(rh_freep) char *how = how_it_stands(&b->tasks[i].record, &s);

    rh_tag(h, "tr", NULL);
    rh_leaf(h, "td", NULL, b->jobs->vms.items[i].name);
    rh_leaff(h, "td", NULL, "%u", b->jobs->vms.items[i].wave);
    rh_tag(h, "td", NULL);
    rh_leaf(h, "span", badge_of(s.state), state_word(s.state));
    rh_end(h, "td");
    rh_leaf(h, "td", NULL, how);
    rh_leaff(h, "td", NULL, "%u", b->tasks[i].record.attempts);
    rh_end(h, "tr");
    free(s.reason);
}

static void page_head(struct rh_buf *h, unsigned refresh_seconds)
{
    rh_buf_puts(h, "<!DOCTYPE html>\n");
    rh_tag(h, "html", "lang", rh_text_lang(), NULL);
    rh_tag(h, "head", NULL);
    rh_tag(h, "meta", "charset", "utf-8", NULL);
    rh_tag(h, "meta", "name", "viewport", "content",
           "width=device-width, initial-scale=1", NULL);
    if (refresh_seconds) {
        RH_AUTO(rh_freep) char *seconds = rh_printf("%u", refresh_seconds);

        rh_tag(h, "meta", "http-equiv", "refresh", "content", seconds, NULL);
    }
    rh_leaf(h, "title", NULL, _("Batch"));
    rh_buf_printf(h, "<style>%s</style>", rh_page_style);
    rh_end(h, "head");
}

char *rh_batch_page(rh_batch *b, unsigned refresh_seconds)
{
    static const char *const columns[] = {N_("VM"), N_("wave"), N_("state"),
                                          N_("how it stands"), N_("tries")};
    unsigned wave = rh_batch_open_wave(b);
    json_t *doc = rh_batch_json(b);
    time_t now = time(NULL);
    struct rh_buf h = {0};
    char clock[32];
    struct tm t;

    localtime_r(&now, &t);
    strftime(clock, sizeof clock, "%Y-%m-%d %H:%M:%S", &t);
    page_head(&h, refresh_seconds);
    rh_tag(&h, "body", NULL);
    rh_tag(&h, "div", "class", "top", NULL);
    rh_leaf(&h, "h1", NULL, _("Batch"));
    rh_leaff(&h, "p", NULL, "%s · %s", b->jobs->path, clock);
    rh_end(&h, "div");
    rh_tag(&h, "main", NULL);
    page_tiles(&h, json_object_get(doc, "counts"));
    rh_tag(&h, "table", NULL);
    rh_tag(&h, "thead", NULL);
    rh_tag(&h, "tr", NULL);
    for (size_t k = 0; k < RH_COUNT(columns); k++)
        rh_leaf(&h, "th", NULL, _(columns[k]));
    rh_end(&h, "tr");
    rh_end(&h, "thead");
    rh_tag(&h, "tbody", NULL);
    for (size_t i = 0; i < b->jobs->vms.count; i++)
        page_row(b, &h, i, wave, now);
    for (const char *const *end =
             (const char *const[]){"tbody", "table", "main", "body", "html",
                                   NULL};
         *end; end++)
        rh_end(&h, *end);
    json_decref(doc);
    return rh_buf_take(&h);
}

/* --- at the end
 * -------------------------------------------------------------- */

static void summary_wave(rh_batch *b, struct rh_buf *t, unsigned wave)
{
    size_t done = 0, all = 0;

    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        if (b->jobs->vms.items[i].wave != wave)
            continue;
        all++;
        done += b->tasks[i].record.state == RH_VM_DONE;
    }
    if (all)
        rh_buf_printf(t, _("wave %u: %zu of %zu done\n"), wave, done, all);
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

static void summary_waves(rh_batch *b, struct rh_buf *t)
{
    size_t n = b->jobs->vms.count;
    RH_AUTO(rh_freep) unsigned *waves = rh_calloc(n, sizeof *waves);

    for (size_t i = 0; i < n; i++)
        waves[i] = b->jobs->vms.items[i].wave;
    qsort(waves, n, sizeof *waves, by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || waves[i] != waves[i - 1])
            summary_wave(b, t, waves[i]);
}

/* What is left to people, each with its reason and the next step. */
static void summary_left(rh_batch *b, struct rh_buf *t)
{
    unsigned wave = rh_batch_open_wave(b);

    for (size_t i = 0; i < b->jobs->vms.count; i++) {
        const struct rh_record *r = &b->tasks[i].record;
        struct seen s = see(b, i, wave, time(NULL));
        const char *hint = json_string_value(json_object_get(r->error, "hint"));
        RH_AUTO(rh_freep) char *how = how_it_stands(r, &s);
        RH_AUTO(rh_freep)
        char *text = rh_printf("%s: %s: %s", b->jobs->vms.items[i].name,
                               state_word(s.state), how);
        RH_AUTO(rh_freep) char *safe = rh_printable(text);

        free(s.reason);
        if (s.state == RH_VM_DONE)
            continue;
        rh_buf_printf(t, "%s\n", safe);
        if (r->error && hint && hint[0])
            rh_buf_printf(t, "  %s\n", hint);
    }
}

char *rh_batch_summary(rh_batch *b)
{
    struct rh_buf t = {0};
    RH_AUTO(rh_freep) char *counts = counts_text(b);

    rh_buf_printf(&t, "%s\n", counts);
    summary_waves(b, &t);
    summary_left(b, &t);
    if (!b->dry_run)
        rh_buf_printf(&t,
                      _("results: %s/NAME (receipt.json in each); status "
                        "page, run books, audit log: %s/.rehost\n"),
                      b->journal.out, b->journal.out);
    return rh_buf_take(&t);
}
