/* xva.c - the reader of finished XVAs on any bytes: index, data, sums.
 *
 * Tar headers need a right sum; it is put where a header seems to start,
 * unless the last byte's lowest bit says otherwise. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "targets/xcp-ng/xva_read.h"

enum { TAR = 512, PART = 64 * 1024 };

static void mend(uint8_t *p, size_t size)
{
    if (!size || p[size - 1] & 1)
        return;
    for (size_t at = 0; at + TAR <= size; at += TAR) {
        unsigned sum = 0;

        if (memcmp(p + at + 257, "ustar", 5) != 0)
            continue;
        memset(p + at + 148, ' ', 8);
        for (size_t i = 0; i < TAR; i++)
            sum += p[at + i];
        snprintf((char *)p + at + 148, 8, "%06o", sum & 0777777);
    }
}

static void read_some(struct rh_reader *r, struct rh_codec *codec)
{
    static char buf[PART];
    uint64_t at = 0;

    for (int i = 0; i < 100 && at < r->size; i++) {
        struct rh_extent e;
        struct rh_place_of_bytes here;

        if (rh_reader_extent(r, at, &e, NULL) < 0 || e.length == 0 ||
            e.length > r->size - at)
            abort();
        rh_reader_read(r, codec, buf, (size_t)RH_MIN(e.length, (uint64_t)PART),
                       at, NULL);
        if (r->format->lies(r, at, &here, NULL) < 0 || here.length == 0)
            abort();
        at += e.length;
    }
    r->format->check(r, codec, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    uint8_t *copy = malloc(size + 1);
    struct rh_codec *codec = rh_codec_new();
    struct rh_io *io;

    memcpy(copy, data, size);
    mend(copy, size);
    io = rh_io_memory(copy, size, "fuzz");
    for (size_t i = 0; i < 2; i++) {
        struct rh_reader *r = rh_xva_disk(&lib, io, i, NULL);

        if (r)
            read_some(r, codec);
        rh_reader_close(r);
    }
    rh_io_unref(io);
    rh_codec_free(codec);
    free(copy);
    return 0;
}
