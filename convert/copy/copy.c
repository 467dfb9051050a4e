/* copy.c - the one pass that moves a disk's bytes.
 *
 * Workers take shares (1 or 2 MiB, as the writers ask) of the disk in order,
 * read and inflate them once, let each sink's writer encode them, and wait for
 * their turn to be given places; the writing itself goes in parallel again,
 * unless the sink is a pipe.  Places are given in order, so the result is the
 * same for any number of threads.  Holes of the source are passed over by its
 * map and cost nothing.
 *
 * The content digest: SHA-256 over one record for each unit of 1 MiB that
 * holds a non-zero byte, in order: offset (u64 le), XXH3-128 of its bytes (the
 * last unit is padded with zeros).  It names the disk's content whatever the
 * format. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
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
#include "base/wait.h"
#include "convert/copy/copy_job.h"
#include "convert/frame_sum.h"

/* --- the content digest
 * ---------------------------------------------------------- */

bool rh_copy_record(uint8_t *data, size_t n, uint64_t offset, uint8_t *record)
{
    XXH128_hash_t hash;

    if (rh_all_zero(data, n))
        return false;
    memset(data + n, 0, RH_CONTENT_UNIT - n);
    hash = XXH3_128bits(data, RH_CONTENT_UNIT);
    rh_put_le64(record, offset);
    rh_put_le64(record + 8, hash.low64);
    rh_put_le64(record + 16, hash.high64);
    return true;
}

/* The records of the share's bytes; how many there are. */
static size_t share_records(const struct rh_copy_worker *w, uint8_t *data,
                            uint8_t *records)
{
    size_t count = 0;

    for (size_t at = 0; at < w->length; at += RH_CONTENT_UNIT) {
        size_t n = RH_MIN(w->length - at, (size_t)RH_CONTENT_UNIT);

        count += rh_copy_record(data + at, n, w->offset + at,
                                records + count * RH_CONTENT_RECORD);
    }
    return count;
}

static void take_records(struct rh_copy_worker *w, struct rh_copy_lane *lane)
{
    uint8_t *data = lane->used ? lane->units[0].data : NULL;

    /* What is kept packed is not seen plain. */
    lane->record_count = lane->records && data && !lane->clusters
                             ? share_records(w, data, lane->records)
                             : 0;
}

/* Has a guest's edit changed this share for the first sink? */
static bool is_edited(const struct rh_copy_worker *w)
{
    const struct rh_reader *view = w->job->copy->sinks[0].view;
    uint64_t start, length;

    return rh_is_overlay(view) &&
           rh_overlay_change_at(view, w->offset, &start, &length) &&
           start < w->offset + w->length;
}

/* The source's own records: the first sink's, but where it was edited; those
 * few shares are read again from under the edits. */
static int take_source_records(struct rh_copy_worker *w, rh_error **err)
{
    struct rh_copy_job *j = w->job;

    w->edited = j->source_content && is_edited(w);
    if (!w->edited)
        return 0;
    if (!w->base) {
        size_t unit = (size_t)rh_round_up(j->unit, RH_CONTENT_UNIT);

        w->base = rh_alloc_big(unit, err);
        w->base_records = rh_calloc(unit / RH_CONTENT_UNIT, RH_CONTENT_RECORD);
    }
    if (!w->base)
        return -1;
    if (rh_reader_read(j->source, w->codec, w->base, w->length, w->offset,
                       err) < 0)
        return rh_error_subject(err, j->source->name);
    w->base_count = share_records(w, w->base, w->base_records);
    return 0;
}

/* --- a worker
 * ---------------------------------------------------------------------- */

/* --- a sink that fails
 * ---------------------------------------------------------- */

/* Under the lock. */
static bool any_left(const struct rh_copy *c)
{
    for (size_t i = 0; i < c->sink_count; i++)
        if (!c->sinks[i].error)
            return true;
    return false;
}

/* The others go on without it.  -1: there are none, or it is no matter of a
 * sink's.  Under the lock; takes `why` where it returns 0. */
static int give_up_sink(struct rh_copy_job *j, struct rh_copy_lane *lane,
                        rh_error **why)
{
    if (j->copy->sink_count == 1 || rh_error_number(*why) == RH_ERR_CANCELLED)
        return -1;
    lane->skipped = true;
    if (!lane->sink->error) {
        lane->sink->error = RH_TAKE(*why);
        if (!any_left(j->copy)) {
            rh_error_again(why, lane->sink->error);
            return -1;
        }
    }
    rh_error_drop(why);
    return 0;
}

