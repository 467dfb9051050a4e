/* btrfs.c - btrfs read in-process: subvolumes, folders, files.
 *
 * A node is the number of its subvolume among those that were met, and the
 * inode within it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/btrfs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/unused.h"

enum {
    ROOT = 1, /* a node; which subvolume's, the file system tells */
    /* Where a subvolume was that is gone, or was not copied into a snapshot: an
     * empty folder, as the kernel shows it. */
    EMPTY = 2,
    INODE_BITS = 48,
    TREES_MAX = 4096,
    INODE_BYTES = 160,
    ENTRY_HEAD = 30,
    NAME_MAX_BYTES = 255,
    ENTRIES_MAX = 1 << 20,
    LINK_MAX = 4095,
};

/* An inode of a subvolume. */
struct place {
    const struct rh_btrfs_tree *tree;
    size_t index;
    uint64_t inode;
};

static uint64_t node_of(const struct rh_btrfs *b, size_t index, uint64_t inode)
{
    return !index && inode == b->trees.items[0].root_dir
               ? ROOT
               : (uint64_t)index << INODE_BITS | inode;
}

static int place_of(struct rh_fs *fs, uint64_t node, struct place *ret,
                    rh_error **err)
{
    const struct rh_btrfs *b = rh_btrfs_of(fs);

    ret->index = (size_t)(node >> INODE_BITS);
    ret->inode = node & ((1ULL << INODE_BITS) - 1);
    if (ret->index >= b->trees.count)
        return rh_btrfs_damaged(fs, _("an inode's number is out of range"),
                                err);
    ret->tree = &b->trees.items[ret->index];
    if (node == ROOT)
        ret->inode = ret->tree->root_dir;
    return 0;
}

/* --- subvolumes
 * ------------------------------------------------------------------------ */
/* 1: its number among those that were met; 0: there is no such one.  What was
 * met keeps its place: the vector has its room from the start. */
static int meet_tree(struct rh_fs *fs, uint64_t id, size_t *ret, rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(fs);
    struct rh_btrfs_tree t;
    int r;

    for (*ret = 0; *ret < b->trees.count; ++*ret)
        if (b->trees.items[*ret].id == id)
            return 1;
    if (id != RH_BTRFS_TOP_LEVEL && (id < RH_BTRFS_FIRST_FREE || id >> 63))
        return 0;
    r = rh_btrfs_find_tree(fs, id, &t, err);
    if (r <= 0)
        return r;
    if (b->trees.count == TREES_MAX)
        return rh_btrfs_damaged(fs, _("it has too many subvolumes"), err);
    if (t.root_dir < RH_BTRFS_FIRST_FREE || t.root_dir >> INODE_BITS)
        return rh_btrfs_damaged(fs, _("one of its trees is damaged"), err);
    *rh_vec_add(&b->trees) = t;
    return 1;
}

/* --- inodes
 * ----------------------------------------------------------------------------
 */
static int stat_place(struct rh_fs *fs, const struct place *p,
                      struct rh_guest_stat *ret, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_guest_stat st = {.type = 'd', .mode = 0755, .inode = EMPTY};
    int r = 1;

    if (p->inode != EMPTY)
        r = rh_btrfs_find(fs, p->tree, p->inode, RH_BTRFS_INODE, 0, &c, err);
    if (r < 0)
        return -1;
    if (!r || (c.leaf && c.size < INODE_BYTES))
        return rh_btrfs_damaged(fs, _("an inode is none"), err);
    if (c.leaf) {
        rh_guest_mode(&st, rh_le32(c.data + 52));
        st.inode = p->inode;
        st.size = rh_le64(c.data + 16);
        st.uid = rh_le32(c.data + 44);
        st.gid = rh_le32(c.data + 48);
        st.mtime = (int64_t)rh_le64(c.data + 136);
    }
    *ret = st;
    return 0;
}

static int btrfs_stat(struct rh_fs *fs, uint64_t node,
                      struct rh_guest_stat *ret, rh_error **err)
{
    struct place p;

    return place_of(fs, node, &p, err) < 0 ? -1 : stat_place(fs, &p, ret, err);
}

/* --- folders
 * ---------------------------------------------------------------------------
 */
struct entry {
    struct rh_btrfs_key location;
    const uint8_t *name, *value;
    size_t length, value_size, whole;
};

