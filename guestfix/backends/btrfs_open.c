/* btrfs_open.c - the superblock of a btrfs, its checksums and its chunks.
 *
 * Offsets are those of the kernel's btrfs_tree.h.  All numbers are
 * little-endian. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2fs.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "guestfix/backends/btrfs.h"

enum {
    SUPER_BYTES = 4096,
    SUPER_AT = 65536,
    SUM_BYTES = 32,
    KEY_BYTES = 17,
    ARRAY_AT = 0x32b,
    ARRAY_MAX = 2048,
    CHUNK_HEAD = 48,
    STRIPE_BYTES = 32,
    STRIPES_MAX = 64,
    CHUNKS_MAX = 1 << 20,
};
/* Where its copies lie, as far as the device reaches. */
static const uint64_t copies_at[] = {1ULL << 26, 1ULL << 38};

/* --- checksums
 * ------------------------------------------------------------------ */
uint32_t rh_btrfs_crc32c(uint32_t seed, const void *bytes, size_t n)
{
    return ext2fs_crc32c_le(seed, bytes, n);
}

uint32_t rh_btrfs_name_hash(const void *name, size_t n)
{
    return rh_btrfs_crc32c(~1U, name, n);
}

/* They cover what stands behind them. */
bool rh_btrfs_sum_fits(enum rh_btrfs_sum kind, const uint8_t *block, size_t n)
{
    const uint8_t *bytes = block + SUM_BYTES;
    char hex[65];

    n -= SUM_BYTES;
    switch (kind) {
    case RH_BTRFS_CRC32C:
        return rh_le32(block) == ~rh_btrfs_crc32c(~0U, bytes, n);
    case RH_BTRFS_XXHASH:
        return rh_le64(block) == XXH64(bytes, n, 0);
    case RH_BTRFS_SHA256:
        break;
    }
    rh_sha256_hex(bytes, n, hex);
    for (size_t i = 0; i < SUM_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";

        if (hex[2 * i] != digits[block[i] >> 4] ||
            hex[2 * i + 1] != digits[block[i] & 15])
            return false;
    }
    return true;
}

/* --- the superblock
 * ------------------------------------------------------------- */
static bool is_super(const uint8_t *sb, uint64_t at)
{
    unsigned kind = rh_le16(sb + 0xc4);

    return !memcmp(sb + 0x40, "_BHRfS_M", 8) && rh_le64(sb + 0x30) == at &&
           kind <= RH_BTRFS_SHA256 &&
           rh_btrfs_sum_fits((enum rh_btrfs_sum)kind, sb, SUPER_BYTES);
}

/* The kernel mounts by the first one alone, so nothing is read by a copy. */
static const char *why_no_super(struct rh_fs *fs, const uint8_t *sb)
{
    uint64_t bytes = rh_volume_bytes(fs->volume);
    uint8_t copy[SUPER_BYTES];

    if (!memcmp(sb + 0x40, "_BHRfS_M", 8) &&
        rh_le16(sb + 0xc4) > RH_BTRFS_SHA256)
        return _("its blocks bear checksums of a kind that is not known here");
    for (size_t i = 0; i < RH_COUNT(copies_at); i++)
        if (bytes >= copies_at[i] + SUPER_BYTES &&
            rh_volume_read(fs->disks, fs->volume, copy, sizeof copy,
                           copies_at[i], NULL) == 0 &&
            is_super(copy, copies_at[i]))
            return _("its superblock is damaged, and a copy of it is whole: "
                     "\"btrfs rescue super-recover\" mends that");
    return _("its btrfs superblock is damaged, or of another kind");
}

static const struct {
    uint64_t bit;
    const char *why;
} not_read[] = {
    {1ULL << 12, N_("it is made for zoned devices")},
    {1ULL << 13, N_("its extents are kept in the second form")},
    {1ULL << 14, N_("it keeps a tree of stripes")},
};
enum { INCOMPAT_KNOWN = 0x10fff, FLAGS_KNOWN = 3 };

