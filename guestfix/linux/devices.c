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

/* --- disks by what the VM says of them
 * ---------------------------------------------------- */
static bool has_controller(const struct rh_disk_config *d, const char *word)
{
    static const char *const others[] = {"ide", "sata", "nvme", "virtio-blk"};
    const char *c =
        d->controller.kind == RH_VALUE_TEXT ? d->controller.text : "pvscsi";
    bool scsi = true;

    for (size_t i = 0; i < RH_COUNT(others); i++)
        scsi &= strcmp(c, others[i]) != 0;
    return strcmp(word, "scsi") ? !strcmp(c, word) : scsi;
}

/* The one disk on such a controller with that unit; SIZE_MAX: none, or there
 * are several. */
static size_t disk_at(const struct rh_session *s, const char *controller,
                      uint64_t unit)
{
    const struct rh_vm *vm = s->o->vm;
    size_t found = SIZE_MAX;

    for (size_t i = 0; vm && i < s->count && i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[i];

        if (!has_controller(d, controller) || d->unit.kind != RH_VALUE_NUMBER ||
            d->unit.number != unit)
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = i;
    }
    return found;
}

static bool read_number(const char *p, uint64_t *ret)
{
    if (!p || *p < '0' || *p > '9')
        return false;
    *ret = strtoull(p, NULL, 10);
    return true;
}

/* "pci-0000:03:00.0-scsi-0:0:1:0" is unit 1; "...-ata-2" the second port, with
 * or without ".0"; "...-nvme-1" the first namespace. */
static size_t disk_by_unit(const struct rh_session *s, const char *spec)
{
    const char *scsi = strstr(spec, "-scsi-"), *ata = strstr(spec, "-ata-");
    const char *nvme = strstr(spec, "-nvme-");
    uint64_t n;

    /* Host and channel stand before it. */
    for (unsigned i = 0; scsi && i < 2; i++) {
        scsi = strchr(scsi, ':');
        scsi = scsi ? scsi + 1 : NULL;
    }
    if (read_number(scsi, &n))
        return disk_at(s, "scsi", n);
    if (ata && read_number(ata + 5, &n) && n)
        return disk_at(s, "sata", n - 1);
    if (nvme && read_number(nvme + 6, &n) && n)
        return disk_at(s, "nvme", n - 1);
    return SIZE_MAX;
}

static size_t disk_by_link(const struct rh_session *s, const char *root_spec,
                           const struct rh_volume *root, const char *spec)
{
    if (s->count == 1)
        return 0;
    if (root && !root->lv && is_by_link(root_spec)) {
        if (same_stem(root_spec, spec))
            return root->disk;
        if (s->count == 2 && !strncmp(root_spec, spec, 16))
            return 1 - root->disk;
    }
    return disk_by_unit(s, spec);
}

static const struct rh_volume *on_disk(const struct rh_session *s, size_t disk,
                                       unsigned partition)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (!v->lv && v->span_count && v->disk == disk &&
            v->partition == partition)
            return v;
    }
    return NULL;
}

/* --- disks by letter
 * ------------------------------------------------------------------------ */
/* "/dev/sdb3": the name without the partition, as SCSI disks have it; other
 * drivers named the same disks hda, vda, xvda.  NULL: no such name. */
static char *letter_of(const char *spec, unsigned *ret_partition)
{
    static const char *const stems[] = {"/dev/sd", "/dev/xvd", "/dev/vd",
                                        "/dev/hd"};

    for (size_t i = 0; i < RH_COUNT(stems); i++) {
        const char *p = spec + strlen(stems[i]);
        size_t n;

        if (strncmp(spec, stems[i], strlen(stems[i])))
            continue;
        n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        if (!n || p[n + strspn(p + n, "0123456789")])
            return NULL;
        *ret_partition = (unsigned)strtoul(p + n, NULL, 10);
        return rh_printf("/dev/sd%.*s", (int)n, p);
    }
    return NULL;
}

static size_t disk_named(const struct rh_session *s, const char *device)
{
    for (size_t i = 0; i < s->volumes.disks.count; i++)
        if (!strcmp(s->volumes.disks.items[i].name.device, device))
            return i;
    return SIZE_MAX;
}

/* An IDE disk's letter is its place on the cables, whoever else is there. */
static size_t ide_disk(const struct rh_session *s, const char *spec)
{
    const struct rh_vm *vm = s->o->vm;

    if (strncmp(spec, "/dev/hd", 7) || spec[7] < 'a' || spec[7] > 'd')
        return SIZE_MAX;
    for (size_t i = 0; vm && i < s->count && i < vm->disks.count; i++) {
        const struct rh_disk_config *d = &vm->disks.items[i];

        if (has_controller(d, "ide") && d->bus.kind == RH_VALUE_NUMBER &&
            d->unit.kind == RH_VALUE_NUMBER &&
            d->bus.number * 2 + d->unit.number == (uint64_t)(spec[7] - 'a'))
            return i;
    }
    return SIZE_MAX;
}

/* fstab's word for the root tells the letter of one disk for certain.  Where
 * that is not the counted one, the others are known of two disks only. */
static size_t disk_by_letter(const struct rh_session *s, const char *root_spec,
                             const struct rh_volume *root, const char *spec,
                             unsigned *ret_partition)
{
    RH_AUTO(rh_freep) char *device = letter_of(spec, ret_partition);
    unsigned ignored;
    RH_AUTO(rh_freep)
    char *root_device = root_spec ? letter_of(root_spec, &ignored) : NULL;
    size_t ide = ide_disk(s, spec);

    if (!device)
        return SIZE_MAX;
    if (ide != SIZE_MAX)
        return ide;
    if (root_device && root && !root->lv) {
        if (!strcmp(root_device, device))
            return root->disk;
        if (disk_named(s, root_device) != root->disk)
            return s->count == 2 ? 1 - root->disk : SIZE_MAX;
    }
    return disk_named(s, device);
}

bool rh_device_guessed(const struct rh_session *s, const char *root_spec,
                       const struct rh_volume *root, const char *spec)
{
    unsigned ignored;
    RH_AUTO(rh_freep) char *device = letter_of(spec, &ignored);
    RH_AUTO(rh_freep)
    char *root_device = root_spec ? letter_of(root_spec, &ignored) : NULL;
    size_t disk;

    if (!device || s->count == 1 || ide_disk(s, spec) != SIZE_MAX)
        return false;
    /* Root's own disk is known, and so is the other one of two. */
    if (root_device && root && !root->lv &&
        (s->count == 2 || !strcmp(root_device, device)))
        return false;
    disk = disk_named(s, device);
    return disk != SIZE_MAX && s->volumes.disks.items[disk].name.guessed;
}

/* --- all of them
 * ------------------------------------------------------------------------ */
const struct rh_volume *rh_device_find(const struct rh_session *s,
                                       const char *root_spec,
                                       const struct rh_volume *root,
                                       const char *spec)
{
    unsigned partition = 0;
    RH_AUTO(rh_freep) char *letter = letter_of(spec, &partition);
    const struct rh_volume *v;

    if (root && root_spec && !strcmp(root_spec, spec))
        return root;
    if (letter)
        return on_disk(s, disk_by_letter(s, root_spec, root, spec, &partition),
                       partition);
    v = rh_volume_named(&s->volumes, spec);
    if (v || !is_by_link(spec))
        return v;
    return on_disk(s, disk_by_link(s, root_spec, root, spec), part_of(spec));
}
