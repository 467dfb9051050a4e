/* fat.c - reading FAT: the boot sector, chains, folders. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/fat.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volumes/fat_names.h"

enum { TABLE_MAX = 16 * 1024 * 1024 };

/* --- the allocation table
 * ------------------------------------------------------ */
bool rh_fat_valid(const struct rh_fat *f, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < f->clusters;
}

uint32_t rh_fat_next(const struct rh_fat *f, uint32_t cluster)
{
    uint32_t pair;

    if (f->bits == 32)
        return rh_le32(f->table + 4 * (size_t)cluster) & 0x0fffffff;
    if (f->bits == 16)
        return rh_le16(f->table + 2 * (size_t)cluster);
    /* Three bytes hold two of them. */
    pair = rh_le16(f->table + cluster + cluster / 2);
    return cluster % 2 ? pair >> 4 : pair & 0xfff;
}

uint64_t rh_fat_offset(const struct rh_fat *f, uint32_t cluster)
{
    return f->data_at + (uint64_t)(cluster - 2) * f->cluster_size;
}

int rh_fat_damaged(const struct rh_fat *f, const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "the FAT file system on %s: %s",
                   f->volume->device, what);
}

int rh_fat_read_chain(const struct rh_fat *f, uint32_t cluster, uint64_t size,
                      uint8_t *to, rh_error **err)
{
    while (size) {
        size_t part = (size_t)RH_MIN(size, (uint64_t)f->cluster_size);

        if (!rh_fat_valid(f, cluster))
            return rh_fat_damaged(f, _("a chain of clusters is cut short"),
                                  err);
        if (rh_volume_read(f->disks, f->volume, to, part,
                           rh_fat_offset(f, cluster), err) < 0)
            return -1;
        to += part;
        size -= part;
        cluster = rh_fat_next(f, cluster);
    }
    return 0;
}

uint32_t rh_fat_chain_length(const struct rh_fat *f, uint32_t cluster)
{
    uint32_t n = 0;

    while (rh_fat_valid(f, cluster)) {
        if (++n > f->clusters)
            return 0;
        cluster = rh_fat_next(f, cluster);
    }
    return n;
}

/* --- folders
 * ------------------------------------------------------------------------ */
void rh_fat_dir_free(struct rh_fat_dir *d)
{
    free(d->bytes);
    d->bytes = NULL;
}

bool rh_fat_fixed_root(const struct rh_fat *f, uint32_t cluster)
{
    return f->bits != 32 && cluster == 0;
}

int rh_fat_read_dir(const struct rh_fat *f, uint32_t cluster,
                    struct rh_fat_dir *ret, rh_error **err)
{
    bool fixed = rh_fat_fixed_root(f, cluster);
    uint64_t size = f->root_size;

    cluster = cluster || fixed ? cluster : f->root_cluster;
    if (!fixed)
        size = (uint64_t)rh_fat_chain_length(f, cluster) * f->cluster_size;
    if (!size || size > RH_FAT_DIR_MAX)
        return rh_fat_damaged(f, _("a folder's size is impossible"), err);
    ret->cluster = cluster;
    ret->size = (uint32_t)size;
    ret->bytes = rh_alloc_big(ret->size, err);
    if (!ret->bytes)
        return -1;
    if (fixed)
        return rh_volume_read(f->disks, f->volume, ret->bytes, ret->size,
                              f->root_at, err);
    return rh_fat_read_chain(f, cluster, ret->size, ret->bytes, err);
}

uint32_t rh_fat_first_cluster(const struct rh_fat *f, const uint8_t *e)
{
    uint32_t high = f->bits == 32 ? rh_le16(e + 20) : 0;

    return high << 16 | rh_le16(e + 26);
}

void rh_fat_each(const struct rh_fat_dir *d, rh_fat_entry_fn *fn, void *user)
{
    struct rh_fat_name name = {0};
    uint32_t first = 0;

    for (uint32_t i = 0; i < d->size / RH_FAT_ENTRY; i++) {
        const uint8_t *e = d->bytes + (size_t)i * RH_FAT_ENTRY;

        if (!e[0])
            return;
        if (e[0] == RH_FAT_DELETED) {
            rh_fat_name_reset(&name);
        } else if ((e[11] & 0x3f) == RH_FAT_ATTR_LONG) {
            if (!name.parts || e[0] & 0x40)
                first = i;
            rh_fat_name_part(&name, e);
        } else {
            if (!(e[11] & RH_FAT_ATTR_VOLUME)) {
                bool is_long = rh_fat_name_done(&name, e);

                if (fn(user, name.text, is_long ? first : i, i))
                    return;
            }
            rh_fat_name_reset(&name);
        }
    }
}

