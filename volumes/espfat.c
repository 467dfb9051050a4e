/* espfat.c - two look-ups in an EFI system partition's FAT: the folder EFI, and
 * EFI/BOOT/BOOTX64.EFI.  Short names are enough: both fit 8.3. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "volumes/diskfacts.h"

enum {
    ENTRY = 32,
    CHAIN_MAX = 64, /* clusters of one folder that are looked at */
    CLUSTER_MAX = 256 * 1024
};

struct fat {
    struct rh_reader *r;
    struct rh_codec *codec;
    uint64_t offset, size;
    uint32_t sector, cluster;   /* bytes */
    uint64_t table, root, data; /* offsets in the volume */
    uint32_t root_bytes;        /* FAT12/16; 0: the root is a chain */
    uint32_t root_cluster;
    uint64_t clusters;
    unsigned bits;
    uint8_t *buf;
};

static int read_at(struct fat *f, void *buf, size_t n, uint64_t at,
                   rh_error **err)
{
    if (at > f->size || n > f->size - at) {
        memset(buf, 0, n);
        return 0;
    }
    return rh_reader_read(f->r, f->codec, buf, n, f->offset + at, err);
}

/* False: no FAT that makes sense. */
static bool decode(struct fat *f, const uint8_t *b)
{
    uint64_t sectors = rh_le16(b + 19), per_table = rh_le16(b + 22);
    uint32_t reserved = rh_le16(b + 14), root_entries = rh_le16(b + 17);

    sectors = sectors ? sectors : rh_le32(b + 32);
    per_table = per_table ? per_table : rh_le32(b + 36);
    f->sector = rh_le16(b + 11);
    f->cluster = f->sector * b[13];
    if (f->sector < 512 || f->sector > 4096 || !rh_power_of_two(f->sector) ||
        !f->cluster || f->cluster > CLUSTER_MAX || !reserved || !b[16] ||
        b[16] > 4 || !per_table)
        return false;
    f->table = (uint64_t)reserved * f->sector;
    f->root = f->table + b[16] * per_table * f->sector;
    f->root_bytes = root_entries * ENTRY;
    f->data = f->root + rh_round_up(f->root_bytes, f->sector);
    if (f->data >= sectors * f->sector || f->data >= f->size)
        return false;
    f->clusters = (sectors * f->sector - f->data) / f->cluster;
    f->bits = f->clusters < 4085 ? 12 : f->clusters < 65525 ? 16 : 32;
    f->root_cluster = f->root_bytes ? 0 : rh_le32(b + 44);
    return true;
}

static int next_cluster(struct fat *f, uint32_t n, uint32_t *ret,
                        rh_error **err)
{
    uint64_t at = f->bits == 12 ? n + n / 2 : (uint64_t)n * (f->bits / 8);
    uint8_t b[4];
    uint32_t value;

    if (read_at(f, b, sizeof b, f->table + at, err))
        return -1;
    if (f->bits == 12)
        value = n % 2 ? rh_le16(b) >> 4 : rh_le16(b) & 0xfff;
    else
        value = f->bits == 16 ? rh_le16(b) : rh_le32(b) & 0xfffffff;
    *ret = value >= 2 && value - 2 < f->clusters ? value : 0;
    return 0;
}

/* In `n` bytes of a folder: the first cluster of that name, or 0. */
static bool find_in(const uint8_t *folder, size_t n, const char *name,
                    uint32_t *ret_cluster)
{
    for (size_t i = 0; i + ENTRY <= n && folder[i]; i += ENTRY) {
        const uint8_t *e = folder + i;

        if (e[11] == 0x0f || memcmp(e, name, 11))
            continue;
        *ret_cluster = (uint32_t)rh_le16(e + 20) << 16 | rh_le16(e + 26);
        return true;
    }
    return false;
}

static int find(struct fat *f, uint32_t folder, const char *name,
                uint32_t *ret_cluster, bool *ret_found, rh_error **err)
{
    *ret_found = false;
    if (!folder && f->root_bytes) {
        size_t n = RH_MIN(f->root_bytes, (uint32_t)CLUSTER_MAX);

        if (read_at(f, f->buf, n, f->root, err))
            return -1;
        *ret_found = find_in(f->buf, n, name, ret_cluster);
        return 0;
    }
    folder = folder ? folder : f->root_cluster;
    for (int i = 0; i < CHAIN_MAX && folder >= 2; i++) {
        if (folder - 2 >= f->clusters)
            return 0;
        if (read_at(f, f->buf, f->cluster,
                    f->data + (uint64_t)(folder - 2) * f->cluster, err))
            return -1;
        *ret_found = find_in(f->buf, f->cluster, name, ret_cluster);
        if (*ret_found)
            return 0;
        if (next_cluster(f, folder, &folder, err))
            return -1;
    }
    return 0;
}

static int look(struct fat *f, bool *ret_folder, bool *ret_loader,
                rh_error **err)
{
    uint32_t cluster = 0;
    uint8_t boot[512];

    if (read_at(f, boot, sizeof boot, 0, err))
        return -1;
    if (!decode(f, boot))
        return 0;
    if (find(f, 0, "EFI        ", &cluster, ret_folder, err))
        return -1;
    if (!*ret_folder || !cluster)
        return 0;
    if (find(f, cluster, "BOOT       ", &cluster, ret_loader, err))
        return -1;
    if (!*ret_loader || !cluster) {
        *ret_loader = false;
        return 0;
    }
    return find(f, cluster, "BOOTX64 EFI", &cluster, ret_loader, err);
}

static void freep(uint8_t **p)
{
    rh_freep(p);
}

int rh_esp_look(struct rh_reader *r, struct rh_codec *codec, uint64_t offset,
                uint64_t size, bool *ret_folder, bool *ret_loader,
                rh_error **err)
{
    RH_AUTO(freep) uint8_t *buf = rh_malloc(CLUSTER_MAX);
    struct fat f = {.r = r, .codec = codec, .offset = offset, .buf = buf};
    bool folder = true, loader = false;

    if (offset >= r->size)
        return 0;
    f.size = RH_MIN(size, r->size - offset);
    if (look(&f, &folder, &loader, err))
        return -1;
    *ret_folder = folder;
    *ret_loader = loader;
    return 0;
}
