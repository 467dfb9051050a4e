/* archive.c - archives as places; zip and sparse members by libarchive.
 *
 * What is stored as one run of bytes is a slice of the archive.  The rest is
 * unpacked into an unlinked temporary file when it is first opened, and kept
 * until the archive is closed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"

/* --- libarchive over an rh_io -------------------------------------------- */

struct feed {
    struct rh_io *io;
    uint64_t at;
    rh_error *error; /* the cause, when reading the archive failed */
    char buf[64 * 1024];
};

static la_ssize_t feed_read(struct archive *a, void *user, const void **ret)
{
    struct feed *f = user;
    size_t n = (size_t)RH_MIN((uint64_t)sizeof f->buf, f->io->size - f->at);

    if (rh_io_read(f->io, f->buf, n, f->at, &f->error) < 0) {
        archive_set_error(a, EIO, "reading failed");
        return -1;
    }
    f->at += n;
    *ret = f->buf;
    return (la_ssize_t)n;
}

static la_int64_t feed_seek(struct archive *a, void *user, la_int64_t offset,
                            int whence)
{
    struct feed *f = user;
    uint64_t from = whence == SEEK_SET   ? 0
                    : whence == SEEK_CUR ? f->at
                                         : f->io->size;
    uint64_t to = from + (uint64_t)offset; /* wraps as it should */

    (void)a;
    if (to > f->io->size)
        return ARCHIVE_FATAL;
    f->at = to;
    return (la_int64_t)to;
}

static la_int64_t feed_skip(struct archive *a, void *user, la_int64_t n)
{
    struct feed *f = user;
    uint64_t part = RH_MIN((uint64_t)n, f->io->size - f->at);

    (void)a;
    f->at += part;
    return (la_int64_t)part;
}

static void archive_freep(struct archive **a)
{
    if (*a)
        archive_read_free(*a);
}

static void feed_freep(struct feed **f)
{
    if (*f)
        rh_error_free((*f)->error);
    free(*f);
}

/* libarchive turns names into the locale's characters; ours must stay UTF-8
 * whatever the locale is. */
static locale_t use_utf8(void)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

    return utf8 ? uselocale(utf8) : (locale_t)0;
}

static void use_back(locale_t *before)
{
    locale_t mine;

    if (!*before)
        return;
    mine = uselocale(*before);
    if (mine != LC_GLOBAL_LOCALE)
        freelocale(mine);
}

static int failed(const struct rh_archive *s, struct archive *a, struct feed *f,
                  rh_error **err)
{
    const char *why = archive_error_string(a);

    if (f->error) {
        if (err && !*err)
            *err = RH_TAKE(f->error);
        return -1;
    }
    rh_fail(err, s->zip ? RH_ERR_PACKAGE_ZIP : RH_ERR_PACKAGE_TAR,
            "the archive does not read: %s", why ? why : "?");
    return rh_error_subject(err, s->io->name);
}

static struct archive *start(const struct rh_archive *s, struct feed *f,
                             rh_error **err)
{
    RH_AUTO(archive_freep) struct archive *a = archive_read_new();

    if (!a) {
        rh_fail(err, RH_ERR_MEMORY, "no memory for an archive's reader");
        return NULL;
    }
    if (s->zip) {
        archive_read_support_format_zip_seekable(a);
        archive_read_set_seek_callback(a, feed_seek);
    } else {
        archive_read_support_format_tar(a);
        archive_read_set_skip_callback(a, feed_skip);
    }
    archive_read_set_read_callback(a, feed_read);
    archive_read_set_callback_data(a, f);
    if (archive_read_open1(a) < ARCHIVE_WARN) {
        failed(s, a, f, err);
        return NULL;
    }
    return RH_TAKE(a);
}

/* --- unpacking a member -------------------------------------------------- */

/* Stand before the member's data. */
static int find_data(const struct rh_archive *s, struct archive *a,
                     struct feed *f, const struct rh_entry *e, rh_error **err)
{
    struct archive_entry *entry;
    uint64_t left = s->zip ? e->header : 0;

