/* out.h - where results go: files that appear whole or not at all.
 *
 * rh_outdir makes a hidden folder under --out, and renames it to its name
 * once everything in it was written and fsync'ed.  rh_out is one sink of bytes
 * in it, or a pipe. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_OUT_H
#define RH_BASE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/lib.h"
#include "base/mem.h"

struct rh_out;
struct rh_out_ops {
    int (*write)(struct rh_out *o, const void *buf, size_t n, uint64_t offset,
                 rh_error **err); /* seekable: any thread, any order */
    /* Optional: pieces that follow each other in the sink, at most
     * RH_OUT_PIECES of them; spends `pieces`. */
    int (*gather)(struct rh_out *o, struct iovec *pieces, int count,
                  uint64_t offset, rh_error **err);
    /* Optional, see rh_out_clones and rh_out_clone. */
    uint64_t (*clones)(struct rh_out *o, int fd);
    bool (*clone)(struct rh_out *o, int fd, uint64_t from, uint64_t n,
                  uint64_t offset);
    int (*finish)(struct rh_out *o, uint64_t size, rh_error **err);
    void (*close)(struct rh_out *o);
};
enum { RH_OUT_PIECES = 64 };
struct rh_out {
    const struct rh_out_ops *ops;
    char *name;
    bool seekable;     /* false: offsets must follow each other without gaps */
    uint64_t position; /* of a sink that is not seekable */
    int fd;            /* of a plain file, else -1 */
    void *state;
};

struct rh_out *rh_out_make(const struct rh_out_ops *ops, const char *name,
                           bool seekable, void *state);
/* A new file (O_EXCL), sparse where nothing is written. */
struct rh_out *rh_out_file_at(int dirfd, const char *name, rh_error **err);
/* A pipe, a socket, a device, front to back; takes fd. */
struct rh_out *rh_out_fd(rh_lib *lib, int fd, const char *name);
/* Compress everything that passes into `to` (takes it): "zstd" or "gzip". */
struct rh_out *rh_out_pack(struct rh_out *to, const char *codec, int level,
                           unsigned threads, rh_error **err);
int rh_out_write(struct rh_out *o, const void *buf, size_t n, uint64_t offset,
                 rh_error **err);
/* The same for pieces of memory that follow each other there: spends them. */
int rh_out_gather(struct rh_out *o, struct iovec *pieces, int count,
                  uint64_t offset, rh_error **err);
/* It will have at least so many bytes, some of them holes.  Behind the end of
 * a file that grows, file systems keep blocks in store (XFS: up to megabytes),
 * which would stay in the holes.  If that is too long, rh_out_finish tells. */
void rh_out_expect(struct rh_out *o, uint64_t size);
/* Of which blocks can the sink share those of the plain file `fd`, copy on
 * write?  0: not at all.  It is tried out at the sink's end, so to be asked
 * before anybody writes. */
uint64_t rh_out_clones(struct rh_out *o, int fd);
/* Share them instead of writing the file's n bytes at `from`, all of them whole
 * blocks, of a file that it `clones`; any thread, any order.  False: they are
 * to be written. */
bool rh_out_clone(struct rh_out *o, int fd, uint64_t from, uint64_t n,
                  uint64_t offset);
/* Set the final size (sparse end) and fsync; the file stays open until
 * rh_out_close, which frees it (and leaves a failed file to its folder). */
int rh_out_finish(struct rh_out *o, uint64_t size, rh_error **err);
void rh_out_close(struct rh_out *o);
RH_FREEP(rh_out_closep, struct rh_out, rh_out_close)

/* --- a result folder ---------------------------------------------------------
 */
struct rh_outdir_file {
    char *name;
    uint64_t size;
    struct rh_out *out; /* open until the commit */
};
struct rh_outdir {
    char *path, *name;   /* DIR/NAME, the final one, and NAME */
    struct claim *claim; /* of the hidden folder's name, see outdir.c */
    int fd;              /* of the hidden folder */
    bool replace, made;  /* made: it is there, and not a result yet */
    RH_VEC(struct rh_outdir_file) files; /* by rh_outdir_put, in order */
};
/* Create DIR if it is missing, then the hidden folder.  FILE_EXISTS when the
 * result is already there and `replace` is false.  Hidden folders left by runs
 * that were killed, on any machine, are removed. */
struct rh_outdir *rh_outdir_new(const char *dir, const char *name, bool replace,
                                rh_error **err);
/* Free bytes where it lies; -1 when that can't be learned. */
int rh_outdir_space(const struct rh_outdir *d, uint64_t *ret_bytes);
/* May files in it share blocks with this one (btrfs, XFS)? */
bool rh_outdir_may_share(const struct rh_outdir *d, int fd);
/* A whole small file in it, fsync'ed by the commit. */
int rh_outdir_put(struct rh_outdir *d, const char *name, const void *bytes,
                  size_t n, bool executable, rh_error **err);
/* fsync all, rename (exchanging with the earlier result when replacing), fsync
 * the parent. */
int rh_outdir_commit(struct rh_outdir *d, rh_error **err);
/* A folder and all in it, or a file; at most eight levels, links are not
 * followed. */
void rh_remove_tree(int parent, const char *name);
/* Remove what was not committed, free. */
void rh_outdir_close(struct rh_outdir *d);
RH_FREEP(rh_outdir_closep, struct rh_outdir, rh_outdir_close)
/* The same for a single file (disk convert IN OUT): writes PATH's hidden
 * neighbour, renames at the end. */
struct rh_outfile;
struct rh_outfile *rh_outfile_new(const char *path, bool replace,
                                  struct rh_out **ret_out, rh_error **err);
int rh_outfile_commit(struct rh_outfile *f, rh_error **err);
void rh_outfile_close(struct rh_outfile *f);
RH_FREEP(rh_outfile_closep, struct rh_outfile, rh_outfile_close)

/* ftruncate() for which a limit of file lengths is an errno (EFBIG) and no
 * signal. */
int rh_set_length(int fd, uint64_t size);
/* Write all of buf at offset, with a clear error for a full disk. */
int rh_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset,
                  const char *name, rh_error **err);
/* NAME of a result: every character outside A-Z a-z 0-9 . _ - becomes '-', a
 * leading '.' or '-' becomes '_'; without a letter or digit it is "vm-" and 8
 * hex digits of the name's SHA-256.  The caller frees. */
char *rh_safe_name(const char *name);

#endif