static int give_up_unlocked(struct rh_copy_job *j, struct rh_copy_lane *lane,
                            rh_error **why)
{
    int failed;

    pthread_mutex_lock(&j->lock);
    failed = give_up_sink(j, lane, why);
    pthread_mutex_unlock(&j->lock);
    return failed;
}

static int pass_on(rh_error *why, rh_error **err)
{
    rh_error_again(err, why);
    rh_error_free(why);
    return -1;
}

/* A pipe takes its bytes in the order of the places, one unit after another. */
static int place_units(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                       rh_error **err)
{
    struct rh_writer *writer = lane->sink->writer;

    for (size_t i = 0; i < lane->used; i++)
        if (writer->format->writer->place(writer, &lane->units[i], err) < 0)
            return rh_error_subject(err, writer->out->name);
    return writer->out->seekable ? 0 : rh_copy_write(w, lane, err);
}

static int place_lane(struct rh_copy_worker *w, size_t n, rh_error **err)
{
    struct rh_copy_lane *lane = &w->lanes[n];
    rh_error *why = NULL;

    lane->skipped |= lane->sink->error != NULL;
    if (!lane->skipped && place_units(w, lane, &why) < 0 &&
        give_up_sink(w->job, lane, &why) < 0)
        return pass_on(why, err);
    if (lane->record_count)
        rh_digest_add(w->job->content[n], lane->records,
                      lane->record_count * RH_CONTENT_RECORD);
    return 0;
}

static void place_source_records(struct rh_copy_worker *w)
{
    const struct rh_copy_lane *first = &w->lanes[0];
    const uint8_t *records = w->edited ? w->base_records : first->records;
    size_t count = w->edited ? w->base_count : first->record_count;

    if (w->job->source_content && count)
        rh_digest_add(w->job->source_content, records,
                      count * RH_CONTENT_RECORD);
}

/* Wait until every earlier share has its places; false when one failed. */
static bool wait_turn(struct rh_copy_job *j, uint64_t ticket)
{
    while (j->serving != ticket && j->failed > ticket)
        pthread_cond_wait(&j->turn, &j->lock);
    return j->failed > ticket;
}

static int place_share(struct rh_copy_worker *w, rh_error **err)
{
    struct rh_copy_job *j = w->job;
    int failed = -1;

    pthread_mutex_lock(&j->lock);
    if (wait_turn(j, w->ticket)) {
        failed = 0;
        for (size_t i = 0; i < j->copy->sink_count && !failed; i++)
            failed = place_lane(w, i, err);
        if (!failed && j->gather.data)
            rh_copy_gather(j, w->data, w->length, w->offset);
        if (!failed) {
            place_source_records(w);
            j->serving++;
        }
        pthread_cond_broadcast(&j->turn);
    }
    pthread_mutex_unlock(&j->lock);
    return failed;
}

static int encode_lane(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                       rh_error **err)
{
    struct rh_writer *writer = lane->sink->writer;
    const struct rh_writer_ops *ops = writer->format->writer;

    if (rh_copy_cut(w, lane, err) < 0)
        return -1;
    take_records(w, lane);
    for (size_t i = 0; ops->encode && i < lane->used; i++) {
        rh_error *why = NULL;

        if (ops->encode(writer, &lane->units[i], &why) == 0)
            continue;
        rh_error_subject(&why, writer->out->name);
        return give_up_unlocked(w->job, lane, &why) < 0 ? pass_on(why, err) : 0;
    }
    return 0;
}

static int write_lanes(struct rh_copy_worker *w, rh_error **err)
{
    for (size_t i = 0; i < w->job->copy->sink_count; i++) {
        struct rh_copy_lane *lane = &w->lanes[i];
        rh_error *why = NULL;

        if (!lane->skipped && lane->sink->writer->out->seekable &&
            rh_copy_write(w, lane, &why) < 0 &&
            give_up_unlocked(w->job, lane, &why) < 0)
            return pass_on(why, err);
    }
    return 0;
}

static int one_share(struct rh_copy_worker *w, rh_error **err)
{
    struct rh_copy_job *j = w->job;

    if (rh_copy_fill(w, err) < 0)
        return -1;
    for (size_t i = 0; i < j->copy->sink_count; i++) {
        w->lanes[i].skipped = false;
        w->lanes[i].cloned = 0;
    }
    for (size_t i = 0; i < j->copy->sink_count; i++)
        if (encode_lane(w, &w->lanes[i], err) < 0)
            return -1;
    if (take_source_records(w, err) < 0 || place_share(w, err) < 0 ||
        write_lanes(w, err) < 0)
        return -1;
    pthread_mutex_lock(&j->lock);
    j->done += w->length;
    for (size_t i = 0; i < j->copy->sink_count; i++)
        j->copy->sinks[i].cloned += w->lanes[i].cloned;
    pthread_mutex_unlock(&j->lock);
    return 0;
}

