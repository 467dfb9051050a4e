/* kvm.c - ask /dev/kvm for a VM, and let it run one instruction. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* KVM needs the processor's own virtualisation. There are modules that answer
 * on /dev/kvm without it, for guests made for them; ours hang there. */
static bool cpu_virtualises(void)
{
    enum { VMX = 1u << 5, SVM = 1u << 2 };
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && (c & VMX))
        return true;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & SVM);
}

/* One page in real mode with one instruction: hlt, which comes back to us.
 * Documentation/virt/kvm/api.rst has every step.  System calls only: this runs
 * in a fork of a program that may have threads. */
static bool runs_code(int kvm, int vm, int cpu)
{
    enum { PAGE = 4096, BASE = PAGE, HLT = 0xf4, TSS = 0xfffbd000u };
    struct kvm_userspace_memory_region memory = {.guest_phys_addr = BASE,
                                                 .memory_size = PAGE};
    struct kvm_regs registers = {.rip = BASE, .rflags = 2};
    struct kvm_sregs segments;
    struct kvm_run *run;
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (size < (int)sizeof *run || page == MAP_FAILED)
        return false;
    page[0] = HLT;
    memory.userspace_addr = (uintptr_t)page;
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    ioctl(vm, KVM_SET_TSS_ADDR, TSS); /* old Intel processors want it */
    if (run == MAP_FAILED ||
        ioctl(vm, KVM_SET_USER_MEMORY_REGION, &memory) < 0 ||
        ioctl(cpu, KVM_GET_SREGS, &segments) < 0)
        return false;
    segments.cs.base = 0;
    segments.cs.selector = 0;
    if (ioctl(cpu, KVM_SET_SREGS, &segments) < 0 ||
        ioctl(cpu, KVM_SET_REGS, &registers) < 0)
        return false;
    while (ioctl(cpu, KVM_RUN, 0) < 0)
        if (errno != EINTR)
            return false;
    return run->exit_reason != KVM_EXIT_FAIL_ENTRY &&
           run->exit_reason != KVM_EXIT_INTERNAL_ERROR;
}
#else
static bool cpu_virtualises(void)
{
    return true;
}
static bool runs_code(int kvm, int vm, int cpu)
{
    (void)kvm, (void)vm, (void)cpu;
    return true;
}
#endif

static const char *make_and_run(int kvm)
{
    int vm = ioctl(kvm, KVM_CREATE_VM, 0), cpu;

    if (vm < 0)
        return "m";
    cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (cpu < 0)
        return "c";
    return runs_code(kvm, vm, cpu) ? "y" : "r";
}

/* A broken one may hang in the kernel, where only a signal ends it: so a
 * process of its own makes the try, and says one letter. */
static char verdict_on(int kvm)
{
    enum { PATIENCE = 3000 };
    int ends[2];
    char word = 'r';
    struct pollfd p;
    sigset_t all, before;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return word;
    /* No handler of the program's may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        const char *said = make_and_run(kvm);

        _exit(write(ends[1], said, 1) != 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    p = (struct pollfd){.fd = ends[0], .events = POLLIN};
    if (pid > 0) {
        int ready;

        while ((ready = poll(&p, 1, PATIENCE)) < 0 && errno == EINTR)
            ;
        if (ready <= 0 || read(ends[0], &word, 1) != 1)
            word = 'r';
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(ends[0]);
    return word;
}

bool rh_kvm_works(const char **ret_why)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const char *why = NULL;

    if (fd < 0) {
        why = errno == ENOENT ? _("there is no /dev/kvm")
                              : _("/dev/kvm cannot be opened");
    } else if (!cpu_virtualises()) {
        why = _("/dev/kvm is there, but the processor offers no "
                "virtualisation");
    } else {
        switch (verdict_on(fd)) {
        case 'y':
            break;
        case 'm':
            why = _("/dev/kvm is there, but makes no VM");
            break;
        case 'c':
            why = _("/dev/kvm is there, but makes no CPU");
            break;
        default:
            why = _("/dev/kvm is there, but runs no code");
        }
    }
    if (fd >= 0)
        close(fd);
    if (ret_why)
        *ret_why = why;
    return !why;
}
