/* open.c - find the guest's root file system and mount the rest over it,
 * in-process; where a file system that matters has no back end here, the
 * appliance does it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/backends.h"

enum { MOUNTS_MAX = 8 };

/* --- the root
 * ------------------------------------------------------------------ */
static struct rh_guest *as_root(struct rh_fs *fs)
{
    struct rh_mount *m = rh_calloc(MOUNTS_MAX, sizeof *m);

    m[0].path = rh_strdup("/");
    m[0].fs = fs;
    return rh_direct_new(m, 1);
}

struct candidate {
    const struct rh_family *family;
    size_t volume;
    int rank;
    unsigned roots; /* how many there are */
};

static bool holds_a_root(const struct rh_volume *v)
{
    for (size_t i = 0; rh_families[i]; i++)
        if (rh_may_hold_root(rh_families[i], v))
            return true;
    return false;
}

/* `where`: how people know it, "/boot" or the volume's device.  What only lies
 * beside the guest keeps nobody from mending it. */
static void say_trouble(struct rh_session *s, const char *where,
                        const struct rh_fs *fs)
{
    bool beside = where == fs->volume->device;
    bool plain =
        !fs->trouble_id || (beside && fs->trouble_id == RH_F_GUEST_HIBERNATED);

    rh_finding_add(s->o->findings, plain ? RH_F_GUEST_DIRTY_FS : fs->trouble_id,
                   "os", N_("the file system on %s (%s): %s"),
                   fs->volume->device, where, fs->trouble);
}

/* Is it a root of any family? */
static bool rank_volume(struct rh_guest *g, const struct rh_volume *v,
                        size_t index, struct candidate *best)
{
    bool any = false;

    for (size_t i = 0; rh_families[i]; i++) {
        const struct rh_family *f = rh_families[i];
        int rank = rh_may_hold_root(f, v) ? f->rank(g) : 0;

        any |= rank > 0;
        if (rank <= best->rank)
            continue;
        best->rank = rank;
        best->volume = index;
        best->family = f;
    }
    best->roots += any;
    return any;
}

/* Why a volume could not be opened.  Of a pool, and of what has Solaris' label,
 * the guest's family tells it, with the steps. */
static void say_closed(struct rh_session *s, const struct rh_volume *v,
                       const char *why, const rh_error *fault,
                       const char **ret_why)
{
    bool advised = v->zfs || (v->label_of && !strcmp(v->label_of, "solaris"));

    if (!advised) {
        *ret_why = why ? why : _("it is damaged");
        return;
    }
    free(s->closed_why);
    s->closed_why = rh_strdup(why     ? why
                              : fault ? rh_error_message(fault)
                                      : _("it is damaged"));
}

static int find_root_among(struct rh_session *s, bool left,
                           struct candidate *best, const char **ret_why,
                           rh_error **err)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        struct rh_volume *v = &s->volumes.all.items[i];
        RH_AUTO(rh_error_freep) rh_error *fault = NULL;
        const char *why = NULL;
        struct rh_guest *g;
        struct rh_fs *fs;

        if (!holds_a_root(v) || rh_left_to_appliance(s, v) != left)
            continue;
        s->by_appliance = left;
        fs = rh_volume_open(s, v, &why, &fault);
        if (!fs) {
            say_closed(s, v, why, fault, ret_why);
            if (rh_error_number(fault) == RH_ERR_CANCELLED) {
                *err = RH_TAKE(fault);
                return -1;
            }
            continue;
        }
        g = as_root(fs);
        if (!rank_volume(g, v, i, best) && fs->read_only)
            say_trouble(s, v->device, fs);
        g->ops->close(g);
    }
    return 0;
}

/* The appliance takes half a minute to start: only where there is no root among
 * what is read without it. */
static int find_root(struct rh_session *s, struct candidate *best,
                     const char **ret_why, rh_error **err)
{
    if (find_root_among(s, false, best, ret_why, err) < 0)
        return -1;
    return best->rank ? 0 : find_root_among(s, true, best, ret_why, err);
}

/* --- mounting the rest
 * ------------------------------------------------------------ */
