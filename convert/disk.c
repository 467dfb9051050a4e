/* disk.c - the public rh_disk: one virtual disk, opened, described, copied. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/wait.h"
#include "convert/copy/copy.h"
#include "convert/disk_source.h"
#include "convert/options.h"
#include "rehost/rehost.h"

struct rh_disk {
    rh_lib *lib;
    uint64_t size; /* bytes; storing the disk does not change it */
    /* Held by every call but those that only read: they take it while the disk
     * is stored, which happens once. */
    pthread_mutex_t lock;
    struct rh_disk_source source;
};

static void unlock(pthread_mutex_t **lock)
{
    if (*lock)
        pthread_mutex_unlock(*lock);
}

/* Until the end of the block this disk is ours. */
static pthread_mutex_t *lock(const rh_disk *d)
{
    pthread_mutex_t *m = (pthread_mutex_t *)(uintptr_t)&d->lock;

    pthread_mutex_lock(m);
    return m;
}
#define RH_LOCKED(d) \
    __attribute__((unused)) RH_AUTO(unlock) pthread_mutex_t *locked_ = lock(d)

/* The reader that can seek: the same one for as long as the disk is open. */
static struct rh_reader *stored(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);

    return rh_disk_source_store(&d->source, err) < 0 ? NULL : d->source.reader;
}

static void disk_freep(rh_disk **d)
{
    rh_disk_free(*d);
}

void rh_disk_free(rh_disk *d)
{
    if (!d)
        return;
    rh_disk_source_close(&d->source);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

rh_disk *rh_disk_open(rh_lib *lib, const char *path, const char *format,
                      rh_error **err)
{
    RH_AUTO(disk_freep) rh_disk *d = rh_new0(rh_disk);

    d->lib = d->source.lib = lib;
    pthread_mutex_init(&d->lock, NULL);
    if (rh_disk_source_open(&d->source, path, format, err) < 0)
        return NULL;
    d->size = d->source.reader->size;
    return RH_TAKE(d);
}

uint64_t rh_disk_size(const rh_disk *d)
{
    return d->size;
}

int rh_disk_read(rh_disk *d, void *buf, size_t n, uint64_t offset,
                 rh_error **err)
{
    struct rh_reader *r = stored(d, err);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = NULL;

    if (!r)
        return -1;
    codec = rh_codec_new(); /* any thread may call */
    return rh_reader_read(r, codec, buf, n, offset, err);
}

int rh_disk_map(rh_disk *d, rh_extent_fn *fn, void *user, rh_error **err)
{
    struct rh_reader *r = stored(d, err);
    struct rh_extent run = {0};
    uint64_t at = 0, start = 0;

    if (!r)
        return -1;
    while (at < r->size) {
        struct rh_extent e;

        if (rh_go_on(d->lib, err) < 0 || rh_reader_extent(r, at, &e, err) < 0)
            return -1;
        if (run.length && e.kind != run.kind) {
            if (fn(user, start, run.length, (int)run.kind))
                return 0;
            run.length = 0;
        }
        if (!run.length)
            start = at;
        run.kind = e.kind;
        run.length += e.length;
        at += e.length;
    }
    if (run.length)
        fn(user, start, run.length, (int)run.kind);
    return 0;
}

static json_t *problems_json(const struct rh_reader *r)
{
    json_t *list = json_array();
    const char *message, *id;

    for (size_t i = 0; (message = rh_problem_at(r, i, &id)); i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "id", id, "message", message));
    return list;
}

char *rh_disk_json(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);
    uint64_t allocated = 0;
    struct rh_reader *r;
    json_t *doc;
    char *text;

    if (rh_disk_source_store(&d->source, err) < 0)
        return NULL;
    r = d->source.reader;
    if (rh_reader_present(r, &allocated, err) < 0)
        return NULL;
    doc = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:s?, s:o}", "schema",
                    "rehost.disk/1", "format", r->format->name, "variant",
                    r->variant, "virtual_size", (json_int_t)r->size,
                    "file_size", (json_int_t)r->io->size, "allocated_bytes",
                    (json_int_t)allocated, "cluster_size", (json_int_t)r->grain,
                    "backing_file", r->backing_file, "problems",
                    problems_json(r));
    text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    json_decref(doc);
    if (!text)
        rh_fail(err, RH_ERR_BUG, "the description cannot be written");
    return text;
}

