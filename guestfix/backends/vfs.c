/* vfs.c - the guest's tree: paths, symbolic links and mounts over file systems
 * that are read in-process.
 *
 * Links are followed inside the guest only: a link to / means the guest's
 * root, and ".." there stays there. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/backends.h"

enum { LINKS_MAX = 40, DEPTH_MAX = 128, PATH_BYTES_MAX = 16384 };

static const char new_name[] = ".rehost.new";

struct direct {
    struct rh_mount *mounts;
    size_t count;
};

/* One folder on the way. */
struct step {
    struct rh_fs *fs;
    uint64_t node;
    size_t path_length; /* of the canonical path up to here */
};

/* Where a path leads: the folder, the last name, and what is there. */
struct found {
    struct rh_fs *fs, *node_fs;
    uint64_t dir, node;
    bool exists;
    char name[256];
    struct rh_buf path; /* canonical, "" for the root */
};

static void found_free(struct found *f)
{
    rh_buf_free(&f->path);
}

void rh_names_free(struct rh_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

static const struct rh_mount *mounted_at(struct rh_guest *g, const char *path)
{
    struct direct *d = g->state;

    for (size_t i = 0; i < d->count; i++)
        if (!strcmp(d->mounts[i].path, path))
            return &d->mounts[i];
    return NULL;
}

static uint64_t root_of(const struct rh_mount *m)
{
    return m->root ? m->root : m->fs->ops->root;
}

struct walk {
    struct rh_guest *g;
    struct step steps[DEPTH_MAX];
    size_t depth;
    char *rest; /* still to go */
    unsigned links;
    bool follow;
    struct found *out;
};

static void start(struct walk *w)
{
    /* It is what a guest is opened with: it is mounted. */
    const struct rh_mount *root = mounted_at(w->g, "/");

    w->depth = 1;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    w->steps[0] = (struct step){root->fs, root_of(root), 0};
    w->out->path.length = 0;
    if (w->out->path.data)
        w->out->path.data[0] = '\0';
}

static void go_up(struct walk *w)
{
    if (w->depth > 1)
        w->depth--;
    w->out->path.length = w->steps[w->depth - 1].path_length;
    if (w->out->path.data)
        w->out->path.data[w->out->path.length] = '\0';
}

/* Put a link's target in front of what is left. */
static int follow_link(struct walk *w, struct step *at, uint64_t node,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *target = NULL;
    char *rest;

    if (++w->links > LINKS_MAX)
        /* The guest finds nothing there, either. */
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                       "symbolic links in the guest go in a circle");
    if (at->fs->ops->read_link(at->fs, node, &target, err) < 0)
        return -1;
    if (strlen(target) + strlen(w->rest) > PATH_BYTES_MAX)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED, "a path is too long");
    rest = rh_printf("%s/%s", target, w->rest);
    if (target[0] == '/')
        start(w);
    free(w->rest);
    w->rest = rest;
    return 0;
}

/* The next component off `rest`; false: none left. */
static bool next_name(struct walk *w, char ret[256], bool *ret_last)
{
    char *p = w->rest;
    size_t n;

    p += strspn(p, "/");
    n = strcspn(p, "/");
    if (!n || n > 255)
        return false;
    memcpy(ret, p, n);
    ret[n] = '\0';
    p += n;
    *ret_last = !p[strspn(p, "/")];
    memmove(w->rest, p, strlen(p) + 1);
    return true;
}

