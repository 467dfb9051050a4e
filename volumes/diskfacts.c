/* diskfacts.c - partition tables, boot code and signatures, read directly.
 *
 * Everything is bounded: at most 128 entries of a table and 70 KiB of each of
 * the first 32 partitions are read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/diskfacts.h"

#include <string.h>

#include "base/bytes.h"

enum { SIGNATURE_BYTES = 0x11000, ENTRIES_MAX = 128 };

struct look {
    struct rh_reader *r;
    struct rh_codec *codec;
    struct rh_disk_facts *f;
    uint8_t *buf; /* SIGNATURE_BYTES */
};

/* Bytes past the end of the disk read as zeros. */
static int read_at(struct look *l, uint8_t *buf, size_t n, uint64_t offset,
                   rh_error **err)
{
    memset(buf, 0, n);
    if (offset >= l->r->size)
        return 0;
    n = (size_t)RH_MIN((uint64_t)n, l->r->size - offset);
    return rh_reader_read(l->r, l->codec, buf, n, offset, err);
}

/* --- signatures
 * -------------------------------------------------------------------- */
static const struct {
    size_t offset;
    const char *magic;
    size_t length;
    const char *content;
} signatures[] = {
    {3, "-FVE-FS-", 8, "BitLocker"},
    {3, "NTFS    ", 8, "ntfs"},
    {3, "EXFAT   ", 8, "exfat"},
    {0, "LUKS\xba\xbe", 6, "crypto_LUKS"},
    {0, "XFSB", 4, "xfs"},
    {0x218, "LVM2 001", 8, "LVM2_member"},
    {0x18, "LVM2 001", 8, "LVM2_member"},
    {0x438, "\x53\xef", 2, "ext"},
    {0x10040, "_BHRfS_M", 8, "btrfs"},
    {4086, "SWAPSPACE2", 10, "swap"},
    {65536 + 1372, "\x19\x01\x54\x19", 4, "ufs"},
    {82, "FAT32   ", 8, "vfat"},
    {54, "FAT1", 4, "vfat"},
    {0x8001, "CD001", 5, "iso9660"},
};

static const char *content_of(const uint8_t *bytes)
{
    for (size_t i = 0; i < RH_COUNT(signatures); i++) {
        if (!memcmp(bytes + signatures[i].offset, signatures[i].magic,
                    signatures[i].length))
            return signatures[i].content;
    }
    return NULL;
}

static int add_partition(struct look *l, unsigned number, uint64_t offset,
                         uint64_t size, rh_error **err)
{
    struct rh_partition *p;

    if (l->f->partitions == RH_PARTITIONS_SHOWN || offset >= l->r->size)
        return 0;
    if (read_at(l, l->buf, SIGNATURE_BYTES, offset, err))
        return -1;
    p = &l->f->partition[l->f->partitions++];
    *p = (struct rh_partition){
        number, offset, RH_MIN(size, l->r->size - offset), content_of(l->buf)};
    if (!p->content)
        return 0;
    l->f->bitlocker = l->f->bitlocker || !strcmp(p->content, "BitLocker");
    l->f->luks = l->f->luks || !strcmp(p->content, "crypto_LUKS");
    l->f->lvm = l->f->lvm || !strcmp(p->content, "LVM2_member");
    return 0;
}

static int add_esp(struct look *l, uint64_t offset, uint64_t size,
                   rh_error **err)
{
    bool folder = true, loader = false;

    if (rh_esp_look(l->r, l->codec, offset, size, &folder, &loader, err))
        return -1;
    l->f->esp = true;
    l->f->efi_folder = l->f->efi_folder || folder;
    l->f->efi_loader = l->f->efi_loader || loader;
    return 0;
}

/* --- MBR
 * ------------------------------------------------------------------------------
 */
enum { MBR_TABLE = 446, MBR_ENTRY = 16, CODE_BYTES = 440 };

static bool is_volume(const uint8_t *sector)
{
    const char *content = content_of(sector);

    return content && (!strcmp(content, "vfat") || !strcmp(content, "ntfs") ||
                       !strcmp(content, "exfat"));
}

static bool sound_mbr(const uint8_t *sector)
{
    unsigned used = 0;

    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + MBR_TABLE + i * MBR_ENTRY;

        if (e[0] != 0 && e[0] != 0x80)
            return false;
        used += e[4] && rh_le32(e + 12);
    }
    return used > 0;
}

