/* diskfacts.c - what partitions and signatures say of the machine. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/diskfacts.h"

#include <string.h>

#include "base/bytes.h"
#include "volumes/fat.h"

static bool is_type(const struct rh_volume *v, const char *type)
{
    return v->part_type && !strcmp(v->part_type, type);
}

static bool holds(const struct rh_volume *v, const char *content)
{
    return v->fstype && !strcmp(v->fstype, content);
}

static bool is_esp(const struct rh_volume *v)
{
    return is_type(v, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b") ||
           is_type(v, "0xef");
}

/* GRUB's partition, and FreeBSD's. */
static bool is_bios_boot(const struct rh_volume *v)
{
    return is_type(v, "21686148-6449-6e6f-744e-656564454649") ||
           is_type(v, "83bd6b9d-7f41-11dc-be0b-001560b84f0f");
}

/* --- the EFI system partition
 * -------------------------------------------------- */
/* The cluster of what has that name in a folder; false: there is none. */
static int step(const struct rh_fat *f, uint32_t *cluster, const char *name,
                bool *ret_found, rh_error **err)
{
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint32_t first, index;

    if (rh_fat_read_dir(f, *cluster, &d, err) < 0)
        return -1;
    *ret_found = rh_fat_find(&d, name, &first, &index);
    if (*ret_found)
        *cluster =
            rh_fat_first_cluster(f, d.bytes + (size_t)index * RH_FAT_ENTRY);
    return 0;
}

static int search_esp(const struct rh_fat *f, struct rh_disk_facts *ret,
                      rh_error **err)
{
    uint32_t cluster = 0;
    bool found;

    if (step(f, &cluster, "EFI", &found, err) < 0)
        return -1;
    ret->efi_folder |= found;
    if (!found || !cluster || step(f, &cluster, "BOOT", &found, err) < 0)
        return found && cluster ? -1 : 0;
    if (!found || !cluster)
        return 0;
    if (step(f, &cluster, "BOOTX64.EFI", &found, err) < 0)
        return -1;
    ret->efi_loader |= found;
    return 0;
}

/* A file system that is damaged counts as holding EFI: nothing is concluded
 * from damage. */
static int look_into_esp(struct rh_disks *d, const struct rh_volume *v,
                         struct rh_disk_facts *ret, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    RH_AUTO(rh_fat_unload) struct rh_fat f = {0};
    const char *why;

    ret->esp = true;
    if (rh_fat_load(d, v, &f, &why, &fault) == 0 &&
        search_esp(&f, ret, &fault) == 0)
        return 0;
    if (fault && rh_error_number(fault) != RH_ERR_GUEST_DAMAGED) {
        if (err && !*err)
            *err = RH_TAKE(fault);
        return -1;
    }
    ret->efi_folder = true;
    return 0;
}

/* --- all of it
 * ---------------------------------------------------------------- */
/* The volumes do not outlive the facts. */
static void keep(char *to, size_t room, const char *text)
{
    if (text && strlen(text) < room)
        memcpy(to, text, strlen(text) + 1);
}

static int add(struct rh_disks *d, const struct rh_volume *v,
               struct rh_disk_facts *ret, rh_error **err)
{
    if (ret->partitions < RH_PARTITIONS_SHOWN) {
        struct rh_partition *p = &ret->partition[ret->partitions++];

        *p = (struct rh_partition){v->partition, v->fstype, "", ""};
        keep(p->type, sizeof p->type, v->part_type);
        keep(p->name, sizeof p->name, v->part_label);
    }
    ret->bitlocker |= holds(v, "BitLocker");
    ret->luks |= holds(v, "crypto_LUKS");
    ret->lvm |= holds(v, "LVM2_member");
    ret->bios_boot |= is_bios_boot(v);
    ret->windows |= is_type(v, "e3c9e316-0b5c-4db8-817d-f92df00215ae") ||
                    (ret->active && holds(v, "ntfs"));
    return is_esp(v) ? look_into_esp(d, v, ret, err) : 0;
}

int rh_disk_facts_of(struct rh_disks *d, const struct rh_volumes *v,
                     size_t disk, struct rh_disk_facts *ret, rh_error **err)
{
    const struct rh_disk_table *table = &v->disks.items[disk];
    uint64_t size = rh_disks_size(d, disk);
    struct rh_disk_facts f = {.table = table->kind,
                              .boot_code = table->boot_code,
                              .active = table->active,
                              .lacking =
                                  table->end > size ? table->end - size : 0};

    for (size_t i = 0; i < v->all.count; i++) {
        const struct rh_volume *one = &v->all.items[i];

        if (one->disk == disk && !one->lv && add(d, one, &f, err) < 0)
            return -1;
    }
    *ret = f;
    return 0;
}

int rh_disk_look(struct rh_reader *r, struct rh_disk_facts *ret, rh_error **err)
{
    RH_AUTO(rh_disks_freep) struct rh_disks *d = rh_disks_new(&r, 1, r->lib);
    RH_AUTO(rh_volumes_free) struct rh_volumes v = {.arena = rh_arena_new()};

    rh_disk_names(NULL, 1, v.arena, &rh_vec_add(&v.disks)->name);
    if (rh_table_read(d, 0, &v, err) < 0)
        return -1;
    return rh_disk_facts_of(d, &v, 0, ret, err);
}

char *rh_disk_facts_text(const struct rh_disk_facts *f)
{
    static const char *const tables[] = {"", "MBR", "GPT"};
    struct rh_buf b = {0};

    rh_buf_puts(&b, f->table == RH_TABLE_NONE ? _("no partition table")
                                              : tables[f->table]);
    for (unsigned i = 0; i < f->partitions; i++) {
        const struct rh_partition *p = &f->partition[i];

        if (p->number)
            rh_buf_printf(&b, "%s %u ", i ? "," : ":", p->number);
        else if (p->content)
            rh_buf_puts(&b, ": ");
        if (p->content)
            rh_buf_puts(&b, p->content);
        else if (p->number && p->name[0])
            rh_buf_printf(&b, _("unknown content (\"%s\")"), p->name);
        else if (p->number && p->type[0])
            rh_buf_printf(&b, _("unknown content (type %s)"), p->type);
        else if (p->number)
            rh_buf_puts(&b, _("unknown content"));
    }
    return rh_buf_take(&b);
}
