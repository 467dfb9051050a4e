/* boot.c - the boot loaders of a BSD that lie on the VM's disks, outside of its
 * file systems: what is known is named, the rest is not guessed.
 *
 * Told by files of the EFI system partition, and by words that boot code
 * prints (gptboot(8), gptzfsboot(8), boot(8) of FreeBSD; biosboot(8) of
 * OpenBSD). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"
#include "volumes/fat.h"

enum {
    CODE_MAX = 512 * 1024, /* of boot code that is looked through */
    LOADERS_MAX = 16,
    DEPTH = 3
};

static bool is_type(const struct rh_volume *v, const char *type)
{
    return v->part_type && !strcmp(v->part_type, type);
}

static void add(struct rh_bsd *b, const char *name, const char *where)
{
    if (b->loaders.count < LOADERS_MAX)
        *rh_vec_add(&b->loaders) =
            rh_arena_printf(b->arena, "%s (%s)", name, where);
}

/* --- UEFI
 * --------------------------------------------------------------------- */
static const struct {
    const char *path[DEPTH], *name;
} efi_files[] = {
    {{"EFI", "FREEBSD", "LOADER.EFI"}, "loader.efi"},
    {{"EFI", "OPENBSD", "BOOTX64.EFI"}, "EFI/openbsd/bootx64.efi"},
    {{"EFI", "BOOT", "BOOTX64.EFI"}, "EFI/BOOT/BOOTX64.EFI"},
    {{"EFI", "BOOT", "BOOTIA32.EFI"}, "EFI/BOOT/BOOTIA32.EFI"},
    {{"EFI", "BOOT", "BOOTAA64.EFI"}, "EFI/BOOT/BOOTAA64.EFI"},
};

static bool has_file(const struct rh_fat *f, const char *const *path)
{
    uint32_t cluster = 0;

    for (unsigned i = 0; i < DEPTH; i++) {
        RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
        uint32_t first, index;

        if ((i && !cluster) || rh_fat_read_dir(f, cluster, &d, NULL) < 0 ||
            !rh_fat_find(&d, path[i], &first, &index))
            return false;
        cluster =
            rh_fat_first_cluster(f, d.bytes + (size_t)index * RH_FAT_ENTRY);
    }
    return true;
}

static void look_into_esp(struct rh_bsd *b, struct rh_session *s,
                          const struct rh_volume *v)
{
    RH_AUTO(rh_fat_unload) struct rh_fat f = {0};
    const char *why;

    if (rh_fat_load(s->disks, v, &f, &why, NULL) < 0)
        return;
    for (size_t i = 0; i < RH_COUNT(efi_files); i++)
        if (has_file(&f, efi_files[i].path))
            add(b, efi_files[i].name, v->device);
}

/* --- BIOS
 * --------------------------------------------------------------------- */
/* The first `n` bytes hold one of these words. */
static bool says(struct rh_session *s, const struct rh_volume *v, uint64_t n,
                 const char *const *words)
{
    size_t size = (size_t)RH_MIN(rh_volume_bytes(v), n);
    RH_AUTO(rh_freep) uint8_t *code = rh_malloc(size + 1);

    if (!size || rh_volume_read(s->disks, v, code, size, 0, NULL) < 0)
        return false;
    for (; *words; words++)
        if (!memmem(code, size, *words, strlen(*words)))
            return false;
    return true;
}

static const struct {
    const char *type; /* of the partition that it lies in */
    uint64_t bytes;   /* at whose start it stands */
    const char *words[3], *name;
} codes[] = {
    {"83bd6b9d-7f41-11dc-be0b-001560b84f0f",
     CODE_MAX,
     {"gptzfsboot"},
     "gptzfsboot"},
    {"83bd6b9d-7f41-11dc-be0b-001560b84f0f", CODE_MAX, {"gptboot"}, "gptboot"},
    {"0xa5", 8192, {"/boot/loader"}, "boot2"},
    {"0xa6", 512, {"Loading", "ERR M"}, "biosboot"},
    {"824cc7a0-36a8-11e3-890a-952519ad3f61",
     512,
     {"Loading", "ERR M"},
     "biosboot"},
};

static void look_for_code(struct rh_bsd *b, struct rh_session *s,
                          const struct rh_volume *v)
{
    for (size_t i = 0; i < RH_COUNT(codes); i++)
        if (is_type(v, codes[i].type) &&
            says(s, v, codes[i].bytes, codes[i].words)) {
            add(b, codes[i].name, v->device);
            return;
        }
}

void rh_bsd_find_loaders(struct rh_bsd *b, struct rh_session *s)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        if (v->letter || !v->span_count) /* inside of what was looked at */
            continue;
        if (is_type(v, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b") ||
            is_type(v, "0xef"))
            look_into_esp(b, s, v);
        else
            look_for_code(b, s, v);
    }
}
