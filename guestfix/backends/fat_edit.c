/* fat_edit.c - files and folders put into a FAT file system, or taken out.
 *
 * Nothing is edited before the tree has been found sound.  An operation that
 * fails leaves names and clusters as they were; what was written into clusters
 * that stay free is nobody's. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/fat.h"
#include "volumes/fat_names.h"

enum {
    ENTRY = RH_FAT_ENTRY,
    SHORT = 11, /* bytes of a short name */
    TAIL_MAX = 9999,
    END = 0x0fffffff,
    DATE = (45 << 9) | (1 << 5) | 1, /* 2025-01-01: no clock in the output */
};

/* --- clusters
 * ------------------------------------------------------------------ */
static void put_entry(struct rh_fat *f, uint32_t cluster, uint32_t next)
{
    uint8_t *at;

    if (f->bits == 32) {
        at = f->table + 4 * (size_t)cluster;
        rh_put_le32(at, (rh_le32(at) & 0xf0000000) | (next & 0x0fffffff));
    } else if (f->bits == 16) {
        rh_put_le16(f->table + 2 * (size_t)cluster, (uint16_t)next);
    } else {
        uint32_t pair;

        at = f->table + cluster + cluster / 2;
        pair = rh_le16(at);
        pair = cluster % 2 ? (pair & 0xf) | (next & 0xfff) << 4
                           : (pair & 0xf000) | (next & 0xfff);
        rh_put_le16(at, (uint16_t)pair);
    }
}

static void set_next(struct rh_fat_fs *w, uint32_t cluster, uint32_t next)
{
    size_t at = (size_t)cluster * w->f.bits / 8;

    w->free -= !rh_fat_next(&w->f, cluster);
    w->free += !next;
    put_entry(&w->f, cluster, next);
    w->changed[at / 512] = true;
    if (w->f.bits == 12) /* its second byte may be the next sector's first */
        w->changed[(at + 1) / 512] = true;
}

/* Take `count` clusters as one chain; 0 when there are not as many. */
static uint32_t take_chain(struct rh_fat_fs *w, uint64_t count)
{
    uint32_t first = 0, last = 0;

    if (!count || w->free < count)
        return 0;
    for (uint32_t i = 2; i < w->f.clusters + 2 && count; i++) {
        if (rh_fat_next(&w->f, i))
            continue;
        if (last)
            set_next(w, last, i);
        else
            first = i;
        set_next(w, i, END);
        last = i;
        count--;
    }
    return first;
}

static void free_chain(struct rh_fat_fs *w, uint32_t cluster)
{
    while (rh_fat_valid(&w->f, cluster)) {
        uint32_t next = rh_fat_next(&w->f, cluster);

        if (!next)
            return;
        set_next(w, cluster, 0);
        cluster = next;
    }
}

static int write_chain(struct rh_fs *fs, uint32_t cluster, const uint8_t *from,
                       uint64_t size, rh_error **err)
{
    const struct rh_fat *f = &rh_fat_of(fs)->f;

    while (size) {
        size_t part = (size_t)RH_MIN(size, (uint64_t)f->cluster_size);

        if (!rh_fat_valid(f, cluster))
            return rh_fat_damaged(f, _("a chain of clusters is cut short"),
                                  err);
        if (rh_volume_write(fs->disks, fs->volume, from, part,
                            rh_fat_offset(f, cluster), err) < 0)
            return -1;
        from += part;
        size -= part;
        cluster = rh_fat_next(f, cluster);
    }
    return 0;
}

static int full(struct rh_fs *fs, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_FULL, "no space left on %s",
                   fs->volume->device);
}

/* --- room in folders
 * -------------------------------------------------------------- */
static int write_dir(struct rh_fs *fs, const struct rh_fat_dir *d,
                     rh_error **err)
{
    const struct rh_fat *f = &rh_fat_of(fs)->f;

    if (rh_fat_fixed_root(f, d->cluster))
        return rh_volume_write(fs->disks, fs->volume, d->bytes, d->size,
                               f->root_at, err);
    return write_chain(fs, d->cluster, d->bytes, d->size, err);
}

