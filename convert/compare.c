/* compare.c - are two disks alike, whatever their formats? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "convert/copy/copy.h"

struct comparison {
    struct rh_reader *disk[2];
    struct rh_codec *codec;
    uint8_t *buf[2];
};

/* Bytes from `at` on that both disks call zero without being read. */
static int common_hole(struct comparison *c, uint64_t at, uint64_t end,
                       uint64_t *ret_length, rh_error **err)
{
    uint64_t length = end - at;

    for (int i = 0; i < 2; i++) {
        struct rh_extent e;

        if (rh_reader_extent(c->disk[i], at, &e, err) < 0)
            return -1;
        length = e.kind == RH_EXTENT_DATA ? 0 : RH_MIN(length, e.length);
    }
    *ret_length = length;
    return 0;
}

static int compare_part(struct comparison *c, uint64_t at, size_t n,
                        size_t *ret_alike, rh_error **err)
{
    size_t i = 0;

    for (int d = 0; d < 2; d++)
        if (rh_reader_read(c->disk[d], c->codec, c->buf[d], n, at, err) < 0)
            return -1;
    if (memcmp(c->buf[0], c->buf[1], n) == 0)
        i = n;
    while (i < n && c->buf[0][i] == c->buf[1][i])
        i++;
    *ret_alike = i;
    return 0;
}

/* What the longer disk has beyond the shorter one must be zeros. */
static int compare_tail(struct comparison *c, uint64_t at, uint64_t *ret_offset,
                        rh_error **err)
{
    struct rh_reader *longer =
        c->disk[c->disk[0]->size > c->disk[1]->size ? 0 : 1];

    while (at < longer->size) {
        size_t n = (size_t)RH_MIN((uint64_t)RH_MIB, longer->size - at);
        struct rh_extent e;

        if (rh_go_on(longer->lib, err) < 0 ||
            rh_reader_extent(longer, at, &e, err) < 0)
            return -1;
        if (e.kind != RH_EXTENT_DATA) {
            at += e.length;
            continue;
        }
        n = (size_t)RH_MIN((uint64_t)n, e.length);
        if (rh_reader_read(longer, c->codec, c->buf[0], n, at, err) < 0)
            return -1;
        for (size_t i = 0; i < n; i++) {
            if (!c->buf[0][i])
                continue;
            *ret_offset = at + i;
            return 1;
        }
        at += n;
    }
    return 0;
}

static int compare(struct comparison *c, rh_lib *lib, bool *ret_same,
                   uint64_t *ret_offset, rh_error **err)
{
    uint64_t end = RH_MIN(c->disk[0]->size, c->disk[1]->size), at = 0;
    int tail;

    while (at < end) {
        uint64_t hole;
        size_t n, alike;

        if (rh_go_on(lib, err) < 0 || common_hole(c, at, end, &hole, err) < 0)
            return -1;
        rh_progress(lib, "compare", at, end);
        if (hole) {
            at += hole;
            continue;
        }
        n = (size_t)RH_MIN(RH_MIB - at % RH_MIB, end - at);
        if (compare_part(c, at, n, &alike, err) < 0)
            return -1;
        at += alike;
        if (alike < n) {
            *ret_same = false;
            *ret_offset = at;
            return 0;
        }
    }
    tail = compare_tail(c, end, ret_offset, err);
    if (tail < 0)
        return -1;
    *ret_same = tail == 0;
    return 0;
}

int rh_copy_compare(rh_lib *lib, struct rh_reader *a, struct rh_reader *b,
                    bool *ret_same, uint64_t *ret_offset, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *left = rh_malloc(RH_MIB);
    RH_AUTO(rh_freep) uint8_t *right = rh_malloc(RH_MIB);
    struct comparison c = {{a, b}, codec, {left, right}};

    return compare(&c, lib, ret_same, ret_offset, err);
}
