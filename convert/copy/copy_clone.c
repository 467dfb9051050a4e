/* copy_clone.c - bytes that are not written, as the source's file and the
 * result's share their blocks.
 *
 * Where both lie on one file system that can (btrfs, XFS), a range of
 * the source that is stored as it is becomes the result's, copy on write:
 * neither changes with the other.  Which files can is tried out before the
 * workers start, so that the result's layout hangs on nothing else; a refusal
 * after that means that the bytes are written.
 *
 * They are read all the same where somebody wants to see them: a digest, or a
 * writer that compresses. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/copy/copy_job.h"

static bool known(const struct rh_copy_clones *c, int fd)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->fds[i] == fd)
            return true;
    return false;
}

void rh_copy_clones(struct rh_copy_job *j)
{
    j->clones = rh_calloc(j->copy->sink_count, sizeof *j->clones);
    for (size_t s = 0; s < j->copy->sink_count && !j->forward; s++) {
        struct rh_copy_clones *c = &j->clones[s];
        const struct rh_copy_sink *sink = &j->copy->sinks[s];
        int fds[RH_COPY_CLONES];
        size_t n = rh_reader_origins(sink->view, fds, RH_COPY_CLONES);

        for (size_t i = 0; i < n; i++) {
            uint64_t block =
                known(c, fds[i]) ? 0 : rh_out_clones(sink->writer->out, fds[i]);

            if (block)
                c->fds[c->count++] = fds[i];
            c->block = block ? block : c->block;
        }
    }
}

bool rh_copy_can_go_unseen(const struct rh_copy_job *j)
{
    const struct rh_writer *w = j->copy->sinks[0].writer;
    const struct rh_copy_clones *c = &j->clones[0];

    return c->count && w->takes_unseen && !j->copy->sinks[0].frame &&
           w->base % c->block == 0 &&
           (w->piece == 1 || w->piece % c->block == 0);
}

static int judge_span(struct rh_copy_worker *w, struct rh_copy_span *s,
                      rh_error **err)
{
    const struct rh_copy_clones *c = &w->job->clones[0];
    uint64_t at = s->offset, end = s->offset + s->length;

    s->unseen = false;
    while (at < end) {
        struct rh_origin o;

        if (rh_reader_origin(w->job->copy->sinks[0].view, at, &o, err) < 0)
            return -1;
        if (!known(c, o.fd) || o.at % c->block || at % c->block)
            return 0;
        at += o.length;
    }
    s->unseen = true;
    return 0;
}

int rh_copy_unseen(struct rh_copy_worker *w, rh_error **err)
{
    for (size_t i = 0; i < w->span_count; i++)
        if (judge_span(w, &w->spans[i], err) < 0)
            return -1;
    return 0;
}

int rh_copy_clone(const struct rh_copy_worker *w,
                  const struct rh_copy_lane *lane, uint64_t offset, uint64_t n,
                  uint64_t place, uint64_t *ret_cloned, uint64_t *ret_write,
                  rh_error **err)
{
    const struct rh_copy_clones *c =
        &w->job->clones[lane->sink - w->job->copy->sinks];
    struct rh_origin o;
    uint64_t whole;

    *ret_cloned = 0;
    *ret_write = n;
    if (rh_reader_origin(lane->sink->view, offset, &o, err) < 0)
        return -1;
    n = RH_MIN(n, o.length);
    *ret_write = n;
    whole = n / c->block * c->block;
    if (!whole || !known(c, o.fd) || o.at % c->block || place % c->block ||
        !rh_out_clone(lane->sink->writer->out, o.fd, o.at, whole, place))
        return 0;
    *ret_cloned = whole;
    *ret_write = n - whole;
    return 0;
}
