/* out.c - sinks of bytes: files and pipes.  Results: outdir.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/out.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/wait.h"

static int write_failed(uint64_t offset, const char *name, rh_error **err)
{
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "writing at 0x%llx failed",
                  (unsigned long long)offset);
    return rh_error_subject(err, name);
}

/* Pass over `n` bytes that are written. */
static void spend(struct iovec **pieces, int *count, size_t n)
{
    while (*count && n >= (*pieces)->iov_len) {
        n -= (*pieces)->iov_len;
        ++*pieces;
        --*count;
    }
    if (*count) {
        (*pieces)->iov_base = (char *)(*pieces)->iov_base + n;
        (*pieces)->iov_len -= n;
    }
}

/* Where the length of files is limited, a write beyond it raises SIGXFSZ in the
 * thread that writes.  It is blocked there and taken back, so that the limit is
 * an error like others and the process's own handler hears nothing. */
struct limited {
    bool on;
    sigset_t before;
};

static void limit_begin(struct limited *l)
{
    struct rlimit most;
    sigset_t one, pending;

    errno = 0;
    l->on = getrlimit(RLIMIT_FSIZE, &most) == 0 &&
            most.rlim_cur != RLIM_INFINITY && sigpending(&pending) == 0 &&
            !sigismember(&pending, SIGXFSZ);
    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    if (l->on)
        pthread_sigmask(SIG_BLOCK, &one, &l->before);
}

static void limit_end(const struct limited *l)
{
    static const struct timespec now;
    int number = errno;
    sigset_t one;

    if (!l->on)
        return;
    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    if (number == EFBIG)
        sigtimedwait(&one, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &l->before, NULL);
    errno = number;
}

static ssize_t limited_write(int fd, const struct iovec *pieces, int count,
                             uint64_t offset)
{
    struct limited l;
    ssize_t done;

    limit_begin(&l);
    done = pwritev(fd, pieces, count, (off_t)offset);
    limit_end(&l);
    return done;
}

int rh_set_length(int fd, uint64_t size)
{
    struct limited l;
    int failed;

    limit_begin(&l);
    failed = ftruncate(fd, (off_t)size);
    limit_end(&l);
    return failed;
}

static int write_pieces(int fd, struct iovec *pieces, int count,
                        uint64_t offset, const char *name, rh_error **err)
{
    while (count) {
        ssize_t done = limited_write(fd, pieces, count, offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return write_failed(offset, name, err);
        spend(&pieces, &count, (size_t)done);
        offset += (uint64_t)done;
    }
    return 0;
}

int rh_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset,
                  const char *name, rh_error **err)
{
    struct iovec piece = {(void *)(uintptr_t)buf, n};

    return n ? write_pieces(fd, &piece, 1, offset, name, err) : 0;
}

/* --- sinks
 * ------------------------------------------------------------------------ */

struct rh_out *rh_out_make(const struct rh_out_ops *ops, const char *name,
                           bool seekable, void *state)
{
    struct rh_out *o = rh_new0(struct rh_out);

    o->ops = ops;
    o->name = rh_strdup(name);
    o->seekable = seekable;
    o->fd = -1;
    o->state = state;
    return o;
}

int rh_out_write(struct rh_out *o, const void *buf, size_t n, uint64_t offset,
                 rh_error **err)
{
    if (n == 0)
        return 0;
    if (!o->seekable && offset != o->position) {
        rh_fail(err, RH_ERR_BUG, "a pipe was asked to go from 0x%llx to 0x%llx",
                (unsigned long long)o->position, (unsigned long long)offset);
        return rh_error_subject(err, o->name);
    }
    if (o->ops->write(o, buf, n, offset, err) < 0)
        return -1;
    if (!o->seekable)
        o->position += n;
    return 0;
}

int rh_out_gather(struct rh_out *o, struct iovec *pieces, int count,
                  uint64_t offset, rh_error **err)
{
    if (o->seekable && o->ops->gather && count)
        return o->ops->gather(o, pieces, count, offset, err);
    for (int i = 0; i < count; i++) {
        if (rh_out_write(o, pieces[i].iov_base, pieces[i].iov_len, offset,
                         err) < 0)
            return -1;
        offset += pieces[i].iov_len;
    }
    return 0;
}

