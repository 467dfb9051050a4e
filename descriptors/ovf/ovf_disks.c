/* ovf_disks.c - disks and CD-ROMs: what they hold and where they are plugged.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/ovf/ovf.h"

struct rh_ovf_file *rh_ovf_file_at(struct rh_ovf *o, const char *id)
{
    size_t i = id ? rh_name_map_find(&o->file_ids, id) : SIZE_MAX;

    return i == SIZE_MAX ? NULL : &o->files.items[i];
}

struct rh_ovf_disk *rh_ovf_disk_at(struct rh_ovf *o, const char *id)
{
    size_t i = id ? rh_name_map_find(&o->disk_ids, id) : SIZE_MAX;

    return i == SIZE_MAX ? NULL : &o->disks.items[i];
}

/* "ovf:/disk/ID", "/disk/ID", "ovf://disk/ID", and the same with "file". */
static bool host_resource(const char *text, const char *what,
                          const char **ret_id)
{
    size_t n = strlen(what);

    if (!strncasecmp(text, "ovf:", 4))
        text += 4;
    if (text[0] != '/')
        return false;
    text += strspn(text, "/");
    if (strncmp(text, what, n) || text[n] != '/')
        return false;
    *ret_id = text + n + 1;
    return true;
}

struct rh_ovf_disk *rh_ovf_resource(struct rh_ovf *o, const char *resource)
{
    const char *id;

    return host_resource(resource, "disk", &id) ? rh_ovf_disk_at(o, id) : NULL;
}

/* --- where it is plugged
 * -------------------------------------------------------- */
/* oVirt writes {type=drive,bus=0,controller=0,target=0,unit=0}. */
static bool braced(const char *address, const char *key, uint64_t *ret)
{
    RH_AUTO(rh_freep) char *pattern = rh_printf("%s=", key);
    const char *at =
        address && address[0] == '{' ? strstr(address, pattern) : NULL;
    char *end;

    if (!at || at[strlen(pattern)] < '0' || at[strlen(pattern)] > '9')
        return false;
    *ret = strtoull(at + strlen(pattern), &end, 10);
    return *ret <= 255;
}

struct place {
    struct rh_value *controller, *bus, *unit;
};

static void plug_into(const struct rh_item *parent, struct rh_vm *vm,
                      const struct place *at)
{
    rh_set_text(vm, at->controller, parent->model, RH_FROM_OVF,
                parent->guessed_model ? "the kind of bus; the model is not said"
                                      : NULL);
    rh_set_number(vm, at->bus, parent->number, RH_FROM_OVF, NULL);
}

static void plug(const struct rh_items *items, const struct rh_item *item,
                 struct rh_vm *vm, const struct place *at, const char *subject,
                 struct rh_findings *findings)
{
    const struct rh_item *parent = rh_ovf_parent(items, item);
    const char *address = item->field[RH_ITEM_ADDRESS];
    uint64_t n;

    if (parent && parent->bus)
        plug_into(parent, vm, at);
    else if (item->field[RH_ITEM_PARENT] && item->field[RH_ITEM_PARENT][0])
        rh_finding_add(findings, RH_F_OVF_REFERENCE, subject,
                       "\"%s\" is plugged into item %s, which is %s",
                       rh_ovf_item_name(item), item->field[RH_ITEM_PARENT],
                       parent ? _("no controller") : _("not there"));
    else if (braced(address, "controller", &n))
        rh_set_number(vm, at->bus, n, RH_FROM_OVF, NULL);
    if ((item->field[RH_ITEM_ON_PARENT] &&
         rh_parse_u64(item->field[RH_ITEM_ON_PARENT], &n) && n <= 255) ||
        braced(address, "unit", &n))
        rh_set_number(vm, at->unit, n, RH_FROM_OVF, NULL);
}

/* oVirt names the bus on the Disk itself. */
static void plug_by_interface(const struct rh_ovf_disk *d, struct rh_vm *vm,
                              struct rh_disk_config *disk)
{
    static const char *const words[][2] = {{"VirtIO", "virtio-blk"},
                                           {"VirtIO_SCSI", "virtio-scsi"},
                                           {"IDE", "ide"},
                                           {"SATA", "sata"}};

    for (size_t i = 0; d->interface && i < RH_COUNT(words); i++) {
        if (disk->controller.kind == RH_VALUE_UNSET &&
            rh_same_word(d->interface, words[i][0]))
            rh_set_text(vm, &disk->controller, words[i][1], RH_FROM_OVF, NULL);
    }
}

/* --- what it holds
 * ------------------------------------------------------------------- */
static void from_file(struct rh_vm *vm, struct rh_disk_config *disk,
                      const struct rh_ovf_file *file)
{
    rh_set_text(vm, &disk->file, file->href, RH_FROM_OVF, NULL);
    disk->file_id = rh_arena_strdup(vm->arena, file->id);
    disk->compression = rh_arena_strdup(vm->arena, file->compression);
    disk->chunk_size = file->chunk_size;
    disk->file_size = file->size;
}