/* The one at `at` in an item, which may hold several. */
static bool take_entry(const struct rh_btrfs_cursor *c, size_t at,
                       struct entry *ret)
{
    const uint8_t *p = c->data + at;

    if (c->size - at < ENTRY_HEAD)
        return false;
    ret->location = (struct rh_btrfs_key){rh_le64(p), p[8], rh_le64(p + 9)};
    ret->value_size = rh_le16(p + 25);
    ret->length = rh_le16(p + 27);
    ret->name = p + ENTRY_HEAD;
    ret->value = ret->name + ret->length;
    ret->whole = ENTRY_HEAD + ret->length + ret->value_size;
    return ret->length && ret->length <= NAME_MAX_BYTES &&
           ret->whole <= c->size - at;
}

/* The one of that name among those of its hash: 1; 0: there is none. */
static int find_entry(struct rh_fs *fs, const struct place *dir, uint8_t type,
                      const char *name, struct rh_btrfs_cursor *c,
                      struct entry *ret, rh_error **err)
{
    size_t n = strlen(name);
    int r = rh_btrfs_find(fs, dir->tree, dir->inode, type,
                          rh_btrfs_name_hash(name, n), c, err);

    if (r <= 0)
        return r;
    for (size_t at = 0; at < c->size; at += ret->whole) {
        if (!take_entry(c, at, ret))
            return rh_btrfs_damaged(fs, _("a folder's entries are damaged"),
                                    err);
        if (ret->length == n && !memcmp(ret->name, name, n))
            return 1;
    }
    return 0;
}

/* Is the subvolume still the one that was made under this name? */
static int is_linked(struct rh_fs *fs, const struct place *dir, uint64_t id,
                     const char *name, rh_error **err)
{
    enum { REF_HEAD = 18 };
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    size_t n = strlen(name);
    int r = rh_btrfs_find(fs, &rh_btrfs_of(fs)->root_tree, dir->tree->id,
                          RH_BTRFS_ROOT_REF, id, &c, err);

    return r > 0 ? c.size == REF_HEAD + n && rh_le64(c.data) == dir->inode &&
                       !memcmp(c.data + REF_HEAD, name, n)
                 : r;
}

static int follow(struct rh_fs *fs, const struct place *dir, const char *name,
                  const struct rh_btrfs_key *to, uint64_t *ret, rh_error **err)
{
    const struct rh_btrfs *b = rh_btrfs_of(fs);
    size_t index;
    int r;

    if (to->type == RH_BTRFS_INODE && to->id >= RH_BTRFS_FIRST_FREE &&
        !(to->id >> INODE_BITS)) {
        *ret = node_of(b, dir->index, to->id);
        return 0;
    }
    if (to->type != RH_BTRFS_ROOT)
        return rh_btrfs_damaged(fs, _("a folder's entries are damaged"), err);
    r = is_linked(fs, dir, to->id, name, err);
    if (r > 0)
        r = meet_tree(fs, to->id, &index, err);
    if (r < 0)
        return -1;
    *ret = r ? node_of(b, index, b->trees.items[index].root_dir)
             : node_of(b, dir->index, EMPTY);
    return 0;
}

static int btrfs_lookup(struct rh_fs *fs, uint64_t node, const char *name,
                        uint64_t *ret, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_guest_stat st;
    struct place dir;
    struct entry e;
    int r;

    if (place_of(fs, node, &dir, err) < 0 || stat_place(fs, &dir, &st, err) < 0)
        return -1;
    if (st.type != 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder in the guest");
    r = find_entry(fs, &dir, RH_BTRFS_DIR_ITEM, name, &c, &e, err);
    if (r < 0)
        return -1;
    if (!r)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                       name);
    return follow(fs, &dir, name, &e.location, ret, err);
}

static void keep_name(struct rh_names *names, const struct entry *e)
{
    RH_AUTO(rh_freep) char *name = rh_memdup0(e->name, e->length);

    if (strcmp(name, ".") && strcmp(name, "..") && strlen(name) == e->length &&
        !strchr(name, '/'))
        *rh_vec_add(names) = RH_TAKE(name);
}

