/* scratch.c - changes over a file system that can only be read, kept in memory.
 *
 * A dry run makes the same edits as the real run, which has the appliance write
 * them; here they go nowhere.  Changes are a list that the latest entry of
 * wins, so that going back is cutting it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/backends.h"

/* Numbers of our own nodes; no file system's inode is as high. */
static const uint64_t own_node = 1ULL << 63;

struct name {
    uint64_t dir, node; /* node 0: the name is gone */
    char *name;
};
struct node {
    struct rh_guest_stat st;
    void *bytes; /* contents, or a link's target; ended by a NUL */
    size_t n;
};
struct scratch {
    struct rh_fs *below;
    RH_VEC(struct name) names;
    RH_VEC(struct node) nodes;
    size_t kept_names, kept_nodes; /* by the last sync() */
};

static struct scratch *scratch_of(struct rh_fs *fs)
{
    return fs->state;
}

static struct node *node_of(struct rh_fs *fs, uint64_t node)
{
    struct scratch *s = scratch_of(fs);

    return node < own_node ? NULL : &s->nodes.items[node - own_node];
}

static const struct name *changed(struct rh_fs *fs, uint64_t dir,
                                  const char *name)
{
    struct scratch *s = scratch_of(fs);

    for (size_t i = s->names.count; i--;)
        if (s->names.items[i].dir == dir &&
            !strcmp(s->names.items[i].name, name))
            return &s->names.items[i];
    return NULL;
}

static void set_name(struct rh_fs *fs, uint64_t dir, const char *name,
                     uint64_t node)
{
    *rh_vec_add(&scratch_of(fs)->names) =
        (struct name){dir, node, rh_strdup(name)};
}

/* --- reading
 * ------------------------------------------------------------------ */
static int scratch_stat(struct rh_fs *fs, uint64_t node,
                        struct rh_guest_stat *ret, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;
    const struct node *own = node_of(fs, node);

    if (!own)
        return below->ops->stat(below, node, ret, err);
    *ret = own->st;
    return 0;
}

static int scratch_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                          uint64_t *ret, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;
    const struct name *n = changed(fs, dir, name);

    if (!n && dir < own_node)
        return below->ops->lookup(below, dir, name, ret, err);
    if (!n || !n->node)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                       name);
    *ret = n->node;
    return 0;
}

static int scratch_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                        rh_error **err)
{
    struct scratch *s = scratch_of(fs);
    struct rh_names all = {0};

    if (dir < own_node && s->below->ops->list(s->below, dir, &all, err) < 0) {
        rh_names_free(&all);
        return -1;
    }
    for (size_t i = 0; i < all.count; i++)
        if (!changed(fs, dir, all.items[i]))
            *rh_vec_add(ret) = RH_TAKE(all.items[i]);
    rh_names_free(&all);
    for (size_t i = 0; i < s->names.count; i++) {
        const struct name *n = &s->names.items[i];

        if (n->dir == dir && n->node && changed(fs, dir, n->name) == n)
            *rh_vec_add(ret) = rh_strdup(n->name);
    }
    return 0;
}

static int scratch_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                        void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;
    const struct node *own = node_of(fs, node);

    if (!own)
        return below->ops->read(below, node, limit, ret_bytes, ret_size, err);
    if (own->st.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a file in the guest");
    if (own->n > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    *ret_bytes = rh_memdup0(own->bytes, own->n);
    *ret_size = own->n;
    return 0;
}

static int scratch_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                             rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;
    const struct node *own = node_of(fs, node);

    if (!own)
        return below->ops->read_link(below, node, ret, err);
    if (own->st.type != 'l')
        return rh_fail(err, RH_ERR_FILE_TYPE,
                       "not a symbolic link in the guest");
    *ret = rh_strdup(own->bytes);
    return 0;
}

static int scratch_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                             void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;

    if (node_of(fs, node))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: no such attribute",
                       name);
    return below->ops->get_xattr(below, node, name, ret_bytes, ret_size, err);
}

static int scratch_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;

    return below->ops->free_space(below, ret, err);
}

static int scratch_subvolume(struct rh_fs *fs, const char *options,
                             struct rh_subvolume *ret, rh_error **err)
{
    struct rh_fs *below = scratch_of(fs)->below;

    return below->ops->subvolume(below, options, ret, err);
}

/* --- changing
 * ----------------------------------------------------------------- */
