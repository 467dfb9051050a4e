/* frame_sum.h - the frame digest (frame.h) as a sum, taken while writing.
 *
 * Each sector of 512 bytes of the file, the disks' plain bytes in it taken as
 * zeros, adds the XXH3-128 of its place and its own XXH3-128; sectors of zeros
 * add nothing.  The order does not matter, so whoever writes can add what
 * passes, and nothing is read again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FRAME_SUM_H
#define RH_CONVERT_FRAME_SUM_H

#include "base/io.h"
#include "base/out.h"

enum { RH_FRAME_SECTOR = 512, RH_FRAME_HEX = 2 + 32 + 1 }; /* "2:" and hex */

/* 128 bits. */
struct rh_frame_total {
    uint64_t low, high;
};
/* One sector, at a multiple of its size. */
void rh_frame_sector(struct rh_frame_total *t, const uint8_t *sector,
                     uint64_t at);
void rh_frame_hex(const struct rh_frame_total *t, char ret_hex[RH_FRAME_HEX]);

struct rh_frame_sum;
struct rh_frame_sum *rh_frame_sum_new(void);
void rh_frame_sum_free(struct rh_frame_sum *s);
/* Bytes that are written there, once and for all.  Both from any thread. */
void rh_frame_sum_add(struct rh_frame_sum *s, const void *bytes, size_t n,
                      uint64_t at);
/* Bytes there may change again: they are read at the end. */
void rh_frame_sum_note(struct rh_frame_sum *s, uint64_t n, uint64_t at);
/* What was told to be frame is not all of it (or is no frame). */
void rh_frame_sum_spoil(struct rh_frame_sum *s);
/* The file is complete.  1: the sum can't tell, the file must be read. */
int rh_frame_sum_end(struct rh_frame_sum *s, rh_lib *lib, struct rh_io *file,
                     char ret_hex[RH_FRAME_HEX], rh_error **err);

/* A sink that passes all on to `to`, a seekable one (takes it).  What is
 * written is frame: noted, or added with `final`; what is gathered is left to
 * who gathers it (the copy). */
struct rh_out *rh_frame_sum_out(struct rh_frame_sum *s, struct rh_out *to,
                                bool final);

#endif
