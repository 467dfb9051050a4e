/* open.c - find the guest's root file system and mount the rest over it,
 * in-process; where a file system that matters has no back end here, the
 * appliance does it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/backends.h"

enum { MOUNTS_MAX = 8, TOP_NAMES_MAX = 256 };

/* --- the root
 * ------------------------------------------------------------------ */
/* *ret_mount (may be NULL) is the guest's only one. */
static struct rh_guest *as_root(struct rh_fs *fs, struct rh_mount **ret_mount)
{
    struct rh_mount *m = rh_calloc(MOUNTS_MAX, sizeof *m);

    m[0].path = rh_strdup("/");
    m[0].fs = fs;
    if (ret_mount)
        *ret_mount = m;
    return rh_direct_new(m, 1);
}

struct candidate {
    const struct rh_family *family;
    size_t volume;
    int rank;
    unsigned roots; /* how many there are */
    /* Of the volume, where it has subvolumes: the one whose root it is, whether
     * it is the default one, and how many hold a system where it is not. */
    uint64_t subvolume;
    bool by_default;
    unsigned subvolumes;
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

/* Is it a root of any family?  By which one it is most. */
static int rank_root(struct rh_guest *g, const struct rh_volume *v,
                     const struct rh_family **ret)
{
    int most = 0;

    for (size_t i = 0; rh_families[i]; i++) {
        const struct rh_family *f = rh_families[i];
        int rank = rh_may_hold_root(f, v) ? f->rank(g) : 0;

        if (rank <= most)
            continue;
        most = rank;
        *ret = f;
    }
    return most;
}

/* Does this subvolume hold a root?  The first that does is the volume's. */
static void try_subvolume(struct rh_guest *g, struct rh_mount *m,
                          const struct rh_volume *v, const char *option,
                          struct candidate *c)
{
    const struct rh_family *family;
    struct rh_subvolume sub;
    int rank;

    if (m->fs->ops->subvolume(m->fs, option, &sub, NULL) < 0 ||
        sub.id == c->subvolume || (sub.read_only && *option))
        return;
    m->root = sub.root;
    rank = rank_root(g, v, &family);
    if (!rank)
        return;
    c->subvolumes++;
    if (c->rank)
        return;
    c->rank = rank;
    c->family = family;
    c->subvolume = sub.id;
    c->by_default = !*option;
}

/* The kernel mounts the default subvolume where nobody tells it another one.
 * Where that is no root it was told: by the names that installers give, then by
 * any at the top level. */
static void rank_subvolumes(struct rh_guest *g, struct rh_mount *m,
                            const struct rh_volume *v, struct candidate *c)
{
    static const char *const usual[] = {"", "subvol=@", "subvol=root",
                                        "subvol=@rootfs"};
    struct rh_names names = {0};
    struct rh_subvolume top;

    for (size_t i = 0; i < RH_COUNT(usual) && !c->by_default; i++)
        try_subvolume(g, m, v, usual[i], c);
    if (c->by_default ||
        m->fs->ops->subvolume(m->fs, "subvolid=5", &top, NULL) < 0)
        return;
    if (m->fs->ops->list(m->fs, top.root, &names, NULL) == 0)
        for (size_t i = 0; i < names.count && i < TOP_NAMES_MAX; i++) {
            RH_AUTO(rh_freep)
            char *option = rh_printf("subvol=%s", names.items[i]);
            bool known = strchr(option, ',') != NULL;

            for (size_t k = 0; k < RH_COUNT(usual); k++)
                known |= !strcmp(option, usual[k]);
            if (!known)
                try_subvolume(g, m, v, option, c);
        }
    rh_names_free(&names);
}

static bool rank_volume(struct rh_guest *g, struct rh_mount *m,
                        const struct rh_volume *v, size_t index,
                        struct candidate *best)
{
    struct candidate c = {.volume = index, .roots = best->roots};

