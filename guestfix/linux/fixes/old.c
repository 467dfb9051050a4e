/* old.c - what systems of 2.6.18 and older have beside their initrd: aliases
 * that tie a NIC or the disks to a driver, and kudzu, which asks at the console
 * what to do about hardware that is gone. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/linux/fixes/fixes.h"

/* The old machine's drivers, which find nothing on the new one. */
static const char *const nic_drivers[] = {"vmxnet",  "vmxnet2", "vmxnet3",
                                          "pcnet32", "e1000",   "e1000e"};
static const char *const disk_drivers[] = {"mptspi",   "mptsas", "mptbase",
                                           "mptscsih", "pvscsi", "vmw_pvscsi",
                                           "BusLogic"};
static const struct {
    const char *device, *module;
} modules[] = {
    {"virtio", "virtio_net"},
    {"e1000", "e1000"},
    {"e1000e", "e1000e"},
    {"rtl8139", "8139cp"},
    {"vmxnet3", "vmxnet3"},
    {"virtio-blk", "virtio_blk"},
    {"virtio-scsi", "virtio_scsi"},
    {"sata", "ahci"},
    {"ide", "ata_piix"},
    {"pvscsi", "vmw_pvscsi"},
    {"lsilogic", "mptspi"},
    {"lsisas", "mptsas"},
};

/* NULL: the kernel finds it by itself (Xen's). */
static const char *module_of(const char *device)
{
    for (size_t i = 0; device && i < RH_COUNT(modules); i++)
        if (!strcmp(modules[i].device, device))
            return modules[i].module;
    return NULL;
}

static bool is_one_of(const char *word, size_t n, const char *const *list,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == n && !strncmp(list[i], word, n))
            return true;
    return false;
}

/* `alias eth0 vmxnet`, `alias scsi_hostadapter1 mptspi`: the driver, when it is
 * one of the old machine's; *ret_nic tells which kind. */
static const char *old_driver(const char *line, size_t *ret_length,
                              bool *ret_nic)
{
    const char *name = line + 5 + strspn(line + 5, " \t");
    const char *driver = name + strcspn(name, " \t");

    driver += strspn(driver, " \t");
    *ret_length = strcspn(driver, " \t\r\n");
    *ret_nic = !strncmp(name, "eth", 3);
    if (*ret_nic)
        return is_one_of(driver, *ret_length, nic_drivers,
                         RH_COUNT(nic_drivers))
                   ? driver
                   : NULL;
    return !strncmp(name, "scsi_hostadapter", 16) &&
                   is_one_of(driver, *ret_length, disk_drivers,
                             RH_COUNT(disk_drivers))
               ? driver
               : NULL;
}

static void alias_line(struct rh_fix_job *j, const char *line,
                       struct rh_buf *out, bool *ret_changed)
{
    size_t n = 0;
    bool nic = false;
    const char *old = !strncmp(line, "alias", 5) && strchr(" \t", line[5])
                          ? old_driver(line, &n, &nic)
                          : NULL;
    const char *now = module_of(nic ? j->o->machine->nic : j->o->machine->disk);

    if (!old || (now && strlen(now) == n && !strncmp(now, old, n))) {
        rh_buf_puts(out, line);
        return;
    }
    *ret_changed = true;
    if (now)
        rh_buf_printf(out, "%.*s%s%s", (int)(old - line), line, now, old + n);
    else
        rh_buf_printf(out, "# rehost: %s", line);
}

static int fix_aliases(struct rh_fix_job *j, const char *path, rh_error **err)
{
    RH_AUTO(rh_freep) char *text = rh_guest_text(j->guest, path, err);
    RH_AUTO(rh_buf_free) struct rh_buf out = {0};
    const char *p = text;
    bool changed = false;

    while (p && *p) {
        size_t n = strcspn(p, "\n");
        RH_AUTO(rh_freep) char *line = rh_strndup(p, n);

        alias_line(j, line, &out, &changed);
        if (p[n] == '\n')
            rh_buf_putc(&out, p[n++]);
        p += n;
    }
    if (!changed)
        return 0;
    return rh_fix_put(j, path, out.data, out.length, 0644,
                      _("the driver of the new machine's devices"), err);
}

int rh_fix_modprobe(struct rh_fix_job *j, rh_error **err)
{
    static const char *const files[] = {"/etc/modprobe.conf",
                                        "/etc/modules.conf"};

    for (size_t i = 0; i < RH_COUNT(files); i++)
        if (rh_guest_exists(j->guest, files[i]) &&
            fix_aliases(j, files[i], err) < 0)
            return -1;
    if (rh_guest_exists(j->guest, "/etc/sysconfig/hwconf") ||
        rh_guest_exists(j->guest, "/etc/init.d/kudzu"))
        return rh_stop_service(j, "kudzu",
                               _("kudzu does not ask about the old machine's "
                                 "hardware at the first start"),
                               err);
    return RH_FIX_OK;
}
