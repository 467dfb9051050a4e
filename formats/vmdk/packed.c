/* packed.c - grains of a streamOptimized disk, by its tables.
 *
 * Grains that lie side by side come by one read into the codec's scratch memory
 * and are inflated straight into the caller's buffer.  How long a packed grain
 * is stands in its own marker only; the next grain's place is the bound. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

enum {
    BATCH = 64,         /* grains looked up at once */
    AHEAD = 16,         /* and some more, to know where the last one ends */
    READ_MAX = 2 << 20, /* bytes of one read */
};
enum { SCRATCH_PACKED, SCRATCH_PLAIN };

/* A look at the grains from `first` on. */
struct batch {
    uint64_t first;
    unsigned count; /* wanted */
    unsigned known; /* looked up: count and some more */
    uint64_t at[BATCH + AHEAD];
};

static bool is_place(uint64_t at)
{
    return at > VMDK_ZEROS;
}

static uint64_t record_max(const struct vmdk_map *m)
{
    return rh_round_up(VMDK_RECORD + rh_vmdk_packed_max(m->grain), VMDK_SECTOR);
}

/* The next grain behind `i` in the file's order, if it may touch it; else
 * `known`. */
static unsigned neighbour(const struct vmdk_map *m, const struct batch *b,
                          unsigned i)
{
    unsigned next = i + 1;

    while (next < b->known && !is_place(b->at[next]))
        next++;
    if (next < b->known && b->at[next] > b->at[i] &&
        b->at[next] - b->at[i] <= record_max(m))
        return next;
    return b->known;
}

/* What stands at `at`, up to `room` bytes of it. */
struct record {
    uint64_t number, at;
    const uint8_t *bytes; /* the marker's */
    uint64_t room;
    uint32_t size; /* of the packed bytes behind it */
};

static int check_record(struct vmdk_map *m, struct record *r, rh_error **err)
{
    uint64_t lba = rh_le64(r->bytes);

    r->size = rh_le32(r->bytes + 8);
    if (r->size == 0)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "no grain at 0x%llx, where grain table %llu has one",
                       VMDK_X(r->at), VMDK_X(r->number / m->entries));
    if (lba != r->number * (m->grain / VMDK_SECTOR))
        return rh_fail(
            err, RH_ERR_VMDK_GRAIN,
            "the grain at 0x%llx is for sector 0x%llx, but its grain "
            "table says 0x%llx",
            VMDK_X(r->at), VMDK_X(lba),
            VMDK_X(r->number * (m->grain / VMDK_SECTOR)));
    if (r->size > rh_vmdk_packed_max(m->grain))
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx claims %u packed bytes, too many "
                       "for %llu",
                       VMDK_X(r->at), r->size, VMDK_X(m->grain));
    if (VMDK_RECORD + (uint64_t)r->size > r->room)
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx (%u bytes) reaches into what "
                       "follows at 0x%llx",
                       VMDK_X(r->at), r->size, VMDK_X(r->at + r->room));
    return 0;
}

static uint64_t record_end(const struct vmdk_map *m, const struct record *r)
{
    uint64_t end = rh_round_up(r->at + VMDK_RECORD + r->size, VMDK_SECTOR);

    return RH_MIN(end, m->data_end);
}

/* The whole grain; the disk's last may be packed short (qemu-img). */
static int inflate(struct vmdk_map *m, struct rh_codec *codec,
                   const struct record *r, uint8_t *out, rh_error **err)
{
    size_t n = 0, least = (size_t)rh_vmdk_grain_length(m, r->number);

    switch (rh_inflate_zlib(codec, r->bytes + VMDK_RECORD, r->size, out,
                            (size_t)m->grain, &n, NULL)) {
    case RH_UNPACK_DAMAGED:
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx (for 0x%llx of the disk) is "
                       "damaged: no sound zlib data",
                       VMDK_X(r->at), VMDK_X(r->number * m->grain));
    case RH_UNPACK_LONGER:
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx inflates to more than %llu bytes",
                       VMDK_X(r->at), VMDK_X(m->grain));
    case RH_UNPACK_OK:
        break;
    }
    if (n < (r->number + 1 == m->grains ? least : (size_t)m->grain))
        return rh_fail(err, RH_ERR_VMDK_GRAIN,
                       "the grain at 0x%llx inflates to %zu bytes instead of "
                       "%llu",
                       VMDK_X(r->at), n, VMDK_X(m->grain));
    return 0;
}

