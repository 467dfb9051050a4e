/* run.c - one VM to all its targets: one pass over each disk, then the
 * configuration, then the name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "convert/copy/copy.h"
#include "convert/documents.h"
#include "convert/frame.h"
#include "convert/job.h"
#include "package/forward.h"
#include "rehost/rehost.h"

enum { ORIGINS_MAX = 16 }; /* files of one disk that are looked at */

/* One VM going to one target by its delivery. */
struct run {
    struct rh_job *job;
    struct rh_job_vm *vm;
    struct rh_job_target *target;
    struct rh_out *archive_out; /* NAME.FORMAT */
    int archive_fd;             /* of the same, to be read; or -1 */
    struct rh_archive *archive;
    struct rh_out *out;         /* of the disk that is being written */
    struct rh_frame_sum *frame; /* of its file, or of the archive; or NULL */
    struct rh_writer *writer;
    enum rh_compress compress;
    uint32_t cluster_size;
    struct rh_receipt_disk *disks;
    struct rh_receipt_archive whole;
    rh_error *error; /* it is over for this target; or NULL */
};

/* All targets of one VM: its disks are read once for them together. */
struct runs {
    struct rh_job *job;
    struct rh_job_vm *vm;
    struct run *items;
    size_t count;
    uint64_t done, total; /* progress over all disks; total 0: not known */
};

/* --- targets succeed and fail on their own
 * ------------------------------------- */

/* Takes `why`.  -1: no target is left, or the user's cancel ends them all. */
static int over_for(struct runs *runs, struct run *run, rh_error *why,
                    rh_error **err)
{
    bool left = false;

    run->error = why;
    for (size_t r = 0; r < runs->count; r++)
        left |= !runs->items[r].error;
    return left && rh_error_status(why) != 130 ? 0 : rh_error_again(err, why);
}

/* Calls fn for each target for which it is not over. */
static int for_each(struct runs *runs, int (*fn)(struct run *, rh_error **),
                    rh_error **err)
{
    for (size_t r = 0; r < runs->count; r++) {
        struct run *run = &runs->items[r];
        rh_error *why = NULL;

        if (!run->error && fn(run, &why) < 0 &&
            over_for(runs, run, why, err) < 0)
            return -1;
    }
    return 0;
}

/* --- digests: the manifest, in the same pass
 * ---------------------------------------- */

struct digests {
    struct rh_copy_digest *items;
    struct rh_member **members;
    size_t count;
    bool watched; /* some are computed from what passes */
};

static void digests_free(struct digests *d)
{
    for (size_t i = 0; i < d->count; i++)
        rh_io_unref(d->items[i].io);
    free(d->items);
    free(d->members);
}

/* The files of this disk that no earlier disk has verified. */
static int collect_digests(struct runs *runs, size_t disk, struct digests *ret,
                           rh_error **err)
{
    struct rh_package *p = runs->job->package;
    struct rh_member *m;

    if (runs->job->keeper) /* what it has is of another time */
        return 0;
    for (size_t i = 0;
         (m = rh_package_disk_member(p, runs->vm->index, disk, i)); i++) {
        struct rh_io *io;

        if (!m->digest || m->verified)
            continue;
        if (rh_package_witnesses(p, m)) {
            ret->watched = true;
            continue;
        }
        io = rh_package_file(p, m->name, NULL, err);
        if (!io)
            return -1;
        ret->items =
            rh_realloc_array(ret->items, ret->count + 1, sizeof *ret->items);
        ret->members = rh_realloc_array(ret->members, ret->count + 1,
                                        sizeof *ret->members);
        ret->items[ret->count] =
            (struct rh_copy_digest){.io = io, .algorithm = m->algorithm};
        ret->members[ret->count++] = m;
    }
    return 0;
}

