/* xva_read.c - the disks of a finished XVA, read back.
 *
 * The tar's headers are walked once; of the disk that is asked for, the place
 * of each chunk is kept (16 bytes for 1 MiB).  Chunks that are not there are
 * holes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets/xcp-ng/xva_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"

enum { TAR = 512, CHUNK = 1024 * 1024, NAME = 101, SUM = 40 };

struct chunk {
    uint64_t offset; /* of its bytes in the archive */
    uint32_t number, size;
};
struct disk {
    RH_VEC(struct chunk) chunks; /* ascending numbers */
};

/* One header of the tar, decoded. */
struct entry {
    char name[NAME];
    uint64_t at, size; /* of the bytes behind it */
    bool end;
};

/* --- the tar -------------------------------------------------------------- */
static bool octal(const uint8_t *p, size_t n, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(p[i] - '0');
    *ret = value;
    return i > 0 && (i == n || p[i] == '\0' || p[i] == ' ');
}

static bool header_good(const uint8_t p[TAR])
{
    uint64_t sum = 0, given;

    for (size_t i = 0; i < TAR; i++)
        sum += i >= 148 && i < 156 ? ' ' : p[i];
    return !memcmp(p + 257, "ustar", 5) && p[156] == '0' &&
           octal(p + 148, 8, &given) && given == sum;
}

static int next_entry(struct rh_io *io, uint64_t *position, struct entry *ret,
                      rh_error **err)
{
    uint8_t p[TAR];

    if (rh_io_read(io, p, TAR, *position, err) < 0)
        return -1;
    ret->end = rh_all_zero(p, TAR);
    if (ret->end)
        return 0;
    if (!header_good(p) || !octal(p + 124, 12, &ret->size))
        return rh_fail(err, RH_ERR_XVA_DAMAGED,
                       "no plain tar header at 0x%" PRIx64, *position);
    memcpy(ret->name, p, NAME - 1);
    ret->name[NAME - 1] = '\0';
    ret->at = *position + TAR;
    if (ret->size > io->size || ret->at > io->size - ret->size)
        return rh_fail(err, RH_ERR_XVA_DAMAGED,
                       "%s at 0x%" PRIx64 " reaches past the end of the file",
                       ret->name, ret->at);
    *position = ret->at + rh_round_up(ret->size, TAR);
    return 0;
}

/* "Ref:002/00000007": the number behind the slash; false for anything else. */
static bool chunk_number(const char *name, size_t *ret_prefix,
                         uint32_t *ret_number)
{
    const char *slash = strrchr(name, '/');
    uint64_t n;

    if (!slash || strlen(slash + 1) != 8 || !rh_parse_u64(slash + 1, &n))
        return false;
    *ret_prefix = (size_t)(slash - name) + 1;
    *ret_number = (uint32_t)n;
    return true;
}

static int take_chunk(struct disk *d, const struct entry *e, uint32_t number,
                      rh_error **err)
{
    const struct chunk *last =
        d->chunks.count ? &d->chunks.items[d->chunks.count - 1] : NULL;
    struct chunk *c;

    if ((last && (last->number >= number || last->size != CHUNK)) ||
        e->size > CHUNK || e->size == 0)
        return rh_fail(err, RH_ERR_XVA_DAMAGED,
                       "%s is out of order or of a wrong size", e->name);
    c = rh_vec_add(&d->chunks);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): just added */
    *c = (struct chunk){e->at, number, (uint32_t)e->size};
    return 0;
}

/* Walk to the i-th disk and through it. */
static int scan(struct rh_io *io, rh_lib *lib, size_t wanted, struct disk *d,
                rh_error **err)
{
    char disk[NAME] = "";
    size_t seen = 0, n;
    uint64_t position = 0;
    struct entry e;
    uint32_t number;

    if (next_entry(io, &position, &e, err) < 0)
        return -1;
    if (e.end || strcmp(e.name, "ova.xml") != 0)
        return rh_fail(err, RH_ERR_XVA_DAMAGED,
                       "the first file is not ova.xml");
    while (seen <= wanted + 1) {
        if (rh_go_on(lib, err) < 0 || next_entry(io, &position, &e, err) < 0)
            return -1;
        if (e.end)
            break;
        if (!chunk_number(e.name, &n, &number))
            continue;
        if (!*disk || strncmp(e.name, disk, n) != 0 || disk[n]) {
            memcpy(disk, e.name, n);
            disk[n] = '\0';
            seen++;
        }
        if (seen == wanted + 1 && take_chunk(d, &e, number, err) < 0)
            return -1;
    }
    if (!d->chunks.count)
        return rh_fail(err, RH_ERR_XVA_DAMAGED, "it holds no disk %zu", wanted);
    return 0;
}

/* --- the disk --------------------------------------------------------------
 */
