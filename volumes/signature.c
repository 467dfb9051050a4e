/* signature.c - which file system lies on a volume, its UUID and label.
 *
 * Offsets are those of each format's own on-disk description. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "volumes/volumes.h"

enum { HEAD = 132 * 1024 }; /* reaches the last signature: zfs at 128 KiB */

struct head {
    uint8_t *bytes;
    size_t size;
};

static bool at(const struct head *h, size_t offset, const char *magic, size_t n)
{
    return offset + n <= h->size && !memcmp(h->bytes + offset, magic, n);
}

char *rh_uuid_text(struct rh_arena *arena, const uint8_t b[16])
{
    return rh_arena_printf(
        arena,
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
        b[11], b[12], b[13], b[14], b[15]);
}

static void take_uuid(struct rh_volume *v, struct rh_arena *a,
                      const struct head *h, size_t offset)
{
    if (offset + 16 <= h->size && !rh_all_zero(h->bytes + offset, 16))
        v->uuid = rh_uuid_text(a, h->bytes + offset);
}

static void take_label(struct rh_volume *v, struct rh_arena *a,
                       const struct head *h, size_t offset, size_t n)
{
    const char *label = (const char *)h->bytes + offset;

    if (offset + n > h->size)
        return;
    n = strnlen(label, n);
    while (n && label[n - 1] == ' ')
        n--;
    if (n && !(n == 7 && !memcmp(label, "NO NAME", 7)))
        v->label = rh_arena_strndup(a, label, n);
}

/* ext2, 3 and 4 share a superblock; features tell them apart. */
static bool is_ext(struct rh_volume *v, struct rh_arena *a,
                   const struct head *h)
{
    enum { SB = 1024, COMPAT_JOURNAL = 4, INCOMPAT_EXT4 = 0x40 | 0x80 | 0x200 };
    uint32_t compat, incompat, ro;

    if (!at(h, SB + 56, "\x53\xef", 2) || h->size < SB + 1024)
        return false;
    compat = rh_le32(h->bytes + SB + 92);
    incompat = rh_le32(h->bytes + SB + 96);
    ro = rh_le32(h->bytes + SB + 100);
    v->fstype = incompat & INCOMPAT_EXT4 || ro & 0x78 ? "ext4"
                : compat & COMPAT_JOURNAL             ? "ext3"
                                                      : "ext2";
    take_uuid(v, a, h, SB + 104);
    take_label(v, a, h, SB + 120, 16);
    return true;
}

static bool is_swap(struct rh_volume *v, struct rh_arena *a,
                    const struct head *h)
{
    static const char *const suspended[] = {"S1SUSPEND", "S2SUSPEND",
                                            "ULSUSPEND", "LINHIB0001"};

    for (size_t page = 4096; page <= 65536; page *= 2) {
        bool asleep = false;

        for (size_t i = 0; i < RH_COUNT(suspended); i++)
            asleep |= at(h, page - 10, suspended[i], strlen(suspended[i]));
        if (!asleep && !at(h, page - 10, "SWAPSPACE2", 10) &&
            !at(h, page - 10, "SWAP-SPACE", 10))
            continue;
        v->fstype = "swap";
        v->hibernated = asleep;
        take_uuid(v, a, h, 1036);
        take_label(v, a, h, 1052, 16);
        return true;
    }
    return false;
}

static bool is_fat(struct rh_volume *v, struct rh_arena *a,
                   const struct head *h)
{
    bool wide = at(h, 0x52, "FAT32", 5);
    size_t serial = wide ? 0x43 : 0x27;

    if (!at(h, 510, "\x55\xaa", 2) || (!wide && !at(h, 0x36, "FAT", 3)))
        return false;
    v->fstype = "vfat";
    v->uuid = rh_arena_printf(a, "%04X-%04X", rh_le16(h->bytes + serial + 2),
                              rh_le16(h->bytes + serial));
    take_label(v, a, h, serial + 4, 11);
    return true;
}

