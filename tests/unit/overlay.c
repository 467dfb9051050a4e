/* overlay.c - edits over a disk: what is kept, what is taken back, and how
 * much room they take. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/limits.h"

enum { SIZE = 700 * 1024 + 512, UNIT = 64 * 1024 };

/* A base of any size, whose byte at `n` is a function of n. */
static uint8_t byte_at(uint64_t n)
{
    return (uint8_t)(n * 7 + (n >> 16));
}

static int base_extent(struct rh_reader *r, uint64_t offset,
                       struct rh_extent *ret, rh_error **err)
{
    (void)err;
    ret->length = r->size - offset;
    ret->kind = RH_EXTENT_DATA;
    return 0;
}

static int base_read(struct rh_reader *r, struct rh_codec *codec, void *buf,
                     size_t n, uint64_t offset, rh_error **err)
{
    (void)r, (void)codec, (void)err;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = byte_at(offset + i);
    return 0;
}

static void base_close(struct rh_reader *r)
{
    (void)r;
}

static const struct rh_format base_format = {.name = "base",
                                             .extent = base_extent,
                                             .read = base_read,
                                             .close = base_close};
static struct rh_lib lib = {.threads = 1, .memory = RH_MIB};

static struct rh_reader *base_of(uint64_t size)
{
    struct rh_reader *r = rh_new0(struct rh_reader);

    r->format = &base_format;
    r->lib = &lib;
    r->name = rh_strdup("base");
    r->size = size;
    return r;
}

static void same(struct rh_reader *r, const uint8_t *want, size_t n)
{
    struct rh_codec *codec = rh_codec_new();
    uint8_t *got = rh_malloc(n);

    assert_int_equal(rh_reader_read(r, codec, got, n, 0, NULL), 0);
    assert_memory_equal(got, want, n);
    free(got);
    rh_codec_free(codec);
}

static unsigned number(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void scribble(struct rh_reader *r, uint8_t *mirror, unsigned *seed)
{
    for (unsigned i = 0; i < 20; i++) {
        uint8_t bytes[3 * UNIT];
        size_t n = number(seed, i % 4 ? 5000 : 3 * UNIT);
        size_t at = number(seed, SIZE - (unsigned)n + 1);

        memset(bytes, (int)number(seed, 256), sizeof bytes);
        assert_int_equal(rh_overlay_write(r, bytes, n, at, NULL), 0);
        memcpy(mirror + at, bytes, n);
    }
}

/* Whatever order of marking, keeping and going back: the bytes are those of a
 * plain copy that does the same. */
static void going_back_gives_the_bytes_of_the_mark(void **state)
{
    struct rh_reader *base = base_of(SIZE), *r;
    uint8_t *mirror = rh_malloc(SIZE), *kept = rh_malloc(SIZE);
    uint64_t changed = 0;
    unsigned seed = 1;

    (void)state;
    r = rh_overlay_new(base, &lib, NULL);
    assert_non_null(r);
    base_read(base, NULL, mirror, SIZE, 0, NULL);
    for (unsigned round = 0; round < 60; round++) {
        memcpy(kept, mirror, SIZE);
        changed = rh_overlay_changed(r);
        rh_overlay_mark(r);
        if (number(&seed, 8))
            scribble(r, mirror, &seed);
        same(r, mirror, SIZE);
        switch (number(&seed, 3)) {
        case 0:
            rh_overlay_keep(r);
            scribble(r, mirror, &seed); /* without a mark */
            break;
        case 1:
            rh_overlay_go_back(r);
            memcpy(mirror, kept, SIZE);
            assert_int_equal(rh_overlay_changed(r), changed);
            break;
        default:
            break; /* the next mark keeps it */
        }
        same(r, mirror, SIZE);
    }
    rh_overlay_keep(r);
    rh_reader_close(r);
    rh_reader_close(base);
    free(mirror);
    free(kept);
}

static void an_edit_taken_back_is_no_change(void **state)
{
    struct rh_reader *base = base_of(SIZE);
    struct rh_reader *r = rh_overlay_new(base, &lib, NULL);
    uint64_t start, length;

    (void)state;
    rh_overlay_mark(r);
    assert_int_equal(rh_overlay_write(r, "edit", 4, 3 * UNIT, NULL), 0);
    assert_true(rh_overlay_change_at(r, 0, &start, &length));
    assert_int_equal(start, 3 * UNIT);
    assert_int_equal(length, UNIT);
    rh_overlay_go_back(r);
    assert_false(rh_overlay_change_at(r, 0, &start, &length));
    rh_reader_close(r);
    rh_reader_close(base);
}

/* The far end of a disk that no file can be as long as. */
static void room_follows_the_edits_not_the_disk(void **state)
{
    struct rh_reader *base = base_of(60 * RH_TIB);
    struct rh_reader *r = rh_overlay_new(base, &lib, NULL);
    struct rlimit old, few;
    uint64_t at = 0, start, length;
    unsigned runs = 0;

    (void)state;
    assert_non_null(r);
    getrlimit(RLIMIT_FSIZE, &old);
    few = (struct rlimit){4 * UNIT, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &few);
    for (unsigned i = 0; i < 10; i++) {
        rh_overlay_mark(r);
        assert_int_equal(rh_overlay_write(r, "a", 1, 10, NULL), 0);
        assert_int_equal(rh_overlay_write(r, "b", 1, r->size / 2, NULL), 0);
        assert_int_equal(rh_overlay_write(r, "c", 1, r->size - 1, NULL), 0);
        if (i < 9)
            rh_overlay_go_back(r);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    while (rh_overlay_change_at(r, at, &start, &length)) {
        at = start + length;
        runs++;
    }
    assert_int_equal(runs, 3);
    assert_int_equal(at, r->size);
    rh_reader_close(r);
    rh_reader_close(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(going_back_gives_the_bytes_of_the_mark),
        cmocka_unit_test(an_edit_taken_back_is_no_change),
        cmocka_unit_test(room_follows_the_edits_not_the_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
