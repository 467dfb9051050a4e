/* origin.c - in which files a disk's bytes are stored as they are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"

static int below(struct rh_reader *r, uint64_t offset, struct rh_origin *ret,
                 rh_error **err)
{
    uint64_t most = ret->length;

    if (!r || offset >= r->size)
        return 0;
    if (rh_reader_origin(r, offset, ret, err) < 0)
        return -1;
    ret->length = RH_MIN(ret->length, most);
    return 0;
}

/* What a guest's edits have changed is stored nowhere for long. */
static int of_view(struct rh_reader *r, uint64_t offset, struct rh_origin *ret,
                   rh_error **err)
{
    uint64_t start, length;

    if (rh_is_overlay(r) && rh_overlay_change_at(r, offset, &start, &length)) {
        if (start <= offset) {
            ret->length = RH_MIN(start + length - offset, ret->length);
            return 0;
        }
        ret->length = RH_MIN(start - offset, ret->length);
    }
    return below(r->over, offset, ret, err);
}

static int of_file(struct rh_reader *r, uint64_t offset, struct rh_origin *ret,
                   rh_error **err)
{
    struct rh_place_of_bytes here = {0};

    if (!r->format->lies)
        return 0;
    if (r->format->lies(r, offset, &here, err) < 0)
        return rh_error_subject(err, r->name);
    ret->length = RH_MIN(here.length, ret->length);
    if (!here.plain || !r->io || r->io->fd < 0 || here.at >= r->io->size)
        return 0;
    ret->length = RH_MIN(ret->length, r->io->size - here.at);
    ret->at = r->io->fd_offset + here.at;
    ret->fd = r->io->fd;
    return 0;
}

/* A hole shows the parent. */
static int of_parent(struct rh_reader *r, uint64_t offset,
                     struct rh_origin *ret, rh_error **err)
{
    struct rh_extent e = {0};

    if (r->format->extent(r, offset, &e, err) < 0)
        return rh_error_subject(err, r->name);
    ret->length = RH_MIN(e.length, ret->length);
    return e.kind == RH_EXTENT_HOLE ? below(r->parent, offset, ret, err) : 0;
}

int rh_reader_origin(struct rh_reader *r, uint64_t offset,
                     struct rh_origin *ret, rh_error **err)
{
    *ret = (struct rh_origin){-1, 0, r->size - offset};
    if (r->over)
        return of_view(r, offset, ret, err);
    if (of_file(r, offset, ret, err) < 0)
        return -1;
    return ret->fd < 0 && r->parent ? of_parent(r, offset, ret, err) : 0;
}

size_t rh_reader_origins(const struct rh_reader *r, int *fds, size_t most)
{
    size_t n = 0;

    for (; r && n < most; r = r->over ? r->over : r->parent)
        if (r->format->lies && r->io && r->io->fd >= 0)
            fds[n++] = r->io->fd;
    return n;
}
