/* stage.c - disks at the target, which each round brings up to date.
 *
 * Of each MiB is known what it was when it was sent last (diskN.sent, a digest
 * tree like that of the copies): what the copy has otherwise is sent.  So it
 * does not matter where a run died, nor what the guest's fix had written. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "convert/warm/warm.h"
#include "deliver/deliver.h"

enum { UNITS_AT_ONCE = 1024 }; /* of one request */

typedef RH_VEC(struct rh_range) ranges;

static void ranges_free(ranges *r)
{
    free(r->items);
}

/* --- the far end
 * ------------------------------------------------------------- */

static const struct rh_stager *stager_of(const char *out)
{
    return rh_deliverer_of(out)->stager;
}

bool rh_warm_stage_possible(const rh_options *o)
{
    const char *to = rh_option(o, "to"), *out = rh_option(o, "out");
    const char *format = rh_option(o, "format");
    const struct rh_stager *kind = stager_of(out);
    const struct rh_target *t = rh_target_named(to);

    return kind && t && !strcmp(kind->target, to) &&
           (!format || !strcmp(format, t->format) ||
            !strcmp(format, kind->format)) &&
           !rh_option(o, "compress") && !rh_option_yes(o, "skip-free");
}

struct stage {
    struct rh_stage far;
    rh_options *options;
};

static void close_stage(struct stage *s)
{
    if (s->far.kind)
        s->far.kind->close(&s->far);
    rh_options_free(s->options);
}

static int open_stage(rh_warm *w, struct stage *s, rh_error **err)
{
    s->options = rh_warm_options(w->j.options, true);
    s->far = (struct rh_stage){.kind = stager_of(rh_option(s->options, "out")),
                               .lib = w->lib,
                               .out = rh_option(s->options, "out"),
                               .options = s->options,
                               .mark = w->j.mark};
    return s->far.kind->open(&s->far, err);
}

/* --- a disk there
 * ------------------------------------------------------------ */

static char *sent_name(const struct rh_warm_disk *d)
{
    return rh_printf("%s.sent", d->file);
}

/* What it says is on the medium before it counts on it. */
static int save_sent(rh_warm *w, const struct rh_warm_disk *d,
                     const struct rh_sums *sent, rh_error **err)
{
    RH_AUTO(rh_freep) char *name = sent_name(d);

    return rh_sums_save(sent, w->j.dir, name, err) < 0 || fsync(w->j.dir) < 0
               ? -1
               : 0;
}

static uint64_t size_there(const rh_warm *w, const struct rh_warm_disk *d)
{
    const struct rh_target *t = rh_target_named(rh_option(w->j.options, "to"));

    return t->disk_unit ? rh_round_up(d->size, t->disk_unit) : d->size;
}

static int make_disk(rh_warm *w, struct stage *s, size_t i,
                     struct rh_sums *sent, rh_error **err)
{
    static const uint8_t zero[RH_SUM];
    struct rh_warm_disk *d = &w->j.disks.items[i];

    free(d->there);
    d->there = NULL;
    if (s->far.kind->make(&s->far, i, w->j.vm_name, size_there(w, d), &d->there,
                          err) < 0)
        return -1;
    for (uint64_t u = 0; u < sent->count; u++)
        rh_sums_set(sent, u, zero);
    return save_sent(w, d, sent, err) < 0 ? -1
                                          : rh_warm_journal_save(&w->j, err);
}

static int find_disk(rh_warm *w, struct stage *s, size_t i,
                     struct rh_sums *sent, rh_error **err)
{
    struct rh_warm_disk *d = &w->j.disks.items[i];
    RH_AUTO(rh_freep) char *name = sent_name(d);
    bool there = false;

    if (rh_sums_open(sent, w->j.dir, name, d->size, true, err) < 0 ||
        (d->there && s->far.kind->look(&s->far, d->there, size_there(w, d),
                                       &there, err) < 0))
        return -1;
    if (there)
        return 0;
    if (d->there)
        rh_warm_say(w, _("disk %zu at the target is gone: it is made anew"), i);
    return make_disk(w, s, i, sent, err);
}

/* --- what is to be sent
 * ------------------------------------------------------ */

static void add_unit(ranges *list, uint64_t unit, uint64_t size)
{
    uint64_t start = unit * RH_SUMS_UNIT;
    uint64_t n = RH_MIN((uint64_t)RH_SUMS_UNIT, size - start);
    struct rh_range *last = list->count ? &list->items[list->count - 1] : NULL;

    if (last && last->offset + last->length == start)
        last->length += n;
    else
        *rh_vec_add(list) = (struct rh_range){start, n};
}

static bool differs(const struct rh_sums *now, const struct rh_sums *sent,
                    uint64_t unit)
{
    return !rh_sums_known(now, unit) || !rh_sums_known(sent, unit) ||
           !rh_sums_same(sent, unit, now->items + unit * RH_SUM);
}

struct sending {
    rh_warm *w;
    struct stage *stage;
    const struct rh_warm_disk *disk;
    struct rh_reader *copy;
    const struct rh_sums *now;
    struct rh_sums *sent;
    uint64_t done, total; /* units */
};

