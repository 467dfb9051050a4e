/* open.c - what must hold before a byte of a VHD is read: both footers, the
 * header, and every entry of the block table against the file. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhd/vhd.h"

enum { AT_TYPE = 60 }; /* in the footer */
enum {                 /* offsets in the dynamic header */
       AT_TABLE = 16,
       AT_VERSION = 24,
       AT_ENTRIES = 28,
       AT_BLOCK_SIZE = 32,
       AT_SUM = 36,
       AT_PARENT_ID = 40,
       AT_PARENT_NAME = 64,
       AT_LOCATORS = 576,
};
enum { NAME_BYTES = 512, NAME_MOST = 4096, LOCATOR = 24, LOCATORS = 8 };
/* Entries: all of 2040 GiB in blocks of 512 KiB, a quarter of the usual. Table,
 * sorted copy and the sort's own memory stay below 48 MiB. */
enum { TABLE_MOST = 4 * 1024 * 1024 };
enum { LEAST_BLOCK = 4096, MOST_BLOCK = 256 * 1024 * 1024 };

/* --- the footer ----------------------------------------------------------- */
/* A forward reader believes the copy, a seeking one the footer: where they
 * would see different disks, neither is right. */
static int compare_footers(struct rh_reader *r, const uint8_t *head,
                           const uint8_t *tail, rh_error **err)
{
    struct vhd_footer a, b;
    size_t at = 0;

    rh_vhd_footer_decode(head, &a);
    rh_vhd_footer_decode(tail, &b);
    if (a.type != b.type || a.header != b.header || a.size != b.size ||
        memcmp(a.creator, b.creator, 4) != 0 ||
        memcmp(&a.geometry, &b.geometry, sizeof a.geometry) != 0)
        return rh_fail(err, RH_ERR_VHD_FOOTER,
                       "the footer and its copy at 0x0 describe different "
                       "disks");
    while (b.type == VHD_DYNAMIC && at < VHD_FOOTER && head[at] == tail[at])
        at++;
    if (b.type == VHD_DYNAMIC && at < VHD_FOOTER)
        rh_problem_add(r, "VHD-FOOTER",
                       N_("the footer and its copy at the start differ (at "
                          "0x%zx of both) in something that does not change "
                          "the contents"),
                       at);
    return 0;
}

/* Virtual PC before 2004 wrote footers of 511 bytes: the last one, reserved, is
 * left out. */
static bool is_short(const uint8_t tail[VHD_FOOTER])
{
    return !memcmp(tail + 1, "conectix", 8);
}

/* The footer at the end counts; a damaged one is replaced by the copy in
 * front. */
static int read_footer(struct rh_reader *r, struct vhd *v, rh_error **err)
{
    uint8_t head[VHD_FOOTER], tail[VHD_FOOTER];
    bool has_head, has_tail;
    uint64_t end;

    if (r->io->size < 2 * VHD_FOOTER)
        return rh_fail(err, RH_ERR_VHD_FOOTER,
                       "the file is too short for a VHD (it ends at 0x%" PRIx64
                       ")",
                       r->io->size);
    if (rh_io_read(r->io, head, VHD_FOOTER, 0, err) < 0 ||
        rh_io_read(r->io, tail, VHD_FOOTER, r->io->size - VHD_FOOTER, err) < 0)
        return -1;
    has_head = rh_vhd_footer_good(head);
    has_tail = rh_vhd_footer_good(tail);
    end = r->io->size - VHD_FOOTER;
    if (!has_tail && is_short(tail)) {
        end++;
        memmove(tail, tail + 1, VHD_FOOTER - 1);
        tail[VHD_FOOTER - 1] = 0;
        has_tail = rh_vhd_footer_good(tail);
    }
    if (!has_tail && has_head) /* a fixed disk has no copy in front */
        has_head = rh_be32(head + AT_TYPE) != VHD_FIXED;
    if (!has_head && !has_tail)
        return rh_fail(err, RH_ERR_VHD_FOOTER,
                       "neither the footer at 0x%" PRIx64
                       " nor its copy at 0 has the mark and a right sum",
                       r->io->size - VHD_FOOTER);
    rh_vhd_footer_decode(has_tail ? tail : head, &v->footer);
    v->end = has_tail ? end : r->io->size;
    if (!has_tail)
        rh_problem_add(r, "VHD-FOOTER",
                       N_("the footer at the end is missing or damaged (at "
                          "0x%llx); the copy at the start was used"),
                       (unsigned long long)(r->io->size - VHD_FOOTER));
    if (has_tail && has_head)
        return compare_footers(r, head, tail, err);
    if (!has_head && v->footer.type != VHD_FIXED)
        rh_problem_add(r, "VHD-FOOTER",
                       N_("the footer's copy at the start (at 0x0) is damaged; "
                          "the one at the end was used"));
    return 0;
}

