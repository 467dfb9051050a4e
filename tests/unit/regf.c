/* regf.c - every real hive follows its verdict, and a replay gives the bytes
 * that Windows made.  The hives are shared material; without it one made here
 * is judged alone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "guestfix/windows/regf.h"

static char folder[4096]; /* of the hives; "": not here */

struct bytes {
    char *p;
    size_t n;
};

static void bytes_free(struct bytes *b)
{
    free(b->p);
}

static struct bytes unpacked(const char *name)
{
    RH_AUTO(rh_freep) char *line = rh_printf("xz -dc '%s/%s.xz'", folder, name);
    FILE *from = popen(line, "r");
    struct rh_buf b = {0};
    char part[65536];
    size_t n;

    assert_non_null(from);
    while ((n = fread(part, 1, sizeof part, from)))
        rh_buf_add(&b, part, n);
    assert_int_equal(pclose(from), 0);
    return (struct bytes){b.data, b.length};
}

static void expect_digest(const void *p, size_t n, const char *expected)
{
    char hex[65];

    rh_sha256_hex(p, n, hex);
    assert_string_equal(hex, expected);
}

static const char *string_of(json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

static size_t logs_of(const char *name, json_t *o, struct bytes *ret)
{
    RH_AUTO(rh_freep) char *dir = rh_strndup(name, strcspn(name, "/"));
    json_t *sum;
    const char *file;
    size_t n = 0;

    json_object_foreach (json_object_get(o, "logs"), file, sum) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", dir, file);

        ret[n++] = unpacked(path);
    }
    return n;
}

static void judge_replayed(const char *name, json_t *o, const void *p, size_t n,
                           size_t pages)
{
    json_t *after = json_object_get(o, "after_replay");
    struct rh_regf_facts facts;
    rh_error *err = NULL;

    assert_string_equal(string_of(o, "verdict"), "replay, then edit");
    assert_int_equal(pages,
                     json_integer_value(json_object_get(o, "pages_replayed")));
    assert_int_equal(rh_regf_check(p, n, &facts, &err), 0);
    assert_int_equal(facts.keys,
                     json_integer_value(json_object_get(after, "keys")));
    assert_int_equal(facts.values,
                     json_integer_value(json_object_get(after, "values")));
    expect_digest((const char *)p + RH_REGF_BASE, rh_le32((const char *)p + 40),
                  string_of(after, "bins_sha256"));
    if (!strcmp(name, "logs/NewDirtyHive1-hive")) {
        RH_AUTO(bytes_free)
        struct bytes theirs =
            unpacked("logs/NewDirtyHive1-recovered_Windows10");

        assert_int_equal(n, theirs.n);
        assert_memory_equal(p, theirs.p, n);
    }
}

static void judge(const char *name, json_t *o)
{
    RH_AUTO(bytes_free) struct bytes hive = unpacked(name);
    struct bytes logs[4] = {0};
    struct rh_regf_log given[4] = {0};
    size_t count = logs_of(name, o, logs), n, pages = 0;
    RH_AUTO(rh_freep) void *out = NULL;
    struct rh_regf_facts facts;
    rh_error *err = NULL;
    int r;

    for (size_t i = 0; i < count; i++)
        given[i] = (struct rh_regf_log){logs[i].p, logs[i].n};
    r = rh_regf_replay(hive.p, hive.n, given, count, &out, &n, &pages, &err);
    if (r > 0)
        judge_replayed(name, o, out, n, pages);
    else if (r == 0)
        r = rh_regf_check(hive.p, hive.n, &facts, &err);
    if (r == 0) {
        assert_string_equal(string_of(o, "verdict"), "edit");
        assert_int_equal(facts.keys,
                         json_integer_value(json_object_get(o, "keys")));
        assert_int_equal(facts.values,
                         json_integer_value(json_object_get(o, "values")));
    } else if (r < 0) {
        assert_string_equal(string_of(o, "verdict"), "refuse");
        assert_int_equal(rh_error_status(err), 4);
    }
    rh_error_free(err);
    for (size_t i = 0; i < count; i++)
        free(logs[i].p);
    expect_digest(hive.p, hive.n, string_of(o, "sha256")); /* untouched */
}

static void every_real_hive_follows_its_verdict(void **state)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/expected.json", folder);
    json_t *all = *folder ? json_load_file(path, 0, NULL) : NULL, *o;
    const char *name;

    (void)state;
    if (!all)
        skip();
    json_object_foreach (all, name, o) {
        if (json_object_get(o, "verdict")) {
            print_message("# %s\n", name);
            judge(name, o);
        }
    }
    json_decref(all);
}

/* Whatever one flipped byte or a cut does, the answer comes, and at once. */
static void a_damaged_hive_ends_in_bounded_time(void **state)
{
    RH_AUTO(bytes_free) struct bytes b = {0};

    (void)state;
    if (!*folder)
        skip();
    b = unpacked("format/nt-hive-testhive");
    for (size_t i = RH_REGF_BASE; i < b.n; i += 61) {
        char was = b.p[i];

        b.p[i] = (char)(was ^ 0x84);
        rh_regf_check(b.p, b.n, NULL, NULL);
        b.p[i] = was;
    }
    assert_int_equal(rh_regf_check(b.p, b.n, NULL, NULL), 0);
    for (size_t n = 0; n < b.n; n += 4093)
        assert_int_equal(rh_regf_check(b.p, n, NULL, NULL), -1);
}

/* What Windows loads, and libhivex would trip over: mended at the door. */
static void what_windows_overlooks_is_mended(void **state)
{
    RH_AUTO(bytes_free) struct bytes b = {0};
    char *root, *sk;

    (void)state;
    if (!*folder)
        skip();
    b = unpacked("format/nt-hive-testhive");
    root = b.p + RH_REGF_BASE + rh_le32(b.p + 36) + 4;
    sk = b.p + RH_REGF_BASE + rh_le32(root + 44) + 4;
    rh_put_le32(sk + 12, 0);
    assert_int_equal(rh_le16(root + 74), 0);
    rh_put_le32(root + 48, 0x12345);
    assert_int_equal(rh_regf_check(b.p, b.n, NULL, NULL), -1);
    assert_int_equal(rh_regf_prepare(b.p, b.n, NULL), 0);
    assert_int_equal(rh_regf_check(b.p, b.n, NULL, NULL), 0);
    assert_int_equal(rh_le32(root + 48), 0xffffffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_real_hive_follows_its_verdict),
        cmocka_unit_test(a_damaged_hive_ends_in_bounded_time),
        cmocka_unit_test(what_windows_overlooks_is_mended),
    };
    const char *shared = getenv("RH_SHARED");

    if (shared)
        snprintf(folder, sizeof folder, "%s/corpus/hives", shared);
    if (access(folder, R_OK))
        *folder = '\0';
    return cmocka_run_group_tests(tests, NULL, NULL);
}
