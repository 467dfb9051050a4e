/* drivers.c - find the right driver for a Windows among those that are given.
 *
 * virtio-win has DRIVER/SYSTEM/PROCESSOR/ (the ISO) or by-os/PROCESSOR/SYSTEM/
 * (the RPM).  Where the guest's own system has no folder, the next older one of
 * its kind is taken, never a newer one. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/drivers.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sign.h"
#include "guestfix/windows/inf.h"

enum { FILE_MAX = 32 * 1024 * 1024, FILES_MAX = 64, ENTRIES_MAX = 20000 };

void rh_win_files_free(struct rh_win_files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].name);
        free(f->items[i].bytes);
    }
    free(f->items);
    *f = (struct rh_win_files){0};
}

const struct rh_win_file *rh_win_file_named(const struct rh_win_files *f,
                                            const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (!strcasecmp(f->items[i].name, name))
            return &f->items[i];
    return NULL;
}

/* --- which folder ------------------------------------------------------------
 * Newest first; a guest starts at its own row and goes on downwards. */
static const struct {
    bool server;
    unsigned build; /* from this one on */
    const char *folder;
} systems[] = {
    {true, 26100, "2k25"}, {true, 20348, "2k22"},  {true, 17763, "2k19"},
    {true, 14393, "2k16"}, {true, 9600, "2k12R2"}, {true, 9200, "2k12"},
    {true, 7600, "2k8R2"}, {true, 6000, "2k8"},    {false, 22000, "w11"},
    {false, 10240, "w10"}, {false, 9600, "w8.1"},  {false, 9200, "w8"},
    {false, 7600, "w7"},   {false, 6000, "2k8"},
};

static bool is_server(const struct rh_windows *w)
{
    return w->kind && !strcmp(w->kind, "server");
}

/* The least build that a driver's folder may be made for: drivers of 10 do not
 * fall back to those of 8, which are signed for tests alone. */
static unsigned floor_of(unsigned build)
{
    return build >= 10240 ? 10240 : build >= 9200 ? 9200 : 6000;
}

static const char *arch_of(const struct rh_windows *w, size_t i)
{
    static const char *const names[][2] = {
        {"amd64", NULL}, {"x86", "i386"}, {"ARM64", NULL}};
    const char *a = w->architecture ? w->architecture : "";
    size_t row = !strcmp(a, "x86_64") ? 0 : !strcmp(a, "x86") ? 1 : 2;

    return i < 2 && (row < 2 || !strcmp(a, "aarch64")) ? names[row][i] : NULL;
}

/* How well does a folder fit (1: best)?  0: not at all. */
static unsigned rank(const struct rh_windows *w, const char *driver,
                     const char *folder)
{
    for (size_t i = 0; i < RH_COUNT(systems); i++) {
        if (systems[i].server != is_server(w) || systems[i].build > w->build ||
            systems[i].build < floor_of(w->build))
            continue;
        for (size_t a = 0; arch_of(w, a); a++) {
            const char *arch = arch_of(w, a), *os = systems[i].folder;
            RH_AUTO(rh_freep)
            char *iso = rh_printf("%s/%s/%s", driver, os, arch);
            RH_AUTO(rh_freep) char *by_arch = rh_printf("%s/%s", arch, os);

            if (!strcasecmp(folder, iso))
                return (unsigned)i + 1;
            if (!strcasecmp(folder, by_arch)) /* of all drivers */
                return RH_COUNT(systems) + (unsigned)i + 1;
        }
    }
    return *folder ? 0 : 2 * RH_COUNT(systems) + 1; /* a plain folder */
}

/* --- gathering ---------------------------------------------------------------
 */
struct search {
    const struct rh_windows *w;
    const char *driver, *inf; /* its folder, and its file without ".inf" */
    const char *one;          /* or NULL: only the file of that name */
    unsigned best;            /* rank of what was found so far; 0: nothing */
    struct rh_win_files files;
};

/* Which files of the folder belong to it. */
static bool is_wanted(const struct search *s, const char *name,
                      unsigned rank_of)
{
    static const char *const skipped[] = {".pdb", ".mof", ".zip"};
    size_t n = strlen(name);

    for (size_t i = 0; i < RH_COUNT(skipped); i++)
        if (n > 4 && !strcasecmp(name + n - 4, skipped[i]))
            return false;
    if (!strncasecmp(name, "vioprot", 7))
        return false;
    /* by-os and plain folders hold those of all drivers. */
    return rank_of <= RH_COUNT(systems) ||
           !strncasecmp(name, s->inf, strlen(s->inf));
}

