/* copy.h - the one pass that moves a disk's bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_COPY_H
#define RH_CONVERT_COPY_H

#include "base/digest.h"
#include "formats/format.h"

/* A file whose digest is taken while its disk is copied. */
struct rh_copy_digest {
    struct rh_io *io; /* borrowed */
    const char *algorithm;
    char hex[RH_DIGEST_HEX]; /* filled by the copy */
};

struct rh_copy {
    rh_lib *lib;
    struct rh_reader *source;
    struct rh_writer *writer;
    enum rh_compress compress;
    bool trusted; /* with COMPRESS_KEEP: a digest proves the packed bytes */
    struct rh_copy_digest *digests;
    size_t digest_count;
    const char *stage;      /* of the progress, "copy" */
    uint64_t done_before;   /* of the progress: other disks' bytes */
    uint64_t total;         /* 0: this disk's own allocated bytes */
    /* Out. */
    uint64_t data_bytes;    /* bytes of the source that were data */
    char content[65];       /* content digest (see copy.c), "" when kept */
    uint64_t file_size;     /* of the result */
};

/* Copy the whole disk: every data byte once, in order, by lib->threads
 * workers within lib->memory.  The writer's tables are complete after it; the
 * caller finishes the sink with c->file_size. */
int rh_copy_run(struct rh_copy *c, rh_error **err);

/* Are two disks alike?  *ret_offset is the first byte that differs. */
int rh_copy_compare(rh_lib *lib, struct rh_reader *a, struct rh_reader *b,
                    bool *ret_same, uint64_t *ret_offset, rh_error **err);

#endif
