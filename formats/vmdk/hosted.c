/* hosted.c - a hosted sparse file ("KDMV"): monolithicSparse, a split part, or
 * streamOptimized with its directory in front, or behind and named by a footer.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

/* Trailing zeros that some transfers add are looked over this far. */
#define TAIL_MAX (64 * RH_MIB)

static int entry_table(const struct vmdk_map *m, uint64_t number,
                       uint64_t entry, uint64_t *ret_at, rh_error **err)
{
    (void)m, (void)number, (void)err;
    *ret_at = entry * VMDK_SECTOR;
    return 0;
}

/* 1 means zeros with the header's flag; without it open-vmdk reads it so too,
 * and it can't be a place: sector 1 is metadata. */
static int entry_grain(const struct vmdk_map *m, uint64_t number,
                       uint64_t entry, uint64_t *ret_at, rh_error **err)
{
    (void)m, (void)number, (void)err;
    *ret_at = entry == 1 ? VMDK_ZEROS : entry * VMDK_SECTOR;
    return 0;
}

static const struct vmdk_kind hosted = {4, entry_table, entry_grain};

/* --- the footer ---------------------------------------------------------- */

static int footer_missing(const struct rh_io *io, rh_error **err)
{
    return rh_fail(err, RH_ERR_VMDK_FOOTER,
                   "there is no footer at the end of the stream (file ends at "
                   "0x%llx)",
                   VMDK_X(io->size));
}

/* The last sector that is not zero; 0 when there is none to be found. */
static int last_sector(struct rh_io *io, uint64_t *ret_at, rh_error **err)
{
    enum { STEP = 64 * 1024 };
    RH_AUTO(rh_freep) uint8_t *bytes = rh_malloc(STEP);
    uint64_t end = io->size - io->size % VMDK_SECTOR;
    uint64_t stop = end > TAIL_MAX ? end - TAIL_MAX : 0;

    *ret_at = 0;
    while (end > stop) {
        size_t n = (size_t)RH_MIN((uint64_t)STEP, end - stop);

        if (rh_io_read(io, bytes, n, end - n, err) < 0)
            return -1;
        for (size_t i = n; i; i -= VMDK_SECTOR)
            if (!rh_all_zero(bytes + i - VMDK_SECTOR, VMDK_SECTOR)) {
                *ret_at = end - n + i - VMDK_SECTOR;
                return 0;
            }
        end -= n;
    }
    return 0;
}

/* Where the footer would be.  The end-of-stream marker behind it is zero, but
 * for padding that need not be. */
static int find_footer(struct rh_io *io, uint64_t *ret_at, bool *ret_end,
                       rh_error **err)
{
    uint8_t sector[VMDK_SECTOR];
    uint64_t at;

    if (last_sector(io, &at, err) < 0 ||
        rh_io_read(io, sector, sizeof sector, at, err) < 0)
        return -1;
    *ret_end = rh_all_zero(sector, 16) && at > VMDK_SECTOR;
    if (*ret_end)
        at -= VMDK_SECTOR;
    else
        *ret_end = io->size - at >= 2 * VMDK_SECTOR;
    *ret_at = at;
    return 0;
}

