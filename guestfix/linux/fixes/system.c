/* system.c - boot loader on the EFI system partition, tools, display. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "guestfix/linux/fixes/fixes.h"

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

/* 0: they fit; 1: they do not, and that is said. */
static int have_room(struct rh_fix_job *j, const char *folder,
                     const char *const *files, size_t count, rh_error **err)
{
    uint64_t need = 256 * RH_KIB, room;
    struct rh_guest_stat st;

    for (size_t i = 0; i < count; i++)
        if (files[i] &&
            j->guest->ops->stat(j->guest, files[i], true, &st, NULL) == 0)
            need += st.size;
    if (j->guest->ops->free_space(j->guest, folder, &room, err) < 0)
        return -1;
    if (room >= need)
        return 0;
    rh_finding_add(
        j->o->findings, RH_F_GUEST_BOOT_FULL, "os",
        N_("the EFI system partition has no room for a boot loader where "
           "every firmware looks"));
    return 1;
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
    RH_AUTO(rh_freep) char *to_folder = NULL;
    const char *sources[] = {NULL, NULL, NULL, NULL};
    const char *names[] = {arches[arch].fallback, arches[arch].grub,
                           arches[arch].mok, "grub.cfg"};
    struct rh_guest *g = j->guest;
    int r;

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
    r = have_room(j, folder, sources, RH_COUNT(sources), err);
    if (r)
        return r;
    rh_finding_add(
        j->o->findings, RH_F_GUEST_EFI_FALLBACK, "os",
        N_("%s is copied to %s/BOOT/%s: the firmware's boot entries stay "
           "behind on the old machine"),
        first, top, names[0]);
    to_folder = rh_printf("%s/BOOT", top);
    if (g->ops->make_dir(g, to_folder, 0755, err) < 0)
        return -1;
    for (size_t i = 0; i < RH_COUNT(sources); i++) {
        RH_AUTO(rh_freep) char *to = rh_printf("%s/%s", to_folder, names[i]);

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
/* The tarball's script is a service of its own, or is made one; a drop-in holds
 * for both, and is easily taken back. */
static int condition_tools(struct rh_fix_job *j, rh_error **err)
{
    static const char *const units[] = {"vmware-tools",
                                        "vmware-tools-thinprint"};
    static const char text[] =
        "# Away from VMware there is nothing for it to do.\n"
        "[Unit]\nConditionVirtualization=vmware\n";

    for (size_t i = 0; i < RH_COUNT(units); i++) {
        RH_AUTO(rh_freep)
        char *folder = rh_printf("/etc/systemd/system/%s.service.d", units[i]);
        RH_AUTO(rh_freep) char *path = rh_printf("%s/50-rehost.conf", folder);
        RH_AUTO(rh_freep) char *script = rh_printf("/etc/init.d/%s", units[i]);
        RH_AUTO(rh_freep)
        char *unit = rh_printf("/etc/systemd/system/%s.service", units[i]);

        if (!rh_guest_exists(j->guest, script) &&
            !rh_guest_exists(j->guest, unit))
            continue;
        if (j->guest->ops->make_dir(j->guest, folder, 0755, err) < 0 ||
            rh_fix_put(j, path, text, sizeof text - 1, 0644,
                       _("VMware's tools start on VMware only"), err) < 0)
            return -1;
    }
    return 0;
}

static bool starts_tools(const char *name)
{
    return name[0] == 'S' && strlen(name) > 3 &&
           !strncmp(name + 3, "vmware-tools", 12);
}

static int drop_link(struct rh_fix_job *j, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *target = NULL;

    if (j->guest->ops->read_link(j->guest, path, &target, NULL) < 0)
        return 0;
    if (j->guest->ops->remove(j->guest, path, err) < 0)
        return -1;
    rh_fix_note(j, path, _("VMware's tools are not started"),
                rh_printf("-> %s", target), NULL);
    return 0;
}

/* Before systemd: the links of the run levels, and Upstart's job. */
static int stop_tools(struct rh_fix_job *j, rh_error **err)
{
    static const char *const tops[] = {"/etc/init.d", "/etc/rc.d", "/etc"};
    static const char job[] = "/etc/init/vmware-tools.conf";

    for (size_t t = 0; t < RH_COUNT(tops); t++)
        for (unsigned level = 2; level <= 5; level++) {
            RH_AUTO(rh_freep)
            char *folder = rh_printf("%s/rc%u.d", tops[t], level);
            RH_AUTO(rh_name_list_freep)
            char **names = rh_guest_names(j->guest, folder);

            for (size_t i = 0; names && names[i]; i++) {
                RH_AUTO(rh_freep)
                char *path = rh_printf("%s/%s", folder, names[i]);

                if (starts_tools(names[i]) && drop_link(j, path, err) < 0)
                    return -1;
            }
        }
    if (!rh_guest_exists(j->guest, job))
        return 0;
    return rh_fix_put(j, "/etc/init/vmware-tools.override", "manual\n", 7, 0644,
                      _("VMware's tools are not started"), err);
}

int rh_fix_vmware_tools(struct rh_fix_job *j, rh_error **err)
{
    bool xen = j->o->machine->needs_pv_drivers;

    if (rh_linux_of(j)->tools)
        rh_finding_add(
            j->o->findings, RH_F_GUEST_VMWARE_TOOLS, "os",
            !strcmp(rh_linux_of(j)->tools, "open-vm-tools")
                ? N_("%s is installed; its services start on VMware only")
                : N_("%s is installed; it is not started any more"),
            rh_linux_of(j)->tools);
    if (xen ? !rh_linux_of(j)->xen_agent : !rh_linux_of(j)->qemu_agent)
        rh_finding_add(j->o->findings, RH_F_GUEST_AGENT_MISSING, "os",
                       N_("%s is not installed in the guest"),
                       xen ? "xe-guest-utilities" : "qemu-guest-agent");
    if (rh_linux_of(j)->tools && !strcmp(rh_linux_of(j)->tools, "vmware-tools"))
        return rh_linux_of(j)->systemd ? condition_tools(j, err)
                                       : stop_tools(j, err);
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