static void add_node(struct rh_fs *fs, uint64_t dir, const char *name,
                     char type, const void *bytes, size_t n, uint32_t mode)
{
    struct scratch *s = scratch_of(fs);
    uint64_t number = own_node + s->nodes.count;

    struct node *own = rh_vec_add(&s->nodes);

    own->st = (struct rh_guest_stat){
        .type = type, .size = n, .mode = mode, .inode = number};
    own->bytes = rh_memdup0(bytes, n);
    own->n = n;
    set_name(fs, dir, name, number);
}

static int scratch_create(struct rh_fs *fs, uint64_t dir, const char *name,
                          const void *bytes, size_t n, uint32_t mode,
                          uint64_t like, rh_error **err)
{
    struct rh_guest_stat st = {.mode = mode};

    if (like && scratch_stat(fs, like, &st, err) < 0)
        return -1;
    add_node(fs, dir, name, 'f', bytes, n, st.mode);
    return 0;
}

static int scratch_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                          rh_error **err)
{
    uint64_t node;

    if (scratch_lookup(fs, dir, name, &node, err) < 0)
        return -1;
    set_name(fs, dir, name, 0);
    return 0;
}

static int scratch_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                          uint64_t to_dir, const char *to, rh_error **err)
{
    uint64_t node;

    if (scratch_lookup(fs, from_dir, from, &node, err) < 0)
        return -1;
    set_name(fs, from_dir, from, 0);
    set_name(fs, to_dir, to, node);
    return 0;
}

static int scratch_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                            uint32_t mode, rh_error **err)
{
    (void)err;
    add_node(fs, dir, name, 'd', "", 0, mode);
    return 0;
}

static int scratch_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                           const char *target, rh_error **err)
{
    (void)err;
    add_node(fs, dir, name, 'l', target, strlen(target), 0777);
    return 0;
}

static int scratch_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                             const void *bytes, size_t n, rh_error **err)
{
    (void)fs, (void)node, (void)name, (void)bytes, (void)n, (void)err;
    return 0; /* nothing asks for it again */
}

/* --- keeping
 * ------------------------------------------------------------------ */
static int scratch_sync(struct rh_fs *fs, rh_error **err)
{
    struct scratch *s = scratch_of(fs);

    (void)err;
    s->kept_names = s->names.count;
    s->kept_nodes = s->nodes.count;
    return 0;
}

static int scratch_go_back(struct rh_fs *fs, rh_error **err)
{
    struct scratch *s = scratch_of(fs);

    (void)err;
    while (s->names.count > s->kept_names)
        free(s->names.items[--s->names.count].name);
    while (s->nodes.count > s->kept_nodes)
        free(s->nodes.items[--s->nodes.count].bytes);
    return 0;
}

static void scratch_close(struct rh_fs *fs)
{
    struct scratch *s = scratch_of(fs);

    s->kept_names = s->kept_nodes = 0;
    scratch_go_back(fs, NULL);
    free(s->names.items);
    free(s->nodes.items);
    s->below->ops->close(s->below);
    free((void *)(uintptr_t)fs->ops);
    free(s);
    free(fs);
}

static const struct rh_fs_ops scratch_ops = {
    .stat = scratch_stat,
    .lookup = scratch_lookup,
    .list = scratch_list,
    .read = scratch_read,
    .read_link = scratch_read_link,
    .create = scratch_create,
    .remove = scratch_remove,
    .rename = scratch_rename,
    .make_dir = scratch_make_dir,
    .symlink = scratch_symlink,
    .get_xattr = scratch_get_xattr,
    .set_xattr = scratch_set_xattr,
    .free_space = scratch_free_space,
    .sync = scratch_sync,
    .go_back = scratch_go_back,
    .close = scratch_close,
};

const struct rh_backend rh_scratch_backend = {
    .name = "scratch", .abilities = RH_CAN_READ | RH_CAN_WRITE};

struct rh_fs *rh_scratch_new(struct rh_fs *below)
{
    struct rh_fs *fs = rh_new0(struct rh_fs);
    struct scratch *s = rh_new0(struct scratch);
    struct rh_fs_ops *ops = rh_malloc(sizeof *ops);

    *ops = scratch_ops;
    ops->root = below->ops->root;
    ops->any_case = below->ops->any_case;
    if (below->ops->subvolume)
        ops->subvolume = scratch_subvolume;
    s->below = below;
    fs->ops = ops;
    fs->backend = &rh_scratch_backend;
    fs->disks = below->disks;
    fs->volume = below->volume;
    fs->trouble = below->trouble;
    fs->trouble_id = below->trouble_id;
    fs->state = s;
    return fs;
}
