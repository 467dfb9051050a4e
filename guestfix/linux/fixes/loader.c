/* loader.c - a boot loader where the new machine's firmware looks.
 *
 * NVRAM's boot entries do not travel with the disks; UEFI firmware then tries
 * \\EFI\\BOOT\\BOOTX64.EFI only.  A loader that is elsewhere on the ESP is
 * copied there, with what it reads beside itself. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "guestfix/linux/fixes/fixes.h"

#define LOADER_MAX (256 * RH_MIB)
#define SPARE      (256 * RH_KIB)
enum { COPIES_MAX = 24 };

/* A loader in a vendor's folder, and what has to stand beside it: shim's second
 * stage and its MOK manager, configuration, rEFInd's file-system drivers.  Of
 * GRUB Legacy the configuration is named like the program (EL6's own media have
 * BOOTX64.conf). */
static const struct loader {
    const char *fallback, *first;
    struct {
        const char *from, *to;
        bool needed;
    } more[3];
    const char *folder; /* all of it goes along; ".": all of its own */
} known[] = {
    {"BOOTX64.EFI",
     "shimx64.efi",
     {{"grubx64.efi", "grubx64.efi", true},
      {"mmx64.efi", "mmx64.efi", false},
      {"grub.cfg", "grub.cfg", false}},
     NULL},
    {"BOOTX64.EFI", "grubx64.efi", {{"grub.cfg", "grub.cfg", false}}, NULL},
    {"BOOTX64.EFI", "systemd-bootx64.efi", {{NULL, NULL, false}}, NULL},
    {"BOOTX64.EFI",
     "refind_x64.efi",
     {{"refind.conf", "refind.conf", false}},
     "drivers_x64"},
    {"BOOTX64.EFI",
     "limine_x64.efi",
     {{"limine.conf", "limine.conf", false}},
     NULL},
    {"BOOTX64.EFI", "grub.efi", {{"grub.conf", "BOOTX64.conf", true}}, NULL},
    {"BOOTX64.EFI", "elilo.efi", {{"elilo.conf", "elilo.conf", true}}, "."},
    {"BOOTAA64.EFI",
     "shimaa64.efi",
     {{"grubaa64.efi", "grubaa64.efi", true},
      {"mmaa64.efi", "mmaa64.efi", false},
      {"grub.cfg", "grub.cfg", false}},
     NULL},
    {"BOOTAA64.EFI", "grubaa64.efi", {{"grub.cfg", "grub.cfg", false}}, NULL},
    {"BOOTAA64.EFI", "systemd-bootaa64.efi", {{NULL, NULL, false}}, NULL},
};

/* --- what is to be copied
 * ------------------------------------------------------------------ */
struct copies {
    char *from[COPIES_MAX], *to[COPIES_MAX];
    size_t count;
};

static void copies_free(struct copies *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->from[i]);
        free(c->to[i]);
    }
}

static void add_copy(struct copies *c, char *from, char *to)
{
    if (c->count == COPIES_MAX) {
        free(from);
        free(to);
        return;
    }
    c->from[c->count] = from;
    c->to[c->count++] = to;
}

static bool is_there(struct rh_guest *g, const char *folder, const char *name)
{
    RH_AUTO(rh_freep) char *path = rh_printf("%s/%s", folder, name);

    return rh_guest_exists(g, path);
}

static void add_folder(struct rh_guest *g, struct copies *c, const char *vendor,
                       const char *boot, const char *name)
{
    bool own = !strcmp(name, ".");
    RH_AUTO(rh_freep)
    char *from = own ? rh_strdup(vendor) : rh_printf("%s/%s", vendor, name);
    RH_AUTO(rh_freep)
    char *to = own ? rh_strdup(boot) : rh_printf("%s/%s", boot, name);
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(g, from);

    for (size_t i = 0; names && names[i]; i++) {
        char *path = rh_printf("%s/%s", from, names[i]);

        if (rh_guest_is_dir(g, path))
            free(path);
        else
            add_copy(c, path, rh_printf("%s/%s", to, names[i]));
    }
}

