/* tables.c - the directory and the tables of a sparse part, each looked through
 * before it is believed.
 *
 * Every entry must name a place inside the file and outside the metadata, and
 * (plain grains) one that no other entry names. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

enum {
    WINDOW = 64 * 1024,  /* of a directory */
    UNORDERED = 1 << 20, /* tables in no order: 32 TiB in grains of 64 KiB */
};

static uint64_t entry_of(const struct vmdk_map *m, const uint8_t *p)
{
    return m->kind->entry == 8 ? rh_le64(p) : rh_le32(p);
}

/* --- the directory ------------------------------------------------------- */

/* Have the stored entry of table `number` of the directory at `of` in the
 * window, and point at it. */
static const uint8_t *window_at(struct vmdk_map *m, uint64_t of,
                                uint64_t number, rh_error **err)
{
    uint64_t per = WINDOW / m->kind->entry;
    uint64_t first = number - number % per, count;

    if (!m->window || m->window_of != of || number < m->window_first ||
        number - m->window_first >= m->window_count) {
        count = RH_MIN(per, m->tables - first);
        if (!m->window)
            m->window = rh_malloc(RH_MIN(per, m->tables) * m->kind->entry);
        m->window_count = 0;
        if (rh_io_read(m->io, m->window, count * m->kind->entry,
                       of + first * m->kind->entry, err) < 0)
            return NULL;
        m->window_of = of;
        m->window_first = first;
        m->window_count = count;
    }
    return m->window + (number - m->window_first) * m->kind->entry;
}

const struct vmdk_range *rh_vmdk_meets(const struct vmdk_map *m, uint64_t start,
                                       uint64_t end)
{
    for (unsigned i = 0; i < m->fixed_count; i++)
        if (start < m->fixed[i].end && m->fixed[i].start < end)
            return &m->fixed[i];
    return NULL;
}

static int check_table(const struct vmdk_map *m, uint64_t number, uint64_t at,
                       rh_error **err)
{
    uint64_t end = at + m->table_bytes;
    const struct vmdk_range *in = rh_vmdk_meets(m, at, end);

    if (end > m->io->size)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                       "grain table %llu lies past the end of the file (at "
                       "0x%llx, file ends at 0x%llx)",
                       VMDK_X(number), VMDK_X(at), VMDK_X(m->io->size));
    if (in)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                       "grain table %llu at 0x%llx lies inside other "
                       "metadata (0x%llx to 0x%llx)",
                       VMDK_X(number), VMDK_X(at), VMDK_X(in->start),
                       VMDK_X(in->end));
    if (m->compressed && m->behind == (at < m->data_start))
        return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                       "grain table %llu at 0x%llx does not lie where the "
                       "others do (grains begin at 0x%llx)",
                       VMDK_X(number), VMDK_X(at), VMDK_X(m->data_start));
    return 0;
}

/* Where table `number` is according to the directory at `of`; 0: nowhere. */
int rh_vmdk_table_at(struct vmdk_map *m, uint64_t of, uint64_t number,
                     uint64_t *ret_at, rh_error **err)
{
    const uint8_t *entry = window_at(m, of, number, err);
    uint64_t at = 0;

    if (!entry || m->kind->table(m, number, entry_of(m, entry), &at, err) < 0)
        return -1;
    if (at && check_table(m, number, at, err) < 0)
        return -1;
    *ret_at = at;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Tables out of order: sort their places to find two that overlap. */
static int check_unordered(struct vmdk_map *m, uint64_t of, rh_error **err)
{
    RH_AUTO(rh_freep) uint64_t *places = NULL;
    uint64_t count = 0, at;

    if (m->tables > UNORDERED)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the %llu tables of the grain directory at 0x%llx are "
                       "in no order",
                       VMDK_X(m->tables), VMDK_X(of));
    places = rh_alloc_big(m->tables * sizeof *places, err);
    if (!places)
        return -1;
    for (uint64_t i = 0; i < m->tables; i++) {
        if (rh_vmdk_table_at(m, of, i, &at, err) < 0)
            return -1;
        if (at)
            places[count++] = at;
    }
    qsort(places, count, sizeof *places, by_value);
    for (uint64_t i = 1; i < count; i++)
        if (places[i] - places[i - 1] < m->table_bytes)
            return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                           "two entries of the grain directory at 0x%llx share "
                           "a grain table (at 0x%llx)",
                           VMDK_X(of), VMDK_X(places[i]));
    return 0;
}

