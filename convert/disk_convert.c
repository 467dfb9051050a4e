/* disk_convert.c - the public rh_disk_convert: a disk in another form.
 *
 * What is copied is a view: the disk as it is, or longer (--size, --align), or
 * with its partition table rewritten for other sectors (--sector-size), or
 * without what its file systems do not use (--skip-free). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/wait.h"
#include "base/custom.h"
#include "base/nbd.h"
#include "convert/copy/copy.h"
#include "convert/disk.h"
#include "convert/gpt.h"
#include "convert/job.h"
#include "convert/options.h"
#include "report/findings.h"

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

/* --- what is asked for -----------------------------------------------------
 */

struct job {
    rh_disk *d;
    const char *format; /* NULL: by the output's name */
    bool overwrite, strict, resector, skip_free;
    const char *ca_file; /* whom an nbds:// output is believed by; or NULL */
    struct rh_create_options o;
    /* Views of the disk, or NULL. */
    struct rh_reader *skipped, *edited, *grown, *moved;
};

static void job_done(struct job *j)
{
    rh_reader_close(j->moved);
    rh_reader_close(j->grown);
    rh_reader_close(j->edited);
    if (j->skipped)
        j->skipped->parent = NULL; /* the disk stays open */
    rh_reader_close(j->skipped);
}

static int size_option(const rh_options *options, const char *name,
                       uint64_t *ret, rh_error **err)
{
    const char *value = rh_option(options, name);

    if (!value || (rh_parse_size(value, ret) && *ret))
        return 0;
    rh_fail(err, RH_ERR_USAGE, "--%s cannot be \"%s\"", name, value);
    return rh_hint(err, "write it like 40GiB, 512MiB or 1048576");
}

/* How long the result is to be: never shorter than the disk. */
static int length_option(struct job *j, const rh_options *options,
                         rh_error **err)
{
    uint64_t size = j->d->size, align = 1;

    if (size_option(options, "size", &size, err) < 0 ||
        size_option(options, "align", &align, err) < 0)
        return -1;
    if (size < j->d->size) {
        rh_fail(err, RH_ERR_USAGE,
                "the disk has %llu bytes: it cannot be cut to %llu",
                (unsigned long long)j->d->size, (unsigned long long)size);
        return rh_hint(err, "shrink its file systems and partitions first; "
                            "rehost only makes disks longer");
    }
    if (rh_option(options, "align") && align % 512) {
        rh_fail(err, RH_ERR_USAGE, "--align cannot be \"%s\"",
                rh_option(options, "align"));
        return rh_hint(err, "use a multiple of 512, a sector of a disk");
    }
    if (align > RH_GIB || size > RH_LIMIT_DISK_SIZE)
        return rh_fail(err, RH_ERR_USAGE, "a disk of that length is not made");
    j->o.size = rh_div_up(size, align) * align;
    return 0;
}

static int read_options(struct job *j, const rh_options *options,
                        rh_error **err)
{
    static const char *const names[] = {
        "align",     "cluster-size", "compress", "format",
        "overwrite", "sector-size",  "size",     "skip-free",
        "strict",    "tls-ca",       NULL};
    const char *sector = rh_option(options, "sector-size");

    if (rh_options_only(options, names, "rh_disk_convert", err) < 0)
        return -1;
    j->format = rh_option(options, "format");
    j->overwrite = rh_option_yes(options, "overwrite");
    j->strict = rh_option_yes(options, "strict");
    j->skip_free = rh_option_yes(options, "skip-free");
    j->ca_file = rh_option(options, "tls-ca");
    j->resector = sector != NULL;
    if (sector && strcmp(sector, "512")) {
        rh_fail(err, RH_ERR_USAGE, "--sector-size cannot be \"%s\"", sector);
        return rh_hint(err, "only 512 is there: from sectors of 4096 bytes");
    }
    if (rh_option_compress(options, &j->o.compress, err) < 0 ||
        rh_option_cluster(options, &j->o.cluster_size, err) < 0)
        return -1;
    return length_option(j, options, err);
}

/* --- the view --------------------------------------------------------------
 */

