/* disks.c - cached access to overlays, and volumes as lists of spans. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/disks.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNIT = 64 * 1024,
    SLOTS = 128, /* 8 MiB */
};

struct slot {
    bool used;
    size_t disk;
    uint64_t unit;
    uint8_t *bytes;
};

struct rh_disks {
    struct rh_reader **overlays;
    size_t count;
    struct rh_codec *codec;
    rh_lib *lib;
    pthread_mutex_t *lock; /* of who else uses the overlays; NULL: nobody */
    struct slot slots[SLOTS];
};

struct rh_disks *rh_disks_new(struct rh_reader **overlays, size_t count,
                              rh_lib *lib)
{
    struct rh_disks *d = rh_new0(struct rh_disks);

    d->overlays = overlays;
    d->count = count;
    d->lib = lib;
    d->codec = rh_codec_new();
    return d;
}

void rh_disks_free(struct rh_disks *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        free(d->slots[i].bytes);
    rh_codec_free(d->codec);
    free(d);
}

void rh_disks_share(struct rh_disks *d, pthread_mutex_t *lock)
{
    d->lock = lock;
}

static void lock(struct rh_disks *d)
{
    if (d->lock)
        pthread_mutex_lock(d->lock);
}

static void unlock(struct rh_disks *d)
{
    if (d->lock)
        pthread_mutex_unlock(d->lock);
}

static int read_overlay(struct rh_disks *d, size_t disk, void *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    int r;

    lock(d);
    r = rh_reader_read(d->overlays[disk], d->codec, buf, n, offset, err);
    unlock(d);
    return r;
}

static int write_overlay(struct rh_disks *d, size_t disk, const void *buf,
                         size_t n, uint64_t offset, rh_error **err)
{
    int r;

    lock(d);
    r = rh_overlay_write(d->overlays[disk], buf, n, offset, err);
    unlock(d);
    return r;
}

static void each_overlay(struct rh_disks *d, void (*fn)(struct rh_reader *))
{
    lock(d);
    for (size_t i = 0; i < d->count; i++)
        fn(d->overlays[i]);
    unlock(d);
}

void rh_disks_mark(struct rh_disks *d)
{
    each_overlay(d, rh_overlay_mark);
}

void rh_disks_keep(struct rh_disks *d)
{
    each_overlay(d, rh_overlay_keep);
}

void rh_disks_go_back(struct rh_disks *d)
{
    each_overlay(d, rh_overlay_go_back);
    rh_disks_forget(d);
}

void rh_disks_forget(struct rh_disks *d)
{
    for (size_t i = 0; i < SLOTS; i++)
        d->slots[i].used = false;
}

rh_lib *rh_disks_lib(const struct rh_disks *d)
{
    return d->lib;
}

size_t rh_disks_count(const struct rh_disks *d)
{
    return d->count;
}

uint64_t rh_disks_size(const struct rh_disks *d, size_t disk)
{
    return disk < d->count ? d->overlays[disk]->size : 0;
}

static int check_range(const struct rh_disks *d, size_t disk, size_t n,
                       uint64_t offset, rh_error **err)
{
    uint64_t size = rh_disks_size(d, disk);

    if (offset > size || n > size - offset)
        return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                       "the guest's structures point behind the end of disk "
                       "%zu",
                       disk);
    return 0;
}

/* Fill the slot of a unit; the last unit of a disk may be short. */
static struct slot *fetch(struct rh_disks *d, size_t disk, uint64_t unit,
                          rh_error **err)
{
    struct slot *s = &d->slots[(unit + disk * 37) % SLOTS];
    uint64_t at = unit * UNIT;
    size_t n = (size_t)RH_MIN((uint64_t)UNIT, d->overlays[disk]->size - at);

    if (s->used && s->disk == disk && s->unit == unit)
        return s;
    if (d->lib && rh_go_on(d->lib, err) < 0)
        return NULL;
    if (!s->bytes)
        s->bytes = rh_malloc(UNIT);
    s->used = false;
    if (read_overlay(d, disk, s->bytes, n, at, err) < 0)
        return NULL;
    s->used = true;
    s->disk = disk;
    s->unit = unit;
    return s;
}

