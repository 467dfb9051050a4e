/* tar.h - a tar read in place: its members are slices of the file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_TAR_H
#define RH_PACKAGE_TAR_H

#include "base/io.h"
#include "package/archive.h"

enum { RH_TAR_BLOCK = 512 };

/* Does this block look like a member's header (its checksum is right)? */
bool rh_tar_probe(const void *block);
/* Read the index; `io` is referenced. */
struct rh_place *rh_tar_open(rh_lib *lib, struct rh_io *io,
                             struct rh_archive_about *ret_about,
                             rh_error **err);

#endif
