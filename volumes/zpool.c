/* zpool.c - which dataset a pool starts from: its newest uberblock, and how
 * its disks hold what that points at.
 *
 * Each label ends in a ring of uberblocks, which carry their own checksum; the
 * one with the highest number of its transaction counts.  A raidz is read
 * without its parity: all its disks are here, or it is not read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/zpool.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "volumes/volumes.h"

enum {
    LABEL = 256 * 1024,
    LABELS = 4,
    RING_AT = 128 * 1024,
    RING = 128 * 1024,
    FRONT = 4 * 1024 * 1024, /* two labels and room for a boot block */
    POINTER_AT = 40,
    SEAL = 40, /* magic and checksum at a block's end */
    ASHIFT_LEAST = 9,
    RING_SHIFT_LEAST = 10,
    RING_SHIFT_MOST = 13,
};
static const uint64_t magic = 0x00bab10c, seal_magic = 0x0210da7ab10c7a11;

struct pool {
    struct rh_disks *disks;
    const struct rh_zfs_label *label;
};

/* --- the newest uberblock
 * ----------------------------------------------------- */
struct newest {
    uint64_t txg, time;
    struct rh_zpool_pointer root;
    bool there;
};

/* SHA-256 over all of it, with its place where the checksum stands. */
static bool is_sealed(uint8_t *p, size_t n, uint64_t at, bool big)
{
    uint8_t *seal = p + n - SEAL;
    char hex[65];
    RH_AUTO(rh_freep) char *want = NULL;

    if (rh_zpool_64(seal, big) != seal_magic)
        return false;
    want = rh_printf("%016llx%016llx%016llx%016llx",
                     (unsigned long long)rh_zpool_64(seal + 8, big),
                     (unsigned long long)rh_zpool_64(seal + 16, big),
                     (unsigned long long)rh_zpool_64(seal + 24, big),
                     (unsigned long long)rh_zpool_64(seal + 32, big));
    memset(seal + 8, 0, SEAL - 8);
    if (big)
        rh_put_be64(seal + 8, at);
    else
        rh_put_le64(seal + 8, at);
    rh_sha256_hex(p, n, hex);
    return !strcmp(hex, want);
}

static void weigh(struct newest *best, uint8_t *p, size_t n, uint64_t at)
{
    bool big = rh_be64(p) == magic;
    uint64_t txg = rh_zpool_64(p + 16, big), time = rh_zpool_64(p + 32, big);

    if ((!big && rh_le64(p) != magic) ||
        (best->there &&
         (txg < best->txg || (txg == best->txg && time <= best->time))) ||
        !is_sealed(p, n, at, big))
        return;
    *best = (struct newest){.txg = txg, .time = time, .there = true};
    best->root.big = big;
    memcpy(best->root.bytes, p + POINTER_AT, RH_ZPOOL_POINTER);
}

static int read_rings(struct pool *p, const struct rh_volume *v,
                      struct newest *best, rh_error **err)
{
    uint64_t size = rh_volume_bytes(v) / LABEL * LABEL;
    unsigned shift = RH_MIN(RH_MAX(v->zfs->ashift, (unsigned)RING_SHIFT_LEAST),
                            (unsigned)RING_SHIFT_MOST);
    rh_lib *lib = rh_disks_lib(p->disks);
    RH_AUTO(rh_freep) uint8_t *ring = rh_malloc(RING);

    if (size < LABELS * LABEL)
        return 0;
    for (unsigned i = 0; i < LABELS; i++) {
        uint64_t at =
            RING_AT + (i < 2 ? (uint64_t)i * LABEL : size - (4 - i) * LABEL);

        if ((lib && rh_go_on(lib, err) < 0) ||
            rh_volume_read(p->disks, v, ring, RING, at, err) < 0)
            return -1;
        for (size_t k = 0; k < RING; k += (size_t)1 << shift)
            weigh(best, ring + k, (size_t)1 << shift, at + k);
    }
    return 0;
}

