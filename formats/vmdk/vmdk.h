/* vmdk.h - what the files of this folder share.
 *
 * A VMDK is a list of parts, each a range of the disk: zeros, a range of a flat
 * file, or a sparse file with its map (directory -> table -> grain).  Three
 * sparse kinds (hosted "KDMV", ESX "COWD", seSparse) differ in their headers
 * and entries only; the map is one.  All numbers here are bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FORMATS_VMDK_H
#define RH_FORMATS_VMDK_H

#include <pthread.h>

#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"

enum {
    VMDK_SECTOR = 512,
    VMDK_GRAIN_MIN = 512,
    VMDK_GRAIN_MAX = 1 << 20,
    VMDK_ENTRIES_MAX = 4096,   /* of one grain table */
    VMDK_TABLES_MAX = 1 << 25, /* 64 TiB in grains of 4 KiB */
    VMDK_RECORD = 12,          /* bytes before the data of a packed grain */
};

/* printf's idea of our numbers */
#define VMDK_X(n) ((unsigned long long)(n))

/* --- the text descriptor (descriptor.c) --------------------------------- */
enum vmdk_line_type {
    VMDK_FLAT,
    VMDK_SPARSE,
    VMDK_ZERO,
    VMDK_VMFS,
    VMDK_VMFSSPARSE,
    VMDK_SESPARSE,
};
struct vmdk_line {
    enum vmdk_line_type type;
    unsigned number; /* of the line, from 1 */
    uint64_t at;     /* of the line in its file */
    uint64_t size;
    uint64_t offset; /* in the file it names */
    char *name;      /* NULL for ZERO */
};
struct vmdk_spot {
    unsigned number; /* of the line, from 1; 0: nowhere */
    uint64_t at;     /* of the line in its file */
};
struct vmdk_text {
    const char *create_type; /* as VMware spells it; static */
    uint32_t cid, parent_cid;
    bool cid_known; /* false: there, but no hex number of 32 bits */
    char *parent_hint, *adapter, *encoding;
    uint64_t logical_sector; /* 0: not said */
    RH_VEC(struct vmdk_line) lines;
    uint64_t size; /* sum of the lines */
    bool has_parent;
    struct vmdk_spot parent_cid_spot, parent_hint_spot;
};
#define VMDK_NO_PARENT 0xffffffffU

/* Does it read like one?  For probing: `n` bytes of its beginning. */
bool rh_vmdk_text_probe(const uint8_t *head, size_t n);
/* Parse; on failure *ret is freed already.  `start`: where it is in its file.
 */
int rh_vmdk_text_parse(const char *text, size_t n, uint64_t start,
                       struct vmdk_text *ret, rh_error **err);
/* For messages: what failed does so in that line.  Returns -1. */
int rh_vmdk_in_line(unsigned number, uint64_t at, rh_error **err);
/* The same for what is wrong with the parent: where the text names it. */
int rh_vmdk_in_parent_line(const struct vmdk_text *t, rh_error **err);
void rh_vmdk_text_free(struct vmdk_text *t);

/* --- the header of a hosted sparse extent (header.c) --------------------- */
enum {
    VMDK_FLAG_NEWLINE = 1 << 0,
    VMDK_FLAG_REDUNDANT = 1 << 1,
    VMDK_FLAG_ZERO_GRAIN = 1 << 2,
    VMDK_FLAG_COMPRESSED = 1 << 16,
    VMDK_FLAG_MARKERS = 1 << 17,
};
#define VMDK_AT_END UINT64_MAX
struct vmdk_header {
    uint32_t version, flags, entries;
    uint64_t capacity;
    uint32_t grain;
    uint64_t descriptor, descriptor_size;
    uint64_t redundant; /* directory; 0: none */
    uint64_t directory; /* or VMDK_AT_END */
    uint64_t overhead;  /* where the first grain or marker stands */
    uint64_t tables;    /* entries of the directory */
    bool compressed, unclean;
};
/* Decode and check what can be checked without the file; `limit` bounds the
 * capacity, `at` is where the header stands. */
int rh_vmdk_header(const uint8_t raw[VMDK_SECTOR], uint64_t at, uint64_t limit,
                   struct vmdk_header *ret, rh_error **err);
