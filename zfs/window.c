/* window.c - the only thing that grub-fstest sees of the machine: the volumes
 * of one pool, over a socket.
 *
 * rehost starts the program with this object loaded into it (LD_PRELOAD) and
 * the socket as descriptor 0.  The files /0, /1 ... are the volumes; there are
 * no others.  Before main() begins, the kernel is told to refuse every call but
 * those for memory and for the descriptors that are open, so that a hostile
 * pool that takes the program over has gained nothing (README.md). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "zfs/protocol.h"

enum {
    MEMORY_MAX = 512 * 1024 * 1024, /* bytes of address space */
    SECONDS_MAX = 4,                /* of processor time */
    FIRST = 1000                    /* descriptors from here on are volumes */
};

/* C's library declares these names with attributes of its own.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,
 * readability-inconsistent-declaration-parameter-name) */
#define INSTEAD __attribute__((visibility("default")))

/* --- the walls
 * ---------------------------------------------------------------- */
#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#define OUR_ARCH 0 /* no call is of it: the program does not start */
#endif

#define ALLOW(call)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What is not listed fails: the library may try for a locale, and does without
 * one. */
static struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(read),
    ALLOW(write),
    ALLOW(brk),
    ALLOW(mmap),
    ALLOW(munmap),
    ALLOW(mremap),
    ALLOW(madvise),
    ALLOW(getrandom),
    ALLOW(exit_group),
    ALLOW(rt_sigreturn),
    /* To wake nobody is harmless; a wait with a timeout would be a sleep, which
     * no limit of processor time ends. */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (uint32_t)FUTEX_CMD_MASK),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA)),
};

static void bound(int what, rlim_t n)
{
    struct rlimit r = {.rlim_cur = n, .rlim_max = n};

    if (setrlimit((__rlimit_resource_t)what, &r))
        _exit(RH_ZFS_NO_WALLS);
}

__attribute__((constructor)) static void enter_sandbox(void)
{
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter,
                                 .filter = filter};

    close_range(3, ~0U, 0);
    bound(RLIMIT_AS, MEMORY_MAX);
    bound(RLIMIT_CPU, SECONDS_MAX);
    bound(RLIMIT_CORE, 0);
    bound(RLIMIT_FSIZE, 0);
    bound(RLIMIT_NOFILE, 3);
    if (!OUR_ARCH || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(RH_ZFS_NO_WALLS);
}

/* --- the socket
 * --------------------------------------------------------------- */
/* The bytes that came, at most `n`; -1: none, and errno is set. */
static ssize_t ask(uint32_t disk, uint64_t at, uint32_t n, void *to,
                   uint64_t *ret)
{
    static struct {
        struct rh_zfs_answer head;
        char bytes[RH_ZFS_PART];
    } answer;
    struct rh_zfs_ask q = {disk, n, at};
    ssize_t got;

    if (syscall(SYS_write, 0, &q, sizeof q) != (ssize_t)sizeof q)
        _exit(1);
    got = syscall(SYS_read, 0, &answer, sizeof answer);
    if (got < (ssize_t)sizeof answer.head)
        _exit(1);
    got -= (ssize_t)sizeof answer.head;
    *ret = answer.head.value;
    if (n && (got > (ssize_t)n || answer.head.value != (uint64_t)got)) {
        errno = EIO;
        return -1;
    }
    if (n)
        memcpy(to, answer.bytes, (size_t)got);
    return got;
}

/* --- files that are volumes
 * --------------------------------------------------- */
static uint64_t position[RH_ZFS_DISKS];

static int volume_of(const char *path)
{
    int n = 0;

    if (*path++ != '/' || !*path)
        return -1;
    for (; *path; path++) {
        if (*path < '0' || *path > '9' || n >= RH_ZFS_DISKS)
            return -1;
        n = n * 10 + (*path - '0');
    }
    return n < RH_ZFS_DISKS ? n : -1;
}

static bool is_volume(int fd)
{
    return fd >= FIRST && fd < FIRST + RH_ZFS_DISKS;
}

static int open_volume(const char *path)
{
    int n = volume_of(path);

    if (n < 0) {
        errno = ENOENT;
        return -1;
    }
    position[n] = 0;
    return FIRST + n;
}

INSTEAD int open(const char *path, int flags, ...)
{
    (void)flags;
    return open_volume(path);
}
INSTEAD int open64(const char *path, int flags, ...)
{
    (void)flags;
    return open_volume(path);
}
INSTEAD int __open_2(const char *path, int flags)
{
    (void)flags;
    return open_volume(path);
}
INSTEAD int __open64_2(const char *path, int flags)
{
    (void)flags;
    return open_volume(path);
}

