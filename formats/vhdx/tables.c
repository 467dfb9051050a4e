/* tables.c - the head of a VHDX: two headers, of which the newer valid one
 * counts, two region tables, the log, and the metadata table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum { LEAST_OFFSET = 1024 * 1024 }; /* regions and blocks stand behind this */

static const uint8_t guid_bat[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6,
                                     0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e,
                                     0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t guid_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47,
                                          0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f,
                                          0x05, 0x0f, 0x88, 0x6e};
static const struct {
    uint8_t guid[16];
    uint32_t size; /* bytes, 0: any */
    const char *name;
} items[VHDX_ITEMS] = {
    [VHDX_PARAMETERS] = {{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3,
                          0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b},
                         8,
                         "file parameters"},
    [VHDX_DISK_SIZE] = {{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2,
                         0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8},
                        8,
                        "virtual disk size"},
    [VHDX_DISK_ID] = {{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93,
                       0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46},
                      0,
                      "virtual disk id"},
    [VHDX_LOGICAL_SECTOR] = {{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                              0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f},
                             4,
                             "logical sector size"},
    [VHDX_PHYSICAL_SECTOR] = {{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                               0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56},
                              4,
                              "physical sector size"},
    [VHDX_PARENT_LOCATOR] = {{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                              0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c},
                             0,
                             "parent locator"},
};

uint32_t rh_vhdx_sum(const uint8_t *p, size_t n, size_t field)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t sum = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        sum ^= i < field || i >= field + 4 ? p[i] : 0;
        sum = sum >> 4 ^ nibble[sum & 15];
        sum = sum >> 4 ^ nibble[sum & 15];
    }
    return ~sum;
}

/* --- the headers ---------------------------------------------------------- */
bool rh_vhdx_header_good(const uint8_t p[VHDX_HEADER])
{
    return !memcmp(p, "head", 4) &&
           rh_le32(p + VHDX_SUM_AT) == rh_vhdx_sum(p, VHDX_HEADER, VHDX_SUM_AT);
}

static int take_header(struct rh_reader *r, struct vhdx *v,
                       const uint8_t p[VHDX_HEADER], rh_error **err)
{
    if (rh_le16(p + 66) != 1)
        return rh_fail(err, RH_ERR_VHDX_HEADER, "VHDX version %u is not known",
                       rh_le16(p + 66));
    memcpy(r->id, p + 32, 16); /* "data write": what a child goes by */
    memcpy(v->log_guid, p + 48, 16);
    v->log_version = rh_le16(p + 64);
    v->log.size = rh_le32(p + 68);
    v->log.offset = rh_le64(p + 72);
    if (v->log.offset % RH_MIB || v->log.size % RH_MIB ||
        v->log.offset < LEAST_OFFSET || v->log.offset > r->io->size ||
        v->log.size > r->io->size - v->log.offset)
        return rh_fail(err, RH_ERR_VHDX_HEADER,
                       "the log at 0x%" PRIx64 " (%" PRIu64
                       " bytes) lies outside the file",
                       v->log.offset, v->log.size);
    return 0;
}

static int read_headers(struct rh_reader *r, struct vhdx *v, rh_error **err)
{
    uint8_t p[2][VHDX_HEADER];
    bool good[2];
    int newer;

    for (int i = 0; i < 2; i++) {
        if (rh_io_read(r->io, p[i], VHDX_HEADER,
                       (uint64_t)VHDX_HEADERS_AT * (i ? 2 : 1), err) < 0)
            return -1;
        good[i] = rh_vhdx_header_good(p[i]);
    }
    if (!good[0] && !good[1])
        return rh_fail(err, RH_ERR_VHDX_HEADER,
                       "neither of the headers at 0x10000 and 0x20000 has the "
                       "mark and a right checksum");
    if (!good[0] || !good[1])
        rh_problem_add(r, "VHDX-HEADER",
                       N_("the header at 0x%x is damaged; the other was used"),
                       good[0] ? 2 * VHDX_HEADERS_AT : VHDX_HEADERS_AT);
    newer = !good[0] || (good[1] && rh_le64(p[1] + 8) > rh_le64(p[0] + 8));
    v->header_at = (uint64_t)VHDX_HEADERS_AT * (newer ? 2 : 1);
    if (take_header(r, v, p[newer], err) < 0)
        return rh_error_context(err, "header at 0x%x",
                                VHDX_HEADERS_AT * (newer + 1));
    return 0;
}

