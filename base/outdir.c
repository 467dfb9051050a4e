/* outdir.c - results that appear by rename, and half-made ones that go away.
 *
 * While a result DIR/NAME is made, it is DIR/.NAME.N.part, and
 * DIR/.NAME.N.lease says who makes it (base/lease.h).  Only what such a lease
 * names is ever removed: a part whose maker is dead goes with its lease, and
 * whatever else bears a name like these was made by somebody else and stays. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/lease.h"
#include "base/out.h"
#include "base/random.h"
#include "base/text.h"

/* --- names
 * -------------------------------------------------------------------- */

/* A character of UTF-8, or a byte that begins none. */
static size_t character(const char *p)
{
    size_t n = 1;

    while (((unsigned char)p[n] & 0xc0) == 0x80 && n < 4)
        n++;
    return ((unsigned char)p[0] & 0xc0) == 0xc0 && rh_valid_utf8(p, n) ? n : 1;
}

/* NAME in cli.md, "What convert leaves". */
char *rh_safe_name(const char *name)
{
    enum { NAME_MOST = 200 };
    struct rh_buf b = {0};
    bool telling = false;
    char hex[65];

    for (const char *p = name; *p && b.length < NAME_MOST; p += character(p)) {
        bool plain = isascii((unsigned char)*p) && isalnum((unsigned char)*p);

        telling |= plain;
        rh_buf_putc(&b, plain || strchr("._-", *p) ? *p : '-');
    }
    if (telling) {
        if (b.data[0] == '.' || b.data[0] == '-')
            b.data[0] = '_';
        return rh_buf_take(&b);
    }
    rh_buf_free(&b);
    rh_sha256_hex(name, strlen(name), hex);
    return rh_printf("vm-%.8s", hex);
}

/* --- removing what is ours
 * ------------------------------------------------------------ */

/* Our hidden folders are flat but for what a killed run may have left. */
static void remove_level(int parent, const char *name, int depth)
{
    struct dirent *entry;
    DIR *d;
    int fd;

    if (unlinkat(parent, name, 0) == 0 || depth > 8)
        return;
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    d = fdopendir(fd);
    if (!d) {
        close(fd);
        return;
    }
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_level(fd, entry->d_name, depth + 1);
    closedir(d);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void rh_remove_tree(int parent, const char *name)
{
    remove_level(parent, name, 0);
}

/* ".NAME.N.lease" gives N's length and its place in `entry`; NULL: another. */
static const char *lease_number(const char *entry, const char *name,
                                size_t *ret_digits)
{
    size_t n = strlen(name), digits;

    if (entry[0] != '.' || strncmp(entry + 1, name, n) || entry[n + 1] != '.')
        return NULL;
    digits = strspn(entry + n + 2, "0123456789");
    if (!digits || strcmp(entry + n + 2 + digits, ".lease"))
        return NULL;
    *ret_digits = digits;
    return entry + n + 2;
}

/* An earlier result that stood aside while a new one took its name: back it
 * goes where nothing took it. */
static void undo_aside(int dir, const char *aside, const char *name)
{
    if (renameat2(dir, aside, dir, name, RENAME_NOREPLACE) == 0)
        return;
    if ((errno == EINVAL || errno == ENOSYS) &&
        faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
        errno == ENOENT && renameat(dir, aside, dir, name) == 0)
        return;
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rh_remove_tree(dir, aside);
}

/* "..NAME.N.lease.TOKEN": what a lease is made of where files must have names,
 * left by one who died in that very step. */
static bool is_half_lease(const char *entry, const char *name)
{
    RH_AUTO(rh_freep) char *lease = NULL;
    const char *dot = strrchr(entry, '.');
    size_t digits;

    if (entry[0] != '.' || !dot || strlen(dot) != 33 ||
        strspn(dot + 1, "0123456789abcdef") != 32)
        return false;
    lease = rh_strndup(entry + 1, (size_t)(dot - entry - 1));
    return lease_number(lease, name, &digits) != NULL;
}

static void remove_half_lease(int dir, const char *entry, time_t now)
{
    struct stat st;

    if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode) && now - st.st_mtime > RH_LEASE_STALE_SECONDS)
        unlinkat(dir, entry, 0);
}

/* In one step, so that its maker, should he live after all, finds either all of
 * it to give its name to, or nothing.  What a killed remover left goes first.
 */
