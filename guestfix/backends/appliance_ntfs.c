/* appliance_ntfs.c - NTFS through the appliance, where rehost-ntfs is not
 * installed: the same operations, by ntfs-3g.
 *
 * A volume is mounted for reading first.  For writing it is mounted only when
 * something is written and it was left clean: ntfs-3g would go over a log that
 * still counts.  Names are found without regard to case, as Windows does. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/appliance.h"

#ifndef HAVE_LIBGUESTFS

struct rh_fs *rh_ntfs_in_appliance(struct rh_session *s,
                                   const struct rh_volume *v,
                                   const char **ret_why, rh_error **err)
{
    (void)s;
    (void)v;
    (void)ret_why;
    (void)err;
    return NULL; /* nothing is left to it */
}

#else

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/late.h"
#include "guestfix/backends/ntfs_state.h"

/* clang-format off */
#define CALLS(X, p) \
    X(p, debug) X(p, drop_caches) X(p, feature_available) X(p, free_statns) \
    X(p, free_statvfs) X(p, last_errno) X(p, lgetxattr) X(p, ls) \
    X(p, lstatns) X(p, mkdir) X(p, mkmountpoint) \
    X(p, mount_options) X(p, pread) X(p, rename) X(p, rm) X(p, rmdir) \
    X(p, rmmountpoint) X(p, statvfs) X(p, sync) X(p, umount_opts)
/* clang-format on */
RH_LATE_TABLE(guestfs, CALLS);

static const char acl_name[] = "system.ntfs_acl";

enum { ACL_MAX = 32 * 1024 }; /* a shell's argument holds twice that */
enum mounted { NOT, FOR_READING, FOR_WRITING };

/* One volume, however often it is open: a device is mounted once. */
struct app_volume {
    const struct rh_volume *volume;
    char *device, *point; /* "/dev/sda1", "/ntfs0" */
    enum mounted mounted;
    unsigned users;
    uint64_t state; /* enum rh_ntfs_state */
};

/* Nodes are places in `paths`, which begin with the root's "". */
struct app_ntfs {
    struct rh_appliance *a;
    struct app_volume *v;
    RH_VEC(char *) paths;
    char *listed; /* the folder whose names these are, or NULL */
    char **names;
};

static struct app_ntfs *of(struct rh_fs *fs)
{
    return fs->state;
}

static guestfs_h *handle(struct rh_fs *fs)
{
    return of(fs)->a->g;
}

static int failed(struct rh_fs *fs, const char *what, rh_error **err)
{
    if (guestfs.last_errno(handle(fs)) == EROFS)
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "the NTFS volume %s cannot be written",
                       fs->volume->device);
    return rh_appliance_failed(of(fs)->a, what, err);
}
#ifdef __clang_analyzer__ /* it does not look in here */
#define failed(...) (failed(__VA_ARGS__), -1)
#endif

static char *in_shell(struct rh_fs *fs, char *command)
{
    static char shell[] = "sh";
    char *arguments[] = {command, NULL};

    return guestfs.debug(handle(fs), shell, arguments);
}

/* --- mounting ----------------------------------------------------------------
 */
static int unmount(struct rh_fs *fs, rh_error **err)
{
    struct app_volume *v = of(fs)->v;

    if (v->mounted == NOT)
        return 0;
    if (guestfs.umount_opts(handle(fs), v->point, -1) < 0)
        return failed(fs, fs->volume->device, err);
    v->mounted = NOT;
    /* Only then ntfs-3g has written everything. */
    return guestfs.sync(handle(fs)) < 0 || rh_nbd_has_lost(of(fs)->a->server)
               ? failed(fs, fs->volume->device, err)
               : 0;
}

/* What new files inherit from their folder, as in Windows, ntfs-3g takes over
 * only where it knows some users: one is told that nothing here is. */
static const char users[] = "/run/rehost-ntfs.users";

static int tell_users(struct rh_fs *fs, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *command =
        rh_printf("echo 60000:60000:S-1-5-21-1-2-3-60000 >%s", users);
    RH_AUTO(rh_freep) char *said = in_shell(fs, command);

    return said ? 0 : failed(fs, fs->volume->device, err);
}

