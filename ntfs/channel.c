/* channel.c - frames over the socket, and the volume's blocks that come over
 * it. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/helper.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

uint64_t volume_bytes;

static void read_all(void *to, size_t n)
{
    char *p = to;

    while (n) {
        ssize_t got = read(0, p, n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        p += got;
        n -= (size_t)got;
    }
}

static void write_all(const void *from, size_t n)
{
    const char *p = from;

    while (n) {
        ssize_t put = write(0, p, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            _exit(0);
        p += put;
        n -= (size_t)put;
    }
}

void send_frame(const struct rh_ntfs_frame *f, const void *payload)
{
    write_all(f, sizeof *f);
    write_all(payload, f->length);
}

void receive(struct rh_ntfs_frame *f, char **ret_payload)
{
    char *p;

    read_all(f, sizeof *f);
    if (f->length > 2 * RH_NTFS_PART)
        _exit(1);
    p = malloc((size_t)f->length + 1);
    if (!p)
        _exit(1);
    read_all(p, f->length);
    p[f->length] = '\0';
    *ret_payload = p;
}

/* --- the device --------------------------------------------------------------
 */
static s64 position;

static int device_open(struct ntfs_device *d, int flags)
{
    if ((flags & O_ACCMODE) == O_RDONLY)
        NDevSetReadOnly(d);
    NDevSetOpen(d);
    return 0;
}

static int device_close(struct ntfs_device *d)
{
    d->d_state &= ~(1UL << ND_Open | 1UL << ND_ReadOnly | 1UL << ND_Dirty);
    return 0;
}

static s64 device_seek(struct ntfs_device *d, s64 offset, int whence)
{
    (void)d;
    position = whence == SEEK_CUR   ? position + offset
               : whence == SEEK_END ? (s64)volume_bytes + offset
                                    : offset;
    return position;
}

/* One part, up to a MiB: the bytes that came, or -1. */
static s64 get_part(char *to, s64 n, s64 at)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_GET_BLOCKS, .a = (uint64_t)at, .b = (uint64_t)n};
    char *p;
    s64 r = -1;

    send_frame(&f, "");
    receive(&f, &p);
    if (f.op == RH_NTFS_BLOCKS && f.length == (uint64_t)n) {
        memcpy(to, p, (size_t)n);
        r = n;
    }
    free(p);
    errno = r < 0 ? EIO : 0;
    return r;
}

static s64 put_part(const char *from, s64 n, s64 at)
{
    struct rh_ntfs_frame f = {
        .op = RH_NTFS_PUT_BLOCKS, .length = (uint32_t)n, .a = (uint64_t)at};
    char *p;

    send_frame(&f, from);
    receive(&f, &p);
    free(p);
    errno = f.op == RH_NTFS_BLOCKS ? 0 : EIO;
    return f.op == RH_NTFS_BLOCKS ? n : -1;
}

static s64 device_pread(struct ntfs_device *d, void *to, s64 count, s64 at)
{
    s64 done = 0;

    (void)d;
    if (at < 0 || count < 0 || (uint64_t)at > volume_bytes) {
        errno = EINVAL;
        return -1;
    }
    if ((uint64_t)count > volume_bytes - (uint64_t)at)
        count = (s64)(volume_bytes - (uint64_t)at);
    while (done < count) {
        s64 n = count - done > RH_NTFS_PART ? RH_NTFS_PART : count - done;

        if (get_part((char *)to + done, n, at + done) < 0)
            return -1;
        done += n;
    }
    return done;
}

static s64 device_pwrite(struct ntfs_device *d, const void *from, s64 count,
                         s64 at)
{
    s64 done = 0;

    if (NDevReadOnly(d)) {
        errno = EROFS;
        return -1;
    }
    if (at < 0 || count < 0 || (uint64_t)at > volume_bytes ||
        (uint64_t)count > volume_bytes - (uint64_t)at) {
        errno = EINVAL;
        return -1;
    }
    while (done < count) {
        s64 n = count - done > RH_NTFS_PART ? RH_NTFS_PART : count - done;

        if (put_part((const char *)from + done, n, at + done) < 0)
            return -1;
        done += n;
    }
    return done;
}

static s64 device_read(struct ntfs_device *d, void *to, s64 count)
{
    s64 n = device_pread(d, to, count, position);

    position += n > 0 ? n : 0;
    return n;
}

static s64 device_write(struct ntfs_device *d, const void *from, s64 count)
{
    s64 n = device_pwrite(d, from, count, position);

    position += n > 0 ? n : 0;
    return n;
}

static int device_sync(struct ntfs_device *d)
{
    (void)d;
    return 0;
}

static int device_stat(struct ntfs_device *d, struct stat *ret)
{
    (void)d;
    memset(ret, 0, sizeof *ret);
    ret->st_mode = S_IFREG | 0600;
    ret->st_size = (off_t)volume_bytes;
    ret->st_blksize = 4096;
    return 0;
}

static int device_ioctl(struct ntfs_device *d, unsigned long request, void *p)
{
    (void)d;
    (void)request;
    (void)p;
    errno = EOPNOTSUPP;
    return -1;
}

struct ntfs_device_operations socket_device = {
    .open = device_open,
    .close = device_close,
    .seek = device_seek,
    .read = device_read,
    .write = device_write,
    .pread = device_pread,
    .pwrite = device_pwrite,
    .sync = device_sync,
    .stat = device_stat,
    .ioctl = device_ioctl,
};
