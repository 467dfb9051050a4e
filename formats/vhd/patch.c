/* patch.c - a later pass over a dynamic VHD of ours (formats/patch.h).
 *
 * Blocks that are there are written in place.  New ones take the place of the
 * footer at the end: so the file first grows by several blocks with a footer
 * behind them (a reader finds one at any moment), then comes data, and when it
 * is on the medium the block table.  finish() cuts what was not needed.  Space
 * that a crash left without an owner is used again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/patch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum {
    PAGE = 4096,
    BLOCK = 2 * 1024 * 1024,
    STRIDE = PAGE + BLOCK,
    GROW = 16, /* blocks that the file grows by at once */
    GRAIN = 64 * 1024,
    NO_BITS = -1,
};

struct patch {
    struct rh_reader *reader; /* holds the tables */
    struct vhd *v;
    uint64_t next;      /* where the next block goes */
    uint64_t room;      /* where the footer is: blocks must end before it */
    uint64_t low, high; /* table entries [low, high) are to be written */
    uint8_t bits[VHD_SECTOR]; /* the bitmap of block `bits_of` */
    int64_t bits_of;
    bool bits_changed;
};

/* --- opening
 * ------------------------------------------------------------------ */

static void patch_close(struct rh_patch *p)
{
    struct patch *s = p->state;

    rh_reader_close(s->reader);
    free(s);
}

static int check_ours(const struct vhd *v, rh_error **err)
{
    if (v->footer.type == VHD_DYNAMIC && v->block == BLOCK &&
        v->bitmap == VHD_SECTOR && v->footer.header == VHD_FOOTER &&
        !memcmp(v->footer.creator, "tap", 4))
        return 0;
    return rh_fail(err, RH_ERR_VHD_VERSION,
                   "the VHD is none that can be written again: it is not one "
                   "of ours");
}

static int open_reader(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    struct rh_open_options o = {.lib = p->lib, .ignore_parent = true};
    int fd = dup(p->fd);
    RH_AUTO(rh_io_unrefp)
    struct rh_io *io = fd < 0 ? NULL : rh_io_fd(fd, p->name, err);

    if (io)
        s->reader = rh_reader_open(io, "vhd", &o, err);
    if (!s->reader)
        return io ? -1
                  : rh_fail(err, RH_ERR_FILE_OPEN, "cannot open the result");
    s->v = s->reader->state;
    return check_ours(s->v, err);
}

static int write_footer(struct rh_patch *p, uint64_t at, rh_error **err)
{
    struct patch *s = p->state;
    uint8_t footer[VHD_FOOTER];

    rh_vhd_footer_encode(&s->v->footer, footer);
    return rh_patch_pwrite(p, footer, VHD_FOOTER, at, err);
}

/* Behind the table, its map and all blocks. */
static uint64_t data_end(const struct vhd *v)
{
    uint64_t table = rh_round_up(v->said * 4, VHD_SECTOR);
    uint64_t batmap =
        VHD_SECTOR + rh_round_up(rh_div_up(v->said, 8), VHD_SECTOR);
    uint64_t end = rh_round_up(v->table_at + table + batmap, PAGE);

    for (uint64_t i = 0; i < v->said; i++)
        if (v->table[i] != VHD_NO_BLOCK)
            end = RH_MAX(end, (uint64_t)v->table[i] * VHD_SECTOR + v->bitmap +
                                  v->block);
    return rh_round_up(end, PAGE);
}

static int patch_open(struct rh_patch *p, rh_error **err)
{
    struct patch *s = rh_new0(struct patch);

    p->state = s;
    s->low = UINT64_MAX;
    s->bits_of = NO_BITS;
    if (open_reader(p, err) < 0)
        return -1;
    p->size = s->reader->size;
    p->grain = GRAIN;
    s->next = data_end(s->v);
    s->room = s->v->end;
    return 0;
}

/* --- blocks
 * ------------------------------------------------------------------- */

static int write_bits(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;

    if (!s->bits_changed)
        return 0;
    s->bits_changed = false;
    return rh_patch_pwrite(p, s->bits, sizeof s->bits,
                           (uint64_t)s->v->table[s->bits_of] * VHD_SECTOR, err);
}

/* Before the sectors themselves: one that has bytes but no bit would read as
 * zeros for some, and as its bytes for others. */
static int set_bits(struct rh_patch *p, uint64_t block, uint64_t from,
                    uint64_t to, rh_error **err)
{
    struct patch *s = p->state;

    if (s->bits_of != (int64_t)block) {
        if (write_bits(p, err) < 0 ||
            rh_patch_pread(p, s->bits, sizeof s->bits,
                           (uint64_t)s->v->table[block] * VHD_SECTOR, err) < 0)
            return -1;
        s->bits_of = (int64_t)block;
    }
    for (uint64_t i = from / VHD_SECTOR; i < rh_div_up(to, VHD_SECTOR); i++) {
        uint8_t bit = (uint8_t)(0x80 >> i % 8);

        s->bits_changed |= !(s->bits[i / 8] & bit);
        s->bits[i / 8] |= bit;
    }
    return write_bits(p, err);
}

static int grow(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t room = s->next + (uint64_t)GROW * STRIDE;

    if (write_footer(p, room, err) < 0 || rh_patch_sync(p, err) < 0)
        return -1;
    s->room = room;
    return 0;
}

/* What lies there (an old footer, a block of a patch that died) goes first:
 * QEMU shows the bytes of a block whatever its bitmap says.  All sectors count
 * as written from the start, as QEMU has it: a bit that came later could be
 * lost, and with it what was written. */
