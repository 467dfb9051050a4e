/* duplicates.c - names and addresses that only one VM of a fleet may have. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/rows.h"

struct claim {
    size_t vm; /* its row, or its number in the job */
    char *key; /* what is compared, in lower case */
    char *subject;
};
typedef RH_VEC(struct claim) claims;

static const char *word(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

static void claim(claims *list, size_t vm, const char *key, const char *subject)
{
    struct claim *c;

    if (!key[0])
        return;
    c = rh_vec_add(list);
    c->vm = vm;
    c->key = rh_strdup(key);
    for (char *p = c->key; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    c->subject = rh_strdup(subject);
}

static int by_key(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order ? order : (x->vm > y->vm) - (x->vm < y->vm);
}

static void claims_free(claims *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].subject);
    }
    free(list->items);
}

/* Calls fn for every two that claim the same, both ways round. */
typedef void pair_fn(void *user, const struct claim *mine,
                     const struct claim *other);
static void each_pair(claims *list, pair_fn *fn, void *user)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_key);
    for (size_t i = 0; i + 1 < list->count; i++) {
        const struct claim *a = &list->items[i], *b = a + 1;

        if (strcmp(a->key, b->key))
            continue;
        fn(user, a, b);
        fn(user, b, a);
    }
}

static char *message_of(enum rh_finding_id id, const char *key,
                        const char *other)
{
    const char *text = _("the result's name %s is also that of %s");

    if (id == RH_F_FLEET_DUPLICATE_MAC)
        text = _("the MAC address %s is also that of %s");
    else if (id == RH_F_FLEET_DUPLICATE_UUID)
        text = _("the BIOS UUID %s is also that of %s");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return rh_printf(text, key, other);
#pragma GCC diagnostic pop
}

/* --- between packages
 * --------------------------------------------------------- */

struct rows_claims {
    struct rh_rows *rows;
    enum rh_finding_id id;
};

static const char *title(const struct rh_row *row)
{
    const json_t *vm = json_object_get(row->about, "vm");

    return word(vm, "name")[0] ? word(vm, "name") : word(vm, "id");
}

static void tell_row(void *user, const struct claim *mine,
                     const struct claim *other)
{
    const struct rows_claims *j = user;
    struct rh_row *row = &j->rows->list.items[mine->vm];
    const struct rh_row *twin = &j->rows->list.items[other->vm];
    RH_AUTO(rh_freep)
    char *text = message_of(j->id, mine->key, title(twin));

    for (size_t t = 0; t < row->target_count && row->package != twin->package;
         t++) {
        rh_finding_add(&row->targets[t].findings, j->id, mine->subject, "%s",
                       text);
        rh_findings_sort(&row->targets[t].findings);
    }
}

static void claim_macs(const json_t *vm, size_t number, claims *ret)
{
    const json_t *nic;
    size_t i;

    json_array_foreach (json_object_get(vm, "nics"), i, nic) {
        RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", i);

        claim(ret, number, word(nic, "mac"), subject);
    }
}

void rh_rows_duplicates(struct rh_rows *rows)
{
    claims macs = {0}, uuids = {0}, names = {0};
    struct rows_claims j = {rows, RH_F_FLEET_DUPLICATE_MAC};

    for (size_t i = 0; i < rows->list.count; i++) {
        const json_t *about = rows->list.items[i].about;
        const json_t *vm = json_object_get(about, "vm");

        claim_macs(vm, i, &macs);
        claim(&uuids, i, word(vm, "uuid"), "uuid");
        claim(&names, i, word(about, "result"), "name");
    }
    each_pair(&macs, tell_row, &j);
    j.id = RH_F_FLEET_DUPLICATE_UUID;
    each_pair(&uuids, tell_row, &j);
    j.id = RH_F_FLEET_DUPLICATE_NAME;
    each_pair(&names, tell_row, &j);
    claims_free(&macs);
    claims_free(&uuids);
    claims_free(&names);
}

/* --- within one package: before its targets are planned, so that convert
 * tells the same
 * ------------------------------------------------------------------ */

struct job_claims {
    struct rh_job *job;
    enum rh_finding_id id;
};

static void tell_vm(void *user, const struct claim *mine,
                    const struct claim *other)
{
    const struct job_claims *j = user;
    const struct rh_vm *vm = j->job->vms.items[other->vm].vm;
    const char *name = vm->name.kind == RH_VALUE_TEXT ? vm->name.text : vm->id;
    RH_AUTO(rh_freep)
    char *text = message_of(j->id, mine->key, name ? name : "?");

    rh_finding_add(&j->job->vms.items[mine->vm].found, j->id, mine->subject,
                   "%s", text);
}

void rh_job_duplicates(struct rh_job *job)
{
    claims macs = {0}, uuids = {0};
    struct job_claims j = {job, RH_F_FLEET_DUPLICATE_MAC};

    for (size_t i = 0; i < job->vms.count; i++) {
        const struct rh_vm *vm = job->vms.items[i].vm;

        if (!vm)
            continue;
        if (vm->uuid.kind == RH_VALUE_TEXT)
            claim(&uuids, i, vm->uuid.text, "uuid");
        for (size_t n = 0; n < vm->nics.count; n++) {
            const struct rh_value *mac = &vm->nics.items[n].mac;
            RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", n);

            if (mac->kind == RH_VALUE_TEXT)
                claim(&macs, i, mac->text, subject);
        }
    }
    each_pair(&macs, tell_vm, &j);
    j.id = RH_F_FLEET_DUPLICATE_UUID;
    each_pair(&uuids, tell_vm, &j);
    claims_free(&macs);
    claims_free(&uuids);
}