static int check_digests(struct runs *runs, size_t disk,
                         const struct digests *d, rh_error **err)
{
    struct rh_package *p = runs->job->package;
    struct rh_member *m;

    if (runs->job->keeper)
        return 0;
    for (size_t i = 0;
         (m = rh_package_disk_member(p, runs->vm->index, disk, i)); i++)
        if (rh_package_witness(p, m, err) < 0)
            return -1;
    for (size_t i = 0; i < d->count; i++)
        if (rh_package_check_digest(runs->job->package, d->members[i],
                                    d->items[i].hex, err) < 0)
            return -1;
    return 0;
}

/* --- one disk, to all targets
 * ------------------------------------------------------------ */

static struct rh_reader *source_of(const struct run *run, size_t i)
{
    return run->target->overlays ? run->target->overlays[i] : run->vm->disks[i];
}

/* A result that will stay in a folder can be read back: a descriptor of its
 * file, else -1. */
static int readable(const struct run *run, const struct rh_out *out)
{
    if (!out || out->fd < 0 || !run->target->delivery->where)
        return -1;
    return fcntl(out->fd, F_DUPFD_CLOEXEC, 0);
}

/* The same sink, of which the frame's digest is taken as it is written. */
static struct rh_out *watched(struct run *run, struct rh_out *out, bool final)
{
    rh_frame_sum_free(RH_TAKE(run->frame));
    if (!out || out->fd < 0 || !out->seekable || !run->target->delivery->where)
        return out;
    run->frame = rh_frame_sum_new();
    return rh_frame_sum_out(run->frame, out, final);
}

static int open_file_disk(struct run *run, size_t i, rh_error **err)
{
    struct rh_target_disk *d = &run->target->job.disks[i];
    struct rh_reader *source = source_of(run, i);
    bool forward = rh_job_disk_forward(source);
    struct rh_create_options o = {.lib = run->job->lib,
                                  .size = d->virtual_size,
                                  .cluster_size = run->cluster_size,
                                  .compress = run->compress,
                                  .source = forward ? NULL : source};
    const char *format = rh_job_format(run->target);

    run->out = watched(run,
                       rh_delivery_disk(run->target->delivery, i, d->file,
                                        d->virtual_size, err),
                       false);
    if (!run->out)
        return -1;
    o.may_seek = run->out->seekable;
    run->writer = rh_writer_open(format, run->out, &o, err);
    if (!run->writer)
        return -1;
    /* The plan has asked for no other. */
    if (!forward ||
        (run->writer->any_order && source->grain % run->writer->piece == 0))
        return 0;
    return rh_fail(err, RH_ERR_BUG, "%s does not take disks as they come",
                   format);
}

static int open_disk(struct run *run, size_t i, rh_error **err)
{
    if (!run->archive)
        return open_file_disk(run, i, err);
    run->writer = run->target->target->archive->disk(run->archive, i,
                                                     source_of(run, i), err);
    return run->writer ? 0 : -1;
}

/* By reading: the writer could not tell. */
static int read_frame(struct run *run, size_t i, struct rh_io *io,
                      rh_error **err)
{
    RH_AUTO(rh_reader_closep) struct rh_reader *r = NULL;
    struct rh_open_options o = {.lib = run->job->lib};
    const char *format = rh_job_format(run->target);
    struct rh_frame_disk disk = {.size = source_of(run, i)->size};

    r = rh_reader_open(io, strcmp(format, "raw") ? NULL : "raw", &o, err);
    if (!r)
        return -1;
    disk.reader = r;
    /* Without a content digest all of it is the frame. */
    return rh_frame_digest(run->job->lib, io, &disk,
                           run->disks[i].content[0] ? 1 : 0,
                           run->disks[i].frame, err);
}

/* What `verify` compares besides the disk's bytes. */
static int take_frame(struct run *run, size_t i, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    int fd = readable(run, run->out), told;

    if (fd < 0)
        return 0;
    io = rh_io_fd(fd, run->out->name, err);
    if (!io)
        return -1;
    told = !run->frame ? 1
                       : rh_frame_sum_end(run->frame, run->job->lib, io,
                                          run->disks[i].frame, err);
    return told == 1 ? read_frame(run, i, io, err) : told;
}

