/* kept.c - the appliance in the cache: where it lies, whether it is still
 * right, who makes it.
 *
 *     CACHE/rehost/           the user's own, nobody else can write there
 *       lock                  shared: one is being started; else one is made
 *       appliance-DIGEST/     kernel, initrd, root, README.fixed: libguestfs'
 *                             "fixed appliance"; files: what it was made of;
 *                             seal: its digests; failed: it did not start
 *       .appliance-DIGEST.XXXXXX/   until it is whole and on the disk
 *       .appliance-DIGEST.old/      while another one takes its place */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/data.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/out.h"
#include "base/state.h"
#include "base/text.h"
#include "base/wait.h"
#include "guestfix/backends/kept_make.h"

enum {
    TEXT_MAX = 1024 * 1024,
    WAIT_TENTHS = 1800, /* for another that makes one */
    DAY = 24 * 3600,
    UNUSED_DAYS = 7,
    NAME_DIGITS = 24
};
static const uint64_t space_needed = 512 * RH_MIB, size_max = RH_GIB;
static const char *const parts[] = {"kernel", "initrd", "root", "README.fixed",
                                    "files"};

struct cache {
    rh_lib *lib;
    char *path; /* CACHE/rehost */
    char *name; /* appliance-DIGEST */
    char *supermin, *recipe, *init;
    bool emulated;
    int fd, lock;
};

static void cache_free(struct cache *c)
{
    free(c->path);
    free(c->name);
    free(c->supermin);
    free(c->recipe);
    free(c->init);
    rh_closep(&c->fd);
    rh_closep(&c->lock);
}

/* --- where
 * ----------------------------------------------------------------------- */
static int not_kept(rh_lib *lib, const char *why)
{
    rh_log(lib, RH_LOG_INFO, _("libguestfs' own appliance is started: %s"),
           why);
    return 0;
}

/* NULL with *ret_why. */
static char *cache_path(const char **ret_why)
{
    const char *choice = secure_getenv("REHOST_APPLIANCE");
    const char *own = secure_getenv("LIBGUESTFS_PATH");
    const char *cache = secure_getenv("XDG_CACHE_HOME");
    const char *home = secure_getenv("HOME");

    if (choice && choice[0] == '/')
        return rh_strdup(choice);
    if (choice && choice[0])
        *ret_why = _("REHOST_APPLIANCE says so");
    else if (own && own[0])
        *ret_why = _("LIBGUESTFS_PATH names one");
    else if (cache && cache[0] == '/')
        return rh_printf("%s/rehost", cache);
    else if (home && home[0] == '/')
        return rh_printf("%s/.cache/rehost", home);
    else
        *ret_why = _("there is no home folder to keep another one in");
    return NULL;
}

/* Nobody but this user and root can put something in its place. */
static bool is_private(const char *folder)
{
    char real[PATH_MAX];
    struct stat st;

    if (!realpath(folder, real))
        return false;
    for (;;) {
        char *slash = strrchr(real, '/');

        if (stat(real, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0) ||
            (st.st_mode & 02 && !(st.st_mode & S_ISVTX)))
            return false;
        if (slash == real)
            return true;
        *slash = '\0';
    }
}

/* What of the path is there already. */
static bool is_private_so_far(const char *path)
{
    RH_AUTO(rh_freep) char *part = rh_strdup(path);

    for (char *slash; access(part, F_OK) < 0;) {
        slash = strrchr(part, '/');
        if (slash == part)
            return true;
        *slash = '\0';
    }
    return is_private(part);
}

static int not_private(void)
{
    errno = EPERM;
    return -1;
}

