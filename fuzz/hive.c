/* hive.c - any bytes as a registry hive that is read like a SYSTEM: what passes
 * the check must do no harm to libhivex, nor to what looks around in it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/windows/regf.h"
#include "guestfix/windows/windows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct rh_hive *h, rh_key k, unsigned depth,
                     unsigned *left)
{
    char **values = rh_hive_values(h, k), **keys;

    for (size_t i = 0; values && values[i] && *left; i++) {
        uint64_t number;
        size_t n;

        --*left;
        free(rh_hive_text(h, k, values[i]));
        rh_name_list_free(rh_hive_list(h, k, values[i]));
        free(rh_hive_bytes(h, k, values[i], &n));
        rh_hive_number(h, k, values[i], &number);
    }
    rh_name_list_free(values);
    keys = depth < 6 ? rh_hive_children(h, k) : NULL;
    for (size_t i = 0; keys && keys[i] && *left; i++) {
        rh_key one = rh_hive_key(h, k, keys[i]);

        --*left;
        if (one)
            read_all(h, one, depth + 1, left);
    }
    rh_name_list_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_windows w = {0};
    unsigned left = 500;
    struct rh_hive *h;
    char *copy;

    if (size > 1024 * 1024)
        return 0;
    copy = rh_memdup0(data, size);
    if (size >= 512)
        rh_put_le32(copy + 508, rh_regf_checksum(copy));
    h = rh_hive_of(copy, size, "/SYSTEM", "HKLM\\SYSTEM", NULL);
    if (!h)
        return 0;
    read_all(h, rh_hive_root(h), 0, &left);
    w.arena = rh_arena_new();
    *rh_vec_add(&w.sets) = "ControlSet001";
    rh_win_network(&w, h);
    rh_win_free(&w);
    rh_hive_close(h);
    return 0;
}
