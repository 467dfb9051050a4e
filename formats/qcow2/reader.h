/* reader.h - what the parts of the qcow2 reader share. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_QCOW2_READER_H
#define RH_FORMATS_QCOW2_READER_H

#include <pthread.h>

#include "formats/qcow2/qcow2.h"

/* --- tables in the file, through a small cache that any thread may use
 * -------- */
enum { Q_PIECE = 64 * 1024, Q_PIECES = 16 };

struct rh_qcow2_tables {
    pthread_mutex_t lock;
    struct {
        uint64_t offset; /* in the file */
        size_t size;     /* 0: empty */
        uint64_t used;
        uint8_t *bytes;
    } pieces[Q_PIECES];
    uint64_t clock;
};
void rh_qcow2_tables_init(struct rh_qcow2_tables *t);
void rh_qcow2_tables_free(struct rh_qcow2_tables *t);
/* A copy of n bytes at `offset`. */
int rh_qcow2_tables_get(struct rh_qcow2_tables *t, struct rh_io *io,
                        uint64_t offset, void *buf, size_t n, rh_error **err);

/* --- what the header says about dirty bitmaps (bitmaps.c) ------------------
 */
struct rh_qcow2_bitmaps {
    uint64_t extension; /* where the header has it; 0: nowhere */
    uint32_t count;
    uint64_t directory, size; /* bytes */
};
void rh_qcow2_read_bitmaps(struct rh_qcow2_bitmaps *b, uint64_t at,
                           const uint8_t *data, uint32_t n);

/* --- the decoded header
 * ---------------------------------------------------------- */
struct rh_qcow2 {
    unsigned version, bits;
    uint64_t cluster;                 /* bytes */
    uint64_t size;                    /* of the virtual disk, bytes */
    uint64_t l1;                      /* place, bytes */
    uint64_t l1_count;                /* entries that the size needs */
    uint64_t l1_said;                 /* entries that there are */
    uint64_t reftable, reftable_size; /* bytes; 0, 0: none usable */
    uint64_t incompatible;
    uint32_t snapshots;
    uint64_t snapshots_at;   /* place of their table, bytes */
    unsigned refcount_order; /* a refcount has 2^this bits */
    struct rh_qcow2_bitmaps bitmaps;
    bool bitmaps_valid; /* no other program wrote into the file since */
    uint8_t compression;
    bool extended;   /* L2 entries of 16 bytes, 32 subclusters */
    uint64_t entry;  /* bytes of an L2 entry */
    uint64_t per_l2; /* entries in an L2 table */
    unsigned subs;   /* subclusters in a cluster: 1 or 32 */
    uint64_t sub;    /* bytes of one */
    char *backing_name, *backing_format; /* or NULL */
    uint64_t backing_at;                 /* of the name */
    struct rh_qcow2_tables tables;
};
/* Read and judge the header; fills *ret but for the tables. */
int rh_qcow2_read_header(struct rh_io *io, struct rh_qcow2 *ret,
                         rh_error **err);

/* --- one L2 entry, decoded
 * ---------------------------------------------------------- */
enum rh_qcow2_kind {
    Q_IS_HOLE, /* not allocated: zeros, or the backing file's */
    Q_IS_ZERO,
    Q_IS_DATA,
    Q_IS_PACKED, /* a compressed cluster */
};
struct rh_qcow2_spot {
    enum rh_qcow2_kind kind;
    uint64_t at;     /* in the file: of the asked byte (DATA), of the packed
                        bytes (PACKED) */
    uint64_t size;   /* PACKED: bytes to read, the stream ends within them */
    uint64_t length; /* bytes of the disk from the asked offset on that are
                        alike (DATA: and lie side by side when asked so) */
};
/* What subcluster `sub` of an entry is; `raw` points at the entry. */
enum rh_qcow2_kind rh_qcow2_kind_of(const struct rh_qcow2 *q,
                                    const uint8_t *raw, unsigned sub);
void rh_qcow2_packed_at(const struct rh_qcow2 *q, uint64_t word,
                        uint64_t *ret_at, uint64_t *ret_size);

/* --- the survey that open() makes: every table is judged once
 * ------------------------- */
struct rh_qcow2_survey {
    bool packed;     /* some cluster is compressed */
    bool file_order; /* data lies in the disk's order */
};
int rh_qcow2_survey(const struct rh_qcow2 *q, rh_lib *lib, struct rh_io *io,
                    struct rh_qcow2_survey *ret, rh_error **err);

/* Every entry of an L1 table (or the refcount table) that is not zero. */
typedef int rh_qcow2_l1_fn(void *user, uint64_t index, uint64_t entry,
                           rh_error **err);
int rh_qcow2_each_l1(rh_lib *lib, struct rh_io *io, uint64_t at, uint64_t count,
                     rh_qcow2_l1_fn *fn, void *user, rh_error **err);
/* Every entry of the L2 table `index`, which lies at `at`; `offset` is on the
 * disk. */
typedef int rh_qcow2_l2_fn(void *user, const uint8_t *raw, uint64_t offset,
                           rh_error **err);
int rh_qcow2_each_l2(const struct rh_qcow2 *q, rh_lib *lib, struct rh_io *io,
                     uint64_t index, uint64_t at, rh_qcow2_l2_fn *fn,
                     void *user, rh_error **err);

/* Compare the refcounts with the uses; what differs is a problem. */
int rh_qcow2_check_refcounts(struct rh_reader *r, rh_error **err);

/* Every range of the file that dirty bitmaps use.  `budget`: how many tables
 * (of an L2 table's length) may still be read.  What makes no sense is counted
 * in `flaws`, the first at `flaw_at`; `partly`: not every use was told. */
struct rh_qcow2_bitmap_uses {
    void (*use)(void *user, uint64_t at, uint64_t size);
    void *user;
    uint64_t *budget;
    uint64_t table; /* that is being walked */
    uint64_t flaws, flaw_at;
    bool partly;
};
int rh_qcow2_use_bitmaps(const struct rh_qcow2 *q, rh_lib *lib,
                         struct rh_io *io, struct rh_qcow2_bitmap_uses *uses,
                         rh_error **err);

/* The callbacks of the row in qcow2.c. */
int rh_qcow2_open(struct rh_reader *r, const struct rh_open_options *o,
                  rh_error **err);
int rh_qcow2_extent(struct rh_reader *r, uint64_t offset, struct rh_extent *ret,
                    rh_error **err);
int rh_qcow2_lies(struct rh_reader *r, uint64_t offset,
                  struct rh_place_of_bytes *ret, rh_error **err);
int rh_qcow2_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                  size_t n, uint64_t offset, rh_error **err);
int rh_qcow2_packed(struct rh_reader *r, struct rh_codec *codec,
                    uint64_t offset, size_t count, struct rh_buf *memory,
                    struct rh_packed *ret, rh_error **err);
int rh_qcow2_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err);
void rh_qcow2_close(struct rh_reader *r);

#endif
