/* virtio.c - virtio drivers out of --drivers: the boot disk's is put in, the
 * others are installed at the first start.
 *
 * Plug and play only begins after the boot disk is found, so its driver needs a
 * file, a service, and a row that binds it to its PCI ids: in DriverDatabase
 * (Windows 8 and later) or CriticalDeviceDatabase.  The rows are called
 * rehost.inf; once pnputil has installed the real package, they are removed. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/drivers.h"
#include "guestfix/windows/fixes/firstboot.h"

/* Transitional and modern device: subsystems differ, so none is named. */
static const struct virtio_disk {
    const char *disk, *driver, *ids[2];
} disks[] = {
    {"virtio-scsi",
     "vioscsi",
     {"VEN_1AF4&DEV_1004&REV_00", "VEN_1AF4&DEV_1048&REV_01"}},
    {"virtio-blk",
     "viostor",
     {"VEN_1AF4&DEV_1001&REV_00", "VEN_1AF4&DEV_1042&REV_01"}},
};

static const struct virtio_disk *disk_named(const char *disk)
{
    for (size_t i = 0; disk && i < RH_COUNT(disks); i++)
        if (!strcmp(disks[i].disk, disk))
            return &disks[i];
    return NULL;
}

bool rh_win_has_virtio(const struct rh_windows *w, const char *drivers,
                       const char *disk, const char **ret_refusal)
{
    const struct virtio_disk *d = disk_named(disk);
    RH_AUTO(rh_win_files_free) struct rh_win_files files = {0};
    RH_AUTO(rh_freep) char *sys = d ? rh_printf("%s.sys", d->driver) : NULL;
    const struct rh_win_file *f;

    *ret_refusal = NULL;
    if (!d || !drivers || w->major < 6 ||
        rh_win_drivers_find(w, drivers, d->driver, d->driver, &files, NULL) < 0)
        return false;
    f = rh_win_file_named(&files, sys);
    *ret_refusal = f ? rh_win_driver_refusal(w, f) : NULL;
    if (f && !*ret_refusal)
        *ret_refusal = rh_win_inf_refusal(w, &files, d->driver);
    return f && !*ret_refusal;
}

/* --- rows --------------------------------------------------------------------
 */
static const char scsi_class[] = "{4D36E97B-E325-11CE-BFC1-08002BE10318}";
static const char database[] = "DriverDatabase";

static int add_to_critical(struct rh_hive_edit *e, const char *set,
                           const struct virtio_disk *d, rh_error **err)
{
    for (size_t i = 0; i < RH_COUNT(d->ids); i++) {
        RH_AUTO(rh_freep)
        char *path = rh_printf("%s\\Control\\CriticalDeviceDatabase\\PCI#%s",
                               set, d->ids[i]);

        if (rh_hive_set_text(e, path, "Service", hive_t_REG_SZ, d->driver,
                             err) < 0 ||
            rh_hive_set_text(e, path, "ClassGUID", hive_t_REG_SZ, scsi_class,
                             err) < 0)
            return -1;
    }
    return 0;
}

/* 8 bytes of a version, the class, 24 zeros (as packages from outside have). */
static const unsigned char version[48] = {
    0x00, 0xff, 0x09, 0x00, 0,    0,    0,    0,    0x7b, 0xe9, 0x36, 0x4d,
    0x25, 0xe3, 0xce, 0x11, 0xbf, 0xc1, 0x08, 0x00, 0x2b, 0xe1, 0x03, 0x18};

static char *label_of(const struct rh_windows *w)
{
    bool small = w->architecture && !strcmp(w->architecture, "x86");

    return rh_printf("rehost.inf_%s_0000000000000000", small ? "x86" : "amd64");
}

static int add_package(struct rh_hive_edit *e, const char *label,
                       const struct virtio_disk *d, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *package = rh_printf("%s\\DriverPackages\\%s", database, label);
    RH_AUTO(rh_freep)
    char *configuration = rh_printf("%s\\Configurations\\rehost_conf", package);

    if (rh_hive_set_bytes(e, package, "Version", version, sizeof version, err) <
            0 ||
        rh_hive_set_number(e, configuration, "ConfigFlags", 0, err) < 0 ||
        rh_hive_set_text(e, configuration, "Service", hive_t_REG_SZ, d->driver,
                         err) < 0)
        return -1;
    for (size_t i = 0; i < RH_COUNT(d->ids); i++) {
        static const unsigned char rank[4] = {0x01, 0xff, 0, 0};
        RH_AUTO(rh_freep)
        char *descriptor =
            rh_printf("%s\\Descriptors\\PCI\\%s", package, d->ids[i]);
        RH_AUTO(rh_freep)
        char *id = rh_printf("%s\\DeviceIds\\PCI\\%s", database, d->ids[i]);

        if (rh_hive_set_text(e, descriptor, "Configuration", hive_t_REG_SZ,
                             "rehost_conf", err) < 0 ||
            rh_hive_set_bytes(e, id, "rehost.inf", rank, sizeof rank, err) < 0)
            return -1;
    }
    return 0;
}

