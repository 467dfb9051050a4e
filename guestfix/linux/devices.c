/* devices.c - which volume a name of a device meant under VMware.
 *
 * UUID=, LABEL=, /dev/sda1 and logical volumes are known by themselves.  Names
 * by path or by the disk's serial number are told from what else is known: the
 * name of root's own disk, the unit in the path, or that there is one disk. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fstab.h"

/* The partition number at the end of "/dev/disk/by-path/...-part2"; 0: none. */
static unsigned part_of(const char *spec)
{
    const char *p = strstr(spec, "-part");

    return p ? (unsigned)strtoul(p + 5, NULL, 10) : 0;
}

static size_t stem_of(const char *spec)
{
    const char *p = strstr(spec, "-part");

    return p ? (size_t)(p - spec) : strlen(spec);
}

static bool same_stem(const char *a, const char *b)
{
    size_t n = stem_of(a);

    return n == stem_of(b) && !strncmp(a, b, n);
}

static bool is_by_link(const char *spec)
{
    return spec && (!strncmp(spec, "/dev/disk/by-path/", 18) ||
                    !strncmp(spec, "/dev/disk/by-id/", 16));
}

static bool is_scsi(const struct rh_disk_config *d)
{
    const char *c =
        d->controller.kind == RH_VALUE_TEXT ? d->controller.text : "pvscsi";

    return strcmp(c, "ide") && strcmp(c, "sata") && strcmp(c, "nvme");
}

/* "pci-0000:03:00.0-scsi-0:0:1:0" is unit 1, where only one SCSI disk is. */
static size_t disk_by_unit(const struct rh_session *s, const char *spec)
{
    const char *scsi = strstr(spec, "-scsi-");
    const struct rh_vm *vm = s->o->vm;
    unsigned long unit;
    size_t found = SIZE_MAX;

    /* Host and channel stand before it. */
    for (unsigned i = 0; scsi && i < 2; i++) {
        scsi = strchr(scsi, ':');
        scsi = scsi ? scsi + 1 : NULL;
    }
    if (!vm || !scsi || *scsi < '0' || *scsi > '9')
        return SIZE_MAX;
    unit = strtoul(scsi, NULL, 10);
    for (size_t i = 0; i < s->count && i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[i];

        if (!is_scsi(d) || d->unit.kind != RH_VALUE_NUMBER ||
            d->unit.number != unit)
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = i;
    }
    return found;
}

static size_t disk_by_link(const struct rh_session *s, const char *root_spec,
                           const struct rh_volume *root, const char *spec)
{
    size_t found;

    if (s->count == 1)
        return 0;
    if (root && !root->lv && is_by_link(root_spec)) {
        if (same_stem(root_spec, spec))
            return root->disk;
        if (s->count == 2 && !strncmp(root_spec, spec, 16))
            return 1 - root->disk;
    }
    found = disk_by_unit(s, spec);
    return found;
}

static const struct rh_volume *by_link(const struct rh_session *s,
                                       const char *root_spec,
                                       const struct rh_volume *root,
                                       const char *spec)
{
    size_t disk = disk_by_link(s, root_spec, root, spec);

    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (!v->lv && v->disk == disk && v->partition == part_of(spec))
            return v;
    }
    return NULL;
}

/* Other disk drivers named the same disks hda, vda, xvda. */
static const struct rh_volume *by_letter(const struct rh_session *s,
                                         const char *spec)
{
    static const char *const stems[] = {"/dev/hd", "/dev/vd", "/dev/xvd",
                                        "/dev/sd"};
    RH_AUTO(rh_freep) char *other = NULL;

    for (size_t i = 0; i < RH_COUNT(stems); i++)
        if (!strncmp(spec, stems[i], strlen(stems[i]))) {
            other = rh_printf("/dev/sd%s", spec + strlen(stems[i]));
            return rh_volume_named(&s->volumes, other);
        }
    return NULL;
}

const struct rh_volume *rh_device_find(const struct rh_session *s,
                                       const char *root_spec,
                                       const struct rh_volume *root,
                                       const char *spec)
{
    const struct rh_volume *v;

    if (root && root_spec && !strcmp(root_spec, spec))
        return root;
    v = rh_volume_named(&s->volumes, spec);
    if (!v)
        v = by_letter(s, spec);
    return v || !is_by_link(spec) ? v : by_link(s, root_spec, root, spec);
}