static int resector(struct job *j, struct rh_reader *r, rh_error **err)
{
    bool changed;

    j->edited = rh_overlay_new(r, j->d->lib, err);
    if (!j->edited)
        return -1;
    if (rh_sectors_rewrite(j->edited, r->sector == 4096, &changed, err) < 0)
        return rh_error_subject(err, r->name);
    rh_log(j->d->lib, RH_LOG_INFO,
           changed ? N_("%s: its partition table was rewritten for sectors of "
                        "512 bytes")
                   : N_("%s: its partition table counts in sectors of 512 "
                        "bytes already"),
           r->name);
    return rh_sectors_inside(j->edited, j->d->lib, j->d->source.reader, err);
}

/* Longer: a GPT's copy belongs to the new end.  A table that is not sound stays
 * as it is, and that is a problem of the disk. */
static int grow(struct job *j, struct rh_reader *r, struct rh_reader **ret,
                rh_error **err)
{
    rh_error *cause = NULL;
    bool moved;

    *ret = j->grown = rh_reader_grow(r, j->o.size);
    j->moved = rh_overlay_new(j->grown, j->d->lib, err);
    if (!j->moved)
        return -1;
    if (rh_gpt_move(j->moved, j->d->size, &moved, &cause) == 0) {
        if (!moved)
            return 0;
        *ret = j->moved;
        rh_log(j->d->lib, RH_LOG_INFO,
               N_("%s: the copy of its partition table (GPT) was moved to the "
                  "new end"),
               r->name);
        return 0;
    }
    if (rh_error_number(cause) != RH_ERR_DISK_SECTORS)
        return rh_error_again(err, cause), rh_error_free(cause), -1;
    rh_problem_add(j->d->source.reader, "DISK-GPT-COPY",
                   N_("the disk became longer, but the copy of its partition "
                      "table (GPT) stays where it was: %s"),
                   rh_error_message(cause));
    rh_error_free(cause);
    return 0;
}

static int skip_free(struct job *j, rh_error **err)
{
    struct rh_reader *disk = j->d->source.reader, *view = disk;
    struct rh_findings found = {0};
    int failed = rh_job_skip_free(&view, 1, NULL, NULL, j->d->lib, &found, err);

    for (size_t i = 0; i < found.count && !failed; i++)
        rh_log(j->d->lib, RH_LOG_INFO, "%s: %s [%s]", disk->name,
               found.items[i].message, rh_finding_name(found.items[i].id));
    rh_findings_free(&found);
    if (view != disk)
        j->skipped = view;
    return failed;
}

/* Another length or table is read from a disk that can seek. */
static int make_view(struct job *j, struct rh_reader **ret, rh_error **err)
{
    struct rh_reader *r;

    if ((j->resector || j->skip_free || j->o.size != j->d->size) &&
        rh_disk_source_store(&j->d->source, err) < 0)
        return -1;
    if (j->skip_free && skip_free(j, err) < 0)
        return -1;
    r = j->skipped ? j->skipped : j->d->source.reader;
    if (j->resector && resector(j, r, err) < 0)
        return -1;
    r = j->edited ? j->edited : r;
    if (j->o.size != j->d->size && grow(j, r, &r, err) < 0)
        return -1;
    *ret = r;
    return 0;
}

/* --- problems --------------------------------------------------------------
 */

static const char *remedy_of(const char *id)
{
    for (int i = 0; i < RH_F_COUNT; i++)
        if (!strcmp(rh_finding_name((enum rh_finding_id)i), id))
            return rh_finding_remedy_of((enum rh_finding_id)i);
    return NULL;
}

/* Solved by what was asked for. */
static bool is_solved(const struct job *j, const char *id)
{
    return j->resector &&
           (!strcmp(id, "VMDK-SECTOR-SIZE") || !strcmp(id, "VHDX-SECTOR"));
}

/* Say what is known of the disk from the `*told`-th problem on; with --strict
 * any of them is an end. */
static int tell_problems(const struct job *j, size_t *told, rh_error **err)
{
    const struct rh_reader *r = j->d->source.reader;
    const char *text, *id;

    for (; (text = rh_problem_at(r, *told, &id)); ++*told) {
        const char *remedy = remedy_of(id);

        if (is_solved(j, id))
            continue;
        if (j->strict) {
            rh_fail(err, RH_ERR_DISK_PROBLEM, "%s (%s)", text, id);
            return rh_error_subject(err, r->name);
        }
        rh_log(j->d->lib, RH_LOG_WARN, "%s: %s [%s]", r->name, text, id);
        if (remedy)
            rh_log(j->d->lib, RH_LOG_WARN, "%s: %s", r->name, _(remedy));
    }
    return 0;
}

