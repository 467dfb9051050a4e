/* kvm.c - ask /dev/kvm for a VM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
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
#else
static bool cpu_virtualises(void)
{
    return true;
}
#endif

bool rh_kvm_works(const char **ret_why)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const char *why = NULL;
    int vm, cpu;

    if (fd < 0) {
        why = _("/dev/kvm cannot be opened");
    } else if (!cpu_virtualises()) {
        why = _("/dev/kvm is there, but the processor offers no "
                "virtualisation");
    } else if ((vm = ioctl(fd, KVM_CREATE_VM, 0)) < 0) {
        why = _("/dev/kvm is there, but makes no VM");
    } else {
        cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
        if (cpu < 0)
            why = _("/dev/kvm is there, but makes no CPU");
        else
            close(cpu);
        close(vm);
    }
    if (fd >= 0)
        close(fd);
    if (ret_why)
        *ret_why = why;
    return !why;
}
