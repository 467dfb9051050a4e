/* zpool_objects.c - objects of a pool's meta object set: where their blocks
 * are, what their ZAPs list, and which dataset the property bootfs names.
 *
 * Object 1 is the directory: "pool_props" has "bootfs", the number of a
 * dataset; its directory knows its parent, whose list of children has its name.
 * A ZAP is searched from end to end, as its hash is nothing to rely on. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "volumes/zpool.h"

enum {
    DNODE = 512,
    BONUS_AT = 64, /* behind so many pointers */
    LEVELS_MAX = 8,
    DIRECTORY = 1,      /* object number */
    DSL_DIR = 12,       /* kinds of objects, and of their bonus */
    DSL_DATASET = 16,   /* ... */
    ZAP_OF_A_DIR = 196, /* a DSL directory that is a ZAP as well */
    ZAP_BLOCKS_MAX = 65536,
    DEPTH_MAX = 64, /* of datasets; ZFS allows 50 */
    NAME_MAX_ = 255,
    CHUNK = 24,
    CHUNK_BYTES = 21,
    LEAF_HEAD = 48,
    ENTRY_CHUNK = 252,
    ARRAY_CHUNK = 251,
    MICRO_ENTRY = 64,
};
static const uint64_t micro = UINT64_C(1) << 63 | 3,
                      fat = UINT64_C(1) << 63 | 1, leaf = UINT64_C(1) << 63;
static const uint32_t leaf_magic = 0x2ab1eaf;

struct dnode {
    uint8_t bytes[DNODE];
    bool big;
};

static uint64_t last_block(const struct dnode *d)
{
    return rh_zpool_64(d->bytes + 16, d->big);
}
static size_t block_size(const struct dnode *d)
{
    return (size_t)rh_zpool_16(d->bytes + 8, d->big) * 512;
}

static struct rh_zpool_pointer pointer_at(const uint8_t *p, bool big)
{
    struct rh_zpool_pointer r = {.big = big};

    memcpy(r.bytes, p, sizeof r.bytes);
    return r;
}

/* --- blocks of an object
 * ------------------------------------------------------ */
/* Block `n`; past the end and in a hole there is none. */
static int read_data(struct rh_zpool *z, const struct dnode *d, uint64_t n,
                     struct rh_zpool_block *ret, rh_error **err)
{
    unsigned shift = d->bytes[1], levels = d->bytes[2], pointers = d->bytes[3];
    unsigned each; /* bits of a block's number that one level tells */
    struct rh_zpool_pointer p;
    uint64_t first;

    *ret = (struct rh_zpool_block){0};
    if (n > last_block(d))
        return 1;
    if (shift < 10 || shift > 20 || !levels || levels > LEVELS_MAX ||
        !pointers || pointers > 3 || !block_size(d))
        return rh_zpool_damaged(z);
    each = shift - 7;
    first = (levels - 1) * each < 64 ? n >> (levels - 1) * each : 0;
    if (first >= pointers)
        return rh_zpool_damaged(z);
    p = pointer_at(d->bytes + BONUS_AT + first * RH_ZPOOL_POINTER, d->big);
    for (unsigned level = levels - 1; level > 0; level--) {
        RH_AUTO(rh_zpool_block_free) struct rh_zpool_block b = {0};
        unsigned down = (level - 1) * each;
        size_t i = down < 64 ? (size_t)(n >> down & ((1U << each) - 1)) : 0;
        int r = rh_zpool_read_block(z, &p, level, &b, err);

        if (r <= 0 || !b.bytes)
            return r;
        if ((i + 1) * RH_ZPOOL_POINTER > b.size)
            return rh_zpool_damaged(z);
        p = pointer_at(b.bytes + i * RH_ZPOOL_POINTER, b.big);
    }
    return rh_zpool_read_block(z, &p, 0, ret, err);
}

static int read_dnode(struct rh_zpool *z, const struct dnode *set,
                      uint64_t object, struct dnode *ret, rh_error **err)
{
    RH_AUTO(rh_zpool_block_free) struct rh_zpool_block b = {0};
    size_t each = block_size(set) / DNODE, at;
    int r;

    if (!each || !object)
        return rh_zpool_damaged(z);
    r = read_data(z, set, object / each, &b, err);
    if (r <= 0)
        return r;
    at = (size_t)(object % each) * DNODE;
    if (!b.bytes || at + DNODE > b.size || !b.bytes[at])
        return rh_zpool_damaged(z);
    memcpy(ret->bytes, b.bytes + at, DNODE);
    ret->big = b.big;
    return 1;
}