struct direct_mounting {
    struct rh_mounting m;
    struct rh_mount *mounts;
    size_t count;
    const char *why; /* a mount that matters cannot be had in-process */
};

static struct rh_fs *fs_of(const struct direct_mounting *d,
                           const struct rh_volume *v)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->mounts[i].fs->volume == v)
            return d->mounts[i].fs;
    return NULL;
}

static bool has(const struct rh_mounting *m, const struct rh_volume *v)
{
    return fs_of((const struct direct_mounting *)m, v) != NULL;
}

static void add_mount(struct direct_mounting *d, const char *path,
                      struct rh_fs *fs)
{
    struct rh_mount m = {.path = rh_strdup(path),
                         .fs = fs,
                         .again = fs_of(d, fs->volume) != NULL};

    d->mounts[d->count++] = m;
}

static int add(struct rh_mounting *m, const struct rh_mount_wish *w,
               rh_error **err)
{
    struct direct_mounting *d = (struct direct_mounting *)m;
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    const char *why = NULL;
    struct rh_fs *fs;

    if (!w->volume || d->count == MOUNTS_MAX)
        return 0;
    for (size_t i = 0; i < d->count; i++)
        if (!strcmp(d->mounts[i].path, w->path))
            return 0;
    /* One file system, one state of it, wherever it is mounted. */
    fs = fs_of(d, w->volume);
    if (!fs)
        fs = rh_volume_open(m->s, w->volume, &why, &fault);
    if (fs) {
        add_mount(d, w->path, fs);
        return 0;
    }
    if (rh_error_number(fault) == RH_ERR_CANCELLED) {
        *err = RH_TAKE(fault);
        return -1;
    }
    if (w->needed)
        d->why = why ? why : _("it is damaged");
    return 0;
}

static int mount_all(struct direct_mounting *d, const struct rh_family *family,
                     rh_error **err)
{
    const struct rh_volume *root = d->m.root_volume;
    const char *why = NULL;
    struct rh_fs *alone = rh_volume_open(d->m.s, root, &why, err);
    struct rh_fs *fs = rh_volume_open(d->m.s, root, &why, err);
    int r = -1;

    if (fs)
        add_mount(d, "/", fs);
    if (alone)
        d->m.root = as_root(alone);
    if (fs && alone)
        r = family->mounts ? family->mounts(&d->m, err) : 0;
    if (d->m.root)
        d->m.root->ops->close(d->m.root);
    return r;
}

static bool all_writable(const struct direct_mounting *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (!(d->mounts[i].fs->backend->abilities &
              (RH_CAN_WRITE | RH_CAN_REFUSE)) ||
            d->mounts[i].fs->read_only)
            return false;
    return true;
}

int rh_open_direct(struct rh_session *s, const char **ret_why, rh_error **err)
{
    struct candidate best = {.volume = SIZE_MAX};
    struct direct_mounting d = {.m = {.s = s, .add = add, .has = has}};
    struct rh_guest *g;

    if (find_root(s, &best, ret_why, err) < 0)
        return -1;
    if (!best.rank)
        return 0;
    d.m.root_volume = &s->volumes.all.items[best.volume];
    if (best.roots > 1)
        rh_finding_add(s->o->findings, RH_F_GUEST_MULTIPLE_OS, "os",
                       N_("%u systems are installed; the one on %s is fixed"),
                       best.roots, d.m.root_volume->device);
    d.mounts = rh_calloc(MOUNTS_MAX, sizeof *d.mounts);
    if (mount_all(&d, best.family, err) < 0) {
        rh_mounts_free(d.mounts, d.count);
        return -1;
    }
    if (d.why) {
        *ret_why = d.why;
        rh_mounts_free(d.mounts, d.count);
        return 0;
    }
    for (size_t i = 0; i < d.count; i++)
        if (d.mounts[i].fs->trouble && !d.mounts[i].again)
            say_trouble(s, d.mounts[i].path, d.mounts[i].fs);
    g = rh_direct_new(d.mounts, d.count);
    g->root_volume = best.volume;
    g->read_only = !all_writable(&d);
    s->guest = g;
    s->family = best.family;
    return 0;
}
