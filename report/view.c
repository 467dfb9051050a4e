/* view.c - questions that both renderings ask of a report document. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report/view.h"

#include <string.h>

#include "base/text.h"

const char *rh_word(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

uint64_t rh_number(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));

    return n > 0 ? (uint64_t)n : 0;
}

const char *rh_model_name(const json_t *report, const char *target)
{
    const json_t *model;
    size_t i;

    json_array_foreach (json_object_get(report, "models"), i, model)
        if (!strcmp(rh_word(model, "target"), target) &&
            rh_word(model, "name")[0])
            return rh_word(model, "name");
    return target;
}

const char *rh_advised_name(const json_t *report, const json_t *entry)
{
    const json_t *r = json_object_get(entry, "recommendation"), *model;
    size_t i;

    json_array_foreach (json_object_get(report, "models"), i, model)
        if (rh_word(r, "model")[0] &&
            !strcmp(rh_word(model, "model"), rh_word(r, "model")) &&
            rh_word(model, "name")[0])
            return rh_word(model, "name");
    return rh_model_name(report, rh_word(r, "target"));
}

bool rh_has_advice(const json_t *entry)
{
    const json_t *r = json_object_get(entry, "recommendation");

    return json_array_size(json_object_get(entry, "targets")) > 1 ||
           json_array_size(json_object_get(r, "reasons")) > 1;
}

const json_t *rh_best_target(const json_t *entry)
{
    const json_t *targets = json_object_get(entry, "targets"), *target;
    const char *advised =
        rh_word(json_object_get(entry, "recommendation"), "target");
    size_t i;

    json_array_foreach (targets, i, target)
        if (!strcmp(rh_word(target, "target"), advised))
            return target;
    return json_array_get(targets, 0);
}

struct word {
    const char *code, *text;
};

static const char *look_up(const struct word *words, size_t n, const char *code)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(words[i].code, code))
            return words[i].text;
    return code;
}

const char *rh_verdict_word(const char *verdict)
{
    static const struct word words[] = {
        {"ready", N_("ready")},
        {"caution", N_("with caution")},
        {"blocked", N_("blocked")},
    };

    return verdict[0] ? _(look_up(words, RH_COUNT(words), verdict)) : "";
}

const char *rh_effort_word(const char *effort)
{
    static const struct word words[] = {
        {"easy", N_("easy")},
        {"some-caution", N_("some caution")},
        {"manual", N_("manual")},
    };

    return effort[0] ? _(look_up(words, RH_COUNT(words), effort)) : "";
}

const char *rh_severity_word(const char *severity)
{
    static const struct word words[] = {
        {"info", N_("note")},
        {"caution", N_("caution")},
        {"blocker", N_("blocker")},
    };

    return severity[0] ? _(look_up(words, RH_COUNT(words), severity)) : "";
}

/* Names of products and interfaces: the same in every language. */
const char *rh_device_word(const char *device)
{
    static const struct word words[] = {
        {"ide", "IDE"},
        {"sata", "SATA"},
        {"nvme", "NVMe"},
        {"lsilogic", "LSI Logic SCSI"},
        {"lsisas", "LSI Logic SAS"},
        {"pvscsi", "PVSCSI"},
        {"buslogic", "BusLogic SCSI"},
        {"virtio-scsi", "VirtIO SCSI"},
        {"virtio-blk", "VirtIO block"},
        {"virtio", "VirtIO"},
        {"virtio-net", "VirtIO network"},
        {"vmxnet3", "VMXNET3"},
        {"vmxnet2", "VMXNET2"},
        {"e1000", "Intel E1000"},
        {"e1000e", "Intel E1000E"},
        {"pcnet32", "AMD PCnet32"},
        {"rtl8139", "Realtek RTL8139"},
        {"xen-vbd", "Xen block"},
        {"xen-vif", "Xen network"},
        {"xen", "Xen PV"},
        {"vmware", "VMware"},
        {"nutanix", "Nutanix"},
        {"virtualbox", "VirtualBox"},
        {"bios", "BIOS"},
        {"uefi", "UEFI"},
    };

    return look_up(words, RH_COUNT(words), device);
}

