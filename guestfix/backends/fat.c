/* fat.c - FAT16 and FAT32, just enough to read an EFI system partition and to
 * put files into it.
 *
 * The allocation table is held in memory (bounded) and written back with
 * sync(), into every copy.  Every chain is bounded by the number of clusters,
 * so that a circle ends; every cluster number is held against the table. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/fat_names.h"
#include "guestfix/backends/fs.h"

enum {
    ENTRY = 32,
    DIR_MAX = 65536 * ENTRY, /* the format's own bound */
    TABLE_MAX = 16 * 1024 * 1024,
    ROOT = 1, /* the root's node */
    DELETED = 0xe5,
    ATTR_VOLUME = 0x08,
    ATTR_DIR = 0x10,
    ATTR_ARCHIVE = 0x20,
    ATTR_LONG = 0x0f,
    DATE = (45 << 9) | (1 << 5) | 1, /* 2025-01-01: no clock in the output */
};

struct fat {
    unsigned bits;                   /* 16 or 32 */
    uint32_t cluster_size, clusters; /* valid numbers: 2 .. clusters + 1 */
    uint64_t table_at, table_size, data_at;
    unsigned tables;
    uint32_t root_cluster; /* FAT32 */
    uint64_t root_at;      /* FAT16: a region of its own */
    uint32_t root_size;
    uint64_t info_at; /* FAT32's FSINFO; 0: none */
    uint8_t *table;
    bool *changed; /* per sector of the table */
};

static struct fat *fat_of(struct rh_fs *fs)
{
    return fs->state;
}

/* --- the allocation table
 * ------------------------------------------------------ */
static bool valid(const struct fat *f, uint32_t cluster)
{
    return cluster >= 2 && cluster - 2 < f->clusters;
}

static uint32_t next_of(const struct fat *f, uint32_t cluster)
{
    if (f->bits == 16)
        return rh_le16(f->table + 2 * (size_t)cluster);
    return rh_le32(f->table + 4 * (size_t)cluster) & 0x0fffffff;
}

static void set_next(struct fat *f, uint32_t cluster, uint32_t next)
{
    size_t at = (size_t)cluster * f->bits / 8;

    if (f->bits == 16)
        rh_put_le16(f->table + at, (uint16_t)next);
    else
        rh_put_le32(f->table + at, (rh_le32(f->table + at) & 0xf0000000) |
                                       (next & 0x0fffffff));
    f->changed[at / 512] = true;
}

static uint32_t free_clusters(const struct fat *f)
{
    uint32_t n = 0;

    for (uint32_t i = 2; i < f->clusters + 2; i++)
        n += next_of(f, i) == 0;
    return n;
}

/* Take `count` clusters as one chain; 0 when there are not as many. */
static uint32_t take_chain(struct fat *f, uint32_t count)
{
    uint32_t first = 0, last = 0;

    if (free_clusters(f) < count)
        return 0;
    for (uint32_t i = 2; i < f->clusters + 2 && count; i++) {
        if (next_of(f, i))
            continue;
        if (last)
            set_next(f, last, i);
        else
            first = i;
        set_next(f, i, 0x0fffffff);
        last = i;
        count--;
    }
    return first;
}

static void free_chain(struct fat *f, uint32_t cluster)
{
    for (uint32_t n = 0; valid(f, cluster) && n < f->clusters; n++) {
        uint32_t next = next_of(f, cluster);

        set_next(f, cluster, 0);
        cluster = next;
    }
}

static uint64_t place_of(const struct fat *f, uint32_t cluster)
{
    return f->data_at + (uint64_t)(cluster - 2) * f->cluster_size;
}

static int damaged(struct rh_fs *fs, const char *what, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED, "the FAT file system on %s: %s",
                   fs->volume->device, what);
}

/* --- chains as bytes
 * -------------------------------------------------------------- */
static int read_chain(struct rh_fs *fs, uint32_t cluster, uint64_t size,
                      uint8_t *to, rh_error **err)
{
    struct fat *f = fat_of(fs);

    while (size) {
        size_t part = (size_t)RH_MIN(size, (uint64_t)f->cluster_size);

        if (!valid(f, cluster))
            return damaged(fs, _("a chain of clusters is cut short"), err);
        if (rh_volume_read(fs->disks, fs->volume, to, part,
                           place_of(f, cluster), err) < 0)
            return -1;
        to += part;
        size -= part;
        cluster = next_of(f, cluster);
    }
    return 0;
}

