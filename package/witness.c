/* witness.c - the digest of a remote file from the bytes that pass while it is
 * read for other reasons, so that they travel once.
 *
 * Readers come from several threads and only roughly in order: what comes
 * early is kept until its turn, within bounds.  What nobody reads (padding,
 * tables that were skipped) is fetched when it has stayed away for long, or at
 * the end. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/witness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

enum {
    NEAR = 32 * 1024 * 1024,   /* what comes farther ahead is not kept */
    WAIT_MAX = 4 * 1024 * 1024 /* bytes kept before a gap is fetched */
};

/* Bytes that wait for their turn; a list in the order of offsets. */
struct early {
    struct early *next;
    uint64_t offset;
    size_t n;
    uint8_t bytes[];
};

struct rh_witness {
    struct rh_io *io; /* the file itself */
    struct rh_digest *digest;
    pthread_mutex_t lock;
    uint64_t position; /* hashed so far */
    struct early *waiting;
    size_t kept; /* bytes in them */
};

struct rh_witness *rh_witness_new(struct rh_io *io, const char *algorithm)
{
    struct rh_digest *digest = rh_digest_new(algorithm);
    struct rh_witness *w;

    if (!digest)
        return NULL;
    w = rh_new0(struct rh_witness);
    w->io = rh_io_ref(io);
    w->digest = digest;
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void rh_witness_free(struct rh_witness *w)
{
    if (!w)
        return;
    while (w->waiting) {
        struct early *next = w->waiting->next;

        free(w->waiting);
        w->waiting = next;
    }
    rh_digest_free(w->digest);
    pthread_mutex_destroy(&w->lock);
    rh_io_unref(w->io);
    free(w);
}

/* --- taking what passes (the lock is held) -------------------------------- */

static void take(struct rh_witness *w, const uint8_t *bytes, size_t n,
                 uint64_t offset)
{
    size_t known = (size_t)RH_MIN(w->position - offset, (uint64_t)n);

    rh_digest_add(w->digest, bytes + known, n - known);
    w->position += n - known;
}

static void take_waiting(struct rh_witness *w)
{
    while (w->waiting && w->waiting->offset <= w->position) {
        struct early *first = w->waiting;

        take(w, first->bytes, first->n, first->offset);
        w->kept -= first->n;
        w->waiting = first->next;
        free(first);
    }
}

static void keep(struct rh_witness *w, const void *bytes, size_t n,
                 uint64_t offset)
{
    struct early **at = &w->waiting, *e;

    while (*at && (*at)->offset < offset)
        at = &(*at)->next;
    if ((*at && (*at)->offset == offset && (*at)->n >= n) || w->kept + n > NEAR)
        return;
    e = rh_malloc(sizeof *e + n);
    e->next = *at;
    e->offset = offset;
    e->n = n;
    memcpy(e->bytes, bytes, n);
    *at = e;
    w->kept += n;
}

/* Up to `end`, from the file. */
static int fetch(struct rh_witness *w, uint64_t end, rh_error **err)
{
    enum { PART = 256 * 1024 };
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(PART);

    while (w->position < end) {
        size_t n = (size_t)RH_MIN((uint64_t)PART, end - w->position);

        if (rh_io_read(w->io, buf, n, w->position, err) < 0)
            return -1;
        take(w, buf, n, w->position);
        take_waiting(w);
    }
    return 0;
}

/* Failing to fetch is no failure of the reader's: the end will tell. */
static void see(struct rh_witness *w, const void *bytes, size_t n,
                uint64_t offset)
{
    if (offset + n <= w->position)
        return;
    if (offset <= w->position)
        take(w, bytes, n, offset);
    else if (offset - w->position < NEAR)
        keep(w, bytes, n, offset);
    take_waiting(w);
    if (w->kept > WAIT_MAX)
        fetch(w, w->waiting->offset, NULL);
}

int rh_witness_hex(struct rh_witness *w, char ret_hex[RH_DIGEST_HEX],
                   rh_error **err)
{
    int failed;

    pthread_mutex_lock(&w->lock);
    failed = fetch(w, w->io->size, err);
    if (!failed)
        rh_digest_hex(w->digest, ret_hex);
    pthread_mutex_unlock(&w->lock);
    return failed;
}

/* --- the file as its readers see it --------------------------------------- */

static int witnessed_read(struct rh_io *io, void *buf, size_t n,
                          uint64_t offset, rh_error **err)
{
    struct rh_witness *w = io->state;

    if (rh_io_read(w->io, buf, n, offset, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    see(w, buf, n, offset);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

static int witnessed_data_after(struct rh_io *io, uint64_t offset,
                                uint64_t *ret_start, uint64_t *ret_end,
                                rh_error **err)
{
    struct rh_witness *w = io->state;

    return rh_io_data_after(w->io, offset, ret_start, ret_end, err);
}

struct rh_io *rh_witness_io(struct rh_witness *w)
{
    static const struct rh_io_ops ops = {witnessed_read, witnessed_data_after,
                                         NULL};

    return rh_io_make(&ops, w->io->name, w->io->size, w);
}
