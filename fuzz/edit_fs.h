/* edit_fs.h - a file system edited by a program of bytes, held against a model.
 *
 * The tree as our reader shows it is the model; each edit that succeeds is made
 * in the model, too.  One that fails is undone as the engine does it: the
 * overlay goes back to the mark, and must hold the bytes of before.  At the end
 * the tree must be the model's: nothing else may have changed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_EDIT_FS_H
#define RH_FUZZ_EDIT_FS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "fuzz/guest_disk.h"
#include "guestfix/backends/fs.h"

enum {
    NODES_MAX = 300,
    FILE_MAX = 256 * 1024,
    DEPTH_MAX = 4,
    OPS_MAX = 60,
    DISK_MAX = 4 * 1024 * 1024
};

struct model_node {
    char *path; /* "" for the root */
    char type;
    char *bytes; /* of a file; NULL: it could not be read */
    size_t size;
};
struct model {
    RH_VEC(struct model_node) nodes;
    bool whole; /* the tree was seen as a whole */
};

static inline void model_free(struct model *m)
{
    for (size_t i = 0; i < m->nodes.count; i++) {
        free(m->nodes.items[i].path);
        free(m->nodes.items[i].bytes);
    }
    free(m->nodes.items);
    memset(m, 0, sizeof *m);
}

static inline bool same_path(const struct rh_fs *fs, const char *a,
                             const char *b)
{
    return fs->ops->any_case ? !strcasecmp(a, b) : !strcmp(a, b);
}

static inline struct model_node *model_find(const struct rh_fs *fs,
                                            const struct model *m,
                                            const char *path)
{
    for (size_t i = 0; i < m->nodes.count; i++)
        if (same_path(fs, m->nodes.items[i].path, path))
            return &m->nodes.items[i];
    return NULL;
}

static inline void model_put(struct model *m, const char *path, char type,
                             const void *bytes, size_t n)
{
    struct model_node *node = rh_vec_add(&m->nodes);

    node->path = rh_strdup(path);
    node->type = type;
    node->bytes = bytes ? rh_memdup0(bytes, n) : NULL;
    node->size = n;
}

static inline void model_drop(struct model *m, struct model_node *node)
{
    free(node->path);
    free(node->bytes);
    *node = m->nodes.items[--m->nodes.count];
}

/* What the reader shows, folder by folder. */
static inline void model_see(struct rh_fs *fs, uint64_t dir, const char *path,
                             unsigned depth, struct model *m)
{
    struct rh_names names = {0};

    m->whole &= fs->ops->list(fs, dir, &names, NULL) == 0 && depth <= DEPTH_MAX;
    for (size_t i = 0; m->whole && i < names.count; i++) {
        char *child = rh_printf("%s/%s", path, names.items[i]);
        struct rh_guest_stat st;
        uint64_t node;
        void *bytes = NULL;
        size_t n = 0;

        /* Two files of one name: nobody can tell which is edited. */
        if (m->nodes.count >= NODES_MAX || model_find(fs, m, child) ||
            strchr(names.items[i], '/') || !names.items[i][0] ||
            fs->ops->lookup(fs, dir, names.items[i], &node, NULL) < 0 ||
            fs->ops->stat(fs, node, &st, NULL) < 0) {
            m->whole = false;
            free(child);
            break;
        }
        if (st.type == 'f' &&
            fs->ops->read(fs, node, FILE_MAX, &bytes, &n, NULL) < 0)
            bytes = NULL;
        model_put(m, child, st.type, bytes, n);
        free(bytes);
        if (st.type == 'd')
            model_see(fs, node, child, depth + 1, m);
        free(child);
    }
    rh_names_free(&names);
}

/* --- the program ------------------------------------------------------------
 */
struct program {
    const uint8_t *bytes;
    size_t n, at;
};

static inline unsigned next_byte(struct program *p)
{
    return p->at < p->n ? p->bytes[p->at++] : 0;
}

/* Short, mixed, long, and names as aliases have them. */
static inline void next_name(struct program *p, char ret[260])
{
    static const char *const words[] = {
        "A.CFG",        "b.txt",        "Mixed.Case", "BOOTX64.EFI",
        "longna~1.txt", "a b c.config", "x",          "UPPER~2"};
    unsigned kind = next_byte(p), n = next_byte(p);

    if (kind < 96) {
        snprintf(ret, 260, "%s", words[kind % RH_COUNT(words)]);
    } else if (kind < 160) {
        snprintf(ret, 260, "f%02u.%c", n % 40, 'a' + (int)(kind % 3));
    } else {
        /* Up to more than any file system takes. */
        n = kind < 250 ? 1 + n % 210 : n;
        for (unsigned i = 0; i < n; i++)
            ret[i] = "longname.txt"[(i + kind) % 12];
        ret[n] = '\0';
    }
    if (!ret[0] || !strcmp(ret, ".") || !strcmp(ret, ".."))
        snprintf(ret, 260, "n");
}

