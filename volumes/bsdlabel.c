/* bsdlabel.c - partitions inside a partition: the disklabels of FreeBSD,
 * OpenBSD and NetBSD, and Solaris' VTOC.
 *
 * Both lie in the second sector of what they part.  FreeBSD counts from the
 * start of its slice (more exactly: from partition c), OpenBSD and NetBSD from
 * the start of the disk (sys/disklabel.h of each); a VTOC counts from its
 * partition (illumos sys/dklabel.h).  A label whose sums do not fit is left
 * alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "volumes/volumes.h"

enum {
    SECTOR = 512,
    ENTRIES_AT = 148,
    ENTRY = 16,
    ENTRIES_MAX = 22, /* NetBSD's bound; they end within the sector */
    RAW = 2,          /* partition c */
    SWAP = 1,
    FFS = 7,
    RAID = 19,
    ZFS = 27,
    VTOC_ENTRIES = 16,
    VTOC_BACKUP = 5, /* a tag: all of it */
};
static const uint32_t label_magic = 0x82564557, vtoc_magic = 0x600ddeee;

/* Labels are added to the list that they are found in: a copy of what the
 * loop's row says, because the list moves. */
struct holder {
    struct rh_volumes *all;
    size_t index;
    struct rh_volume v;
    uint64_t disk_size;
};

static const struct {
    const char *type, *system;
} label_types[] = {
    {"0xa5", "freebsd"},
    {"0xa6", "openbsd"},
    {"0xa9", "netbsd"},
    {"516e7cb4-6ecf-11d6-8ff8-00022d09712b", "freebsd"},
    {"824cc7a0-36a8-11e3-890a-952519ad3f61", "openbsd"},
};

static const char *system_of(const struct rh_volume *v)
{
    for (size_t i = 0; v->part_type && i < RH_COUNT(label_types); i++)
        if (!strcmp(v->part_type, label_types[i].type))
            return label_types[i].system;
    return NULL;
}

static struct rh_volume *add(struct holder *h, uint64_t offset, uint64_t size)
{
    struct rh_arena *a = h->all->arena;
    struct rh_span *span;
    struct rh_volume *v;

    if (!size || offset > h->disk_size || size > h->disk_size - offset)
        return NULL;
    v = rh_vec_add(&h->all->all);
    span = rh_arena_zalloc(a, sizeof *span);
    *span = (struct rh_span){h->v.disk, offset, size, 0};
    v->disk = h->v.disk;
    v->partition = h->v.partition;
    v->offset = offset;
    v->size = size;
    v->spans = span;
    v->span_count = 1;
    v->part_type = h->v.part_type;
    v->label_of = h->v.label_of;
    v->duid = h->v.duid;
    return v;
}

/* --- BSD
 * ---------------------------------------------------------------------- */
static bool sums_fit(const uint8_t *label, unsigned entries)
{
    uint16_t sum = 0;

    for (size_t i = 0; i < ENTRIES_AT + (size_t)ENTRY * entries; i += 2)
        sum ^= rh_le16(label + i);
    return sum == 0;
}

static uint64_t start_of(const struct holder *h, const uint8_t *label,
                         const uint8_t *e)
{
    uint64_t start = rh_le32(e + 4);
    bool wide = !strcmp(h->v.label_of, "openbsd") && rh_le16(label + 114) >= 1;

    if (wide) /* 48 bits since OpenBSD 4.4 */
        start |= (uint64_t)rh_le16(e + 8) << 32;
    if (strcmp(h->v.label_of, "freebsd"))
        return start;
    /* Relative, whatever number partition c begins with. */
    return start - rh_le32(label + ENTRIES_AT + RAW * ENTRY + 4) +
           h->v.offset / SECTOR;
}

static uint64_t size_of(const struct holder *h, const uint8_t *label,
                        const uint8_t *e)
{
    uint64_t size = rh_le32(e);

    if (!strcmp(h->v.label_of, "openbsd") && rh_le16(label + 114) >= 1)
        size |= (uint64_t)rh_le16(e + 10) << 32;
    return size;
}

