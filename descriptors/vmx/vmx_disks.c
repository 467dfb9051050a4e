/* vmx_disks.c - scsi0:1, sata0:3, ide1:0, nvme0:0: disks and CD-ROMs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "vm/order.h"
#include "descriptors/beside.h"
#include "descriptors/ovf/ovf.h"
#include "descriptors/vmx/vmx.h"

struct address {
    const char *bus; /* "scsi" */
    unsigned controller, unit;
    char text[32]; /* "scsi0:1" */
};

/* "scsi0:1.filename" names the device scsi0:1. */
static bool address_of(const char *key, struct address *ret)
{
    static const char *const buses[] = {"ide", "nvme", "sata", "scsi"};
    unsigned long controller, unit;
    char *end;

    for (size_t i = 0; i < RH_COUNT(buses); i++) {
        size_t n = strlen(buses[i]);

        if (strncmp(key, buses[i], n) || !isdigit((unsigned char)key[n]))
            continue;
        controller = strtoul(key + n, &end, 10);
        if (*end != ':' || !isdigit((unsigned char)end[1]))
            return false;
        unit = strtoul(end + 1, &end, 10);
        if (*end != '.' || controller > 255 || unit > 255)
            return false;
        *ret = (struct address){buses[i], (unsigned)controller, (unsigned)unit,
                                ""};
        snprintf(ret->text, sizeof ret->text, "%s%lu:%lu", buses[i], controller,
                 unit);
        return true;
    }
    return false;
}

static bool is_false(const char *text)
{
    bool b = true;

    return rh_parse_bool(text, &b) && !b;
}

static bool present(const struct rh_vmx *v, const struct address *a)
{
    return !is_false(rh_vmx_getf(v, "%s.present", a->text)) &&
           !is_false(rh_vmx_getf(v, "%s%u.present", a->bus, a->controller));
}

static bool is_cdrom(const char *type)
{
    return type && strcasestr(type, "cdrom");
}

/* --- controllers
 * --------------------------------------------------------------------- */
static const char *scsi_model(const struct rh_vmx *v, const struct address *a,
                              const char **ret_detail,
                              struct rh_findings *findings)
{
    static const char *const models[][2] = {{"lsilogic", "lsilogic"},
                                            {"lsisas1068", "lsisas"},
                                            {"lsisas", "lsisas"},
                                            {"pvscsi", "pvscsi"},
                                            {"buslogic", "buslogic"}};
    const char *said = rh_vmx_getf(v, "scsi%u.virtualdev", a->controller);

    for (size_t i = 0; said && i < RH_COUNT(models); i++) {
        if (rh_same_word(models[i][0], said))
            return models[i][1];
    }
    *ret_detail = "the kind of bus; the model is not said";
    if (said && said[0])
        rh_finding_add(
            findings, RH_F_OVF_CONTROLLER, "vm",
            "the controller type \"%s\" is not known; it is taken as %s", said,
            "lsilogic");
    else
        rh_finding_add(
            findings, RH_F_OVF_CONTROLLER, "vm",
            "\"%s\" does not say which controller it is; it is taken as "
            "%s",
            a->text, "lsilogic");
    return "lsilogic";
}

static void plug(const struct rh_vmx *v, const struct address *a,
                 struct rh_vm *vm, struct rh_value *controller,
                 struct rh_value *bus, struct rh_value *unit,
                 struct rh_findings *findings)
{
    const char *detail = NULL;
    const char *model =
        strcmp(a->bus, "scsi") ? a->bus : scsi_model(v, a, &detail, findings);

    rh_set_text(vm, controller, model, RH_FROM_VMX, detail);
    rh_set_number(vm, bus, a->controller, RH_FROM_VMX, NULL);
    rh_set_number(vm, unit, a->unit, RH_FROM_VMX, NULL);
}

/* "web01-000002.vmdk": the second disk in a chain of snapshots. */
static bool is_snapshot(const char *name)
{
    size_t n = strlen(name), digits = 0;

    if (n < 12 || strcasecmp(name + n - 5, ".vmdk") || name[n - 12] != '-')
        return false;
    for (size_t i = n - 11; i < n - 5; i++)
        digits += isdigit((unsigned char)name[i]) != 0;
    return digits == 6;
}

static void disk_mode(const struct rh_vmx *v, const struct address *a,
                      struct rh_vm *vm, struct rh_disk_config *d,
                      const char *subject, struct rh_findings *findings)
{
    const char *mode = rh_vmx_getf(v, "%s.mode", a->text);
    const char *redo = rh_vmx_getf(v, "%s.redo", a->text);

    rh_vm_disk_mode(vm, d, mode, RH_FROM_VMX, subject, findings);
    if (redo && redo[0])
        rh_finding_add(findings, RH_F_VMX_SNAPSHOT, subject,
                       "the VM runs on a snapshot (redo log \"%s\")", redo);
    else if (is_snapshot(d->file.text))
        rh_finding_add(findings, RH_F_VMX_SNAPSHOT, subject,
                       "the VM runs on a snapshot (disk \"%s\")", d->file.text);
}

