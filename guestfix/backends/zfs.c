/* zfs.c - a root on ZFS, read by GRUB's own reader (grub.c).
 *
 * A node is a number of a path in a dataset.  GRUB follows symbolic links
 * itself, inside a dataset.  It lists links to files as files, and links to
 * folders not at all: what a folder's listing lacks is asked for by name.
 * Nothing is written: an edit is refused as one that does not fit, so that its
 * fix tells what to do at the console. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/zfs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "guestfix/backends/backends.h"
#include "guestfix/backends/grub.h"

enum {
    ROOT = 1,
    LISTING_MAX = 4 * 1024 * 1024,
    LISTED_MAX = 32 * 1024 * 1024, /* of all listings: they are kept */
    ENTRIES_MAX = 65536,
    NODES_MAX = 65536,
    SYSTEMS_MAX = 32, /* boot environments that are looked at */
    DATE = 14         /* digits: 20241231235959 */
};

struct node {
    const char *dataset, *path; /* "ROOT/default"; "" or "/etc" */
    char type;
    uint64_t size;
    bool listed;
    struct rh_zfs_entries entries;
};

struct zfs {
    struct rh_grub *grub;
    struct rh_arena *arena;
    uint64_t listed;             /* bytes of listings so far */
    RH_VEC(struct node) nodes;   /* the first is nobody's */
    struct rh_zfs_entries below; /* datasets below the root's */
    const char *found;           /* what to tell of it; NULL: no root ... */
    const char *closed;          /* ... because of this */
};

/* No dataset is called so. */
static const struct node nobody = {.dataset = "/", .path = "/"};

static struct zfs *zfs_of(struct rh_fs *fs)
{
    return fs->state;
}

/* --- what GRUB prints
 * --------------------------------------------------------- */
static bool digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)p[i]))
            return false;
    return true;
}

/* "DIR          20241231235959 etc/", "76           20241231235959 rc.conf",
 * "???????????? ..."; the time may be missing. */
static bool parse_line(struct rh_arena *a, const char *line, size_t n,
                       struct rh_zfs_entry *ret)
{
    const char *end = line + n, *p = line;
    char *rest;

    *ret = (struct rh_zfs_entry){.type = 'f', .size = UINT64_MAX};
    if (n > 3 && !memcmp(p, "DIR", 3)) {
        ret->type = 'd';
        p += 3;
    } else if (isdigit((unsigned char)*p)) {
        ret->size = strtoull(p, &rest, 10);
        p = rest;
    } else if (*p != '?') {
        return false;
    }
    while (p < end && *p == '?')
        p++;
    while (p < end && *p == ' ')
        p++;
    if (end - p > DATE + 1 && digits(p, DATE) && p[DATE] == ' ') {
        ret->changed = strtoull(p, NULL, 10);
        p += DATE + 1;
    }
    if (ret->type == 'd' && end > p && end[-1] == '/')
        end--;
    if (end == p || end - p > 255 || memchr(p, '/', (size_t)(end - p)))
        return false;
    ret->name = rh_arena_strndup(a, p, (size_t)(end - p));
    return strcmp(ret->name, ".") && strcmp(ret->name, "..");
}

void rh_zfs_listing(struct rh_arena *a, const char *text,
                    struct rh_zfs_entries *ret)
{
    while (*text && ret->count < ENTRIES_MAX) {
        size_t n = strcspn(text, "\n");
        struct rh_zfs_entry e;

        if (n && parse_line(a, text, n, &e))
            *rh_vec_add(ret) = e;
        text += n + (text[n] == '\n');
    }
}

static const struct rh_zfs_entry *entry_of(const struct rh_zfs_entries *all,
                                           const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (!strcmp(all->items[i].name, name))
            return &all->items[i];
    return NULL;
}

/* A listing ends with an empty line; what cannot be listed prints nothing.
 * 1: listed; 0: it is no folder. */
static int run_ls(struct zfs *z, const char *what, struct rh_zfs_entries *ret,
                  rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("(loop0)/%s", what);
    const char *const words[] = {"ls", "--", "-l", "-a", path, NULL};
    uint64_t most = RH_MIN(LISTED_MAX - z->listed, (uint64_t)LISTING_MAX);
    struct rh_grub_output out;
    int listed;

    if (rh_grub_run(z->grub, words, false, most, &out, err) < 0)
        return -1;
    z->listed += out.size;
    listed = out.size > 0 && !out.failed;
    if (listed && strlen(out.bytes) == out.size)
        rh_zfs_listing(z->arena, out.bytes, ret);
    free(out.bytes);
    return listed;
}