static inline unsigned depth_of(const char *path)
{
    unsigned n = 0;

    for (; *path; path++)
        n += *path == '/';
    return n;
}

/* One of the folders that there are, but for the deepest. */
static inline const char *next_folder(struct program *p, const struct model *m)
{
    unsigned n = next_byte(p), k = 0;

    for (size_t i = 0; i < m->nodes.count && n % 4; i++)
        if (m->nodes.items[i].type == 'd' &&
            depth_of(m->nodes.items[i].path) < DEPTH_MAX &&
            ++k == n / 4 % 8 + 1)
            return m->nodes.items[i].path;
    return "";
}

static inline int find_dir(struct rh_fs *fs, const char *path, uint64_t *ret)
{
    char *copy = rh_strdup(path), *save, *word;
    int r = 0;

    *ret = fs->ops->root;
    for (word = strtok_r(copy, "/", &save); word && r == 0;
         word = strtok_r(NULL, "/", &save))
        r = fs->ops->lookup(fs, *ret, word, ret, NULL);
    free(copy);
    return r;
}

struct editing {
    struct guest_disk *g;
    struct rh_volume *v;
    rh_fs_opener *open;
    struct rh_fs *fs;
    struct model m;
};

/* -1: failed.  Otherwise the model follows. */
static inline int op_create(struct editing *e, struct program *p)
{
    char *folder = rh_strdup(next_folder(p, &e->m)), name[260];
    unsigned kind = next_byte(p);
    size_t n = kind < 200 ? kind * 7u : (kind - 199) * 1500u;
    char *bytes = rh_calloc(1, n + 1), *path;
    struct model_node *old;
    uint64_t dir, node = 0;
    int r = -1;

    next_name(p, name);
    memset(bytes, (int)('a' + kind % 26), n);
    path = rh_printf("%s/%s", folder, name);
    old = model_find(e->fs, &e->m, path);
    /* As writing does: what is there gives way. */
    if ((!old || old->type == 'f') && find_dir(e->fs, folder, &dir) == 0 &&
        (!old || e->fs->ops->remove(e->fs, dir, name, NULL) == 0))
        r = e->fs->ops->create(e->fs, dir, name, bytes, n, 0644, node, NULL);
    if (r == 0 && old)
        model_drop(&e->m, old);
    if (r == 0)
        model_put(&e->m, path, 'f', bytes, n);
    free(folder);
    free(bytes);
    free(path);
    return r;
}

static inline int op_make_dir(struct editing *e, struct program *p)
{
    char *folder = rh_strdup(next_folder(p, &e->m)), name[260], *path;
    uint64_t dir;
    int r = -1;

    next_name(p, name);
    path = rh_printf("%s/%s", folder, name);
    if (!model_find(e->fs, &e->m, path) && find_dir(e->fs, folder, &dir) == 0)
        r = e->fs->ops->make_dir(e->fs, dir, name, 0755, NULL);
    if (r == 0)
        model_put(&e->m, path, 'd', NULL, 0);
    free(folder);
    free(path);
    return r;
}

static inline struct model_node *next_file(struct program *p, struct model *m)
{
    unsigned n = next_byte(p);

    for (size_t i = 0; m->nodes.count && i < m->nodes.count; i++) {
        struct model_node *node = &m->nodes.items[(n + i) % m->nodes.count];

        if (node->type == 'f')
            return node;
    }
    return NULL;
}

/* The folder and the name of a path. */
static inline int split(struct editing *e, const char *path, uint64_t *ret_dir,
                        const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    char *folder = rh_strndup(path, (size_t)(slash - path));
    int r = find_dir(e->fs, folder, ret_dir);

    *ret_name = slash + 1;
    free(folder);
    return r;
}

static inline int op_remove(struct editing *e, struct program *p)
{
    struct model_node *node = next_file(p, &e->m);
    const char *name;
    uint64_t dir;

    if (!node || split(e, node->path, &dir, &name) < 0 ||
        e->fs->ops->remove(e->fs, dir, name, NULL) < 0)
        return -1;
    model_drop(&e->m, node);
    return 0;
}