/* Does the footer say what the header says? */
int rh_vmdk_header_agrees(const struct vmdk_header *h,
                          const struct vmdk_header *footer, uint64_t at,
                          rh_error **err);
uint32_t rh_vmdk_table_bytes(const struct vmdk_header *h);
/* Largest packed grain: what deflate can make of incompressible bytes, and a
 * little for encoders that flush too often. */
uint32_t rh_vmdk_packed_max(uint64_t grain);

/* --- markers of streamOptimized (header.c) ------------------------------- */
enum vmdk_marker {
    VMDK_MARK_END,
    VMDK_MARK_TABLE,
    VMDK_MARK_DIRECTORY,
    VMDK_MARK_FOOTER,
    VMDK_MARK_PROGRESS, /* open-vmdk's name; nothing follows */
    VMDK_MARK_GRAIN,    /* not a type in the file: size is not 0 */
};
/* Look at the marker at `at`: its kind and how many bytes follow the sector
 * (for a grain: the size of its packed bytes, *ret_lba its place).  `table`
 * and `directory` are the sizes that a value may name. */
struct vmdk_mark {
    enum vmdk_marker kind;
    bool counted;   /* the value said how much follows */
    uint64_t lba;   /* bytes on the disk; grains only */
    uint32_t size;  /* packed bytes; grains only */
    uint64_t value; /* bytes that follow; markers only */
};
int rh_vmdk_mark(const struct vmdk_header *h, const uint8_t *sector,
                 uint64_t at, struct vmdk_mark *ret, rh_error **err);

/* Older Xen Orchestra counts its tables into the metadata, but has them behind:
 * grains begin right behind the descriptor.  Where they would begin then (0: it
 * can't be so), and whether the sector there bears it out. */
uint64_t rh_vmdk_early_start(const struct vmdk_header *h);
bool rh_vmdk_starts_early(const struct vmdk_header *h, const uint8_t *sector);

/* --- bits, allocated as they are met (bits.c) ---------------------------- */
struct vmdk_bits {
    _Atomic(void *) *branches;
    uint64_t count;
    atomic_uint_least64_t *room; /* bytes that all of a chain may still take */
};
/* Take so much of the room; false: there is not so much left. */
bool rh_vmdk_reserve(atomic_uint_least64_t *room, uint64_t bytes);
/* So many bytes are really there: holes of a file do not count. */
void rh_vmdk_stored(atomic_uint_least64_t *room, uint64_t bytes);
void rh_vmdk_stored_file(atomic_uint_least64_t *room, const struct rh_io *io);
int rh_vmdk_bits_init(struct vmdk_bits *b, uint64_t count,
                      atomic_uint_least64_t *room, rh_error **err);
/* Set one, and tell what it was.  Thread-safe. */
enum vmdk_bit { VMDK_BIT_WAS_CLEAR, VMDK_BIT_WAS_SET, VMDK_BIT_NO_ROOM };
enum vmdk_bit rh_vmdk_bit_set(struct vmdk_bits *b, uint64_t i);
bool rh_vmdk_bit(const struct vmdk_bits *b, uint64_t i);
void rh_vmdk_bit_clear(struct vmdk_bits *b, uint64_t i);
/* Fails for the grain at `at`: there was no room to keep track of it. */
int rh_vmdk_scattered(uint64_t at, rh_error **err);
void rh_vmdk_bits_free(struct vmdk_bits *b);

/* --- the map of a sparse part (map.c) ------------------------------------ */
struct vmdk_map;
/* What a kind's entries mean. */
struct vmdk_kind {
    uint32_t entry; /* bytes of an entry: 4 or 8 */
    /* Of the directory: where the table is, 0 when there is none. */
    int (*table)(const struct vmdk_map *m, uint64_t number, uint64_t entry,
                 uint64_t *ret_at, rh_error **err);
    /* Of a table: VMDK_HOLE, VMDK_ZEROS, or where the grain is. */
    int (*grain)(const struct vmdk_map *m, uint64_t number, uint64_t entry,
                 uint64_t *ret_at, rh_error **err);
};
enum { VMDK_HOLE = 0, VMDK_ZEROS = 1 };

