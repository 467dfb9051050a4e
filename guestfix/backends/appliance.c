/* appliance.c - the guest's files through libguestfs: XFS, btrfs, LUKS, file
 * systems whose journal must be replayed, and whatever else a kernel reads.
 *
 * The appliance sees our own readers, by NBD, so that what is fixed is what is
 * copied.  It has no network, no guest program is run in it, and it runs in
 * software emulation where /dev/kvm does not really work. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/appliance.h"

static int no_appliance(struct rh_session *s, const char *why,
                        const char **ret_why)
{
    *ret_why = _(why);
    rh_finding_add(
        s->o->findings, RH_F_GUEST_NO_APPLIANCE, "os",
        N_("the guest's file system is read by libguestfs only, which is "
           "not here"));
    return 0;
}

#ifndef HAVE_LIBGUESTFS

int rh_open_appliance(struct rh_session *s, const char **ret_why,
                      rh_error **err)
{
    (void)err;
    return no_appliance(s,
                        N_("this build has no libguestfs, which the guest's "
                           "file system needs"),
                        ret_why);
}

#else

#include <stdlib.h>
#include <string.h>

#include "base/late.h"

/* clang-format off */
#define CALLS(X, p) \
    X(p, chmod) X(p, cp_a) X(p, cryptsetup_open) X(p, drop_caches) \
    X(p, findfs_label) X(p, findfs_uuid) X(p, free_statns) X(p, free_statvfs) \
    X(p, getxattr) X(p, list_dm_devices) X(p, list_md_devices) X(p, ln_s) \
    X(p, ls) X(p, lsetxattr) X(p, lstatns) X(p, lvm_scan) X(p, lvs) \
    X(p, mkdir_p) X(p, mount_options) X(p, readlink) X(p, rename) \
    X(p, rm) X(p, setxattr) X(p, shutdown) X(p, statns) \
    X(p, statvfs) X(p, sync) X(p, umount_all) X(p, vfs_type) X(p, vfs_uuid)
/* clang-format on */
RH_LATE_TABLE(guestfs, CALLS);

static struct rh_appliance *of(struct rh_guest *g)
{
    return g->state;
}

static guestfs_h *handle(struct rh_guest *g)
{
    return of(g)->g;
}

/* --- files
 * ----------------------------------------------------------------------- */
static int app_stat(struct rh_guest *g, const char *path, bool follow,
                    struct rh_guest_stat *ret, rh_error **err)
{
    struct guestfs_statns *st = follow ? guestfs.statns(handle(g), path)
                                       : guestfs.lstatns(handle(g), path);

    if (!st)
        return rh_appliance_failed(of(g), path, err);
    ret->type = rh_guest_type((uint32_t)st->st_mode);
    ret->size = (uint64_t)st->st_size;
    ret->mode = (uint32_t)(st->st_mode & 07777);
    ret->uid = (uint32_t)st->st_uid;
    ret->gid = (uint32_t)st->st_gid;
    ret->mtime = st->st_mtime_sec;
    ret->inode = (uint64_t)st->st_ino;
    guestfs.free_statns(st);
    return 0;
}

static int app_list(struct rh_guest *g, const char *path, char ***ret_names,
                    rh_error **err)
{
    char **names = guestfs.ls(handle(g), path);

    if (!names)
        return rh_appliance_failed(of(g), path, err);
    *ret_names = names; /* sorted by the daemon, malloc'ed as we want it */
    return 0;
}

static int app_read(struct rh_guest *g, const char *path, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    struct rh_guest_stat st;
    char *bytes, *ended;
    size_t n;

    if (app_stat(g, path, true, &st, err) < 0)
        return -1;
    if (st.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "%s is not a regular file", path);
    if (st.size > limit)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED, "%s is larger than expected",
                       path);
    bytes = rh_appliance_read(of(g), path, st.size, &n);
    if (!bytes)
        return rh_appliance_failed(of(g), path, err);
    if (n != st.size) {
        free(bytes);
        return rh_fail(err, RH_ERR_GUEST_DAMAGED, "%s ends before its size",
                       path);
    }
    ended = rh_memdup0(bytes, n);
    free(bytes);
    *ret_bytes = ended;
    *ret_size = n;
    return 0;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash > path ? rh_strndup(path, (size_t)(slash - path))
                        : rh_strdup("/");
}