    do {
        if (rh_go_on(s->lib, err) < 0)
            return -1;
        if (archive_read_next_header(a, &entry) < ARCHIVE_WARN)
            return failed(s, a, f, err);
    } while (left--);
    if (archive_entry_size_is_set(entry) &&
        archive_entry_size(entry) == (la_int64_t)e->size)
        return 0;
    return rh_fail(err, s->zip ? RH_ERR_PACKAGE_ZIP : RH_ERR_PACKAGE_TAR,
                   "two readings of the archive differ on the member's size");
}

static int copy_data(const struct rh_archive *s, struct archive *a,
                     struct feed *f, const struct rh_entry *e, int fd,
                     rh_error **err)
{
    const void *bytes;
    la_int64_t offset;
    size_t n;
    int got;

    while ((got = archive_read_data_block(a, &bytes, &n, &offset)) !=
           ARCHIVE_EOF) {
        if (rh_go_on(s->lib, err) < 0)
            return -1;
        if (got < ARCHIVE_WARN)
            return failed(s, a, f, err);
        if (offset < 0 || (uint64_t)offset > e->size ||
            n > e->size - (uint64_t)offset)
            return rh_fail(err, RH_ERR_STREAM_LIMIT,
                           "it unpacks to more than the %llu bytes announced",
                           (unsigned long long)e->size);
        if (rh_temp_write(s->lib, fd, bytes, n, (uint64_t)offset, e->name,
                          err) < 0)
            return -1;
        rh_progress(s->lib, "spool", (uint64_t)offset + n, e->size);
    }
    return 0;
}

static struct rh_io *unpack_to(const struct rh_archive *s,
                               const struct rh_entry *e, struct feed *f,
                               rh_error **err)
{
    RH_AUTO(use_back) locale_t before = use_utf8();
    RH_AUTO(archive_freep) struct archive *a = start(s, f, err);
    RH_AUTO(rh_closep) int fd = -1;
    int taken;

    (void)before;
    if (!a || find_data(s, a, f, e, err) < 0)
        return NULL;
    fd = rh_temp_file(s->lib, err);
    if (fd < 0 || copy_data(s, a, f, e, fd, err) < 0)
        return NULL;
    if (ftruncate(fd, (off_t)e->size) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "unpacking failed");
        return NULL;
    }
    taken = fd;
    fd = -1;
    return rh_io_fd(taken, e->name, err);
}

static struct rh_io *unpack(const struct rh_archive *s,
                            const struct rh_entry *e, rh_error **err)
{
    RH_AUTO(feed_freep) struct feed *f = rh_new0(struct feed);
    uint64_t limit = s->lib && s->lib->max_disk_size ? s->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;

    if (e->size > limit) {
        rh_fail(err, RH_ERR_STREAM_LIMIT,
                "it claims %llu bytes, more than the limit of %llu",
                (unsigned long long)e->size, (unsigned long long)limit);
        return NULL;
    }
    f->io = s->io;
    f->at = s->zip ? 0 : e->header;
    return unpack_to(s, e, f, err);
}

/* --- the place ----------------------------------------------------------- */

struct rh_archive *rh_archive_new(rh_lib *lib, struct rh_io *io)
{
    struct rh_archive *a = rh_new0(struct rh_archive);

    a->lib = lib;
    a->io = rh_io_ref(io);
    rh_index_init(&a->index);
    return a;
}

void rh_archive_free(struct rh_archive *a)
{
    rh_index_free(&a->index);
    rh_io_unref(a->io);
    free(a);
}

static struct rh_io *place_open(struct rh_place *p, const char *name,
                                rh_error **err)
{
    struct rh_archive *a = p->state;
    struct rh_entry *e = rh_index_find(&a->index, name);
    bool alike = !e;
    struct rh_io *io;

    if (!e)
        e = rh_index_near(&a->index, name);
    if (!e) {
        rh_fail(err, RH_ERR_FILE_NOT_FOUND, "the archive has no such member");
        rh_error_subject(err, name);
        return NULL;
    }
    if (!e->packed) {
        io = rh_io_slice(a->io, e->offset, e->size, e->name, err);
        if (io)
            io->alike = alike;
        return io;
    }
    if (!e->spool)
        e->spool = unpack(a, e, err);
    if (!e->spool) {
        rh_error_subject(err, name);
        return NULL;
    }
    return rh_io_ref(e->spool);
}

