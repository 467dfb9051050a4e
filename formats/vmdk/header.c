/* header.c - the 512 bytes in front of a hosted sparse extent, and markers.
 *
 * Decoded once, into bytes.  Every field is bounded here, so that no sum of
 * them wraps later: places and sizes below 2^63, the capacity below the
 * caller's limit. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

/* Virtual Disk Format 5.0, "Hosted Sparse Extent Header". */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_FLAGS = 8,
    AT_CAPACITY = 12,
    AT_GRAIN = 20,
    AT_DESCRIPTOR = 28,
    AT_DESCRIPTOR_SIZE = 36,
    AT_ENTRIES = 44,
    AT_REDUNDANT = 48,
    AT_DIRECTORY = 56,
    AT_OVERHEAD = 64,
    AT_UNCLEAN = 72,
    AT_CHECK = 73,
    AT_COMPRESSION = 77,
};
enum { MARK_SIZE = 8, MARK_TYPE = 12 };
#define SECTORS_MAX (UINT64_C(1) << 53)

static int bad(rh_error **err, uint64_t at, const char *what, uint64_t value)
{
    return rh_fail(err, RH_ERR_VMDK_HEADER, "header at 0x%llx: %s (0x%llx)",
                   VMDK_X(at), _(what), VMDK_X(value));
}

static int check_flags(const uint8_t *raw, uint64_t at, rh_error **err)
{
    uint32_t flags = rh_le32(raw + AT_FLAGS);
    uint32_t known = VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS;
    uint16_t compression = rh_le16(raw + AT_COMPRESSION);

    if ((flags & 0xffff0000U) & ~known)
        return bad(err, at, N_("flags of a format that is not known"), flags);
    if (!(flags & VMDK_FLAG_COMPRESSED) != !(flags & VMDK_FLAG_MARKERS))
        return bad(err, at,
                   N_("compression and markers go together, but only "
                      "one of them is flagged"),
                   flags);
    if (compression > 1)
        return bad(err, at, N_("unknown compression"), compression);
    if ((flags & VMDK_FLAG_COMPRESSED) && compression != 1)
        return bad(err, at, N_("compressed, but by no method"), flags);
    /* A transfer as text turns one of these into another. */
    if ((flags & VMDK_FLAG_NEWLINE) &&
        memcmp(raw + AT_CHECK, "\n \r\n", 4) != 0)
        return rh_fail(err, RH_ERR_VMDK_TEXT_MODE,
                       "header at 0x%llx: the check characters at 0x%llx are "
                       "damaged",
                       VMDK_X(at), VMDK_X(at + AT_CHECK));
    return 0;
}

static int check_sizes(const uint8_t *raw, uint64_t at, rh_error **err)
{
    uint32_t version = rh_le32(raw + AT_VERSION);
    uint64_t grain = rh_le64(raw + AT_GRAIN);
    uint32_t entries = rh_le32(raw + AT_ENTRIES);

    if (memcmp(raw + AT_MAGIC, "KDMV", 4) != 0)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "no sparse extent header at 0x%llx", VMDK_X(at));
    if (version < 1 || version > 3)
        return bad(err, at, N_("unknown version"), version);
    if (!rh_power_of_two(grain) || grain > VMDK_GRAIN_MAX / VMDK_SECTOR)
        return bad(err, at,
                   N_("the grain size is no power of two from 1 to "
                      "2048 sectors"),
                   grain);
    if (!rh_power_of_two(entries) || entries < 128 ||
        entries > VMDK_ENTRIES_MAX)
        return bad(err, at,
                   N_("the entries per grain table are no power of "
                      "two from 128 to 4096"),
                   entries);
    return 0;
}

/* A field in sectors, as bytes. */
static int sectors(const uint8_t *raw, unsigned field, const char *what,
                   uint64_t at, uint64_t *ret, rh_error **err)
{
    uint64_t n = rh_le64(raw + field);

    if (n >= SECTORS_MAX)
        return bad(err, at, what, n);
    *ret = n * VMDK_SECTOR;
    return 0;
}