static int mount_for(struct rh_fs *fs, enum mounted how, rh_error **err)
{
    struct app_volume *v = of(fs)->v;
    RH_AUTO(rh_freep) char *options = NULL;

    if (v->mounted >= how)
        return 0;
    if (how == FOR_WRITING && v->state)
        return rh_fail(err, RH_ERR_GUEST_WRITE,
                       "the NTFS volume %s was not left clean by Windows; "
                       "nothing is written to it",
                       fs->volume->device);
    if (unmount(fs, err) < 0 || (how == FOR_WRITING && tell_users(fs, err) < 0))
        return -1;
    options = how == FOR_READING
                  ? rh_strdup("ro,noatime,streams_interface=none")
                  : rh_printf("rw,noatime,streams_interface=none,norecover,"
                              "windows_names,inherit,usermapping=%s",
                              users);
    if (guestfs.mount_options(handle(fs), options, v->device, v->point) < 0)
        return failed(fs, fs->volume->device, err);
    v->mounted = how;
    return 0;
}

/* --- nodes -------------------------------------------------------------------
 */
static const char *path_of(struct rh_fs *fs, uint64_t node)
{
    return of(fs)->paths.items[node];
}

/* As the appliance has it. */
static char *place_of(struct rh_fs *fs, const char *path)
{
    return rh_printf("%s%s", of(fs)->v->point, path);
}

/* Takes the path. */
static uint64_t node_of(struct rh_fs *fs, char *path)
{
    struct app_ntfs *n = of(fs);

    for (size_t i = n->paths.count; i--;)
        if (!strcmp(n->paths.items[i], path)) {
            free(path);
            return i;
        }
    *rh_vec_add(&n->paths) = path;
    return n->paths.count - 1;
}

static void forget_names(struct rh_fs *fs)
{
    free(RH_TAKE(of(fs)->listed));
    rh_name_list_free(RH_TAKE(of(fs)->names));
}

static char **names_in(struct rh_fs *fs, const char *path, rh_error **err)
{
    struct app_ntfs *n = of(fs);
    RH_AUTO(rh_freep) char *place = place_of(fs, path);

    if (n->listed && !strcmp(n->listed, path))
        return n->names;
    forget_names(fs);
    n->names = guestfs.ls(handle(fs), place);
    if (!n->names) {
        failed(fs, path, err);
        return NULL;
    }
    n->listed = rh_strdup(path);
    return n->names;
}

/* --- looking -----------------------------------------------------------------
 */
enum { NO_TAG = 0, WOF = 0x80000017, DEDUPLICATED = 0x80000013 };

/* What a reparse point means for a reader. */
static uint32_t reparse_tag(struct rh_fs *fs, const char *place)
{
    size_t n = 0;
    RH_AUTO(rh_freep)
    char *data =
        guestfs.lgetxattr(handle(fs), place, "system.ntfs_reparse_data", &n);

    return data && n >= 4 ? rh_le32((const uint8_t *)data) : NO_TAG;
}

static bool is_packed(uint32_t tag)
{
    return tag == (uint32_t)WOF || tag == (uint32_t)DEDUPLICATED;
}

/* *ret_packed (may be NULL): there is no reading it from outside. */
static int look(struct rh_fs *fs, const char *path, struct rh_guest_stat *ret,
                bool *ret_packed, rh_error **err)
{
    RH_AUTO(rh_freep) char *place = place_of(fs, path);
    struct guestfs_statns *st;
    bool packed;

    if (mount_for(fs, FOR_READING, err) < 0)
        return -1;
    st = guestfs.lstatns(handle(fs), place);
    if (!st)
        return failed(fs, path, err);
    ret->type = rh_guest_type((uint32_t)st->st_mode);
    ret->size = ret->type == 'f' ? (uint64_t)st->st_size : 0;
    ret->mode = ret->type == 'd' ? 0755 : 0644;
    ret->uid = ret->gid = 0;
    ret->mtime = st->st_mtime_sec;
    ret->inode = (uint64_t)st->st_ino;
    guestfs.free_statns(st);
    packed = ret->type == 'l' && is_packed(reparse_tag(fs, place));
    /* Junctions lead to other drives, too: nothing follows them. */
    if (ret->type == 'l')
        ret->type = packed ? 'f' : '?';
    if (ret_packed)
        *ret_packed = packed;
    return 0;
}