    if (m->fs->ops->subvolume)
        rank_subvolumes(g, m, v, &c);
    else
        c.rank = rank_root(g, v, &c.family);
    c.roots += c.rank > 0;
    best->roots = c.roots;
    if (c.rank > best->rank)
        *best = c;
    return c.rank > 0;
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
        struct rh_mount *m;
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
        g = as_root(fs, &m);
        if (!rank_volume(g, m, v, i, best) && fs->read_only && fs->trouble)
            say_trouble(s, v->device, fs);
        g->ops->close(g);
    }
    return 0;
}

/* The appliance takes seconds to start: only where there is no root among
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

/* NULL: there are none. */
static char *subvolume_option(uint64_t id)
{
    return id ? rh_printf("subvolid=%llu", (unsigned long long)id) : NULL;
}

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

/* By its options, which may name a subvolume.  1: that is not there. */
static int add_mount(struct direct_mounting *d, const char *path,
                     struct rh_fs *fs, const char *options, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    struct rh_subvolume sub = {0};
    struct rh_mount m = {.fs = fs, .again = fs_of(d, fs->volume) != NULL};

    if (fs->ops->subvolume &&
        fs->ops->subvolume(fs, options, &sub, &fault) < 0) {
        if (!m.again)
            fs->ops->close(fs);
        if (rh_error_number(fault) == RH_ERR_FILE_NOT_FOUND)
            return 1;
        if (err && !*err)
            *err = RH_TAKE(fault);
        return -1;
    }
    if (sub.read_only && d->m.s->writing)
        d->why = _("a subvolume of it is read-only");
    m.root = sub.root;
    m.path = rh_strdup(path);
    d->mounts[d->count++] = m;
    return 0;
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
    if (fs && add_mount(d, w->path, fs, w->options, &fault) >= 0)
        return 0;
    if (rh_error_number(fault) == RH_ERR_CANCELLED) {
        *err = RH_TAKE(fault);
        return -1;
    }
    if (w->needed)
        d->why = why ? why : _("it is damaged");
    return 0;
}

static int mount_all(struct direct_mounting *d, const struct candidate *c,
                     rh_error **err)
{
    const struct rh_volume *root = d->m.root_volume;
    RH_AUTO(rh_freep) char *option = subvolume_option(c->subvolume);
    struct rh_subvolume sub = {0};
    const char *why = NULL;
    struct rh_mount *m;
    struct rh_fs *alone = rh_volume_open(d->m.s, root, &why, err);
    struct rh_fs *fs = rh_volume_open(d->m.s, root, &why, err);
    int r = fs && alone ? 0 : -1;

    if (alone) {
        d->m.root = as_root(alone, &m);
        /* Each opening has numbers of its own. */
        if (option && alone->ops->subvolume(alone, option, &sub, err) < 0)
            r = -1;
        m->root = sub.root;
    }
    if (fs && add_mount(d, "/", fs, option, err))
        r = -1;
    if (r == 0)
        r = c->family->mounts ? c->family->mounts(&d->m, err) : 0;
    if (d->m.root)
        d->m.root->ops->close(d->m.root);
    return r;
}

/* The guest as a whole, by that root.  0 with *ret == NULL and *ret_why: it
 * cannot be had so. */
static int put_together(struct direct_mounting *d, const struct candidate *c,
                        struct rh_guest **ret, const char **ret_why,
                        rh_error **err)
{
    *ret = NULL;
    d->m.root_volume = &d->m.s->volumes.all.items[c->volume];
    d->count = 0;
    d->why = NULL;
    d->mounts = rh_calloc(MOUNTS_MAX, sizeof *d->mounts);
    if (mount_all(d, c, err) < 0) {
        rh_mounts_free(d->mounts, d->count);
        return -1;
    }
    if (d->why) {
        *ret_why = d->why;
        rh_mounts_free(d->mounts, d->count);
        return 0;
    }
    *ret = rh_direct_new(d->mounts, d->count);
    return 0;
}

/* Does the guest tell its kernel of another subvolume that holds a system?  It
 * is the candidate's then. */
