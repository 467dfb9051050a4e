/* page_fleet.c - the whole fleet: counts, charts, a table, what was refused. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "report/page.h"
#include "report/width.h"

enum { TARGETS_MOST = 8, CLASSES = 3, NAME_MOST = 44 };
static const char *const verdicts[CLASSES] = {"ready", "caution", "blocked"};
static const char *const efforts[CLASSES] = {"easy", "some-caution", "manual"};

struct tally {
    const char *target;
    size_t verdicts[CLASSES], efforts[CLASSES], advised;
    uint64_t bytes, seconds;
    bool guessed; /* disks are missing: at most so much */
};
struct fleet {
    struct tally items[TARGETS_MOST];
    size_t count, vms, failed;
};

static size_t class_of(const char *const *names, const char *name)
{
    for (size_t i = 0; i < CLASSES; i++)
        if (!strcmp(names[i], name))
            return i;
    return CLASSES - 1;
}

static struct tally *tally_of(struct fleet *f, const char *target)
{
    for (size_t i = 0; i < f->count; i++)
        if (!strcmp(f->items[i].target, target))
            return &f->items[i];
    if (f->count == TARGETS_MOST)
        return NULL;
    f->items[f->count].target = target;
    return &f->items[f->count++];
}

static void count_vm(struct fleet *f, const json_t *entry)
{
    const char *advised =
        rh_word(json_object_get(entry, "recommendation"), "target");
    const json_t *target;
    size_t i;

    json_array_foreach (json_object_get(entry, "targets"), i, target) {
        struct tally *t = tally_of(f, rh_word(target, "target"));

        if (!t)
            continue;
        t->verdicts[class_of(verdicts, rh_word(target, "verdict"))]++;
        t->efforts[class_of(efforts, rh_word(target, "effort"))]++;
        t->advised += !strcmp(advised, t->target);
        t->guessed |= json_is_false(json_object_get(target, "measured"));
        t->bytes += rh_number(target, "output_bytes");
        t->seconds += rh_number(target, "seconds");
    }
}

static void count_fleet(struct fleet *f, const json_t *report)
{
    const json_t *vms = json_object_get(report, "vms"), *entry;
    size_t i;

    f->vms = json_array_size(vms);
    f->failed = json_array_size(json_object_get(report, "failed"));
    json_array_foreach (vms, i, entry)
        count_vm(f, entry);
}

/* --- charts
 * -------------------------------------------------------------------- */

enum { CHART = 300, BAR = 22, LEAST = 36 };

static void bar_label(struct rh_buf *b, size_t x, size_t n)
{
    rh_buf_printf(b, "<text x=\"%zu\" y=\"16\" class=\"in\">%zu</text>\n",
                  x + 6, n);
}

/* One bar, its parts as long as their counts, each at least as wide as its
 * number. */
static void bar(struct rh_page *page, const char *title, const size_t *counts,
                const char *const *names, const char *(*word)(const char *))
{
    struct rh_buf *b = &page->b, said = {0};
    size_t n = ++page->drawn, sum = 0, x = 0, parts = 0, spare;

    for (size_t i = 0; i < CLASSES; i++) {
        sum += counts[i];
        parts += counts[i] > 0;
        rh_buf_printf(&said, "%s%s: %zu", i ? ", " : "", word(names[i]),
                      counts[i]);
    }
    rh_buf_printf(b,
                  "<svg class=\"bar\" viewBox=\"0 0 %d %d\" role=\"img\" "
                  "aria-labelledby=\"p%zu-title p%zu-desc\">"
                  "<title id=\"p%zu-title\">",
                  CHART, BAR, n, n, n);
    rh_text(b, title);
    rh_buf_printf(b, "</title><desc id=\"p%zu-desc\">", n);
    rh_text(b, said.data);
    rh_buf_puts(b, "</desc>\n");
    spare = CHART - parts * LEAST;
    for (size_t i = 0; i < CLASSES; i++) {
        size_t width = sum ? LEAST + counts[i] * spare / sum : 0;

        if (!counts[i])
            continue;
        rh_buf_printf(b,
                      "<rect x=\"%zu\" y=\"0\" width=\"%zu\" height=\"%d\" "
                      "class=\"%s\"/>\n",
                      x, width, BAR, verdicts[i]);
        bar_label(b, x, counts[i]);
        x += width;
    }
    rh_end(b, "svg");
    rh_buf_free(&said);
}

/* In the bars' own colours. */
static void legend(struct rh_buf *b, const char *const *names,
                   const char *(*word)(const char *))
{
    rh_tag(b, "p", "class", "legend", NULL);
    for (size_t i = 0; i < CLASSES; i++)
        rh_leaf(b, "span", verdicts[i], word(names[i]));
    rh_end(b, "p");
}

