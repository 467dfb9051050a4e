/* remedies.c - remedies that fit the target: a hypervisor that cannot show
 * VMware's devices is not helped by asking for them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/engine.h"

static const struct {
    enum rh_finding_id id;
    const char *remedy;
} without_vmware[] = {
    {RH_F_GUEST_BOOT_FULL,
     N_("free space in the guest's /boot and export again, or choose --devices "
        "emulated")},
    {RH_F_GUEST_IMMUTABLE,
     N_("make the change by the system's own means before the export, or right "
        "after the first boot")},
    {RH_F_GUEST_INITRAMFS_UNKNOWN,
     N_("add the new machine's drivers to it in the running VM before the "
        "export, or choose --devices emulated")},
    {RH_F_GUEST_OS_LEFT,
     N_("choose devices that the guest has drivers for (--devices emulated)")},
    {RH_F_GUEST_READ_ONLY,
     N_("make the file system writable and export again, or choose devices "
        "that the guest has drivers for (--devices emulated)")},
    {RH_F_GUEST_UKI,
     N_("rebuild it with the new machine's drivers in the running VM before "
        "the export, or choose --devices emulated")},
    {RH_F_GUEST_UNREADABLE,
     N_("check by hand that the guest has the new machine's drivers, or choose "
        "--devices emulated")},
};

static bool shows_vmware(const struct rh_session *s)
{
    const struct rh_machine *to = s->o->machine;
    const struct rh_profile *p =
        s->profile ? s->profile : rh_profile_named(s->o->profiles, "other");

    return p && to->model && rh_profile_on(p, to->model)->vmware.disk &&
           (!to->devices || strcmp(to->devices, "vmware"));
}

void rh_fit_remedies(const struct rh_session *s)
{
    if (!s->o->machine || shows_vmware(s))
        return;
    for (size_t i = 0; i < s->o->findings->count; i++) {
        struct rh_finding *f = &s->o->findings->items[i];

        for (size_t k = 0; k < RH_COUNT(without_vmware); k++)
            if (f->id == without_vmware[k].id && f->remedy &&
                strstr(f->remedy, "--devices vmware")) {
                free(f->remedy);
                f->remedy = rh_strdup(_(without_vmware[k].remedy));
            }
    }
}
