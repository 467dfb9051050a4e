/* source.c - what is it that was given: by its bytes, hardly ever by its name.
 *
 * A tar or zip is a place of its own; a compressed tar and a pipe are spooled
 * first; an .ovf, a .vmx and a bare disk look at the files beside them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/custom.h"
#include "base/limits.h"
#include "base/wait.h"
#include "package/container.h"
#include "package/tar.h"
#include "package/view.h"

enum { HEAD = 4096 };

struct head {
    uint8_t bytes[HEAD];
    size_t n;
};

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && rh_same_word(name + n - m, ending);
}

static bool is_raw_name(const char *name)
{
    return ends_in(name, ".img") || ends_in(name, ".raw");
}

/* --- by content --------------------------------------------------------------
 */

/* A tar of any use starts with a header; an empty one is all zeros. */
static bool looks_tar(const struct head *h)
{
    return h->n >= RH_TAR_BLOCK && rh_tar_probe(h->bytes);
}

static bool looks_xml(const struct head *h)
{
    static const char marks[][4] = {"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"};
    size_t at = 0;

    for (size_t i = 0; i < RH_COUNT(marks); i++)
        if (h->n >= strlen(marks[i]) &&
            !memcmp(h->bytes, marks[i], strlen(marks[i])))
            at = strlen(marks[i]);
    while (at < h->n && (isspace(h->bytes[at]) || h->bytes[at] == 0))
        at++; /* the zeros are of UTF-16 */
    return at < h->n && h->bytes[at] == '<';
}

static bool looks_vmx(const struct head *h)
{
    static const char *const words[] = {"config.version", "virtualHW.version",
                                        ".encoding", "displayName", "guestOS"};
    char text[HEAD + 1];

    if (memchr(h->bytes, 0, h->n))
        return false;
    memcpy(text, h->bytes, h->n);
    text[h->n] = '\0';
    for (size_t i = 0; i < RH_COUNT(words); i++) {
        const char *found = strcasestr(text, words[i]);

        if (found && strchr(found, '='))
            return true;
    }
    return false;
}

/* By the head alone, as long as the rest has not come. */
static bool looks_disk(const struct head *h)
{
    for (size_t i = 0; rh_format_at(i); i++)
        if (rh_format_at(i)->probe &&
            rh_format_at(i)->probe(h->bytes, h->n, NULL, INT64_MAX))
            return true;
    return false;
}

static bool looks_known(const struct head *h)
{
    return looks_tar(h) || rh_zip_probe(h->bytes, h->n) || looks_disk(h) ||
           looks_xml(h) || looks_vmx(h);
}

static int unknown(const char *name, const struct head *h, rh_error **err)
{
    rh_fail(err, RH_ERR_PACKAGE_UNKNOWN,
            !h->n ? N_("it is empty")
            : rh_all_zero(h->bytes, h->n)
                ? N_("it starts with nothing but zeros")
                : N_("its first bytes are no package and no disk that is "
                     "known"));
    return rh_error_subject(err, name);
}

/* --- descriptors in an archive or a folder ------------------------------- */

struct names {
    RH_VEC(char *) list;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->list.count; i++)
        free(n->list.items[i]);
    free(n->list.items);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "a, b, c ..." for a message. */
static char *enumerate(const struct names *n)
{
    enum { SHOWN = 10 };
    struct rh_buf b = {0};

    for (size_t i = 0; i < n->list.count && i < SHOWN; i++)
        rh_buf_printf(&b, "%s%s", i ? ", " : "", n->list.items[i]);
    if (n->list.count > SHOWN)
        rh_buf_puts(&b, " ...");
    return rh_buf_take(&b);
}

/* The one whose name ends so; 1 when there is none, -1 with several. */
static int the_only(struct names *all, const char *ending, char **ret_name,
                    rh_error **err)
{
    RH_AUTO(names_free) struct names found = {0};
    RH_AUTO(rh_freep) char *text = NULL;

    for (size_t i = 0; i < all->list.count; i++)
        if (ends_in(all->list.items[i], ending))
            *rh_vec_add(&found.list) = rh_strdup(all->list.items[i]);
    if (found.list.count == 0)
        return 1;
    if (found.list.count == 1) {
        *ret_name = rh_strdup(found.list.items[0]);
        return 0;
    }
    qsort(found.list.items, found.list.count, sizeof(char *), by_text);
    text = enumerate(&found);
    return rh_fail(err, RH_ERR_PACKAGE_SEVERAL,
                   "it holds %zu %s files where one belongs: %s",
                   found.list.count, ending, text);
}

