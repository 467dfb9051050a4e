/* guest_fs.h - walk, read and edit a file system of any bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_GUEST_FS_H
#define RH_FUZZ_GUEST_FS_H

#include <stdlib.h>

#include "fuzz/guest_disk.h"
#include "guestfix/backends/fs.h"
#include "guestfix/backends/unused.h"

typedef struct rh_fs *opener(struct rh_disks *d, const struct rh_volume *v,
                             const char **ret_why, rh_error **err);

static inline void walk_fs(struct rh_fs *fs, uint64_t dir, unsigned depth,
                           unsigned *left)
{
    struct rh_names names = {0};

    if (fs->ops->list(fs, dir, &names, NULL) == 0)
        for (size_t i = 0; i < names.count && *left; i++) {
            struct rh_guest_stat st;
            uint64_t node;
            void *bytes;
            size_t n;

            (*left)--;
            if (fs->ops->lookup(fs, dir, names.items[i], &node, NULL) < 0 ||
                fs->ops->stat(fs, node, &st, NULL) < 0)
                continue;
            if (st.type == 'd' && depth < 4)
                walk_fs(fs, node, depth + 1, left);
            if (st.type == 'f' &&
                fs->ops->read(fs, node, RH_MIB, &bytes, &n, NULL) == 0)
                free(bytes);
        }
    rh_names_free(&names);
}

static inline void edit_fs(struct rh_fs *fs)
{
    static const char text[] = "a new file";
    uint64_t root = fs->ops->root, node;

    if (fs->ops->create(fs, root, "new-file.conf", text, sizeof text, 0644, 0,
                        NULL) == 0 &&
        fs->ops->lookup(fs, root, "new-file.conf", &node, NULL) < 0)
        abort();
    fs->ops->make_dir(fs, root, "EFI", 0755, NULL);
    fs->ops->rename(fs, root, "new-file.conf", root, "other.cfg", NULL);
    fs->ops->remove(fs, root, "other.cfg", NULL);
    fs->ops->sync(fs, NULL);
}

/* What nothing uses lies inside the volume. */
static inline void ask_unused(struct rh_fs *fs, uint64_t size)
{
    struct rh_unused_out out = {.size = size};
    const char *why = NULL;

    if (fs->ops->unused && fs->ops->unused(fs, &out, &why, NULL) == 0 &&
        rh_gaps_settle(&out.runs) > size)
        abort();
    rh_gaps_free(&out.runs);
}

static inline void try_fs(const uint8_t *data, size_t size, opener *open)
{
    struct guest_disk g;
    struct rh_span span = {.length = size - size % 512};
    struct rh_volume v = {
        .device = "/dev/sda1", .spans = &span, .span_count = 1};
    unsigned left = 200;
    const char *why;
    struct rh_fs *fs;

    if (guest_disk_open(&g, data, size)) {
        fs = open(g.disks, &v, &why, NULL);
        if (fs) {
            walk_fs(fs, fs->ops->root, 0, &left);
            ask_unused(fs, span.length);
            edit_fs(fs);
            fs->ops->close(fs);
        }
    }
    guest_disk_close(&g);
}

#endif
