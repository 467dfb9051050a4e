/* initramfs.c - any bytes as an initramfs image. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/initramfs.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_initramfs i;

    if (rh_initramfs_read(data, size, NULL, &i, NULL) == 0) {
        if (i.main_end > size || !i.codec)
            abort();
        rh_initramfs_has(&i, "kernel/drivers/virtio-blk.ko.xz");
        rh_initramfs_free(&i);
    }
    return 0;
}
