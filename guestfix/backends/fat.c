/* fat.c - FAT as a file system of the guest, just enough to read an EFI system
 * partition and to put files into it: looking and opening.
 *
 * The allocation table is held in memory and written back with sync(), into
 * every copy. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/fat.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* The entry of a node. */
static int entry_of(struct rh_fs *fs, uint64_t node, uint8_t ret[RH_FAT_ENTRY],
                    rh_error **err)
{
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    const struct rh_fat *f = &rh_fat_of(fs)->f;
    uint32_t index = (uint32_t)(node & 0xffffffff) - 2;

    memset(ret, 0, RH_FAT_ENTRY);
    if (node == RH_FAT_ROOT) {
        ret[11] = RH_FAT_ATTR_DIR;
        return 0;
    }
    if (rh_fat_read_dir(f, (uint32_t)(node >> 32), &d, err) < 0)
        return -1;
    if (index >= d.size / RH_FAT_ENTRY)
        return rh_fat_damaged(f, _("an entry lies outside its folder"), err);
    memcpy(ret, d.bytes + (size_t)index * RH_FAT_ENTRY, RH_FAT_ENTRY);
    return 0;
}

int rh_fat_open_dir(struct rh_fs *fs, uint64_t node, struct rh_fat_dir *ret,
                    rh_error **err)
{
    const struct rh_fat *f = &rh_fat_of(fs)->f;
    uint8_t entry[RH_FAT_ENTRY];

    if (entry_of(fs, node, entry, err) < 0)
        return -1;
    if (!(entry[11] & RH_FAT_ATTR_DIR))
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder");
    return rh_fat_read_dir(f, rh_fat_first_cluster(f, entry), ret, err);
}

static int fat_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    uint8_t e[RH_FAT_ENTRY];

    if (entry_of(fs, node, e, err) < 0)
        return -1;
    memset(ret, 0, sizeof *ret);
    ret->type = e[11] & RH_FAT_ATTR_DIR ? 'd' : 'f';
    ret->size = rh_le32(e + 28);
    ret->mode = ret->type == 'd' ? 0755 : 0644;
    ret->inode = node;
    return 0;
}

static int fat_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};
    uint32_t first, index;

    if (rh_fat_open_dir(fs, dir, &d, err) < 0)
        return -1;
    if (!rh_fat_find(&d, name, &first, &index))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s on %s: not there", name,
                       fs->volume->device);
    *ret = (uint64_t)d.cluster << 32 | (index + 2);
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
    RH_AUTO(rh_fat_dir_free) struct rh_fat_dir d = {0};

    if (rh_fat_open_dir(fs, dir, &d, err) < 0)
        return -1;
    rh_fat_each(&d, add_name, ret);
    return 0;
}

static int fat_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    const struct rh_fat *f = &rh_fat_of(fs)->f;
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    uint8_t e[RH_FAT_ENTRY];
    uint32_t size;

    if (entry_of(fs, node, e, err) < 0)
        return -1;
    size = rh_le32(e + 28);
    if (e[11] & RH_FAT_ATTR_DIR)
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a regular file");
    if (size > limit || size > (uint64_t)f->clusters * f->cluster_size)
        return rh_fat_damaged(f, _("a file is larger than it can be"), err);
    bytes = rh_alloc_big((size_t)size + 1, err);
    if (!bytes ||
        rh_fat_read_chain(f, rh_fat_first_cluster(f, e), size, bytes, err) < 0)
        return -1;
    bytes[size] = '\0';
    *ret_size = size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

static int fat_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct rh_fat_fs *w = rh_fat_of(fs);

    (void)err;
    *ret = (uint64_t)w->free * w->f.cluster_size;
    return 0;
}

/* --- what FAT has not
 * ------------------------------------------------------------------ */
static int no_links(struct rh_fs *fs, uint64_t node, char **ret, rh_error **err)
{
    (void)fs;
    (void)node;
    (void)ret;
    return rh_fail(err, RH_ERR_FILE_TYPE, "FAT has no symbolic links");
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

/* --- opening
 * ----------------------------------------------------------------------------
 */
static void fat_close(struct rh_fs *fs)
{
    struct rh_fat_fs *w = rh_fat_of(fs);

    rh_fat_unload(&w->f);
    free(w->changed);
    free(w);
    free(fs);
}

static const struct rh_fs_ops fat_ops = {
    .root = RH_FAT_ROOT,
    .any_case = true,
    .stat = fat_stat,
    .lookup = fat_lookup,
    .list = fat_list,
    .read = fat_read,
    .read_link = no_links,
    .create = rh_fat_create,
    .remove = rh_fat_remove,
    .rename = rh_fat_rename,
    .make_dir = rh_fat_make_dir,
    .symlink = no_symlink,
    .get_xattr = no_xattr,
    .set_xattr = ignore_xattr,
    .free_space = fat_free_space,
    .sync = rh_fat_sync,
    .close = fat_close,
};

struct rh_fs *rh_fat_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct rh_fat f;
    struct rh_fat_fs *w;
    struct rh_fs *fs;

    if (rh_fat_load(d, v, &f, ret_why, err) < 0)
        return NULL;
    w = rh_new0(struct rh_fat_fs);
    w->f = f;
    w->changed =
        rh_calloc((size_t)rh_div_up(f.table_size, 512), sizeof *w->changed);
    for (uint32_t i = 2; i < f.clusters + 2; i++)
        w->free += rh_fat_next(&f, i) == 0;
    fs = rh_new0(struct rh_fs);
    fs->ops = &fat_ops;
    fs->state = w;
    fs->disks = d;
    fs->volume = v;
    return fs;
}
