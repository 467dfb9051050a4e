/* page_vm.c - one VM on the page: verdicts, advice, picture, findings, edits.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "report/page.h"
#include "report/width.h"

enum { TITLE_MOST = 80 };

/* --- at a glance -------------------------------------------------------------
 */

static void fact(struct rh_buf *b, const char *name, const char *value)
{
    rh_tag(b, "div", NULL);
    rh_leaf(b, "dt", NULL, name);
    rh_leaf(b, "dd", NULL, value);
    rh_end(b, "div");
}

static void factf(struct rh_buf *b, const char *name, const char *fmt, ...)
    RH_PRINTF(3, 4);
static void factf(struct rh_buf *b, const char *name, const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(fmt, ap);
    va_end(ap);
    fact(b, name, text);
}

static void vm_facts(struct rh_page *page, const json_t *entry)
{
    const json_t *vm = json_object_get(entry, "vm");
    struct rh_buf *b = &page->b;
    RH_AUTO(rh_freep)
    char *memory = rh_human_size(rh_number(vm, "memory_bytes"));
    RH_AUTO(rh_freep) char *disks = rh_human_size(rh_vm_disk_bytes(entry));

    rh_tag(b, "dl", "class", "facts", NULL);
    fact(b, _("Package"), rh_word(entry, "source"));
    fact(b, _("System"), rh_vm_os(entry));
    if (rh_number(vm, "cpus"))
        factf(b, _("CPUs"), "%llu", (unsigned long long)rh_number(vm, "cpus"));
    if (rh_number(vm, "memory_bytes"))
        fact(b, _("Memory"), memory);
    factf(b, _("Disks"), "%zu (%s)",
          json_array_size(json_object_get(vm, "disks")), disks);
    rh_end(b, "dl");
}

/* "easy", and what it would be without rehost when that is another. */
static void effort(struct rh_buf *b, const json_t *target)
{
    const char *now = rh_word(target, "effort");
    const char *by_hand = rh_word(target, "effort_by_hand");

    if (by_hand[0] && strcmp(now, by_hand))
        factf(b, _("Effort"), _("%s (by hand: %s)"), rh_effort_word(now),
              rh_effort_word(by_hand));
    else
        fact(b, _("Effort"), rh_effort_word(now));
}

static void verdict_card(struct rh_page *page, const json_t *target,
                         bool advised)
{
    struct rh_buf *b = &page->b;
    const char *verdict = rh_word(target, "verdict");
    RH_AUTO(rh_freep) char *class_ = rh_printf("card %s", verdict);
    RH_AUTO(rh_freep)
    char *size = rh_human_size(rh_number(target, "output_bytes"));
    RH_AUTO(rh_freep) char *time = rh_human_time(rh_number(target, "seconds"));
    size_t edits = json_array_size(json_object_get(target, "edits"));

    rh_tag(b, "section", "class", class_, NULL);
    rh_tag(b, "h3", NULL);
    rh_leaf(b, "span", NULL,
            rh_model_name(page->report, rh_word(target, "target")));
    rh_page_badge(b, verdict, rh_verdict_word(verdict));
    if (advised)
        rh_leaf(b, "span", "advised", _("recommended"));
    rh_end(b, "h3");
    rh_tag(b, "dl", "class", "facts", NULL);
    effort(b, target);
    factf(b, _("Left to do"), "%zu", rh_count_findings(target, RH_KIND_TO_DO));
    factf(b, _("Done by rehost"), _("findings: %zu, edits: %zu"),
          rh_count_findings(target, RH_KIND_HANDLED), edits);
    if (json_is_false(json_object_get(target, "measured"))) {
        factf(b, _("Space"), _("at most %s"), size);
        factf(b, _("Time"), _("at most %s"), time);
    } else {
        fact(b, _("Space"), size);
        fact(b, _("Time"), time);
    }
    rh_end(b, "dl");
    rh_end(b, "section");
}

static void verdicts(struct rh_page *page, const json_t *entry)
{
    const char *advised =
        rh_word(json_object_get(entry, "recommendation"), "target");
    const json_t *target;
    size_t i;

    rh_tag(&page->b, "div", "class", "cards", NULL);
    json_array_foreach (json_object_get(entry, "targets"), i, target)
        verdict_card(page, target,
                     advised[0] && !strcmp(advised, rh_word(target, "target")));
    rh_end(&page->b, "div");
}

static void advice(struct rh_page *page, const json_t *entry)
{
    const json_t *r = json_object_get(entry, "recommendation"), *reason;
    const char *target = rh_word(r, "target");
    struct rh_buf *b = &page->b;
    size_t i;

    if (!rh_has_advice(entry))
        return;
    rh_tag(b, "div", "class", "advice", NULL);
    if (target[0])
        rh_leaff(b, "h3", NULL, _("Recommended: %s"),
                 rh_advised_name(page->report, entry));
    else
        rh_leaf(b, "h3", NULL, _("No model can be recommended yet"));
    rh_tag(b, "ul", NULL);
    json_array_foreach (json_object_get(r, "reasons"), i, reason)
        rh_leaf(b, "li", NULL, rh_word(reason, "message"));
    rh_end(b, "ul");
    rh_end(b, "div");
}

/* --- findings
 * ------------------------------------------------------------------ */

/* Which models a line is about; nothing when it is about all. */
static void about_models(struct rh_page *page, const json_t *entry,
                         unsigned targets)
{
    const json_t *list = json_object_get(entry, "targets"), *target;
    size_t count = json_array_size(list), i;

    if (count < 2 || targets == (1u << RH_MIN(count, 31)) - 1)
        return;
    json_array_foreach (list, i, target)
        if (i < 32 && targets >> i & 1)
            rh_leaf(&page->b, "span", "model",
                    rh_model_name(page->report, rh_word(target, "target")));
}