/* The bonus, of at least `n` bytes and of this kind; NULL: it has none. */
static const uint8_t *bonus(const struct dnode *d, unsigned kind, size_t n)
{
    size_t at = BONUS_AT + (size_t)d->bytes[3] * RH_ZPOOL_POINTER;

    return d->bytes[4] == kind && at + n <= DNODE &&
                   rh_zpool_16(d->bytes + 10, d->big) >= n
               ? d->bytes + at
               : NULL;
}

/* --- ZAPs
 * --------------------------------------------------------------------- */
/* What is looked for in one ZAP: a value by its name, or a name by its
 * value. */
struct search {
    const char *name; /* NULL: by value */
    uint64_t value;
    char found[NAME_MAX_ + 1];
    bool there;
};

static void weigh(struct search *s, const char *name, uint64_t value)
{
    if (s->there || (s->name ? strcmp(name, s->name) : value != s->value))
        return;
    s->there = true;
    s->value = value;
    snprintf(s->found, sizeof s->found, "%s", name);
}

static void search_micro(const struct rh_zpool_block *b, struct search *s)
{
    for (size_t at = MICRO_ENTRY; at + MICRO_ENTRY <= b->size;
         at += MICRO_ENTRY) {
        const uint8_t *p = b->bytes + at;

        if (p[14] && memchr(p + 14, 0, MICRO_ENTRY - 14))
            weigh(s, (const char *)p + 14, rh_zpool_64(p, b->big));
    }
}

/* The chunks of a leaf, behind its head and its table of hashes. */
struct leaf {
    const uint8_t *chunks;
    size_t count;
    bool big;
};

/* `n` bytes from a chain of chunks; each step takes a chunk's fill, so it ends.
 */
static bool gather(const struct leaf *l, unsigned chunk, uint8_t *to, size_t n)
{
    while (n) {
        size_t part = RH_MIN(n, (size_t)CHUNK_BYTES);
        const uint8_t *p;

        if (chunk >= l->count)
            return false;
        p = l->chunks + (size_t)chunk * CHUNK;
        if (*p != ARRAY_CHUNK)
            return false;
        memcpy(to, p + 1, part);
        to += part;
        n -= part;
        chunk = rh_zpool_16(p + 22, l->big);
    }
    return true;
}

/* An entry with a text for a name and one number of 8 bytes. */
static void search_entry(const struct leaf *l, const uint8_t *p,
                         struct search *s)
{
    char name[NAME_MAX_ + 1];
    uint8_t value[8];
    size_t n = rh_zpool_16(p + 6, l->big);

    if (p[1] != 8 || rh_zpool_16(p + 10, l->big) != 1 || n < 2 ||
        n > sizeof name ||
        !gather(l, rh_zpool_16(p + 4, l->big), (uint8_t *)name, n) ||
        !gather(l, rh_zpool_16(p + 8, l->big), value, sizeof value) ||
        memchr(name, 0, n) != name + n - 1)
        return;
    weigh(s, name, rh_be64(value)); /* in leaves, whatever the pool's order */
}

static void search_leaf(const struct rh_zpool_block *b, struct search *s)
{
    size_t table = b->size / 16; /* 2 bytes for each 32 of the leaf */
    struct leaf l = {.big = b->big};

    if (b->size < 1024 || rh_zpool_64(b->bytes, b->big) != leaf ||
        rh_zpool_32(b->bytes + 24, b->big) != leaf_magic)
        return;
    l.chunks = b->bytes + LEAF_HEAD + table;
    l.count = (b->size - LEAF_HEAD - table) / CHUNK;
    for (size_t i = 0; i < l.count && !s->there; i++)
        if (l.chunks[i * CHUNK] == ENTRY_CHUNK)
            search_entry(&l, l.chunks + i * CHUNK, s);
}

static int search_fat(struct rh_zpool *z, const struct dnode *d,
                      struct search *s, rh_error **err)
{
    if (last_block(d) > ZAP_BLOCKS_MAX)
        return rh_zpool_damaged(z);
    for (uint64_t i = 1; i <= last_block(d) && !s->there; i++) {
        RH_AUTO(rh_zpool_block_free) struct rh_zpool_block b = {0};
        int r = read_data(z, d, i, &b, err);

        if (r <= 0)
            return r;
        if (b.bytes)
            search_leaf(&b, s);
    }
    return 1;
}

static int search_zap(struct rh_zpool *z, const struct dnode *d,
                      struct search *s, rh_error **err)
{
    RH_AUTO(rh_zpool_block_free) struct rh_zpool_block b = {0};
    uint64_t kind;
    int r = read_data(z, d, 0, &b, err);

    if (r <= 0)
        return r;
    kind = b.bytes && b.size >= MICRO_ENTRY ? rh_zpool_64(b.bytes, b.big) : 0;
    if (kind == micro)
        search_micro(&b, s);
    else if (kind == fat)
        return search_fat(z, d, s, err);
    else
        return rh_zpool_damaged(z);
    return 1;
}

