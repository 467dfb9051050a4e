/* volume.c - a disk into a volume, by a child without rights. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/out.h"
#include "base/wait.h"
#include "deliver/local/local.h"
#include "formats/format.h"

enum {
    PIECE = 1024 * 1024,
    NOBODY = 65534,
    MESSAGE = 1024,
    BLOCK_LEAST = 4096,
    BLOCK_MOST = 1024 * 1024 * 1024, /* dm-thin's own limit */
};

struct work {
    rh_lib *lib;
    struct rh_io *disk;
    const char *format;
    int volume;
    uint64_t volume_size;
    bool device;
    uint64_t block; /* that the device has or has not as a whole; 0: a file */
    enum rh_local_zeros zeros;
    uint64_t written;
    uint64_t end; /* of the data that was written last */
};

/* --- the child
 * ------------------------------------------------------------------- */

/* Nothing but the disk, the volume and the pipe stays open. */
static void close_others(const int *keep, size_t count)
{
    int from = 3;

    for (size_t i = 0; i < count; i++) { /* ascending */
        if (keep[i] > from)
            syscall(SYS_close_range, (unsigned)from, (unsigned)keep[i] - 1, 0);
        from = RH_MAX(from, keep[i] + 1);
    }
    syscall(SYS_close_range, (unsigned)from, ~0u, 0);
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int rh_local_drop_rights(const int *keep, size_t count, rh_error **err)
{
    int sorted[8];

    if (count > RH_COUNT(sorted))
        return rh_fail(err, RH_ERR_BUG, "too many descriptors");
    memcpy(sorted, keep, count * sizeof *keep);
    qsort(sorted, count, sizeof *sorted, ascending);
    close_others(sorted, count);
    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
         setresuid(NOBODY, NOBODY, NOBODY) < 0))
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot give up root's rights");
    return rh_local_leave_terminal(err);
}

static int write_zeros(struct work *w, uint64_t offset, uint64_t length,
                       rh_error **err)
{
    uint64_t range[2] = {offset, length};
    static const uint8_t zeros[65536];

    if (!length || (w->device && ioctl(w->volume, BLKZEROOUT, range) == 0))
        return 0;
    while (length) {
        size_t n = (size_t)RH_MIN(length, (uint64_t)sizeof zeros);

        if (rh_pwrite_all(w->volume, zeros, n, offset, "volume", err) < 0)
            return -1;
        offset += n;
        length -= n;
    }
    return 0;
}

static int put_zeros(struct work *w, uint64_t offset, uint64_t length,
                     rh_error **err)
{
    return w->zeros == RH_LOCAL_SKIP ? 0 : write_zeros(w, offset, length, err);
}

/* A thin pool may give out blocks with what others have left in them
 * (lvcreate -Zn): one that holds data is written whole.  Data come at `next`.
 */
static int fill_blocks(struct work *w, uint64_t next, rh_error **err)
{
    uint64_t from = w->end, to;

    if (!w->block || w->zeros != RH_LOCAL_SKIP)
        return 0;
    to = RH_MIN(rh_round_up(from, w->block), next);
    if (write_zeros(w, from, to - from, err) < 0)
        return -1;
    from = RH_MAX(to, next - next % w->block);
    return write_zeros(w, from, next - from, err);
}

static int fill_last_block(struct work *w, uint64_t size, rh_error **err)
{
    uint64_t end = w->block ? rh_round_up(w->end, w->block) : 0;

    return fill_blocks(w, RH_MIN(end, size), err);
}

static int put_data(struct work *w, const uint8_t *piece, size_t n,
                    uint64_t offset, rh_error **err)
{
    if (fill_blocks(w, offset, err) < 0 ||
        rh_pwrite_all(w->volume, piece, n, offset, "volume", err) < 0)
        return -1;
    w->end = offset + n;
    w->written += n;
    return 0;
}

static int copy_data(struct work *w, struct rh_reader *r,
                     struct rh_codec *codec, uint8_t *piece, uint64_t offset,
                     uint64_t length, rh_error **err)
{
    while (length) {
        size_t n = (size_t)RH_MIN(length, (uint64_t)PIECE);
        bool zero;

        if (rh_reader_read(r, codec, piece, n, offset, err) < 0)
            return -1;
        zero = rh_all_zero(piece, n);
        if (zero ? put_zeros(w, offset, n, err) < 0
                 : put_data(w, piece, n, offset, err) < 0)
            return -1;
        offset += n;
        length -= n;
    }
    return 0;
}

static int copy_all(struct work *w, rh_error **err)
{
    struct rh_open_options o = {.lib = w->lib};
    RH_AUTO(rh_reader_closep)
    struct rh_reader *r = rh_reader_open(w->disk, w->format, &o, err);
    RH_AUTO(rh_codec_freep) struct rh_codec *codec = rh_codec_new();
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    struct rh_extent e;

    if (!r)
        return -1;
    if (r->size > w->volume_size)
        return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                       "the volume of %llu bytes is smaller than the disk",
                       (unsigned long long)w->volume_size);
    for (uint64_t at = 0; at < r->size; at += e.length) {
        if (rh_reader_extent(r, at, &e, err) < 0 ||
            (e.kind == RH_EXTENT_DATA
                 ? copy_data(w, r, codec, piece, at, e.length, err) < 0
                 : put_zeros(w, at, e.length, err) < 0))
            return -1;
    }
    /* Behind the disk, too, a guest could read what others have left. */
    if (r->size < w->volume_size &&
        put_zeros(w, r->size, w->volume_size - r->size, err) < 0)
        return -1;
    if (fill_last_block(w, w->volume_size, err) < 0)
        return -1;
    if (fsync(w->volume) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_WRITE, errno,
                             "the volume could not be written");
    return 0;
}