/* --- copying ---------------------------------------------------------------
 */

/* Into a file, forward pieces go straight to writers that take them; for the
 * rest there is no way back in a pipe: the disk is stored first.  What a format
 * cannot do at all it says before that. */
static bool takes_forward(const rh_disk *d, const struct rh_writer *w)
{
    return w->any_order && d->source.reader->grain % w->piece == 0;
}

static struct rh_writer *open_writer(struct job *j, struct rh_out *out,
                                     struct rh_reader **view, rh_error **err)
{
    struct rh_create_options *o = &j->o;

    o->may_seek = out->seekable;
    if (rh_disk_source_forward(&j->d->source) &&
        (o->may_seek || o->compress != RH_COMPRESS_NONE)) {
        struct rh_writer *w = rh_writer_open(j->format, out, o, err);

        if (!w || takes_forward(j->d, w))
            return w;
        rh_writer_close(w);
    }
    if (rh_disk_source_forward(&j->d->source)) {
        if (rh_disk_source_store(&j->d->source, err) < 0)
            return NULL;
        *view = j->d->source.reader;
    }
    o->source = *view;
    return rh_writer_open(j->format, out, o, err);
}

/* What cannot be kept is not written anew under that name. */
static int check_keep(const struct job *j, const struct rh_reader *view,
                      rh_error **err)
{
    if (j->o.compress != RH_COMPRESS_KEEP || view->compressed)
        return 0;
    rh_fail(err, RH_ERR_DISK_COMPRESS,
            "--compress keep: the disk has no compressed data that could be "
            "kept");
    rh_hint(err, "use --compress zlib or zstd, or none");
    return rh_error_subject(err, view->name);
}

static int copy_view(struct job *j, struct rh_out *out, struct rh_reader *view,
                     rh_error **err)
{
    RH_AUTO(rh_writer_closep)
    struct rh_writer *w = open_writer(j, out, &view, err);
    struct rh_copy_sink sink = {
        .view = view, .writer = w, .compress = j->o.compress};
    struct rh_copy c = {
        .lib = j->d->lib, .source = view, .sinks = &sink, .sink_count = 1};

    if (!w || check_keep(j, view, err) < 0)
        return -1;
    if (rh_disk_source_go(&j->d->source, err) < 0 || rh_copy_run(&c, err) < 0)
        return -1;
    if (sink.cloned)
        rh_log(j->d->lib, RH_LOG_INFO,
               N_("%s: %llu of its bytes share their blocks with the source"),
               out->name, (unsigned long long)sink.cloned);
    return rh_out_finish(out, sink.file_size, err);
}

static int copy_to(struct job *j, struct rh_out *out, rh_error **err)
{
    struct rh_reader *view = NULL;
    size_t told = 0;

    if (make_view(j, &view, err) < 0 || tell_problems(j, &told, err) < 0 ||
        copy_view(j, out, view, err) < 0)
        return -1;
    return tell_problems(j, &told, err); /* what only the copy met */
}

static int copy_to_pipe(struct job *j, rh_error **err)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;

    if (fd < 0)
        return rh_fail(err, RH_ERR_FILE_OPEN, "there is no standard output");
    out = rh_out_fd(j->d->lib, fd, "-");
    return copy_to(j, out, err);
}

static int copy_to_custom(struct job *j, const char *path, rh_error **err)
{
    RH_AUTO(rh_out_closep)
    struct rh_out *out = rh_custom_out(j->d->lib, path, "", err);

    return out ? copy_to(j, out, err) : -1;
}

static int is_source(const char *path, rh_error **err)
{
    rh_fail(err, RH_ERR_USAGE, "is the disk that is being read");
    rh_hint(err, "give another output file");
    return rh_error_subject(err, path);
}