static void remove_part(int dir, const char *name, const char *number,
                        size_t digits)
{
    RH_AUTO(rh_freep)
    char *part = rh_printf(".%s.%.*s.part", name, (int)digits, number);
    RH_AUTO(rh_freep)
    char *drop = rh_printf(".%s.%.*s.drop", name, (int)digits, number);

    rh_remove_tree(dir, drop);
    if (renameat(dir, part, dir, drop) == 0)
        rh_remove_tree(dir, drop);
}

/* Nobody makes it any more?  Then it is ours for a moment, and goes. */
static void remove_if_abandoned(int dir, const char *lease, const char *name)
{
    size_t digits;
    const char *number = lease_number(lease, name, &digits);
    RH_AUTO(rh_lease_releasep) struct rh_lease *mine = NULL;
    RH_AUTO(rh_freep) char *aside = NULL;

    if (!number || !rh_lease_is_one(dir, lease) ||
        rh_lease_take(dir, lease, RH_LEASE_STALE_SECONDS, &mine, NULL, NULL) !=
            1)
        return;
    aside = rh_printf(".%s.%.*s.old", name, (int)digits, number);
    remove_part(dir, name, number, digits);
    if (faccessat(dir, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        undo_aside(dir, aside, name);
}

static void remove_abandoned(int dir, const char *name)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    RH_VEC(char *) leases = {0};
    size_t digits;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(d)))
        if (is_half_lease(entry->d_name, name))
            remove_half_lease(dir, entry->d_name, time(NULL));
        else if (lease_number(entry->d_name, name, &digits))
            *rh_vec_add(&leases) = rh_strdup(entry->d_name);
    closedir(d);
    for (size_t i = 0; i < leases.count; i++) {
        remove_if_abandoned(dir, leases.items[i], name);
        free(leases.items[i]);
    }
    free(leases.items);
}

/* --- who makes it
 * ------------------------------------------------------------- */

/* The right to a name that nobody else has: PIDs are unique in one system only,
 * so the lease decides. */
struct claim {
    int dir;
    char *part, *aside; /* names in dir */
    struct rh_lease *lease;
};
enum { NAMES_TRIED = 100 };

static void claim_end(struct claim *c)
{
    rh_lease_release(c->lease);
    rh_closep(&c->dir);
    free(c->part);
    free(c->aside);
    *c = (struct claim){.dir = -1};
}

/* Any file of that name, ours or not, makes us take another. */
static bool name_is_free(const struct claim *c)
{
    return faccessat(c->dir, c->part, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
           faccessat(c->dir, c->aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

/* One that nobody had: a late owner must not find another's part by his name.
 * Nine digits keep the longest file name within 255 bytes. */
static int new_number(long *ret, rh_error **err)
{
    uint32_t random = 0;

    if (rh_random(&random, sizeof random, err) < 0)
        return -1;
    *ret = random % 1000000000L;
    return 0;
}

static int try_claim(struct claim *c, const char *name, rh_error **err)
{
    RH_AUTO(rh_freep) char *lease = NULL;
    long number;
    int got;

    if (new_number(&number, err) < 0)
        return -1;
    lease = rh_printf(".%s.%ld.lease", name, number);
    free(c->part);
    free(c->aside);
    c->part = rh_printf(".%s.%ld.part", name, number);
    c->aside = rh_printf(".%s.%ld.old", name, number);
    if (faccessat(c->dir, lease, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    got = rh_lease_take(c->dir, lease, RH_LEASE_STALE_SECONDS, &c->lease, NULL,
                        err);
    if (got == 1 && !name_is_free(c)) {
        rh_lease_release(RH_TAKE(c->lease));
        return 0;
    }
    return got;
}

/* Takes `dir`'s leftovers of this name away before. */
static int claim_begin(struct claim *c, const char *dir, const char *name,
                       rh_error **err)
{
    int got = 0;

    c->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir < 0)
        got = rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                            "cannot use the folder");
    else
        remove_abandoned(c->dir, name);
    for (int i = 0; got == 0 && i < NAMES_TRIED; i++)
        got = try_claim(c, name, err);
    if (got == 1)
        return 0;
    if (got == 0)
        rh_fail(err, RH_ERR_FILE_WRITE, "no name is free for a part");
    claim_end(c);
    return rh_error_subject(err, dir);
}

/* Another took us for dead while we were stopped. */
static int check_claim(const struct claim *c, const char *path, rh_error **err)
{
    if (rh_lease_still(c->lease))
        return 0;
    rh_fail(err, RH_ERR_RESULT_LOST,
            "another run took this one for dead, and removed what it had made");
    return rh_error_subject(err, path);
}

/* --- result folders
 * ---------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    int why = errno;
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = why;
    return folder;
}

static int make_folders(const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);

    for (char *p = copy + 1; p[-1]; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char keep = *p;

        *p = '\0';
        /* What is there counts, whichever error says so (EROFS, EACCES ...). */
        if (mkdir(copy, 0777) < 0 && !is_folder(copy)) {
            rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                          "cannot create the folder");
            return rh_error_subject(err, copy);
        }
        *p = keep;
        if (!keep)
            break;
    }
    return 0;
}

