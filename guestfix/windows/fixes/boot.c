/* boot.c - the driver of the new boot disk starts when Windows does.
 *
 * In every control set that can boot: Start is 0 and no StartOverride is there
 * for the drivers on the way to the disk, and only for these: a boot driver
 * with ErrorControl 3 whose file is missing would itself stop Windows. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/fixes/fixes.h"

/* Between the processor and any disk; Windows switches them off likewise. */
static const char *const buses[] = {"pci",     "vpci",   "vmbus", "acpi",
                                    "partmgr", "volmgr", "disk"};

bool rh_win_can_edit(const struct rh_fix_job *j)
{
    return rh_win_of(j)->readable;
}

/* --- one service -------------------------------------------------------------
 */
static int drop_override(struct rh_hive_edit *e, const char *service,
                         rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s\\StartOverride", service);

    return rh_hive_drop_key(e, path, err);
}

static bool is_there(struct rh_hive_edit *e, const char *path, const char *name)
{
    rh_key k = rh_hive_key(e->h, 0, path);
    RH_AUTO(rh_freep)
    char *file = k ? rh_win_driver_file(rh_win_of(e->j), e->h, k, name) : NULL;

    return file && rh_guest_exists(e->j->guest, file);
}

static int start_at_boot(struct rh_hive_edit *e, const char *set,
                         const char *name, rh_error **err)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s\\Services\\%s", set, name);

    if (!is_there(e, path, name))
        return 0;
    if (rh_hive_set_number(e, path, "Start", 0, err) < 0)
        return -1;
    return drop_override(e, path, err);
}

/* --- 2000, XP and 2003
 * --------------------------------------------------------- Plug and play
 * begins after the boot disk is found: what binds drivers before that are the
 * rows of CriticalDeviceDatabase (KB314082). */
static const char hdc_class[] = "{4D36E96A-E325-11CE-BFC1-08002BE10318}";
static const char disk_class[] = "{4D36E967-E325-11CE-BFC1-08002BE10318}";
static const struct {
    const char *id, *service, *class_guid;
} critical[] = {
    {"pci#ven_8086&dev_7010", "intelide", hdc_class},
    {"pci#ven_8086&dev_7111", "intelide", hdc_class},
    {"pci#cc_0101", "pciide", hdc_class},
    {"primary_ide_channel", "atapi", hdc_class},
    {"secondary_ide_channel", "atapi", hdc_class},
    {"*pnp0600", "atapi", hdc_class},
    {"gendisk", "disk", disk_class},
};

static int add_critical(struct rh_hive_edit *e, const char *set, size_t i,
                        rh_error **err)
{
    RH_AUTO(rh_freep)
    char *service = rh_printf("%s\\Services\\%s", set, critical[i].service);
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s\\Control\\CriticalDeviceDatabase\\%s", set,
                           critical[i].id);

    if (rh_hive_key(e->h, 0, path) ||
        !is_there(e, service, critical[i].service))
        return 0;
    if (rh_hive_set_text(e, path, "Service", hive_t_REG_SZ, critical[i].service,
                         err) < 0)
        return -1;
    return rh_hive_set_text(e, path, "ClassGUID", hive_t_REG_SZ,
                            critical[i].class_guid, err);
}

/* --- all of it ---------------------------------------------------------------
 */
static int fix_set(struct rh_hive_edit *e, const char *set,
                   const struct rh_win_path *p, rh_error **err)
{
    const struct rh_windows *w = rh_win_of(e->j);

    for (size_t i = 0; i < RH_COUNT(p->needed) && p->needed[i]; i++)
        if (start_at_boot(e, set, p->needed[i], err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(p->also) && p->also[i]; i++)
        if (start_at_boot(e, set, p->also[i], err) < 0)
            return -1;
    for (size_t i = 0; i < RH_COUNT(buses); i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s\\Services\\%s", set, buses[i]);

        if (is_there(e, path, buses[i]) && drop_override(e, path, err) < 0)
            return -1;
    }
    if (w->major != 5 || strcmp(p->disk, "ide"))
        return 0;
    for (size_t i = 0; i < RH_COUNT(critical); i++)
        if (add_critical(e, set, i, err) < 0)
            return -1;
    return 0;
}

static const char *why_not(enum rh_win_start s)
{
    switch (s) {
    case RH_WIN_STAGED:
        return _("its driver lies ready, but Windows has never installed it");
    case RH_WIN_NO_FILE:
        return _("the driver's file is not there");
    default:
        return _("this Windows has no driver for it");
    }
}

static int say_impossible(struct rh_fix_job *j, enum rh_win_start s,
                          const char *service)
{
    rh_finding_add(j->o->findings,
                   s == RH_WIN_STAGED ? RH_F_WINDOWS_DRIVER_STAGED
                                      : RH_F_WINDOWS_DRIVER_MISSING,
                   "os",
                   N_("Windows would not start from a disk on %s (%s): %s"),
                   j->o->machine->disk, service ? service : "-", why_not(s));
    return RH_FIX_NOT_POSSIBLE;
}

int rh_fix_win_boot_start(struct rh_fix_job *j, rh_error **err)
{
    const struct rh_windows *w = rh_win_of(j);
    const struct rh_win_path *p = rh_win_path(w, j->o->machine->disk);
    RH_AUTO(rh_hive_closep) struct rh_hive *system = NULL;
    struct rh_hive_edit e = {
        .j = j, .what = _("the boot disk's driver starts with Windows")};
    enum rh_win_start s;
    const char *service;
    size_t pages;

    if (!rh_win_can_edit(j))
        return RH_FIX_NOT_POSSIBLE;
    e.h = system = rh_win_open(w, "SYSTEM", &pages, err);
    if (!system)
        return -1;
    s = rh_win_start_of(w, system, j->o->machine->disk, &service);
    if (!p || s > RH_WIN_OFF)
        return say_impossible(j, s, service);
    for (size_t i = 0; i < w->sets.count; i++)
        if (fix_set(&e, w->sets.items[i], p, err) < 0)
            return -1;
    return rh_hive_commit(&e, err);
}