static bool is_told_another(const struct direct_mounting *d, struct rh_guest *g,
                            struct candidate *c)
{
    RH_AUTO(rh_freep)
    char *options = c->subvolume && c->family->root_options
                        ? c->family->root_options(g, c->by_default)
                        : NULL;
    struct rh_session *s = d->m.s;
    struct rh_subvolume sub;
    struct rh_mount *m;
    const char *why = NULL;
    struct rh_guest *alone;
    struct rh_fs *fs;
    bool other = false;

    if (!options)
        return false;
    fs = rh_volume_open(s, d->m.root_volume, &why, NULL);
    if (!fs)
        return false;
    alone = as_root(fs, &m);
    if (fs->ops->subvolume(fs, options, &sub, NULL) == 0) {
        m->root = sub.root;
        other = sub.id != c->subvolume && c->family->rank(alone) > 0;
        c->subvolumes = 1; /* it is known which one starts */
    }
    if (other)
        c->subvolume = sub.id;
    alone->ops->close(alone);
    return other;
}

static int open_candidate(struct direct_mounting *d, struct candidate *c,
                          struct rh_guest **ret, const char **ret_why,
                          rh_error **err)
{
    if (put_together(d, c, ret, ret_why, err) < 0)
        return -1;
    if (!*ret || !is_told_another(d, *ret, c))
        return 0;
    (*ret)->ops->close(*ret);
    return put_together(d, c, ret, ret_why, err);
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

static void say_several(struct rh_session *s, const struct candidate *c)
{
    const struct rh_volume *root = &s->volumes.all.items[c->volume];

    if (c->roots > 1)
        rh_finding_add(s->o->findings, RH_F_GUEST_MULTIPLE_OS, "os",
                       N_("%u systems are installed; the one on %s is fixed"),
                       c->roots, root->device);
    if (c->subvolumes > 1)
        rh_finding_add(s->o->findings, RH_F_GUEST_MULTIPLE_OS, "os",
                       N_("%u subvolumes of %s hold a system; the one with "
                          "subvolid=%llu is fixed"),
                       c->subvolumes, root->device,
                       (unsigned long long)c->subvolume);
}

/* Edits that stay in memory are a promise of the appliance's. */
static void say_promised(const struct direct_mounting *d)
{
    bool promised = false;

    for (size_t i = 0; i < d->count; i++)
        promised |= d->mounts[i].fs->backend == &rh_scratch_backend;
    if (promised && !rh_appliance_is_here())
        rh_finding_add(d->m.s->o->findings, RH_F_GUEST_NO_APPLIANCE, "os",
                       N_("the guest's file system is only read here; what is "
                          "edited in it is edited by libguestfs, which is not "
                          "here"));
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
    if (open_candidate(&d, &best, &g, ret_why, err) < 0)
        return -1;
    if (!g)
        return 0;
    say_several(s, &best);
    say_promised(&d);
    for (size_t i = 0; i < d.count; i++)
        if (d.mounts[i].fs->trouble && !d.mounts[i].again)
            say_trouble(s, d.mounts[i].path, d.mounts[i].fs);
    g->root_volume = best.volume;
    g->read_only = !all_writable(&d);
    s->guest = g;
    s->family = best.family;
    return 0;
}

char *rh_root_subvolume(const struct rh_session *s, size_t volume)
{
    struct rh_session look = *s;
    struct direct_mounting d = {.m = {.s = &look, .add = add, .has = has}};
    const struct rh_volume *v = &s->volumes.all.items[volume];
    struct candidate c = {0};
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    const char *why = NULL;
    struct rh_guest *g, *whole = NULL;
    struct rh_mount *m;
    struct rh_fs *fs;

    look.writing = look.by_appliance = false;
    fs = rh_volume_open(&look, v, &why, NULL);
    if (!fs)
        return NULL;
    g = as_root(fs, &m);
    if (fs->ops->subvolume)
        rank_volume(g, m, v, volume, &c);
    g->ops->close(g);
    if (c.rank && open_candidate(&d, &c, &whole, &why, &fault) == 0 && whole)
        whole->ops->close(whole);
    return c.rank ? subvolume_option(c.subvolume) : NULL;
}
