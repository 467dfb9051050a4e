/* engine.h - between opening a guest, detection and fixes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_ENGINE_H
#define RH_GUESTFIX_ENGINE_H

#include "volumes/disks.h"
#include "guestfix/guestfix.h"
#include "guestfix/linux/linux.h"
#include "volumes/volumes.h"

/* Everything about one look into one VM's disks. */
struct rh_session {
    const struct rh_guest_options *o;
    struct rh_disks *disks;
    struct rh_reader **overlays;
    size_t count;
    struct rh_volumes volumes;
    struct rh_guest *guest; /* NULL: none could be opened */
    struct rh_linux os;
    const char *family; /* "linux windows freebsd ..." or NULL */
    const struct rh_profile *profile;
    bool writing; /* fixes will follow */
};

/* A Linux root among the volumes, in-process.  0 with s->guest == NULL and
 * *ret_why (may be NULL: no Linux here) when it cannot be reached so. */
int rh_open_direct(struct rh_session *s, const char **ret_why, rh_error **err);
/* The same by the appliance.  Compiled without libguestfs it says so. */
int rh_open_appliance(struct rh_session *s, const char **ret_why,
                      rh_error **err);

/* The volume that a device's name meant on the old machine; NULL: not known.
 * `root_spec` (may be NULL) is what the guest calls `root`. */
const struct rh_volume *rh_device_find(const struct rh_session *s,
                                       const char *root_spec,
                                       const struct rh_volume *root,
                                       const char *spec);

/* One line of fstab, cut into its fields (which point into `line`). */
struct rh_fstab_entry {
    const char *spec, *path, *type, *options;
};
bool rh_fstab_parse(char *line, struct rh_fstab_entry *ret);
/* What it calls the device of "/"; NULL: nothing. */
char *rh_fstab_root(const char *fstab);
/* The mounts that matter for fixing, as fstab says them. */
bool rh_mount_matters(const char *path, bool *ret_needed);

/* --- fixes -------------------------------------------------------------------
 */
struct rh_fix_job {
    struct rh_session *s;
    struct rh_linux *os;
    struct rh_guest *guest;
    const struct rh_guest_options *o;
    const char *name;  /* of the running fix */
    json_t *arguments; /* of the profile, may be NULL */
    const char
        *root_word; /* what fstab calls the root's device, once asked for */
};
struct rh_fix {
    const char *name;
    int (*run)(struct rh_fix_job *j, rh_error **err);
};
extern const struct rh_fix rh_fixes[]; /* ended by name == NULL */
int rh_run_fixes(struct rh_session *s, rh_error **err);

/* Write a file if it differs from what is there, and record the edit. */
int rh_fix_put(struct rh_fix_job *j, const char *path, const void *bytes,
               size_t n, uint32_t mode, const char *what, rh_error **err);
int rh_fix_drop(struct rh_fix_job *j, const char *path, const char *what,
                rh_error **err);
/* Record only. `before`, `after` are taken. */
void rh_fix_note(struct rh_fix_job *j, const char *path, const char *what,
                 char *before, char *after);
/* Contents as an edit shows them: text, or "sha256:...". */
char *rh_fix_shown(const void *bytes, size_t n);

/* A name that every machine keeps for what `spec` names here: "UUID=...".
 * NULL: `spec` is stable already, or nothing is known (then *ret_lost). */
char *rh_stable_name(struct rh_fix_job *j, const char *spec, bool *ret_lost);

/* An lvm.conf that hides no disk by its name; NULL: it is one already. */
char *rh_without_lvm_filters(const char *text);
/* The .link file that keeps this name, and its path; NULL: none is needed. */
char *rh_nic_link(struct rh_fix_job *j, const struct rh_nic_name *n,
                  char **ret_path);

int rh_fix_fstab(struct rh_fix_job *j, rh_error **err);
int rh_fix_crypttab(struct rh_fix_job *j, rh_error **err);
int rh_fix_boot_arguments(struct rh_fix_job *j, rh_error **err);
int rh_fix_resume(struct rh_fix_job *j, rh_error **err);
int rh_fix_device_map(struct rh_fix_job *j, rh_error **err);
int rh_fix_lvm_filter(struct rh_fix_job *j, rh_error **err);
int rh_fix_initramfs_drivers(struct rh_fix_job *j, rh_error **err);
int rh_fix_initramfs_config(struct rh_fix_job *j, rh_error **err);
int rh_fix_nic_names(struct rh_fix_job *j, rh_error **err);
int rh_fix_nic_macs(struct rh_fix_job *j, rh_error **err);
int rh_fix_console(struct rh_fix_job *j, rh_error **err);
int rh_fix_efi_fallback(struct rh_fix_job *j, rh_error **err);
int rh_fix_vmware_tools(struct rh_fix_job *j, rh_error **err);
int rh_fix_xorg(struct rh_fix_job *j, rh_error **err);
int rh_fix_cloud_init(struct rh_fix_job *j, rh_error **err);

#endif