static void label_like_parent(struct rh_guest *g, const char *path)
{
    RH_AUTO(rh_freep) char *parent = parent_of(path);
    size_t n;
    char *label = guestfs.getxattr(handle(g), parent, "security.selinux", &n);

    if (label)
        guestfs.lsetxattr(handle(g), "security.selinux", label, (int)n, path);
    free(label);
}

/* Over an old file its inode stays, with owner, mode and attributes. */
static int app_write(struct rh_guest *g, const char *path, const void *bytes,
                     size_t n, uint32_t mode, rh_error **err)
{
    struct rh_guest_stat st;
    bool is_new = app_stat(g, path, true, &st, NULL) < 0;

    g->changes++;
    if (rh_appliance_upload(of(g), path, bytes, n, err) < 0)
        return -1;
    if (!is_new)
        return 0;
    label_like_parent(g, path);
    return guestfs.chmod(handle(g), (int)mode, path) < 0
               ? rh_appliance_failed(of(g), path, err)
               : 0;
}

static int app_rename(struct rh_guest *g, const char *from, const char *to,
                      rh_error **err)
{
    g->changes++;
    return guestfs.rename(handle(g), from, to) < 0
               ? rh_appliance_failed(of(g), from, err)
               : 0;
}

static int app_copy(struct rh_guest *g, const char *from, const char *to,
                    rh_error **err)
{
    g->changes++;
    return guestfs.cp_a(handle(g), from, to) < 0
               ? rh_appliance_failed(of(g), from, err)
               : 0;
}

static int app_remove(struct rh_guest *g, const char *path, rh_error **err)
{
    g->changes++;
    return guestfs.rm(handle(g), path) < 0
               ? rh_appliance_failed(of(g), path, err)
               : 0;
}

static int app_make_dir(struct rh_guest *g, const char *path, uint32_t mode,
                        rh_error **err)
{
    struct rh_guest_stat st;

    if (app_stat(g, path, true, &st, NULL) == 0)
        return 0;
    g->changes++;
    if (guestfs.mkdir_p(handle(g), path) < 0 ||
        guestfs.chmod(handle(g), (int)mode, path) < 0)
        return rh_appliance_failed(of(g), path, err);
    label_like_parent(g, path);
    return 0;
}

static int app_symlink(struct rh_guest *g, const char *target, const char *path,
                       rh_error **err)
{
    g->changes++;
    if (guestfs.ln_s(handle(g), target, path) < 0)
        return rh_appliance_failed(of(g), path, err);
    label_like_parent(g, path);
    return 0;
}

static int app_read_link(struct rh_guest *g, const char *path, char **ret,
                         rh_error **err)
{
    char *text = guestfs.readlink(handle(g), path);

    if (!text)
        return rh_appliance_failed(of(g), path, err);
    *ret = text;
    return 0;
}

static int app_get_xattr(struct rh_guest *g, const char *path, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    char *value = guestfs.getxattr(handle(g), path, name, ret_size);

    if (!value)
        return rh_appliance_failed(of(g), path, err);
    *ret_bytes = value;
    return 0;
}

static int app_set_xattr(struct rh_guest *g, const char *path, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    g->changes++;
    return guestfs.setxattr(handle(g), name, bytes, (int)n, path) < 0
               ? rh_appliance_failed(of(g), path, err)
               : 0;
}

static int app_free_space(struct rh_guest *g, const char *path,
                          uint64_t *ret_bytes, rh_error **err)
{
    struct guestfs_statvfs *st = guestfs.statvfs(handle(g), path);

    if (!st)
        return rh_appliance_failed(of(g), path, err);
    if (rh_mul_overflows((uint64_t)st->bavail, (uint64_t)st->bsize, ret_bytes))
        *ret_bytes = 0;
    guestfs.free_statvfs(st);
    return 0;
}

