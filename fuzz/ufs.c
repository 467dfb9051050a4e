/* ufs.c - any bytes as a UFS, a BSD's and Solaris': walked, read, edited in
 * place; what was written must be read back. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "fuzz/guest_fs.h"

static void edit_in_place(struct rh_fs *fs, uint64_t dir)
{
    struct rh_names names = {0};

    if (fs->ops->list(fs, dir, &names, NULL) == 0)
        for (size_t i = 0; i < names.count && i < 20; i++) {
            static const char text[] = "hostname=\"changed\"\n";
            uint64_t node;
            void *bytes;
            size_t n;

            if (fs->ops->lookup(fs, dir, names.items[i], &node, NULL) < 0)
                continue;
            if (fs->ops->rewrite(fs, node, text, sizeof text, NULL) == 0 &&
                fs->ops->read(fs, node, RH_MIB, &bytes, &n, NULL) == 0)
                free(bytes);
            fs->ops->rename(fs, dir, names.items[i], dir, "other", NULL);
        }
    rh_names_free(&names);
}

static void walk(const uint8_t *data, size_t size, const char *label)
{
    struct guest_disk g;
    struct rh_span span = {.length = size - size % 512};
    struct rh_volume v = {.device = "/dev/sda1",
                          .spans = &span,
                          .span_count = 1,
                          .label_of = label};
    unsigned left = 200;
    const char *why;
    struct rh_fs *fs;

    if (guest_disk_open(&g, data, size)) {
        fs = rh_ufs_open(g.disks, &v, &why, NULL);
        if (fs) {
            walk_fs(fs, fs->ops->root, 0, &left);
            edit_fs(fs);
            edit_in_place(fs, fs->ops->root);
            fs->ops->close(fs);
        }
    }
    guest_disk_close(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk(data, size, NULL);
    walk(data, size, "solaris");
    return 0;
}
