/* zpool_block.c - the block that a block pointer of ZFS names: read from one
 * of its places, held against its checksum, unpacked.
 *
 * A pointer names up to three places, or holds a small block itself
 * (embedded_data).  The meta object set is packed with lzjb or lz4 alone and
 * summed with fletcher; what is not of these is told. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "volumes/zpool.h"

enum {
    PLACES = 3,
    COPIES_MAX = 32, /* sides of a mirror that are tried */
    READS_MAX = 4096,
    PROPERTY = 48, /* where words stand in a pointer */
    BIRTH = 80,
    SUM = 96,
    EMBEDDED_MAX = 112,
    FLETCHER2 = 6,
    FLETCHER4 = 7,
    SHA256 = 8,
    NO_SUM = 2,
    PLAIN = 2,
    LZJB = 3,
    LZ4 = 15,
};
static const uint64_t bytes_max = 256 * RH_MIB;

static uint64_t bits(uint64_t word, unsigned from, unsigned count)
{
    return word >> from & ((UINT64_C(1) << count) - 1);
}

/* --- checksums
 * ---------------------------------------------------------------- */
static void fletcher2(const uint8_t *p, size_t n, bool big, uint64_t ret[4])
{
    for (; n >= 16; n -= 16, p += 16) {
        ret[0] += rh_zpool_64(p, big);
        ret[1] += rh_zpool_64(p + 8, big);
        ret[2] += ret[0];
        ret[3] += ret[1];
    }
}

static void fletcher4(const uint8_t *p, size_t n, bool big, uint64_t ret[4])
{
    for (; n >= 4; n -= 4, p += 4) {
        ret[0] += rh_zpool_32(p, big);
        ret[1] += ret[0];
        ret[2] += ret[1];
        ret[3] += ret[2];
    }
}

static bool is_sha256(const uint8_t *p, size_t n, const uint64_t sum[4])
{
    char hex[65];
    RH_AUTO(rh_freep)
    char *want =
        rh_printf("%016llx%016llx%016llx%016llx", (unsigned long long)sum[0],
                  (unsigned long long)sum[1], (unsigned long long)sum[2],
                  (unsigned long long)sum[3]);

    rh_sha256_hex(p, n, hex);
    return !strcmp(hex, want);
}

static bool sum_fits(unsigned kind, const uint8_t *p, size_t n, bool big,
                     const uint64_t sum[4])
{
    uint64_t found[4] = {0};

    if (kind == NO_SUM)
        return true;
    if (kind == SHA256)
        return is_sha256(p, n, sum);
    if (kind == FLETCHER2)
        fletcher2(p, n, big, found);
    else
        fletcher4(p, n, big, found);
    return !memcmp(found, sum, sizeof found);
}

/* --- packing
 * ------------------------------------------------------------------ */
/* The byte-wise copy repeats what it has just written, as both formats mean
 * it. */
static bool repeat(uint8_t *out, size_t room, size_t *at, size_t back, size_t n)
{
    if (!back || back > *at || n > room - *at)
        return false;
    for (; n; n--, ++*at)
        out[*at] = out[*at - back];
    return true;
}

/* A byte of eight flags, then eight items: a literal byte, or two bytes that
 * repeat 3 to 66 bytes from up to 1023 before. */
bool rh_zpool_lzjb(const uint8_t *in, size_t n, uint8_t *out, size_t room)
{
    size_t i = 0, at = 0;
    unsigned flags = 0, left = 0;

    for (; at < room; flags >>= 1, left--) {
        if (!left) {
            if (i >= n)
                return false;
            flags = in[i++];
            left = 8;
        }
        if (!(flags & 1)) {
            if (i >= n)
                return false;
            out[at++] = in[i++];
            continue;
        }
        if (n - i < 2)
            return false;
        /* The last match may reach beyond what was packed. */
        if (!repeat(out, room, &at, (size_t)(in[i] & 3) << 8 | in[i + 1],
                    RH_MIN((size_t)(in[i] >> 2) + 3, room - at)))
            return false;
        i += 2;
    }
    return true;
}

/* A length of 15 goes on in bytes until one is not 255. */
static bool lz4_length(const uint8_t *in, size_t n, size_t *i, size_t *length)
{
    uint8_t more = 255;

    if (*length != 15)
        return true;
    while (more == 255) {
        if (*i >= n)
            return false;
        more = in[(*i)++];
        *length += more; /* n of them at most: no overflow */
    }
    return true;
}

/* One block of LZ4 behind its size, which is big-endian. */
bool rh_zpool_lz4(const uint8_t *in, size_t n, uint8_t *out, size_t room)
{
    size_t i = 0, at = 0;

    if (n < 4 || rh_be32(in) > n - 4)
        return false;
    n = rh_be32(in);
    in += 4;
    while (i < n) {
        uint8_t token = in[i++];
        size_t literals = token >> 4, match = token & 15;

        if (!lz4_length(in, n, &i, &literals) || literals > n - i ||
            literals > room - at)
            return false;
        memcpy(out + at, in + i, literals);
        i += literals;
        at += literals;
        if (i == n)
            break;
        if (n - i < 2)
            return false;
        i += 2;
        size_t back = rh_le16(in + i - 2);
        if (!lz4_length(in, n, &i, &match) ||
            !repeat(out, room, &at, back, match + 4))
            return false;
    }
    return at == room;
}

/* Takes `packed`, which is `n` bytes. */
static int unpack(struct rh_zpool *z, unsigned how, uint8_t *packed, size_t n,
                  struct rh_zpool_block *ret)
{
    RH_AUTO(rh_freep) uint8_t *in = packed;
    RH_AUTO(rh_freep) uint8_t *out = NULL;