static int write_chain(struct rh_fs *fs, uint32_t cluster, const uint8_t *from,
                       uint64_t size, rh_error **err)
{
    struct fat *f = fat_of(fs);

    while (size) {
        size_t part = (size_t)RH_MIN(size, (uint64_t)f->cluster_size);

        if (!valid(f, cluster))
            return damaged(fs, _("a chain of clusters is cut short"), err);
        if (rh_volume_write(fs->disks, fs->volume, from, part,
                            place_of(f, cluster), err) < 0)
            return -1;
        from += part;
        size -= part;
        cluster = next_of(f, cluster);
    }
    return 0;
}

static uint32_t chain_length(const struct fat *f, uint32_t cluster)
{
    uint32_t n = 0;

    while (valid(f, cluster) && n <= f->clusters) {
        n++;
        cluster = next_of(f, cluster);
    }
    return n;
}

/* --- folders
 * ------------------------------------------------------------------------ */
/* A folder as a whole; cluster 0 is the root. */
struct dir {
    uint32_t cluster;
    uint8_t *bytes;
    uint32_t size;
};

static void dir_free(struct dir *d)
{
    free(d->bytes);
}

static bool fixed_root(const struct fat *f, uint32_t cluster)
{
    return f->bits == 16 && cluster == 0;
}

static int read_dir(struct rh_fs *fs, uint32_t cluster, struct dir *ret,
                    rh_error **err)
{
    struct fat *f = fat_of(fs);
    uint64_t size = f->root_size;

    ret->cluster = cluster;
    if (!fixed_root(f, cluster)) {
        if (!cluster)
            ret->cluster = cluster = f->root_cluster;
        size = (uint64_t)chain_length(f, cluster) * f->cluster_size;
    }
    if (!size || size > DIR_MAX)
        return damaged(fs, _("a folder's size is impossible"), err);
    ret->size = (uint32_t)size;
    ret->bytes = rh_malloc(ret->size);
    if (fixed_root(f, cluster))
        return rh_volume_read(fs->disks, fs->volume, ret->bytes, ret->size,
                              f->root_at, err);
    return read_chain(fs, cluster, ret->size, ret->bytes, err);
}

static int write_dir(struct rh_fs *fs, const struct dir *d, rh_error **err)
{
    struct fat *f = fat_of(fs);

    if (fixed_root(f, d->cluster))
        return rh_volume_write(fs->disks, fs->volume, d->bytes, d->size,
                               f->root_at, err);
    return write_chain(fs, d->cluster, d->bytes, d->size, err);
}

static uint32_t first_cluster(const struct fat *f, const uint8_t *e)
{
    uint32_t high = f->bits == 32 ? rh_le16(e + 20) : 0;

    return high << 16 | rh_le16(e + 26);
}

/* Calls fn for each entry with its name until it returns true. */
typedef bool entry_fn(void *user, const char *name, uint32_t first,
                      uint32_t index);

static void each_entry(const struct dir *d, entry_fn *fn, void *user)
{
    struct rh_fat_name name = {0};
    uint32_t first = 0;

    for (uint32_t i = 0; i < d->size / ENTRY; i++) {
        const uint8_t *e = d->bytes + (size_t)i * ENTRY;

        if (!e[0])
            return;
        if (e[0] == DELETED) {
            rh_fat_name_reset(&name);
        } else if ((e[11] & 0x3f) == ATTR_LONG) {
            if (!name.parts)
                first = i;
            rh_fat_name_part(&name, e);
        } else {
            if (!(e[11] & ATTR_VOLUME)) {
                bool is_long = rh_fat_name_done(&name, e);

                if (fn(user, name.text, is_long ? first : i, i))
                    return;
            }
            rh_fat_name_reset(&name);
        }
    }
}

struct wanted {
    const char *name;
    bool found;
    uint32_t first, index;
};

static bool is_wanted(void *user, const char *name, uint32_t first,
                      uint32_t index)
{
    struct wanted *w = user;

    if (strcasecmp(name, w->name))
        return false;
    w->found = true;
    w->first = first;
    w->index = index;
    return true;
}