/* --- nodes
 * -------------------------------------------------------------------- */
static uint64_t add_node(struct zfs *z, const char *dataset, const char *path,
                         char type, uint64_t size)
{
    struct node *n;

    for (size_t i = ROOT; i < z->nodes.count; i++)
        if (!strcmp(z->nodes.items[i].dataset, dataset) &&
            !strcmp(z->nodes.items[i].path, path))
            return i;
    if (z->nodes.count >= NODES_MAX)
        return 0;
    n = rh_vec_add(&z->nodes);
    n->dataset = dataset;
    n->path = rh_arena_strdup(z->arena, path);
    n->type = type;
    n->size = size;
    return z->nodes.count - 1;
}

static int list_node(struct zfs *z, uint64_t node, rh_error **err)
{
    struct node *n = &z->nodes.items[node];
    RH_AUTO(rh_freep) char *what = rh_printf("%s@%s/", n->dataset, n->path);
    int r;

    if (n->listed)
        return 0;
    r = run_ls(z, what, &n->entries, err);
    if (r < 0)
        return -1;
    if (!r)
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a folder in the guest");
    n->listed = true;
    return 0;
}

/* A dataset that is mounted over a folder of the root's, which is empty. */
static int find_dataset(struct zfs *z, const char *name, uint64_t *ret,
                        rh_error **err)
{
    const struct node *root = &z->nodes.items[ROOT];
    const struct rh_zfs_entry *there = entry_of(&root->entries, name);
    RH_AUTO(rh_freep) char *path = rh_printf("/%s", name);
    uint64_t below;

    *ret = 0;
    if (*name == '@' || !entry_of(&z->below, name))
        return 0;
    if (there && there->type == 'd') {
        below = add_node(z, root->dataset, path, 'd', 0);
        if (!below || list_node(z, below, err) < 0)
            return -1;
        if (z->nodes.items[below].entries.count)
            return 0;
    }
    *ret = add_node(
        z,
        rh_arena_printf(z->arena, "%s%s%s", z->nodes.items[ROOT].dataset,
                        *z->nodes.items[ROOT].dataset ? "/" : "", name),
        "", 'd', 0);
    return 0;
}

/* Not in the listing: a link to a folder, or nothing. */
static int find_link(struct zfs *z, const char *dataset, const char *path,
                     uint64_t *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *what = rh_printf("%s@%s/", dataset, path);
    struct rh_zfs_entries entries = {0};
    struct node *n;
    int r = run_ls(z, what, &entries, err);

    *ret = r > 0 ? add_node(z, dataset, path, 'd', 0) : 0;
    if (!*ret) {
        free(entries.items);
        return r < 0 ? -1 : 0;
    }
    n = &z->nodes.items[*ret];
    free(n->entries.items);
    n->entries = entries;
    n->listed = true;
    return 0;
}

/* --- what the tree asks for
 * --------------------------------------------------- */
static int zfs_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    const struct node *n = &zfs_of(fs)->nodes.items[node];

    (void)err;
    *ret = (struct rh_guest_stat){.type = n->type,
                                  .size = n->size,
                                  .mode = n->type == 'd' ? 0755 : 0644,
                                  .inode = node};
    return 0;
}

static int zfs_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    struct zfs *z = zfs_of(fs);
    RH_AUTO(rh_freep) char *path = NULL;
    const struct rh_zfs_entry *e;
    const char *dataset;

    if (list_node(z, dir, err) < 0)
        return -1;
    path = rh_printf("%s/%s", z->nodes.items[dir].path, name);
    dataset = z->nodes.items[dir].dataset;
    *ret = 0;
    if (dir == ROOT && find_dataset(z, name, ret, err) < 0)
        return -1;
    if (*ret)
        return 0;
    e = entry_of(&z->nodes.items[dir].entries, name);
    if (e)
        *ret = add_node(z, dataset, path, e->type, e->size);
    else if (find_link(z, dataset, path, ret, err) < 0)
        return -1;
    return *ret ? 0
                : rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                          "%s: not there in the guest", name);
}

