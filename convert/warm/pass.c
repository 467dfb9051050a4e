/* pass.c - one disk of one round.
 *
 * Several threads read pieces of at most a MiB from the source side by side,
 * and write them into the copy one after the other, in the disk's order: so an
 * interruption leaves all pieces before a point, and the file is the same for
 * any number of threads.  The thread that calls says how far it is. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/warm/pass.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/wait.h"

enum {
    UNIT = RH_SUMS_UNIT,
    WORKERS = 4,      /* connections that a source bears */
    STEP = 64 * 1024, /* where units that differ are compared */
    TELL_MS = 100,
    KEEP_SECONDS = 10,
};

/* --- areas
 * -------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
    const struct rh_pass_area *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

/* Where two overlap their bytes are read: one may say zeros from before. */
void rh_pass_areas_sort(rh_pass_areas *areas)
{
    size_t n = 0;

    if (areas->count)
        qsort(areas->items, areas->count, sizeof *areas->items, by_start);
    for (size_t i = 0; i < areas->count; i++) {
        struct rh_pass_area *a = &areas->items[i];
        struct rh_pass_area *last = n ? &areas->items[n - 1] : NULL;
        uint64_t end = last ? last->start + last->length : 0;

        if (last && a->start <= end &&
            (a->start < end || last->zero == a->zero)) {
            last->zero = last->zero && a->zero;
            last->length = RH_MAX(end, a->start + a->length) - last->start;
        } else {
            areas->items[n++] = *a;
        }
    }
    areas->count = n;
}

/* --- pieces
 * ------------------------------------------------------------------- */

struct piece {
    uint64_t ticket, offset;
    size_t length; /* within one unit */
    bool zero;     /* nothing to read */
};

struct work {
    struct rh_pass *pass;
    uint64_t size;        /* of the source's disk */
    pthread_mutex_t lock; /* handing out */
    pthread_mutex_t turn_lock;
    pthread_cond_t turn;
    uint64_t next_ticket, serving;
    uint64_t at;   /* handed out before */
    uint64_t done; /* written before */
    size_t area;
    bool ended, failed;
    unsigned running;
    rh_error *error;
    time_t kept;
};

/* All of a unit is a hole?  Else it is read as a whole. */
static int next_unit(struct work *w, struct piece *ret, rh_error **err)
{
    uint64_t end = RH_MIN(w->at + UNIT, w->size), at = w->at;

    ret->offset = w->at;
    ret->length = (size_t)(end - w->at);
    ret->zero = true;
    while (at < end && ret->zero) {
        struct rh_extent e;

        if (rh_reader_extent(w->pass->source, at, &e, err) < 0)
            return -1;
        ret->zero = e.kind != RH_EXTENT_DATA;
        at += e.length;
    }
    return 0;
}

static bool next_area(struct work *w, struct piece *ret)
{
    const rh_pass_areas *areas = w->pass->areas;

    for (; w->area < areas->count; w->area++) {
        const struct rh_pass_area *a = &areas->items[w->area];
        uint64_t start = RH_MAX(a->start, w->at);
        uint64_t end = RH_MIN(a->start + a->length, w->size);

        if (start >= end)
            continue;
        end = RH_MIN(end, start / UNIT * UNIT + UNIT);
        *ret = (struct piece){
            .offset = start, .length = (size_t)(end - start), .zero = a->zero};
        return true;
    }
    return false;
}

/* 1, 0 at the end. */
static int claim(struct work *w, struct piece *ret, rh_error **err)
{
    int more = 1;

    pthread_mutex_lock(&w->lock);
    if (w->failed || w->at >= w->size)
        more = 0;
    else if (w->pass->areas)
        more = next_area(w, ret) ? 1 : 0;
    else if (next_unit(w, ret, err) < 0)
        more = -1;
    if (more == 1) {
        ret->ticket = w->next_ticket++;
        w->at = ret->offset + ret->length;
    }
    pthread_mutex_unlock(&w->lock);
    return more;
}

/* --- into the copy, in turn
 * --------------------------------------------------- */

static bool is_whole(const struct work *w, const struct piece *p)
{
    return p->offset % UNIT == 0 &&
           (p->length == UNIT || p->offset + p->length == w->size);
}

