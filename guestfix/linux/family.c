/* family.c - Linux as a family of guests: its root, its facts, its fixes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfix/linux/family.h"

#include "guestfix/linux/fixes/fixes.h"
#include "guestfix/linux/fstab.h"

#include <stdlib.h>

static const char *const root_types[] = {
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "reiserfs", "jfs", NULL};

static int rank(struct rh_guest *g)
{
    int n = 0;

    /* What boots is a folder below it. */
    if (rh_guest_is_dir(g, "/ostree/repo"))
        return 3;
    if (!rh_guest_is_dir(g, "/etc"))
        return 0;
    n += rh_guest_exists(g, "/etc/fstab");
    n += rh_guest_exists(g, "/etc/os-release") ||
         rh_guest_exists(g, "/usr/lib/os-release") ||
         rh_guest_exists(g, "/etc/redhat-release") ||
         rh_guest_exists(g, "/etc/debian_version") ||
         rh_guest_exists(g, "/etc/SuSE-release");
    if (!n)
        return 0;
    n += rh_guest_is_dir(g, "/lib/modules") ? 2 : 0;
    return n + rh_guest_exists(g, "/sbin/init");
}

static int detect(struct rh_session *s, void **ret_facts, struct rh_system *ret,
                  rh_error **err)
{
    struct rh_linux *l = rh_new0(struct rh_linux);

    *ret_facts = l;
    l->guest = s->guest;
    l->lib = s->o->lib;
    l->volumes = &s->volumes;
    l->vm = s->o->vm;
    if (rh_linux_detect(l, s->o, err) < 0)
        return -1;
    if (s->o->vm)
        rh_linux_match_nics(l, s->o->vm);
    *ret = (struct rh_system){.id = l->id,
                              .version = l->version,
                              .name = l->pretty,
                              .hostname = l->hostname,
                              .clock = l->clock,
                              .clock_where = l->clock_where,
                              .timezone = l->timezone};
    return 0;
}

static json_t *facts_json(const void *facts)
{
    return rh_linux_json(facts);
}

static void facts_free(void *facts)
{
    rh_linux_free(facts);
    free(facts);
}

static const struct rh_fix fixes[] = {
    {"linux.fstab", RH_STAKE_BOOT, rh_fix_fstab},
    {"linux.fstab-nofail", RH_STAKE_COMFORT, rh_fix_fstab_nofail},
    {"linux.crypttab", RH_STAKE_BOOT, rh_fix_crypttab},
    {"linux.boot-arguments", RH_STAKE_BOOT, rh_fix_boot_arguments},
    {"linux.resume", RH_STAKE_COMFORT, rh_fix_resume},
    {"linux.device-map", RH_STAKE_COMFORT, rh_fix_device_map},
    {"linux.lvm-filter", RH_STAKE_BOOT, rh_fix_lvm_filter},
    {"linux.initramfs-drivers", RH_STAKE_BOOT, rh_fix_initramfs_drivers},
    {"linux.initramfs-config", RH_STAKE_COMFORT, rh_fix_initramfs_config},
    {"linux.nic-names", RH_STAKE_NETWORK, rh_fix_nic_names},
    {"linux.nic-macs", RH_STAKE_NETWORK, rh_fix_nic_macs},
    {"linux.modprobe", RH_STAKE_COMFORT, rh_fix_modprobe},
    {"linux.console", RH_STAKE_COMFORT, rh_fix_console},
    {"linux.efi-fallback", RH_STAKE_BOOT, rh_fix_efi_fallback},
    {"linux.vmware-tools", RH_STAKE_COMFORT, rh_fix_vmware_tools},
    {"linux.xorg", RH_STAKE_COMFORT, rh_fix_xorg},
    {"linux.cloud-init", RH_STAKE_NETWORK, rh_fix_cloud_init},
    {NULL, RH_STAKE_COMFORT, NULL},
};

const struct rh_family rh_linux_family = {
    .name = "linux",
    .root_types = root_types,
    .shipped = rh_linux_shipped,
    .rank = rank,
    .mounts = rh_linux_mounts,
    .root_options = rh_linux_root_options,
    .detect = detect,
    .facts_json = facts_json,
    .facts_free = facts_free,
    .fixes = fixes,
};
