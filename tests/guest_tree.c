/* guest_tree.c - what our readers see in a disk's file system, for tests to
 * hold against what others see.
 *
 *   guest-tree DISK VOLUME      a line for each file: type mode size sha256
 * path
 *
 * VOLUME is the number of the volume as they are found, from 0. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/limits.h"
#include "guestfix/backends/backends.h"

enum { PATH_BYTES_MAX = 4096 };

static void show(struct rh_fs *fs, uint64_t node, const char *path);

static void show_folder(struct rh_fs *fs, uint64_t node, const char *path)
{
    struct rh_names names = {0};

    if (strlen(path) > PATH_BYTES_MAX) { /* a circle */
        printf("! %.40s...\n", path);
        return;
    }
    if (fs->ops->list(fs, node, &names, NULL) < 0)
        printf("! %s\n", path);
    for (size_t i = 0; i < names.count; i++) {
        char *child = rh_printf("%s/%s", path, names.items[i]);
        uint64_t inner;

        if (fs->ops->lookup(fs, node, names.items[i], &inner, NULL) < 0)
            printf("! %s\n", child);
        else
            show(fs, inner, child);
        free(child);
    }
    rh_names_free(&names);
}

static void show(struct rh_fs *fs, uint64_t node, const char *path)
{
    struct rh_guest_stat st;
    char digest[65] = "-", *target = NULL;
    void *bytes = NULL;
    size_t n;

    if (fs->ops->stat(fs, node, &st, NULL) < 0) {
        printf("! %s\n", path);
        return;
    }
    if (st.type == 'f' && fs->ops->read(fs, node, RH_GIB, &bytes, &n, NULL) < 0)
        snprintf(digest, sizeof digest, "unreadable");
    else if (st.type == 'f')
        rh_sha256_hex(bytes, n, digest);
    else if (st.type == 'l' && fs->ops->read_link(fs, node, &target, NULL) == 0)
        rh_sha256_hex(target, strlen(target), digest);
    printf("%c %o %llu %s %s\n", st.type, st.mode,
           st.type == 'd' ? 0ULL : (unsigned long long)st.size, digest, path);
    free(bytes);
    free(target);
    if (st.type == 'd')
        show_folder(fs, node, path);
}

int main(int argc, char **argv)
{
    struct rh_lib lib = {
        .threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB};
    struct rh_open_options oo = {.lib = &lib};
    struct rh_guest_options go = {.lib = &lib};
    struct rh_session s = {.o = &go, .count = 1};
    struct rh_io *io =
        argc == 3 ? rh_io_file_at(AT_FDCWD, argv[1], 0, NULL) : NULL;
    struct rh_reader *disk = io ? rh_reader_open(io, "raw", &oo, NULL) : NULL;
    size_t volume = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    const char *why = "no such volume";
    struct rh_fs *fs = NULL;

    if (!disk)
        return 2;
    s.disks = rh_disks_new(&disk, 1, &lib);
    if (rh_volumes_find(s.disks, NULL, &s.volumes, NULL) == 0 &&
        volume < s.volumes.all.count)
        fs = rh_volume_open(&s, &s.volumes.all.items[volume], &why, NULL);
    if (fs) {
        show_folder(fs, fs->ops->root, "");
        fs->ops->close(fs);
    } else {
        fprintf(stderr, "not read: %s\n", why ? why : "damaged");
    }
    rh_volumes_free(&s.volumes);
    rh_disks_free(s.disks);
    rh_reader_close(disk);
    rh_io_unref(io);
    return fs ? 0 : 1;
}
