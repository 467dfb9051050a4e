/* codec.c - whole-unit inflate and deflate; see codec.h.
 *
 * libdeflate does the inflating when it is built in (2.5 times zlib's speed on
 * 64 KiB grains); zlib is the fallback, with one stream per worker that is
 * reset, not made anew.  ISA-L compresses for qcow2, whose readers ask for
 * distances within 4 KiB; zlib with window bits 12 is its fallback. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/codec.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

enum { SLOTS = 4 };

struct rh_codec {
#ifdef HAVE_LIBDEFLATE
    struct libdeflate_decompressor *inflater;
#else
    z_stream inflate_zlib, inflate_raw;
    bool zlib_ready, raw_ready;
#endif
#ifdef HAVE_ISAL
    struct isal_zstream *isal;
    uint8_t *isal_level;
#else
    z_stream deflate;
    bool deflate_ready;
#endif
    ZSTD_DCtx *unzstd;
    ZSTD_CCtx *zstd;
    struct {
        void *bytes;
        size_t size;
    } scratch[SLOTS];
};

struct rh_codec *rh_codec_new(void)
{
    return rh_new0(struct rh_codec);
}

static void free_inflate(struct rh_codec *c)
{
#ifdef HAVE_LIBDEFLATE
    if (c->inflater)
        libdeflate_free_decompressor(c->inflater);
#else
    if (c->zlib_ready)
        inflateEnd(&c->inflate_zlib);
    if (c->raw_ready)
        inflateEnd(&c->inflate_raw);
#endif
}

void rh_codec_free(struct rh_codec *c)
{
    if (!c)
        return;
    free_inflate(c);
#ifdef HAVE_ISAL
    free(c->isal);
    free(c->isal_level);
#else
    if (c->deflate_ready)
        deflateEnd(&c->deflate);
#endif
    ZSTD_freeDCtx(c->unzstd);
    ZSTD_freeCCtx(c->zstd);
    for (size_t i = 0; i < SLOTS; i++)
        free(c->scratch[i].bytes);
    free(c);
}

void *rh_codec_scratch(struct rh_codec *c, unsigned slot, size_t n,
                       rh_error **err)
{
    void *bytes;

    if (c->scratch[slot].size >= n)
        return c->scratch[slot].bytes;
    bytes = rh_alloc_big(n, err);
    if (!bytes)
        return NULL;
    free(c->scratch[slot].bytes);
    c->scratch[slot].bytes = bytes;
    c->scratch[slot].size = n;
    return bytes;
}

/* --- inflate
 * -------------------------------------------------------------------- */

#ifdef HAVE_LIBDEFLATE

static enum rh_unpack_result from_libdeflate(enum libdeflate_result result)
{
    if (result == LIBDEFLATE_SUCCESS)
        return RH_UNPACK_OK;
    return result == LIBDEFLATE_INSUFFICIENT_SPACE ? RH_UNPACK_LONGER
                                                   : RH_UNPACK_DAMAGED;
}

static struct libdeflate_decompressor *inflater(struct rh_codec *c)
{
    if (!c->inflater)
        c->inflater = libdeflate_alloc_decompressor();
    return c->inflater;
}

enum rh_unpack_result rh_inflate_zlib(struct rh_codec *c, const void *in,
                                      size_t n, void *out, size_t room,
                                      size_t *ret_n, size_t *ret_used)
{
    size_t used = 0;

    if (!inflater(c))
        return RH_UNPACK_DAMAGED;
    *ret_n = 0;
    return from_libdeflate(libdeflate_zlib_decompress_ex(
        c->inflater, in, n, out, room, ret_used ? ret_used : &used, ret_n));
}

enum rh_unpack_result rh_inflate_raw(struct rh_codec *c, const void *in,
                                     size_t n, void *out, size_t room,
                                     size_t *ret_n, size_t *ret_used)
{
    size_t used = 0;

    if (!inflater(c))
        return RH_UNPACK_DAMAGED;
    *ret_n = 0;
    return from_libdeflate(libdeflate_deflate_decompress_ex(
        c->inflater, in, n, out, room, ret_used ? ret_used : &used, ret_n));
}

#else

static enum rh_unpack_result run_zlib(z_stream *z, bool *ready, int bits,
                                      const void *in, size_t n, void *out,
                                      size_t room, size_t *ret_n,
                                      size_t *ret_used)
{
    int result;

    if (n > UINT32_MAX || room > UINT32_MAX)
        return RH_UNPACK_DAMAGED;
    result = *ready ? inflateReset(z) : inflateInit2(z, bits);
    if (result != Z_OK)
        return RH_UNPACK_DAMAGED;
    *ready = true;
    z->next_in = (Bytef *)(uintptr_t)in;
    z->avail_in = (uInt)n;
    z->next_out = out;
    z->avail_out = (uInt)room;
    result = inflate(z, Z_FINISH);
    *ret_n = room - z->avail_out;
    if (ret_used)
        *ret_used = n - z->avail_in;
    if (result == Z_STREAM_END)
        return RH_UNPACK_OK;
    return z->avail_out == 0 && result != Z_DATA_ERROR ? RH_UNPACK_LONGER
                                                       : RH_UNPACK_DAMAGED;
}

