/* zfs.c - the label of a ZFS pool: its name, version and members.
 *
 * The first of four labels: 16 KiB of boot space, then 112 KiB that hold one
 * nvlist as XDR (big-endian, strings padded to four bytes), ended by a pair of
 * sizes zero ("ZFS On-Disk Specification", chapter 1; OpenZFS's nvpair.c).
 * Only the few names below are taken; lists nest three levels at most. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "volumes/volumes.h"

enum {
    LIST_AT = 16 * 1024,
    LIST_SIZE = 112 * 1024,
    DEPTH_MAX = 3,
    MEMBERS_MAX = 32, /* volumes of one pool that are looked at */
    POOLS_MAX = 64,
    CHILDREN_MAX = 64,
    ASHIFT_MAX = 16,
    TYPE_UINT64 = 8,
    TYPE_STRING = 9,
    TYPE_LIST = 19,
    TYPE_LISTS = 20,
};

struct xdr {
    const uint8_t *p;
    size_t left;
};

struct pair {
    const char *name; /* not ended by a NUL */
    size_t name_size;
    uint32_t type, count;
    struct xdr value;
};

struct parse {
    struct rh_arena *arena;
    struct rh_zfs_label *out;
    uint64_t own; /* guid of the disk with this label; comes before the tree */
    uint32_t child; /* below the topmost vdev, that is read now */
};

static bool take(struct xdr *x, size_t n, const uint8_t **ret)
{
    if (n > x->left)
        return false;
    *ret = x->p;
    x->p += n;
    x->left -= n;
    return true;
}

static bool take32(struct xdr *x, uint32_t *ret)
{
    const uint8_t *p;

    if (!take(x, 4, &p))
        return false;
    *ret = rh_be32(p);
    return true;
}

static bool take_text(struct xdr *x, const char **ret, size_t *ret_size)
{
    const uint8_t *p;
    uint32_t n;

    if (!take32(x, &n) || n > x->left)
        return false;
    *ret_size = n;
    if (!take(x, n, &p))
        return false;
    *ret = (const char *)p;
    return take(x, (4 - n % 4) % 4, &p);
}

/* 1: a pair; 0: the list ends; -1: it is damaged. */
static int next_pair(struct xdr *x, struct pair *ret)
{
    struct xdr at = *x, body;
    uint32_t size, decoded;
    const uint8_t *p;

    if (!take32(&at, &size) || !take32(&at, &decoded))
        return -1;
    if (!size) {
        *x = at;
        return 0;
    }
    if (size < 20 || size > x->left)
        return -1;
    body = (struct xdr){at.p, size - 8};
    if (!take_text(&body, &ret->name, &ret->name_size) ||
        !take32(&body, &ret->type) || !take32(&body, &ret->count))
        return -1;
    ret->value = body;
    return take(x, size, &p) ? 1 : -1;
}

static bool is(const struct pair *p, const char *name, uint32_t type)
{
    return p->type == type && p->name_size == strlen(name) &&
           !memcmp(p->name, name, p->name_size);
}

static const char *text_of(struct parse *w, const struct pair *p)
{
    RH_AUTO(rh_freep) char *plain = NULL;
    RH_AUTO(rh_freep) char *safe = NULL;
    struct xdr x = p->value;
    const char *t;
    size_t n;

    if (!take_text(&x, &t, &n) || n > 1024)
        return NULL;
    plain = rh_strndup(t, n);
    safe = rh_printable(plain);
    return rh_arena_strdup(w->arena, safe);
}

static uint64_t number_of(const struct pair *p)
{
    return p->value.left < 8 ? 0 : rh_be64(p->value.p);
}

static bool read_list(struct parse *w, struct xdr *x, unsigned depth,
                      bool first);

static bool read_children(struct parse *w, const struct pair *p, unsigned depth,
                          bool first)
{
    struct xdr x = p->value;

    if (depth == 1)
        w->out->members = p->count;
    for (uint32_t i = 0; i < p->count && i < CHILDREN_MAX; i++) {
        if (depth == 1)
            w->child = i;
        if (!read_list(w, &x, depth + 1, first && i == 0))
            return false;
    }
    return true;
}

/* What the topmost vdev says of how the bytes lie. */
static void read_top(struct parse *w, const struct pair *p)
{
    struct rh_zfs_label *l = w->out;

    if (is(p, "id", TYPE_UINT64))
        l->top = number_of(p);
    else if (is(p, "ashift", TYPE_UINT64))
        l->ashift = (unsigned)RH_MIN(number_of(p), (uint64_t)ASHIFT_MAX);
    else if (is(p, "nparity", TYPE_UINT64))
        l->parity = (unsigned)RH_MIN(number_of(p), (uint64_t)CHILDREN_MAX);
}

/* The tree below a pool: the topmost vdev says how it is made, the first leaf
 * where this disk was. */
