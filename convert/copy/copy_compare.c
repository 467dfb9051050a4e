/* copy_compare.c - are two disks alike, whatever their formats?
 *
 * Each thread takes the next share that is not a hole in both, reads it from
 * both and compares; then, in the shares' order, the content digest of the
 * second one goes on.  So every byte is read once, by all cores. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/wait.h"
#include "convert/copy/copy.h"
#include "convert/copy/copy_job.h"

enum { SHARE = RH_CONTENT_UNIT, TENTH_MS = 100 };

struct comparison {
    rh_lib *lib;
    struct rh_reader *disk[2];
    struct rh_digest *content; /* of disk[1]; NULL: nobody asks */
    uint64_t end;              /* of the shorter one */
    pthread_mutex_t lock;      /* over all below */
    pthread_cond_t turn;
    uint64_t next;            /* offset of the next share */
    uint64_t tickets, served; /* shares given out, and ended, in order */
    unsigned running;
    uint64_t differs; /* the first byte known to; UINT64_MAX: none */
    rh_error *error;
};

/* Bytes from `at` on that both disks call zero without being read. */
static int common_hole(const struct comparison *c, uint64_t at,
                       uint64_t *ret_length, rh_error **err)
{
    uint64_t length = c->end - at;

    for (int i = 0; i < 2 && length; i++) {
        struct rh_extent e;

        if (rh_reader_extent(c->disk[i], at, &e, err) < 0)
            return -1;
        length = e.kind == RH_EXTENT_DATA ? 0 : RH_MIN(length, e.length);
    }
    *ret_length = length;
    return 0;
}

/* Under the lock.  1: *ret_at and *ret_n; 0: there is no more. */
static int next_share(struct comparison *c, uint64_t *ret_at, size_t *ret_n,
                      rh_error **err)
{
    while (c->next < c->end && !c->error && c->differs == UINT64_MAX) {
        uint64_t at = c->next, hole;

        if (rh_go_on(c->lib, err) < 0 || common_hole(c, at, &hole, err) < 0)
            return -1;
        /* Shares are the digest's units: one that holds anything is read. */
        if (at + hole == c->end || hole >= SHARE) {
            c->next =
                at + hole == c->end ? c->end : (at + hole) / SHARE * SHARE;
            continue;
        }
        *ret_at = at;
        *ret_n = (size_t)RH_MIN((uint64_t)SHARE, c->end - at);
        c->next += *ret_n;
        return 1;
    }
    return 0;
}

struct share {
    uint64_t at, ticket;
    size_t n, alike;
    uint8_t *buf[2];
    struct rh_codec *codec;
};

static int read_share(const struct comparison *c, struct share *s,
                      rh_error **err)
{
    for (int d = 0; d < 2; d++)
        if (rh_reader_read(c->disk[d], s->codec, s->buf[d], s->n, s->at, err) <
            0)
            return -1;
    s->alike = 0;
    if (memcmp(s->buf[0], s->buf[1], s->n) == 0)
        s->alike = s->n;
    while (s->alike < s->n && s->buf[0][s->alike] == s->buf[1][s->alike])
        s->alike++;
    return 0;
}

/* Under the lock, in order: what came of it. */
static void end_share(struct comparison *c, const struct share *s,
                      const uint8_t *record, rh_error *error)
{
    while (c->served != s->ticket)
        pthread_cond_wait(&c->turn, &c->lock);
    c->served++;
    if (c->error || c->differs != UINT64_MAX)
        rh_error_free(error); /* an earlier share's counts */
    else if (error)
        c->error = error;
    else if (s->alike < s->n)
        c->differs = s->at + s->alike;
    else if (record)
        rh_digest_add(c->content, record, RH_CONTENT_RECORD);
    pthread_cond_broadcast(&c->turn);
}

