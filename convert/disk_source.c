/* disk_source.c - open a lone disk, whatever its bytes come through. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/disk_source.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "source/source.h"

enum { TAPE_MAX = 64 * 1024 * 1024 };

/* --- a stream that keeps what has passed --------------------------------- */

struct rh_tape {
    struct rh_stream *from; /* borrowed */
    struct rh_buf kept;
    bool on;
};

static int tape_read(struct rh_stream *s, void *buf, size_t n, size_t *ret_n,
                     rh_error **err)
{
    struct rh_tape *t = s->state;

    if (rh_stream_read(t->from, buf, n, ret_n, err) < 0)
        return -1;
    if (t->on && t->kept.length + *ret_n > TAPE_MAX) {
        rh_buf_free(&t->kept);
        t->on = false;
    }
    if (t->on)
        rh_buf_add(&t->kept, buf, *ret_n);
    return 0;
}

/* The tape outlives the stream: it is the source's. */
static struct rh_stream *tape_stream(struct rh_tape *t)
{
    static const struct rh_stream_ops ops = {tape_read, NULL};

    return rh_stream_over(&ops, t->from, t);
}

static void tape_drop(struct rh_disk_source *s)
{
    if (s->tape)
        rh_buf_free(&s->tape->kept);
    free(s->tape);
    s->tape = NULL;
}

/* --- what is read: none of it is to be written over ---------------------- */

static void note_read(struct rh_disk_source *s, const struct rh_io *io)
{
    struct stat st;

    if (io && io->fd >= 0 && fstat(io->fd, &st) == 0)
        *rh_vec_add(&s->read) = st;
}

bool rh_disk_source_reads(const struct rh_disk_source *s,
                          const struct stat *file)
{
    for (size_t i = 0; i < s->read.count; i++)
        if (s->read.items[i].st_dev == file->st_dev &&
            s->read.items[i].st_ino == file->st_ino)
            return true;
    return false;
}

/* The folder of the disk's file, where its extents and parents are. */
struct beside {
    struct rh_place *folder;
    struct rh_disk_source *source;
};

static struct rh_io *beside_open(struct rh_place *p, const char *name,
                                 rh_error **err)
{
    struct beside *b = p->state;
    struct rh_io *io = rh_place_open(b->folder, name, err);

    note_read(b->source, io);
    return io;
}

static void beside_close(struct rh_place *p)
{
    struct beside *b = p->state;

    rh_place_close(b->folder);
    free(b);
}

static struct rh_place *beside_new(struct rh_disk_source *s, const char *path,
                                   rh_error **err)
{
    static const struct rh_place_ops ops = {beside_open, NULL, beside_close};
    struct rh_place *folder = rh_place_folder(path, err), *p;
    struct beside *b;

    if (!folder)
        return NULL;
    b = rh_new0(struct beside);
    b->folder = folder;
    b->source = s;
    p = rh_new0(struct rh_place);
    p->ops = &ops;
    p->name = rh_strdup(path);
    p->state = b;
    return p;
}

/* --- what it is ---------------------------------------------------------- */

/* Plain bytes carry no mark: they are taken as raw when nothing is known by
 * content and the name says so. */
static int open_io(struct rh_disk_source *s, struct rh_io *io,
                   const char *format, bool may_be_raw, rh_error **err)
{
    struct rh_open_options o = {.lib = s->lib, .place = s->place};

    if (!format && may_be_raw && !rh_format_probe(io, NULL) &&
        !rh_format_foreign(io))
        format = "raw";
    s->reader = rh_reader_open(io, format, &o, err);
    return s->reader ? 0 : -1;
}

/* --- streams ------------------------------------------------------------- */

static struct rh_io *store(rh_lib *lib, struct rh_stream *s, rh_error **err)
{
    rh_log(lib, RH_LOG_INFO, "%s: cannot be read forward; it is stored first",
           s->name);
    return rh_spool(lib, s, RH_LIMIT_DISK_SIZE, err);
}

static int open_forward(struct rh_disk_source *s, rh_error **err)
{
    struct rh_open_options o = {.lib = s->lib};

    s->tape = rh_new0(struct rh_tape);
    s->tape->from = s->stream;
    s->tape->on = true;
    s->reader = rh_reader_open_stream(tape_stream(s->tape), &o, err);
    return s->reader ? 0 : -1;
}

/* Takes `from`. */
static int open_plain_stream(struct rh_disk_source *s, struct rh_stream *from,
                             const char *format, bool may_be_raw,
                             rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct rh_head h;

    s->stream = rh_head_peek(from, &h, err);
    if (!s->stream)
        return -1;
    if ((!format || !strcmp(format, "vmdk")) && rh_format_streams(h.bytes, h.n))
        return open_forward(s, err);
    io = store(s->lib, s->stream, err);
    return io ? open_io(s, io, format, may_be_raw, err) : -1;
}

