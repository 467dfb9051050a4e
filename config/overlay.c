/* overlay.c - configuration of our own making: YAML or JSON with the keys of
 * vm.json, and vm.json itself.
 *
 *   cpus: 4
 *   memory: 8GiB
 *   os: {profile: windows-2019}
 *   nics:
 *     - network: VM Network
 *
 * For a package of several VMs: `vms:`, a list of such, each with its name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/yaml.h"
#include "descriptors/fill.h"

/* One document is itself; several are one VM each. */
json_t *rh_fill_yaml(const char *text, size_t n, rh_error **err)
{
    static const struct rh_yaml_errors ids = {RH_ERR_FILL_SYNTAX,
                                              RH_ERR_FILL_LIMIT};
    json_t *documents = rh_yaml_documents(text, n, &ids, err), *doc;

    if (!documents)
        return NULL;
    if (json_array_size(documents) == 1)
        doc = json_incref(json_array_get(documents, 0));
    else
        doc = json_object();
    if (json_array_size(documents) > 1)
        json_object_set(doc, "vms", documents);
    json_decref(documents);
    return doc;
}

/* --- the tree as values
 * ----------------------------------------------------------------- */
struct overlay {
    struct rh_fill *f;
    struct rh_fill_vm *to;
    bool document; /* a vm.json: has more than what can be said */
};

static const char *leaf_text(const json_t *v, char *buf, size_t n)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v) ? "true" : "false";
    if (json_is_integer(v))
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        snprintf(buf, n, "%.17g", json_number_value(v));
    return buf;
}

static int leaf(struct overlay *o, const char *key, const json_t *v,
                rh_error **err)
{
    char number[40];

    if (json_is_null(v))
        return 0;
    return rh_vm_set(o->to->vm, key, leaf_text(v, number, sizeof number),
                     RH_FROM_FILL, o->f->name, err);
}

/* What a vm.json holds beside the fields. */
static bool only_in_documents(const char *key)
{
    static const char *const words[] = {
        "schema", "id",          "devices", "provenance", "findings", "source",
        "boot",   "compression", "empty",   "parent",     "package",  "vms"};

    for (size_t i = 0; i < RH_COUNT(words); i++) {
        if (!strcmp(words[i], key))
            return true;
    }
    return false;
}

static int items(struct overlay *o, const char *list, json_t *array,
                 rh_error **err)
{
    char key[160];

    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *item = json_array_get(array, i), *v;
        const char *field;

        if (!json_is_object(item) && !json_is_null(item))
            return rh_fail(err, RH_ERR_FILL_SYNTAX,
                           "%s/%zu: a list of keys and values is wanted", list,
                           i);
        json_object_foreach (item, field, v) {
            if (only_in_documents(field) && strcmp(field, "id"))
                continue;
            if (strlen(field) > 64)
                return rh_fail(err, RH_ERR_CONFIG_KEY, "unknown key \"%s\"",
                               field);
            snprintf(key, sizeof key, "%s/%zu/%s", list, i, field);
            if (leaf(o, key, v, err))
                return -1;
        }
    }
    return 0;
}

/* The scratch VM gets as many items as the overlay speaks of. */
static int grow(struct overlay *o, const json_t *vm, rh_error **err)
{
    struct rh_vm *to = o->to->vm;
    size_t disks = json_array_size(json_object_get(vm, "disks"));
    size_t nics = json_array_size(json_object_get(vm, "nics"));
    size_t cds = json_array_size(json_object_get(vm, "cdroms"));

    if (disks > RH_LIMIT_VM_DISKS || nics > RH_LIMIT_VM_NICS ||
        cds > RH_LIMIT_VM_DISKS)
        return rh_fail(err, RH_ERR_FILL_LIMIT,
                       "more than %d disks or network cards",
                       RH_LIMIT_VM_DISKS);
    while (to->disks.count < disks)
        rh_vec_add(&to->disks);
    while (to->nics.count < nics)
        rh_vec_add(&to->nics);
    while (to->cdroms.count < cds)
        rh_vec_add(&to->cdroms);
    return 0;
}

static int pairs(struct overlay *o, const char *prefix, json_t *object,
                 rh_error **err)
{
    const char *key;
    json_t *v;

    json_object_foreach (object, key, v) {
        RH_AUTO(rh_freep) char *full = rh_printf("%s%s", prefix, key);
        int status = 0;

        if (!prefix[0] && only_in_documents(key) &&
            (o->document || !strcmp(key, "schema") || !strcmp(key, "id")))
            continue;
        if (json_is_object(v) && !prefix[0])
            status = pairs(o, rh_arena_printf(o->f->arena, "%s/", key), v, err);
        else if (json_is_array(v) && !prefix[0])
            status = items(o, full, v, err);
        else if (json_is_object(v) || json_is_array(v))
            status = rh_fail(err, RH_ERR_FILL_SYNTAX,
                             "%s: a single value is wanted", full);
        else
            status = leaf(o, full, v, err);
        if (status)
            return -1;
    }
    return 0;
}

static int read_vm(struct rh_fill *f, json_t *vm, bool document, rh_error **err)
{
    const char *name = json_string_value(json_object_get(vm, "name"));
    const char *id = json_string_value(json_object_get(vm, "id"));
    struct overlay o = {.f = f, .document = document};

    if (!json_is_object(vm))
        return rh_fail(err, RH_ERR_FILL_SYNTAX,
                       "a list of keys and values is wanted");
    o.to = rh_fill_add(f, id ? id : name);
    o.to->by_index = true;
    o.to->vm->source_kind = "other";
    if (grow(&o, vm, err) || pairs(&o, "", vm, err))
        return -1;
    return 0;
}

int rh_fill_overlay(struct rh_fill *f, const json_t *doc, rh_error **err)
{
    const char *schema = json_string_value(json_object_get(doc, "schema"));
    bool document = schema && !strncmp(schema, "rehost.vm/", 10);
    json_t *list = json_object_get(doc, "vms");

    f->kind = document ? "vm.json" : "overlay";
    if (!json_is_object(doc))
        return rh_fail(err, RH_ERR_FILL_KIND,
                       "this is none of the kinds of files that --fill takes");
    if (!list)
        return read_vm(f, (json_t *)(uintptr_t)doc, document, err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i >= RH_LIMIT_VMS)
            return rh_fail(err, RH_ERR_FILL_LIMIT, "more than %d VMs",
                           RH_LIMIT_VMS);
        if (read_vm(f, json_array_get(list, i), document, err))
            return -1;
    }
    return 0;
}
