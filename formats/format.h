/* format.h - the contract of a disk format: how one is read and written.
 *
 * A driver is one folder, one const struct rh_format, and one line in
 * formats/registry.c.  Reading: open() validates everything once and keeps
 * decoded, bounded numbers; then extent() and read() may be called from any
 * number of threads.  Writing: the copy (convert/copy/copy.c) hands over units
 * in ascending order; encode() runs in parallel, place() in order decides where
 * bytes go, and the copy writes the pieces.  So the output is the same for any
 * number of threads, and positions are known without going back. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_FORMAT_H
#define RH_FORMATS_FORMAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/io.h"
#include "base/lib.h"
#include "base/out.h"

/* --- problems: what a sound reader still has to say about its file ---------
 */
/* Not errors: the disk reads; each becomes a finding.  `id` is a finding id of
 * report/findings.def ("VMDK-UNCLEAN"). */
struct rh_problem {
    char *id;
    char *message; /* translated, printable */
};
struct rh_problems {
    struct rh_problem *items;
    size_t count, room;
};

/* --- reading -----------------------------------------------------------------
 */
enum rh_extent_kind {
    RH_EXTENT_DATA, /* bytes are stored */
    RH_EXTENT_ZERO, /* reads as zeros, and says so */
    RH_EXTENT_HOLE, /* not allocated here: zeros, or the parent's */
};
struct rh_extent {
    uint64_t length; /* bytes from the asked offset, > 0 */
    enum rh_extent_kind kind;
};

struct rh_place_of_bytes {
    bool plain;
    uint64_t at;     /* in the file, where plain */
    uint64_t length; /* bytes from the asked offset on that are alike, > 0 */
};

struct rh_reader;
struct rh_writer;
struct rh_patch_ops;
struct rh_unit;

struct rh_open_options {
    rh_lib *lib;
    struct rh_place *place; /* where siblings and parents are; NULL: none */
    unsigned depth;         /* of the snapshot chain so far */
    bool ignore_parent;     /* describe only: do not open the parent */
    /* Bytes that the disks of a chain may still take to keep track of what was
     * met; a child hands its own to the parent (NULL: a driver's own). */
    atomic_uint_least64_t *room;
};

/* What a compressed cluster of the source is, for --compress keep. */
struct rh_packed {
    size_t at;         /* of its bytes in the memory that was filled */
    size_t size;       /* 0: the cluster is not stored packed */
    const void *bytes; /* for the writer: set once the memory is complete */
    enum { RH_PACKED_ZLIB, RH_PACKED_RAW_DEFLATE, RH_PACKED_ZSTD } codec;
    uint32_t plain_size;
};

/* One piece of a disk, as a forward reader meets it. */
struct rh_piece {
    uint64_t offset;    /* on the virtual disk */
    uint32_t length;    /* plain bytes */
    const void *packed; /* zlib stream to inflate, or NULL: `plain` holds it */
    size_t packed_size;
    const void *plain;
};

struct rh_format {
    const char *name;  /* "vmdk", "qcow2", "vhd", "vhdx", "raw" */
    const char *about; /* one line, N_() */
    /* Does the file look like ours?  `head` holds its first bytes (at most
     * 4 KiB), `tail` its last 512 (NULL when not seekable). */
    bool (*probe)(const uint8_t *head, size_t n, const uint8_t *tail,
                  uint64_t size);