static bool is_luks(struct rh_volume *v, struct rh_arena *a,
                    const struct head *h)
{
    if (!at(h, 0, "LUKS\xba\xbe", 6) || h->size < 512)
        return false;
    v->fstype = "crypto_LUKS";
    v->uuid = rh_arena_strndup(a, (const char *)h->bytes + 168,
                               strnlen((const char *)h->bytes + 168, 40));
    return true;
}

static bool is_ntfs(struct rh_volume *v, struct rh_arena *a,
                    const struct head *h)
{
    if (!at(h, 3, "NTFS    ", 8) || h->size < 512)
        return false;
    v->fstype = "ntfs";
    v->uuid = rh_arena_printf(a, "%08X%08X", rh_le32(h->bytes + 0x4c),
                              rh_le32(h->bytes + 0x48));
    return true;
}

/* The rest: a magic, and where UUID and label stand (0: nowhere).  Containers
 * stand before what may lie at their start.  Names are libblkid's where it has
 * one. */
static const struct {
    const char *fstype;
    size_t offset;
    const char *magic;
    size_t size, uuid, label, label_size;
} table[] = {
    {"xfs", 0, "XFSB", 4, 32, 108, 12},
    {"btrfs", 0x10040, "_BHRfS_M", 8, 0x10020, 0x1012b, 256},
    {"BitLocker", 3, "-FVE-FS-", 8, 0, 0, 0},
    /* To Go: a FAT for machines that do not know it, with BitLocker's GUID. */
    {"BitLocker", 0x1a8,
     "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01", 16, 0,
     0, 0},
    {"exfat", 3, "EXFAT   ", 8, 0, 0, 0},
    {"ReFS", 3, "ReFS\0\0\0\0", 8, 0, 0, 0},
    {"BSD_disklabel", 512, "\x57\x45\x56\x82", 4, 0, 0, 0},
    {"solaris_label", 512 + 12, "\xee\xde\x0d\x60", 4, 0, 0, 0},
    {"stratis", 512, "!Stra0tis\x86\xff\x02^\x41rh", 16, 0, 0, 0},
    {"vdo", 0, "dmvdo001", 8, 0, 0, 0},
    {"bcache", 4096 + 24,
     "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", 16,
     4096 + 40, 0, 0},
    {"LVM2_member", 512, "LABELONE", 8, 0, 0, 0},
    {"LVM2_member", 0, "LABELONE", 8, 0, 0, 0},
    {"LVM2_member", 1024, "LABELONE", 8, 0, 0, 0},
    {"LVM2_member", 1536, "LABELONE", 8, 0, 0, 0},
    {"LVM2_member", 512 + 24, "LVM2 001", 8, 0, 0, 0},
    {"LVM2_member", 24, "LVM2 001", 8, 0, 0, 0},
    {"linux_raid_member", 4096, "\xfc\x4e\x2b\xa9", 4, 4112, 0, 0},
    {"linux_raid_member", 0, "\xfc\x4e\x2b\xa9", 4, 16, 0, 0},
    {"iso9660", 0x8001, "CD001", 5, 0, 0x8028, 32},
    {"f2fs", 1024, "\x10\x20\xf5\xf2", 4, 0, 0, 0},
    {"squashfs", 0, "hsqs", 4, 0, 0, 0},
    {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4, 1072, 1088, 16},
    {"reiserfs", 0x10034, "ReIsEr", 6, 0x10054, 0x10064, 16},
    {"jfs", 0x8000, "JFS1", 4, 0x8088, 0x8098, 16},
    {"hfsplus", 1024, "H+\0\4", 4, 0, 0, 0},
    {"nilfs2", 1030, "\x34\x34", 2, 1176, 1192, 80},
    {"ocfs2", 8192, "OCFSV2", 6, 0, 0, 0},
    {"gfs2", 0x10000, "\x01\x16\x19\x70", 4, 0, 0, 0},
    {"ufs", 8192 + 1372, "\x54\x19\x01\x00", 4, 0, 0, 0},
    {"ufs", 65536 + 1372, "\x19\x01\x54\x19", 4, 0, 0, 0},
    {"ufs", 65536 + 1372, "\x38\x20\x01\x19", 4, 0, 0, 0},
    {"ufs", 8192 + 1372, "\x19\x01\x54\x19", 4, 0, 0, 0},
    {"ufs", 8192 + 1372, "\xde\xca\xde\x00", 4, 0, 0, 0}, /* Solaris, > 1 TB */
    /* Of SPARC and PowerPC: no system that runs here reads it. */
    {"ufs-big-endian", 8192 + 1372, "\x00\x01\x19\x54", 4, 0, 0, 0},
    {"ufs-big-endian", 65536 + 1372, "\x19\x54\x01\x19", 4, 0, 0, 0},
    {"zfs_member", 0x20000, "\x0c\xb1\xba", 3, 0, 0, 0},
    {"zfs_member", 0x20400, "\x0c\xb1\xba", 3, 0, 0, 0},
};