static int choose_descriptor(struct rh_package *p, struct names *all,
                             rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    int got = the_only(all, ".ovf", &c->name, err);

    c->kind = RH_SOURCE_OVF;
    if (got == 1) {
        got = the_only(all, ".vmx", &c->name, err);
        c->kind = RH_SOURCE_VMX;
    }
    if (got == 1)
        return rh_fail(err, RH_ERR_PACKAGE_NO_DESCRIPTOR,
                       c->about.ended || !c->archive
                           ? N_("it holds no .ovf and no .vmx file")
                           : N_("it holds no .ovf file, and ends without the "
                                "mark of an archive's end"));
    if (got < 0)
        return -1;
    if (!c->archive)
        p->kind = c->kind == RH_SOURCE_OVF ? "ovf" : "vmx";
    c->io = rh_place_open(c->base, c->name, err);
    return c->io ? 0 : -1;
}

static int choose_in_archive(struct rh_package *p, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(names_free) struct names all = {0};
    const char *name;

    c->archive = true;
    for (size_t i = 0; (name = rh_place_name(c->base, i)); i++)
        *rh_vec_add(&all.list) = rh_strdup(name);
    return choose_descriptor(p, &all, err);
}

static void dir_freep(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int open_folder(struct rh_package *p, const char *path, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    RH_AUTO(names_free) struct names all = {0};
    RH_AUTO(dir_freep) DIR *d = opendir(path);
    struct dirent *entry;

    if (!d)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot list the folder");
    while ((entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue; /* hidden ones, and macOS's forks, which are ._NAME */
        if (all.list.count == RH_LIMIT_MEMBERS)
            return rh_fail(err, RH_ERR_PACKAGE_LIMIT,
                           "the folder holds more than %d files",
                           RH_LIMIT_MEMBERS);
        *rh_vec_add(&all.list) = rh_strdup(entry->d_name);
    }
    c->base = rh_place_folder(path, err);
    return c->base ? choose_descriptor(p, &all, err) : -1;
}

/* --- one file ------------------------------------------------------------ */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* The folder that a file lies in, for the files beside it. */
static int look_beside(struct rh_package *p, const char *path, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const char *slash = path ? strrchr(path, '/') : NULL;
    RH_AUTO(rh_freep) char *folder = NULL;

    if (!path) {
        c->base = rh_place_nothing(p->path);
        return 0;
    }
    folder = !slash          ? rh_strdup(".")
             : slash == path ? rh_strdup("/")
                             : rh_strndup(path, (size_t)(slash - path));
    c->base = rh_place_folder(folder, err);
    return c->base ? 0 : -1;
}

/* `path` is NULL when nothing can lie beside it. */
static int take_file(struct rh_package *p, struct rh_io *io,
                     enum rh_source_kind kind, const char *path, rh_error **err)
{
    static const char *const kinds[] = {"ovf", "vmx", "disk"};
    struct rh_container *c = rh_container_of(p);

    c->kind = kind;
    c->io = rh_io_ref(io);
    c->name = rh_strdup(last_part(path ? path : io->name));
    p->kind = kinds[kind];
    return look_beside(p, path, err);
}

static int take_archive(struct rh_package *p, struct rh_io *io, bool zip,
                        rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    if (zip)
        p->kind = "ova.zip";
    c->base = zip ? rh_zip_open(p->lib, io, &c->about, err)
                  : rh_tar_open(p->lib, io, &c->about, err);
    return c->base ? choose_in_archive(p, err) : -1;
}

/* `p->kind` may say "ova.gz" already: it holds for archives. */
static int take_plain(struct rh_package *p, struct rh_io *io, const char *path,
                      const struct head *h, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    rh_error *cause = NULL;

    if (looks_tar(h))
        return take_archive(p, io, false, err);
    if (rh_zip_probe(h->bytes, h->n))
        return take_archive(p, io, true, err);
    if (rh_format_probe(io, &cause))
        return take_file(p, io, RH_SOURCE_DISK, path, err);
    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (looks_xml(h))
        return take_file(p, io, RH_SOURCE_OVF, path, err);
    if (looks_vmx(h))
        return take_file(p, io, RH_SOURCE_VMX, path, err);
    if (io->size && is_raw_name(io->name)) {
        c->raw = !rh_format_foreign(io); /* or it says what it is */
        return take_file(p, io, RH_SOURCE_DISK, path, err);
    }
    return unknown(io->name, h, err);
}

static int read_head(struct rh_io *io, struct head *ret, rh_error **err)
{
    ret->n = (size_t)RH_MIN(io->size, (uint64_t)HEAD);
    return rh_io_read(io, ret->bytes, ret->n, 0, err);
}

/* --- forward only: spooled ----------------------------------------------- */

/* A stream whose first bytes were read already. */
struct begun {
    struct head head;
    size_t given;
    struct rh_stream *rest;
};

static int begun_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                      rh_error **err)
{
    struct begun *b = s->state;
    size_t left = b->head.n - b->given;

    if (!left)
        return rh_stream_read(b->rest, buf, n, ret_n, err);
    n = RH_MIN(n, left);
    memcpy(buf, b->head.bytes + b->given, n);
    b->given += n;
    *ret_n = n;
    return 0;
}

static void begun_close(struct rh_stream *s)
{
    struct begun *b = s->state;

    rh_stream_close(b->rest);
    free(b);
}

/* Takes `s`. */
static struct rh_stream *begin(struct rh_stream *s, const struct head **ret,
                               rh_error **err)
{
    static const struct rh_stream_ops ops = {begun_read, begun_close};
    struct begun *b = rh_new0(struct begun);
    struct rh_stream *made = rh_stream_over(&ops, s, b);
    size_t n = 1;

    b->rest = s;
    while (n && b->head.n < HEAD) {
        if (rh_stream_read(s, b->head.bytes + b->head.n, HEAD - b->head.n, &n,
                           err) < 0) {
            rh_stream_close(made);
            return NULL;
        }
        b->head.n += n;
    }
    *ret = &b->head;
    return made;
}

static const char *kind_of(const char *codec)
{
    static const char *const kinds[][2] = {
        {"gzip", "ova.gz"},
        {"xz", "ova.xz"},
        {"zstd", "ova.zst"},
        {"bzip2", "ova.bz2"},
    };

    for (size_t i = 0; codec && i < RH_COUNT(kinds); i++)
        if (!strcmp(kinds[i][0], codec))
            return kinds[i][1];
    return "ova";
}

/* What it is must show in its first bytes, before all of it is stored.  Takes
 * `s`. */
static int take_stream(struct rh_package *p, struct rh_stream *s,
                       rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *plain = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *name = rh_strdup(s->name);
    const struct head *head;
    const char *codec = NULL;
    struct head h;
    uint64_t limit = p->lib && p->lib->max_disk_size ? p->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;

    plain = rh_stream_unpack(s, &codec, err);
    if (plain)
        plain = begin(RH_TAKE(plain), &head, err);
    if (!plain)
        return -1;
    p->kind = kind_of(codec);
    if (!looks_known(head))
        return unknown(name, head, err);
    h = *head;
    io = rh_spool(p->lib, plain, limit, err);
    return io ? take_plain(p, io, NULL, &h, err) : -1;
}

static int take_io(struct rh_package *p, struct rh_io *io, const char *path,
                   rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;
    const char *codec = NULL;
    struct head h;

    if (read_head(io, &h, err) < 0)
        return -1;
    if (looks_tar(&h))
        return take_plain(p, io, path, &h, err);
    s = rh_stream_unpack(rh_stream_io(io), &codec, err);
    if (!s)
        return -1;
    if (!codec)
        return take_plain(p, io, path, &h, err);
    rh_stream_close(RH_TAKE(s));
    return take_stream(p, rh_stream_io(io), err);
}

/* --- the whole ----------------------------------------------------------- */

static int open_stdin(struct rh_package *p, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "standard input cannot be read");
    /* `rehost ... - <file.ova` is a file all the same. */
    if (!S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0)
        return take_stream(p, rh_stream_fd(p->lib, fd, "-"), err);
    io = rh_io_fd(fd, "-", err);
    return io ? take_io(p, io, NULL, err) : -1;
}