struct wanted {
    const char *name;
    bool found;
    uint32_t first, index;
};

static bool is_wanted(void *user, const char *name, uint32_t first,
                      uint32_t index)
{
    struct wanted *w = user;

    if (strcasecmp(name, w->name))
        return false;
    w->found = true;
    w->first = first;
    w->index = index;
    return true;
}

bool rh_fat_find(const struct rh_fat_dir *d, const char *name,
                 uint32_t *ret_first, uint32_t *ret_index)
{
    struct wanted w = {.name = name};

    rh_fat_each(d, is_wanted, &w);
    *ret_first = w.first;
    *ret_index = w.index;
    return w.found;
}

/* --- opening
 * ----------------------------------------------------------------------------
 */
static uint64_t table_bytes(const struct rh_fat *f)
{
    return ((f->clusters + 2ULL) * f->bits + 7) / 8;
}

/* The boot sector's numbers, each held against the volume.  NULL: sound. */
static const char *decode(struct rh_fat *f, const uint8_t *b, uint64_t room)
{
    uint32_t sector = rh_le16(b + 11), per_cluster = b[13];
    uint64_t reserved = rh_le16(b + 14), table, total, data, root;
    const char *why = _("its boot sector is not sound");

    f->tables = b[16];
    table = rh_le16(b + 22) ? rh_le16(b + 22) : rh_le32(b + 36);
    total = rh_le16(b + 19) ? rh_le16(b + 19) : rh_le32(b + 32);
    root = (uint64_t)rh_le16(b + 17) * RH_FAT_ENTRY;
    if (sector < 512 || sector > 4096 || !rh_power_of_two(sector) ||
        !rh_power_of_two(per_cluster) || !f->tables || f->tables > 4 ||
        !reserved || !table || root % sector)
        return why;
    f->table_at = reserved * sector;
    f->table_size = table * sector;
    f->root_at = f->table_at + f->tables * f->table_size;
    f->data_at = f->root_at + root;
    f->root_size = (uint32_t)root;
    f->cluster_size = per_cluster * sector;
    data = total * sector;
    if (data > room || f->data_at >= data || f->table_size > TABLE_MAX)
        return why;
    f->clusters = (uint32_t)((data - f->data_at) / f->cluster_size);
    /* As Linux tells them: FAT32 has no table size in the old field.  There are
     * small FAT32 partitions with fewer clusters than the format asks for. */
    f->bits = !rh_le16(b + 22) ? 32 : f->clusters < 4085 ? 12 : 16;
    if (!f->clusters || table_bytes(f) > f->table_size ||
        (f->bits != 32) != (root != 0))
        return why;
    if (f->bits == 32) {
        f->root_cluster = rh_le32(b + 44);
        f->info_at = (uint64_t)rh_le16(b + 48) * sector;
        if (!rh_fat_valid(f, f->root_cluster) || f->info_at >= f->table_at)
            return why;
    }
    return NULL;
}

int rh_fat_load(struct rh_disks *d, const struct rh_volume *v,
                struct rh_fat *ret, const char **ret_why, rh_error **err)
{
    struct rh_fat f = {.disks = d, .volume = v};
    uint8_t boot[512];

    *ret_why = NULL;
    if (rh_volume_bytes(v) < sizeof boot) {
        *ret_why = _("its boot sector is not sound");
        return -1;
    }
    if (rh_volume_read(d, v, boot, sizeof boot, 0, err) < 0)
        return -1;
    *ret_why = decode(&f, boot, rh_volume_bytes(v));
    if (*ret_why)
        return -1;
    f.table = rh_alloc_big((size_t)f.table_size, err);
    if (!f.table || rh_volume_read(d, v, f.table, (size_t)f.table_size,
                                   f.table_at, err) < 0) {
        free(f.table);
        return -1;
    }
    *ret = f;
    return 0;
}

void rh_fat_unload(struct rh_fat *f)
{
    free(f->table);
    f->table = NULL;
}
