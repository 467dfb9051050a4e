/* finish.c - the copies become a result, by the job that converts any package.
 *
 * The job reads the VM's configuration from the source and its disks from the
 * copies (struct rh_job_keeper).  In a folder the copies are the result's
 * disks: the guest's edits are written into them, and the result gets a link;
 * so what happens while nothing runs does not grow with the disk.  For a
 * server, an archive or a compressed form they are converted once more. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "convert/documents.h"
#include "convert/frame.h"
#include "convert/warm/warm.h"

/* --- what the copies are
 * ------------------------------------------------------ */

static bool goes_into_a_folder(const char *out)
{
    const struct rh_deliverer *kind = rh_deliverer_of(out);

    return kind->disks && kind->archive && !strcmp(kind->name, "folder");
}

int rh_warm_choose(rh_warm *w, const rh_options *o, rh_error **err)
{
    const char *to = rh_option(o, "to"), *out = rh_option(o, "out");
    const char *format = rh_option(o, "format");
    const char *compress = rh_option(o, "compress");
    const struct rh_target *t = to ? rh_target_named(to) : NULL;

    if (!out || !out[0] || !strcmp(out, "-"))
        return rh_fail(err, RH_ERR_USAGE,
                       "a folder or a server's URL is needed: --out");
    if (!t || rh_option_at(o, "to", 1))
        return rh_fail(err, RH_ERR_USAGE, "one target is needed: --to xen|kvm");
    if (!format)
        format = t->format;
    /* What is unused at the end is not known while the copy is written. */
    w->j.direct = goes_into_a_folder(out) && rh_patch_possible(format) &&
                  (!compress || !strcmp(compress, "none")) &&
                  !rh_option_yes(o, "skip-free");
    w->j.format = rh_strdup(w->j.direct ? format : "qcow2");
    if (w->j.direct)
        return 0;
    w->j.staged = rh_warm_stage_possible(o);
    if (w->j.staged) {
        rh_warm_say(w,
                    _("the disks lie at %s from the first round on, and each "
                      "round writes there what changed; a copy is kept in %s, "
                      "too"),
                    out, w->j.path);
        return 0;
    }
    rh_warm_say(w,
                _("later passes can't be written into %s: a copy is kept in "
                  "%s, and all of it is delivered at the cutover"),
                out, w->j.path);
    return 0;
}

/* --- the job's keeper
 * --------------------------------------------------------- */

struct keeper {
    rh_warm *w;
    int dir;       /* where the copies are */
    bool for_real; /* else in a rehearsal: its own copies */
};

static struct rh_reader *open_kept(void *user, size_t disk, rh_error **err)
{
    const struct keeper *k = user;
    const struct rh_warm_disk *d = &k->w->j.disks.items[disk];
    struct rh_open_options o = {.lib = k->w->lib};
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(k->dir, d->file, RH_IO_NOFOLLOW, err);
    struct rh_reader *r =
        io ? rh_reader_open(io, k->w->j.format, &o, err) : NULL;

    if (!r)
        rh_error_subject(err, d->file);
    return r;
}

/* The journal knows what will be the guest's before it is. */
static int note_edits(struct keeper *k, size_t disk, struct rh_reader *view,
                      rh_error **err)
{
    struct rh_warm_disk *d = &k->w->j.disks.items[disk];
    uint64_t at = 0, start, length;

    if (!k->for_real)
        return 0;
    while (rh_overlay_change_at(view, at, &start, &length)) {
        *rh_vec_add(&d->fixed) = (struct rh_warm_run){start, length};
        at = start + length;
    }
    return d->fixed.count ? rh_warm_journal_save(&k->w->j, err) : 0;
}

