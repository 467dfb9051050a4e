/* source.h - where a SOURCE's bytes come from, and what they are.
 *
 * Schemes (schemes.c) are a table: a path, "-", a named pipe, http(s), nbd.
 * Each gives bytes that are read anywhere (an rh_io) or forward (an rh_stream),
 * or a folder.  What the bytes are is found by content (content.c).  Packages
 * (source.c) and lone disks (convert/disk_source.c) stand on both. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_SOURCE_SOURCE_H
#define RH_SOURCE_SOURCE_H

#include "package/descriptor.h"

/* --- bytes ------------------------------------------------------------------
 */
/* One of io, stream and folder is set. */
struct rh_bytes {
    struct rh_io *io;         /* read anywhere */
    struct rh_stream *stream; /* read forward, once */
    const char *folder;       /* a folder's path, borrowed */
    const char *path; /* of a file that others may lie beside; or NULL */
    char *name;       /* what to call a disk that has no file's name; or NULL */
    bool device;      /* a block device: plain bytes, if nothing is known */
    const char *ca_file; /* as given; borrowed */
    bool plain; /* a disk as the guest sees it, whatever it starts with */
};
void rh_bytes_free(struct rh_bytes *b); /* also for RH_AUTO */

struct rh_scheme {
    const char *name; /* "http", for messages */
    /* Is it one of this kind? */
    bool (*probe)(const char *source);
    int (*open)(rh_lib *lib, const char *source, struct rh_bytes *ret,
                rh_error **err);
};
/* The i-th, in the order they are asked; NULL at the end. */
const struct rh_scheme *rh_scheme_at(size_t i);
/* `ca_file` (may be NULL): whom an NBD server has to be vouched for by.
 * An address whose scheme is in no row is USAGE. */
int rh_bytes_open(rh_lib *lib, const char *source, const char *ca_file,
                  struct rh_bytes *ret, rh_error **err);

/* --- content ----------------------------------------------------------------
 */
enum { RH_HEAD = 4096 };
struct rh_head {
    uint8_t bytes[RH_HEAD + 1]; /* a NUL follows them */
    size_t n;
};
enum rh_content {
    RH_CONTENT_UNKNOWN,
    RH_CONTENT_TAR,
    RH_CONTENT_ZIP,
    RH_CONTENT_DISK,
    RH_CONTENT_DESCRIPTOR
};
/* By the first bytes alone; *ret_descriptor (may be NULL) is its kind. */
enum rh_content rh_content_of(const struct rh_head *h,
                              const struct rh_descriptor **ret_descriptor);
int rh_head_read(struct rh_io *io, struct rh_head *ret, rh_error **err);
/* Takes `s`; gives it back with its first bytes still to come. */
struct rh_stream *rh_head_peek(struct rh_stream *s, struct rh_head *ret,
                               rh_error **err);
/* PACKAGE_UNKNOWN, with what it is instead where that can be told. */
int rh_content_refuse(const char *name, const struct rh_head *h,
                      rh_error **err);

#endif