static int add_disk(struct rh_package *p, const struct rh_vmx *v,
                    const struct address *a, struct rh_vm *vm,
                    struct rh_findings *findings, rh_error **err)
{
    const char *name = rh_vmx_getf(v, "%s.filename", a->text);
    const char *type = rh_vmx_getf(v, "%s.devicetype", a->text);
    struct rh_disk_config *d;
    char subject[32];

    /* A CD drive or a tape of the host: a disk is a raw device mapping. */
    if (type && strcasestr(type, "passthru")) {
        rh_vm_add_device(vm, findings, "tape", a->text, name ? name : type,
                         false);
        return 0;
    }
    if (!name || !name[0]) {
        rh_finding_add(findings, RH_F_OVF_REFERENCE, "vm",
                       "%s is a disk without a file; it was left out", a->text);
        return 0;
    }
    if (vm->disks.count >= RH_LIMIT_VM_DISKS)
        return rh_fail(err, RH_ERR_VMX_LIMIT, "more than %d disks",
                       RH_LIMIT_VM_DISKS);
    snprintf(subject, sizeof subject, "disks/%zu", vm->disks.count);
    if (!rh_vmx_getf(v, "%s.present", a->text))
        rh_finding_add(findings, RH_F_VMX_PRESENT, subject,
                       "no line says that %s is present; it was taken as "
                       "present",
                       a->text);
    d = rh_vec_add(&vm->disks);
    rh_set_text(vm, &d->id, a->text, RH_FROM_VMX, NULL);
    plug(v, a, vm, &d->controller, &d->bus, &d->unit, findings);
    rh_disk_beside(p, vm, d, name, RH_FROM_VMX, subject, findings);
    disk_mode(v, a, vm, d, subject, findings);
    return 0;
}

static void add_cdrom(struct rh_package *p, const struct rh_vmx *v,
                      const struct address *a, struct rh_vm *vm,
                      struct rh_findings *findings)
{
    const char *name = rh_vmx_getf(v, "%s.filename", a->text);
    const char *type = rh_vmx_getf(v, "%s.devicetype", a->text);
    const char *connected = rh_vmx_getf(v, "%s.startconnected", a->text);
    struct rh_file_note note = {.href = name};
    struct rh_cdrom_config *cd;
    bool b;

    if (vm->cdroms.count >= RH_LIMIT_VM_DISKS)
        return;
    cd = rh_vec_add(&vm->cdroms);
    plug(v, a, vm, &cd->controller, &cd->bus, &cd->unit, findings);
    if (rh_parse_bool(connected, &b))
        rh_set_bool(vm, &cd->connected, b, RH_FROM_VMX, NULL);
    if (!name || !name[0] || !strcasestr(type, "image") ||
        rh_same_word(name, "emptyBackingString"))
        return;
    if (rh_name_absolute(name)) {
        rh_finding_add(
            findings, RH_F_VMX_CDROM, "vm",
            "the CD image \"%s\" lies outside the package; the drive "
            "stays empty",
            name);
        return;
    }
    rh_set_text(vm, &cd->file, name, RH_FROM_VMX, NULL);
    rh_package_note_file(p, &note);
}

/* --- order
 * -------------------------------------------------------------------------------
 */
static int by_place(const void *a, const void *b)
{
    static const char *const order[] = {"ide", "scsi", "sata", "nvme"};
    const struct address *x = a, *y = b;
    unsigned i = 0, j = 0;

    while (strcmp(order[i], x->bus))
        i++;
    while (strcmp(order[j], y->bus))
        j++;
    if (i != j)
        return i < j ? -1 : 1;
    if (x->controller != y->controller)
        return x->controller < y->controller ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static void hdd_order(const struct rh_vmx *v, struct rh_vm *vm)
{
    const char *p = rh_vmx_get(v, "bios.hddorder");

    for (unsigned n = 1; p && *p; n++) {
        size_t length = strcspn(p, ",");

        for (size_t i = 0; i < vm->disks.count; i++) {
            struct rh_disk_config *d = &vm->disks.items[i];

            if (strlen(d->id.text) == length &&
                !strncasecmp(d->id.text, p, length))
                rh_set_number(vm, &d->boot_order, n, RH_FROM_VMX, NULL);
        }
        p += length;
        p += *p == ',';
    }
}

int rh_vmx_disks(struct rh_package *p, const struct rh_vmx *v, struct rh_vm *vm,
                 struct rh_findings *findings, rh_error **err)
{
    RH_VEC(struct address) found = {0};
    int status = 0;

    for (size_t i = 0; i < v->entries.count; i++) {
        struct address a;

        if (!address_of(v->entries.items[i].key, &a) || !present(v, &a))
            continue;
        if (found.count && !by_place(&found.items[found.count - 1], &a))
            continue; /* the keys are sorted: another one of that device */
        *rh_vec_add(&found) = a;
    }
    if (found.count)
        qsort(found.items, found.count, sizeof *found.items, by_place);
    for (size_t i = 0; !status && i < found.count; i++) {
        const struct address *a = &found.items[i];

        if (i && !by_place(a - 1, a))
            continue;
        if (is_cdrom(rh_vmx_getf(v, "%s.devicetype", a->text)))
            add_cdrom(p, v, a, vm, findings);
        else
            status = add_disk(p, v, a, vm, findings, err);
    }
    free(found.items);
    hdd_order(v, vm);
    return status;
}