/* The failure that is reported is the one with the lowest ticket, whoever
 * raced; a share that stopped because an earlier one failed has no error.  Any
 * other without one would leave the rest waiting for its turn. */
static void note_failure(struct rh_copy_worker *w)
{
    struct rh_copy_job *j = w->job;

    pthread_mutex_lock(&j->lock);
    if (!w->error && w->ticket < j->failed)
        rh_fail(&w->error, RH_ERR_BUG, "a part of the copy failed silently");
    if (w->error && w->ticket < j->failed) {
        rh_error_free(j->error);
        j->error = RH_TAKE(w->error);
        j->failed = w->ticket;
    }
    rh_error_drop(&w->error);
    pthread_cond_broadcast(&j->turn);
    pthread_mutex_unlock(&j->lock);
}

void rh_copy_ended(struct rh_copy_job *j)
{
    pthread_mutex_lock(&j->lock);
    j->running--;
    pthread_cond_broadcast(&j->idle);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *argument)
{
    struct rh_copy_worker *w = argument;
    struct rh_copy_job *j = w->job;
    bool more = true;

    while (more) {
        if (rh_copy_claim(w, &more, &w->error) < 0 ||
            (more && one_share(w, &w->error) < 0)) {
            note_failure(w);
            break;
        }
    }
    rh_copy_ended(j);
    return NULL;
}

/* --- memory
 * ------------------------------------------------------------------------------
 */

/* What one worker holds: data, the drivers' scratch for packed bytes, and each
 * sink's room. */
static uint64_t worker_bytes(const struct rh_copy_job *j)
{
    uint64_t sum = 2 * j->unit + RH_CONTENT_UNIT;

    for (size_t i = 0; i < j->copy->sink_count; i++) {
        const struct rh_writer *w = j->copy->sinks[i].writer;

        sum += w->room * (j->unit / w->unit);
        if (j->copy->sink_count > 1)
            sum += j->unit;
    }
    return sum;
}

static unsigned worker_count(const struct rh_copy_job *j)
{
    rh_lib *lib = j->copy->lib;
    uint64_t fit = lib->memory / worker_bytes(j);

    return (unsigned)RH_MAX(1, RH_MIN((uint64_t)lib->threads, fit));
}

static bool keeps(const struct rh_copy_job *j, const struct rh_copy_sink *s)
{
    return s->compress == RH_COMPRESS_KEEP && s->view->compressed &&
           s->view->format->packed && s->view->grain &&
           s->writer->unit % s->view->grain == 0 && !j->forward;
}

static int lane_init(struct rh_copy_lane *lane, const struct rh_copy_job *j,
                     struct rh_copy_sink *sink, rh_error **err)
{
    const struct rh_writer *w = sink->writer;
    size_t unit = (size_t)rh_round_up(j->unit, RH_CONTENT_UNIT);

    lane->sink = sink;
    lane->unit_count =
        j->scattered ? RH_COPY_SPANS : (size_t)(j->unit / w->unit);
    lane->units = rh_calloc(lane->unit_count, sizeof *lane->units);
    for (size_t i = 0; i < lane->unit_count; i++) {
        struct rh_unit *u = &lane->units[i];

        u->room = rh_alloc_big(w->room, err);
        if (!u->room)
            return -1;
        u->iov = rh_calloc(w->iov_max, sizeof *u->iov);
        u->state = rh_calloc(1, w->unit_state);
    }
    if (keeps(j, sink))
        lane->clusters = rh_calloc((size_t)(j->unit / sink->view->grain),
                                   sizeof *lane->clusters);
    if (j->copy->sink_count > 1 && rh_is_overlay(sink->view)) {
        lane->patched = rh_alloc_big(unit, err);
        if (!lane->patched)
            return -1;
    }
    if (j->content)
        lane->records = rh_calloc(unit / RH_CONTENT_UNIT, RH_CONTENT_RECORD);
    return 0;
}

static void lane_free(struct rh_copy_lane *lane)
{
    for (size_t i = 0; lane->units && i < lane->unit_count; i++) {
        free(lane->units[i].room);
        free(lane->units[i].iov);
        free(lane->units[i].state);
    }
    free(lane->units);
    free(lane->patched);
    free(lane->clusters);
    free(lane->records);
    rh_buf_free(&lane->packed);
}