static int check_footer(struct rh_reader *r, const struct vhd_footer *f,
                        rh_error **err)
{
    if (f->version >> 16 != 1)
        return rh_fail(err, RH_ERR_VHD_VERSION,
                       "VHD version 0x%08" PRIx32 " is not known", f->version);
    if (f->type != VHD_FIXED && f->type != VHD_DYNAMIC &&
        f->type != VHD_DIFFERENCING)
        return rh_fail(err, RH_ERR_VHD_FOOTER,
                       "disk type %" PRIu32
                       " is neither fixed (2), dynamic (3) "
                       "nor differencing (4)",
                       f->type);
    if (f->saved_state)
        rh_problem_add(r, "VHD-SAVED-STATE",
                       N_("the disk belongs to a VM that was suspended, not "
                          "shut down"));
    return 0;
}

/* Virtual PC and QEMU's default mean the geometry; all others the current size
 * (7-Zip, libvhdi, dissect and DiscUtils read them so). */
static bool means_geometry(const struct vhd_footer *f)
{
    bool most = f->geometry.cylinders == 65535 && f->geometry.heads == 16 &&
                f->geometry.sectors == 255;

    return !most &&
           (!memcmp(f->creator, "vpc ", 4) || !memcmp(f->creator, "qemu", 4));
}

/* A fixed disk's own length settles it. */
static uint64_t choose_size(const struct vhd *v)
{
    const struct vhd_footer *f = &v->footer;
    uint64_t chs = rh_vhd_geometry_size(&f->geometry);
    bool geometry = means_geometry(f);

    if (f->type == VHD_FIXED && v->end == f->size)
        geometry = false;
    else if (f->type == VHD_FIXED && v->end == chs)
        geometry = true;
    return chs && geometry ? chs : f->size;
}

static int decide_size(struct rh_reader *r, const struct vhd *v, rh_error **err)
{
    uint64_t size = choose_size(v);

    if (size != v->footer.size)
        rh_problem_add(r, "VHD-SIZE",
                       N_("the size is %llu bytes by the geometry, as the "
                          "program that wrote it means it, and %llu by the "
                          "footer"),
                       (unsigned long long)size,
                       (unsigned long long)v->footer.size);
    if (size == 0 || size > VHD_MOST)
        return rh_fail(err, RH_ERR_VHD_SIZE,
                       "a disk of %" PRIu64 " bytes; a VHD holds 1 byte to "
                       "2040 GiB",
                       size);
    r->size = size / VHD_SECTOR * VHD_SECTOR;
    return r->size ? 0 : rh_fail(err, RH_ERR_VHD_SIZE, "a disk of no sector");
}

/* --- header and table ----------------------------------------------------- */
static int read_header(struct rh_reader *r, struct vhd *v, rh_error **err)
{
    uint64_t at = v->footer.header, end = v->end;
    uint8_t h[VHD_HEADER];

    if (at % VHD_SECTOR || at < VHD_FOOTER || at > end || end - at < VHD_HEADER)
        return rh_fail(err, RH_ERR_VHD_HEADER,
                       "it lies outside the file (which ends at 0x%" PRIx64 ")",
                       end);
    if (rh_io_read(r->io, h, VHD_HEADER, at, err) < 0)
        return -1;
    if (memcmp(h, "cxsparse", 8) != 0)
        return rh_fail(err, RH_ERR_VHD_HEADER, "its mark is not \"cxsparse\"");
    if (rh_be32(h + AT_SUM) != rh_vhd_sum(h, VHD_HEADER, AT_SUM))
        return rh_fail(err, RH_ERR_VHD_HEADER, "a wrong sum");
    if (rh_be32(h + AT_VERSION) >> 16 != 1)
        return rh_fail(err, RH_ERR_VHD_VERSION,
                       "dynamic header version 0x%08" PRIx32 " is not known",
                       rh_be32(h + AT_VERSION));
    v->block = rh_be32(h + AT_BLOCK_SIZE);
    if (!rh_power_of_two(v->block) || v->block < LEAST_BLOCK ||
        v->block > MOST_BLOCK)
        return rh_fail(err, RH_ERR_VHD_HEADER,
                       "block size %" PRIu64 " is no power of two from 4096 to "
                       "256 MiB",
                       v->block);
    v->bitmap = rh_round_up(rh_div_up(v->block / VHD_SECTOR, 8), VHD_SECTOR);
    v->table_at = rh_be64(h + AT_TABLE);
    v->said = rh_be32(h + AT_ENTRIES);
    return 0;
}

