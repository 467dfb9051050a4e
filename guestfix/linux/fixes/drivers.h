/* drivers.h - which drivers a kernel lacks for the new machine. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_LINUX_FIXES_DRIVERS_H
#define RH_GUESTFIX_LINUX_FIXES_DRIVERS_H

#include "guestfix/linux/fixes/fixes.h"

/* What a kernel offers. */
struct rh_modules {
    char *folder;  /* "/lib/modules/6.1.0-18-amd64" */
    char *dep;     /* modules.dep */
    char *builtin; /* modules.builtin; NULL: older than that file */
    char *config;  /* /boot/config-VERSION, where there is no such file */
};

/* What is to be added: names as wanted, files relative to the folder. */
struct rh_addition {
    RH_VEC(const char *) names;
    RH_VEC(char *) files;
    RH_VEC(const char *) unavailable; /* needed, and nowhere */
    bool needed;                      /* a driver of the boot disk is missing */
};

void rh_modules_open(const struct rh_linux *l, const char *version,
                     struct rh_modules *ret);
void rh_modules_free(struct rh_modules *m);
bool rh_module_builtin(const struct rh_modules *m, const char *module);
bool rh_nic_driver_in(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_modules *m);
/* By the profile's lists, for the job's machine. */
void rh_addition_plan(struct rh_fix_job *j, const struct rh_kernel *k,
                      const struct rh_modules *m, struct rh_addition *ret);
/* The files of all that has to be in one segment: what is missing, and what a
 * segment of ours that is replaced held. */
void rh_addition_files(struct rh_addition *a, const struct rh_kernel *k,
                       const struct rh_modules *m);
void rh_addition_free(struct rh_addition *a);
/* "a b c" */
char *rh_addition_joined(const char *const *words, size_t n);

#endif
