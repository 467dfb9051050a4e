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

    rh_find(&list, id, subject, "%s", message);
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

static void tell_duplicates(json_t *vms, claims *list, enum rh_finding_id id,
                            const char *message)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_key);
    for (size_t i = 0; i + 1 < list->count; i++) {
        const struct claim *a = &list->items[i], *b = a + 1;
        RH_AUTO(rh_freep) char *to_a = NULL;
        RH_AUTO(rh_freep) char *to_b = NULL;

        if (strcmp(a->key, b->key))
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        to_a = rh_printf(message, a->key, title(vms, b->vm));
        to_b = rh_printf(message, b->key, title(vms, a->vm));
#pragma GCC diagnostic pop
        tell(json_array_get(vms, a->vm), id, a->subject, to_a);
        tell(json_array_get(vms, b->vm), id, b->subject, to_b);
    }
}

/* --- what is claimed
 * --------------------------------------------------------------- */

static void claim_macs(const json_t *vm, size_t number, claims *ret)
{
    const json_t *nic;
    size_t i;

    json_array_foreach (json_object_get(vm, "nics"), i, nic) {
        RH_AUTO(rh_freep) char *subject = rh_printf("nics/%zu", i);

        claim(ret, number, word(nic, "mac"), subject);
    }
}

static void claim_name(const json_t *vm, size_t number, claims *ret)
{
    const char *name = word(vm, "name");
    RH_AUTO(rh_freep)
    char *folder = rh_safe_name(name[0] ? name : word(vm, "id"));

    claim(ret, number, folder, "name");
}

void rh_fleet_duplicates(json_t *vms)
{
    claims macs = {0}, uuids = {0}, names = {0};
    const json_t *entry;
    size_t i;

    json_array_foreach (vms, i, entry) {
        const json_t *vm = json_object_get(entry, "vm");

        claim_macs(vm, i, &macs);
        claim(&uuids, i, word(vm, "uuid"), "uuid");
        claim_name(vm, i, &names);
    }
    tell_duplicates(vms, &macs, RH_F_FLEET_DUPLICATE_MAC,
                    _("the MAC address %s is also that of %s"));
    tell_duplicates(vms, &uuids, RH_F_FLEET_DUPLICATE_UUID,
                    _("the BIOS UUID %s is also that of %s"));
    tell_duplicates(vms, &names, RH_F_FLEET_DUPLICATE_NAME,
                    _("the result's name %s is also that of %s"));
    claims_free(&macs);
    claims_free(&uuids);
    claims_free(&names);
}
