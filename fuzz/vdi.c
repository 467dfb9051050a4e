/* vdi.c - the readers of VDI and of qcow version 1 on any bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "base/limits.h"
#include "formats/format.h"

enum { EXTENTS = 2000, PART = 200 * 1024 };

/* `sure`: open() promised that every byte can be read. */
static void read_some(struct rh_reader *r, struct rh_codec *codec, bool sure)
{
    static char buf[PART];
    uint64_t at = 0;

    for (int i = 0; i < EXTENTS && at < r->size; i++) {
        struct rh_extent e;
        size_t n;

        if (rh_reader_extent(r, at, &e, NULL) < 0)
            abort();
        if (e.length == 0 || e.length > r->size - at)
            abort();
        n = (size_t)RH_MIN(e.length, (uint64_t)PART);
        if (rh_reader_read(r, codec, buf, n, at, NULL) < 0 && sure)
            abort();
        at += e.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    struct rh_open_options o = {.lib = &lib, .ignore_parent = true};
    struct rh_io *io = rh_io_memory(data, size, "fuzz");
    struct rh_codec *codec = rh_codec_new();
    struct rh_reader *r;

    r = rh_reader_open(io, "vdi", &o, NULL);
    if (r)
        read_some(r, codec, true);
    rh_reader_close(r);
    r = rh_reader_open(io, "qcow", &o, NULL);
    if (r) {
        read_some(r, codec, false);
        r->format->check(r, codec, NULL);
    }
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    return 0;
}
