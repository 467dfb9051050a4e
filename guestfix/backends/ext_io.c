/* ext_io.c - an io_manager over rh_volume_read and rh_volume_write. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/backends/ext_io.h"

#include <et/com_err.h>
#include <stdlib.h>
#include <string.h>

/* libext2fs opens by name only; the one being opened waits here. */
static _Thread_local struct rh_ext_io *opening;

static struct rh_ext_io *io_of(io_channel c)
{
    return c->private_data;
}

static struct struct_io_manager manager;

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
    io_channel c;

    (void)flags;
    if (!opening)
        return EXT2_ET_BAD_DEVICE_NAME;
    c = rh_calloc(1, sizeof *c);
    c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    c->manager = &manager;
    c->name = rh_strdup(name);
    c->block_size = 1024;
    c->refcount = 1;
    c->private_data = opening;
    *ret = c;
    return 0;
}

static errcode_t io_close(io_channel c)
{
    if (--c->refcount > 0)
        return 0;
    free(c->name);
    free(c);
    return 0;
}

static errcode_t io_set_blksize(io_channel c, int size)
{
    c->block_size = size;
    return 0;
}

/* A negative count is a number of bytes. */
static bool reach(io_channel c, unsigned long long block, int count,
                  uint64_t *ret_offset, size_t *ret_n)
{
    *ret_n = count < 0 ? (size_t) - (int64_t)count
                       : (size_t)count * (size_t)c->block_size;
    return !rh_mul_overflows((uint64_t)block, (uint64_t)c->block_size,
                             ret_offset);
}

static errcode_t io_read(io_channel c, unsigned long long block, int count,
                         void *data)
{
    struct rh_ext_io *io = io_of(c);
    uint64_t offset;
    size_t n;

    rh_error_drop(&io->failure);
    if (++io->reads > io->reads_max || ++io->all_reads > io->all_max) {
        rh_fail(&io->failure, RH_ERR_GUEST_DAMAGED,
                "its structures lead nowhere");
        return EXT2_ET_SHORT_READ;
    }
    if (io->reads % 1024 == 0 && rh_disks_lib(io->disks) &&
        rh_go_on(rh_disks_lib(io->disks), &io->failure) < 0)
        return EXT2_ET_SHORT_READ;
    if (!reach(c, block, count, &offset, &n) ||
        rh_volume_read(io->disks, io->volume, data, n, offset, &io->failure) <
            0)
        return EXT2_ET_SHORT_READ;
    return 0;
}

static errcode_t io_write(io_channel c, unsigned long long block, int count,
                          const void *data)
{
    struct rh_ext_io *io = io_of(c);
    uint64_t offset;
    size_t n;

    rh_error_drop(&io->failure);
    if (!reach(c, block, count, &offset, &n) ||
        rh_volume_write(io->disks, io->volume, data, n, offset, &io->failure) <
            0)
        return EXT2_ET_SHORT_WRITE;
    return 0;
}

static errcode_t io_read_old(io_channel c, unsigned long block, int count,
                             void *data)
{
    return io_read(c, block, count, data);
}

static errcode_t io_write_old(io_channel c, unsigned long block, int count,
                              const void *data)
{
    return io_write(c, block, count, data);
}

static errcode_t io_flush(io_channel c)
{
    (void)c;
    return 0;
}

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "rehost",
    .open = io_open,
    .close = io_close,
    .set_blksize = io_set_blksize,
    .read_blk = io_read_old,
    .write_blk = io_write_old,
    .flush = io_flush,
    .read_blk64 = io_read,
    .write_blk64 = io_write,
};

errcode_t rh_ext_open_io(struct rh_ext_io *io, ext2_filsys *ret_fs)
{
    errcode_t code;

    opening = io;
    code = ext2fs_open2("guest", NULL, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0,
                        &manager, ret_fs);
    opening = NULL;
    return code;
}

const char *rh_ext_message(errcode_t code)
{
    static _Thread_local char text[160];

    initialize_ext2_error_table();
    snprintf(text, sizeof text, "%s",
             code ? error_message(code) : "unexpected structure");
    return text;
}