static void chart(struct rh_page *page, const struct fleet *f,
                  const char *title, bool of_efforts)
{
    const char *const *names = of_efforts ? efforts : verdicts;
    const char *(*word)(const char *) =
        of_efforts ? rh_effort_word : rh_verdict_word;
    struct rh_buf *b = &page->b;

    rh_tag(b, "figure", "class", "chart", NULL);
    rh_leaf(b, "figcaption", NULL, title);
    for (size_t i = 0; i < f->count; i++) {
        const struct tally *t = &f->items[i];
        const char *model = rh_model_name(page->report, t->target);
        RH_AUTO(rh_freep) char *label = rh_printf("%s: %s", title, model);

        rh_leaf(b, "p", "bar-name", model);
        bar(page, label, of_efforts ? t->efforts : t->verdicts, names, word);
    }
    legend(b, names, word);
    rh_end(b, "figure");
}

/* --- numbers
 * ------------------------------------------------------------------- */

static void tile(struct rh_buf *b, const char *kind, const char *name,
                 size_t value)
{
    RH_AUTO(rh_freep) char *class_ = rh_printf("tile %s", kind);

    rh_tag(b, "div", "class", class_, NULL);
    rh_leaff(b, "strong", NULL, "%zu", value);
    rh_leaf(b, "span", NULL, name);
    rh_end(b, "div");
}

/* VMs by the best that any model offers them. */
static void count_best(const json_t *report, size_t *best)
{
    const json_t *entry, *target;
    size_t i, t;

    json_array_foreach (json_object_get(report, "vms"), i, entry) {
        size_t class_ = CLASSES - 1;

        json_array_foreach (json_object_get(entry, "targets"), t, target)
            class_ =
                RH_MIN(class_, class_of(verdicts, rh_word(target, "verdict")));
        best[class_]++;
    }
}

/* What all VMs on one model take, and how many of them fit it best. */
static void model_tile(struct rh_page *page, const struct fleet *f,
                       const struct tally *t)
{
    struct rh_buf *b = &page->b;
    RH_AUTO(rh_freep) char *size = rh_human_size(t->bytes);
    RH_AUTO(rh_freep) char *time = rh_human_time(t->seconds);

    rh_tag(b, "div", "class", "tile", NULL);
    rh_leaf(b, "span", "model", rh_model_name(page->report, t->target));
    if (t->guessed)
        rh_leaff(b, "strong", NULL, _("at most %s, %s"), size, time);
    else
        rh_leaff(b, "strong", NULL, "%s, %s", size, time);
    rh_leaf(b, "span", NULL, _("space and time for all VMs"));
    if (f->count > 1)
        rh_leaff(b, "span", NULL, _("VMs it is recommended for: %zu"),
                 t->advised);
    rh_end(b, "div");
}

static void tiles(struct rh_page *page, const struct fleet *f)
{
    struct rh_buf *b = &page->b;
    size_t best[CLASSES] = {0};

    count_best(page->report, best);
    rh_tag(b, "div", "class", "tiles", NULL);
    tile(b, "", _("VMs"), f->vms);
    tile(b, "ready", _("just move"), best[0]);
    tile(b, "caution", _("need care"), best[1]);
    tile(b, "blocked", _("cannot move as they are"), best[2]);
    if (f->failed)
        tile(b, "blocked", _("packages refused"), f->failed);
    rh_end(b, "div");
    if (f->vms < 2)
        return;
    rh_tag(b, "div", "class", "tiles models-said", NULL);
    for (size_t i = 0; i < f->count; i++)
        model_tile(page, f, &f->items[i]);
    rh_end(b, "div");
}

/* --- the table
 * ------------------------------------------------------------------ */

static void column(struct rh_buf *b, const char *name)
{
    rh_tag(b, "th", "scope", "col", NULL);
    rh_text(b, name);
    rh_end(b, "th");
}

static void cell(struct rh_buf *b, const char *label, uint64_t order,
                 const char *text)
{
    RH_AUTO(rh_freep)
    char *number = rh_printf("%llu", (unsigned long long)order);

    rh_tag(b, "td", "data-label", label, "data-order", number, NULL);
    rh_text(b, text);
    rh_end(b, "td");
}

static void text_cell(struct rh_buf *b, const char *label, const char *text)
{
    rh_tag(b, "td", "data-label", label, NULL);
    rh_leaf(b, "span", NULL, text);
    rh_end(b, "td");
}

static void verdict_cell(struct rh_page *page, const json_t *entry,
                         const char *name)
{
    struct rh_buf *b = &page->b;
    const json_t *target;
    size_t i;

    json_array_foreach (json_object_get(entry, "targets"), i, target) {
        const char *verdict = rh_word(target, "verdict");
        RH_AUTO(rh_freep)
        char *order = rh_printf("%zu", class_of(verdicts, verdict));

        if (strcmp(rh_word(target, "target"), name))
            continue;
        rh_tag(b, "td", "data-label", rh_model_name(page->report, name),
               "data-order", order, NULL);
        rh_page_badge(b, verdict, rh_verdict_word(verdict));
        rh_end(b, "td");
        return;
    }
    rh_leaf(b, "td", NULL, "");
}