/* Bytes [skip, skip + n) of the grain into buf. */
static int unpack(struct vmdk_map *m, struct rh_codec *codec,
                  const struct record *r, uint64_t skip, uint8_t *buf,
                  uint64_t n, rh_error **err)
{
    uint8_t *plain;

    if (skip == 0 && n == m->grain)
        return inflate(m, codec, r, buf, err);
    plain = rh_codec_scratch(codec, SCRATCH_PLAIN, (size_t)m->grain, err);
    if (!plain || inflate(m, codec, r, plain, err) < 0)
        return -1;
    memcpy(buf, plain + skip, n);
    return 0;
}

/* How far grains from `i` on can be read at once: the last of them, and where
 * the read ends. */
static unsigned plan_run(const struct vmdk_map *m, const struct batch *b,
                         unsigned i, uint64_t *ret_end)
{
    uint64_t start = b->at[i];
    unsigned next;

    while ((next = neighbour(m, b, i)) < b->count &&
           b->at[next] - start <= READ_MAX - 1)
        i = next;
    *ret_end = next < b->known ? b->at[next]
                               : RH_MIN(b->at[i] + record_max(m), m->data_end);
    return i;
}

/* Of what follows the record, `have` bytes from its marker on are at hand. */
static int link_record(struct vmdk_map *m, const struct batch *b, unsigned i,
                       const struct record *r, uint64_t have, rh_error **err)
{
    uint64_t end = record_end(m, r);
    unsigned next = neighbour(m, b, i);

    if (next < b->known && b->at[next] == end)
        return rh_vmdk_link_to(m, r->number, b->first + next, err);
    have -= RH_MIN(have, end - r->at);
    return rh_vmdk_link(m, r->number, end,
                        have ? r->bytes + (end - r->at) : r->bytes, have, err);
}

/* Where the caller's bytes go, as grains are passed. */
struct target {
    uint8_t *buf;
    uint64_t n, skip; /* left; into the next grain */
};

static uint64_t take(struct target *t, const struct vmdk_map *m,
                     uint64_t *ret_skip)
{
    uint64_t part = RH_MIN(m->grain - t->skip, t->n);

    *ret_skip = t->skip;
    t->buf += part;
    t->n -= part;
    t->skip = 0;
    return part;
}

/* Grain i of a run that was read from b->at[first] to `end`. */
static int judge(struct vmdk_map *m, const struct batch *b, unsigned first,
                 unsigned i, const uint8_t *bytes, uint64_t end,
                 struct record *ret, rh_error **err)
{
    unsigned next = neighbour(m, b, i);

    *ret = (struct record){.number = b->first + i,
                           .at = b->at[i],
                           .bytes = bytes + (b->at[i] - b->at[first])};
    ret->room = (next < b->known ? RH_MIN(b->at[next], end) : end) - ret->at;
    if (check_record(m, ret, err) < 0)
        return -1;
    return link_record(m, b, i, ret, end - ret->at, err);
}

/* Grains [first, last] by one read. */
static int read_run(struct vmdk_map *m, struct rh_codec *codec,
                    const struct batch *b, unsigned first, unsigned last,
                    uint64_t end, struct target *t, rh_error **err)
{
    size_t n = (size_t)(end - b->at[first]);
    uint8_t *bytes = rh_codec_scratch(codec, SCRATCH_PACKED, n, err);

    if (!bytes || rh_io_read(m->io, bytes, n, b->at[first], err) < 0)
        return -1;
    for (unsigned i = first; i <= last; i++) {
        uint8_t *buf = t->buf;
        uint64_t skip, part = take(t, m, &skip);
        struct record r;

        if (!is_place(b->at[i])) {
            memset(buf, 0, part);
            continue;
        }
        if (judge(m, b, first, i, bytes, end, &r, err) < 0 ||
            unpack(m, codec, &r, skip, buf, part, err) < 0)
            return -1;
    }
    return 0;
}

