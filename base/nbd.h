/* nbd.h - an export of an NBD server, to read from or to write into.
 *
 * An address is nbd://HOST[:PORT]/EXPORT, nbds:// (TLS), nbd+unix:/// or
 * nbds+unix:/// with ?socket=PATH; what else may follow the '?' is libnbd's:
 * tls-certificates=FOLDER, tls-psk-file=FILE.  An export is a disk's plain
 * bytes, whatever they start with.
 *
 * Nothing of what the server says is believed: sizes, blocks and extents are
 * checked, a server that falls silent is given up, and every wait hears the
 * user's cancel. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_NBD_H
#define RH_BASE_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "base/lib.h"
#include "base/out.h"

bool rh_is_nbd(const char *name); /* one of the schemes above */
/* What to call the disk: its export, else its socket or host without ending or
 * port; the caller frees. */
char *rh_nbd_disk_name(const char *uri);

/* To read from, at any offset and from any thread: over several connections
 * where the server allows it, holes as the server tells them.  A broken
 * connection is made anew.  `ca_file` (NULL: the system's) holds whom to
 * believe where the address says TLS and nothing more. */
struct rh_io *rh_nbd_io(rh_lib *lib, const char *uri, const char *ca_file,
                        rh_error **err);

/* To write into, `size` bytes of it; what lies behind them becomes zeros, as
 * does all that is not written.  An export that starts with something is
 * FILE_EXISTS unless `replace`.  Where the server can make zeros at once the
 * sink is seekable; else it takes bytes in their order.  `ca_file`: see above.
 */
struct rh_out *rh_nbd_out(rh_lib *lib, const char *uri, const char *ca_file,
                          uint64_t size, bool replace, rh_error **err);

/* --- for nbd_io.c and nbd_out.c --------------------------------------------
 */
struct rh_nbd;
enum rh_nbd_use { RH_NBD_READ, RH_NBD_WRITE };
struct rh_nbd *rh_nbd_open(rh_lib *lib, const char *uri, const char *ca_file,
                           enum rh_nbd_use use, rh_error **err);
void rh_nbd_close(struct rh_nbd *n);
RH_FREEP(rh_nbd_closep, struct rh_nbd, rh_nbd_close)

const char *rh_nbd_name(const struct rh_nbd *n); /* for messages */
uint64_t rh_nbd_size(const struct rh_nbd *n);    /* bytes */
bool rh_nbd_can_zero(const struct rh_nbd *n);

/* All from any thread.  Ranges must lie within the size. */
int rh_nbd_read(struct rh_nbd *n, void *buf, size_t size, uint64_t offset,
                rh_error **err);
int rh_nbd_write(struct rh_nbd *n, const void *buf, size_t size,
                 uint64_t offset, rh_error **err);
/* `fast`: only if that is quicker than writing; *ret_slow when it is not. */
int rh_nbd_zero(struct rh_nbd *n, uint64_t size, uint64_t offset, bool fast,
                bool *ret_slow, rh_error **err);
/* Everything written is on the medium, as far as the server can do that. */
int rh_nbd_flush(struct rh_nbd *n, rh_error **err);
/* The first byte at or after `offset` that is not told to be zero, and the end
 * of that run; as rh_io_data_after(). */
int rh_nbd_data_after(struct rh_nbd *n, uint64_t offset, uint64_t *ret_start,
                      uint64_t *ret_end, rh_error **err);

#endif
