/* copy_write.c - the bytes of a share into a sink, at their places. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/copy/copy_job.h"
#include "convert/frame_sum.h"

/* Pieces that will lie side by side in the file. */
struct run {
    struct iovec pieces[RH_OUT_PIECES];
    int count;
    uint64_t start, end;
};

static int write_run(struct rh_out *out, struct run *run, rh_error **err)
{
    int count = run->count;

    run->count = 0;
    return rh_out_gather(out, run->pieces, count, run->start, err);
}

static int add_piece(struct rh_out *out, struct run *run, uint64_t offset,
                     const uint8_t *bytes, size_t n, rh_error **err)
{
    if ((run->count == RH_OUT_PIECES || offset != run->end) &&
        write_run(out, run, err) < 0)
        return -1;
    if (run->count == 0)
        run->start = offset;
    run->end = offset + n;
    run->pieces[run->count++] = (struct iovec){(void *)(uintptr_t)bytes, n};
    return 0;
}

/* The disk's bytes are written from where they were handed over; what comes
 * from elsewhere the writer has made. */
static bool of_disk(const struct rh_unit *u, const struct rh_iov *v)
{
    const uint8_t *p = v->bytes;

    return u->data && p >= u->data && p < u->data + u->length;
}

/* What could not be cloned after all is read now. */
static int see(struct rh_copy_worker *w, const struct rh_copy_lane *lane,
               const struct rh_unit *u, size_t at, size_t n, rh_error **err)
{
    return u->unseen ? rh_reader_read(lane->sink->view, w->codec, u->data + at,
                                      n, u->offset + at, err)
                     : 0;
}

static int clone_or_add(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                        struct run *run, const struct rh_unit *u,
                        const struct rh_iov *v, rh_error **err)
{
    struct rh_out *out = lane->sink->writer->out;
    size_t first = (size_t)((const uint8_t *)v->bytes - u->data);

    for (uint64_t done = 0, cloned, rest; done < v->size; done += rest) {
        size_t at = first + (size_t)done;

        if (rh_copy_clone(w, lane, u->offset + at, v->size - done,
                          v->offset + done, &cloned, &rest, err) < 0)
            return -1;
        lane->cloned += cloned;
        done += cloned;
        at += (size_t)cloned;
        if (rest && (see(w, lane, u, at, (size_t)rest, err) < 0 ||
                     add_piece(out, run, v->offset + done, u->data + at,
                               (size_t)rest, err) < 0))
            return -1;
    }
    return 0;
}

static int write_unit(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                      struct run *run, const struct rh_unit *u, rh_error **err)
{
    struct rh_out *out = lane->sink->writer->out;
    bool clones =
        w->job->clones[lane->sink - w->job->copy->sinks].count && u->data;

    for (size_t i = 0; i < u->iov_count; i++) {
        const struct rh_iov *v = &u->iov[i];

        if ((clones && of_disk(u, v)
                 ? clone_or_add(w, lane, run, u, v, err)
                 : add_piece(out, run, v->offset, v->bytes, v->size, err)) < 0)
            return -1;
        if (lane->sink->frame && (lane->clusters || !of_disk(u, v)))
            rh_frame_sum_add(lane->sink->frame, v->bytes, v->size, v->offset);
    }
    return 0;
}

int rh_copy_write(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                  rh_error **err)
{
    struct run run;

    run.count = 0;
    run.start = run.end = 0;
    for (size_t i = 0; i < lane->used; i++)
        if (write_unit(w, lane, &run, &lane->units[i], err) < 0)
            return -1;
    return write_run(lane->sink->writer->out, &run, err);
}