static int decode_places(const uint8_t *raw, uint64_t at, struct vmdk_header *h,
                         rh_error **err)
{
    bool at_end = rh_le64(raw + AT_DIRECTORY) == VMDK_AT_END;

    if (sectors(raw, AT_CAPACITY, N_("impossible capacity"), at, &h->capacity,
                err) < 0 ||
        sectors(raw, AT_DESCRIPTOR, N_("impossible place of the descriptor"),
                at, &h->descriptor, err) < 0 ||
        sectors(raw, AT_DESCRIPTOR_SIZE, N_("impossible descriptor size"), at,
                &h->descriptor_size, err) < 0 ||
        sectors(raw, AT_OVERHEAD, N_("impossible size of the metadata"), at,
                &h->overhead, err) < 0)
        return -1;
    if (h->descriptor && !h->descriptor_size)
        return bad(err, at, N_("there is a descriptor, but of size 0"),
                   h->descriptor);
    if (h->descriptor_size > RH_LIMIT_VMDK_TEXT)
        return bad(err, at, N_("the descriptor is larger than 1 MiB"),
                   h->descriptor_size);
    h->directory = VMDK_AT_END;
    if (!at_end && sectors(raw, AT_DIRECTORY,
                           N_("impossible place of the grain directory"), at,
                           &h->directory, err) < 0)
        return -1;
    if (h->directory == 0)
        return bad(err, at, N_("the grain directory would be the header"), 0);
    if (!(h->flags & VMDK_FLAG_REDUNDANT) ||
        rh_le64(raw + AT_REDUNDANT) == VMDK_AT_END)
        return 0;
    return sectors(raw, AT_REDUNDANT,
                   N_("impossible place of the redundant grain directory"), at,
                   &h->redundant, err);
}

int rh_vmdk_header(const uint8_t raw[VMDK_SECTOR], uint64_t at, uint64_t limit,
                   struct vmdk_header *ret, rh_error **err)
{
    struct vmdk_header h = {0};

    if (check_sizes(raw, at, err) < 0 || check_flags(raw, at, err) < 0)
        return -1;
    h.version = rh_le32(raw + AT_VERSION);
    h.flags = rh_le32(raw + AT_FLAGS);
    h.entries = rh_le32(raw + AT_ENTRIES);
    h.grain = (uint32_t)rh_le64(raw + AT_GRAIN) * VMDK_SECTOR;
    h.compressed = h.flags & VMDK_FLAG_COMPRESSED;
    h.unclean = raw[AT_UNCLEAN];
    if (decode_places(raw, at, &h, err) < 0)
        return -1;
    if (h.capacity == 0)
        return bad(err, at, N_("the capacity is 0"), 0);
    if (h.capacity > limit)
        return rh_fail(err, RH_ERR_DISK_TOO_BIG,
                       "header at 0x%llx: the disk claims %llu bytes, more "
                       "than the limit of %llu",
                       VMDK_X(at), VMDK_X(h.capacity), VMDK_X(limit));
    h.tables = rh_div_up(h.capacity, (uint64_t)h.grain * h.entries);
    if (h.tables > VMDK_TABLES_MAX)
        return bad(err, at, N_("more grain tables than any disk has"),
                   h.tables);
    *ret = h;
    return 0;
}

int rh_vmdk_header_agrees(const struct vmdk_header *h,
                          const struct vmdk_header *f, uint64_t at,
                          rh_error **err)
{
    const struct {
        const char *what;
        uint64_t header, footer;
    } fields[] = {
        {N_("version"), h->version, f->version},
        {N_("capacity"), h->capacity, f->capacity},
        {N_("grain size"), h->grain, f->grain},
        {N_("entries per grain table"), h->entries, f->entries},
        {N_("place of the descriptor"), h->descriptor, f->descriptor},
        {N_("size of the descriptor"), h->descriptor_size, f->descriptor_size},
        {N_("compression"), h->compressed, f->compressed},
        {N_("place of the grain directory"),
         h->directory == VMDK_AT_END ? f->directory : h->directory,
         f->directory},
    };

    if (f->directory == VMDK_AT_END)
        return rh_fail(err, RH_ERR_VMDK_FOOTER,
                       "the footer at 0x%llx does not say where the grain "
                       "directory is",
                       VMDK_X(at));
    for (size_t i = 0; i < RH_COUNT(fields); i++)
        if (fields[i].header != fields[i].footer)
            return rh_fail(err, RH_ERR_VMDK_FOOTER,
                           "header and footer (at 0x%llx) disagree about the "
                           "%s: 0x%llx and 0x%llx",
                           VMDK_X(at), _(fields[i].what),
                           VMDK_X(fields[i].header), VMDK_X(fields[i].footer));
    return 0;
}

