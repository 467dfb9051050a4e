/* zpool.h - a few objects of a ZFS pool's meta object set, read for one
 * question: which dataset does the system start from?
 *
 * Every byte is hostile until its checksum fits, and its sense is checked
 * after that, too.  What one question may cost is bounded (struct rh_zpool).
 * Facts: "ZFS On-Disk Specification" and OpenZFS's headers of its structures.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_VOLUMES_ZPOOL_H
#define RH_VOLUMES_ZPOOL_H

#include "base/bytes.h"
#include "base/lib.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    RH_ZPOOL_POINTER = 128,          /* bytes of a block pointer */
    RH_ZPOOL_BLOCK_MAX = 1024 * 1024 /* bytes of one block */
};

/* Functions on it give 1; 0: not to be read, and `why` (translated) says what
 * stood in the way; -1: an error of the disks, or a cancel. */
struct rh_zpool {
    /* `n` bytes at `at` of a top-level vdev, from its `copy`-th side.  1; 0:
     * it has no such side, or it ends before; -1: error. */
    int (*read)(void *from, uint32_t vdev, uint64_t at, unsigned copy,
                uint8_t *to, size_t n, rh_error **err);
    void *from;
    rh_lib *lib;   /* hears a cancel; may be NULL */
    bool trusting; /* without checksums: for the fuzzer, which cannot make them
                    */
    unsigned reads;
    uint64_t bytes; /* so far; both are bounded */
    const char *why;
};

/* A block pointer; numbers in it are in the order of the block it stands in. */
struct rh_zpool_pointer {
    uint8_t bytes[RH_ZPOOL_POINTER];
    bool big;
};
/* What it points at. */
struct rh_zpool_block {
    uint8_t *bytes; /* yours; NULL: a hole */
    size_t size;
    bool big;
};
static inline void rh_zpool_block_free(struct rh_zpool_block *b)
{
    rh_freep(&b->bytes);
}

static inline uint64_t rh_zpool_64(const uint8_t *p, bool big)
{
    return big ? rh_be64(p) : rh_le64(p);
}
static inline uint32_t rh_zpool_32(const uint8_t *p, bool big)
{
    return big ? rh_be32(p) : rh_le32(p);
}
static inline uint16_t rh_zpool_16(const uint8_t *p, bool big)
{
    return big ? rh_be16(p) : rh_le16(p);
}

/* 0, and why. */
static inline int rh_zpool_cannot(struct rh_zpool *z, const char *why)
{
    z->why = why;
    return 0;
}
static inline int rh_zpool_damaged(struct rh_zpool *z)
{
    return rh_zpool_cannot(z, _("it is damaged"));
}

/* --- zpool_block.c
 * ------------------------------------------------------------ */
/* `level`: of indirection, which the pointer must be of, too. */
int rh_zpool_read_block(struct rh_zpool *z, const struct rh_zpool_pointer *p,
                        unsigned level, struct rh_zpool_block *ret,
                        rh_error **err);
/* A whole block unpacked; false: it does not fit, or is none. */
bool rh_zpool_lz4(const uint8_t *in, size_t n, uint8_t *out, size_t room);
bool rh_zpool_lzjb(const uint8_t *in, size_t n, uint8_t *out, size_t room);

/* --- zpool_objects.c
 * ---------------------------------------------------------- */
/* What starts, by the property bootfs of the pool under this uberblock's
 * pointer; strings are the caller's to free. */
struct rh_zpool_bootfs {
    char *name; /* "ROOT/default", "" for the pool's own; NULL: not known */
    bool encrypted;
};
int rh_zpool_find_bootfs(struct rh_zpool *z, const struct rh_zpool_pointer *p,
                         struct rh_zpool_bootfs *ret, rh_error **err);

#endif
