/* open.c - find the guest's root file system and mount the rest over it.
 *
 * In-process where every file system that matters is ext or FAT; else by the
 * appliance. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/backends/fs.h"
#include "guestfix/engine.h"

bool rh_fstab_parse(char *line, struct rh_fstab_entry *ret)
{
    char *save, *fields[4] = {NULL};
    char *p = line + strspn(line, " \t");

    if (*p == '#' || !*p)
        return false;
    for (size_t i = 0; i < 4; i++)
        fields[i] = strtok_r(i ? NULL : p, " \t\r\n", &save);
    if (!fields[1])
        return false;
    ret->spec = fields[0];
    ret->path = fields[1];
    ret->type = fields[2] ? fields[2] : "auto";
    ret->options = fields[3] ? fields[3] : "defaults";
    return true;
}

char *rh_fstab_root(const char *fstab)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(fstab);
    char *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && !strcmp(e.path, "/"))
            return rh_strdup(e.spec);
    }
    return NULL;
}

static const struct {
    const char *path;
    bool needed;
} mounts_that_matter[] = {
    {"/boot", true}, {"/boot/efi", true}, {"/efi", true},
    {"/usr", true},  {"/etc", true},      {"/var", false},
};

bool rh_mount_matters(const char *path, bool *ret_needed)
{
    for (size_t i = 0; i < RH_COUNT(mounts_that_matter); i++)
        if (!strcmp(mounts_that_matter[i].path, path)) {
            *ret_needed = mounts_that_matter[i].needed;
            return true;
        }
    return false;
}

/* --- the root
 * ------------------------------------------------------------------ */
static bool is_ext(const struct rh_volume *v)
{
    return v->fstype && v->span_count && !strncmp(v->fstype, "ext", 3);
}

/* How much does it look like a root?  0: not at all. */
static int rank_of(struct rh_guest *g)
{
    int rank = 0;

    if (!rh_guest_is_dir(g, "/etc"))
        return 0;
    rank += rh_guest_exists(g, "/etc/fstab");
    rank += rh_guest_exists(g, "/etc/os-release") ||
            rh_guest_exists(g, "/usr/lib/os-release") ||
            rh_guest_exists(g, "/etc/redhat-release") ||
            rh_guest_exists(g, "/etc/debian_version") ||
            rh_guest_exists(g, "/etc/SuSE-release");
    if (!rank)
        return 0;
    rank += rh_guest_is_dir(g, "/lib/modules") ? 2 : 0;
    return rank + rh_guest_exists(g, "/sbin/init");
}

static struct rh_guest *as_root(struct rh_fs *fs)
{
    struct rh_mount *m = rh_calloc(8, sizeof *m);

    m[0].path = rh_strdup("/");
    m[0].fs = fs;
    return rh_direct_new(m, 1);
}

struct candidate {
    size_t volume;
    int rank;
    unsigned roots; /* how many there are */
};

static int find_root(struct rh_session *s, struct candidate *best,
                     const char **ret_why, rh_error **err)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        struct rh_volume *v = &s->volumes.all.items[i];
        rh_error *why_err = NULL;
        const char *why = NULL;
        struct rh_guest *g;
        struct rh_fs *fs;
        int rank;

        if (!is_ext(v))
            continue;
        fs = rh_ext_open(s->disks, v, &why, &why_err);
        if (!fs) {
            *ret_why = why ? why : _("it is damaged");
            if (rh_error_number(why_err) == RH_ERR_CANCELLED) {
                *err = why_err;
                return -1;
            }
            rh_error_free(why_err);
            continue;
        }
        g = as_root(fs);
        rank = rank_of(g);
        g->ops->close(g);
        best->roots += rank > 0;
        if (rank > best->rank) {
            best->rank = rank;
            best->volume = i;
        }
    }
    return 0;
}

/* --- mounting the rest
 * ------------------------------------------------------------ */
struct mounting {
    struct rh_session *s;
    struct rh_mount *mounts;
    size_t count;
    const struct rh_volume *root;
    const char *root_spec; /* what fstab calls it, or NULL */
    const char *why;       /* a mount that matters cannot be had in-process */
};

static struct rh_fs *open_volume(struct rh_session *s,
                                 const struct rh_volume *v, const char **why,
                                 rh_error **err)
{
    if (v->span_count && v->fstype && !strncmp(v->fstype, "ext", 3))
        return rh_ext_open(s->disks, v, why, err);
    if (v->span_count && v->fstype && !strcmp(v->fstype, "vfat"))
        return rh_fat_open(s->disks, v, why, err);
    *why = _("its file system is read by the appliance only");
    return NULL;
}