/* Says "+BYTES" or "-what went wrong" and ends, without the parent's clean-up.
 */
_Noreturn static void child(struct work *w, int pipe)
{
    rh_error *e = NULL;
    const int keep[] = {w->disk->fd, w->volume, pipe};
    RH_AUTO(rh_freep) char *text = NULL;
    bool good;

    if (w->lib) { /* nobody hears it here */
        w->lib->log = NULL;
        w->lib->progress = NULL;
    }
    good = rh_local_drop_rights(keep, RH_COUNT(keep), &e) == 0 &&
           copy_all(w, &e) == 0;
    text = good ? rh_printf("+%llu", (unsigned long long)w->written)
                : rh_printf("-%s", rh_error_message(e));
    if (write(pipe, text, RH_MIN(strlen(text), (size_t)MESSAGE)) < 0)
        good = false;
    _exit(good ? 0 : 1);
}

/* --- the parent
 * --------------------------------------------------------------------- */

static int hear(struct work *w, int pipe, uint64_t *ret_bytes, rh_error **err)
{
    char text[MESSAGE + 1];
    size_t have = 0, n = 1;

    while (n && have < MESSAGE) {
        if (rh_wait_read(w->lib, pipe, text + have, MESSAGE - have, &n, err) <
            0)
            return -1;
        have += n;
    }
    text[have] = '\0';
    if (text[0] == '+' && rh_parse_u64(text + 1, ret_bytes))
        return 0;
    return rh_fail(err, RH_ERR_FILE_WRITE, "%s",
                   text[0] == '-' ? text + 1
                                  : _("the process that wrote it was killed"));
}

static int run_child(struct work *w, uint64_t *ret_bytes, rh_error **err)
{
    int pipes[2], failed;
    pid_t pid;

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "no pipe");
    pid = fork();
    if (pid == 0)
        child(w, pipes[1]);
    close(pipes[1]);
    if (pid < 0)
        failed = rh_fail_errno(err, RH_ERR_MEMORY, errno, "no new process");
    else
        failed = hear(w, pipes[0], ret_bytes, err);
    close(pipes[0]);
    if (pid > 0 && failed)
        kill(pid, SIGKILL);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return failed;
}

/* A thin volume's block, a ZFS volume's: what a discard gives back as a whole.
 */
uint64_t rh_local_block(const struct stat *st)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("/sys/dev/block/%u:%u/queue/discard_granularity",
                           major(st->st_rdev), minor(st->st_rdev));
    RH_AUTO(rh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[32] = "";
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    uint64_t block = 0;

    if (n > 0)
        text[strcspn(text, "\n")] = '\0';
    if (!rh_parse_u64(text, &block) || block > BLOCK_MOST)
        return 0;
    return RH_MAX(block, (uint64_t)BLOCK_LEAST);
}

static int size_of(struct work *w, const char *path, rh_error **err)
{
    struct stat st;

    if (fstat(w->volume, &st) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot look at it");
    w->device = S_ISBLK(st.st_mode);
    w->volume_size = (uint64_t)st.st_size;
    w->block = w->device ? rh_local_block(&st) : 0;
    if (w->device && ioctl(w->volume, BLKGETSIZE64, &w->volume_size) < 0)
        return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno,
                             "cannot learn the device's size");
    if (w->device || S_ISREG(st.st_mode))
        return 0;
    return rh_fail(err, RH_ERR_DELIVERY_PLACE,
                   "%s is neither a device nor a "
                   "file",
                   path);
}

int rh_local_write(rh_lib *lib, struct rh_io *disk, const char *format,
                   const char *path, enum rh_local_zeros zeros,
                   uint64_t *ret_bytes, rh_error **err)
{
    struct work w = {
        .lib = lib, .disk = disk, .format = format, .zeros = zeros};
    RH_AUTO(rh_closep)
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    w.volume = fd;
    if (fd < 0) {
        rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot open it");
        return rh_error_subject(err, path);
    }
    if (size_of(&w, path, err) < 0 || run_child(&w, ret_bytes, err) < 0)
        return rh_error_subject(err, path);
    return 0;
}

int rh_local_read(rh_lib *lib, const char *path, rh_http_sink *sink, void *user,
                  rh_error **err)
{
    RH_AUTO(rh_freep) uint8_t *piece = rh_malloc(PIECE);
    RH_AUTO(rh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : 1;

    while (n > 0) {
        if (rh_go_on(lib, err) < 0)
            return -1;
        n = read(fd, piece, PIECE);
        if (n > 0 && sink(user, piece, (size_t)n, err) < 0)
            return -1;
    }
    if (n == 0)
        return 0;
    rh_fail_errno(err, RH_ERR_FILE_READ, errno, "cannot read it");
    return rh_error_subject(err, path);
}