static uint8_t *entry_at(const struct rh_fat_dir *d, uint32_t i)
{
    return d->bytes + (size_t)i * ENTRY;
}

/* The first entry that says that none follow; whatever lies behind it is
 * nothing, whatever its bytes are. */
static uint32_t dir_end(const struct rh_fat_dir *d)
{
    uint32_t i = 0;

    while (i < d->size / ENTRY && entry_at(d, i)[0])
        i++;
    return i;
}

/* Longer by as many clusters as `entries` more take. */
static int grow(struct rh_fs *fs, struct rh_fat_dir *d, uint32_t entries,
                rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    uint64_t clusters = rh_div_up((uint64_t)entries * ENTRY, w->f.cluster_size);
    uint64_t size = d->size + clusters * w->f.cluster_size;
    uint32_t last = d->cluster, more;

    if (rh_fat_fixed_root(&w->f, d->cluster) || size > RH_FAT_DIR_MAX)
        return rh_fail(err, RH_ERR_GUEST_FULL, "a folder on %s is full",
                       fs->volume->device);
    more = take_chain(w, clusters);
    if (!more)
        return full(fs, err);
    while (rh_fat_valid(&w->f, rh_fat_next(&w->f, last)))
        last = rh_fat_next(&w->f, last);
    set_next(w, last, more);
    d->bytes = rh_realloc_array(d->bytes, (size_t)size, 1);
    memset(d->bytes + d->size, 0, (size_t)size - d->size);
    d->size = (uint32_t)size;
    return 0;
}

/* Where `count` free entries stand side by side, growing the folder. */
static int room_in(struct rh_fs *fs, struct rh_fat_dir *d, uint32_t count,
                   uint32_t *ret, rh_error **err)
{
    uint32_t run = 0, end = dir_end(d), all = d->size / ENTRY;

    for (uint32_t i = 0; i < all; i++) {
        run = i >= end || entry_at(d, i)[0] == RH_FAT_DELETED ? run + 1 : 0;
        if (run == count) {
            *ret = i + 1 - count;
            return 0;
        }
    }
    if (grow(fs, d, count - run, err) < 0)
        return -1;
    *ret = all - run;
    return 0;
}

/* --- names
 * ------------------------------------------------------------------------ */
/* Every short name of a folder, sorted. */
struct short_names {
    uint8_t (*items)[SHORT];
    size_t count;
};

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, SHORT);
}

static void short_names_free(struct short_names *s)
{
    free(s->items);
}

static void collect_short(const struct rh_fat_dir *d, struct short_names *ret)
{
    uint32_t end = dir_end(d);

    ret->items = rh_calloc(end + 1, sizeof *ret->items);
    for (uint32_t i = 0; i < end; i++) {
        const uint8_t *e = entry_at(d, i);

        if (e[0] != RH_FAT_DELETED && (e[11] & 0x3f) != RH_FAT_ATTR_LONG)
            memcpy(ret->items[ret->count++], e, SHORT);
    }
    qsort(ret->items, ret->count, sizeof *ret->items, by_bytes);
}

/* The entries of a name that no other has; how many they are. */
static int name_entries(const struct rh_fat_dir *d, const char *name,
                        uint8_t ret[RH_FAT_ENTRIES_MAX][ENTRY],
                        uint32_t *ret_count, rh_error **err)
{
    RH_AUTO(short_names_free) struct short_names taken = {0};

    collect_short(d, &taken);
    for (unsigned tail = 0; tail <= TAIL_MAX; tail++) {
        uint32_t count = rh_fat_name_make(name, tail, ret);

        if (!count)
            break;
        if (bsearch(ret[count - 1], taken.items, taken.count,
                    sizeof *taken.items, by_bytes))
            continue;
        *ret_count = count;
        return 0;
    }
    return rh_fail(err, RH_ERR_GUEST_WRITE,
                   "\"%s\" is no name for a FAT file system", name);
}

