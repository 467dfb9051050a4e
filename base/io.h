/* io.h - bytes to read: a file, a slice of it, memory, an http resource.
 *
 * An rh_io has a size and reads at any offset, from any thread.  An rh_stream
 * is only read forward (pipe, decompressor, download); rh_spool() turns one
 * into the other.  An rh_place is a folder of named rh_io: the files beside a
 * descriptor, or the members of an archive; names are single path components
 * or, where the place has folders, clean relative paths: nothing outside can
 * be named. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_IO_H
#define RH_BASE_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/lib.h"

/* --- random access ----------------------------------------------------------
 */
struct rh_io;
struct rh_io_ops {
    /* Read exactly n bytes; offset + n <= size is already checked. */
    int (*read)(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                rh_error **err);
    /* Optional.  First byte at or after `offset` that is data (not a hole) and
     * the end of that data; *ret_start == size when there is none. */
    int (*data_after)(struct rh_io *io, uint64_t offset, uint64_t *ret_start,
                      uint64_t *ret_end, rh_error **err);
    void (*close)(struct rh_io *io); /* frees state, not io itself */
};
struct rh_io {
    const struct rh_io_ops *ops;
    char *name;    /* for messages: "web01.ova: disk1.vmdk" */
    uint64_t size; /* bytes */
    unsigned refs;
    void *state;
    int fd;             /* a plain file's descriptor, else -1 */
    uint64_t fd_offset; /* where this io starts in fd */
    bool loose; /* of a server that does not say when it changes: what is read
                   twice need not be the same */
    bool alike; /* a folder gave it for a name that is only like its own: to be
                   told */
    atomic_uint_least64_t high_water; /* how far it has been read (a hint) */
};

/* Reads past the end fail with FILE_SHORT. Thread-safe. */
int rh_io_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
               rh_error **err);
int rh_io_data_after(struct rh_io *io, uint64_t offset, uint64_t *ret_start,
                     uint64_t *ret_end, rh_error **err);
struct rh_io *rh_io_ref(struct rh_io *io); /* not thread-safe */
void rh_io_unref(struct rh_io *io);
RH_FREEP(rh_io_unrefp, struct rh_io, rh_io_unref)

/* Make one from parts (for implementers); takes `state`, copies `name`. */
struct rh_io *rh_io_make(const struct rh_io_ops *ops, const char *name,
                         uint64_t size, void *state);
/* A regular file (block devices only with RH_IO_DEVICE), never followed when
 * it is a symbolic link below dirfd and flag RH_IO_NOFOLLOW is given. */
enum { RH_IO_NOFOLLOW = 1, RH_IO_DEVICE = 2 };
struct rh_io *rh_io_file_at(int dirfd, const char *path, unsigned flags,
                            rh_error **err);
struct rh_io *rh_io_fd(int fd, const char *name, rh_error **err); /* takes fd */
/* Bytes [offset, offset+size) of another; holds a reference to it. */
struct rh_io *rh_io_slice(struct rh_io *base, uint64_t offset, uint64_t size,
                          const char *name, rh_error **err);
struct rh_io *rh_io_memory(const void *bytes, size_t size, const char *name);
/* An http(s) resource read by ranges (libcurl); a server without ranges is
 * read once into a spool.  UNAVAILABLE without libcurl. */
struct rh_io *rh_io_http(rh_lib *lib, const char *url, rh_error **err);
/* The whole of it as a NUL-terminated string; refused beyond `limit`. */
int rh_io_slurp(struct rh_io *io, uint64_t limit, char **ret_text,
                size_t *ret_size, rh_error **err);

/* --- forward only
 * -------------------------------------------------------------- */
struct rh_stream;
struct rh_stream_ops {
    /* Up to n bytes; *ret_n == 0 is the end. */
    int (*read)(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                rh_error **err);
    void (*close)(struct rh_stream *s);
};
struct rh_stream {
    const struct rh_stream_ops *ops;
    char *name;
    uint64_t position; /* bytes delivered so far */
    rh_lib *lib;       /* who may cancel: each read asks; NULL: nobody */
    void *state;
};
struct rh_stream *rh_stream_make(const struct rh_stream_ops *ops,
                                 const char *name, void *state);
/* One that gives what it makes of `from`: its name, its lib. */
struct rh_stream *rh_stream_over(const struct rh_stream_ops *ops,
                                 const struct rh_stream *from, void *state);
int rh_stream_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                   rh_error **err);
/* Exactly n bytes, or FILE_SHORT. */
int rh_stream_fill(struct rh_stream *s, void *buf, size_t n, rh_error **err);
int rh_stream_skip(struct rh_stream *s, uint64_t n, rh_error **err);
void rh_stream_close(struct rh_stream *s);
RH_FREEP(rh_stream_closep, struct rh_stream, rh_stream_close)
/* Of a pipe, a terminal, a socket; takes fd. */
struct rh_stream *rh_stream_fd(rh_lib *lib, int fd, const char *name);
struct rh_stream *rh_stream_io(struct rh_io *io); /* refs io; from its start */
/* An http(s) resource: *ret_io when the server has ranges, else *ret_stream:
 * it is sent once, from front to back. */
int rh_http_open(rh_lib *lib, const char *url, struct rh_io **ret_io,
                 struct rh_stream **ret_stream, rh_error **err);
bool rh_is_url(const char *name); /* http:// or https:// */
/* The same stream again with `n` bytes put back in front. Takes `rest`. */
struct rh_stream *rh_stream_prefix(const void *bytes, size_t n,
                                   struct rh_stream *rest);
/* Decompress by magic: gzip, xz, zstd, bzip2 through libarchive's or the
 * libraries' stream readers.  Takes `from`.  *ret_codec (may be NULL) is the
 * codec's name or NULL when it was plain. */
struct rh_stream *rh_stream_unpack(struct rh_stream *from,
                                   const char **ret_codec, rh_error **err);
/* Copy all that is left (at most `limit` bytes) into an unlinked temporary
 * file (zero runs become holes), and read that. */
struct rh_io *rh_spool(rh_lib *lib, struct rh_stream *s, uint64_t limit,
                       rh_error **err);

/* --- a folder of named files
 * ---------------------------------------------------- */
struct rh_place;
struct rh_place_ops {
    /* NULL with FILE_NOT_FOUND when there is no such name, with FILE_ALIKE
     * when several are like it. */
    struct rh_io *(*open)(struct rh_place *p, const char *name, rh_error **err);
    /* The i-th name (borrowed), NULL at the end. */
    const char *(*name)(struct rh_place *p, size_t i);
    void (*close)(struct rh_place *p);
};
struct rh_place {
    const struct rh_place_ops *ops;
    char *name;
    void *state;
};
/* Refuses empty, absolute, "..", NUL, control characters, ':' and '\\' with
 * NAME_UNSAFE before the implementation sees the name. */
struct rh_io *rh_place_open(struct rh_place *p, const char *name,
                            rh_error **err);
const char *rh_place_name(struct rh_place *p, size_t i);
void rh_place_close(struct rh_place *p);
RH_FREEP(rh_place_closep, struct rh_place, rh_place_close)
/* A directory, opened once; files below it by openat without following links.
 */
struct rh_place *rh_place_folder(const char *path, rh_error **err);
int rh_check_name(const char *name, rh_error **err); /* the rule alone */

#endif
