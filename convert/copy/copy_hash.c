/* copy_hash.c - the digests of the source's files, beside the copy.
 *
 * One thread reads each file once in order, a little ahead of the workers or
 * behind them, so that the medium is read once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/limits.h"
#include "base/wait.h"
#include "convert/copy/copy_job.h"

enum { LEAD = 32 * 1024 * 1024, NAP_MS = 5 };

/* Do not run far ahead of the workers; go on when they are done or do not read
 * this file. */
static void keep_step(struct rh_copy_job *j, const struct rh_io *io,
                      uint64_t at)
{
    struct rh_io *watched = j->source->io;

    if (!watched || !j->source->file_order || watched->size != io->size)
        return;
    pthread_mutex_lock(&j->lock);
    while (j->running > 1 && j->failed == UINT64_MAX &&
           at > LEAD + atomic_load_explicit(&watched->high_water,
                                            memory_order_relaxed))
        rh_wait_cond(&j->turn, &j->lock, NAP_MS);
    pthread_mutex_unlock(&j->lock);
}

static bool copy_failed(struct rh_copy_job *j)
{
    bool failed;

    pthread_mutex_lock(&j->lock);
    failed = j->failed != UINT64_MAX;
    pthread_mutex_unlock(&j->lock);
    return failed;
}

static int hash_file(struct rh_copy_job *j, struct rh_copy_digest *d,
                     uint8_t *buf, rh_error **err)
{
    RH_AUTO(rh_digest_freep)
    struct rh_digest *digest = rh_digest_new(d->algorithm);
    uint64_t at = 0;

    if (!digest)
        return rh_fail(err, RH_ERR_BUG, "no digest named %s", d->algorithm);
    while (at < d->io->size) {
        size_t n = (size_t)RH_MIN((uint64_t)RH_MIB, d->io->size - at);

        if (rh_go_on(j->copy->lib, err) < 0)
            return -1;
        if (copy_failed(j))
            return 0; /* another error is being reported */
        keep_step(j, d->io, at);
        if (rh_io_read(d->io, buf, n, at, err) < 0)
            return -1;
        rh_digest_add(digest, buf, n);
        at += n;
    }
    rh_digest_hex(digest, d->hex);
    return 0;
}

void *rh_copy_hash(void *argument)
{
    struct rh_copy_hasher *h = argument;
    struct rh_copy_job *j = h->job;
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_MIB);

    for (size_t i = 0; i < j->copy->digest_count; i++)
        if (hash_file(j, &j->copy->digests[i], buf, &h->error) < 0)
            break;
    rh_copy_ended(j);
    return NULL;
}
