/* vhdx.c - the VHDX reader on any tables: open, map, data, check. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "fuzz/vhdx_parts.h"

enum { EXTENTS = 500, PART = 64 * 1024 };

static uint8_t file[VHDX_FILE];

static void read_some(struct rh_reader *r, struct rh_codec *codec, char *buf)
{
    uint64_t at = 0;

    for (int i = 0; i < EXTENTS && at < r->size; i++) {
        struct rh_extent e;
        size_t n;

        if (rh_reader_extent(r, at, &e, NULL) < 0)
            return;
        if (e.length == 0 || e.length > r->size - at)
            abort();
        n = (size_t)RH_MIN(e.length, (uint64_t)PART);
        if (rh_reader_read(r, codec, buf, n, at, NULL) < 0)
            abort(); /* open() promised that every byte can be read */
        at += e.length;
    }
}

static int read_file(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    (void)io, (void)err;
    memcpy(buf, file + offset, n);
    return 0;
}

static int data_after(struct rh_io *io, uint64_t offset, uint64_t *ret_start,
                      uint64_t *ret_end, rh_error **err)
{
    uint64_t step = offset - offset % VHDX_STEP;

    (void)io, (void)err;
    *ret_start = offset;
    *ret_end = VHDX_BLOCKS_AT;
    if (offset < VHDX_BLOCKS_AT)
        return 0;
    if (offset - step >= VHDX_DATA)
        *ret_start = step = step + VHDX_STEP;
    *ret_end = RH_MIN(step + VHDX_DATA, (uint64_t)VHDX_FILE);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rh_io_ops ops = {.read = read_file,
                                         .data_after = data_after};
    static char buf[PART];
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    /* What a differencing disk lacks reads as zeros here. */
    struct rh_open_options o = {.lib = &lib, .ignore_parent = true};
    struct rh_codec *codec;
    struct rh_reader *r;
    struct rh_io *io;

    vhdx_lay_out(file, data, size);
    codec = rh_codec_new();
    io = rh_io_make(&ops, "fuzz", VHDX_FILE, NULL);
    r = rh_reader_open(io, "vhdx", &o, NULL);
    if (r) {
        read_some(r, codec, buf);
        if (r->format->check(r, codec, NULL) < 0)
            abort();
    }
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    return 0;
}
