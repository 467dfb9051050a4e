/* ntfs.c - any bytes as an NTFS volume and as its $LogFile: was it left clean?
 * The numbers that guard each block are made right, or nothing behind them
 * would ever be met. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fuzz/guest_disk.h"
#include "guestfix/backends/ntfs_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever begins like a page or a record. */
static void seal(uint8_t *p, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        size_t list = rh_le16(p + at + 4), count = rh_le16(p + at + 6);

        if (memcmp(p + at, "RSTR", 4) && memcmp(p + at, "FILE", 4))
            continue;
        for (size_t i = 1; i < count && at + i * 512 <= size; i++)
            if (at + list + 2 <= size)
                memmove(p + at + i * 512 - 2, p + at + list, 2);
    }
}

struct bytes {
    const uint8_t *p;
    size_t n;
};

static int give(void *user, uint64_t offset, void *ret, size_t n,
                rh_error **err)
{
    const struct bytes *b = user;

    if (offset > b->n || n > b->n - offset)
        abort(); /* it knows the size */
    memcpy(ret, b->p + offset, n);
    (void)err;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)rh_memdup0(data, size);
    struct bytes b = {copy, size};
    struct rh_ntfs_log log = {.read = give, .user = &b, .size = size};
    struct guest_disk g;
    struct rh_span span = {.length = size - size % 512};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    uint64_t state;

    seal(copy, size);
    if (rh_ntfs_log_state(&log, &state, NULL) < 0 ||
        (state & ~(uint64_t)(RH_NTFS_UNCLEAN | RH_NTFS_CACHED)))
        abort();
    if (guest_disk_open(&g, copy, size) &&
        (rh_ntfs_volume_state(g.disks, &v, &state, NULL) < 0 ||
         (state & ~(uint64_t)RH_NTFS_CHKDSK)))
        abort();
    guest_disk_close(&g);
    rh_ntfs_hiberfil_state(copy, size);
    free(copy);
    return 0;
}
