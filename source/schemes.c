/* schemes.c - the ways in which a SOURCE is named, and the bytes behind it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/custom.h"
#include "base/nbd.h"
#include "base/wait.h"
#include "source/source.h"

void rh_bytes_free(struct rh_bytes *b)
{
    rh_io_unref(b->io);
    rh_stream_close(b->stream);
    free(b->name);
    *b = (struct rh_bytes){0};
}

/* --- standard input ------------------------------------------------------- */

static bool is_stdin(const char *source)
{
    return !strcmp(source, "-");
}

static int open_stdin(rh_lib *lib, const char *source, struct rh_bytes *ret,
                      rh_error **err)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "standard input cannot be read");
    /* `rehost ... - <file.ova` is a file all the same. */
    if (!S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0) {
        ret->stream = rh_stream_fd(lib, fd, source);
        return 0;
    }
    ret->io = rh_io_fd(fd, source, err);
    return ret->io ? 0 : -1;
}

/* --- addresses ------------------------------------------------------------ */

static bool is_address(const char *source)
{
    return strstr(source, "://") != NULL;
}

static int open_http(rh_lib *lib, const char *source, struct rh_bytes *ret,
                     rh_error **err)
{
    return rh_http_open(lib, source, &ret->io, &ret->stream, err);
}

static int open_nbd(rh_lib *lib, const char *source, struct rh_bytes *ret,
                    rh_error **err)
{
    ret->io = rh_nbd_io(lib, source, ret->ca_file, err);
    ret->name = rh_nbd_disk_name(source);
    ret->plain = true;
    return ret->io ? 0 : -1;
}

static int refuse_address(rh_lib *lib, const char *source, struct rh_bytes *ret,
                          rh_error **err)
{
    (void)lib, (void)ret;
    rh_fail(err, RH_ERR_USAGE, "no address of this kind is read from");
    rh_hint(err, "disks and packages are read from http://, https://, nbd://, "
                 "nbds:// and nbd+unix://; VMs from esxi://, vcenter:// and "
                 "prism://");
    return rh_error_subject(err, source);
}

/* --- the library's caller ------------------------------------------------- */

static int open_custom(rh_lib *lib, const char *source, struct rh_bytes *ret,
                       rh_error **err)
{
    ret->io = rh_custom_io(lib, source, err);
    return ret->io ? 0 : -1;
}

/* --- the file system ------------------------------------------------------ */

static bool is_of_type(const char *source, mode_t type)
{
    struct stat st;

    return stat(source, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool is_folder(const char *source)
{
    return is_of_type(source, S_IFDIR);
}

static int open_folder(rh_lib *lib, const char *source, struct rh_bytes *ret,
                       rh_error **err)
{
    (void)lib, (void)err;
    ret->folder = source;
    return 0;
}

static bool is_pipe(const char *source)
{
    return is_of_type(source, S_IFIFO);
}

static int open_pipe(rh_lib *lib, const char *source, struct rh_bytes *ret,
                     rh_error **err)
{
    int fd = rh_wait_open(lib, source, O_RDONLY, err);

    if (fd < 0)
        return rh_error_subject(err, source);
    ret->stream = rh_stream_fd(lib, fd, source);
    return 0;
}

static bool is_anything(const char *source)
{
    (void)source;
    return true;
}

static int open_file(rh_lib *lib, const char *source, struct rh_bytes *ret,
                     rh_error **err)
{
    (void)lib;
    ret->io = rh_io_file_at(AT_FDCWD, source, RH_IO_DEVICE, err);
    ret->path = source;
    ret->device = is_of_type(source, S_IFBLK);
    return ret->io ? 0 : -1;
}

/* --- the table ------------------------------------------------------------ */

static const struct rh_scheme schemes[] = {
    {"-", is_stdin, open_stdin},        {"http", rh_is_url, open_http},
    {"nbd", rh_is_nbd, open_nbd},       {"address", is_address, refuse_address},
    {"app", rh_is_custom, open_custom}, {"folder", is_folder, open_folder},
    {"pipe", is_pipe, open_pipe},       {"file", is_anything, open_file},
};

const struct rh_scheme *rh_scheme_at(size_t i)
{
    return i < RH_COUNT(schemes) ? &schemes[i] : NULL;
}

int rh_bytes_open(rh_lib *lib, const char *source, const char *ca_file,
                  struct rh_bytes *ret, rh_error **err)
{
    size_t i = 0;

    while (!schemes[i].probe(source))
        i++;
    *ret = (struct rh_bytes){.ca_file = ca_file};
    return schemes[i].open(lib, source, ret, err);
}
