/* findings.c - the list of things a person should know.
 *
 * Texts are translated when they are made; ids never are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/findings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rehost/rehost.h"
#include "vm/vm.h"

#define INFO    RH_SEVERITY_INFO
#define CAUTION RH_SEVERITY_CAUTION
#define BLOCKER RH_SEVERITY_BLOCKER
static const struct {
    const char *name;
    enum rh_severity severity;
    bool automatic;
    const char *remedy;
} table[RH_F_COUNT] = {
    [RH_F_NONE] = {"NONE", INFO, false, NULL},
#define FINDING(id, severity, automatic, about, remedy) \
    [RH_F_##id] = {#id, severity, automatic, remedy},
#include "report/findings.def"
#undef FINDING
};

/* "NIC_RENAME" in C is "NIC-RENAME" for people. */
static void dashed(const char *name, char *to, size_t room)
{
    size_t i;

    for (i = 0; name[i] && i + 1 < room; i++)
        to[i] = name[i] == '_' ? '-' : name[i];
    to[i] = '\0';
}

static char printed[RH_F_COUNT][48];

static void print_names(void)
{
    for (size_t i = 0; i < RH_F_COUNT; i++)
        dashed(table[i].name, printed[i], sizeof printed[i]);
}

const char *rh_finding_name(enum rh_finding_id id)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, print_names);
    return printed[id];
}

const char *rh_finding_remedy_of(enum rh_finding_id id)
{
    return table[id].remedy;
}

/* --- for the public header
 * ---------------------------------------------------- */

const char *rh_finding_id(const rh_finding *f)
{
    return rh_finding_name(f->id);
}

int rh_finding_severity(const rh_finding *f)
{
    return (int)f->severity;
}

int rh_finding_automatic(const rh_finding *f)
{
    return f->automatic;
}

const char *rh_finding_subject(const rh_finding *f)
{
    return f->subject;
}

const char *rh_finding_message(const rh_finding *f)
{
    return f->message;
}

const char *rh_finding_remedy(const rh_finding *f)
{
    return f->remedy ? f->remedy : "";
}

const char *rh_edit_where(const rh_edit *e)
{
    return e->where;
}

const char *rh_edit_what(const rh_edit *e)
{
    return e->what ? e->what : "";
}

const char *rh_edit_fix(const rh_edit *e)
{
    return e->fix ? e->fix : "";
}

const char *rh_severity_name(enum rh_severity s)
{
    static const char *const names[] = {"info", "caution", "blocker"};

    return names[s];
}

/* An input can ask for as many findings as it has bytes. */
enum { SAME_ID_MAX = 250 };

/* An exact duplicate; or, when there are too many of that id, the last one,
 * which then says so. */
static struct rh_finding *known(struct rh_findings *list, enum rh_finding_id id,
                                const char *subject, const char *message)
{
    struct rh_finding *f = NULL;
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].id != id)
            continue;
        f = &list->items[i];
        count++;
        if (!strcmp(f->subject, subject) && !strcmp(f->message, message))
            return f;
    }
    if (count < SAME_ID_MAX)
        return NULL;
    free(f->message);
    f->message = rh_strdup(_("... and more of this kind"));
    return f;
}

/* Takes `message`, which must be printable already. */
static struct rh_finding *add(struct rh_findings *list, enum rh_finding_id id,
                              const char *subject, char *message)
{
    RH_AUTO(rh_freep) char *safe = rh_printable(subject);
    struct rh_finding *f = known(list, id, safe, message);

    if (f) {
        free(message);
        return f;
    }
    f = rh_vec_add(list);
    f->id = id;
    f->severity = table[id].severity;
    f->automatic = table[id].automatic;
    f->subject = RH_TAKE(safe);
    f->message = message;
    f->remedy = table[id].remedy ? rh_strdup(_(table[id].remedy)) : NULL;
    return f;
}

struct rh_finding *rh_finding_add(struct rh_findings *list,
                                  enum rh_finding_id id, const char *subject,
                                  const char *fmt, ...)
{
    RH_AUTO(rh_freep) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = rh_vprintf(_(fmt), ap);
    va_end(ap);
    return add(list, id, subject ? subject : "vm", rh_printable(text));
}

struct rh_finding *rh_finding_add_named(struct rh_findings *list,
                                        const char *id, const char *subject,
                                        const char *message)
{
    enum rh_finding_id found = RH_F_PLAN_OTHER;

    for (int i = RH_F_NONE + 1; i < RH_F_COUNT; i++) {
        if (!strcmp(rh_finding_name((enum rh_finding_id)i), id))
            found = (enum rh_finding_id)i;
    }
    return add(list, found, subject ? subject : "vm", rh_printable(message));
}