static int close_disk(struct run *run, size_t i, const struct rh_copy *c,
                      const struct rh_copy_sink *sink, rh_error **err)
{
    struct rh_receipt_disk *receipt = &run->disks[i];

    run->target->job.disks[i].file_size = sink->file_size;
    memcpy(receipt->content, sink->content, sizeof receipt->content);
    memcpy(receipt->source_content, c->source_content,
           sizeof receipt->source_content);
    receipt->data_bytes = c->data_bytes;
    receipt->cloned = sink->cloned;
    if (run->archive)
        return run->target->target->archive->disk_done(run->archive,
                                                       run->writer, err);
    if (rh_out_finish(run->out, sink->file_size, err) < 0 ||
        take_frame(run, i, err) < 0)
        return -1;
    rh_out_close(RH_TAKE(run->out));
    return rh_delivery_disk_done(run->target->delivery, i, sink->file_size,
                                 err);
}

static void drop_disk(struct run *run)
{
    rh_writer_close(run->writer);
    rh_out_close(run->out);
    run->writer = NULL;
    run->out = NULL;
}

/* The plan has opened it to know it; a copy takes it from its start, and with
 * it the digest of its file. */
static int rewind_disk(struct runs *runs, size_t i, struct rh_tee **ret_tee,
                       rh_error **err)
{
    struct rh_job_vm *v = runs->vm;

    if (!rh_job_disk_forward(v->disks[i]))
        return 0;
    rh_reader_close(v->disks[i]);
    v->disks[i] = rh_package_disk_forward(runs->job->package, v->index,
                                          v->order[i], ret_tee);
    if (!v->disks[i]) /* it is no more what it was: its reader says why */
        v->disks[i] =
            rh_package_disk(runs->job->package, v->index, v->order[i], err);
    return v->disks[i] ? 0 : -1;
}

/* What a copy has brought to the runs that own its sinks. */
static int close_disks(struct runs *runs, size_t i, const struct rh_copy *c,
                       struct run **owners, rh_error **err)
{
    int failed = 0;

    for (size_t s = 0; s < c->sink_count; s++) {
        struct run *run = owners[s];
        rh_error *why = RH_TAKE(c->sinks[s].error);

        rh_job_note_problems(&run->target->findings, runs->vm->disks[i],
                             runs->vm->order[i]);
        if (!why)
            close_disk(run, i, c, &c->sinks[s], &why);
        if (why && over_for(runs, run, why, failed ? NULL : err) < 0)
            failed = -1;
    }
    return failed;
}

static int copy_disk(struct runs *runs, size_t i, struct rh_copy_sink *sinks,
                     struct run **owners, size_t count, struct rh_tee *tee,
                     rh_error **err)
{
    __attribute__((cleanup(digests_free))) struct digests digests = {0};
    struct rh_copy c = {.lib = runs->job->lib,
                        .source = runs->vm->disks[i],
                        .sinks = sinks,
                        .sink_count = count,
                        .want_content = true,
                        .done_before = runs->total ? runs->done : 0,
                        .total = runs->total};

    if (!tee && collect_digests(runs, runs->vm->order[i], &digests, err) < 0)
        return -1;
    c.digests = digests.items;
    c.digest_count = digests.count;
    c.trusted = digests.count > 0 || digests.watched;
    if (rh_copy_run(&c, err) < 0)
        return -1;
    if (check_digests(runs, runs->vm->order[i], &digests, err) < 0 ||
        (tee && rh_tee_check(tee, runs->job->package, err) < 0)) {
        for (size_t s = 0; s < count; s++)
            rh_error_drop(&sinks[s].error);
        return -1;
    }
    runs->done += c.data_bytes;
    return close_disks(runs, i, &c, owners, err);
}