/* What differs from the copy, in steps. */
static int write_other(struct work *w, const struct piece *p,
                       const uint8_t *data, uint8_t *old, rh_error **err)
{
    struct rh_pass *s = w->pass;

    if (s->fresh) {
        s->changed += rh_all_zero(data, p->length) ? 0 : p->length;
        return rh_patch_write(s->copy, data, p->length, p->offset, err);
    }
    if (rh_patch_read(s->copy, old, p->length, p->offset, err) < 0)
        return -1;
    for (size_t at = 0; at < p->length;) {
        size_t from = at, n = 0;

        while (at < p->length) {
            n = RH_MIN((size_t)STEP, p->length - at);
            if (memcmp(old + at, data + at, n) == 0)
                break;
            at += n;
        }
        if (at > from && rh_patch_write(s->copy, data + from, at - from,
                                        p->offset + from, err) < 0)
            return -1;
        s->changed += at - from;
        if (at < p->length)
            at += n;
    }
    return 0;
}

static int compare_unit(struct work *w, const struct piece *p, uint8_t *data,
                        uint8_t *old, const uint8_t sum[RH_SUM], rh_error **err)
{
    struct rh_sums *sums = w->pass->sums;
    uint64_t unit = p->offset / UNIT;

    if (rh_sums_same(sums, unit, sum))
        return 0;
    if (write_other(w, p, data, old, err) < 0)
        return -1;
    rh_sums_set(sums, unit, sum);
    return 0;
}

static int write_area(struct work *w, const struct piece *p, uint8_t *data,
                      const uint8_t sum[RH_SUM], rh_error **err)
{
    struct rh_pass *s = w->pass;
    uint64_t unit = p->offset / UNIT;

    s->changed += p->length;
    if ((p->zero
             ? rh_patch_zero(s->copy, p->length, p->offset, err)
             : rh_patch_write(s->copy, data, p->length, p->offset, err)) < 0)
        return -1;
    if (is_whole(w, p))
        rh_sums_set(s->sums, unit, sum);
    else
        rh_sums_forget(s->sums, unit);
    return 0;
}

static int keep(struct work *w, rh_error **err)
{
    struct rh_pass *s = w->pass;
    time_t now = time(NULL);

    if (!s->keep || (now >= w->kept && now - w->kept < KEEP_SECONDS))
        return 0;
    w->kept = now;
    if (rh_patch_flush(s->copy, err) < 0)
        return -1;
    return s->keep(s->user, w->done, s->changed, s->sent, err);
}

static int take_in(struct work *w, const struct piece *p, uint8_t *data,
                   uint8_t *old, const uint8_t sum[RH_SUM], rh_error **err)
{
    struct rh_pass *s = w->pass;

    s->sent += p->zero ? 0 : p->length;
    if ((s->areas ? write_area(w, p, data, sum, err)
                  : compare_unit(w, p, data, old, sum, err)) < 0)
        return -1;
    w->done = p->offset + p->length;
    return keep(w, err);
}

/* --- a worker
 * ----------------------------------------------------------------- */

struct worker {
    struct work *work;
    pthread_t thread;
    uint8_t *data, *old;
    struct rh_codec *codec;
};

/* From here on no piece is taken in any more: what comes behind a piece that
 * failed is not there.  With the turn's lock. */
static void set_failed(struct work *w)
{
    pthread_mutex_lock(&w->lock);
    w->failed = true;
    pthread_mutex_unlock(&w->lock);
}

static int do_piece(struct worker *k, const struct piece *p, rh_error **err)
{
    struct work *w = k->work;
    uint8_t sum[RH_SUM] = {0};
    int failed = 0;

    if (p->zero)
        memset(k->data, 0, p->length);
    else if (rh_reader_read(w->pass->source, k->codec, k->data, p->length,
                            p->offset, err) < 0)
        failed = -1;
    if (!failed && !p->zero && is_whole(w, p))
        rh_sum_of(k->data, p->length, sum);
    pthread_mutex_lock(&w->turn_lock);
    while (w->serving != p->ticket && !w->failed)
        rh_wait_cond(&w->turn, &w->turn_lock, TELL_MS);
    if (!failed && !w->failed)
        failed = take_in(w, p, k->data, k->old, sum, err);
    if (failed)
        set_failed(w);
    if (w->serving == p->ticket)
        w->serving++;
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->turn_lock);
    return failed;
}