static const char *refuse(const uint8_t *sb)
{
    uint64_t incompat = rh_le64(sb + 0xbc);

    for (size_t i = 0; i < RH_COUNT(not_read); i++)
        if (incompat & not_read[i].bit)
            return _(not_read[i].why);
    if (incompat & ~(uint64_t)INCOMPAT_KNOWN)
        return _("it has features that are not known here");
    if (rh_le64(sb + 0x38) & ~(uint64_t)FLAGS_KNOWN)
        return _("it is marked as damaged, as a seed, or as half changed");
    if (rh_le64(sb + 0x88) != 1)
        return _("it lies on several devices");
    if (rh_le64(sb + 0x60))
        return _("its log has to be replayed");
    return NULL;
}

static bool sound(const struct rh_btrfs *b, const uint8_t *sb)
{
    return rh_power_of_two(b->sector) && b->sector >= 512 &&
           b->sector <= RH_BTRFS_NODE_MAX && rh_power_of_two(b->node) &&
           b->node >= b->sector && b->node >= 1024 &&
           b->node <= RH_BTRFS_NODE_MAX && rh_le32(sb + 0xa0) <= ARRAY_MAX &&
           b->root_tree.level < 8 && b->chunk_tree.level < 8;
}

static void take_numbers(struct rh_btrfs *b, const uint8_t *sb)
{
    b->incompat = rh_le64(sb + 0xbc);
    b->compat_ro = rh_le64(sb + 0xb4);
    b->sum = (enum rh_btrfs_sum)rh_le16(sb + 0xc4);
    b->sector = rh_le32(sb + 0x90);
    b->node = rh_le32(sb + 0x94);
    memcpy(b->id, sb + (b->incompat & 1 << 10 ? 0x23b : 0x20), 16);
    b->generation = rh_le64(sb + 0x48);
    b->root_tree.block = rh_le64(sb + 0x50);
    b->root_tree.generation = b->generation;
    b->root_tree.level = sb[0xc6];
    b->chunk_tree.block = rh_le64(sb + 0x58);
    b->chunk_tree.generation = rh_le64(sb + 0xa4);
    b->chunk_tree.level = sb[0xc7];
    b->devid = rh_le64(sb + 0xc9);
    b->device_bytes = rh_le64(sb + 0xc9 + 8);
    b->device_used = rh_le64(sb + 0xc9 + 16);
}

/* --- chunks
 * ----------------------------------------------------------------------- */
enum {
    RAID0 = 8,
    MIRRORED = 16 | 32 | 512 | 1024, /* RAID1, DUP, RAID1C3, RAID1C4 */
    PROFILES = 0x7f8,
};

/* Where its stripes lie on this device; NULL: they are taken. */
static const char *take_stripes(const struct rh_btrfs *b, uint64_t bytes,
                                const uint8_t *p, struct rh_btrfs_chunk *c)
{
    uint64_t profile = c->type & PROFILES;
    unsigned n = rh_le16(p + 44);
    bool whole = !profile || (profile == RAID0 && n == 1) ||
                 ((profile & MIRRORED) && rh_power_of_two(profile));

    if (!whole)
        return _("its data is striped over several devices");
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *stripe = p + CHUNK_HEAD + (size_t)STRIPE_BYTES * i;
        uint64_t at = rh_le64(stripe + 8);

        if (rh_le64(stripe) != b->devid)
            continue;
        if (c->copy_count == RH_BTRFS_COPIES || (!profile && n != 1) ||
            at > bytes || c->length > bytes - at)
            return _("its map of chunks is damaged");
        c->copies[c->copy_count++] = at;
    }
    return c->copy_count ? NULL : _("parts of it lie on another device");
}

/* One item; *ret_size is what it takes. */
static const char *take_chunk(const struct rh_btrfs *b, uint64_t bytes,
                              uint64_t logical, const uint8_t *p, size_t room,
                              struct rh_btrfs_chunk *ret, size_t *ret_size)
{
    uint64_t end;
    unsigned n;

