/* nbd_server.h - the overlays as NBD exports on unix sockets, for the
 * appliance.  One disk, one socket; one thread per connection. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_NBD_SERVER_H
#define RH_GUESTFIX_BACKENDS_NBD_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "formats/format.h"

struct rh_nbd_server;

/* Sockets in a private folder below lib's temporary one.  When the user
 * cancels, the processes that are connected are killed: nothing else ends the
 * launch of an appliance, and they only ever see overlays that are thrown away
 * then. */
struct rh_nbd_server *rh_nbd_serve(struct rh_reader **overlays, size_t count,
                                   bool read_only, rh_lib *lib, rh_error **err);
/* The private folder; it goes with the server, whatever is in it. */
const char *rh_nbd_folder(const struct rh_nbd_server *s);
const char *rh_nbd_socket(const struct rh_nbd_server *s, size_t disk);
/* The first failure of reading or writing a disk, taken; NULL: none.  The
 * appliance itself sees an input/output error only. */
rh_error *rh_nbd_failure(struct rh_nbd_server *s);
/* Something that was to be written was not: whoever wrote may not have heard
 * it, because a kernel writes later. */
bool rh_nbd_has_lost(struct rh_nbd_server *s);
/* While *calls is not 0 the appliance owes an answer to the latest of so many
 * calls.  When it has asked for nothing for `quiet` seconds, or has not
 * answered for `longest`, it is killed, which is a failure then.  Time in which
 * this process is stopped does not count. */
void rh_nbd_watch(struct rh_nbd_server *s, const atomic_uint *calls,
                  unsigned quiet, unsigned longest);
/* Held while an overlay is read or written. */
pthread_mutex_t *rh_nbd_lock(struct rh_nbd_server *s);
void rh_nbd_stop(struct rh_nbd_server *s);

#endif