static void stop(struct work *w, rh_error *why)
{
    pthread_mutex_lock(&w->turn_lock);
    if (!w->error)
        w->error = RH_TAKE(why);
    set_failed(w);
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->turn_lock);
    rh_error_free(why);
}

static void *run_worker(void *argument)
{
    struct worker *k = argument;
    struct work *w = k->work;
    rh_error *why = NULL;
    struct piece p = {0};
    int more;

    while ((more = rh_go_on(w->pass->lib, &why) < 0 ? -1
                                                    : claim(w, &p, &why)) == 1)
        if (do_piece(k, &p, &why) < 0)
            break;
    if (why)
        stop(w, why);
    pthread_mutex_lock(&w->turn_lock);
    w->running--;
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->turn_lock);
    return NULL;
}

static void watch(struct work *w)
{
    struct rh_pass *s = w->pass;

    pthread_mutex_lock(&w->turn_lock);
    while (w->running) {
        uint64_t done = w->done;

        rh_wait_cond(&w->turn, &w->turn_lock, TELL_MS);
        pthread_mutex_unlock(&w->turn_lock);
        rh_progress(s->lib, "copy", RH_MIN(s->done_before + done, s->total),
                    s->total);
        pthread_mutex_lock(&w->turn_lock);
    }
    pthread_mutex_unlock(&w->turn_lock);
}

static int start_worker(struct worker *k, struct work *w, rh_error **err)
{
    k->work = w;
    k->data = rh_alloc_big(2 * (size_t)UNIT, err);
    if (!k->data)
        return -1;
    k->old = k->data + UNIT;
    k->codec = rh_codec_new();
    pthread_mutex_lock(&w->turn_lock);
    w->running++;
    pthread_mutex_unlock(&w->turn_lock);
    if (pthread_create(&k->thread, NULL, run_worker, k) == 0)
        return 0;
    pthread_mutex_lock(&w->turn_lock);
    w->running--;
    pthread_mutex_unlock(&w->turn_lock);
    return rh_fail(err, RH_ERR_MEMORY, "no thread can be started");
}

static void run_workers(struct work *w)
{
    struct worker workers[WORKERS] = {0};
    size_t started = 0;
    rh_error *why = NULL;

    while (started < WORKERS && start_worker(&workers[started], w, &why) == 0)
        started++;
    if (why)
        stop(w, why);
    watch(w);
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        free(workers[i].data);
        rh_codec_free(workers[i].codec);
    }
}

int rh_pass_run(struct rh_pass *p, rh_error **err)
{
    struct work w = {.pass = p,
                     .size = RH_MIN(p->source->size, p->copy->size),
                     .kept = time(NULL)};
    int failed;

    pthread_mutex_init(&w.lock, NULL);
    pthread_mutex_init(&w.turn_lock, NULL);
    rh_wait_cond_init(&w.turn);
    run_workers(&w);
    failed = w.error ? rh_error_again(err, w.error) : 0;
    rh_error_free(w.error);
    pthread_cond_destroy(&w.turn);
    pthread_mutex_destroy(&w.turn_lock);
    pthread_mutex_destroy(&w.lock);
    /* What was written so far counts, also when it was interrupted. */
    if (failed && p->keep && rh_patch_flush(p->copy, NULL) == 0)
        p->keep(p->user, w.done, p->changed, p->sent, NULL);
    return failed ? -1 : rh_patch_flush(p->copy, err);
}

int rh_pass_learn(rh_lib *lib, struct rh_patch *copy, struct rh_sums *sums,
                  uint64_t size, uint64_t most, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *data = rh_malloc(UNIT);
    uint64_t read = 0;

    for (uint64_t unit = 0; unit < sums->count && read < most; unit++) {
        size_t n = (size_t)RH_MIN((uint64_t)UNIT, size - unit * UNIT);
        uint8_t sum[RH_SUM];

        if (rh_sums_known(sums, unit))
            continue;
        if (rh_go_on(lib, err) < 0 ||
            rh_patch_read(copy, data, n, unit * UNIT, err) < 0)
            return -1;
        rh_sum_of(data, n, sum);
        rh_sums_set(sums, unit, sum);
        read += n;
    }
    return 0;
}
