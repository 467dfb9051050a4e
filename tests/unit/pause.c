/* pause.c - who waits for a server hears a cancel. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "rehost/rehost.h"

static double seconds(rh_lib *lib, unsigned *ms)
{
    struct timespec a, b;

    clock_gettime(CLOCK_MONOTONIC, &a);
    rh_remote_pause(lib, ms, 8000);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) +
           (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void a_pause_lasts_and_grows(void **state)
{
    rh_lib *lib = rh_lib_new(NULL);
    unsigned ms = 150;

    (void)state;
    assert_true(seconds(lib, &ms) >= 0.15);
    assert_int_equal(ms, 300);
    rh_lib_free(lib);
}

static void a_cancel_ends_it(void **state)
{
    rh_lib *lib = rh_lib_new(NULL);
    unsigned ms = 60000;

    (void)state;
    rh_lib_cancel(lib);
    assert_true(seconds(lib, &ms) < 30);
    assert_int_equal(ms, 8000);
    rh_lib_free(lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_lasts_and_grows),
        cmocka_unit_test(a_cancel_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
