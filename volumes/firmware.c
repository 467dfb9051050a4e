/* firmware.c - by which firmware does a disk start? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volumes/diskfacts.h"

/* The rules, strongest signs first. */
struct rh_boot_verdict rh_boot_judge(const struct rh_disk_facts *f)
{
    bool uefi = f->esp && f->efi_folder;

    if (uefi && !f->bios_boot && f->table == RH_TABLE_GPT)
        return (struct rh_boot_verdict){"uefi", N_("EFI system partition"),
                                        true};
    if (f->bios_boot && !uefi)
        return (struct rh_boot_verdict){"bios", N_("BIOS boot partition"),
                                        true};
    if (f->bios_boot && f->efi_loader)
        return (struct rh_boot_verdict){
            "uefi", N_("EFI system partition with a boot loader"), false};
    if (f->bios_boot)
        return (struct rh_boot_verdict){"bios", N_("BIOS boot partition"),
                                        false};
    if (f->table == RH_TABLE_MBR && uefi && !(f->boot_code && f->active))
        return (struct rh_boot_verdict){"uefi", N_("EFI system partition"),
                                        false};
    if (f->table != RH_TABLE_NONE && f->boot_code &&
        !(f->table == RH_TABLE_GPT && f->windows))
        return (struct rh_boot_verdict){"bios", N_("boot code"),
                                        f->table == RH_TABLE_MBR && !f->esp};
    return (struct rh_boot_verdict){NULL, NULL, false};
}
