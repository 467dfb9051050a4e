/* render.c - a report document as text on a terminal of 80 columns.
 *
 * First what decides: counts, and a line for each VM.  Then each VM's findings,
 * worst first; of many VMs only what is left to people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "report/view.h"
#include "report/width.h"

enum {
    LINE = 80,
    DETAILED_MOST = 4,
    NAME = 26,
    VERDICT = 17,
    TARGETS_MOST = 8
};

struct text {
    struct rh_buf b;
    const json_t *report;
};

static const char *model(const struct text *t, const json_t *target)
{
    return rh_model_name(t->report, rh_word(target, "target"));
}

/* `head` at its place, then the text in lines behind it.  Nothing of an input
 * reaches a terminal raw. */
static void paragraph(struct text *t, size_t indent, const char *head,
                      const char *body)
{
    RH_AUTO(rh_freep) char *shown_head = rh_printable(head);
    RH_AUTO(rh_freep) char *shown = rh_printable(body);
    size_t at = indent + rh_columns(shown_head);

    rh_pad(&t->b, "", indent);
    if (at < LINE / 2) {
        rh_buf_puts(&t->b, shown_head);
    } else {
        rh_wrap(&t->b, shown_head, indent, indent, LINE);
        at = indent + 4;
        rh_pad(&t->b, "", at);
    }
    rh_wrap(&t->b, shown, at, at, LINE);
}

static void title(struct text *t, const char *text)
{
    rh_buf_printf(&t->b, "\n  %s\n", text);
}

/* A cell of a table: clipped, padded, and a blank. */
static void cell(struct text *t, const char *text, size_t columns)
{
    RH_AUTO(rh_freep) char *printable = rh_printable(text);
    RH_AUTO(rh_freep) char *clipped = rh_clip(printable, columns);

    rh_pad(&t->b, clipped, columns);
    rh_buf_putc(&t->b, ' ');
}

/* Blanks at the end of a line help nobody. */
static void end_line(struct text *t)
{
    while (t->b.length && t->b.data[t->b.length - 1] == ' ')
        t->b.data[--t->b.length] = '\0';
    rh_buf_putc(&t->b, '\n');
}

/* --- one VM
 * --------------------------------------------------------------------- */

static void about_vm(struct text *t, const json_t *entry)
{
    const json_t *vm = json_object_get(entry, "vm");
    RH_AUTO(rh_freep)
    char *memory = rh_human_size(rh_number(vm, "memory_bytes"));
    RH_AUTO(rh_freep) char *disks = rh_human_size(rh_vm_disk_bytes(entry));
    RH_AUTO(rh_freep) char *head = rh_printf("%s  ", rh_vm_title(entry));
    RH_AUTO(rh_freep) char *facts = NULL;

    facts =
        rh_printf(_("%s; %llu vCPU, %s; disks: %zu (%s)"), rh_vm_os(entry),
                  (unsigned long long)rh_number(vm, "cpus"),
                  rh_number(vm, "memory_bytes") ? memory : _("memory not said"),
                  json_array_size(json_object_get(vm, "disks")), disks);
    rh_buf_putc(&t->b, '\n');
    paragraph(t, 0, head, facts);
    paragraph(t, 2, "", rh_word(entry, "source"));
}

static void effort(struct text *t, const json_t *target)
{
    const char *now = rh_word(target, "effort");
    const char *by_hand = rh_word(target, "effort_by_hand");
    RH_AUTO(rh_freep) char *both = NULL;

    if (by_hand[0] && strcmp(now, by_hand))
        both = rh_printf(_("%s (by hand: %s)"), rh_effort_word(now),
                         rh_effort_word(by_hand));
    cell(t, both ? both : rh_effort_word(now), 30);
}

enum { COST_AT = 2 + 13 + 14 + 31 }; /* column of what it costs */