struct vmdk_range {
    uint64_t start, end;
};
struct vmdk_map {
    const struct vmdk_kind *kind;
    struct vmdk_cache *cache;
    struct rh_io *io; /* referenced */
    uint64_t size;    /* bytes of the disk it covers */
    uint64_t grain;
    uint64_t grains, tables;
    uint32_t entries; /* of a table */
    uint32_t table_bytes;
    uint64_t directory, redundant; /* redundant: 0 when there is none */
    struct vmdk_range fixed[4];    /* header, descriptor, directories */
    unsigned fixed_count;
    uint64_t data_start, data_end; /* grains lie within */
    uint64_t tables_at, grains_at; /* seSparse: where number 0 is */
    struct vmdk_bits checked;      /* tables that were looked through */
    struct vmdk_bits used; /* places in the file with a grain or a table */
    uint8_t *window;       /* some of the directory, as stored */
    uint64_t window_first, window_count, window_of;
    bool zero_grains; /* entry 1 is announced by the header */

    /* streamOptimized only */
    struct vmdk_header header;
    bool compressed;
    bool behind;            /* tables stand behind their grains, with markers */
    struct vmdk_bits links; /* 2 per grain: see links.c */
    atomic_bool end_met;
    bool ascending; /* grains lie in the disk's order, as far as seen */
};
/* Set up what is derived, look through the directory.  The maker has filled
 * kind, cache, io, size, grain, entries, directory and so on. */
int rh_vmdk_map_init(struct vmdk_map *m, rh_error **err);
void rh_vmdk_map_free(struct vmdk_map *m);
RH_FREEP(rh_vmdk_map_freep, struct vmdk_map, rh_vmdk_map_free)
/* (tables.c) Where table `number` is by the directory at `of`; 0: nowhere. */
int rh_vmdk_table_at(struct vmdk_map *m, uint64_t of, uint64_t number,
                     uint64_t *ret_at, rh_error **err);
/* How many tables from `table` on the directory does not have. */
int rh_vmdk_missing(struct vmdk_map *m, uint64_t table, uint64_t *ret_count,
                    rh_error **err);
/* Every table inside the file, none in other metadata, none shared. */
int rh_vmdk_check_directory(struct vmdk_map *m, uint64_t of, rh_error **err);
int rh_vmdk_mark_tables(struct vmdk_map *m, rh_error **err);
/* Stored entries to places, each checked. */
int rh_vmdk_decode(struct vmdk_map *m, uint64_t table, const uint8_t *raw,
                   uint64_t *ret_at, rh_error **err);
/* Does table `table` at `at` have a marker of its own in front? */
int rh_vmdk_has_marker(struct vmdk_map *m, uint64_t table, uint64_t at,
                       bool *ret, rh_error **err);
int rh_vmdk_check_marker(const struct vmdk_map *m, uint64_t table, uint64_t at,
                         const uint8_t *sector, rh_error **err);
bool rh_vmdk_is_place(uint64_t at);
/* The metadata that [start, end) runs into, or NULL. */
const struct vmdk_range *rh_vmdk_meets(const struct vmdk_map *m, uint64_t start,
                                       uint64_t end);
/* The place's number, in `used`. */
uint64_t rh_vmdk_unit(const struct vmdk_map *m, uint64_t at);
/* Where `count` grains from `first` on are; all of one table. Thread-safe. */
int rh_vmdk_map_get(struct vmdk_map *m, uint64_t first, unsigned count,
                    uint64_t *ret_at, rh_error **err);
int rh_vmdk_map_extent(struct vmdk_map *m, uint64_t offset,
                       struct rh_extent *ret, rh_error **err);
/* Plain grains (map.c) and packed ones (packed.c). */
int rh_vmdk_read_plain(struct vmdk_map *m, uint8_t *buf, uint64_t n,
                       uint64_t offset, rh_error **err);
int rh_vmdk_read_packed(struct vmdk_map *m, struct rh_codec *codec,
                        uint8_t *buf, uint64_t n, uint64_t offset,
                        rh_error **err);
