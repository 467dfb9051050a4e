/* frame.c - the digest of a file without the disk's plain bytes, by reading.
 *
 * The readers say where those lie; what is between them is hashed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    PIECES_MOST = 4 * 1024 * 1024,
    STEP = 64 * 1024, /* bytes */
    SMALL_GAP = 256 * 1024,
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

/* --- what is hashed
 * --------------------------------------------------------- */

/* One of the two ways that frame.h tells of. */
struct hash {
    XXH3_state_t *steps; /* the older one; NULL: by sectors */
    struct rh_frame_total total;
    uint8_t sector[RH_FRAME_SECTOR]; /* of which there are parts */
    uint64_t sector_at;
};

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

static void end_sector(struct hash *h)
{
    rh_frame_sector(&h->total, h->sector, h->sector_at);
    memset(h->sector, 0, sizeof h->sector);
}

/* Bytes come in the file's order; what does not come of a sector is zeros. */
static void hash_sectors(struct hash *h, const uint8_t *buf, size_t n,
                         uint64_t at)
{
    enum { SECTOR = RH_FRAME_SECTOR };

    for (size_t done = 0, part; done < n; done += part) {
        size_t inside = (size_t)((at + done) % SECTOR);

        part = RH_MIN(n - done, SECTOR - inside);
        if (part == SECTOR) {
            rh_frame_sector(&h->total, buf + done, at + done);
            continue;
        }
        if (h->sector_at != at + done - inside)
            end_sector(h);
        h->sector_at = at + done - inside;
        memcpy(h->sector + inside, buf + done, part);
    }
}

static void hash_add(struct hash *h, const uint8_t *buf, size_t n, uint64_t at)
{
    if (h->steps)
        hash_steps(h->steps, buf, n, at);
    else
        hash_sectors(h, buf, n, at);
}

static void hash_hex(struct hash *h, char ret_hex[RH_FRAME_HEX])
{
    XXH128_hash_t hash;

    if (!h->steps) {
        end_sector(h);
        rh_frame_hex(&h->total, ret_hex);
        return;
    }
    hash = XXH3_128bits_digest(h->steps);
    snprintf(ret_hex, RH_FRAME_HEX, "%016" PRIx64 "%016" PRIx64,
             (uint64_t)hash.high64, (uint64_t)hash.low64);
}

/* --- the gaps between the pieces
 * --------------------------------------------- */

/* The file and its data at hand: to ask where its holes are costs more than to
 * read a few pages, and much more where that walks over all pages (tmpfs). */
struct gaps {
    rh_lib *lib;
    struct rh_io *file;
    struct hash *hash;
    uint8_t *buf;
    uint64_t data_start, data_stop; /* known to be data */
};

/* Data from `at` on (or from further on) as far as *ret_stop. */
static int data_from(struct gaps *g, uint64_t at, uint64_t end,
                     uint64_t *ret_start, uint64_t *ret_stop, rh_error **err)
{
    if (end - at > SMALL_GAP && (at < g->data_start || at >= g->data_stop) &&
        rh_io_data_after(g->file, at, &g->data_start, &g->data_stop, err) < 0)
        return -1;
    *ret_start = at;
    *ret_stop = end;
    if (end - at <= SMALL_GAP)
        return 0;
    *ret_start = RH_MAX(at, g->data_start);
    *ret_stop = g->data_stop;
    return 0;
}

static int hash_gap(struct gaps *g, uint64_t at, uint64_t end, rh_error **err)
{
    while (at < end) {
        uint64_t start, stop;
        size_t n;

        if (rh_go_on(g->lib, err) < 0 ||
            data_from(g, at, end, &start, &stop, err) < 0)
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
        if (rh_io_read(g->file, g->buf, n, at, err) < 0)
            return -1;
        hash_add(g->hash, g->buf, n, at);
        at += n;
    }
    return 0;
}

static int hash_gaps(rh_lib *lib, struct rh_io *file, const struct pieces *p,
                     struct hash *hash, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *buf = rh_malloc(RH_MIB);
    struct gaps g = {.lib = lib, .file = file, .hash = hash, .buf = buf};
    uint64_t at = 0;

    for (size_t i = 0; i <= p->list.count; i++) {
        bool last = i == p->list.count;
        uint64_t start =
            last ? file->size : RH_MIN(p->list.items[i].at, file->size);

        if (hash_gap(&g, at, start, err) < 0)
            return -1;
        if (!last)
            at = RH_MAX(at, start + p->list.items[i].length);
    }
    return 0;
}

/* --- the whole
 * --------------------------------------------------------------- */

static void free_state(XXH3_state_t **state)
{
    if (*state)
        XXH3_freeState(*state);
}

static int digest(rh_lib *lib, struct rh_io *file,
                  const struct rh_frame_disk *disks, size_t count,
                  struct hash *hash, char ret_hex[RH_FRAME_HEX], rh_error **err)
{
    RH_AUTO(pieces_free) struct pieces p = {0};

    ret_hex[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (find(lib, &disks[i], &p, err) < 0)
            return -1;
    if (p.list.count > PIECES_MOST)
        return 0;
    if (p.list.count)
        qsort(p.list.items, p.list.count, sizeof *p.list.items, by_place);
    if (hash_gaps(lib, file, &p, hash, err) < 0)
        return -1;
    hash_hex(hash, ret_hex);
    return 0;
}

int rh_frame_digest(rh_lib *lib, struct rh_io *file,
                    const struct rh_frame_disk *disks, size_t count,
                    char ret_hex[RH_FRAME_HEX], rh_error **err)
{
    struct hash hash = {0};

    return digest(lib, file, disks, count, &hash, ret_hex, err);
}

int rh_frame_check(rh_lib *lib, struct rh_io *file,
                   const struct rh_frame_disk *disks, size_t count,
                   const char *hex, bool *ret_same, rh_error **err)
{
    RH_AUTO(free_state) XXH3_state_t *steps = NULL;
    struct hash hash = {0};
    char found[RH_FRAME_HEX];

    if (strncmp(hex, "2:", 2) != 0) {
        steps = XXH3_createState();
        if (!steps)
            return rh_fail(err, RH_ERR_MEMORY, "no memory for a digest");
        XXH3_128bits_reset(steps);
        hash.steps = steps;
    }
    if (digest(lib, file, disks, count, &hash, found, err) < 0)
        return -1;
    *ret_same = strcmp(found, hex) == 0;
    return 0;
}
