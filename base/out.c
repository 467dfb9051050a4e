/* out.c - sinks of bytes, and results that appear by rename. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/out.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

static int write_pieces(int fd, struct iovec *pieces, int count,
                        uint64_t offset, const char *name, rh_error **err)
{
    while (count) {
        ssize_t done = pwritev(fd, pieces, count, (off_t)offset);

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

struct file {
    int fd;
    pthread_mutex_t turn; /* who writes */
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

static int file_finish(struct rh_out *o, uint64_t size, rh_error **err)
{
    struct file *f = o->state;
    bool large = f->running;

    errno = stop_syncer(f);
    if (!errno && ftruncate(f->fd, (off_t)size) == 0 && fsync(f->fd) == 0) {
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

char *rh_safe_name(const char *name)
{
    char *safe = rh_strndup(name, 200);
    bool dots = true;

    for (char *p = safe; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            *p = '-';
        if (*p != '.')
            dots = false;
    }
    if (!dots)
        return safe;
    free(safe);
    return rh_strdup("vm");
}

/* --- removing what is ours
 * ------------------------------------------------------------ */

/* Our hidden folders are flat but for what a killed run may have left. */
static void remove_level(int parent, const char *name, int depth)
{
    struct dirent *entry;
    DIR *d;
    int fd;

    if (unlinkat(parent, name, 0) == 0 || depth > 8)
        return;
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    d = fdopendir(fd);
    if (!d) {
        close(fd);
        return;
    }
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_level(fd, entry->d_name, depth + 1);
    closedir(d);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void rh_remove_tree(int parent, const char *name)
{
    remove_level(parent, name, 0);
}

/* ".NAME.PID.part": made by us, and nobody holds its lock any more?  The lock
 * is what counts; a PID may have been given away again. */
static bool abandoned(int dir, const char *entry)
{
    int fd = openat(dir, entry, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool free_lock;

    if (fd < 0)
        return false;
    free_lock = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return free_lock;
}

static bool is_part_of(const char *entry, const char *name)
{
    size_t n = strlen(name);
    const char *p;

    if (entry[0] != '.' || strncmp(entry + 1, name, n) || entry[n + 1] != '.')
        return false;
    p = entry + n + 2;
    if (!isdigit((unsigned char)*p))
        return false;
    while (isdigit((unsigned char)*p))
        p++;
    return strcmp(p, ".part") == 0;
}

/* Under a lock on `dir`, so that nobody takes a new folder for an abandoned
 * one before its maker has locked it.  Where folders cannot be locked that
 * moment remains. */
static int lock_folder(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        flock(fd, LOCK_EX);
    return fd;
}

static void remove_abandoned(int dir, const char *name)
{
    int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    rewinddir(d);
    while ((entry = readdir(d)))
        if (is_part_of(entry->d_name, name) && abandoned(dir, entry->d_name))
            rh_remove_tree(dir, entry->d_name);
    closedir(d);
}

/* --- result folders
 * ---------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    int why = errno;
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = why;
    return folder;
}

static int make_folders(const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);

    for (char *p = copy + 1; p[-1]; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char keep = *p;

        *p = '\0';
        /* What is there counts, whichever error says so (EROFS, EACCES ...). */
        if (mkdir(copy, 0777) < 0 && !is_folder(copy)) {
            rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                          "cannot create the folder");
            return rh_error_subject(err, copy);
        }
        *p = keep;
        if (!keep)
            break;
    }
    return 0;
}

/* PIDs are unique in one system only: containers that share a folder are all
 * number 1. */
enum { NAMES_TRIED = 100 };

static char *part_name(const char *dir, const char *name, int attempt)
{
    return rh_printf("%s/.%s.%ld.part", dir, name,
                     (long)getpid() + 10000000L * attempt);
}

static int make_part(struct rh_outdir *d, const char *dir, const char *name,
                     rh_error **err)
{
    int made = -1;

    for (int i = 0; made < 0 && i < NAMES_TRIED; i++) {
        free(d->part);
        d->part = part_name(dir, name, i);
        made = mkdir(d->part, 0777);
        if (made < 0 && errno != EEXIST)
            break;
    }
    if (made < 0) {
        free(d->part); /* not ours to remove */
        d->part = NULL;
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot create the result folder");
        return rh_error_subject(err, dir);
    }
    d->fd = open(d->part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->fd < 0 || flock(d->fd, LOCK_EX | LOCK_NB) < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                      "cannot use the result folder");
        return rh_error_subject(err, dir);
    }
    return 0;
}

