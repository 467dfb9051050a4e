/* frame_sum.c - the frame digest as a sum over sectors. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/frame_sum.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Where the library was built with it, the one that uses AVX. */
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

#include "base/bytes.h"
#include "base/limits.h"

enum {
    SECTOR = RH_FRAME_SECTOR,
    OPEN_MOST = 64, /* sectors of which parts are known */
    NOTES_MOST = 1024 * 1024,
};

/* --- sectors
 * ---------------------------------------------------------------- */

static void add_total(struct rh_frame_total *t, struct rh_frame_total more)
{
    t->low += more.low;
    t->high += more.high + (t->low < more.low);
}

void rh_frame_sector(struct rh_frame_total *t, const uint8_t *sector,
                     uint64_t at)
{
    uint8_t record[24];
    XXH128_hash_t hash;

    if (rh_all_zero(sector, SECTOR))
        return;
    hash = XXH3_128bits(sector, SECTOR);
    rh_put_le64(record, at);
    rh_put_le64(record + 8, hash.low64);
    rh_put_le64(record + 16, hash.high64);
    hash = XXH3_128bits(record, sizeof record);
    add_total(t, (struct rh_frame_total){hash.low64, hash.high64});
}

void rh_frame_hex(const struct rh_frame_total *t, char ret_hex[RH_FRAME_HEX])
{
    snprintf(ret_hex, RH_FRAME_HEX, "2:%016" PRIx64 "%016" PRIx64, t->high,
             t->low);
}

/* --- while writing
 * ---------------------------------------------------------- */

/* A sector of which some bytes have come. */
struct part {
    uint64_t at;
    size_t have;
    uint8_t bytes[SECTOR];
};
struct note {
    uint64_t start, end;
};
struct rh_frame_sum {
    pthread_mutex_t lock;
    struct rh_frame_total total;
    struct part open[OPEN_MOST];
    size_t open_count;
    RH_VEC(struct note) notes;
    bool spoilt;
};

struct rh_frame_sum *rh_frame_sum_new(void)
{
    struct rh_frame_sum *s = rh_new0(struct rh_frame_sum);

    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void rh_frame_sum_free(struct rh_frame_sum *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->notes.items);
    free(s);
}

/* Under the lock, as what follows. */
static void note(struct rh_frame_sum *s, uint64_t start, uint64_t end)
{
    size_t count = s->notes.count;

    if (count && s->notes.items[count - 1].end == start)
        s->notes.items[count - 1].end = end;
    else if (s->notes.count < NOTES_MOST)
        *rh_vec_add(&s->notes) = (struct note){start, end};
    else
        s->spoilt = true;
}

static struct part *part_of(struct rh_frame_sum *s, uint64_t at)
{
    struct part *p;

    for (size_t i = 0; i < s->open_count; i++)
        if (s->open[i].at == at)
            return &s->open[i];
    if (s->open_count < OPEN_MOST) {
        p = &s->open[s->open_count++];
    } else { /* whatever comes to it later: the file has all of it */
        p = &s->open[0];
        note(s, p->at, p->at + SECTOR);
    }
    *p = (struct part){.at = at};
    return p;
}

/* Less than a sector, within one. */
static void add_part(struct rh_frame_sum *s, const uint8_t *bytes, size_t n,
                     uint64_t at)
{
    struct part *p = part_of(s, at - at % SECTOR);

    memcpy(p->bytes + at % SECTOR, bytes, n);
    p->have += n;
    if (p->have < SECTOR)
        return;
    if (p->have == SECTOR)
        rh_frame_sector(&s->total, p->bytes, p->at);
    else
        note(s, p->at, p->at + SECTOR);
    *p = s->open[--s->open_count];
}

void rh_frame_sum_add(struct rh_frame_sum *s, const void *bytes, size_t n,
                      uint64_t at)
{
    const uint8_t *p = bytes;
    size_t head = RH_MIN(n, (size_t)((SECTOR - at % SECTOR) % SECTOR));
    size_t tail = (n - head) % SECTOR;
    struct rh_frame_total whole = {0};

    for (size_t i = head; i < n - tail; i += SECTOR)
        rh_frame_sector(&whole, p + i, at + i);
    pthread_mutex_lock(&s->lock);
    add_total(&s->total, whole);
    if (head)
        add_part(s, p, head, at);
    if (tail)
        add_part(s, p + n - tail, tail, at + n - tail);
    pthread_mutex_unlock(&s->lock);
}

void rh_frame_sum_note(struct rh_frame_sum *s, uint64_t n, uint64_t at)
{
    pthread_mutex_lock(&s->lock);
    note(s, at, at + n);
    pthread_mutex_unlock(&s->lock);
}