static inline int op_rename(struct editing *e, struct program *p)
{
    struct model_node *node = next_file(p, &e->m), *old;
    char *folder = rh_strdup(next_folder(p, &e->m)), to[260], *path;
    uint64_t dir, to_dir;
    const char *name;
    int r = -1;

    next_name(p, to);
    path = rh_printf("%s/%s", folder, to);
    old = model_find(e->fs, &e->m, path);
    if (node && (!old || old->type == 'f') && old != node &&
        split(e, node->path, &dir, &name) == 0 &&
        find_dir(e->fs, folder, &to_dir) == 0)
        r = e->fs->ops->rename(e->fs, dir, name, to_dir, to, NULL);
    if (r == 0) {
        free(node->path);
        node->path = rh_strdup(path);
        if (old)
            model_drop(&e->m, old);
    }
    free(folder);
    free(path);
    return r;
}

/* --- after each -------------------------------------------------------------
 */
static inline uint64_t digest_of(struct editing *e)
{
    size_t n = e->g->overlay ? (size_t)e->g->overlay->size : 0;
    struct rh_codec *codec = rh_codec_new();
    static uint8_t bytes[DISK_MAX];
    uint64_t digest = 0;

    if (n > DISK_MAX)
        abort();
    if (rh_reader_read(e->g->overlay, codec, bytes, n, 0, NULL) == 0)
        digest = XXH3_64bits(bytes, n);
    rh_codec_free(codec);
    return digest;
}

static inline bool reopen(struct editing *e)
{
    const char *why;

    e->fs->ops->close(e->fs);
    rh_disks_forget(e->g->disks);
    e->fs = e->open(e->g->disks, e->v, &why, NULL);
    return e->fs != NULL;
}

/* The tree is the model's, as a fresh look shows it. */
static inline void must_agree(struct editing *e)
{
    struct model seen = {.whole = true};

    model_see(e->fs, e->fs->ops->root, "", 0, &seen);
    if (!seen.whole || seen.nodes.count != e->m.nodes.count) {
        fprintf(stderr, "the tree has %zu nodes, not %zu\n", seen.nodes.count,
                e->m.nodes.count);
        abort();
    }
    for (size_t i = 0; i < e->m.nodes.count; i++) {
        const struct model_node *want = &e->m.nodes.items[i];
        const struct model_node *got = model_find(e->fs, &seen, want->path);

        if (!got || got->type != want->type || got->size != want->size ||
            !got->bytes != !want->bytes ||
            (got->bytes && memcmp(got->bytes, want->bytes, got->size))) {
            fprintf(stderr, "%s is not what it was\n", want->path);
            abort();
        }
    }
    model_free(&seen);
}

static inline bool one_op(struct editing *e, struct program *p)
{
    static int (*const ops[])(struct editing *, struct program *) = {
        op_create, op_create, op_make_dir, op_remove, op_rename};
    uint64_t before = digest_of(e);
    bool ok = true;
    int r;

    rh_overlay_mark(e->g->overlay);
    r = ops[next_byte(p) % RH_COUNT(ops)](e, p);
    if (r == 0 && e->fs->ops->sync(e->fs, NULL) == 0) {
        rh_overlay_keep(e->g->overlay);
    } else {
        if (r == 0)
            abort(); /* it was written, and cannot be written back */
        rh_overlay_go_back(e->g->overlay);
        ok = reopen(e);
        if (!ok || before != digest_of(e))
            abort();
    }
    return ok;
}

/* `strict`: the image is sound, or one that is not sound is never edited, so
 * that nothing else may change. */
static inline void edit_image(const uint8_t *image, size_t size,
                              struct program *p, rh_fs_opener *open,
                              bool strict)
{
    struct guest_disk g;
    struct rh_span span = {.length = size - size % 512};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    struct editing e = {.g = &g, .v = &v, .open = open, .m = {.whole = true}};
    const char *why;

    if (guest_disk_open(&g, image, size) &&
        (e.fs = open(g.disks, &v, &why, NULL))) {
        model_see(e.fs, e.fs->ops->root, "", 0, &e.m);
        for (unsigned i = 0; e.m.whole && i < OPS_MAX && p->at < p->n &&
                             e.m.nodes.count < NODES_MAX - 1;
             i++)
            one_op(&e, p);
        if (e.m.whole && reopen(&e)) {
            if (strict)
                must_agree(&e);
        }
        if (e.fs)
            e.fs->ops->close(e.fs);
    }
    model_free(&e.m);
    guest_disk_close(&g);
}

#endif