static int mount_one(struct mounting *m, const struct rh_fstab_entry *e,
                     rh_error **err)
{
    const struct rh_volume *v =
        rh_device_find(m->s, m->root_spec, m->root, e->spec);
    const char *why = NULL;
    rh_error *fault = NULL;
    struct rh_fs *fs;
    bool needed;

    if (!v || m->count == 8 || !rh_mount_matters(e->path, &needed))
        return 0;
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->mounts[i].path, e->path))
            return 0;
    fs = open_volume(m->s, v, &why, &fault);
    if (!fs) {
        if (rh_error_number(fault) == RH_ERR_CANCELLED) {
            *err = fault;
            return -1;
        }
        rh_error_free(fault);
        if (needed)
            m->why = why ? why : _("it is damaged");
        return 0;
    }
    m->mounts[m->count].path = rh_strdup(e->path);
    m->mounts[m->count++].fs = fs;
    return 0;
}

static int mount_by_fstab(struct mounting *m, char *fstab, rh_error **err)
{
    RH_AUTO(rh_freep) char *root_spec = rh_fstab_root(fstab);
    char *line;

    m->root_spec = root_spec;
    while ((line = strsep(&fstab, "\n"))) {
        struct rh_fstab_entry e;

        if (rh_fstab_parse(line, &e) && mount_one(m, &e, err) < 0)
            return -1;
    }
    m->root_spec = NULL;
    return 0;
}

/* systemd mounts the one ESP by its type, without a line in fstab. */
static int mount_esp(struct mounting *m, struct rh_guest *root, rh_error **err)
{
    static const char type[] = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    static const char *const places[] = {"/efi", "/boot/efi", "/boot"};
    const struct rh_volume *esp = NULL;
    struct rh_fstab_entry e = {.type = "vfat", .options = "defaults"};

    for (size_t i = 0; i < m->s->volumes.all.count; i++) {
        const struct rh_volume *v = &m->s->volumes.all.items[i];

        if (!v->part_type || strcmp(v->part_type, type))
            continue;
        if (esp)
            return 0;
        esp = v;
    }
    for (size_t i = 0; esp && i < m->count; i++)
        if (m->mounts[i].fs->volume == esp)
            return 0;
    for (size_t i = 0; esp && i < RH_COUNT(places); i++) {
        RH_AUTO(rh_name_list_freep)
        char **names = rh_guest_names(root, places[i]);

        if (!names || names[0])
            continue;
        e.spec = esp->device;
        e.path = places[i];
        return mount_one(m, &e, err);
    }
    return 0;
}

static void say_trouble(struct rh_session *s, const struct rh_mount *m)
{
    if (m->fs->trouble)
        rh_finding_add(s->o->findings, RH_F_GUEST_DIRTY_FS, "os",
                       N_("the file system on %s (%s): %s"),
                       m->fs->volume->device, m->path, m->fs->trouble);
}

static void unmount(struct mounting *m)
{
    for (size_t i = 0; i < m->count; i++) {
        m->mounts[i].fs->ops->close(m->mounts[i].fs);
        free(m->mounts[i].path);
    }
    free(m->mounts);
}

static int mount_all(struct rh_session *s, size_t root, struct mounting *m,
                     rh_error **err)
{
    RH_AUTO(rh_freep) char *fstab = NULL;
    const char *why = NULL;
    struct rh_guest *g;
    int r = -1;
    struct rh_fs *fs =
        rh_ext_open(s->disks, &s->volumes.all.items[root], &why, err);

    if (!fs)
        return -1;
    g = as_root(fs);
    fstab = rh_guest_text(g, "/etc/fstab", NULL);
    fs = rh_ext_open(s->disks, &s->volumes.all.items[root], &why, err);
    if (fs) {
        m->root = &s->volumes.all.items[root];
        m->mounts[0].path = rh_strdup("/");
        m->mounts[0].fs = fs;
        m->count = 1;
        r = fstab ? mount_by_fstab(m, fstab, err) : 0;
    }
    if (r == 0)
        r = mount_esp(m, g, err);
    g->ops->close(g);
    return r;
}

int rh_open_direct(struct rh_session *s, const char **ret_why, rh_error **err)
{
    struct candidate best = {.volume = SIZE_MAX};
    struct mounting m = {.s = s};

    if (find_root(s, &best, ret_why, err) < 0)
        return -1;
    if (!best.rank)
        return 0;
    if (best.roots > 1)
        rh_finding_add(s->o->findings, RH_F_GUEST_MULTIPLE_OS, "os",
                       N_("%u systems are installed; the one on %s is fixed"),
                       best.roots, s->volumes.all.items[best.volume].device);
    m.mounts = rh_calloc(8, sizeof *m.mounts);
    if (mount_all(s, best.volume, &m, err) < 0) {
        unmount(&m);
        return -1;
    }
    if (m.why) {
        *ret_why = m.why;
        unmount(&m);
        return 0;
    }
    for (size_t i = 0; i < m.count; i++)
        say_trouble(s, &m.mounts[i]);
    s->guest = rh_direct_new(m.mounts, m.count);
    s->guest->root_volume = best.volume;
    return 0;
}
