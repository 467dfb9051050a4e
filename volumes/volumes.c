/* volumes.c - all that is on the disks, and finding it by name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/volumes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int rh_volumes_find(struct rh_disks *d, const struct rh_vm *vm,
                    struct rh_volumes *ret, rh_error **err)
{
    size_t count = rh_disks_count(d);
    RH_AUTO(rh_freep)
    struct rh_disk_name *names = rh_calloc(count + 1, sizeof *names);

    ret->arena = rh_arena_new();
    rh_disk_names(vm, count, ret->arena, names);
    for (size_t i = 0; i < count; i++)
        rh_vec_add(&ret->disks)->name = names[i];
    for (size_t i = 0; i < count; i++)
        if (rh_table_read(d, i, ret, err) < 0)
            return -1;
    if (rh_bsdlabel_find(d, ret, err) < 0)
        return -1;
    if (rh_lvm_find(d, ret, err) < 0)
        return -1;
    rh_zfs_gather(ret);
    return rh_geli_find(d, ret, err);
}

void rh_volumes_free(struct rh_volumes *v)
{
    for (size_t i = 0; i < v->all.count; i++)
        rh_zfs_forget(v->all.items[i].zfs);
    free(v->all.items);
    free(v->disks.items);
    rh_arena_free(v->arena);
    memset(v, 0, sizeof *v);
}

bool rh_volumes_have(const struct rh_volumes *v, const char *fstype)
{
    for (size_t i = 0; i < v->all.count; i++)
        if (v->all.items[i].fstype && !strcmp(v->all.items[i].fstype, fstype))
            return true;
    return false;
}

/* --- by name
 * --------------------------------------------------------------------- */
/* udev writes what is no letter, digit or mark in a link's name as \xNN. */
static bool same_value(const char *spec, size_t n, const char *value,
                       bool any_case)
{
    while (n) {
        bool hex = n >= 4 && spec[0] == '\\' && spec[1] == 'x' &&
                   isxdigit((unsigned char)spec[2]) &&
                   isxdigit((unsigned char)spec[3]) && *value != '\\';
        char digits[3] = {hex ? spec[2] : '\0', hex ? spec[3] : '\0', '\0'};
        char c = hex ? (char)strtoul(digits, NULL, 16) : *spec;

        if (!*value || (any_case ? strncasecmp(&c, value, 1) : c != *value))
            return false;
        value++;
        spec += hex ? 4 : 1;
        n -= hex ? 4 : 1;
    }
    return !*value;
}

/* UUID="..." and LABEL='...' are quoted at times. */
static bool value_is(const char *spec, const char *key, const char *value,
                     bool any_case)
{
    size_t n = strlen(key), length;

    if (!value || strncmp(spec, key, n))
        return false;
    spec += n;
    length = strlen(spec);
    if (length >= 2 && (*spec == '"' || *spec == '\'') &&
        spec[length - 1] == *spec) {
        spec++;
        length -= 2;
    }
    return same_value(spec, length, value, any_case);
}

/* /dev/mapper doubles the dashes of the names. */
static char *mapper_name(const char *vg, const char *lv)
{
    struct rh_buf b = {0};

    rh_buf_puts(&b, "/dev/mapper/");
    for (const char *p = vg; *p; p++)
        rh_buf_printf(&b, *p == '-' ? "--" : "%c", *p);
    rh_buf_putc(&b, '-');
    for (const char *p = lv; *p; p++)
        rh_buf_printf(&b, *p == '-' ? "--" : "%c", *p);
    return rh_buf_take(&b);
}

static bool is_named(const struct rh_volume *v, const char *spec)
{
    RH_AUTO(rh_freep) char *mapper = NULL;
    RH_AUTO(rh_freep) char *plain = NULL;
    static const char by_name[] = "/dev/disk/by-id/dm-name-";

    if (v->device && !strcmp(spec, v->device))
        return true;
    if (v->lv) {
        mapper = mapper_name(v->vg, v->lv);
        plain = rh_printf("/dev/%s/%s", v->vg, v->lv);
        return !strcmp(spec, mapper) || !strcmp(spec, plain) ||
               (!strncmp(spec, by_name, sizeof by_name - 1) &&
                !strcmp(spec + sizeof by_name - 1,
                        mapper + strlen("/dev/mapper/")));
    }
    return false;
}

const struct rh_volume *rh_volume_named(const struct rh_volumes *v,
                                        const char *spec)
{
    for (size_t i = 0; i < v->all.count; i++) {
        const struct rh_volume *one = &v->all.items[i];

        if (value_is(spec, "UUID=", one->uuid, true) ||
            value_is(spec, "/dev/disk/by-uuid/", one->uuid, true) ||
            value_is(spec, "LABEL=", one->label, false) ||
            value_is(spec, "/dev/disk/by-label/", one->label, false) ||
            value_is(spec, "PARTUUID=", one->part_uuid, true) ||
            value_is(spec, "/dev/disk/by-partuuid/", one->part_uuid, true) ||
            value_is(spec, "PARTLABEL=", one->part_label, false) ||
            value_is(spec, "/dev/disk/by-partlabel/", one->part_label, false) ||
            value_is(spec, "/dev/disk/by-id/dm-uuid-", one->dm_uuid, false) ||
            is_named(one, spec))
            return one;
    }
    return NULL;
}
