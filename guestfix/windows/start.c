/* start.c - which drivers Windows needs for a kind of disk, and whether they
 * start at boot as things are.
 *
 * A service key alone says nothing: VMware's tools leave one for pvscsi that
 * has neither Start nor ImagePath, and Windows 8 and later switch drivers that
 * were not used off by a StartOverride key. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/windows/start.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST = 0,
    NT4 = 499,
    W2K = 500,
    LAST = 9999,
    VISTA = 600,
    SEVEN = 601,
    EIGHT = 602
};

/* intelide drives the IDE ports of PIIX3 and PIIX4, atapi the disks on them
 * (NT 4 has it alone); pciide is for others of the class.  Windows' own
 * drivers: mshdc.inf. */
static const struct rh_win_path paths[] = {
    {"ide", FIRST, NT4, true, NULL, {"atapi"}, {NULL}},
    {"ide", W2K, LAST, true, NULL, {"intelide", "atapi"}, {"pciide"}},
    {"sata", VISTA, SEVEN, true, NULL, {"msahci"}, {NULL}},
    {"sata", EIGHT, LAST, true, NULL, {"storahci"}, {NULL}},
    {"nvme", SEVEN, LAST, true, NULL, {"stornvme"}, {NULL}},
    {"lsisas", FIRST, 502, true, NULL, {"symmpi"}, {NULL}},
    {"lsisas", VISTA, LAST, true, NULL, {"LSI_SAS"}, {NULL}},
    {"pvscsi", FIRST, LAST, false, "VEN_15AD&DEV_07C0", {"pvscsi"}, {NULL}},
    {"virtio-scsi", FIRST, LAST, false, "VEN_1AF4&DEV_10", {"vioscsi"}, {NULL}},
    {"virtio-blk", FIRST, LAST, false, "VEN_1AF4&DEV_10", {"viostor"}, {NULL}},
    {"xen", FIRST, LAST, false, NULL, {"xenbus", "xenfilt", "xenvbd"}, {NULL}},
};

const struct rh_win_path *rh_win_path(const struct rh_windows *w,
                                      const char *disk)
{
    unsigned version = w->major * 100 + w->minor;

    for (size_t i = 0; disk && i < RH_COUNT(paths); i++)
        if (!strcmp(paths[i].disk, disk) && version >= paths[i].from &&
            version <= paths[i].to)
            return &paths[i];
    return NULL;
}

/* --- files -------------------------------------------------------------------
 */
/* "\SystemRoot\system32\drivers\x.sys", "System32\drivers\x.sys" and
 * "\??\C:\Windows\..." as a path of the guest. */
static char *guest_path(const struct rh_windows *w, const char *image)
{
    static const char *const fronts[] = {"\\SystemRoot\\", "%SystemRoot%\\"};
    struct rh_buf b = {0};
    bool below = true;

    if (!strncmp(image, "\\??\\", 4) && strlen(image) > 6 && image[5] == ':') {
        image += 6;
        below = false;
    }
    for (size_t i = 0; i < RH_COUNT(fronts); i++)
        if (!strncasecmp(image, fronts[i], strlen(fronts[i])))
            image += strlen(fronts[i]);
    rh_buf_printf(&b, "%s%s", below ? w->root : "",
                  below && *image != '\\' ? "/" : "");
    for (; *image; image++)
        rh_buf_putc(&b, *image == '\\' ? '/' : *image);
    return rh_buf_take(&b);
}

char *rh_win_driver_file(const struct rh_windows *w, struct rh_hive *system,
                         rh_key service, const char *name)
{
    RH_AUTO(rh_freep) char *image = rh_hive_text(system, service, "ImagePath");

    return image && *image
               ? guest_path(w, image)
               : rh_printf("%s/System32/drivers/%s.sys", w->root, name);
}

/* --- one service in one set --------------------------------------------------
 */
static bool is_bound(const struct rh_windows *w, const struct rh_win_path *p,
                     const char *service)
{
    for (size_t i = 0; i < w->devices.count; i++) {
        const struct rh_win_device *d = &w->devices.items[i];

        if (d->service && !strcasecmp(d->service, service) &&
            (!p->bound || !strncasecmp(d->id, p->bound, strlen(p->bound))))
            return true;
    }
    return false;
}

