/* patch.c - a later pass over a result: what was written is there, nothing
 * else changed, every reader takes the file, and one who is killed at any
 * moment can do it again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/patch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"

enum { SIZE = 9 * 1024 * 1024 + 1536, MOST = 700 * 1024, OPS = 60 };

static struct rh_lib lib = {.threads = 1, .memory = RH_MIB};

struct disk {
    char dir[64];
    int fd;
    const char *format;
    uint32_t cluster;
    uint8_t *model; /* SIZE bytes */
    unsigned seed;
};

static unsigned roll(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245U + 12345U;
    return (*seed >> 8) % n;
}

static void begin(struct disk *d, const char *format, uint32_t cluster)
{
    *d = (struct disk){.format = format, .cluster = cluster, .seed = cluster};
    /* Where nothing waits for a medium, if there is such a place. */
    snprintf(d->dir, sizeof d->dir, "%s/rehost-patch.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(d->dir));
    d->fd = open(d->dir, O_RDONLY | O_DIRECTORY);
    d->model = rh_calloc(1, SIZE);
    assert_int_equal(
        rh_patch_create(&lib, d->fd, "d", format, SIZE, cluster, NULL), 0);
}

static void end(struct disk *d)
{
    unlinkat(d->fd, "d", 0);
    unlinkat(d->fd, "raw", 0);
    close(d->fd);
    rmdir(d->dir);
    free(d->model);
}

static struct rh_patch *open_it(const struct disk *d)
{
    rh_error *e = NULL;
    struct rh_patch *p = rh_patch_open(&lib, d->fd, "d", d->format, &e);

    if (!p) {
        fail_msg("%s: %s", d->format, rh_error_message(e));
        abort();
    }
    assert_int_equal(p->size, SIZE);
    return p;
}

/* One range, data or zeros, at sectors or not. */
static int one_op(const struct disk *d, struct rh_patch *p, unsigned *seed)
{
    static uint8_t buf[MOST];
    size_t n = 1 + roll(seed, roll(seed, 3) ? 70000 : MOST);
    uint64_t at = roll(seed, SIZE);
    unsigned kind = roll(seed, 4);

    if (kind != 3) {
        n = rh_round_up(n, 512);
        at = at / 512 * 512;
    }
    n = (size_t)RH_MIN((uint64_t)RH_MIN(n, (size_t)MOST), SIZE - at);
    for (size_t i = 0; i < n; i++)
        buf[i] = kind == 0 ? 0 : (uint8_t)(roll(seed, 255) + 1);
    if (kind == 2 && n > 200000)
        memset(buf + 1000, 0, n - 2000);
    memcpy(d->model + at, buf, n);
    return rh_patch_write(p, buf, n, at, NULL);
}

static void some_ops(const struct disk *d, struct rh_patch *p, unsigned seed,
                     unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(one_op(d, p, &seed), 0);
}

static void check_by_patch(const struct disk *d, struct rh_patch *p)
{
    uint8_t *got = rh_malloc(SIZE);

    assert_int_equal(rh_patch_read(p, got, SIZE, 0, NULL), 0);
    assert_memory_equal(got, d->model, SIZE);
    free(got);
}

static void check_by_reader(const struct disk *d)
{
    struct rh_open_options o = {.lib = &lib};
    struct rh_io *io = rh_io_file_at(d->fd, "d", 0, NULL);
    struct rh_reader *r = rh_reader_open(io, d->format, &o, NULL);
    struct rh_codec *codec = rh_codec_new();
    uint8_t *got = rh_malloc(SIZE);

    assert_non_null(r);
    assert_int_equal(r->size, SIZE);
    assert_int_equal(rh_reader_read(r, codec, got, SIZE, 0, NULL), 0);
    assert_memory_equal(got, d->model, SIZE);
    if (r->format->check)
        assert_int_equal(r->format->check(r, codec, NULL), 0);
    assert_int_equal(r->problems.count, 0);
    rh_reader_close(r);
    rh_io_unref(io);
    rh_codec_free(codec);
    free(got);
}

/* QEMU's word, where it is there. */
static void check_by_qemu(const struct disk *d)
{
    const char *format = strcmp(d->format, "vhd") ? d->format : "vpc";
    char command[512];
    int fd = openat(d->fd, "raw", O_WRONLY | O_CREAT | O_TRUNC, 0666);

    assert_int_equal(write(fd, d->model, SIZE), SIZE);
    close(fd);
    if (system("qemu-img --version >/dev/null 2>&1") != 0)
        return;
    snprintf(command, sizeof command,
             "cd %s && %s -f %s d >q 2>&1 && qemu-img compare -f %s -F raw d "
             "raw >>q 2>&1 || { cat q >&2; exit 1; }; rm q",
             d->dir, strcmp(format, "qcow2") ? "true" : "qemu-img check",
             format, format);
    assert_int_equal(system(command), 0);
}

static const struct {
    const char *format;
    uint32_t cluster;
} kinds[] = {{"raw", 0},       {"qcow2", 0},       {"qcow2", 4096},
             {"qcow2", 16384}, {"qcow2", 2097152}, {"vhd", 0}};

static void rounds_of_changes_are_there(void **state)
{
    (void)state;
    for (size_t k = 0; k < RH_COUNT(kinds); k++) {
        struct disk d;

        begin(&d, kinds[k].format, kinds[k].cluster);
        for (unsigned round = 0; round < 6; round++) {
            struct rh_patch *p = open_it(&d);

            check_by_patch(&d, p);
            some_ops(&d, p, round * 31 + 7, round == 3 ? 0 : OPS / 3);
            if (round == 4)
                assert_int_equal(rh_patch_zero(p, SIZE / 2, 12345, NULL), 0);
            if (round == 4)
                memset(d.model + 12345, 0, SIZE / 2);
            check_by_patch(&d, p);
            assert_int_equal(rh_patch_finish(p, NULL), 0);
            rh_patch_close(p);
            check_by_reader(&d);
            if (round % 3 == 2)
                check_by_qemu(&d);
        }
        end(&d);
    }
}

/* A process that patches dies; another does the same ranges again. */
static void die_in_the_middle(const struct disk *d, unsigned seed, unsigned us)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct rh_patch *p = rh_patch_open(&lib, d->fd, "d", d->format, NULL);

        if (!p)
            _exit(1);
        for (unsigned i = 0;; i++) {
            unsigned again = seed;

            for (unsigned n = 0; n < OPS; n++)
                if (one_op(d, p, &again) < 0 ||
                    (n % 16 == i % 16 && rh_patch_flush(p, NULL) < 0))
                    _exit(1);
            if (rh_patch_finish(p, NULL) < 0)
                _exit(1);
        }
    }
    usleep(us);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void whoever_is_killed_can_do_it_again(void **state)
{
    (void)state;
    for (size_t k = 0; k < RH_COUNT(kinds); k++) {
        struct disk d;
        unsigned luck = 5;

        begin(&d, kinds[k].format, kinds[k].cluster);
        for (unsigned round = 0; round < 8; round++) {
            struct rh_patch *p;

            die_in_the_middle(&d, round * 17 + 3, roll(&luck, 30000));
            p = open_it(&d);
            some_ops(&d, p, round * 17 + 3, OPS);
            check_by_patch(&d, p);
            assert_int_equal(rh_patch_finish(p, NULL), 0);
            rh_patch_close(p);
            check_by_reader(&d);
            if (round == 7)
                check_by_qemu(&d);
        }
        end(&d);
    }
}

/* What was not written stays, also when nobody comes back. */
static void what_was_flushed_stays_without_a_finish(void **state)
{
    (void)state;
    for (size_t k = 0; k < RH_COUNT(kinds); k++) {
        struct disk d;
        struct rh_patch *p;

        begin(&d, kinds[k].format, kinds[k].cluster);
        p = open_it(&d);
        some_ops(&d, p, 99, OPS);
        assert_int_equal(rh_patch_flush(p, NULL), 0);
        rh_patch_close(p);
        p = open_it(&d);
        check_by_patch(&d, p);
        assert_int_equal(rh_patch_finish(p, NULL), 0);
        rh_patch_close(p);
        check_by_reader(&d);
        check_by_qemu(&d);
        end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_of_changes_are_there),
        cmocka_unit_test(whoever_is_killed_can_do_it_again),
        cmocka_unit_test(what_was_flushed_stays_without_a_finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
