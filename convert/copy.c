/* copy.c - the one pass that moves a disk's bytes.
 *
 * Workers take units (1 MiB, as the writer asks) of the disk in order, read
 * and inflate them, let the writer encode them, and wait for their turn to be
 * given a place; the writing itself goes in parallel again, unless the sink is
 * a pipe.  Places are given in order, so the result is the same for any number
 * of threads.  Holes of the source are passed over by its map and cost
 * nothing.  A hasher reads the source's file once in order, a little ahead or
 * behind, so that a manifest is verified in the same pass.
 *
 * The content digest: SHA-256 over one record for each unit of 1 MiB that
 * holds a non-zero byte, in order: offset (u64 le), XXH3-128 of its bytes (the
 * last unit is padded with zeros).  It names the disk's content whatever the
 * format, so `rehost verify` can take it from the result alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/copy.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/limits.h"

enum { CONTENT_UNIT = 1024 * 1024, LEAD = 32 * 1024 * 1024 };

struct job;

/* A grain of a forward source that waits to be inflated. */
struct pending {
    uint64_t offset;
    uint32_t length;
    size_t at, size; /* in worker->packed; size 0: plain bytes of `length` */
};

struct worker {
    struct job *job;
    pthread_t thread;
    uint64_t ticket;
    struct rh_unit unit;
    uint8_t *data;          /* plain bytes of a unit */
    struct rh_buf packed;   /* kept or waiting packed bytes */
    RH_VEC(struct pending) pending;
    struct rh_packed *clusters; /* with keep */
    size_t cluster_count;
    rh_error *error;
};

struct job {
    struct rh_copy *copy;
    struct rh_reader *source;
    struct rh_writer *writer;
    pthread_mutex_t lock;
    pthread_cond_t turn;  /* serving or failed moved */
    pthread_cond_t idle;  /* a worker or the hasher ended */
    unsigned running;
    uint64_t position;    /* of the disk: what was handed out so far */
    uint64_t next_ticket, serving;
    uint64_t failed;      /* lowest ticket that failed, else UINT64_MAX */
    rh_error *error;      /* of that ticket */
    uint64_t done;        /* bytes of units finished */
    uint64_t own;         /* data bytes of this disk; UINT64_MAX: unknown */
    struct rh_digest *content;
    bool forward;         /* the source is read by next() */
    bool have_piece, at_end;
    struct rh_piece piece; /* read ahead: belongs to the next unit */
    struct hasher *hasher;
};

struct hasher {
    struct job *job;
    pthread_t thread;
    bool started;
    rh_error *error;
};

/* --- what to do next (under the lock) -------------------------------------------- */

