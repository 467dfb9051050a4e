/* merge.c - where two sources meet: disks by address, network cards by MAC or
 * number, and every disagreement said. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "config/describe.h"
#include "descriptors/beside.h"

/* --- one value
 * -------------------------------------------------------------------- */
static void conflict(const char *key, const struct rh_field *field,
                     const struct rh_value *kept, const struct rh_value *lost,
                     const char *rule, struct rh_findings *findings)
{
    RH_AUTO(rh_freep) char *a = rh_value_for_people(field, kept);
    RH_AUTO(rh_freep) char *b = rh_value_for_people(field, lost);
    RH_AUTO(rh_freep) char *from_a = rh_source_for_people(kept);
    RH_AUTO(rh_freep) char *from_b = rh_source_for_people(lost);
    struct rh_finding *f;

    f = rh_finding_add(findings, RH_F_CONFIG_CONFLICT, key,
                       "%s: %s says %s, %s says %s; %s counts, because %s",
                       _(field->about), from_a, a, from_b, b, from_a, rule);
    if (!strcmp(field->key, "annotation") || !strcmp(field->key, "name") ||
        !strcmp(field->key, "tags") || !strcmp(field->key, "folder") ||
        !strcmp(field->key, "resource_pool") || !strncmp(field->key, "os/", 3))
        f->severity = RH_SEVERITY_INFO;
}

static const char *rule_for(const struct rh_value *kept,
                            const struct rh_value *lost)
{
    if (kept->from == lost->from)
        return _("it was given first");
    if (kept->from >= RH_FROM_OVF && kept->from <= RH_FROM_PRISM)
        return _("the package is trusted more than what is beside it");
    if (kept->from == RH_FROM_GUEST)
        return _("the guest itself is trusted more than what is said of it");
    return _("it is trusted more");
}

void rh_merge_value(struct rh_vm *to, const char *key,
                    const struct rh_field *field, struct rh_value *v,
                    const struct rh_value *offer, struct rh_findings *findings)
{
    struct rh_value before = *v;

    switch (rh_vm_offer(to, v, offer)) {
    case RH_OFFER_LOST:
        conflict(key, field, v, offer, rule_for(v, offer), findings);
        break;
    case RH_OFFER_WON:
        if (before.from != RH_FROM_DEFAULT)
            conflict(key, field, v, &before, rule_for(v, &before), findings);
        break;
    default:
        break;
    }
}

/* All fields of an object but those in `except` (a list with blanks). */
static void offer_fields(struct rh_vm *to, void *object, const void *from,
                         const struct rh_field *fields, const char *prefix,
                         const char *except, struct rh_findings *findings)
{
    char key[96], word[48];

    for (const struct rh_field *f = fields; f->key; f++) {
        struct rh_value *v = (void *)((char *)object + f->offset);
        const struct rh_value *offer =
            (const void *)((const char *)from + f->offset);

        snprintf(word, sizeof word, " %s ", f->key);
        if (offer->kind == RH_VALUE_UNSET || strstr(except, word))
            continue;
        snprintf(key, sizeof key, "%s%s", prefix, f->key);
        rh_merge_value(to, key, f, v, offer, findings);
    }
}

/* --- disks
 * -------------------------------------------------------------------------------
 */
static bool same_text(const struct rh_value *a, const struct rh_value *b)
{
    return a->text && b->text && !strcmp(a->text, b->text);
}

static bool same_number(const struct rh_value *a, const struct rh_value *b)
{
    return a->kind == RH_VALUE_NUMBER && b->kind == RH_VALUE_NUMBER &&
           a->number == b->number;
}

static bool same_address(const struct rh_disk_config *a,
                         const struct rh_disk_config *b)
{
    const char *x = rh_controller_bus(a->controller.text);
    const char *y = rh_controller_bus(b->controller.text);

    return x && y && !strcmp(x, y) && same_number(&a->bus, &b->bus) &&
           same_number(&a->unit, &b->unit);
}

static bool file_named_by_id(const struct rh_disk_config *a,
                             const struct rh_disk_config *b)
{
    return a->file.text && b->id.text && strlen(b->id.text) >= 32 &&
           strcasestr(a->file.text, b->id.text);
}

static bool same_size(const struct rh_disk_config *a,
                      const struct rh_disk_config *b)
{
    return a->controller.kind == RH_VALUE_UNSET &&
           same_number(&a->capacity_bytes, &b->capacity_bytes);
}

