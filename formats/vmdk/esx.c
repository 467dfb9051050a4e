/* esx.c - the sparse files of an ESX datastore: COWD (vmfsSparse) and seSparse.
 *
 * Deltas and thin copies; never inside an OVA, but folders taken from a
 * datastore hold them.  Big sectors, other entries, the same map. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

static struct vmdk_map *map_new(struct vmdk_cache *c, struct rh_io *io,
                                uint8_t *raw, size_t n, rh_error **err)
{
    struct vmdk_map *m;

    if (io->size < n) {
        rh_fail(err, RH_ERR_VMDK_HEADER,
                "the file ends at 0x%llx, within its header", VMDK_X(io->size));
        rh_error_subject(err, io->name);
        return NULL;
    }
    if (rh_io_read(io, raw, n, 0, err) < 0)
        return NULL;
    m = rh_new0(struct vmdk_map);
    m->cache = c;
    m->io = rh_io_ref(io);
    m->data_end = io->size;
    m->zero_grains = true;
    return m;
}

static int too_big(const struct vmdk_map *m, rh_error **err)
{
    uint64_t limit = rh_vmdk_limit(m->cache->reader);

    if (m->size == 0)
        return rh_fail(err, RH_ERR_VMDK_HEADER, "the capacity is 0");
    if (m->size > limit)
        return rh_fail(err, RH_ERR_DISK_TOO_BIG,
                       "the disk claims %llu bytes, more than the limit of "
                       "%llu",
                       VMDK_X(m->size), VMDK_X(limit));
    return 0;
}

static struct vmdk_map *finish(struct vmdk_map *m, int result, rh_error **err)
{
    if (result == 0)
        return m;
    rh_error_subject(err, m->io->name);
    rh_vmdk_map_free(m);
    return NULL;
}

/* --- COWD ---------------------------------------------------------------- */

enum {
    COWD_HEADER = 2048,
    COWD_VERSION = 4,
    COWD_FLAGS = 8,
    COWD_CAPACITY = 12,
    COWD_GRAIN = 16,
    COWD_DIRECTORY = 20,
    COWD_TABLES = 24,
    COWD_ENTRIES = 4096,
};

static int cowd_entry(const struct vmdk_map *m, uint64_t number, uint64_t entry,
                      uint64_t *ret_at, rh_error **err)
{
    (void)m, (void)number, (void)err;
    *ret_at = entry * VMDK_SECTOR;
    return 0;
}

static const struct vmdk_kind cowd = {4, cowd_entry, cowd_entry};

static int cowd_init(struct vmdk_map *m, const uint8_t *raw, rh_error **err)
{
    uint64_t grain = rh_le32(raw + COWD_GRAIN);
    uint64_t tables = rh_le32(raw + COWD_TABLES), needed;

    if (memcmp(raw, "COWD", 4) != 0)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "no copy-on-write extent header at 0x0");
    if (rh_le32(raw + COWD_VERSION) != 1)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "copy-on-write extent of unknown version %u (at 0x4)",
                       rh_le32(raw + COWD_VERSION));
    if (!rh_power_of_two(grain) || grain > VMDK_GRAIN_MAX / VMDK_SECTOR)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "the grain size is no power of two from 1 to 2048 "
                       "sectors (0x%llx at 0x10)",
                       VMDK_X(grain));
    m->kind = &cowd;
    m->grain = grain * VMDK_SECTOR;
    m->entries = COWD_ENTRIES;
    m->size = (uint64_t)rh_le32(raw + COWD_CAPACITY) * VMDK_SECTOR;
    m->directory = (uint64_t)rh_le32(raw + COWD_DIRECTORY) * VMDK_SECTOR;
    if (too_big(m, err) < 0)
        return -1;
    needed = rh_div_up(m->size, m->grain * m->entries);
    if (tables < needed || tables > needed + VMDK_SECTOR / 4)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory has %llu entries (at 0x18), the "
                       "disk needs %llu",
                       VMDK_X(tables), VMDK_X(needed));
    m->fixed[m->fixed_count++] = (struct vmdk_range){0, COWD_HEADER};
    return rh_vmdk_map_init(m, err);
}

struct vmdk_map *rh_vmdk_cowd(struct vmdk_cache *c, struct rh_io *io,
                              rh_error **err)
{
    uint8_t raw[COWD_HEADER];
    struct vmdk_map *m = map_new(c, io, raw, sizeof raw, err);

    return m ? finish(m, cowd_init(m, raw, err), err) : NULL;
}

/* --- seSparse ------------------------------------------------------------ */

/* Two headers: one that never changes, one that does.  Tables and grains have
 * regions of their own; entries are numbers within them. */
enum {
    SE_MAGIC = 0,
    SE_VERSION = 8,
    SE_CAPACITY = 16,
    SE_GRAIN = 24,
    SE_TABLE = 32, /* sectors of a table */
    SE_FLAGS = 40,
    SE_VOLATILE = 80,
    SE_DIRECTORY = 128, /* place, size in sectors */
    SE_TABLES = 144,
    SE_GRAINS = 192,
    SE_REPLAY = 24, /* of the volatile header */
};
#define SE_CONST_MAGIC    UINT64_C(0xcafebabe)
#define SE_VOLATILE_MAGIC UINT64_C(0xcafecafe)
#define SE_SECTORS_MAX    (UINT64_C(1) << 53)

