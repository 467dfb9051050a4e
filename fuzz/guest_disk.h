/* guest_disk.h - the fuzzer's bytes as a guest's only disk. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_FUZZ_GUEST_DISK_H
#define RH_FUZZ_GUEST_DISK_H

#include <string.h>

#include "base/limits.h"
#include "volumes/disks.h"

struct guest_disk {
    struct rh_lib lib;
    struct rh_reader *base, *overlay;
    struct rh_disks *disks;
};

/* The bytes where they are: copying 16 MiB takes longer than most inputs. */
static inline int guest_disk_bytes(struct rh_io *io, void *buf, size_t n,
                                   uint64_t offset, rh_error **err)
{
    (void)err;
    memcpy(buf, (const uint8_t *)io->state + offset, n);
    return 0;
}

static inline void guest_disk_leave(struct rh_io *io)
{
    io->state = NULL;
}

static inline bool guest_disk_open(struct guest_disk *g, const uint8_t *data,
                                   size_t size)
{
    static const struct rh_io_ops ops = {.read = guest_disk_bytes,
                                         .close = guest_disk_leave};
    struct rh_io *io;
    struct rh_open_options o = {.lib = &g->lib};

    *g = (struct guest_disk){
        .lib = {.threads = 1, .memory = RH_MIB, .max_disk_size = 64 * RH_TIB}};
    g->lib.temp_dir = (char *)(uintptr_t) "/dev/shm";
    if (size < 512)
        return false;
    io = rh_io_make(&ops, "fuzz", size - size % 512, (void *)(uintptr_t)data);
    g->base = rh_reader_open(io, "raw", &o, NULL);
    rh_io_unref(io);
    g->overlay = g->base ? rh_overlay_new(g->base, &g->lib, NULL) : NULL;
    if (g->overlay)
        g->disks = rh_disks_new(&g->overlay, 1, &g->lib);
    return g->disks != NULL;
}

static inline void guest_disk_close(struct guest_disk *g)
{
    rh_disks_free(g->disks);
    if (g->overlay)
        rh_reader_close(g->overlay);
    if (g->base)
        rh_reader_close(g->base);
}

#endif
