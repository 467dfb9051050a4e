/* write.c - writing dynamic VHDs, front to back.
 *
 * Footer copy, header, table and batmap come first, then the blocks in the
 * disk's order.  Each block takes 4 KiB + 2 MiB: its bitmap is the last sector
 * of the first 4 KiB, so that data starts on a page of the file and parts that
 * are zero stay holes.  The bitmap is exact to 4 KiB.
 *
 * Into a file the table is written last, and blocks stand as they come.  A
 * forward source may come back to a block: its bits are then kept (one for a
 * page, where a page of a block is set anew) and the bitmaps are written last,
 * too.  Into a pipe the table has to come first: it is filled from the source's
 * map, and a block that the map promised but that turned out to be zeros is
 * written as zeros. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum {
    PAGE = 4096,
    BLOCK = 2 * 1024 * 1024,
    STRIDE = PAGE + BLOCK, /* bytes that a block takes in the file */
    HEADER_AT = 512,
    TABLE_AT = 1536,
    BATMAP_HEADER = 512,
    HOLE = 64 * 1024, /* zeros shorter than this are written, not left out */
    RUNS = BLOCK / HOLE + 1, /* a page, a hole, a page: less than that */
    PAGES = BLOCK / PAGE,    /* the bitmap has a byte for each */
    AHEAD = 16 * STRIDE,     /* the file is made longer by so much at once */
};

struct run {
    uint32_t start, end; /* in the block */
};
/* What encode() leaves for place(), in the unit's room. */
struct block_room {
    uint8_t head[PAGE]; /* zeros, then the block's bitmap */
    struct run runs[RUNS];
    size_t count;
};

struct writer {
    struct vhd_footer footer;
    uint32_t *table; /* as in the file's numbers: sector or VHD_NO_BLOCK */
    uint8_t *batmap; /* bit set: every sector of the block is written */
    uint64_t entries, batmap_size, first; /* first: where blocks start */
    uint64_t next;                        /* where the next block goes */
    uint64_t expected;                    /* bytes of the file so far */
    uint64_t done;  /* blocks up to here have been handed over */
    bool forward;   /* the table is in the pipe already */
    uint8_t *zeros; /* STRIDE bytes, when forward */
    /* With a forward source, else NULL. */
    uint8_t *pages; /* a bit for each page of the disk that holds something */
    struct vhd_seed *seed;
};

/* --- the head of the file ------------------------------------------------- */
static void put_header(const struct writer *v, uint8_t *p)
{
    memcpy(p, "cxsparse", 8);
    memset(p + 8, 0xff, 8);
    rh_put_be64(p + 16, TABLE_AT);
    rh_put_be32(p + 24, 0x00010000);
    rh_put_be32(p + 28, (uint32_t)v->entries);
    rh_put_be32(p + 32, BLOCK);
    rh_put_be32(p + 36, rh_vhd_sum(p, VHD_HEADER, 36));
}

/* "tdbatmap", version 1.2, right behind the table: promised by the creator. */
static void put_batmap(const struct writer *v, uint64_t at, uint8_t *p)
{
    uint32_t sum = 0;

    for (uint64_t i = 0; i < v->batmap_size; i++)
        sum += v->batmap[i];
    memcpy(p, "tdbatmap", 8);
    rh_put_be64(p + 8, at + BATMAP_HEADER);
    rh_put_be32(p + 16, (uint32_t)(v->batmap_size / VHD_SECTOR));
    rh_put_be32(p + 20, 0x00010002);
    rh_put_be32(p + 24, ~sum);
    memcpy(p + BATMAP_HEADER, v->batmap, (size_t)v->batmap_size);
}

