/* volumes.c - partition tables, and the names that Linux on VMware gave.
 *
 * A damaged table ends the search on its disk; what was found before it stays.
 * Nothing here trusts a number: every start and length is held against the
 * disk. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    SECTOR = 512,
    PARTITIONS_MAX = 256, /* of one disk */
    GPT_ENTRY_MAX = 4096,
};

/* --- names of disks ---------------------------------------------------------
 */
struct place {
    size_t disk;
    unsigned rank, bus, unit;
};

static unsigned rank_of(const char *controller)
{
    if (!controller)
        return 0;
    if (!strcmp(controller, "nvme"))
        return 3;
    if (!strcmp(controller, "virtio-blk"))
        return 4;
    if (!strcmp(controller, "ide"))
        return 2;
    return !strcmp(controller, "sata");
}

static unsigned number(const struct rh_value *v)
{
    return v->kind == RH_VALUE_NUMBER ? (unsigned)v->number : 0;
}

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->bus != y->bus)
        return x->bus < y->bus ? -1 : 1;
    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    return x->disk < y->disk ? -1 : 1;
}

/* "sda", "sdz", "sdaa" */
static char *letter_name(struct rh_arena *a, const char *stem, size_t n)
{
    char text[8];
    size_t at = sizeof text;

    text[--at] = '\0';
    do {
        text[--at] = (char)('a' + n % 26);
        n = n / 26;
    } while (n-- && at);
    return rh_arena_printf(a, "/dev/%s%s", stem, text + at);
}

/* Linux counts SCSI disks by controller and unit, then SATA, then IDE; NVMe
 * and virtio-blk have counters of their own. */
static const char **name_disks(size_t count, const struct rh_vm *vm,
                               struct rh_arena *a)
{
    struct place *places = rh_calloc(count + 1, sizeof *places);
    const char **names = rh_arena_zalloc(a, (count + 1) * sizeof *names);
    size_t sd = 0, nvme = 0, vd = 0;

    for (size_t i = 0; i < count; i++) {
        const struct rh_disk_config *c =
            vm && i < vm->disks.count ? &vm->disks.items[i] : NULL;

        places[i].disk = i;
        if (!c)
            continue;
        if (c->controller.kind == RH_VALUE_TEXT)
            places[i].rank = rank_of(c->controller.text);
        places[i].bus = number(&c->bus);
        places[i].unit = number(&c->unit);
    }
    qsort(places, count, sizeof *places, by_place);
    for (size_t i = 0; i < count; i++) {
        const char **name = &names[places[i].disk];

        if (places[i].rank == 3)
            *name = rh_arena_printf(a, "/dev/nvme%zun1", nvme++);
        else if (places[i].rank == 4)
            *name = letter_name(a, "vd", vd++);
        else
            *name = letter_name(a, "sd", sd++);
    }
    free(places);
    return names;
}

/* --- partitions
 * --------------------------------------------------------------- */
struct search {
    struct rh_disks *disks;
    struct rh_volumes *out;
    size_t disk;
    uint64_t size;
    const char *name;
    unsigned found;
    rh_error **err;
};