static const char *place_name(struct rh_place *p, size_t i)
{
    struct rh_archive *a = p->state;

    return i < a->index.entries.count ? a->index.entries.items[i].name : NULL;
}

static void place_close(struct rh_place *p)
{
    rh_archive_free(p->state);
}

struct rh_place *rh_archive_place(struct rh_archive *a)
{
    static const struct rh_place_ops ops = {place_open, place_name,
                                            place_close};
    struct rh_place *p = rh_new0(struct rh_place);

    p->ops = &ops;
    p->name = rh_strdup(a->io->name);
    p->state = a;
    return p;
}

struct rh_index *rh_archive_index(const struct rh_place *p)
{
    struct rh_archive *a = p->state;

    return &a->index;
}

/* --- zip ----------------------------------------------------------------- */

bool rh_zip_probe(const void *head, size_t n)
{
    return n >= 4 && (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4));
}

static int check_kind(struct archive_entry *entry, const char *name,
                      rh_error **err)
{
    if (archive_entry_filetype(entry) != AE_IFREG ||
        archive_entry_hardlink(entry) || archive_entry_symlink(entry))
        return rh_fail(err, RH_ERR_PACKAGE_MEMBER_TYPE,
                       "the archive's member \"%s\" is no plain file", name);
    if (archive_entry_is_encrypted(entry))
        return rh_fail(err, RH_ERR_PACKAGE_ZIP,
                       "the archive's member \"%s\" is encrypted", name);
    if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
        return rh_fail(err, RH_ERR_PACKAGE_ZIP,
                       "the archive does not say how large \"%s\" is", name);
    return 0;
}

static int add_entry(struct rh_archive *s, struct archive_entry *entry,
                     uint64_t ordinal, rh_error **err)
{
    const char *name = archive_entry_pathname_utf8(entry);
    struct rh_entry *e;

    if (!name)
        name = archive_entry_pathname(entry);
    if (!name)
        return rh_fail(err, RH_ERR_PACKAGE_MEMBER_NAME,
                       "a member of the archive has no name that reads");
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return rh_index_count(&s->index, err);
    if (check_kind(entry, name, err) < 0 ||
        rh_index_add(&s->index, name, strlen(name), &e, err) < 0)
        return -1;
    if (!e)
        return 0;
    e->size = (uint64_t)archive_entry_size(entry);
    e->header = ordinal;
    e->packed = true;
    return 0;
}

static int read_zip(struct rh_archive *s, struct feed *f, rh_error **err)
{
    RH_AUTO(use_back) locale_t before = use_utf8();
    RH_AUTO(archive_freep) struct archive *a = start(s, f, err);
    struct archive_entry *entry;
    uint64_t ordinal = 0;
    int got;

    (void)before;
    if (!a)
        return -1;
    while ((got = archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
        if (rh_go_on(s->lib, err) < 0)
            return -1;
        if (got < ARCHIVE_WARN)
            return failed(s, a, f, err);
        if (add_entry(s, entry, ordinal++, err) < 0)
            return -1;
    }
    return rh_index_finish(&s->index, err);
}

struct rh_place *rh_zip_open(rh_lib *lib, struct rh_io *io,
                             struct rh_archive_about *ret_about, rh_error **err)
{
    RH_AUTO(rh_archive_freep)
    struct rh_archive *s = rh_archive_new(lib, io);
    RH_AUTO(feed_freep) struct feed *f = rh_new0(struct feed);

    s->zip = true;
    f->io = io;
    if (read_zip(s, f, err) < 0) {
        rh_error_subject(err, io->name);
        return NULL;
    }
    *ret_about = (struct rh_archive_about){.ended = true};
    return rh_archive_place(RH_TAKE(s));
}