/* The footer at `at`, its marker in front, an end-of-stream marker behind. */
static int read_footer(struct vmdk_map *m, uint64_t at, bool has_end,
                       uint64_t limit, rh_error **err)
{
    uint8_t raw[2 * VMDK_SECTOR];
    struct vmdk_header footer;
    struct vmdk_mark mark;

    if (rh_io_read(m->io, raw, sizeof raw, at - VMDK_SECTOR, err) < 0 ||
        rh_vmdk_mark(&m->header, raw, at - VMDK_SECTOR, &mark, err) < 0)
        return -1;
    if (mark.kind != VMDK_MARK_FOOTER)
        return rh_fail(err, RH_ERR_VMDK_FOOTER,
                       "there is no footer marker at 0x%llx",
                       VMDK_X(at - VMDK_SECTOR));
    if (rh_vmdk_header(raw + VMDK_SECTOR, at, limit, &footer, err) < 0 ||
        rh_vmdk_header_agrees(&m->header, &footer, at, err) < 0)
        return -1;
    if (!has_end)
        return rh_fail(err, RH_ERR_VMDK_FOOTER,
                       "the end-of-stream marker is missing behind the footer "
                       "(file ends at 0x%llx)",
                       VMDK_X(m->io->size));
    m->header.directory = footer.directory;
    m->header.redundant = footer.redundant;
    m->data_end = at - VMDK_SECTOR;
    if (m->io->size - at > 2 * VMDK_SECTOR)
        rh_problem_add(m->cache->reader, "VMDK-TRAILING-ZEROS",
                       "%llu bytes of zeros follow the end of the stream",
                       VMDK_X(m->io->size - at - 2 * VMDK_SECTOR));
    return 0;
}

static int open_footer(struct vmdk_map *m, uint64_t limit, rh_error **err)
{
    uint8_t magic[4];
    uint64_t at;
    bool has_end;

    if (find_footer(m->io, &at, &has_end, err) < 0 ||
        rh_io_read(m->io, magic, sizeof magic, at, err) < 0)
        return -1;
    if (at > VMDK_SECTOR && memcmp(magic, "KDMV", 4) == 0)
        return read_footer(m, at, has_end, limit, err);
    return m->header.directory == VMDK_AT_END ? footer_missing(m->io, err) : 0;
}

/* --- streamOptimized ----------------------------------------------------- */

static int check_directory_marker(struct vmdk_map *m, rh_error **err)
{
    uint64_t at = m->header.directory - VMDK_SECTOR;
    uint8_t sector[VMDK_SECTOR];
    struct vmdk_mark mark;

    if (m->header.directory >= m->data_end)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory lies past the end of the data (at "
                       "0x%llx, data end at 0x%llx)",
                       VMDK_X(m->header.directory), VMDK_X(m->data_end));
    if (rh_io_read(m->io, sector, sizeof sector, at, err) < 0 ||
        rh_vmdk_mark(&m->header, sector, at, &mark, err) < 0)
        return -1;
    if (mark.kind != VMDK_MARK_DIRECTORY)
        return rh_fail(err, RH_ERR_VMDK_MARKER,
                       "there is no grain directory marker at 0x%llx",
                       VMDK_X(at));
    return 0;
}

/* Where the first grain or marker stands. */
static int find_start(struct vmdk_map *m, rh_error **err)
{
    uint64_t early = rh_vmdk_early_start(&m->header);
    uint8_t sector[VMDK_SECTOR];

    m->data_start = m->header.overhead;
    if (!early || m->io->size < early + VMDK_SECTOR)
        return 0;
    if (rh_io_read(m->io, sector, sizeof sector, early, err) < 0)
        return -1;
    if (rh_vmdk_starts_early(&m->header, sector))
        m->data_start = early;
    return 0;
}

static int open_packed(struct vmdk_map *m, uint64_t limit, rh_error **err)
{
    const struct vmdk_header *h = &m->header;

    if (find_start(m, err) < 0)
        return -1;
    if (h->directory >= m->data_start && open_footer(m, limit, err) < 0)
        return -1;
    if (m->data_start < h->descriptor + h->descriptor_size ||
        m->data_start < VMDK_SECTOR || m->data_start > m->data_end)
        return rh_fail(err, RH_ERR_VMDK_HEADER,
                       "grains cannot begin at 0x%llx (data end at 0x%llx)",
                       VMDK_X(m->data_start), VMDK_X(m->data_end));
    m->behind = h->directory >= m->data_start;
    if (m->behind && check_directory_marker(m, err) < 0)
        return -1;
    if (!m->behind && h->directory + h->tables * 4 > h->overhead)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory at 0x%llx reaches into the grains "
                       "at 0x%llx",
                       VMDK_X(h->directory), VMDK_X(h->overhead));
    return 0;
}

