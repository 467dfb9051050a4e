/* log.c - a VHDX that was not closed: what its log holds, laid over the file.
 *
 * The log is a ring of entries, each of descriptors and 4 KiB sectors that
 * belong elsewhere in the file ([MS-VHDX] 2.3).  Those that form the newest
 * whole sequence are applied to what is read, never to the file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum {
    SECTOR = 4096,
    LOG_MOST = 32 * 1024 * 1024, /* Hyper-V's and QEMU's have 1 MiB */
    ZEROS_MOST = 1024,           /* ranges of zeros */
    SUMMED = 8,                  /* so often each byte may be part of a sum */
    HEADER = 64,
    DESCRIPTOR = 32,
};
enum { /* offsets in an entry's header */
       AT_LENGTH = 8,
       AT_TAIL = 12,
       AT_SEQUENCE = 16,
       AT_COUNT = 24,
       AT_GUID = 32,
       AT_FLUSHED = 48,
       AT_LAST = 56,
};
enum { /* in a descriptor */
       AT_TRAILING = 4,
       AT_LEADING = 8, /* of zeros: how many */
       AT_OFFSET = 16,
       AT_OF = 24, /* the entry's sequence number */
};

/* One sector of the file as the log has it. */
struct patch {
    uint64_t at;
    uint64_t order;            /* of application */
    const uint8_t *descriptor; /* its first 8 and last 4 bytes are here */
    const uint8_t *data;       /* the rest */
};
struct blank {
    uint64_t at, size, order;
};
struct log {
    struct rh_io *base;
    uint8_t *ring;   /* the log twice, so that no entry is in two parts */
    uint64_t size;   /* of it once */
    uint64_t summed; /* bytes that went through a checksum */
    const uint8_t *guid;
    RH_VEC(struct patch) patches;
    RH_VEC(struct blank) blanks;
};

/* --- entries ---------------------------------------------------------------
 */

static uint64_t sectors_of_descriptors(const uint8_t *e)
{
    return rh_div_up(HEADER + (uint64_t)rh_le32(e + AT_COUNT) * DESCRIPTOR,
                     SECTOR);
}

static bool descriptors_good(const uint8_t *e)
{
    uint64_t sequence = rh_le64(e + AT_SEQUENCE), data = 0;
    uint64_t lead = sectors_of_descriptors(e), length = rh_le32(e + AT_LENGTH);

    for (uint32_t i = 0; i < rh_le32(e + AT_COUNT); i++) {
        const uint8_t *d = e + HEADER + (size_t)i * DESCRIPTOR;
        const uint8_t *s = e + (lead + data) * SECTOR;
        bool zeros = !memcmp(d, "zero", 4);

        if ((!zeros && memcmp(d, "desc", 4) != 0) ||
            rh_le64(d + AT_OF) != sequence || rh_le64(d + AT_OFFSET) % SECTOR)
            return false;
        if (zeros)
            continue;
        if ((lead + ++data) * SECTOR > length || memcmp(s, "data", 4) != 0 ||
            ((uint64_t)rh_le32(s + 4) << 32 | rh_le32(s + SECTOR - 4)) !=
                sequence)
            return false;
    }
    return true;
}

/* The entry at a place of the log, or NULL when none that counts is there. */
static const uint8_t *entry_at(struct log *l, uint64_t at)
{
    const uint8_t *e = l->ring + at % l->size;
    uint64_t length = rh_le32(e + AT_LENGTH);

    if (memcmp(e, "loge", 4) != 0 || memcmp(e + AT_GUID, l->guid, 16) != 0 ||
        length % SECTOR || !length || length > l->size ||
        rh_le32(e + AT_TAIL) % SECTOR || rh_le32(e + AT_TAIL) >= l->size ||
        !rh_le64(e + AT_SEQUENCE) ||
        sectors_of_descriptors(e) * SECTOR > length)
        return NULL;
    l->summed += length;
    if (l->summed > SUMMED * l->size ||
        rh_le32(e + VHDX_SUM_AT) != rh_vhdx_sum(e, (size_t)length, VHDX_SUM_AT))
        return NULL;
    return descriptors_good(e) ? e : NULL;
}

/* A run of entries, each with the next sequence number. */
struct sequence {
    uint64_t start, end; /* in the ring, end behind the last */
    const uint8_t *head; /* the last entry; NULL: none */
    bool whole;          /* the head's tail is one of them */
};