static void finding_line(struct rh_page *page, const json_t *entry,
                         const struct rh_shared *shared)
{
    const json_t *f = shared->item;
    const char *severity = rh_word(f, "severity");
    struct rh_buf *b = &page->b;

    rh_tag(b, "li", "class", severity, NULL);
    rh_tag(b, "p", NULL);
    rh_page_badge(b, severity, rh_severity_word(severity));
    rh_text(b, " ");
    rh_text(b, rh_word(f, "message"));
    rh_end(b, "p");
    if (rh_word(f, "remedy")[0]) {
        rh_tag(b, "p", "class", "remedy", NULL);
        rh_text(b, rh_word(f, "remedy"));
        rh_end(b, "p");
    }
    rh_tag(b, "p", "class", "origin", NULL);
    about_models(page, entry, shared->targets);
    rh_leaf(b, "span", NULL, rh_word(f, "subject"));
    rh_leaf(b, "code", NULL, rh_word(f, "id"));
    rh_end(b, "p");
    rh_end(b, "li");
}

static void finding_lines(struct rh_page *page, const json_t *entry,
                          const rh_shared_list *list)
{
    rh_tag(&page->b, "ul", "class", "findings", NULL);
    for (size_t i = 0; i < list->count; i++)
        finding_line(page, entry, &list->items[i]);
    rh_end(&page->b, "ul");
}

static void to_do(struct rh_page *page, const json_t *entry)
{
    rh_shared_list list = {0};

    rh_shared_findings(entry, RH_KIND_TO_DO, &list);
    rh_leaf(&page->b, "h3", NULL, _("Left to people"));
    if (list.count)
        finding_lines(page, entry, &list);
    else
        rh_leaf(&page->b, "p", "none", _("nothing"));
    free(list.items);
}

static void folded_findings(struct rh_page *page, const json_t *entry,
                            enum rh_kind kind, const char *title)
{
    rh_shared_list list = {0};

    rh_shared_findings(entry, kind, &list);
    if (list.count) {
        rh_tag(&page->b, "details", NULL);
        rh_leaff(&page->b, "summary", NULL, "%s (%zu)", title, list.count);
        finding_lines(page, entry, &list);
        rh_end(&page->b, "details");
    }
    free(list.items);
}

static void edit_line(struct rh_page *page, const json_t *entry,
                      const struct rh_shared *shared)
{
    struct rh_buf *b = &page->b;

    rh_tag(b, "li", NULL);
    rh_tag(b, "p", NULL);
    rh_leaf(b, "code", NULL, rh_word(shared->item, "where"));
    rh_end(b, "p");
    rh_leaf(b, "p", NULL, rh_word(shared->item, "what"));
    rh_tag(b, "p", "class", "origin", NULL);
    about_models(page, entry, shared->targets);
    rh_leaf(b, "code", NULL, rh_word(shared->item, "fix"));
    rh_end(b, "p");
    rh_end(b, "li");
}

static void edits(struct rh_page *page, const json_t *entry)
{
    rh_shared_list list = {0};
    struct rh_buf *b = &page->b;

    rh_shared_edits(entry, &list);
    if (list.count) {
        rh_tag(b, "details", NULL);
        rh_leaff(b, "summary", NULL, "%s (%zu)", _("Changes inside the guest"),
                 list.count);
        rh_tag(b, "ul", "class", "findings", NULL);
        for (size_t i = 0; i < list.count; i++)
            edit_line(page, entry, &list.items[i]);
        rh_end(b, "ul");
        rh_end(b, "details");
    }
    free(list.items);
}

/* --- all of it
 * ------------------------------------------------------------------ */

static void heading(struct rh_page *page, const json_t *entry)
{
    const json_t *target;
    size_t i;

    RH_AUTO(rh_freep) char *title = rh_clip(rh_vm_title(entry), TITLE_MOST);

    rh_leaf(&page->b, "h2", NULL, title);
    json_array_foreach (json_object_get(entry, "targets"), i, target) {
        RH_AUTO(rh_freep)
        char *word = rh_printf(
            "%s: %s", rh_model_name(page->report, rh_word(target, "target")),
            rh_verdict_word(rh_word(target, "verdict")));

        rh_page_badge(&page->b, rh_word(target, "verdict"), word);
    }
}

static void contents(struct rh_page *page, const json_t *entry)
{
    vm_facts(page, entry);
    verdicts(page, entry);
    advice(page, entry);
    rh_page_picture(page, entry);
    to_do(page, entry);
    folded_findings(page, entry, RH_KIND_HANDLED, _("Taken care of by rehost"));
    folded_findings(page, entry, RH_KIND_NOTES, _("Notes"));
    edits(page, entry);
}

void rh_page_vm(struct rh_page *page, const json_t *entry, size_t number,
                bool folded)
{
    struct rh_buf *b = &page->b;
    RH_AUTO(rh_freep) char *id = rh_printf("vm%zu", number + 1);

    rh_tag(b, "article", "class", "vm", "id", id, NULL);
    rh_tag(b, folded ? "details" : "div", "class", "all", NULL);
    rh_tag(b, folded ? "summary" : "header", NULL);
    heading(page, entry);
    rh_end(b, folded ? "summary" : "header");
    contents(page, entry);
    rh_end(b, folded ? "details" : "div");
    rh_end(b, "article");
}