static int app_stat(struct rh_fs *fs, uint64_t node, struct rh_guest_stat *ret,
                    rh_error **err)
{
    return look(fs, path_of(fs, node), ret, NULL, err);
}

/* The name as the folder has it, with its path; FILE_NOT_FOUND likewise. */
static int find(struct rh_fs *fs, uint64_t dir, const char *name,
                char **ret_path, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", path_of(fs, dir), name);
    struct rh_guest_stat st;
    char **names;

    if (look(fs, path, &st, NULL, &why) == 0) {
        *ret_path = RH_TAKE(path);
        return 0;
    }
    if (rh_error_number(why) != RH_ERR_FILE_NOT_FOUND) {
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    names = names_in(fs, path_of(fs, dir), err);
    if (!names)
        return -1;
    for (size_t i = 0; names[i]; i++)
        if (!strcasecmp(names[i], name)) {
            *ret_path = rh_printf("%s/%s", path_of(fs, dir), names[i]);
            return 0;
        }
    return rh_fail(err, RH_ERR_FILE_NOT_FOUND, "%s on %s: not there", name,
                   fs->volume->device);
}

static int app_lookup(struct rh_fs *fs, uint64_t dir, const char *name,
                      uint64_t *ret, rh_error **err)
{
    char *path;

    if (find(fs, dir, name, &path, err) < 0)
        return -1;
    *ret = node_of(fs, path);
    return 0;
}

static int app_list(struct rh_fs *fs, uint64_t dir, struct rh_names *ret,
                    rh_error **err)
{
    char **names;

    if (mount_for(fs, FOR_READING, err) < 0)
        return -1;
    names = names_in(fs, path_of(fs, dir), err);
    if (!names)
        return -1;
    for (size_t i = 0; names[i]; i++)
        *rh_vec_add(ret) = rh_strdup(names[i]);
    return 0;
}

static int app_read(struct rh_fs *fs, uint64_t node, uint64_t limit,
                    void **ret_bytes, size_t *ret_size, rh_error **err)
{
    const char *path = path_of(fs, node), *device = fs->volume->device;
    RH_AUTO(rh_freep) char *place = place_of(fs, path);
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct rh_guest_stat st;
    bool packed;
    size_t n;

    if (look(fs, path, &st, &packed, err) < 0)
        return -1;
    if (packed)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "%s on %s: the file is packed (CompactOS, "
                       "deduplication) and cannot be read from outside",
                       path, device);
    if (st.type != 'f')
        return rh_fail(err, RH_ERR_FILE_TYPE, "this is no file");
    if (st.size > limit)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file of %llu bytes on %s is larger than expected",
                       (unsigned long long)st.size, device);
    bytes = rh_appliance_read(of(fs)->a, place, st.size, &n);
    if (!bytes)
        return failed(fs, path, err);
    if (n != st.size)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file on %s ends before its size", device);
    *ret_bytes = rh_memdup0(bytes, n);
    *ret_size = n;
    return 0;
}

static int app_read_link(struct rh_fs *fs, uint64_t node, char **ret,
                         rh_error **err)
{
    (void)node;
    (void)ret;
    return rh_fail(err, RH_ERR_FILE_TYPE, "links on %s are not followed",
                   fs->volume->device);
}

static int app_get_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         void **ret_bytes, size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_freep) char *place = place_of(fs, path_of(fs, node));
    char *value;

    if (strcmp(name, acl_name))
        return rh_fail(err, RH_ERR_FILE_NOT_FOUND,
                       "NTFS keeps no attribute \"%s\"", name);
    if (mount_for(fs, FOR_READING, err) < 0)
        return -1;
    value = guestfs.lgetxattr(handle(fs), place, acl_name, ret_size);
    if (!value)
        return failed(fs, path_of(fs, node), err);
    *ret_bytes = value;
    return 0;
}

static int app_free_space(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct guestfs_statvfs *st;

    if (mount_for(fs, FOR_READING, err) < 0)
        return -1;
    st = guestfs.statvfs(handle(fs), of(fs)->v->point);
    if (!st)
        return failed(fs, fs->volume->device, err);
    if (rh_mul_overflows((uint64_t)st->bfree, (uint64_t)st->frsize, ret))
        *ret = 0;
    guestfs.free_statvfs(st);
    return 0;
}