/* --- the region tables ---------------------------------------------------- */
bool rh_vhdx_regions_good(const uint8_t p[VHDX_TABLE])
{
    return !memcmp(p, "regi", 4) &&
           rh_le32(p + VHDX_SUM_AT) == rh_vhdx_sum(p, VHDX_TABLE, VHDX_SUM_AT);
}

bool rh_vhdx_region_known(const uint8_t entry[32])
{
    return !memcmp(entry, guid_bat, 16) || !memcmp(entry, guid_metadata, 16);
}

static int take_region(struct rh_reader *r, struct vhdx *v, const uint8_t *p,
                       rh_error **err)
{
    struct vhdx_region region = {rh_le64(p + 16), rh_le32(p + 24)}, *to;

    if (!memcmp(p, guid_bat, 16))
        to = &v->bat;
    else if (!memcmp(p, guid_metadata, 16))
        to = &v->metadata;
    else if (rh_le32(p + 28) & 1)
        return rh_fail(err, RH_ERR_DISK_UNSUPPORTED,
                       "the VHDX has a required region of an unknown kind");
    else
        return 0;
    if (to->size)
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "the region table names one region twice");
    if (region.offset % RH_MIB || region.size % RH_MIB || !region.size ||
        region.offset < LEAST_OFFSET || region.offset > r->io->size ||
        region.size > r->io->size - region.offset)
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "the region at 0x%" PRIx64 " (%" PRIu64
                       " bytes) lies outside the file (it ends at 0x%" PRIx64
                       ")",
                       region.offset, region.size, r->io->size);
    *to = region;
    return 0;
}

static bool overlap(const struct vhdx_region *a, const struct vhdx_region *b)
{
    return a->size && b->size && a->offset < b->offset + b->size &&
           b->offset < a->offset + a->size;
}

static int take_regions(struct rh_reader *r, struct vhdx *v, const uint8_t *p,
                        rh_error **err)
{
    uint32_t count = rh_le32(p + 8);

    if (count > VHDX_TABLE_MOST)
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "a region table of %" PRIu32 " entries", count);
    for (uint32_t i = 0; i < count; i++)
        if (take_region(r, v, p + 16 + i * 32, err) < 0)
            return -1;
    if (!v->bat.size || !v->metadata.size)
        return rh_fail(err, RH_ERR_VHDX_REGION, "the region table names no %s",
                       v->bat.size ? "metadata region" : "block table");
    if (overlap(&v->bat, &v->metadata) || overlap(&v->bat, &v->log) ||
        overlap(&v->metadata, &v->log))
        return rh_fail(err, RH_ERR_VHDX_REGION,
                       "the log, block table and metadata regions overlap");
    return 0;
}

static int read_regions(struct rh_reader *r, struct vhdx *v, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *p = rh_malloc(VHDX_TABLE);

    for (unsigned i = 0; i < 2; i++) {
        if (rh_io_read(r->io, p, VHDX_TABLE,
                       VHDX_REGIONS_AT + (uint64_t)i * VHDX_TABLE, err) < 0)
            return -1;
        if (!rh_vhdx_regions_good(p))
            continue;
        v->regions_at = VHDX_REGIONS_AT + (uint64_t)i * VHDX_TABLE;
        if (i)
            rh_problem_add(r, "VHDX-HEADER",
                           N_("the region table at 0x%x is damaged; the other "
                              "was used"),
                           VHDX_REGIONS_AT);
        if (take_regions(r, v, p, err) < 0)
            return rh_error_context(err, "region table at 0x%x",
                                    VHDX_REGIONS_AT + i * VHDX_TABLE);
        return 0;
    }
    return rh_fail(err, RH_ERR_VHDX_REGION,
                   "neither of the region tables at 0x30000 and 0x40000 has "
                   "the mark and a right checksum");
}

/* --- the metadata --------------------------------------------------------- */
int rh_vhdx_item(const uint8_t guid[16])
{
    for (int i = 0; i < VHDX_ITEMS; i++)
        if (!memcmp(items[i].guid, guid, 16))
            return i;
    return -1;
}