static struct sequence sequence_at(struct log *l, const uint8_t *const *met,
                                   uint64_t start)
{
    struct sequence s = {.start = start, .end = start};
    const uint8_t *e;

    while (s.end - start < l->size &&
           (e = met[s.end % l->size / SECTOR]) != NULL &&
           (!s.head ||
            rh_le64(e + AT_SEQUENCE) == rh_le64(s.head + AT_SEQUENCE) + 1)) {
        s.head = e;
        s.end += rh_le32(e + AT_LENGTH);
    }
    if (s.head && s.end - start <= l->size) {
        uint64_t tail = rh_le32(s.head + AT_TAIL), at = start;

        tail += tail < start ? l->size : 0;
        while (at < s.end && at != tail)
            at += rh_le32(met[at % l->size / SECTOR] + AT_LENGTH);
        s.whole = at < s.end;
    }
    return s;
}

/* The newest whole sequence; head NULL when there is none. */
static struct sequence find_active(struct log *l, rh_lib *lib,
                                   const uint8_t **met, rh_error **err)
{
    struct sequence best = {.head = NULL};
    uint64_t count = l->size / SECTOR;

    for (uint64_t i = 0; i < count; i++)
        met[i] = entry_at(l, i * SECTOR);
    for (uint64_t at = 0; at < l->size;) {
        struct sequence s = sequence_at(l, met, at);

        if (at % RH_MIB == 0 && rh_go_on(lib, err) < 0)
            break;
        if (s.whole && (!best.head || rh_le64(s.head + AT_SEQUENCE) >
                                          rh_le64(best.head + AT_SEQUENCE)))
            best = s;
        at = s.whole ? s.end : at + SECTOR;
    }
    return best;
}

/* --- what they say ---------------------------------------------------------
 */

static int too_much(uint64_t at, rh_error **err)
{
    return rh_fail(err, RH_ERR_VHDX_LOG,
                   "the log writes outside the file (to 0x%" PRIx64
                   "), or in too many places",
                   at);
}

