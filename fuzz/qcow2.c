/* qcow2.c - the qcow2 reader on any bytes: map, data, packed data, check.
 * A backing file of any name is the same bytes again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "formats/format.h"

enum { READS = 64, EXTENTS = 2000, PART = 200 * 1024 };

static struct rh_io *itself(struct rh_place *p, const char *name,
                            rh_error **err)
{
    (void)name, (void)err;
    return rh_io_ref(p->state);
}

static const char *no_names(struct rh_place *p, size_t i)
{
    (void)p, (void)i;
    return NULL;
}

static void read_some(struct rh_reader *r, struct rh_codec *codec, char *buf)
{
    uint64_t at = 0;

    for (int i = 0, reads = 0; i < EXTENTS && at < r->size; i++) {
        struct rh_extent e;
        RH_AUTO(rh_buf_free) struct rh_buf memory = {0};
        struct rh_packed packed;
        struct rh_place_of_bytes here;
        size_t n;

        if (rh_reader_extent(r, at, &e, NULL) < 0)
            return;
        if (e.length == 0 || e.length > r->size - at)
            abort();
        n = (size_t)RH_MIN(e.length, (uint64_t)PART);
        if (e.kind == RH_EXTENT_DATA && reads++ < READS) {
            rh_reader_read(r, codec, buf, n, at, NULL);
            r->format->packed(r, codec, at, 1, &memory, &packed, NULL);
        }
        if (r->format->lies(r, at, &here, NULL) == 0 && here.length == 0)
            abort();
        at += e.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rh_place_ops ops = {.open = itself, .name = no_names};
    static char buf[PART];
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    struct rh_io *io = rh_io_memory(data, size, "fuzz");
    struct rh_place place = {.ops = &ops, .state = io};
    struct rh_open_options o = {
        .lib = &lib, .place = &place, .depth = RH_LIMIT_CHAIN - 2};
    struct rh_codec *codec = rh_codec_new();
    struct rh_reader *r = rh_reader_open(io, "qcow2", &o, NULL);

    if (r) {
        read_some(r, codec, buf);
        if (r->size < 64 * RH_MIB)
            r->format->check(r, codec, NULL);
    }
    rh_reader_close(r);
    rh_codec_free(codec);
    rh_io_unref(io);
    return 0;
}