static int worker_init(struct rh_copy_worker *w, struct rh_copy_job *j,
                       rh_error **err)
{
    struct rh_copy *c = j->copy;

    w->job = j;
    w->data = rh_alloc_big((size_t)rh_round_up(j->unit, RH_CONTENT_UNIT), err);
    if (!w->data)
        return -1;
    w->codec = rh_codec_new();
    w->lanes = rh_calloc(c->sink_count, sizeof *w->lanes);
    for (size_t i = 0; i < c->sink_count; i++)
        if (lane_init(&w->lanes[i], j, &c->sinks[i], err) < 0)
            return -1;
    return 0;
}

static void worker_free(struct rh_copy_worker *w)
{
    for (size_t i = 0; w->lanes && i < w->job->copy->sink_count; i++)
        lane_free(&w->lanes[i]);
    free(w->lanes);
    free(w->data);
    free(w->base);
    free(w->base_records);
    free(w->pending.items);
    rh_buf_free(&w->packed);
    rh_codec_free(w->codec);
    rh_error_free(w->error);
}

/* --- running and waiting
 * ------------------------------------------------------------------- */

enum { TENTH_MS = 100 };

/* Report progress from the caller's thread until all have ended. */
static void wait_all(struct rh_copy_job *j)
{
    struct rh_copy *c = j->copy;

    pthread_mutex_lock(&j->lock);
    while (j->running) {
        uint64_t done = c->done_before + RH_MIN(j->done, j->own);

        pthread_mutex_unlock(&j->lock);
        rh_progress(c->lib, c->stage ? c->stage : "copy",
                    RH_MIN(done, c->total ? c->total - 1 : done), c->total);
        pthread_mutex_lock(&j->lock);
        if (j->running)
            rh_wait_cond(&j->idle, &j->lock, TENTH_MS);
    }
    pthread_mutex_unlock(&j->lock);
}

static int start_thread(pthread_t *thread, void *(*fn)(void *), void *argument,
                        rh_error **err)
{
    int failed = pthread_create(thread, NULL, fn, argument);

    if (failed)
        return rh_fail_errno(err, RH_ERR_MEMORY, failed,
                             "cannot start a thread");
    return 0;
}

static int run_threads(struct rh_copy_job *j, struct rh_copy_worker *workers,
                       unsigned count, struct rh_copy_hasher *hasher,
                       rh_error **err)
{
    unsigned started = 0;
    int failed = 0;

    j->running = count + (j->copy->digest_count ? 1 : 0);
    if (j->copy->digest_count) {
        failed = start_thread(&hasher->thread, rh_copy_hash, hasher, err);
        hasher->started = !failed;
    }
    while (started < count && !failed) {
        failed = start_thread(&workers[started].thread, work, &workers[started],
                              err);
        started += !failed;
    }
    if (failed) { /* let those that run come to their end */
        pthread_mutex_lock(&j->lock);
        j->failed = 0;
        j->running -= count - started +
                      (j->copy->digest_count && !hasher->started ? 1 : 0);
        pthread_cond_broadcast(&j->turn);
        pthread_mutex_unlock(&j->lock);
    }
    wait_all(j);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (hasher->started)
        pthread_join(hasher->thread, NULL);
    return failed;
}

/* First what the copy met, then the hasher. */
static int outcome(struct rh_copy_job *j, struct rh_copy_hasher *h,
                   rh_error **err)
{
    rh_error *cause = j->error ? RH_TAKE(j->error) : RH_TAKE(h->error);

    rh_error_free(j->error);
    rh_error_free(h->error);
    if (!cause)
        return 0;
    if (err && !*err)
        *err = cause;
    else
        rh_error_free(cause);
    return -1;
}

static int run_job(struct rh_copy_job *j, rh_error **err)
{
    unsigned count = worker_count(j);
    struct rh_copy_worker *workers = rh_calloc(count, sizeof *workers);
    struct rh_copy_hasher hasher = {.job = j};
    int failed = 0;

    for (unsigned i = 0; i < count && !failed; i++)
        failed = worker_init(&workers[i], j, err);
    if (!failed) {
        failed = run_threads(j, workers, count, &hasher, err);
        if (outcome(j, &hasher, failed ? NULL : err) < 0)
            failed = -1;
    }
    for (unsigned i = 0; i < count; i++)
        if (workers[i].job)
            worker_free(&workers[i]);
    free(workers);
    return failed;
}

/* --- the whole
 * -------------------------------------------------------------------------------
 */

/* Nobody wants the zeros around the data: no digest of whole units, and no
 * writer that takes whole units, or needs room for each. */
