/* package.c - a whole package of any bytes: opened, its findings made, its
 * disks opened, its manifest checked. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"
#include "fuzz/tar_mend.h"
#include "ova/package.h"

static void use(struct rh_package *p)
{
    json_t *json;

    for (size_t vm = 0; vm < p->vms.count && vm < 4; vm++)
        for (size_t i = 0; i < p->vms.items[vm]->disks.count && i < 4; i++) {
            struct rh_reader *r = rh_package_disk(p, vm, i, NULL);

            rh_reader_close(r);
            for (size_t m = 0; rh_package_disk_member(p, vm, i, m);)
                m++;
        }
    rh_package_complete(p, false, NULL);
    rh_package_verify(p, NULL);
    json = rh_package_json(p);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Lasts: the profiles are read once. */
    static struct rh_lib lib = {.threads = 1, .max_disk_size = 64 * RH_MIB};
    uint8_t *mended = tar_mend(data, size);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct rh_package *p = NULL;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || rh_pwrite_all(fd, mended, size, 0, path, NULL) < 0)
        abort();
    p = rh_package_open(&lib, path, NULL, NULL);
    if (p)
        use(p);
    rh_package_free(p);
    close(fd);
    free(mended);
    return 0;
}