    *ret = (struct rh_btrfs_chunk){.logical = logical};
    if (room < CHUNK_HEAD)
        return _("its map of chunks is damaged");
    n = rh_le16(p + 44);
    ret->length = rh_le64(p);
    ret->type = rh_le64(p + 24);
    *ret_size = CHUNK_HEAD + (size_t)STRIPE_BYTES * n;
    if (!n || n > STRIPES_MAX || *ret_size > room || !ret->length ||
        ret->length % b->sector || logical % b->sector ||
        rh_add_overflows(logical, ret->length, &end))
        return _("its map of chunks is damaged");
    return take_stripes(b, bytes, p, ret);
}

static int by_address(const void *a, const void *b)
{
    const struct rh_btrfs_chunk *x = a, *y = b;

    return x->logical < y->logical ? -1 : x->logical > y->logical;
}

/* Those that the tree of chunks itself lies in. */
static const char *take_array(struct rh_btrfs *b, uint64_t bytes,
                              const uint8_t *sb)
{
    const uint8_t *p = sb + ARRAY_AT, *end = p + rh_le32(sb + 0xa0);

    while (p < end) {
        struct rh_btrfs_chunk one;
        const char *why;
        size_t size = 0;

        if (end - p < KEY_BYTES || p[8] != RH_BTRFS_CHUNK)
            return _("its map of chunks is damaged");
        why = take_chunk(b, bytes, rh_le64(p + 9), p + KEY_BYTES,
                         (size_t)(end - p) - KEY_BYTES, &one, &size);
        if (why)
            return why;
        *rh_vec_add(&b->chunks) = one;
        p += KEY_BYTES + size;
    }
    if (!b->chunks.count)
        return _("its map of chunks is damaged");
    qsort(b->chunks.items, b->chunks.count, sizeof *b->chunks.items,
          by_address);
    return NULL;
}

/* The tree has all of them, those of the array among them. */
static int read_chunks(struct rh_fs *fs, const char **ret_why, rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(fs);
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_btrfs_key first = {RH_BTRFS_FIRST_FREE, RH_BTRFS_CHUNK, 0};
    RH_VEC(struct rh_btrfs_chunk) all = {0};
    uint64_t end = 0;
    int r = rh_btrfs_seek(fs, &b->chunk_tree, &first, &c, err);

    for (; r > 0 && c.key.type == RH_BTRFS_CHUNK && !*ret_why;
         r = rh_btrfs_next(fs, &c, err)) {
        struct rh_btrfs_chunk one;
        size_t size;

        *ret_why = take_chunk(b, rh_volume_bytes(fs->volume), c.key.offset,
                              c.data, c.size, &one, &size);
        if (!*ret_why && (one.logical < end || all.count == CHUNKS_MAX))
            *ret_why = _("its map of chunks is damaged");
        if (!*ret_why)
            *rh_vec_add(&all) = one;
        end = one.logical + one.length;
    }
    if (r >= 0 && !*ret_why && !all.count)
        *ret_why = _("its map of chunks is damaged");
    free(b->chunks.items);
    b->chunks.items = all.items;
    b->chunks.count = all.count;
    b->chunks.room = all.room;
    return r < 0 || *ret_why ? -1 : 0;
}

int rh_btrfs_read_super(struct rh_fs *fs, const char **ret_why, rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(fs);
    uint64_t bytes = rh_volume_bytes(fs->volume);
    uint8_t sb[SUPER_BYTES];

    if (bytes < SUPER_AT + SUPER_BYTES) {
        *ret_why = _("its btrfs superblock is damaged, or of another kind");
        return -1;
    }
    if (rh_volume_read(fs->disks, fs->volume, sb, sizeof sb, SUPER_AT, err) < 0)
        return -1;
    take_numbers(b, sb);
    *ret_why = is_super(sb, SUPER_AT) ? refuse(sb) : why_no_super(fs, sb);
    if (!*ret_why && !sound(b, sb))
        *ret_why = _("its btrfs superblock is damaged, or of another kind");
    if (!*ret_why)
        *ret_why = take_array(b, bytes, sb);
    return *ret_why ? -1 : read_chunks(fs, ret_why, err);
}
