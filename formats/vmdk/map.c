/* map.c - where the grains of a sparse part are: directory, tables, cache.
 *
 * Memory follows use, not capacity: a window of the directory, and a few groups
 * of tables that all parts of the disk share.  What they say is checked in
 * tables.c when they are first read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

enum {
    GROUP = 64 * 1024, /* of neighbouring tables: one read */
    GROUP_TABLES = 64,
    VISITS = 256, /* tables that one extent may reach over */
};

uint64_t rh_vmdk_grain_length(const struct vmdk_map *m, uint64_t number)
{
    return RH_MIN(m->grain, m->size - number * m->grain);
}

void rh_vmdk_problem(struct vmdk_cache *c, bool *said, const char *id,
                     const char *text)
{
    if (!*said)
        rh_problem_add(c->reader, id, "%s", _(text));
    *said = true;
}

/* --- groups of tables in memory ------------------------------------------ */

static struct vmdk_slot *slot_oldest(struct vmdk_cache *c)
{
    struct vmdk_slot *s = c->slots;

    for (unsigned i = 1; i < VMDK_SLOTS; i++)
        if (c->slots[i].used < s->used)
            s = &c->slots[i];
    return s;
}

static struct vmdk_slot *slot_find(struct vmdk_cache *c,
                                   const struct vmdk_map *m, uint64_t table)
{
    for (unsigned i = 0; i < VMDK_SLOTS; i++) {
        struct vmdk_slot *s = &c->slots[i];

        if (s->map == m && table - s->first < s->count) {
            s->used = ++c->clock;
            return s;
        }
    }
    return NULL;
}

/* Tables from `table` on that stand side by side from `at` on. */
static unsigned group_size(struct vmdk_map *m, uint64_t table, uint64_t at)
{
    unsigned max = RH_MIN(GROUP / m->table_bytes, (unsigned)GROUP_TABLES);
    unsigned count = 1;
    uint64_t next;

    while (count < max && table + count < m->tables &&
           rh_vmdk_table_at(m, m->directory, table + count, &next, NULL) == 0 &&
           next == at + (uint64_t)count * m->table_bytes)
        count++;
    return count;
}

static int decode_group(struct vmdk_map *m, struct vmdk_slot *s, uint64_t table,
                        unsigned count, const uint8_t *raw, rh_error **err)
{
    s->first = table;
    s->count = 0;
    s->empty = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *one = raw + (size_t)i * m->table_bytes;

        if (rh_all_zero(one, m->table_bytes))
            s->empty |= UINT64_C(1) << i;
        else if (rh_vmdk_decode(m, table + i, one,
                                s->at + (size_t)i * m->entries,
                                i ? NULL : err) < 0)
            break; /* a bad one is told when it is asked for */
        s->count++;
    }
    return s->count ? 0 : -1;
}

/* The first copy of a table is damaged: does the redundant one make sense? */
static int load_redundant(struct vmdk_map *m, struct vmdk_slot *s,
                          uint64_t table)
{
    uint64_t at;

    if (!m->redundant ||
        rh_vmdk_table_at(m, m->redundant, table, &at, NULL) < 0 || !at ||
        rh_io_read(m->io, m->cache->raw, m->table_bytes, at, NULL) < 0 ||
        decode_group(m, s, table, 1, m->cache->raw, NULL) < 0)
        return -1;
    rh_vmdk_problem(m->cache, &m->cache->said_redundant,
                    "VMDK-REDUNDANT-DIRECTORY-USED",
                    N_("grain tables are damaged; their redundant copies were "
                       "used"));
    return 0;
}

/* `count` tables from the one at `at` on, by one read with the marker that
 * stands in front of them, if one does. */