/* The folder of a path, without what stands before the layout. */
static const char *layout_of(const char *folder)
{
    static const char *const fronts[] = {"drivers/by-os/", "by-os/",
                                         "drivers/by-driver/", "by-driver/"};

    for (size_t i = 0; i < RH_COUNT(fronts); i++)
        if (!strncasecmp(folder, fronts[i], strlen(fronts[i])))
            return folder + strlen(fronts[i]);
    return folder;
}

/* True: the file in `path` (below the root given) is to be read. */
static bool begin_file(struct search *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    RH_AUTO(rh_freep)
    char *folder = rh_strndup(path, slash ? (size_t)(slash - path) : 0);
    unsigned r = s->one ? 0 : rank(s->w, s->driver, layout_of(folder));

    if (s->one)
        return !s->files.count && !strcasecmp(slash ? slash + 1 : path, s->one);
    if (!r || (s->best && r > s->best) ||
        !is_wanted(s, slash ? slash + 1 : path, r))
        return false;
    if (s->best != r)
        rh_win_files_free(&s->files);
    s->best = r;
    return s->files.count < FILES_MAX;
}

static void take_file(struct search *s, const char *path, void *bytes, size_t n)
{
    const char *slash = strrchr(path, '/');
    struct rh_win_file *f = rh_vec_add(&s->files);

    f->name = rh_strdup(slash ? slash + 1 : path);
    f->bytes = bytes;
    f->n = n;
}

/* --- a folder ----------------------------------------------------------------
 */
static int read_file(struct search *s, const char *root, const char *path,
                     rh_error **err)
{
    RH_AUTO(rh_freep) char *full = rh_printf("%s/%s", root, path);
    RH_AUTO(rh_closep) int fd = open(full, O_RDONLY | O_CLOEXEC);
    RH_AUTO(rh_freep) char *bytes = NULL;
    struct stat st;
    ssize_t got;

    if (fd < 0 || fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "%s", full);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return 0;
    bytes = rh_malloc((size_t)st.st_size + 1);
    got = pread(fd, bytes, (size_t)st.st_size, 0);
    if (got != st.st_size)
        return rh_fail_errno(err, RH_ERR_FILE_READ, errno, "%s", full);
    take_file(s, path, RH_TAKE(bytes), (size_t)got);
    return 0;
}

static int walk(struct search *s, const char *root, const char *below,
                unsigned depth, size_t *left, rh_error **err)
{
    RH_AUTO(rh_freep) char *full = rh_printf("%s/%s", root, below);
    struct dirent **all = NULL;
    int n = scandir(full, &all, NULL, alphasort), r = 0;

    if (n < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "%s", full);
    for (int i = 0; i < n; i++) {
        const char *name = all[i]->d_name;
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s%s%s", below, *below ? "/" : "", name);
        RH_AUTO(rh_freep) char *whole = rh_printf("%s/%s", root, path);
        struct stat st;

        if (r == 0 && *name != '.' && *left && lstat(whole, &st) == 0) {
            --*left;
            if (S_ISDIR(st.st_mode) && depth < 5)
                r = walk(s, root, path, depth + 1, left, err);
            else if (S_ISREG(st.st_mode) && begin_file(s, path))
                r = read_file(s, root, path, err);
        }
        free(all[i]);
    }
    free(all);
    return r;
}

/* --- an ISO image ------------------------------------------------------------
 */
static void archive_freep(struct archive **a)
{
    archive_read_free(*a);
}

