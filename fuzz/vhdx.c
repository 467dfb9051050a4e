/* vhdx.c - the VHDX reader on any tables: open, map, data.
 *
 * A VHDX begins at 1 MiB, too long for a fuzzer to make.  The input holds the
 * parts that matter, one behind the other, and they are laid into a file of
 * zeros where a VHDX has them; checksums are made right unless the first
 * byte's lowest bit says otherwise. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "formats/vhdx/vhdx.h"

enum {
    FILE_SIZE = 8 * 1024 * 1024,
    EXTENTS = 500,
    PART = 64 * 1024,
    CHECKED = 64 * 1024, /* bytes under a region table's checksum */
};

static const struct {
    uint32_t at, size, checked;
} parts[] = {
    {0, 16, 0},                       /* flags of this fuzzer, overwritten */
    {64 * 1024, 96, 4096},            /* header 1 */
    {128 * 1024, 96, 4096},           /* header 2 */
    {192 * 1024, 144, CHECKED},       /* region table 1 */
    {1024 * 1024, 96, 0},             /* log */
    {2 * 1024 * 1024, 288, 0},        /* metadata table */
    {2 * 1024 * 1024 + 65536, 64, 0}, /* its items */
    {3 * 1024 * 1024, 4096, 0},       /* block table */
};

static uint8_t file[FILE_SIZE];

static void lay_out(const uint8_t *data, size_t size)
{
    bool sums = size && !(data[0] & 1);

    for (size_t i = 0; i < RH_COUNT(parts); i++) {
        size_t n = RH_MIN(size, (size_t)parts[i].size);

        memset(file + parts[i].at, 0, parts[i].size);
        memcpy(file + parts[i].at, data, n);
        data += n;
        size -= n;
        if (parts[i].checked && sums)
            rh_put_le32(file + parts[i].at + 4,
                        rh_vhdx_sum(file + parts[i].at, parts[i].checked, 4));
    }
    memcpy(file, "vhdxfile", 8);
}

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rh_io_ops ops = {.read = read_file};
    static char buf[PART];
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    struct rh_open_options o = {.lib = &lib};
    struct rh_codec *codec;
    struct rh_reader *r;
    struct rh_io *io;

    lay_out(data, size);
    codec = rh_codec_new();
    io = rh_io_make(&ops, "fuzz", FILE_SIZE, NULL);
    r = rh_reader_open(io, "vhdx", &o, NULL);
    if (r)
        read_some(r, codec, buf);
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    return 0;
}