/* One request: the units from *unit on that differ; *unit goes behind them. */
static int send_some(struct sending *s, uint64_t *unit, rh_error **err)
{
    RH_AUTO(ranges_free) ranges list = {0};
    uint64_t first = *unit, n = 0;

    for (; *unit < s->now->count && n < UNITS_AT_ONCE; ++*unit)
        if (differs(s->now, s->sent, *unit)) {
            add_unit(&list, *unit, s->disk->size);
            n++;
        }
    if (rh_go_on(s->w->lib, err) < 0 ||
        (n && s->stage->far.kind->write(&s->stage->far, s->disk->there, s->copy,
                                        list.items, list.count,
                                        &s->w->j.delivered_bytes, err) < 0))
        return -1;
    for (uint64_t u = first; u < *unit; u++)
        if (rh_sums_known(s->now, u))
            rh_sums_set(s->sent, u, s->now->items + u * RH_SUM);
    s->done += n;
    rh_progress(s->w->lib, "send", s->done, s->total);
    return 0;
}

static int send_all(struct sending *s, rh_error **err)
{
    uint64_t unit = 0;
    int failed = 0;

    for (uint64_t u = 0; u < s->now->count; u++)
        if (differs(s->now, s->sent, u)) {
            rh_sums_forget(s->sent, u);
            s->total++;
        }
    if (!s->total)
        return 0;
    if (save_sent(s->w, s->disk, s->sent, err) < 0)
        return -1;
    while (unit < s->now->count && !failed)
        failed = send_some(s, &unit, err);
    /* What has arrived counts, also when it was interrupted. */
    return save_sent(s->w, s->disk, s->sent, failed ? NULL : err) < 0 || failed
               ? -1
               : 0;
}

static int send_disk(rh_warm *w, struct stage *stage, size_t i, rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[i];
    RH_AUTO(rh_freep) char *name = rh_printf("%s.sums", d->file);
    RH_AUTO(rh_sums_free) struct rh_sums now = {0};
    RH_AUTO(rh_sums_free) struct rh_sums sent = {0};
    RH_AUTO(rh_reader_closep) struct rh_reader *copy = rh_warm_copy(w, i, err);
    struct sending s = {.w = w,
                        .stage = stage,
                        .disk = d,
                        .copy = copy,
                        .now = &now,
                        .sent = &sent};

    return !copy ||
                   rh_sums_open(&now, w->j.dir, name, d->size, true, err) < 0 ||
                   find_disk(w, stage, i, &sent, err) < 0
               ? -1
               : send_all(&s, err);
}

int rh_warm_stage_send(rh_warm *w, rh_error **err)
{
    __attribute__((cleanup(close_stage))) struct stage s = {0};
    uint64_t before = w->j.delivered_bytes;
    struct timespec from, to;
    struct rh_warm_round *r = &w->j.rounds.items[w->j.rounds.count - 1];

    if (!w->j.staged)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (open_stage(w, &s, err) < 0)
        return -1;
    for (size_t i = 0; i < w->j.disks.count; i++)
        if (send_disk(w, &s, i, err) < 0)
            return -1;
    clock_gettime(CLOCK_MONOTONIC, &to);
    r->delivered += w->j.delivered_bytes - before;
    r->seconds += (double)(to.tv_sec - from.tv_sec) +
                  (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    return rh_warm_journal_save(&w->j, err);
}

/* --- the cutover
 * ------------------------------------------------------------- */

/* What is written there is of the job that makes the VM, and no copy's. */
int rh_warm_stage_give(rh_warm *w, size_t disk, struct rh_reader *view,
                       struct rh_delivery *delivery, size_t place,
                       rh_error **err)
{
    const struct rh_warm_disk *d = &w->j.disks.items[disk];
    RH_AUTO(rh_freep) char *name = sent_name(d);
    RH_AUTO(rh_sums_free) struct rh_sums sent = {0};
    RH_AUTO(ranges_free) ranges list = {0};
    uint64_t at = 0, start, length;

    if (rh_sums_open(&sent, w->j.dir, name, d->size, true, err) < 0)
        return -1;
    while (rh_overlay_change_at(view, at, &start, &length)) {
        *rh_vec_add(&list) = (struct rh_range){start, length};
        at = start + length;
        for (uint64_t u = start / RH_SUMS_UNIT;
             u * RH_SUMS_UNIT < at && u < sent.count; u++)
            rh_sums_forget(&sent, u);
    }
    if (list.count && save_sent(w, d, &sent, err) < 0)
        return -1;
    return delivery->ops->there(delivery, place, d->there, view, list.items,
                                list.count, err);
}

bool rh_warm_stage_ready(const rh_warm *w)
{
    for (size_t i = 0; i < w->j.disks.count; i++)
        if (!w->j.disks.items[i].there)
            return false;
    return w->j.staged && w->j.disks.count;
}

/* The options of a job whose disks lie there. */
void rh_warm_stage_options(const rh_warm *w, rh_options *o)
{
    if (!rh_warm_stage_ready(w))
        return;
    rh_options_put(o, "staged", "yes");
    if (w->j.mark && !rh_option(o, "mark"))
        rh_options_put(o, "mark", w->j.mark);
    rh_options_put(o, "format", stager_of(rh_option(o, "out"))->format);
}

/* Before the VM is made of them. */
int rh_warm_stage_clean(rh_warm *w, rh_error **err)
{
    __attribute__((cleanup(close_stage))) struct stage s = {0};

    if (!w->j.staged || w->j.state >= RH_WARM_HANDED)
        return 0;
    if (open_stage(w, &s, err) < 0)
        return -1;
    return s.far.kind->clean(&s.far, err);
}
