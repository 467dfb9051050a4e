/* fill.c - a volume is emptied, or gets what has changed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deliver/local/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/out.h"

enum { PIECE = 1024 * 1024 };

/* --- empty
 * ------------------------------------------------------------------------- */

static int write_zeros(rh_lib *lib, int fd, uint64_t size, const char *name,
                       rh_error **err)
{
    static const uint8_t zeros[65536];

    for (uint64_t at = 0; at < size; at += sizeof zeros)
        if (rh_go_on(lib, err) < 0 ||
            rh_pwrite_all(fd, zeros,
                          (size_t)RH_MIN(size - at, (uint64_t)sizeof zeros), at,
                          name, err) < 0)
            return -1;
    return 0;
}

/* A new volume of such a storage may hold what others have left, which a guest
 * would read where the disk is empty, and behind its end. */
int rh_local_empty(rh_lib *lib, int fd, const char *name, rh_error **err)
{
    enum { STEP = 256 * 1024 * 1024 };
    struct stat st;
    uint64_t size;

    if (fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot look at it");
    if (!S_ISBLK(st.st_mode))
        return write_zeros(lib, fd, (uint64_t)st.st_size, name, err);
    if (ioctl(fd, BLKGETSIZE64, &size) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot learn the device's size");
    for (uint64_t at = 0; at < size; at += STEP) {
        uint64_t range[2] = {at, RH_MIN(size - at, (uint64_t)STEP)};

        if (rh_go_on(lib, err) < 0)
            return -1;
        if (ioctl(fd, BLKZEROOUT, range) < 0) {
            rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                          "the volume cannot be emptied");
            return rh_error_subject(err, name);
        }
    }
    return 0;
}

/* --- what changed
 * ---------------------------------------------------------------------- */

struct put {
    rh_lib *lib;
    int fd;
    const char *name;
    struct rh_reader *disk;
    struct rh_codec *codec;
    uint8_t *piece;
    uint64_t size, block; /* of the volume; block 1: anything can be written */
    uint64_t sent;
};

static int look_at(struct put *p, bool thin, rh_error **err)
{
    struct stat st;

    if (fstat(p->fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot look at it");
    p->size = (uint64_t)st.st_size;
    p->block = 1;
    if (S_ISBLK(st.st_mode) && ioctl(p->fd, BLKGETSIZE64, &p->size) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot learn the device's size");
    if (S_ISBLK(st.st_mode) && thin)
        p->block = RH_MAX(rh_local_block(&st), (uint64_t)1);
    if (p->disk->size <= p->size)
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                   "the volume of %llu bytes is smaller than the disk",
                   (unsigned long long)p->size);
}

/* Behind the disk's end there are zeros. */
static int read_piece(const struct put *p, size_t n, uint64_t offset,
                      rh_error **err)
{
    uint64_t left = offset < p->disk->size ? p->disk->size - offset : 0;
    size_t have = (size_t)RH_MIN(left, (uint64_t)n);

    memset(p->piece + have, 0, n - have);
    return have ? rh_reader_read(p->disk, p->codec, p->piece, have, offset, err)
                : 0;
}

/* Zeros without a write, where the volume can: they are none in a copy. */
static bool punch(const struct put *p, size_t n, uint64_t offset)
{
    return rh_all_zero(p->piece, n) &&
           fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)offset, (off_t)n) == 0;
}

static int put_range(struct put *p, uint64_t from, uint64_t to, rh_error **err)
{
    while (from < to) {
        size_t n = (size_t)RH_MIN(to - from, (uint64_t)PIECE);

        if (rh_go_on(p->lib, err) < 0 || read_piece(p, n, from, err) < 0)
            return -1;
        if (!punch(p, n, from)) {
            if (rh_pwrite_all(p->fd, p->piece, n, from, p->name, err) < 0)
                return -1;
            p->sent += n;
        }
        from += n;
    }
    return 0;
}

/* Ranges that share a block become one. */
static int put_all(struct put *p, const struct rh_range *ranges, size_t count,
                   rh_error **err)
{
    uint64_t done = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t from = ranges[i].offset, to;

        if (rh_add_overflows(from, ranges[i].length, &to) || to > p->size)
            return rh_fail(err, RH_ERR_BUG, "a change behind the volume's end");
        from = RH_MAX(from - from % p->block, done);
        to = RH_MIN(rh_round_up(to, p->block), p->size);
        if (put_range(p, from, to, err) < 0)
            return -1;
        done = RH_MAX(done, to);
    }
    return 0;
}

int rh_local_put(rh_lib *lib, int fd, const char *name, bool thin,
                 struct rh_reader *disk, const struct rh_range *ranges,
                 size_t count, uint64_t *ret_sent, rh_error **err)
{
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    struct put p = {.lib = lib,
                    .fd = fd,
                    .name = name,
                    .disk = disk,
                    .codec = codec,
                    .piece = piece};

    if (look_at(&p, thin, err) < 0 || put_all(&p, ranges, count, err) < 0)
        return rh_error_subject(err, name);
    *ret_sent += p.sent;
    if (fsync(fd) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                  "the volume could not be written");
    return rh_error_subject(err, name);
}
