/* vm.c - a VM's values: kept, compared, and found by key. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm/vm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define VM_FIELD(key, member, kind, about) \
    {key, RH_VALUE_##kind, offsetof(struct rh_vm, member), about},
#define DISK_FIELD(key, member, kind, about)
#define NIC_FIELD(key, member, kind, about)
#define CDROM_FIELD(key, member, kind, about)
const struct rh_field rh_vm_fields[] = {
#include "vm/fields.def"
    {0}};
#undef VM_FIELD
#undef DISK_FIELD
#define VM_FIELD(key, member, kind, about)
#define DISK_FIELD(key, member, kind, about) \
    {key, RH_VALUE_##kind, offsetof(struct rh_disk_config, member), about},
const struct rh_field rh_disk_fields[] = {
#include "vm/fields.def"
    {0}};
#undef DISK_FIELD
#undef NIC_FIELD
#define DISK_FIELD(key, member, kind, about)
#define NIC_FIELD(key, member, kind, about) \
    {key, RH_VALUE_##kind, offsetof(struct rh_nic_config, member), about},
const struct rh_field rh_nic_fields[] = {
#include "vm/fields.def"
    {0}};
#undef NIC_FIELD
#undef CDROM_FIELD
#define NIC_FIELD(key, member, kind, about)
#define CDROM_FIELD(key, member, kind, about) \
    {key, RH_VALUE_##kind, offsetof(struct rh_cdrom_config, member), about},
const struct rh_field rh_cdrom_fields[] = {
#include "vm/fields.def"
    {0}};
#undef VM_FIELD
#undef DISK_FIELD
#undef NIC_FIELD
#undef CDROM_FIELD

struct rh_vm *rh_vm_new(const char *id)
{
    struct rh_vm *vm = rh_new0(struct rh_vm);

    vm->arena = rh_arena_new();
    vm->id = rh_arena_strdup(vm->arena, id ? id : "vm");
    vm->source_kind = "other";
    return vm;
}

struct rh_vm *rh_vm_copy(const struct rh_vm *vm)
{
    struct rh_vm *copy = rh_new0(struct rh_vm);

    *copy = *vm;
    copy->arena = rh_arena_new();
#define COPY(list)                                                        \
    copy->list.items = rh_calloc(vm->list.count, sizeof *vm->list.items); \
    copy->list.room = vm->list.count;                                     \
    for (size_t i = 0; i < vm->list.count; i++)                           \
        copy->list.items[i] = vm->list.items[i];
    COPY(disks)
    COPY(nics)
    COPY(cdroms)
    COPY(devices)
#undef COPY
    return copy;
}

static void free_lists(struct rh_vm *vm)
{
    free(vm->disks.items);
    free(vm->nics.items);
    free(vm->cdroms.items);
    free(vm->devices.items);
}

void rh_vm_restore(struct rh_vm *vm, struct rh_vm *copy)
{
    struct rh_arena *arena = vm->arena;

    free_lists(vm);
    rh_arena_free(copy->arena);
    *vm = *copy;
    vm->arena = arena;
    free(copy);
}

void rh_vm_free(struct rh_vm *vm)
{
    if (!vm)
        return;
    free_lists(vm);
    rh_arena_free(vm->arena);
    free(vm);
}

/* --- setting
 * ------------------------------------------------------------------ */
static void put(struct rh_vm *vm, struct rh_value *v, enum rh_value_kind kind,
                enum rh_from from, const char *detail)
{
    *v = (struct rh_value){.kind = kind, .from = from};
    v->detail = rh_arena_strdup(vm->arena, detail);
}

void rh_set_number(struct rh_vm *vm, struct rh_value *v, uint64_t n,
                   enum rh_from from, const char *detail)
{
    put(vm, v, RH_VALUE_NUMBER, from, detail);
    v->number = n;
}

void rh_set_bool(struct rh_vm *vm, struct rh_value *v, bool b,
                 enum rh_from from, const char *detail)
{
    put(vm, v, RH_VALUE_BOOL, from, detail);
    v->boolean = b;
}

void rh_set_text(struct rh_vm *vm, struct rh_value *v, const char *text,
                 enum rh_from from, const char *detail)
{
    const char *copy;

    if (!text)
        return;
    copy = rh_arena_strdup(vm->arena, text); /* `text` may be v's own */
    put(vm, v, RH_VALUE_TEXT, from, detail);
    v->text = copy;
}

static bool same_value(const struct rh_value *a, const struct rh_value *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == RH_VALUE_TEXT)
        return strcmp(a->text, b->text) == 0;
    return a->kind == RH_VALUE_BOOL ? a->boolean == b->boolean
                                    : a->number == b->number;
}

