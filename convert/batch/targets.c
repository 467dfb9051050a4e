/* targets.c - what came of each target of a VM, and of each VM of a package:
 * some are there when others failed, and only those are done again.
 *
 * A list of {"target", "name", "state", "result", "code", "message"}, as
 * convert's --json tells it; a result is named below OUT. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/batch/batch.h"

static const char *text_of(const json_t *doc, const char *key)
{
    const char *text = json_string_value(json_object_get(doc, key));

    return text ? text : "";
}

static bool is_done(const json_t *entry)
{
    return !strcmp(text_of(entry, "state"), "done");
}

static bool same_one(const json_t *a, const json_t *b)
{
    return !strcmp(text_of(a, "target"), text_of(b, "target")) &&
           !strcmp(text_of(a, "name"), text_of(b, "name"));
}

/* In the place of what was known of it. */
static void put_entry(json_t *list, json_t *entry)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (same_one(json_array_get(list, i), entry)) {
            json_array_set_new(list, i, entry);
            return;
        }
    json_array_append_new(list, entry);
}

void rh_targets_take(struct rh_record *r, const json_t *result,
                     const char *prefix)
{
    const json_t *vms = json_object_get(result, "vms"), *vm;
    size_t i, n = strlen(prefix);

    if (!r->targets)
        r->targets = json_array();
    json_array_foreach (vms, i, vm) {
        json_t *entry;
        const char *path = text_of(vm, "result");

        if (!strcmp(text_of(vm, "state"), "pending")) /* there already */
            continue;
        entry = json_copy((json_t *)(uintptr_t)vm);
        if (!strncmp(path, prefix, n))
            json_object_set_new(entry, "result", json_string(path + n));
        put_entry(r->targets, entry);
    }
}

bool rh_targets_open(const struct rh_record *r)
{
    for (size_t i = 0; i < json_array_size(r->targets); i++)
        if (!is_done(json_array_get(r->targets, i)))
            return true;
    return false;
}

bool rh_targets_made(const struct rh_record *r, const char *result)
{
    for (size_t i = 0; i < json_array_size(r->targets); i++) {
        const json_t *entry = json_array_get(r->targets, i);

        if (is_done(entry) && !strcmp(text_of(entry, "result"), result))
            return true;
    }
    return false;
}

static bool has_result(const struct rh_record *r, const char *path)
{
    for (size_t i = 0; i < r->results.count; i++)
        if (!strcmp(r->results.items[i], path))
            return true;
    return false;
}

void rh_targets_unmade(struct rh_record *r)
{
    for (size_t i = 0; i < json_array_size(r->targets); i++) {
        json_t *entry = json_array_get(r->targets, i);

        if (!is_done(entry) || has_result(r, text_of(entry, "result")))
            continue;
        json_object_del(entry, "result");
        json_object_set_new(entry, "state", json_string("failed"));
        json_object_set_new(entry, "code",
                            json_string(text_of(r->error, "code")));
        json_object_set_new(entry, "message",
                            json_string(text_of(r->error, "message")));
    }
}

/* A delivery's result lies elsewhere. */
static bool is_there(const rh_batch *b, size_t i, const json_t *entry)
{
    RH_AUTO(rh_freep)
    char *receipt = rh_printf("%s/%s/receipt.json", b->journal.out,
                              text_of(entry, "result"));

    return b->jobs->vms.items[i].deliver || access(receipt, F_OK) == 0;
}

void rh_targets_check(rh_batch *b, size_t i)
{
    struct rh_task *t = &b->tasks[i];
    json_t *kept;

    if (!t->record.targets)
        return;
    kept = json_array();
    for (size_t k = 0; k < json_array_size(t->record.targets); k++) {
        json_t *entry = json_array_get(t->record.targets, k);

        if (t->record.key && !strcmp(t->record.key, t->key) && is_done(entry) &&
            is_there(b, i, entry))
            json_array_append(kept, entry);
    }
    json_decref(t->record.targets);
    t->record.targets = kept;
}

char *rh_targets_done(const struct rh_record *r, size_t n)
{
    for (size_t i = 0; i < json_array_size(r->targets); i++) {
        const json_t *entry = json_array_get(r->targets, i);

        if (is_done(entry) && n-- == 0)
            return rh_printf("%s/%s", text_of(entry, "target"),
                             text_of(entry, "name"));
    }
    return NULL;
}

char *rh_targets_text(const struct rh_record *r)
{
    struct rh_buf b = {0};
    char *one;

    for (size_t i = 0; (one = rh_targets_done(r, i)); i++) {
        rh_buf_printf(&b, "%s%s", i ? ", " : "", one);
        free(one);
    }
    if (b.length)
        return rh_buf_take(&b);
    rh_buf_free(&b);
    return NULL;
}

json_t *rh_targets_json(const rh_batch *b, const struct rh_record *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < json_array_size(r->targets); i++) {
        json_t *entry = json_copy(json_array_get(r->targets, i));
        const char *path = text_of(entry, "result");
        RH_AUTO(rh_freep)
        char *whole = path[0] ? rh_printf("%s/%s", b->journal.out, path) : NULL;

        if (whole && !strstr(path, "://"))
            json_object_set_new(entry, "result", rh_batch_name(whole));
        json_array_append_new(list, entry);
    }
    return list;
}

void rh_targets_missing(const struct rh_record *r, struct rh_buf *t)
{
    for (size_t i = 0; i < json_array_size(r->targets); i++) {
        const json_t *entry = json_array_get(r->targets, i);
        RH_AUTO(rh_freep) char *text = NULL, *safe = NULL;

        if (is_done(entry))
            continue;
        text = rh_printf("%s/%s: %s [%s]", text_of(entry, "target"),
                         text_of(entry, "name"), text_of(entry, "message"),
                         text_of(entry, "code"));
        safe = rh_printable(text);
        rh_buf_printf(t, _("not there: %s\n"), safe);
    }
}
