/* btrfs_data.c - what a file of a btrfs holds: inline, in extents, compressed.
 *
 * A compressed extent is never larger than 128 KiB, packed or not; that bounds
 * what one costs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "guestfix/backends/btrfs.h"

enum {
    HEAD = 21,
    REGULAR_BYTES = 53,
    PACKED_MAX = 128 * 1024,
    PIECE = 4 * 1024 * 1024, /* read between two looks for a cancel */
};
enum { INLINE, REGULAR, PREALLOCATED };
enum { PLAIN, ZLIB, LZO, ZSTD };

struct extent {
    uint64_t at; /* in the file */
    unsigned type, packing;
    uint64_t ram;         /* bytes once unpacked */
    uint64_t block, disk; /* logical address and bytes there; 0: a hole */
    uint64_t within, n;   /* the part of it that the file has */
    const uint8_t *bytes; /* inline */
    size_t size;
};

struct file {
    struct rh_fs *fs;
    uint8_t *to;
    uint64_t size, done; /* done: extents reach so far */
    uint64_t unpacked;   /* the extent whose contents are in `plain`; 0: none */
    uint8_t *plain, *packed;
};

static int bad_extent(struct file *f, rh_error **err)
{
    return rh_btrfs_damaged(f->fs, _("a list of extents is damaged"), err);
}

/* --- unpacking
 * ----------------------------------------------------------------------- */
/* Their whole length, then segments of a sector each behind their own length,
 * which is never cut by a sector's end. */
static bool unlzo(const struct rh_btrfs *b, const uint8_t *in, size_t n,
                  uint8_t *out, size_t room, size_t *ret_n)
{
    size_t at = 4, total = n >= 4 ? rh_le32(in) : 0;

    *ret_n = 0;
    if (total < 8 || total > n)
        return false;
    while (at + 4 <= total) {
        size_t left = b->sector - at % b->sector, part, got;

        if (left < 4) {
            at += left;
            continue;
        }
        part = rh_le32(in + at);
        at += 4;
        if (!part || part > total - at ||
            !rh_btrfs_unlzo(in + at, part, out + *ret_n,
                            RH_MIN(room - *ret_n, (size_t)b->sector), &got))
            return false;
        at += part;
        *ret_n += got;
    }
    return true;
}

/* Into `plain`; what is missing at its end is zeros. */
static int unpack(struct file *f, const struct extent *x, const uint8_t *in,
                  size_t n, rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(f->fs);
    size_t got = 0;
    bool fine = false;

    if (!x->ram || x->ram > PACKED_MAX)
        return bad_extent(f, err);
    if (!b->codec)
        b->codec = rh_codec_new();
    if (!f->plain)
        f->plain = rh_malloc(PACKED_MAX);
    f->unpacked = 0;
    if (x->packing == ZLIB)
        fine = rh_inflate_zlib(b->codec, in, n, f->plain, (size_t)x->ram, &got,
                               NULL) == RH_UNPACK_OK;
    else if (x->packing == ZSTD)
        fine = rh_unzstd(b->codec, in, n, f->plain, (size_t)x->ram, &got) ==
               RH_UNPACK_OK;
    else if (x->packing == LZO)
        fine = unlzo(b, in, n, f->plain, (size_t)x->ram, &got);
    if (!fine)
        return rh_btrfs_damaged(f->fs, _("a compressed extent is damaged"),
                                err);
    memset(f->plain + got, 0, (size_t)x->ram - got);
    return 0;
}

/* --- one extent
 * ---------------------------------------------------------------------- */
static int take_inline(struct file *f, const struct extent *x, rh_error **err)
{
    const uint8_t *bytes = x->bytes;
    uint64_t n = x->packing ? x->ram : x->size;

    if (x->at)
        return bad_extent(f, err);
    if (x->packing) {
        if (unpack(f, x, x->bytes, x->size, err) < 0)
            return -1;
        bytes = f->plain;
    }
    memcpy(f->to, bytes, (size_t)RH_MIN(n, f->size));
    f->done = rh_round_up(n, rh_btrfs_of(f->fs)->sector);
    return 0;
}

