/* ext.c - any bytes as an ext file system: walked, read, edited.  libext2fs
 * does the work; what is ours are the blocks it is given. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz/guest_fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_fs(data, size, rh_ext_open);
    return 0;
}