static int app_flush(struct rh_guest *g, rh_error **err)
{
    return guestfs.sync(handle(g)) < 0 || rh_nbd_has_lost(of(g)->server)
               ? rh_appliance_failed(of(g), _("writing back"), err)
               : 0;
}

/* What the kernel holds goes to the overlays, which are put back then. */
static int app_let_go(struct rh_guest *g, rh_error **err)
{
    return guestfs.umount_all(handle(g)) < 0 ||
                   guestfs.drop_caches(handle(g), 3) < 0
               ? rh_appliance_failed(of(g), _("writing back"), err)
               : 0;
}

static int app_take_up(struct rh_guest *g, rh_error **err)
{
    struct rh_appliance *a = g->state;

    for (size_t i = 0; i < a->mounted.count; i++) {
        const struct app_mount *m = &a->mounted.items[i];

        if (guestfs.mount_options(a->g, m->options, m->device, m->path) < 0)
            return rh_appliance_failed(a, m->path, err);
    }
    return 0;
}

/* Unmounting writes the journals' contents home; nothing comes after it. */
static int app_sync(struct rh_guest *g, rh_error **err)
{
    struct rh_appliance *a = g->state;

    return guestfs.umount_all(a->g) < 0 || guestfs.sync(a->g) < 0 ||
                   guestfs.shutdown(a->g) < 0 || rh_nbd_has_lost(a->server)
               ? rh_appliance_failed(a, _("writing back"), err)
               : 0;
}

static void app_close(struct rh_guest *g)
{
    struct rh_appliance *a = g->state;

    rh_appliance_forget_mounts(a);
    if (a->keep && guestfs.umount_all(a->g) == 0)
        *a->keep = rh_appliance_resting(a);
    else
        rh_appliance_free(a);
    free(g);
}

static const struct rh_guest_ops app_ops = {
    .backend = "libguestfs",
    .stat = app_stat,
    .list = app_list,
    .read = app_read,
    .write = app_write,
    .rename = app_rename,
    .copy = app_copy,
    .remove = app_remove,
    .make_dir = app_make_dir,
    .symlink = app_symlink,
    .read_link = app_read_link,
    .get_xattr = app_get_xattr,
    .set_xattr = app_set_xattr,
    .free_space = app_free_space,
    .flush = app_flush,
    .sync = app_sync,
    .let_go = app_let_go,
    .take_up = app_take_up,
    .close = app_close,
};

/* --- the root
 * -------------------------------------------------------------------------- */
/* Our volume as the appliance calls it: its disks are sda, sdb in our order. */
char *rh_appliance_device(const struct rh_volume *v)
{
    if (v->lv)
        return rh_printf("/dev/%s/%s", v->vg, v->lv);
    if (v->disk >= 26)
        return NULL;
    return v->partition
               ? rh_printf("/dev/sd%c%u", (int)('a' + v->disk), v->partition)
               : rh_printf("/dev/sd%c", (int)('a' + v->disk));
}

/* Volumes that only the appliance sees (inside LUKS, striped, RAID). */
static void add_unseen(struct rh_session *s, guestfs_h *g, char **devices)
{
    for (size_t i = 0; devices && devices[i]; i++) {
        RH_AUTO(rh_freep) char *type = guestfs.vfs_type(g, devices[i]);
        struct rh_volume v = {0};
        bool known = false;

        for (size_t k = 0; k < s->volumes.all.count; k++) {
            struct rh_volume *old = &s->volumes.all.items[k];
            RH_AUTO(rh_freep) char *name = rh_appliance_device(old);

            if (!name || strcmp(name, devices[i]))
                continue;
            known = true;
            if (!old->fstype && type) {
                RH_AUTO(rh_freep) char *uuid = guestfs.vfs_uuid(g, devices[i]);

                old->fstype = rh_arena_strdup(s->volumes.arena, type);
                old->uuid = uuid && *uuid
                                ? rh_arena_strdup(s->volumes.arena, uuid)
                                : NULL;
            }
        }
        if (!known) {
            RH_AUTO(rh_freep) char *uuid = guestfs.vfs_uuid(g, devices[i]);
            const char *slash = strchr(devices[i] + 5, '/');

            v.device = rh_arena_strdup(s->volumes.arena, devices[i]);
            v.fstype = rh_arena_strdup(s->volumes.arena, type);
            v.uuid =
                uuid && *uuid ? rh_arena_strdup(s->volumes.arena, uuid) : NULL;
            if (slash && strncmp(devices[i], "/dev/mapper/", 12) &&
                strncmp(devices[i], "/dev/md", 7)) {
                v.vg = rh_arena_strndup(s->volumes.arena, devices[i] + 5,
                                        (size_t)(slash - devices[i]) - 5);
                v.lv = rh_arena_strdup(s->volumes.arena, slash + 1);
            }
            *rh_vec_add(&s->volumes.all) = v;
        }
    }
}