static int search_object(struct rh_zpool *z, const struct dnode *set,
                         uint64_t object, struct search *s, rh_error **err)
{
    struct dnode d;
    int r = read_dnode(z, set, object, &d, err);

    return r > 0 ? search_zap(z, &d, s, err) : r;
}

/* *ret stays where it is not listed. */
static int value_of(struct rh_zpool *z, const struct dnode *set,
                    uint64_t object, const char *name, uint64_t *ret,
                    rh_error **err)
{
    struct search s = {.name = name};
    int r = search_object(z, set, object, &s, err);

    if (r > 0 && s.there)
        *ret = s.value;
    return r;
}

/* --- datasets
 * ----------------------------------------------------------------- */
/* What zfs(8) lets a part of a name be. */
static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                            "XYZ0123456789_-.: ");

    return n && !name[n];
}

struct dir {
    struct dnode d;
    uint64_t head, parent, children; /* object numbers */
};

static int read_dir(struct rh_zpool *z, const struct dnode *set,
                    uint64_t object, struct dir *ret, rh_error **err)
{
    int r = read_dnode(z, set, object, &ret->d, err);
    const uint8_t *p = r > 0 ? bonus(&ret->d, DSL_DIR, 40) : NULL;

    if (r <= 0)
        return r;
    if (!p)
        return rh_zpool_damaged(z);
    ret->head = rh_zpool_64(p + 8, ret->d.big);
    ret->parent = rh_zpool_64(p + 16, ret->d.big);
    ret->children = rh_zpool_64(p + 32, ret->d.big);
    return 1;
}

/* Names from the dataset's own up to the one below the pool's. */
static int name_dir(struct rh_zpool *z, const struct dnode *set,
                    uint64_t object, uint64_t parent, uint64_t root, char **ret,
                    rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_strdup("");

    for (unsigned depth = 0; parent; depth++) {
        struct search s = {.value = object};
        struct dir up;
        char *longer;
        int r = depth < DEPTH_MAX ? read_dir(z, set, parent, &up, err)
                                  : rh_zpool_damaged(z);

        if (r > 0)
            r = search_object(z, set, up.children, &s, err);
        if (r <= 0)
            return r;
        if (!s.there || !is_name(s.found))
            return rh_zpool_damaged(z);
        longer = rh_printf("%s%s%s", s.found, *name ? "/" : "", name);
        free(name);
        name = longer;
        object = parent;
        parent = up.parent;
    }
    if (object != root)
        return rh_zpool_damaged(z);
    *ret = RH_TAKE(name);
    return 1;
}

static int name_dataset(struct rh_zpool *z, const struct dnode *set,
                        uint64_t object, uint64_t root,
                        struct rh_zpool_bootfs *ret, rh_error **err)
{
    struct dnode d;
    struct dir dir;
    uint64_t key = 0, at;
    const uint8_t *p;
    int r = read_dnode(z, set, object, &d, err);

    if (r <= 0)
        return r;
    p = bonus(&d, DSL_DATASET, 8);
    if (!p)
        return rh_zpool_damaged(z);
    at = rh_zpool_64(p, d.big);
    r = read_dir(z, set, at, &dir, err);
    if (r > 0 && dir.d.bytes[0] == ZAP_OF_A_DIR) {
        struct search s = {.name = "com.datto:crypto_key_obj"};

        r = search_zap(z, &dir.d, &s, err);
        key = s.there;
    }
    if (r <= 0)
        return r;
    if (dir.head != object)
        return rh_zpool_cannot(z, _("its property bootfs names a snapshot"));
    r = name_dir(z, set, at, dir.parent, root, &ret->name, err);
    ret->encrypted = key != 0;
    return r;
}

int rh_zpool_find_bootfs(struct rh_zpool *z, const struct rh_zpool_pointer *p,
                         struct rh_zpool_bootfs *ret, rh_error **err)
{
    RH_AUTO(rh_zpool_block_free) struct rh_zpool_block b = {0};
    struct dnode set;
    uint64_t root = 0, properties = 0, bootfs = 0;
    int r = rh_zpool_read_block(z, p, 0, &b, err);

    if (r <= 0)
        return r;
    if (!b.bytes || b.size < DNODE)
        return rh_zpool_damaged(z);
    memcpy(set.bytes, b.bytes, DNODE);
    set.big = b.big;
    r = value_of(z, &set, DIRECTORY, "root_dataset", &root, err);
    if (r > 0)
        r = value_of(z, &set, DIRECTORY, "pool_props", &properties, err);
    if (r > 0 && properties)
        r = value_of(z, &set, properties, "bootfs", &bootfs, err);
    if (r <= 0)
        return r;
    if (!bootfs)
        return rh_zpool_cannot(z, _("its property bootfs is not set"));
    return name_dataset(z, &set, bootfs, root, ret, err);
}