static int new_block(struct rh_patch *p, uint64_t block, rh_error **err)
{
    struct patch *s = p->state;
    uint8_t all[VHD_SECTOR];
    uint64_t sector = (s->next + PAGE - VHD_SECTOR) / VHD_SECTOR;

    if (sector + STRIDE / VHD_SECTOR >= UINT32_MAX)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the VHD would be too large");
    if (s->room < s->next + STRIDE && grow(p, err) < 0)
        return -1;
    memset(all, 0xff, sizeof all);
    if (rh_patch_punch(p, STRIDE, s->next, err) < 0 ||
        rh_patch_pwrite(p, all, sizeof all, sector * VHD_SECTOR, err) < 0)
        return -1;
    s->v->table[block] = (uint32_t)sector;
    s->next += STRIDE;
    s->low = RH_MIN(s->low, block);
    s->high = RH_MAX(s->high, block + 1);
    return 0;
}

static uint64_t data_at(const struct patch *s, uint64_t offset)
{
    return (uint64_t)s->v->table[offset / BLOCK] * VHD_SECTOR + VHD_SECTOR +
           offset % BLOCK;
}

static bool is_there(const struct patch *s, uint64_t offset)
{
    return s->v->table[offset / BLOCK] != VHD_NO_BLOCK;
}

static size_t part_of(uint64_t n, uint64_t offset)
{
    return (size_t)RH_MIN(n, BLOCK - offset % BLOCK);
}

static int patch_read(struct rh_patch *p, void *buf, size_t n, uint64_t offset,
                      rh_error **err)
{
    const struct patch *s = p->state;
    char *to = buf;

    while (n) {
        size_t part = part_of(n, offset);

        if (!is_there(s, offset))
            memset(to, 0, part);
        else if (rh_patch_pread(p, to, part, data_at(s, offset), err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

static int patch_write(struct rh_patch *p, const void *buf, size_t n,
                       uint64_t offset, rh_error **err)
{
    const struct patch *s = p->state;
    const char *from = buf;

    while (n) {
        size_t part = part_of(n, offset);
        uint64_t block = offset / BLOCK, at = offset % BLOCK;

        if (!is_there(s, offset) && new_block(p, block, err) < 0)
            return -1;
        if (set_bits(p, block, at, at + part, err) < 0 ||
            rh_patch_pwrite(p, from, part, data_at(s, offset), err) < 0)
            return -1;
        from += part;
        offset += part;
        n -= part;
    }
    return 0;
}

static int patch_zero(struct rh_patch *p, uint64_t n, uint64_t offset,
                      rh_error **err)
{
    const struct patch *s = p->state;

    while (n) {
        size_t part = part_of(n, offset);

        if (is_there(s, offset) &&
            rh_patch_punch(p, part, data_at(s, offset), err) < 0)
            return -1;
        offset += part;
        n -= part;
    }
    return 0;
}

/* --- tables and the end
 * ------------------------------------------------------- */

static int write_table(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    uint64_t count = s->high - s->low;
    RH_AUTO(rh_freep) uint8_t *bytes = NULL;

    if (s->low >= s->high)
        return 0;
    bytes = rh_alloc_big((size_t)count * 4, err);
    if (!bytes)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        rh_put_be32(bytes + i * 4, s->v->table[s->low + i]);
    if (rh_patch_pwrite(p, bytes, (size_t)count * 4,
                        s->v->table_at + s->low * 4, err) < 0)
        return -1;
    s->low = UINT64_MAX;
    s->high = 0;
    return rh_patch_sync(p, err);
}

static int patch_flush(struct rh_patch *p, rh_error **err)
{
    if (write_bits(p, err) < 0 || rh_patch_sync(p, err) < 0)
        return -1;
    return write_table(p, err);
}

/* A disk that was made empty has the identity of an empty one, as every other
 * of its size: it gets its own with its first sectors. */
static int own_identity(struct rh_patch *p, bool *ret_changed, rh_error **err)
{
    struct patch *s = p->state;
    RH_AUTO(rh_freep) struct vhd_seed *seed = rh_new0(struct vhd_seed);
    uint8_t id[16];

    seed->size = p->size;
    rh_vhd_seed_uuid(seed, id);
    *ret_changed = false;
    if (memcmp(id, s->v->footer.uuid, sizeof id) != 0)
        return 0;
    if (patch_read(p, seed->head,
                   (size_t)RH_MIN((uint64_t)sizeof seed->head, p->size), 0,
                   err) < 0)
        return -1;
    rh_vhd_seed_uuid(seed, s->v->footer.uuid);
    *ret_changed = memcmp(id, s->v->footer.uuid, sizeof id) != 0;
    return 0;
}

static int patch_finish(struct rh_patch *p, rh_error **err)
{
    struct patch *s = p->state;
    bool changed;

    if (patch_flush(p, err) < 0 || own_identity(p, &changed, err) < 0 ||
        (changed && write_footer(p, 0, err) < 0))
        return -1;
    if (!changed && s->room == s->next && s->v->end == s->next)
        return 0;
    if (write_footer(p, s->next, err) < 0 || rh_patch_sync(p, err) < 0 ||
        rh_patch_length(p, s->next + VHD_FOOTER, err) < 0 ||
        rh_patch_sync(p, err) < 0)
        return -1;
    s->room = s->v->end = s->next;
    return 0;
}

const struct rh_patch_ops rh_vhd_patch = {
    .open = patch_open,
    .read = patch_read,
    .write = patch_write,
    .zero = patch_zero,
    .flush = patch_flush,
    .finish = patch_finish,
    .close = patch_close,
};