struct rh_outdir *rh_outdir_new(const char *dir, const char *name, bool replace,
                                rh_error **err)
{
    RH_AUTO(rh_outdir_closep) struct rh_outdir *d = NULL;
    RH_AUTO(rh_closep) int parent = -1;
    RH_AUTO(rh_closep) int lock = -1;

    if (make_folders(dir, err) < 0)
        return NULL;
    parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        rh_fail_errno(err, RH_ERR_FILE_WRITE, errno, "cannot use the folder");
        rh_error_subject(err, dir);
        return NULL;
    }
    lock = lock_folder(parent);
    remove_abandoned(parent, name);
    d = rh_new0(struct rh_outdir);
    d->fd = -1;
    d->path = rh_printf("%s/%s", dir, name);
    d->replace = replace;
    if (!replace && faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        rh_fail(err, RH_ERR_FILE_EXISTS, "a result is already there");
        rh_error_subject(err, d->path);
        return NULL;
    }
    if (make_part(d, dir, name, err) < 0)
        return NULL;
    return RH_TAKE(d);
}

int rh_outdir_space(const struct rh_outdir *d, uint64_t *ret_bytes)
{
    struct statvfs v;

    if (fstatvfs(d->fd, &v) < 0)
        return -1;
    *ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

int rh_outdir_put(struct rh_outdir *d, const char *name, const void *bytes,
                  size_t n, bool executable, rh_error **err)
{
    RH_AUTO(rh_out_closep) struct rh_out *o = rh_out_file_at(d->fd, name, err);
    struct rh_outdir_file *file;

    if (!o || rh_out_write(o, bytes, n, 0, err) < 0)
        return -1;
    if (executable && fchmod(o->fd, 0755) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "cannot make it executable");
    /* Only begun here: to wait for each file alone would cost each a commit of
     * the file system's journal. */
    sync_file_range(o->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    file = rh_vec_add(&d->files);
    file->name = rh_strdup(name);
    file->size = n;
    file->out = RH_TAKE(o);
    return 0;
}

static int finish_files(struct rh_outdir *d, rh_error **err)
{
    for (size_t i = 0; i < d->files.count; i++)
        if (rh_out_finish(d->files.items[i].out, d->files.items[i].size, err) <
            0)
            return -1;
    return 0;
}

static int sync_parent(const char *path)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);
    RH_AUTO(rh_closep) int fd = open(dirname(copy), O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -1 : fsync(fd);
}

/* File systems without flags for rename (NFS): the earlier result steps aside
 * first.  Should the system stop between the two, it waits as .NAME.old. */
static int rename_plain(const char *part, const char *path, bool replace)
{
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);
    RH_AUTO(rh_freep) char *dir = rh_strdup(dirname(copy));
    const char *slash = strrchr(path, '/');
    RH_AUTO(rh_freep)
    char *aside = rh_printf("%s/.%s.old", dir, slash ? slash + 1 : path);

    if (rename(part, path) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -1;
    errno = EEXIST;
    if (!replace)
        return -1;
    rh_remove_tree(AT_FDCWD, aside);
    if (rename(path, aside) < 0 || rename(part, path) < 0)
        return -1;
    rh_remove_tree(AT_FDCWD, aside);
    return 0;
}

/* Exchange when an earlier result stands there: at no moment is there none. */
static int rename_over(const char *part, const char *path, bool replace)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL || errno == ENOSYS)
        return rename_plain(part, path, replace);
    if (errno != EEXIST || !replace)
        return -1;
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
        rh_remove_tree(AT_FDCWD, part);
        return 0;
    }
    return errno == EINVAL ? rename_plain(part, path, replace) : -1;
}

