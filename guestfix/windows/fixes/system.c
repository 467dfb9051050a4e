/* system.c - VMware's tools keep still, and UEFI finds Windows without an entry
 * of its own. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "guestfix/windows/fixes/fixes.h"

enum { DISABLED = 4, LOADER_MAX = 16 * 1024 * 1024 };

/* --- VMware's tools ----------------------------------------------------------
 * User services, and drivers that bind no device.  No driver of a disk, a card
 * or a pointer is among them, and none is ever removed; vmci and vsock are boot
 * drivers that bind nothing here, and do no harm. */
static int take_off_order(struct rh_hive_edit *e, const char *set,
                          rh_error **err)
{
    RH_AUTO(rh_freep)
    char *path = rh_printf("%s\\Control\\NetworkProvider\\Order", set);
    RH_AUTO(rh_freep)
    char *order =
        rh_hive_text(e->h, rh_hive_key(e->h, 0, path), "ProviderOrder");
    RH_AUTO(rh_buf_free) struct rh_buf left = {0};
    char *save, *word;

    if (!order || !strcasestr(order, "vmhgfs"))
        return 0;
    for (word = strtok_r(order, ",", &save); word;
         word = strtok_r(NULL, ",", &save))
        if (strcasecmp(word, "vmhgfs"))
            rh_buf_printf(&left, "%s%s", left.length ? "," : "", word);
    return rh_hive_set_text(e, path, "ProviderOrder", hive_t_REG_SZ,
                            left.data ? left.data : "", err);
}

static int switch_off(struct rh_hive_edit *e, const char *set, rh_error **err)
{
    const struct rh_windows *w = rh_win_of(e->j);

    for (size_t i = 0; i < w->vmware_services.count; i++) {
        RH_AUTO(rh_freep)
        char *path =
            rh_printf("%s\\Services\\%s", set, w->vmware_services.items[i]);

        if (rh_hive_key(e->h, 0, path) &&
            rh_hive_set_number(e, path, "Start", DISABLED, err) < 0)
            return -1;
    }
    return take_off_order(e, set, err);
}

int rh_fix_win_vmware_tools(struct rh_fix_job *j, rh_error **err)
{
    const struct rh_windows *w = rh_win_of(j);
    RH_AUTO(rh_hive_closep) struct rh_hive *system = NULL;
    struct rh_hive_edit e = {
        .j = j, .what = _("VMware's tools do not start on another machine")};
    size_t pages;

    if (!rh_win_can_edit(j))
        return RH_FIX_NOT_POSSIBLE;
    if (!w->vmware_services.count)
        return 0;
    e.h = system = rh_win_open(w, "SYSTEM", &pages, err);
    if (!system)
        return -1;
    for (size_t i = 0; i < w->sets.count; i++)
        if (switch_off(&e, w->sets.items[i], err) < 0)
            return -1;
    rh_finding_add(j->o->findings, RH_F_GUEST_VMWARE_TOOLS, "os",
                   N_("VMware's tools are installed; their services are "
                      "switched off, their drivers stay"));
    return rh_hive_commit(&e, err);
}

/* --- the loader that every UEFI tries ----------------------------------------
 * Windows' own boot entry stays in the old machine's NVRAM. */
static const char loader[] = RH_WIN_ESP "/EFI/Microsoft/Boot/bootmgfw.efi";

static const char *fallback_of(const char *pe, size_t n)
{
    uint32_t at = n >= 64 && !memcmp(pe, "MZ", 2) ? rh_le32(pe + 60) : 0;

    if (!at || n < 6 || at > n - 6 || memcmp(pe + at, "PE\0", 4))
        return NULL;
    switch (rh_le16(pe + at + 4)) {
    case 0x8664:
        return "bootx64.efi";
    case 0x14c:
        return "bootia32.efi";
    case 0xaa64:
        return "bootaa64.efi";
    default:
        return NULL;
    }
}

int rh_fix_win_efi_fallback(struct rh_fix_job *j, rh_error **err)
{
    RH_AUTO(rh_freep) void *bytes = NULL;
    RH_AUTO(rh_freep) char *path = NULL;
    const char *name;
    size_t n;

    if (!rh_guest_exists(j->guest, loader))
        return 0;
    if (j->guest->ops->read(j->guest, loader, LOADER_MAX, &bytes, &n, err) < 0)
        return -1;
    name = fallback_of(bytes, n);
    if (!name)
        return 0;
    /* One that is there is kept: it may be another system's. */
    path = rh_printf(RH_WIN_ESP "/EFI/Boot/%s", name);
    if (rh_guest_exists(j->guest, path))
        return 0;
    if (j->guest->ops->make_dir(j->guest, RH_WIN_ESP "/EFI/Boot", 0755, err) <
            0 ||
        rh_fix_put(j, path, bytes, n, 0644,
                   _("Windows' boot manager, where every UEFI firmware looks"),
                   err) < 0)
        return -1;
    rh_finding_add(j->o->findings, RH_F_GUEST_EFI_FALLBACK, "os",
                   N_("Windows' boot manager is put at EFI/Boot/%s, where "
                      "every UEFI firmware looks"),
                   name);
    return 0;
}