static int one_step(struct walk *w, const char *name, bool last, rh_error **err)
{
    struct step *at = &w->steps[w->depth - 1];
    struct found *f = w->out;
    struct rh_guest_stat st;
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    const struct rh_mount *mounted;
    struct rh_fs *fs = at->fs;
    size_t before = f->path.length;
    uint64_t node = 0;

    f->fs = fs;
    f->dir = at->node;
    f->exists = fs->ops->lookup(fs, at->node, name, &node, &why) == 0;
    if (!f->exists && rh_error_number(why) != RH_ERR_FILE_NOT_FOUND) {
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    memcpy(f->name, name, strlen(name) + 1);
    rh_buf_printf(&f->path, "/%s", name);
    mounted = mounted_at(w->g, f->path.data);
    if (mounted) {
        fs = mounted->fs;
        node = root_of(mounted);
        f->exists = true;
    }
    f->node_fs = fs;
    f->node = node;
    if (!f->exists)
        return last ? 0
                    : rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                              "%s: not there in the guest", f->path.data);
    if (fs->ops->stat(fs, node, &st, err) < 0)
        return -1;
    if (st.type == 'l' && (!last || w->follow)) {
        f->path.length = before;
        f->path.data[before] = '\0';
        return follow_link(w, at, node, err);
    }
    if (st.type != 'd')
        return last ? 0
                    : rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                              "%s: not a folder in the guest", f->path.data);
    if (w->depth == DEPTH_MAX)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED, "folders nest too deeply");
    w->steps[w->depth++] = (struct step){fs, node, f->path.length};
    return 0;
}

/* Where `path` leads.  The last name need not exist; the folder must. */
static int find(struct rh_guest *g, const char *path, bool follow,
                struct found *ret, rh_error **err)
{
    struct walk w = {.g = g, .follow = follow, .out = ret};
    char name[256];
    bool last = true;
    int r = 0;

    w.rest = rh_strdup(path);
    start(&w);
    ret->fs = ret->node_fs = w.steps[0].fs;
    ret->node = ret->dir = w.steps[0].node;
    ret->exists = true;
    while (r == 0 && next_name(&w, name, &last)) {
        if (!strcmp(name, "."))
            continue;
        if (!strcmp(name, "..")) {
            go_up(&w);
            ret->node_fs = w.steps[w.depth - 1].fs;
            ret->node = w.steps[w.depth - 1].node;
            ret->exists = true;
            continue;
        }
        r = one_step(&w, name, last, err);
    }
    free(w.rest);
    return r;
}

static int find_existing(struct rh_guest *g, const char *path, bool follow,
                         struct found *ret, rh_error **err)
{
    if (find(g, path, follow, ret, err) < 0)
        return -1;
    if (!ret->exists)
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: not there in the guest",
                       path);
    return 0;
}

/* --- the operations
 * ------------------------------------------------------------ */
static int vfs_stat(struct rh_guest *g, const char *path, bool follow,
                    struct rh_guest_stat *ret, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find_existing(g, path, follow, &f, err) < 0)
        return -1;
    return f.node_fs->ops->stat(f.node_fs, f.node, ret, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int vfs_list(struct rh_guest *g, const char *path, char ***ret_names,
                    rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};
    struct rh_names names = {0};

    if (find_existing(g, path, true, &f, err) < 0)
        return -1;
    if (f.node_fs->ops->list(f.node_fs, f.node, &names, err) < 0) {
        rh_names_free(&names);
        return -1;
    }
    if (names.count)
        qsort(names.items, names.count, sizeof *names.items, by_name);
    *rh_vec_add(&names) = NULL;
    *ret_names = names.items;
    return 0;
}

static int vfs_read(struct rh_guest *g, const char *path, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find_existing(g, path, true, &f, err) < 0)
        return -1;
    if (f.node_fs->ops->read(f.node_fs, f.node, limit, ret_bytes, ret_size,
                             err) < 0)
        return rh_error_context(err, "%s", path);
    return 0;
}

/* Beside the old one, then over it. */
static int replace(struct found *f, const void *bytes, size_t n, rh_error **err)
{
    struct rh_fs *fs = f->fs;
    uint64_t left;

    if (fs->ops->rewrite)
        return fs->ops->rewrite(fs, f->node, bytes, n, err);
    if (fs->ops->any_case)
        return fs->ops->remove(fs, f->dir, f->name, err) < 0
                   ? -1
                   : fs->ops->create(fs, f->dir, f->name, bytes, n, 0644, 0,
                                     err);
    if (fs->ops->lookup(fs, f->dir, new_name, &left, NULL) == 0 &&
        fs->ops->remove(fs, f->dir, new_name, err) < 0)
        return -1;
    if (fs->ops->create(fs, f->dir, new_name, bytes, n, 0, f->node, err) < 0)
        return -1;
    return fs->ops->rename(fs, f->dir, new_name, f->dir, f->name, err);
}