/* The locks are a second guard where all makers see them. */
static int make_part(struct rh_outdir *d, const char *dir, rh_error **err)
{
    const struct claim *c = d->claim;
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", dir, c->part);

    if (mkdir(path, 0777) == 0) {
        d->made = true;
        d->fd = openat(c->dir, c->part,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (d->fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot create the result folder");
        return rh_error_subject(err, d->path);
    }
    if (flock(d->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        rh_fail(err, RH_ERR_BUG, "the result folder is another's");
        return rh_error_subject(err, d->path);
    }
    return 0;
}

/* Makers on one machine take turns here. */
static int lock_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        flock(fd, LOCK_EX);
    return fd;
}

struct rh_outdir *rh_outdir_new(const char *dir, const char *name, bool replace,
                                rh_error **err)
{
    RH_AUTO(rh_outdir_closep) struct rh_outdir *d = NULL;
    RH_AUTO(rh_closep) int lock = -1;

    if (make_folders(dir, err) < 0)
        return NULL;
    d = rh_new0(struct rh_outdir);
    d->fd = -1;
    d->path = rh_printf("%s/%s", dir, name);
    d->name = rh_strdup(name);
    d->replace = replace;
    lock = lock_folder(dir);
    d->claim = rh_new0(struct claim);
    d->claim->dir = -1;
    if (claim_begin(d->claim, dir, name, err) < 0)
        return NULL;
    if (!replace &&
        faccessat(d->claim->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        rh_fail(err, RH_ERR_FILE_EXISTS, "a result is already there");
        rh_error_subject(err, d->path);
        return NULL;
    }
    if (make_part(d, dir, err) < 0)
        return NULL;
    return RH_TAKE(d);
}

int rh_outdir_space(const struct rh_outdir *d, uint64_t *ret_bytes)
{
    struct statvfs v;

    if (fstatvfs(d->fd, &v) < 0)
        return -1;
    *ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

/* A device number is a subvolume's own on btrfs. */
bool rh_outdir_may_share(const struct rh_outdir *d, int fd)
{
    struct statfs here, there;
    struct stat a, b;

    if (fstatfs(d->fd, &here) < 0 || fstatfs(fd, &there) < 0 ||
        here.f_type != there.f_type)
        return false;
    if (here.f_type == BTRFS_SUPER_MAGIC)
        return true;
    return here.f_type == XFS_SUPER_MAGIC && fstat(d->fd, &a) == 0 &&
           fstat(fd, &b) == 0 && a.st_dev == b.st_dev;
}

int rh_outdir_put(struct rh_outdir *d, const char *name, const void *bytes,
                  size_t n, bool executable, rh_error **err)
{
    RH_AUTO(rh_out_closep) struct rh_out *o = rh_out_file_at(d->fd, name, err);
    struct rh_outdir_file *file;

    if (!o || rh_out_write(o, bytes, n, 0, err) < 0)
        return -1;
    if (executable && fchmod(o->fd, 0755) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make it executable");
    /* Only begun here: to wait for each file alone would cost each a commit of
     * the file system's journal. */
    sync_file_range(o->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    file = rh_vec_add(&d->files);
    file->name = rh_strdup(name);
    file->size = n;
    file->out = RH_TAKE(o);
    return 0;
}

static int finish_files(struct rh_outdir *d, rh_error **err)
{
    for (size_t i = 0; i < d->files.count; i++)
        if (rh_out_finish(d->files.items[i].out, d->files.items[i].size, err) <
            0)
            return -1;
    return 0;
}

/* File systems without flags for rename (NFS): the earlier result steps aside
 * first, and comes back when the new one can't take its place.  Should the
 * system stop between the two, the next run brings it back. */
static int rename_plain(const struct claim *c, const char *name, bool replace)
{
    int why;

    if (renameat(c->dir, c->part, c->dir, name) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
        return -1;
    errno = EEXIST;
    if (!replace || renameat(c->dir, name, c->dir, c->aside) < 0)
        return -1;
    if (renameat(c->dir, c->part, c->dir, name) == 0) {
        rh_remove_tree(c->dir, c->aside);
        return 0;
    }
    why = errno;
    renameat(c->dir, c->aside, c->dir, name);
    errno = why;
    return -1;
}

/* Exchange when an earlier result stands there: at no moment is there none. */
static int rename_over(const struct claim *c, const char *name, bool replace)
{
    if (renameat2(c->dir, c->part, c->dir, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS)
        return rename_plain(c, name, replace);
    if (errno != EEXIST || !replace)
        return -1;
    if (renameat2(c->dir, c->part, c->dir, name, RENAME_EXCHANGE) == 0) {
        rh_remove_tree(c->dir, c->part);
        return 0;
    }
    return errno == EINVAL ? rename_plain(c, name, replace) : -1;
}

static int cannot_name(const char *what, const char *path, rh_error **err)
{
    if (errno == EEXIST)
        rh_fail(err, RH_ERR_FILE_EXISTS, "%s", what);
    else
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot give the result its name");
    return rh_error_subject(err, path);
}

int rh_outdir_commit(struct rh_outdir *d, rh_error **err)
{
    if (finish_files(d, err) < 0)
        return -1;
    if (fsync(d->fd) < 0)
        return cannot_name(N_("a result is already there"), d->path, err);
    if (check_claim(d->claim, d->path, err) < 0)
        return -1;
    if (rename_over(d->claim, d->name, d->replace) < 0)
        return cannot_name(N_("a result is already there"), d->path, err);
    d->made = false;
    fsync(d->claim->dir);
    return 0;
}

void rh_outdir_close(struct rh_outdir *d)
{
    if (!d)
        return;
    if (d->made && rh_lease_still(d->claim->lease))
        rh_remove_tree(d->claim->dir, d->claim->part);
    rh_closep(&d->fd);
    for (size_t i = 0; i < d->files.count; i++) {
        rh_out_close(d->files.items[i].out);
        free(d->files.items[i].name);
    }
    free(d->files.items);
    if (d->claim)
        claim_end(d->claim);
    free(d->claim);
    free(d->name);
    free(d->path);
    free(d);
}

/* --- single result files
 * -------------------------------------------------------------- */

struct rh_outfile {
    char *path, *name;
    struct claim claim;
    struct rh_out *out;
    bool replace, made;
};

struct rh_outfile *rh_outfile_new(const char *path, bool replace,
                                  struct rh_out **ret_out, rh_error **err)
{
    RH_AUTO(rh_outfile_closep) struct rh_outfile *f = NULL;
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);
    RH_AUTO(rh_freep) char *dir = rh_strdup(dirname(copy));
    RH_AUTO(rh_closep) int lock = -1;
    const char *slash = strrchr(path, '/');

    if (!replace && access(path, F_OK) == 0) {
        rh_fail(err, RH_ERR_FILE_EXISTS, "the file is already there");
        rh_error_subject(err, path);
        return NULL;
    }
    f = rh_new0(struct rh_outfile);
    f->path = rh_strdup(path);
    f->name = rh_strdup(slash ? slash + 1 : path);
    f->replace = replace;
    f->claim.dir = -1;
    lock = lock_folder(dir);
    if (claim_begin(&f->claim, dir, f->name, err) < 0)
        return NULL;
    f->out = rh_out_file_at(f->claim.dir, f->claim.part, err);
    if (!f->out)
        return NULL;
    f->made = true;
    flock(f->out->fd, LOCK_EX | LOCK_NB);
    free(f->out->name); /* messages speak of what was asked for */
    f->out->name = rh_strdup(path);
    *ret_out = f->out;
    return RH_TAKE(f);
}

static int rename_new_file(const struct claim *c, const char *name)
{
    if (renameat2(c->dir, c->part, c->dir, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return linkat(c->dir, c->part, c->dir, name, 0) < 0
               ? -1
               : unlinkat(c->dir, c->part, 0);
}

int rh_outfile_commit(struct rh_outfile *f, rh_error **err)
{
    const struct claim *c = &f->claim;
    int done;

    if (check_claim(c, f->path, err) < 0)
        return -1;
    done = f->replace ? renameat(c->dir, c->part, c->dir, f->name)
                      : rename_new_file(c, f->name);
    if (done < 0)
        return cannot_name(N_("the file is already there"), f->path, err);
    f->made = false;
    fsync(c->dir);
    return 0;
}

void rh_outfile_close(struct rh_outfile *f)
{
    if (!f)
        return;
    if (f->made && rh_lease_still(f->claim.lease))
        unlinkat(f->claim.dir, f->claim.part, 0);
    rh_out_close(f->out);
    claim_end(&f->claim);
    free(f->name);
    free(f->path);
    free(f);
}
