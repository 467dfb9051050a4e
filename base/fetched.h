/* fetched.h - bytes that have come from a server, kept for the next try.
 *
 * A conversion that is killed, or fails, would fetch everything again.  With
 * a folder to keep in (the setting "fetched-dir"), what a server sends is also
 * written into a sparse file there, and a journal beside it says which ranges
 * are whole, each with its digest.  The next try reads those from the file.
 *
 * The pair of files is named by what was fetched and by the state that it was
 * in (ETag or date, size; of a VM what its platform says): what has changed is
 * another pair, and the old one is removed.  Nothing is believed that its
 * digest does not vouch for, so nothing has to be synced in any order, and two
 * writers do no harm.  What can't be kept (a full disk, the limit) is not kept;
 * that is nobody's error. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_FETCHED_H
#define RH_BASE_FETCHED_H

#include "base/io.h"
#include "base/lib.h"

enum { RH_FETCHED_PIECE = 1024 * 1024 }; /* the most bytes of one record */

/* The settings.  The folder is made when bytes come; without one nothing is
 * kept.  `most`: bytes in all, those of earlier tries with them; 0: no limit.
 */
void rh_fetched_set_dir(rh_lib *lib, const char *dir);
void rh_fetched_set_most(rh_lib *lib, uint64_t most);
bool rh_fetched_wanted(rh_lib *lib);
/* Remove what this library has used: it is not needed any more. */
void rh_fetched_done(rh_lib *lib);
void rh_fetched_drop(rh_lib *lib); /* of the library's end; removes nothing */

struct rh_fetched;
/* NULL: nothing is kept, by the settings or because the folder can't be
 * written.  `what` names the resource; of an address without its log-in.
 * `state` differs when its bytes differ. */
struct rh_fetched *rh_fetched_open(rh_lib *lib, const char *what,
                                   const char *state, uint64_t size);
void rh_fetched_free(struct rh_fetched *f);
RH_FREEP(rh_fetched_freep, struct rh_fetched, rh_fetched_free)

/* Keep n bytes (at most a piece). */
void rh_fetched_put(struct rh_fetched *f, const void *bytes, size_t n,
                    uint64_t offset);
/* The kept range with the byte at `offset`: false, there is none. */
bool rh_fetched_find(struct rh_fetched *f, uint64_t offset, uint64_t *ret_start,
                     size_t *ret_length);
/* Read all of that range into `ret` (room for a piece), and say which it was:
 * another may have come since it was found.  False: there is none, or it is not
 * what it was, and is forgotten. */
bool rh_fetched_get(struct rh_fetched *f, uint64_t offset, void *ret,
                    uint64_t *ret_start, size_t *ret_length);
/* Where the first kept range begins that begins behind `offset`; the size when
 * there is none. */
uint64_t rh_fetched_next(struct rh_fetched *f, uint64_t offset);
/* The same stream, of which what passes is kept: it begins at the first byte.
 * Takes `from`; `f` must outlive it. */
struct rh_stream *rh_fetched_stream(struct rh_stream *from,
                                    struct rh_fetched *f);
/* All of it, to be read anywhere, when all is kept; else NULL.  Takes `f` when
 * it is not NULL. */
struct rh_io *rh_fetched_io(struct rh_fetched *f, const char *name);

#endif