    /* Reading; NULL when the driver only writes.  On failure open() leaves
     * nothing behind; reader->state is its own. */
    int (*open)(struct rh_reader *r, const struct rh_open_options *o,
                rh_error **err);
    /* What is at `offset` (< size), as far as it is alike: merged as widely as
     * is cheap (at least one table's reach for holes). Thread-safe. */
    int (*extent)(struct rh_reader *r, uint64_t offset, struct rh_extent *ret,
                  rh_error **err);
    /* Optional, where extents need more than the tables in memory: the bytes
     * of all units of allocation that are there, by the tables alone; false
     * when the extents of this disk tell as fast. */
    bool (*present)(const struct rh_reader *r, uint64_t *ret_bytes);
    /* Exactly n bytes; the range is inside the disk. Thread-safe with one
     * codec per thread. */
    int (*read)(struct rh_reader *r, struct rh_codec *codec, void *buf,
                size_t n, uint64_t offset, rh_error **err);
    /* Optional: the packed bytes of `count` clusters of r->grain bytes, from
     * the one that starts at `offset` on, added to `memory`.  ret[i].size == 0
     * for one that is not stored packed.  Thread-safe. */
    int (*packed)(struct rh_reader *r, struct rh_codec *codec, uint64_t offset,
                  size_t count, struct rh_buf *memory, struct rh_packed *ret,
                  rh_error **err);
    /* Optional: where in the file the disk's bytes from `offset` on are stored
     * as they are, or that they are not (packed, zeros, holes). Thread-safe. */
    int (*lies)(struct rh_reader *r, uint64_t offset,
                struct rh_place_of_bytes *ret, rh_error **err);
    void (*close)(struct rh_reader *r);

    /* Optional: reading forward only, without seeking.  streams() tells by the
     * first bytes that a file is made for it (head as in probe).  open_stream()
     * reads the head of the stream (r->size is known after it); next() gives
     * the next piece in the file's order (valid until the next call), and 1 at
     * the end, when everything was checked (tables against grains met). */
    bool (*streams)(const uint8_t *head, size_t n);
    int (*open_stream)(struct rh_reader *r, struct rh_stream *s,
                       const struct rh_open_options *o, rh_error **err);
    int (*next)(struct rh_reader *r, struct rh_piece *ret, rh_error **err);
    /* Optional: deep check for `disk check`: every table and every grain;
     * problems are added to r->problems, damage is an error. */
    int (*check)(struct rh_reader *r, struct rh_codec *codec, rh_error **err);

    /* Writing; NULL when the driver only reads. */
    const struct rh_writer_ops *writer;
    /* Optional: writing again into what the writer made (formats/patch.h). */
    const struct rh_patch_ops *patch;
};

struct rh_reader {
    const struct rh_format *format;
    rh_lib *lib;         /* borrowed */
    struct rh_io *io;    /* referenced; NULL when streaming */
    char *name;          /* for messages */
    uint64_t size;       /* of the virtual disk, bytes, > 0 */
    const char *variant; /* "streamOptimized", "dynamic", "v3"; static */
    uint32_t grain;      /* unit of allocation, bytes (0: none) */
    uint32_t sector;     /* bytes of the guest's sectors; 0: not said */
    bool compressed;     /* holds packed clusters of `grain` bytes */
    bool file_order;     /* data lies in the file in the disk's order */
    char *backing_file;  /* as named by the file, or NULL */
    char *adapter_type;  /* a hint on the controller ("lsilogic") or NULL */
    struct rh_problems problems;
    bool walked;              /* `allocated` is known */
    uint64_t allocated;       /* what rh_reader_allocated() found */
    struct rh_reader *parent; /* owned: what holes show, or NULL */
    struct rh_reader *over;   /* borrowed: what a view is of, or NULL */
    uint8_t id[16];           /* by which a child knows it; zeros: has none */
    void *state;
};

/* Open by content.  `io` is referenced.  `format` forces one (NULL: probe;
 * plain bytes are taken as raw only when "raw" is forced).  The driver's own
 * file is r->io; siblings come from o->place only. */
struct rh_reader *rh_reader_open(struct rh_io *io, const char *format,
                                 const struct rh_open_options *o,
                                 rh_error **err);
/* Forward only.  Takes `s`.  DISK_NOT_SEEKABLE when the format can't. */
struct rh_reader *rh_reader_open_stream(struct rh_stream *s,
                                        const struct rh_open_options *o,
                                        rh_error **err);
void rh_reader_close(struct rh_reader *r);
RH_FREEP(rh_reader_closep, struct rh_reader, rh_reader_close)
/* Through the parents: HOLE is answered only where nobody has data. */
int rh_reader_extent(struct rh_reader *r, uint64_t offset,
                     struct rh_extent *ret, rh_error **err);
int rh_reader_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                   size_t n, uint64_t offset, rh_error **err);
/* `base` (borrowed, it must outlive this) with zeros behind its end, up to
 * `size` bytes. */