/* The first chunk at or behind a number; chunks.count when there is none. */
static size_t find(const struct disk *d, uint64_t number)
{
    size_t low = 0, high = d->chunks.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (d->chunks.items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int xva_extent(struct rh_reader *r, uint64_t offset,
                      struct rh_extent *ret, rh_error **err)
{
    const struct disk *d = r->state;
    uint64_t number = offset / CHUNK;
    size_t i = find(d, number);

    (void)err;
    if (i == d->chunks.count || d->chunks.items[i].number != number) {
        number = i < d->chunks.count ? d->chunks.items[i].number
                                     : rh_div_up(r->size, CHUNK);
        ret->kind = RH_EXTENT_HOLE;
    } else {
        ret->kind = RH_EXTENT_DATA;
        for (; i < d->chunks.count && d->chunks.items[i].number == number; i++)
            number++;
    }
    ret->length = RH_MIN(number * CHUNK, r->size) - offset;
    return 0;
}

static int xva_lies(struct rh_reader *r, uint64_t offset,
                    struct rh_place_of_bytes *ret, rh_error **err)
{
    const struct disk *d = r->state;
    uint64_t number = offset / CHUNK, inside = offset % CHUNK;
    size_t i = find(d, number);
    struct rh_extent hole;

    if (i < d->chunks.count && d->chunks.items[i].number == number) {
        *ret =
            (struct rh_place_of_bytes){true, d->chunks.items[i].offset + inside,
                                       d->chunks.items[i].size - inside};
        return 0;
    }
    if (xva_extent(r, offset, &hole, err) < 0)
        return -1;
    *ret = (struct rh_place_of_bytes){false, 0, hole.length};
    return 0;
}

static int xva_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                    size_t n, uint64_t offset, rh_error **err)
{
    const struct disk *d = r->state;
    uint8_t *to = buf;

    (void)codec;
    while (n) {
        uint64_t number = offset / CHUNK, inside = offset % CHUNK;
        size_t part = (size_t)RH_MIN((uint64_t)n, CHUNK - inside);
        size_t i = find(d, number);

        if (i == d->chunks.count || d->chunks.items[i].number != number)
            memset(to, 0, part);
        else if (rh_io_read(r->io, to, part, d->chunks.items[i].offset + inside,
                            err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

/* The sum stands in the file behind the chunk. */
static int check_chunk(struct rh_reader *r, const struct chunk *c,
                       uint8_t *data, rh_error **err)
{
    uint64_t position = c->offset + rh_round_up(c->size, TAR);
    char given[SUM + 1] = "", sum[41];
    struct entry e;

    if (rh_io_read(r->io, data, c->size, c->offset, err) < 0 ||
        next_entry(r->io, &position, &e, err) < 0)
        return -1;
    if (e.end || e.size > SUM ||
        rh_io_read(r->io, given, (size_t)e.size, e.at, err) < 0)
        return rh_fail(err, RH_ERR_XVA_DAMAGED, "chunk %u has no sum",
                       c->number);
    if (strstr(e.name, ".xxhash"))
        snprintf(sum, sizeof sum, "%016" PRIX64,
                 (uint64_t)XXH64(data, c->size, 0));
    else
        rh_sha1_hex(data, c->size, sum);
    if (strcmp(sum, given) != 0)
        return rh_fail(err, RH_ERR_XVA_DAMAGED,
                       "chunk %u at 0x%" PRIx64 " does not match its sum",
                       c->number, c->offset);
    return 0;
}

static int xva_check(struct rh_reader *r, struct rh_codec *codec,
                     rh_error **err)
{
    const struct disk *d = r->state;
    uint8_t *data = rh_codec_scratch(codec, 0, CHUNK, err);

    if (!data)
        return -1;
    for (size_t i = 0; i < d->chunks.count; i++)
        if (rh_go_on(r->lib, err) < 0 ||
            check_chunk(r, &d->chunks.items[i], data, err) < 0)
            return -1;
    return 0;
}

static void disk_free(struct disk *d)
{
    free(d->chunks.items);
    free(d);
}
RH_FREEP(disk_freep, struct disk, disk_free)

static void xva_close(struct rh_reader *r)
{
    if (r->state)
        disk_free(r->state);
}

static const struct rh_format disk_format = {
    .name = "xva",
    .about = N_("a disk inside an XVA"),
    .extent = xva_extent,
    .read = xva_read,
    .lies = xva_lies,
    .check = xva_check,
    .close = xva_close,
};

struct rh_io *rh_xva_plain(rh_lib *lib, struct rh_io *io, rh_error **err)
{
    RH_AUTO(rh_stream_closep) struct rh_stream *s = NULL;
    const char *codec = NULL;

    s = rh_stream_unpack(rh_stream_io(io), &codec, err);
    if (!s)
        return NULL;
    if (!codec)
        return rh_io_ref(io);
    return rh_spool(lib, s, RH_LIMIT_DISK_SIZE, err);
}

struct rh_reader *rh_xva_disk(rh_lib *lib, struct rh_io *io, size_t i,
                              rh_error **err)
{
    RH_AUTO(disk_freep) struct disk *d = rh_new0(struct disk);
    const struct chunk *last;
    struct rh_reader *r;

    if (scan(io, lib, i, d, err) < 0) {
        rh_error_subject(err, io->name);
        return NULL;
    }
    last = &d->chunks.items[d->chunks.count - 1];
    r = rh_new0(struct rh_reader);
    r->format = &disk_format;
    r->lib = lib;
    r->io = rh_io_ref(io);
    r->name = rh_printf("%s: %zu", io->name, i);
    r->size = (uint64_t)last->number * CHUNK + last->size;
    r->variant = "xva";
    r->grain = CHUNK;
    r->file_order = true;
    r->state = RH_TAKE(d);
    return r;
}

struct rh_reader *rh_xva_read(rh_lib *lib, struct rh_io *io, size_t i,
                              rh_error **err)
{
    RH_AUTO(rh_io_unrefp) struct rh_io *plain = rh_xva_plain(lib, io, err);

    return plain ? rh_xva_disk(lib, plain, i, err) : NULL;
}