/* 1: the keeper had it, and it is the result's now. */
static int give_disk(struct runs *runs, size_t i, rh_error **err)
{
    const struct rh_job_keeper *k = runs->job->keeper;
    struct run *run = &runs->items[0];
    struct rh_job_target *t = run->target;
    struct rh_target_disk *d = &t->job.disks[i];
    int given;

    if (!k || !k->give || runs->count != 1 || run->archive || !t->overlays)
        return 0;
    given = k->give(k->user, runs->vm->order[i], t->overlays[i], d,
                    rh_job_format(t), t->delivery, i, &run->disks[i],
                    &d->file_size, err);
    if (given != 1)
        return given;
    rh_reader_allocated(runs->vm->disks[i], &run->disks[i].data_bytes, NULL);
    runs->done += run->disks[i].data_bytes;
    rh_job_note_problems(&t->findings, runs->vm->disks[i], runs->vm->order[i]);
    return 1;
}

/* A sink for each target that is left; how many, or -1. */
static int open_sinks(struct runs *runs, size_t i, struct rh_copy_sink *sinks,
                      struct run **owners, rh_error **err)
{
    int count = 0;

    for (size_t r = 0; r < runs->count; r++) {
        struct run *run = &runs->items[r];
        rh_error *why = NULL;

        if (run->error)
            continue;
        if (open_disk(run, i, &why) < 0) {
            if (over_for(runs, run, why, err) < 0)
                return -1;
            continue;
        }
        sinks[count] = (struct rh_copy_sink){
            .view = source_of(run, i),
            .writer = run->writer,
            .compress = run->archive ? RH_COMPRESS_NONE : run->compress,
            /* Of a whole that is packed, its sink adds all. */
            .frame = run->archive && run->compress == RH_COMPRESS_ZSTD
                         ? NULL
                         : run->frame};
        owners[count++] = run;
    }
    return count;
}

static int write_disk(struct runs *runs, size_t i, rh_error **err)
{
    RH_AUTO(rh_freep)
    struct rh_copy_sink *sinks = rh_calloc(runs->count, sizeof *sinks);
    RH_AUTO(rh_freep)
    struct run **owners = rh_calloc(runs->count, sizeof(struct run *));
    RH_AUTO(rh_tee_freep) struct rh_tee *tee = NULL;
    int failed = rewind_disk(runs, i, &tee, err);
    int count = failed ? -1 : open_sinks(runs, i, sinks, owners, err);

    failed = count < 0
                 ? -1
                 : copy_disk(runs, i, sinks, owners, (size_t)count, tee, err);
    for (size_t r = 0; r < runs->count; r++)
        drop_disk(&runs->items[r]);
    return failed;
}

/* --- one VM
 * -----------------------------------------------------------------------------------
 */

/* Then it may need next to no room; whether it does shows while copying. */
static bool may_share(const struct run *run, struct rh_delivery *d)
{
    const struct rh_job_vm *vm = run->vm;
    int fds[ORIGINS_MAX];

    for (size_t i = 0; d->ops->may_share && i < vm->disk_count; i++) {
        size_t n = vm->disks_forward || !vm->disks[i]
                       ? 0
                       : rh_reader_origins(vm->disks[i], fds, ORIGINS_MAX);

        while (n)
            if (d->ops->may_share(d, fds[--n]))
                return true;
    }
    return false;
}

/* Enough room for what will be written?  Asked before the work, not after. */
static int check_space(const struct run *run, rh_error **err)
{
    struct rh_delivery *d = run->target->delivery;
    /* Of what is read forward not less than its packed bytes comes out. */
    uint64_t need = run->vm->disks_forward
                        ? run->vm->data_bytes + run->vm->packed_bytes
                        : run->target->output_bytes;
    uint64_t room;

    if (!d->ops->space || d->ops->space(d, &room) < 0 ||
        run->compress != RH_COMPRESS_NONE ||
        (run->job->keeper && run->job->keeper->give && d->ops->adopt))
        return 0;
    if (room >= need || may_share(run, d))
        return 0;
    rh_fail(err, RH_ERR_NO_SPACE,
            "%llu bytes are needed, but only %llu are free",
            (unsigned long long)need, (unsigned long long)room);
    return rh_error_subject(err, d->where);
}