static void add_entry(struct holder *h, const uint8_t *label, unsigned i)
{
    const uint8_t *e = label + ENTRIES_AT + (size_t)ENTRY * i;
    uint64_t start = start_of(h, label, e), size = size_of(h, label, e);
    struct rh_volume *v;

    /* Others are foreign partitions seen a second time, or all of it. */
    if (e[12] != SWAP && e[12] != FFS && e[12] != ZFS && e[12] != RAID)
        return;
    if (start > UINT64_MAX / SECTOR || size > UINT64_MAX / SECTOR)
        return;
    v = add(h, start * SECTOR, size * SECTOR);
    if (!v)
        return;
    v->letter = (char)('a' + i);
    v->device = rh_arena_printf(h->all->arena, "%s%c", h->v.device, v->letter);
}

static bool add_bsd(struct holder *h, const uint8_t *label)
{
    unsigned count = rh_le16(label + 138);

    if (rh_le32(label) != label_magic || rh_le32(label + 132) != label_magic ||
        count > ENTRIES_MAX || !sums_fit(label, count))
        return false;
    h->v.label_of = system_of(&h->v);
    if (!h->v.label_of) /* a disk without slices: only a guess, from its type */
        h->v.label_of = rh_all_zero(label + 64, 8) ? "freebsd" : "openbsd";
    if (!strcmp(h->v.label_of, "openbsd") && !rh_all_zero(label + 64, 8))
        h->v.duid =
            rh_arena_printf(h->all->arena, "%02x%02x%02x%02x%02x%02x%02x%02x",
                            label[64], label[65], label[66], label[67],
                            label[68], label[69], label[70], label[71]);
    for (unsigned i = 0; i < count; i++)
        add_entry(h, label, i);
    return true;
}

/* --- Solaris
 * ------------------------------------------------------------------ */
static bool add_vtoc(struct holder *h, const uint8_t *vtoc)
{
    if (rh_le32(vtoc + 12) != vtoc_magic)
        return false;
    h->v.label_of = "solaris";
    for (unsigned i = 0; i < VTOC_ENTRIES && i < rh_le16(vtoc + 30); i++) {
        const uint8_t *e = vtoc + 72 + (size_t)12 * i;
        uint64_t start = (uint64_t)rh_le32(e + 4) * SECTOR + h->v.offset;
        struct rh_volume *v;

        if (rh_le16(e) == VTOC_BACKUP)
            continue;
        v = add(h, start, (uint64_t)rh_le32(e + 8) * SECTOR);
        if (!v)
            continue;
        v->letter = 's';
        v->slice = i;
        v->device = rh_arena_printf(h->all->arena, "%ss%u", h->v.device, i);
    }
    return true;
}

static bool may_be_parted(const struct rh_volume *v)
{
    return !v->lv && (!v->partition || system_of(v) ||
                      (v->part_type && (!strcmp(v->part_type, "0xbf") ||
                                        !strcmp(v->part_type, "0x82"))));
}

/* What begins where the slice does is its first partition's. */
static void close_holder(struct rh_volume *v, const struct rh_volume *now)
{
    v->has_label = true;
    v->label_of = now->label_of;
    v->duid = now->duid;
    v->fstype = v->uuid = v->label = NULL;
    v->zfs = NULL;
}

int rh_bsdlabel_find(struct rh_disks *d, struct rh_volumes *all, rh_error **err)
{
    size_t count = all->all.count, first;

    for (size_t i = 0; i < count; i++) {
        struct holder h = {all, i, all->all.items[i], 0};
        uint8_t sector[SECTOR];

        if (!may_be_parted(&h.v) || h.v.size < 2 * SECTOR)
            continue;
        h.disk_size = rh_disks_size(d, h.v.disk);
        if (rh_disks_read(d, h.v.disk, sector, sizeof sector,
                          h.v.offset + SECTOR, err) < 0)
            return -1;
        first = all->all.count;
        if (!add_bsd(&h, sector) && !add_vtoc(&h, sector))
            continue;
        close_holder(&all->all.items[i], &h.v);
        for (size_t k = first; k < all->all.count; k++)
            if (rh_signature_read(d, &all->all.items[k], all->arena, err) < 0)
                return -1;
    }
    return 0;
}