static void from_disk(struct rh_ovf *o, struct rh_vm *vm,
                      struct rh_disk_config *disk, struct rh_ovf_disk *d,
                      const char *subject, struct rh_findings *findings)
{
    const struct rh_ovf_file *file = rh_ovf_file_at(o, d->file_ref);

    rh_set_text(vm, &disk->id, d->id, RH_FROM_OVF, NULL);
    if (d->capacity)
        rh_set_number(vm, &disk->capacity_bytes, d->capacity, RH_FROM_OVF,
                      NULL);
    if (d->raw)
        rh_set_text(vm, &disk->format, "raw", RH_FROM_OVF, NULL);
    if (d->boot)
        rh_set_number(vm, &disk->boot_order, 1, RH_FROM_OVF, NULL);
    disk->populated_size = d->populated;
    disk->parent_id = rh_arena_strdup(vm->arena, d->parent_ref);
    plug_by_interface(d, vm, disk);
    if (d->uses++)
        rh_finding_add(
            findings, RH_F_OVF_SHARED_DISK, subject,
            "the disk \"%s\" is attached more than once; each VM gets a "
            "copy of its own",
            d->id);
    if (file) {
        from_file(vm, disk, file);
    } else if (d->file_ref) {
        rh_finding_add(
            findings, RH_F_OVF_REFERENCE, subject,
            "the disk \"%s\" is in a file with the id \"%s\", which the "
            "package does not list",
            d->id, d->file_ref)
            ->severity = RH_SEVERITY_BLOCKER;
    } else {
        disk->empty = true;
    }
    if (d->parent_ref)
        rh_finding_add(findings, RH_F_OVF_DELTA, subject,
                       "the disk \"%s\" holds the differences to \"%s\"", d->id,
                       d->parent_ref);
}

/* No HostResource: a new disk, whose size the item itself says. */
static void new_disk(const struct rh_item *item, struct rh_vm *vm,
                     struct rh_disk_config *disk)
{
    const char *units = item->field[RH_ITEM_UNITS];
    const char *id = item->field[RH_ITEM_ID];
    uint64_t n, factor = 1;

    disk->empty = true;
    rh_set_text(vm, &disk->id,
                rh_arena_printf(vm->arena, "item-%s", id ? id : "?"),
                RH_FROM_OVF, NULL);
    if (rh_parse_u64(item->field[RH_ITEM_QUANTITY], &n) && n &&
        (!units || !units[0] || rh_ovf_units(units, &factor)) &&
        !rh_mul_overflows(n, factor, &n))
        rh_set_number(vm, &disk->capacity_bytes, n, RH_FROM_OVF, NULL);
}

static void add_disk(struct rh_ovf *o, const struct rh_items *items,
                     const struct rh_item *item, struct rh_vm *vm,
                     const struct rh_disk_config *disk, const char *subject,
                     struct rh_findings *findings)
{
    struct rh_disk_config *kept = rh_vec_add(&vm->disks);
    struct place at = {&kept->controller, &kept->bus, &kept->unit};
    const char *mode = rh_ovf_item_config(o, item, "backing.diskMode");

    *kept = *disk;
    plug(items, item, vm, &at, subject, findings);
    rh_ovf_item_settings(o, item, findings);
    rh_vm_disk_mode(vm, kept,
                    mode ? mode : rh_ovf_item_config(o, item, "diskMode"),
                    RH_FROM_OVF, subject, findings);
    if (kept->empty && kept->capacity_bytes.kind == RH_VALUE_UNSET)
        rh_finding_add(findings, RH_F_OVF_REFERENCE, subject,
                       "the new disk \"%s\" has no size",
                       rh_ovf_item_name(item))
            ->severity = RH_SEVERITY_BLOCKER;
    else if (kept->empty)
        rh_finding_add(findings, RH_F_OVF_NEW_DISK, subject,
                       "the disk \"%s\" has no file: it is a new, empty one",
                       rh_ovf_item_name(item));
    if (!item->required)
        rh_finding_add(findings, RH_F_OVF_NOT_REQUIRED, subject,
                       "\"%s\" is marked as not required; it was kept",
                       rh_ovf_item_name(item));
}

static bool not_a_disk(struct rh_ovf *o, const struct rh_item *item,
                       struct rh_vm *vm, struct rh_findings *findings)
{
    const char *subtype = item->field[RH_ITEM_SUBTYPE];
    const char *resource = item->field[RH_ITEM_HOST_RESOURCE];
    struct rh_ovf_disk *d = resource ? rh_ovf_resource(o, resource) : NULL;

    if (!subtype || !strcasestr(subtype, "passthrough"))
        return false;
    rh_vm_add_device(vm, findings, "scsi-passthrough", rh_ovf_item_name(item),
                     subtype, item->required);
    if (d)
        d->uses++;
    return true;
}

void rh_ovf_disk_item(struct rh_ovf *o, const struct rh_items *items,
                      const struct rh_item *item, struct rh_vm *vm,
                      struct rh_findings *findings)
{
    const char *resource = item->field[RH_ITEM_HOST_RESOURCE];
    struct rh_disk_config disk = {0};
    const char *id = NULL;
    char subject[32];