int rh_outdir_commit(struct rh_outdir *d, rh_error **err)
{
    if (finish_files(d, err) < 0)
        return -1;
    if (fsync(d->fd) < 0 || rename_over(d->part, d->path, d->replace) < 0) {
        if (errno == EEXIST)
            rh_fail(err, RH_ERR_FILE_EXISTS, "a result is already there");
        else
            rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                          "cannot give the result its name");
        return rh_error_subject(err, d->path);
    }
    free(d->part);
    d->part = NULL;
    sync_parent(d->path);
    return 0;
}

void rh_outdir_close(struct rh_outdir *d)
{
    if (!d)
        return;
    if (d->part)
        rh_remove_tree(AT_FDCWD, d->part);
    rh_closep(&d->fd);
    for (size_t i = 0; i < d->files.count; i++) {
        rh_out_close(d->files.items[i].out);
        free(d->files.items[i].name);
    }
    free(d->files.items);
    free(d->part);
    free(d->path);
    free(d);
}

/* --- single result files
 * -------------------------------------------------------------- */

struct rh_outfile {
    char *path, *part;
    struct rh_out *out;
    bool replace;
};

struct rh_outfile *rh_outfile_new(const char *path, bool replace,
                                  struct rh_out **ret_out, rh_error **err)
{
    RH_AUTO(rh_outfile_closep) struct rh_outfile *f = NULL;
    RH_AUTO(rh_freep) char *copy = rh_strdup(path);
    RH_AUTO(rh_freep) char *dir = rh_strdup(dirname(copy));
    RH_AUTO(rh_closep) int parent = -1;
    RH_AUTO(rh_closep) int lock = -1;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    if (!replace && access(path, F_OK) == 0) {
        rh_fail(err, RH_ERR_FILE_EXISTS, "the file is already there");
        rh_error_subject(err, path);
        return NULL;
    }
    parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) {
        lock = lock_folder(parent);
        remove_abandoned(parent, name);
    }
    f = rh_new0(struct rh_outfile);
    f->path = rh_strdup(path);
    for (int i = 0; i < NAMES_TRIED; i++) {
        free(f->part);
        f->part = part_name(dir, name, i);
        if (access(f->part, F_OK) < 0)
            break;
    }
    f->replace = replace;
    f->out = rh_out_file_at(AT_FDCWD, f->part, err);
    if (!f->out) {
        free(f->part);
        f->part = NULL;
        return NULL;
    }
    flock(f->out->fd, LOCK_EX | LOCK_NB);
    free(f->out->name); /* messages speak of what was asked for */
    f->out->name = rh_strdup(path);
    *ret_out = f->out;
    return RH_TAKE(f);
}

static int rename_new_file(const char *part, const char *path)
{
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return link(part, path) < 0 ? -1 : unlink(part);
}

int rh_outfile_commit(struct rh_outfile *f, rh_error **err)
{
    int done = f->replace ? rename(f->part, f->path)
                          : rename_new_file(f->part, f->path);

    if (done < 0) {
        if (errno == EEXIST)
            rh_fail(err, RH_ERR_FILE_EXISTS, "the file is already there");
        else
            rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                          "cannot give the result its name");
        return rh_error_subject(err, f->path);
    }
    free(f->part);
    f->part = NULL;
    sync_parent(f->path);
    return 0;
}

void rh_outfile_close(struct rh_outfile *f)
{
    if (!f)
        return;
    if (f->part)
        unlink(f->part);
    rh_out_close(f->out);
    free(f->part);
    free(f->path);
    free(f);
}
