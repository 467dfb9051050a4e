/* ntfs_state.c - what an NTFS log's restart pages say of how it was left. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "guestfix/backends/ntfs_state.h"

enum { PAGE = 4096, SIZE = 4 * PAGE, AREA = 48, NOBODY = 0xffff, CLEAN = 2 };

static void put_page(uint8_t *p, uint64_t number, unsigned major,
                     unsigned in_use, unsigned flags)
{
    memset(p, 0, PAGE);
    memcpy(p, "RSTR", 4);
    rh_put_le16(p + 4, 30);
    rh_put_le16(p + 6, PAGE / 512 + 1);
    rh_put_le32(p + 16, PAGE);
    rh_put_le32(p + 20, PAGE);
    rh_put_le16(p + 24, AREA);
    rh_put_le16(p + 26, (uint16_t)(major == 1));
    rh_put_le16(p + 28, (uint16_t)major);
    rh_put_le64(p + AREA, number);
    rh_put_le16(p + AREA + 12, (uint16_t)in_use);
    rh_put_le16(p + AREA + 14, (uint16_t)flags);
}

static int give(void *user, uint64_t offset, void *ret, size_t n,
                rh_error **err)
{
    (void)err;
    assert_true(offset <= SIZE && n <= SIZE - offset);
    memcpy(ret, (const uint8_t *)user + offset, n);
    return 0;
}

static uint64_t state_of(uint8_t *bytes, uint64_t size)
{
    struct rh_ntfs_log log = {.read = give, .user = bytes, .size = size};
    uint64_t state;

    assert_int_equal(rh_ntfs_log_state(&log, &state, NULL), 0);
    return state;
}

static void the_newer_page_of_the_log_counts(void **state)
{
    static const struct {
        struct {
            uint64_t number;
            unsigned major, in_use, flags;
        } pages[2];
        uint64_t expected;
    } logs[] = {
        {{{5, 1, NOBODY, 0}, {4, 1, 0, 0}}, 0},
        {{{5, 1, 0, CLEAN}, {4, 1, 0, 0}}, 0},
        {{{5, 1, 0, 0}, {4, 1, 0, CLEAN}}, RH_NTFS_UNCLEAN},
        {{{5, 1, 0, CLEAN}, {6, 1, 0, 0}}, RH_NTFS_UNCLEAN},
        {{{5, 1, 0, 0}, {6, 1, 0, CLEAN}}, 0},
        {{{5, 2, 0, CLEAN}, {6, 2, NOBODY, 0}}, RH_NTFS_CACHED},
        {{{5, 3, 0, CLEAN}, {6, 3, 0, CLEAN}}, RH_NTFS_UNCLEAN},
        {{{5, 3, 0, CLEAN}, {6, 1, 0, CLEAN}}, 0},
    };
    uint8_t bytes[SIZE];

    (void)state;
    for (size_t i = 0; i < RH_COUNT(logs); i++) {
        memset(bytes, 0xff, sizeof bytes);
        for (size_t k = 0; k < 2; k++)
            put_page(bytes + k * PAGE, logs[i].pages[k].number,
                     logs[i].pages[k].major, logs[i].pages[k].in_use,
                     logs[i].pages[k].flags);
        assert_int_equal(state_of(bytes, sizeof bytes), logs[i].expected);
    }
}

static void a_log_without_pages_is_clean_only_if_it_is_empty(void **state)
{
    uint8_t bytes[SIZE];

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(state_of(bytes, sizeof bytes), 0);
    assert_int_equal(state_of(bytes, 512), RH_NTFS_UNCLEAN);
    assert_int_equal(state_of(bytes, 0), RH_NTFS_UNCLEAN);
    bytes[PAGE] = 0;
    assert_int_equal(state_of(bytes, sizeof bytes), RH_NTFS_UNCLEAN);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(state_of(bytes, sizeof bytes), RH_NTFS_UNCLEAN);
    memcpy(bytes, "RCRD", 4);
    assert_int_equal(state_of(bytes, sizeof bytes), RH_NTFS_UNCLEAN);
    /* A page that claims to be larger than the log. */
    put_page(bytes, 5, 1, 0, CLEAN);
    assert_int_equal(state_of(bytes, PAGE / 2), RH_NTFS_UNCLEAN);
}

static void only_a_spent_hiberfil_is_no_hibernation(void **state)
{
    uint8_t head[RH_NTFS_HIBERFIL_HEAD] = {0};

    (void)state;
    assert_int_equal(rh_ntfs_hiberfil_state(head, sizeof head), 0);
    assert_int_equal(rh_ntfs_hiberfil_state(head, 100), RH_NTFS_HIBERNATED);
    memcpy(head, "HIBR", 4);
    assert_int_equal(rh_ntfs_hiberfil_state(head, sizeof head),
                     RH_NTFS_HIBERNATED);
    memcpy(head, "wake", 4);
    assert_int_equal(rh_ntfs_hiberfil_state(head, sizeof head), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newer_page_of_the_log_counts),
        cmocka_unit_test(a_log_without_pages_is_clean_only_if_it_is_empty),
        cmocka_unit_test(only_a_spent_hiberfil_is_no_hibernation),
    };

    return cmocka_run_group_tests_name("ntfs_state", tests, NULL, NULL);
}
