/* local.h - deliveries on the hypervisor's own machine: its programs, and disks
 * written straight into volumes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LOCAL_LOCAL_H
#define RH_DELIVER_LOCAL_LOCAL_H

#include <jansson.h>

#include "base/http.h"
#include "base/io.h"
#include "base/lib.h"

/* Run a program (found in PATH, argv ended by NULL) with nothing on its
 * standard input: what it printed, NUL-terminated, to be freed; at most 1 MiB.
 * On a status that is not 0: DELIVERY_FAILED with its last words.  A cancel
 * ends it. */
char *rh_program_run(rh_lib *lib, const char *const *argv, rh_error **err);
/* Is it there? */
bool rh_program_there(const char *name);

/* The calling process gains no rights any more, and puts nothing into the
 * terminal's input, which root reads. */
int rh_local_leave_terminal(rh_error **err);

/* A child is nobody from here on, where we are root, and has no descriptors but
 * these (at most 8) and the first three. */
int rh_local_drop_rights(const int *keep, size_t count, rh_error **err);

/* A stranger's document, taken apart by such a child: only its tree comes
 * here.  BOOT_RESULT when it is no JSON. */
json_t *rh_local_json(rh_lib *lib, struct rh_io *io, rh_error **err);
/* The tree of what the child says; NULL: that is none. */
json_t *rh_local_json_tree(const void *bytes, size_t n);

/* How zeros of the disk are kept in a volume. */
enum rh_local_zeros {
    RH_LOCAL_SKIP, /* a new volume reads as zeros there */
    RH_LOCAL_WRITE /* it may hold what others have left */
};
/* Write a disk (a file of any format that we read; NULL: by content) into a
 * volume, a device or a file that is there, of at least its size.
 *
 * A child does it: it holds these two descriptors and no others, and, where we
 * are root, it is nobody; so what reads a stranger's disk has no rights.
 * *ret_bytes: data that was written. */
int rh_local_write(rh_lib *lib, struct rh_io *disk, const char *format,
                   const char *path, enum rh_local_zeros zeros,
                   uint64_t *ret_bytes, rh_error **err);

/* What a device has or has not as a whole: a thin volume's block; 0: not known.
 */
struct stat;
uint64_t rh_local_block(const struct stat *st);

/* A volume's bytes, in order; nothing is made of them. */
int rh_local_read(rh_lib *lib, const char *path, rh_http_sink *sink, void *user,
                  rh_error **err);

#endif
