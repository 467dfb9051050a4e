/* forward.h - a disk in a compressed file that is read forward, nothing of it
 * being stored.
 *
 * That works for a streamOptimized VMDK without a parent whose file is packed
 * by a codec.  The digest that a manifest has of the file is taken from what
 * passes (a tee), so that the file is read once. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_FORWARD_H
#define RH_PACKAGE_FORWARD_H

#include "package/package.h"

struct rh_tee;
void rh_tee_free(struct rh_tee *t);
RH_FREEP(rh_tee_freep, struct rh_tee, rh_tee_free)
/* Read what is left of the file, and check its digest. */
int rh_tee_check(struct rh_tee *t, struct rh_package *p, rh_error **err);

/* Disk `disk` of VM `vm` for the copy: read by next(), once.  NULL when it is
 * none that can be read so, which is no error: rh_package_disk() opens it, and
 * says what is wrong.  *ret_tee (may be NULL) is NULL when there is no digest,
 * or when it is not to be had so; it must live as long as the reader reads. */
struct rh_reader *rh_package_disk_forward(struct rh_package *p, size_t vm,
                                          size_t disk, struct rh_tee **ret_tee);
/* The same disk for looking at a few sectors anywhere; a read that would take
 * too long is DISK_NOT_SEEKABLE. */
struct rh_reader *rh_package_disk_peek(struct rh_package *p, size_t vm,
                                       size_t disk);

/* peek.c: takes `from`; a stream that is not packed is an error. */
struct rh_reader *rh_forward_open(rh_lib *lib, struct rh_stream *from,
                                  rh_error **err);
/* Takes `walk`, which was opened over `packed` and stands at its start. */
struct rh_reader *rh_peek_open(struct rh_io *packed, struct rh_reader *walk);

#endif
