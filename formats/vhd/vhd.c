/* vhd.c - the footer of a VHD: 512 big-endian bytes at the end of the file
 * and, unless the disk is fixed, a copy at its start. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/vhd/vhd.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/digest.h"

enum { /* offsets in the footer */
       AT_FEATURES = 8,
       AT_VERSION = 12,
       AT_HEADER = 16,
       AT_CREATOR = 28,
       AT_CREATOR_VERSION = 32,
       AT_ORIGINAL_SIZE = 40,
       AT_CURRENT_SIZE = 48,
       AT_CYLINDERS = 56,
       AT_HEADS = 58,
       AT_SECTORS = 59,
       AT_TYPE = 60,
       AT_SUM = 64,
       AT_UUID = 68,
       AT_SAVED = 84,
};
enum { VERSION = 0x00010000, RESERVED_FEATURE = 2 };

uint32_t rh_vhd_sum(const uint8_t *p, size_t n, size_t field)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        if (i < field || i >= field + 4)
            sum += p[i];
    return ~sum;
}

struct vhd_geometry rh_vhd_geometry(uint64_t size)
{
    const uint64_t most = 65535ULL * 16 * 255;
    uint64_t total = RH_MIN(size / VHD_SECTOR, most), tracks;
    unsigned sectors = 17, heads;

    if (total >= 65535ULL * 16 * 63)
        return (struct vhd_geometry){total / 255 / 16, 16, 255};
    tracks = total / sectors;
    heads = (unsigned)RH_MAX((tracks + 1023) / 1024, 4ULL);
    if (tracks >= heads * 1024ULL || heads > 16) {
        sectors = 31;
        heads = 16;
        tracks = total / sectors;
    }
    if (tracks >= heads * 1024ULL) {
        sectors = 63;
        heads = 16;
        tracks = total / sectors;
    }
    return (struct vhd_geometry){tracks / heads, heads, sectors};
}

uint64_t rh_vhd_geometry_size(const struct vhd_geometry *g)
{
    return g->cylinders * g->heads * g->sectors * VHD_SECTOR;
}

bool rh_vhd_footer_good(const uint8_t p[VHD_FOOTER])
{
    return !memcmp(p, "conectix", 8) &&
           rh_be32(p + AT_SUM) == rh_vhd_sum(p, VHD_FOOTER, AT_SUM);
}

void rh_vhd_footer_decode(const uint8_t p[VHD_FOOTER], struct vhd_footer *ret)
{
    *ret = (struct vhd_footer){
        .features = rh_be32(p + AT_FEATURES),
        .version = rh_be32(p + AT_VERSION),
        .type = rh_be32(p + AT_TYPE),
        .header = rh_be64(p + AT_HEADER),
        .size = rh_be64(p + AT_CURRENT_SIZE),
        .geometry = {rh_be16(p + AT_CYLINDERS), p[AT_HEADS], p[AT_SECTORS]},
        .saved_state = p[AT_SAVED] != 0,
    };
    memcpy(ret->creator, p + AT_CREATOR, sizeof ret->creator);
    memcpy(ret->uuid, p + AT_UUID, sizeof ret->uuid);
}

/* "tap\0" 1.3 is what XCP-ng's own tools write: with it QEMU, libvhdi and
 * vhd-lib all take the exact size; an unknown creator would make QEMU cut the
 * disk to its geometry.  Time 0 is 2000-01-01: the same input gives the same
 * bytes. */
void rh_vhd_footer_encode(const struct vhd_footer *f, uint8_t p[VHD_FOOTER])
{
    memset(p, 0, VHD_FOOTER);
    memcpy(p, "conectix", 8);
    rh_put_be32(p + AT_FEATURES, RESERVED_FEATURE);
    rh_put_be32(p + AT_VERSION, VERSION);
    rh_put_be64(p + AT_HEADER, f->header);
    memcpy(p + AT_CREATOR, "tap", 4);
    rh_put_be32(p + AT_CREATOR_VERSION, 0x00010003);
    rh_put_be64(p + AT_ORIGINAL_SIZE, f->size);
    rh_put_be64(p + AT_CURRENT_SIZE, f->size);
    rh_put_be16(p + AT_CYLINDERS, (uint16_t)f->geometry.cylinders);
    p[AT_HEADS] = (uint8_t)f->geometry.heads;
    p[AT_SECTORS] = (uint8_t)f->geometry.sectors;
    rh_put_be32(p + AT_TYPE, f->type);
    memcpy(p + AT_UUID, f->uuid, sizeof f->uuid);
    rh_put_be32(p + AT_SUM, rh_vhd_sum(p, VHD_FOOTER, AT_SUM));
}

void rh_vhd_seed_note(struct vhd_seed *s, const struct rh_unit *u)
{
    if (s && u->offset < sizeof s->head)
        memcpy(s->head + u->offset, u->data,
               RH_MIN(u->length, (size_t)(sizeof s->head - u->offset)));
}

void rh_vhd_seed_uuid(const struct vhd_seed *s, uint8_t ret[16])
{
    enum { PREFIX = 16 };
    RH_AUTO(rh_freep) uint8_t *seed = rh_calloc(1, PREFIX + sizeof s->head);
    char hex[65];

    memcpy(seed, "vhd", 3);
    rh_put_be64(seed + 8, s->size);
    memcpy(seed + PREFIX, s->head, sizeof s->head);
    rh_sha256_hex(seed, PREFIX + sizeof s->head, hex);
    for (size_t i = 0; i < 16; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

        ret[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x80); /* version 8: made by a rule */
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

static int read_seed(const struct rh_create_options *o, struct vhd_seed *s,
                     rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = NULL;

    if (!o->source)
        return 0;
    codec = rh_codec_new();
    return rh_reader_read(
        o->source, codec, s->head,
        (size_t)RH_MIN((uint64_t)sizeof s->head, o->source->size), 0, err);
}

int rh_vhd_new_footer(const struct rh_create_options *o, enum vhd_type type,
                      struct vhd_footer *ret, struct vhd_seed **ret_seed,
                      rh_error **err)
{
    RH_AUTO(rh_freep) struct vhd_seed *seed = NULL;
    uint64_t size = rh_round_up(o->size, VHD_SECTOR);

    if (size > VHD_MOST)
        return rh_fail(err, RH_ERR_TARGET_DISK_LIMIT,
                       "the disk has %llu bytes; a VHD holds at most 2040 GiB "
                       "(%llu)",
                       (unsigned long long)size, (unsigned long long)VHD_MOST);
    *ret = (struct vhd_footer){
        .type = (uint32_t)type,
        .header = type == VHD_FIXED ? UINT64_MAX : VHD_FOOTER,
        .size = size,
        .geometry = rh_vhd_geometry(size),
    };
    seed = rh_new0(struct vhd_seed);
    seed->size = o->size;
    if (read_seed(o, seed, err) < 0)
        return -1;
    rh_vhd_seed_uuid(seed, ret->uuid);
    if (!o->source)
        *ret_seed = RH_TAKE(seed);
    return 0;
}