static int vfs_write(struct rh_guest *g, const char *path, const void *bytes,
                     size_t n, uint32_t mode, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};
    int r;

    g->changes++;
    if (find(g, path, true, &f, err) < 0)
        return -1;
    if (f.exists && f.node_fs != f.fs)
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is a mount point", path);
    r = f.exists
            ? replace(&f, bytes, n, err)
            : f.fs->ops->create(f.fs, f.dir, f.name, bytes, n, mode, 0, err);
    return r < 0 ? rh_error_context(err, "%s", path) : 0;
}

static int vfs_rename(struct rh_guest *g, const char *from, const char *to,
                      rh_error **err)
{
    RH_AUTO(found_free) struct found a = {0};
    RH_AUTO(found_free) struct found b = {0};

    g->changes++;
    if (find_existing(g, from, false, &a, err) < 0 ||
        find(g, to, false, &b, err) < 0)
        return -1;
    if (a.fs != b.fs)
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "%s and %s are not on one file system", from, to);
    return a.fs->ops->rename(a.fs, a.dir, a.name, b.dir, b.name, err);
}

static int vfs_copy(struct rh_guest *g, const char *from, const char *to,
                    rh_error **err)
{
    RH_AUTO(found_free) struct found a = {0};
    RH_AUTO(found_free) struct found b = {0};
    RH_AUTO(rh_freep) void *bytes = NULL;
    struct rh_guest_stat st;
    size_t n;

    g->changes++;
    if (find_existing(g, from, true, &a, err) < 0 ||
        find(g, to, true, &b, err) < 0 ||
        a.node_fs->ops->stat(a.node_fs, a.node, &st, err) < 0 ||
        a.node_fs->ops->read(a.node_fs, a.node, 1ULL << 30, &bytes, &n, err) <
            0)
        return -1;
    if (b.exists && b.fs->ops->remove(b.fs, b.dir, b.name, err) < 0)
        return -1;
    return b.fs->ops->create(b.fs, b.dir, b.name, bytes, n, st.mode,
                             a.fs == b.fs ? a.node : 0, err);
}

static int vfs_remove(struct rh_guest *g, const char *path, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    g->changes++;
    if (find_existing(g, path, false, &f, err) < 0)
        return -1;
    return f.fs->ops->remove(f.fs, f.dir, f.name, err);
}

static int make_one_dir(struct rh_guest *g, const char *path, uint32_t mode,
                        rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find(g, path, true, &f, err) < 0)
        return -1;
    if (f.exists)
        return 0;
    g->changes++;
    return f.fs->ops->make_dir(f.fs, f.dir, f.name, mode, err);
}

static int vfs_make_dir(struct rh_guest *g, const char *path, uint32_t mode,
                        rh_error **err)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);

    for (char *p = copy + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            if (make_one_dir(g, copy, mode, err) < 0)
                return -1;
            *p = '/';
        }
    return make_one_dir(g, path, mode, err);
}

static int vfs_symlink(struct rh_guest *g, const char *target, const char *path,
                       rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    g->changes++;
    if (find(g, path, false, &f, err) < 0)
        return -1;
    if (f.exists)
        return rh_fail(err, RH_ERR_FILE_EXISTS, "%s is there already", path);
    return f.fs->ops->symlink(f.fs, f.dir, f.name, target, err);
}

static int vfs_read_link(struct rh_guest *g, const char *path, char **ret,
                         rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find_existing(g, path, false, &f, err) < 0)
        return -1;
    return f.node_fs->ops->read_link(f.node_fs, f.node, ret, err);
}

static int vfs_get_xattr(struct rh_guest *g, const char *path, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find_existing(g, path, true, &f, err) < 0)
        return -1;
    return f.node_fs->ops->get_xattr(f.node_fs, f.node, name, ret_bytes,
                                     ret_size, err);
}