int rh_disk_check(rh_disk *d, rh_error **err)
{
    RH_LOCKED(d);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = NULL;

    if (rh_disk_source_store(&d->source, err) < 0)
        return -1;
    codec = rh_codec_new();
    for (struct rh_reader *r = d->source.reader; r; r = r->parent)
        if (r->format->check && r->format->check(r, codec, err) < 0)
            return rh_error_subject(err, r->name);
    return 0;
}

const char *rh_disk_problem(const rh_disk *d, size_t i, const char **ret_id)
{
    RH_LOCKED(d);

    return rh_problem_at(d->source.reader, i, ret_id);
}

int rh_disk_compare(rh_disk *a, rh_disk *b, int *ret_same, uint64_t *ret_offset,
                    rh_error **err)
{
    struct rh_reader *left = stored(a, err);
    struct rh_reader *right = left ? stored(b, err) : NULL;
    bool same = false;

    if (!right ||
        rh_copy_compare(a->lib, left, right, &same, ret_offset, err) < 0)
        return -1;
    *ret_same = same;
    return 0;
}

/* --- convert
 * ------------------------------------------------------------------- */

/* Who names a file .vmdk does not expect a qcow2 in it: what a name promises
 * and nobody writes is refused. */
static int format_by_name(const char *path, const char **ret_format,
                          rh_error **err)
{
    static const struct {
        const char *ending, *format;
    } endings[] = {{".qcow2", "qcow2"}, {".raw", "raw"}, {".img", "raw"},
                   {".vhd", "vhd"},     {".vmdk", NULL}, {".vhdx", NULL},
                   {".vdi", NULL},      {".ova", NULL},  {".xva", NULL}};
    size_t n = strlen(path);

    *ret_format = "qcow2";
    for (size_t i = 0; i < RH_COUNT(endings); i++) {
        size_t m = strlen(endings[i].ending);

        if (n > m && rh_same_word(path + n - m, endings[i].ending))
            *ret_format = endings[i].format;
    }
    if (*ret_format)
        return 0;
    rh_fail(err, RH_ERR_USAGE, "its ending names a form that is not written");
    rh_hint(err, "end it in .qcow2, .raw, .img or .vhd, or say the form with "
                 "-O qcow2, -O raw or -O vhd");
    return rh_error_subject(err, path);
}

/* Into a file, forward pieces go straight to writers that take them; for the
 * rest there is no way back in a pipe: the disk is stored first.  What a format
 * cannot do at all it says before that. */
static bool takes_forward(const rh_disk *d, const struct rh_writer *w)
{
    return w->any_order && d->source.reader->grain % w->piece == 0;
}

static struct rh_writer *open_writer(rh_disk *d, struct rh_out *out,
                                     const char *format,
                                     struct rh_create_options *o,
                                     rh_error **err)
{
    bool forward = rh_disk_source_forward(&d->source);

    o->may_seek = out->seekable;
    if (forward && (o->may_seek || o->compress != RH_COMPRESS_NONE)) {
        struct rh_writer *w = rh_writer_open(format, out, o, err);

        if (!w || takes_forward(d, w))
            return w;
        rh_writer_close(w);
    }
    if (rh_disk_source_store(&d->source, err) < 0)
        return NULL;
    o->source = d->source.reader;
    return rh_writer_open(format, out, o, err);
}

static int copy_to(rh_disk *d, struct rh_out *out, const char *format,
                   struct rh_create_options *o, rh_error **err)
{
    RH_AUTO(rh_writer_closep)
    struct rh_writer *w = open_writer(d, out, format, o, err);
    struct rh_copy_sink sink = {d->source.reader, w, o->compress, "", 0};
    struct rh_copy c = {.lib = d->lib,
                        .source = d->source.reader,
                        .sinks = &sink,
                        .sink_count = 1};

    if (!w)
        return -1;
    if (rh_disk_source_go(&d->source, err) < 0 || rh_copy_run(&c, err) < 0)
        return -1;
    return rh_out_finish(out, sink.file_size, err);
}