static int read_pieces(struct file *f, uint64_t from, uint8_t *to, uint64_t n,
                       rh_error **err)
{
    rh_lib *lib = rh_disks_lib(f->fs->disks);

    while (n) {
        size_t part = (size_t)RH_MIN(n, (uint64_t)PIECE);

        if ((lib && rh_go_on(lib, err) < 0) ||
            rh_btrfs_read(f->fs, from, to, part, 0, err) < 0)
            return -1;
        from += part;
        to += part;
        n -= part;
    }
    return 0;
}

static int read_packed(struct file *f, const struct extent *x, uint64_t n,
                       rh_error **err)
{
    if (x->disk > PACKED_MAX || x->ram > PACKED_MAX)
        return bad_extent(f, err);
    if (f->unpacked != x->block) { /* its other parts may come next */
        if (!f->packed)
            f->packed = rh_malloc(PACKED_MAX);
        if (read_pieces(f, x->block, f->packed, x->disk, err) < 0 ||
            unpack(f, x, f->packed, (size_t)x->disk, err) < 0)
            return -1;
        memset(f->plain + x->ram, 0, (size_t)(PACKED_MAX - x->ram));
        f->unpacked = x->block;
    }
    memcpy(f->to + x->at, f->plain + x->within, (size_t)n);
    return 0;
}

static int take_regular(struct file *f, const struct extent *x, rh_error **err)
{
    uint32_t sector = rh_btrfs_of(f->fs)->sector;
    uint64_t n = RH_MIN(x->n, f->size - x->at), end, room;

    if (!x->n || x->n % sector || rh_add_overflows(x->at, x->n, &f->done))
        return bad_extent(f, err);
    if (!x->block || x->type == PREALLOCATED)
        return 0;
    room = x->packing ? x->ram : x->disk;
    if (rh_add_overflows(x->within, x->n, &end) || end > room || !x->disk)
        return bad_extent(f, err);
    return x->packing
               ? read_packed(f, x, n, err)
               : read_pieces(f, x->block + x->within, f->to + x->at, n, err);
}

static int take_extent(struct file *f, const struct rh_btrfs_cursor *c,
                       rh_error **err)
{
    const uint8_t *p = c->data;
    struct extent x = {.at = c->key.offset};

    if (c->size < HEAD || x.at % rh_btrfs_of(f->fs)->sector || x.at < f->done)
        return bad_extent(f, err);
    x.ram = rh_le64(p + 8);
    x.packing = p[16];
    x.type = p[20];
    if (p[17] || rh_le16(p + 18) || x.packing > ZSTD)
        return rh_btrfs_damaged(
            f->fs, _("a file is stored in a way that is not known here"), err);
    if (x.type == INLINE) {
        x.bytes = p + HEAD;
        x.size = c->size - HEAD;
        return take_inline(f, &x, err);
    }
    if (x.type > PREALLOCATED || c->size < REGULAR_BYTES)
        return bad_extent(f, err);
    x.block = rh_le64(p + 21);
    x.disk = rh_le64(p + 29);
    x.within = rh_le64(p + 37);
    x.n = rh_le64(p + 45);
    return take_regular(f, &x, err);
}

/* What no extent tells of is a hole, marked or not. */
int rh_btrfs_read_file(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                       uint64_t inode, uint8_t *to, size_t size, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_btrfs_key first = {inode, RH_BTRFS_EXTENT_DATA, 0};
    struct file f = {.fs = fs, .to = to, .size = size};
    int r = rh_btrfs_seek(fs, tree, &first, &c, err);

    memset(to, 0, size);
    while (r > 0 && c.key.id == inode && c.key.type == RH_BTRFS_EXTENT_DATA &&
           c.key.offset < size) {
        r = take_extent(&f, &c, err);
        if (r == 0)
            r = rh_btrfs_next(fs, &c, err);
    }
    free(f.plain);
    free(f.packed);
    return r < 0 ? -1 : 0;
}