static int write_head(struct rh_writer *w, rh_error **err)
{
    struct writer *v = w->state;
    uint64_t table_size = rh_round_up(v->entries * 4, VHD_SECTOR);
    RH_AUTO(rh_freep) uint8_t *head = rh_alloc_big((size_t)v->first, err);

    if (!head)
        return -1;
    memset(head, 0, (size_t)v->first);
    rh_vhd_footer_encode(&v->footer, head);
    put_header(v, head + HEADER_AT);
    memset(head + TABLE_AT, 0xff, (size_t)table_size);
    for (uint64_t i = 0; i < v->entries; i++)
        rh_put_be32(head + TABLE_AT + i * 4, v->table[i]);
    put_batmap(v, TABLE_AT + table_size, head + TABLE_AT + table_size);
    return rh_out_write(w->out, head, (size_t)v->first, w->base, err);
}

/* --- layout --------------------------------------------------------------- */
static void give_place(struct rh_writer *w, uint64_t block)
{
    struct writer *v = w->state;

    v->table[block] = (uint32_t)((v->next + PAGE - VHD_SECTOR) / VHD_SECTOR);
    v->next += STRIDE;
    if (!v->forward && v->next > v->expected) {
        v->expected = v->next + AHEAD;
        rh_out_expect(w->out, w->base + v->expected);
    }
}

/* Every block in which the source has data gets its place in the disk's order.
 */
static int plan_forward(struct rh_writer *w, struct rh_reader *source,
                        rh_error **err)
{
    struct writer *v = w->state;
    uint64_t offset = 0;

    while (offset < source->size) {
        struct rh_extent e;

        if (rh_go_on(w->lib, err) < 0 ||
            rh_reader_extent(source, offset, &e, err) < 0)
            return -1;
        offset += e.length;
        if (e.kind != RH_EXTENT_DATA)
            continue;
        for (uint64_t b = (offset - e.length) / BLOCK;
             b <= (offset - 1) / BLOCK; b++)
            if (v->table[b] == VHD_NO_BLOCK)
                give_place(w, b);
    }
    v->zeros = rh_calloc(1, STRIDE);
    return write_head(w, err);
}

static int make_tables(struct rh_writer *w, struct writer *v, rh_error **err)
{
    uint64_t table_size;

    v->entries = rh_div_up(v->footer.size, BLOCK);
    v->batmap_size = rh_round_up(rh_div_up(v->entries, 8), VHD_SECTOR);
    table_size = rh_round_up(v->entries * 4, VHD_SECTOR);
    v->first = rh_round_up(
        TABLE_AT + table_size + BATMAP_HEADER + v->batmap_size, PAGE);
    v->next = v->first;
    v->table = rh_alloc_big((size_t)v->entries * 4, err);
    v->batmap = rh_calloc(1, (size_t)v->batmap_size);
    w->state = v;
    if (!v->table)
        return -1;
    memset(v->table, 0xff, (size_t)v->entries * 4);
    return 0;
}

/* Pages of memory that stay zero are never touched. */
static int make_pages(struct writer *v, rh_error **err)
{
    v->pages = calloc((size_t)v->entries, PAGES / 8);
    return v->pages ? 0
                    : rh_fail(err, RH_ERR_MEMORY,
                              "no memory for the bitmaps of %llu blocks",
                              (unsigned long long)v->entries);
}

static void vhd_close(struct rh_writer *w)
{
    struct writer *v = w->state;

    if (!v)
        return;
    free(v->table);
    free(v->batmap);
    free(v->zeros);
    free(v->pages);
    free(v->seed);
    free(v);
    w->state = NULL;
}