bool rh_vmdk_starts_early(const struct vmdk_header *h, const uint8_t *sector)
{
    struct vmdk_mark mark;

    return rh_vmdk_mark(h, sector, 0, &mark, NULL) == 0 &&
           (mark.kind == VMDK_MARK_GRAIN || mark.kind == VMDK_MARK_TABLE);
}

uint64_t rh_vmdk_early_start(const struct vmdk_header *h)
{
    uint64_t end = h->descriptor + h->descriptor_size;

    return h->descriptor && h->directory == VMDK_AT_END && end < h->overhead
               ? end
               : 0;
}

uint32_t rh_vmdk_table_bytes(const struct vmdk_header *h)
{
    return h->entries * 4;
}

uint32_t rh_vmdk_packed_max(uint64_t grain)
{
    return (uint32_t)(grain + grain / 1000 + 1024);
}

static int grain_mark(const struct vmdk_header *h, uint64_t at, uint64_t lba,
                      struct vmdk_mark *m, rh_error **err)
{
    if (lba >= SECTORS_MAX || lba * VMDK_SECTOR >= h->capacity)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is for sector 0x%llx, behind the "
                       "end of the disk",
                       VMDK_X(at), VMDK_X(lba));
    m->kind = VMDK_MARK_GRAIN;
    m->lba = lba * VMDK_SECTOR;
    if (m->lba % h->grain)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is for sector 0x%llx, where no "
                       "grain begins",
                       VMDK_X(at), VMDK_X(lba));
    if (m->size > rh_vmdk_packed_max(h->grain))
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx claims %llu packed bytes, too many "
                       "for %llu",
                       VMDK_X(at), VMDK_X(m->size), VMDK_X(h->grain));
    return 0;
}

/* How much follows a marker is known from the header; some writers leave the
 * value 0 (Xen Orchestra). */
static int counted(uint64_t at, uint64_t value, uint64_t expected,
                   struct vmdk_mark *m, rh_error **err)
{
    if (value && value != expected / VMDK_SECTOR)
        return rh_fail(err, RH_ERR_VMDK_MARKER,
                       "the marker at 0x%llx announces 0x%llx sectors, but "
                       "0x%llx belong there",
                       VMDK_X(at), VMDK_X(value),
                       VMDK_X(expected / VMDK_SECTOR));
    m->counted = value;
    m->value = expected;
    return 0;
}

int rh_vmdk_mark(const struct vmdk_header *h, const uint8_t *sector,
                 uint64_t at, struct vmdk_mark *ret, rh_error **err)
{
    uint64_t value = rh_le64(sector);
    uint32_t type = rh_le32(sector + MARK_TYPE);
    uint64_t directory = rh_round_up(h->tables * 4, VMDK_SECTOR);

    *ret = (struct vmdk_mark){.size = rh_le32(sector + MARK_SIZE)};
    if (ret->size)
        return grain_mark(h, at, value, ret, err);
    ret->kind = (enum vmdk_marker)type;
    switch (type) {
    case VMDK_MARK_END:
    case VMDK_MARK_PROGRESS:
        return 0;
    case VMDK_MARK_TABLE:
        return counted(at, value, rh_vmdk_table_bytes(h), ret, err);
    case VMDK_MARK_DIRECTORY:
        return counted(at, value, directory, ret, err);
    case VMDK_MARK_FOOTER:
        return counted(at, value, VMDK_SECTOR, ret, err);
    default:
        return rh_fail(err, RH_ERR_VMDK_MARKER,
                       "unknown marker type %u at 0x%llx", type, VMDK_X(at));
    }
}
