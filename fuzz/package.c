/* package.c - a whole package of any bytes: opened, its findings made, its
 * disks opened (or, by its length's last bit, read forward), its manifest
 * checked. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/out.h"
#include "fuzz/tar_mend.h"
#include "package/forward.h"

/* Nothing of it may be stored yet. */
static void read_forward(struct rh_package *p, size_t vm, size_t disk)
{
    RH_AUTO(rh_tee_freep) struct rh_tee *tee = NULL;
    struct rh_reader *r = rh_package_disk_forward(p, vm, disk, &tee);
    struct rh_piece piece;

    while (r && !r->format->next(r, &piece, NULL))
        continue;
    if (tee)
        rh_tee_check(tee, p, NULL);
    rh_reader_close(r);
}

static void use(struct rh_package *p)
{
    json_t *json;

    if (p->forward)
        rh_package_complete(p, false, NULL);
    for (size_t vm = 0; vm < p->vms.count && vm < 4; vm++)
        for (size_t i = 0; i < p->vms.items[vm]->disks.count && i < 4; i++) {
            if (p->forward)
                read_forward(p, vm, i);
            else
                rh_reader_close(rh_package_disk(p, vm, i, NULL));
            for (size_t m = 0; rh_package_disk_member(p, vm, i, m);)
                m++;
        }
    if (!p->forward)
        rh_package_complete(p, false, NULL);
    rh_package_verify(p, NULL);
    json = rh_package_json(p);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Lasts: the profiles are read once. */
    static struct rh_lib lib = {.threads = 1, .max_disk_size = 64 * RH_MIB};
    struct rh_package_options o = {.forward = size & 1};
    uint8_t *mended = tar_mend(data, size);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct rh_package *p = NULL;
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || rh_pwrite_all(fd, mended, size, 0, path, NULL) < 0)
        abort();
    p = rh_package_open(&lib, path, &o, NULL);
    if (p)
        use(p);
    rh_package_free(p);
    close(fd);
    free(mended);
    return 0;
}
