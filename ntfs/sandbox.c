/* sandbox.c - what a hostile volume could reach if it took this program over:
 * its own memory, for a bounded time, and the socket.
 *
 * No file can be opened, no socket made, no program run, no process seen: the
 * kernel ends the program at the first call that is not listed here. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ntfs/helper.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MEMORY_MAX = 512 * 1024 * 1024, /* bytes of address space */
    SECONDS_MAX = 60                /* of processor time */
};

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

/* --- the clock ---------------------------------------------------------------
 * Instead of the C library's: the same volume gives the same bytes. */
static time_t fixed = 1;

void set_clock(time_t now)
{
    fixed = now;
}

/* libc's own names of the parameters are reserved.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
__attribute__((visibility("default"))) int clock_gettime(clockid_t id,
                                                         struct timespec *ret)
{
    (void)id;
    ret->tv_sec = fixed;
    ret->tv_nsec = 0;
    return 0;
}

/* --- the walls ---------------------------------------------------------------
 */
#if defined(OUR_ARCH) && !defined(REHOST_SANITIZED)
#define ALLOW(call)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

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
    ALLOW(futex),
    ALLOW(getrandom),
    ALLOW(exit_group),
    ALLOW(rt_sigreturn),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static void forbid_calls(void)
{
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter,
                                 .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(3);
}

static void bound(int what, rlim_t n)
{
    struct rlimit r = {.rlim_cur = n, .rlim_max = n};

    if (setrlimit((__rlimit_resource_t)what, &r))
        _exit(3);
}

void enter_sandbox(void)
{
    bound(RLIMIT_AS, MEMORY_MAX);
    bound(RLIMIT_CPU, SECONDS_MAX);
    bound(RLIMIT_CORE, 0);
    bound(RLIMIT_FSIZE, 0);
    bound(RLIMIT_NOFILE, 1);
    forbid_calls();
}
#elif defined(REHOST_SANITIZED)
/* Sanitizers need calls and memory of their own. */
void enter_sandbox(void)
{
}
#else
#error "no list of system calls for this processor; build without the helper"
#endif
