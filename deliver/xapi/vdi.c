/* vdi.c - one disk into a VDI that is there: PUT /import_raw_vdi.
 *
 * What is to be written goes as a VHD that holds just that: sectors without a
 * bit in its bitmaps stay as they are (vhd-tool writes only what is marked), so
 * that a disk goes piece by piece, and changed blocks over an earlier pass.
 * Beyond a VHD's reach XAPI's own chunks of raw bytes do the same. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "deliver/xapi/xapi.h"
#include "formats/vhd/vhd.h"

enum {
    BLOCK = 2 * 1024 * 1024,
    TABLE_AT = VHD_FOOTER + VHD_HEADER,
    CHUNK = 1024 * 1024, /* of raw bytes */
    TRIES = 5,
    PAUSE = 500,       /* milliseconds, doubled each time */
    PAUSE_MAX = 16000, /* the host lets go of the disk by then */
};

struct patch {
    struct rh_xapi_import *to;
    struct rh_reader *disk;
    const struct rh_range *ranges;
    size_t count;
    struct rh_codec *codec;
    uint64_t entries; /* of the table */
    bool broken;      /* the last try's stream broke off */
};

/* --- as a VHD
 * ------------------------------------------------------------------------------
 */

static uint64_t sector_end(const struct patch *p, const struct rh_range *r)
{
    return RH_MIN(rh_round_up(r->offset + r->length, VHD_SECTOR),
                  rh_round_up(p->disk->size, VHD_SECTOR));
}

static uint64_t table_size(const struct patch *p)
{
    return rh_round_up(p->entries * 4, VHD_SECTOR);
}

/* The table: blocks in the file's order, those that a range touches; and how
 * many they are.  `p8` may be NULL. */
static uint64_t fill_table(const struct patch *p, uint8_t *p8)
{
    uint64_t at = (TABLE_AT + table_size(p)) / VHD_SECTOR, next = 0, n = 0;

    for (size_t i = 0; i < p->count; i++) {
        uint64_t first = RH_MAX(p->ranges[i].offset / BLOCK, next);

        next = rh_div_up(sector_end(p, &p->ranges[i]), BLOCK);
        for (uint64_t b = first; b < next; b++, n++)
            if (p8)
                rh_put_be32(p8 + b * 4,
                            (uint32_t)(at + n * (BLOCK / VHD_SECTOR + 1)));
    }
    return n;
}

static int put_head(const struct patch *p, const uint8_t footer[VHD_FOOTER],
                    rh_error **err)
{
    uint8_t header[VHD_HEADER] = "cxsparse";
    RH_AUTO(rh_freep) uint8_t *table = rh_malloc((size_t)table_size(p));

    memset(header + 8, 0xff, 8);
    rh_put_be64(header + 16, TABLE_AT);
    rh_put_be32(header + 24, 0x00010000);
    rh_put_be32(header + 28, (uint32_t)p->entries);
    rh_put_be32(header + 32, BLOCK);
    rh_put_be32(header + 36, rh_vhd_sum(header, VHD_HEADER, 36));
    memset(table, 0xff, (size_t)table_size(p));
    fill_table(p, table);
    if (rh_xapi_import_write(p->to, footer, VHD_FOOTER, err) < 0 ||
        rh_xapi_import_write(p->to, header, sizeof header, err) < 0)
        return -1;
    return rh_xapi_import_write(p->to, table, (size_t)table_size(p), err);
}

/* One range's part of a block: its bits, and its bytes. */
static int put_part(const struct patch *p, const struct rh_range *r,
                    uint64_t block, uint8_t *bitmap, uint8_t *data,
                    rh_error **err)
{
    uint64_t start = RH_MAX(r->offset / VHD_SECTOR * VHD_SECTOR, block);
    uint64_t end = RH_MIN(sector_end(p, r), block + BLOCK);
    uint64_t known = RH_MIN(end, p->disk->size);

    for (uint64_t s = (start - block) / VHD_SECTOR;
         s < (end - block) / VHD_SECTOR; s++)
        bitmap[s / 8] |= (uint8_t)(0x80 >> s % 8);
    return rh_reader_read(p->disk, p->codec, data + (start - block),
                          (size_t)(known - start), start, err);
}

static int put_blocks(const struct patch *p, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *room = rh_malloc(VHD_SECTOR + BLOCK);
    uint64_t next = 0;

    for (size_t i = 0; i < p->count;) {
        uint64_t b = RH_MAX(p->ranges[i].offset / BLOCK, next), at = b * BLOCK;

        memset(room, 0, VHD_SECTOR + BLOCK);
        for (size_t n = i; n < p->count && p->ranges[n].offset < at + BLOCK;
             n++)
            if (sector_end(p, &p->ranges[n]) > at &&
                put_part(p, &p->ranges[n], at, room, room + VHD_SECTOR, err) <
                    0)
                return -1;
        if (rh_xapi_import_write(p->to, room, VHD_SECTOR + BLOCK, err) < 0)
            return -1;
        next = b + 1;
        while (i < p->count && sector_end(p, &p->ranges[i]) <= at + BLOCK)
            i++;
    }
    return 0;
}