static int btrfs_list(struct rh_fs *fs, uint64_t node, struct rh_names *ret,
                      rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct rh_btrfs_key first = {.type = RH_BTRFS_DIR_INDEX};
    struct rh_guest_stat st;
    struct place dir;
    size_t count = 0;
    int r;

    if (place_of(fs, node, &dir, err) < 0 || stat_place(fs, &dir, &st, err) < 0)
        return -1;
    if (st.type != 'd')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder in the guest");
    first.id = dir.inode;
    for (r = rh_btrfs_seek(fs, dir.tree, &first, &c, err);
         r > 0 && c.key.id == dir.inode && c.key.type == RH_BTRFS_DIR_INDEX;
         r = rh_btrfs_next(fs, &c, err)) {
        struct entry e;

        if (!take_entry(&c, 0, &e))
            return rh_btrfs_damaged(fs, _("a folder's entries are damaged"),
                                    err);
        if (++count > ENTRIES_MAX)
            return rh_btrfs_damaged(fs, _("a folder is too big"), err);
        keep_name(ret, &e);
    }
    return r < 0 ? -1 : 0;
}

/* --- files
 * -------------------------------------------------------------------------- */
static int btrfs_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                      void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;
    struct rh_guest_stat st;
    struct place p;

    if (place_of(fs, node, &p, err) < 0 || stat_place(fs, &p, &st, err) < 0)
        return -1;
    if (st.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a file in the guest");
    if (st.size > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    bytes = rh_alloc_big((size_t)st.size + 1, err);
    if (!bytes || rh_btrfs_read_file(fs, p.tree, p.inode, bytes,
                                     (size_t)st.size, err) < 0)
        return -1;
    bytes[st.size] = '\0';
    *ret_size = (size_t)st.size;
    *ret_bytes = RH_TAKE(bytes);
    return 0;
}

static int btrfs_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                           rh_error **err)
{
    RH_AUTO(rh_freep) char *target = NULL;
    struct rh_guest_stat st;
    struct place p;

    if (place_of(fs, node, &p, err) < 0 || stat_place(fs, &p, &st, err) < 0)
        return -1;
    if (st.type != 'l')
        return rh_fail(err, RH_ERR_FILE_TYPE,
                       "not a symbolic link in the guest");
    if (!st.size || st.size > LINK_MAX)
        return rh_btrfs_damaged(fs, _("a symbolic link is damaged"), err);
    target = rh_calloc(1, (size_t)st.size + 1);
    if (rh_btrfs_read_file(fs, p.tree, p.inode, (uint8_t *)target,
                           (size_t)st.size, err) < 0)
        return -1;
    *ret = RH_TAKE(target);
    return 0;
}

static int btrfs_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                           void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct place p;
    struct entry e;
    int r;

    if (place_of(fs, node, &p, err) < 0)
        return -1;
    r = find_entry(fs, &p, RH_BTRFS_XATTR, name, &c, &e, err);
    if (r < 0)
        return -1;
    if (!r)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: no such attribute",
                       name);
    *ret_bytes = rh_memdup0(e.value, e.value_size);
    *ret_size = e.value_size;
    return 0;
}

/* --- which subvolume is mounted
 * -------------------------------------------------------------------- */
/* The value of the last such word among a mount's options; NULL: none. */
static char *option_of(const char *options, const char *word)
{
    size_t n = strlen(word);
    char *found = NULL;

    for (const char *p = options; p && *p;) {
        size_t length = strcspn(p, ",");

        if (length > n && !strncmp(p, word, n)) {
            free(found);
            found = rh_strndup(p + n, length - n);
        }
        p += length + (p[length] == ',');
    }
    return found;
}

static int no_subvolume(const char *name, rh_error **err)
{
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                   "%s: no such subvolume in the guest", name);
}

static int by_number(struct rh_fs *fs, const char *digits, uint64_t *ret,
                     rh_error **err)
{
    const struct rh_btrfs *b = rh_btrfs_of(fs);
    char *end;
    uint64_t id = strtoull(digits, &end, 0);
    size_t index;
    int r = *end || *digits == '-'
                ? 0
                : meet_tree(fs, id ? id : RH_BTRFS_TOP_LEVEL, &index, err);

    if (r <= 0)
        return r < 0 ? -1 : no_subvolume(digits, err);
    *ret = node_of(b, index, b->trees.items[index].root_dir);
    return 0;
}