char *rh_human_time(uint64_t seconds)
{
    if (seconds < 90)
        return rh_printf(_("about %llu s"), (unsigned long long)seconds);
    if (seconds < 90 * 60)
        return rh_printf(_("about %llu min"),
                         (unsigned long long)(seconds + 30) / 60);
    return rh_printf(_("about %llu h"),
                     (unsigned long long)(seconds + 1800) / 3600);
}

const char *rh_vm_title(const json_t *entry)
{
    const json_t *vm = json_object_get(entry, "vm");
    const char *name = rh_word(vm, "name");

    return name[0] ? name : rh_word(vm, "id");
}

uint64_t rh_vm_disk_bytes(const json_t *entry)
{
    const json_t *disk;
    uint64_t sum = 0;
    size_t i;

    json_array_foreach (json_object_get(json_object_get(entry, "vm"), "disks"),
                        i, disk)
        if (rh_add_overflows(sum, rh_number(disk, "capacity_bytes"), &sum))
            return UINT64_MAX;
    return sum;
}

const char *rh_vm_os(const json_t *entry)
{
    const json_t *os = json_object_get(json_object_get(entry, "vm"), "os");
    static const char *const keys[] = {"name", "profile", "family"};

    for (size_t i = 0; i < RH_COUNT(keys); i++)
        if (rh_word(os, keys[i])[0])
            return rh_word(os, keys[i]);
    return _("not known");
}

/* --- lines of several targets ----------------------------------------------
 */

static enum rh_kind kind_of(const json_t *finding)
{
    if (!strcmp(rh_word(finding, "severity"), "info"))
        return RH_KIND_NOTES;
    return json_is_true(json_object_get(finding, "automatic")) ? RH_KIND_HANDLED
                                                               : RH_KIND_TO_DO;
}

static void share(rh_shared_list *list, const json_t *item, size_t target)
{
    struct rh_shared *s;

    for (size_t i = 0; i < list->count; i++)
        if (json_equal(list->items[i].item, item)) {
            list->items[i].targets |= 1u << target;
            return;
        }
    s = rh_vec_add(list);
    s->item = item;
    s->targets = 1u << target;
}

static int rank(const json_t *finding)
{
    const char *severity = rh_word(finding, "severity");

    return !strcmp(severity, "blocker") ? 0 : !strcmp(severity, "caution");
}

/* Stable: a later target's blockers go before an earlier one's cautions. */
static void worst_first(rh_shared_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        struct rh_shared moved = list->items[i];
        size_t at = i;

        for (; at && rank(list->items[at - 1].item) > rank(moved.item); at--)
            list->items[at] = list->items[at - 1];
        list->items[at] = moved;
    }
}

void rh_shared_findings(const json_t *entry, enum rh_kind kind,
                        rh_shared_list *ret)
{
    const json_t *target, *finding;
    size_t t, i;

    json_array_foreach (json_object_get(entry, "targets"), t, target)
        json_array_foreach (json_object_get(target, "findings"), i, finding)
            if (t < 32 && kind_of(finding) == kind)
                share(ret, finding, t);
    worst_first(ret);
}

void rh_shared_edits(const json_t *entry, rh_shared_list *ret)
{
    const json_t *target, *edit;
    size_t t, i;

    json_array_foreach (json_object_get(entry, "targets"), t, target)
        json_array_foreach (json_object_get(target, "edits"), i, edit)
            if (t < 32)
                share(ret, edit, t);
}

size_t rh_count_findings(const json_t *target, enum rh_kind kind)
{
    const json_t *finding;
    size_t i, n = 0;

    json_array_foreach (json_object_get(target, "findings"), i, finding)
        n += kind_of(finding) == kind;
    return n;
}