static void open_luks(struct rh_session *s, guestfs_h *g)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];
        RH_AUTO(rh_freep) char *device = rh_appliance_device(v);
        RH_AUTO(rh_freep) char *name = NULL;

        if (!v->fstype || strcmp(v->fstype, "crypto_LUKS") || !device ||
            !v->uuid)
            continue;
        name = rh_printf("luks-%s", v->uuid);
        for (size_t k = 0; s->o->keys && s->o->keys[k]; k++)
            if (guestfs.cryptsetup_open(g, device, s->o->keys[k], name, -1) ==
                0)
                break;
    }
}

static void see_more(struct rh_session *s, guestfs_h *g)
{
    char **all;

    open_luks(s, g);
    guestfs.lvm_scan(g, 1);
    all = guestfs.lvs(g);
    add_unseen(s, g, all);
    rh_name_list_free(all);
    all = guestfs.list_dm_devices(g);
    add_unseen(s, g, all);
    rh_name_list_free(all);
    all = guestfs.list_md_devices(g);
    add_unseen(s, g, all);
    rh_name_list_free(all);
}

static int mount_at(struct rh_session *s, struct rh_appliance *a,
                    const char *device, const char *options, const char *path)
{
    RH_AUTO(rh_freep)
    char *all = rh_printf("%s%s%s", s->writing ? "rw" : "ro",
                          *options ? "," : "", options);

    if (guestfs.mount_options(a->g, all, device, path) < 0)
        return -1;
    *rh_vec_add(&a->mounted) =
        (struct app_mount){RH_TAKE(all), rh_strdup(device), rh_strdup(path)};
    return 0;
}

static const struct rh_family *best_family(struct rh_guest *g,
                                           const struct rh_volume *v)
{
    const struct rh_family *best = NULL;
    int most = 0;

    for (size_t i = 0; rh_families[i]; i++) {
        int rank =
            rh_may_hold_root(rh_families[i], v) ? rh_families[i]->rank(g) : 0;

        if (rank > most) {
            most = rank;
            best = rh_families[i];
        }
    }
    return best;
}

/* Mount one volume as the root; a btrfs may have it in a subvolume, which is
 * the one that looking in-process finds, where that can be. */
static const struct rh_family *try_root(struct rh_session *s,
                                        struct rh_guest *g,
                                        const struct rh_volume *v)
{
    bool is_btrfs = !strcmp(v->fstype, "btrfs");
    RH_AUTO(rh_freep)
    char *told = is_btrfs
                     ? rh_root_subvolume(s, (size_t)(v - s->volumes.all.items))
                     : NULL;
    const char *const ways[] = {told ? told : "", "subvol=@", "subvol=root",
                                "subvol=@rootfs", NULL};
    RH_AUTO(rh_freep) char *device = rh_appliance_device(v);
    const char *name = v->span_count || v->lv ? device : v->device;

    for (size_t i = 0; name && ways[i]; i++) {
        const struct rh_family *f;

        if (i && (told || !is_btrfs))
            break;
        if (mount_at(s, g->state, name, ways[i], "/") < 0)
            continue;
        f = best_family(g, v);
        if (f)
            return f;
        guestfs.umount_all(handle(g));
        rh_appliance_forget_mounts(g->state);
    }
    return NULL;
}

/* --- the rest
 * -------------------------------------------------------------------------- */
struct app_mounting {
    struct rh_mounting m;
    RH_VEC(const struct rh_volume *) asked;
};

