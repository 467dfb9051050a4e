/* grown.c - a disk that is longer than its file says: zeros behind its end. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "formats/format.h"

static int grown_extent(struct rh_reader *r, uint64_t offset,
                        struct rh_extent *ret, rh_error **err)
{
    struct rh_reader *base = r->state;

    if (offset < base->size)
        return rh_reader_extent(base, offset, ret, err);
    *ret = (struct rh_extent){r->size - offset, RH_EXTENT_HOLE};
    return 0;
}

static int grown_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                      size_t n, uint64_t offset, rh_error **err)
{
    struct rh_reader *base = r->state;
    uint64_t left = offset < base->size ? base->size - offset : 0;
    size_t part = (size_t)RH_MIN((uint64_t)n, left);

    memset((char *)buf + part, 0, n - part);
    return part ? rh_reader_read(base, codec, buf, part, offset, err) : 0;
}

/* Only what lies whole within the disk is kept as it is. */
static int grown_packed(struct rh_reader *r, struct rh_codec *codec,
                        uint64_t offset, size_t count, struct rh_buf *memory,
                        struct rh_packed *ret, rh_error **err)
{
    struct rh_reader *base = r->state;
    uint64_t whole =
        offset < base->size ? (base->size - offset) / base->grain : 0;

    memset(ret, 0, count * sizeof *ret);
    count = (size_t)RH_MIN((uint64_t)count, whole);
    if (!count || !base->format->packed || base->parent)
        return 0;
    return base->format->packed(base, codec, offset, count, memory, ret, err);
}

struct rh_reader *rh_reader_grow(struct rh_reader *base, uint64_t size)
{
    static const struct rh_format grown = {
        .name = "grown",
        .about = N_("a disk with zeros behind its end"),
        .extent = grown_extent,
        .read = grown_read,
        .packed = grown_packed,
    };
    struct rh_reader *r = rh_new0(struct rh_reader);

    r->format = &grown;
    r->lib = base->lib;
    r->io = rh_io_ref(base->io);
    r->name = rh_strdup(base->name);
    r->size = size;
    r->variant = base->variant;
    r->grain = base->grain;
    r->compressed = base->compressed;
    r->file_order = base->file_order;
    r->state = base;
    r->over = base;
    return r;
}