/* Is this loader in the folder, with all that it needs? */
static bool collect(struct rh_guest *g, const struct loader *l,
                    const char *vendor, const char *boot, struct copies *c)
{
    if (!is_there(g, vendor, l->first))
        return false;
    for (size_t i = 0; i < RH_COUNT(l->more); i++)
        if (l->more[i].needed && !is_there(g, vendor, l->more[i].from))
            return false;
    add_copy(c, rh_printf("%s/%s", vendor, l->first),
             rh_printf("%s/%s", boot, l->fallback));
    for (size_t i = 0; i < RH_COUNT(l->more); i++)
        if (l->more[i].from && is_there(g, vendor, l->more[i].from))
            add_copy(c, rh_printf("%s/%s", vendor, l->more[i].from),
                     rh_printf("%s/%s", boot, l->more[i].to));
    if (l->folder)
        add_folder(g, c, vendor, boot, l->folder);
    return true;
}

/* A unified image starts by itself.  Of several the newest by its name. */
static bool collect_unified(struct rh_fix_job *j, const char *top,
                            const char *boot, struct copies *c)
{
    const struct rh_linux *l = rh_linux_of(j);
    const char *best = NULL;

    for (size_t i = 0; i < l->kernels.count; i++) {
        const struct rh_kernel *k = &l->kernels.items[i];

        if (k->unified && !strncmp(k->image, top, strlen(top)) &&
            (!best || strverscmp(k->image, best) > 0))
            best = k->image;
    }
    if (best)
        add_copy(c, rh_strdup(best), rh_printf("%s/BOOTX64.EFI", boot));
    return best != NULL;
}

static bool find_loader(struct rh_fix_job *j, const char *efi, const char *boot,
                        struct copies *c)
{
    RH_AUTO(rh_name_list_freep) char **names = rh_guest_names(j->guest, efi);

    for (size_t k = 0; names && k < RH_COUNT(known); k++)
        for (size_t i = 0; names[i]; i++) {
            RH_AUTO(rh_freep) char *vendor = rh_printf("%s/%s", efi, names[i]);

            if (strcasecmp(names[i], "BOOT") &&
                collect(j->guest, &known[k], vendor, boot, c))
                return true;
        }
    return collect_unified(j, efi, boot, c);
}

/* --- copying
 * ------------------------------------------------------------------ */
static int has_space(struct rh_fix_job *j, const char *folder,
                     const struct copies *c, bool *ret, rh_error **err)
{
    uint64_t need = SPARE, space;
    struct rh_guest_stat st;

    for (size_t i = 0; i < c->count; i++)
        if (j->guest->ops->stat(j->guest, c->from[i], true, &st, NULL) == 0)
            need += st.size;
    if (j->guest->ops->free_space(j->guest, folder, &space, err) < 0)
        return -1;
    *ret = space >= need;
    if (!*ret)
        rh_finding_add(
            j->o->findings, RH_F_GUEST_BOOT_FULL, "os",
            N_("the EFI system partition has no room for a boot loader where "
               "every firmware looks"));
    return 0;
}

static int copy_one(struct rh_fix_job *j, const char *from, const char *to,
                    rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    RH_AUTO(rh_freep)
    char *folder = rh_strndup(to, (size_t)(strrchr(to, '/') - to));
    size_t n;

    if (rh_guest_exists(j->guest, to))
        return 0;
    if (j->guest->ops->make_dir(j->guest, folder, 0755, err) < 0 ||
        j->guest->ops->read(j->guest, from, LOADER_MAX, &bytes, &n, err) < 0)
        return -1;
    return rh_fix_put(j, to, bytes, n, 0644,
                      _("a boot loader where every UEFI firmware looks"), err);
}