/* What is said to be raw is never looked into.  Takes `from`. */
static int open_stream(struct rh_disk_source *s, struct rh_stream *from,
                       const char *format, bool may_be_raw, rh_error **err)
{
    if (!format || strcmp(format, "raw"))
        from = rh_stream_unpack(from, NULL, err);
    return from ? open_plain_stream(s, from, format, may_be_raw, err) : -1;
}

/* --- files, pipes, addresses --------------------------------------------- */

static int open_packed(struct rh_disk_source *s, struct rh_io *io,
                       const char *format, bool may_be_raw, bool *ret_packed,
                       rh_error **err)
{
    struct rh_stream *plain;
    const char *codec;

    *ret_packed = false;
    if (format && !strcmp(format, "raw"))
        return 0;
    plain = rh_stream_unpack(rh_stream_io(io), &codec, err);
    if (!plain)
        return -1;
    *ret_packed = codec != NULL;
    if (codec)
        return open_plain_stream(s, plain, format, may_be_raw, err);
    rh_stream_close(plain);
    return 0;
}

static int open_seekable(struct rh_disk_source *s, struct rh_io *io,
                         const char *format, bool may_be_raw, rh_error **err)
{
    bool packed;

    if (open_packed(s, io, format, may_be_raw, &packed, err) < 0)
        return -1;
    return packed ? 0 : open_io(s, io, format, may_be_raw, err);
}

static int open_folder_of(struct rh_disk_source *s, const char *path,
                          rh_error **err)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);

    s->place = beside_new(s, dirname(copy), err);
    return s->place ? 0 : -1;
}

int rh_disk_source_open(struct rh_disk_source *s, const char *path,
                        const char *format, rh_error **err)
{
    RH_AUTO(rh_bytes_free) struct rh_bytes b = {0};
    bool raw;

    if (rh_bytes_open(s->lib, path, NULL, &b, err) < 0)
        return -1;
    if (b.folder) {
        rh_fail(err, RH_ERR_FILE_OPEN, "it is a folder, not a disk");
        return rh_error_subject(err, path);
    }
    if (b.plain && !format)
        format = "raw";
    raw = b.device || rh_format_raw_name(b.io ? b.io->name : b.stream->name);
    if (b.stream)
        return open_stream(s, RH_TAKE(b.stream), format, raw, err);
    note_read(s, b.io);
    if (b.path && open_folder_of(s, b.path, err) < 0)
        return -1;
    return open_seekable(s, b.io, format, raw, err);
}

bool rh_disk_source_forward(const struct rh_disk_source *s)
{
    return !s->reader->io;
}

static int passed(const struct rh_disk_source *s, rh_error **err)
{
    rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
            "a disk from a pipe can only be converted, and once");
    rh_hint(err, "store it in a file first, or open it anew");
    return rh_error_subject(err, s->reader->name);
}

/* The forward reader stays as it is, for what is asked about the disk later:
 * only the stored one takes its place. */
static int store_all(struct rh_disk_source *s, rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *all = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct rh_reader *forward = s->reader;

    all = rh_stream_prefix(s->tape->kept.data, s->tape->kept.length,
                           RH_TAKE(s->stream));
    rh_buf_free(&s->tape->kept);
    s->tape->on = false;
    io = store(s->lib, all, err);
    if (!io)
        return -1;
    if (open_io(s, io, "vmdk", false, err) < 0) {
        s->reader = forward;
        return -1;
    }
    rh_reader_close(forward);
    tape_drop(s);
    return 0;
}

int rh_disk_source_store(struct rh_disk_source *s, rh_error **err)
{
    if (s->failed)
        return rh_error_again(err, s->failed);
    if (!rh_disk_source_forward(s))
        return 0;
    if (!s->tape->on)
        return passed(s, err);
    if (store_all(s, &s->failed) == 0)
        return 0;
    return rh_error_again(err, s->failed);
}

int rh_disk_source_go(struct rh_disk_source *s, rh_error **err)
{
    if (!rh_disk_source_forward(s))
        return 0;
    if (s->failed)
        return rh_error_again(err, s->failed);
    if (s->gone)
        return passed(s, err);
    s->gone = true;
    s->tape->on = false;
    rh_buf_free(&s->tape->kept);
    return 0;
}

void rh_disk_source_close(struct rh_disk_source *s)
{
    rh_reader_close(s->reader);
    tape_drop(s);
    rh_stream_close(s->stream);
    rh_place_close(s->place);
    rh_error_free(s->failed);
    free(s->read.items);
}