static int se_table(const struct vmdk_map *m, uint64_t number, uint64_t entry,
                    uint64_t *ret_at, rh_error **err)
{
    if (entry == 0) {
        *ret_at = 0;
        return 0;
    }
    if (entry >> 32 != 0x10000000 || (entry & 0xffffffff) >= m->tables)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "entry %llu of the grain directory at 0x%llx makes no "
                       "sense (0x%llx)",
                       VMDK_X(number), VMDK_X(m->directory), VMDK_X(entry));
    *ret_at = m->tables_at + (entry & 0xffffffff) * m->table_bytes;
    return 0;
}

static int se_grain(const struct vmdk_map *m, uint64_t number, uint64_t entry,
                    uint64_t *ret_at, rh_error **err)
{
    uint64_t grain = (entry >> 48 & 0xfff) | (entry & 0xffffffffffff) << 12;

    switch (entry >> 60) {
    case 0: /* not allocated */
    case 1: /* unmapped: the guest gave it back; the parent is hidden */
    case 2: /* zeros */
        *ret_at = entry >> 60 ? VMDK_ZEROS : VMDK_HOLE;
        return 0;
    case 3:
        if (grain < (m->data_end - m->grains_at) / m->grain) {
            *ret_at = m->grains_at + grain * m->grain;
            return 0;
        }
        break;
    default:
        break;
    }
    return rh_fail(
        err, RH_ERR_VMDK_GRAIN_TABLE,
        "entry %llu of grain table %llu makes no sense (0x%llx, data "
        "end at 0x%llx)",
        VMDK_X(number % m->entries), VMDK_X(number / m->entries), VMDK_X(entry),
        VMDK_X(m->data_end));
}

static const struct vmdk_kind sesparse = {8, se_table, se_grain};

static int se_sectors(const uint8_t *raw, unsigned field, uint64_t *ret,
                      rh_error **err)
{
    uint64_t n = rh_le64(raw + field);

    if (n >= SE_SECTORS_MAX)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "impossible number of sectors 0x%llx at 0x%x", VMDK_X(n),
                       field);
    *ret = n * VMDK_SECTOR;
    return 0;
}

static int se_volatile(struct vmdk_map *m, const uint8_t *raw, rh_error **err)
{
    uint8_t header[VMDK_SECTOR];
    uint64_t at = 0;

    if (se_sectors(raw, SE_VOLATILE, &at, err) < 0 ||
        rh_io_read(m->io, header, sizeof header, at, err) < 0)
        return -1;
    if (rh_le64(header) != SE_VOLATILE_MAGIC)
        return rh_fail(err, RH_ERR_VMDK_HEADER, "no volatile header at 0x%llx",
                       VMDK_X(at));
    if (rh_le64(header + SE_REPLAY))
        return rh_fail(err, RH_ERR_VMDK_DIRTY,
                       "its journal was not replayed (at 0x%llx)",
                       VMDK_X(at + SE_REPLAY));
    m->fixed[m->fixed_count++] = (struct vmdk_range){at, at + VMDK_SECTOR};
    return 0;
}

static int se_fields(struct vmdk_map *m, const uint8_t *raw, rh_error **err)
{
    uint64_t directory_size = 0, tables_size = 0, grain = 0, table = 0;

    if (rh_le64(raw + SE_MAGIC) != SE_CONST_MAGIC ||
        rh_le64(raw + SE_VERSION) != UINT64_C(0x200000001))
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "no seSparse header of version 2.1 at 0x0");
    if (se_sectors(raw, SE_CAPACITY, &m->size, err) < 0 ||
        se_sectors(raw, SE_GRAIN, &grain, err) < 0 ||
        se_sectors(raw, SE_TABLE, &table, err) < 0 ||
        se_sectors(raw, SE_DIRECTORY, &m->directory, err) < 0 ||
        se_sectors(raw, SE_DIRECTORY + 8, &directory_size, err) < 0 ||
        se_sectors(raw, SE_TABLES, &m->tables_at, err) < 0 ||
        se_sectors(raw, SE_TABLES + 8, &tables_size, err) < 0 ||
        se_sectors(raw, SE_GRAINS, &m->grains_at, err) < 0)
        return -1;
    if (grain != 4096 || table != 32768 || rh_le64(raw + SE_FLAGS))
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "grains of 0x%llx bytes, tables of 0x%llx, flags "
                       "0x%llx: not a seSparse layout that is known",
                       VMDK_X(grain), VMDK_X(table),
                       VMDK_X(rh_le64(raw + SE_FLAGS)));
    m->grain = grain;
    m->entries = (uint32_t)(table / 8);
    if (too_big(m, err) < 0)
        return -1;
    table *= rh_div_up(m->size, m->grain * m->entries);
    if (tables_size < table || m->tables_at + table > m->grains_at ||
        m->grains_at > m->io->size)
        return rh_fail(
            err, RH_ERR_VMDK_HEADER,
            "the grain tables at 0x%llx (0x%llx bytes) do not lie in "
            "front of the grains at 0x%llx",
            VMDK_X(m->tables_at), VMDK_X(table), VMDK_X(m->grains_at));
    return 0;
}

static int se_init(struct vmdk_map *m, const uint8_t *raw, rh_error **err)
{
    m->kind = &sesparse;
    m->fixed[m->fixed_count++] = (struct vmdk_range){0, VMDK_SECTOR};
    if (se_fields(m, raw, err) < 0 || se_volatile(m, raw, err) < 0)
        return -1;
    m->data_start = m->grains_at;
    return rh_vmdk_map_init(m, err);
}

struct vmdk_map *rh_vmdk_sesparse(struct vmdk_cache *c, struct rh_io *io,
                                  rh_error **err)
{
    uint8_t raw[VMDK_SECTOR];
    struct vmdk_map *m = map_new(c, io, raw, sizeof raw, err);

    return m ? finish(m, se_init(m, raw, err), err) : NULL;
}