static bool can_scatter(const struct rh_copy_job *j)
{
    const struct rh_copy *c = j->copy;
    const struct rh_writer *w = c->sinks[0].writer;

    return c->sink_count == 1 && !c->want_content && !j->forward &&
           !j->every_unit && w->any_order && w->room <= 1 &&
           j->unit % w->piece == 0 && !keeps(j, &c->sinks[0]);
}

static void job_init(struct rh_copy_job *j, struct rh_copy *c)
{
    *j = (struct rh_copy_job){.copy = c,
                              .source = c->source,
                              .failed = UINT64_MAX,
                              .own = UINT64_MAX,
                              .forward =
                                  c->source->format->next && !c->source->io};
    pthread_mutex_init(&j->lock, NULL);
    rh_wait_cond_init(&j->turn);
    rh_wait_cond_init(&j->idle);
    for (size_t i = 0; i < c->sink_count; i++) {
        j->unit = RH_MAX(j->unit, c->sinks[i].writer->unit);
        j->every_unit |= c->sinks[i].writer->every_unit;
    }
    rh_copy_clones(j);
    j->scattered = can_scatter(j);
    j->unseen = j->scattered && rh_copy_can_go_unseen(j);
    if (!c->want_content)
        return;
    if (j->forward) {
        j->gather.data = rh_calloc(1, RH_CONTENT_UNIT);
        j->source_content = rh_digest_new("sha256");
        return;
    }
    j->content = rh_calloc(c->sink_count, sizeof *j->content);
    for (size_t i = 0; i < c->sink_count; i++)
        j->content[i] = rh_digest_new("sha256");
    if (!keeps(j, &c->sinks[0]))
        j->source_content = rh_digest_new("sha256");
}

/* All sinks got what the source has: none is edited. */
static void finish_forward(struct rh_copy_job *j)
{
    struct rh_copy *c = j->copy;

    rh_copy_gathered(j, c->source_content);
    for (size_t i = 0; i < c->sink_count; i++) {
        memcpy(c->sinks[i].content, c->source_content, 65);
        if (!c->source_content[0] && c->sinks[i].frame)
            rh_frame_sum_spoil(c->sinks[i].frame);
    }
}

/* What was kept packed was not seen plain: there is no content digest. */
static void finish_content(struct rh_copy_job *j)
{
    if (j->forward) {
        finish_forward(j);
        return;
    }
    for (size_t i = 0; i < j->copy->sink_count; i++) {
        struct rh_copy_sink *s = &j->copy->sinks[i];
        char hex[RH_DIGEST_HEX] = "";

        if (j->content && j->content[i] && !keeps(j, s))
            rh_digest_hex(j->content[i], hex);
        memcpy(s->content, hex, sizeof s->content);
        s->content[64] = '\0';
    }
    if (j->source_content) {
        char hex[RH_DIGEST_HEX];

        rh_digest_hex(j->source_content, hex);
        memcpy(j->copy->source_content, hex, 65);
    }
}

static void job_free(struct rh_copy_job *j)
{
    for (size_t i = 0; j->content && i < j->copy->sink_count; i++)
        rh_digest_free(j->content[i]);
    free(j->content);
    free(j->gather.data);
    free(j->clones);
    rh_digest_free(j->source_content);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->turn);
    pthread_cond_destroy(&j->idle);
}

static int finish_writers(struct rh_copy *c, rh_error **err)
{
    rh_error *first = NULL;

    for (size_t i = 0; i < c->sink_count; i++) {
        struct rh_copy_sink *s = &c->sinks[i];

        if (!s->error && s->writer->format->writer->finish(
                             s->writer, &s->file_size, &s->error) < 0)
            rh_error_subject(&s->error, s->writer->out->name);
        if (s->error && !first)
            first = s->error;
    }
    if (any_left(c))
        return 0;
    return rh_error_again(err, first);
}

static int run_and_finish(struct rh_copy_job *j, rh_error **err)
{
    struct rh_copy *c = j->copy;

    if (!j->forward && rh_reader_allocated(c->source, &j->own, err) < 0)
        return -1;
    if (!j->forward && !c->total)
        c->total = j->own;
    if (run_job(j, err) < 0 || finish_writers(c, err) < 0)
        return -1;
    finish_content(j);
    c->data_bytes = RH_MIN(j->done, j->own);
    rh_progress(c->lib, c->stage ? c->stage : "copy",
                c->done_before + c->data_bytes, c->total);
    return 0;
}

int rh_copy_run(struct rh_copy *c, rh_error **err)
{
    struct rh_copy_job j;
    int failed;

    job_init(&j, c);
    failed = run_and_finish(&j, err);
    for (size_t i = 0; failed && i < c->sink_count; i++)
        rh_error_drop(&c->sinks[i].error);
    job_free(&j);
    return failed;
}