/* --- changing ----------------------------------------------------------------
 */
static int begin(struct rh_fs *fs, rh_error **err)
{
    forget_names(fs);
    return mount_for(fs, FOR_WRITING, err);
}

static int put(struct rh_fs *fs, const char *path, const void *bytes, size_t n,
               rh_error **err)
{
    RH_AUTO(rh_freep) char *place = place_of(fs, path);

    if (begin(fs, err) < 0)
        return -1;
    return rh_appliance_upload(of(fs)->a, place, bytes, n, err);
}

static int app_rewrite(struct rh_fs *fs, uint64_t node, const void *bytes,
                       size_t n, rh_error **err)
{
    return put(fs, path_of(fs, node), bytes, n, err);
}

/* For the appliance's shell. */
static void add_quoted(struct rh_buf *b, const char *text)
{
    rh_buf_puts(b, "'");
    for (; *text; text++)
        if (*text == '\'')
            rh_buf_puts(b, "'\\''");
        else
            rh_buf_add(b, text, 1);
    rh_buf_puts(b, "'");
}

static bool has_acl(struct rh_fs *fs, const char *place, const void *bytes,
                    size_t n)
{
    size_t got = 0;
    RH_AUTO(rh_freep)
    char *acl = guestfs.lgetxattr(handle(fs), place, acl_name, &got);

    return acl && got == n && !memcmp(acl, bytes, n);
}

/* guestfs_lsetxattr() takes a text and ends at its first zero; so the
 * appliance's own setfattr does it, and what it did is read back. */
static int set_acl(struct rh_fs *fs, const char *path, const void *bytes,
                   size_t n, rh_error **err)
{
    RH_AUTO(rh_freep) char *place = place_of(fs, path);
    RH_AUTO(rh_buf_free) struct rh_buf command = {0};
    RH_AUTO(rh_freep) char *said = NULL;

    if (n > ACL_MAX)
        return rh_fail(err, RH_ERR_BUG, "%s: who may use it is too long", path);
    rh_buf_printf(&command, "setfattr -h -n %s -v 0x", acl_name);
    for (size_t i = 0; i < n; i++)
        rh_buf_printf(&command, "%02x", ((const uint8_t *)bytes)[i]);
    rh_buf_puts(&command, " /sysroot");
    add_quoted(&command, place);
    if (begin(fs, err) < 0)
        return -1;
    said = in_shell(fs, command.data);
    if (!said)
        return failed(fs, path, err);
    return has_acl(fs, place, bytes, n)
               ? 0
               : rh_fail(err, RH_ERR_GUEST_APPLIANCE,
                         "%s: who may use it could not be set", path);
}

static int app_set_xattr(struct rh_fs *fs, uint64_t node, const char *name,
                         const void *bytes, size_t n, rh_error **err)
{
    if (strcmp(name, acl_name))
        return rh_fail(err, RH_ERR_BUG, "NTFS keeps no attribute \"%s\"", name);
    return set_acl(fs, path_of(fs, node), bytes, n, err);
}

static int app_create(struct rh_fs *fs, uint64_t dir, const char *name,
                      const void *bytes, size_t n, uint32_t mode, uint64_t like,
                      rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", path_of(fs, dir), name);
    RH_AUTO(rh_freep) void *acl = NULL;
    size_t acl_n;

    (void)mode; /* the folder's own rules are inherited */
    if (put(fs, path, bytes, n, err) < 0)
        return -1;
    if (!like)
        return 0;
    if (app_get_xattr(fs, like, acl_name, &acl, &acl_n, err) < 0)
        return -1;
    return set_acl(fs, path, acl, acl_n, err);
}

static int app_make_dir(struct rh_fs *fs, uint64_t dir, const char *name,
                        uint32_t mode, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", path_of(fs, dir), name);
    RH_AUTO(rh_freep) char *place = place_of(fs, path);

    (void)mode;
    if (begin(fs, err) < 0)
        return -1;
    return guestfs.mkdir(handle(fs), place) < 0 ? failed(fs, path, err) : 0;
}

static int remove_path(struct rh_fs *fs, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *place = place_of(fs, path);
    struct rh_guest_stat st;
    int r;

    if (begin(fs, err) < 0 || look(fs, path, &st, NULL, err) < 0)
        return -1;
    r = st.type == 'd' ? guestfs.rmdir(handle(fs), place)
                       : guestfs.rm(handle(fs), place);
    return r < 0 ? failed(fs, path, err) : 0;
}

