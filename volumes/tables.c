/* tables.c - the partitions of a disk, by GPT or MBR.
 *
 * A damaged table ends the search on its disk; what was found before it stays.
 * Nothing here trusts a number: every start and length is held against the
 * disk. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volumes/volumes.h"

enum {
    SECTOR = 512,
    PARTITIONS_MAX = 256, /* of one disk */
    GPT_ENTRY_MAX = 4096,
    PROTECTIVE = 0xee, /* a partition type that only says that a GPT follows */
};

/* --- partitions
 * --------------------------------------------------------------- */
struct search {
    struct rh_disks *disks;
    struct rh_volumes *out;
    struct rh_disk_table *table;
    size_t disk;
    uint64_t size;
    const char *name;
    unsigned found;
    rh_error **err;
};

static void note_end(struct search *s, uint64_t offset, uint64_t size)
{
    uint64_t end;

    if (!rh_add_overflows(offset, size, &end))
        s->table->end = RH_MAX(s->table->end, end);
}

/* What reaches behind the end of the disk is cut there, as Linux does. */
static struct rh_volume *add_volume(struct search *s, unsigned partition,
                                    uint64_t offset, uint64_t size)
{
    struct rh_arena *a = s->out->arena;
    struct rh_span *span;
    struct rh_volume *v;
    size_t n = strlen(s->name);

    if (offset >= s->size || !size || s->found++ >= PARTITIONS_MAX)
        return NULL;
    size = RH_MIN(size, s->size - offset);
    v = rh_vec_add(&s->out->all);
    span = rh_arena_zalloc(a, sizeof *span);
    *span = (struct rh_span){s->disk, offset, size, 0};
    v->disk = s->disk;
    v->partition = partition;
    v->offset = offset;
    v->size = size;
    v->spans = span;
    v->span_count = 1;
    v->device = !partition ? s->name
                           : rh_arena_printf(a, "%s%s%u", s->name,
                                             s->name[n - 1] <= '9' ? "p" : "",
                                             partition);
    return v;
}

/* 16 mixed-endian bytes, as GPT writes GUIDs. */
static char *guid(struct rh_arena *a, const uint8_t b[16])
{
    return rh_arena_printf(a,
                           "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                           rh_le32(b), rh_le16(b + 4), rh_le16(b + 6), b[8],
                           b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* 36 units of UTF-16; names beyond ASCII are nobody's in fstab. */
static const char *gpt_name(struct rh_arena *a, const uint8_t *p)
{
    char name[37];
    size_t n = 0;

    for (; n < 36 && rh_le16(p + 2 * n); n++) {
        if (rh_le16(p + 2 * n) < ' ' || rh_le16(p + 2 * n) > '~')
            return NULL;
        name[n] = (char)rh_le16(p + 2 * n);
    }
    return n ? rh_arena_strndup(a, name, n) : NULL;
}

static void gpt_entry(struct search *s, const uint8_t *e, unsigned number)
{
    uint64_t first = rh_le64(e + 32), last = rh_le64(e + 40), offset, length;
    uint64_t sector = s->table->sector;
    struct rh_volume *v;

    if (rh_all_zero(e, 16) || last < first || last - first == UINT64_MAX ||
        rh_mul_overflows(first, sector, &offset) ||
        rh_mul_overflows(last - first + 1, sector, &length))
        return;
    note_end(s, offset, length);
    v = add_volume(s, number, offset, length);
    if (!v)
        return;
    v->part_type = guid(s->out->arena, e);
    v->part_uuid = guid(s->out->arena, e + 16);
    v->part_label = gpt_name(s->out->arena, e + 56);
}

/* The header, where sectors are that large; false: none that makes sense. */
static int gpt_header(struct search *s, uint32_t sector, uint8_t head[SECTOR],
                      bool *ret_is)
{
    uint64_t at;
    uint32_t size;

    *ret_is = false;
    if (s->size < 3ULL * sector)
        return 0;
    if (rh_disks_read(s->disks, s->disk, head, SECTOR, sector, s->err) < 0)
        return -1;
    size = rh_le32(head + 84);
    *ret_is = !memcmp(head, "EFI PART", 8) && size >= 128 &&
              size <= GPT_ENTRY_MAX &&
              !rh_mul_overflows(rh_le64(head + 72), (uint64_t)sector, &at);
    return 0;
}

static int read_gpt(struct search *s, bool *ret_is)
{
    static const uint32_t sectors[] = {512, 4096};
    uint8_t head[SECTOR];
    uint64_t table;
    uint32_t count, size;

    for (size_t i = 0; i < RH_COUNT(sectors); i++) {
        s->table->sector = sectors[i];
        if (gpt_header(s, sectors[i], head, ret_is) < 0)
            return -1;
        if (*ret_is)
            break;
    }
    if (!*ret_is) {
        s->table->sector = SECTOR;
        return 0;
    }
    s->table->kind = RH_TABLE_GPT;
    table = rh_le64(head + 72) * s->table->sector;
    count = rh_le32(head + 80);
    size = rh_le32(head + 84);
    for (uint32_t i = 0; i < count && i < PARTITIONS_MAX; i++) {
        uint8_t entry[128];
        uint64_t at = table + (uint64_t)i * size;

        if (at < table || at > s->size || s->size - at < sizeof entry)
            return 0;
        if (rh_disks_read(s->disks, s->disk, entry, sizeof entry, at, s->err) <
            0)
            return -1;
        gpt_entry(s, entry, i + 1);
    }
    return 0;
}

static struct rh_volume *mbr_entry(struct search *s, const uint8_t *e,
                                   unsigned number, uint64_t base,
                                   uint32_t disk_id)
{
    uint64_t first = rh_le32(e + 8), count = rh_le32(e + 12);
    struct rh_arena *a = s->out->arena;
    struct rh_volume *v;

    if (!e[4] || !count)
        return NULL;
    if (e[4] != PROTECTIVE)
        note_end(s, base + first * SECTOR, count * SECTOR);
    v = add_volume(s, number, base + first * SECTOR, count * SECTOR);
    if (!v)
        return NULL;
    v->bootable = e[0] == 0x80;
    s->table->active |= v->bootable;
    v->part_type = rh_arena_printf(a, "0x%02x", e[4]);
    v->part_uuid = rh_arena_printf(a, "%08x-%02x", disk_id, number);
    return v;
}

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/* The chain of logical partitions: bounded, so that a circle ends. */
static int read_logical(struct search *s, uint64_t extended, uint32_t disk_id)
{
    uint64_t at = extended;

    for (unsigned n = 5; n < 5 + 124; n++) {
        uint8_t sector[SECTOR];
        uint32_t next;

        if (at > s->size || s->size - at < SECTOR)
            return 0;
        if (rh_disks_read(s->disks, s->disk, sector, SECTOR, at, s->err) < 0)
            return -1;
        if (sector[510] != 0x55 || sector[511] != 0xaa)
            return 0;
        mbr_entry(s, sector + 446, n, at, disk_id);
        next = rh_le32(sector + 446 + 16 + 8);
        if (!is_extended(sector[446 + 16 + 4]) || !next)
            return 0;
        at = extended + (uint64_t)next * SECTOR;
    }
    return 0;
}

static int read_mbr(struct search *s, const uint8_t *sector)
{
    uint32_t disk_id = rh_le32(sector + 440);

    s->table->kind = RH_TABLE_MBR;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + 446 + 16 * i;

        if (is_extended(e[4])) {
            if (read_logical(s, (uint64_t)rh_le32(e + 8) * SECTOR, disk_id) < 0)
                return -1;
        } else {
            mbr_entry(s, e, i + 1, 0, disk_id);
        }
    }
    return 0;
}

/* A boot sector without a partition table: its status bytes are not 0 or
 * 0x80, or there is no entry at all. */
static bool has_table(const uint8_t *sector)
{
    bool any = false;

    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + 446 + 16 * i;

        if (e[0] & 0x7f)
            return false;
        any |= e[4] && rh_le32(e + 12);
    }
    return any;
}

