/* vmdk.c - any bytes as a VMDK that can be sought in.
 *
 * What follows a line "----" is the file that every extent and parent names.
 * A stream is read forward too: when both ways take it, both must give the same
 * disk. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "formats/format.h"

enum { READ_MAX = 4 << 20, STEP = 256 * 1024, STEPS = 2000 };

struct bytes {
    const uint8_t *data;
    size_t size;
};

static struct rh_io *place_open(struct rh_place *p, const char *name,
                                rh_error **err)
{
    const struct bytes *b = p->state;

    (void)err;
    return rh_io_memory(b->data, b->size, name);
}
static const struct rh_place_ops place_ops = {place_open, NULL, NULL};

/* XOR of what each 512 bytes are, by their place; holes count as zeros. */
static uint64_t mix(uint64_t offset, const uint8_t *p, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i += 512) {
        uint64_t h = 0;
        size_t part = RH_MIN(n - i, (size_t)512);

        for (size_t k = 0; k < part; k++)
            h = (h ^ p[i + k]) * UINT64_C(0x100000001b3);
        if (h)
            sum ^= (h ^ (offset + i)) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return sum;
}

/* The content, or false when it is refused or too much. */
static bool walk(struct rh_reader *r, struct rh_codec *codec, uint64_t *ret)
{
    uint8_t *buf = malloc(STEP);
    uint64_t offset = 0, sum = 0, read = 0;
    struct rh_extent e;
    bool whole = true;

    for (int i = 0; i < STEPS && offset < r->size && whole; i++) {
        whole = rh_reader_extent(r, offset, &e, NULL) == 0;
        if (whole && e.length == 0)
            abort();
        for (uint64_t at = 0, n; whole && e.kind == RH_EXTENT_DATA &&
                                 at < e.length && read < READ_MAX;
             at += n) {
            n = RH_MIN(e.length - at, (uint64_t)STEP);
            whole = rh_reader_read(r, codec, buf, n, offset + at, NULL) == 0;
            if (whole)
                sum ^= mix(offset + at, buf, n);
            read += n;
        }
        offset += whole ? e.length : 0;
    }
    free(buf);
    *ret = sum;
    return whole && offset >= r->size && read < READ_MAX;
}

static bool forward(const struct bytes *b, const struct rh_open_options *o,
                    struct rh_codec *codec, uint64_t *ret)
{
    struct rh_io *io = rh_io_memory(b->data, b->size, "fuzz");
    struct rh_reader *r = rh_reader_open_stream(rh_stream_io(io), o, NULL);
    struct rh_piece piece;
    uint64_t sum = 0;
    int more = -1;
    bool good = true;

    rh_io_unref(io);
    while (r && good && (more = r->format->next(r, &piece, NULL)) == 0) {
        uint8_t *plain = malloc(piece.length);
        size_t n = piece.length;

        if (piece.packed)
            good =
                rh_inflate_zlib(codec, piece.packed, piece.packed_size, plain,
                                piece.length, &n, NULL) == RH_UNPACK_OK &&
                n == piece.length;
        else
            memcpy(plain, piece.plain, n);
        if (good)
            sum ^= mix(piece.offset, plain, n);
        free(plain);
    }
    rh_reader_close(r);
    *ret = sum;
    return r && good && more == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rh_lib lib;
    const char *mark = memmem(data, size, "\n----\n", 6);
    struct bytes first = {
        data, mark ? (size_t)((const uint8_t *)mark - data) + 1 : size};
    struct bytes second = {data + first.size + (mark ? 5 : 0),
                           size - first.size - (mark ? 5 : 0)};
    struct rh_place place = {&place_ops, NULL, mark ? &second : &first};
    struct rh_open_options o = {.lib = &lib, .place = &place};
    struct rh_codec *codec = rh_codec_new();
    struct rh_io *io = rh_io_memory(first.data, first.size, "fuzz");
    struct rh_reader *r;
    uint64_t sought = 0, streamed = 0;

    lib.threads = 1;
    /* Room for the tables of the largest disk takes its time. */
    lib.max_disk_size = size % 16 ? 64 * RH_GIB : 64 * RH_TIB;
    r = rh_reader_open(io, "vmdk", &o, NULL);
    if (r) {
        bool whole = walk(r, codec, &sought);

        if (whole && r->compressed && !r->parent &&
            forward(&first, &o, codec, &streamed) && streamed != sought)
            abort();
        if (whole)
            r->format->check(r, codec, NULL);
    }
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    return 0;
}
