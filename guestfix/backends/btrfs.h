/* btrfs.h - btrfs, read-only: enough to look into a guest in milliseconds.
 *
 * One device; its trees are read from their own blocks, each with its checksum.
 * What else there is (several devices, striping, zones, a log to be replayed)
 * goes to the appliance, with the reason. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_BTRFS_H
#define RH_GUESTFIX_BACKENDS_BTRFS_H

#include "base/codec.h"
#include "guestfix/backends/fs.h"

enum {
    RH_BTRFS_COPIES = 4,      /* DUP has two */
    RH_BTRFS_CACHE = 64,      /* blocks of trees */
    RH_BTRFS_NODE_MAX = 65536 /* bytes */
};

/* Items, as trees number their kinds. */
enum {
    RH_BTRFS_INODE = 1,
    RH_BTRFS_XATTR = 24,
    RH_BTRFS_DIR_ITEM = 84,
    RH_BTRFS_DIR_INDEX = 96,
    RH_BTRFS_EXTENT_DATA = 108,
    RH_BTRFS_ROOT = 132,
    RH_BTRFS_ROOT_REF = 156,
    RH_BTRFS_EXTENT = 168,
    RH_BTRFS_METADATA = 169,
    RH_BTRFS_BLOCK_GROUP = 192,
    RH_BTRFS_CHUNK = 228,
};
/* Trees and objects that have fixed numbers. */
enum {
    RH_BTRFS_EXTENT_TREE = 2,
    RH_BTRFS_TOP_LEVEL = 5, /* the subvolume that holds the others */
    RH_BTRFS_ROOT_DIR = 6,
    RH_BTRFS_GROUP_TREE = 11,
    RH_BTRFS_FIRST_FREE = 256,
};
enum { RH_BTRFS_DATA = 1, RH_BTRFS_MIXED_GROUPS = 4 };

struct rh_btrfs_key {
    uint64_t id;
    uint8_t type;
    uint64_t offset;
};

/* Logical addresses that lie on the device in one piece, once or twice. */
struct rh_btrfs_chunk {
    uint64_t logical, length, type;
    uint64_t copies[RH_BTRFS_COPIES]; /* bytes from the volume's start */
    unsigned copy_count;
};

struct rh_btrfs_tree {
    uint64_t id, block, generation;
    uint64_t root_dir; /* of a subvolume */
    uint8_t level;
    bool read_only; /* a snapshot that may not be written */
};

enum rh_btrfs_sum { RH_BTRFS_CRC32C, RH_BTRFS_XXHASH, RH_BTRFS_SHA256 };

struct rh_btrfs {
    uint32_t sector, node; /* bytes */
    enum rh_btrfs_sum sum;
    uint8_t id[16]; /* as blocks of its trees bear it */
    uint64_t devid, device_bytes, device_used, generation;
    uint64_t incompat, compat_ro;
    struct rh_btrfs_tree chunk_tree, root_tree;
    RH_VEC(struct rh_btrfs_chunk) chunks; /* by logical address */
    RH_VEC(struct rh_btrfs_tree) trees;   /* subvolumes; 0: the default one */
    struct rh_btrfs_block {
        uint64_t at; /* 0: none is held */
        uint8_t *bytes;
    } cache[RH_BTRFS_CACHE];
    struct rh_codec *codec;
};

static inline struct rh_btrfs *rh_btrfs_of(struct rh_fs *fs)
{
    return fs->state;
}

static inline int rh_btrfs_damaged(struct rh_fs *fs, const char *what,
                                   rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "the btrfs file system on %s: %s",
                   fs->volume->device, what);
}

/* --- btrfs_open.c: superblock and chunks
 * -------------------------------------------------------------------------- */
/* -1 with *ret_why (static, translated) or err. */
int rh_btrfs_read_super(struct rh_fs *fs, const char **ret_why, rh_error **err);
/* Neither begun nor ended by an inversion. */
uint32_t rh_btrfs_crc32c(uint32_t seed, const void *bytes, size_t n);
uint32_t rh_btrfs_name_hash(const void *name, size_t n);
bool rh_btrfs_sum_fits(enum rh_btrfs_sum kind, const uint8_t *block, size_t n);

/* --- btrfs_tree.c: blocks and items
 * -------------------------------------------------------------------------- */
/* Bytes at a logical address, of one of its copies.  1: there is no such copy
 */
int rh_btrfs_read(struct rh_fs *fs, uint64_t logical, void *to, size_t n,
                  unsigned copy, rh_error **err);
const struct rh_btrfs_chunk *rh_btrfs_chunk_of(const struct rh_btrfs *b,
                                               uint64_t logical);

/* A place in a tree; the item is a copy, valid until the cursor moves. */
struct rh_btrfs_cursor {
    const struct rh_btrfs_tree *tree;
    uint8_t *leaf;
    uint32_t count, slot;
    bool more; /* leaves follow, the next from key `next` on */
    struct rh_btrfs_key next;

    struct rh_btrfs_key key;
    const uint8_t *data;
    uint32_t size;
};
void rh_btrfs_cursor_free(struct rh_btrfs_cursor *c); /* also for RH_AUTO */
/* To the first item that is not before `key`: 1; 0: there is none.  `tree` must
 * stay where it is. */
int rh_btrfs_seek(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                  const struct rh_btrfs_key *key, struct rh_btrfs_cursor *c,
                  rh_error **err);
int rh_btrfs_next(struct rh_fs *fs, struct rh_btrfs_cursor *c, rh_error **err);
/* To the very item: 1; 0: there is none. */
int rh_btrfs_find(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                  uint64_t id, uint8_t type, uint64_t offset,
                  struct rh_btrfs_cursor *c, rh_error **err);
/* What a tree's number stands for: 1; 0: there is none. */
int rh_btrfs_find_tree(struct rh_fs *fs, uint64_t id, struct rh_btrfs_tree *ret,
                       rh_error **err);

/* --- btrfs_data.c: a file's bytes
 * -------------------------------------------------------------------------- */
int rh_btrfs_read_file(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                       uint64_t inode, uint8_t *to, size_t size,
                       rh_error **err);
/* lzo1x (btrfs_lzo.c): false when it is damaged or gives more than `room`. */
bool rh_btrfs_unlzo(const uint8_t *in, size_t n, uint8_t *out, size_t room,
                    size_t *ret_n);

/* --- btrfs_unused.c
 * -------------------------------------------------------------------------- */
int rh_btrfs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err);
struct rh_unused_out;
/* 1: the maps do not agree with themselves. */
int rh_btrfs_unused(struct rh_fs *fs, struct rh_unused_out *out,
                    rh_error **err);

#endif
