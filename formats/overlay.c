/* overlay.c - a reader that is also writable: the guest's edits.
 *
 * Changed units of 64 KiB lie in the slots of an unlinked temporary file, in
 * the order in which they were first written: the file is as long as what was
 * edited, however large the disk.  A map, in pages that exist only where
 * something changed, leads from a unit to its slot.  The base is never written.
 *
 * After rh_overlay_mark() a unit that is written gets a new slot, and its old
 * one is kept: going back to the mark is putting the old slots into the map
 * again, and gives the very bytes of before.
 *
 * Writing is for one thread (the guest's editor); once that is done, any number
 * of threads may read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/bytes.h"
#include "formats/format.h"

enum {
    UNIT = 64 * 1024,
    PAGE_UNITS = 8192, /* one page of the map covers 512 MiB */
    NO_SLOT = 0,       /* slots are counted from 1 */
};
#define SINCE_MARK \
    0x80000000u /* in the map: the slot is younger than the mark */

struct page {
    uint64_t index; /* of its first unit, in pages */
    uint32_t *slots;
};

/* What a unit had before it was first written after the mark. */
struct before {
    uint64_t unit;
    uint32_t slot;
};

struct overlay {
    struct rh_reader *base;
    int fd;
    RH_VEC(struct page) pages; /* by index, ascending */
    uint64_t changed;          /* units */
    uint32_t slots;            /* in the file */
    RH_VEC(uint32_t) unused;   /* slots in the file that hold nothing */
    bool marked;
    RH_VEC(struct before) before;
    struct rh_codec *codec;
};

/* --- the map
 * -------------------------------------------------------------------------- */