void rh_out_expect(struct rh_out *o, uint64_t size)
{
    struct stat st;

    if (o->fd >= 0 && fstat(o->fd, &st) == 0 && (uint64_t)st.st_size < size)
        rh_set_length(o->fd, size);
}

uint64_t rh_out_clones(struct rh_out *o, int fd)
{
    return o->ops->clones ? o->ops->clones(o, fd) : 0;
}

bool rh_out_clone(struct rh_out *o, int fd, uint64_t from, uint64_t n,
                  uint64_t offset)
{
    return o->ops->clone && o->ops->clone(o, fd, from, n, offset);
}

int rh_out_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    return o->ops->finish ? o->ops->finish(o, size, err) : 0;
}

void rh_out_close(struct rh_out *o)
{
    if (!o)
        return;
    if (o->ops->close)
        o->ops->close(o);
    free(o->name);
    free(o);
}

/* --- plain files
 * ------------------------------------------------------------------ */

/* Bytes that wait for nobody: what is written goes to the medium while we still
 * compute, a step at a time, on a thread of its own.  Else all of it would wait
 * for the last fsync, in our memory and in the caches of whatever lies below
 * (a hypervisor's, a storage's), and progress would stand at its end. */
enum { SYNC_STEP = 32 * 1024 * 1024, PAUSE_US = 50 };
/* A larger block is a server's wish for its network, not what it can share. */
enum { CLONE_BLOCK_MOST = 1024 * 1024 };

struct file {
    int fd;
    pthread_mutex_t turn; /* who writes */
    bool refused;         /* to share blocks; under the turn */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;  /* written or stop changed */
    uint64_t written, synced;
    bool running, stop;
    bool real_time; /* we are scheduled before the kernel's own threads */
    int error; /* errno of a background fdatasync: the kernel tells it once */
    pthread_t syncer;
};

/* What is on the medium leaves the page cache, and the freed pages take what is
 * written next: a result of any size pushes out nobody's files, and in a VM
 * whose host takes free pages back (free page reporting) few writes wait for
 * the host to give others.  Advice only: a failure changes nothing. */