static void row(struct rh_page *page, const struct fleet *f,
                const json_t *entry, size_t number)
{
    const json_t *vm = json_object_get(entry, "vm");
    struct rh_buf *b = &page->b;
    uint64_t disk_bytes = rh_vm_disk_bytes(entry);
    RH_AUTO(rh_freep) char *link = rh_printf("#vm%zu", number + 1);
    RH_AUTO(rh_freep)
    char *cpus = rh_printf("%llu", (unsigned long long)rh_number(vm, "cpus"));
    RH_AUTO(rh_freep)
    char *memory = rh_human_size(rh_number(vm, "memory_bytes"));
    RH_AUTO(rh_freep) char *disks = rh_human_size(disk_bytes);
    const char *advised = rh_advised_name(page->report, entry);
    const json_t *best = rh_best_target(entry);
    size_t steps = rh_count_findings(best, RH_KIND_TO_DO);
    RH_AUTO(rh_freep) char *to_do = rh_printf("%zu", steps);
    RH_AUTO(rh_freep)
    char *space = rh_human_size(rh_number(best, "output_bytes"));
    RH_AUTO(rh_freep) char *name = rh_clip(rh_vm_title(entry), NAME_MOST);

    rh_tag(b, "tr", NULL);
    rh_tag(b, "th", "scope", "row", NULL);
    rh_tag(b, "a", "href", link, NULL);
    rh_text(b, name);
    rh_end(b, "a");
    rh_end(b, "th");
    text_cell(b, _("System"), rh_vm_os(entry));
    cell(b, _("CPUs"), rh_number(vm, "cpus"),
         rh_number(vm, "cpus") ? cpus : "?");
    cell(b, _("Memory"), rh_number(vm, "memory_bytes"),
         rh_number(vm, "memory_bytes") ? memory : "?");
    cell(b, _("Disks"), disk_bytes, disk_bytes ? disks : "?");
    for (size_t i = 0; i < f->count; i++)
        verdict_cell(page, entry, f->items[i].target);
    if (f->count > 1)
        text_cell(b, _("Recommended"), advised[0] ? advised : "\xe2\x80\x93");
    cell(b, _("Left to do"), steps, to_do);
    cell(b, _("Space"), rh_number(best, "output_bytes"), space);
    rh_end(b, "tr");
}

static void table(struct rh_page *page, const struct fleet *f)
{
    static const char *const names[] = {N_("VM"), N_("System"), N_("CPUs"),
                                        N_("Memory"), N_("Disks")};
    struct rh_buf *b = &page->b;
    const json_t *entry;
    size_t i;

    rh_tag(b, "table", "class", "fleet", NULL);
    rh_leaf(b, "caption", NULL, _("All VMs"));
    rh_tag(b, "thead", NULL);
    rh_tag(b, "tr", NULL);
    for (i = 0; i < RH_COUNT(names); i++)
        column(b, _(names[i]));
    for (i = 0; i < f->count; i++)
        column(b, rh_model_name(page->report, f->items[i].target));
    if (f->count > 1)
        column(b, _("Recommended"));
    column(b, _("Left to do"));
    column(b, _("Space"));
    rh_end(b, "tr");
    rh_end(b, "thead");
    rh_tag(b, "tbody", NULL);
    json_array_foreach (json_object_get(page->report, "vms"), i, entry)
        row(page, f, entry, i);
    rh_end(b, "tbody");
    rh_end(b, "table");
}

static void refused(struct rh_page *page)
{
    const json_t *list = json_object_get(page->report, "failed"), *item;
    struct rh_buf *b = &page->b;
    size_t i;

    if (!json_array_size(list))
        return;
    rh_leaf(b, "h2", NULL, _("Refused packages"));
    rh_tag(b, "ul", "class", "findings", NULL);
    json_array_foreach (list, i, item) {
        const json_t *e = json_object_get(item, "error");

        rh_tag(b, "li", "class", "blocker", NULL);
        rh_tag(b, "p", NULL);
        rh_leaf(b, "strong", NULL, rh_word(item, "source"));
        rh_end(b, "p");
        rh_leaf(b, "p", NULL, rh_word(e, "message"));
        if (rh_word(e, "hint")[0])
            rh_leaf(b, "p", "remedy", rh_word(e, "hint"));
        rh_tag(b, "p", "class", "origin", NULL);
        rh_leaf(b, "code", NULL, rh_word(e, "code"));
        rh_end(b, "p");
        rh_end(b, "li");
    }
    rh_end(b, "ul");
}

void rh_page_fleet(struct rh_page *page)
{
    struct fleet f = {0};

    count_fleet(&f, page->report);
    if (f.vms + f.failed > 1) {
        tiles(page, &f);
        if (f.vms) {
            rh_tag(&page->b, "div", "class", "charts", NULL);
            chart(page, &f, _("Verdict by model"), false);
            chart(page, &f, _("Effort by model"), true);
            rh_end(&page->b, "div");
            table(page, &f);
        }
    }
    refused(page);
}
