/* warm_job.c - job.json of a warm migration: what is read is written the same,
 * and leads nowhere. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert/warm/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_warm_journal j = {.dir = -1};
    rh_error *e = NULL;

    if (size <= 65536 &&
        rh_warm_journal_read(&j, (const char *)data, size, &e) == 0)
        for (size_t i = 0; i < j.disks.count; i++)
            if (strchr(j.disks.items[i].file, '/') ||
                j.disks.items[i].file[0] == '.')
                abort();
    rh_warm_journal_close(&j);
    rh_error_free(e);
    return 0;
}