/* Every table inside the file, none in other metadata, none shared. */
int rh_vmdk_check_directory(struct vmdk_map *m, uint64_t of, rh_error **err)
{
    uint64_t end = 0, at;

    for (uint64_t i = 0; i < m->tables; i++) {
        if (rh_vmdk_table_at(m, of, i, &at, err) < 0)
            return -1;
        if (!at)
            continue;
        if (at < end)
            return check_unordered(m, of, err);
        end = at + m->table_bytes;
    }
    return 0;
}

/* Tables from `table` on that the directory does not have. */
int rh_vmdk_missing(struct vmdk_map *m, uint64_t table, uint64_t *ret_count,
                    rh_error **err)
{
    uint64_t count = 0;

    while (table + count < m->tables) {
        const uint8_t *p = window_at(m, m->directory, table + count, err);

        if (!p)
            return -1;
        if (entry_of(m, p))
            break;
        count++;
    }
    *ret_count = count;
    return 0;
}

/* --- one table ----------------------------------------------------------- */

static int grain_fails(const struct vmdk_map *m, uint64_t number, uint64_t at,
                       const char *what, rh_error **err)
{
    /* NOLINTNEXTLINE: a table has entries */
    return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                   "entry %llu of grain table %llu: the grain at 0x%llx %s",
                   VMDK_X(number % m->entries), VMDK_X(number / m->entries),
                   VMDK_X(at), _(what));
}

static int check_place(const struct vmdk_map *m, uint64_t number, uint64_t at,
                       rh_error **err)
{
    uint64_t need = m->compressed ? VMDK_RECORD + 1 : m->grain;

    if (at > m->data_end || need > m->data_end - at)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_TABLE,
                       "entry %llu of grain table %llu: the grain lies past "
                       "the end of the file (at 0x%llx, data end at 0x%llx)",
                       VMDK_X(number % m->entries), VMDK_X(number / m->entries),
                       VMDK_X(at), VMDK_X(m->data_end));
    if (rh_vmdk_meets(m, at, at + need))
        return grain_fails(m, number, at, N_("lies inside the metadata"), err);
    if (m->compressed)
        return at < m->data_start
                   ? grain_fails(m, number, at,
                                 N_("lies in front of all grains"), err)
                   : 0;
    if (at % m->grain != m->data_start % m->grain)
        return grain_fails(m, number, at,
                           N_("begins in the middle of another grain"), err);
    return 0;
}

uint64_t rh_vmdk_unit(const struct vmdk_map *m, uint64_t at)
{
    return (at + m->grain - m->data_start % m->grain) / m->grain;
}

bool rh_vmdk_is_place(uint64_t at)
{
    return at > VMDK_ZEROS;
}

/* Which text fits a place that is taken: tables were marked first. */
static const char *taken_by(struct vmdk_map *m, uint64_t at)
{
    uint64_t table;

    for (uint64_t i = 0; i < m->tables; i++)
        if (rh_vmdk_table_at(m, m->directory, i, &table, NULL) == 0 && table &&
            table < at + m->grain && at < table + m->table_bytes)
            return N_("lies on a grain table");
    return N_("belongs to another entry already");
}

/* Plain grains have places of one size: mark each, and find two entries on
 * one, or a grain on a table.  On failure nothing stays marked. */
static int mark_places(struct vmdk_map *m, uint64_t first, const uint64_t *at,
                       rh_error **err)
{
    enum vmdk_bit was = VMDK_BIT_WAS_CLEAR;
    unsigned i;

    for (i = 0; i < m->entries && was == VMDK_BIT_WAS_CLEAR; i++)
        if (rh_vmdk_is_place(at[i]))
            was = rh_vmdk_bit_set(&m->used, rh_vmdk_unit(m, at[i]));
    if (was == VMDK_BIT_WAS_CLEAR)
        return 0;
    i--; /* this one was not marked by us */
    if (was == VMDK_BIT_NO_ROOM)
        rh_vmdk_scattered(at[i], err);
    else
        grain_fails(m, first + i, at[i], err ? taken_by(m, at[i]) : "", err);
    while (i-- > 0)
        if (rh_vmdk_is_place(at[i]))
            rh_vmdk_bit_clear(&m->used, rh_vmdk_unit(m, at[i]));
    return -1;
}

