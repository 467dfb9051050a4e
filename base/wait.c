/* wait.c - waiting for pipes, and for those at their other end. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ASK_MS = 200, NAP_MS = 100 };

int rh_wait_ready(rh_lib *lib, int fd, short events, rh_error **err)
{
    struct pollfd ready = {.fd = fd, .events = events};
    int got = 0;

    while (got == 0) {
        if (rh_go_on(lib, err) < 0)
            return -1;
        got = poll(&ready, 1, ASK_MS);
        if (got < 0 && errno == EINTR)
            got = 0;
    }
    return got > 0 ? 0
                   : rh_fail_errno(err, RH_ERR_FILE_READ, errno,
                                   "waiting for it failed");
}

int rh_wait_nap(rh_lib *lib, rh_error **err)
{
    poll(NULL, 0, NAP_MS);
    return rh_go_on(lib, err);
}

int rh_wait_read(rh_lib *lib, int fd, void *buf, size_t n, size_t *ret_n,
                 rh_error **err)
{
    ssize_t got;

    do {
        if (rh_wait_ready(lib, fd, POLLIN, err) < 0)
            return -1;
        got = read(fd, buf, n);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return rh_fail_errno(err, RH_ERR_FILE_READ, errno, "reading failed");
    *ret_n = (size_t)got;
    return 0;
}

/* What can be written at once without waiting: a pipe that is ready takes
 * PIPE_BUF bytes, a file or a disk takes all. */
static size_t step_of(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags >= 0 && (flags & O_NONBLOCK))
        return SIZE_MAX;
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
                                   S_ISSOCK(st.st_mode))
               ? SIZE_MAX
               : PIPE_BUF;
}

/* A socket is asked not to wait at each call. */
static ssize_t write_some(int fd, const char *p, size_t n)
{
    ssize_t done = send(fd, p, n, MSG_DONTWAIT);

    return done < 0 && errno == ENOTSOCK ? write(fd, p, n) : done;
}

int rh_wait_write(rh_lib *lib, int fd, const void *buf, size_t n,
                  rh_error **err)
{
    size_t step = step_of(fd);
    const char *p = buf;

    while (n) {
        ssize_t done;

        if (rh_wait_ready(lib, fd, POLLOUT, err) < 0)
            return -1;
        done = write_some(fd, p, RH_MIN(n, step));
        if (done < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (done < 0)
            return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                                 "writing failed");
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

int rh_wait_writer(int fd)
{
    struct stat st;
    char path[40];
    int own;

    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
        return fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (own < 0)
        return fd;
    close(fd);
    return own;
}

int rh_wait_open(rh_lib *lib, const char *path, int flags, rh_error **err)
{
    int fd;

    /* Who opens to read need not wait here: rh_wait_read() does. */
    while ((fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)) < 0 &&
           errno == ENXIO)
        if (rh_wait_nap(lib, err) < 0)
            return -1;
    return fd < 0
               ? rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it")
               : fd;
}

void rh_wait_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t how;

    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &how);
    pthread_condattr_destroy(&how);
}

void rh_wait_cond(pthread_cond_t *cond, pthread_mutex_t *lock, unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    t.tv_sec += (time_t)(ms / 1000) + t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, lock, &t);
}
