/* family.c - Windows as a family of guests: its root, its facts, its fixes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "guestfix/windows/fixes/fixes.h"

static const char *const root_types[] = {"ntfs", NULL};
static const char esp_type[] = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

static int rank(struct rh_guest *g)
{
    if (rh_guest_exists(g, "/Windows/System32/config/SYSTEM"))
        return 5 + rh_guest_exists(g, "/Windows/System32/config/SOFTWARE") +
               rh_guest_exists(g, "/Windows/explorer.exe");
    return rh_guest_exists(g, "/WINNT/System32/config/SYSTEM") ? 5 : 0;
}

/* The EFI system partition, and the small volume that BIOS starts from. */
static int mounts(struct rh_mounting *m, rh_error **err)
{
    const struct rh_volumes *v = &m->s->volumes;
    struct rh_mount_wish esp = {.path = RH_WIN_ESP};
    struct rh_mount_wish loader = {.path = RH_WIN_LOADER};

    for (size_t i = 0; i < v->all.count; i++) {
        const struct rh_volume *one = &v->all.items[i];

        if (one->disk != m->root_volume->disk)
            continue;
        if (one->part_type && !strcmp(one->part_type, esp_type) && !esp.volume)
            esp.volume = one;
        if (one->bootable && one != m->root_volume && !loader.volume)
            loader.volume = one;
    }
    if (esp.volume && m->add(m, &esp, err) < 0)
        return -1;
    return loader.volume ? m->add(m, &loader, err) : 0;
}

/* Licences go by the hardware's UUID: the new machine has the one that Windows
 * knows. */
static void keep_uuid(const struct rh_windows *w, struct rh_vm *vm)
{
    char *seen;

    if (!w->smbios_uuid)
        return;
    seen = rh_arena_strdup(vm->arena, w->smbios_uuid);
    for (char *p = seen; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    vm->seen_uuid = seen;
    if (vm->uuid.kind == RH_VALUE_UNSET &&
        rh_vm_uuid_seen(vm) != RH_UUID_UNSEEN)
        rh_set_text(vm, &vm->uuid, seen, RH_FROM_GUEST, "HardwareConfig");
}

static int detect(struct rh_session *s, void **ret_facts, struct rh_system *ret,
                  rh_error **err)
{
    struct rh_windows *w = rh_new0(struct rh_windows);

    *ret_facts = w;
    if (rh_win_detect(w, s, err) < 0)
        return -1;
    if (s->o->vm) {
        rh_win_match_nics(w, s->o->vm);
        keep_uuid(w, s->o->vm);
    }
    *ret = (struct rh_system){
        .id = w->kind && !strcmp(w->kind, "server") ? "windows-server"
                                                    : "windows",
        .version = w->version,
        .name = w->product,
        .hostname = w->hostname,
        .clock = !w->readable ? NULL
                 : w->utc     ? "utc"
                              : "localtime",
        .clock_where = w->utc ? "RealTimeIsUniversal" : NULL};
    return 0;
}

static json_t *facts_json(const void *facts)
{
    return rh_win_json(facts);
}

static void facts_free(void *facts)
{
    rh_win_free(facts);
    free(facts);
}

static const struct rh_fix fixes[] = {
    {"windows.virtio", RH_STAKE_COMFORT, rh_fix_win_virtio},
    {"windows.boot-start", RH_STAKE_BOOT, rh_fix_win_boot_start},
    {"windows.efi-fallback", RH_STAKE_BOOT, rh_fix_win_efi_fallback},
    {"windows.vmware-tools", RH_STAKE_COMFORT, rh_fix_win_vmware_tools},
    {"windows.first-boot", RH_STAKE_NETWORK, rh_fix_win_first_boot},
    {NULL, RH_STAKE_COMFORT, NULL},
};

const struct rh_family rh_windows_family = {
    .name = "windows",
    .root_types = root_types,
    .volumes = rh_win_say_volumes,
    .rank = rank,
    .mounts = mounts,
    .detect = detect,
    .facts_json = facts_json,
    .facts_free = facts_free,
    .fixes = fixes,
};