static int mbr(struct look *l, const uint8_t *sector, rh_error **err)
{
    l->f->table = RH_TABLE_MBR;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *e = sector + MBR_TABLE + i * MBR_ENTRY;
        uint64_t offset = rh_le32(e + 8) * 512ULL;
        uint64_t size = rh_le32(e + 12) * 512ULL;

        if (!e[4] || !size)
            continue;
        l->f->active = l->f->active || e[0] == 0x80;
        if (e[4] == 0xef && add_esp(l, offset, size, err))
            return -1;
        /* Extended partitions hold others: their content is not looked at. */
        if (e[4] != 0x05 && e[4] != 0x0f && e[4] != 0x85 &&
            add_partition(l, i + 1, offset, size, err))
            return -1;
    }
    for (unsigned i = 0; i < l->f->partitions; i++) {
        const char *content = l->f->partition[i].content;

        if (l->f->active && content && !strcmp(content, "ntfs"))
            l->f->windows = true;
    }
    return 0;
}

/* --- GPT
 * ---------------------------------------------------------------------------------
 */
enum {
    AT_ENTRIES_LBA = 72,
    AT_COUNT = 80,
    AT_SIZE = 84,
    ENTRY_FIRST = 32,
    ENTRY_LAST = 40
};
static const uint8_t ESP_TYPE[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8,
                                     0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0,
                                     0xc9, 0x3e, 0xc9, 0x3b};
static const uint8_t FREEBSD_BOOT[16] = {0x9d, 0x6b, 0xbd, 0x83, 0x41, 0x7f,
                                         0xdc, 0x11, 0xbe, 0x0b, 0x00, 0x15,
                                         0x60, 0xb8, 0x4f, 0x0f};
static const uint8_t MS_RESERVED[16] = {0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b,
                                        0xb8, 0x4d, 0x81, 0x7d, 0xf9, 0x2d,
                                        0xf0, 0x02, 0x15, 0xae};

static int gpt_entry(struct look *l, const uint8_t *e, unsigned number,
                     uint64_t sector, rh_error **err)
{
    uint64_t first = rh_le64(e + ENTRY_FIRST), last = rh_le64(e + ENTRY_LAST);
    uint64_t most = l->r->size / sector;

    if (rh_all_zero(e, 16))
        return 0;
    if (first >= most || last < first)
        return 0;
    last = RH_MIN(last, most - 1);
    if (!memcmp(e, "Hah!IdontNeedEFI", 16) || !memcmp(e, FREEBSD_BOOT, 16))
        l->f->bios_boot = true;
    if (!memcmp(e, MS_RESERVED, 16))
        l->f->windows = true;
    if (!memcmp(e, ESP_TYPE, 16) &&
        add_esp(l, first * sector, (last - first + 1) * sector, err))
        return -1;
    return add_partition(l, number, first * sector, (last - first + 1) * sector,
                         err);
}

static int gpt(struct look *l, uint64_t sector, bool *ret_found, rh_error **err)
{
    uint8_t header[512], entry[128];
    uint64_t table, count, size;

    if (read_at(l, header, sizeof header, sector, err))
        return -1;
    if (memcmp(header, "EFI PART", 8))
        return 0;
    table = rh_le64(header + AT_ENTRIES_LBA);
    count = RH_MIN(rh_le32(header + AT_COUNT), (uint32_t)ENTRIES_MAX);
    size = rh_le32(header + AT_SIZE);
    if (table < 2 || table >= l->r->size / sector || size < 128 || size > 4096)
        return 0;
    *ret_found = true;
    l->f->table = RH_TABLE_GPT;
    for (uint64_t i = 0; i < count; i++) {
        if (read_at(l, entry, sizeof entry, table * sector + i * size, err) ||
            gpt_entry(l, entry, (unsigned)i + 1, sector, err))
            return -1;
    }
    return 0;
}

/* --- all of it
 * -----------------------------------------------------------------------------
 */
static int look(struct look *l, rh_error **err)
{
    uint8_t first[512];
    bool found = false;

    if (read_at(l, l->buf, SIGNATURE_BYTES, 0, err))
        return -1;
    memcpy(first, l->buf, sizeof first);
    l->f->boot_code = first[510] == 0x55 && first[511] == 0xaa &&
                      !rh_all_zero(first, CODE_BYTES) && !is_volume(l->buf);
    if (gpt(l, 512, &found, err) || (!found && gpt(l, 4096, &found, err)))
        return -1;
    if (found)
        return 0;
    if (sound_mbr(first) && !is_volume(l->buf))
        return mbr(l, first, err);
    return add_partition(l, 0, 0, l->r->size, err);
}

static void freep(uint8_t **p)
{
    rh_freep(p);
}

int rh_disk_look(struct rh_reader *r, struct rh_disk_facts *ret, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(freep) uint8_t *buf = rh_malloc(SIGNATURE_BYTES);
    struct rh_disk_facts f = {0};
    struct look l = {.r = r, .codec = codec, .f = &f, .buf = buf};

    if (look(&l, err))
        return -1;
    *ret = f;
    return 0;
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
            rh_buf_printf(&b, "%s %u %s", i ? "," : ":", p->number,
                          p->content ? p->content : "?");
        else if (p->content)
            rh_buf_printf(&b, ": %s", p->content);
    }
    return rh_buf_take(&b);
}