/* Do the grains of the first tables that have some lie in the disk's order? */
static bool seems_ascending(struct vmdk_map *m)
{
    RH_AUTO(rh_freep) uint64_t *at = rh_calloc(m->entries, sizeof *at);
    uint64_t last = 0;

    for (uint64_t t = 0; t < RH_MIN(m->tables, (uint64_t)4); t++) {
        unsigned n =
            (unsigned)RH_MIN((uint64_t)m->entries, m->grains - t * m->entries);

        if (rh_vmdk_map_get(m, t * m->entries, n, at, NULL) < 0)
            return false;
        for (unsigned i = 0; i < n; i++) {
            if (at[i] > VMDK_ZEROS && at[i] < last)
                return false;
            last = RH_MAX(at[i], last);
        }
    }
    return true;
}

/* --- opening ------------------------------------------------------------- */

static int check_layout(struct vmdk_map *m, rh_error **err)
{
    const struct vmdk_header *h = &m->header;

    m->fixed[m->fixed_count++] = (struct vmdk_range){0, VMDK_SECTOR};
    if (h->descriptor) {
        uint64_t end = h->descriptor + h->descriptor_size;

        if (h->descriptor < VMDK_SECTOR || end > m->io->size)
            return rh_fail(err, RH_ERR_VMDK_HEADER,
                           "the descriptor lies outside the file (0x%llx to "
                           "0x%llx, file ends at 0x%llx)",
                           VMDK_X(h->descriptor), VMDK_X(end),
                           VMDK_X(m->io->size));
        m->fixed[m->fixed_count++] = (struct vmdk_range){h->descriptor, end};
    }
    if (!h->compressed && h->directory == VMDK_AT_END)
        return rh_fail(
            err, RH_ERR_VMDK_HEADER,
            "the grain directory is said to be at the end (0x38), but "
            "the file is no stream and has no footer");
    return 0;
}

static int hosted_init(struct vmdk_map *m, uint64_t limit, rh_error **err)
{
    const struct vmdk_header *h = &m->header;

    m->kind = &hosted;
    m->size = h->capacity;
    m->grain = h->grain;
    m->entries = h->entries;
    m->compressed = h->compressed;
    m->zero_grains = h->flags & VMDK_FLAG_ZERO_GRAIN;
    m->data_end = m->io->size;
    m->data_start = h->overhead < m->io->size ? h->overhead : 0;
    if (check_layout(m, err) < 0 ||
        (m->compressed && open_packed(m, limit, err) < 0))
        return -1;
    m->directory = h->directory;
    m->redundant = h->redundant != h->directory ? h->redundant : 0;
    if (rh_vmdk_map_init(m, err) < 0)
        return -1;
    if (m->compressed && rh_vmdk_links_start(m, err) < 0)
        return -1;
    m->ascending = seems_ascending(m);
    if (h->unclean)
        rh_problem_add(m->cache->reader, "VMDK-UNCLEAN",
                       "the disk was in use when it was copied (unclean "
                       "shutdown is set)");
    return 0;
}

struct vmdk_map *rh_vmdk_hosted(struct vmdk_cache *c, struct rh_io *io,
                                rh_error **err)
{
    uint64_t limit = rh_vmdk_limit(c->reader);
    uint8_t raw[VMDK_SECTOR];
    struct vmdk_map *m;

    if (io->size < VMDK_SECTOR) {
        rh_fail(err, RH_ERR_VMDK_HEADER,
                "the file ends at 0x%llx, within its header", VMDK_X(io->size));
        rh_error_subject(err, io->name);
        return NULL;
    }
    if (rh_io_read(io, raw, sizeof raw, 0, err) < 0)
        return NULL;
    m = rh_new0(struct vmdk_map);
    m->cache = c;
    m->io = rh_io_ref(io);
    if (rh_vmdk_header(raw, 0, limit, &m->header, err) < 0 ||
        hosted_init(m, limit, err) < 0) {
        rh_error_subject(err, io->name);
        rh_vmdk_map_free(m);
        return NULL;
    }
    return m;
}
