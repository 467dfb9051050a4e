/* fixes.h - the edits that a Linux guest may need, one function a fix; the
 * table is in ../family.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_FIXES_FIXES_H
#define RH_GUESTFIX_LINUX_FIXES_FIXES_H

#include "guestfix/engine.h"
#include "guestfix/linux/linux.h"

static inline struct rh_linux *rh_linux_of(const struct rh_fix_job *j)
{
    return j->facts;
}

/* A name that every machine keeps for what `spec` names here: "UUID=...".
 * NULL: `spec` is stable already, or nothing is known (then *ret_lost). */
char *rh_stable_name(struct rh_fix_job *j, const char *spec, bool *ret_lost);

/* The volume that a name in a configuration file meant; NULL: none here. */
const struct rh_volume *rh_volume_of(struct rh_fix_job *j, const char *spec);
/* Tell the files below /etc that name disks by what changes. */
int rh_scan_etc(struct rh_fix_job *j, rh_error **err);
/* May /dev/sda and the like be another disk on the new machine? */
bool rh_scan_plain(const struct rh_fix_job *j);
/* Tell the lines of fstab that cannot succeed here. */
void rh_say_lost_mounts(struct rh_fix_job *j);

/* No run level starts it any more. */
int rh_stop_service(struct rh_fix_job *j, const char *service, const char *what,
                    rh_error **err);

/* Will the disks have other names than they had under VMware? */
bool rh_disk_names_change(const struct rh_fix_job *j);

/* Texts with lasting names in place of those that change; NULL: nothing
 * changes.  `path` is for findings.  Fields count from 0. */
char *rh_edit_table(struct rh_fix_job *j, const char *path, const char *text,
                    unsigned n);
char *rh_edit_arguments(struct rh_fix_job *j, const char *path,
                        const char *text, bool consoles);
/* filters.c.  An mdadm.conf that looks at every device; NULL: it is one
 * already. */
char *rh_without_md_devices(struct rh_fix_job *j, const char *text);

/* An lvm.conf that hides no disk by its name; NULL: it is one already.  Without
 * j what the new machine calls them is not known. */
char *rh_without_lvm_filters(struct rh_fix_job *j, const char *text);
/* The .link file that keeps this name, and its path; NULL: none is needed. */
char *rh_nic_link(struct rh_fix_job *j, const struct rh_nic_name *n,
                  char **ret_path);

int rh_fix_fstab(struct rh_fix_job *j, rh_error **err);
int rh_fix_fstab_nofail(struct rh_fix_job *j, rh_error **err);
int rh_fix_crypttab(struct rh_fix_job *j, rh_error **err);
int rh_fix_boot_arguments(struct rh_fix_job *j, rh_error **err);
int rh_fix_resume(struct rh_fix_job *j, rh_error **err);
int rh_fix_device_map(struct rh_fix_job *j, rh_error **err);
int rh_fix_lvm_filter(struct rh_fix_job *j, rh_error **err);
int rh_fix_initramfs_drivers(struct rh_fix_job *j, rh_error **err);
int rh_fix_initramfs_config(struct rh_fix_job *j, rh_error **err);
int rh_fix_nic_names(struct rh_fix_job *j, rh_error **err);
int rh_fix_nic_macs(struct rh_fix_job *j, rh_error **err);
int rh_fix_modprobe(struct rh_fix_job *j, rh_error **err);
int rh_fix_console(struct rh_fix_job *j, rh_error **err);
int rh_fix_efi_fallback(struct rh_fix_job *j, rh_error **err);
int rh_fix_vmware_tools(struct rh_fix_job *j, rh_error **err);
int rh_fix_xorg(struct rh_fix_job *j, rh_error **err);
int rh_fix_cloud_init(struct rh_fix_job *j, rh_error **err);

/* rebuild.c: what to type in the guest so that the kernel's initramfs gets
 * these modules; NULL where no command is known.  The caller frees. */
char *rh_rebuild_command(const struct rh_linux *l, const struct rh_kernel *k,
                         const char *const *names, size_t n);

#endif
