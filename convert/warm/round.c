/* round.c - one round: every disk once, and the journal around it.
 *
 * A round that was interrupted goes on where the source tells what changed: its
 * first try read the disks as they were at `part_mark`, up to (at_disk, at).
 * What lies before is right but for what changed since that mark; behind it all
 * is to be read as in any round.  Tries in between only make more of it right.
 * Elsewhere the round begins again, and reads what it must. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "convert/warm/warm.h"
#include "formats/patch.h"

enum { ROUNDS_KEPT = 10000 };
/* Digests that the last round leaves to be learned: more would be time in which
 * nothing runs. */
#define LEARN_AT_LAST (2 * RH_GIB)

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *sums_name(const struct rh_warm_disk *d)
{
    return rh_printf("%s.sums", d->file);
}

/* --- the copies
 * --------------------------------------------------------------- */

struct rh_reader *rh_warm_copy(rh_warm *w, size_t i, rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[i];
    struct rh_open_options o = {.lib = w->lib};
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = rh_io_file_at(w->j.dir, d->file, RH_IO_NOFOLLOW, err);
    struct rh_reader *r;

    if (!io)
        return NULL;
    r = rh_reader_open(io, w->j.format, &o, err);
    if (!r)
        rh_error_subject(err, d->file);
    return r;
}

static uint64_t copy_size(const rh_warm *w, uint64_t size)
{
    const struct rh_target *t = rh_target_named(rh_option(w->j.options, "to"));

    return t && t->disk_unit && w->j.direct ? rh_round_up(size, t->disk_unit)
                                            : size;
}

static int make_copy(rh_warm *w, size_t i, rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[i];
    uint32_t cluster = 0;

    unlinkat(w->j.dir, d->file, 0);
    if (rh_option_cluster(w->j.options, &cluster, err) < 0)
        return -1;
    return rh_patch_create(w->lib, w->j.dir, d->file, w->j.format,
                           copy_size(w, d->size),
                           strcmp(w->j.format, "qcow2") ? 0 : cluster, err);
}

/* --- one disk
 * ----------------------------------------------------------------- */

struct one {
    rh_warm *w;
    size_t disk;
    uint64_t changed, sent; /* of the round's disks before, and of before an
                               interruption */
};

static int keep(void *user, uint64_t at, uint64_t changed, uint64_t sent,
                rh_error **err)
{
    struct one *o = user;

    if (o->disk == o->w->j.at_disk)
        o->w->j.at = RH_MAX(o->w->j.at, at);
    o->w->j.round_changed = o->changed + changed;
    o->w->j.round_sent = o->sent + sent;
    return rh_warm_journal_save(&o->w->j, err);
}

/* What the guest fix wrote into the copy is the source's no more. */
static void take_back(const struct rh_warm_disk *d, struct rh_sums *sums,
                      rh_pass_areas *areas)
{
    for (size_t i = 0; i < d->fixed.count; i++) {
        uint64_t start = RH_MIN(d->fixed.items[i].start, d->size);
        uint64_t end =
            start + RH_MIN(d->fixed.items[i].length, d->size - start);

        for (uint64_t u = start / RH_SUMS_UNIT; u * RH_SUMS_UNIT < end; u++)
            rh_sums_forget(sums, u);
        *rh_vec_add(areas) =
            (struct rh_pass_area){.start = start, .length = end - start};
    }
}

static uint64_t bytes_of(const rh_pass_areas *areas)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < areas->count; i++)
        sum += areas->items[i].length;
    return sum;
}

static int pass_over(struct one *o, struct rh_pass *p, bool last,
                     rh_error **err)
{
    rh_warm *w = o->w;
    const struct rh_warm_disk *d = &w->j.disks.items[o->disk];
    RH_AUTO(rh_freep) char *name = sums_name(d);

    if (rh_pass_run(p, err) < 0 || rh_patch_finish(p->copy, err) < 0)
        return -1;
    w->j.round_changed = o->changed + p->changed;
    w->j.round_sent = o->sent + p->sent;
    if (rh_pass_learn(w->lib, p->copy, p->sums, d->size,
                      last ? LEARN_AT_LAST : UINT64_MAX, err) < 0)
        return -1;
    return rh_sums_save(p->sums, w->j.dir, name, err);
}

