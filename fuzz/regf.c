/* regf.c - any bytes as a registry hive and two logs beside it: replayed, then
 * checked.  Hive and logs are split where "split" says: two lengths, 32 bits
 * each, in front of all.  Checksums and hashes are made right, or nothing
 * behind them would ever be met. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/windows/regf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sum(char *base, size_t n)
{
    if (n >= 512)
        rh_put_le32(base + 508, rh_regf_checksum(base));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_regf_log logs[2];
    void *out = NULL;
    size_t n[3], out_n, pages;
    char *copy;

    if (size < 8 || size > 1024 * 1024)
        return 0;
    n[0] = RH_MIN((size_t)rh_le32(data), size - 8);
    n[1] = RH_MIN((size_t)rh_le32(data + 4), size - 8 - n[0]);
    n[2] = size - 8 - n[0] - n[1];
    copy = rh_memdup0(data + 8, size - 8);
    sum(copy, n[0]);
    sum(copy + n[0], n[1]);
    sum(copy + n[0] + n[1], n[2]);
    logs[0] = (struct rh_regf_log){copy + n[0], n[1]};
    logs[1] = (struct rh_regf_log){copy + n[0] + n[1], n[2]};
    if (rh_regf_replay(copy, n[0], logs, 2, &out, &out_n, &pages, NULL) > 0)
        rh_regf_check(out, out_n, NULL, NULL);
    rh_regf_check(copy, n[0], NULL, NULL);
    free(out);
    free(copy);
    return 0;
}