static int app_remove(struct rh_fs *fs, uint64_t dir, const char *name,
                      rh_error **err)
{
    RH_AUTO(rh_freep) char *path = NULL;

    if (find(fs, dir, name, &path, err) < 0)
        return -1;
    return remove_path(fs, path, err);
}

/* What has the new name goes, in whatever case it is written. */
static int app_rename(struct rh_fs *fs, uint64_t from_dir, const char *from,
                      uint64_t to_dir, const char *to, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = NULL;
    RH_AUTO(rh_freep) char *there = NULL;
    RH_AUTO(rh_freep) char *as = rh_printf("%s/%s", path_of(fs, to_dir), to);
    RH_AUTO(rh_freep) char *place = NULL;
    RH_AUTO(rh_freep) char *place_as = place_of(fs, as);

    if (find(fs, from_dir, from, &path, err) < 0)
        return -1;
    place = place_of(fs, path);
    if (find(fs, to_dir, to, &there, NULL) == 0 && strcmp(there, path) != 0 &&
        remove_path(fs, there, err) < 0)
        return -1;
    if (begin(fs, err) < 0)
        return -1;
    return guestfs.rename(handle(fs), place, place_as) < 0
               ? failed(fs, path, err)
               : 0;
}

static int app_symlink(struct rh_fs *fs, uint64_t dir, const char *name,
                       const char *target, rh_error **err)
{
    (void)dir;
    (void)target;
    return rh_fail(err, RH_ERR_BUG, "%s: no links are made on %s", name,
                   fs->volume->device);
}

static int app_sync(struct rh_fs *fs, rh_error **err)
{
    return of(fs)->v->mounted == FOR_WRITING ? unmount(fs, err) : 0;
}

/* The overlays are put back next: neither ntfs-3g nor the kernel may hold what
 * is on them now. */
static int app_go_back(struct rh_fs *fs, rh_error **err)
{
    forget_names(fs);
    if (unmount(fs, err) < 0)
        return -1;
    return guestfs.drop_caches(handle(fs), 3) < 0
               ? failed(fs, fs->volume->device, err)
               : 0;
}

/* --- opening and closing -----------------------------------------------------
 */
static void volume_free(struct rh_appliance *a, struct app_volume *v)
{
    for (size_t i = 0; i < a->volumes.count; i++)
        if (a->volumes.items[i] == v)
            a->volumes.items[i] = a->volumes.items[--a->volumes.count];
    free(v->device);
    free(v->point);
    free(v);
}

static void app_close(struct rh_fs *fs)
{
    struct app_ntfs *n = of(fs);

    forget_names(fs);
    if (!--n->v->users) {
        if (unmount(fs, NULL) < 0 ||
            guestfs.rmmountpoint(handle(fs), n->v->point) < 0)
            n->a->stuck = true;
        volume_free(n->a, n->v);
    }
    for (size_t i = 0; i < n->paths.count; i++)
        free(n->paths.items[i]);
    free(n->paths.items);
    free(n);
    free(fs);
}

static const struct rh_fs_ops ops = {
    .root = 0,
    .any_case = true,
    .stat = app_stat,
    .lookup = app_lookup,
    .list = app_list,
    .read = app_read,
    .read_link = app_read_link,
    .create = app_create,
    .rewrite = app_rewrite,
    .remove = app_remove,
    .rename = app_rename,
    .make_dir = app_make_dir,
    .symlink = app_symlink,
    .get_xattr = app_get_xattr,
    .set_xattr = app_set_xattr,
    .free_space = app_free_space,
    .sync = app_sync,
    .go_back = app_go_back,
    .close = app_close,
};

/* The volume with one user more; NULL: the appliance has no name for it. */
static struct app_volume *share(struct rh_appliance *a,
                                const struct rh_volume *v)
{
    struct app_volume *new;
    char *device;

    for (size_t i = 0; i < a->volumes.count; i++)
        if (a->volumes.items[i]->volume == v) {
            a->volumes.items[i]->users++;
            return a->volumes.items[i];
        }
    device = rh_appliance_device(v);
    if (!device)
        return NULL;
    new = rh_new0(struct app_volume);
    new->volume = v;
    new->device = device;
    new->point = rh_printf("/ntfs%zu-%u", v->disk, v->partition);
    new->users = 1;
    *rh_vec_add(&a->volumes) = new;
    return new;
}

