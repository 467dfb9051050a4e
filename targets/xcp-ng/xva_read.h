/* xva_read.h - the disks of a finished XVA, read back: for verifying. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_TARGETS_XCP_NG_XVA_READ_H
#define RH_TARGETS_XCP_NG_XVA_READ_H

#include "formats/format.h"

/* The archive itself, readable anywhere: `io`, or, when it is compressed, an
 * unpacked copy in an unlinked file.  The caller drops the reference. */
struct rh_io *rh_xva_plain(rh_lib *lib, struct rh_io *io, rh_error **err);
/* The i-th disk, in the archive's order; `io` is plain and referenced.
 * format->check() compares every chunk with its sum. */
struct rh_reader *rh_xva_disk(rh_lib *lib, struct rh_io *io, size_t i,
                              rh_error **err);
/* Both: the i-th disk of an archive, compressed or not. */
struct rh_reader *rh_xva_read(rh_lib *lib, struct rh_io *io, size_t i,
                              rh_error **err);

#endif