static bool read_vdev(struct parse *w, struct pair *p, unsigned depth,
                      bool first)
{
    struct rh_zfs_label *l = w->out;

    if (is(p, "children", TYPE_LISTS) && depth < DEPTH_MAX)
        return read_children(w, p, depth, first);
    if (depth > 1 && is(p, "guid", TYPE_UINT64) && number_of(p) == w->own)
        l->child = w->child;
    if (depth == 1)
        read_top(w, p);
    if (!first)
        return true;
    if (is(p, "type", TYPE_STRING) && !l->vdev)
        l->vdev = text_of(w, p);
    else if (is(p, "path", TYPE_STRING) && !l->path)
        l->path = text_of(w, p);
    else if (is(p, "phys_path", TYPE_STRING) && !l->phys_path)
        l->phys_path = text_of(w, p);
    else if (is(p, "devid", TYPE_STRING) && !l->devid)
        l->devid = text_of(w, p);
    return true;
}

/* Names alone; the first few tell enough. */
static bool read_features(struct parse *w, struct xdr *x)
{
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};
    uint32_t version, flags;
    struct pair p;
    int r;

    if (!take32(x, &version) || !take32(x, &flags))
        return false;
    while ((r = next_pair(x, &p)) > 0) {
        RH_AUTO(rh_freep) char *plain = NULL;
        RH_AUTO(rh_freep) char *safe = NULL;

        if (p.name_size > 64 || all.length > 256)
            continue;
        plain = rh_strndup(p.name, p.name_size);
        safe = rh_printable(plain);
        rh_buf_printf(&all, "%s%s", all.length ? ", " : "", safe);
    }
    if (all.length)
        w->out->features = rh_arena_strdup(w->arena, all.data);
    return r == 0;
}

static bool read_pool(struct parse *w, struct pair *p)
{
    struct rh_zfs_label *l = w->out;
    struct xdr x = p->value;

    if (is(p, "name", TYPE_STRING))
        l->pool = text_of(w, p);
    else if (is(p, "hostname", TYPE_STRING))
        l->hostname = text_of(w, p);
    else if (is(p, "version", TYPE_UINT64))
        l->version = number_of(p);
    else if (is(p, "pool_guid", TYPE_UINT64))
        l->guid = number_of(p);
    else if (is(p, "guid", TYPE_UINT64))
        w->own = number_of(p);
    else if (is(p, "vdev_tree", TYPE_LIST))
        return read_list(w, &x, 1, true);
    else if (is(p, "features_for_read", TYPE_LIST))
        return read_features(w, &x);
    return true;
}

/* `first`: it is the first among its like. */
static bool read_list(struct parse *w, struct xdr *x, unsigned depth,
                      bool first)
{
    uint32_t version, flags;
    struct pair p;
    int r;

    if (!take32(x, &version) || !take32(x, &flags))
        return false;
    while ((r = next_pair(x, &p)) > 0)
        if (!(depth ? read_vdev(w, &p, depth, first) : read_pool(w, &p)))
            return false;
    return r == 0;
}

int rh_zfs_read(struct rh_disks *d, struct rh_volume *v, struct rh_arena *a,
                rh_error **err)
{
    static const uint8_t xdr_head[2] = {1, 1}; /* XDR, written little-endian */
    struct parse w = {.arena = a, .out = rh_arena_zalloc(a, sizeof *w.out)};
    RH_AUTO(rh_freep) uint8_t *bytes = rh_malloc(LIST_SIZE);
    struct xdr x = {bytes + 4, LIST_SIZE - 4};

    w.out->child = RH_ZFS_NO_CHILD;
    if (rh_volume_bytes(v) < LIST_AT + LIST_SIZE)
        return 0;
    if (rh_volume_read(d, v, bytes, LIST_SIZE, LIST_AT, err) < 0)
        return -1;
    if (bytes[0] != xdr_head[0] || !read_list(&w, &x, 0, true) ||
        !w.out->pool || !w.out->vdev)
        return 0;
    if (!w.out->members)
        w.out->members = 1;
    v->zfs = w.out;
    v->label = w.out->pool;
    return 0;
}

/* Labels of one pool share one list. */
static void gather(struct rh_volumes *all, const struct rh_zfs_label *first)
{
    const struct rh_volume **here =
        rh_arena_zalloc(all->arena, MEMBERS_MAX * sizeof *here);
    size_t n = 0;

    for (size_t k = 0; k < all->all.count && n < MEMBERS_MAX; k++) {
        const struct rh_zfs_label *l = all->all.items[k].zfs;

        if (l && l->guid == first->guid)
            here[n++] = &all->all.items[k];
    }
    for (size_t k = 0; k < n; k++) {
        here[k]->zfs->here = here;
        here[k]->zfs->here_count = n;
    }
}

void rh_zfs_gather(struct rh_volumes *all)
{
    unsigned pools = 0;

    for (size_t i = 0; i < all->all.count && pools < POOLS_MAX; i++) {
        const struct rh_zfs_label *l = all->all.items[i].zfs;

        if (l && !l->here_count) {
            gather(all, l);
            pools++;
        }
    }
}

void rh_zfs_forget(struct rh_zfs_label *l)
{
    if (!l)
        return;
    free(RH_TAKE(l->bootfs));
    if (!l->reader)
        return;
    l->reader_free(l->reader);
    l->reader = NULL;
    l->root = NULL;
}