/* The folder that a node is: its first cluster. */
static int dir_of(struct rh_fs *fs, uint64_t node, uint32_t *ret,
                  uint8_t entry[ENTRY], rh_error **err)
{
    RH_AUTO(dir_free) struct dir d = {0};
    uint32_t index = (uint32_t)(node & 0xffffffff) - 2;

    memset(entry, 0, ENTRY);
    if (node == ROOT) {
        *ret = 0;
        entry[11] = ATTR_DIR;
        return 0;
    }
    if (read_dir(fs, (uint32_t)(node >> 32), &d, err) < 0)
        return -1;
    if (index >= d.size / ENTRY)
        return damaged(fs, _("an entry lies outside its folder"), err);
    memcpy(entry, d.bytes + (size_t)index * ENTRY, ENTRY);
    *ret = first_cluster(fat_of(fs), entry);
    return 0;
}

static int open_dir(struct rh_fs *fs, uint64_t node, struct dir *ret,
                    rh_error **err)
{
    uint8_t entry[ENTRY];
    uint32_t cluster;

    if (dir_of(fs, node, &cluster, entry, err) < 0)
        return -1;
    if (!(entry[11] & ATTR_DIR))
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder");
    return read_dir(fs, cluster, ret, err);
}

/* --- looking
 * -------------------------------------------------------------------------- */
static int fat_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    uint8_t e[ENTRY];
    uint32_t cluster;

    if (dir_of(fs, node, &cluster, e, err) < 0)
        return -1;
    memset(ret, 0, sizeof *ret);
    ret->type = e[11] & ATTR_DIR ? 'd' : 'f';
    ret->size = rh_le32(e + 28);
    ret->mode = ret->type == 'd' ? 0755 : 0644;
    ret->inode = node;
    return 0;
}

static int fat_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    RH_AUTO(dir_free) struct dir d = {0};
    struct wanted w = {.name = name};

    if (open_dir(fs, dir, &d, err) < 0)
        return -1;
    each_entry(&d, is_wanted, &w);
    if (!w.found)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s on %s: not there", name,
                       fs->volume->device);
    *ret = (uint64_t)d.cluster << 32 | (w.index + 2);
    return 0;
}

static bool add_name(void *user, const char *name, uint32_t first,
                     uint32_t index)
{
    struct rh_names *names = user;

    (void)first;
    (void)index;
    if (strcmp(name, ".") && strcmp(name, ".."))
        *rh_vec_add(names) = rh_strdup(name);
    return false;
}

static int fat_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    RH_AUTO(dir_free) struct dir d = {0};

    if (open_dir(fs, dir, &d, err) < 0)
        return -1;
    each_entry(&d, add_name, ret);
    return 0;
}

static int fat_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct fat *f = fat_of(fs);
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    uint8_t e[ENTRY];
    uint32_t cluster, size;

    if (dir_of(fs, node, &cluster, e, err) < 0)
        return -1;
    size = rh_le32(e + 28);
    if (e[11] & ATTR_DIR)
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a regular file");
    if (size > limit || size > (uint64_t)f->clusters * f->cluster_size)
        return damaged(fs, _("a file is larger than it can be"), err);
    bytes = rh_alloc_big((size_t)size + 1, err);
    if (!bytes || read_chain(fs, cluster, size, bytes, err) < 0)
        return -1;
    bytes[size] = '\0';
    *ret_size = size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

static int no_links(struct rh_fs *fs, uint64_t node, char **ret, rh_error **err)
{
    (void)fs;
    (void)node;
    (void)ret;
    return rh_fail(err, RH_ERR_FILE_TYPE, "FAT has no symbolic links");
}

static int fat_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct fat *f = fat_of(fs);

    (void)err;
    *ret = (uint64_t)free_clusters(f) * f->cluster_size;
    return 0;
}

/* --- editing
 * ------------------------------------------------------------------------------
 */
/* The first entry that says that none follow; whatever lies behind it is
 * nothing, whatever its bytes are. */
static uint32_t dir_end(const struct dir *d)
{
    uint32_t i = 0;

    while (i < d->size / ENTRY && d->bytes[(size_t)i * ENTRY])
        i++;
    return i;
}