static bool has(const struct rh_mounting *m, const struct rh_volume *v)
{
    const struct app_mounting *a = (const struct app_mounting *)m;

    for (size_t i = 0; i < a->asked.count; i++)
        if (a->asked.items[i] == v)
            return true;
    return v == m->root_volume;
}

/* What is wished for as the appliance's device. */
static char *device_for(guestfs_h *g, const struct rh_mount_wish *w)
{
    const struct rh_volume *v = w->volume;

    if (v && (v->span_count || v->lv))
        return rh_appliance_device(v);
    if (v)
        return rh_strdup(v->device);
    if (w->spec && !strncmp(w->spec, "UUID=", 5))
        return guestfs.findfs_uuid(g, w->spec + 5);
    if (w->spec && !strncmp(w->spec, "LABEL=", 6))
        return guestfs.findfs_label(g, w->spec + 6);
    return NULL;
}

/* Those of fstab's options that name a subvolume. */
static char *subvolume_words(const char *options)
{
    struct rh_buf words = {0};

    for (const char *p = options; p && *p;) {
        size_t n = strcspn(p, ",");

        if (!strncmp(p, "subvol=", 7) || !strncmp(p, "subvolid=", 9))
            rh_buf_printf(&words, "%s%.*s", words.length ? "," : "", (int)n, p);
        p += n + (p[n] == ',');
    }
    return rh_buf_take(&words);
}

static int add(struct rh_mounting *m, const struct rh_mount_wish *w,
               rh_error **err)
{
    struct app_mounting *a = (struct app_mounting *)m;
    guestfs_h *g = handle(m->root);
    RH_AUTO(rh_freep) char *device = device_for(g, w);
    RH_AUTO(rh_freep) char *subvolume = subvolume_words(w->options);

    if (rh_go_on(m->s->o->lib, err) < 0)
        return -1;
    if (w->volume)
        *rh_vec_add(&a->asked) = w->volume;
    if (device)
        mount_at(m->s, m->root->state, device, subvolume, w->path);
    return 0;
}

static int mount_rest(struct rh_session *s, struct rh_guest *g, rh_error **err)
{
    struct app_mounting a = {
        .m = {.s = s,
              .root = g,
              .root_volume = &s->volumes.all.items[g->root_volume],
              .add = add,
              .has = has}};
    int r = s->family->mounts ? s->family->mounts(&a.m, err) : 0;

    free(a.asked.items);
    return r;
}

/* 0 with s->family == NULL: there is none. */
static int find_root(struct rh_session *s, struct rh_guest *g, rh_error **err)
{
    for (size_t i = 0; i < s->volumes.all.count; i++) {
        const struct rh_volume *v = &s->volumes.all.items[i];

        /* Without regard to case, and only if Windows left it clean: one by
         * one (appliance_ntfs.c). */
        if (!v->fstype || !strcmp(v->fstype, "ntfs"))
            continue;
        for (size_t f = 0; rh_families[f] && !s->family; f++)
            if (rh_may_hold_root(rh_families[f], v))
                s->family = try_root(s, g, v);
        if (!s->family)
            continue;
        g->root_volume = i;
        return mount_rest(s, g, err);
    }
    return 0;
}

int rh_open_appliance(struct rh_session *s, const char **ret_why,
                      rh_error **err)
{
    struct rh_appliance *a;
    struct rh_guest *g;

    if (!rh_appliance_is_here() ||
        RH_LATE_LOAD("libguestfs.so.0", guestfs, NULL) < 0)
        return no_appliance(s,
                            N_("libguestfs, which the guest's file system "
                               "needs, cannot be loaded"),
                            ret_why);
    a = rh_appliance_take(s, err);
    if (!a)
        return -1;
    g = rh_new0(struct rh_guest);
    g->ops = &app_ops;
    g->state = a;
    a->whole = true;
    see_more(s, a->g);
    if (find_root(s, g, err) == 0 && s->family) {
        s->guest = g;
        *ret_why = NULL;
        return 0;
    }
    s->family = NULL;
    g->ops->close(g);
    rh_disks_share(s->disks, NULL);
    return err && *err ? -1 : rh_go_on(s->o->lib, err);
}

#endif