static void leave_cache(const struct file *f)
{
    posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void *keep_synced(void *argument)
{
    struct file *f = argument;

    pthread_mutex_lock(&f->lock);
    while (!f->stop && !f->error) {
        if (f->written - f->synced < SYNC_STEP) {
            pthread_cond_wait(&f->wake, &f->lock);
            continue;
        }
        f->synced = f->written;
        pthread_mutex_unlock(&f->lock);
        int failed = fdatasync(f->fd) < 0 ? errno : 0;

        if (!failed)
            leave_cache(f);
        pthread_mutex_lock(&f->lock);
        f->error = failed;
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* errno of what could not be written in the background, or 0.  Without a thread
 * (none could be started) the last fsync does it all. */
static int count_written(struct file *f, uint64_t n)
{
    bool wait;
    int error;

    pthread_mutex_lock(&f->lock);
    f->written += n;
    if (f->written - f->synced >= SYNC_STEP) {
        if (!f->running)
            f->running = pthread_create(&f->syncer, NULL, keep_synced, f) == 0;
        pthread_cond_signal(&f->wake);
    }
    wait = f->running && f->real_time;
    error = f->error;
    pthread_mutex_unlock(&f->lock);
    /* They, too, are needed to write back; on one core we would keep them from
     * it to the end. */
    if (wait)
        usleep(PAUSE_US);
    return error;
}

static int stop_syncer(struct file *f)
{
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    if (f->running)
        pthread_join(f->syncer, NULL);
    f->running = false;
    return f->error;
}

static uint64_t length_of(const struct iovec *pieces, int count)
{
    uint64_t n = 0;

    for (int i = 0; i < count; i++)
        n += pieces[i].iov_len;
    return n;
}

/* The kernel lets one write at a time into a file, and those who wait spin:
 * that took as much time as the copy itself.  Here they sleep. */
static int file_gather(struct rh_out *o, struct iovec *pieces, int count,
                       uint64_t offset, rh_error **err)
{
    struct file *f = o->state;
    uint64_t n = length_of(pieces, count);
    int failed;

    pthread_mutex_lock(&f->turn);
    failed = write_pieces(f->fd, pieces, count, offset, o->name, err);
    pthread_mutex_unlock(&f->turn);
    if (failed)
        return -1;
    errno = count_written(f, n);
    return errno ? write_failed(offset, o->name, err) : 0;
}

static int file_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    struct iovec piece = {(void *)(uintptr_t)buf, n};

    return file_gather(o, &piece, 1, offset, err);
}

static bool clone_range(int to, int fd, uint64_t from, uint64_t n,
                        uint64_t offset)
{
    struct file_clone_range range = {fd, from, n, offset};
    struct limited l;
    int failed;

    limit_begin(&l);
    failed = ioctl(to, FICLONERANGE, &range);
    limit_end(&l);
    return failed == 0;
}

/* What the file system can't be asked is tried out: whether the two are of one,
 * and it shares blocks. */
static uint64_t file_clones(struct rh_out *o, int fd)
{
    struct file *f = o->state;
    struct stat to, from;
    struct statfs fs;
    uint64_t block;
    bool cloned;

    if (fstat(f->fd, &to) < 0 || fstat(fd, &from) < 0 ||
        !S_ISREG(from.st_mode) || fstatfs(f->fd, &fs) < 0 || fs.f_bsize < 512 ||
        fs.f_bsize > CLONE_BLOCK_MOST || from.st_size < fs.f_bsize)
        return 0;
    block = (uint64_t)fs.f_bsize;
    cloned = clone_range(f->fd, fd, 0, block,
                         rh_round_up((uint64_t)to.st_size, block));
    if (!cloned || rh_set_length(f->fd, (uint64_t)to.st_size) < 0)
        return 0;
    return block;
}

/* Refused once, it is not tried again; what is more wrong than that, the write
 * that follows tells. */
static bool file_clone(struct rh_out *o, int fd, uint64_t from, uint64_t n,
                       uint64_t offset)
{
    struct file *f = o->state;
    bool cloned;

    pthread_mutex_lock(&f->turn);
    cloned = !f->refused && clone_range(f->fd, fd, from, n, offset);
    f->refused = !cloned;
    pthread_mutex_unlock(&f->turn);
    return cloned;
}

static int file_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    struct file *f = o->state;
    bool large = f->running;

    errno = stop_syncer(f);
    if (!errno && rh_set_length(f->fd, size) == 0 && fsync(f->fd) == 0) {
        if (large)
            leave_cache(f);
        return 0;
    }
    rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot complete the file");
    return rh_error_subject(err, o->name);
}

static void file_close(struct rh_out *o)
{
    struct file *f = o->state;

    stop_syncer(f);
    pthread_mutex_destroy(&f->turn);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->wake);
    close(f->fd);
    free(f);
}

static struct file *file_new(int fd)
{
    struct file *f = rh_new0(struct file);

    f->fd = fd;
    f->real_time = sched_getscheduler(0) == SCHED_FIFO ||
                   sched_getscheduler(0) == SCHED_RR;
    pthread_mutex_init(&f->turn, NULL);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->wake, NULL);
    return f;
}

struct rh_out *rh_out_file_at(int dirfd, const char *name, rh_error **err)
{
    static const struct rh_out_ops ops = {.write = file_write,
                                          .gather = file_gather,
                                          .clones = file_clones,
                                          .clone = file_clone,
                                          .finish = file_finish,
                                          .close = file_close};
    struct rh_out *o;
    int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot create it");
        rh_error_subject(err, name);
        return NULL;
    }
    o = rh_out_make(&ops, name, true, file_new(fd));
    o->fd = fd;
    return o;
}

/* --- pipes
 * ------------------------------------------------------------------------ */

struct pipe {
    rh_lib *lib;
    int fd;
};

static int pipe_write(struct rh_out *o, const void *buf, size_t n,
                      uint64_t offset, rh_error **err)
{
    const struct pipe *p = o->state;

    (void)offset;
    if (rh_wait_write(p->lib, p->fd, buf, n, err) < 0)
        return rh_error_subject(err, o->name);
    return 0;
}

static void pipe_close(struct rh_out *o)
{
    struct pipe *p = o->state;

    close(p->fd);
    free(p);
}

struct rh_out *rh_out_fd(rh_lib *lib, int fd, const char *name)
{
    static const struct rh_out_ops ops = {.write = pipe_write,
                                          .close = pipe_close};
    struct pipe *p = rh_new0(struct pipe);

    *p = (struct pipe){lib, rh_wait_writer(fd)};
    return rh_out_make(&ops, name, false, p);
}
