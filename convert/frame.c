/* frame.c - the digest of a file without the disk's plain bytes.
 *
 * The readers say where those lie; what is between them is hashed in the file's
 * order, in steps with their place and length (XXH3, 128 bits: it is about
 * damage and slips of hand, not about forgers). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    PIECES_MOST = 4 * 1024 * 1024,
    STEP = 64 * 1024, /* bytes */
};

struct piece {
    uint64_t at, length; /* in the file */
};
struct pieces {
    RH_VEC(struct piece) list;
};

static void pieces_free(struct pieces *p)
{
    free(p->list.items);
}

static void add(struct pieces *p, uint64_t at, uint64_t length)
{
    struct piece *last =
        p->list.count ? &p->list.items[p->list.count - 1] : NULL;

    if (last && last->at + last->length == at)
        last->length += length;
    else
        *rh_vec_add(&p->list) = (struct piece){at, length};
}

/* Where the disk's bytes are stored plain. */
static int find(rh_lib *lib, const struct rh_frame_disk *d, struct pieces *p,
                rh_error **err)
{
    struct rh_reader *r = d->reader;
    uint64_t end = RH_MIN(d->size, r->size), offset = 0;

    while (offset < end && r->format->lies && p->list.count <= PIECES_MOST) {
        struct rh_place_of_bytes here = {0};

        if (rh_go_on(lib, err) < 0 ||
            r->format->lies(r, offset, &here, err) < 0)
            return -1;
        here.length = RH_MIN(RH_MAX(here.length, (uint64_t)1), end - offset);
        if (here.plain)
            add(p, here.at, here.length);
        offset += here.length;
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->at < y->at ? -1 : x->at > y->at;
}

/* Steps of the file: zeros count for nothing, so that it is the same whether
 * they are stored or a hole. */
static void hash_steps(XXH3_state_t *state, const uint8_t *buf, size_t n,
                       uint64_t at)
{
    for (size_t done = 0; done < n;) {
        size_t part = RH_MIN(n - done, STEP - (size_t)((at + done) % STEP));
        uint8_t head[16];

        if (!rh_all_zero(buf + done, part)) {
            rh_put_le64(head, at + done);
            rh_put_le64(head + 8, part);
            XXH3_128bits_update(state, head, sizeof head);
            XXH3_128bits_update(state, buf + done, part);
        }
        done += part;
    }
}

static int hash_gap(rh_lib *lib, struct rh_io *file, XXH3_state_t *state,
                    uint8_t *buf, const struct piece *gap, rh_error **err)
{
    uint64_t at = gap->at, end = gap->at + gap->length;

    while (at < end) {
        uint64_t start, stop;
        size_t n;

        if (rh_go_on(lib, err) < 0 ||
            rh_io_data_after(file, at, &start, &stop, err) < 0)
            return -1;
        if (start > at) { /* a hole; its end is no step's boundary */
            start = start / STEP * STEP;
            if (start > at) {
                at = start;
                continue;
            }
        }
        stop = RH_MAX(rh_round_up(RH_MIN(stop, end), STEP), at + 1);
        n = (size_t)RH_MIN(RH_MIN(end, stop) - at, RH_MIB - at % STEP);
        if (rh_io_read(file, buf, n, at, err) < 0)
            return -1;
        hash_steps(state, buf, n, at);
        at += n;
    }
    return 0;
}

static int hash_gaps(rh_lib *lib, struct rh_io *file, const struct pieces *p,
                     XXH3_state_t *state, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_MIB);
    uint64_t at = 0;

    for (size_t i = 0; i <= p->list.count; i++) {
        bool last = i == p->list.count;
        uint64_t start =
            last ? file->size : RH_MIN(p->list.items[i].at, file->size);
        struct piece gap = {at, start > at ? start - at : 0};

        if (hash_gap(lib, file, state, buf, &gap, err) < 0)
            return -1;
        if (!last)
            at = RH_MAX(at, start + p->list.items[i].length);
    }
    return 0;
}

static void free_state(XXH3_state_t **state)
{
    XXH3_freeState(*state);
}

int rh_frame_digest(rh_lib *lib, struct rh_io *file,
                    const struct rh_frame_disk *disks, size_t count,
                    char ret_hex[RH_FRAME_HEX], rh_error **err)
{
    RH_AUTO(pieces_free) struct pieces p = {0};
    RH_AUTO(free_state) XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t hash;

    ret_hex[0] = '\0';
    if (!state)
        return rh_fail(err, RH_ERR_MEMORY, "no memory for a digest");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < count; i++)
        if (find(lib, &disks[i], &p, err) < 0)
            return -1;
    if (p.list.count > PIECES_MOST)
        return 0;
    if (p.list.count)
        qsort(p.list.items, p.list.count, sizeof *p.list.items, by_place);
    if (hash_gaps(lib, file, &p, state, err) < 0)
        return -1;
    hash = XXH3_128bits_digest(state);
    snprintf(ret_hex, RH_FRAME_HEX, "%016" PRIx64 "%016" PRIx64,
             (uint64_t)hash.high64, (uint64_t)hash.low64);
    return 0;
}