static void verdict(struct text *t, const json_t *target)
{
    RH_AUTO(rh_freep)
    char *size = rh_human_size(rh_number(target, "output_bytes"));
    RH_AUTO(rh_freep) char *time = rh_human_time(rh_number(target, "seconds"));

    RH_AUTO(rh_freep)
    char *cost = json_is_false(json_object_get(target, "measured"))
                     ? rh_printf(_("at most %s, %s"), size, time)
                     : rh_printf("%s, %s", size, time);

    rh_buf_puts(&t->b, "  ");
    cell(t, model(t, target), 12);
    cell(t, rh_verdict_word(rh_word(target, "verdict")), 13);
    effort(t, target);
    /* What does not fit stands below. */
    if (rh_columns(cost) > LINE - COST_AT) {
        end_line(t);
        rh_buf_printf(&t->b, "%*s", LINE - (int)rh_columns(cost), "");
    }
    rh_buf_puts(&t->b, cost);
    end_line(t);
}

static void advice(struct text *t, const json_t *entry)
{
    const json_t *r = json_object_get(entry, "recommendation"), *reason;
    const char *target = rh_word(r, "target");
    size_t i;

    if (!rh_has_advice(entry))
        return;
    if (target[0]) {
        RH_AUTO(rh_freep)
        char *line =
            rh_printf(_("Recommended: %s"), rh_advised_name(t->report, entry));

        title(t, line);
    } else {
        title(t, _("No model can be recommended yet"));
    }
    json_array_foreach (json_object_get(r, "reasons"), i, reason)
        paragraph(t, 4, "", rh_word(reason, "message"));
}

/* "KVM-NETWORK (KVM model)": the models only where they differ. */
static char *origin(const struct text *t, const json_t *entry,
                    const struct rh_shared *s)
{
    const json_t *list = json_object_get(entry, "targets"), *target;
    size_t count = json_array_size(list), i;
    struct rh_buf b = {0};

    rh_buf_puts(&b, rh_word(s->item, "id"));
    if (count > 1 && s->targets != (1u << RH_MIN(count, 31)) - 1)
        json_array_foreach (list, i, target)
            if (i < 32 && s->targets >> i & 1)
                rh_buf_printf(&b, " (%s)", model(t, target));
    return rh_buf_take(&b);
}

static void finding(struct text *t, const json_t *entry,
                    const struct rh_shared *s, bool with_remedy)
{
    const json_t *f = s->item;
    RH_AUTO(rh_freep) char *from = origin(t, entry, s);
    RH_AUTO(rh_freep)
    char *head = rh_printf("%s  ", rh_severity_word(rh_word(f, "severity")));
    RH_AUTO(rh_freep)
    char *body = rh_printf("%s: %s [%s]", rh_word(f, "subject"),
                           rh_word(f, "message"), from);

    paragraph(t, 4, head, body);
    if (with_remedy && rh_word(f, "remedy")[0])
        paragraph(t, 6, "-> ", rh_word(f, "remedy"));
}

static void findings(struct text *t, const json_t *entry, enum rh_kind kind,
                     const char *name)
{
    rh_shared_list list = {0};

    rh_shared_findings(entry, kind, &list);
    if (list.count) {
        RH_AUTO(rh_freep) char *head = rh_printf("%s (%zu)", name, list.count);

        title(t, head);
    }
    for (size_t i = 0; i < list.count; i++)
        finding(t, entry, &list.items[i], kind != RH_KIND_HANDLED);
    free(list.items);
}

static void edits(struct text *t, const json_t *entry)
{
    rh_shared_list list = {0};

    rh_shared_edits(entry, &list);
    if (list.count) {
        RH_AUTO(rh_freep)
        char *head =
            rh_printf("%s (%zu)", _("Changes inside the guest"), list.count);

        title(t, head);
    }
    for (size_t i = 0; i < list.count; i++) {
        RH_AUTO(rh_freep) char *from = origin(t, entry, &list.items[i]);
        RH_AUTO(rh_freep)
        char *body = rh_printf("%s: %s%s", rh_word(list.items[i].item, "where"),
                               rh_word(list.items[i].item, "what"), from);

        paragraph(t, 4, "", body);
    }
    free(list.items);
}

static void vm_text(struct text *t, const json_t *entry, bool detailed)
{
    const json_t *target;
    size_t i;

    about_vm(t, entry);
    rh_buf_putc(&t->b, '\n');
    json_array_foreach (json_object_get(entry, "targets"), i, target)
        verdict(t, target);
    if (detailed)
        advice(t, entry);
    findings(t, entry, RH_KIND_TO_DO, _("Left to people"));
    if (!detailed)
        return;
    findings(t, entry, RH_KIND_HANDLED, _("Taken care of by rehost"));
    findings(t, entry, RH_KIND_NOTES, _("Notes"));
    edits(t, entry);
}

