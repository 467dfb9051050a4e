/* families.c - the families of guests that can be looked into. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "guestfix/bsd/bsd.h"
#include "guestfix/engine.h"
#include "guestfix/linux/family.h"
#include "guestfix/windows/windows.h"

const struct rh_family *const rh_families[] = {
    &rh_linux_family,
    &rh_windows_family,
    &rh_freebsd_family,
    &rh_openbsd_family,
    &rh_netbsd_family,
    &rh_solaris_family,
    NULL,
};

bool rh_may_hold_root(const struct rh_family *f, const struct rh_volume *v)
{
    /* UFS of Solaris is of the same magic, and of another make. */
    if (v->fstype && !strcmp(v->fstype, "ufs") &&
        (v->label_of && !strcmp(v->label_of, "solaris")) !=
            !strcmp(f->name, "solaris"))
        return false;
    /* A pool is opened once, by the first of its volumes. */
    if (v->zfs && v->zfs->here_count && v->zfs->here[0] != v)
        return false;
    for (const char *const *t = f->root_types; v->fstype && *t; t++)
        if (!strcmp(*t, v->fstype))
            return true;
    return false;
}

static const struct {
    const char *type, *family; /* a partition type, MBR or GPT */
} part_types[] = {
    {"0xa5", "freebsd"},
    {"0xa6", "openbsd"},
    {"0xa9", "netbsd"},
    {"0xbf", "solaris"},
    {"516e7cb4-6ecf-11d6-8ff8-00022d09712b", "freebsd"},
    {"516e7cb5-6ecf-11d6-8ff8-00022d09712b", "freebsd"},
    {"516e7cb6-6ecf-11d6-8ff8-00022d09712b", "freebsd"},
    {"516e7cba-6ecf-11d6-8ff8-00022d09712b", "freebsd"},
    {"83bd6b9d-7f41-11dc-be0b-001560b84f0f", "freebsd"},
    {"824cc7a0-36a8-11e3-890a-952519ad3f61", "openbsd"},
    {"49f48d5a-b10e-11dc-b99b-0019d1879648", "netbsd"},
    {"49f48d32-b10e-11dc-b99b-0019d1879648", "netbsd"},
    {"6a85cf4d-1dd2-11b2-99a6-080020736631", "solaris"},
    {"6a898cc3-1dd2-11b2-99a6-080020736631", "solaris"},
};

/* The type of Solaris' partitions is also what OpenZFS gives its own on Linux:
 * the pool's path of the disk tells them apart. */
static const char *of_pool(const struct rh_volume *v, const char *family)
{
    static const char *const linux_paths[] = {"/dev/disk/",   "/dev/sd",
                                              "/dev/vd",      "/dev/nvme",
                                              "/dev/mapper/", "/dev/xvd"};
    const char *path = v->zfs ? v->zfs->path : NULL;

    for (size_t i = 0; path && i < RH_COUNT(linux_paths); i++)
        if (!strncmp(path, linux_paths[i], strlen(linux_paths[i])))
            return "linux";
    return family;
}

const char *rh_family_hint(const struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const char *type = s->volumes.all.items[i].part_type;

        if (s->volumes.all.items[i].label_of)
            return s->volumes.all.items[i].label_of;

        for (size_t k = 0; type && k < RH_COUNT(part_types); k++)
            if (!strcmp(type, part_types[k].type))
                return of_pool(&s->volumes.all.items[i], part_types[k].family);
    }
    if (rh_volumes_have(&s->volumes, "ntfs") ||
        rh_volumes_have(&s->volumes, "BitLocker"))
        return "windows";
    return NULL;
}