static int take_entry(struct log *l, const uint8_t *e, uint64_t size,
                      rh_error **err)
{
    const uint8_t *data = e + sectors_of_descriptors(e) * SECTOR;

    for (uint32_t i = 0; i < rh_le32(e + AT_COUNT); i++) {
        const uint8_t *d = e + HEADER + (size_t)i * DESCRIPTOR;
        uint64_t at = rh_le64(d + AT_OFFSET);
        uint64_t order = l->patches.count + l->blanks.count;
        bool zeros = !memcmp(d, "zero", 4);
        uint64_t n = zeros ? rh_le64(d + AT_LEADING) : SECTOR;

        if (at > size || n > size - at || l->blanks.count >= ZEROS_MOST)
            return too_much(at, err);
        if (zeros) {
            *rh_vec_add(&l->blanks) = (struct blank){at, n, order};
            continue;
        }
        *rh_vec_add(&l->patches) = (struct patch){at, order, d, data};
        data += SECTOR;
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct patch *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static bool is_blanked(const struct log *l, const struct patch *p)
{
    for (size_t i = 0; i < l->blanks.count; i++) {
        const struct blank *b = &l->blanks.items[i];

        if (b->order > p->order && p->at >= b->at && p->at - b->at < b->size)
            return true;
    }
    return false;
}

/* Of each sector the last word only, by place. */
static void sort_patches(struct log *l)
{
    struct patch *p = l->patches.items;
    size_t kept = 0, count = l->patches.count;

    if (!count)
        return;
    qsort(p, count, sizeof *p, by_place);
    for (size_t i = 0; i < count; i++)
        if ((i + 1 == count || p[i + 1].at != p[i].at) && !is_blanked(l, &p[i]))
            p[kept++] = p[i];
    l->patches.count = kept;
}

/* --- the file as it should be ----------------------------------------------
 */

static void lay_over(uint8_t *buf, size_t n, uint64_t offset,
                     const uint8_t sector[SECTOR], uint64_t at)
{
    uint64_t from = RH_MAX(at, offset), to = RH_MIN(at + SECTOR, offset + n);

    if (from < to)
        memcpy(buf + (from - offset), sector + (from - at),
               (size_t)(to - from));
}

static void apply(const struct patch *p, uint8_t *buf, size_t n,
                  uint64_t offset)
{
    uint8_t sector[SECTOR];

    memcpy(sector, p->descriptor + AT_LEADING, 8);
    memcpy(sector + 8, p->data + 8, SECTOR - 12);
    memcpy(sector + SECTOR - 4, p->descriptor + AT_TRAILING, 4);
    lay_over(buf, n, offset, sector, p->at);
}

/* The first patch that reaches behind `offset`. */
static size_t first_patch(const struct log *l, uint64_t offset)
{
    size_t low = 0, high = l->patches.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (l->patches.items[middle].at + SECTOR <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int log_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                    rh_error **err)
{
    const struct log *l = io->state;
    uint64_t left = offset < l->base->size ? l->base->size - offset : 0;
    size_t part = (size_t)RH_MIN((uint64_t)n, left);

    memset((uint8_t *)buf + part, 0, n - part);
    if (part && rh_io_read(l->base, buf, part, offset, err) < 0)
        return -1;
    for (size_t i = 0; i < l->blanks.count; i++) {
        const struct blank *b = &l->blanks.items[i];
        uint64_t from = RH_MAX(b->at, offset);
        uint64_t to = RH_MIN(b->at + b->size, offset + n);

        if (from < to)
            memset((uint8_t *)buf + (from - offset), 0, (size_t)(to - from));
    }
    for (size_t i = first_patch(l, offset);
         i < l->patches.count && l->patches.items[i].at < offset + n; i++)
        apply(&l->patches.items[i], buf, n, offset);
    return 0;
}

static void log_free(struct log *l)
{
    if (!l)
        return;
    rh_io_unref(l->base);
    free(l->ring);
    free(l->patches.items);
    free(l->blanks.items);
    free(l);
}
RH_FREEP(log_freep, struct log, log_free)

static void log_close(struct rh_io *io)
{
    log_free(io->state);
}

/* --- the whole -------------------------------------------------------------
 */

static bool has_entries(const struct log *l)
{
    for (uint64_t at = 0; at < l->size; at += SECTOR)
        if (!memcmp(l->ring + at, "loge", 4) &&
            !memcmp(l->ring + at + AT_GUID, l->guid, 16))
            return true;
    return false;
}

static int read_ring(struct rh_reader *r, const struct vhdx *v, struct log *l,
                     rh_error **err)
{
    if (v->log.size == 0 || v->log.size > LOG_MOST)
        return rh_fail(err, RH_ERR_VHDX_LOG,
                       "a log of %" PRIu64 " bytes (at 0x%" PRIx64
                       ") is not applied",
                       v->log.size, v->log.offset);
    l->size = v->log.size;
    l->guid = v->log_guid;
    l->base = rh_io_ref(r->io);
    l->ring = rh_alloc_big((size_t)l->size * 2, err);
    if (!l->ring ||
        rh_io_read(r->io, l->ring, (size_t)l->size, v->log.offset, err) < 0)
        return -1;
    memcpy(l->ring + l->size, l->ring, (size_t)l->size);
    return 0;
}

static int take_sequence(struct log *l, const struct sequence *s,
                         uint64_t *ret_size, rh_error **err)
{
    uint64_t size = RH_MAX(l->base->size, rh_le64(s->head + AT_LAST));
    uint64_t at = rh_le32(s->head + AT_TAIL);

    if (rh_le64(s->head + AT_FLUSHED) > l->base->size)
        return rh_fail(err, RH_ERR_VHDX_LOG,
                       "the file is shorter than its log says (0x%" PRIx64
                       " and 0x%" PRIx64 " bytes)",
                       l->base->size, rh_le64(s->head + AT_FLUSHED));
    if (size > 2 * RH_LIMIT_DISK_SIZE)
        return too_much(size, err);
    for (at += at < s->start ? l->size : 0; at < s->end;) {
        const uint8_t *e = l->ring + at % l->size;

        if (take_entry(l, e, size, err) < 0)
            return -1;
        at += rh_le32(e + AT_LENGTH);
    }
    sort_patches(l);
    *ret_size = size;
    return 0;
}

int rh_vhdx_replay(struct rh_reader *r, struct vhdx *v, rh_error **err)
{
    static const uint8_t none[16];
    RH_AUTO(log_freep) struct log *l = rh_new0(struct log);
    RH_AUTO(rh_freep) const uint8_t **met = NULL;
    static const struct rh_io_ops ops = {.read = log_read, .close = log_close};
    struct sequence active;
    struct rh_io *patched;
    uint64_t size = 0;
    rh_error *cause = NULL;

    if (!memcmp(v->log_guid, none, sizeof none))
        return 0;
    if (read_ring(r, v, l, err) < 0)
        return -1;
    if (!has_entries(l))
        return 0;
    if (v->log_version)
        return rh_fail(err, RH_ERR_VHDX_LOG,
                       "the disk was not closed, and its log (at 0x%" PRIx64
                       ") has the unknown version %u",
                       v->log.offset, v->log_version);
    met = rh_calloc((size_t)(l->size / SECTOR), sizeof *met);
    active = find_active(l, r->lib, met, &cause);
    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (!active.head)
        return rh_fail(err, RH_ERR_VHDX_LOG,
                       "the disk was not closed, and its log (at 0x%" PRIx64
                       ") is damaged",
                       v->log.offset);
    if (take_sequence(l, &active, &size, err) < 0)
        return -1;
    rh_problem_add(r, "VHDX-LOG",
                   N_("the disk was not closed; the %zu sectors that its log "
                      "(at 0x%llx) still holds were applied"),
                   l->patches.count, (unsigned long long)v->log.offset);
    patched = rh_io_make(&ops, r->io->name, size, l);
    rh_io_unref(r->io); /* the log holds it */
    r->io = patched;
    (void)RH_TAKE(l);
    return 0;
}