/* The next unit that holds data; *ret false at the end of the disk. */
static int claim_by_map(struct job *j, struct rh_unit *u, bool *ret,
                        rh_error **err)
{
    uint64_t unit = j->writer->unit;

    *ret = false;
    while (j->position < j->source->size) {
        struct rh_extent e = {j->source->size, RH_EXTENT_DATA};

        if (!j->writer->every_unit &&
            rh_reader_extent(j->source, j->position, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            j->position += e.length;
            continue;
        }
        u->offset = j->position / unit * unit;
        u->length = (size_t)RH_MIN(unit, j->source->size - u->offset);
        j->position = u->offset + u->length;
        *ret = true;
        return 0;
    }
    return 0;
}

/* Gather the forward source's pieces as long as they continue the unit. */
static void take_piece(struct worker *w, const struct rh_piece *p)
{
    struct pending *item = rh_vec_add(&w->pending);

    item->offset = p->offset;
    item->length = p->length;
    item->at = w->packed.length;
    item->size = p->packed ? p->packed_size : 0;
    rh_buf_add(&w->packed, p->packed ? p->packed : p->plain,
               p->packed ? p->packed_size : p->length);
}

static int next_piece(struct job *j, rh_error **err)
{
    int more;

    if (j->have_piece || j->at_end)
        return 0;
    more = j->source->format->next(j->source, &j->piece, err);
    if (more < 0)
        return rh_where(err, j->source->name);
    j->at_end = more == 1;
    j->have_piece = !j->at_end;
    return 0;
}

static int claim_forward(struct job *j, struct worker *w, bool *ret,
                         rh_error **err)
{
    uint64_t unit = j->writer->unit, end;
    struct rh_unit *u = &w->unit;

    w->pending.count = 0;
    w->packed.length = 0;
    *ret = false;
    if (next_piece(j, err) < 0)
        return -1;
    if (j->at_end)
        return 0;
    u->offset = j->piece.offset;
    end = RH_MIN((u->offset / unit + 1) * unit, j->source->size);
    u->length = 0;
    while (j->have_piece && j->piece.offset == u->offset + u->length &&
           j->piece.offset + j->piece.length <= end) {
        take_piece(w, &j->piece);
        u->length += j->piece.length;
        j->have_piece = false;
        if (next_piece(j, err) < 0)
            return -1;
    }
    *ret = true;
    return 0;
}

static int claim(struct worker *w, bool *ret, rh_error **err)
{
    struct job *j = w->job;
    int failed = 0;

    pthread_mutex_lock(&j->lock);
    *ret = false;
    w->ticket = j->next_ticket;
    if (j->failed == UINT64_MAX) {
        failed = rh_go_on(j->copy->lib, err);
        if (!failed)
            failed = j->forward ? claim_forward(j, w, ret, err)
                                : claim_by_map(j, &w->unit, ret, err);
        if (failed || *ret)
            j->next_ticket++;
    }
    pthread_mutex_unlock(&j->lock);
    return failed;
}

/* --- a unit's bytes ------------------------------------------------------------------ */

static int inflate_pending(struct worker *w, const struct pending *p,
                           rh_error **err)
{
    uint8_t *to = w->data + (p->offset - w->unit.offset);
    const char *from = w->packed.data + p->at;
    size_t n = 0;

    if (!p->size) {
        memcpy(to, from, p->length);
        return 0;
    }
    if (rh_inflate_zlib(w->unit.codec, from, p->size, to, p->length, &n,
                        NULL) == RH_UNPACK_OK &&
        n == p->length)
        return 0;
    rh_fail(err, RH_ERR_STREAM_DECODE,
            "the grain for disk offset 0x%llx does not inflate to %u bytes",
            (unsigned long long)p->offset, p->length);
    return rh_where(err, w->job->source->name);
}

/* With keep: packed clusters are taken as they are; without a digest that
 * proves them, each is inflated once to be sure. */
static int check_packed(struct worker *w, const struct rh_packed *p,
                        uint64_t offset, rh_error **err)
{
    struct rh_codec *codec = w->unit.codec;
    void *waste = rh_codec_scratch(codec, 2, p->plain_size, err);
    enum rh_unpack_result result;
    size_t n = 0;

    if (!waste)
        return -1;
    result = p->codec == RH_PACKED_ZLIB
                 ? rh_inflate_zlib(codec, p->bytes, p->size, waste,
                                   p->plain_size, &n, NULL)
             : p->codec == RH_PACKED_RAW_DEFLATE
                 ? rh_inflate_raw(codec, p->bytes, p->size, waste,
                                  p->plain_size, &n, NULL)
                 : rh_unzstd(codec, p->bytes, p->size, waste, p->plain_size,
                             &n);
    if (result == RH_UNPACK_OK && n == p->plain_size)
        return 0;
    rh_fail(err, RH_ERR_STREAM_DECODE,
            "the packed cluster for disk offset 0x%llx is damaged",
            (unsigned long long)offset);
    return rh_where(err, w->job->source->name);
}

static int keep_cluster(struct worker *w, size_t i, rh_error **err)
{
    struct job *j = w->job;
    uint32_t grain = j->source->grain;
    uint64_t offset = w->unit.offset + (uint64_t)i * grain;
    size_t n = (size_t)RH_MIN((uint64_t)grain, j->source->size - offset);
    struct rh_packed *p = &w->clusters[i];

    *p = (struct rh_packed){0};
    if (j->source->format->packed(j->source, w->unit.codec, offset, p, err) <
        0)
        return rh_where(err, j->source->name);
    if (!p->bytes)
        return rh_reader_read(j->source, w->unit.codec,
                              w->data + (size_t)i * grain, n, offset, err);
    if (!j->copy->trusted && check_packed(w, p, offset, err) < 0)
        return -1;
    rh_buf_add(&w->packed, p->bytes, p->size);
    return 0;
}

static int keep_unit(struct worker *w, rh_error **err)
{
    uint32_t grain = w->job->source->grain;
    size_t count = (size_t)rh_div_up(w->unit.length, grain), at = 0;

    w->packed.length = 0;
    for (size_t i = 0; i < count; i++)
        if (keep_cluster(w, i, err) < 0)
            return -1;
    /* The buffer may have moved while it grew: point into it only now. */
    for (size_t i = 0; i < count; i++) {
        if (!w->clusters[i].bytes)
            continue;
        w->clusters[i].bytes = w->packed.data + at;
        at += w->clusters[i].size;
    }
    w->unit.packed = w->clusters;
    return 0;
}

static int fill_unit(struct worker *w, rh_error **err)
{
    struct job *j = w->job;

    w->unit.data = w->data;
    w->unit.packed = NULL;
    if (j->forward) {
        for (size_t i = 0; i < w->pending.count; i++)
            if (inflate_pending(w, &w->pending.items[i], err) < 0)
                return -1;
        return 0;
    }
    if (w->clusters)
        return keep_unit(w, err);
    return rh_reader_read(j->source, w->unit.codec, w->data, w->unit.length,
                          w->unit.offset, err);
}

/* --- the content digest ---------------------------------------------------------------- */

enum { RECORD = 8 + 16, RECORDS_MAX = 64 };

struct records {
    uint8_t bytes[RECORDS_MAX * RECORD];
    size_t count;
};

static void content_records(const struct worker *w, struct records *ret)
{
    const struct rh_unit *u = &w->unit;

    ret->count = 0;
    if (!w->job->content || u->offset % CONTENT_UNIT)
        return;
    for (size_t at = 0; at < u->length && ret->count < RECORDS_MAX;
         at += CONTENT_UNIT) {
        size_t n = RH_MIN(u->length - at, (size_t)CONTENT_UNIT);
        uint8_t *record = ret->bytes + ret->count * RECORD;
        XXH128_hash_t hash;

        if (rh_all_zero(w->data + at, n))
            continue;
        memset(w->data + at + n, 0, CONTENT_UNIT - n);
        hash = XXH3_128bits(w->data + at, CONTENT_UNIT);
        rh_put_le64(record, u->offset + at);
        rh_put_le64(record + 8, hash.low64);
        rh_put_le64(record + 16, hash.high64);
        ret->count++;
    }
}

/* --- a worker ------------------------------------------------------------------------------ */

static int write_pieces(struct worker *w, rh_error **err)
{
    struct rh_out *out = w->job->writer->out;

    for (size_t i = 0; i < w->unit.iov_count; i++) {
        const struct rh_iov *v = &w->unit.iov[i];

        if (rh_out_write(out, v->bytes, v->size, v->offset, err) < 0)
            return -1;
    }
    return 0;
}

/* Wait until every earlier unit has its place; false when one failed. */
static bool wait_turn(struct job *j, uint64_t ticket)
{
    while (j->serving != ticket && j->failed > ticket)
        pthread_cond_wait(&j->turn, &j->lock);
    return j->failed > ticket;
}

static int place_unit(struct worker *w, const struct records *records,
                      rh_error **err)
{
    struct job *j = w->job;
    int failed = -1;

    pthread_mutex_lock(&j->lock);
    if (wait_turn(j, w->ticket)) {
        w->unit.iov_count = 0;
        failed = j->writer->format->writer->place(j->writer, &w->unit, err);
        /* A pipe takes the bytes in this order only. */
        if (!failed && !j->writer->out->seekable)
            failed = write_pieces(w, err);
        if (!failed) {
            if (records->count)
                rh_digest_add(j->content, records->bytes,
                              records->count * RECORD);
            j->serving++;
        }
        pthread_cond_broadcast(&j->turn);
    }
    pthread_mutex_unlock(&j->lock);
    return failed;
}

static int one_unit(struct worker *w, rh_error **err)
{
    struct job *j = w->job;
    const struct rh_writer_ops *ops = j->writer->format->writer;
    struct records records;

    if (fill_unit(w, err) < 0)
        return -1;
    content_records(w, &records);
    if (ops->encode && ops->encode(j->writer, &w->unit, err) < 0)
        return -1;
    if (place_unit(w, &records, err) < 0)
        return -1;
    if (j->writer->out->seekable && write_pieces(w, err) < 0)
        return -1;
    pthread_mutex_lock(&j->lock);
    j->done += w->unit.length;
    pthread_mutex_unlock(&j->lock);
    return 0;
}

/* The failure that is reported is the one with the lowest ticket, whoever
 * raced; a unit that stopped because an earlier one failed has no error. */
static void note_failure(struct worker *w)
{
    struct job *j = w->job;

    pthread_mutex_lock(&j->lock);
    if (w->error && w->ticket < j->failed) {
        rh_error_free(j->error);
        j->error = RH_TAKE(w->error);
        j->failed = w->ticket;
    }
    rh_error_drop(&w->error);
    pthread_cond_broadcast(&j->turn);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct job *j = w->job;
    bool more = true;

    while (more) {
        if (claim(w, &more, &w->error) < 0 ||
            (more && one_unit(w, &w->error) < 0)) {
            note_failure(w);
            break;
        }
    }
    pthread_mutex_lock(&j->lock);
    j->running--;
    pthread_cond_broadcast(&j->idle);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* --- the hasher ------------------------------------------------------------------------------ */

/* Do not run far ahead of the workers, or the file is read from its medium
 * twice; go on when they are done or do not read this file. */
static void hasher_wait(struct hasher *h, const struct rh_io *io, uint64_t at)
{
    struct job *j = h->job;
    struct rh_io *watched = j->source->io;

    if (!watched || !j->source->file_order || watched->size != io->size)
        return;
    pthread_mutex_lock(&j->lock);
    while (j->running > 1 && j->failed == UINT64_MAX &&
           at > LEAD + atomic_load_explicit(&watched->high_water,
                                            memory_order_relaxed)) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 5000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&j->turn, &j->lock, &t);
    }
    pthread_mutex_unlock(&j->lock);
}

