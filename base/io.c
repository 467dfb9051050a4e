/* io.c - random-access bytes: files, slices, memory; and folders of files. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alike.h"
#include "base/fold.h"

/* --- the common part
 * ---------------------------------------------------------- */

struct rh_io *rh_io_make(const struct rh_io_ops *ops, const char *name,
                         uint64_t size, void *state)
{
    struct rh_io *io = rh_new0(struct rh_io);

    io->ops = ops;
    io->name = rh_strdup(name);
    io->size = size;
    io->refs = 1;
    io->state = state;
    io->fd = -1;
    return io;
}

int rh_io_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
               rh_error **err)
{
    if (offset > io->size || n > io->size - offset) {
        rh_fail(err, RH_ERR_FILE_SHORT,
                "%zu bytes wanted at 0x%llx, but the file ends at 0x%llx", n,
                (unsigned long long)offset, (unsigned long long)io->size);
        return rh_error_subject(err, io->name);
    }
    if (n == 0)
        return 0;
    if (offset + n >
        atomic_load_explicit(&io->high_water, memory_order_relaxed))
        atomic_store_explicit(&io->high_water, offset + n,
                              memory_order_relaxed);
    return io->ops->read(io, buf, n, offset, err);
}

int rh_io_data_after(struct rh_io *io, uint64_t offset, uint64_t *ret_start,
                     uint64_t *ret_end, rh_error **err)
{
    if (io->ops->data_after)
        return io->ops->data_after(io, offset, ret_start, ret_end, err);
    *ret_start = RH_MIN(offset, io->size);
    *ret_end = io->size;
    return 0;
}

struct rh_io *rh_io_ref(struct rh_io *io)
{
    if (io)
        io->refs++;
    return io;
}

void rh_io_unref(struct rh_io *io)
{
    if (!io || --io->refs)
        return;
    if (io->ops->close)
        io->ops->close(io);
    free(io->name);
    free(io);
}

/* --- files
 * --------------------------------------------------------------------- */

