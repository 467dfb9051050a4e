/* nbd_server.h - the overlays as NBD exports on unix sockets, for the
 * appliance.  One disk, one socket; one thread per connection. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_NBD_SERVER_H
#define RH_GUESTFIX_NBD_SERVER_H

#include "formats/format.h"

struct rh_nbd_server;

/* Sockets in a private folder below lib's temporary one.  `cancelled` is called
 * once, from a thread of the server, when the user cancels. */
struct rh_nbd_server *rh_nbd_serve(struct rh_reader **overlays, size_t count,
                                   bool read_only, rh_lib *lib,
                                   void (*cancelled)(void *user), void *user,
                                   rh_error **err);
const char *rh_nbd_socket(const struct rh_nbd_server *s, size_t disk);
/* The first failure of reading or writing a disk, taken; NULL: none.  The
 * appliance itself sees an input/output error only. */
rh_error *rh_nbd_failure(struct rh_nbd_server *s);
void rh_nbd_stop(struct rh_nbd_server *s);

#endif