static void put_times(uint8_t *e)
{
    rh_put_le16(e + 16, DATE);
    rh_put_le16(e + 18, DATE);
    rh_put_le16(e + 24, DATE);
}

static void put_cluster(uint8_t *e, uint32_t cluster)
{
    rh_put_le16(e + 20, (uint16_t)(cluster >> 16));
    rh_put_le16(e + 26, (uint16_t)cluster);
}

static int add_entry(struct rh_fs *fs, struct rh_fat_dir *d, const char *name,
                     uint8_t attributes, uint32_t cluster, uint32_t size,
                     rh_error **err)
{
    uint8_t entries[RH_FAT_ENTRIES_MAX][ENTRY];
    uint32_t count = 0, at = 0, end = dir_end(d);
    uint8_t *e;

    if (name_entries(d, name, entries, &count, err) < 0 ||
        room_in(fs, d, count, &at, err) < 0)
        return -1;
    if (at + count > end && at + count < d->size / ENTRY)
        memset(entry_at(d, at + count), 0, ENTRY);
    e = entries[count - 1];
    e[11] = attributes;
    put_times(e);
    put_cluster(e, cluster);
    rh_put_le32(e + 28, size);
    memcpy(entry_at(d, at), entries, (size_t)count * ENTRY);
    return write_dir(fs, d, err);
}

/* The folder, of a tree that is sound. */
static int open_sound(struct rh_fs *fs, uint64_t node, struct rh_fat_dir *ret,
                      rh_error **err)
{
    return rh_fat_check(fs, err) < 0 ? -1 : rh_fat_open_dir(fs, node, ret, err);
}

/* --- operations
 * ---------------------------------------------------------------------- */
int rh_fat_create(struct rh_fs *fs, uint64_t dir, const char *name,
                  const void *bytes, size_t n, uint32_t mode, uint64_t like,
                  rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint32_t cluster = 0;

    (void)mode;
    (void)like;
    if (open_sound(fs, dir, &d, err) < 0)
        return -1;
    if (n) {
        cluster =
            n > UINT32_MAX ? 0 : take_chain(w, rh_div_up(n, w->f.cluster_size));
        if (!cluster)
            return full(fs, err);
    }
    if (write_chain(fs, cluster, bytes, n, err) == 0 &&
        add_entry(fs, &d, name, RH_FAT_ATTR_ARCHIVE, cluster, (uint32_t)n,
                  err) == 0)
        return 0;
    free_chain(w, cluster);
    return -1;
}

/* "." and ".." of a new folder. */
static void put_dots(uint8_t *bytes, uint32_t self, uint32_t parent)
{
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *e = bytes + (size_t)i * ENTRY;

        memset(e, ' ', SHORT);
        memset(e, '.', i + 1);
        e[11] = RH_FAT_ATTR_DIR;
        put_times(e);
        put_cluster(e, i ? parent : self);
    }
}

int rh_fat_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                    uint32_t mode, rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    uint32_t cluster, parent;

    (void)mode;
    if (open_sound(fs, dir, &d, err) < 0)
        return -1;
    cluster = take_chain(w, 1);
    if (!cluster)
        return full(fs, err);
    /* ".." of a folder in FAT32's root says 0. */
    parent = w->f.bits == 32 && d.cluster == w->f.root_cluster ? 0 : d.cluster;
    bytes = rh_calloc(1, w->f.cluster_size);
    put_dots(bytes, cluster, parent);
    if (write_chain(fs, cluster, bytes, w->f.cluster_size, err) == 0 &&
        add_entry(fs, &d, name, RH_FAT_ATTR_DIR, cluster, 0, err) == 0)
        return 0;
    free_chain(w, cluster);
    return -1;
}

