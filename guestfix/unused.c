/* unused.c - what the guest's file systems do not use, disk by disk.
 *
 * Only volumes whose bytes belong to nobody else: where two of them overlap, or
 * where LVM keeps snapshots that still read what is free today, all is kept. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/backends/backends.h"
#include "guestfix/backends/unused.h"
#include "guestfix/engine.h"

struct look {
    struct rh_session s; /* its disks are numbered as the VM's */
    struct rh_gaps **gaps;
    struct rh_findings *findings;
    bool *shared; /* by volume: another one lies on its bytes */
};

/* --- who else lies there ------------------------------------------------- */

struct place {
    const struct rh_span *span;
    size_t volume;
};

static int by_place(const void *a, const void *b)
{
    const struct rh_span *x = ((const struct place *)a)->span;
    const struct rh_span *y = ((const struct place *)b)->span;

    if (x->disk != y->disk)
        return x->disk < y->disk ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* What holds others (a physical volume, a slice with a label) is not met by
 * them. */
static bool holds_bytes(const struct rh_volume *v)
{
    return (v->lv || (v->fstype && strcmp(v->fstype, "LVM2_member") != 0)) &&
           !v->has_label;
}

static void mark_shared(struct look *l)
{
    const struct rh_volumes *all = &l->s.volumes;
    RH_VEC(struct place) places = {0};
    size_t widest = 0;

    for (size_t i = 0; i < all->all.count; i++)
        for (size_t k = 0; k < all->all.items[i].span_count; k++)
            if (holds_bytes(&all->all.items[i]))
                *rh_vec_add(&places) =
                    (struct place){&all->all.items[i].spans[k], i};
    if (places.count)
        qsort(places.items, places.count, sizeof *places.items, by_place);
    for (size_t i = 1; i < places.count; i++) {
        const struct rh_span *a = places.items[widest].span;
        const struct rh_span *b = places.items[i].span;

        if (a->disk == b->disk && b->offset - a->offset < a->length) {
            l->shared[places.items[widest].volume] = true;
            l->shared[places.items[i].volume] = true;
        }
        if (a->disk != b->disk || a->offset + a->length < b->offset + b->length)
            widest = i;
    }
    free(places.items);
}

/* Snapshots and the like of its volume group have no spans here. */
static bool has_snapshots(const struct look *l, const struct rh_volume *v)
{
    for (size_t i = 0; v->vg && i < l->s.volumes.all.count; i++) {
        const struct rh_volume *other = &l->s.volumes.all.items[i];

        if (other->vg && !strcmp(other->vg, v->vg) && !other->span_count)
            return true;
    }
    return false;
}

/* --- one volume ---------------------------------------------------------- */

static void kept(struct look *l, const struct rh_volume *v, const char *why)
{
    RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", v->disk);

    rh_finding_add(l->findings, RH_F_FREE_KEPT, subject,
                   N_("%s: its unused blocks are copied, too: %s"), v->device,
                   why);
}

/* Where bytes of the volume lie on the disks. */
static void place_run(struct look *l, const struct rh_volume *v,
                      const struct rh_gap *run)
{
    for (size_t i = 0; i < v->span_count; i++) {
        const struct rh_span *s = &v->spans[i];
        uint64_t start = RH_MAX(run->start, s->start);
        uint64_t end = RH_MIN(run->end, s->start + s->length);

        if (start < end && s->disk < l->s.count)
            rh_gaps_add(l->gaps[s->disk], s->offset + (start - s->start),
                        s->offset + (end - s->start));
    }
}

static int ask(struct look *l, const struct rh_volume *v, struct rh_fs *fs,
               rh_error **err)
{
    struct rh_unused_out out = {.size = rh_volume_bytes(v)};
    const char *why = NULL;
    int r = fs->ops->unused(fs, &out, &why, err);

    if (r > 0)
        kept(l, v, why);
    if (r == 0)
        for (size_t i = 0; i < out.runs.list.count; i++)
            place_run(l, v, &out.runs.list.items[i]);
    rh_gaps_free(&out.runs);
    return r < 0 ? -1 : 0;
}

/* Kinds that say nothing to us, but may be large. */
static const char *other_kind(const struct rh_volume *v)
{
    static const char *const kinds[] = {
        "ufs",      "zfs_member", "crypto_LUKS", "jfs",  "BitLocker",
        "reiserfs", "f2fs",       "geli",        "ReFS", "linux_raid_member"};

    for (size_t i = 0; v->fstype && i < RH_COUNT(kinds); i++)
        if (!strcmp(v->fstype, kinds[i]))
            return _("what it uses is not known for this kind");
    return NULL;
}

static bool is_asked(const struct rh_volume *v)
{
    return !strncmp(v->fstype, "ext", 3) || !strcmp(v->fstype, "btrfs") ||
           !strcmp(v->fstype, "xfs") || !strcmp(v->fstype, "ntfs");
}

static int look_at(struct look *l, size_t index, rh_error **err)
{
    const struct rh_volume *v = &l->s.volumes.all.items[index];
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    const char *why = other_kind(v);
    struct rh_fs *fs = NULL;
    int r = 0;

    if (why || !v->fstype || !v->span_count) {
        if (why)
            kept(l, v, why);
        return 0;
    }
    fs = rh_volume_open(&l->s, v, &why, &fault);
    if (rh_error_number(fault) == RH_ERR_CANCELLED) {
        *err = RH_TAKE(fault);
        return -1;
    }
    if (!fs || !fs->ops->unused) {
        if (!fs && is_asked(v))
            kept(l, v, why ? why : _("it is damaged"));
    } else if (l->shared[index]) {
        kept(l, v, _("another volume lies on its blocks"));
    } else if (has_snapshots(l, v)) {
        kept(l, v, _("its volume group may hold snapshots of it"));
    } else {
        r = ask(l, v, fs, err);
    }
    if (fs)
        fs->ops->close(fs);
    return r;
}

/* --- all of them --------------------------------------------------------- */

static int look_at_all(struct look *l, const struct rh_vm *vm, rh_error **err)
{
    struct rh_session *s = &l->s;

    if (rh_volumes_find(s->disks, vm, &s->volumes, err) < 0)
        return -1;
    l->shared = rh_calloc(s->volumes.all.count + 1, sizeof *l->shared);
    mark_shared(l);
    for (size_t i = 0; i < s->volumes.all.count; i++)
        if (look_at(l, i, err) < 0)
            return -1;
    return 0;
}

static void tell(struct look *l, size_t i, uint64_t bytes)
{
    RH_AUTO(rh_freep) char *subject = rh_printf("disks/%zu", i);
    RH_AUTO(rh_freep) char *size = rh_human_size(bytes);

    if (bytes)
        rh_finding_add(l->findings, RH_F_FREE_SKIPPED, subject,
                       N_("%s that its file systems do not use are left out"),
                       size);
    if (l->gaps[i]->full)
        rh_finding_add(l->findings, RH_F_FREE_KEPT, subject,
                       N_("its free space lies in too many pieces; some of it "
                          "is copied"));
}

int rh_guest_unused(struct rh_reader **disks, size_t count,
                    const struct rh_vm *vm, const size_t *order, rh_lib *lib,
                    struct rh_gaps *gaps, struct rh_findings *findings,
                    rh_error **err)
{
    struct rh_guest_options o = {.lib = lib, .findings = findings};
    struct rh_reader **in_order = rh_calloc(count + 1, sizeof(void *));
    struct rh_gaps **of_disk = rh_calloc(count + 1, sizeof(void *));
    struct look l = {.s = {.o = &o, .overlays = in_order, .count = count},
                     .gaps = of_disk,
                     .findings = findings};
    int failed;

    for (size_t i = 0; i < count; i++) {
        in_order[order ? order[i] : i] = disks[i];
        of_disk[order ? order[i] : i] = &gaps[i];
    }
    l.s.disks = rh_disks_new(in_order, count, lib);
    failed = look_at_all(&l, vm, err);
    for (size_t i = 0; i < count && !failed; i++)
        tell(&l, i, rh_gaps_settle(of_disk[i]));
    rh_volumes_free(&l.s.volumes);
    rh_disks_free(l.s.disks);
    free(l.shared);
    free(of_disk);
    free(in_order);
    return failed;
}