static void compare_shares(struct comparison *c, struct share *s)
{
    uint8_t record[RH_CONTENT_RECORD];

    pthread_mutex_lock(&c->lock);
    for (;;) {
        rh_error *error = NULL;
        bool recorded = false;
        int found = next_share(c, &s->at, &s->n, &error);

        if (found == 0)
            break;
        s->ticket = c->tickets++;
        pthread_mutex_unlock(&c->lock);
        if (found > 0 && read_share(c, s, &error) == 0 && c->content)
            recorded = rh_copy_record(s->buf[1], s->n, s->at, record);
        pthread_mutex_lock(&c->lock);
        end_share(c, s, recorded ? record : NULL, error);
    }
    c->running--;
    pthread_cond_broadcast(&c->turn);
    pthread_mutex_unlock(&c->lock);
}

static void *work(void *argument)
{
    struct share s = {.codec = rh_codec_new()};

    for (int d = 0; d < 2; d++)
        s.buf[d] = rh_malloc(SHARE);
    compare_shares(argument, &s);
    for (int d = 0; d < 2; d++)
        free(s.buf[d]);
    rh_codec_free(s.codec);
    return NULL;
}

/* Start the threads, and tell how far they are. */
static int compare_all(struct comparison *c, rh_error **err)
{
    unsigned count = RH_MAX(RH_MIN(c->lib ? c->lib->threads : 1, 64), 1);
    RH_AUTO(rh_freep) pthread_t *threads = rh_calloc(count, sizeof *threads);
    unsigned started = 0;

    pthread_mutex_lock(&c->lock);
    while (started < count &&
           pthread_create(&threads[started], NULL, work, c) == 0)
        started++;
    c->running = started;
    while (c->running) {
        uint64_t at = c->next;

        pthread_mutex_unlock(&c->lock);
        rh_progress(c->lib, "compare", at, c->end);
        pthread_mutex_lock(&c->lock);
        if (c->running)
            rh_wait_cond(&c->turn, &c->lock, TENTH_MS);
    }
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (!started)
        return rh_fail(err, RH_ERR_MEMORY, "no thread could be started");
    if (!c->error)
        return 0;
    if (err && !*err)
        *err = RH_TAKE(c->error);
    rh_error_free(c->error);
    return -1;
}

/* What the longer disk has beyond the shorter one must be zeros: 1 when not. */
static int compare_tail(const struct comparison *c, uint64_t *ret_offset,
                        rh_error **err)
{
    struct rh_reader *longer =
        c->disk[c->disk[0]->size > c->disk[1]->size ? 0 : 1];
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_MIB);

    for (uint64_t at = c->end; at < longer->size;) {
        size_t n = (size_t)RH_MIN((uint64_t)RH_MIB, longer->size - at);
        struct rh_extent e;

        if (rh_go_on(c->lib, err) < 0 ||
            rh_reader_extent(longer, at, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            at += e.length;
            continue;
        }
        n = (size_t)RH_MIN((uint64_t)n, e.length);
        if (rh_reader_read(longer, codec, buf, n, at, err) < 0)
            return -1;
        for (size_t i = 0; i < n; i++) {
            if (!buf[i])
                continue;
            *ret_offset = at + i;
            return 1;
        }
        at += n;
    }
    return 0;
}

int rh_copy_compare(rh_lib *lib, struct rh_reader *a, struct rh_reader *b,
                    struct rh_comparison *ret, rh_error **err)
{
    RH_AUTO(rh_digest_freep) struct rh_digest *digest = rh_digest_new("sha256");
    struct comparison c = {.lib = lib,
                           .disk = {a, b},
                           .content = digest,
                           .end = RH_MIN(a->size, b->size),
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .differs = UINT64_MAX};
    char hex[RH_DIGEST_HEX];
    int tail = 0, failed;

    rh_wait_cond_init(&c.turn);
    failed = compare_all(&c, err);
    pthread_cond_destroy(&c.turn);
    if (failed)
        return -1;
    if (c.differs == UINT64_MAX)
        tail = compare_tail(&c, &c.differs, err);
    if (tail < 0)
        return -1;
    ret->same = c.differs == UINT64_MAX;
    ret->offset = c.differs;
    rh_digest_hex(digest, hex);
    memcpy(ret->content, hex, sizeof ret->content);
    return 0;
}
