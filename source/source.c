/* source.c - packages: a tar or zip is a place of its own; a compressed tar and
 * a pipe are spooled first; a descriptor and bare disks look at the files
 * beside them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "live/live.h"
#include "package/container.h"
#include "package/tar.h"
#include "package/view.h"

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && rh_same_word(name + n - m, ending);
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
static int the_only(const struct names *all, const char *ending, bool archive,
                    char **ret_name, rh_error **err)
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
    rh_fail(err, RH_ERR_PACKAGE_SEVERAL,
            "it holds %zu %s files where one belongs: %s", found.list.count,
            ending, text);
    return archive ? rh_hint(err, "unpack it, and give the path of the one "
                                  "that is meant")
                   : -1;
}

/* Hyper-V's export: folders of these names, .vmcx files. */
static bool is_hyper_v(const struct names *all)
{
    for (size_t i = 0; i < all->list.count; i++)
        if (ends_in(all->list.items[i], ".vmcx") ||
            !strcmp(all->list.items[i], "Virtual Hard Disks"))
            return true;
    return false;
}

static int no_descriptor(const struct rh_package *p, const struct names *all,
                         rh_error **err)
{
    const struct rh_container *c = rh_container_of(p);

    if (is_hyper_v(all)) {
        rh_fail(err, RH_ERR_PACKAGE_NO_DESCRIPTOR,
                "it is an export of Hyper-V, whose configuration is not read");
        return rh_hint(err, "give its disks as one VM, and the rest by --fill "
                            "or --set: rehost convert A.vhdx B.vhdx ...");
    }
    return rh_fail(err, RH_ERR_PACKAGE_NO_DESCRIPTOR,
                   c->about.ended || !c->archive
                       ? N_("it holds no .ovf, .vmx or .vbox file")
                       : N_("it holds no .ovf file, and ends without the "
                            "mark of an archive's end"));
}

/* Its bytes must be what its name says, as .xml may be anything. */
static int take_descriptor(struct rh_package *p, const struct rh_descriptor *d,
                           rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    struct rh_head h;

    c->io = rh_place_open(c->base, c->name, err);
    if (!c->io || rh_head_read(c->io, &h, err) < 0)
        return -1;
    c->descriptor = rh_descriptor_of((const char *)h.bytes, h.n);
    c->descriptor = c->descriptor ? c->descriptor : d;
    if (!c->archive)
        p->kind = c->descriptor->name;
    return 0;
}

static int choose_descriptor(struct rh_package *p, const struct names *all,
                             rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_descriptor *d;

    for (size_t i = 0; (d = rh_descriptor_at(i)); i++) {
        int got = the_only(all, d->ending, c->archive, &c->name, err);

        if (got < 0)
            return -1;
        if (got == 0)
            return take_descriptor(p, d, err);
    }
    return no_descriptor(p, all, err);
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

/* `path` is NULL when nothing can lie beside it; `d` NULL: a bare disk. */
static int take_file(struct rh_package *p, struct rh_io *io,
                     const struct rh_descriptor *d, const char *path,
                     rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    c->descriptor = d;
    c->io = rh_io_ref(io);
    c->name = rh_strdup(last_part(path ? path : io->name));
    p->kind = d ? d->name : "disk";
    return look_beside(p, path, err);
}

/* A workbook is a zip; of its kinds RVTools' alone describes VMs. */
static bool is_workbook(struct rh_place *zip)
{
    const char *name;

    for (size_t i = 0; (name = rh_place_name(zip, i)); i++)
        if (!strcmp(name, "xl/workbook.xml"))
            return true;
    return false;
}

static int take_archive(struct rh_package *p, struct rh_io *io,
                        const char *path, bool zip, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    if (zip)
        p->kind = "ova.zip";
    c->base = zip ? rh_zip_open(p->lib, io, &c->about, err)
                  : rh_tar_open(p->lib, io, &c->about, err);
    if (zip && c->base && is_workbook(c->base)) {
        rh_place_close(RH_TAKE(c->base));
        return take_file(p, io, rh_descriptor_named("rvtools"), path, err);
    }
    return c->base ? choose_in_archive(p, err) : -1;
}

/* What nothing shows by content, but a name, a device or an option says. */
static const char *said_format(const struct rh_package *p, struct rh_io *io,
                               bool device)
{
    if (p->source_format)
        return p->source_format;
    if (!io->size || rh_format_foreign(io))
        return NULL;
    return device || rh_format_raw_name(io->name) ? "raw" : NULL;
}

/* `p->kind` may say "ova.gz" already: it holds for archives. */
static int take_plain(struct rh_package *p, struct rh_io *io, const char *path,
                      bool device, const struct rh_head *h, rh_error **err)
{
    struct rh_container *c = rh_container_of(p);
    const struct rh_descriptor *d = NULL;
    enum rh_content content = rh_content_of(h, &d);
    rh_error *cause = NULL;

    p->loose = io->loose;
    if (content == RH_CONTENT_TAR || content == RH_CONTENT_ZIP)
        return take_archive(p, io, path, content == RH_CONTENT_ZIP, err);
    if (rh_format_probe(io, &cause)) /* by its end, too */
        return take_file(p, io, NULL, path, err);
    if (cause) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        rh_error_free(cause);
        return -1;
    }
    if (d)
        return take_file(p, io, d, path, err);
    c->format = said_format(p, io, device);
    return c->format ? take_file(p, io, NULL, path, err)
                     : rh_content_refuse(io->name, h, err);
}

