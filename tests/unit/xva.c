/* xva.c - disks written into an XVA are read back as they were. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "convert/copy/copy.h"
#include "rehost/rehost.h"
#include "targets/xcp-ng/xen.h"
#include "targets/xcp-ng/xva_read.h"

enum { DISKS = 3, SIZE = 6 * 1024 * 1024 };

static rh_lib lib = {
    .threads = 2, .memory = 32 * RH_MIB, .max_disk_size = RH_LIMIT_DISK_SIZE};

/* Data in the middle, at both ends, nowhere. */
static void fill(uint8_t *p, size_t disk)
{
    memset(p, 0, SIZE);
    if (disk == 0)
        memset(p + 3 * RH_MIB + 77, 0x5a, RH_MIB);
    if (disk == 1)
        p[0] = p[SIZE - 1] = 1;
}

static struct rh_reader *source(size_t disk)
{
    struct rh_open_options o = {.lib = &lib};
    static uint8_t bytes[DISKS][SIZE];
    struct rh_io *io;
    struct rh_reader *r;

    fill(bytes[disk], disk);
    io = rh_io_memory(bytes[disk], SIZE, "source");
    r = rh_reader_open(io, "raw", &o, NULL);
    rh_io_unref(io);
    assert_non_null(r);
    return r;
}

/* An archive in a temporary file, named by *ret_path. */
static void write_archive(const char *sum, char *path)
{
    rh_options *given = rh_options_new();
    struct rh_target_options options = {.given = given};
    struct rh_target_disk disks[DISKS] = {0};
    struct rh_vm *vm = rh_vm_new("vm");
    struct rh_target_job job = {.vm = vm,
                                .options = &options,
                                .name = "vm",
                                .firmware = "bios",
                                .disks = disks,
                                .disk_count = DISKS,
                                .lib = &lib};
    int fd = mkstemp(path);
    struct rh_out *out;
    struct rh_archive *a;
    uint64_t size;

    rh_options_put(given, "xva-sum", sum);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    out = rh_out_file_at(-100 /* AT_FDCWD */, path, NULL);
    assert_non_null(out);
    for (size_t i = 0; i < DISKS; i++) {
        rh_vec_add(&vm->disks);
        disks[i] = (struct rh_target_disk){.index = i, .virtual_size = SIZE};
    }
    a = rh_xen_archive.open(&job, out, NULL);
    assert_non_null(a);
    for (size_t i = 0; i < DISKS; i++) {
        struct rh_reader *r = source(i);
        struct rh_writer *w = rh_xen_archive.disk(a, i, r, NULL);
        struct rh_copy_sink sink = {.view = r, .writer = w};
        struct rh_copy c = {
            .lib = &lib, .source = r, .sinks = &sink, .sink_count = 1};

        assert_non_null(w);
        assert_int_equal(rh_copy_run(&c, NULL), 0);
        assert_int_equal(rh_xen_archive.disk_done(a, w, NULL), 0);
        rh_writer_close(w);
        rh_reader_close(r);
    }
    assert_int_equal(rh_xen_archive.finish(a, &size, NULL), 0);
    assert_int_equal(rh_out_finish(out, size, NULL), 0);
    rh_xen_archive.close(a);
    rh_out_close(out);
    rh_options_free(given);
    rh_vm_free(vm);
}

static void same_disks(const char *sum)
{
    char path[] = "/tmp/rehost-xva.XXXXXX";
    struct rh_codec *codec = rh_codec_new();
    struct rh_io *file, *io;

    write_archive(sum, path);
    file = rh_io_file_at(-100, path, 0, NULL);
    io = rh_xva_plain(&lib, file, NULL);
    unlink(path);
    assert_non_null(io);
    for (size_t i = 0; i < DISKS; i++) {
        struct rh_reader *r = rh_xva_disk(&lib, io, i, NULL), *s = source(i);
        struct rh_comparison c;

        assert_non_null(r);
        assert_int_equal(r->size, SIZE);
        assert_int_equal(r->format->check(r, codec, NULL), 0);
        assert_int_equal(rh_copy_compare(&lib, r, s, &c, NULL), 0);
        assert_true(c.same);
        rh_reader_close(r);
        rh_reader_close(s);
    }
    assert_null(rh_xva_disk(&lib, io, DISKS, NULL));
    rh_io_unref(io);
    rh_io_unref(file);
    rh_codec_free(codec);
}

static void xva_with_sha1_is_read_back(void **state)
{
    (void)state;
    same_disks("sha1");
}

static void xva_with_xxhash_is_read_back(void **state)
{
    (void)state;
    same_disks("xxhash");
}

/* A flipped bit in a chunk is found by its sum. */
static void damage_is_found(void **state)
{
    char path[] = "/tmp/rehost-xva.XXXXXX", *bytes;
    struct rh_codec *codec = rh_codec_new();
    struct rh_io *file, *io;
    struct rh_reader *r;
    rh_error *e = NULL;
    size_t n;

    (void)state;
    write_archive("sha1", path);
    file = rh_io_file_at(-100, path, 0, NULL);
    assert_int_equal(rh_io_slurp(file, 64 * RH_MIB, &bytes, &n, NULL), 0);
    unlink(path);
    for (size_t i = n / 4; i < n; i++)
        if (bytes[i] == 0x5a) {
            bytes[i] = 0x5b;
            break;
        }
    io = rh_io_memory(bytes, n, "damaged");
    r = rh_xva_disk(&lib, io, 0, NULL);
    assert_non_null(r);
    assert_int_equal(r->format->check(r, codec, &e), -1);
    assert_string_equal(rh_error_id(e), "XVA_DAMAGED");
    rh_error_free(e);
    rh_reader_close(r);
    rh_io_unref(io);
    rh_io_unref(file);
    free(bytes);
    rh_codec_free(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xva_with_sha1_is_read_back),
        cmocka_unit_test(xva_with_xxhash_is_read_back),
        cmocka_unit_test(damage_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
