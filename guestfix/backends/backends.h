/* backends.h - the ways to a guest's files, one row each (backends.c).
 *
 * A row opens one volume in-process, and the guest is put together from such
 * volumes; or it opens the whole guest (the appliance).  Reading and editing
 * are abilities of their own: what can only be read is looked into, and its
 * fixes are not possible. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_BACKENDS_H
#define RH_GUESTFIX_BACKENDS_BACKENDS_H

#include "guestfix/backends/fs.h"
#include "guestfix/engine.h"

enum {
    RH_CAN_READ = 1,
    RH_CAN_WRITE = 2,
    /* Edits are refused as not fitting (GUEST_IN_PLACE), and the fixes tell
     * what to do by hand. */
    RH_CAN_REFUSE = 4
};

struct rh_backend {
    const char *name; /* "ext" */
    unsigned abilities;
    /* By what is known without opening it. */
    bool (*probe)(const struct rh_session *s, const struct rh_volume *v);
    rh_fs_opener *open; /* one volume; NULL: one of these is there */
    /* Likewise, by the session's appliance; its fs has go_back(). */
    struct rh_fs *(*open_by)(struct rh_session *s, const struct rh_volume *v,
                             const char **ret_why, rh_error **err);
    int (*open_guest)(struct rh_session *s, const char **ret_why,
                      rh_error **err);
};
extern const struct rh_backend rh_backends[];      /* ended by name == NULL */
extern const struct rh_backend rh_scratch_backend; /* of rh_scratch_new() */

struct rh_fs *rh_backend_open(const struct rh_backend *b, struct rh_disks *d,
                              const struct rh_volume *v, const char **ret_why,
                              rh_error **err);
/* Can it be read by the appliance alone, and may that be started?  For such
 * volumes s->by_appliance has to be set. */
bool rh_left_to_appliance(const struct rh_session *s,
                          const struct rh_volume *v);
/* The volume by the first back end that reads its kind; NULL as rh_fs_opener
 * says. */
struct rh_fs *rh_volume_open(struct rh_session *s, const struct rh_volume *v,
                             const char **ret_why, rh_error **err);

/* appliance_start.c: is libguestfs here?  Did this one open a whole guest?  And
 * the session's, at its end: to who looks next, or away. */
bool rh_appliance_is_here(void);
bool rh_appliance_is_whole(const struct rh_appliance *a);
void rh_appliance_leave(struct rh_session *s);
/* appliance_ntfs.c */
struct rh_fs *rh_ntfs_in_appliance(struct rh_session *s,
                                   const struct rh_volume *v,
                                   const char **ret_why, rh_error **err);

#endif