/* -1 with errno; EPERM: others can write there. */
static int open_cache(struct cache *c)
{
    struct stat st;

    if (!is_private_so_far(c->path))
        return not_private();
    if (rh_make_folders(c->path, 0700) < 0)
        return -1;
    c->fd = open(c->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->fd < 0 || fstat(c->fd, &st) < 0)
        return -1;
    if (st.st_uid != geteuid() || st.st_mode & 022 || !is_private(c->path))
        return not_private();
    c->lock =
        openat(c->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (c->lock < 0)
        c->lock = openat(c->fd, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return c->lock < 0 ? -1 : 0;
}

/* --- which
 * ----------------------------------------------------------------------- */
/* Of the places where libguestfs looks the first that has one, if that is to be
 * built by supermin. */
static char *find_supermin(const char *path)
{
    RH_AUTO(rh_freep) char *all = rh_strdup(path ? path : "");
    char *rest = all, *folder;

    while ((folder = strsep(&rest, ":"))) {
        RH_AUTO(rh_freep) char *skeleton = rh_printf("%s/supermin.d", folder);
        RH_AUTO(rh_freep) char *list = rh_printf("%s/packages", skeleton);
        RH_AUTO(rh_freep) char *fixed = rh_printf("%s/README.fixed", folder);

        if (folder[0] == '/' && access(list, R_OK) == 0)
            return RH_TAKE(skeleton);
        if (access(fixed, F_OK) == 0)
            return NULL;
    }
    return NULL;
}

static void add_text(struct rh_digest *d, const char *text)
{
    rh_digest_add(d, text ? text : "", text ? strlen(text) + 1 : 1);
}

static int add_file(struct rh_digest *d, const char *path)
{
    RH_AUTO(rh_freep) char *text = rh_kept_text(AT_FDCWD, path, TEXT_MAX);

    if (!text)
        return -1;
    add_text(d, text);
    return 0;
}

/* One host may have several of them: homes are shared, versions change. */
static char *name_of(const struct cache *c, const struct rh_kept_wish *wish)
{
    struct rh_digest *d RH_AUTO(rh_digest_freep) = rh_digest_new("sha256");
    char hex[RH_DIGEST_HEX];
    struct utsname host;

    if (!d || uname(&host) < 0 || add_file(d, c->recipe) < 0 ||
        add_file(d, c->init) < 0)
        return NULL;
    add_file(d, "/etc/machine-id");
    add_text(d, host.nodename);
    add_text(d, host.machine);
    add_text(d, wish->version);
    add_text(d, c->supermin);
    add_text(d, wish->emulated ? "emulated" : "as it is");
    rh_digest_hex(d, hex);
    return rh_printf("appliance-%.*s", NAME_DIGITS, hex);
}

/* --- is it right
 * ----------------------------------------------------------------------- */
/* The digest of a plain file of ours, as the seal has it; NULL: it is not. */
static char *sealed(int folder, const char *name)
{
    int fd RH_AUTO(rh_closep) =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct rh_digest *d RH_AUTO(rh_digest_freep) = rh_digest_new("sha256");
    RH_AUTO(rh_freep) char *piece = rh_malloc(RH_MIB);
    char hex[RH_DIGEST_HEX];
    struct stat st;
    ssize_t n;

    if (fd < 0 || !d || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_uid != geteuid() || st.st_mode & 022 ||
        (uint64_t)st.st_size > size_max)
        return NULL;
    while ((n = read(fd, piece, RH_MIB)) > 0)
        rh_digest_add(d, piece, (size_t)n);
    if (n < 0)
        return NULL;
    rh_digest_hex(d, hex);
    return rh_printf("%s %s\n", hex, name);
}

/* What the seal says of such a folder; NULL: something is missing. */
static char *seal_of(int folder)
{
    RH_AUTO(rh_buf_free) struct rh_buf all = {0};

    for (size_t i = 0; i < RH_COUNT(parts); i++) {
        RH_AUTO(rh_freep) char *line = sealed(folder, parts[i]);

        if (!line)
            return NULL;
        rh_buf_puts(&all, line);
    }
    return rh_buf_take(&all);
}

/* Is a file of the host as it was, or still not there: "SIZE SECONDS PATH". */
static bool is_as_before(const char *line)
{
    long long size, seconds;
    struct stat st;
    char *end;

    if (!strncmp(line, "- - /", 5))
        return access(line + 4, F_OK) < 0;
    size = strtoll(line, &end, 10);
    seconds = *end == ' ' ? strtoll(end + 1, &end, 10) : 0;
    return *end == ' ' && stat(end + 1, &st) == 0 && st.st_size == size &&
           st.st_mtime == seconds;
}

static bool host_is_as_before(int folder)
{
    RH_AUTO(rh_freep) char *files = rh_kept_text(folder, "files", TEXT_MAX);
    char *rest = files, *line;
    size_t count = 0;

    while (rest && (line = strsep(&rest, "\n")))
        if (*line && (count++, !is_as_before(line)))
            return false;
    return count > 0;
}

static bool has_failed(int folder)
{
    struct stat st;

    return fstatat(folder, "failed", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           time(NULL) - st.st_mtime < DAY;
}

enum state { RIGHT, TO_BE_MADE, UNFIT };

static enum state state_of(const struct cache *c)
{
    int folder RH_AUTO(rh_closep) =
        openat(c->fd, c->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    RH_AUTO(rh_freep) char *seal = NULL;
    RH_AUTO(rh_freep) char *now = NULL;
    struct stat st;

    if (folder < 0 || fstat(folder, &st) < 0 || st.st_uid != geteuid() ||
        st.st_mode & 022 || !host_is_as_before(folder))
        return TO_BE_MADE;
    seal = rh_kept_text(folder, "seal", TEXT_MAX);
    now = seal_of(folder);
    if (!seal || !now || strcmp(seal, now) != 0)
        return TO_BE_MADE;
    if (has_failed(folder))
        return UNFIT;
    futimens(folder, NULL); /* used today */
    return RIGHT;
}

/* --- making it
 * ----------------------------------------------------------------------- */
/* The folder may be one that the user has named, with other things in it: a
 * name is ours as far as nobody else gives such. */
static bool is_ours(const char *name, const char *end)
{
    static const char stem[] = "appliance-";
    size_t n = sizeof stem - 1;

    return !strncmp(name, stem, n) &&
           strspn(name + n, "0123456789abcdef") == NAME_DIGITS &&
           !strncmp(name + n + NAME_DIGITS, end, 1);
}

/* What nobody needs: halves of killed runs, and others of long ago. */
static void tidy(const struct cache *c)
{
    int fd = openat(c->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!dir) {
        rh_closep(&fd);
        return;
    }
    while ((e = readdir(dir))) {
        bool half = e->d_name[0] == '.' && is_ours(e->d_name + 1, ".");
        struct stat st;

        if (!half && (!is_ours(e->d_name, "") || !strcmp(e->d_name, c->name) ||
                      fstatat(c->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                      time(NULL) - st.st_mtime < UNUSED_DAYS * DAY))
            continue;
        rh_remove_tree(c->fd, e->d_name);
    }
    closedir(dir);
}

static int put_seal(int folder, rh_error **err)
{
    RH_AUTO(rh_freep) char *seal = seal_of(folder);
    int fd RH_AUTO(rh_closep) = -1;

    if (!seal)
        return rh_fail(err, RH_ERR_SERVICE, "a part of it is missing");
    for (size_t i = 0; i < RH_COUNT(parts); i++) {
        int part RH_AUTO(rh_closep) =
            openat(folder, parts[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (part < 0 || fsync(part) < 0)
            return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "%s", parts[i]);
    }
    fd = openat(folder, "seal", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "seal");
    if (rh_pwrite_all(fd, seal, strlen(seal), 0, "seal", err) < 0)
        return -1;
    return fsync(fd) < 0 || fsync(folder) < 0
               ? rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "seal")
               : 0;
}

static int put_in_place(const struct cache *c, const char *made, rh_error **err)
{
    RH_AUTO(rh_freep) char *old = rh_printf(".%s.old", c->name);

    if (renameat(c->fd, c->name, c->fd, old) < 0 && errno != ENOENT)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "%s", c->name);
    if (renameat(c->fd, made, c->fd, c->name) < 0 || fsync(c->fd) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "%s", c->name);
    rh_remove_tree(c->fd, old);
    return 0;
}

static int make_in(const struct cache *c, const char *path, const char *made,
                   rh_error **err)
{
    int folder RH_AUTO(rh_closep) = -1;

    if (rh_kept_make(c->lib, c->recipe, path, c->supermin, c->init, c->emulated,
                     err) < 0)
        return -1;
    folder =
        openat(c->fd, made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "%s", path);
    return put_seal(folder, err) < 0 ? -1 : put_in_place(c, made, err);
}

static int make_it(const struct cache *c, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/.%s.XXXXXX", c->path, c->name);
    struct statvfs space;
    const char *made;
    int failed;

    tidy(c);
    if (fstatvfs(c->fd, &space) == 0 &&
        (uint64_t)space.f_bavail * space.f_frsize < space_needed)
        return rh_fail(err, RH_ERR_SERVICE, "%s has less than 512 MiB of space",
                       c->path);
    if (!mkdtemp(path))
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "%s", c->path);
    made = strrchr(path, '/') + 1;
    rh_log(c->lib, RH_LOG_INFO,
           _("an appliance that starts faster is made in %s, once"), c->path);
    failed = make_in(c, path, made, err);
    if (failed)
        rh_remove_tree(c->fd, made);
    return failed;
}

/* --- taking it
 * ----------------------------------------------------------------------- */
/* With the lock shared: 1 it is right, 0 there is none to be had (told), -1. */
static int settle(const struct cache *c, rh_error **err)
{
    bool made = false;

    for (unsigned i = 0; i < WAIT_TENTHS; i++) {
        RH_AUTO(rh_error_freep) rh_error *fault = NULL;
        enum state state = TO_BE_MADE;

        if (flock(c->lock, LOCK_SH | LOCK_NB) == 0)
            state = state_of(c);
        if (state == RIGHT)
            return 1;
        if (state == UNFIT)
            return not_kept(c->lib, _("the one that is kept did not start"));
        if (made)
            return not_kept(c->lib, _("what was made is not right"));
        if (flock(c->lock, LOCK_EX | LOCK_NB) == 0) {
            /* Between the two locks another may have made it. */
            made = state_of(c) == TO_BE_MADE;
            if (made && make_it(c, &fault) < 0) {
                if (rh_go_on(c->lib, err) < 0)
                    return -1;
                return not_kept(c->lib, rh_error_message(fault));
            }
            continue;
        }
        flock(c->lock, LOCK_UN);
        if (rh_wait_nap(c->lib, err) < 0)
            return -1;
    }
    return not_kept(c->lib, _("others have worked on the cache for minutes"));
}

static int prepare(struct cache *c, const struct rh_kept_wish *wish)
{
    const char *why = NULL;

    c->path = cache_path(&why);
    if (!c->path)
        return not_kept(c->lib, why);
    if (strchr(c->path, ':')) /* libguestfs would take it apart */
        return not_kept(c->lib, _("the cache's path has a colon"));
    c->recipe = rh_data_path("appliance/make");
    c->init = rh_data_path("appliance/init");
    c->supermin = find_supermin(wish->path);
    if (!c->recipe || !c->init)
        return not_kept(c->lib,
                        _("the recipe of another one is not installed"));
    if (!c->supermin)
        return not_kept(c->lib, _("it is no appliance that supermin builds"));
    c->name = name_of(c, wish);
    if (!c->name)
        return not_kept(c->lib, _("the recipe of another one cannot be read"));
    if (open_cache(c) < 0) {
        RH_AUTO(rh_freep)
        char *told = rh_printf("%s: %s", c->path,
                               errno == EPERM ? _("others can write there")
                                              : strerror(errno));

        return not_kept(c->lib, told);
    }
    return 1;
}

int rh_kept_borrow(rh_lib *lib, const struct rh_kept_wish *wish,
                   struct rh_kept_appliance *ret, rh_error **err)
{
    struct cache c = {
        .lib = lib, .emulated = wish->emulated, .fd = -1, .lock = -1};
    int r = prepare(&c, wish);

    *ret = (struct rh_kept_appliance){.lock = -1};
    if (r > 0)
        r = settle(&c, err);
    if (r > 0) {
        ret->folder = rh_printf("%s/%s", c.path, c.name);
        ret->lock = c.lock;
        c.lock = -1;
    }
    cache_free(&c);
    return r < 0 ? -1 : 0;
}

void rh_kept_condemn(const struct rh_kept_appliance *k)
{
    RH_AUTO(rh_freep) char *mark = rh_printf("%s/failed", k->folder);
    int fd RH_AUTO(rh_closep) =
        open(mark, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0)
        futimens(fd, NULL);
}

void rh_kept_give_back(struct rh_kept_appliance *k)
{
    free(RH_TAKE(k->folder));
    rh_closep(&k->lock);
    k->lock = -1;
}