/* Where `count` free entries stand side by side, growing the folder. */
static int room_in(struct rh_fs *fs, struct dir *d, uint32_t count,
                   uint32_t *ret, rh_error **err)
{
    struct fat *f = fat_of(fs);
    uint32_t run = 0, last = d->cluster, more, end = dir_end(d);

    for (uint32_t i = 0; i < d->size / ENTRY; i++) {
        run = i >= end || d->bytes[(size_t)i * ENTRY] == DELETED ? run + 1 : 0;
        if (run == count) {
            *ret = i + 1 - count;
            return 0;
        }
    }
    if (fixed_root(f, d->cluster) || d->size + f->cluster_size > DIR_MAX)
        return rh_fail(err, RH_ERR_GUEST_FULL, "a folder on %s is full",
                       fs->volume->device);
    more = take_chain(f, 1);
    if (!more)
        return rh_fail(err, RH_ERR_GUEST_FULL, "no space left on %s",
                       fs->volume->device);
    for (uint32_t n = 0; valid(f, next_of(f, last)) && n < f->clusters; n++)
        last = next_of(f, last);
    set_next(f, last, more);
    d->bytes = rh_realloc_array(d->bytes, d->size + f->cluster_size, 1);
    memset(d->bytes + d->size, 0, f->cluster_size);
    *ret = d->size / ENTRY - run;
    d->size += f->cluster_size;
    return 0;
}

static bool short_taken(const struct dir *d, const uint8_t name[11])
{
    for (uint32_t i = 0; i < d->size / ENTRY; i++) {
        const uint8_t *e = d->bytes + (size_t)i * ENTRY;

        if (!e[0])
            return false;
        if ((e[11] & 0x3f) != ATTR_LONG && !memcmp(e, name, 11))
            return true;
    }
    return false;
}

static int add_entry(struct rh_fs *fs, uint64_t dir, const char *name,
                     uint8_t attributes, uint32_t cluster, uint32_t size,
                     uint32_t *ret_dir, rh_error **err)
{
    RH_AUTO(dir_free) struct dir d = {0};
    uint8_t entries[RH_FAT_ENTRIES_MAX][ENTRY];
    uint32_t count, at = 0, end;
    uint8_t *e;

    if (open_dir(fs, dir, &d, err) < 0)
        return -1;
    for (unsigned tail = 0;; tail++) {
        count = rh_fat_name_make(name, tail, entries);
        if (!count || tail > 9999)
            return rh_fail(err, RH_ERR_GUEST_WRITE,
                           "\"%s\" is no name for a FAT file system", name);
        if (!short_taken(&d, entries[count - 1]))
            break;
    }
    end = dir_end(&d);
    if (room_in(fs, &d, count, &at, err) < 0)
        return -1;
    if (at + count > end && at + count < d.size / ENTRY)
        memset(d.bytes + (size_t)(at + count) * ENTRY, 0, ENTRY);
    e = entries[count - 1];
    e[11] = attributes;
    rh_put_le16(e + 16, DATE);
    rh_put_le16(e + 18, DATE);
    rh_put_le16(e + 20, (uint16_t)(cluster >> 16));
    rh_put_le16(e + 24, DATE);
    rh_put_le16(e + 26, (uint16_t)cluster);
    rh_put_le32(e + 28, size);
    memcpy(d.bytes + (size_t)at * ENTRY, entries, (size_t)count * ENTRY);
    if (ret_dir)
        *ret_dir = d.cluster;
    return write_dir(fs, &d, err);
}

static int fat_create(struct rh_fs *fs, uint64_t dir, const char *name,
                      const void *bytes, size_t n, uint32_t mode, uint64_t like,
                      rh_error **err)
{
    struct fat *f = fat_of(fs);
    uint32_t cluster = 0;

    (void)mode;
    (void)like;
    if (n) {
        cluster = n > UINT32_MAX
                      ? 0
                      : take_chain(f, (uint32_t)rh_div_up(n, f->cluster_size));
        if (!cluster)
            return rh_fail(err, RH_ERR_GUEST_FULL, "no space left on %s",
                           fs->volume->device);
        if (write_chain(fs, cluster, bytes, n, err) < 0)
            return -1;
    }
    return add_entry(fs, dir, name, ATTR_ARCHIVE, cluster, (uint32_t)n, NULL,
                     err);
}