enum rh_unpack_result rh_inflate_zlib(struct rh_codec *c, const void *in,
                                      size_t n, void *out, size_t room,
                                      size_t *ret_n, size_t *ret_used)
{
    return run_zlib(&c->inflate_zlib, &c->zlib_ready, 15, in, n, out, room,
                    ret_n, ret_used);
}

enum rh_unpack_result rh_inflate_raw(struct rh_codec *c, const void *in,
                                     size_t n, void *out, size_t room,
                                     size_t *ret_n, size_t *ret_used)
{
    return run_zlib(&c->inflate_raw, &c->raw_ready, -15, in, n, out, room,
                    ret_n, ret_used);
}

#endif

enum rh_unpack_result rh_unzstd(struct rh_codec *c, const void *in, size_t n,
                                void *out, size_t room, size_t *ret_n)
{
    size_t frame = ZSTD_findFrameCompressedSize(in, n);
    size_t got;

    if (ZSTD_isError(frame))
        return RH_UNPACK_DAMAGED;
    if (!c->unzstd)
        c->unzstd = ZSTD_createDCtx();
    if (!c->unzstd)
        return RH_UNPACK_DAMAGED;
    got = ZSTD_decompressDCtx(c->unzstd, out, room, in, frame);
    if (ZSTD_isError(got))
        return ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall
                   ? RH_UNPACK_LONGER
                   : RH_UNPACK_DAMAGED;
    *ret_n = got;
    return RH_UNPACK_OK;
}

/* --- deflate
 * ----------------------------------------------------------------------- */

#ifdef HAVE_ISAL

size_t rh_deflate_4k(struct rh_codec *c, const void *in, size_t n, void *out,
                     size_t room)
{
    if (n > UINT32_MAX || room > UINT32_MAX)
        return 0;
    if (!c->isal) {
        c->isal = rh_new0(struct isal_zstream);
        c->isal_level = rh_malloc(ISAL_DEF_LVL1_DEFAULT);
    }
    isal_deflate_stateless_init(c->isal);
    c->isal->end_of_stream = 1;
    c->isal->flush = NO_FLUSH;
    c->isal->level = 1;
    c->isal->level_buf = c->isal_level;
    c->isal->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    c->isal->hist_bits = 12;
    c->isal->next_in = (uint8_t *)(uintptr_t)in;
    c->isal->avail_in = (uint32_t)n;
    c->isal->next_out = out;
    c->isal->avail_out = (uint32_t)room;
    if (isal_deflate_stateless(c->isal) != COMP_OK || c->isal->avail_in)
        return 0;
    return room - c->isal->avail_out;
}

#else

size_t rh_deflate_4k(struct rh_codec *c, const void *in, size_t n, void *out,
                     size_t room)
{
    int result = c->deflate_ready ? deflateReset(&c->deflate)
                                  : deflateInit2(&c->deflate, 1, Z_DEFLATED,
                                                 -12, 9, Z_DEFAULT_STRATEGY);

    if (result != Z_OK || n > UINT32_MAX || room > UINT32_MAX)
        return 0;
    c->deflate_ready = true;
    c->deflate.next_in = (Bytef *)(uintptr_t)in;
    c->deflate.avail_in = (uInt)n;
    c->deflate.next_out = out;
    c->deflate.avail_out = (uInt)room;
    if (deflate(&c->deflate, Z_FINISH) != Z_STREAM_END)
        return 0;
    return room - c->deflate.avail_out;
}

#endif

/* A hash table of 16 KiB stays in the processor's first cache, and matches from
 * five bytes on make up for its size: on a Debian root disk 4 % faster than
 * plain level 1, and 0.7 % smaller. */
static ZSTD_CCtx *compressor(struct rh_codec *c)
{
    if (c->zstd)
        return c->zstd;
    c->zstd = ZSTD_createCCtx();
    if (!c->zstd)
        return NULL;
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_hashLog, 12);
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_minMatch, 5);
    return c->zstd;
}

size_t rh_zstd_frame_size(const void *in, size_t n)
{
    size_t size = ZSTD_findFrameCompressedSize(in, n);

    return ZSTD_isError(size) ? 0 : size;
}

size_t rh_zstd(struct rh_codec *c, const void *in, size_t n, void *out,
               size_t room)
{
    size_t size;

    if (!compressor(c))
        return 0;
    size = ZSTD_compress2(c->zstd, out, room, in, n);
    return ZSTD_isError(size) ? 0 : size;
}

const char *rh_codec_about(void)
{
    return ""
#ifdef HAVE_LIBDEFLATE
           "libdeflate " LIBDEFLATE_VERSION_STRING ", "
#endif
#ifdef HAVE_ISAL
           "ISA-L, "
#endif
           "zlib " ZLIB_VERSION ", zstd " ZSTD_VERSION_STRING;
}