static int put_vhd(const struct patch *p, rh_error **err)
{
    struct vhd_footer f = {.type = VHD_DYNAMIC,
                           .header = VHD_FOOTER,
                           .size = rh_round_up(p->disk->size, VHD_SECTOR)};
    uint8_t footer[VHD_FOOTER];

    f.geometry = rh_vhd_geometry(f.size);
    memcpy(f.uuid, "rehost's changes", sizeof f.uuid);
    rh_vhd_footer_encode(&f, footer);
    if (put_head(p, footer, err) < 0 || put_blocks(p, err) < 0)
        return -1;
    return rh_xapi_import_write(p->to, footer, sizeof footer, err);
}

/* --- as chunks: offset and length, little-endian, then the bytes; length 0
 * ends
 * ------------------------------------------------------------------------------
 */

static uint64_t chunks_size(const struct patch *p)
{
    uint64_t n = 12;

    for (size_t i = 0; i < p->count; i++)
        n += p->ranges[i].length + 12 * rh_div_up(p->ranges[i].length, CHUNK);
    return n;
}

static int put_chunks(const struct patch *p, rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *room = rh_malloc(12 + CHUNK);

    for (size_t i = 0; i < p->count; i++) {
        const struct rh_range *r = &p->ranges[i];

        for (uint64_t done = 0; done < r->length;) {
            size_t n = (size_t)RH_MIN((uint64_t)CHUNK, r->length - done);

            rh_put_le64(room, r->offset + done);
            rh_put_le32(room + 8, (uint32_t)n);
            if (rh_reader_read(p->disk, p->codec, room + 12, n,
                               r->offset + done, err) < 0 ||
                rh_xapi_import_write(p->to, room, 12 + n, err) < 0)
                return -1;
            done += n;
        }
    }
    memset(room, 0, 12);
    return rh_xapi_import_write(p->to, room, 12, err);
}

/* --- either
 * ------------------------------------------------------------------------------
 */

static int write_once(struct rh_xapi *x, const struct rh_xapi_place *place,
                      const char *vdi, struct patch *p, uint64_t *ret_sent,
                      rh_error **err)
{
    struct rh_xapi_import i = {.x = x, .place = place};
    bool vhd = p->disk->size <= VHD_MOST;
    uint64_t size = vhd ? TABLE_AT + table_size(p) + VHD_FOOTER +
                              fill_table(p, NULL) * (VHD_SECTOR + BLOCK)
                        : chunks_size(p);
    RH_AUTO(rh_freep)
    char *path = rh_printf("/import_raw_vdi?vdi=%s&format=%s", vdi,
                           vhd ? "vhd" : "raw&chunked=true");
    bool failed;

    p->to = &i;
    failed = rh_xapi_import_open(&i, vdi, path, (int64_t)size, err) < 0 ||
             (vhd ? put_vhd(p, err) : put_chunks(p, err)) < 0 ||
             rh_xapi_import_end(&i, err) < 0;
    *ret_sent += i.sent;
    p->broken = i.broken != NULL;
    if (failed)
        rh_xapi_do(x, "task.cancel", json_pack("[s]", i.task ? i.task : ""),
                   NULL);
    if (i.task)
        rh_xapi_do(x, "task.destroy", json_pack("[s]", i.task), NULL);
    rh_xapi_import_free(&i);
    p->to = NULL;
    return failed ? -1 : 0;
}

/* A broken connection, or a disk that the host still holds from the try before.
 * XAPI says VDI_IO_ERROR of a stream that broke off, too. */
static bool may_try_again(const struct patch *p, const rh_error *e)
{
    enum rh_error_class c = rh_error_class_of(rh_error_number(e));

    return c == RH_CLASS_NETWORK || c == RH_CLASS_BUSY ||
           (p->broken && strstr(rh_error_message(e), "VDI_IO_ERROR"));
}

int rh_xapi_vdi_write(struct rh_xapi *x, const struct rh_xapi_place *place,
                      const char *vdi, struct rh_reader *disk,
                      const struct rh_range *ranges, size_t count,
                      uint64_t *ret_sent, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    struct patch p = {.disk = disk,
                      .ranges = ranges,
                      .count = count,
                      .codec = codec,
                      .entries = rh_div_up(disk->size, BLOCK)};
    unsigned ms = PAUSE;

    if (!count)
        return 0;
    for (unsigned tries = 1;; tries++) {
        rh_error *e = NULL;

        if (write_once(x, place, vdi, &p, ret_sent, &e) == 0)
            return 0;
        if (!may_try_again(&p, e) || tries == TRIES ||
            rh_go_on(x->remote->lib, NULL) < 0) {
            if (err && !*err)
                *err = RH_TAKE(e);
            rh_error_free(e);
            return -1;
        }
        rh_log(x->remote->lib, RH_LOG_WARN, "%s; the piece is sent again",
               rh_error_message(e));
        rh_error_free(e);
        rh_remote_pause(x->remote->lib, &ms, PAUSE_MAX);
    }
}