struct rh_reader *rh_reader_grow(struct rh_reader *base, uint64_t size);
/* For drivers: open what the disk at hand was made over, as r->parent.  Only
 * o->place is looked into, and only for the last part of `name`, which may be a
 * path of Windows'; what is wrong is told of the file at hand.  `id`, when not
 * NULL, is the one that the parent must have. */
int rh_reader_open_parent(struct rh_reader *r, const struct rh_open_options *o,
                          const char *name, const char *format,
                          const uint8_t id[16], rh_error **err);
/* A file beside the one at hand, by o->place, which is not NULL.  One whose
 * name is only alike is taken, and told as a problem of `r`. */
struct rh_io *rh_reader_neighbour(struct rh_reader *r,
                                  const struct rh_open_options *o,
                                  const char *name, rh_error **err);
const char *rh_last_part(const char *path); /* behind the last / \\ or : */
/* n bytes of UTF-16 as UTF-8, up to a NUL; NULL when they are none.  The caller
 * frees. */
char *rh_utf16_name(const uint8_t *p, size_t n, bool big_endian);
/* Where the disk's bytes from `offset` on are stored as they are: in which
 * plain file (fd, borrowed; -1: nowhere), at which of its bytes, and how many
 * from the asked offset on are alike.  Through parents and views. */
struct rh_origin {
    int fd;
    uint64_t at, length;
};
int rh_reader_origin(struct rh_reader *r, uint64_t offset,
                     struct rh_origin *ret, rh_error **err);
/* The plain files that it can name: fds, at most `most` of them, perhaps one
 * twice; how many. */
size_t rh_reader_origins(const struct rh_reader *r, int *fds, size_t most);
/* Bytes stored for data: a walk over the map, not over the data, and the same
 * answer from then on.  By one thread. */
int rh_reader_allocated(struct rh_reader *r, uint64_t *ret_bytes,
                        rh_error **err);
/* The same for one who only looks: in whole units of allocation where asking
 * each unit for more would have to read all over the file. */
int rh_reader_present(struct rh_reader *r, uint64_t *ret_bytes, rh_error **err);
/* The i-th of the disk and its parents, borrowed; NULL at the end.  Both from
 * any thread. */
const char *rh_problem_at(const struct rh_reader *r, size_t i,
                          const char **ret_id);
void rh_problem_add(struct rh_reader *r, const char *id, const char *fmt, ...)
    RH_PRINTF(3, 4);

/* --- writing
 * -------------------------------------------------------------------- */
enum rh_compress {
    RH_COMPRESS_NONE,
    RH_COMPRESS_ZLIB,
    RH_COMPRESS_ZSTD,
    RH_COMPRESS_KEEP, /* carry the source's deflate data over */
};

struct rh_create_options {
    rh_lib *lib;
    uint64_t size;         /* of the virtual disk, bytes */
    uint32_t cluster_size; /* 0: the format's own */
    enum rh_compress compress;
    bool may_seek;            /* the sink can be written at any offset */
    struct rh_reader *source; /* its map is known: for layouts up front; may be
                                 NULL */
};

/* Bytes to go to the sink. */
struct rh_iov {
    uint64_t offset; /* in the sink */
    const void *bytes;
    size_t size;
};

/* A run of the disk on its way: at most writer->unit bytes, aligned to it. */
struct rh_unit {
    uint64_t offset;
    size_t length; /* plain bytes; the last unit may be short */
    uint8_t *data; /* plain bytes in a buffer of writer->unit bytes, or NULL
                      when packed clusters are kept */
    uint8_t *room; /* writer->room bytes of memory for the encoder's use */
    bool unseen;   /* `data` was not read: take all of it for data (with
                      writer->takes_unseen) */
    struct rh_codec *codec;
    struct rh_packed *packed; /* per cluster, with RH_COMPRESS_KEEP; or NULL */
    void *state;        /* writer->unit_state bytes, zeroed once per worker */
    struct rh_iov *iov; /* what to write: filled by place() */
    size_t iov_count;   /* at most writer->iov_max */
};

