/* fill.h - volumes that are written by the process without rights. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LOCAL_FILL_H
#define RH_DELIVER_LOCAL_FILL_H

#include "deliver/local/broker.h"
#include "deliver/stage.h"

/* UNAVAILABLE where there is nobody with the rights. */
int rh_local_need_broker(const rh_lib *lib, rh_error **err);
/* All zeros, whatever others have left in it. */
int rh_local_empty(rh_lib *lib, int fd, const char *name, rh_error **err);
/* These ranges of the disk, ascending, into a volume that is the disk's but for
 * them; on the medium when it returns.  `thin`: of a pool that may give out
 * blocks with what others have left, so they are written whole.  What was
 * written is added to *ret_sent. */
int rh_local_put(rh_lib *lib, int fd, const char *name, bool thin,
                 struct rh_reader *disk, const struct rh_range *ranges,
                 size_t count, uint64_t *ret_sent, rh_error **err);

extern const struct rh_stager rh_local_stager;

#endif
