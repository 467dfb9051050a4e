/* zpool.c - any bytes as the blocks of a ZFS pool, or as one packed block.
 *
 * The first byte chooses.  Of a pool: the uberblock's pointer, then blocks
 * (read_bytes). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "fuzz/guest_disk.h"
#include "volumes/zpool.h"

enum { PACKED = 1, BIG = 2, LZ4 = 4, HEAD = 6 };

struct bytes {
    const uint8_t *p;
    size_t n;
};

/* Pieces one after the other: the sector it lies at, its length, its bytes. */
static int read_bytes(void *from, uint32_t vdev, uint64_t at, unsigned copy,
                      uint8_t *to, size_t n, rh_error **err)
{
    const struct bytes *b = from;
    size_t i = 0;

    (void)vdev, (void)err;
    while (!copy && b->n - i >= HEAD) {
        const uint8_t *p = b->p + i;
        size_t length = RH_MIN((size_t)rh_le16(p + 4), b->n - i - HEAD);

        if (rh_le32(p) == at >> 9) {
            memcpy(to, p + HEAD, RH_MIN(n, length));
            return 1;
        }
        i += HEAD + length;
    }
    return 0;
}

static void unpack(const uint8_t *data, size_t size, bool lz4)
{
    size_t room = size < 2 ? 0 : (size_t)rh_le16(data) + 1;
    uint8_t *in, *out;

    if (!room)
        return;
    in = (uint8_t *)rh_memdup0(data + 2,
                               size - 2); /* of its own: overruns show */
    out = rh_malloc(room);
    if (lz4)
        rh_zpool_lz4(in, size - 2, out, room);
    else
        rh_zpool_lzjb(in, size - 2, out, room);
    free(in);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_zpool_bootfs found = {0};
    struct rh_zpool_pointer root;
    struct bytes b;
    struct rh_zpool z = {.read = read_bytes, .from = &b, .trusting = true};
    int r;

    if (!size)
        return 0;
    if (data[0] & PACKED) {
        unpack(data + 1, size - 1, data[0] & LZ4);
        return 0;
    }
    if (size < 1 + RH_ZPOOL_POINTER)
        return 0;
    root.big = data[0] & BIG;
    memcpy(root.bytes, data + 1, RH_ZPOOL_POINTER);
    b = (struct bytes){data + 1 + RH_ZPOOL_POINTER,
                       size - 1 - RH_ZPOOL_POINTER};
    r = rh_zpool_find_bootfs(&z, &root, &found, NULL);
    if (r < 0 || (r == 1) != (found.name != NULL) || (r == 0 && !z.why) ||
        (found.name && strpbrk(found.name, "@\n\\")))
        abort();
    free(found.name);
    return 0;
}
