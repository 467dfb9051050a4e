/* links.c - the markers tell the same disk as the tables.
 *
 * A streamOptimized file can be read by its tables or, from a pipe, by walking
 * from marker to marker.  A file for which the two differ would be one disk to
 * a scanner and another to us.  So every grain that is read by the tables is
 * also placed in the walk: what follows it must be a grain that the tables know
 * at that very place, and no two grains may lead to the same one.  Two bits a
 * grain prove it: the walk starts at data_start and goes on through grains of
 * the tables only; and a grain of the tables that the walk does not meet leads,
 * in the end, to one that is met already. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

enum { LOOK = 4096 };

/* A place in the file, and some bytes from there on. */
struct cursor {
    uint64_t at, from;
    size_t n;
    uint8_t bytes[LOOK];
};

static uint64_t left_bit(uint64_t number)
{
    return number * 2;
}

static uint64_t arrived_bit(uint64_t number)
{
    return number * 2 + 1;
}

/* The sector at the cursor; the last one of a file may be short. */
static const uint8_t *sector(struct vmdk_map *m, struct cursor *c,
                             rh_error **err)
{
    if (c->at < c->from || c->at + VMDK_SECTOR > c->from + c->n) {
        c->n = 0;
        memset(c->bytes, 0, sizeof c->bytes);
        c->from = c->at;
        if (rh_io_read(m->io, c->bytes,
                       RH_MIN(m->data_end - c->at, (uint64_t)LOOK), c->at,
                       err) < 0)
            return NULL;
        c->n = LOOK;
    }
    return c->bytes + (c->at - c->from);
}

/* Jump over a hole of the file, at most to data_end. */
static int skip_hole(struct vmdk_map *m, struct cursor *c, rh_error **err)
{
    uint64_t start, end;

    if (c->at % LOOK)
        return 0;
    if (rh_io_data_after(m->io, c->at, &start, &end, err) < 0)
        return -1;
    if (start > c->at)
        c->at = RH_MIN(start - start % VMDK_SECTOR, m->data_end);
    return 0;
}

static int rest_is_zero(struct vmdk_map *m, struct cursor *c, rh_error **err)
{
    c->at += VMDK_SECTOR;
    while (c->at < m->data_end) {
        const uint8_t *p = sector(m, c, err);

        if (!p)
            return -1;
        if (!rh_all_zero(p, VMDK_SECTOR))
            return rh_fail(err, RH_ERR_VMDK_MARKER,
                           "data behind the end of the stream, at 0x%llx",
                           VMDK_X(c->at));
        c->at += VMDK_SECTOR;
        if (skip_hole(m, c, err) < 0)
            return -1;
    }
    c->at = m->data_end;
    return 0;
}

/* Is what stands at `at` a copy of table `number`? */
static int is_copy(struct vmdk_map *m, uint64_t number, uint64_t at, bool *ret,
                   rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = rh_malloc(m->table_bytes);
    RH_AUTO(rh_freep) uint64_t *table = NULL;
    uint32_t count =
        (uint32_t)RH_MIN((uint64_t)m->entries, m->grains - number * m->entries);

    *ret = false;
    if (at > m->data_end || m->table_bytes > m->data_end - at)
        return 0;
    table = rh_calloc(m->entries, sizeof *table);
    if (rh_vmdk_map_get(m, number * m->entries, count, table, err) < 0 ||
        rh_io_read(m->io, bytes, m->table_bytes, at, err) < 0)
        return -1;
    *ret = true;
    for (uint32_t i = 0; i < m->entries; i++) {
        uint64_t stored = rh_le32(bytes + (size_t)i * 4);

        *ret &= table[i] == (stored > 1 ? stored * VMDK_SECTOR : stored);
    }
    return 0;
}

/* Over the table behind the marker at the cursor.  Where the marker does not
 * say how much follows, all tables may (Xen Orchestra): from the first on, as
 * long as they are the ones we know. */
static int skip_tables(struct vmdk_map *m, struct cursor *c,
                       const struct vmdk_mark *mark, rh_error **err)
{
    uint64_t at = c->at + VMDK_SECTOR;
    bool copy = !mark->counted;

    for (uint64_t i = 0; copy && i < m->tables; i++) {
        if (is_copy(m, i, at, &copy, err) < 0)
            return -1;
        if (copy)
            at += m->table_bytes;
    }
    c->at = RH_MAX(at, c->at + VMDK_SECTOR + mark->value);
    return 0;
}

/* Past one marker that is no grain. */
static int step(struct vmdk_map *m, struct cursor *c,
                const struct vmdk_mark *mark, rh_error **err)
{
    switch (mark->kind) {
    case VMDK_MARK_PROGRESS:
        c->at += VMDK_SECTOR;
        return 0;
    case VMDK_MARK_END:
        if (!m->behind)
            return rest_is_zero(m, c, err);
        c->at += VMDK_SECTOR; /* zeros may stand in front of the tables */
        return skip_hole(m, c, err);
    case VMDK_MARK_TABLE:
        if (m->behind)
            return skip_tables(m, c, mark, err);
        break;
    case VMDK_MARK_DIRECTORY:
        c->at += VMDK_SECTOR + mark->value;
        if (m->behind)
            return 0;
        break;
    default:
        break;
    }
    return rh_fail(err, RH_ERR_VMDK_MARKER,
                   "a marker of type %u where none belongs, at 0x%llx",
                   mark->kind, VMDK_X(c->at));
}

