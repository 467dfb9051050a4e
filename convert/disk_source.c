/* disk_source.c - open a lone disk, whatever its bytes come through. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/disk_source.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/custom.h"
#include "base/limits.h"
#include "base/wait.h"

enum { HEAD = 4096, TAPE_MAX = 64 * 1024 * 1024 };

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

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);

    return n > m && rh_same_word(path + n - m, ending);
}

/* Plain bytes carry no mark.  They are taken as raw when nothing is known by
 * content and the name says so; a compressed file's may say what is in it. */
static bool is_raw_name(const char *path)
{
    static const char *const endings[] = {".raw", ".img", ".dd"};
    static const char *const packed[] = {"", ".gz", ".xz", ".zst", ".bz2"};

    for (size_t i = 0; i < RH_COUNT(endings); i++)
        for (size_t j = 0; j < RH_COUNT(packed); j++) {
            RH_AUTO(rh_freep)
            char *ending = rh_printf("%s%s", endings[i], packed[j]);

            if (ends_in(path, ending))
                return true;
        }
    return false;
}

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

static int read_head(struct rh_stream *s, uint8_t *head, size_t *ret_n,
                     rh_error **err)
{
    size_t n = 0, got = 1;

    for (; n < HEAD && got; n += got)
        if (rh_stream_read(s, head + n, HEAD - n, &got, err) < 0)
            return -1;
    *ret_n = n;
    return 0;
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
    uint8_t head[HEAD];
    size_t n = 0;

    s->stream = from;
    if (read_head(from, head, &n, err) < 0)
        return -1;
    s->stream = rh_stream_prefix(head, n, from);
    if ((!format || !strcmp(format, "vmdk")) && rh_format_streams(head, n))
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

static int open_url(struct rh_disk_source *s, const char *url,
                    const char *format, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    struct rh_stream *stream;

    if (rh_http_open(s->lib, url, &io, &stream, err) < 0)
        return -1;
    return io ? open_seekable(s, io, format, is_raw_name(io->name), err)
              : open_stream(s, stream, format, is_raw_name(stream->name), err);
}

/* A file given as standard input can be read anywhere. */
static int open_stdin(struct rh_disk_source *s, const char *format,
                      rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return rh_fail(err, RH_ERR_FILE_OPEN, "there is no standard input");
    if (!S_ISREG(st.st_mode))
        return open_stream(s, rh_stream_fd(s->lib, fd, "-"), format, false,
                           err);
    io = rh_io_fd(fd, "-", err);
    note_read(s, io);
    return io ? open_seekable(s, io, format, false, err) : -1;
}

static int open_fifo(struct rh_disk_source *s, const char *path,
                     const char *format, rh_error **err)
{
    int fd = rh_wait_open(s->lib, path, O_RDONLY, err);

    return fd < 0 ? rh_error_subject(err, path)
                  : open_stream(s, rh_stream_fd(s->lib, fd, path), format,
                                false, err);
}

static int open_file(struct rh_disk_source *s, const char *path,
                     const char *format, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);
    struct stat st;
    bool known = stat(path, &st) == 0;

    if (known && S_ISFIFO(st.st_mode))
        return open_fifo(s, path, format, err);
    io = rh_io_file_at(AT_FDCWD, path, RH_IO_DEVICE, err);
    if (!io)
        return -1;
    note_read(s, io);
    s->place = beside_new(s, dirname(copy), err);
    if (!s->place)
        return -1;
    return open_seekable(s, io, format,
                         is_raw_name(path) || (known && S_ISBLK(st.st_mode)),
                         err);
}

static int open_custom(struct rh_disk_source *s, const char *path,
                       const char *format, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = rh_custom_io(s->lib, path, err);

    return io ? open_seekable(s, io, format, is_raw_name(path), err) : -1;
}

int rh_disk_source_open(struct rh_disk_source *s, const char *path,
                        const char *format, rh_error **err)
{
    if (!strcmp(path, "-"))
        return open_stdin(s, format, err);
    if (rh_is_custom(path))
        return open_custom(s, path, format, err);
    return rh_is_url(path) ? open_url(s, path, format, err)
                           : open_file(s, path, format, err);
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