/* The first page at or behind `index`. */
static size_t page_from(const struct overlay *o, uint64_t index)
{
    size_t low = 0, high = o->pages.count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (o->pages.items[mid].index < index)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint32_t entry_of(const struct overlay *o, uint64_t unit)
{
    size_t p = page_from(o, unit / PAGE_UNITS);

    if (p == o->pages.count || o->pages.items[p].index != unit / PAGE_UNITS)
        return NO_SLOT;
    return o->pages.items[p].slots[unit % PAGE_UNITS];
}

static bool is_changed(const struct overlay *o, uint64_t unit)
{
    return entry_of(o, unit) != NO_SLOT;
}

static void set_entry(struct overlay *o, uint64_t unit, uint32_t entry)
{
    uint64_t index = unit / PAGE_UNITS;
    size_t p = page_from(o, index);

    if (p == o->pages.count || o->pages.items[p].index != index) {
        rh_vec_add(&o->pages);
        memmove(o->pages.items + p + 1, o->pages.items + p,
                (o->pages.count - 1 - p) * sizeof *o->pages.items);
        o->pages.items[p] = (struct page){
            index, rh_calloc(PAGE_UNITS, sizeof *o->pages.items[p].slots)};
    }
    o->pages.items[p].slots[unit % PAGE_UNITS] = entry;
}

/* The first unit from `unit` on, before `end`, that is changed or is not. */
static uint64_t next_unit(const struct overlay *o, uint64_t unit, uint64_t end,
                          bool changed)
{
    while (unit < end) {
        uint64_t index = unit / PAGE_UNITS;
        uint64_t stop = RH_MIN((index + 1) * PAGE_UNITS, end);
        size_t p = page_from(o, index);
        const uint32_t *slots =
            p < o->pages.count && o->pages.items[p].index == index
                ? o->pages.items[p].slots
                : NULL;

        if (!slots && !changed)
            return unit;
        while (slots && unit < stop)
            if ((slots[unit % PAGE_UNITS] != NO_SLOT) == changed)
                return unit;
            else
                unit++;
        /* Where no page is, nothing is changed up to the next one. */
        if (!slots)
            unit =
                p < o->pages.count ? o->pages.items[p].index * PAGE_UNITS : end;
    }
    return end;
}

/* How far from `unit` on do units have the same state? In units. */
static uint64_t run_length(const struct overlay *o, uint64_t unit,
                           uint64_t units, bool changed)
{
    return RH_MIN(next_unit(o, unit, units, !changed), units) - unit;
}

static uint64_t offset_of(uint32_t entry)
{
    return ((uint64_t)(entry & ~SINCE_MARK) - 1) * UNIT;
}

static uint32_t take_slot(struct overlay *o)
{
    return o->unused.count ? o->unused.items[--o->unused.count] : ++o->slots;
}

static void leave_slot(struct overlay *o, uint32_t entry)
{
    *rh_vec_add(&o->unused) = entry & ~SINCE_MARK;
}

/* --- reading
 * -------------------------------------------------------------------------- */
static int overlay_extent(struct rh_reader *r, uint64_t offset,
                          struct rh_extent *ret, rh_error **err)
{
    struct overlay *o = r->state;
    uint64_t unit = offset / UNIT, units = rh_div_up(r->size, UNIT);
    bool changed = is_changed(o, unit);
    uint64_t end = (unit + run_length(o, unit, units, changed)) * UNIT;

    end = RH_MIN(end, r->size);
    ret->length = end - offset;
    ret->kind = RH_EXTENT_DATA;
    if (!changed) {
        if (rh_reader_extent(o->base, offset, ret, err) < 0)
            return -1;
        ret->length = RH_MIN(ret->length, end - offset);
    }
    return 0;
}

/* Of changed units, each from its slot. */
static int read_changed(const struct overlay *o, char *buf, size_t n,
                        uint64_t offset, rh_error **err)
{
    while (n) {
        uint64_t inside = offset % UNIT;
        size_t part = (size_t)RH_MIN((uint64_t)n, UNIT - inside);
        uint64_t at = offset_of(entry_of(o, offset / UNIT)) + inside;
        ssize_t got = pread(o->fd, buf, part, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return rh_fail_errno(err, RH_ERR_FILE_READ, got ? errno : EIO,
                                 "reading back an edit failed");
        buf += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static int overlay_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                        size_t n, uint64_t offset, rh_error **err)
{
    struct overlay *o = r->state;
    uint64_t units = rh_div_up(r->size, UNIT);
    char *p = buf;

    while (n) {
        uint64_t unit = offset / UNIT;
        bool changed = is_changed(o, unit);
        uint64_t end = (unit + run_length(o, unit, units, changed)) * UNIT;
        size_t part = (size_t)RH_MIN((uint64_t)n, end - offset);
        int failed = changed
                         ? read_changed(o, p, part, offset, err)
                         : rh_reader_read(o->base, codec, p, part, offset, err);

        if (failed)
            return -1;
        p += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* Packed clusters may be kept only where nothing was changed. */
static bool cluster_changed(const struct overlay *o, uint64_t offset,
                            uint64_t length)
{
    for (uint64_t unit = offset / UNIT; unit <= (offset + length - 1) / UNIT;
         unit++)
        if (is_changed(o, unit))
            return true;
    return false;
}

static int overlay_packed(struct rh_reader *r, struct rh_codec *codec,
                          uint64_t offset, size_t count, struct rh_buf *memory,
                          struct rh_packed *ret, rh_error **err)
{
    struct overlay *o = r->state;
    uint64_t grain = o->base->grain;

    memset(ret, 0, count * sizeof *ret);
    if (!o->base->format->packed || o->base->parent)
        return 0;
    for (size_t i = 0, n; i < count; i += n ? n : 1) {
        for (n = 0; i + n < count; n++) {
            uint64_t at = offset + (i + n) * grain;

            if (cluster_changed(o, at, RH_MIN(grain, r->size - at)))
                break;
        }
        if (n && o->base->format->packed(o->base, codec, offset + i * grain, n,
                                         memory, ret + i, err) < 0)
            return -1;
    }
    return 0;
}

static void overlay_close(struct rh_reader *r)
{
    struct overlay *o = r->state;

    for (size_t i = 0; i < o->pages.count; i++)
        free(o->pages.items[i].slots);
    free(o->pages.items);
    free(o->unused.items);
    free(o->before.items);
    close(o->fd);
    rh_codec_free(o->codec);
    free(o);
}

static const struct rh_format overlay_format = {
    .name = "overlay",
    .about = N_("a guest's edits over its disk"),
    .extent = overlay_extent,
    .read = overlay_read,
    .packed = overlay_packed,
    .close = overlay_close,
};

bool rh_is_overlay(const struct rh_reader *r)
{
    return r->format == &overlay_format;
}

struct rh_reader *rh_overlay_new(struct rh_reader *base, rh_lib *lib,
                                 rh_error **err)
{
    struct rh_reader *r;
    struct overlay *o;
    int fd = rh_temp_file(lib, err);

    if (fd < 0)
        return NULL;
    o = rh_new0(struct overlay);
    o->base = base;
    o->fd = fd;
    o->codec = rh_codec_new();
    r = rh_new0(struct rh_reader);
    r->format = &overlay_format;
    r->lib = lib;
    r->io = rh_io_ref(base->io);
    r->name = rh_strdup(base->name);
    r->size = base->size;
    r->variant = base->variant;
    r->grain = base->grain;
    r->compressed = base->compressed;
    r->file_order = base->file_order;
    r->state = o;
    r->over = base;
    return r;
}

/* --- writing
 * -------------------------------------------------------------------------- */
/* A part of a unit that has no slot yet, or one that is older than the mark:
 * the unit goes to a new one as a whole. */
static int write_new(struct rh_reader *r, uint64_t unit, const void *bytes,
                     size_t n, size_t inside, rh_error **err)
{
    struct overlay *o = r->state;
    uint32_t old = entry_of(o, unit), slot;
    size_t whole = (size_t)RH_MIN((uint64_t)UNIT, r->size - unit * UNIT);
    char *buf = rh_codec_scratch(o->codec, 3, UNIT, err);

    if (!buf)
        return -1;
    if (n < whole && (old ? read_changed(o, buf, whole, unit * UNIT, err)
                          : rh_reader_read(o->base, o->codec, buf, whole,
                                           unit * UNIT, err)) < 0)
        return -1;
    memcpy(buf + inside, bytes, n);
    slot = take_slot(o);
    if (rh_temp_write(r->lib, o->fd, buf, whole, offset_of(slot), r->name,
                      err) < 0) {
        leave_slot(o, slot);
        return -1;
    }
    if (o->marked)
        *rh_vec_add(&o->before) = (struct before){unit, old};
    o->changed += !old;
    set_entry(o, unit, slot | (o->marked ? SINCE_MARK : 0));
    return 0;
}

int rh_overlay_write(struct rh_reader *r, const void *buf, size_t n,
                     uint64_t offset, rh_error **err)
{
    struct overlay *o = r->state;
    const char *p = buf;

    if (offset > r->size || n > r->size - offset)
        return rh_fail(err, RH_ERR_DISK_RANGE,
                       "an edit at 0x%llx lies outside the disk",
                       (unsigned long long)offset);
    while (n) {
        uint64_t unit = offset / UNIT;
        size_t inside = (size_t)(offset % UNIT);
        size_t part = RH_MIN(n, UNIT - inside);
        uint32_t entry = entry_of(o, unit);
        bool new = !entry || (o->marked && !(entry & SINCE_MARK));

        if ((new ? write_new(r, unit, p, part, inside, err)
                 : rh_temp_write(r->lib, o->fd, p, part,
                                 offset_of(entry) + inside, r->name, err)) < 0)
            return -1;
        p += part;
        n -= part;
        offset += part;
    }
    return 0;
}

void rh_overlay_mark(struct rh_reader *r)
{
    rh_overlay_keep(r);
    ((struct overlay *)r->state)->marked = true;
}

void rh_overlay_keep(struct rh_reader *r)
{
    struct overlay *o = r->state;

    for (size_t i = 0; i < o->before.count; i++) {
        const struct before *b = &o->before.items[i];

        if (b->slot)
            leave_slot(o, b->slot);
        set_entry(o, b->unit, entry_of(o, b->unit) & ~SINCE_MARK);
    }
    o->before.count = 0;
    o->marked = false;
}

void rh_overlay_go_back(struct rh_reader *r)
{
    struct overlay *o = r->state;

    for (size_t i = 0; i < o->before.count; i++) {
        const struct before *b = &o->before.items[i];

        leave_slot(o, entry_of(o, b->unit));
        set_entry(o, b->unit, b->slot);
        o->changed -= !b->slot;
    }
    o->before.count = 0;
    o->marked = false;
}

uint64_t rh_overlay_changed(const struct rh_reader *r)
{
    return ((const struct overlay *)r->state)->changed * UNIT;
}

struct rh_reader *rh_overlay_base(const struct rh_reader *r)
{
    return ((const struct overlay *)r->state)->base;
}

int rh_overlay_patch(struct rh_reader *r, void *buf, size_t n, uint64_t offset,
                     bool *ret_any, rh_error **err)
{
    struct overlay *o = r->state;
    uint64_t end = offset + n, at = offset;
    bool any = false;

    while (at < end) {
        uint64_t unit = at / UNIT, next = RH_MIN((unit + 1) * UNIT, end);

        if (is_changed(o, unit)) {
            any = true;
            if (buf && read_changed(o, (char *)buf + (at - offset),
                                    (size_t)(next - at), at, err) < 0)
                return -1;
        }
        at = next;
    }
    if (ret_any)
        *ret_any = any;
    return 0;
}

bool rh_overlay_change_at(const struct rh_reader *r, uint64_t from,
                          uint64_t *ret_start, uint64_t *ret_length)
{
    const struct overlay *o = r->state;
    uint64_t units = rh_div_up(r->size, UNIT), n;
    uint64_t unit = next_unit(o, from / UNIT, units, true);

    if (unit >= units)
        return false;
    n = run_length(o, unit, units, true);
    *ret_start = unit * UNIT;
    *ret_length = RH_MIN((unit + n) * UNIT, r->size) - unit * UNIT;
    return true;
}