/* Each table once. */
static int mark_table(struct vmdk_map *m, uint64_t table, const uint64_t *at,
                      rh_error **err)
{
    switch (rh_vmdk_bit_set(&m->checked, table)) {
    case VMDK_BIT_WAS_SET:
        return 0;
    case VMDK_BIT_NO_ROOM:
        return rh_vmdk_scattered(m->directory, err);
    default:
        break;
    }
    if (mark_places(m, table * m->entries, at, err) == 0)
        return 0;
    rh_vmdk_bit_clear(&m->checked, table);
    return -1;
}

/* The places where tables are, so that no grain comes to lie there. */
int rh_vmdk_mark_tables(struct vmdk_map *m, rh_error **err)
{
    uint64_t at;

    for (uint64_t i = 0; i < m->tables; i++) {
        if (rh_vmdk_table_at(m, m->directory, i, &at, err) < 0)
            return -1;
        for (uint64_t u = rh_vmdk_unit(m, at);
             at && u <= rh_vmdk_unit(m, at + m->table_bytes - 1); u++)
            if (rh_vmdk_bit_set(&m->used, u) == VMDK_BIT_NO_ROOM)
                return rh_vmdk_scattered(at, err);
    }
    return 0;
}

/* Stored entries to places, each checked. */
int rh_vmdk_decode(struct vmdk_map *m, uint64_t table, const uint8_t *raw,
                   uint64_t *ret_at, rh_error **err)
{
    uint64_t first = table * m->entries, entry;

    for (unsigned i = 0; i < m->entries; i++) {
        ret_at[i] = VMDK_HOLE;
        entry = entry_of(m, raw + (size_t)i * m->kind->entry);
        if (!entry || (first + i >= m->grains && !m->compressed))
            continue;
        if (first + i >= m->grains)
            return grain_fails(m, first + i, entry * VMDK_SECTOR,
                               N_("lies behind the end of the disk"), err);
        if (m->kind->grain(m, first + i, entry, &ret_at[i], err) < 0)
            return -1;
        if (rh_vmdk_is_place(ret_at[i]) &&
            check_place(m, first + i, ret_at[i], err) < 0)
            return -1;
        if (ret_at[i] == VMDK_ZEROS && !m->zero_grains)
            rh_vmdk_problem(m->cache, &m->cache->said_zero, "VMDK-ZERO-GRAIN",
                            N_("grains are marked as zero, though the header "
                               "does not announce it; they were read as "
                               "zeros"));
    }
    return m->compressed ? 0 : mark_table(m, table, ret_at, err);
}

/* Tables behind the grains each have a marker in front, or the table before
 * (Xen Orchestra writes one marker for all). */
int rh_vmdk_has_marker(struct vmdk_map *m, uint64_t table, uint64_t at,
                       bool *ret, rh_error **err)
{
    uint64_t before = 0;

    if (table && m->behind &&
        rh_vmdk_table_at(m, m->directory, table - 1, &before, err) < 0)
        return -1;
    *ret = m->behind && !(before && before + m->table_bytes == at);
    return 0;
}

/* `sector` stands in front of the table at `at`. */
int rh_vmdk_check_marker(const struct vmdk_map *m, uint64_t table, uint64_t at,
                         const uint8_t *sector, rh_error **err)
{
    struct vmdk_mark mark;

    if (rh_vmdk_mark(&m->header, sector, at - VMDK_SECTOR, &mark, err) < 0)
        return -1;
    if (mark.kind != VMDK_MARK_TABLE)
        return rh_fail(err, RH_ERR_VMDK_MARKER,
                       "there is no marker for grain table %llu (at 0x%llx)",
                       VMDK_X(table), VMDK_X(at - VMDK_SECTOR));
    return 0;
}