static struct rh_volume *add_volume(struct search *s, unsigned partition,
                                    uint64_t offset, uint64_t size)
{
    struct rh_arena *a = s->out->arena;
    struct rh_span *span;
    struct rh_volume *v;
    size_t n = strlen(s->name);

    if (offset > s->size || size > s->size - offset || !size ||
        s->found++ >= PARTITIONS_MAX)
        return NULL;
    v = rh_vec_add(&s->out->all);
    span = rh_arena_zalloc(a, sizeof *span);
    *span = (struct rh_span){s->disk, offset, size};
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

static void gpt_entry(struct search *s, const uint8_t *e, unsigned number_)
{
    uint64_t first = rh_le64(e + 32), last = rh_le64(e + 40), offset, length;
    struct rh_volume *v;

    if (rh_all_zero(e, 16) || last < first || last - first == UINT64_MAX ||
        rh_mul_overflows(first, (uint64_t)SECTOR, &offset) ||
        rh_mul_overflows(last - first + 1, (uint64_t)SECTOR, &length))
        return;
    v = add_volume(s, number_, offset, length);
    if (!v)
        return;
    v->part_type = guid(s->out->arena, e);
    v->part_uuid = guid(s->out->arena, e + 16);
    v->part_label = gpt_name(s->out->arena, e + 56);
}

static int read_gpt(struct search *s, bool *ret_is)
{
    uint8_t head[SECTOR];
    uint64_t table, offset;
    uint32_t count, size;

    *ret_is = false;
    if (s->size < 3 * SECTOR)
        return 0;
    if (rh_disks_read(s->disks, s->disk, head, SECTOR, SECTOR, s->err) < 0)
        return -1;
    table = rh_le64(head + 72);
    count = rh_le32(head + 80);
    size = rh_le32(head + 84);
    if (memcmp(head, "EFI PART", 8) || size < 128 || size > GPT_ENTRY_MAX ||
        rh_mul_overflows(table, (uint64_t)SECTOR, &offset))
        return 0;
    *ret_is = true;
    for (uint32_t i = 0; i < count && i < PARTITIONS_MAX; i++) {
        uint8_t entry[128];
        uint64_t at = offset + (uint64_t)i * size;

        if (at < offset || at > s->size || s->size - at < sizeof entry)
            return 0;
        if (rh_disks_read(s->disks, s->disk, entry, sizeof entry, at, s->err) <
            0)
            return -1;
        gpt_entry(s, entry, i + 1);
    }
    return 0;
}

static struct rh_volume *mbr_entry(struct search *s, const uint8_t *e,
                                   unsigned number_, uint64_t base,
                                   uint32_t disk_id)
{
    uint64_t first = rh_le32(e + 8), count = rh_le32(e + 12);
    struct rh_arena *a = s->out->arena;
    struct rh_volume *v;

    if (!e[4] || !count)
        return NULL;
    v = add_volume(s, number_, base + first * SECTOR, count * SECTOR);
    if (!v)
        return NULL;
    v->bootable = e[0] == 0x80;
    v->part_type = rh_arena_printf(a, "0x%02x", e[4]);
    v->part_uuid = rh_arena_printf(a, "%08x-%02x", disk_id, number_);
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
        any |= e[4] != 0;
    }
    return any;
}

static int find_on_disk(struct search *s)
{
    uint8_t sector[SECTOR];
    struct rh_volume whole = {0};
    struct rh_span span = {s->disk, 0, s->size};
    bool is_gpt;

    if (s->size < SECTOR)
        return 0;
    if (rh_disks_read(s->disks, s->disk, sector, SECTOR, 0, s->err) < 0)
        return -1;
    whole.spans = &span;
    whole.span_count = 1;
    whole.device = s->name;
    if (rh_signature_read(s->disks, &whole, s->out->arena, s->err) < 0)
        return -1;
    /* A FAT or NTFS boot sector ends like an MBR. */
    if (!whole.fstype || (has_table(sector) && strcmp(whole.fstype, "vfat") &&
                          strcmp(whole.fstype, "ntfs"))) {
        if (read_gpt(s, &is_gpt) < 0)
            return -1;
        if (is_gpt || has_table(sector))
            return is_gpt ? 0 : read_mbr(s, sector);
    }
    add_volume(s, 0, 0, s->size);
    return 0;
}

int rh_volumes_find(struct rh_disks *d, const struct rh_vm *vm,
                    struct rh_volumes *ret, rh_error **err)
{
    const char **names;

    ret->arena = rh_arena_new();
    names = name_disks(rh_disks_count(d), vm, ret->arena);
    for (size_t i = 0; i < rh_disks_count(d); i++) {
        struct search s = {d, ret, i, rh_disks_size(d, i), names[i], 0, err};

        if (find_on_disk(&s) < 0)
            return -1;
    }
    for (size_t i = 0; i < ret->all.count; i++)
        if (rh_signature_read(d, &ret->all.items[i], ret->arena, err) < 0)
            return -1;
    return rh_lvm_find(d, ret, err);
}

void rh_volumes_free(struct rh_volumes *v)
{
    free(v->all.items);
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
    if (strlen(value) != length)
        return false;
    return any_case ? !strncasecmp(spec, value, length)
                    : !strncmp(spec, value, length);
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