static const uint8_t *read_group(struct vmdk_map *m, uint64_t table,
                                 unsigned count, uint64_t at, rh_error **err)
{
    struct vmdk_cache *c = m->cache;
    size_t lead;
    bool marked;

    if (rh_vmdk_has_marker(m, table, at, &marked, err) < 0)
        return NULL;
    lead = marked ? VMDK_SECTOR : 0;
    if (!c->raw)
        c->raw = rh_malloc(VMDK_SECTOR + GROUP);
    if (rh_io_read(m->io, c->raw, lead + (size_t)count * m->table_bytes,
                   at - lead, err) < 0 ||
        (marked && rh_vmdk_check_marker(m, table, at, c->raw, err) < 0))
        return NULL;
    return c->raw + lead;
}

static int load(struct vmdk_map *m, uint64_t table, uint64_t at,
                struct vmdk_slot **ret, rh_error **err)
{
    struct vmdk_cache *c = m->cache;
    struct vmdk_slot *s = slot_oldest(c);
    unsigned count = group_size(m, table, at);
    const uint8_t *raw;
    rh_error *cause = NULL;

    if (!s->at)
        s->at = rh_calloc(GROUP / 4, sizeof *s->at);
    s->map = NULL;
    raw = read_group(m, table, count, at, err);
    if (!raw)
        return -1;
    if (decode_group(m, s, table, count, raw, &cause) < 0 &&
        load_redundant(m, s, table) < 0) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    rh_error_free(cause);
    s->map = m;
    s->used = ++c->clock;
    *ret = s;
    return 0;
}

/* Table `table`'s places; NULL when it has none. */
static int places(struct vmdk_map *m, uint64_t table, const uint64_t **ret,
                  rh_error **err)
{
    struct vmdk_slot *s = slot_find(m->cache, m, table);
    uint64_t at;

    *ret = NULL;
    if (!s) {
        if (rh_vmdk_table_at(m, m->directory, table, &at, err) < 0)
            return -1;
        if (at && load(m, table, at, &s, err) < 0)
            return -1;
    }
    if (s && !(s->empty >> (table - s->first) & 1))
        *ret = s->at + (table - s->first) * m->entries;
    return 0;
}

int rh_vmdk_map_get(struct vmdk_map *m, uint64_t first, unsigned count,
                    uint64_t *ret_at, rh_error **err)
{
    const uint64_t *at;
    int result;

    pthread_mutex_lock(&m->cache->lock);
    result = places(m, first / m->entries, &at, err);
    if (result == 0 && at)
        memcpy(ret_at, at + first % m->entries, count * sizeof *at);
    else if (result == 0)
        memset(ret_at, 0, count * sizeof *at);
    pthread_mutex_unlock(&m->cache->lock);
    return result < 0 ? rh_error_subject(err, m->io->name) : 0;
}

/* --- extents ------------------------------------------------------------- */

static enum rh_extent_kind kind_of(uint64_t at)
{
    return at == VMDK_HOLE    ? RH_EXTENT_HOLE
           : at == VMDK_ZEROS ? RH_EXTENT_ZERO
                              : RH_EXTENT_DATA;
}

/* Grains from `first` on that are alike, within a table or over missing ones.
 */
static int run(struct vmdk_map *m, uint64_t first, enum rh_extent_kind *ret,
               uint64_t *ret_count, rh_error **err)
{
    uint64_t table = first / m->entries, i = first % m->entries, skipped;
    const uint64_t *at;

    if (rh_vmdk_missing(m, table, &skipped, err) < 0)
        return -1;
    *ret = RH_EXTENT_HOLE;
    *ret_count = skipped * m->entries - i;
    if (skipped)
        return 0;
    if (places(m, table, &at, err) < 0)
        return -1;
    *ret_count = m->entries - i;
    if (!at)
        return 0;
    *ret = kind_of(at[i]);
    for (*ret_count = 1; i + *ret_count < m->entries; (*ret_count)++)
        if (kind_of(at[i + *ret_count]) != *ret)
            break;
    return 0;
}

