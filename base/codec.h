/* codec.h - inflate and deflate of whole units, by the fastest library built
 * in: libdeflate, else zlib; zstd; ISA-L for qcow2's 4 KiB window.
 *
 * An rh_codec belongs to one worker thread; it keeps the libraries' state and
 * scratch memory, so that nothing is allocated per unit. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_CODEC_H
#define RH_BASE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct rh_codec;
struct rh_codec *rh_codec_new(void);
void rh_codec_free(struct rh_codec *c);
RH_FREEP(rh_codec_freep, struct rh_codec, rh_codec_free)

/* Scratch memory of at least n bytes (slot 0..3), kept and reused; NULL with
 * MEMORY when it can't be had. */
void *rh_codec_scratch(struct rh_codec *c, unsigned slot, size_t n,
                       rh_error **err);

enum rh_unpack_result {
    RH_UNPACK_OK,
    RH_UNPACK_DAMAGED, /* not a stream of that kind, or a wrong checksum */
    RH_UNPACK_LONGER,  /* inflates to more than `room` */
};
/* zlib stream (RFC 1950, Adler-32 checked) into at most `room` bytes; *ret_n
 * is what it gave, *ret_used (may be NULL) the bytes consumed. */
enum rh_unpack_result rh_inflate_zlib(struct rh_codec *c, const void *in,
                                      size_t n, void *out, size_t room,
                                      size_t *ret_n, size_t *ret_used);
/* Raw deflate (RFC 1951). */
enum rh_unpack_result rh_inflate_raw(struct rh_codec *c, const void *in,
                                     size_t n, void *out, size_t room,
                                     size_t *ret_n, size_t *ret_used);
/* One zstd frame; trailing bytes after it are left. */
enum rh_unpack_result rh_unzstd(struct rh_codec *c, const void *in, size_t n,
                                void *out, size_t room, size_t *ret_n);

/* Bytes of the zstd frame that begins here; 0: none does, or it is cut. */
size_t rh_zstd_frame_size(const void *in, size_t n);

/* Raw deflate with distances of at most 4 KiB, as qcow2 readers ask for; 0
 * when it does not get smaller than `room`. */
size_t rh_deflate_4k(struct rh_codec *c, const void *in, size_t n, void *out,
                     size_t room);
size_t rh_zstd(struct rh_codec *c, const void *in, size_t n, void *out,
               size_t room);

/* "libdeflate 1.14, zlib 1.2.13, zstd 1.5.4, ISA-L": for --version. */
const char *rh_codec_about(void);

#endif
