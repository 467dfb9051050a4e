/* btrfs_tree.c - blocks of btrfs' trees, and items by their keys.
 *
 * A block counts only with the checksum, address, level and generation that its
 * parent expects, and when it begins with the key that the parent has for it:
 * so no block is met twice on one level, and every walk ends. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/btrfs.h"

enum { HEAD = 101, KEY_BYTES = 17, ITEM_BYTES = 25, POINTER_BYTES = 33 };

/* --- addresses
 * -------------------------------------------------------------------- */
const struct rh_btrfs_chunk *rh_btrfs_chunk_of(const struct rh_btrfs *b,
                                               uint64_t logical)
{
    size_t low = 0, high = b->chunks.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct rh_btrfs_chunk *c = &b->chunks.items[mid];

        if (logical < c->logical)
            high = mid;
        else if (logical - c->logical >= c->length)
            low = mid + 1;
        else
            return c;
    }
    return NULL;
}

int rh_btrfs_read(struct rh_fs *fs, uint64_t logical, void *to, size_t n,
                  unsigned copy, rh_error **err)
{
    const struct rh_btrfs_chunk *c =
        rh_btrfs_chunk_of(rh_btrfs_of(fs), logical);
    uint64_t within = c ? logical - c->logical : 0;

    if (!c || n > c->length - within)
        return rh_btrfs_damaged(fs, _("an address lies outside its chunks"),
                                err);
    if (copy >= c->copy_count)
        return 1;
    return rh_volume_read(fs->disks, fs->volume, to, n,
                          c->copies[copy] + within, err);
}

/* --- blocks
 * ------------------------------------------------------------------------ */
static struct rh_btrfs_key key_at(const uint8_t *p)
{
    return (struct rh_btrfs_key){rh_le64(p), p[8], rh_le64(p + 9)};
}