static int add_to_database(struct rh_hive_edit *e, const struct virtio_disk *d,
                           rh_error **err)
{
    RH_AUTO(rh_freep) char *label = label_of(rh_win_of(e->j));
    RH_AUTO(rh_freep)
    char *inf = rh_printf("%s\\DriverInfFiles\\rehost.inf", database);
    const char *labels[] = {label, NULL};
    static const char *const configurations[] = {"rehost_conf", NULL};

    if (rh_hive_set_list(e, inf, "", labels, err) < 0 ||
        rh_hive_set_text(e, inf, "Active", hive_t_REG_SZ, label, err) < 0 ||
        rh_hive_set_list(e, inf, "Configurations", configurations, err) < 0)
        return -1;
    return add_package(e, label, d, err);
}

static int add_service(struct rh_hive_edit *e, const char *set,
                       const struct virtio_disk *d, rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s\\Services\\%s", set, d->driver);
    RH_AUTO(rh_freep)
    char *pnp = rh_printf("%s\\Parameters\\PnpInterface", path);
    RH_AUTO(rh_freep) char *parameters = rh_printf("%s\\Parameters", path);
    RH_AUTO(rh_freep)
    char *image = rh_printf("system32\\drivers\\%s.sys", d->driver);

    return rh_hive_set_number(e, path, "Type", 1, err) < 0 ||
                   rh_hive_set_number(e, path, "Start", 0, err) < 0 ||
                   rh_hive_set_number(e, path, "ErrorControl", 1, err) < 0 ||
                   rh_hive_set_text(e, path, "Group", hive_t_REG_SZ,
                                    "SCSI miniport", err) < 0 ||
                   rh_hive_set_text(e, path, "ImagePath", hive_t_REG_EXPAND_SZ,
                                    image, err) < 0 ||
                   rh_hive_set_number(e, pnp, "5", 1, err) < 0 ||
                   rh_hive_set_number(e, parameters, "BusType", 1, err) < 0
               ? -1
               : 0;
}

/* --- the boot disk's driver --------------------------------------------------
 */
static int put_in(struct rh_fix_job *j, struct rh_hive *system,
                  const struct virtio_disk *d, const struct rh_win_file *sys,
                  rh_error **err)
{
    const struct rh_windows *w = rh_win_of(j);
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s/System32/drivers/%s.sys", w->root, d->driver);
    struct rh_hive_edit e = {
        .j = j, .h = system, .what = _("the virtio driver of the boot disk")};
    bool has_database = rh_hive_key(system, 0, database) != 0;

    if (rh_fix_put(j, path, sys->bytes, sys->n, 0644, e.what, err) < 0)
        return -1;
    for (size_t i = 0; i < w->sets.count; i++)
        if (add_service(&e, w->sets.items[i], d, err) < 0 ||
            (!has_database &&
             add_to_critical(&e, w->sets.items[i], d, err) < 0))
            return -1;
    if (has_database && add_to_database(&e, d, err) < 0)
        return -1;
    return rh_hive_commit(&e, err);
}

static int say_refused(struct rh_fix_job *j, const char *driver,
                       const char *why)
{
    rh_finding_add(j->o->findings, RH_F_WINDOWS_DRIVER_REFUSED, "os",
                   N_("the driver %s in --drivers would not be loaded by this "
                      "Windows: %s"),
                   driver, why);
    return RH_FIX_NOT_POSSIBLE;
}

int rh_fix_win_virtio(struct rh_fix_job *j, rh_error **err)
{
    const struct rh_windows *w = rh_win_of(j);
    const struct virtio_disk *d = disk_named(j->o->machine->disk);
    RH_AUTO(rh_hive_closep) struct rh_hive *system = NULL;
    RH_AUTO(rh_win_files_free) struct rh_win_files files = {0};
    RH_AUTO(rh_freep) char *name = d ? rh_printf("%s.sys", d->driver) : NULL;
    const struct rh_win_file *sys;
    const char *why, *service;
    size_t pages;

    if (!d || !j->o->drivers || w->major < 6)
        return 0;
    if (!rh_win_can_edit(j))
        return RH_FIX_NOT_POSSIBLE;
    system = rh_win_open(w, "SYSTEM", &pages, err);
    if (!system)
        return -1;
    if (rh_win_start_of(w, system, d->disk, &service) <= RH_WIN_OFF)
        return 0;
    if (rh_win_drivers_find(w, j->o->drivers, d->driver, d->driver, &files,
                            err) < 0)
        return -1;
    sys = rh_win_file_named(&files, name);
    if (!sys)
        return say_refused(j, d->driver, _("there is none for it"));
    why = rh_win_driver_refusal(w, sys);
    if (!why)
        why = rh_win_inf_refusal(w, &files, d->driver);
    if (why)
        return say_refused(j, d->driver, why);
    return put_in(j, system, d, sys, err);
}

/* --- what is installed at the first start ------------------------------------
 */