static bool copy_failed(struct job *j)
{
    bool failed;

    pthread_mutex_lock(&j->lock);
    failed = j->failed != UINT64_MAX;
    pthread_mutex_unlock(&j->lock);
    return failed;
}

static int hash_file(struct hasher *h, struct rh_copy_digest *d, uint8_t *buf,
                     rh_error **err)
{
    RH_AUTO(rh_digest_freep) struct rh_digest *digest =
        rh_digest_new(d->algorithm);
    uint64_t at = 0;

    if (!digest)
        return rh_fail(err, RH_ERR_BUG, "no digest named %s", d->algorithm);
    while (at < d->io->size) {
        size_t n = (size_t)RH_MIN((uint64_t)RH_MIB, d->io->size - at);

        if (rh_go_on(h->job->copy->lib, err) < 0)
            return -1;
        if (copy_failed(h->job))
            return 0; /* another error is being reported */
        hasher_wait(h, d->io, at);
        if (rh_io_read(d->io, buf, n, at, err) < 0)
            return -1;
        rh_digest_add(digest, buf, n);
        at += n;
    }
    rh_digest_hex(digest, d->hex);
    return 0;
}

static void *hash(void *argument)
{
    struct hasher *h = argument;
    struct job *j = h->job;
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_MIB);

    for (size_t i = 0; i < j->copy->digest_count; i++)
        if (hash_file(h, &j->copy->digests[i], buf, &h->error) < 0)
            break;
    pthread_mutex_lock(&j->lock);
    j->running--;
    pthread_cond_broadcast(&j->idle);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* --- setting up and waiting --------------------------------------------------------------------- */

