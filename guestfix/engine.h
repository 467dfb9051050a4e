/* engine.h - between opening a guest, detection and fixes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_ENGINE_H
#define RH_GUESTFIX_ENGINE_H

#include "guestfix/family.h"
#include "volumes/disks.h"
#include "volumes/volumes.h"

/* Everything about one look into one VM's disks. */
struct rh_session {
    const struct rh_guest_options *o;
    struct rh_disks *disks;
    struct rh_reader **overlays;
    size_t count;
    struct rh_volumes volumes;
    struct rh_guest *guest;         /* NULL: none could be opened */
    const struct rh_family *family; /* of the guest; NULL with it */
    void *facts;                    /* the family's */
    struct rh_system system;
    const char *family_name; /* "linux windows freebsd ..." or NULL */
    const char *shipped, *shipped_family; /* known by volumes alone, or NULL */
    char *closed_why; /* why a pool or Solaris' UFS was not read; or NULL */
    const struct rh_profile *profile;
    bool writing; /* fixes will follow */
    /* Volumes whose program is not installed are read by the appliance; it, or
     * why it did not start. */
    bool by_appliance;
    struct rh_appliance *appliance;
    char *appliance_why;
};

/* A root among the volumes, in-process.  0 with s->guest == NULL and *ret_why
 * (may be NULL: no system is here) when it cannot be reached so. */
int rh_open_direct(struct rh_session *s, const char **ret_why, rh_error **err);
/* Which subvolume of the volume with that number is a root, as that would have
 * it: the option to mount it by.  NULL: it has none, or is not read here. */
char *rh_root_subvolume(const struct rh_session *s, size_t volume);
/* The same by the appliance.  Compiled without libguestfs it says so. */
int rh_open_appliance(struct rh_session *s, const char **ret_why,
                      rh_error **err);

/* May a root of this family lie on it, by its content? */
bool rh_may_hold_root(const struct rh_family *f, const struct rh_volume *v);

/* remedies.c: what a finding advises has to be there on the target. */
void rh_fit_remedies(const struct rh_session *s);

/* fixing.c: those of the profile, and those that were asked for.  How each
 * ended goes into the facts.  -1 when something outside the guest failed. */
int rh_run_fixes(struct rh_session *s, struct rh_guest_facts *facts,
                 rh_error **err);

#endif