static int merge(struct vmdk_map *m, uint64_t first, enum rh_extent_kind *kind,
                 uint64_t *ret_end, rh_error **err)
{
    enum rh_extent_kind other;
    uint64_t end, count;

    if (run(m, first, kind, &count, err) < 0)
        return -1;
    end = first + count;
    /* Data is taken piece by piece: to look further now would be to look again
     * each time.  A bad table further on is told when it is asked for. */
    for (int i = 0; i < VISITS && *kind != RH_EXTENT_DATA && end < m->grains;
         i++) {
        if (run(m, end, &other, &count, NULL) < 0 || other != *kind)
            break;
        end += count;
    }
    *ret_end = end;
    return 0;
}

int rh_vmdk_map_extent(struct vmdk_map *m, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    uint64_t end;
    int result;

    pthread_mutex_lock(&m->cache->lock);
    result = merge(m, offset / m->grain, &ret->kind, &end, err);
    pthread_mutex_unlock(&m->cache->lock);
    if (result < 0)
        return rh_error_subject(err, m->io->name);
    ret->length = RH_MIN(end * m->grain, m->size) - offset;
    return 0;
}

/* --- plain grains -------------------------------------------------------- */

enum { BATCH = 256 };

/* Bytes [skip, ...) of the grains at `at`: neighbours in the file by one read.
 */
static int read_run(struct vmdk_map *m, const uint64_t *at, unsigned count,
                    uint64_t skip, uint8_t *buf, uint64_t n, rh_error **err)
{
    for (unsigned i = 0, j; n; i = j) {
        uint64_t part;

        for (j = i + 1; j < count; j++)
            if (rh_vmdk_is_place(at[i]) ? at[j] != at[i] + (j - i) * m->grain
                                        : rh_vmdk_is_place(at[j]))
                break;
        part = RH_MIN((j - i) * m->grain - skip, n);
        if (!rh_vmdk_is_place(at[i]))
            memset(buf, 0, part);
        else if (rh_io_read(m->io, buf, part, at[i] + skip, err) < 0)
            return -1;
        buf += part;
        n -= part;
        skip = 0;
    }
    return 0;
}

int rh_vmdk_read_plain(struct vmdk_map *m, uint8_t *buf, uint64_t n,
                       uint64_t offset, rh_error **err)
{
    uint64_t at[BATCH];

    while (n) {
        uint64_t first = offset / m->grain, skip = offset % m->grain;
        uint64_t want = rh_div_up(skip + n, m->grain), part;
        unsigned count = (unsigned)RH_MIN(RH_MIN(want, (uint64_t)BATCH),
                                          m->entries - first % m->entries);

        if (rh_vmdk_map_get(m, first, count, at, err) < 0)
            return -1;
        part = RH_MIN(count * m->grain - skip, n);
        if (read_run(m, at, count, skip, buf, part, err) < 0)
            return -1;
        buf += part;
        n -= part;
        offset += part;
    }
    return 0;
}

/* --- making and ending --------------------------------------------------- */

/* The first directory, or when that is damaged the redundant one. */
static int choose_directory(struct vmdk_map *m, rh_error **err)
{
    rh_error *cause = NULL;

    if (rh_vmdk_check_directory(m, m->directory, &cause) == 0)
        return 0;
    if (m->redundant && rh_vmdk_check_directory(m, m->redundant, NULL) == 0) {
        rh_error_free(cause);
        m->directory = m->redundant;
        m->redundant = 0;
        rh_vmdk_problem(m->cache, &m->cache->said_redundant,
                        "VMDK-REDUNDANT-DIRECTORY-USED",
                        N_("the grain directory is damaged; the redundant one "
                           "was used"));
        return 0;
    }
    if (err && !*err)
        *err = RH_TAKE(cause);
    rh_error_free(cause);
    return -1;
}