static void by_table(struct rh_volume *v, struct rh_arena *a,
                     const struct head *h)
{
    for (size_t i = 0; i < RH_COUNT(table) && !v->fstype; i++) {
        if (!at(h, table[i].offset, table[i].magic, table[i].size))
            continue;
        v->fstype = table[i].fstype;
        if (table[i].uuid)
            take_uuid(v, a, h, table[i].uuid);
        if (table[i].label)
            take_label(v, a, h, table[i].label, table[i].label_size);
    }
}

/* A pool's uberblocks are written in turn, so that the first ones may be empty
 * (zfs.c): then its label tells it, whose list begins like this.  The second
 * byte is the order of bytes of the machine that wrote it. */
static bool is_zfs(struct rh_volume *v, const struct head *h)
{
    if ((!at(h, 16384, "\1\1\0\0\0\0\0\0\0\0\0\1", 12) &&
         !at(h, 16384, "\1\0\0\0\0\0\0\0\0\0\0\1", 12)) ||
        !at(h, 16384 + 20, "\0\0\0\7version", 11))
        return false;
    v->fstype = "zfs_member";
    return true;
}

/* What shows nothing at its start is known by its partition's type. */
static const struct {
    const char *type, *fstype;
} by_type[] = {
    {"0x42", "LDM"},
    {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "LDM"},
    {"af9b60a0-1431-4f62-bc68-3311714a69ad", "LDM"},
    {"e75caf8f-f680-4cee-afa3-b001e56efc2d", "storage_spaces"},
};

static void by_part_type(struct rh_volume *v)
{
    for (size_t i = 0; v->part_type && i < RH_COUNT(by_type); i++)
        if (!strcmp(v->part_type, by_type[i].type))
            v->fstype = by_type[i].fstype;
}

bool rh_is_boot_sector(const char *fstype)
{
    static const char *const kinds[] = {"vfat", "ntfs", "exfat", "BitLocker",
                                        "ReFS"};

    for (size_t i = 0; fstype && i < RH_COUNT(kinds); i++)
        if (!strcmp(fstype, kinds[i]))
            return true;
    return false;
}

int rh_signature_read(struct rh_disks *d, struct rh_volume *v,
                      struct rh_arena *arena, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    struct head h;

    h.size = (size_t)RH_MIN(rh_volume_bytes(v), (uint64_t)HEAD);
    if (h.size < 1536)
        return 0;
    h.bytes = bytes = rh_malloc(h.size);
    if (rh_volume_read(d, v, bytes, h.size, 0, err) < 0)
        return -1;
    if (is_luks(v, arena, &h) || is_ntfs(v, arena, &h))
        return 0;
    by_table(v, arena, &h);
    if (!v->fstype && !is_swap(v, arena, &h) && !is_ext(v, arena, &h) &&
        !is_fat(v, arena, &h) && !is_zfs(v, &h))
        by_part_type(v);
    if (v->fstype && !strcmp(v->fstype, "zfs_member"))
        return rh_zfs_read(d, v, arena, err);
    return 0;
}
