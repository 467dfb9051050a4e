/* join.c - several files read as one (chunks of a disk), and a file of zeros
 * (a disk that does not exist yet). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/join.h"

#include <stdlib.h>
#include <string.h>

struct part {
    struct rh_io *io;
    uint64_t start;
};
struct join {
    size_t count;
    struct part parts[];
};

static size_t part_at(const struct join *j, uint64_t offset)
{
    size_t low = 0, high = j->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (j->parts[middle].start <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int join_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    struct join *j = io->state;
    char *to = buf;

    for (size_t i = part_at(j, offset); n; i++) {
        uint64_t within = offset - j->parts[i].start;
        size_t part =
            (size_t)RH_MIN((uint64_t)n, j->parts[i].io->size - within);

        if (rh_io_read(j->parts[i].io, to, part, within, err) < 0)
            return -1;
        to += part;
        offset += part;
        n -= part;
    }
    return 0;
}

static void join_close(struct rh_io *io)
{
    struct join *j = io->state;

    for (size_t i = 0; i < j->count; i++)
        rh_io_unref(j->parts[i].io);
    free(j);
}

struct rh_io *rh_io_join(struct rh_io **parts, size_t count, const char *name,
                         rh_error **err)
{
    static const struct rh_io_ops ops = {join_read, NULL, join_close};
    struct join *j = rh_calloc(1, sizeof *j + count * sizeof j->parts[0]);
    uint64_t size = 0;
    bool overflow = false;
    struct rh_io *io;

    j->count = count;
    for (size_t i = 0; i < count; i++) {
        j->parts[i] = (struct part){parts[i], size};
        overflow |= rh_add_overflows(size, parts[i]->size, &size);
    }
    io = rh_io_make(&ops, name, size, j);
    if (!overflow)
        return io;
    rh_fail(err, RH_ERR_PACKAGE_CHUNK, "its parts are too large together");
    rh_error_subject(err, name);
    rh_io_unref(io);
    return NULL;
}

static int zeros_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                      rh_error **err)
{
    (void)io, (void)offset, (void)err;
    memset(buf, 0, n);
    return 0;
}

static int zeros_data_after(struct rh_io *io, uint64_t offset,
                            uint64_t *ret_start, uint64_t *ret_end,
                            rh_error **err)
{
    (void)offset, (void)err;
    *ret_start = *ret_end = io->size;
    return 0;
}

struct rh_io *rh_io_zeros(uint64_t size, const char *name)
{
    static const struct rh_io_ops ops = {zeros_read, zeros_data_after, NULL};

    return rh_io_make(&ops, name, size, NULL);
}
