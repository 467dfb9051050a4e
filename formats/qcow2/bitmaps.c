/* bitmaps.c - which clusters the persistent dirty bitmaps use.
 *
 * A directory, whose place a header extension names, lists the bitmaps; each
 * has a table of clusters that hold its bits.  Nothing of it is part of the
 * disk: it is looked at to count clusters, and what makes no sense is noted,
 * not refused.  Without the autoclear bit a program that knows no bitmaps wrote
 * into the file, and they count as gone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bytes.h"
#include "formats/qcow2/reader.h"

enum { /* in the extension, as in a directory's entry */
       AT_COUNT = 0,
       AT_DIRECTORY_SIZE = 8,
       AT_DIRECTORY = 16,
       EXTENSION = 24,
       AT_TABLE = 0,
       AT_TABLE_ENTRIES = 8,
       AT_TYPE = 16,
       AT_NAME_SIZE = 18,
       AT_EXTRA_SIZE = 20,
       ENTRY = 24,
};
enum {
    DIRTY_TRACKING = 1,
    NAME_MAX_SIZE = 1023,
    EXTRA_MAX = 65536,
    BITMAPS_MAX = 65535,
    PER_BUDGET = 512, /* entries of a table that cost as much as an L2 table */
};
#define DIRECTORY_MAX  (64ULL << 20) /* as QEMU has it: 1 KiB for each */
#define BITMAP_MAX     (512ULL << 20)
#define TABLE_RESERVED 0xff000000000001feULL

void rh_qcow2_read_bitmaps(struct rh_qcow2_bitmaps *b, uint64_t at,
                           const uint8_t *data, uint32_t n)
{
    *b = (struct rh_qcow2_bitmaps){.extension = at};
    if (n != EXTENSION)
        return;
    b->count = rh_be32(data + AT_COUNT);
    b->size = rh_be64(data + AT_DIRECTORY_SIZE);
    b->directory = rh_be64(data + AT_DIRECTORY);
}

/* `uses` is the caller's, the walk's own state stands around it. */
struct walk {
    const struct rh_qcow2 *q;
    struct rh_io *io;
    struct rh_qcow2_bitmap_uses *uses;
};

static int flaw(struct walk *w, uint64_t at)
{
    if (w->uses->flaws++ == 0)
        w->uses->flaw_at = at;
    w->uses->partly = true;
    return 0;
}

/* A cluster's start, with `size` bytes of the file from there on. */
static bool is_room(const struct walk *w, uint64_t at, uint64_t size)
{
    return at && at % w->q->cluster == 0 && at < w->io->size &&
           size <= w->io->size - at;
}

static int use_entry(void *user, uint64_t index, uint64_t entry, rh_error **err)
{
    struct walk *w = user;
    uint64_t at = entry & Q_OFFSET;

    (void)err;
    /* A bitmap's last cluster may be cut by the file's end. */
    if (entry & TABLE_RESERVED || (at && !is_room(w, at, 1)) ||
        (at && entry & 1))
        return flaw(w, w->uses->table + index * 8);
    if (at)
        w->uses->use(w->uses->user, at, w->q->cluster);
    return 0;
}

static int use_bitmap(struct walk *w, rh_lib *lib, const uint8_t *entry,
                      uint64_t at, rh_error **err)
{
    uint64_t table = rh_be64(entry + AT_TABLE);
    uint64_t entries = rh_be32(entry + AT_TABLE_ENTRIES);
    uint64_t cost = rh_div_up(entries, PER_BUDGET);

    if (entry[AT_TYPE] != DIRTY_TRACKING || entries == 0 ||
        entries > BITMAP_MAX / w->q->cluster || !is_room(w, table, entries * 8))
        return flaw(w, at);
    if (cost > *w->uses->budget) {
        w->uses->partly = true;
        return 0;
    }
    *w->uses->budget -= cost;
    w->uses->use(w->uses->user, table, entries * 8);
    w->uses->table = table;
    return rh_qcow2_each_l1(lib, w->io, table, entries, use_entry, w, err);
}

static int use_directory(struct walk *w, rh_lib *lib, rh_error **err)
{
    uint64_t at = w->q->bitmaps.directory, left = w->q->bitmaps.size, size;
    uint8_t entry[ENTRY];

    w->uses->use(w->uses->user, at, left);
    for (uint32_t i = 0; i < w->q->bitmaps.count; i++) {
        if (left < ENTRY)
            return flaw(w, at);
        if (rh_io_read(w->io, entry, ENTRY, at, err) < 0)
            return -1;
        size = rh_round_up((uint64_t)ENTRY + rh_be32(entry + AT_EXTRA_SIZE) +
                               rh_be16(entry + AT_NAME_SIZE),
                           8);
        if (rh_be32(entry + AT_EXTRA_SIZE) > EXTRA_MAX ||
            rh_be16(entry + AT_NAME_SIZE) > NAME_MAX_SIZE || size > left)
            return flaw(w, at);
        if (use_bitmap(w, lib, entry, at, err) < 0)
            return -1;
        at += size;
        left -= size;
    }
    return left ? flaw(w, at) : 0;
}

int rh_qcow2_use_bitmaps(const struct rh_qcow2 *q, rh_lib *lib,
                         struct rh_io *io, struct rh_qcow2_bitmap_uses *uses,
                         rh_error **err)
{
    struct walk w = {.q = q, .io = io, .uses = uses};
    const struct rh_qcow2_bitmaps *b = &q->bitmaps;

    if (!b->extension || !q->bitmaps_valid)
        return 0;
    if (b->count == 0 || b->count > BITMAPS_MAX || b->size > DIRECTORY_MAX ||
        !is_room(&w, b->directory, b->size))
        return flaw(&w, b->extension);
    return use_directory(&w, lib, err);
}