static void forget(struct rh_finding *f)
{
    free(f->subject);
    free(f->message);
    free(f->remedy);
}

void rh_findings_renumber(struct rh_findings *list, const char *prefix,
                          const size_t *to, size_t count)
{
    size_t n = strlen(prefix), kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct rh_finding *f = &list->items[i];
        bool of_list = !strncmp(f->subject, prefix, n);
        char *rest = NULL, *moved;
        size_t number = of_list ? strtoul(f->subject + n, &rest, 10) : count;

        if (number < count && to[number] == SIZE_MAX) {
            forget(f);
            continue;
        }
        if (number < count) {
            moved = rh_printf("%s%zu%s", prefix, to[number], rest);
            free(f->subject);
            f->subject = moved;
        }
        list->items[kept++] = *f;
    }
    list->count = kept;
}

void rh_findings_drop(struct rh_findings *list, enum rh_finding_id id)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct rh_finding *f = &list->items[i];

        if (f->id == id)
            forget(f);
        else
            list->items[kept++] = *f;
    }
    list->count = kept;
}

void rh_findings_copy(struct rh_findings *to, const struct rh_findings *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct rh_finding *f = &from->items[i];
        struct rh_finding *copy =
            add(to, f->id, f->subject, rh_strdup(f->message));

        copy->severity = f->severity;
        copy->automatic = f->automatic;
        free(copy->remedy);
        copy->remedy = rh_strdup(f->remedy);
    }
}

static int worst_first(const void *a, const void *b)
{
    const struct rh_finding *x = a, *y = b;
    int order;

    if (x->severity != y->severity)
        return x->severity < y->severity ? 1 : -1;
    order = strcmp(table[x->id].name, table[y->id].name);
    order = order ? order : strcmp(x->subject, y->subject);
    return order ? order : strcmp(x->message, y->message);
}

void rh_findings_sort(struct rh_findings *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof *list->items, worst_first);
}

enum rh_severity rh_findings_worst(const struct rh_findings *list)
{
    enum rh_severity worst = RH_SEVERITY_INFO;

    for (size_t i = 0; i < list->count; i++)
        worst = RH_MAX(worst, list->items[i].severity);
    return worst;
}

bool rh_findings_has(const struct rh_findings *list, enum rh_finding_id id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].id == id)
            return true;
    }
    return false;
}

void rh_findings_cut(struct rh_findings *list, size_t count)
{
    while (list->count > count) {
        struct rh_finding *f = &list->items[--list->count];

        free(f->subject);
        free(f->message);
        free(f->remedy);
    }
}

void rh_findings_free(struct rh_findings *list)
{
    rh_findings_cut(list, 0);
    free(list->items);
    *list = (struct rh_findings){0};
}

json_t *rh_findings_json(const struct rh_findings *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const struct rh_finding *f = &list->items[i];

        json_array_append_new(
            array, json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b}", "id",
                             rh_finding_name(f->id), "severity",
                             rh_severity_name(f->severity), "subject",
                             f->subject, "message", f->message, "remedy",
                             f->remedy, "automatic", f->automatic));
    }
    return array;
}

void rh_edits_cut(struct rh_edits *e, size_t count)
{
    while (e->count > count) {
        struct rh_edit *last = &e->items[--e->count];

        free(last->where);
        free(last->what);
        free(last->before);
        free(last->after);
        free(last->fix);
    }
}

void rh_edits_free(struct rh_edits *e)
{
    rh_edits_cut(e, 0);
    free(e->items);
    *e = (struct rh_edits){0};
}

json_t *rh_edits_json(const struct rh_edits *e, bool with_contents)
{
    json_t *array = json_array();

    for (size_t i = 0; i < e->count; i++) {
        const struct rh_edit *edit = &e->items[i];
        json_t *o = json_object();

        json_object_set_new(o, "where", rh_json_text(edit->where));
        json_object_set_new(o, "what", rh_json_text(edit->what));
        json_object_set_new(o, "fix", rh_json_text(edit->fix));
        if (with_contents) {
            json_object_set_new(o, "before", rh_json_text(edit->before));
            json_object_set_new(o, "after", rh_json_text(edit->after));
        }
        json_array_append_new(array, o);
    }
    return array;
}