static const struct {
    const char *folder, *inf;
    enum rh_win_mark how;
} others[] = {
    {"viostor", "viostor", RH_WIN_MARKS},
    {"vioscsi", "vioscsi", RH_WIN_MARKS},
    {"NetKVM", "netkvm", RH_WIN_MARKS_NEEDED},
    {"Balloon", "balloon", RH_WIN_MARKS},
    {"vioserial", "vioser", RH_WIN_MARKS},
    {"viorng", "viorng", RH_WIN_MARKS},
};

/* Why pnputil would refuse it; NULL: it would not. */
static const char *refusal_of(const struct rh_windows *w,
                              const struct rh_win_files *files, const char *inf)
{
    RH_AUTO(rh_freep) char *name = rh_printf("%s.inf", inf);
    RH_AUTO(rh_freep) char *driver = rh_printf("%s.sys", inf);
    const struct rh_win_file *sys = rh_win_file_named(files, driver);
    const char *why = sys ? rh_win_driver_refusal(w, sys) : NULL;

    if (!why)
        why = rh_win_inf_refusal(w, files, inf);
    return why ? why : rh_win_package_refusal(w, files, name);
}

static int stage_one(struct rh_fix_job *j, size_t i, struct rh_win_job *job,
                     rh_error **err)
{
    RH_AUTO(rh_win_files_free) struct rh_win_files files = {0};
    const char *why;

    if (rh_win_drivers_find(rh_win_of(j), j->o->drivers, others[i].folder,
                            others[i].inf, &files, err) < 0)
        return -1;
    why = files.count ? refusal_of(rh_win_of(j), &files, others[i].inf) : NULL;
    if (why) {
        say_refused(j, others[i].inf, why);
        return 0;
    }
    for (size_t k = 0; k < files.count; k++) {
        RH_AUTO(rh_freep)
        char *name =
            rh_printf("drivers/%s/%s", others[i].inf, files.items[k].name);

        if (rh_win_job_put(j, name, files.items[k].bytes, files.items[k].n,
                           err) < 0)
            return -1;
    }
    if (files.count)
        rh_win_step_marked(&job->drivers, others[i].how, others[i].inf,
                           "pnputil -i -a drivers\\%s\\%s.inf", others[i].inf,
                           others[i].inf);
    return 0;
}

/* Our rows are all that binds the boot disk until the package itself does: they
 * go only if pnputil has installed that. */
static void take_rows_out(const struct virtio_disk *d, const char *label,
                          struct rh_win_job *job)
{
    rh_win_step_marked(&job->after, RH_WIN_AFTER_MARK, d->driver,
                       "reg delete HKLM\\SYSTEM\\DriverDatabase"
                       "\\DriverInfFiles\\rehost.inf /f");
    rh_win_step_marked(&job->after, RH_WIN_AFTER_MARK, d->driver,
                       "reg delete HKLM\\SYSTEM\\DriverDatabase"
                       "\\DriverPackages\\%s /f",
                       label);
    for (size_t i = 0; i < RH_COUNT(d->ids); i++)
        rh_win_step_marked(&job->after, RH_WIN_AFTER_MARK, d->driver,
                           "reg delete \"HKLM\\SYSTEM\\DriverDatabase"
                           "\\DeviceIds\\PCI\\%s\" /v rehost.inf /f",
                           d->ids[i]);
}

/* QEMU's guest agent, as virtio-win has it in guest-agent/; it talks through
 * vioserial, which is installed before. */
static int stage_agent(struct rh_fix_job *j, struct rh_win_job *job,
                       rh_error **err)
{
    const char *architecture = rh_win_of(j)->architecture;
    const char *name = !architecture                     ? NULL
                       : !strcmp(architecture, "x86_64") ? "qemu-ga-x86_64.msi"
                       : !strcmp(architecture, "x86")    ? "qemu-ga-i386.msi"
                                                         : NULL;
    RH_AUTO(rh_win_files_free) struct rh_win_files files = {0};

    if (!name)
        return 0;
    if (rh_win_drivers_file(j->o->drivers, name, &files, err) < 0)
        return -1;
    if (!files.count)
        return 0;
    if (rh_win_job_put(j, name, files.items[0].bytes, files.items[0].n, err) <
        0)
        return -1;
    rh_win_step(&job->after, NULL, RH_WIN_OPTIONAL,
                "msiexec /i %s /qn /norestart", name);
    return 0;
}

int rh_win_stage_drivers(struct rh_hive_edit *e, struct rh_win_job *job,
                         rh_error **err)
{
    const struct rh_guest_options *o = e->j->o;
    const struct virtio_disk *d = disk_named(o->machine->disk);
    RH_AUTO(rh_freep) char *label = label_of(rh_win_of(e->j));

    if (!o->drivers || !d || rh_win_of(e->j)->major < 6)
        return 0;
    for (size_t i = 0; i < RH_COUNT(others); i++)
        if (stage_one(e->j, i, job, err) < 0)
            return -1;
    if (rh_hive_key(e->h, 0, "DriverDatabase\\DriverInfFiles\\rehost.inf"))
        take_rows_out(d, label, job);
    return stage_agent(e->j, job, err);
}