static int fat_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                        uint32_t mode, rh_error **err)
{
    struct fat *f = fat_of(fs);
    uint32_t cluster = take_chain(f, 1), parent = 0;
    RH_AUTO(rh_freep) uint8_t *bytes = rh_calloc(1, f->cluster_size);

    (void)mode;
    if (!cluster)
        return rh_fail(err, RH_ERR_GUEST_FULL, "no space left on %s",
                       fs->volume->device);
    if (add_entry(fs, dir, name, ATTR_DIR, cluster, 0, &parent, err) < 0)
        return -1;
    if (f->bits == 32 && parent == f->root_cluster)
        parent = 0; /* ".." of a folder in the root says 0 */
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *e = bytes + (size_t)i * ENTRY;
        uint32_t to = i ? parent : cluster;

        memset(e, ' ', 11);
        memset(e, '.', i + 1);
        e[11] = ATTR_DIR;
        rh_put_le16(e + 16, DATE);
        rh_put_le16(e + 18, DATE);
        rh_put_le16(e + 20, (uint16_t)(to >> 16));
        rh_put_le16(e + 24, DATE);
        rh_put_le16(e + 26, (uint16_t)to);
    }
    return write_chain(fs, cluster, bytes, f->cluster_size, err);
}

static int drop_entry(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint8_t ret_entry[ENTRY], rh_error **err)
{
    RH_AUTO(dir_free) struct dir d = {0};
    struct wanted w = {.name = name};

    if (open_dir(fs, dir, &d, err) < 0)
        return -1;
    each_entry(&d, is_wanted, &w);
    if (!w.found)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there", name);
    memcpy(ret_entry, d.bytes + (size_t)w.index * ENTRY, ENTRY);
    if (ret_entry[11] & ATTR_DIR)
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a folder", name);
    for (uint32_t i = w.first; i <= w.index; i++)
        d.bytes[(size_t)i * ENTRY] = DELETED;
    return write_dir(fs, &d, err);
}

static int fat_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                      rh_error **err)
{
    uint8_t entry[ENTRY];

    if (drop_entry(fs, dir, name, entry, err) < 0)
        return -1;
    free_chain(fat_of(fs), first_cluster(fat_of(fs), entry));
    return 0;
}

static int fat_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                      uint64_t to_dir, const char *to, rh_error **err)
{
    uint8_t entry[ENTRY];
    uint64_t old;

    if (strcasecmp(from, to) && fat_lookup(fs, to_dir, to, &old, NULL) == 0 &&
        fat_remove(fs, to_dir, to, err) < 0)
        return -1;
    if (drop_entry(fs, from_dir, from, entry, err) < 0)
        return -1;
    return add_entry(fs, to_dir, to, entry[11],
                     first_cluster(fat_of(fs), entry), rh_le32(entry + 28),
                     NULL, err);
}

static int no_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                      const char *target, rh_error **err)
{
    (void)dir;
    (void)name;
    (void)target;
    return no_links(fs, 0, NULL, err);
}

static int no_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    (void)fs;
    (void)node;
    (void)ret_bytes;
    (void)ret_size;
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "no attribute %s", name);
}

static int ignore_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                        const void *bytes, size_t n, rh_error **err)
{
    (void)fs;
    (void)node;
    (void)name;
    (void)bytes;
    (void)n;
    (void)err;
    return 0;
}

static int write_table(struct rh_fs *fs, rh_error **err)
{
    struct fat *f = fat_of(fs);

    for (uint64_t at = 0; at < f->table_size; at += 512) {
        if (!f->changed[at / 512])
            continue;
        for (unsigned i = 0; i < f->tables; i++)
            if (rh_volume_write(fs->disks, fs->volume, f->table + at, 512,
                                f->table_at + i * f->table_size + at, err) < 0)
                return -1;
    }
    return 0;
}

static int fat_sync(struct rh_fs *fs, rh_error **err)
{
    struct fat *f = fat_of(fs);
    uint8_t info[512];
    bool any = false;

    for (uint64_t i = 0; i < f->table_size / 512; i++)
        any |= f->changed[i];
    if (!any)
        return 0;
    if (write_table(fs, err) < 0)
        return -1;
    memset(f->changed, 0, (size_t)(f->table_size / 512) * sizeof *f->changed);
    if (!f->info_at)
        return 0;
    if (rh_volume_read(fs->disks, fs->volume, info, 512, f->info_at, err) < 0)
        return -1;
    if (memcmp(info, "RRaA", 4) || memcmp(info + 484, "rrAa", 4))
        return 0;
    rh_put_le32(info + 488, free_clusters(f));
    return rh_volume_write(fs->disks, fs->volume, info, 512, f->info_at, err);
}

