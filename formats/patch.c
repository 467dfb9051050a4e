/* patch.c - opening a disk for a later pass; zeros; the file's bytes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "formats/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"

/* --- the file's bytes
 * --------------------------------------------------------- */

int rh_patch_pread(struct rh_patch *p, void *buf, size_t n, uint64_t at,
                   rh_error **err)
{
    char *to = buf;

    while (n) {
        ssize_t got = pread(p->fd, to, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rh_fail_errno(err, RH_ERR_FILE_READ, errno,
                          "cannot read the result");
            return rh_error_subject(err, p->name);
        }
        if (got == 0) {
            memset(to, 0, n);
            return 0;
        }
        to += got;
        n -= (size_t)got;
        at += (uint64_t)got;
    }
    return 0;
}

int rh_patch_pwrite(struct rh_patch *p, const void *buf, size_t n, uint64_t at,
                    rh_error **err)
{
    return rh_pwrite_all(p->fd, buf, n, at, p->name, err);
}

int rh_patch_sync(struct rh_patch *p, rh_error **err)
{
    if (fdatasync(p->fd) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot write the result");
    return rh_error_subject(err, p->name);
}

int rh_patch_length(struct rh_patch *p, uint64_t size, rh_error **err)
{
    if (rh_set_length(p->fd, size) == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot set the file's size");
    return rh_error_subject(err, p->name);
}

static int write_zeros(struct rh_patch *p, uint64_t n, uint64_t at,
                       rh_error **err)
{
    static const uint8_t zeros[64 * RH_KIB];

    while (n) {
        size_t part = (size_t)RH_MIN(n, (uint64_t)sizeof zeros);

        if (rh_go_on(p->lib, err) < 0 ||
            rh_patch_pwrite(p, zeros, part, at, err) < 0)
            return -1;
        at += part;
        n -= part;
    }
    return 0;
}

int rh_patch_punch(struct rh_patch *p, uint64_t n, uint64_t at, rh_error **err)
{
    if (n == 0 || fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            (off_t)at, (off_t)n) == 0)
        return 0;
    return write_zeros(p, n, at, err);
}

/* --- raw
 * ---------------------------------------------------------------------- */

enum { GRAIN = 64 * 1024 };

static int raw_open(struct rh_patch *p, rh_error **err)
{
    (void)err;
    p->size = p->file;
    p->grain = GRAIN;
    return 0;
}

static const struct rh_patch_ops raw_ops = {
    .open = raw_open,
    .read = rh_patch_pread,
    .write = rh_patch_pwrite,
    .zero = rh_patch_punch,
    .flush = rh_patch_sync,
    .finish = rh_patch_sync,
};

/* --- any format
 * --------------------------------------------------------------- */

static const struct rh_patch_ops *ops_of(const char *format)
{
    const struct rh_format *f;

    if (!strcmp(format, "raw"))
        return &raw_ops;
    f = rh_format_named(format);
    return f ? f->patch : NULL;
}

bool rh_patch_possible(const char *format)
{
    return ops_of(format) != NULL;
}

int rh_patch_create(rh_lib *lib, int dirfd, const char *name,
                    const char *format, uint64_t size, uint32_t cluster_size,
                    rh_error **err)
{
    enum { SECTOR = 512 };
    RH_AUTO(rh_out_closep)
    struct rh_out *out = rh_out_file_at(dirfd, name, err);
    RH_AUTO(rh_writer_closep) struct rh_writer *w = NULL;
    struct rh_create_options o = {.lib = lib,
                                  .size = rh_round_up(size, SECTOR),
                                  .cluster_size = cluster_size,
                                  .may_seek = true};
    uint64_t file_size = 0;

    if (!out)
        return -1;
    w = rh_writer_open(format, out, &o, err);
    if (!w || w->format->writer->finish(w, &file_size, err) < 0)
        return -1;
    return rh_out_finish(out, file_size, err);
}

static int open_file(struct rh_patch *p, int dirfd, rh_error **err)
{
    struct stat st;

    p->fd = openat(dirfd, p->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (p->fd < 0 || fstat(p->fd, &st) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open the result");
        return rh_error_subject(err, p->name);
    }
    if (!S_ISREG(st.st_mode)) {
        rh_fail(err, RH_ERR_FILE_TYPE, "the result is no regular file");
        return rh_error_subject(err, p->name);
    }
    p->file = (uint64_t)st.st_size;
    return 0;
}

struct rh_patch *rh_patch_open(rh_lib *lib, int dirfd, const char *name,
                               const char *format, rh_error **err)
{
    const struct rh_patch_ops *ops = ops_of(format);
    RH_AUTO(rh_patch_closep) struct rh_patch *p = NULL;

    if (!ops) {
        rh_fail(err, RH_ERR_USAGE, "a disk of format %s can't be patched",
                format);
        return NULL;
    }
    p = rh_new0(struct rh_patch);
    p->ops = ops;
    p->lib = lib;
    p->fd = -1;
    p->name = rh_strdup(name);
    if (open_file(p, dirfd, err) < 0)
        return NULL;
    if (ops->open(p, err) < 0) {
        rh_error_subject(err, name);
        return NULL;
    }
    return RH_TAKE(p);
}

static int check_range(const struct rh_patch *p, uint64_t n, uint64_t offset,
                       rh_error **err)
{
    if (offset <= p->size && n <= p->size - offset)
        return 0;
    rh_fail(err, RH_ERR_DISK_RANGE,
            "0x%llx bytes at 0x%llx lie outside the disk",
            (unsigned long long)n, (unsigned long long)offset);
    return rh_error_subject(err, p->name);
}

int rh_patch_read(struct rh_patch *p, void *buf, size_t n, uint64_t offset,
                  rh_error **err)
{
    if (check_range(p, n, offset, err) < 0)
        return -1;
    return p->ops->read(p, buf, n, offset, err);
}

int rh_patch_zero(struct rh_patch *p, uint64_t n, uint64_t offset,
                  rh_error **err)
{
    if (check_range(p, n, offset, err) < 0)
        return -1;
    return n ? p->ops->zero(p, n, offset, err) : 0;
}

/* How far is it alike: all zero, or not, grain by grain? */
static size_t run_of(const struct rh_patch *p, const uint8_t *b, size_t n,
                     uint64_t offset, bool *ret_zero)
{
    size_t at = 0;

    while (at < n) {
        size_t part = (size_t)(p->grain - (offset + at) % p->grain);
        bool zero;

        part = RH_MIN(part, n - at);
        zero = rh_all_zero(b + at, part);
        if (at == 0)
            *ret_zero = zero;
        else if (zero != *ret_zero)
            break;
        at += part;
    }
    return at;
}

int rh_patch_write(struct rh_patch *p, const void *buf, size_t n,
                   uint64_t offset, rh_error **err)
{
    const uint8_t *b = buf;

    if (check_range(p, n, offset, err) < 0)
        return -1;
    while (n) {
        bool zero = false;
        size_t run = run_of(p, b, n, offset, &zero);

        if ((zero ? p->ops->zero(p, run, offset, err)
                  : p->ops->write(p, b, run, offset, err)) < 0)
            return -1;
        p->written += zero ? 0 : run;
        b += run;
        offset += run;
        n -= run;
    }
    return 0;
}

int rh_patch_flush(struct rh_patch *p, rh_error **err)
{
    return p->ops->flush(p, err);
}

int rh_patch_finish(struct rh_patch *p, rh_error **err)
{
    return p->ops->finish(p, err);
}

void rh_patch_close(struct rh_patch *p)
{
    if (!p)
        return;
    if (p->ops->close && p->state)
        p->ops->close(p);
    rh_closep(&p->fd);
    free(p->name);
    free(p);
}
