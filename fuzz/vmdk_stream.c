/* vmdk_stream.c - any bytes as a VMDK that comes through a pipe, in small
 * pieces, so that every boundary falls everywhere. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "formats/format.h"

struct drip {
    const uint8_t *data;
    size_t size, at, step;
};

static int drip_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                     rh_error **err)
{
    struct drip *d = s->state;
    size_t part = RH_MIN(RH_MIN(n, d->step), d->size - d->at);

    (void)err;
    memcpy(buf, d->data + d->at, part);
    d->at += part;
    d->step = d->step * 5 % 8191 + 1;
    *ret_n = part;
    return 0;
}
static const struct rh_stream_ops drip_ops = {drip_read, NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rh_lib lib;
    struct drip d = {data, size, 0, size % 1021 + 1};
    struct rh_open_options o = {.lib = &lib};
    struct rh_codec *codec = rh_codec_new();
    struct rh_reader *r;
    struct rh_piece piece;

    lib.threads = 1;
    /* Room for the tables of the largest disk takes its time. */
    lib.max_disk_size = size % 16 ? 64 * RH_GIB : 64 * RH_TIB;
    r = rh_reader_open_stream(rh_stream_make(&drip_ops, "fuzz", &d), &o, NULL);
    while (r && r->format->next(r, &piece, NULL) == 0) {
        uint8_t *plain = malloc(piece.length);
        size_t n;

        if (piece.offset > r->size || piece.length > r->size - piece.offset)
            abort();
        if (piece.packed)
            rh_inflate_zlib(codec, piece.packed, piece.packed_size, plain,
                            piece.length, &n, NULL);
        else
            memcpy(plain, piece.plain, piece.length);
        free(plain);
    }
    rh_reader_close(r);
    rh_codec_free(codec);
    return 0;
}