/* The name's entries go; what they lead to stays. */
static int drop_entry(struct rh_fs *fs, struct rh_fat_dir *d, const char *name,
                      uint8_t ret_entry[ENTRY], rh_error **err)
{
    uint32_t first, index;

    if (!rh_fat_find(d, name, &first, &index))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there", name);
    memcpy(ret_entry, entry_at(d, index), ENTRY);
    if (ret_entry[11] & RH_FAT_ATTR_DIR)
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", name);
    for (uint32_t i = first; i <= index; i++)
        entry_at(d, i)[0] = RH_FAT_DELETED;
    return write_dir(fs, d, err);
}

int rh_fat_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                  rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint8_t entry[ENTRY];

    if (open_sound(fs, dir, &d, err) < 0 ||
        drop_entry(fs, &d, name, entry, err) < 0)
        return -1;
    free_chain(w, rh_fat_first_cluster(&w->f, entry));
    return 0;
}

/* The entry of a file, not of a folder. */
static int find_file(struct rh_fs *fs, uint64_t dir, const char *name,
                     uint8_t ret_entry[ENTRY], rh_error **err)
{
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint32_t first, index;

    if (open_sound(fs, dir, &d, err) < 0)
        return -1;
    if (!rh_fat_find(&d, name, &first, &index))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there", name);
    memcpy(ret_entry, entry_at(&d, index), ENTRY);
    return ret_entry[11] & RH_FAT_ATTR_DIR
               ? rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", name)
               : 0;
}

/* A name that is there gives way; between the new entry and the end of the old
 * one a file has two names. */
int rh_fat_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                  uint64_t to_dir, const char *to, rh_error **err)
{
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir source = {0};
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint8_t entry[ENTRY], old[ENTRY];
    RH_AUTO(rh_error_freep) rh_error *why = NULL;

    if (find_file(fs, from_dir, from, entry, err) < 0)
        return -1;
    if (from_dir == to_dir && !strcasecmp(from, to))
        return 0; /* one name, whatever its case */
    if (find_file(fs, to_dir, to, old, &why) == 0) {
        if (rh_fat_remove(fs, to_dir, to, err) < 0)
            return -1;
    } else if (rh_error_number(why) != RH_ERR_FILE_NOT_FOUND) {
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    if (open_sound(fs, to_dir, &d, err) < 0 ||
        add_entry(fs, &d, to, entry[11],
                  rh_fat_first_cluster(&rh_fat_of(fs)->f, entry),
                  rh_le32(entry + 28), err) < 0 ||
        rh_fat_open_dir(fs, from_dir, &source, err) < 0)
        return -1;
    return drop_entry(fs, &source, from, entry, err);
}

/* --- writing back
 * -------------------------------------------------------------------- */
static int write_table(struct rh_fs *fs, rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    const struct rh_fat *f = &w->f;

    for (uint64_t at = 0; at < f->table_size; at += 512) {
        if (!w->changed[at / 512])
            continue;
        for (unsigned i = 0; i < f->tables; i++)
            if (rh_volume_write(fs->disks, fs->volume, f->table + at, 512,
                                f->table_at + i * f->table_size + at, err) < 0)
                return -1;
        w->changed[at / 512] = false;
    }
    return 0;
}

int rh_fat_sync(struct rh_fs *fs, rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);
    uint8_t info[512];
    bool any = false;

    for (uint64_t i = 0; i < w->f.table_size / 512; i++)
        any |= w->changed[i];
    if (!any)
        return 0;
    if (write_table(fs, err) < 0)
        return -1;
    if (!w->f.info_at)
        return 0;
    if (rh_volume_read(fs->disks, fs->volume, info, 512, w->f.info_at, err) < 0)
        return -1;
    if (memcmp(info, "RRaA", 4) || memcmp(info + 484, "rrAa", 4))
        return 0;
    rh_put_le32(info + 488, w->free);
    return rh_volume_write(fs->disks, fs->volume, info, 512, w->f.info_at, err);
}