int rh_vmdk_map_init(struct vmdk_map *m, rh_error **err)
{
    uint64_t bytes;

    m->grains = rh_div_up(m->size, m->grain);
    m->tables = rh_div_up(m->grains, m->entries);
    m->table_bytes = m->entries * m->kind->entry;
    bytes = m->tables * m->kind->entry;
    if (m->directory > m->io->size || bytes > m->io->size - m->directory)
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory lies past the end of the file (at "
                       "0x%llx, 0x%llx bytes, file ends at 0x%llx)",
                       VMDK_X(m->directory), VMDK_X(bytes),
                       VMDK_X(m->io->size));
    if (rh_vmdk_meets(m, m->directory, m->directory + bytes))
        return rh_fail(err, RH_ERR_VMDK_GRAIN_DIRECTORY,
                       "the grain directory at 0x%llx lies inside other "
                       "metadata",
                       VMDK_X(m->directory));
    m->fixed[m->fixed_count++] =
        (struct vmdk_range){m->directory, m->directory + bytes};
    if (m->redundant &&
        (m->redundant > m->io->size || bytes > m->io->size - m->redundant))
        m->redundant = 0;
    rh_vmdk_stored_file(m->cache->room, m->io);
    if (rh_vmdk_bits_init(&m->checked, m->tables, m->cache->room, err) < 0)
        return -1;
    if (choose_directory(m, err) < 0)
        return -1;
    if (m->compressed)
        return 0;
    if (rh_vmdk_bits_init(&m->used, rh_vmdk_unit(m, m->io->size + m->grain) + 2,
                          m->cache->room, err) < 0)
        return -1;
    return rh_vmdk_mark_tables(m, err);
}

void rh_vmdk_map_free(struct vmdk_map *m)
{
    if (!m)
        return;
    rh_vmdk_bits_free(&m->checked);
    rh_vmdk_bits_free(&m->used);
    rh_vmdk_bits_free(&m->links);
    free(m->window);
    rh_io_unref(m->io);
    free(m);
}

enum { COMPARED = 1024 }; /* tables looked up at once */

/* Where tables [first, first + count) are by one directory, UINT64_MAX where
 * that makes no sense.  The directory's window is everybody's. */
static void look_up(struct vmdk_map *m, uint64_t of, uint64_t first,
                    unsigned count, uint64_t *ret_at)
{
    pthread_mutex_lock(&m->cache->lock);
    for (unsigned i = 0; i < count; i++)
        if (rh_vmdk_table_at(m, of, first + i, &ret_at[i], NULL) < 0)
            ret_at[i] = UINT64_MAX;
    pthread_mutex_unlock(&m->cache->lock);
}

/* Are both copies of a table the same? */
static int same_table(struct vmdk_map *m, uint64_t first, uint64_t second,
                      uint8_t *buf, bool *ret_same, rh_error **err)
{
    *ret_same = !first == !second && second != UINT64_MAX;
    if (!first || !*ret_same || first == UINT64_MAX)
        return 0;
    if (rh_io_read(m->io, buf, m->table_bytes, first, err) < 0 ||
        rh_io_read(m->io, buf + m->table_bytes, m->table_bytes, second, err) <
            0)
        return -1;
    *ret_same = memcmp(buf, buf + m->table_bytes, m->table_bytes) == 0;
    return 0;
}

int rh_vmdk_map_compare(struct vmdk_map *m, bool *ret_same, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc((size_t)m->table_bytes * 2);
    uint64_t first[COMPARED], second[COMPARED];

    *ret_same = true;
    if (!m->redundant)
        return 0;
    for (uint64_t t = 0; *ret_same && t < m->tables; t += COMPARED) {
        unsigned n = (unsigned)RH_MIN(m->tables - t, (uint64_t)COMPARED);

        look_up(m, m->directory, t, n, first);
        look_up(m, m->redundant, t, n, second);
        for (unsigned i = 0; *ret_same && i < n; i++)
            if (same_table(m, first[i], second[i], buf, ret_same, err) < 0)
                return -1;
    }
    return 0;
}
