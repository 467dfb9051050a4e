/* peek.c - looking into a compressed disk without storing it.
 *
 * A streamOptimized VMDK in a compressed file reads forward only.  For the few
 * sectors that tell what a disk holds (diskfacts.c) that is enough: walk to
 * what is asked for, keep the last grains, and begin anew when it lies behind.
 * Whether a place that was passed is a hole is known by a bit for each grain
 * that was met; for one that was not met the walk goes on to the end, so that
 * what is said is what the tables say.  Who jumps about too much is told that
 * the disk cannot be read so: it is stored then. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "package/forward.h"

enum {
    RESTARTS = 4,
    SLOTS = 64,
    CACHE = 16 * 1024 * 1024,
};

struct slot {
    uint64_t grain, used; /* used 0: empty */
    uint8_t *bytes;
};

struct peek {
    struct rh_reader *walk;
    uint64_t grain;  /* bytes */
    uint8_t *met;    /* a bit for each grain, of all walks */
    bool whole;      /* one walk came to the end */
    bool failed;     /* the walk cannot go on */
    unsigned walked; /* begun anew so often */
    struct slot slots[SLOTS];
    unsigned slot_count;
    uint64_t clock;
    struct rh_codec *codec;
};

struct rh_reader *rh_forward_open(rh_lib *lib, struct rh_stream *from,
                                  rh_error **err)
{
    struct rh_open_options o = {.lib = lib};
    struct rh_stream *plain;
    const char *codec;

    from->lib = lib;
    plain = rh_stream_unpack(from, &codec, err);
    if (!plain)
        return NULL;
    if (codec)
        return rh_reader_open_stream(plain, &o, err);
    rh_stream_close(plain);
    rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE, "the file is not compressed");
    return NULL;
}

/* --- grains -------------------------------------------------------------- */

static bool is_met(const struct peek *k, uint64_t grain)
{
    return k->met[grain / 8] >> grain % 8 & 1;
}

static void note_met(struct peek *k, uint64_t grain)
{
    k->met[grain / 8] |= (uint8_t)(1u << grain % 8);
}

static struct slot *find_slot(struct peek *k, uint64_t grain)
{
    for (unsigned i = 0; i < k->slot_count; i++) {
        struct slot *s = &k->slots[i];

        if (!s->used || s->grain != grain)
            continue;
        s->used = ++k->clock;
        return s;
    }
    return NULL;
}

static struct slot *oldest_slot(struct peek *k)
{
    struct slot *oldest = &k->slots[0];

    for (unsigned i = 1; i < k->slot_count; i++)
        if (k->slots[i].used < oldest->used)
            oldest = &k->slots[i];
    return oldest;
}

static int inflate_piece(struct peek *k, const struct rh_piece *p,
                         struct slot *s, rh_error **err)
{
    size_t n = 0;

    if (!s->bytes)
        s->bytes = rh_alloc_big((size_t)k->grain, err);
    if (!s->bytes)
        return -1;
    s->used = 0;
    if (p->plain) {
        memcpy(s->bytes, p->plain, p->length);
    } else if (rh_inflate_zlib(k->codec, p->packed, p->packed_size, s->bytes,
                               p->length, &n, NULL) != RH_UNPACK_OK ||
               n != p->length) {
        rh_fail(err, RH_ERR_STREAM_DECODE,
                "the grain for disk offset 0x%llx does not inflate to %u bytes",
                (unsigned long long)p->offset, p->length);
        return rh_error_subject(err, k->walk->name);
    }
    s->grain = p->offset / k->grain;
    s->used = ++k->clock;
    return 0;
}

/* --- the walk ------------------------------------------------------------ */

static int begin_anew(struct rh_reader *r, rh_error **err)
{
    struct peek *k = r->state;

    if (++k->walked > RESTARTS) {
        rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                "what is looked for lies too far back, again and again");
        return rh_error_subject(err, r->name);
    }
    rh_reader_close(k->walk);
    k->walk = rh_forward_open(r->lib, rh_stream_io(r->io), err);
    return k->walk ? 0 : -1;
}

/* As far as `grain`; *ret stays NULL when the disk ends without it. */
static int walk_to(struct peek *k, uint64_t grain, struct slot **ret,
                   rh_error **err)
{
    struct rh_piece p;
    int end;

    while (!(end = k->walk->format->next(k->walk, &p, err))) {
        note_met(k, p.offset / k->grain);
        if (p.offset / k->grain != grain) {
            rh_progress(k->walk->lib, "look", p.offset, k->walk->size);
            continue;
        }
        *ret = oldest_slot(k);
        return inflate_piece(k, &p, *ret, err);
    }
    if (end < 0)
        return rh_error_subject(err, k->walk->name);
    k->whole = true;
    return 0;
}

/* *ret NULL: zeros. */
static int grain_at(struct rh_reader *r, uint64_t grain, struct slot **ret,
                    rh_error **err)
{
    struct peek *k = r->state;

    *ret = find_slot(k, grain);
    if (*ret || (k->whole && !is_met(k, grain)))
        return 0;
    if (k->failed) {
        rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                "what comes behind the damage cannot be read");
        return rh_error_subject(err, r->name);
    }
    k->failed = (is_met(k, grain) && begin_anew(r, err) < 0) ||
                walk_to(k, grain, ret, err) < 0;
    return k->failed ? -1 : 0;
}

static int peek_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    struct peek *k = r->state;
    uint8_t *to = buf;

    (void)codec;
    while (n) {
        size_t from = (size_t)(offset % k->grain);
        size_t part = RH_MIN(n, (size_t)k->grain - from);
        struct slot *s = NULL;

        if (grain_at(r, offset / k->grain, &s, err) < 0)
            return -1;
        if (s)
            memcpy(to, s->bytes + from, part);
        else
            memset(to, 0, part);
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* --- opening ------------------------------------------------------------- */

static void peek_close(struct rh_reader *r)
{
    struct peek *k = r->state;

    for (unsigned i = 0; i < k->slot_count; i++)
        free(k->slots[i].bytes);
    rh_reader_close(k->walk);
    rh_codec_free(k->codec);
    free(k->met);
    free(k);
}

struct rh_reader *rh_peek_open(struct rh_io *packed, struct rh_reader *walk)
{
    static const struct rh_format format = {
        .name = "vmdk", .read = peek_read, .close = peek_close};
    uint64_t grains = rh_div_up(walk->size, walk->grain);
    struct peek *k;
    struct rh_reader *r;
    /* Touched only where grains are: what a huge hole claims costs nothing. */
    uint8_t *met = calloc((size_t)(grains / 8 + 1), 1);

    if (!met) {
        rh_reader_close(walk);
        return NULL;
    }
    k = rh_new0(struct peek);
    k->met = met;
    k->walk = walk;
    k->grain = walk->grain;
    k->slot_count = (unsigned)RH_MIN((uint64_t)SLOTS, CACHE / k->grain);
    k->codec = rh_codec_new();
    r = rh_new0(struct rh_reader);
    r->format = &format;
    r->lib = walk->lib;
    r->io = rh_io_ref(packed);
    r->name = rh_strdup(walk->name);
    r->size = walk->size;
    r->variant = walk->variant;
    r->grain = walk->grain;
    r->state = k;
    return r;
}
