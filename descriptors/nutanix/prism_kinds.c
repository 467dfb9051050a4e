/* prism_kinds.c - what stands around Prism's answers: lists, envelopes, other
 * tools' spelling of them, errors, and values that a tool has cut short. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/nutanix/prism.h"

/* --- values of the wrong type ------------------------------------------------
 */

/* Blocks and lists by their names, in every version. */
static const char *const blocks[] = {
    "boot",           "disk_address",      "boot_config", "bootConfig",
    "vtpm_config",    "vtpmConfig",        "backingInfo", "diskAddress",
    "networkInfo",    "device_properties", "addr",        "subnet_reference",
    "nicBackingInfo", "nicNetworkInfo",    "subnet",      "resources",
    "config",
};
static const char *const lists[] = {
    "vm_disk_info", "disk_list",
    "disks",        "cdRoms",
    "vm_nics",      "nic_list",
    "nics",         "boot_device_order",
    "bootOrder",    "boot_device_order_list",
};

static bool is_among(const char *key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(key, names[i]))
            return true;
    return false;
}

/* ConvertTo-Json beyond its depth: "@{uefi_boot=True}", "System.Object[]". */
static bool cut_by_powershell(const char *text)
{
    size_t n = text ? strlen(text) : 0;

    return n && ((n > 2 && !strncmp(text, "@{", 2) && text[n - 1] == '}') ||
                 !strcmp(text, "System.Object[]") ||
                 !strncmp(text, "System.Collections.", 19) ||
                 !strncmp(text, "System.Management.Automation.", 29));
}

void rh_prism_wrong(struct rh_prism_answer *a, const char *path,
                    const json_t *v)
{
    const char *text = json_string_value(v);
    RH_AUTO(rh_freep) char *shown = rh_strndup(text ? text : "", 60);
    size_t n = strcspn(path, "|");
    struct rh_finding *f;

    if (!cut_by_powershell(text)) {
        rh_finding_add(&a->to->findings, RH_F_FILL_VALUE, "vm",
                       "%s: \"%.*s\" is of the wrong type%s%s (left out)",
                       a->f->name, (int)n, path, text ? ": " : "", shown);
        return;
    }
    f = rh_finding_add(&a->to->findings, RH_F_FILL_VALUE, "vm",
                       "%s: \"%.*s\" is cut short by PowerShell (\"%s\"): what "
                       "it said is lost",
                       a->f->name, (int)n, path, shown);
    free(f->remedy);
    f->remedy = rh_strdup(_("save the answer again with `ConvertTo-Json "
                            "-Depth 10`"));
}

static void check(struct rh_prism_answer *a, const json_t *o, unsigned depth)
{
    const char *key;
    json_t *v;
    size_t i;

    if (depth > 12)
        return;
    json_array_foreach ((json_t *)(uintptr_t)o, i, v) {
        if (cut_by_powershell(json_string_value(v)))
            rh_prism_wrong(a, "...", v);
        check(a, v, depth + 1);
    }
    json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
        bool block = is_among(key, blocks, RH_COUNT(blocks));
        bool list = is_among(key, lists, RH_COUNT(lists));
        bool single = !json_is_object(v) && !json_is_array(v);

        if (!json_is_null(v) && single &&
            (block || list || cut_by_powershell(json_string_value(v))))
            rh_prism_wrong(a, key, v);
        check(a, v, depth + 1);
    }
}

void rh_prism_check(struct rh_prism_answer *a, const json_t *o)
{
    check(a, o, 0);
}

/* --- other tools' spelling ------------------------------------------------ */

/* "num_cores_per_socket" -> "numCoresPerSocket" */
static char *camel(const char *snake)
{
    char *text = rh_strdup(snake), *to = text;

    for (const char *p = snake; *p; p++) {
        if (*p == '_' && p > snake && islower((unsigned char)p[1]))
            *to++ = (char)toupper((unsigned char)*++p);
        else
            *to++ = *p;
    }
    *to = '\0';
    return text;
}