static int write_edits(struct keeper *k, struct rh_reader *view,
                       struct rh_patch *copy, struct rh_sums *sums,
                       rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_SUMS_UNIT);
    uint64_t at = 0, start, length;

    while (rh_overlay_change_at(view, at, &start, &length)) {
        size_t n = (size_t)RH_MIN(length, (uint64_t)RH_SUMS_UNIT);

        if (rh_go_on(k->w->lib, err) < 0 ||
            rh_reader_read(view, NULL, buf, n, start, err) < 0 ||
            rh_patch_write(copy, buf, n, start, err) < 0)
            return -1;
        for (uint64_t u = start / RH_SUMS_UNIT;
             u * RH_SUMS_UNIT < start + n && u < sums->count; u++)
            rh_sums_forget(sums, u);
        at = start + n;
    }
    return rh_patch_finish(copy, err);
}

/* The receipt's digests are those of the tree: of the source before, of the
 * result after. */
static int patch_kept(struct keeper *k, size_t disk, struct rh_reader *view,
                      struct rh_receipt_disk *receipt, rh_error **err)
{
    const struct rh_warm_disk *d = &k->w->j.disks.items[disk];
    RH_AUTO(rh_freep) char *name = rh_printf("%s.sums", d->file);
    RH_AUTO(rh_sums_free) struct rh_sums sums = {0};
    RH_AUTO(rh_patch_closep)
    struct rh_patch *copy =
        rh_patch_open(k->w->lib, k->dir, d->file, k->w->j.format, err);

    if (!copy || rh_sums_open(&sums, k->w->j.dir, name, d->size, true, err) < 0)
        return -1;
    rh_sums_content(&sums, receipt->source_content);
    if (k->for_real)
        unlinkat(k->dir, name, 0);
    if (write_edits(k, view, copy, &sums, err) < 0)
        return -1;
    /* Few units: those of the edits. */
    if (receipt->source_content[0] &&
        rh_pass_learn(k->w->lib, copy, &sums, d->size, UINT64_MAX, err) < 0)
        return -1;
    rh_sums_content(&sums, receipt->content);
    return k->for_real ? rh_sums_save(&sums, k->dir, name, err) : 0;
}

/* All else in the file; quick, for the disk's bytes are passed over. */
static int take_frame(struct keeper *k, size_t disk,
                      struct rh_receipt_disk *receipt, rh_error **err)
{
    RH_AUTO(rh_reader_closep) struct rh_reader *r = open_kept(k, disk, err);
    const struct rh_frame_disk f = {r, k->w->j.disks.items[disk].size};

    if (!r)
        return -1;
    if (!receipt->content[0]) /* it would be all of the file */
        return 0;
    return rh_frame_digest(k->w->lib, r->io, &f, 1, receipt->frame, err);
}

static int give_kept(void *user, size_t disk, struct rh_reader *view,
                     const struct rh_target_disk *to, const char *format,
                     struct rh_delivery *delivery, size_t place,
                     struct rh_receipt_disk *receipt, uint64_t *ret_size,
                     rh_error **err)
{
    struct keeper *k = user;
    const struct rh_warm_disk *d = &k->w->j.disks.items[disk];
    struct stat st;

    if (k->for_real && k->w->j.staged) {
        *ret_size = 0;
        return rh_warm_stage_give(k->w, disk, view, delivery, place, err) < 0
                   ? -1
                   : 1;
    }
    if (!k->w->j.direct || strcmp(format, k->w->j.format) != 0 ||
        rh_overlay_base(view)->size != to->virtual_size ||
        !delivery->ops->adopt)
        return 0;
    if (note_edits(k, disk, view, err) < 0 ||
        patch_kept(k, disk, view, receipt, err) < 0 ||
        take_frame(k, disk, receipt, err) < 0 ||
        rh_delivery_adopt(delivery, place, to->file, k->dir, d->file, err) < 0)
        return -1;
    if (fstatat(k->dir, d->file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_READ, errno,
                             "the copy of a disk is gone");
    *ret_size = (uint64_t)st.st_size;
    return 1;
}

/* --- jobs
 * --------------------------------------------------------------------- */

struct made {
    rh_job *job;
    struct keeper keeper;
    struct rh_job_keeper hook;
};

static void made_free(struct made *m)
{
    rh_job_free(m->job);
    m->job = NULL;
}

static int make_job(rh_warm *w, struct rh_warm_side *s, struct made *m,
                    const rh_options *o, rh_error **err)
{
    m->job = rh_job_new(s->package, o, err);
    if (!m->job)
        return -1;
    m->keeper.w = w;
    m->hook = (struct rh_job_keeper){
        .open = open_kept, .give = give_kept, .user = &m->keeper};
    m->job->keeper = &m->hook;
    return 0;
}

static int blocked(rh_job *job, rh_error **err)
{
    const rh_outcome *o = rh_job_outcome(job, 0);
    const rh_finding *f;

    for (size_t i = 0; o && (f = rh_outcome_finding(o, i)); i++)
        if (rh_finding_severity(f) == RH_FINDING_BLOCKER) {
            rh_fail(err, RH_ERR_PLAN_BLOCKED, "%s: %s (%s)",
                    rh_finding_subject(f), rh_finding_message(f),
                    rh_finding_id(f));
            return rh_finding_remedy(f)[0]
                       ? rh_hint(err, "%s", rh_finding_remedy(f))
                       : -1;
        }
    return 0;
}

int rh_warm_foresee(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    rh_options *o = rh_warm_options(w->j.options, true);
    rh_job *job = rh_job_new(s->package, o, err);
    int failed = job ? 0 : -1;

    rh_options_free(o);
    if (job && rh_warm_side_looks(s))
        failed = rh_job_prepare(job, err) < 0 ? -1 : blocked(job, err);
    rh_job_free(job);
    return failed;
}

static double seconds_since(const struct timespec *from)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - from->tv_sec) +
           (double)(t.tv_nsec - from->tv_nsec) / 1e9;
}