/* An MBR that says that a GPT follows; behind another one, or before a file
 * system, a GPT is what an earlier use of the disk has left. */
static bool is_protective(const uint8_t *sector)
{
    for (unsigned i = 0; i < 4; i++)
        if (sector[446 + 16 * i + 4] == PROTECTIVE)
            return true;
    return false;
}

static int find_on_disk(struct search *s)
{
    enum { CODE_BYTES = 440 };
    uint8_t sector[SECTOR];
    struct rh_volume whole = {0};
    struct rh_span span = {.disk = s->disk, .length = s->size};
    bool is_gpt = false, table;

    if (s->size < SECTOR)
        return 0;
    if (rh_disks_read(s->disks, s->disk, sector, SECTOR, 0, s->err) < 0)
        return -1;
    whole.spans = &span;
    whole.span_count = 1;
    whole.device = s->name;
    if (rh_signature_read(s->disks, &whole, s->out->arena, s->err) < 0)
        return -1;
    table = has_table(sector) && !rh_is_boot_sector(whole.fstype);
    s->table->boot_code = sector[510] == 0x55 && sector[511] == 0xaa &&
                          !rh_all_zero(sector, CODE_BYTES) &&
                          !rh_is_boot_sector(whole.fstype);
    if ((table ? is_protective(sector) : !whole.fstype) &&
        read_gpt(s, &is_gpt) < 0)
        return -1;
    if (is_gpt)
        return 0;
    if (table)
        return read_mbr(s, sector);
    add_volume(s, 0, 0, s->size);
    return 0;
}

int rh_table_read(struct rh_disks *d, size_t disk, struct rh_volumes *into,
                  rh_error **err)
{
    struct rh_disk_table *table = &into->disks.items[disk];
    struct search s = {.disks = d,
                       .out = into,
                       .table = table,
                       .disk = disk,
                       .size = rh_disks_size(d, disk),
                       .name = table->name.device,
                       .err = err};
    size_t before = into->all.count;

    table->sector = SECTOR;
    if (find_on_disk(&s) < 0)
        return -1;
    for (size_t i = before; i < into->all.count; i++)
        if (rh_signature_read(d, &into->all.items[i], into->arena, err) < 0)
            return -1;
    return 0;
}
