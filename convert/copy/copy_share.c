/* copy_share.c - a worker's share of the disk: which it is, and its bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "convert/copy/copy_job.h"

/* --- what to do next (under the lock)
 * -------------------------------------------- */

/* Does any sink's view hold data here?  *ret is as far as the answer reaches.
 */
static int extent_of_all(struct rh_copy_job *j, struct rh_extent *ret,
                         rh_error **err)
{
    *ret = (struct rh_extent){j->source->size - j->position, RH_EXTENT_ZERO};
    if (j->every_unit) {
        ret->kind = RH_EXTENT_DATA;
        return 0;
    }
    for (size_t i = 0; i < j->copy->sink_count; i++) {
        struct rh_extent e;

        if (rh_reader_extent(j->copy->sinks[i].view, j->position, &e, err) < 0)
            return -1;
        ret->length = RH_MIN(ret->length, e.length);
        if (e.kind == RH_EXTENT_DATA)
            ret->kind = RH_EXTENT_DATA;
    }
    return 0;
}

static int claim_by_map(struct rh_copy_job *j, struct rh_copy_worker *w,
                        bool *ret, rh_error **err)
{
    while (j->position < j->source->size) {
        struct rh_extent e;

        if (extent_of_all(j, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            j->position += e.length;
            continue;
        }
        w->offset = j->position / j->unit * j->unit;
        w->length = (size_t)RH_MIN(j->unit, j->source->size - w->offset);
        j->position = w->offset + w->length;
        *ret = true;
        return 0;
    }
    return 0;
}

/* What of the next unit with data is data: from its first to its last byte.
 * False at the end. */
static int next_span(struct rh_copy_job *j, struct rh_copy_span *ret,
                     bool *ret_more, rh_error **err)
{
    uint64_t piece = j->copy->sinks[0].writer->piece;
    uint64_t start = UINT64_MAX, end = 0, stop = j->source->size;

    while (j->position < stop) {
        struct rh_extent e;

        if (extent_of_all(j, &e, err) < 0)
            return -1;
        if (e.kind == RH_EXTENT_DATA && start == UINT64_MAX) {
            start = j->position / piece * piece;
            stop = RH_MIN((j->position / j->unit + 1) * j->unit, stop);
        }
        j->position += e.length;
        if (e.kind == RH_EXTENT_DATA)
            end = RH_MIN(j->position, stop);
    }
    *ret_more = start != UINT64_MAX;
    if (!*ret_more)
        return 0;
    j->position = stop;
    end = RH_MIN(rh_round_up(end, piece), stop);
    *ret = (struct rh_copy_span){start, (size_t)(end - start), 0, false};
    return 0;
}

/* Little data in many places is one share: what goes from hand to hand for
 * each would cost more than the data. */
static int claim_spans(struct rh_copy_job *j, struct rh_copy_worker *w,
                       bool *ret, rh_error **err)
{
    w->length = 0;
    for (w->span_count = 0; w->span_count < RH_COPY_SPANS; w->span_count++) {
        struct rh_copy_span *s = &w->spans[w->span_count];
        uint64_t before = j->position;
        bool more;

        if (next_span(j, s, &more, err) < 0)
            return -1;
        if (!more)
            break;
        if (s->length > j->unit - w->length) { /* the next share's */
            j->position = before;
            break;
        }
        s->at = w->length;
        w->length += s->length;
    }
    *ret = w->span_count > 0;
    return 0;
}

static void take_piece(struct rh_copy_worker *w, const struct rh_piece *p)
{
    struct rh_copy_pending *item = rh_vec_add(&w->pending);

    item->offset = p->offset;
    item->length = p->length;
    item->at = w->packed.length;
    item->size = p->packed ? p->packed_size : 0;
    rh_buf_add(&w->packed, p->packed ? p->packed : p->plain,
               p->packed ? p->packed_size : p->length);
}

static int next_piece(struct rh_copy_job *j, rh_error **err)
{
    int more;

    if (j->have_piece || j->at_end)
        return 0;
    more = j->source->format->next(j->source, &j->piece, err);
    if (more < 0)
        return rh_error_subject(err, j->source->name);
    j->at_end = more == 1;
    j->have_piece = !j->at_end;
    return 0;
}

/* Gather the forward source's pieces as long as they continue the share. */
static int claim_forward(struct rh_copy_job *j, struct rh_copy_worker *w,
                         bool *ret, rh_error **err)
{
    uint64_t end;

    w->pending.count = 0;
    w->packed.length = 0;
    if (next_piece(j, err) < 0)
        return -1;
    if (j->at_end)
        return 0;
    w->offset = j->piece.offset;
    w->length = 0;
    end = RH_MIN((w->offset / j->unit + 1) * j->unit, j->source->size);
    while (j->have_piece && j->piece.offset == w->offset + w->length &&
           j->piece.offset + j->piece.length <= end) {
        take_piece(w, &j->piece);
        w->length += j->piece.length;
        j->have_piece = false;
        if (next_piece(j, err) < 0)
            return -1;
    }
    if (w->length == 0) {
        rh_fail(err, RH_ERR_BUG, "a grain of %u bytes is larger than a unit",
                j->piece.length);
        return rh_error_subject(err, j->source->name);
    }
    *ret = true;
    return 0;
}

int rh_copy_claim(struct rh_copy_worker *w, bool *ret_more, rh_error **err)
{
    struct rh_copy_job *j = w->job;
    int failed = 0;

    pthread_mutex_lock(&j->lock);
    *ret_more = false;
    w->ticket = j->next_ticket;
    if (j->failed == UINT64_MAX) {
        failed = rh_go_on(j->copy->lib, err);
        if (!failed)
            failed = (j->forward     ? claim_forward
                      : j->scattered ? claim_spans
                                     : claim_by_map)(j, w, ret_more, err);
        if (failed || *ret_more)
            j->next_ticket++;
    }
    pthread_mutex_unlock(&j->lock);
    return failed;
}

/* --- a share's bytes
 * ------------------------------------------------------------------ */

static int inflate_pending(struct rh_copy_worker *w,
                           const struct rh_copy_pending *p, rh_error **err)
{
    uint8_t *to = w->data + (p->offset - w->offset);
    const char *from = w->packed.data + p->at;
    size_t n = 0;

    if (!p->size) {
        memcpy(to, from, p->length);
        return 0;
    }
    if (rh_inflate_zlib(w->codec, from, p->size, to, p->length, &n, NULL) ==
            RH_UNPACK_OK &&
        n == p->length)
        return 0;
    rh_fail(err, RH_ERR_STREAM_DECODE,
            "the grain for disk offset 0x%llx does not inflate to %u bytes",
            (unsigned long long)p->offset, p->length);
    return rh_error_subject(err, w->job->source->name);
}

/* With keep alone, the clusters' packed bytes are all that is needed. */
static bool all_keep(const struct rh_copy_worker *w)
{
    for (size_t i = 0; i < w->job->copy->sink_count; i++)
        if (!w->lanes[i].clusters)
            return false;
    return true;
}

int rh_copy_fill(struct rh_copy_worker *w, rh_error **err)
{
    struct rh_copy_job *j = w->job;
    struct rh_reader *from =
        j->copy->sink_count == 1 ? j->copy->sinks[0].view : j->source;

    if (j->forward) {
        for (size_t i = 0; i < w->pending.count; i++)
            if (inflate_pending(w, &w->pending.items[i], err) < 0)
                return -1;
        return 0;
    }
    if (all_keep(w))
        return 0;
    if (!j->scattered)
        return rh_reader_read(from, w->codec, w->data, w->length, w->offset,
                              err);
    if (j->unseen && rh_copy_unseen(w, err) < 0)
        return -1;
    for (const struct rh_copy_span *s = w->spans; s < w->spans + w->span_count;
         s++)
        if (!s->unseen && rh_reader_read(from, w->codec, w->data + s->at,
                                         s->length, s->offset, err) < 0)
            return -1;
    return 0;
}

/* --- clusters that are kept packed
 * -------------------------------------------------------- */

/* Without a digest that proves them, each is inflated once to be sure. */
static int check_packed(struct rh_copy_worker *w, const struct rh_packed *p,
                        uint64_t offset, rh_error **err)
{
    void *waste = rh_codec_scratch(w->codec, 2, p->plain_size, err);
    enum rh_unpack_result result;
    size_t n = 0;

    if (!waste)
        return -1;
    result =
        p->codec == RH_PACKED_ZLIB
            ? rh_inflate_zlib(w->codec, p->bytes, p->size, waste, p->plain_size,
                              &n, NULL)
        : p->codec == RH_PACKED_RAW_DEFLATE
            ? rh_inflate_raw(w->codec, p->bytes, p->size, waste, p->plain_size,
                             &n, NULL)
            : rh_unzstd(w->codec, p->bytes, p->size, waste, p->plain_size, &n);
    if (result == RH_UNPACK_OK && n == p->plain_size)
        return 0;
    rh_fail(err, RH_ERR_STREAM_DECODE,
            "the packed cluster for disk offset 0x%llx is damaged",
            (unsigned long long)offset);
    return rh_error_subject(err, w->job->source->name);
}

/* One cluster whose packed bytes, if it has any, were gathered. */
static int keep_cluster(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                        size_t i, rh_error **err)
{
    struct rh_reader *view = lane->sink->view;
    size_t at = i * view->grain;
    size_t n = RH_MIN((size_t)view->grain, w->length - at);
    struct rh_packed *p = &lane->clusters[i];

    p->bytes = p->size ? lane->packed.data + p->at : NULL;
    if (!p->bytes)
        return rh_reader_read(view, w->codec, w->data + at, n, w->offset + at,
                              err);
    return w->job->copy->trusted ? 0 : check_packed(w, p, w->offset + at, err);
}

static int keep_clusters(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                         rh_error **err)
{
    struct rh_reader *view = lane->sink->view;
    size_t count = (size_t)rh_div_up(w->length, view->grain);

    lane->packed.length = 0;
    if (view->format->packed(view, w->codec, w->offset, count, &lane->packed,
                             lane->clusters, err) < 0)
        return rh_error_subject(err, view->name);
    for (size_t i = 0; i < count; i++)
        if (keep_cluster(w, lane, i, err) < 0)
            return -1;
    return 0;
}

/* --- the sink's view of the share
 * ------------------------------------------------------------ */

/* With several sinks the share was read from the bare source: lay this sink's
 * edits over a copy of it. */
static int patched_bytes(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                         uint8_t **ret, rh_error **err)
{
    struct rh_reader *view = lane->sink->view;
    bool any = false;

    *ret = w->data;
    if (!lane->patched)
        return 0;
    if (rh_overlay_patch(view, NULL, w->length, w->offset, &any, err) < 0)
        return -1;
    if (!any)
        return 0;
    memcpy(lane->patched, w->data, w->length);
    *ret = lane->patched;
    return rh_overlay_patch(view, lane->patched, w->length, w->offset, NULL,
                            err);
}

/* Bytes of the disk that lie side by side, as the sink's units. */
static void cut_units(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                      uint8_t *data, size_t length, uint64_t offset,
                      bool unseen)
{
    size_t unit = (size_t)lane->sink->writer->unit;

    for (size_t at = 0, n; at < length; at += n) {
        struct rh_unit *u = &lane->units[lane->used++];

        /* It may start inside a unit. */
        n = RH_MIN(unit - (size_t)((offset + at) % unit), length - at);
        u->offset = offset + at;
        u->length = n;
        u->data = data + at;
        u->codec = w->codec;
        u->packed = lane->clusters
                        ? lane->clusters + at / lane->sink->view->grain
                        : NULL;
        u->unseen = unseen;
        u->iov_count = 0;
    }
}

int rh_copy_cut(struct rh_copy_worker *w, struct rh_copy_lane *lane,
                rh_error **err)
{
    uint8_t *data;

    lane->used = 0;
    if (w->job->scattered) {
        for (size_t i = 0; i < w->span_count; i++)
            cut_units(w, lane, w->data + w->spans[i].at, w->spans[i].length,
                      w->spans[i].offset, w->spans[i].unseen);
        return 0;
    }
    if (lane->clusters && keep_clusters(w, lane, err) < 0)
        return -1;
    if (patched_bytes(w, lane, &data, err) < 0)
        return -1;
    cut_units(w, lane, data, w->length, w->offset, false);
    return 0;
}