int rh_warm_try(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    __attribute__((cleanup(made_free))) struct made m = {
        .keeper = {.dir = w->j.dir}};
    rh_options *o = rh_warm_options(w->j.options, true);
    struct timespec from;
    int failed;

    rh_warm_stage_options(w, o);
    clock_gettime(CLOCK_MONOTONIC, &from);
    failed = make_job(w, s, &m, o, err) < 0 || rh_job_prepare(m.job, err) < 0 ||
             blocked(m.job, err) < 0;
    rh_options_free(o);
    if (failed)
        return -1;
    w->j.fix_seconds = seconds_since(&from);
    return rh_warm_journal_save(&w->j, err);
}

/* --- handing over
 * ------------------------------------------------------------- */

/* What it will be called is known before it is made: see found.c. */
static int note_name(rh_warm *w, rh_job *job, rh_error **err)
{
    const struct rh_job_vm *v = job->vms.count ? &job->vms.items[0] : NULL;

    free(w->j.delivered_as);
    w->j.delivered_as = v ? rh_strdup(v->name) : NULL;
    return rh_warm_journal_save(&w->j, err);
}

static void put_marks(const rh_warm *w, rh_options *o)
{
    const struct rh_deliverer *kind = rh_deliverer_of(rh_option(o, "out"));

    if (!w->j.mark)
        return;
    rh_options_put(o, "receipt-mark", w->j.mark);
    if (kind->server || kind->find)
        rh_options_put(o, "mark", w->j.mark);
}

static int run_job(rh_warm *w, struct rh_warm_side *s, bool start,
                   rh_error **err)
{
    __attribute__((cleanup(made_free))) struct made m = {
        .keeper = {.dir = w->j.dir, .for_real = true}};
    rh_options *o = rh_warm_options(w->j.options, true);
    RH_AUTO(rh_freep) char *text = NULL;
    int failed;

    put_marks(w, o);
    rh_warm_stage_options(w, o);
    if (start)
        rh_options_put(o, "start", "yes");
    failed = make_job(w, s, &m, o, err) < 0 || rh_job_prepare(m.job, err) < 0 ||
             note_name(w, m.job, err) < 0 || rh_job_run(m.job, err) < 0;
    rh_options_free(o);
    if (failed)
        return -1;
    text = rh_job_summary(m.job);
    rh_buf_puts(&w->said, text);
    w->j.result = rh_strdup(rh_job_result(m.job, 0));
    return 0;
}

