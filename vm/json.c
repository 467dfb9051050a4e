/* json.c - a VM as rehost.vm/1 says it: null where nobody said anything. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "vm/vm.h"

json_t *rh_json_text(const char *text)
{
    RH_AUTO(rh_freep) char *printable = NULL;

    if (!text)
        return json_null();
    if (rh_valid_utf8(text, strlen(text)))
        return json_string(text);
    printable = rh_printable(text);
    return json_string(printable);
}

static json_t *value_json(const struct rh_value *v)
{
    switch (v->kind) {
    case RH_VALUE_TEXT:
        return rh_json_text(v->text);
    case RH_VALUE_BOOL:
        return json_boolean(v->boolean);
    case RH_VALUE_NUMBER:
        return json_integer((json_int_t)RH_MIN(v->number, (uint64_t)INT64_MAX));
    default:
        return json_null();
    }
}

/* "os/name" goes into the object "os". */
static void set_key(json_t *o, const char *key, json_t *value)
{
    const char *slash = strchr(key, '/');
    RH_AUTO(rh_freep) char *first = NULL;
    json_t *inner;

    if (!slash) {
        json_object_set_new(o, key, value);
        return;
    }
    first = rh_strndup(key, (size_t)(slash - key));
    inner = json_object_get(o, first);
    if (!inner) {
        json_object_set_new(o, first, json_object());
        inner = json_object_get(o, first);
    }
    json_object_set_new(inner, slash + 1, value);
}

static json_t *fields_json(const void *object, const struct rh_field *fields)
{
    json_t *o = json_object();

    for (; fields->key; fields++) {
        const struct rh_value *v =
            (const void *)((const char *)object + fields->offset);

        set_key(o, fields->key, value_json(v));
    }
    return o;
}

static json_t *disk_json(const struct rh_disk_config *d)
{
    json_t *o = fields_json(d, rh_disk_fields);

    json_object_set_new(o, "boot", json_boolean(d->boot));
    json_object_set_new(o, "empty", json_boolean(d->empty));
    json_object_set_new(o, "compression", rh_json_text(d->compression));
    json_object_set_new(o, "parent", rh_json_text(d->parent_id));
    return o;
}

static json_t *device_json(const struct rh_device *d)
{
    json_t *o = json_object();

    json_object_set_new(o, "kind", rh_json_text(d->kind));
    json_object_set_new(o, "name", rh_json_text(d->name));
    json_object_set_new(o, "detail", rh_json_text(d->detail));
    json_object_set_new(o, "required", json_boolean(d->required));
    return o;
}

static int add_provenance(void *user, const char *key,
                          const struct rh_field *field, struct rh_value *v)
{
    RH_AUTO(rh_freep) char *from = NULL;
    json_t *o;

    (void)field;
    if (v->kind == RH_VALUE_UNSET)
        return 0;
    from = rh_from_text(v);
    o = json_object();
    json_object_set_new(o, "from", rh_json_text(from));
    if (v->detail && v->from != RH_FROM_FILL && v->from != RH_FROM_DEFAULT)
        json_object_set_new(o, "detail", rh_json_text(v->detail));
    json_object_set_new(user, key, o);
    return 0;
}

json_t *rh_vm_json(struct rh_vm *vm)
{
    json_t *o = json_object(), *disks = json_array(), *nics = json_array();
    json_t *cdroms = json_array(), *devices = json_array();
    json_t *provenance = json_object(), *fields = fields_json(vm, rh_vm_fields);

    json_object_set_new(o, "id", rh_json_text(vm->id));
    json_object_update(o, fields);
    json_decref(fields);
    for (size_t i = 0; i < vm->disks.count; i++)
        json_array_append_new(disks, disk_json(&vm->disks.items[i]));
    for (size_t i = 0; i < vm->nics.count; i++)
        json_array_append_new(nics,
                              fields_json(&vm->nics.items[i], rh_nic_fields));
    for (size_t i = 0; i < vm->cdroms.count; i++)
        json_array_append_new(
            cdroms, fields_json(&vm->cdroms.items[i], rh_cdrom_fields));
    for (size_t i = 0; i < vm->devices.count; i++)
        json_array_append_new(devices, device_json(&vm->devices.items[i]));
    json_object_set_new(o, "disks", disks);
    json_object_set_new(o, "nics", nics);
    json_object_set_new(o, "cdroms", cdroms);
    json_object_set_new(o, "devices", devices);
    json_object_set_new(o, "source", rh_json_text(vm->source_kind));
    if (vm->address)
        json_object_set_new(o, "address", rh_json_text(vm->address));
    rh_vm_each(vm, add_provenance, provenance);
    json_object_set_new(o, "provenance", provenance);
    return o;
}