int rh_vmdk_packed(struct vmdk_map *m, uint64_t offset, uint64_t count,
                   struct rh_buf *memory, struct rh_packed *ret,
                   rh_error **err);
/* Bytes of grain `number` that are on the disk. */
uint64_t rh_vmdk_grain_length(const struct vmdk_map *m, uint64_t number);
/* Compare the redundant tables with the first ones; problems to the reader. */
int rh_vmdk_map_compare(struct vmdk_map *m, bool *ret_same, rh_error **err);

/* The markers tell the same disk as the tables (links.c): the grain that ends
 * at `end` was read, and the `n` bytes that follow it came along. */
int rh_vmdk_links_start(struct vmdk_map *m, rh_error **err);
int rh_vmdk_link(struct vmdk_map *m, uint64_t number, uint64_t end,
                 const uint8_t *bytes, uint64_t n, rh_error **err);
/* The same when it is known already which grain stands at `end`. */
int rh_vmdk_link_to(struct vmdk_map *m, uint64_t number, uint64_t next,
                    rh_error **err);

/* Tables in memory, shared by all parts of a disk. */
struct vmdk_slot {
    struct vmdk_map *map; /* NULL: free */
    uint64_t first;
    unsigned count;
    uint64_t empty; /* bit i: table first + i has no entry */
    uint64_t used;  /* when */
    uint64_t *at;
};
enum { VMDK_SLOTS = 16 };
struct vmdk_cache {
    pthread_mutex_t lock;
    uint64_t clock;
    uint8_t *raw;
    struct rh_reader *reader; /* for problems */
    /* What is kept of grains and tables: the child's, when there is one (which
     * outlives us), else own_room. */
    atomic_uint_least64_t *room, own_room;
    struct vmdk_slot slots[VMDK_SLOTS];
    bool said_zero, said_redundant;
};
/* Add a problem, once per flag. */
void rh_vmdk_problem(struct vmdk_cache *c, bool *said, const char *id,
                     const char *text);

/* --- makers of maps ------------------------------------------------------ */
uint64_t rh_vmdk_limit(const struct rh_reader *r);
/* NULL on failure. */
struct vmdk_map *rh_vmdk_hosted(struct vmdk_cache *c, struct rh_io *io,
                                rh_error **err);
struct vmdk_map *rh_vmdk_cowd(struct vmdk_cache *c, struct rh_io *io,
                              rh_error **err);
struct vmdk_map *rh_vmdk_sesparse(struct vmdk_cache *c, struct rh_io *io,
                                  rh_error **err);

/* --- the disk (vmdk.c, parts.c) ------------------------------------------ */
struct vmdk_part {
    uint64_t start, size; /* on the disk */
    struct rh_io *io;     /* flat; NULL otherwise */
    uint64_t offset;      /* flat: in the file */
    struct vmdk_map *map; /* sparse; neither: zeros */
};
struct vmdk_stream;
struct vmdk {
    struct vmdk_text text;
    RH_VEC(struct vmdk_part) parts;
    struct vmdk_cache cache;
    struct vmdk_stream *stream;
};
int rh_vmdk_parts_open(struct rh_reader *r, const struct rh_open_options *o,
                       rh_error **err);
int rh_vmdk_parent_open(struct rh_reader *r, const struct rh_open_options *o,
                        rh_error **err);
/* Does the embedded descriptor fit the file it stands in?  Sets r->size. */
int rh_vmdk_embedded(struct rh_reader *r, const struct vmdk_header *h,
                     const char *text, rh_error **err);
/* For every driver entry: what the text says about the disk. */
void rh_vmdk_describe(struct rh_reader *r);
struct vmdk *rh_vmdk_new(struct rh_reader *r, const struct rh_open_options *o);
void rh_vmdk_close(struct rh_reader *r);
int rh_vmdk_check(struct rh_reader *r, struct rh_codec *codec, rh_error **err);

int rh_vmdk_open_stream(struct rh_reader *r, struct rh_stream *s,
                        const struct rh_open_options *o, rh_error **err);
int rh_vmdk_next(struct rh_reader *r, struct rh_piece *ret, rh_error **err);
void rh_vmdk_stream_free(struct vmdk_stream *s);

#endif