static int copy_all(struct rh_fix_job *j, const char *efi,
                    const struct copies *c, bool *ret_done, rh_error **err)
{
    if (has_space(j, efi, c, ret_done, err) < 0)
        return -1;
    if (!*ret_done)
        return 0;
    rh_finding_add(
        j->o->findings, RH_F_GUEST_EFI_FALLBACK, "os",
        N_("%s is copied to %s: the firmware's boot entries stay behind on the "
           "old machine"),
        c->from[0], c->to[0]);
    for (size_t i = 0; i < c->count; i++)
        if (copy_one(j, c->from[i], c->to[i], err) < 0)
            return -1;
    return 0;
}

/* *ret: one is there afterwards. */
static int fallback_on(struct rh_fix_job *j, const char *efi, bool *ret,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *boot = rh_printf("%s/BOOT", efi);
    RH_AUTO(copies_free) struct copies c = {0};

    *ret = true;
    for (size_t k = 0; k < RH_COUNT(known); k++)
        if (is_there(j->guest, boot, known[k].fallback))
            return 0;
    *ret = find_loader(j, efi, boot, &c);
    return *ret ? copy_all(j, efi, &c, ret, err) : 0;
}

/* --- nothing there
 * ------------------------------------------------------------------ */
static bool has_loader(const struct rh_linux *l, const char *name)
{
    for (size_t i = 0; i < l->loaders.count; i++)
        if (!strcmp(l->loaders.items[i], name))
            return true;
    return false;
}

/* BIOS: the code is in sectors outside of any file system; what it reads is a
 * file.  LILO reads none, it knows disks by their old numbers. */
static int check_bios(struct rh_fix_job *j)
{
    static const char *const names[] = {"grub2",    "grub2-bios", "grub-legacy",
                                        "extlinux", "syslinux",   "limine",
                                        "bls"};
    const struct rh_linux *l = rh_linux_of(j);
    struct rh_finding *f;

    for (size_t i = 0; i < RH_COUNT(names); i++)
        if (has_loader(l, names[i]))
            return RH_FIX_OK;
    if (has_loader(l, "lilo")) {
        if (!rh_disk_names_change(j))
            return RH_FIX_OK;
        f = rh_finding_add(
            j->o->findings, RH_F_GUEST_NO_LOADER, "os",
            N_("LILO knows the root device by the old machine's number; its "
               "menu has to be written anew by lilo itself"));
        if (f) {
            free(f->remedy);
            f->remedy = rh_strdup(
                _("choose a disk bus that keeps the name (--set disk0.bus=scsi "
                  "or sata), or start the result from a rescue system, mount "
                  "its root at /mnt, name the new disk in "
                  "/mnt/etc/lilo.conf and run `lilo -r /mnt`"));
        }
        return RH_FIX_NOT_POSSIBLE;
    }
    rh_finding_add(
        j->o->findings, RH_F_GUEST_NO_LOADER, "os",
        N_("no boot loader of a kind that is known was found; what starts the "
           "guest, and whether it does on other hardware, cannot be told"));
    return RH_FIX_NOT_POSSIBLE;
}

int rh_fix_efi_fallback(struct rh_fix_job *j, rh_error **err)
{
    bool there = false;

    if (!j->o->machine->firmware || strcmp(j->o->machine->firmware, "uefi"))
        return check_bios(j);
    for (size_t i = 0; rh_esp_tops[i] && !there; i++) {
        RH_AUTO(rh_freep) char *efi = rh_printf("%s/EFI", rh_esp_tops[i]);

        if (rh_guest_is_dir(j->guest, efi) &&
            fallback_on(j, efi, &there, err) < 0)
            return -1;
    }
    if (there)
        return RH_FIX_OK;
    if (!rh_findings_has(j->o->findings, RH_F_GUEST_BOOT_FULL))
        rh_finding_add(
            j->o->findings, RH_F_GUEST_NO_LOADER, "os",
            N_("there is no EFI/BOOT/BOOTX64.EFI, and no boot loader that "
               "could be copied there; the firmware's own boot entries stay "
               "behind on the old machine"));
    return RH_FIX_NOT_POSSIBLE;
}