int rh_disks_read(struct rh_disks *d, size_t disk, void *buf, size_t n,
                  uint64_t offset, rh_error **err)
{
    uint8_t *to = buf;

    if (check_range(d, disk, n, offset, err) < 0)
        return -1;
    while (n) {
        uint64_t inside = offset % UNIT;
        size_t part = (size_t)RH_MIN((uint64_t)n, UNIT - inside);
        struct slot *s;

        /* Whole runs go around the cache. */
        if (!inside && n >= UNIT) {
            part = n - n % UNIT;
            if (read_overlay(d, disk, to, part, offset, err) < 0)
                return -1;
        } else {
            s = fetch(d, disk, offset / UNIT, err);
            if (!s)
                return -1;
            memcpy(to, s->bytes + inside, part);
        }
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* Written through, so that big reads around the cache see it. */
static void forget(struct rh_disks *d, size_t disk, uint64_t offset, size_t n,
                   const uint8_t *bytes)
{
    uint64_t first = offset / UNIT, last = n ? (offset + n - 1) / UNIT : first;

    for (uint64_t unit = first; n && unit <= last; unit++) {
        struct slot *s = &d->slots[(unit + disk * 37) % SLOTS];
        uint64_t from = RH_MAX(offset, unit * UNIT);
        uint64_t to = RH_MIN(offset + n, (unit + 1) * UNIT);

        if (s->used && s->disk == disk && s->unit == unit)
            memcpy(s->bytes + (from - unit * UNIT), bytes + (from - offset),
                   (size_t)(to - from));
    }
}

int rh_disks_write(struct rh_disks *d, size_t disk, const void *buf, size_t n,
                   uint64_t offset, rh_error **err)
{
    if (check_range(d, disk, n, offset, err) < 0 ||
        write_overlay(d, disk, buf, n, offset, err) < 0)
        return -1;
    forget(d, disk, offset, n, buf);
    return 0;
}

/* --- volumes ---------------------------------------------------------------
 */
uint64_t rh_volume_bytes(const struct rh_volume *v)
{
    const struct rh_span *last;

    if (!v->span_count)
        return 0;
    last = &v->spans[v->span_count - 1];
    return last->start + last->length;
}

/* The span that holds `offset`, which becomes relative to it. */
static const struct rh_span *span_at(const struct rh_volume *v,
                                     uint64_t *offset)
{
    size_t low = 0, high = v->span_count;

    if (*offset >= rh_volume_bytes(v))
        return NULL;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (v->spans[mid].start <= *offset)
            low = mid;
        else
            high = mid;
    }
    *offset -= v->spans[low].start;
    return &v->spans[low];
}

static int outside(const struct rh_volume *v, rh_error **err)
{
    return rh_fail(err, RH_ERR_GUEST_DAMAGED,
                   "the file system on %s points behind its end", v->device);
}

int rh_volume_read(struct rh_disks *d, const struct rh_volume *v, void *buf,
                   size_t n, uint64_t offset, rh_error **err)
{
    uint8_t *to = buf;

    while (n) {
        uint64_t inside = offset;
        const struct rh_span *s = span_at(v, &inside);
        size_t part;

        if (!s)
            return outside(v, err);
        part = (size_t)RH_MIN((uint64_t)n, s->length - inside);
        if (rh_disks_read(d, s->disk, to, part, s->offset + inside, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

int rh_volume_write(struct rh_disks *d, const struct rh_volume *v,
                    const void *buf, size_t n, uint64_t offset, rh_error **err)
{
    const uint8_t *from = buf;

    while (n) {
        uint64_t inside = offset;
        const struct rh_span *s = span_at(v, &inside);
        size_t part;

        if (!s)
            return outside(v, err);
        part = (size_t)RH_MIN((uint64_t)n, s->length - inside);
        if (rh_disks_write(d, s->disk, from, part, s->offset + inside, err) < 0)
            return -1;
        from += part;
        offset += part;
        n -= part;
    }
    return 0;
}