static void fat_close(struct rh_fs *fs)
{
    struct fat *f = fat_of(fs);

    free(f->table);
    free(f->changed);
    free(f);
    free(fs);
}

static const struct rh_fs_ops fat_ops = {
    .root = ROOT,
    .any_case = true,
    .stat = fat_stat,
    .lookup = fat_lookup,
    .list = fat_list,
    .read = fat_read,
    .read_link = no_links,
    .create = fat_create,
    .remove = fat_remove,
    .rename = fat_rename,
    .make_dir = fat_make_dir,
    .symlink = no_symlink,
    .get_xattr = no_xattr,
    .set_xattr = ignore_xattr,
    .free_space = fat_free_space,
    .sync = fat_sync,
    .close = fat_close,
};

/* --- opening
 * ----------------------------------------------------------------------------
 */
/* The boot sector's numbers, each held against the volume. */
static const char *decode(struct fat *f, const uint8_t *b, uint64_t room)
{
    uint32_t sector = rh_le16(b + 11), per_cluster = b[13];
    uint64_t reserved = rh_le16(b + 14), table, total, data, root;

    f->tables = b[16];
    table = rh_le16(b + 22) ? rh_le16(b + 22) : rh_le32(b + 36);
    total = rh_le16(b + 19) ? rh_le16(b + 19) : rh_le32(b + 32);
    root = (uint64_t)rh_le16(b + 17) * ENTRY;
    if (sector < 512 || sector > 4096 || !rh_power_of_two(sector) ||
        !rh_power_of_two(per_cluster) || !f->tables || f->tables > 4 ||
        !reserved || !table || root % sector)
        return _("its boot sector is not sound");
    f->table_at = reserved * sector;
    f->table_size = table * sector;
    f->root_at = f->table_at + f->tables * f->table_size;
    f->data_at = f->root_at + root;
    f->root_size = (uint32_t)root;
    f->cluster_size = per_cluster * sector;
    data = total * sector;
    if (data > room || f->data_at >= data || f->table_size > TABLE_MAX)
        return _("its boot sector is not sound");
    f->clusters = (uint32_t)((data - f->data_at) / f->cluster_size);
    /* As Linux tells them: FAT32 has no table size in the old field.  There are
     * small FAT32 partitions with fewer clusters than the format asks for. */
    f->bits = rh_le16(b + 22) ? 16 : 32;
    if (f->bits == 16 && f->clusters < 4085)
        return _("it is FAT12");
    if ((f->clusters + 2ULL) * f->bits / 8 > f->table_size ||
        (f->bits == 16) != (root != 0))
        return _("its boot sector is not sound");
    if (f->bits == 32) {
        f->root_cluster = rh_le32(b + 44);
        f->info_at = (uint64_t)rh_le16(b + 48) * sector;
        if (!valid(f, f->root_cluster) || f->info_at >= f->table_at)
            return _("its boot sector is not sound");
    }
    return NULL;
}

struct rh_fs *rh_fat_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct fat *f = rh_new0(struct fat);
    struct rh_fs *fs = rh_new0(struct rh_fs);
    uint8_t boot[512];
    bool ok = rh_volume_read(d, v, boot, sizeof boot, 0, err) == 0;

    fs->ops = &fat_ops;
    fs->state = f;
    fs->disks = d;
    fs->volume = v;
    *ret_why = ok ? decode(f, boot, rh_volume_bytes(v)) : NULL;
    if (ok && !*ret_why) {
        f->table = rh_malloc((size_t)f->table_size);
        f->changed =
            rh_calloc((size_t)(f->table_size / 512), sizeof *f->changed);
        ok = rh_volume_read(d, v, f->table, (size_t)f->table_size, f->table_at,
                            err) == 0;
    }
    if (!ok || *ret_why) {
        fat_close(fs);
        return NULL;
    }
    return fs;
}
