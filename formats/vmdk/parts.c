/* parts.c - from the descriptor to the files it names.
 *
 * A name is one component inside the place the disk came from; nothing else is
 * ever opened.  In an embedded descriptor the name is a label and means
 * nothing.  Parents are found the same way, and their content id must be the
 * one that the child remembers. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vmdk/vmdk.h"

/* --- names --------------------------------------------------------------- */

/* `name` as UTF-8, when the descriptor was written in another encoding (which
 * only a name that is no UTF-8 shows).  The caller frees. */
static char *decode_name(const struct vmdk_text *t, const char *name)
{
    size_t n = strlen(name), room = 4 * n + 1, left = room - 1;
    char *in = (char *)(uintptr_t)name, *out, *at;
    iconv_t how;

    if (rh_valid_utf8(name, n) || !t->encoding)
        return rh_strdup(name);
    how = iconv_open("UTF-8", t->encoding);
    if (how == (iconv_t)-1)
        return rh_strdup(name);
    out = at = rh_calloc(room, 1);
    if (iconv(how, &in, &n, &at, &left) == (size_t)-1) {
        free(out);
        out = rh_strdup(name);
    }
    iconv_close(how);
    return out;
}

/* Not of the server that has it, of a cancel, of this machine. */
static bool is_of_file(enum rh_error_id why)
{
    enum rh_error_class c = rh_error_class_of(why);

    return c != RH_CLASS_SERVICE && c != RH_CLASS_NETWORK &&
           c != RH_CLASS_AUTH && c != RH_CLASS_BUSY && c != RH_CLASS_MEMORY &&
           c != RH_CLASS_CANCELLED;
}

/* Open a neighbour.  What is wrong with it is the input's fault: missing and
 * unreadable files are told as `id`. */
static struct rh_io *open_name(struct rh_reader *r,
                               const struct rh_open_options *o,
                               const char *name, enum rh_error_id id,
                               const char *what, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *cause = NULL;
    struct rh_io *io;
    enum rh_error_id why;

    if (strchr(name, '/')) {
        rh_fail(err, RH_ERR_NAME_UNSAFE,
                "%s \"%s\" is not a plain name inside the package", _(what),
                name);
        return NULL;
    }
    if (!o->place) {
        rh_fail(err, id, "%s \"%s\" is needed, but the disk came alone",
                _(what), name);
        return NULL;
    }
    io = rh_reader_neighbour(r, o, name, &cause);
    if (io)
        return io;
    why = rh_error_number(cause);
    if (!is_of_file(why)) {
        if (err && !*err)
            *err = RH_TAKE(cause);
        return NULL;
    }
    rh_fail(err,
            (rh_error_class_of(why) == RH_CLASS_INPUT &&
             why != RH_ERR_FILE_ALIKE) ||
                    why == RH_ERR_OPEN_FILES
                ? why
                : id,
            "%s \"%s\": %s", _(what), name, rh_error_message(cause));
    return NULL;
}

/* --- extents of a text descriptor ---------------------------------------- */

static bool is_flat(const struct vmdk_line *line)
{
    return line->type == VMDK_FLAT || line->type == VMDK_VMFS;
}

static int in_line(const struct vmdk_line *line, rh_error **err)
{
    return rh_vmdk_in_line(line->number, line->at, err);
}

static int open_flat(struct vmdk_part *part, const struct vmdk_line *line,
                     rh_error **err)
{
    uint64_t end = line->offset + line->size; /* both below 2^62 */

    part->offset = line->offset;
    if (end <= part->io->size)
        return 0;
    return rh_fail(err, RH_ERR_VMDK_EXTENT,
                   "extent \"%s\" is too short (0x%llx to 0x%llx wanted, file "
                   "ends at 0x%llx)",
                   line->name, VMDK_X(line->offset), VMDK_X(end),
                   VMDK_X(part->io->size));
}

static int open_sparse(struct vmdk *v, struct vmdk_part *part,
                       const struct vmdk_line *line, rh_error **err)
{
    struct vmdk_map *(*open)(struct vmdk_cache *, struct rh_io *, rh_error **) =
        line->type == VMDK_SESPARSE     ? rh_vmdk_sesparse
        : line->type == VMDK_VMFSSPARSE ? rh_vmdk_cowd
                                        : rh_vmdk_hosted;

    part->map = open(&v->cache, part->io, err);
    if (!part->map)
        return -1;
    rh_io_unref(part->io);
    part->io = NULL;
    /* Rounded up to a grain, as in embedded descriptors. */
    if (part->map->size >= line->size &&
        part->map->size - line->size < part->map->grain)
        return 0;
    rh_fail(err, RH_ERR_VMDK_EXTENT,
            "extent \"%s\" should hold 0x%llx bytes, but its header (at 0x0) "
            "says 0x%llx",
            line->name, VMDK_X(line->size), VMDK_X(part->map->size));
    return in_line(line, err);
}

