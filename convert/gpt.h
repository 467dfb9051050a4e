/* gpt.h - a disk's GPT, read, and written where it belongs now. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_GPT_H
#define RH_CONVERT_GPT_H

#include "formats/format.h"

enum { RH_GPT_HEADER = 512 };

struct rh_gpt {
    struct rh_reader *disk; /* an overlay: it is written to */
    uint32_t sector;        /* bytes */
    uint8_t header[RH_GPT_HEADER];
    uint8_t *entries;
    uint64_t bytes;       /* of entries */
    uint32_t each;        /* bytes of one entry */
    uint64_t first, last; /* usable sectors */
    uint64_t other;       /* the sector of the copy's header */
    uint64_t at;          /* the sector of the first table's entries */
};

bool rh_gpt_is(const uint8_t *header);
/* `g->disk`, `sector` and `header` are set; DISK_SECTORS when it is not sound.
 * The entries are the caller's to free, also after a failure. */
int rh_gpt_read(struct rh_gpt *g, struct rh_codec *codec, rh_error **err);
/* Write the table at the start and its copy, whose header is the disk's sector
 * `last`, both counting in g->sector. */
int rh_gpt_write(struct rh_gpt *g, uint64_t last, rh_error **err);
/* Zeros over whole bytes [from, to). */
int rh_gpt_blank(struct rh_gpt *g, uint64_t from, uint64_t to, rh_error **err);
int rh_gpt_unsound(const char *what, rh_error **err);

/* The overlay is a disk that became longer, from `before` bytes: its copy moves
 * to the new end.  *ret_moved is false when there is no GPT. */
int rh_gpt_move(struct rh_reader *overlay, uint64_t before, bool *ret_moved,
                rh_error **err);

#endif