static int read_batch(struct vmdk_map *m, struct rh_codec *codec,
                      const struct batch *b, struct target *t, rh_error **err)
{
    for (unsigned i = 0, last; i < b->count; i = last + 1) {
        uint64_t end, skip;
        uint8_t *buf = t->buf;

        last = i;
        if (!is_place(b->at[i])) {
            memset(buf, 0, take(t, m, &skip));
            continue;
        }
        last = plan_run(m, b, i, &end);
        if (read_run(m, codec, b, i, last, end, t, err) < 0)
            return -1;
    }
    return 0;
}

static int look(struct vmdk_map *m, uint64_t first, uint64_t want,
                struct batch *b, rh_error **err)
{
    uint64_t left = RH_MIN(m->entries - first % m->entries, m->grains - first);

    b->first = first;
    b->count = (unsigned)RH_MIN(RH_MIN(want, left), (uint64_t)BATCH);
    b->known = (unsigned)RH_MIN(left, (uint64_t)b->count + AHEAD);
    return rh_vmdk_map_get(m, first, b->known, b->at, err);
}

int rh_vmdk_read_packed(struct vmdk_map *m, struct rh_codec *codec,
                        uint8_t *buf, uint64_t n, uint64_t offset,
                        rh_error **err)
{
    struct target t = {.buf = buf, .n = n, .skip = offset % m->grain};
    uint64_t first = offset / m->grain;
    struct batch b;

    while (t.n) {
        if (look(m, first, rh_div_up(t.skip + t.n, m->grain), &b, err) < 0 ||
            read_batch(m, codec, &b, &t, err) < 0)
            return rh_error_subject(err, m->io->name);
        first += b.count;
    }
    return 0;
}

/* --- as they are --------------------------------------------------------- */

/* Grains [first, last] by one read; ret is of the batch's first grain. */
static int gather_run(struct vmdk_map *m, const struct batch *b, unsigned first,
                      unsigned last, uint64_t end, struct rh_buf *memory,
                      struct rh_packed *ret, rh_error **err)
{
    size_t start = memory->length, n = (size_t)(end - b->at[first]);
    uint8_t *bytes = (uint8_t *)rh_buf_more(memory, n);

    if (rh_io_read(m->io, bytes, n, b->at[first], err) < 0)
        return -1;
    for (unsigned i = first; i <= last; i++) {
        struct record r;

        if (!is_place(b->at[i]))
            continue;
        if (judge(m, b, first, i, bytes, end, &r, err) < 0)
            return -1;
        /* The disk's last one may be packed short. */
        if (rh_vmdk_grain_length(m, r.number) != m->grain)
            continue;
        ret[i] = (struct rh_packed){.at = start + (size_t)(r.bytes - bytes) +
                                          VMDK_RECORD,
                                    .size = r.size,
                                    .codec = RH_PACKED_ZLIB,
                                    .plain_size = (uint32_t)m->grain};
    }
    return 0;
}

int rh_vmdk_packed(struct vmdk_map *m, uint64_t offset, uint64_t count,
                   struct rh_buf *memory, struct rh_packed *ret, rh_error **err)
{
    uint64_t first = offset / m->grain;
    struct batch b;

    memset(ret, 0, (size_t)count * sizeof *ret);
    for (; count; count -= b.count, first += b.count, ret += b.count) {
        if (look(m, first, count, &b, err) < 0)
            return rh_error_subject(err, m->io->name);
        for (unsigned i = 0, last; i < b.count; i = last + 1) {
            uint64_t end;

            last = i;
            if (!is_place(b.at[i]))
                continue;
            last = plan_run(m, &b, i, &end);
            if (gather_run(m, &b, i, last, end, memory, ret, err) < 0)
                return rh_error_subject(err, m->io->name);
        }
    }
    return 0;
}
