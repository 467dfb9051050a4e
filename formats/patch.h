/* patch.h - a disk of ours that is written again in place: a later pass.
 *
 * A patch changes ranges of a raw, qcow2 or VHD file that our own writers made
 * (formats/NAME/patch.c).  What it promises when it dies in the middle, or the
 * machine does: the file opens again, every byte outside the ranges that were
 * being written is what it was, and writing these ranges once more makes the
 * disk right.  So who patches keeps a list of them (convert/warm/), or reads
 * the whole source again.  Data that is new goes behind the file's end, then
 * onto the medium, then into the tables.
 *
 * One thread at a time. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_PATCH_H
#define RH_FORMATS_PATCH_H

#include "formats/format.h"

struct rh_patch;
/* Offsets and sizes are in bytes of the virtual disk, inside it. */
struct rh_patch_ops {
    /* Check the file (p->fd), mend what an interrupted patch left, fill size,
     * grain and state.  On failure close() is called. */
    int (*open)(struct rh_patch *p, rh_error **err);
    int (*read)(struct rh_patch *p, void *buf, size_t n, uint64_t offset,
                rh_error **err);
    int (*write)(struct rh_patch *p, const void *buf, size_t n, uint64_t offset,
                 rh_error **err);
    int (*zero)(struct rh_patch *p, uint64_t n, uint64_t offset,
                rh_error **err);
    /* Data, then tables: on the medium afterwards. */
    int (*flush)(struct rh_patch *p, rh_error **err);
    /* flush, and the file is whole for every reader. */
    int (*finish)(struct rh_patch *p, rh_error **err);
    void (*close)(struct rh_patch *p); /* frees state; NULL is fine */
};

struct rh_patch {
    const struct rh_patch_ops *ops;
    rh_lib *lib;
    int fd; /* read and write */
    char *name;
    uint64_t size;    /* of the virtual disk */
    uint64_t file;    /* bytes of the file when it was opened */
    uint32_t grain;   /* where zeros are looked for, bytes */
    uint64_t written; /* bytes of data that went into the file */
    void *state;
};

/* Can disks of that format be patched? */
bool rh_patch_possible(const char *format);
/* A new disk of zeros to be patched, as our writer makes one; `size` becomes
 * whole sectors.  FILE_WRITE when the name is taken. */
int rh_patch_create(rh_lib *lib, int dirfd, const char *name,
                    const char *format, uint64_t size, uint32_t cluster_size,
                    rh_error **err);
/* DIR/name of that format.  FILE_TYPE or an error of the format's when it is
 * none that our writers made. */
struct rh_patch *rh_patch_open(rh_lib *lib, int dirfd, const char *name,
                               const char *format, rh_error **err);
int rh_patch_read(struct rh_patch *p, void *buf, size_t n, uint64_t offset,
                  rh_error **err);
/* Runs of zeros become holes or zero clusters. */
int rh_patch_write(struct rh_patch *p, const void *buf, size_t n,
                   uint64_t offset, rh_error **err);
int rh_patch_zero(struct rh_patch *p, uint64_t n, uint64_t offset,
                  rh_error **err);
int rh_patch_flush(struct rh_patch *p, rh_error **err);
/* The file is whole.  Afterwards only rh_patch_close(). */
int rh_patch_finish(struct rh_patch *p, rh_error **err);
/* Without finish: as if the program had died. */
void rh_patch_close(struct rh_patch *p);
RH_FREEP(rh_patch_closep, struct rh_patch, rh_patch_close)

/* --- for the formats: the file itself
 * --------------------------------------- */
int rh_patch_pread(struct rh_patch *p, void *buf, size_t n, uint64_t at,
                   rh_error **err); /* zeros behind the file's end */
int rh_patch_pwrite(struct rh_patch *p, const void *buf, size_t n, uint64_t at,
                    rh_error **err);
/* [at, at + n) of the file reads as zeros: a hole where that can be had. */
int rh_patch_punch(struct rh_patch *p, uint64_t n, uint64_t at, rh_error **err);
int rh_patch_sync(struct rh_patch *p, rh_error **err);
int rh_patch_length(struct rh_patch *p, uint64_t size, rh_error **err);

#endif