/* Put in by us: no device yet, but a row that binds it. */
static bool is_put_in(struct rh_hive *system, const char *set,
                      const char *service)
{
    static const char *const paths_of[] = {"DEV_1001&REV_00",
                                           "DEV_1004&REV_00"};

    if (strncmp(service, "vio", 3))
        return false;
    if (rh_hive_key(system, 0, "DriverDatabase\\DriverInfFiles\\rehost.inf"))
        return true;
    for (size_t i = 0; i < RH_COUNT(paths_of); i++) {
        RH_AUTO(rh_freep)
        char *path =
            rh_printf("%s\\Control\\CriticalDeviceDatabase\\PCI#VEN_1AF4&%s",
                      set, paths_of[i]);
        RH_AUTO(rh_freep)
        char *bound =
            rh_hive_text(system, rh_hive_key(system, 0, path), "Service");

        if (bound && !strcasecmp(bound, service))
            return true;
    }
    return false;
}

static bool has_file(const struct rh_windows *w, struct rh_hive *system,
                     rh_key service, const char *name)
{
    RH_AUTO(rh_freep)
    char *file = rh_win_driver_file(w, system, service, name);
    struct rh_guest_stat st;

    return w->guest->ops->stat(w->guest, file, true, &st, NULL) == 0;
}

static enum rh_win_start start_in(const struct rh_windows *w,
                                  struct rh_hive *system, const char *set,
                                  const struct rh_win_path *p,
                                  const char *service)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s\\Services\\%s", set, service);
    rh_key k = rh_hive_key(system, 0, path);
    RH_AUTO(rh_freep) char *image = rh_hive_text(system, k, "ImagePath");
    uint64_t start = 0;
    bool has_start = rh_hive_number(system, k, "Start", &start);

    if (!k)
        return RH_WIN_NO_DRIVER;
    if (!has_start ||
        (!p->in_box && (!image || (!is_bound(w, p, service) &&
                                   !is_put_in(system, set, service)))))
        return RH_WIN_STAGED;
    if (!has_file(w, system, k, service))
        return RH_WIN_NO_FILE;
    return start || rh_hive_key(system, k, "StartOverride") ? RH_WIN_OFF
                                                            : RH_WIN_STARTS;
}

enum rh_win_start rh_win_start_of(const struct rh_windows *w,
                                  struct rh_hive *system, const char *disk,
                                  const char **ret_service)
{
    const struct rh_win_path *p = rh_win_path(w, disk);
    enum rh_win_start worst = RH_WIN_STARTS;

    *ret_service = NULL;
    if (!p || !w->sets.count)
        return RH_WIN_NO_DRIVER;
    for (size_t s = 0; s < w->sets.count; s++)
        for (size_t i = 0; i < RH_COUNT(p->needed) && p->needed[i]; i++) {
            enum rh_win_start one =
                start_in(w, system, w->sets.items[s], p, p->needed[i]);

            /* A set that is only kept for a second try may lack a driver that
             * was installed since. */
            if (s && one > RH_WIN_OFF)
                continue;
            if (one > worst) {
                worst = one;
                *ret_service = p->needed[i];
            }
        }
    return worst;
}

/* --- all kinds ---------------------------------------------------------------
 */
static const char *const kinds[RH_WIN_DISKS] = {
    "ide",    "sata",        "nvme",       "lsisas",
    "pvscsi", "virtio-scsi", "virtio-blk", "xen"};

void rh_win_starts(struct rh_windows *w, struct rh_hive *system,
                   const char *drivers)
{
    const char *why;

    for (size_t i = 0; i < RH_WIN_DISKS; i++) {
        w->starts[i].disk = kinds[i];
        w->starts[i].start =
            rh_win_start_of(w, system, kinds[i], &w->starts[i].service);
        /* What --drivers brings is put in before the driver is looked at. */
        if (w->starts[i].start > RH_WIN_OFF &&
            rh_win_has_virtio(w, drivers, kinds[i], &why))
            w->starts[i].start = RH_WIN_OFF;
    }
}

const struct rh_win_disk *rh_win_starts_on(const struct rh_windows *w,
                                           const char *disk)
{
    for (size_t i = 0; disk && i < RH_WIN_DISKS; i++)
        if (w->starts[i].disk && !strcmp(w->starts[i].disk, disk))
            return &w->starts[i];
    return NULL;
}