static bool not_plugged(const struct rh_disk_config *a,
                        const struct rh_disk_config *b)
{
    (void)b;
    return a->controller.kind == RH_VALUE_UNSET;
}

typedef bool disk_test(const struct rh_disk_config *a,
                       const struct rh_disk_config *b);

static void pair_up(struct rh_vm *to, const struct rh_vm *from, size_t *match,
                    bool *used, disk_test *test)
{
    for (size_t i = 0; i < to->disks.count; i++) {
        for (size_t j = 0; match[i] == SIZE_MAX && j < from->disks.count; j++) {
            if (used[j] || !test(&to->disks.items[i], &from->disks.items[j]))
                continue;
            match[i] = j;
            used[j] = true;
        }
    }
}

static void offer_disk(struct rh_vm *to, size_t i,
                       const struct rh_disk_config *offer,
                       struct rh_findings *findings)
{
    struct rh_disk_config *d = &to->disks.items[i];
    const struct rh_value *said = &offer->capacity_bytes;
    char prefix[32], key[64];

    snprintf(prefix, sizeof prefix, "disks/%zu/", i);
    snprintf(key, sizeof key, "%scapacity_bytes", prefix);
    offer_fields(to, d, offer, rh_disk_fields, prefix,
                 " id file format variant capacity_bytes ", findings);
    /* A disk is as large as its file says, whatever was said about it. */
    if (d->capacity_bytes.kind == RH_VALUE_UNSET)
        rh_vm_offer(to, &d->capacity_bytes, said);
    else if (said->kind != RH_VALUE_UNSET &&
             said->number != d->capacity_bytes.number)
        rh_finding_add(findings, RH_F_CONFIG_CONFLICT, key,
                       "the disk has %" PRIu64 " bytes, %s says %" PRIu64
                       "; the package counts",
                       d->capacity_bytes.number,
                       said->detail ? said->detail : "", said->number);
}

static void leftovers(const struct rh_vm *from, const bool *used,
                      const char *name, struct rh_findings *findings)
{
    for (size_t j = 0; j < from->disks.count; j++) {
        const struct rh_disk_config *d = &from->disks.items[j];
        RH_AUTO(rh_freep) char *size = rh_human_size(d->capacity_bytes.number);

        if (!used[j])
            rh_finding_add(findings, RH_F_FILL_DISK, "vm",
                           "%s has a disk at %s %" PRIu64 ":%" PRIu64
                           " (%s) that is not in the package",
                           name, d->controller.text ? d->controller.text : "?",
                           d->bus.number, d->unit.number, size);
    }
}

/* Of several bare disks: pairs that their sizes do not tell apart, or that not
 * even agree in size, are a guess. */
static void tell_guess(const struct rh_vm *to, const struct rh_vm *from,
                       const size_t *match, const char *name,
                       struct rh_findings *findings)
{
    bool guess = false;

    for (size_t i = 0; i < to->disks.count; i++) {
        const struct rh_disk_config *d = &to->disks.items[i];

        if (match[i] == SIZE_MAX ||
            file_named_by_id(d, &from->disks.items[match[i]]))
            continue;
        guess |= !same_number(&d->capacity_bytes,
                              &from->disks.items[match[i]].capacity_bytes);
        for (size_t j = 0; j < i; j++)
            guess |= match[j] != SIZE_MAX &&
                     same_number(&d->capacity_bytes,
                                 &to->disks.items[j].capacity_bytes);
    }
    if (guess)
        rh_finding_add(
            findings, RH_F_FILL_DISK_ORDER, "vm",
            "%s does not show which of the disks is which; they were "
            "taken in the order given",
            name);
}

static void merge_disks(struct rh_vm *to, const struct rh_fill_vm *from,
                        const char *name, bool bare,
                        struct rh_findings *findings)
{
    static disk_test *const tests[] = {same_address, file_named_by_id,
                                       same_size, not_plugged};
    size_t match[RH_LIMIT_VM_DISKS];
    bool used[RH_LIMIT_VM_DISKS] = {false};
    size_t count = RH_MIN(to->disks.count, (size_t)RH_LIMIT_VM_DISKS);

