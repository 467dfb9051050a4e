/* disk_source.h - where the bytes of a lone disk come from.
 *
 * A file is read anywhere; so is an address whose server has ranges.  A pipe, a
 * server without ranges and a compressed file are streams: a streamOptimized
 * VMDK in one is read forward, anything else is stored first.  What a forward
 * reader has read when it was opened is kept, so that as long as no grain was
 * taken from it the disk can still be stored, for what needs to seek. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_DISK_SOURCE_H
#define RH_CONVERT_DISK_SOURCE_H

#include <sys/stat.h>

#include "base/mem.h"
#include "formats/format.h"

struct rh_disk_source {
    rh_lib *lib;
    struct rh_place *place; /* the folder of the disk's file, or NULL */
    struct rh_reader *reader;
    RH_VEC(struct stat) read; /* files: the disk's, its extents, its parents */
    /* Of a forward reader, until it is stored. */
    struct rh_stream *stream; /* what it reads, beneath the tape */
    struct rh_tape *tape;     /* what has passed; NULL: its start is gone */
    bool gone;                /* its grains were taken: they come once */
    rh_error *failed;         /* why it could not be stored */
};

/* PATH is a file, a pipe, "-" or an address; NULL format: by content. */
int rh_disk_source_open(struct rh_disk_source *s, const char *path,
                        const char *format, rh_error **err);
bool rh_disk_source_forward(const struct rh_disk_source *s);
/* Make a forward one seekable; nothing to do for others.  One that failed fails
 * again.  By one thread at a time. */
int rh_disk_source_store(struct rh_disk_source *s, rh_error **err);
/* Its grains are about to be taken: what passes is no longer kept.  A forward
 * one gives them once only. */
int rh_disk_source_go(struct rh_disk_source *s, rh_error **err);
/* Is it one of the files that the disk is read from? */
bool rh_disk_source_reads(const struct rh_disk_source *s,
                          const struct stat *file);
void rh_disk_source_close(struct rh_disk_source *s);

#endif