/* One entry of the table: where the item lies, relative to the region. */
static int take_item(struct vhdx *v, const uint8_t *p, rh_error **err)
{
    struct vhdx_region *found = v->items;
    struct vhdx_region at = {rh_le32(p + 16), rh_le32(p + 20)};
    int i = rh_vhdx_item(p);

    if (i < 0) {
        if (rh_le32(p + 24) & 4)
            return rh_fail(err, RH_ERR_DISK_UNSUPPORTED,
                           "the VHDX has a required metadata item of an "
                           "unknown kind");
        return 0;
    }
    if (found[i].size)
        return rh_fail(err, RH_ERR_VHDX_METADATA,
                       "the metadata names the %s twice", items[i].name);
    if (at.offset < VHDX_TABLE || at.offset > v->metadata.size ||
        at.size > v->metadata.size - at.offset || !at.size ||
        (items[i].size && at.size != items[i].size))
        return rh_fail(err, RH_ERR_VHDX_METADATA,
                       "the %s lies at 0x%" PRIx64 " of the metadata region, "
                       "%" PRIu64 " bytes long: that cannot be",
                       items[i].name, at.offset, at.size);
    found[i] = at;
    return 0;
}

static int number(struct rh_reader *r, const struct vhdx *v,
                  enum vhdx_item item, uint64_t *ret, rh_error **err)
{
    const struct vhdx_region *found = v->items;
    uint8_t p[8] = {0};

    if (!found[item].size)
        return rh_fail(err, RH_ERR_VHDX_METADATA, "the metadata lacks the %s",
                       items[item].name);
    if (rh_io_read(r->io, p, items[item].size,
                   v->metadata.offset + found[item].offset, err) < 0)
        return -1;
    *ret = rh_le64(p);
    return 0;
}

static int check_numbers(struct rh_reader *r, struct vhdx *v, uint64_t flags,
                         rh_error **err)
{
    v->fixed = flags & 1;
    v->differencing = flags & 2;
    if (!rh_power_of_two(v->block) || v->block < RH_MIB ||
        v->block > 256 * RH_MIB)
        return rh_fail(err, RH_ERR_VHDX_METADATA,
                       "block size %" PRIu64
                       " is no power of two from 1 to 256 MiB",
                       v->block);
    if (v->sector != 512 && v->sector != 4096)
        return rh_fail(err, RH_ERR_VHDX_METADATA,
                       "logical sectors of %" PRIu64 " bytes", v->sector);
    if (r->size == 0 || r->size > 64 * RH_TIB || r->size % v->sector)
        return rh_fail(err, RH_ERR_VHDX_METADATA, "a disk of %" PRIu64 " bytes",
                       r->size);
    if (v->sector != 512)
        rh_problem_add(r, "VHDX-SECTOR",
                       N_("the disk has logical sectors of 4096 bytes"));
    return 0;
}

static int take_metadata(struct rh_reader *r, struct vhdx *v, const uint8_t *p,
                         rh_error **err)
{
    unsigned count = rh_le16(p + 10);
    uint64_t parameters;

    if (memcmp(p, "metadata", 8) != 0 || count > VHDX_TABLE_MOST)
        return rh_fail(err, RH_ERR_VHDX_METADATA,
                       "no metadata table at 0x%" PRIx64, v->metadata.offset);
    for (unsigned i = 0; i < count; i++)
        if (take_item(v, p + 32 + i * 32, err) < 0)
            return -1;
    if (number(r, v, VHDX_PARAMETERS, &parameters, err) < 0 ||
        number(r, v, VHDX_DISK_SIZE, &r->size, err) < 0 ||
        number(r, v, VHDX_LOGICAL_SECTOR, &v->sector, err) < 0)
        return -1;
    v->block = parameters & 0xffffffff;
    return check_numbers(r, v, parameters >> 32, err);
}

static int read_metadata(struct rh_reader *r, struct vhdx *v, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *p = rh_malloc(VHDX_TABLE);

    if (rh_io_read(r->io, p, VHDX_TABLE, v->metadata.offset, err) < 0)
        return -1;
    if (take_metadata(r, v, p, err) < 0)
        return rh_error_context(err, "metadata at 0x%" PRIx64,
                                v->metadata.offset);
    return 0;
}

int rh_vhdx_open_tables(struct rh_reader *r, struct vhdx *v, rh_error **err)
{
    if (r->io->size < VHDX_REGIONS_AT + 2 * VHDX_TABLE)
        return rh_fail(err, RH_ERR_VHDX_HEADER,
                       "the file is too short for a VHDX (it ends at 0x%" PRIx64
                       ")",
                       r->io->size);
    if (read_headers(r, v, err) < 0 || rh_vhdx_replay(r, v, err) < 0 ||
        read_regions(r, v, err) < 0 || read_metadata(r, v, err) < 0)
        return -1;
    return 0;
}