static int open_line(struct vmdk *v, const struct vmdk_line *line,
                     const struct rh_open_options *o, uint64_t start,
                     rh_error **err)
{
    struct vmdk_part *part = rh_vec_add(&v->parts);
    RH_AUTO(rh_freep) char *name = NULL;

    part->start = start;
    part->size = line->size;
    if (line->type == VMDK_ZERO)
        return 0;
    name = decode_name(&v->text, line->name);
    part->io = open_name(v->cache.reader, o, name, RH_ERR_VMDK_EXTENT,
                         N_("extent"), err);
    if (!part->io)
        return in_line(line, err);
    if (is_flat(line))
        return open_flat(part, line, err) < 0 ? in_line(line, err) : 0;
    return open_sparse(v, part, line, err);
}

static int read_text(struct rh_io *io, struct vmdk_text *ret, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;
    size_t n, end;

    if (io->size > RH_LIMIT_VMDK_TEXT)
        return rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor is larger than 1 MiB (0x%llx bytes)",
                       VMDK_X(io->size));
    if (rh_io_slurp(io, RH_LIMIT_VMDK_TEXT, &text, &n, err) < 0)
        return -1;
    end = strnlen(text, n);
    if (end < n &&
        (text[end] || memcmp(text + end, text + end + 1, n - end - 1) != 0))
        return rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                       "a NUL byte stands in the descriptor, at 0x%zx", end);
    return rh_vmdk_text_parse(text, n, 0, ret, err);
}

static int by_file(const void *a, const void *b)
{
    const struct vmdk_line *x = *(const struct vmdk_line *const *)a;
    const struct vmdk_line *y = *(const struct vmdk_line *const *)b;
    int order = strcmp(x->name, y->name);

    return order                   ? order
           : x->offset < y->offset ? -1
           : x->offset > y->offset ? 1
                                   : 0;
}

/* A file named by many lines would make a small package a huge disk, and cost
 * a look through its tables each time.  Flat files may be used in pieces. */
static int check_files(const struct vmdk_text *t, rh_error **err)
{
    RH_AUTO(rh_freep)
    const struct vmdk_line **files = rh_calloc(t->lines.count, sizeof *files);
    size_t n = 0;

    for (size_t i = 0; i < t->lines.count; i++)
        if (t->lines.items[i].name)
            files[n++] = &t->lines.items[i];
    qsort(files, n, sizeof *files, by_file);
    for (size_t i = 1; i < n; i++) {
        const struct vmdk_line *x = files[i - 1], *y = files[i];

        if (strcmp(x->name, y->name) != 0 ||
            (is_flat(x) && is_flat(y) && y->offset - x->offset >= x->size))
            continue;
        rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                "the same bytes of \"%s\" as in line %u", y->name,
                RH_MIN(x->number, y->number));
        return in_line(x->number > y->number ? x : y, err);
    }
    return 0;
}

static int check_lines(const struct rh_reader *r, const struct vmdk_text *t,
                       rh_error **err)
{
    if (t->size > rh_vmdk_limit(r))
        return rh_fail(err, RH_ERR_DISK_TOO_BIG,
                       "the descriptor's extents add up to %llu bytes, more "
                       "than the limit of %llu",
                       VMDK_X(t->size), VMDK_X(rh_vmdk_limit(r)));
    return check_files(t, err);
}

static int open_lines(struct rh_reader *r, const struct rh_open_options *o,
                      rh_error **err)
{
    struct vmdk *v = r->state;
    uint64_t start = 0;

    if (read_text(r->io, &v->text, err) < 0 ||
        check_lines(r, &v->text, err) < 0)
        return -1;
    for (size_t i = 0; i < v->text.lines.count; i++) {
        if (open_line(v, &v->text.lines.items[i], o, start, err) < 0)
            return -1;
        start += v->text.lines.items[i].size;
    }
    r->size = v->text.size;
    return 0;
}

/* --- a file that holds its descriptor ------------------------------------ */

/* VirtualBox rounds the header's capacity up to a grain; the extent line has
 * the true size, which VirtualBox itself uses. */
static int check_embedded(const struct vmdk_text *t,
                          const struct vmdk_header *h, rh_error **err)
{
    const struct vmdk_line *line = t->lines.items;

    if (strcmp(t->create_type, "monolithicSparse") != 0 &&
        strcmp(t->create_type, "streamOptimized") != 0)
        return rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor at 0x%llx has createType %s, but it "
                       "stands in a sparse file",
                       VMDK_X(h->descriptor), t->create_type);
    if (t->lines.count != 1 || line->type != VMDK_SPARSE)
        return rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor at 0x%llx names other extents than the "
                       "file it stands in",
                       VMDK_X(h->descriptor));
    if (line->size > h->capacity || h->capacity - line->size >= h->grain)
        return rh_fail(err, RH_ERR_VMDK_DESCRIPTOR,
                       "the descriptor at 0x%llx says 0x%llx bytes, the header "
                       "0x%llx",
                       VMDK_X(h->descriptor), VMDK_X(line->size),
                       VMDK_X(h->capacity));
    return 0;
}

int rh_vmdk_embedded(struct rh_reader *r, const struct vmdk_header *h,
                     const char *text, rh_error **err)
{
    struct vmdk *v = r->state;

    if (rh_vmdk_text_parse(text, (size_t)h->descriptor_size, h->descriptor,
                           &v->text, err) < 0 ||
        check_embedded(&v->text, h, err) < 0)
        return -1;
    r->size = v->text.size;
    return 0;
}

