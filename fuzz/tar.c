/* tar.c - the tar index on any bytes: every member that it gives has a safe
 * name of its own, lies inside the archive, and reads.  Checksums are mended
 * first, or no mutation would ever get past them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "fuzz/tar_mend.h"
#include "package/tar.h"

static void read_member(struct rh_place *place, const char *name)
{
    static char buf[256 * 1024];
    struct rh_io *io = rh_place_open(place, name, NULL);

    if (!io)
        return; /* a sparse one whose map is broken */
    rh_io_read(io, buf, (size_t)RH_MIN(io->size, (uint64_t)sizeof buf), 0,
               NULL);
    rh_io_unref(io);
}

static void check_members(struct rh_place *place)
{
    const struct rh_index *x = rh_archive_index(place);
    const char *name;

    for (size_t i = 0; (name = rh_place_name(place, i)); i++) {
        if (rh_check_name(name, NULL) < 0 ||
            rh_index_find(x, name) != &x->entries.items[i])
            abort();
        read_member(place, name);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rh_lib lib = {.threads = 1, .max_disk_size = 64 * RH_MIB};
    uint8_t *mended = tar_mend(data, size);
    struct rh_io *io = rh_io_memory(mended, size, "fuzz");
    struct rh_archive_about about;
    struct rh_place *place = rh_tar_open(&lib, io, &about, NULL);

    if (place)
        check_members(place);
    rh_place_close(place);
    rh_io_unref(io);
    free(mended);
    return 0;
}