static int zfs_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    struct zfs *z = zfs_of(fs);
    const struct rh_zfs_entries *all;

    if (list_node(z, dir, err) < 0)
        return -1;
    all = &z->nodes.items[dir].entries;
    for (size_t i = 0; i < all->count; i++)
        *rh_vec_add(ret) = rh_strdup(all->items[i].name);
    return 0;
}

static int zfs_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct zfs *z = zfs_of(fs);
    const struct node *n = &z->nodes.items[node];
    RH_AUTO(rh_freep)
    char *path = rh_printf("(loop0)/%s@%s", n->dataset, n->path);
    const char *const words[] = {"cat", path, NULL};
    struct rh_grub_output out;

    if (n->type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "not a file in the guest");
    if (n->size != UINT64_MAX && n->size > limit)
        return rh_fail(err, RH_ERR_FILE_TYPE, "a file in the guest is too big");
    if (rh_grub_run(z->grub, words, false, limit, &out, err) < 0)
        return -1;
    if (out.failed) {
        free(out.bytes);
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "GRUB's reader cannot read %s of the ZFS pool on %s",
                       n->path, fs->volume->device);
    }
    *ret_bytes = out.bytes;
    *ret_size = out.size;
    return 0;
}

static int zfs_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                         rh_error **err)
{
    (void)fs, (void)node, (void)ret;
    return rh_fail(err, RH_ERR_FILE_TYPE, "not a symbolic link in the guest");
}

static int zfs_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    (void)fs, (void)node, (void)ret_bytes, (void)ret_size;
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s: no such attribute", name);
}

/* --- what it cannot do
 * -------------------------------------------------------- */
static int cannot(rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_IN_PLACE,
                   "nothing on ZFS is changed from outside");
}
static int zfs_create(struct rh_fs *fs, uint64_t dir, const char *name,
                      const void *bytes, size_t n, uint32_t mode, uint64_t like,
                      rh_error **err)
{
    (void)fs, (void)dir, (void)name, (void)bytes, (void)n, (void)mode;
    (void)like;
    return cannot(err);
}
static int zfs_rewrite(struct rh_fs *fs, uint64_t node, const void *bytes,
                       size_t n, rh_error **err)
{
    (void)fs, (void)node, (void)bytes, (void)n;
    return cannot(err);
}
static int zfs_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                      rh_error **err)
{
    (void)fs, (void)dir, (void)name;
    return cannot(err);
}
static int zfs_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                      uint64_t to_dir, const char *to, rh_error **err)
{
    (void)fs, (void)from_dir, (void)from, (void)to_dir, (void)to;
    return cannot(err);
}
static int zfs_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                        uint32_t mode, rh_error **err)
{
    (void)fs, (void)dir, (void)name, (void)mode;
    return cannot(err);
}
static int zfs_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                       const char *target, rh_error **err)
{
    (void)fs, (void)dir, (void)name, (void)target;
    return cannot(err);
}
static int zfs_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    (void)fs, (void)node, (void)name, (void)bytes, (void)n;
    return cannot(err);
}
/* As nothing is written, nothing is lacking. */
static int zfs_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    (void)fs, (void)err;
    *ret = RH_TIB;
    return 0;
}
static int zfs_sync(struct rh_fs *fs, rh_error **err)
{
    (void)fs, (void)err;
    return 0;
}

/* What was read stays with the label: the root is opened more than once. */
static void zfs_close(struct rh_fs *fs)
{
    free(fs);
}

static void forget(void *reader)
{
    struct zfs *z = reader;

    for (size_t i = 0; i < z->nodes.count; i++)
        free(z->nodes.items[i].entries.items);
    free(z->nodes.items);
    free(z->below.items);
    rh_grub_free(z->grub);
    rh_arena_free(z->arena);
    free(z);
}

static const struct rh_fs_ops ops = {
    .root = ROOT,
    .stat = zfs_stat,
    .lookup = zfs_lookup,
    .list = zfs_list,
    .read = zfs_read,
    .read_link = zfs_read_link,
    .create = zfs_create,
    .rewrite = zfs_rewrite,
    .remove = zfs_remove,
    .rename = zfs_rename,
    .make_dir = zfs_make_dir,
    .symlink = zfs_symlink,
    .get_xattr = zfs_get_xattr,
    .set_xattr = zfs_set_xattr,
    .free_space = zfs_free_space,
    .sync = zfs_sync,
    .close = zfs_close,
};

/* --- which dataset is the root
 * ------------------------------------------------ */
struct choice {
    const char *dataset;
    uint64_t changed;
    unsigned systems;
};

