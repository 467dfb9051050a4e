/* appliance.h - libguestfs' appliance: who starts it, and what is asked of it.
 *
 * It opens a whole guest (appliance.c), or single volumes where the program
 * that reads them is not installed (appliance_ntfs.c).  The library is loaded
 * when it is first needed; each file has a table of the calls it makes. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_APPLIANCE_H
#define RH_GUESTFIX_BACKENDS_APPLIANCE_H

#include "guestfix/backends/backends.h"

#ifdef HAVE_LIBGUESTFS

#include <guestfs.h>
#include <pthread.h>
#include <stdatomic.h>

#include "guestfix/backends/nbd_server.h"

struct app_mount {
    char *options, *device, *path;
};

struct rh_appliance {
    guestfs_h *g;
    RH_VEC(struct app_mount) mounted; /* of a whole guest, in this order */
    /* Read one by one; theirs alone is what it points to. */
    RH_VEC(struct app_volume *) volumes;
    struct rh_nbd_server *server;
    const char *no_kvm;         /* why it runs in software emulation */
    char *kept;                 /* the folder of the one that is started */
    struct rh_appliance **keep; /* where it goes instead of ending */
    bool whole;                 /* it opened a guest as a whole */
    bool stuck;                 /* it holds on to a volume: of no more use */
    atomic_uint calls;          /* so many were made; 0: none is waited for */
    /* Of the thread that starts it, until `started`. */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool started, abandoned;
    int result;
    char *why; /* it did not start */
};

/* The session's, one that looking left, or a new one; NULL with err. */
struct rh_appliance *rh_appliance_take(struct rh_session *s, rh_error **err);
/* The session's, for single volumes; NULL with *ret_why (its own text), or with
 * err, when the user cancels. */
struct rh_appliance *rh_appliance_of(struct rh_session *s, const char **ret_why,
                                     rh_error **err);
/* All of a file that has this size; NULL: it failed. */
char *rh_appliance_read(struct rh_appliance *a, const char *path, uint64_t size,
                        size_t *ret_n);
/* Over an old file its inode stays, with all that hangs on it. */
int rh_appliance_upload(struct rh_appliance *a, const char *path,
                        const void *bytes, size_t n, rh_error **err);
void rh_appliance_forget_mounts(struct rh_appliance *a);
/* For somebody later; until then it may be quiet. */
struct rh_appliance *rh_appliance_resting(struct rh_appliance *a);
/* A call failed: by a disk, or else what libguestfs says of it. */
int rh_appliance_failed(struct rh_appliance *a, const char *what,
                        rh_error **err);
#ifdef __clang_analyzer__ /* it does not look in here */
#define rh_appliance_failed(...) (rh_appliance_failed(__VA_ARGS__), -1)
#endif
/* The volume as the appliance calls it; NULL: it has no name for it. */
char *rh_appliance_device(const struct rh_volume *v);

#endif
#endif