    if (not_a_disk(o, item, vm, findings))
        return;
    snprintf(subject, sizeof subject, "disks/%zu", vm->disks.count);
    if (!resource || !resource[0]) {
        new_disk(item, vm, &disk);
    } else if (host_resource(resource, "disk", &id) && rh_ovf_disk_at(o, id)) {
        from_disk(o, vm, &disk, rh_ovf_disk_at(o, id), subject, findings);
    } else if (host_resource(resource, "file", &id) && rh_ovf_file_at(o, id)) {
        rh_set_text(vm, &disk.id, id, RH_FROM_OVF, NULL);
        from_file(vm, &disk, rh_ovf_file_at(o, id));
        rh_ovf_file_at(o, id)->used = true;
    } else {
        rh_finding_add(
            findings, RH_F_OVF_REFERENCE, "vm",
            "\"%s\" asks for \"%s\", which is not in the package; the "
            "disk was left out",
            rh_ovf_item_name(item), resource)
            ->severity = RH_SEVERITY_BLOCKER;
        return;
    }
    add_disk(o, items, item, vm, &disk, subject, findings);
}

void rh_ovf_cdrom_item(struct rh_ovf *o, const struct rh_items *items,
                       const struct rh_item *item, struct rh_vm *vm,
                       struct rh_findings *findings)
{
    const char *resource = item->field[RH_ITEM_HOST_RESOURCE];
    struct rh_cdrom_config *cd;
    struct rh_ovf_file *file = NULL;
    struct place at;
    const char *id;
    char subject[32];
    bool b;

    if (vm->cdroms.count >= RH_LIMIT_VM_DISKS)
        return;
    snprintf(subject, sizeof subject, "cdroms/%zu", vm->cdroms.count);
    cd = rh_vec_add(&vm->cdroms);
    at = (struct place){&cd->controller, &cd->bus, &cd->unit};
    plug(items, item, vm, &at, subject, findings);
    if (rh_parse_bool(item->field[RH_ITEM_AUTOMATIC], &b))
        rh_set_bool(vm, &cd->connected, b, RH_FROM_OVF, NULL);
    if (!resource || !resource[0])
        return;
    if (host_resource(resource, "file", &id))
        file = rh_ovf_file_at(o, id);
    else if (host_resource(resource, "disk", &id) && rh_ovf_disk_at(o, id))
        file = rh_ovf_file_at(o, rh_ovf_resource(o, resource)->file_ref);
    if (rh_ovf_resource(o, resource))
        rh_ovf_resource(o, resource)->uses++;
    if (file)
        file->used = true;
    if (file)
        rh_set_text(vm, &cd->file, file->href, RH_FROM_OVF, NULL);
    else
        rh_finding_add(
            findings, RH_F_OVF_REFERENCE, subject,
            "the CD drive \"%s\" asks for \"%s\", which is not in the "
            "package; the drive stays empty",
            rh_ovf_item_name(item), resource);
}

/* --- what nobody has
 * --------------------------------------------------------------------- */
/* A disk counts as used when one that is laid over it is. */
static void use_parents(struct rh_ovf *o)
{
    for (size_t i = 0; i < o->disks.count; i++) {
        struct rh_ovf_disk *d = &o->disks.items[i];

        for (unsigned n = 0;
             d && d->uses && d->parent_ref && n < RH_LIMIT_CHAIN; n++) {
            d = rh_ovf_disk_at(o, d->parent_ref);
            if (d && d->uses)
                break;
            if (d)
                d->uses = 1;
        }
    }
}

static bool is_used(struct rh_ovf *o, const struct rh_ovf_disk *d)
{
    const struct rh_ovf_file *file = rh_ovf_file_at(o, d->file_ref);

    return d->uses || (file && file->used);
}

void rh_ovf_unused(struct rh_ovf *o)
{
    size_t unused = 0;

    use_parents(o);
    for (size_t i = 0; i < o->disks.count; i++) {
        const struct rh_ovf_disk *d = &o->disks.items[i];
        const struct rh_ovf_file *file = rh_ovf_file_at(o, d->file_ref);

        if (is_used(o, d))
            continue;
        rh_finding_add(&o->p->findings, RH_F_DISK_UNUSED, "package",
                       d->elsewhere
                           ? N_("the disk \"%s\" (\"%s\") belongs to "
                                "another configuration")
                           : N_("the disk \"%s\" (\"%s\") is attached to "
                                "no VM, and is not converted"),
                       d->id, file ? file->href : "")
            ->severity = d->elsewhere ? RH_SEVERITY_INFO : RH_SEVERITY_CAUTION;
        unused += !d->elsewhere && file;
    }
    for (size_t i = 0; unused && i < o->p->vms.count; i++)
        if (!o->p->vms.items[i]->disks.count)
            rh_finding_add(&o->p->vm_findings.items[i], RH_F_DISK_UNUSED, "vm",
                           "the VM has no disk, and %zu disks of the package "
                           "belong to nobody",
                           unused)
                ->severity = RH_SEVERITY_BLOCKER;
}
