/* overlay.c - a reader that is also writable: the guest's edits.
 *
 * Changed 64 KiB units live in an unlinked sparse temporary file at the same
 * offsets as on the disk; a two-level bitmap says which.  The base is never
 * written.  Writing is for one thread (the guest's editor); once that is done,
 * any number of threads may read. */
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
    PAGE_UNITS = 8 * 4096, /* one bitmap page covers 2 GiB */
};

struct overlay {
    struct rh_reader *base;
    int fd;
    uint8_t **pages; /* NULL: nothing changed in those 2 GiB */
    size_t page_count;
    uint64_t changed; /* units */
    struct rh_codec *codec;
};

static bool is_changed(const struct overlay *o, uint64_t unit)
{
    const uint8_t *page = o->pages[unit / PAGE_UNITS];
    uint64_t bit = unit % PAGE_UNITS;

    return page && (page[bit / 8] >> (bit % 8) & 1);
}

static void set_changed(struct overlay *o, uint64_t unit)
{
    uint8_t **page = &o->pages[unit / PAGE_UNITS];
    uint64_t bit = unit % PAGE_UNITS;

    if (!*page)
        *page = rh_calloc(1, PAGE_UNITS / 8);
    (*page)[bit / 8] |= (uint8_t)(1u << (bit % 8));
    o->changed++;
}

/* How far from `unit` on do units have the same state? In units; whole
 * unchanged pages are passed at once. */
static uint64_t run_length(const struct overlay *o, uint64_t unit,
                           uint64_t units, bool changed)
{
    uint64_t at = unit;

    while (at < units && is_changed(o, at) == changed) {
        if (!changed && !o->pages[at / PAGE_UNITS])
            at = (at / PAGE_UNITS + 1) * PAGE_UNITS;
        else
            at++;
    }
    return RH_MIN(at, units) - unit;
}

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

static int read_changed(struct overlay *o, char *buf, size_t n, uint64_t offset,
                        rh_error **err)
{
    while (n) {
        ssize_t got = pread(o->fd, buf, n, (off_t)offset);

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

    for (size_t i = 0; i < o->page_count; i++)
        free(o->pages[i]);
    free(o->pages);
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
    if (ftruncate(fd, (off_t)rh_round_up(base->size, UNIT)) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot make room for edits");
        close(fd);
        return NULL;
    }
    o = rh_new0(struct overlay);
    o->base = base;
    o->fd = fd;
    o->page_count =
        (size_t)rh_div_up(rh_div_up(base->size, UNIT), PAGE_UNITS) + 1;
    o->pages = rh_calloc(o->page_count, sizeof *o->pages);
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
    return r;
}

/* Bring the whole unit over before a part of it changes. */
static int bring_over(struct rh_reader *r, uint64_t unit, rh_error **err)
{
    struct overlay *o = r->state;
    uint64_t offset = unit * UNIT;
    size_t n = (size_t)RH_MIN((uint64_t)UNIT, r->size - offset);
    char *buf = rh_codec_scratch(o->codec, 3, UNIT, err);

    if (!buf || rh_reader_read(o->base, o->codec, buf, n, offset, err) < 0)
        return -1;
    if (rh_temp_write(r->lib, o->fd, buf, n, offset, r->name, err) < 0)
        return -1;
    set_changed(o, unit);
    return 0;
}

int rh_overlay_write(struct rh_reader *r, const void *buf, size_t n,
                     uint64_t offset, rh_error **err)
{
    struct overlay *o = r->state;

    if (offset > r->size || n > r->size - offset)
        return rh_fail(err, RH_ERR_DISK_RANGE,
                       "an edit at 0x%llx lies outside the disk",
                       (unsigned long long)offset);
    if (n == 0)
        return 0;
    for (uint64_t unit = offset / UNIT; unit <= (offset + n - 1) / UNIT;
         unit++) {
        uint64_t start = unit * UNIT, end = RH_MIN(start + UNIT, r->size);

        if (is_changed(o, unit))
            continue;
        if (offset <= start && offset + n >= end)
            set_changed(o, unit); /* overwritten whole */
        else if (bring_over(r, unit, err) < 0)
            return -1;
    }
    return rh_temp_write(r->lib, o->fd, buf, n, offset, r->name, err);
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
    uint64_t units = rh_div_up(r->size, UNIT), unit = from / UNIT, n;

    if (unit < units && !is_changed(o, unit))
        unit += run_length(o, unit, units, false);
    if (unit >= units)
        return false;
    n = run_length(o, unit, units, true);
    *ret_start = unit * UNIT;
    *ret_length = RH_MIN((unit + n) * UNIT, r->size) - unit * UNIT;
    return true;
}
