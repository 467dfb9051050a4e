/* drivers.c - which drivers of a hypervisor's devices a FreeBSD has: in its
 * kernel, as a module's file, and loaded at the start.
 *
 * A driver in the kernel has its name behind that of its bus there, as text
 * (DRIVER_MODULE(9)).  The kernel of a root on ZFS is not read for it, which
 * would take GRUB's reader seconds. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/bsd/bsd.h"

enum { KERNEL_MAX = 96 * 1024 * 1024 };

static const struct {
    const char *name, *module, *mark; /* NULL: never a module */
} known[] = {
    {"vtnet", "if_vtnet", "virtio_pci/vtnet"},
    {"vtblk", "virtio_blk", "virtio_pci/virtio_blk"},
    {"virtio_scsi", "virtio_scsi", "virtio_pci/virtio_scsi"},
    {"ahci", "ahci", "pci/ahci"},
    {"em", "if_em", "pci/em"},
    {"vmx", "if_vmx", "pci/vmx"},
    {"pvscsi", "pvscsi", "pci/pvscsi"},
    {"mpt", "mpt", "pci/mpt"},
    {"xn", NULL, "xenbusb_front/xn"},
    {"xbd", NULL, "xenbusb_front/xbd"},
};

/* With the NULs around it: "pci/em" is no "pci/emu10kx". */
static bool has_mark(const char *kernel, size_t size, const char *mark)
{
    const char *p = kernel;
    size_t n = strlen(mark) + 1;

    while ((p = memmem(p, size - (size_t)(p - kernel), mark, n))) {
        if (p > kernel && !p[-1])
            return true;
        p++;
    }
    return false;
}

static bool is_loaded(const struct rh_bsd *b, const char *module)
{
    for (size_t i = 0; i < b->modules.count; i++)
        if (!strcmp(b->modules.items[i], module))
            return true;
    return false;
}

static enum rh_bsd_built_in in_kernel(const char *kernel, size_t size,
                                      const char *mark)
{
    if (!kernel)
        return RH_NOT_SEEN;
    return has_mark(kernel, size, mark) ? RH_BUILT_IN : RH_NOT_BUILT_IN;
}

void rh_bsd_find_drivers(struct rh_bsd *b, struct rh_session *s)
{
    bool on_zfs = s->guest->root_volume < s->volumes.all.count &&
                  s->volumes.all.items[s->guest->root_volume].zfs;
    RH_AUTO(rh_freep) void *kernel = NULL;
    size_t size = 0;

    if (!on_zfs && s->guest->ops->read(s->guest, "/boot/kernel/kernel",
                                       KERNEL_MAX, &kernel, &size, NULL) < 0)
        kernel = NULL;
    /* A packed kernel, or none. */
    if (kernel && (size < 64 || memcmp(kernel, "\177ELF", 4) != 0))
        free(RH_TAKE(kernel));
    for (size_t i = 0; i < RH_COUNT(known); i++) {
        RH_AUTO(rh_freep)
        char *file = known[i].module
                         ? rh_printf("/boot/kernel/%s.ko", known[i].module)
                         : NULL;

        *rh_vec_add(&b->drivers) = (struct rh_bsd_driver){
            .name = known[i].name,
            .built_in = in_kernel(kernel, size, known[i].mark),
            .file = file && rh_guest_exists(s->guest, file),
            .loaded = known[i].module && is_loaded(b, known[i].module)};
    }
}
