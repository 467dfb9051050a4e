/* system.c - boot loader on the EFI system partition, tools, display. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "guestfix/engine.h"

#define LOADER_MAX (64 * RH_MIB)

/* --- the removable-media loader
 * ---------------------------------------------------- */
/* NVRAM's boot entries do not travel with the disks; firmware then tries
 * \EFI\BOOT\BOOTX64.EFI only. */
static const struct {
    const char *fallback, *shim, *grub, *boot, *mok;
} arches[] = {
    {"BOOTX64.EFI", "shimx64.efi", "grubx64.efi", "systemd-bootx64.efi",
     "mmx64.efi"},
    {"BOOTAA64.EFI", "shimaa64.efi", "grubaa64.efi", "systemd-bootaa64.efi",
     "mmaa64.efi"},
    {"BOOTIA32.EFI", "shimia32.efi", "grubia32.efi", "systemd-bootia32.efi",
     "mmia32.efi"},
};

static int copy_in(struct rh_fix_job *j, const char *from, const char *to,
                   rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    size_t n;

    if (rh_guest_exists(j->guest, to))
        return 0;
    if (j->guest->ops->read(j->guest, from, LOADER_MAX, &bytes, &n, err) < 0)
        return -1;
    return rh_fix_put(j, to, bytes, n, 0644,
                      _("a boot loader where every UEFI firmware looks"), err);
}

/* With shim its second stage and MOK manager must stand beside it, and GRUB
 * looks for its configuration there. */
static int copy_loader(struct rh_fix_job *j, const char *top,
                       const char *vendor, size_t arch, rh_error **err)
{
    const char *first = NULL;
    RH_AUTO(rh_freep) char *folder = rh_printf("%s/%s", top, vendor);
    RH_AUTO(rh_freep)
    char *shim = rh_printf("%s/%s", folder, arches[arch].shim);
    RH_AUTO(rh_freep)
    char *grub = rh_printf("%s/%s", folder, arches[arch].grub);
    RH_AUTO(rh_freep)
    char *boot = rh_printf("%s/%s", folder, arches[arch].boot);
    RH_AUTO(rh_freep) char *mok = rh_printf("%s/%s", folder, arches[arch].mok);
    RH_AUTO(rh_freep) char *cfg = rh_printf("%s/grub.cfg", folder);
    const char *sources[] = {NULL, NULL, NULL, NULL};
    const char *names[] = {arches[arch].fallback, arches[arch].grub,
                           arches[arch].mok, "grub.cfg"};
    struct rh_guest *g = j->guest;

    if (rh_guest_exists(g, shim) && rh_guest_exists(g, grub)) {
        first = shim;
        sources[1] = grub;
        sources[2] = rh_guest_exists(g, mok) ? mok : NULL;
        sources[3] = rh_guest_exists(g, cfg) ? cfg : NULL;
    } else if (rh_guest_exists(g, grub)) {
        first = grub;
        sources[3] = rh_guest_exists(g, cfg) ? cfg : NULL;
    } else if (rh_guest_exists(g, boot)) {
        first = boot;
    }
    if (!first)
        return 0;
    sources[0] = first;
    rh_find(j->o->findings, RH_F_GUEST_EFI_FALLBACK, "os",
            N_("%s is copied to %s/BOOT/%s: the firmware's boot entries stay "
               "behind on the old machine"),
            first, top, names[0]);
    for (size_t i = 0; i < RH_COUNT(sources); i++) {
        RH_AUTO(rh_freep) char *to = rh_printf("%s/BOOT/%s", top, names[i]);

        if (sources[i] && copy_in(j, sources[i], to, err) < 0)
            return -1;
    }
    return 1;
}

static int fallback_on(struct rh_fix_job *j, const char *top, rh_error **err)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, top);
    RH_AUTO(rh_freep) char *boot = rh_printf("%s/BOOT", top);

    for (size_t a = 0; names && a < RH_COUNT(arches); a++) {
        RH_AUTO(rh_freep)
        char *there = rh_printf("%s/%s", boot, arches[a].fallback);

        if (rh_guest_exists(j->guest, there))
            return 0;
    }
    for (size_t a = 0; names && a < RH_COUNT(arches); a++)
        for (size_t i = 0; names[i]; i++) {
            int r;

            if (!strcasecmp(names[i], "BOOT"))
                continue;
            if (j->guest->ops->make_dir(j->guest, boot, 0755, err) < 0)
                return -1;
            r = copy_loader(j, top, names[i], a, err);
            if (r)
                return r < 0 ? -1 : 0;
        }
    return 0;
}

int rh_fix_efi_fallback(struct rh_fix_job *j, rh_error **err)
{
    static const char *const tops[] = {"/boot/efi/EFI", "/efi/EFI",
                                       "/boot/EFI"};

    if (!j->o->machine->firmware || strcmp(j->o->machine->firmware, "uefi"))
        return 0;
    for (size_t i = 0; i < RH_COUNT(tops); i++)
        if (rh_guest_is_dir(j->guest, tops[i]))
            return fallback_on(j, tops[i], err);
    return 0;
}

/* --- VMware's tools, the hypervisor's agent
 * ------------------------------------------ */
static int mask_tools(struct rh_fix_job *j, rh_error **err)
{
    static const char unit[] = "/etc/systemd/system/vmware-tools.service";
    struct rh_guest_stat st;

    if (!j->os->systemd ||
        !rh_guest_exists(j->guest, "/etc/init.d/vmware-tools"))
        return 0;
    if (j->guest->ops->stat(j->guest, unit, false, &st, NULL) == 0)
        return 0;
    if (j->guest->ops->symlink(j->guest, "/dev/null", unit, err) < 0)
        return -1;
    rh_fix_note(j, unit, _("VMware's tools are not started"), NULL,
                rh_strdup("-> /dev/null"));
    return 0;
}

int rh_fix_vmware_tools(struct rh_fix_job *j, rh_error **err)
{
    bool xen = !strcmp(j->o->machine->model, "xen");

    if (j->os->tools)
        rh_find(j->o->findings, RH_F_GUEST_VMWARE_TOOLS, "os",
                !strcmp(j->os->tools, "open-vm-tools")
                    ? N_("%s is installed; its services start on VMware only")
                    : N_("%s is installed; it is not started any more"),
                j->os->tools);
    if (xen ? !j->os->xen_agent : !j->os->qemu_agent)
        rh_find(j->o->findings, RH_F_GUEST_AGENT_MISSING, "os",
                N_("%s is not installed in the guest"),
                xen ? "xe-guest-utilities" : "qemu-guest-agent");
    if (j->os->tools && !strcmp(j->os->tools, "vmware-tools"))
        return mask_tools(j, err);
    return 0;
}

/* --- display
 * -----------------------------------------------------------------------------
 */
int rh_fix_xorg(struct rh_fix_job *j, rh_error **err)
{
    static const char path[] = "/etc/X11/xorg.conf";
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_freep) char *after = NULL;
    char *at = text ? strstr(text, "\"vmware\"") : NULL;

    if (!at ||
        (j->o->machine->devices && !strcmp(j->o->machine->devices, "vmware")))
        return 0;
    after = rh_printf("%.*s\"modesetting\"%s", (int)(at - text), text, at + 8);
    return rh_fix_put(j, path, after, strlen(after), 0644,
                      _("a display driver that fits any virtual screen"), err);
}