static int open_embedded(struct rh_reader *r, rh_error **err)
{
    struct vmdk *v = r->state;
    RH_AUTO(rh_freep) char *text = NULL;
    const struct vmdk_header *h;
    struct vmdk_part *part = rh_vec_add(&v->parts);

    part->map = rh_vmdk_hosted(&v->cache, r->io, err);
    if (!part->map)
        return -1;
    h = &part->map->header;
    if (!h->descriptor)
        return rh_fail(err, RH_ERR_VMDK_PART,
                       "the file has no descriptor (0x0 at 0x1c): it is one "
                       "part of a disk");
    text = rh_malloc((size_t)h->descriptor_size);
    if (rh_io_read(r->io, text, (size_t)h->descriptor_size, h->descriptor,
                   err) < 0)
        return -1;
    if (rh_all_zero(text, (size_t)h->descriptor_size))
        return rh_fail(err, RH_ERR_VMDK_PART,
                       "the file has an empty descriptor (at 0x%llx): it is "
                       "one part of a disk",
                       VMDK_X(h->descriptor));
    if (rh_vmdk_embedded(r, h, text, err) < 0)
        return -1;
    part->size = r->size;
    return 0;
}

int rh_vmdk_parts_open(struct rh_reader *r, const struct rh_open_options *o,
                       rh_error **err)
{
    uint8_t magic[8] = {0};

    if (rh_io_read(r->io, magic, RH_MIN(r->io->size, sizeof magic), 0, err) < 0)
        return -1;
    if (memcmp(magic, "KDMV", 4) == 0)
        return open_embedded(r, err);
    if (memcmp(magic, "COWD", 4) == 0 || rh_le64(magic) == 0xcafebabe)
        return rh_fail(err, RH_ERR_VMDK_PART,
                       "this is the data of an ESX disk (by its magic number "
                       "at 0x0), without its descriptor");
    return open_lines(r, o, err);
}

/* --- parents ------------------------------------------------------------- */

/* The hint may be a path of the host it came from: the file is looked for by
 * its last component, beside the child, and nowhere else. */
static const char *last_component(const char *hint)
{
    const char *last = hint;

    for (const char *p = hint; *p; p++)
        if (*p == '/' || *p == '\\')
            last = p + 1;
    return last;
}

static int check_parent(const struct rh_reader *r, const struct rh_reader *p,
                        rh_error **err)
{
    const struct vmdk *v = r->state, *parent = p->state;
    const struct vmdk_spot *cid = &v->text.parent_cid_spot;

    if (!parent->text.cid_known || parent->text.cid != v->text.parent_cid) {
        rh_fail(err, RH_ERR_VMDK_PARENT_CID,
                "parent \"%s\" has content id %08x, but the disk was made on "
                "%08x: the parent was changed since, or it is another",
                v->text.parent_hint, parent->text.cid, v->text.parent_cid);
        return rh_vmdk_in_line(cid->number, cid->at, err);
    }
    if (p->size <= r->size)
        return 0;
    rh_fail(err, RH_ERR_DISK_PARENT,
            "parent \"%s\" is larger than the disk (0x%llx and 0x%llx bytes)",
            v->text.parent_hint, VMDK_X(p->size), VMDK_X(r->size));
    return rh_vmdk_in_parent_line(&v->text, err);
}

/* Is there a parent that can be looked for? */
static int check_link(const struct vmdk_text *t, unsigned depth, rh_error **err)
{
    if (!t->parent_hint)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "the disk is a snapshot (parentCID %08x), but does not "
                       "name its parent",
                       t->parent_cid);
    if (t->parent_cid == VMDK_NO_PARENT)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "the disk names a parent, \"%s\", but no content id of "
                       "it",
                       t->parent_hint);
    if (depth >= RH_LIMIT_CHAIN)
        return rh_fail(err, RH_ERR_DISK_PARENT,
                       "the chain of snapshots is longer than %d disks",
                       RH_LIMIT_CHAIN);
    return 0;
}

/* What is wrong with the link is told with its line; what is wrong inside the
 * parent names the parent's own file and places. */
int rh_vmdk_parent_open(struct rh_reader *r, const struct rh_open_options *o,
                        rh_error **err)
{
    const struct vmdk_text *t = &((const struct vmdk *)r->state)->text;
    struct rh_open_options below = *o;
    struct rh_io *io;

    below.room = ((struct vmdk *)r->state)->cache.room;
    if (!t->has_parent || o->ignore_parent)
        return 0;
    if (check_link(t, ++below.depth, err) < 0)
        return rh_vmdk_in_parent_line(t, err);
    io = open_name(r, o, last_component(t->parent_hint), RH_ERR_DISK_PARENT,
                   N_("parent"), err);
    if (!io)
        return rh_vmdk_in_parent_line(t, err);
    r->parent = rh_reader_open(io, "vmdk", &below, err);
    rh_io_unref(io);
    return r->parent ? check_parent(r, r->parent, err) : -1;
}