INSTEAD int close(int fd)
{
    return is_volume(fd) ? 0 : (int)syscall(SYS_close, fd);
}

static ssize_t read_volume(int n, void *to, size_t size)
{
    char *p = to;
    size_t done = 0;

    while (done < size && done < SSIZE_MAX - RH_ZFS_PART) {
        size_t part = size - done < RH_ZFS_PART ? size - done : RH_ZFS_PART;
        uint64_t value;
        ssize_t got =
            ask((uint32_t)n, position[n], (uint32_t)part, p + done, &value);

        if (got < 0)
            return -1;
        if (!got)
            break;
        done += (size_t)got;
        position[n] += (uint64_t)got;
    }
    return (ssize_t)done;
}

INSTEAD ssize_t read(int fd, void *to, size_t size)
{
    return is_volume(fd) ? read_volume(fd - FIRST, to, size)
                         : syscall(SYS_read, fd, to, size);
}
INSTEAD ssize_t __read_chk(int fd, void *to, size_t size, size_t room)
{
    return read(fd, to, size < room ? size : room);
}

static uint64_t size_of(int n)
{
    uint64_t size = 0;

    ask((uint32_t)n, 0, 0, NULL, &size);
    return size;
}

static off_t seek(int fd, off_t to, int whence)
{
    int n = fd - FIRST;

    if (!is_volume(fd)) {
        errno = ESPIPE;
        return -1;
    }
    if (whence == SEEK_CUR)
        to += (off_t)position[n];
    else if (whence == SEEK_END)
        to += (off_t)size_of(n);
    if (to < 0) {
        errno = EINVAL;
        return -1;
    }
    position[n] = (uint64_t)to;
    return to;
}
INSTEAD off_t lseek(int fd, off_t to, int whence)
{
    return seek(fd, to, whence);
}
INSTEAD off64_t lseek64(int fd, off64_t to, int whence)
{
    return seek(fd, to, whence);
}

/* --- what is said of them
 * ----------------------------------------------------- */
static int describe(int n, void *ret)
{
    struct stat st = {.st_mode = S_IFREG | 0444, .st_nlink = 1};

    _Static_assert(sizeof(struct stat) == sizeof(struct stat64),
                   "one layout under both names");
    if (n < 0) {
        errno = ENOENT;
        return -1;
    }
    st.st_size = (off_t)size_of(n);
    st.st_blksize = 4096;
    memcpy(ret, &st, sizeof st);
    return 0;
}

static int describe_open(int fd, void *ret)
{
    return describe(is_volume(fd) ? fd - FIRST : -1, ret);
}

INSTEAD int fstat(int fd, struct stat *ret)
{
    return describe_open(fd, ret);
}
INSTEAD int fstat64(int fd, struct stat64 *ret)
{
    return describe_open(fd, ret);
}
INSTEAD int stat(const char *path, struct stat *ret)
{
    return describe(volume_of(path), ret);
}
INSTEAD int stat64(const char *path, struct stat64 *ret)
{
    return describe(volume_of(path), ret);
}
INSTEAD int lstat(const char *path, struct stat *ret)
{
    return describe(volume_of(path), ret);
}
INSTEAD int lstat64(const char *path, struct stat64 *ret)
{
    return describe(volume_of(path), ret);
}
/* Before glibc 2.33. */
INSTEAD int __fxstat64(int version, int fd, struct stat64 *ret)
{
    (void)version;
    return describe_open(fd, ret);
}
INSTEAD int __xstat64(int version, const char *path, struct stat64 *ret)
{
    (void)version;
    return describe(volume_of(path), ret);
}
INSTEAD int __lxstat64(int version, const char *path, struct stat64 *ret)
{
    (void)version;
    return describe(volume_of(path), ret);
}

/* The names are final. */
INSTEAD char *realpath(const char *path, char *ret)
{
    size_t n = strlen(path);

    if (!ret)
        return strdup(path);
    if (n >= PATH_MAX)
        return NULL;
    memcpy(ret, path, n + 1);
    return ret;
}
INSTEAD char *canonicalize_file_name(const char *path)
{
    return strdup(path);
}

/* Of the host's folders GRUB wants to know whether they open. */
static char folder;

INSTEAD DIR *opendir(const char *path)
{
    (void)path;
    return (DIR *)(void *)&folder;
}
INSTEAD struct dirent *readdir(DIR *d)
{
    (void)d;
    return NULL;
}
INSTEAD struct dirent64 *readdir64(DIR *d)
{
    (void)d;
    return NULL;
}
INSTEAD int closedir(DIR *d)
{
    (void)d;
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,
 * readability-inconsistent-declaration-parameter-name) */