/* From the top level on, whichever the default one is. */
static int by_path(struct rh_fs *fs, const char *path, uint64_t *ret,
                   rh_error **err)
{
    RH_AUTO(rh_freep) char *names = rh_strdup(path);
    struct place p;
    char *save;

    if (by_number(fs, "0", ret, err) < 0)
        return -1;
    for (char *name = strtok_r(names, "/", &save); name;
         name = strtok_r(NULL, "/", &save))
        if (btrfs_lookup(fs, *ret, name, ret, err) < 0)
            return -1;
    if (place_of(fs, *ret, &p, err) < 0)
        return -1;
    return p.inode == p.tree->root_dir ? 0 : no_subvolume(path, err);
}

static int btrfs_subvolume(struct rh_fs *fs, const char *options,
                           struct rh_subvolume *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = option_of(options, "subvol=");
    RH_AUTO(rh_freep) char *number = option_of(options, "subvolid=");
    uint64_t by_id = ROOT, found = ROOT;
    struct place p = {0};

    if ((number && by_number(fs, number, &by_id, err) < 0) ||
        (path && by_path(fs, path, &found, err) < 0))
        return -1;
    if (path && number && by_id != found) /* nor does the kernel mount it */
        return no_subvolume(path, err);
    ret->root = path ? found : by_id;
    if (place_of(fs, ret->root, &p, err) < 0)
        return -1;
    ret->id = p.tree->id;
    ret->read_only = p.tree->read_only;
    return 0;
}

static int btrfs_unused(struct rh_fs *fs, struct rh_unused_out *out,
                        const char **ret_why, rh_error **err)
{
    *ret_why = _("its maps of free blocks do not agree with themselves");
    return rh_btrfs_unused(fs, out, err);
}

/* --- the rest
 * ----------------------------------------------------------------------------
 */
static int btrfs_sync(struct rh_fs *fs, rh_error **err)
{
    (void)fs, (void)err;
    return 0;
}

static void state_free(struct rh_btrfs *b)
{
    for (size_t i = 0; i < RH_BTRFS_CACHE; i++)
        free(b->cache[i].bytes);
    rh_codec_free(b->codec);
    free(b->chunks.items);
    free(b->trees.items);
    free(b);
}

static void btrfs_close(struct rh_fs *fs)
{
    state_free(fs->state);
    free(fs);
}

/* What would write is not there: see scratch.c. */
static const struct rh_fs_ops ops = {
    .root = ROOT,
    .stat = btrfs_stat,
    .lookup = btrfs_lookup,
    .list = btrfs_list,
    .read = btrfs_read,
    .read_link = btrfs_read_link,
    .get_xattr = btrfs_get_xattr,
    .free_space = rh_btrfs_free_space,
    .unused = btrfs_unused,
    .subvolume = btrfs_subvolume,
    .sync = btrfs_sync,
    .close = btrfs_close,
};

/* What is mounted where nothing is said: an entry of the root tree, else the
 * top level. */
static int find_default(struct rh_fs *fs, rh_error **err)
{
    struct rh_btrfs *b = rh_btrfs_of(fs);
    RH_AUTO(rh_btrfs_cursor_free) struct rh_btrfs_cursor c = {0};
    struct place dir = {.tree = &b->root_tree, .inode = RH_BTRFS_ROOT_DIR};
    struct entry e;
    size_t index;
    int r = find_entry(fs, &dir, RH_BTRFS_DIR_ITEM, "default", &c, &e, err);

    if (r >= 0)
        r = meet_tree(fs, r ? e.location.id : RH_BTRFS_TOP_LEVEL, &index, err);
    return r > 0 ? 0
           : r   ? -1
                 : rh_btrfs_damaged(fs, _("its default subvolume is not there"),
                                    err);
}

struct rh_fs *rh_btrfs_open(struct rh_disks *d, const struct rh_volume *v,
                            const char **ret_why, rh_error **err)
{
    struct rh_fs *fs = rh_new0(struct rh_fs);
    struct rh_btrfs *b = rh_new0(struct rh_btrfs);

    fs->disks = d;
    fs->volume = v;
    fs->read_only = true;
    fs->state = b;
    b->trees.items = rh_calloc(TREES_MAX, sizeof *b->trees.items);
    b->trees.room = TREES_MAX;
    if (rh_btrfs_read_super(fs, ret_why, err) < 0 ||
        find_default(fs, err) < 0) {
        btrfs_close(fs);
        return NULL;
    }
    fs->ops = &ops;
    return fs;
}