static int vhd_create(struct rh_writer *w, const struct rh_create_options *o,
                      rh_error **err)
{
    struct vhd_footer footer;
    struct vhd_seed *seed = NULL;
    struct writer *v;

    if (o->compress != RH_COMPRESS_NONE)
        return rh_fail(err, RH_ERR_DISK_COMPRESS,
                       "a VHD holds no compressed blocks");
    if (!o->may_seek && !o->source)
        return rh_fail(err, RH_ERR_DISK_NOT_SEEKABLE,
                       "a VHD starts with its block table: it can go into a "
                       "pipe only when the source's map is known");
    if (rh_vhd_new_footer(o, VHD_DYNAMIC, &footer, &seed, err) < 0)
        return -1;
    v = rh_new0(struct writer);
    v->footer = footer;
    v->seed = seed;
    v->forward = !o->may_seek;
    w->unit = BLOCK;
    w->room = sizeof(struct block_room);
    w->iov_max = RUNS + 3;
    w->any_order = o->may_seek && v->seed;
    w->piece = PAGE;
    if (make_tables(w, v, err) < 0 || (v->seed && make_pages(v, err) < 0) ||
        (v->forward && plan_forward(w, o->source, err) < 0)) {
        vhd_close(w);
        return -1;
    }
    return 0;
}

/* --- blocks --------------------------------------------------------------- */
/* The last page of a disk may be short: no bit beyond its end. */
static uint8_t page_bits(uint64_t n)
{
    n = RH_MIN(n, (uint64_t)PAGE);
    return (uint8_t)(0xff << (8 - rh_div_up(n, VHD_SECTOR)));
}

/* Mark the 4 KiB pages that hold something; short gaps join their neighbours
 * for writing, not in the bitmap. */
static int vhd_encode(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct block_room *room = (void *)u->room;
    uint8_t *bitmap = room->head + PAGE - VHD_SECTOR;

    (void)w;
    (void)err;
    memset(room->head, 0, PAGE);
    room->count = 0;
    for (uint32_t at = 0; at < u->length; at += PAGE) {
        uint32_t n = (uint32_t)RH_MIN((size_t)PAGE, u->length - at);
        struct run *last = room->runs + room->count;

        if (rh_all_zero(u->data + at, n))
            continue;
        bitmap[at / PAGE] = page_bits(n);
        if (room->count && at - last[-1].end < HOLE)
            last[-1].end = at + n;
        else
            room->runs[room->count++] = (struct run){at, at + n};
    }
    return 0;
}

static void add_iov(struct rh_unit *u, uint64_t offset, const void *bytes,
                    size_t n)
{
    if (n)
        u->iov[u->iov_count++] = (struct rh_iov){offset, bytes, n};
}

/* The data of a block, of which other parts may have come before. */
static void add_runs(struct rh_unit *u, uint64_t at)
{
    const struct block_room *room = (const void *)u->room;

    for (size_t i = 0; i < room->count; i++) {
        const struct run *run = &room->runs[i];

        add_iov(u, at + run->start, u->data + run->start,
                run->end - run->start);
    }
}

static void place_part(struct rh_writer *w, struct rh_unit *u)
{
    struct writer *v = w->state;
    const struct block_room *room = (const void *)u->room;
    const uint8_t *bitmap = room->head + PAGE - VHD_SECTOR;
    uint64_t block = u->offset / BLOCK, first = u->offset / PAGE;

    rh_vhd_seed_note(v->seed, u);
    if (!room->count)
        return;
    if (v->table[block] == VHD_NO_BLOCK)
        give_place(w, block);
    for (size_t i = 0; i < rh_div_up(u->length, PAGE); i++)
        if (bitmap[i])
            v->pages[(first + i) / 8] |= (uint8_t)(0x80 >> (first + i) % 8);
    add_runs(u, w->base + (uint64_t)v->table[block] * VHD_SECTOR + VHD_SECTOR +
                    u->offset % BLOCK);
}

static void note_full(struct writer *v, uint64_t block, const uint8_t *bitmap)
{
    if (bitmap[0] == 0xff && !memcmp(bitmap, bitmap + 1, VHD_SECTOR - 1))
        v->batmap[block / 8] |= (uint8_t)(0x80 >> (block % 8));
}