static uint64_t newest(const struct rh_zfs_entries *all)
{
    uint64_t t = 0;

    for (size_t i = 0; i < all->count; i++)
        t = RH_MAX(t, all->items[i].changed);
    return t;
}

/* Is there a folder of this name below, and when did something in it change
 * last? */
static int look_at(struct zfs *z, const char *dataset, const char *path,
                   uint64_t *changed, bool *ret, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    uint64_t node = add_node(z, dataset, path, 'd', 0);

    *ret = node && list_node(z, node, &fault) == 0;
    if (*ret)
        *changed = RH_MAX(*changed, newest(&z->nodes.items[node].entries));
    if (!fault || rh_error_number(fault) == RH_ERR_FILE_TYPE)
        return 0;
    *err = RH_TAKE(fault);
    return -1;
}

/* A system has /etc.  The one that ran last wrote there last. */
static int weigh(struct zfs *z, const char *dataset, struct choice *best,
                 rh_error **err)
{
    uint64_t changed = 0;
    bool there;

    if (look_at(z, dataset, "", &changed, &there, err) < 0)
        return -1;
    if (there && look_at(z, dataset, "/etc", &changed, &there, err) < 0)
        return -1;
    if (!there)
        return 0;
    best->systems++;
    if (!best->dataset || changed > best->changed) {
        best->dataset = dataset;
        best->changed = changed;
    }
    return 0;
}

/* Boot environments are ROOT/NAME on all of these systems; the pool's own
 * dataset has the system where somebody made it by hand. */
static int choose(struct zfs *z, const struct rh_zfs_entries *top,
                  struct choice *best, rh_error **err)
{
    bool usual = entry_of(top, "ROOT") != NULL;
    struct rh_zfs_entries below = {0};
    const struct rh_zfs_entries *all = usual ? &below : top;
    int r = usual ? run_ls(z, "ROOT/", &below, err) : 0;

    if (r >= 0)
        r = usual ? 0 : weigh(z, "", best, err);
    for (size_t i = 0; r == 0 && i < all->count && i < SYSTEMS_MAX; i++) {
        const char *name = all->items[i].name;

        if (*name != '@')
            r = weigh(z,
                      usual ? rh_arena_printf(z->arena, "ROOT/%s", name) : name,
                      best, err);
    }
    free(below.items);
    return r;
}

/* Those of a pool's features ("a, b") that GRUB's reader does not know, as it
 * lists what it knows; NULL: it knows them all. */
static const char *unknown_features(struct rh_arena *a, const char *features)
{
    static const char *const known[] = {
        "org.illumos:lz4_compress", "com.delphix:hole_birth",
        "com.delphix:embedded_data", "com.delphix:extensible_dataset",
        "org.open-zfs:large_blocks"};
    RH_AUTO(rh_freep) char *all = rh_strdup(features ? features : "");
    char *rest = all, *one;
    const char *unknown = NULL;

    while ((one = strsep(&rest, ","))) {
        bool is_known = false;

        one += strspn(one, " ");
        for (size_t i = 0; i < RH_COUNT(known); i++)
            is_known |= !strcmp(one, known[i]);
        if (*one && !is_known)
            unknown = rh_arena_printf(a, "%s%s%s", unknown ? unknown : "",
                                      unknown ? ", " : "", one);
    }
    return unknown;
}

/* Why GRUB does not take the pool: all that it says is "unknown filesystem".
 * The version numbers are those of OpenZFS and, above 28, of Solaris. */
static const char *why_refused(struct rh_arena *a, const struct rh_zfs_label *l)
{
    const char *unknown = unknown_features(a, l->features);

    if (l->version != 5000 && l->version > 33)
        return _("it is of a version that GRUB's reader does not know");
    if (l->members > l->here_count && strcmp(l->vdev, "mirror"))
        return _("not all of its disks are here");
    if (unknown)
        return rh_arena_printf(
            a, _("it uses features that GRUB's reader does not know (%s)"),
            unknown);
    return _("GRUB's reader does not take it: it uses newer features, or it is "
             "damaged");
}

/* What the property bootfs names, and nothing else, whatever lies beside it. */
static int take_named(struct zfs *z, const struct rh_zfs_label *l,
                      struct choice *ret, const char **ret_why, rh_error **err)
{
    const char *slash = *l->bootfs ? "/" : "";