static void areas_free(rh_pass_areas *areas)
{
    free(areas->items);
}

/* Nothing of it counts yet, whatever a try that was killed has left in it: what
 * the guest gave up since would not be told, and stay. */
static bool is_new(const rh_warm *w, size_t i)
{
    return w->j.rounds.count == 0 &&
           (i > w->j.at_disk || (i == w->j.at_disk && w->j.at == 0));
}

static int open_copy(rh_warm *w, struct rh_pass *p, size_t i, bool *ret_made,
                     rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[i];
    struct stat st;

    *ret_made = false;
    if (is_new(w, i))
        unlinkat(w->j.dir, d->file, 0);
    if (fstatat(w->j.dir, d->file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (w->j.rounds.count) {
            rh_fail(err, RH_ERR_WARM_JOURNAL, "the copy of a disk is gone");
            return rh_error_subject(err, d->file);
        }
        if (make_copy(w, i, err) < 0)
            return -1;
        *ret_made = true;
    }
    p->copy = rh_patch_open(w->lib, w->j.dir, d->file, w->j.format, err);
    if (!p->copy)
        return -1;
    if (p->copy->size >= d->size)
        return 0;
    rh_fail(err, RH_ERR_WARM_JOURNAL,
            "the copy holds %llu bytes, fewer than the disk's %llu",
            (unsigned long long)p->copy->size, (unsigned long long)d->size);
    return rh_error_subject(err, d->file);
}

static const char *how_of(const rh_warm *w, bool known)
{
    if (w->j.rounds.count == 0)
        return "full";
    return known ? "changes" : "compare";
}

/* Areas behind `from`. */
static void clip(rh_pass_areas *areas, size_t first, uint64_t from)
{
    for (size_t i = first; i < areas->count; i++) {
        struct rh_pass_area *a = &areas->items[i];
        uint64_t end = a->start + a->length;

        a->start = RH_MAX(a->start, RH_MIN(from, end));
        a->length = end - a->start;
    }
}

/* Of a disk that an earlier try has been at. */
static bool is_part(const rh_warm *w, size_t i)
{
    return w->j.disks.items[i].part_mark &&
           (i < w->j.at_disk || (i == w->j.at_disk && w->j.at > 0));
}

static int find_areas(rh_warm *w, struct rh_warm_side *s, size_t i,
                      rh_pass_areas *areas, bool *known, rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[i];
    size_t first;

    *known = true;
    if (is_part(w, i) &&
        rh_warm_side_areas(w, s, i, d->part_mark, areas, known, err) < 0)
        return -1;
    if (!*known || (is_part(w, i) && i < w->j.at_disk))
        return 0;
    first = areas->count;
    if (w->j.rounds.count && !d->mark)
        *known = false;
    else if (rh_warm_side_areas(w, s, i, w->j.rounds.count ? d->mark : NULL,
                                areas, known, err) < 0)
        return -1;
    clip(areas, first, is_part(w, i) ? w->j.at : 0);
    return 0;
}

static int check_size(const struct one *o, const struct rh_reader *source,
                      rh_error **err)
{
    uint64_t size = o->w->j.disks.items[o->disk].size;

    if (source->size == size)
        return 0;
    return rh_fail(err, RH_ERR_WARM_CHANGED,
                   "disk %zu had %llu bytes, and has %llu now", o->disk,
                   (unsigned long long)size, (unsigned long long)source->size);
}

static int prepare_disk(struct one *o, struct rh_warm_side *s,
                        struct rh_pass *p, rh_pass_areas *areas,
                        const char **how, rh_error **err)
{
    rh_warm *w = o->w;
    const struct rh_warm_disk *d = &w->j.disks.items[o->disk];
    RH_AUTO(rh_freep) char *name = sums_name(d);
    bool known = false, made;

    p->source = rh_warm_side_disk(w, s, o->disk, err);
    if (!p->source || check_size(o, p->source, err) < 0 ||
        open_copy(w, p, o->disk, &made, err) < 0 ||
        rh_sums_open(p->sums, w->j.dir, name, d->size, !made, err) < 0 ||
        find_areas(w, s, o->disk, areas, &known, err) < 0)
        return -1;
    /* From here on they are not the copy's: one that dies leaves none. */
    unlinkat(w->j.dir, name, 0);
    if (rh_warm_journal_save(&w->j, err) < 0)
        return -1;
    take_back(d, p->sums, areas);
    rh_pass_areas_sort(areas);
    p->areas = known ? areas : NULL;
    p->fresh = made;
    p->total = d->size;
    *how = how_of(w, known);
    if (known)
        rh_log(w->lib, RH_LOG_INFO, "disk %zu: %llu bytes are to be read",
               o->disk, (unsigned long long)bytes_of(areas));
    return 0;
}

static int do_disk(struct one *o, struct rh_warm_side *s, bool last,
                   const char **how, rh_error **err)
{
    rh_warm *w = o->w;
    RH_AUTO(rh_sums_free) struct rh_sums sums = {0};
    RH_AUTO(areas_free) rh_pass_areas areas = {0};
    struct rh_pass p = {.lib = w->lib, .sums = &sums, .keep = keep, .user = o};
    int failed = prepare_disk(o, s, &p, &areas, how, err);

    if (!failed)
        failed = pass_over(o, &p, last, err);
    rh_patch_close(p.copy);
    rh_reader_close(p.source);
    if (failed)
        return -1;
    if (o->disk == w->j.at_disk) {
        w->j.at_disk++;
        w->j.at = 0;
    }
    return rh_warm_journal_save(&w->j, err);
}

/* --- all of them
 * -------------------------------------------------------------- */

static const char *ending_of(const char *format)
{
    return !strcmp(format, "raw")   ? "raw"
           : !strcmp(format, "vhd") ? "vhd"
                                    : "qcow2";
}

/* Which disks there are is known with the first look. */
static int note_disks(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    const struct rh_vm *vm = s->package->vms.items[0];

    if (w->j.disks.count == vm->disks.count && vm->disks.count)
        return 0;
    if (w->j.disks.count)
        return rh_fail(err, RH_ERR_WARM_CHANGED,
                       "the VM had %zu disks, and has %zu now",
                       w->j.disks.count, vm->disks.count);
    if (vm->disks.count == 0)
        return rh_fail(err, RH_ERR_WARM_CHANGED, "the VM has no disks");
    for (size_t i = 0; i < vm->disks.count; i++) {
        struct rh_warm_disk *d = rh_vec_add(&w->j.disks);

        d->file = rh_printf("disk%zu.%s", i, ending_of(w->j.format));
    }
    return 0;
}

static int note_sizes(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    for (size_t i = 0; i < w->j.disks.count; i++) {
        struct rh_warm_disk *d = &w->j.disks.items[i];
        struct rh_reader *r;

        if (d->size)
            continue;
        r = rh_warm_side_disk(w, s, i, err);
        if (!r)
            return -1;
        d->size = r->size;
        rh_reader_close(r);
    }
    return 0;
}

/* From its beginning; copies that nothing is known of yet are made anew. */
static void begin_again(rh_warm *w)
{
    w->j.at_disk = 0;
    w->j.at = 0;
    w->j.round_changed = w->j.round_sent = 0;
    for (size_t i = 0; w->j.rounds.count == 0 && i < w->j.disks.count; i++)
        unlinkat(w->j.dir, w->j.disks.items[i].file, 0);
}

static void set_part_marks(rh_warm *w)
{
    for (size_t i = 0; i < w->j.disks.count; i++) {
        struct rh_warm_disk *d = &w->j.disks.items[i];

        free(d->part_mark);
        d->part_mark = rh_strdup(d->next_mark);
    }
}

/* Every disk that was begun has a mark of that time. */
static bool goes_on(const rh_warm *w)
{
    for (size_t i = 0; i < w->j.disks.count && i <= w->j.at_disk; i++)
        if (!w->j.disks.items[i].part_mark)
            return false;
    return w->j.in_round;
}

static int begin(rh_warm *w, struct rh_warm_side *s, bool last, rh_error **err)
{
    if (note_disks(w, s, err) < 0 || rh_warm_side_freeze(w, s, last, err) < 0 ||
        note_sizes(w, s, err) < 0)
        return -1;
    if (!w->j.in_round)
        w->j.round_seconds = 0;
    if (!goes_on(w)) {
        begin_again(w);
        set_part_marks(w);
    }
    w->j.in_round = true;
    return rh_warm_journal_save(&w->j, err);
}

/* With --every for months the journal stays small: of so many the first and the
 * last ones are kept. */
static void forget_round(rh_warm *w)
{
    struct rh_warm_round *r = w->j.rounds.items;

    if (w->j.rounds.count < ROUNDS_KEPT)
        return;
    free(r[1].how);
    memmove(r + 1, r + 2, (w->j.rounds.count - 2) * sizeof *r);
    w->j.rounds.count--;
    w->j.rounds_forgotten++;
}

static void end(rh_warm *w, const char *how, bool last, double seconds)
{
    struct rh_warm_round *r;

    forget_round(w);
    r = rh_vec_add(&w->j.rounds);
    *r = (struct rh_warm_round){.how = rh_strdup(how),
                                .changed = w->j.round_changed,
                                .sent = w->j.round_sent,
                                .seconds = w->j.round_seconds + seconds,
                                .started = time(NULL) - (time_t)seconds,
                                .last = last};
    for (size_t i = 0; i < w->j.disks.count; i++) {
        struct rh_warm_disk *d = &w->j.disks.items[i];

        d->fixed.count = 0;
        free(d->part_mark);
        d->part_mark = NULL;
        if (!d->next_mark) /* what changed since the earlier one is enough */
            continue;
        free(d->mark);
        d->mark = RH_TAKE(d->next_mark);
    }
    w->j.in_round = false;
    w->j.snapshot_ended = w->j.snapshot != NULL;
    w->j.at_disk = 0;
    w->j.at = 0;
    w->j.round_changed = w->j.round_sent = 0;
    w->j.round_seconds = 0;
    if (w->j.state == RH_WARM_NEW)
        w->j.state = RH_WARM_SYNCED;
}

static int do_disks(rh_warm *w, struct rh_warm_side *s, bool last,
                    const char **how, rh_error **err)
{
    *how = how_of(w, true);
    for (size_t i = 0; i < w->j.disks.count; i++) {
        struct one o = {w, i, w->j.round_changed, w->j.round_sent};
        const char *this = NULL;

        if (do_disk(&o, s, last, &this, err) < 0)
            return -1;
        if (strcmp(this, "compare") == 0)
            *how = this;
    }
    return 0;
}

/* The next try counts on nothing of this one but the journal. */
static int stopped(rh_warm *w, struct rh_warm_side *s, double seconds)
{
    w->j.round_seconds += seconds;
    rh_warm_journal_save(&w->j, NULL);
    rh_warm_side_thaw(w, s, NULL);
    return -1;
}

int rh_warm_round(rh_warm *w, struct rh_warm_side *s, bool last, rh_error **err)
{
    double from = now();
    const char *how;

    if (begin(w, s, last, err) < 0) {
        rh_warm_side_thaw(w, s, NULL);
        return -1;
    }
    if (do_disks(w, s, last, &how, err) < 0)
        return stopped(w, s, now() - from);
    end(w, how, last, now() - from);
    if (rh_warm_journal_save(&w->j, err) < 0) {
        rh_warm_side_thaw(w, s, NULL);
        return -1;
    }
    rh_progress(w->lib, "copy", 1, 1);
    return rh_warm_side_thaw(w, s, err);
}
