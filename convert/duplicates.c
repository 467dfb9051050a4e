/* duplicates.c - names and addresses that only one VM of a fleet may have. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/out.h"
#include "convert/fleet.h"

struct claim {
    size_t vm; /* in "vms" */
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

/* --- telling it
 * ------------------------------------------------------------------ */

static size_t place_for(const json_t *findings)
{
    const json_t *f;
    size_t i;

    json_array_foreach (findings, i, f)
        if (!strcmp(word(f, "severity"), "info"))
            return i;
    return json_array_size(findings);
}

/* A target of the document learns of one more caution. */
static void tell_target(json_t *target, json_t *finding)
{
    json_t *findings = json_object_get(target, "findings");

    json_array_insert(findings, place_for(findings), finding);
    if (strcmp(word(finding, "severity"), "caution"))
        return;
    if (!strcmp(word(target, "verdict"), "ready"))
        json_object_set_new(target, "verdict", json_string("caution"));
    if (!strcmp(word(target, "effort"), "easy"))
        json_object_set_new(target, "effort", json_string("some-caution"));
    if (!strcmp(word(target, "effort_by_hand"), "easy"))
        json_object_set_new(target, "effort_by_hand",
                            json_string("some-caution"));
}

static void tell(json_t *entry, enum rh_finding_id id, const char *subject,
                 const char *message)
{
    struct rh_findings list = {0};
    json_t *target, *made;
    size_t i;

    rh_finding_add(&list, id, subject, "%s", message);
    made = rh_findings_json(&list);
    json_array_foreach (json_object_get(entry, "targets"), i, target)
        tell_target(target, json_array_get(made, 0));
    json_decref(made);
    rh_findings_free(&list);
}

static const char *title(const json_t *vms, size_t i)
{
    const json_t *vm = json_object_get(json_array_get(vms, i), "vm");

    return word(vm, "name")[0] ? word(vm, "name") : word(vm, "id");
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

/* --- between packages: in the finished document
 * ------------------------------------------------------------------ */

struct fleet_job {
    json_t *vms;
    const size_t *package;
    enum rh_finding_id id;
};

static void tell_entry(void *user, const struct claim *mine,
                       const struct claim *other)
{
    const struct fleet_job *j = user;
    RH_AUTO(rh_freep)
    char *text = message_of(j->id, mine->key, title(j->vms, other->vm));

    if (j->package[mine->vm] != j->package[other->vm])
        tell(json_array_get(j->vms, mine->vm), j->id, mine->subject, text);
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

void rh_fleet_duplicates(json_t *vms, const size_t *package)
{
    claims macs = {0}, uuids = {0}, names = {0};
    struct fleet_job j = {vms, package, RH_F_FLEET_DUPLICATE_MAC};
    const json_t *entry;
    size_t i;

    json_array_foreach (vms, i, entry) {
        const json_t *vm = json_object_get(entry, "vm");

        claim_macs(vm, i, &macs);
        claim(&uuids, i, word(vm, "uuid"), "uuid");
        claim(&names, i, word(entry, "result"), "name");
    }
    each_pair(&macs, tell_entry, &j);
    j.id = RH_F_FLEET_DUPLICATE_UUID;
    each_pair(&uuids, tell_entry, &j);
    j.id = RH_F_FLEET_DUPLICATE_NAME;
    each_pair(&names, tell_entry, &j);
    claims_free(&macs);
    claims_free(&uuids);
    claims_free(&names);
}

/* --- within one package: before its targets are planned, so that convert
 * tells the same
 * ------------------------------------------------------------------ */

struct plan_job {
    struct rh_package *package;
    enum rh_finding_id id;
};

static void tell_vm(void *user, const struct claim *mine,
                    const struct claim *other)
{
    const struct plan_job *j = user;
    const struct rh_vm *vm = j->package->vms.items[other->vm];
    const char *name = vm->name.kind == RH_VALUE_TEXT ? vm->name.text : vm->id;
    RH_AUTO(rh_freep)
    char *text = message_of(j->id, mine->key, name ? name : "?");

    rh_finding_add(&j->package->vm_findings.items[mine->vm], j->id,
                   mine->subject, "%s", text);
}

void rh_plan_duplicates(struct rh_plan *plan)
{
    claims macs = {0}, uuids = {0};
    struct plan_job j = {plan->package, RH_F_FLEET_DUPLICATE_MAC};

    for (size_t i = 0; i < plan->vms.count; i++) {
        size_t at = plan->vms.items[i].index;
        const struct rh_vm *vm = plan->package->vms.items[at];

        if (vm->uuid.kind == RH_VALUE_TEXT)
            claim(&uuids, at, vm->uuid.text, "uuid");
        for (size_t n = 0; n < vm->nics.count; n++) {
            const struct rh_value *mac = &vm->nics.items[n].mac;
            RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", n);

            if (mac->kind == RH_VALUE_TEXT)
                claim(&macs, at, mac->text, subject);
        }
    }
    each_pair(&macs, tell_vm, &j);
    j.id = RH_F_FLEET_DUPLICATE_UUID;
    each_pair(&uuids, tell_vm, &j);
    claims_free(&macs);
    claims_free(&uuids);
}