/* A copy with v4's own keys; the caller has the reference. */
static json_t *in_camel_case(const json_t *v, unsigned depth)
{
    const char *key;
    json_t *made, *item;
    size_t i;

    if (depth > 16 || (!json_is_object(v) && !json_is_array(v)))
        return json_incref((json_t *)(uintptr_t)v);
    if (json_is_array(v)) {
        made = json_array();
        json_array_foreach ((json_t *)(uintptr_t)v, i, item)
            json_array_append_new(made, in_camel_case(item, depth + 1));
        return made;
    }
    made = json_object();
    json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
        RH_AUTO(rh_freep) char *name = camel(key);

        json_object_set_new(made, name, in_camel_case(item, depth + 1));
    }
    return made;
}

/* --- which version
 * -------------------------------------------------------------- */
enum shape { NO_VM, V1, V2, V3, V3_FLAT, V4, V4_SNAKE, ACLI_TREE };

static const json_t *at(const json_t *o, const char *path)
{
    return rh_prism_at(o, path);
}

static enum shape shape_of(const json_t *vm)
{
    if (!json_is_object(vm))
        return NO_VM;
    if (at(vm, "spec/resources") || at(vm, "status/resources"))
        return V3;
    if (at(vm, "vmName") && at(vm, "memoryCapacityInBytes"))
        return V1;
    if (at(vm, "memory_size_mib") && at(vm, "num_sockets"))
        return V3_FLAT; /* Terraform's first resource */
    if (at(vm, "memory_size_bytes") || at(vm, "num_cores_per_socket"))
        return V4_SNAKE;
    if (at(vm, "memorySizeBytes") || at(vm, "numSockets") ||
        ((at(vm, "$objectType") || at(vm, "extId")) && !at(vm, "error")))
        return V4;
    if (at(vm, "config/memory_mb") && at(vm, "config/num_vcpus"))
        return ACLI_TREE;
    return at(vm, "memory_mb") && at(vm, "num_vcpus") ? V2 : NO_VM;
}

struct reading {
    struct rh_fill *f;
    size_t seen;
    rh_error **err;
};

static int read_as(struct reading *r, const json_t *vm, enum rh_prism_kind kind)
{
    static const char *const kinds[] = {"Prism v1", "Prism v2", "Prism v3",
                                        "Prism v4", "acli"};
    struct rh_prism_answer a = {.f = r->f, .kind = kind, .in = {vm}};
    const char *name = json_string_value(at(vm, "name"));

    if (++r->seen > RH_LIMIT_ITEMS)
        return rh_fail(r->err, RH_ERR_FILL_LIMIT, "more than %d VMs",
                       RH_LIMIT_ITEMS);
    if (kind == RH_PRISM_V3 && !at(vm, "resources")) {
        a.in[0] = at(vm, "spec");
        a.in[1] = at(vm, "status");
        a.in[2] = at(vm, "metadata");
        name = json_string_value(at(vm, "spec/name"));
        name = name ? name : json_string_value(at(vm, "status/name"));
    }
    if (kind == RH_PRISM_V1)
        name = json_string_value(at(vm, "vmName"));
    r->f->kind = kinds[kind];
    a.to = rh_fill_add(r->f, name);
    rh_prism_read(&a);
    return 0;
}

static void decref(json_t **j)
{
    json_decref(*j);
}

static int read_vm(struct reading *r, const char *name, const json_t *vm)
{
    RH_AUTO(decref) json_t *made = NULL;

    switch (shape_of(vm)) {
    case V1:
        return read_as(r, vm, RH_PRISM_V1);
    case V2:
        return read_as(r, vm, RH_PRISM_V2);
    case V3:
        return read_as(r, vm, RH_PRISM_V3);
    case V3_FLAT:
        made = json_pack("{s:O, s:O?, s:O?, s:O?}", "resources", vm, "name",
                         json_object_get(vm, "name"), "description",
                         json_object_get(vm, "description"), "uuid",
                         json_object_get(vm, "id"));
        return read_as(r, made, RH_PRISM_V3);
    case V4_SNAKE:
        made = in_camel_case(vm, 0);
        return read_as(r, made, RH_PRISM_V4);
    case V4:
        return read_as(r, vm, RH_PRISM_V4);
    case ACLI_TREE:
        r->f->kind = "acli";
        return rh_fill_acli_vm(r->f,
                               json_is_string(at(vm, "config/name"))
                                   ? json_string_value(at(vm, "config/name"))
                               : name ? name
                                      : "?",
                               vm, r->err);
    case NO_VM:
        break;
    }
    return 0;
}