/* Once all parts are there: the bits of every block. */
static int write_bitmaps(struct rh_writer *w, rh_error **err)
{
    struct writer *v = w->state;
    uint8_t head[PAGE] = {0}, *bitmap = head + PAGE - VHD_SECTOR;

    for (uint64_t b = 0; b < v->entries; b++) {
        uint64_t at = (uint64_t)v->table[b] * VHD_SECTOR + VHD_SECTOR - PAGE;

        if (v->table[b] == VHD_NO_BLOCK)
            continue;
        for (uint64_t i = 0, page = b * PAGES; i < PAGES; i++, page++)
            bitmap[i] = v->pages[page / 8] & (0x80 >> page % 8)
                            ? page_bits(w->size - page * PAGE)
                            : 0;
        note_full(v, b, bitmap);
        if (rh_go_on(w->lib, err) < 0 ||
            rh_out_write(w->out, head, PAGE, w->base + at, err) < 0)
            return -1;
    }
    return 0;
}

/* Promised blocks that were not handed over because they hold only zeros. */
static int fill_until(struct rh_writer *w, uint64_t block, rh_error **err)
{
    struct writer *v = w->state;

    for (; v->done < block; v->done++) {
        uint64_t at = (uint64_t)v->table[v->done] * VHD_SECTOR;

        if (v->table[v->done] == VHD_NO_BLOCK)
            continue;
        if (rh_go_on(w->lib, err) < 0 ||
            rh_out_write(w->out, v->zeros, STRIDE,
                         w->base + at + VHD_SECTOR - PAGE, err) < 0)
            return -1;
    }
    return 0;
}

static int place_forward(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct writer *v = w->state;
    struct block_room *room = (void *)u->room;
    uint64_t block = u->offset / BLOCK, at;

    if (v->table[block] == VHD_NO_BLOCK)
        return room->count
                   ? rh_fail(err, RH_ERR_BUG,
                             "data at 0x%" PRIx64 " where the map had none",
                             u->offset)
                   : 0;
    if (fill_until(w, block, err) < 0)
        return -1;
    at = w->base + (uint64_t)v->table[block] * VHD_SECTOR + VHD_SECTOR - PAGE;
    add_iov(u, at, room->head, PAGE);
    add_iov(u, at + PAGE, u->data, u->length);
    add_iov(u, at + PAGE + u->length, v->zeros, BLOCK - u->length);
    v->done = block + 1;
    return 0;
}

static int vhd_place(struct rh_writer *w, struct rh_unit *u, rh_error **err)
{
    struct writer *v = w->state;
    struct block_room *room = (void *)u->room;
    uint64_t block = u->offset / BLOCK, at;
    const uint8_t *bitmap = room->head + PAGE - VHD_SECTOR;

    u->iov_count = 0;
    if (v->forward)
        return place_forward(w, u, err);
    if (v->pages)
        place_part(w, u);
    if (v->pages || !room->count)
        return 0;
    at = w->base + v->next;
    give_place(w, block);
    note_full(v, block, bitmap);
    add_iov(u, at, room->head, PAGE);
    add_runs(u, at + PAGE);
    return 0;
}

static int vhd_finish(struct rh_writer *w, uint64_t *ret_size, rh_error **err)
{
    struct writer *v = w->state;
    uint8_t footer[VHD_FOOTER];

    if (v->seed)
        rh_vhd_seed_uuid(v->seed, v->footer.uuid);
    if (v->pages && write_bitmaps(w, err) < 0)
        return -1;
    if (v->forward ? fill_until(w, v->entries, err) < 0
                   : write_head(w, err) < 0)
        return -1;
    rh_vhd_footer_encode(&v->footer, footer);
    if (rh_out_write(w->out, footer, VHD_FOOTER, w->base + v->next, err) < 0)
        return -1;
    *ret_size = v->next + VHD_FOOTER;
    return 0;
}

const struct rh_writer_ops rh_vhd_dynamic_writer = {
    .create = vhd_create,
    .encode = vhd_encode,
    .place = vhd_place,
    .finish = vhd_finish,
    .close = vhd_close,
};
