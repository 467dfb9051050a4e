/* geli.c - what FreeBSD's GELI has encrypted.
 *
 * All of it looks like noise but the last sector, which begins with a mark and
 * a version (geli(8); FreeBSD's sys/geom/eli/g_eli.h).  Its sectors may be
 * larger than the disk's. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "volumes/volumes.h"

enum {
    MARK = 16,
    HEAD = 20,
    VERSION_MAX = 16,
    SECTOR = 512,
    SECTOR_MOST = 8192
};

/* What cannot be read here (a volume that claims more than its disk has) is not
 * known to be GELI's; who reads the rest of it says why. */
static int look_at(struct rh_disks *d, struct rh_volume *v, uint64_t at,
                   rh_error **err)
{
    static const char mark[MARK] = "GEOM::ELI";
    RH_AUTO(rh_error_freep) rh_error *fault = NULL;
    uint8_t p[HEAD];

    if (rh_volume_read(d, v, p, sizeof p, at, &fault) < 0) {
        if (rh_error_number(fault) != RH_ERR_CANCELLED)
            return 0;
        if (err && !*err)
            *err = RH_TAKE(fault);
        return -1;
    }
    if (!memcmp(p, mark, sizeof mark) && rh_le32(p + MARK) <= VERSION_MAX)
        v->fstype = "geli";
    return 0;
}

int rh_geli_find(struct rh_disks *d, struct rh_volumes *all, rh_error **err)
{
    for (size_t i = 0; i < all->all.count; i++) {
        struct rh_volume *v = &all->all.items[i];
        uint64_t size = rh_volume_bytes(v) / SECTOR * SECTOR;

        for (uint64_t n = SECTOR; n <= SECTOR_MOST && n <= size && !v->fstype &&
                                  !v->has_label && !v->broken;
             n *= 2)
            if (look_at(d, v, size - n, err) < 0)
                return -1;
    }
    return 0;
}
