/* attacker.c - in the place of grub-fstest: what a hostile pool could make of
 * it.  What is tried goes by the folder that the program lies in. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void try_everything(void)
{
    syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    syscall(SYS_openat, AT_FDCWD, "attacked", O_WRONLY | O_CREAT, 0644);
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    syscall(SYS_execve, "/bin/sh", NULL, NULL);
    syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    syscall(SYS_kill, getppid(), SIGTERM);
    syscall(SYS_unlinkat, AT_FDCWD, "vm.vmx", 0);
    syscall(SYS_ptrace, 16, getppid(), 0, 0);
    syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static void write_off(const char *text)
{
    while (write(1, text, strlen(text)) > 0)
        ;
}

/* One small question after another, and sleep between them. */
static void trickle(void)
{
    static const struct timespec nap = {0, 100 * 1000 * 1000};
    char question[16] = {0}, answer[64];
    unsigned never = 0;

    do
        (void)!(write(0, question, sizeof question) > 0 &&
                read(0, answer, sizeof answer) > 0);
    while (syscall(SYS_futex, &never, FUTEX_WAIT, 0, &nap, NULL, 0) == 0 ||
           errno != EPERM);
}

int main(int argc, char **argv)
{
    volatile unsigned long turns = 0;

    (void)argc;
    if (strstr(argv[0], "/calls/"))
        try_everything();
    else if (strstr(argv[0], "/garbage/"))
        (void)!write(0, "abc", 3);
    else if (strstr(argv[0], "/flood/"))
        write_off("DIR          20240101000000 x/\n");
    else if (strstr(argv[0], "/trickle/"))
        trickle();
    else if (strstr(argv[0], "/spin/"))
        for (;;)
            turns++;
    else if (strstr(argv[0], "/crash/"))
        raise(SIGSEGV), __builtin_trap();
    else if (strstr(argv[0], "/memory/"))
        while (mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
                    0) != MAP_FAILED)
            ;
    return 0;
}