struct rh_writer_ops {
    /* Decide the layout; fill w->unit, w->room, w->iov_max, w->unit_state. */
    int (*create)(struct rh_writer *w, const struct rh_create_options *o,
                  rh_error **err);
    /* Any thread, optional: find zero clusters, compress, checksum. */
    int (*encode)(struct rh_writer *w, struct rh_unit *u, rh_error **err);
    /* In ascending order (or, with w->any_order, in any), one at a time,
     * cheap: give the unit's bytes their places in u->iov, each written once.
     * Bytes of u->data go where lies() will say that the disk's bytes are
     * plain, and no others do.  May write its own metadata by
     * rh_out_write(w->out). */
    int (*place)(struct rh_writer *w, struct rh_unit *u, rh_error **err);
    /* All units are written: tables, footer, header; *ret_size is the file's
     * final size.  The caller then finishes the sink. */
    int (*finish)(struct rh_writer *w, uint64_t *ret_size, rh_error **err);
    void (*close)(struct rh_writer *w);
};

struct rh_writer {
    const struct rh_format *format;
    rh_lib *lib;
    struct rh_out *out; /* borrowed */
    uint64_t base;      /* offset in the sink where this disk's bytes start */
    uint64_t size;      /* of the virtual disk */
    uint64_t unit;      /* bytes per unit: a multiple of 64 KiB, 1 MiB usual */
    size_t room;        /* encoder's memory per unit */
    size_t iov_max;
    size_t unit_state;
    bool any_order;    /* units may come in any order and in parts, as a forward
                          source has them */
    uint64_t piece;    /* with any_order: what the parts must be multiples of */
    bool takes_unseen; /* places bytes without looking at them */
    bool every_unit;   /* also all-zero units must be handed over */
    void *state;
};

struct rh_writer *rh_writer_open(const char *format, struct rh_out *out,
                                 const struct rh_create_options *o,
                                 rh_error **err);
void rh_writer_close(struct rh_writer *w);
RH_FREEP(rh_writer_closep, struct rh_writer, rh_writer_close)

/* --- registry
 * --------------------------------------------------------------------- */
const struct rh_format *rh_format_at(size_t i); /* NULL at the end */
const struct rh_format *rh_format_named(const char *name);
/* Can a disk that starts so be read forward? */
bool rh_format_streams(const uint8_t *head, size_t n);
/* By content; NULL when nothing fits. */
const struct rh_format *rh_format_probe(struct rh_io *io, rh_error **err);
/* What it is instead, where its mark is known though no driver reads it: such a
 * file is no raw disk, whatever its name.  NULL: not known. */
const char *rh_format_foreign(struct rh_io *io);
/* guess.c: may plain bytes of that name (".raw", ".img", ".dd", packed or not)
 * be taken for a raw disk, when nothing is known by content? */
bool rh_format_raw_name(const char *name);

/* --- overlay: a reader that is also writable
 * --------------------------------------- */
/* Takes nothing: `base` must outlive it.  Changes live in an unlinked file that
 * is as long as what was changed, in units of 64 KiB; extent() and read() of
 * the returned reader see them. */
struct rh_reader *rh_overlay_new(struct rh_reader *base, rh_lib *lib,
                                 rh_error **err);
int rh_overlay_write(struct rh_reader *r, const void *buf, size_t n,
                     uint64_t offset, rh_error **err);
/* From here on what is written can be taken back, until it is kept.  A second
 * mark keeps what came before it. */
void rh_overlay_mark(struct rh_reader *r);
void rh_overlay_keep(struct rh_reader *r);
void rh_overlay_go_back(struct rh_reader *r); /* to the mark; it is gone then */
uint64_t rh_overlay_changed(const struct rh_reader *r); /* bytes */
/* The first changed run at or after `from`; false when there is none. */
bool rh_overlay_change_at(const struct rh_reader *overlay, uint64_t from,
                          uint64_t *ret_start, uint64_t *ret_length);
struct rh_reader *rh_overlay_base(const struct rh_reader *r);
/* Lay the changes within [offset, offset + n) over bytes of the base; *ret_any
 * (may be NULL) says whether there were any; with buf NULL only that. */
int rh_overlay_patch(struct rh_reader *r, void *buf, size_t n, uint64_t offset,
                     bool *ret_any, rh_error **err);
bool rh_is_overlay(const struct rh_reader *r);

#endif
