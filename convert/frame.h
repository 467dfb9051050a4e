/* frame.h - what of a result's file is not the disk's own bytes.
 *
 * The content digest speaks of the bytes that a guest reads.  All else in the
 * file (headers, tables, bitmaps, padding, packed clusters whole) is the frame:
 * its digest and the content digest together leave no byte out.  XXH3, 128
 * bits: it is about damage and slips of hand, not about forgers.
 *
 * "2:HEX" is the sum over sectors of frame_sum.h; HEX alone, of receipts before
 * it, is one hash over the gaps between the disks' bytes, in the file's order:
 * over each 64 KiB step of them that is not zeros, its place, length and
 * bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_FRAME_H
#define RH_CONVERT_FRAME_H

#include "convert/frame_sum.h"
#include "formats/format.h"

/* The disks that lie in one file. */
struct rh_frame_disk {
    struct rh_reader *reader; /* of that very file */
    uint64_t size; /* bytes of the disk that the content digest speaks of */
};
/* Of a file and the `count` disks in it (0: all of it is frame).  ret_hex is ""
 * when the disks lie in too many pieces to say (no result of ours does). */
int rh_frame_digest(rh_lib *lib, struct rh_io *file,
                    const struct rh_frame_disk *disks, size_t count,
                    char ret_hex[RH_FRAME_HEX], rh_error **err);
/* Is it `hex`, of whichever kind that is? */
int rh_frame_check(rh_lib *lib, struct rh_io *file,
                   const struct rh_frame_disk *disks, size_t count,
                   const char *hex, bool *ret_same, rh_error **err);

#endif