static int copy_to_pipe(rh_disk *d, const char *format,
                        struct rh_create_options *o, rh_error **err)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;

    if (fd < 0)
        return rh_fail(err, RH_ERR_FILE_OPEN, "there is no standard output");
    out = rh_out_fd(d->lib, fd, "-");
    return copy_to(d, out, format, o, err);
}

/* Writing over the disk that is being read would destroy it. */
static int refuse_source(rh_disk *d, const char *path, rh_error **err)
{
    struct stat out;

    if (stat(path, &out) < 0 || !rh_disk_source_reads(&d->source, &out))
        return 0;
    rh_fail(err, RH_ERR_USAGE, "is the disk that is being read");
    rh_hint(err, "give another output file");
    return rh_error_subject(err, path);
}

/* A device holds at least what it is to hold, or is not begun. */
static int check_room(const rh_disk *d, int fd, rh_error **err)
{
    off_t room = lseek(fd, 0, SEEK_END);

    if (room >= 0 && lseek(fd, 0, SEEK_SET) == 0 && (uint64_t)room >= d->size)
        return 0;
    return rh_fail(err, RH_ERR_NO_SPACE,
                   "the device has %lld bytes, the disk %llu", (long long)room,
                   (unsigned long long)d->size);
}

/* A FIFO or a device is written front to back; a file that takes its name
 * would replace it. */
static int copy_to_node(rh_disk *d, const char *path, const char *format,
                        bool is_block, struct rh_create_options *o,
                        rh_error **err)
{
    int fd =
        rh_wait_open(d->lib, path, O_WRONLY | (is_block ? O_EXCL : 0), err);
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;

    if (fd < 0)
        return rh_error_subject(err, path);
    out = rh_out_fd(d->lib, fd, path);
    if (is_block && check_room(d, fd, err) < 0)
        return rh_error_subject(err, path);
    if (copy_to(d, out, format, o, err) < 0)
        return -1;
    if (!is_block || fsync(fd) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "writing failed");
    return rh_error_subject(err, path);
}

static int copy_to_device(rh_disk *d, const char *path, const char *format,
                          bool overwrite, struct rh_create_options *o,
                          rh_error **err)
{
    if (refuse_source(d, path, err) < 0)
        return -1;
    if (overwrite)
        return copy_to_node(d, path, format ? format : "raw", true, o, err);
    rh_fail(err, RH_ERR_FILE_EXISTS,
            "is a device: what is on it would be replaced");
    return rh_error_subject(err, path);
}

/* Through a link the file that it names is meant. */
static char *without_links(const char *path)
{
    char *real = realpath(path, NULL);

    return real ? real : rh_strdup(path);
}

static int copy_to_file(rh_disk *d, const char *path, const char *format,
                        bool overwrite, struct rh_create_options *o,
                        rh_error **err)
{
    RH_AUTO(rh_outfile_closep) struct rh_outfile *file = NULL;
    struct rh_out *out = NULL;

    if (refuse_source(d, path, err) < 0)
        return -1;
    file = rh_outfile_new(path, overwrite, &out, err);
    if (!file || copy_to(d, out, format, o, err) < 0)
        return -1;
    return rh_outfile_commit(file, err);
}

int rh_disk_convert(rh_disk *d, const char *path, const rh_options *options,
                    rh_error **err)
{
    const char *format = rh_option(options, "format");
    bool overwrite = rh_option_yes(options, "overwrite");
    struct rh_create_options o = {.lib = d->lib, .size = d->size};
    RH_AUTO(rh_freep) char *real = NULL;
    RH_LOCKED(d);
    struct stat st = {0};

    if (rh_option_compress(options, &o.compress, err) < 0 ||
        rh_option_cluster(options, &o.cluster_size, err) < 0)
        return -1;
    if (!strcmp(path, "-"))
        return copy_to_pipe(d, format ? format : "qcow2", &o, err);
    if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
        return copy_to_device(d, path, format, overwrite, &o, err);
    if (!format && format_by_name(path, &format, err) < 0)
        return -1;
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        return copy_to_node(d, path, format, false, &o, err);
    if (S_ISDIR(st.st_mode)) {
        rh_fail(err, RH_ERR_USAGE, "is a folder; the output is one file");
        return rh_error_subject(err, path);
    }
    real = without_links(path);
    return copy_to_file(d, real, format, overwrite, &o, err);
}