    if (!l->encrypted &&
        weigh(z, rh_arena_strdup(z->arena, l->bootfs), ret, err) < 0)
        return -1;
    if (!ret->dataset)
        *ret_why = rh_arena_printf(
            z->arena,
            l->encrypted
                ? _("its property bootfs names %s%s%s, which ZFS has encrypted")
                : _("its property bootfs names %s%s%s, in which GRUB's reader "
                    "finds no system"),
            l->pool, slash, l->bootfs);
    return 0;
}

/* *ret_why is set where there is none. */
static int find_root(struct zfs *z, const struct rh_zfs_label *l,
                     struct choice *ret, const char **ret_why, rh_error **err)
{
    struct rh_zfs_entries top = {0};
    int r = run_ls(z, "", &top, err);

    if (r == 0)
        *ret_why = why_refused(z->arena, l);
    else if (r > 0)
        r = l->bootfs ? take_named(z, l, ret, ret_why, err)
                      : choose(z, &top, ret, err);
    if (r == 0 && !ret->dataset && !*ret_why)
        *ret_why = _("no system was found in it");
    free(top.items);
    return r;
}

/* Its node gets the root's number, with what is known of it. */
static int take_root(struct zfs *z, const char *dataset, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *what = rh_printf("%s%s", dataset, *dataset ? "/" : "");
    uint64_t node = add_node(z, dataset, "", 'd', 0);

    z->nodes.items[ROOT] = z->nodes.items[node];
    z->nodes.items[node] = nobody;
    return run_ls(z, what, &z->below, err) < 0 ? -1 : list_node(z, ROOT, err);
}

/* What is known of it beyond its files. */
static const char *found(const struct zfs *z, const struct rh_zfs_label *l,
                         const struct choice *c)
{
    const char *slash = *c->dataset ? "/" : "";

    if (l->bootfs)
        return rh_arena_printf(
            z->arena,
            _("the dataset %s%s%s (pool version %llu) is read, as the pool's "
              "property bootfs names it; nothing in it is changed"),
            l->pool, slash, c->dataset, (unsigned long long)l->version);
    if (c->systems > 1)
        return rh_arena_printf(
            z->arena,
            _("of %u boot environments in the pool %s (version %llu), %s%s%s "
              "was changed last, and is taken for the one that starts, as the "
              "pool does not tell (%s); nothing in it is changed"),
            c->systems, l->pool, (unsigned long long)l->version, l->pool, slash,
            c->dataset, l->bootfs_why);
    return rh_arena_printf(z->arena,
                           _("the dataset %s%s%s (pool version %llu) is read; "
                             "nothing in it is changed"),
                           l->pool, slash, c->dataset,
                           (unsigned long long)l->version);
}

static int read_pool(struct zfs *z, struct rh_zfs_label *l, rh_error **err)
{
    struct choice best = {0};

    *rh_vec_add(&z->nodes) = nobody;
    *rh_vec_add(&z->nodes) = nobody;
    if (find_root(z, l, &best, &z->closed, err) < 0)
        return -1;
    if (!best.dataset)
        return 0;
    if (take_root(z, best.dataset, err) < 0)
        return -1;
    z->found = found(z, l, &best);
    l->root = rh_arena_printf(z->arena, "%s%s%s", l->pool,
                              *best.dataset ? "/" : "", best.dataset);
    return 0;
}

struct rh_fs *rh_zfs_open(struct rh_disks *d, const struct rh_volume *v,
                          const char **ret_why, rh_error **err)
{
    struct rh_zfs_label *l = v->zfs;
    struct rh_fs *fs;
    struct zfs *z = l->reader;

    if (rh_zpool_look(d, l, err) < 0)
        return NULL;
    if (!z) {
        struct rh_grub *grub = rh_grub_new(d, l->here, l->here_count, ret_why);

        if (!grub)
            return NULL;
        z = rh_new0(struct zfs);
        z->grub = grub;
        z->arena = rh_arena_new();
        l->reader = z;
        l->reader_free = forget;
        if (read_pool(z, l, err) < 0)
            return NULL;
    }
    *ret_why = z->closed ? z->closed : _("it is damaged");
    if (!z->found)
        return NULL;
    fs = rh_new0(struct rh_fs);
    fs->ops = &ops;
    fs->disks = d;
    fs->volume = v;
    fs->state = z;
    fs->trouble_id = RH_F_GUEST_ZFS;
    fs->trouble = z->found;
    return fs;
}
