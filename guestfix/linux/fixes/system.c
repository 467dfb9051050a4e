/* system.c - tools of the hypervisor, display. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"

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

static bool starts(const char *link, const char *service)
{
    return link[0] == 'S' && strlen(link) > 3 &&
           !strncmp(link + 3, service, strlen(service));
}

static int drop_link(struct rh_fix_job *j, const char *path, const char *what,
                     rh_error **err)
{
    RH_AUTO(rh_freep) char *target = NULL;

    if (j->guest->ops->read_link(j->guest, path, &target, NULL) < 0 ||
        rh_fix_frozen(j, path))
        return 0;
    if (j->guest->ops->remove(j->guest, path, err) < 0)
        return -1;
    rh_fix_note(j, path, what, rh_printf("-> %s", target), NULL);
    return 0;
}

/* Before systemd: the links of the run levels. */
int rh_stop_service(struct rh_fix_job *j, const char *service, const char *what,
                    rh_error **err)
{
    static const char *const tops[] = {"/etc/init.d", "/etc/rc.d", "/etc"};

    for (size_t t = 0; t < RH_COUNT(tops); t++)
        for (unsigned level = 2; level <= 5; level++) {
            RH_AUTO(rh_freep)
            char *folder = rh_printf("%s/rc%u.d", tops[t], level);
            RH_AUTO(rh_name_list_freep)
            char **names = rh_guest_names(j->guest, folder);

            for (size_t i = 0; names && names[i]; i++) {
                RH_AUTO(rh_freep)
                char *path = rh_printf("%s/%s", folder, names[i]);

                if (starts(names[i], service) &&
                    drop_link(j, path, what, err) < 0)
                    return -1;
            }
        }
    return 0;
}

/* The links, and Upstart's job. */
static int stop_tools(struct rh_fix_job *j, rh_error **err)
{
    static const char job[] = "/etc/init/vmware-tools.conf";

    if (rh_stop_service(j, "vmware-tools", _("VMware's tools are not started"),
                        err) < 0)
        return -1;
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
/* `Driver "vmware"`: what its value is, from the first quote on; NULL: another
 * line. */
static const char *vmware_driver(const char *line)
{
    line += strspn(line, " \t");
    if (strncasecmp(line, "Driver", 6))
        return NULL;
    line += 6 + strspn(line + 6, " \t");
    return strncasecmp(line, "\"vmware\"", 8) ? NULL : line;
}

static int fix_display(struct rh_fix_job *j, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_buf_free) struct rh_buf out = {0};
    bool changed = false;

    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);
        const char *at = vmware_driver(line);

        if (at)
            rh_buf_printf(&out, "%.*s\"modesetting\"%s", (int)(at - line), line,
                          at + 8);
        else
            rh_buf_puts(&out, line);
        changed |= at != NULL;
        if (p[n] == '\n')
            rh_buf_putc(&out, p[n++]);
        p += n;
    }
    if (!changed)
        return 0;
    return rh_fix_put(j, path, out.data, out.length, 0644,
                      _("a display driver that fits any virtual screen"), err);
}

int rh_fix_xorg(struct rh_fix_job *j, rh_error **err)
{
    static const char folder[] = "/etc/X11/xorg.conf.d";
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, folder);

    if (j->o->machine->devices && !strcmp(j->o->machine->devices, "vmware"))
        return 0;
    if (fix_display(j, "/etc/X11/xorg.conf", err) < 0)
        return -1;
    for (size_t i = 0; names && names[i]; i++) {
        RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, names[i]);

        if (fix_display(j, path, err) < 0)
            return -1;
    }
    return 0;
}