static int read_log(void *user, uint64_t offset, void *ret, size_t n,
                    rh_error **err)
{
    struct rh_fs *fs = user;
    RH_AUTO(rh_freep) char *place = place_of(fs, "/$LogFile");
    size_t got = 0;
    RH_AUTO(rh_freep)
    char *bytes =
        guestfs.pread(handle(fs), place, (int)n, (int64_t)offset, &got);

    if (!bytes)
        return failed(fs, "$LogFile", err);
    if (got != n)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "a file on %s ends before its size", fs->volume->device);
    memcpy(ret, bytes, n);
    return 0;
}

static int log_state(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    struct rh_ntfs_log log = {.read = read_log, .user = fs};
    struct rh_guest_stat st;

    if (look(fs, "/$LogFile", &st, NULL, err) < 0)
        return -1;
    log.size = st.size;
    return rh_ntfs_log_state(&log, ret, err);
}

static int hiberfil_state(struct rh_fs *fs, uint64_t *ret, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *why = NULL;
    RH_AUTO(rh_freep) char *path = NULL;
    RH_AUTO(rh_freep) char *place = NULL;
    RH_AUTO(rh_freep) char *head = NULL;
    size_t n = 0;

    *ret = 0;
    if (find(fs, ops.root, "hiberfil.sys", &path, &why) < 0) {
        if (rh_error_number(why) == RH_ERR_FILE_NOT_FOUND)
            return 0;
        if (err && !*err)
            *err = RH_TAKE(why);
        return -1;
    }
    place = place_of(fs, path);
    head = guestfs.pread(handle(fs), place, RH_NTFS_HIBERFIL_HEAD, 0, &n);
    *ret = rh_ntfs_hiberfil_state(head, head ? n : 0);
    return 0;
}

static int read_state(struct rh_fs *fs, rh_error **err)
{
    uint64_t log, flags, asleep;

    if (log_state(fs, &log, err) < 0 || hiberfil_state(fs, &asleep, err) < 0 ||
        rh_ntfs_volume_state(fs->disks, fs->volume, &flags, err) < 0)
        return -1;
    of(fs)->v->state = log | flags | asleep;
    return 0;
}

/* Mounted for reading, and how it was left. */
static int prepare(struct rh_fs *fs, rh_error **err)
{
    struct app_volume *v = of(fs)->v;

    if (v->users > 1)
        return 0;
    if (guestfs.mkmountpoint(handle(fs), v->point) < 0)
        return failed(fs, v->point, err);
    if (mount_for(fs, FOR_READING, err) < 0)
        return -1;
    return read_state(fs, err);
}

static bool has_driver(struct rh_appliance *a)
{
    static char name[] = "ntfs3g";
    char *groups[] = {name, NULL};

    return guestfs.feature_available(a->g, groups) == 1;
}

struct rh_fs *rh_ntfs_in_appliance(struct rh_session *s,
                                   const struct rh_volume *v,
                                   const char **ret_why, rh_error **err)
{
    struct rh_appliance *a = rh_appliance_of(s, ret_why, err);
    struct app_volume *shared;
    struct app_ntfs *n;
    struct rh_fs *fs;

    if (!a || RH_LATE_LOAD("libguestfs.so.0", guestfs, err) < 0)
        return NULL;
    shared = has_driver(a) ? share(a, v) : NULL;
    if (!shared) {
        *ret_why = _("the program rehost-ntfs, which reads NTFS, is not "
                     "installed, and libguestfs' appliance cannot do it, "
                     "either");
        return NULL;
    }
    fs = rh_new0(struct rh_fs);
    n = rh_new0(struct app_ntfs);
    n->a = a;
    n->v = shared;
    *rh_vec_add(&n->paths) = rh_strdup("");
    fs->ops = &ops;
    fs->disks = s->disks;
    fs->volume = v;
    fs->state = n;
    if (prepare(fs, err) < 0) {
        app_close(fs);
        return NULL;
    }
    rh_ntfs_tell_state(fs, shared->state);
    return fs;
}

#endif