static void add_cloned(struct rh_buf *b, uint64_t cloned)
{
    RH_AUTO(rh_freep) char *size = rh_human_size(cloned);

    if (cloned)
        rh_buf_printf(b, _("  cloned:   %s share blocks with the source\n"),
                      size);
}

static void tell(struct run *run, uint64_t done)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-";
    RH_AUTO(rh_buf_free) struct rh_buf quoted = {0};
    RH_AUTO(rh_freep) char *script = NULL;
    struct rh_buf *b = &run->job->summary;
    const char *where = run->target->delivery->where;
    RH_AUTO(rh_freep) char *size = rh_human_size(done);
    uint64_t cloned = 0;
    size_t cautions = 0;

    run->target->result = rh_strdup(where);
    for (size_t i = 0; i < run->target->job.disk_count; i++)
        cloned += run->disks[i].cloned;
    for (size_t i = 0; i < run->target->findings.count; i++)
        cautions +=
            run->target->findings.items[i].severity == RH_SEVERITY_CAUTION;
    rh_buf_printf(b,
                  dngettext(RH_TEXT_DOMAIN,
                            "%s: %zu disk (%s of data) converted for %s\n",
                            "%s: %zu disks (%s of data) converted for %s\n",
                            run->target->job.disk_count),
                  run->vm->name, run->target->job.disk_count, size,
                  run->target->target->name);
    rh_buf_printf(b, _("  result:   %s\n"), where);
    add_cloned(b, cloned);
    rh_buf_printf(b,
                  dngettext(RH_TEXT_DOMAIN, "  guest:    %zu file changed\n",
                            "  guest:    %zu files changed\n",
                            run->target->edits.count),
                  run->target->edits.count);
    if (!run->target->delivery->files.folder) {
        rh_buf_printf(b, _("delivered: %s as %s\n"), run->vm->name, where);
        return;
    }
    rh_buf_printf(b, _("  findings: %zu to read in %s/report.html\n"), cautions,
                  where);
    script = rh_printf("%s/import.sh", where);
    rh_buf_puts(&quoted, script);
    if (strspn(script, plain) != strlen(script)) {
        quoted.length = 0;
        rh_shell_quote(&quoted, script);
    }
    rh_buf_printf(b, _("  next:     sh %s --help\n"), quoted.data);
}

static struct rh_out *packed_or_plain(struct run *run, struct rh_out *out,
                                      rh_error **err)
{
    if (!out || run->compress != RH_COMPRESS_ZSTD)
        return out;
    return rh_out_pack(out, "zstd", 3, run->job->lib->threads, err);
}

static int open_archive(struct run *run, rh_error **err)
{
    const struct rh_archive_ops *archive = run->target->target->archive;
    RH_AUTO(rh_freep)
    char *name = rh_printf("%s.%s", run->vm->name, archive->format);

    struct rh_out *out = rh_delivery_archive(run->target->delivery, name, err);

    run->archive_fd = readable(run, out);
    out = watched(run, out, run->compress == RH_COMPRESS_ZSTD);
    run->archive_out = packed_or_plain(run, out, err);
    if (!run->archive_out)
        return -1;
    run->archive = archive->open(&run->target->job, run->archive_out, err);
    return run->archive ? 0 : -1;
}

static int begin(struct run *run, rh_error **err)
{
    if (rh_option_compress(run->job->options, &run->compress, err) < 0 ||
        rh_option_cluster(run->job->options, &run->cluster_size, err) < 0)
        return -1;
    run->disks = rh_calloc(run->target->job.disk_count, sizeof *run->disks);
    if (rh_delivery_begin(run->target->delivery, err) < 0 ||
        check_space(run, err) < 0)
        return -1;
    return rh_job_is_archive(run->target) ? open_archive(run, err) : 0;
}