/* --- forward only: spooled ----------------------------------------------- */

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
    const char *codec = NULL;
    struct rh_head h;
    uint64_t limit = p->lib && p->lib->max_disk_size ? p->lib->max_disk_size
                                                     : RH_LIMIT_DISK_SIZE;

    plain = rh_stream_unpack(s, &codec, err);
    if (plain)
        plain = rh_head_peek(RH_TAKE(plain), &h, err);
    if (!plain)
        return -1;
    p->kind = kind_of(codec);
    if (rh_content_of(&h, NULL) == RH_CONTENT_UNKNOWN && !p->source_format)
        return rh_content_refuse(name, &h, err);
    io = rh_spool(p->lib, plain, limit, err);
    return io ? take_plain(p, io, NULL, false, &h, err) : -1;
}

/* What a guest wrote at its disk's start does not decide what it is. */
static int take_export(struct rh_package *p, const struct rh_bytes *b,
                       rh_error **err)
{
    struct rh_container *c = rh_container_of(p);

    c->format = p->source_format ? p->source_format : "raw";
    if (take_file(p, b->io, NULL, NULL, err) < 0)
        return -1;
    free(c->name);
    c->name = rh_strdup(b->name);
    return 0;
}

static int take_io(struct rh_package *p, const struct rh_bytes *b,
                   rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;
    const char *codec = NULL;
    struct rh_head h;

    if (b->plain)
        return take_export(p, b, err);
    if (rh_head_read(b->io, &h, err) < 0)
        return -1;
    if (rh_content_of(&h, NULL) == RH_CONTENT_TAR)
        return take_plain(p, b->io, b->path, false, &h, err);
    s = rh_stream_unpack(rh_stream_io(b->io), &codec, err);
    if (!s)
        return -1;
    if (!codec)
        return take_plain(p, b->io, b->path, b->device, &h, err);
    rh_stream_close(RH_TAKE(s));
    return take_stream(p, rh_stream_io(b->io), err);
}

/* --tls-ca is of both sides where only this one is remote. */
static const char *ca_file_of(const struct rh_package_options *o)
{
    const char *file = rh_option(o->all, "source-tls-ca");
    const char *out = rh_option(o->all, "out");

    return file || (out && strstr(out, "://")) ? file
                                               : rh_option(o->all, "tls-ca");
}

/* --- the whole ----------------------------------------------------------- */

int rh_source_open(struct rh_package *p, const char *source,
                   const struct rh_package_options *o, rh_error **err)
{
    RH_AUTO(rh_bytes_free) struct rh_bytes b = {0};

    if (rh_live_is(source))
        return rh_live_package(p, source, o, err);
    p->kind = "ova";
    if (rh_bytes_open(p->lib, source, ca_file_of(o), &b, err) < 0)
        return -1;
    if (b.folder)
        return open_folder(p, b.folder, err);
    return b.stream ? take_stream(p, RH_TAKE(b.stream), err)
                    : take_io(p, &b, err);
}