static size_t worker_bytes(const struct job *j)
{
    /* data, room, and the drivers' scratch for packed bytes. */
    return (size_t)j->writer->unit * 2 + CONTENT_UNIT + j->writer->room;
}

static unsigned worker_count(const struct job *j)
{
    rh_lib *lib = j->copy->lib;
    uint64_t fit = lib->memory / worker_bytes(j);

    return (unsigned)RH_MAX(1, RH_MIN((uint64_t)lib->threads, fit));
}

static int worker_init(struct worker *w, struct job *j, rh_error **err)
{
    size_t unit = (size_t)rh_round_up(j->writer->unit, CONTENT_UNIT);

    w->job = j;
    w->data = rh_alloc_big(unit, err);
    w->unit.room = rh_alloc_big(j->writer->room, err);
    if (!w->data || !w->unit.room)
        return -1;
    w->unit.iov = rh_calloc(j->writer->iov_max, sizeof *w->unit.iov);
    w->unit.state = rh_calloc(1, j->writer->unit_state);
    w->unit.codec = rh_codec_new();
    if (j->copy->compress == RH_COMPRESS_KEEP && j->source->compressed &&
        j->source->format->packed && !j->forward) {
        w->cluster_count = (size_t)(j->writer->unit / j->source->grain);
        w->clusters = rh_calloc(w->cluster_count, sizeof *w->clusters);
    }
    return 0;
}

