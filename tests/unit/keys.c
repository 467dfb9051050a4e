/* keys.c - a key file's bytes are the key, whatever they are. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "convert/job.h"

static const struct {
    const char *file, *first, *second;
} files[] = {
    {"open sesame", "open sesame", NULL},
    {"open sesame\n", "open sesame", "open sesame\n"},
    {"open sesame\r\n", "open sesame", "open sesame\r\n"},
    {"\xff\r\x80\n\x01", "\xff\r\x80\n\x01", NULL},
    {"a\nb\n", "a\nb", "a\nb\n"},
    {"\n", "\n", NULL},
};

static void keys_are_the_bytes_of_their_files(void **state)
{
    char path[] = "/tmp/rehost-key-XXXXXX";
    RH_AUTO(rh_freep) char *given = NULL;
    struct rh_job job = {.options = rh_options_new()};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    given = rh_printf("file:%s", path);
    assert_int_equal(rh_options_add(job.options, "key", given, NULL), 0);
    for (size_t i = 0; i < RH_COUNT(files); i++) {
        FILE *f = fopen(path, "w");
        char **keys;

        assert_non_null(f);
        fputs(files[i].file, f);
        fclose(f);
        keys = rh_job_keys(&job, NULL);
        assert_non_null(keys);
        assert_string_equal(keys[0], files[i].first);
        if (files[i].second)
            assert_string_equal(keys[1], files[i].second);
        assert_null(keys[files[i].second ? 2 : 1]);
        rh_job_keys_free(keys);
    }
    unlink(path);
    rh_options_free(job.options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_the_bytes_of_their_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
