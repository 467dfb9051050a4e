/* run.c - carry a plan out: one pass over each disk, then the configuration,
 * then the name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/copy.h"
#include "convert/documents.h"
#include "convert/plan.h"
#include "rehost/rehost.h"

/* One VM going to one target's folder. */
struct run {
    struct rh_plan *plan;
    struct rh_plan_vm *vm;
    struct rh_plan_target *target;
    struct rh_outdir *dir; /* NULL: a lone archive goes to a pipe */
    enum rh_compress compress;
    uint32_t cluster_size;
    uint64_t done, total;  /* progress over all disks */
    struct rh_receipt_disk *disks;
};

/* --- digests: the manifest, in the same pass ---------------------------------------- */

struct digests {
    struct rh_copy_digest *items;
    struct rh_member **members;
    size_t count;
};

static void digests_free(struct digests *d)
{
    for (size_t i = 0; i < d->count; i++)
        rh_io_unref(d->items[i].io);
    free(d->items);
    free(d->members);
}

/* The files of this disk that no earlier disk has verified. */
static int collect_digests(struct run *run, size_t disk, struct digests *ret,
                           rh_error **err)
{
    struct rh_package *p = run->plan->package;
    struct rh_member *m;

    for (size_t i = 0;
         (m = rh_package_disk_member(p, run->vm->index, disk, i)); i++) {
        struct rh_io *io;

        if (!m->digest || m->verified)
            continue;
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

static int check_digests(struct run *run, const struct digests *d,
                         rh_error **err)
{
    for (size_t i = 0; i < d->count; i++)
        if (rh_package_check_digest(run->plan->package, d->members[i],
                                    d->items[i].hex, err) < 0)
            return -1;
    return 0;
}

/* --- one disk --------------------------------------------------------------------------- */

static struct rh_reader *source_of(const struct run *run, size_t i)
{
    return run->target->overlays ? run->target->overlays[i]
                                 : run->vm->disks[i];
}

static int copy_disk(struct run *run, size_t i, struct rh_writer *w,
                     rh_error **err)
{
    __attribute__((cleanup(digests_free))) struct digests digests = {0};
    struct rh_copy c = {.lib = run->plan->lib,
                        .source = source_of(run, i),
                        .writer = w,
                        .compress = run->compress,
                        .done_before = run->done,
                        .total = run->total};
    struct rh_receipt_disk *receipt = &run->disks[i];

    if (collect_digests(run, run->target->job.disks[i].index, &digests, err) <
        0)
        return -1;
    c.digests = digests.items;
    c.digest_count = digests.count;
    c.trusted = digests.count > 0;
    if (rh_copy_run(&c, err) < 0 || check_digests(run, &digests, err) < 0)
        return -1;
    run->done += c.data_bytes;
    memcpy(receipt->content, c.content, sizeof receipt->content);
    receipt->data_bytes = c.data_bytes;
    run->target->job.disks[i].file_size = c.file_size;
    return 0;
}

static const char *disk_format(const struct run *run)
{
    const char *format = run->target->options.format;

    return format ? format : run->target->target->format;
}

static int write_disk(struct run *run, size_t i, rh_error **err)
{
    struct rh_target_disk *d = &run->target->job.disks[i];
    struct rh_reader *source = source_of(run, i);
    struct rh_create_options o = {.lib = run->plan->lib,
                                  .size = d->virtual_size,
                                  .cluster_size = run->cluster_size,
                                  .compress = run->compress,
                                  .may_seek = true,
                                  .source = source};
    RH_AUTO(rh_out_closep)
    struct rh_out *out = rh_out_file_at(run->dir->fd, d->file, err);
    RH_AUTO(rh_writer_closep) struct rh_writer *w = NULL;

    if (!out)
        return -1;
    w = rh_writer_open(disk_format(run), out, &o, err);
    if (!w || copy_disk(run, i, w, err) < 0)
        return -1;
    return rh_out_finish(out, d->file_size, err);
}

static int write_disks(struct run *run, rh_error **err)
{
    for (size_t i = 0; i < run->target->job.disk_count; i++)
        if (write_disk(run, i, err) < 0)
            return -1;
    return 0;
}

/* --- targets whose disks lie inside one archive ---------------------------------------------- */

static int fill_archive(struct run *run, struct rh_archive *a, rh_error **err)
{
    const struct rh_archive_ops *ops = run->target->target->archive;

    for (size_t i = 0; i < run->target->job.disk_count; i++) {
        RH_AUTO(rh_writer_closep)
        struct rh_writer *w = ops->disk(a, i, source_of(run, i), err);

        if (!w || copy_disk(run, i, w, err) < 0 ||
            ops->disk_done(a, w, err) < 0)
            return -1;
    }
    return 0;
}

static int write_archive(struct run *run, struct rh_out *out, rh_error **err)
{
    const struct rh_archive_ops *ops = run->target->target->archive;
    struct rh_archive *a = ops->open(&run->target->job, out, err);
    uint64_t size = 0;
    int failed;

    if (!a)
        return -1;
    failed = fill_archive(run, a, err);
    if (!failed)
        failed = ops->finish(a, &size, err);
    if (!failed)
        failed = rh_out_finish(out, size, err);
    ops->close(a);
    return failed;
}

static struct rh_out *packed_or_plain(struct run *run, struct rh_out *out,
                                      rh_error **err)
{
    if (!out || run->compress != RH_COMPRESS_ZSTD)
        return out;
    return rh_out_pack(out, "zstd", 3, run->plan->lib->threads, err);
}

static int write_archive_file(struct run *run, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s.xva", run->vm->name);
    RH_AUTO(rh_out_closep)
    struct rh_out *out =
        packed_or_plain(run, rh_out_file_at(run->dir->fd, name, err), err);

    return out ? write_archive(run, out, err) : -1;
}

static bool is_archive(const struct run *run)
{
    return run->target->target->archive && !strcmp(disk_format(run), "xva");
}

/* --- one VM ----------------------------------------------------------------------------------- */

/* The first blocker is the reason; the report has them all. */
static int refuse_blocked(const struct run *run, rh_error **err)
{
    const struct rh_findings *list = &run->target->findings;

    for (size_t i = 0; i < list->count; i++) {
        const struct rh_finding *f = &list->items[i];

        if (f->severity != RH_SEVERITY_BLOCKER)
            continue;
        rh_fail(err, RH_ERR_PLAN_BLOCKED, "%s: %s (%s)", f->subject,
                f->message, rh_finding_name(f->id));
        if (f->remedy)
            rh_hint(err, "%s", f->remedy);
        return rh_where(err, run->vm->name);
    }
    return 0;
}

/* Enough room for what will be written?  Asked before the work, not after. */
static int check_space(const struct run *run, rh_error **err)
{
    uint64_t room;

    if (!run->dir || rh_outdir_space(run->dir, &room) < 0 ||
        run->compress != RH_COMPRESS_NONE)
        return 0;
    if (room >= run->target->output_bytes)
        return 0;
    rh_fail(err, RH_ERR_NO_SPACE,
            "%llu bytes are needed, but only %llu are free",
            (unsigned long long)run->target->output_bytes,
            (unsigned long long)room);
    return rh_where(err, run->dir->path);
}

static int write_all(struct run *run, rh_error **err)
{
    if (is_archive(run) ? write_archive_file(run, err)
                        : write_disks(run, err))
        return -1;
    if (run->target->target->emit(&run->target->job, err) < 0)
        return -1;
    return rh_write_documents(run->plan, run->vm, run->target, run->disks,
                              err);
}

static void tell(struct run *run)
{
    struct rh_buf *b = &run->plan->summary;
    RH_AUTO(rh_freep) char *size = rh_human_size(run->done);
    size_t cautions = 0;
    char **result = rh_vec_add(&run->plan->results);

    *result = rh_strdup(run->dir->path);
    for (size_t i = 0; i < run->target->findings.count; i++)
        cautions +=
            run->target->findings.items[i].severity == RH_SEVERITY_CAUTION;
    rh_buf_printf(b, _("%s: %zu disks (%s of data) converted for %s\n"),
                  run->vm->name, run->target->job.disk_count, size,
                  run->target->target->name);
    rh_buf_printf(b, _("  result:   %s\n"), run->dir->path);
    rh_buf_printf(b, _("  guest:    %zu files changed\n"),
                  run->target->edits.count);
    rh_buf_printf(b, _("  findings: %zu to read in %s/report.html\n"),
                  cautions, run->dir->path);
    rh_buf_printf(b, _("  next:     sh %s/import.sh --help\n"),
                  run->dir->path);
}

/* DIR/NAME, or DIR/TARGET/NAME when there are several targets. */
static char *out_folder(const struct run *run)
{
    const char *out = rh_option(run->plan->options, "out");

    if (run->vm->targets.count == 1)
        return rh_strdup(out);
    return rh_printf("%s/%s", out, run->target->target->name);
}

static int run_to_folder(struct run *run, rh_error **err)
{
    RH_AUTO(rh_freep) char *folder = out_folder(run);
    RH_AUTO(rh_outdir_closep)
    struct rh_outdir *dir =
        rh_outdir_new(folder, run->vm->name,
                      rh_option_yes(run->plan->options, "overwrite"), err);
    int failed;

    if (!dir)
        return -1;
    run->dir = dir;
    run->target->job.out = dir;
    failed = check_space(run, err) || write_all(run, err) ||
             rh_outdir_commit(dir, err);
    if (!failed)
        tell(run);
    run->target->job.out = NULL;
    run->dir = NULL;
    return failed ? -1 : 0;
}

static int run_to_pipe(struct run *run, rh_error **err)
{
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    RH_AUTO(rh_out_closep) struct rh_out *out = NULL;

    if (!is_archive(run) || run->plan->vms.count > 1) {
        if (fd >= 0)
            close(fd);
        rh_fail(err, RH_ERR_PLAN_OPTION,
                "only one VM as an XVA can go to standard output");
        return rh_hint(err, "use --to xen with --format xva, or give --out a "
                            "folder");
    }
    if (fd < 0)
        return rh_fail(err, RH_ERR_FILE_OPEN, "there is no standard output");
    out = packed_or_plain(run, rh_out_fd(fd, "-"), err);
    return out ? write_archive(run, out, err) : -1;
}

static int run_one(struct rh_plan *plan, struct rh_plan_vm *v,
                   struct rh_plan_target *t, rh_error **err)
{
    const char *out = rh_option(plan->options, "out");
    struct run run = {.plan = plan, .vm = v, .target = t};
    int failed;

    if (rh_option_compress(plan->options, &run.compress, err) < 0 ||
        rh_option_cluster(plan->options, &run.cluster_size, err) < 0 ||
        refuse_blocked(&run, err) < 0)
        return -1;
    for (size_t i = 0; i < t->job.disk_count; i++) {
        uint64_t data;

        if (rh_reader_allocated(source_of(&run, i), &data, err) < 0)
            return -1;
        run.total += data;
    }
    run.disks = rh_calloc(t->job.disk_count, sizeof *run.disks);
    failed = !strcmp(out, "-") ? run_to_pipe(&run, err)
                               : run_to_folder(&run, err);
    free(run.disks);
    return failed;
}

int rh_plan_run(rh_plan *plan, rh_error **err)
{
    const char *out = rh_option(plan->options, "out");

    if (!out || !out[0]) {
        rh_fail(err, RH_ERR_PLAN_OPTION, "it was not said where to write");
        return rh_hint(err, "add --out DIR");
    }
    if (rh_plan_prepare(plan, err) < 0)
        return -1;
    /* A blocker anywhere is said before anything is written. */
    for (size_t i = 0; i < plan->vms.count; i++)
        for (size_t t = 0; t < plan->vms.items[i].targets.count; t++) {
            struct run run = {.plan = plan,
                              .vm = &plan->vms.items[i],
                              .target = &plan->vms.items[i].targets.items[t]};

            if (refuse_blocked(&run, err) < 0)
                return -1;
        }
    for (size_t i = 0; i < plan->vms.count; i++)
        for (size_t t = 0; t < plan->vms.items[i].targets.count; t++)
            if (run_one(plan, &plan->vms.items[i],
                        &plan->vms.items[i].targets.items[t], err) < 0)
                return -1;
    return 0;
}