static int compare(const struct rh_btrfs_key *a, const struct rh_btrfs_key *b)
{
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static uint32_t count_of(const uint8_t *block)
{
    return rh_le32(block + 0x60);
}

static const uint8_t *entry_of(const uint8_t *block, uint32_t i)
{
    return block + HEAD +
           (size_t)i * (block[0x64] ? POINTER_BYTES : ITEM_BYTES);
}

static bool ascends(const uint8_t *block)
{
    for (uint32_t i = 1; i < count_of(block); i++) {
        struct rh_btrfs_key a = key_at(entry_of(block, i - 1));
        struct rh_btrfs_key b = key_at(entry_of(block, i));

        if (compare(&a, &b) >= 0)
            return false;
    }
    return true;
}

/* Items' bytes lie from the end on downwards, and not over their list. */
static bool items_fit(const uint8_t *block, uint32_t room)
{
    uint32_t end = room, list = count_of(block) * (uint32_t)ITEM_BYTES;

    for (uint32_t i = 0; i < count_of(block); i++) {
        uint32_t offset = rh_le32(entry_of(block, i) + KEY_BYTES);
        uint32_t size = rh_le32(entry_of(block, i) + KEY_BYTES + 4);

        if (offset < list || offset > end || size != end - offset)
            return false;
        end = offset;
    }
    return true;
}

struct want {
    uint64_t block, generation;
    uint8_t level;
};

static bool is_wanted(const uint8_t *block, const struct want *w)
{
    return rh_le64(block + 0x30) == w->block && block[0x64] == w->level &&
           rh_le64(block + 0x50) == w->generation;
}

static bool is_sound(const struct rh_btrfs *b, const uint8_t *block,
                     const struct want *w)
{
    uint32_t room = b->node - HEAD, count = count_of(block);

    return is_wanted(block, w) && !memcmp(block + 0x20, b->id, 16) &&
           count <= room / (w->level ? POINTER_BYTES : ITEM_BYTES) &&
           (count || !w->level) && rh_btrfs_sum_fits(b->sum, block, b->node) &&
           ascends(block) && (w->level || items_fit(block, room));
}

/* Held until the next one is asked for. */
static const uint8_t *block_of(struct rh_fs *fs, const struct want *w,
                               rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(fs);
    struct rh_btrfs_block *held =
        &b->cache[w->block / b->node % RH_BTRFS_CACHE];
    rh_lib *lib = rh_disks_lib(fs->disks);
    int r = 0;

    if (held->at == w->block && w->block && is_wanted(held->bytes, w))
        return held->bytes;
    if (lib && rh_go_on(lib, err) < 0)
        return NULL;
    if (!held->bytes)
        held->bytes = rh_malloc(b->node);
    held->at = 0;
    for (unsigned copy = 0; r == 0; copy++) {
        r = w->block % b->sector
                ? 1
                : rh_btrfs_read(fs, w->block, held->bytes, b->node, copy, err);
        if (r == 0 && is_sound(b, held->bytes, w)) {
            held->at = w->block;
            return held->bytes;
        }
    }
    if (r > 0)
        rh_btrfs_damaged(fs, _("a block of its trees is damaged"), err);
    return NULL;
}

/* --- items
 * ------------------------------------------------------------------------- */
void rh_btrfs_cursor_free(struct rh_btrfs_cursor *c)
{
    free(c->leaf);
    c->leaf = NULL;
}

static void take_item(struct rh_btrfs_cursor *c)
{
    const uint8_t *p = entry_of(c->leaf, c->slot);

    c->key = key_at(p);
    c->data = c->leaf + HEAD + rh_le32(p + KEY_BYTES);
    c->size = rh_le32(p + KEY_BYTES + 4);
}

/* The first entry that is not before `key`. */
static uint32_t find_slot(const uint8_t *block, const struct rh_btrfs_key *key)
{
    uint32_t low = 0, high = count_of(block);

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        struct rh_btrfs_key k = key_at(entry_of(block, mid));

        if (compare(&k, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The child that `key` would be in; what follows it is noted in the cursor. */
static void go_down(const uint8_t *block, const struct rh_btrfs_key *key,
                    struct rh_btrfs_cursor *c, struct want *w,
                    struct rh_btrfs_key *ret_first)
{
    uint32_t slot = find_slot(block, key);
    const uint8_t *p;

    if (slot < count_of(block)) {
        struct rh_btrfs_key k = key_at(entry_of(block, slot));

        if (slot && compare(&k, key))
            slot--;
    } else {
        slot--;
    }
    if (slot + 1 < count_of(block)) {
        c->more = true;
        c->next = key_at(entry_of(block, slot + 1));
    }
    p = entry_of(block, slot);
    *ret_first = key_at(p);
    w->block = rh_le64(p + KEY_BYTES);
    w->generation = rh_le64(p + KEY_BYTES + 8);
    w->level--;
}

static int find_leaf(struct rh_fs *fs, const struct rh_btrfs_key *key,
                     struct rh_btrfs_cursor *c, rh_error **err)
{
    struct want w = {c->tree->block, c->tree->generation, c->tree->level};
    struct rh_btrfs_key first = {0};
    bool below = false;

    for (c->more = false;; below = true) {
        const uint8_t *block = block_of(fs, &w, err);
        struct rh_btrfs_key k = {0};

        if (!block)
            return -1;
        if (count_of(block))
            k = key_at(entry_of(block, 0));
        if (below && (!count_of(block) || compare(&k, &first)))
            return rh_btrfs_damaged(fs, _("a block of its trees is damaged"),
                                    err);
        if (w.level) {
            go_down(block, key, c, &w, &first);
            continue;
        }
        if (!c->leaf)
            c->leaf = rh_malloc(rh_btrfs_of(fs)->node);
        memcpy(c->leaf, block, rh_btrfs_of(fs)->node);
        c->count = count_of(block);
        c->slot = find_slot(block, key);
        return 0;
    }
}

int rh_btrfs_seek(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                  const struct rh_btrfs_key *key, struct rh_btrfs_cursor *c,
                  rh_error **err)
{
    struct rh_btrfs_key to = *key;

    c->tree = tree;
    for (;;) {
        if (find_leaf(fs, &to, c, err) < 0)
            return -1;
        if (c->slot < c->count)
            break;
        if (!c->more)
            return 0;
        to = c->next; /* behind `to`: the child was before it */
    }
    take_item(c);
    return 1;
}

int rh_btrfs_next(struct rh_fs *fs, struct rh_btrfs_cursor *c, rh_error **err)
{
    struct rh_btrfs_key to = c->next, last = c->key;

    if (++c->slot < c->count) {
        take_item(c);
        return 1;
    }
    if (!c->more)
        return 0;
    /* A leaf that holds more than its parent says is no way back. */
    if (compare(&to, &last) <= 0)
        return rh_btrfs_damaged(fs, _("a block of its trees is damaged"), err);
    return rh_btrfs_seek(fs, c->tree, &to, c, err);
}

int rh_btrfs_find(struct rh_fs *fs, const struct rh_btrfs_tree *tree,
                  uint64_t id, uint8_t type, uint64_t offset,
                  struct rh_btrfs_cursor *c, rh_error **err)
{
    struct rh_btrfs_key key = {id, type, offset};
    int r = rh_btrfs_seek(fs, tree, &key, c, err);

    return r > 0 ? !compare(&c->key, &key) : r;
}

/* --- trees
 * ------------------------------------------------------------------------- */
/* A snapshot's item bears the generation in which it was made: the last one
 * counts. */
int rh_btrfs_find_tree(struct rh_fs *fs, uint64_t id, struct rh_btrfs_tree *ret,
                       rh_error **err)
{
    enum { OLD_BYTES = 239 };
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_btrfs_key first = {id, RH_BTRFS_ROOT, 0};
    const struct rh_btrfs_tree *roots = &rh_btrfs_of(fs)->root_tree;
    bool found = false;
    int r = rh_btrfs_seek(fs, roots, &first, &c, err);

    for (; r > 0 && c.key.id == id && c.key.type == RH_BTRFS_ROOT;
         r = rh_btrfs_next(fs, &c, err)) {
        if (c.size < OLD_BYTES || c.data[238] >= 8)
            return rh_btrfs_damaged(fs, _("one of its trees is damaged"), err);
        *ret = (struct rh_btrfs_tree){.id = id,
                                      .block = rh_le64(c.data + 176),
                                      .generation = rh_le64(c.data + 160),
                                      .root_dir = rh_le64(c.data + 168),
                                      .level = c.data[238],
                                      .read_only = rh_le64(c.data + 208) & 1};
        found = rh_le32(c.data + 216) != 0; /* else it is being deleted */
    }
    return r < 0 ? -1 : found;
}