/* Of an archive that is packed itself, all is the frame. */
static int read_archive_frame(struct run *run, struct rh_io *io, rh_error **err)
{
    const struct rh_archive_ops *archive = run->target->target->archive;
    size_t count =
        run->compress == RH_COMPRESS_ZSTD ? 0 : run->target->job.disk_count;
    RH_AUTO(rh_freep)
    struct rh_frame_disk *disks = rh_calloc(count + 1, sizeof *disks);
    int failed = 0;

    for (size_t i = 0; i < count && !failed; i++) {
        disks[i] = (struct rh_frame_disk){
            archive->read(run->job->lib, io, i, err), source_of(run, i)->size};
        failed = disks[i].reader ? 0 : -1;
        if (!run->disks[i].content[0])
            disks[i].size = 0;
    }
    if (!failed)
        failed = rh_frame_digest(run->job->lib, io, disks, count,
                                 run->whole.frame, err);
    for (size_t i = 0; i < count; i++)
        rh_reader_close(disks[i].reader);
    return failed;
}

static int take_archive_frame(struct run *run, rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    int told;

    if (run->archive_fd < 0)
        return 0;
    io = rh_io_fd(run->archive_fd, run->archive_out->name, err);
    run->archive_fd = -1; /* taken */
    if (!io)
        return -1;
    run->whole.size = io->size;
    told = !run->frame ? 1
                       : rh_frame_sum_end(run->frame, run->job->lib, io,
                                          run->whole.frame, err);
    return told == 1 ? read_archive_frame(run, io, err) : told;
}

static int end_archive(struct run *run, rh_error **err)
{
    uint64_t size = 0;

    if (run->target->target->archive->finish(run->archive, &size, err) < 0)
        return -1;
    if (rh_out_finish(run->archive_out, size, err) < 0)
        return -1;
    return take_archive_frame(run, err);
}

static int end(struct run *run, rh_error **err)
{
    if (run->archive && end_archive(run, err) < 0)
        return -1;
    if (!run->target->delivery->ops->put &&
        !rh_option(run->job->options, "receipt"))
        return 0;
    if (run->target->target->emit(&run->target->job, err) < 0)
        return -1;
    return rh_write_documents(run->job, run->vm, run->target, run->disks,
                              &run->whole, err);
}

static void run_free(struct run *run)
{
    if (run->archive)
        run->target->target->archive->close(run->archive);
    rh_out_close(run->archive_out);
    rh_closep(&run->archive_fd);
    rh_frame_sum_free(run->frame);
    rh_delivery_close(RH_TAKE(run->target->delivery));
    free(run->disks);
    rh_error_free(run->error);
}

static int write_all(struct runs *runs, rh_error **err)
{
    if (for_each(runs, begin, err) < 0)
        return -1;
    for (size_t i = 0; i < runs->vm->disk_count; i++) {
        int given = give_disk(runs, i, err);

        if (given < 0 || (!given && write_disk(runs, i, err) < 0))
            return -1;
    }
    return for_each(runs, end, err);
}

static void failed(struct rh_job_target *t, const rh_error *why)
{
    t->state = RH_OUTCOME_FAILED;
    rh_error_again(&t->error, why);
}

/* A receipt for who keeps no result: `verify --at` needs it. */
static int keep_receipt(const struct run *run, rh_error **err)
{
    struct rh_job_target *t = run->target;
    const char *path = rh_option(run->job->options, "receipt");
    json_t *entry;
    int failed;

    if (!path)
        return 0;
    if (!t->receipt || !t->delivery->delivered)
        return rh_fail(err, RH_ERR_UNAVAILABLE,
                       "it could not be learnt what stands there: there is no "
                       "receipt");
    entry = json_pack("{s:s, s:s}", "name", run->vm->name, "url",
                      t->delivery->request.out);
    json_object_update(entry, t->delivery->delivered);
    json_object_set_new(entry, "bytes_sent", json_integer(0));
    json_object_set_new(entry, "seconds", json_real(0));
    failed = rh_receipt_write(path, false, true, t->receipt, entry, err);
    json_decref(entry);
    return failed;
}