/* The next grain at or after the cursor; kind END when there is none. */
static int follow(struct vmdk_map *m, struct cursor *c, struct vmdk_mark *ret,
                  uint64_t *ret_at, rh_error **err)
{
    while (c->at < m->data_end) {
        const uint8_t *p = sector(m, c, err);

        if (!p || rh_vmdk_mark(&m->header, p, c->at, ret, err) < 0)
            return -1;
        *ret_at = c->at;
        if (ret->kind == VMDK_MARK_GRAIN)
            return 0;
        if (step(m, c, ret, err) < 0)
            return -1;
    }
    if (c->at > m->data_end)
        return rh_fail(err, RH_ERR_VMDK_MARKER,
                       "what the marker at 0x%llx announces is cut short (data "
                       "end at 0x%llx)",
                       VMDK_X(*ret_at), VMDK_X(m->data_end));
    ret->kind = VMDK_MARK_END;
    return 0;
}

static int twice(uint64_t at, rh_error **err)
{
    return rh_fail(err, RH_ERR_VMDK_GRAIN,
                   "two grains overlap: both are followed by what stands at "
                   "0x%llx",
                   VMDK_X(at));
}

static int arrive(struct vmdk_map *m, struct cursor *from, rh_error **err)
{
    struct vmdk_mark mark;
    uint64_t known, number, at = from->at;

    if (follow(m, from, &mark, &at, err) < 0)
        return -1;
    if (mark.kind == VMDK_MARK_END)
        return atomic_exchange(&m->end_met, true) ? twice(m->data_end, err) : 0;
    number = mark.lba / m->grain;
    if (rh_vmdk_map_get(m, number, 1, &known, err) < 0)
        return -1;
    if (known <= VMDK_ZEROS)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx (for 0x%llx of the disk) is in no "
                       "grain table",
                       VMDK_X(at), VMDK_X(mark.lba));
    if (known != at)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx is for 0x%llx of the disk, but its "
                       "grain table names the one at 0x%llx",
                       VMDK_X(at), VMDK_X(mark.lba), VMDK_X(known));
    switch (rh_vmdk_bit_set(&m->links, arrived_bit(number))) {
    case VMDK_BIT_WAS_CLEAR:
        return 0;
    case VMDK_BIT_NO_ROOM:
        return rh_vmdk_scattered(at, err);
    default:
        return twice(at, err);
    }
}

int rh_vmdk_links_start(struct vmdk_map *m, rh_error **err)
{
    if (rh_vmdk_bits_init(&m->links, m->grains * 2, m->cache->room, err) < 0)
        return -1;
    return arrive(m, &(struct cursor){.at = m->data_start}, err);
}

/* A cursor at `end` that has the `n` bytes from there on already. */
static void begin(struct cursor *c, uint64_t end, const uint8_t *bytes,
                  uint64_t n)
{
    c->at = c->from = end;
    c->n = (size_t)(RH_MIN(n, (uint64_t)LOOK) / VMDK_SECTOR * VMDK_SECTOR);
    memcpy(c->bytes, bytes, c->n);
}

int rh_vmdk_link(struct vmdk_map *m, uint64_t number, uint64_t end,
                 const uint8_t *bytes, uint64_t n, rh_error **err)
{
    enum vmdk_bit left = rh_vmdk_bit_set(&m->links, left_bit(number));
    struct cursor c;

    if (left == VMDK_BIT_NO_ROOM)
        return rh_vmdk_scattered(end, err);
    if (left == VMDK_BIT_WAS_SET)
        return 0;
    begin(&c, end, bytes, n);
    if (arrive(m, &c, err) == 0)
        return 0;
    rh_vmdk_bit_clear(&m->links, left_bit(number)); /* fails again next time */
    return -1;
}

int rh_vmdk_link_to(struct vmdk_map *m, uint64_t number, uint64_t next,
                    rh_error **err)
{
    enum vmdk_bit left = rh_vmdk_bit_set(&m->links, left_bit(number)), arrived;

    if (left == VMDK_BIT_NO_ROOM)
        return rh_vmdk_scattered(next * m->grain, err);
    if (left == VMDK_BIT_WAS_SET)
        return 0;
    arrived = rh_vmdk_bit_set(&m->links, arrived_bit(next));
    if (arrived == VMDK_BIT_WAS_CLEAR)
        return 0;
    rh_vmdk_bit_clear(&m->links, left_bit(number));
    return arrived == VMDK_BIT_NO_ROOM ? rh_vmdk_scattered(next * m->grain, err)
                                       : twice(next * m->grain, err);
}
