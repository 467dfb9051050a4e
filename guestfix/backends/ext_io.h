/* ext_io.h - libext2fs's blocks come from a volume of the overlay. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_EXT_IO_H
#define RH_GUESTFIX_BACKENDS_EXT_IO_H

#include <ext2fs/ext2fs.h>

#include "volumes/disks.h"

struct rh_ext_io {
    struct rh_disks *disks;
    const struct rh_volume *volume;
    /* A hostile tree of extents has no end: reads of one operation, of all. */
    uint64_t reads, reads_max, all_reads, all_max;
    rh_error *failure; /* of the last read or write */
};

/* `io` must live as long as *ret_fs. */
errcode_t rh_ext_open_io(struct rh_ext_io *io, ext2_filsys *ret_fs);
const char *rh_ext_message(errcode_t code); /* static */

#endif