/* A name is given to each alone. */
static void commit(struct runs *runs)
{
    for (size_t r = 0; r < runs->count; r++) {
        struct run *run = &runs->items[r];
        struct rh_job_target *t = run->target;

        if (run->error)
            continue;
        if (rh_delivery_commit(t->delivery, &t->error) < 0 ||
            (keep_receipt(run, &t->error) < 0 &&
             rh_error_context(&t->error, _("the VM was delivered as %s, but"),
                              t->delivery->where) < 0)) {
            t->state = RH_OUTCOME_FAILED;
            continue;
        }
        t->state = RH_OUTCOME_DONE;
        if (t->delivery->where)
            tell(run, runs->done);
    }
}

/* For the progress; how much of a disk that is read forward is data shows at
 * its end only.  What can't be read now fails in the copy. */
static void count_data(struct runs *runs)
{
    const struct rh_job_vm *v = runs->vm;

    for (size_t i = 0; i < v->disk_count && !v->disks_forward; i++) {
        uint64_t data = 0;

        rh_reader_allocated(v->disks[i], &data, NULL);
        runs->total += data;
    }
}

/* The first blocker is the reason; the report has them all. */
static bool is_blocked(const struct rh_job_target *t, rh_error **why)
{
    const struct rh_findings *list = &t->findings;

    for (size_t i = 0; i < list->count; i++) {
        const struct rh_finding *f = &list->items[i];

        if (f->severity != RH_SEVERITY_BLOCKER)
            continue;
        rh_fail(why, RH_ERR_PLAN_BLOCKED, "%s: %s (%s)", f->subject, f->message,
                rh_finding_name(f->id));
        if (f->remedy)
            rh_hint(why, "%s", f->remedy);
        rh_error_subject(why, t->vm->name);
        return true;
    }
    return false;
}

/* --done TARGET/NAME: an earlier run has made it. */
static bool is_there(const struct rh_job *job, const struct rh_job_target *t)
{
    size_t n = strlen(t->target->name);
    const char *done;

    for (size_t i = 0; (done = rh_option_at(job->options, "done", i)); i++)
        if (!strncmp(done, t->target->name, n) && done[n] == '/' &&
            !strcmp(done + n + 1, t->vm->name))
            return true;
    return false;
}

/* A target that is blocked does not keep the VM from the others. */
static void add_runs(struct rh_job *job, struct rh_job_vm *v, struct runs *runs)
{
    for (size_t i = 0; i < v->target_count; i++) {
        struct rh_job_target *t = &v->targets[i];
        RH_AUTO(rh_error_freep) rh_error *why = NULL;

        if (is_there(job, t)) {
            rh_delivery_close(RH_TAKE(t->delivery));
            continue;
        }
        if (is_blocked(t, &why)) {
            failed(t, why);
            rh_delivery_close(RH_TAKE(t->delivery));
            continue;
        }
        runs->items[runs->count++] =
            (struct run){.job = job, .vm = v, .target = t, .archive_fd = -1};
    }
}

void rh_job_run_vm(struct rh_job *job, struct rh_job_vm *v)
{
    struct runs runs = {.job = job, .vm = v};
    rh_error *why = NULL;
    bool done = false;

    runs.items = rh_calloc(v->target_count, sizeof *runs.items);
    add_runs(job, v, &runs);
    if (runs.count) {
        count_data(&runs);
        done = write_all(&runs, &why) == 0;
    }
    if (done)
        commit(&runs);
    for (size_t r = 0; r < runs.count; r++) {
        if (runs.items[r].error)
            failed(runs.items[r].target, runs.items[r].error);
        else if (!done)
            failed(runs.items[r].target, why);
        run_free(&runs.items[r]);
    }
    free(runs.items);
    rh_error_free(why);
}