void rh_frame_sum_spoil(struct rh_frame_sum *s)
{
    pthread_mutex_lock(&s->lock);
    s->spoilt = true;
    pthread_mutex_unlock(&s->lock);
}

/* --- the end
 * ---------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
    const struct note *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

/* In whole sectors, each once. */
static void merge_notes(struct rh_frame_sum *s, uint64_t size)
{
    struct note *n = s->notes.items;
    size_t count = 0;

    for (size_t i = 0; i < s->notes.count; i++) {
        n[i].start -= n[i].start % SECTOR;
        n[i].end = RH_MIN(rh_round_up(n[i].end, SECTOR), size);
    }
    if (s->notes.count)
        qsort(n, s->notes.count, sizeof *n, by_start);
    for (size_t i = 0; i < s->notes.count; i++) {
        if (n[i].start >= n[i].end)
            continue;
        if (count && n[i].start <= n[count - 1].end)
            n[count - 1].end = RH_MAX(n[count - 1].end, n[i].end);
        else
            n[count++] = n[i];
    }
    s->notes.count = count;
}

static int read_note(struct rh_frame_sum *s, rh_lib *lib, struct rh_io *file,
                     uint8_t *buf, const struct note *note, rh_error **err)
{
    for (uint64_t at = note->start, n; at < note->end; at += n) {
        size_t whole;

        n = RH_MIN(note->end - at, (uint64_t)RH_MIB);
        whole = (size_t)rh_round_up(n, SECTOR);
        memset(buf + n, 0, whole - (size_t)n);
        if (rh_go_on(lib, err) < 0 ||
            rh_io_read(file, buf, (size_t)n, at, err) < 0)
            return -1;
        for (size_t i = 0; i < whole; i += SECTOR)
            rh_frame_sector(&s->total, buf + i, at + i);
    }
    return 0;
}

int rh_frame_sum_end(struct rh_frame_sum *s, rh_lib *lib, struct rh_io *file,
                     char ret_hex[RH_FRAME_HEX], rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *buf = NULL;

    for (size_t i = 0; i < s->open_count; i++)
        note(s, s->open[i].at, s->open[i].at + SECTOR);
    s->open_count = 0;
    if (s->spoilt)
        return 1;
    merge_notes(s, file->size);
    if (s->notes.count)
        buf = rh_malloc(RH_MIB);
    for (size_t i = 0; i < s->notes.count; i++)
        if (read_note(s, lib, file, buf, &s->notes.items[i], err) < 0)
            return -1;
    s->notes.count = 0;
    rh_frame_hex(&s->total, ret_hex);
    return 0;
}

/* --- the sink
 * --------------------------------------------------------------- */

struct watch {
    struct rh_frame_sum *sum;
    struct rh_out *to;
    bool final;
};

static int watch_write(struct rh_out *o, const void *buf, size_t n,
                       uint64_t offset, rh_error **err)
{
    const struct watch *w = o->state;

    if (rh_out_write(w->to, buf, n, offset, err) < 0)
        return -1;
    if (w->final)
        rh_frame_sum_add(w->sum, buf, n, offset);
    else
        rh_frame_sum_note(w->sum, n, offset);
    return 0;
}

static int watch_gather(struct rh_out *o, struct iovec *pieces, int count,
                        uint64_t offset, rh_error **err)
{
    const struct watch *w = o->state;

    return rh_out_gather(w->to, pieces, count, offset, err);
}

static uint64_t watch_clones(struct rh_out *o, int fd)
{
    const struct watch *w = o->state;

    return rh_out_clones(w->to, fd);
}

static bool watch_clone(struct rh_out *o, int fd, uint64_t from, uint64_t n,
                        uint64_t offset)
{
    const struct watch *w = o->state;

    return rh_out_clone(w->to, fd, from, n, offset);
}

static int watch_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    const struct watch *w = o->state;

    return rh_out_finish(w->to, size, err);
}

static void watch_close(struct rh_out *o)
{
    struct watch *w = o->state;

    rh_out_close(w->to);
    free(w);
}

struct rh_out *rh_frame_sum_out(struct rh_frame_sum *s, struct rh_out *to,
                                bool final)
{
    static const struct rh_out_ops ops = {.write = watch_write,
                                          .gather = watch_gather,
                                          .clones = watch_clones,
                                          .clone = watch_clone,
                                          .finish = watch_finish,
                                          .close = watch_close};
    struct watch *w = rh_new0(struct watch);
    struct rh_out *o;

    *w = (struct watch){s, to, final};
    o = rh_out_make(&ops, to->name, to->seekable, w);
    o->fd = to->fd;
    return o;
}