/* An export is a disk's plain bytes, as long as the server made it. */
static int copy_to_nbd(struct job *j, const char *uri, rh_error **err)
{
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;
    RH_AUTO(rh_freep) char *shown = rh_source_shown(uri);

    if (!strcmp(shown, j->d->source.reader->name))
        return is_source(uri, err);
    if (strcmp(j->format, "raw") != 0) {
        rh_fail(err, RH_ERR_USAGE,
                "an NBD export takes the disk's plain bytes, not %s",
                j->format);
        rh_hint(err, "leave -O away; the server decides in which format the "
                     "disk is stored");
        return rh_error_subject(err, uri);
    }
    out = rh_nbd_out(j->d->lib, uri, j->ca_file, j->o.size, j->overwrite, err);
    return out ? copy_to(j, out, err) : -1;
}

/* Writing over the disk that is being read would destroy it. */
static int refuse_source(rh_disk *d, const char *path, rh_error **err)
{
    struct stat out;

    if (stat(path, &out) < 0 || !rh_disk_source_reads(&d->source, &out))
        return 0;
    return is_source(path, err);
}

/* A device holds at least what it is to hold, or is not begun. */
static int check_room(const struct job *j, int fd, rh_error **err)
{
    off_t room = lseek(fd, 0, SEEK_END);

    if (room >= 0 && lseek(fd, 0, SEEK_SET) == 0 && (uint64_t)room >= j->o.size)
        return 0;
    return rh_fail(err, RH_ERR_NO_SPACE,
                   "the device has %lld bytes, the disk %llu", (long long)room,
                   (unsigned long long)j->o.size);
}

/* A FIFO or a device is written front to back; a file that takes its name
 * would replace it. */
static int copy_to_node(struct job *j, const char *path, bool is_block,
                        rh_error **err)
{
    int fd =
        rh_wait_open(j->d->lib, path, O_WRONLY | (is_block ? O_EXCL : 0), err);
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;

    if (fd < 0)
        return rh_error_subject(err, path);
    out = rh_out_fd(j->d->lib, fd, path);
    if (is_block && check_room(j, fd, err) < 0)
        return rh_error_subject(err, path);
    if (copy_to(j, out, err) < 0)
        return -1;
    if (!is_block || fsync(fd) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "writing failed");
    return rh_error_subject(err, path);
}

static int copy_to_device(struct job *j, const char *path, rh_error **err)
{
    if (refuse_source(j->d, path, err) < 0)
        return -1;
    if (!j->format)
        j->format = "raw";
    if (j->overwrite)
        return copy_to_node(j, path, true, err);
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

static int copy_to_file(struct job *j, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *real = without_links(path);
    RH_AUTO(rh_outfile_closep) struct rh_outfile *file = NULL;
    struct rh_out *out = NULL;

    if (refuse_source(j->d, real, err) < 0)
        return -1;
    file = rh_outfile_new(real, j->overwrite, &out, err);
    if (!file || copy_to(j, out, err) < 0)
        return -1;
    return rh_outfile_commit(file, err);
}

static int copy_to_path(struct job *j, const char *path, rh_error **err)
{
    struct stat st = {0};

    if (j->ca_file && (!rh_is_nbd(path) || strncasecmp(path, "nbds", 4)))
        return rh_fail(err, RH_ERR_USAGE,
                       "--tls-ca is for an output that is nbds://");
    if (!strcmp(path, "-")) {
        j->format = j->format ? j->format : "qcow2";
        return copy_to_pipe(j, err);
    }
    if (rh_is_custom(path)) {
        j->format = j->format ? j->format : "qcow2";
        return copy_to_custom(j, path, err);
    }
    if (rh_is_nbd(path)) {
        j->format = j->format ? j->format : "raw";
        return copy_to_nbd(j, path, err);
    }
    if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
        return copy_to_device(j, path, err);
    if (!j->format && format_by_name(path, &j->format, err) < 0)
        return -1;
    if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
        return copy_to_node(j, path, false, err);
    if (!S_ISDIR(st.st_mode))
        return copy_to_file(j, path, err);
    rh_fail(err, RH_ERR_USAGE, "is a folder; the output is one file");
    return rh_error_subject(err, path);
}

int rh_disk_convert(rh_disk *d, const char *path, const rh_options *options,
                    rh_error **err)
{
    struct job j = {.d = d, .o = {.lib = d->lib}};
    RH_LOCKED(d);
    int failed = !*path
                     ? rh_fail(err, RH_ERR_USAGE, "the result's name is empty")
                     : read_options(&j, options, err);

    if (!failed)
        failed = copy_to_path(&j, path, err);
    job_done(&j);
    return failed;
}