/* --- many VMs
 * -------------------------------------------------------------------- */

static void table_head(struct text *t, const json_t *targets)
{
    const json_t *target;
    size_t i;

    cell(t, _("VM"), NAME);
    json_array_foreach (targets, i, target)
        if (i < TARGETS_MOST)
            cell(t, model(t, target), VERDICT);
    if (json_array_size(targets) > 1)
        cell(t, _("Recommended"), VERDICT);
    end_line(t);
}

static void table_row(struct text *t, const json_t *entry)
{
    const json_t *targets = json_object_get(entry, "targets"), *target;
    const char *advised = rh_advised_name(t->report, entry);
    size_t i;

    cell(t, rh_vm_title(entry), NAME);
    json_array_foreach (targets, i, target)
        if (i < TARGETS_MOST)
            cell(t, rh_verdict_word(rh_word(target, "verdict")), VERDICT);
    if (json_array_size(targets) > 1)
        cell(t, advised[0] ? advised : "-", VERDICT);
    end_line(t);
}

static size_t count_verdicts(const json_t *vms, size_t target, const char *name)
{
    const json_t *entry;
    size_t i, n = 0;

    json_array_foreach (vms, i, entry)
        n += !strcmp(
            rh_word(json_array_get(json_object_get(entry, "targets"), target),
                    "verdict"),
            name);
    return n;
}

static void counts(struct text *t, const json_t *vms)
{
    static const char *const names[] = {"ready", "caution", "blocked"};
    const json_t *targets = json_object_get(json_array_get(vms, 0), "targets"),
                 *target;
    size_t i;

    rh_buf_printf(&t->b, _("VMs: %zu, packages refused: %zu\n"),
                  json_array_size(vms),
                  json_array_size(json_object_get(t->report, "failed")));
    json_array_foreach (targets, i, target) {
        rh_buf_puts(&t->b, "  ");
        cell(t, model(t, target), 12);
        for (size_t n = 0; n < RH_COUNT(names); n++) {
            RH_AUTO(rh_freep)
            char *one = rh_printf("%s: %zu", rh_verdict_word(names[n]),
                                  count_verdicts(vms, i, names[n]));

            cell(t, one, 18);
        }
        end_line(t);
    }
}

static void overview(struct text *t, const json_t *vms)
{
    const json_t *entry;
    size_t i;

    counts(t, vms);
    rh_buf_putc(&t->b, '\n');
    table_head(t, json_object_get(json_array_get(vms, 0), "targets"));
    json_array_foreach (vms, i, entry)
        table_row(t, entry);
}

static void refused(struct text *t)
{
    const json_t *row;
    size_t i;

    json_array_foreach (json_object_get(t->report, "failed"), i, row) {
        const json_t *e = json_object_get(row, "error");
        RH_AUTO(rh_freep)
        char *body =
            rh_printf("%s [%s]", rh_word(e, "message"), rh_word(e, "code"));
        RH_AUTO(rh_freep)
        char *head = rh_printf(_("%s: refused: "), rh_word(row, "source"));

        rh_buf_putc(&t->b, '\n');
        paragraph(t, 0, "", head);
        paragraph(t, 4, "", body);
        if (rh_word(e, "hint")[0])
            paragraph(t, 6, "-> ", rh_word(e, "hint"));
    }
}

char *rh_render_text(const json_t *report, rh_error **err)
{
    const json_t *vms = json_object_get(report, "vms"), *entry;
    struct text t = {.report = report};
    size_t count = json_array_size(vms), i;

    if (!json_is_array(vms)) {
        rh_fail(err, RH_ERR_BUG, "this is no report document");
        return NULL;
    }
    if (count > 1)
        overview(&t, vms);
    json_array_foreach (vms, i, entry)
        vm_text(&t, entry, count <= DETAILED_MOST);
    refused(&t);
    /* The first line's blank is for those that follow. */
    i = t.b.length && t.b.data[0] == '\n';
    if (i)
        memmove(t.b.data, t.b.data + 1, t.b.length--);
    return rh_buf_take(&t.b);
}