static int vfs_set_xattr(struct rh_guest *g, const char *path, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    g->changes++;
    if (find_existing(g, path, true, &f, err) < 0)
        return -1;
    return f.node_fs->ops->set_xattr(f.node_fs, f.node, name, bytes, n, err);
}

static int vfs_free_space(struct rh_guest *g, const char *path,
                          uint64_t *ret_bytes, rh_error **err)
{
    RH_AUTO(found_free) struct found f = {0};

    if (find_existing(g, path, true, &f, err) < 0)
        return -1;
    return f.node_fs->ops->free_space(f.node_fs, ret_bytes, err);
}

static int vfs_flush(struct rh_guest *g, rh_error **err)
{
    struct direct *d = g->state;

    for (size_t i = 0; i < d->count; i++)
        if (!d->mounts[i].again &&
            d->mounts[i].fs->ops->sync(d->mounts[i].fs, err) < 0)
            return -1;
    return 0;
}

/* NULL where it has to be opened again. */
static int let_go_of(struct rh_fs **fs, rh_error **err)
{
    if ((*fs)->ops->go_back)
        return (*fs)->ops->go_back(*fs, err);
    (*fs)->ops->close(*fs);
    *fs = NULL;
    return 0;
}

/* Without writing what they hold. */
static int vfs_let_go(struct rh_guest *g, rh_error **err)
{
    struct direct *d = g->state;
    int r = 0;

    for (size_t i = 0; i < d->count; i++) {
        struct rh_mount *m = &d->mounts[i];

        if (!m->again)
            m->left =
                (struct rh_left){m->fs->backend, m->fs->disks, m->fs->volume};
        else
            for (size_t k = 0; k < i; k++)
                if (d->mounts[k].fs == m->fs)
                    m->first = k;
    }
    for (size_t i = 0; i < d->count; i++) {
        struct rh_mount *m = &d->mounts[i];

        if (m->again)
            m->fs = d->mounts[m->first].fs;
        else if (let_go_of(&m->fs, err) < 0)
            r = -1;
    }
    return r;
}

static int vfs_take_up(struct rh_guest *g, rh_error **err)
{
    struct direct *d = g->state;

    for (size_t i = 0; i < d->count; i++) {
        struct rh_mount *m = &d->mounts[i];
        const char *why = NULL;

        if (m->fs)
            continue;
        m->fs = m->again ? d->mounts[m->first].fs
                         : rh_backend_open(m->left.backend, m->left.disks,
                                           m->left.volume, &why, err);
        if (!m->fs)
            return rh_fail(err, RH_ERR_GUEST_DAMAGED, "%s: %s", m->path,
                           why ? why : _("it is damaged"));
    }
    return 0;
}

void rh_mounts_free(struct rh_mount *mounts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mounts[i].fs && !mounts[i].again)
            mounts[i].fs->ops->close(mounts[i].fs);
        free(mounts[i].path);
    }
    free(mounts);
}

static void vfs_close(struct rh_guest *g)
{
    struct direct *d = g->state;

    rh_mounts_free(d->mounts, d->count);
    free(d);
    free(g);
}

static const struct rh_guest_ops direct_ops = {
    .backend = "direct",
    .stat = vfs_stat,
    .list = vfs_list,
    .read = vfs_read,
    .write = vfs_write,
    .rename = vfs_rename,
    .copy = vfs_copy,
    .remove = vfs_remove,
    .make_dir = vfs_make_dir,
    .symlink = vfs_symlink,
    .read_link = vfs_read_link,
    .get_xattr = vfs_get_xattr,
    .set_xattr = vfs_set_xattr,
    .free_space = vfs_free_space,
    .flush = vfs_flush,
    .sync = vfs_flush,
    .let_go = vfs_let_go,
    .take_up = vfs_take_up,
    .close = vfs_close,
};

struct rh_guest *rh_direct_new(struct rh_mount *mounts, size_t count)
{
    struct rh_guest *g = rh_new0(struct rh_guest);
    struct direct *d = rh_new0(struct direct);

    d->mounts = mounts;
    d->count = count;
    g->ops = &direct_ops;
    g->state = d;
    return g;
}
