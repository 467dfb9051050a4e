/* hive_edit.c - any bytes as a registry hive, edited by a program of bytes and
 * written: what was written must be a sound hive that holds what was set.
 *
 * First the number of edits, then four bytes for each (what, which key, which
 * value, how much), then the hive. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/windows/hive.h"
#include "guestfix/windows/regf.h"

enum { OPS_MOST = 24, OP = 4, AMOUNT_MOST = 600 };

struct written {
    void *bytes;
    size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_file(struct rh_guest *g, const char *path, const void *bytes,
                     size_t n, uint32_t mode, rh_error **err)
{
    struct written *w = g->state;

    (void)path, (void)mode, (void)err;
    free(w->bytes);
    w->bytes = rh_memdup0(bytes, n);
    w->n = n;
    return 0;
}

/* A key of the hive or one that is made: "" is the root. */
static char *key_of(struct rh_hive *h, unsigned which)
{
    static const char *const made[] = {"", "ControlSet001\\Services\\storahci",
                                       "Rehost\\a\\b\\c", "Rehost\\a"};
    rh_key k = rh_hive_root(h);
    RH_AUTO(rh_name_list_freep) char **names = NULL;
    size_t n = 0;

    if (which < RH_COUNT(made))
        return rh_strdup(made[which]);
    names = rh_hive_children(h, k);
    while (names && names[n])
        n++;
    return rh_strdup(n ? names[which % n] : "");
}

static char *value_of(struct rh_hive *h, const char *path, unsigned which)
{
    static const char *const made[] = {"Start", "", "A value", "x"};
    RH_AUTO(rh_name_list_freep) char **names = NULL;
    size_t n = 0;

    if (which < RH_COUNT(made))
        return rh_strdup(made[which]);
    names = rh_hive_values(h, rh_hive_key(h, 0, path));
    while (names && names[n])
        n++;
    return rh_strdup(n ? names[which % n] : "Start");
}

static void edit(struct rh_hive_edit *e, const uint8_t *op)
{
    RH_AUTO(rh_freep) char *path = key_of(e->h, op[1]);
    RH_AUTO(rh_freep) char *value = value_of(e->h, path, op[2]);
    char text[AMOUNT_MOST + 1] = {0};
    const char *list[] = {"one", text, NULL};

    memset(text, 'a', (size_t)op[3] * AMOUNT_MOST / 255);
    switch (op[0] % 6) {
    case 0:
        rh_hive_set_number(e, path, value, op[3], NULL);
        break;
    case 1:
        rh_hive_set_text(e, path, value, hive_t_REG_SZ, text, NULL);
        break;
    case 2:
        rh_hive_set_list(e, path, value, list, NULL);
        break;
    case 3:
        rh_hive_set_bytes(e, path, value, text, strlen(text), NULL);
        break;
    case 4:
        rh_hive_drop_value(e, path, value, NULL);
        break;
    default:
        if (*path) /* the root itself stays */
            rh_hive_drop_key(e, path, NULL);
        break;
    }
}

static void check(struct written *w)
{
    struct rh_hive *h =
        rh_hive_of(RH_TAKE(w->bytes), w->n, "/SYSTEM", "HKLM\\SYSTEM", NULL);
    uint64_t number = 0;

    if (!h ||
        !rh_hive_number(h, rh_hive_key(h, 0, "Rehost\\Last"), "Set", &number) ||
        number != 4711)
        abort();
    rh_hive_close(h);
}

static void edit_all(struct rh_hive *h, const uint8_t *ops, size_t count)
{
    static const struct rh_guest_ops guest_ops = {.backend = "fuzz",
                                                  .write = take_file};
    struct written w = {0};
    struct rh_guest g = {.ops = &guest_ops, .state = &w};
    struct rh_edits edits = {0};
    struct rh_guest_options o = {.edits = &edits};
    struct rh_fix_job j = {.guest = &g, .o = &o, .name = "fuzz"};
    struct rh_hive_edit e = {&j, h, "fuzz"};

    for (size_t i = 0; i < count; i++)
        edit(&e, ops + i * OP);
    if (rh_hive_set_number(&e, "Rehost\\Last", "Set", 4711, NULL) == 0 &&
        rh_hive_commit(&e, NULL) == 0)
        check(&w);
    free(w.bytes);
    rh_edits_free(&edits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = size ? data[0] % (OPS_MOST + 1) : 0;
    size_t head = 1 + count * OP;
    struct rh_hive *h;
    char *copy;

    if (size < head + 512 || size > 1024 * 1024)
        return 0;
    copy = rh_memdup0(data + head, size - head);
    rh_put_le32(copy + 508, rh_regf_checksum(copy));
    h = rh_hive_of(copy, size - head, "/SYSTEM", "HKLM\\SYSTEM", NULL);
    if (!h)
        return 0;
    edit_all(h, data + 1, count);
    rh_hive_close(h);
    return 0;
}
