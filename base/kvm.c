/* kvm.c - ask /dev/kvm for a VM. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"

bool rh_kvm_works(const char **ret_why)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const char *why = NULL;
    int vm, cpu;

    if (fd < 0) {
        why = _("/dev/kvm cannot be opened");
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
