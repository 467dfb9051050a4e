/* copy.h - the one pass that moves a disk's bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_COPY_COPY_H
#define RH_CONVERT_COPY_COPY_H

#include "base/digest.h"
#include "formats/format.h"

/* A file whose digest is taken while its disk is copied. */
struct rh_copy_digest {
    struct rh_io *io; /* borrowed */
    const char *algorithm;
    char hex[RH_DIGEST_HEX]; /* filled by the copy */
};

/* Where the disk goes: one writer, and the view it shows of the source: the
 * source itself, or an overlay with a guest's edits over it. */
struct rh_copy_sink {
    struct rh_reader *view;
    struct rh_writer *writer;
    enum rh_compress compress;
    /* Is told of what is written beside the disk's own bytes (of all, where no
     * content digest is taken); NULL: not wanted. */
    struct rh_frame_sum *frame;
    /* Out. */
    rh_error *error;    /* it could not be written, the others were; or NULL;
                           the caller frees */
    char content[65];   /* content digest (see copy.c), "" when not taken */
    uint64_t file_size; /* of the result */
    uint64_t cloned;    /* bytes whose blocks it shares with the source */
};

struct rh_copy {
    rh_lib *lib;
    struct rh_reader *source; /* read once, for all sinks */
    struct rh_copy_sink *sinks;
    size_t sink_count;
    bool trusted;      /* with COMPRESS_KEEP: a digest proves packed bytes */
    bool want_content; /* take content digests */
    struct rh_copy_digest *digests;
    size_t digest_count;
    const char *stage;       /* of the progress; NULL: "copy" */
    uint64_t done_before;    /* of the progress: other disks' bytes */
    uint64_t total;          /* 0: this disk's own allocated bytes */
    char source_content[65]; /* out: content digest of the source, or "" */
    uint64_t data_bytes;     /* out: bytes of the source that were data */
};

/* Copy the whole disk: every data byte is read once, in order, by lib->threads
 * workers within lib->memory, and goes to every sink.  The writers' tables are
 * complete after it; the caller finishes each rh_out with sink->file_size.  A
 * sink that can't be written leaves the others alone: its `error` says so. With
 * no sink left, the copy fails. */
int rh_copy_run(struct rh_copy *c, rh_error **err);

/* The content digest (see copy.c) of bytes that come in order. */
struct rh_content;
struct rh_content *rh_content_new(uint64_t size);
void rh_content_add(struct rh_content *c, const void *bytes, size_t n);
/* Frees it; false: not all of the disk came. */
bool rh_content_end(struct rh_content *c, char ret_hex[65]);

/* Are two disks alike? */
struct rh_comparison {
    bool same;
    uint64_t offset;  /* the first byte that differs */
    char content[65]; /* content digest (see copy.c) of the second one, as far
                         as the first one reaches; of `same` disks only */
};
int rh_copy_compare(rh_lib *lib, struct rh_reader *a, struct rh_reader *b,
                    struct rh_comparison *ret, rh_error **err);

#endif