static void take(struct rh_vm *vm, struct rh_value *v,
                 const struct rh_value *offer)
{
    const char *text = rh_arena_strdup(vm->arena, offer->text);
    struct rh_value copy = *offer;

    put(vm, v, copy.kind, copy.from, copy.detail);
    v->boolean = copy.boolean;
    v->number = copy.number;
    v->text = text;
}

enum rh_offer_result rh_vm_offer(struct rh_vm *vm, struct rh_value *v,
                                 const struct rh_value *offer)
{
    bool same = same_value(v, offer);

    if (offer->kind == RH_VALUE_UNSET)
        return RH_OFFER_SAME;
    if (v->kind != RH_VALUE_UNSET && v->from >= offer->from)
        return same ? RH_OFFER_SAME : RH_OFFER_LOST;
    same = same || v->kind == RH_VALUE_UNSET;
    take(vm, v, offer);
    return same ? RH_OFFER_TAKEN : RH_OFFER_WON;
}

/* --- all of them
 * -------------------------------------------------------------- */
typedef int each_fn(void *user, const char *key, const struct rh_field *field,
                    struct rh_value *v);

static int each_of(void *object, const char *list, size_t i,
                   const struct rh_field *fields, each_fn *fn, void *user)
{
    char key[96];

    for (const struct rh_field *f = fields; f->key; f++) {
        struct rh_value *v = (void *)((char *)object + f->offset);
        int status;

        if (list)
            snprintf(key, sizeof key, "%s/%zu/%s", list, i, f->key);
        else
            snprintf(key, sizeof key, "%s", f->key);
        status = fn(user, key, f, v);
        if (status)
            return status;
    }
    return 0;
}

int rh_vm_each(struct rh_vm *vm, each_fn *fn, void *user)
{
    int status = each_of(vm, NULL, 0, rh_vm_fields, fn, user);

    for (size_t i = 0; !status && i < vm->disks.count; i++)
        status =
            each_of(&vm->disks.items[i], "disks", i, rh_disk_fields, fn, user);
    for (size_t i = 0; !status && i < vm->nics.count; i++)
        status =
            each_of(&vm->nics.items[i], "nics", i, rh_nic_fields, fn, user);
    for (size_t i = 0; !status && i < vm->cdroms.count; i++)
        status = each_of(&vm->cdroms.items[i], "cdroms", i, rh_cdrom_fields, fn,
                         user);
    return status;
}

/* --- as text
 * ------------------------------------------------------------------ */
const char *rh_value_text(const struct rh_value *v, char *buf, size_t n)
{
    switch (v->kind) {
    case RH_VALUE_TEXT:
        return v->text;
    case RH_VALUE_BOOL:
        return v->boolean ? "true" : "false";
    case RH_VALUE_NUMBER:
        snprintf(buf, n, "%" PRIu64, v->number);
        return buf;
    default:
        return "";
    }
}

const char *rh_text_of(const struct rh_value *v)
{
    return v->kind == RH_VALUE_TEXT && v->text ? v->text : "";
}

bool rh_is_true(const struct rh_value *v)
{
    return v->kind == RH_VALUE_BOOL && v->boolean;
}

char *rh_from_text(const struct rh_value *v)
{
    static const char *const names[] = {
        [RH_FROM_NOBODY] = "",         [RH_FROM_DEFAULT] = "default",
        [RH_FROM_DISK] = "disk",       [RH_FROM_FILL] = "fill",
        [RH_FROM_GUEST] = "guest",     [RH_FROM_OVF] = "ovf",
        [RH_FROM_VMX] = "vmx",         [RH_FROM_LIBVIRT] = "libvirt",
        [RH_FROM_VBOX] = "vbox",       [RH_FROM_RVTOOLS] = "rvtools",
        [RH_FROM_VSPHERE] = "vsphere", [RH_FROM_PRISM] = "prism",
        [RH_FROM_SET] = "set"};
    bool named = v->from == RH_FROM_DEFAULT || v->from == RH_FROM_FILL;

    if (named && v->detail)
        return rh_printf("%s:%s", names[v->from], v->detail);
    return rh_strdup(names[v->from]);
}

/* --- words
 * ---------------------------------------------------------------------- */
const char *rh_controller_bus(const char *controller)
{
    static const char *const words[][2] = {
        {"ide", "ide"},          {"sata", "sata"},
        {"nvme", "nvme"},        {"lsilogic", "scsi"},
        {"lsisas", "scsi"},      {"pvscsi", "scsi"},
        {"buslogic", "scsi"},    {"virtio-scsi", "scsi"},
        {"virtio-blk", "virtio"}};

    for (size_t i = 0; controller && i < RH_COUNT(words); i++) {
        if (rh_same_word(words[i][0], controller))
            return words[i][1];
    }
    return NULL;
}