/* --- bytes of a topmost vdev
 * -------------------------------------------------- */
/* 0: it ends before. */
static int read_side(struct pool *p, const struct rh_volume *v, uint64_t at,
                     uint8_t *to, size_t n, rh_error **err)
{
    uint64_t size = rh_volume_bytes(v);

    if (size < FRONT || at > size - FRONT || n > size - FRONT - at)
        return 0;
    return rh_volume_read(p->disks, v, to, n, at + FRONT, err) < 0 ? -1 : 1;
}

static const struct rh_volume *disk_of(const struct pool *p, uint64_t top,
                                       unsigned child)
{
    for (size_t i = 0; i < p->label->here_count; i++) {
        const struct rh_volume *v = p->label->here[i];

        if (v->zfs->top == top && v->zfs->child == child)
            return v;
    }
    return NULL;
}

/* A raidz of `members` disks counts sectors across them, row by row; a block
 * begins anywhere in a row with its parity, and its data goes down the columns
 * that follow.  Single parity changes places with the first of these every
 * MiB. */
static int read_raidz(struct pool *p, const struct rh_zfs_label *l, uint64_t at,
                      uint8_t *to, size_t n, rh_error **err)
{
    unsigned shift = RH_MAX(l->ashift, (unsigned)ASHIFT_LEAST);
    uint64_t unit = UINT64_C(1) << shift, first = at >> shift;
    uint64_t sectors = rh_div_up(n, unit), data, rows, rest;
    unsigned parity = RH_MAX(l->parity, 1U); /* unsaid before version 3 */
    size_t done = 0;

    if (parity >= l->members || parity > 3)
        return 0;
    data = l->members - parity;
    rows = sectors / data;
    rest = sectors % data; /* so many columns have one sector more */
    for (uint64_t c = 0; c < data && done < n; c++) {
        uint64_t place = c + parity;
        uint64_t column, side, length = (rows + (c < rest)) << shift;
        const struct rh_volume *v;
        int r;

        if (parity == 1 && at >> 20 & 1 && c == 0)
            place = 0;
        column = first % l->members + place;
        side = (first / l->members + column / l->members) << shift;
        v = disk_of(p, l->top, (unsigned)(column % l->members));
        length = RH_MIN(length, n - done);
        r = v ? read_side(p, v, side, to + done, (size_t)length, err) : 0;
        if (r <= 0)
            return r;
        done += (size_t)length;
    }
    return 1;
}

static int read_vdev(void *from, uint32_t vdev, uint64_t at, unsigned copy,
                     uint8_t *to, size_t n, rh_error **err)
{
    struct pool *p = from;

    for (size_t i = 0; i < p->label->here_count; i++) {
        const struct rh_volume *v = p->label->here[i];

        if (v->zfs->top != vdev)
            continue;
        if (!strcmp(v->zfs->vdev, "raidz"))
            return copy ? 0 : read_raidz(p, v->zfs, at, to, n, err);
        if (copy-- == 0)
            return read_side(p, v, at, to, n, err);
    }
    return 0;
}

int rh_zpool_look(struct rh_disks *d, struct rh_zfs_label *l, rh_error **err)
{
    struct pool p = {.disks = d, .label = l};
    struct rh_zpool z = {.read = read_vdev, .from = &p, .lib = rh_disks_lib(d)};
    struct rh_zpool_bootfs found = {0};
    struct newest best = {0};
    int r = 1;

    if (l->looked)
        return 0;
    for (size_t i = 0; i < l->here_count; i++)
        if (read_rings(&p, l->here[i], &best, err) < 0)
            return -1;
    if (best.there)
        r = rh_zpool_find_bootfs(&z, &best.root, &found, err);
    else
        z.why = _("it has no sound uberblock");
    if (r < 0)
        return -1;
    l->looked = true;
    l->bootfs = found.name;
    l->encrypted = found.encrypted;
    l->bootfs_why = found.name ? NULL : z.why;
    return 0;
}
