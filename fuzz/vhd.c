/* vhd.c - the VHD reader on any bytes: open, map, data, check. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "fuzz/vhd_mend.h"

enum { EXTENTS = 2000, PART = 200 * 1024 };

static void read_some(struct rh_reader *r, struct rh_codec *codec, char *buf)
{
    uint64_t at = 0;

    for (int i = 0; i < EXTENTS && at < r->size; i++) {
        struct rh_extent e;
        struct rh_place_of_bytes here;
        size_t n;

        if (rh_reader_extent(r, at, &e, NULL) < 0)
            return;
        if (e.length == 0 || e.length > r->size - at)
            abort();
        n = (size_t)RH_MIN(e.length, (uint64_t)PART);
        if (rh_reader_read(r, codec, buf, n, at, NULL) < 0 ||
            (e.kind != RH_EXTENT_DATA && !rh_all_zero(buf, n)))
            abort(); /* open() promised that every byte can be read */
        if (r->format->lies(r, at, &here, NULL) == 0 && here.length == 0)
            abort();
        at += e.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buf[PART];
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    /* What a differencing disk lacks reads as zeros here. */
    struct rh_open_options o = {.lib = &lib, .ignore_parent = true};
    uint8_t *copy = malloc(size + 1);
    struct rh_codec *codec = rh_codec_new();
    struct rh_io *io;
    struct rh_reader *r;

    memcpy(copy, data, size);
    vhd_mend(copy, size);
    io = rh_io_memory(copy, size, "fuzz");
    r = rh_reader_open(io, "vhd", &o, NULL);
    if (r) {
        read_some(r, codec, buf);
        if (r->format->check(r, codec, NULL) < 0)
            abort();
    }
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    free(copy);
    return 0;
}
