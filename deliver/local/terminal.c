/* terminal.c - who has given up root's rights must not type for root.
 *
 * It shares root's terminal, and TIOCSTI and TIOCLINUX put bytes there that the
 * shell reads as if they had been typed.  A session of its own would keep it
 * from that, too, but also from asking for a password. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "deliver/local/local.h"

#if defined(__x86_64__)
#define OUR_ARCH    AUDIT_ARCH_X86_64
#define OTHER_CALLS 0x40000000U /* of the x32 ABI */
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { LOW = sizeof(__u32) };
#else
enum { LOW = 0 };
#endif

#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE_IF(test, value) \
    BPF_JUMP(BPF_JMP | (test) | BPF_K, (unsigned)(value), 0, 1), REFUSE

int rh_local_leave_terminal(rh_error **err)
{
    static struct sock_filter filter[] = {
#ifdef OUR_ARCH
        LOAD(arch), /* another has other numbers */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
        REFUSE,
#endif
        LOAD(nr),
#ifdef OTHER_CALLS
        REFUSE_IF(BPF_JGE, OTHER_CALLS),
#endif
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
        ALLOW,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1]) + LOW),
        REFUSE_IF(BPF_JEQ, TIOCSTI),
        REFUSE_IF(BPF_JEQ, TIOCLINUX),
        ALLOW,
    };
    const struct sock_fprog program = {.len = RH_COUNT(filter),
                                       .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return 0;
    return rh_fail_errno(err, RH_ERR_FILE_OPEN, errno, "cannot give up rights");
}