static int read_image(struct search *s, const char *path, rh_error **err)
{
    RH_AUTO(archive_freep) struct archive *a = archive_read_new();
    struct archive_entry *e;
    size_t left = ENTRIES_MAX;
    int r = 0;

    archive_read_support_format_iso9660(a);
    if (archive_read_open_filename(a, path, 65536) != ARCHIVE_OK)
        return rh_fail(err, RH_ERR_FILE_OPEN, "%s: %s", path,
                       archive_error_string(a));
    while (left-- && (r = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(e);
        int64_t n = archive_entry_size(e);
        RH_AUTO(rh_freep) char *bytes = NULL;

        if (!name || archive_entry_filetype(e) != AE_IFREG || n < 0 ||
            n > FILE_MAX || !begin_file(s, name))
            continue;
        bytes = rh_malloc((size_t)n + 1);
        if (archive_read_data(a, bytes, (size_t)n) != n)
            return rh_fail(err, RH_ERR_FILE_READ, "%s: cannot read %s", path,
                           name);
        take_file(s, name, RH_TAKE(bytes), (size_t)n);
    }
    return r == ARCHIVE_EOF || !left ? 0
                                     : rh_fail(err, RH_ERR_FILE_READ, "%s: %s",
                                               path, archive_error_string(a));
}

static int look(struct search *s, const char *where, rh_error **err)
{
    size_t left = ENTRIES_MAX;
    struct stat st;

    if (stat(where, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "%s", where);
    return S_ISDIR(st.st_mode) ? walk(s, where, "", 0, &left, err)
                               : read_image(s, where, err);
}

int rh_win_drivers_file(const char *where, const char *name,
                        struct rh_win_files *ret, rh_error **err)
{
    struct search s = {.one = name};
    int r = look(&s, where, err);

    if (r < 0)
        rh_win_files_free(&s.files);
    *ret = s.files;
    return r;
}

int rh_win_drivers_find(const struct rh_windows *w, const char *where,
                        const char *driver, const char *inf,
                        struct rh_win_files *ret, rh_error **err)
{
    struct search s = {.w = w, .driver = driver, .inf = inf};
    RH_AUTO(rh_freep) char *file = rh_printf("%s.inf", inf);
    int r;

    memset(ret, 0, sizeof *ret);
    r = look(&s, where, err);
    /* Without its .inf it is no driver. */
    if (r < 0 || !rh_win_file_named(&s.files, file))
        rh_win_files_free(&s.files);
    *ret = s.files;
    return r;
}

static const char *reason_of(const struct rh_windows *w, enum rh_pe_trust t)
{
    switch (t) {
    case RH_PE_UNSIGNED:
        return _("it is not signed");
    case RH_PE_TEST:
        return w->testsigning
                   ? NULL
                   : _("it is signed for tests only (by its own certificate)");
    case RH_PE_UNKNOWN:
        return _("its signature does not lead to Microsoft");
    case RH_PE_CHANGED:
        return _("its signature is not one of this file, which was changed or "
                 "damaged");
    default:
        return NULL;
    }
}

/* 32-bit Windows loads unsigned drivers. */
static bool loads_anything(const struct rh_windows *w)
{
    return w->architecture && !strcmp(w->architecture, "x86");
}

/* Another processor's driver would be put in all right, and then stop Windows.
 */
static bool is_for_processor(const struct rh_windows *w,
                             const struct rh_win_file *sys)
{
    static const struct {
        const char *architecture;
        uint16_t machine;
    } all[] = {{"x86_64", 0x8664}, {"x86", 0x14c}, {"aarch64", 0xaa64}};
    uint16_t machine = rh_sign_pe_machine(sys->bytes, sys->n);

    for (size_t i = 0; w->architecture && i < RH_COUNT(all); i++)
        if (!strcmp(w->architecture, all[i].architecture))
            return machine == all[i].machine;
    return true;
}

const char *rh_win_driver_refusal(const struct rh_windows *w,
                                  const struct rh_win_file *sys)
{
    if (!is_for_processor(w, sys))
        return _("it is made for another processor");
    return loads_anything(w) ? NULL
                             : reason_of(w, rh_sign_pe(sys->bytes, sys->n));
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n > m && !strcasecmp(name + n - m, end);
}

static bool is_for_windows(const struct rh_windows *w,
                           const struct rh_win_file *inf)
{
    struct rh_inf_for who = {arch_of(w, 0), w->major, w->minor, w->build};

    return !who.architecture || rh_inf_fits(inf->bytes, inf->n, &who);
}

const char *rh_win_inf_refusal(const struct rh_windows *w,
                               const struct rh_win_files *f, const char *inf)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s.inf", inf);
    const struct rh_win_file *row = rh_win_file_named(f, name);

    return row && !is_for_windows(w, row)
               ? _("its .inf is made for another Windows")
               : NULL;
}

const char *rh_win_package_refusal(const struct rh_windows *w,
                                   const struct rh_win_files *f,
                                   const char *inf)
{
    const struct rh_win_file *row = rh_win_file_named(f, inf), *cat = NULL;

    for (size_t i = 0; !cat && i < f->count; i++)
        if (has_end(f->items[i].name, ".cat"))
            cat = &f->items[i];
    if (loads_anything(w) || !row)
        return NULL;
    if (!cat)
        return _("there is no catalog (.cat) that signs its package");
    return reason_of(w,
                     rh_sign_catalog(cat->bytes, cat->n, row->bytes, row->n));
}