    if (how == PLAIN) {
        if (n != ret->size)
            return rh_zpool_damaged(z);
        ret->bytes = RH_TAKE(in);
        return 1;
    }
    if (how != LZJB && how != LZ4)
        return rh_zpool_cannot(z, _("it is compressed in an unknown way"));
    out = rh_calloc(1, ret->size);
    if (!(how == LZ4 ? rh_zpool_lz4 : rh_zpool_lzjb)(in, n, out, ret->size))
        return rh_zpool_damaged(z);
    ret->bytes = RH_TAKE(out);
    return 1;
}

/* --- where it lies
 * ------------------------------------------------------------ */
struct wanted {
    const struct rh_zpool_pointer *p;
    uint64_t property, sum[4];
    size_t size; /* on disk */
};

static uint64_t word(const struct rh_zpool_pointer *p, unsigned at)
{
    return rh_zpool_64(p->bytes + at, p->big);
}

/* One place from one side. */
static int try_copy(struct rh_zpool *z, const struct wanted *w, uint64_t vdev,
                    uint64_t at, unsigned copy, struct rh_zpool_block *ret,
                    rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    int r;

    if (z->lib && rh_go_on(z->lib, err) < 0)
        return -1;
    if (z->reads >= READS_MAX || z->bytes > bytes_max)
        return rh_zpool_cannot(z, _("it is too large, or leads in a circle"));
    z->reads++;
    z->bytes += ret->size; /* unpacked, which is no less */
    bytes = rh_calloc(1, w->size);
    r = z->read(z->from, (uint32_t)vdev, at, copy, bytes, w->size, err);
    if (r <= 0)
        return r;
    if (!z->trusting && !sum_fits((unsigned)bits(w->property, 40, 8), bytes,
                                  w->size, ret->big, w->sum))
        return rh_zpool_damaged(z);
    return unpack(z, (unsigned)bits(w->property, 32, 7), RH_TAKE(bytes),
                  w->size, ret);
}

static int try_place(struct rh_zpool *z, const struct wanted *w, unsigned place,
                     struct rh_zpool_block *ret, rh_error **err)
{
    uint64_t head = word(w->p, place * 16), at = word(w->p, place * 16 + 8);
    int r = 0;

    if (at >> 63)
        return rh_zpool_cannot(z, _("it lies in scattered pieces (a gang "
                                    "block)"));
    if (at >> 54)
        return rh_zpool_damaged(z);
    for (unsigned copy = 0; r == 0 && copy < COPIES_MAX; copy++) {
        const char *why = z->why;

        z->why = NULL;
        r = try_copy(z, w, bits(head, 32, 24), at << 9, copy, ret, err);
        if (r == 0 && !z->why) { /* no such side */
            z->why = why;
            break;
        }
    }
    return r;
}

/* What is in the pointer itself: all words but two, as the low byte of each
 * comes first. */
static int read_embedded(struct rh_zpool *z, const struct rh_zpool_pointer *p,
                         uint64_t property, struct rh_zpool_block *ret)
{
    size_t packed = (size_t)bits(property, 25, 7) + 1, n = 0;
    uint8_t *bytes;

    ret->size = (size_t)bits(property, 0, 25) + 1;
    if (bits(property, 40, 8) || packed > EMBEDDED_MAX ||
        ret->size > RH_ZPOOL_BLOCK_MAX)
        return rh_zpool_damaged(z);
    bytes = rh_calloc(1, EMBEDDED_MAX);
    for (unsigned at = 0; at < RH_ZPOOL_POINTER; at += 8) {
        if (at == PROPERTY || at == BIRTH)
            continue;
        rh_put_le64(bytes + n, word(p, at));
        n += 8;
    }
    return unpack(z, (unsigned)bits(property, 32, 7), bytes, packed, ret);
}

static int read_places(struct rh_zpool *z, struct wanted *w,
                       struct rh_zpool_block *ret, rh_error **err)
{
    unsigned kind = (unsigned)bits(w->property, 40, 8);
    int r = 0;

    ret->size = ((size_t)bits(w->property, 0, 16) + 1) * 512;
    w->size = ((size_t)bits(w->property, 16, 16) + 1) * 512;
    if (ret->size > RH_ZPOOL_BLOCK_MAX || w->size > ret->size)
        return rh_zpool_damaged(z);
    if (kind != NO_SUM && kind != FLETCHER2 && kind != FLETCHER4 &&
        kind != SHA256)
        return rh_zpool_cannot(z, _("its checksums are of an unknown kind"));
    for (unsigned i = 0; i < 4; i++)
        w->sum[i] = word(w->p, SUM + i * 8);
    for (unsigned i = 0; r == 0 && i < PLACES; i++)
        if (word(w->p, i * 16) || word(w->p, i * 16 + 8))
            r = try_place(z, w, i, ret, err);
    if (r == 0 && !z->why)
        z->why = _("a part of it lies on a disk that is not here");
    return r;
}

int rh_zpool_read_block(struct rh_zpool *z, const struct rh_zpool_pointer *p,
                        unsigned level, struct rh_zpool_block *ret,
                        rh_error **err)
{
    uint64_t property = word(p, PROPERTY);
    struct wanted w = {.p = p, .property = property};
    bool embedded = bits(property, 39, 1);

    *ret = (struct rh_zpool_block){.big = !bits(property, 63, 1)};
    if (!embedded && rh_all_zero(p->bytes, 16)) {
        return 1; /* a hole */
    }
    if (bits(property, 56, 5) != level)
        return rh_zpool_damaged(z);
    return embedded ? read_embedded(z, p, property, ret)
                    : read_places(z, &w, ret, err);
}