    for (size_t i = 0; i < RH_COUNT(match); i++)
        match[i] = SIZE_MAX;
    for (size_t i = 0; from->by_index && i < count; i++) {
        for (size_t j = 0; match[i] == SIZE_MAX && j < from->vm->disks.count;
             j++) {
            const struct rh_disk_config *d = &from->vm->disks.items[j];

            if (same_text(&d->id, &to->disks.items[i].id) ||
                (!d->id.text && i == j)) {
                match[i] = j;
                used[j] = true;
            }
        }
    }
    for (size_t t = 0; !from->by_index && t < RH_COUNT(tests); t++)
        pair_up(to, from->vm, match, used, tests[t]);
    if (bare && count > 1 && !from->by_index)
        tell_guess(to, from->vm, match, name, findings);
    for (size_t i = 0; i < count; i++) {
        if (match[i] != SIZE_MAX)
            offer_disk(to, i, &from->vm->disks.items[match[i]], findings);
    }
    leftovers(from->vm, used, name, findings);
}

/* --- network cards and CD drives
 * --------------------------------------------------------- */
static void merge_nics(struct rh_vm *to, const struct rh_fill_vm *from,
                       const char *name, struct rh_findings *findings)
{
    size_t had = to->nics.count;
    bool used[RH_LIMIT_VM_NICS] = {false};
    size_t count = RH_MIN(from->vm->nics.count, (size_t)RH_LIMIT_VM_NICS);
    char prefix[32];

    /* A package that knows no network card leaves them to others. */
    while (!had && to->nics.count < count)
        rh_vec_add(&to->nics);
    if (had && count > had)
        rh_finding_add(findings, RH_F_FILL_NIC, "vm",
                       "%s has %zu network cards, the package %zu; the package "
                       "counts",
                       name, count, had);
    for (size_t i = 0; i < to->nics.count; i++) {
        size_t pick = i;

        for (size_t j = 0; j < count; j++) {
            if (same_text(&to->nics.items[i].mac, &from->vm->nics.items[j].mac))
                pick = j;
        }
        if (pick >= count || used[pick])
            continue;
        used[pick] = true;
        snprintf(prefix, sizeof prefix, "nics/%zu/", i);
        offer_fields(to, &to->nics.items[i], &from->vm->nics.items[pick],
                     rh_nic_fields, prefix, " ", findings);
    }
}

static void merge_cdroms(struct rh_vm *to, const struct rh_vm *from)
{
    struct rh_findings ignored = {0};

    if (to->cdroms.count)
        return;
    for (size_t i = 0; i < from->cdroms.count; i++)
        offer_fields(to, rh_vec_add(&to->cdroms), &from->cdroms.items[i],
                     rh_cdrom_fields, "", " file ", &ignored);
    rh_findings_free(&ignored);
}

static void merge_devices(struct rh_vm *to, const struct rh_vm *from)
{
    for (size_t i = 0; i < from->devices.count; i++) {
        struct rh_device *d = rh_vec_add(&to->devices);

        d->kind = rh_arena_strdup(to->arena, from->devices.items[i].kind);
        d->name = rh_arena_strdup(to->arena, from->devices.items[i].name);
        d->detail = rh_arena_strdup(to->arena, from->devices.items[i].detail);
        d->required = from->devices.items[i].required;
    }
}

void rh_merge_vm(struct rh_package *p, struct rh_vm *to,
                 const struct rh_fill_vm *from, const char *name,
                 struct rh_findings *findings)
{
    bool bare = p->kind && !strcmp(p->kind, "disk");

    /* The name of a bare disk is its file's name: anyone knows better. */
    if (bare && from->vm->name.text && to->name.from != RH_FROM_FILL &&
        to->name.from != RH_FROM_SET)
        to->name = (struct rh_value){0};
    offer_fields(to, to, from->vm, rh_vm_fields, "", " ", findings);
    merge_disks(to, from, name, bare, findings);
    if (bare && !from->by_index) {
        rh_disks_in_order(to, findings); /* the fill says where each is */
        rh_package_disks_moved(p);
    }
    merge_nics(to, from, name, findings);
    if (bare || !strcmp(to->source_kind, "nutanix")) {
        merge_cdroms(to, from->vm);
        merge_devices(to, from->vm);
    }
    if (bare && !strcmp(to->source_kind, "other"))
        to->source_kind = from->vm->source_kind; /* a literal */
}