/* --- envelopes: {"data": {...}}, {"entities": [...]}, Ansible's {"response":
 * ...}, Terraform's state, acli's {"data": {"NAME": {...}}} -----------------
 */

static const char *const inside[] = {
    "data",      "entities", "response",    "resources",
    "instances", "values",   "root_module", "attributes",
    "vm",        "vms",      "result",      "results",
};

static int read_tree(struct reading *r, const char *name, const json_t *doc,
                     unsigned depth)
{
    const char *key;
    json_t *v;
    size_t i;

    if (depth > 8)
        return 0;
    if (shape_of(doc) != NO_VM)
        return read_vm(r, name, doc);
    json_array_foreach ((json_t *)(uintptr_t)doc, i, v)
        if (read_tree(r, NULL, v, depth + 1) < 0)
            return -1;
    json_object_foreach ((json_t *)(uintptr_t)doc, key, v) {
        bool known = is_among(key, inside, RH_COUNT(inside));

        if ((known || shape_of(v) == ACLI_TREE) &&
            read_tree(r, known ? NULL : key, v, depth + 1) < 0)
            return -1;
    }
    return 0;
}

static bool holds_vm(const json_t *doc, unsigned depth)
{
    const char *key;
    json_t *v;
    size_t i;

    if (depth > 8)
        return false;
    if (shape_of(doc) != NO_VM)
        return true;
    json_array_foreach ((json_t *)(uintptr_t)doc, i, v)
        if (holds_vm(v, depth + 1))
            return true;
    json_object_foreach ((json_t *)(uintptr_t)doc, key, v)
        if ((is_among(key, inside, RH_COUNT(inside)) &&
             holds_vm(v, depth + 1)) ||
            shape_of(v) == ACLI_TREE)
            return true;
    return false;
}

bool rh_fill_is_prism(const json_t *doc)
{
    return holds_vm(doc, 0);
}

int rh_fill_prism(struct rh_fill *f, const json_t *doc, rh_error **err)
{
    struct reading r = {.f = f, .err = err};

    return read_tree(&r, NULL, doc, 0);
}

/* --- answers that are errors -----------------------------------------------
 */

/* The first text of these, as services put their reasons. */
static const char *reason_in(const json_t *doc)
{
    static const char *const paths[] = {
        "message_list/message",
        "message",
        "data/error/message",
        "error/message",
        "detailed_message",
        "messages/default_message",
        "error",
        "error_type",
        "error_code/help_url",
        "error_description",
        "detail",
        "title",
    };

    for (size_t i = 0; i < RH_COUNT(paths); i++) {
        const char *text = json_string_value(at(doc, paths[i]));

        if (text && text[0])
            return text;
    }
    return NULL;
}

int rh_fill_refusal(const json_t *doc, rh_error **err)
{
    static const char *const keys[] = {"message_list", "error_code",
                                       "error_type", "message", "error"};
    RH_AUTO(rh_freep) char *reason = NULL;
    bool refusal = at(doc, "data/error") != NULL;

    for (size_t i = 0; i < RH_COUNT(keys); i++)
        refusal |= at(doc, keys[i]) != NULL;
    if (!refusal) {
        const json_t *list = at(doc, "entities");

        list = list ? list : at(doc, "data");
        if (!list || json_array_size(list) || json_object_size(list))
            return 0;
        return rh_fail(err, RH_ERR_FILL_KIND,
                       "this is an answer without any VM in it");
    }
    reason = rh_strndup(reason_in(doc) ? reason_in(doc) : "", 200);
    rh_fail(err, RH_ERR_FILL_KIND,
            "this is an error that a service answered%s%s%s, no VM",
            reason[0] ? ": \"" : "", reason, reason[0] ? "\"" : "");
    return rh_hint(err, "log in and save the answer again");
}