static void worker_free(struct worker *w)
{
    free(w->data);
    free(w->unit.room);
    free(w->unit.iov);
    free(w->unit.state);
    free(w->clusters);
    free(w->pending.items);
    rh_buf_free(&w->packed);
    rh_codec_free(w->unit.codec);
    rh_error_free(w->error);
}

/* Report progress from the caller's thread until all have ended. */
static void wait_all(struct job *j)
{
    struct rh_copy *c = j->copy;

    pthread_mutex_lock(&j->lock);
    while (j->running) {
        struct timespec t;
        uint64_t done = c->done_before + RH_MIN(j->done, j->own);

        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 100000000;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        pthread_mutex_unlock(&j->lock);
        rh_progress(c->lib, c->stage ? c->stage : "copy",
                    RH_MIN(done, c->total ? c->total - 1 : done), c->total);
        pthread_mutex_lock(&j->lock);
        if (j->running)
            pthread_cond_timedwait(&j->idle, &j->lock, &t);
    }
    pthread_mutex_unlock(&j->lock);
}

static int start_thread(struct job *j, pthread_t *thread, void *(*fn)(void *),
                        void *argument, rh_error **err)
{
    int failed = pthread_create(thread, NULL, fn, argument);

    if (failed)
        return rh_fail_errno(err, RH_ERR_MEMORY, failed,
                             "cannot start a thread");
    (void)j;
    return 0;
}

static int run_threads(struct job *j, struct worker *workers, unsigned count,
                       struct hasher *hasher, rh_error **err)
{
    unsigned started = 0;
    int failed = 0;

    j->running = count + (j->copy->digest_count ? 1 : 0);
    if (j->copy->digest_count) {
        failed = start_thread(j, &hasher->thread, hash, hasher, err);
        hasher->started = !failed;
    }
    for (; started < count && !failed; started++) {
        failed = start_thread(j, &workers[started].thread, work,
                              &workers[started], err);
        if (failed)
            break;
    }
    if (failed) { /* let those that run come to their end */
        pthread_mutex_lock(&j->lock);
        j->failed = 0;
        j->running = started + (hasher->started ? 1 : 0);
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
static int outcome(struct job *j, struct hasher *h, rh_error **err)
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

static int run_job(struct job *j, rh_error **err)
{
    unsigned count = worker_count(j);
    struct worker *workers = rh_calloc(count, sizeof *workers);
    struct hasher hasher = {.job = j};
    int failed = 0;

    for (unsigned i = 0; i < count && !failed; i++)
        failed = worker_init(&workers[i], j, err);
    if (!failed) {
        failed = run_threads(j, workers, count, &hasher, err);
        if (outcome(j, &hasher, failed ? NULL : err) < 0)
            failed = -1;
    }
    for (unsigned i = 0; i < count; i++)
        worker_free(&workers[i]);
    free(workers);
    return failed;
}

/* May this forward source feed this writer piece by piece? */
static bool can_go_forward(const struct rh_copy *c)
{
    return c->source->format->next && !c->source->io;
}

int rh_copy_run(struct rh_copy *c, rh_error **err)
{
    struct job j = {.copy = c,
                    .source = c->source,
                    .writer = c->writer,
                    .failed = UINT64_MAX,
                    .own = UINT64_MAX,
                    .forward = can_go_forward(c)};
    bool whole = !j.forward && c->compress != RH_COMPRESS_KEEP;
    int failed;

    if (!j.forward && rh_reader_allocated(c->source, &j.own, err) < 0)
        return -1;
    if (!j.forward && !c->total)
        c->total = j.own;
    pthread_mutex_init(&j.lock, NULL);
    pthread_cond_init(&j.turn, NULL);
    pthread_cond_init(&j.idle, NULL);
    j.content = whole ? rh_digest_new("sha256") : NULL;
    failed = run_job(&j, err);
    if (!failed)
        failed = c->writer->format->writer->finish(c->writer, &c->file_size,
                                                   err);
    c->data_bytes = RH_MIN(j.done, j.own);
    c->content[0] = '\0';
    if (!failed && j.content) {
        char hex[RH_DIGEST_HEX];

        rh_digest_hex(j.content, hex);
        memcpy(c->content, hex, sizeof c->content);
    }
    if (!failed)
        rh_progress(c->lib, c->stage ? c->stage : "copy",
                    c->done_before + c->data_bytes, c->total);
    rh_digest_free(j.content);
    pthread_mutex_destroy(&j.lock);
    pthread_cond_destroy(&j.turn);
    pthread_cond_destroy(&j.idle);
    return failed;
}
