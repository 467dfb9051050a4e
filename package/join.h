/* join.h - several files read as one, and a file of zeros. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_JOIN_H
#define RH_PACKAGE_JOIN_H

#include "base/io.h"

/* The parts one after the other; takes one reference of each, also when it
 * fails. */
struct rh_io *rh_io_join(struct rh_io **parts, size_t count, const char *name,
                         rh_error **err);
struct rh_io *rh_io_zeros(uint64_t size, const char *name);

#endif