static int open_pipe(struct rh_package *p, const char *path, rh_error **err)
{
    int fd = rh_wait_open(p->lib, path, O_RDONLY, err);

    return fd < 0 ? -1 : take_stream(p, rh_stream_fd(p->lib, fd, path), err);
}

static int open_url(struct rh_package *p, const char *url, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;

    if (!rh_is_url(url)) {
        rh_fail(err, RH_ERR_USAGE, "only http:// and https:// are read from");
        return rh_error_subject(err, url);
    }
    io = rh_io_http(p->lib, url, err);
    if (!io)
        return -1;
    return take_io(p, io, NULL, err);
}

int rh_source_open(struct rh_package *p, const char *source, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct stat st;

    p->kind = "ova";
    if (!strcmp(source, "-"))
        return open_stdin(p, err);
    if (strstr(source, "://"))
        return open_url(p, source, err);
    if (rh_is_custom(source)) {
        io = rh_custom_io(p->lib, source, err);
        return io ? take_io(p, io, NULL, err) : -1;
    }
    if (stat(source, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
    if (S_ISDIR(st.st_mode))
        return open_folder(p, source, err);
    if (S_ISFIFO(st.st_mode))
        return open_pipe(p, source, err);
    io = rh_io_file_at(AT_FDCWD, source, 0, err);
    return io ? take_io(p, io, source, err) : -1;
}