static int file_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                     rh_error **err)
{
    char *p = buf;

    offset += io->fd_offset;
    while (n) {
        ssize_t got = pread(io->fd, p, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rh_fail_errno(err, RH_ERR_FILE_READ, errno,
                          "reading at 0x%llx failed",
                          (unsigned long long)offset);
            return rh_error_subject(err, io->name);
        }
        if (got == 0) {
            rh_fail(err, RH_ERR_FILE_SHORT,
                    "the file ends at 0x%llx while it is being read",
                    (unsigned long long)offset);
            return rh_error_subject(err, io->name);
        }
        p += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* SEEK_DATA moves the descriptor's position, which nothing else uses. */
static int file_data_after(struct rh_io *io, uint64_t offset,
                           uint64_t *ret_start, uint64_t *ret_end,
                           rh_error **err)
{
    uint64_t end = io->fd_offset + io->size;
    off_t start = lseek(io->fd, (off_t)(io->fd_offset + offset), SEEK_DATA);
    off_t hole;

    (void)err;
    if (start < 0 && errno == ENXIO) {
        *ret_start = *ret_end = io->size;
        return 0;
    }
    hole = start < 0 ? -1 : lseek(io->fd, start, SEEK_HOLE);
    if (hole < 0) { /* the file system can't tell: all is data */
        *ret_start = RH_MIN(offset, io->size);
        *ret_end = io->size;
        return 0;
    }
    *ret_start = RH_MIN((uint64_t)start, end) - io->fd_offset;
    *ret_end = RH_MIN((uint64_t)hole, end) - io->fd_offset;
    return 0;
}

static void file_close(struct rh_io *io)
{
    close(io->fd);
}

static const struct rh_io_ops file_ops = {file_read, file_data_after,
                                          file_close};

static int file_size(int fd, const char *name, unsigned flags,
                     uint64_t *ret_size, rh_error **err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot look at it");
    if (S_ISREG(st.st_mode)) {
        *ret_size = (uint64_t)st.st_size;
        return 0;
    }
    if (S_ISBLK(st.st_mode) && (flags & RH_IO_DEVICE)) {
        if (ioctl(fd, BLKGETSIZE64, ret_size) == 0)
            return 0;
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot learn the device's size");
    }
    rh_fail(err, RH_ERR_FILE_TYPE, "%s is not a regular file", name);
    return -1;
}

static struct rh_io *file_io(int fd, const char *name, unsigned flags,
                             rh_error **err)
{
    struct rh_io *io;
    uint64_t size;

    if (file_size(fd, name, flags, &size, err) < 0) {
        rh_error_subject(err, name);
        close(fd);
        return NULL;
    }
    io = rh_io_make(&file_ops, name, size, NULL);
    io->fd = fd;
    return io;
}

struct rh_io *rh_io_fd(int fd, const char *name, rh_error **err)
{
    return file_io(fd, name, RH_IO_DEVICE, err);
}

/* O_NONBLOCK: a named pipe must not make us wait before it is refused. */
struct rh_io *rh_io_file_at(int dirfd, const char *path, unsigned flags,
                            rh_error **err)
{
    int how = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd;

    if (flags & RH_IO_NOFOLLOW)
        how |= O_NOFOLLOW;
    fd = openat(dirfd, path, how);
    if (fd < 0) {
        if (errno == ELOOP && (flags & RH_IO_NOFOLLOW))
            rh_fail(err, RH_ERR_NAME_UNSAFE, "is a symbolic link");
        else
            rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
        rh_error_subject(err, path);
        return NULL;
    }
    return file_io(fd, path, flags, err);
}

/* --- slices
 * ----------------------------------------------------------------------- */

struct slice {
    struct rh_io *base;
    uint64_t offset;
};

static int slice_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                      rh_error **err)
{
    struct slice *s = io->state;

    if (rh_io_read(s->base, buf, n, s->offset + offset, err) < 0)
        return rh_error_subject(err, io->name);
    return 0;
}

static int slice_data_after(struct rh_io *io, uint64_t offset,
                            uint64_t *ret_start, uint64_t *ret_end,
                            rh_error **err)
{
    struct slice *s = io->state;
    uint64_t start, end;

    if (rh_io_data_after(s->base, s->offset + offset, &start, &end, err) < 0)
        return -1;
    start = RH_MAX(start, s->offset) - s->offset;
    end = RH_MAX(end, s->offset) - s->offset;
    *ret_start = RH_MIN(start, io->size);
    *ret_end = RH_MIN(end, io->size);
    return 0;
}

static void slice_close(struct rh_io *io)
{
    struct slice *s = io->state;

    rh_io_unref(s->base);
    free(s);
}

static const struct rh_io_ops slice_ops = {slice_read, slice_data_after,
                                           slice_close};

struct rh_io *rh_io_slice(struct rh_io *base, uint64_t offset, uint64_t size,
                          const char *name, rh_error **err)
{
    struct slice *s;
    struct rh_io *io;

    if (offset > base->size || size > base->size - offset) {
        rh_fail(err, RH_ERR_FILE_SHORT,
                "ends at 0x%llx, but %s holds only 0x%llx bytes",
                (unsigned long long)(offset + size), base->name,
                (unsigned long long)base->size);
        rh_error_subject(err, name);
        return NULL;
    }
    s = rh_new0(struct slice);
    s->base = rh_io_ref(base);
    s->offset = offset;
    io = rh_io_make(&slice_ops, name, size, s);
    io->fd = base->fd;
    io->fd_offset = base->fd_offset + offset;
    return io;
}

/* --- memory
 * ------------------------------------------------------------------------ */

static int memory_read(struct rh_io *io, void *buf, size_t n, uint64_t offset,
                       rh_error **err)
{
    (void)err;
    memcpy(buf, (const char *)io->state + offset, n);
    return 0;
}

static void memory_close(struct rh_io *io)
{
    free(io->state);
}

static const struct rh_io_ops memory_ops = {memory_read, NULL, memory_close};

struct rh_io *rh_io_memory(const void *bytes, size_t size, const char *name)
{
    return rh_io_make(&memory_ops, name, size, rh_memdup0(bytes, size));
}

int rh_io_slurp(struct rh_io *io, uint64_t limit, char **ret_text,
                size_t *ret_size, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = NULL;

    if (io->size > limit) {
        rh_fail(err, RH_ERR_STREAM_LIMIT,
                "%llu bytes are more than such a file may have (%llu)",
                (unsigned long long)io->size, (unsigned long long)limit);
        return rh_error_subject(err, io->name);
    }
    text = rh_malloc((size_t)io->size + 1);
    if (rh_io_read(io, text, (size_t)io->size, 0, err) < 0)
        return -1;
    text[io->size] = '\0';
    if (ret_size)
        *ret_size = (size_t)io->size;
    *ret_text = RH_TAKE(text);
    return 0;
}

/* --- folders
 * ------------------------------------------------------------------------ */

int rh_check_name(const char *name, rh_error **err)
{
    const unsigned char *p = (const unsigned char *)name;
    bool bad = !name[0] || name[0] == '/' || strlen(name) > 4096;

    for (; *p && !bad; p++)
        bad = *p < 0x20 || *p == 0x7f || *p == '\\' || *p == ':';
    for (const char *part = name; part && !bad;) {
        const char *end = strchrnul(part, '/');
        size_t n = (size_t)(end - part);

        bad = n == 0 || (n == 1 && part[0] == '.') ||
              (n == 2 && part[0] == '.' && part[1] == '.');
        part = *end ? end + 1 : NULL;
    }
    if (!bad)
        return 0;
    return rh_fail(err, RH_ERR_NAME_UNSAFE,
                   "\"%s\" is not a plain name inside the package", name);
}

struct rh_io *rh_place_open(struct rh_place *p, const char *name,
                            rh_error **err)
{
    if (rh_check_name(name, err) < 0)
        return NULL;
    return p->ops->open(p, name, err);
}

const char *rh_place_name(struct rh_place *p, size_t i)
{
    return p->ops->name ? p->ops->name(p, i) : NULL;
}

void rh_place_close(struct rh_place *p)
{
    if (!p)
        return;
    if (p->ops->close)
        p->ops->close(p);
    free(p->name);
    free(p);
}

static int folder_fd(struct rh_place *p)
{
    return (int)(intptr_t)p->state;
}

/* The only entry of a folder whose name is like `name`: another case, accents
 * written otherwise.  NULL when there is none, or *ret_several. */
static char *find_alike(int folder, const char *name, bool *ret_several)
{
    RH_AUTO(rh_freep) char *found = NULL;
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    *ret_several = false;
    if (!d && fd >= 0)
        close(fd);
    while (d && (entry = readdir(d))) {
        RH_AUTO(rh_freep) char *text = rh_utf8_name(entry->d_name);

        if (!rh_names_alike(entry->d_name, name) && !rh_names_alike(text, name))
            continue;
        *ret_several = found != NULL;
        if (*ret_several)
            break;
        found = rh_strdup(entry->d_name);
    }
    if (d)
        closedir(d);
    return *ret_several ? NULL : RH_TAKE(found);
}

/* A folder below, by its bytes or else by what is like it; no link. */
static int open_folder(int top, const char *part)
{
    enum { HOW = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    RH_AUTO(rh_freep) char *alike = NULL;
    int fd = openat(top, part, HOW);
    bool several;

    if (fd >= 0 || errno != ENOENT)
        return fd;
    alike = find_alike(top, part, &several);
    if (alike)
        return openat(top, alike, HOW);
    errno = ENOENT;
    return -1;
}

/* Walk down component by component, so that no link is ever followed. */
static int open_parent(int top, const char *name, const char **ret_last,
                       rh_error **err)
{
    int fd = fcntl(top, F_DUPFD_CLOEXEC, 0);
    const char *slash;

    while (fd >= 0 && (slash = strchr(name, '/'))) {
        RH_AUTO(rh_freep) char *part = rh_strndup(name, (size_t)(slash - name));
        int next = open_folder(fd, part);
        int number = errno;

        close(fd);
        errno = number;
        fd = next;
        name = slash + 1;
    }
    if (fd < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
    *ret_last = name;
    return fd;
}

/* By its bytes; only where that is not there, what is like it. */
static struct rh_io *open_alike(int parent, const char *last, rh_error **err)
{
    RH_AUTO(rh_error_freep) rh_error *cause = NULL;
    struct rh_io *io = rh_io_file_at(parent, last, RH_IO_NOFOLLOW, &cause);
    RH_AUTO(rh_freep) char *alike = NULL;
    bool several;

    if (io)
        return io;
    if (rh_error_number(cause) == RH_ERR_FILE_NOT_FOUND) {
        alike = find_alike(parent, last, &several);
        if (alike)
            io = rh_io_file_at(parent, alike, RH_IO_NOFOLLOW, err);
        if (io)
            io->alike = true;
        if (alike)
            return io;
        if (several) {
            rh_fail(err, RH_ERR_FILE_ALIKE,
                    "there is no such file, but several with names like it");
            rh_error_subject(err, last);
            return NULL;
        }
    }
    rh_error_again(err, cause);
    return NULL;
}

static struct rh_io *folder_open(struct rh_place *p, const char *name,
                                 rh_error **err)
{
    const char *last = name;
    struct rh_io *io;
    int parent = open_parent(folder_fd(p), name, &last, err);

    if (parent < 0) {
        rh_error_subject(err, name);
        return NULL;
    }
    io = open_alike(parent, last, err);
    close(parent);
    return io;
}

static void folder_close(struct rh_place *p)
{
    close(folder_fd(p));
}

static const struct rh_place_ops folder_ops = {folder_open, NULL, folder_close};

struct rh_place *rh_place_folder(const char *path, rh_error **err)
{
    struct rh_place *p;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open the folder");
        rh_error_subject(err, path);
        return NULL;
    }
    p = rh_new0(struct rh_place);
    p->ops = &folder_ops;
    p->name = rh_strdup(path);
    p->state = (void *)(intptr_t)fd;
    return p;
}
