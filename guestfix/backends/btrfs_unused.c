/* btrfs_unused.c - which bytes of a btrfs nothing uses, and how many there are.
 *
 * The tree of extents has every one in use by its logical address, and how many
 * bytes of each group of blocks (there is one for each chunk) they are in all:
 * that sum must be theirs.  What no chunk lies on is unused, too, but for the
 * first MiB, which is left to boot loaders, and the superblocks. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "guestfix/backends/btrfs.h"
#include "guestfix/backends/unused.h"

enum { SUPER_BYTES = 65536, GROUP_BYTES = 24 };
/* The superblocks behind the first MiB. */
static const uint64_t supers[] = {1ULL << 26, 1ULL << 38};

struct maps {
    struct rh_fs *fs;
    struct rh_btrfs *b;
    struct rh_btrfs_tree extents, groups;
};

/* 1: there is no such tree. */
static int find_maps(struct rh_fs *fs, struct maps *m, rh_error **err)
{
    enum { GROUP_TREE = 8 }; /* of the features */
    struct rh_btrfs *b = rh_btrfs_of(fs);
    int r;

    m->fs = fs;
    m->b = b;
    r = rh_btrfs_find_tree(fs, RH_BTRFS_EXTENT_TREE, &m->extents, err);
    m->groups = m->extents;
    if (r > 0 && b->compat_ro & GROUP_TREE)
        r = rh_btrfs_find_tree(fs, RH_BTRFS_GROUP_TREE, &m->groups, err);
    return r < 0 ? -1 : !r;
}

/* Bytes in use of the chunk's group.  1: it has none. */
static int used_of(struct maps *m, const struct rh_btrfs_chunk *c,
                   struct rh_btrfs_cursor *at, uint64_t *ret, rh_error **err)
{
    int r = rh_btrfs_find(m->fs, &m->groups, c->logical, RH_BTRFS_BLOCK_GROUP,
                          c->length, at, err);

    if (r <= 0)
        return r < 0 ? -1 : 1;
    if (at->size < GROUP_BYTES || rh_le64(at->data) > c->length)
        return 1;
    *ret = rh_le64(at->data);
    return 0;
}

/* As statfs() tells it: free in groups for data, and what no chunk takes. */
int rh_btrfs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor at = {0};
    struct maps m;
    uint64_t sum = 0, copies = 1;
    int r = find_maps(fs, &m, err);

    for (size_t i = 0; r == 0 && i < m.b->chunks.count; i++) {
        const struct rh_btrfs_chunk *c = &m.b->chunks.items[i];
        uint64_t used;

        if (!(c->type & RH_BTRFS_DATA))
            continue;
        copies = c->copy_count;
        r = used_of(&m, c, &at, &used, err);
        if (r == 0)
            sum += c->length - used;
    }
    if (r)
        return r < 0 ? -1
                     : rh_btrfs_damaged(fs, _("its map of chunks is damaged"),
                                        err);
    if (m.b->device_bytes > m.b->device_used &&
        m.b->device_bytes - m.b->device_used > RH_MIB)
        sum += (m.b->device_bytes - m.b->device_used - RH_MIB) / copies;
    *ret = RH_MIN(sum, rh_volume_bytes(fs->volume));
    return 0;
}

/* --- runs of nothing
 * ----------------------------------------------------------------------- */
/* Bytes of the device, but for the superblocks in them. */
static void add_run(struct rh_unused_out *out, uint64_t start, uint64_t end)
{
    start = RH_MAX(start, (uint64_t)RH_MIB);
    for (size_t i = 0; i < RH_COUNT(supers) && start < end; i++) {
        uint64_t behind = supers[i] + SUPER_BYTES;

        if (behind <= start || supers[i] >= end)
            continue;
        if (start < supers[i])
            rh_unused_add(out, start, supers[i]);
        start = behind;
    }
    if (start < end)
        rh_unused_add(out, start, end);
}

static void add_logical(struct rh_unused_out *out,
                        const struct rh_btrfs_chunk *c, uint64_t start,
                        uint64_t end)
{
    for (unsigned i = 0; i < c->copy_count; i++)
        add_run(out, c->copies[i] + (start - c->logical),
                c->copies[i] + (end - c->logical));
}

/* What lies between the extents of one chunk.  1: they are not in order, or
 * their sum is another. */
static int add_chunk(struct maps *m, const struct rh_btrfs_chunk *c,
                     struct rh_btrfs_cursor *at, struct rh_unused_out *out,
                     rh_error **err)
{
    struct rh_btrfs_key key = {c->logical, 0, 0};
    uint64_t end = c->logical + c->length, done = c->logical, used, sum = 0;
    int r = used_of(m, c, at, &used, err);

    if (r)
        return r;
    for (r = rh_btrfs_seek(m->fs, &m->extents, &key, at, err);
         r > 0 && at->key.id < end; r = rh_btrfs_next(m->fs, at, err)) {
        uint64_t n =
            at->key.type == RH_BTRFS_EXTENT ? at->key.offset : m->b->node;

        if (at->key.type != RH_BTRFS_EXTENT &&
            at->key.type != RH_BTRFS_METADATA)
            continue;
        if (at->key.id < done || !n || n > end - at->key.id)
            return 1;
        add_logical(out, c, done, at->key.id);
        done = at->key.id + n;
        sum += n;
    }
    if (r < 0)
        return -1;
    add_logical(out, c, done, end);
    return sum != used;
}

/* --- what no chunk lies on
 * ---------------------------------------------------------------- */
struct stripe {
    uint64_t at, length;
};

static int by_place(const void *a, const void *b)
{
    const struct stripe *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* 1: two chunks lie on the same bytes, or the device counts others. */
static int add_rest(struct rh_btrfs *b, struct rh_unused_out *out)
{
    RH_VEC(struct stripe) all = {0};
    uint64_t done = 0, sum = 0;
    int r = 0;

    for (size_t i = 0; i < b->chunks.count; i++)
        for (unsigned k = 0; k < b->chunks.items[i].copy_count; k++)
            *rh_vec_add(&all) = (struct stripe){b->chunks.items[i].copies[k],
                                                b->chunks.items[i].length};
    if (all.count)
        qsort(all.items, all.count, sizeof *all.items, by_place);
    for (size_t i = 0; i < all.count && !r; i++) {
        r = all.items[i].at < done;
        if (!r)
            add_run(out, done, all.items[i].at);
        done = all.items[i].at + all.items[i].length;
        sum += all.items[i].length;
    }
    free(all.items);
    if (r || sum != b->device_used || done > b->device_bytes)
        return 1;
    add_run(out, done, b->device_bytes);
    return 0;
}

int rh_btrfs_unused(struct rh_fs *fs, struct rh_unused_out *out, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor at = {0};
    struct maps m;
    int r = find_maps(fs, &m, err);

    for (size_t i = 0; r == 0 && i < m.b->chunks.count; i++)
        r = add_chunk(&m, &m.b->chunks.items[i], &at, out, err);
    return r ? r : add_rest(m.b, out);
}