int rh_warm_hand_over(rh_warm *w, struct rh_warm_side *s, bool start,
                      rh_error **err)
{
    if (run_job(w, s, start, err) < 0)
        return -1;
    w->j.state = RH_WARM_HANDED;
    w->j.started = start;
    return rh_warm_journal_save(&w->j, err);
}

/* --- rehearsal
 * ---------------------------------------------------------------- */

/* Blocks are shared where the file system can; else it is a copy. */
static int clone_file(rh_warm *w, int to, const char *file, rh_error **err)
{
    RH_AUTO(rh_closep)
    int in = openat(w->j.dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    RH_AUTO(rh_closep)
    int out =
        in < 0 ? -1
               : openat(to, file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (out < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make a copy of %s", file);
    return ioctl(out, FICLONE, in) == 0 ? 1 : 0;
}

static int clone_all(rh_warm *w, int to, rh_error **err)
{
    for (size_t i = 0; i < w->j.disks.count; i++) {
        int cloned = clone_file(w, to, w->j.disks.items[i].file, err);

        if (cloned != 1)
            return cloned;
    }
    return 1;
}

static int open_rehearsal(rh_warm *w, rh_error **err)
{
    int fd;

    rh_remove_tree(w->j.dir, "rehearsal");
    if (mkdirat(w->j.dir, "rehearsal", 0700) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make a folder for the rehearsal");
    fd = openat(w->j.dir, "rehearsal",
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                                  "cannot make a folder for the rehearsal")
                  : fd;
}

/* Its cards lead to that network alone; without one they have no link. */
static int isolate(struct rh_warm_side *s, rh_options *o, const char *network,
                   rh_error **err)
{
    const struct rh_vm *vm = s->package->vms.items[0];
    RH_AUTO(rh_freep)
    char *map = rh_printf("*=%s", network ? network : "isolated");

    for (size_t i = 0; i < o->list.count; i++)
        if (!strcmp(o->list.items[i].key, "network-map") ||
            !strcmp(o->list.items[i].key, "vmid")) {
            free(o->list.items[i].key);
            free(o->list.items[i].value);
            memmove(o->list.items + i, o->list.items + i + 1,
                    (--o->list.count - i) * sizeof *o->list.items);
            i--;
        }
    if (network)
        rh_options_put(o, "network-map", map);
    for (size_t i = 0; !network && i < vm->nics.count; i++) {
        RH_AUTO(rh_freep) char *set = rh_printf("nic%zu.connected=no", i);

        if (rh_package_set(s->package, set, err) < 0)
            return -1;
    }
    return 0;
}

static int rehearse(rh_warm *w, struct rh_warm_side *s, int dir, bool shared,
                    const char *network, rh_error **err)
{
    __attribute__((cleanup(made_free))) struct made m = {
        .keeper = {.dir = shared ? dir : w->j.dir}};
    rh_options *o = rh_warm_options(w->j.options, true);
    RH_AUTO(rh_freep) char *name = rh_printf("%s-rehearsal", w->j.name);
    RH_AUTO(rh_freep) char *text = NULL;
    int failed;

    rh_options_put(o, "name", name);
    rh_options_put(o, "overwrite", "yes");
    failed = isolate(s, o, network, err) < 0 || make_job(w, s, &m, o, err) < 0;
    if (!failed && !shared)
        m.hook.give = NULL;
    failed = failed || rh_job_run(m.job, err) < 0;
    rh_options_free(o);
    if (failed)
        return -1;
    text = rh_job_summary(m.job);
    rh_buf_puts(&w->said, text);
    return 0;
}

int rh_warm_try_out(rh_warm *w, struct rh_warm_side *s, const char *network,
                    rh_error **err)
{
    RH_AUTO(rh_closep) int dir = open_rehearsal(w, err);
    int shared = dir < 0 ? -1 : w->j.direct ? clone_all(w, dir, err) : 0;
    int failed;

    if (shared == 0)
        rh_warm_say(w, _("the rehearsal is a full copy of the disks"));
    failed = shared < 0 || rehearse(w, s, dir, shared == 1, network, err);

    rh_remove_tree(w->j.dir, "rehearsal");
    return failed ? -1 : 0;
}