static int check_table(const struct rh_reader *r, const struct vhd *v,
                       rh_error **err)
{
    uint64_t at = v->table_at, entries = v->said, end = v->end;
    uint64_t header = v->footer.header;

    if (entries * v->block < r->size)
        return rh_fail(err, RH_ERR_VHD_TABLE,
                       "a block table of %" PRIu64
                       " entries is too short for %" PRIu64 " bytes",
                       entries, r->size);
    if (entries > TABLE_MOST)
        return rh_fail(err, RH_ERR_VHD_TABLE,
                       "a block table of %" PRIu64 " entries is over the limit",
                       entries);
    if (at % VHD_SECTOR || at < VHD_FOOTER || at > end ||
        end - at < entries * 4)
        return rh_fail(err, RH_ERR_VHD_TABLE,
                       "the block table at 0x%" PRIx64 " (%" PRIu64
                       " bytes) lies outside the file (it ends at 0x%" PRIx64
                       ")",
                       at, entries * 4, end);
    if (at < header + VHD_HEADER && header < at + entries * 4)
        return rh_fail(
            err, RH_ERR_VHD_TABLE,
            "the block table at 0x%" PRIx64 " overlaps the dynamic header", at);
    return 0;
}

/* A block may not cover the footer's copy, the header, the table or the end. */
static int check_block(const struct vhd *v, uint64_t i, uint64_t table_at,
                       uint64_t table_size, uint64_t end, rh_error **err)
{
    uint64_t at = (uint64_t)v->table[i] * VHD_SECTOR;
    uint64_t size = v->bitmap + v->block;

    if (at > end || end - at < size)
        return rh_fail(err, RH_ERR_VHD_BLOCK,
                       "block %" PRIu64 " at 0x%" PRIx64
                       " reaches past the end of the data (0x%" PRIx64 ")",
                       i, at, end);
    if (at < VHD_FOOTER ||
        (at < v->footer.header + VHD_HEADER && v->footer.header < at + size) ||
        (at < table_at + table_size && table_at < at + size))
        return rh_fail(err, RH_ERR_VHD_BLOCK,
                       "block %" PRIu64 " at 0x%" PRIx64
                       " covers the file's own tables",
                       i, at);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

int rh_vhd_sorted(const struct rh_reader *r, const struct vhd *v,
                  uint32_t **ret, uint64_t *ret_count, rh_error **err)
{
    uint32_t *sorted = rh_alloc_big((size_t)v->said * sizeof *sorted, err);
    uint64_t count = 0;

    if (!sorted)
        return -1;
    for (uint64_t i = 0; i < v->said; i++)
        if (v->table[i] != VHD_NO_BLOCK)
            sorted[count++] = v->table[i];
    if (!r->file_order)
        qsort(sorted, (size_t)count, sizeof *sorted, by_number);
    *ret = sorted;
    *ret_count = count;
    return 0;
}

static int check_overlap(const struct rh_reader *r, const struct vhd *v,
                         rh_error **err)
{
    RH_AUTO(rh_freep) uint32_t *sorted = NULL;
    uint64_t gap = (v->bitmap + v->block) / VHD_SECTOR, count;

    if (rh_vhd_sorted(r, v, &sorted, &count, err) < 0)
        return -1;
    for (uint64_t i = 1; i < count; i++)
        if (sorted[i] - sorted[i - 1] < gap)
            return rh_fail(err, RH_ERR_VHD_BLOCK,
                           "two blocks overlap at 0x%" PRIx64,
                           (uint64_t)sorted[i] * VHD_SECTOR);
    return 0;
}

static int read_table(struct rh_reader *r, struct vhd *v, rh_error **err)
{
    uint64_t size = v->said * 4, used = 0, last = 0;
    bool ascending = true;

    v->table = rh_alloc_big((size_t)size, err);
    if (!v->table ||
        rh_io_read(r->io, v->table, (size_t)size, v->table_at, err) < 0)
        return -1;
    for (uint64_t i = 0; i < v->said; i++) {
        v->table[i] = be32toh(v->table[i]);
        if (v->table[i] == VHD_NO_BLOCK)
            continue;
        if (check_block(v, i, v->table_at, size, v->end, err) < 0)
            return -1;
        ascending = ascending && (!used || v->table[i] > last);
        last = v->table[i];
        used++;
    }
    r->file_order = ascending;
    return check_overlap(r, v, err);
}

static int open_dynamic(struct rh_reader *r, struct vhd *v, rh_error **err)
{
    if (read_header(r, v, err) < 0 || check_table(r, v, err) < 0)
        return rh_error_context(err, "dynamic header at 0x%" PRIx64,
                                v->footer.header);
    if (read_table(r, v, err) < 0)
        return -1;
    v->entries = rh_div_up(r->size, v->block);
    r->variant = v->footer.type == VHD_DYNAMIC ? "dynamic" : "differencing";
    r->grain = (uint32_t)v->block;
    return 0;
}

/* --- the parent ----------------------------------------------------------- */
/* A locator's path (Windows', UTF-16); NULL when it is of another platform. */
static char *locator_name(struct rh_reader *r, const struct vhd *v,
                          const uint8_t locator[LOCATOR])
{
    uint32_t size = RH_MIN(rh_be32(locator + 8), (uint32_t)NAME_MOST);
    uint64_t at = rh_be64(locator + 16);
    uint8_t path[NAME_MOST];

    if ((memcmp(locator, "W2ru", 4) != 0 && memcmp(locator, "W2ku", 4) != 0) ||
        at > v->end || size > v->end - at ||
        rh_io_read(r->io, path, size, at, NULL) < 0)
        return NULL;
    return rh_utf16_name(path, size, false);
}

static bool is_there(const struct rh_open_options *o, const char *name)
{
    const char *last = name ? rh_last_part(name) : NULL;
    struct rh_io *io = last ? rh_place_open(o->place, last, NULL) : NULL;

    rh_io_unref(io);
    return io != NULL;
}

/* The name in the header; where there is no such file, the locators may know a
 * newer one. */
static char *parent_name(struct rh_reader *r, const struct vhd *v,
                         const uint8_t h[VHD_HEADER],
                         const struct rh_open_options *o)
{
    RH_AUTO(rh_freep)
    char *said = rh_utf16_name(h + AT_PARENT_NAME, NAME_BYTES, true);

    for (size_t i = 0; i < LOCATORS && o->place && !is_there(o, said); i++) {
        char *name = locator_name(r, v, h + AT_LOCATORS + i * LOCATOR);

        if (name && (!said || is_there(o, name))) {
            free(said);
            said = name;
        } else {
            free(name);
        }
    }
    return RH_TAKE(said);
}

static int open_parent(struct rh_reader *r, struct vhd *v,
                       const struct rh_open_options *o, rh_error **err)
{
    uint8_t h[VHD_HEADER];

    if (rh_io_read(r->io, h, VHD_HEADER, v->footer.header, err) < 0)
        return -1;
    r->backing_file = parent_name(r, v, h, o);
    if (o->ignore_parent)
        return 0;
    if (r->backing_file)
        return rh_reader_open_parent(r, o, r->backing_file, "vhd",
                                     h + AT_PARENT_ID, err);
    return rh_fail(err, RH_ERR_DISK_PARENT,
                   "it holds what changed since its parent disk, but does not "
                   "name that");
}

static int open_fixed(struct rh_reader *r, uint64_t end, rh_error **err)
{
    if (r->size > end)
        return rh_fail(err, RH_ERR_VHD_SIZE,
                       "a fixed disk of %" PRIu64
                       " bytes in a file that holds %" PRIu64,
                       r->size, end);
    r->variant = "fixed";
    r->file_order = true;
    return 0;
}

void rh_vhd_free(struct vhd *v)
{
    free(v->table);
    free(v);
}
RH_FREEP(vhd_freep, struct vhd, rh_vhd_free)

int rh_vhd_open(struct rh_reader *r, const struct rh_open_options *o,
                rh_error **err)
{
    RH_AUTO(vhd_freep) struct vhd *v = rh_new0(struct vhd);

    if (read_footer(r, v, err) < 0)
        return -1;
    if (check_footer(r, &v->footer, err) < 0 || decide_size(r, v, err) < 0 ||
        (v->footer.type == VHD_FIXED && open_fixed(r, v->end, err) < 0))
        return rh_error_context(err, "footer at 0x%" PRIx64,
                                v->end < r->io->size ? v->end : 0);
    if (v->footer.type != VHD_FIXED && open_dynamic(r, v, err) < 0)
        return -1;
    if (v->footer.type == VHD_DIFFERENCING && open_parent(r, v, o, err) < 0)
        return -1;
    memcpy(r->id, v->footer.uuid, sizeof r->id);
    r->state = RH_TAKE(v);
    return 0;
}
