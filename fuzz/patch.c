/* patch.c - later passes over any bytes that claim to be a qcow2 or a VHD of
 * ours: opened, mended, read, written, finished; what is finished opens
 * again. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/patch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"

enum { PART = 200 * 1024, FILE_MOST = 32 * 1024 * 1024 };

/* One for all inputs of this process. */
static int folder(void)
{
    static char in_memory[] = "/dev/shm/rehost-fuzz.XXXXXX";
    static char other[] = "/tmp/rehost-fuzz.XXXXXX";
    static int fd = -1;

    if (fd < 0)
        fd = open(mkdtemp(in_memory) ? in_memory : mkdtemp(other),
                  O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        abort();
    return fd;
}

static void change_some(struct rh_patch *p, uint8_t *buf)
{
    uint64_t at[] = {0, p->size / 3, p->size - 1, p->size / 2 + 777};

    for (size_t i = 0; i < RH_COUNT(at); i++) {
        size_t n = (size_t)RH_MIN(p->size - at[i], (uint64_t)PART);

        rh_patch_read(p, buf, n, at[i], NULL);
        for (size_t k = 0; k < n; k += 100)
            buf[k] = (uint8_t)(i + 1);
        rh_patch_write(p, buf, n, at[i], NULL);
        rh_patch_zero(p, n / 2, at[i], NULL);
    }
}

static void pass_over(rh_lib *lib, const char *format, uint8_t *buf)
{
    struct rh_patch *p = rh_patch_open(lib, folder(), "disk", format, NULL);
    int finished = -1;

    if (p) {
        change_some(p, buf);
        if (p->size < 64 * RH_MIB)
            rh_patch_flush(p, NULL);
        finished = rh_patch_finish(p, NULL);
    }
    rh_patch_close(p);
    if (finished == 0) {
        p = rh_patch_open(lib, folder(), "disk", format, NULL);
        if (!p)
            abort();
        rh_patch_close(p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buf[PART];
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    int fd;

    if (size < 16 || size > FILE_MOST)
        return 0;
    fd = openat(folder(), "disk", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    pass_over(&lib, data[0] == 'Q' ? "qcow2" : "vhd", buf);
    unlinkat(folder(), "disk", 0);
    return 0;
}
