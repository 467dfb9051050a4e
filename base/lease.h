/* lease.h - who works on something, as seen from every machine that shares the
 * folder.
 *
 * A lease is a small file that appears by link() (atomic on NFS, too; no lock
 * that another host does not see).  It names its holder: machine id, boot id,
 * pid with its start time, and pid namespace; a thread touches it while it is
 * held.  A holder on this machine, in this pid namespace, is asked for by pid;
 * any other is dead when its lease was not touched for `stale_seconds`, by the
 * file server's own clock.
 *
 * A holder that was stopped for longer than that may lose its lease and not
 * know it yet: what it finishes must still appear by an atomic step (a rename
 * onto a name that must not be there), right after rh_lease_still().  Whoever
 * takes a dead holder's things away renames them before he removes them, and no
 * name comes twice: so of two who both think they are the owner only one finds
 * something to rename. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_LEASE_H
#define RH_BASE_LEASE_H

#include <stdbool.h>

#include "base/error.h"

enum { RH_LEASE_STALE_SECONDS = 60 }; /* the usual bound */

struct rh_lease;

/* Take `name` in the folder `dir`: 1 with *ret, 0 when another holds it and
 * lives (*ret_holder, which may be NULL, is "pid 7 on node1"; the caller
 * frees), -1 when the folder can't be written.  A dead holder's lease is taken
 * over.  Any thread. */
int rh_lease_take(int dir, const char *name, unsigned stale_seconds,
                  struct rh_lease **ret, char **ret_holder, rh_error **err);
/* Has another taken it over, or somebody removed it?  As of the last touch. */
bool rh_lease_lost(struct rh_lease *l);
/* The same as of now: the file is read again. */
bool rh_lease_still(struct rh_lease *l);
/* Remove it if it is still ours, and free.  NULL is fine. */
void rh_lease_release(struct rh_lease *l);
RH_FREEP(rh_lease_releasep, struct rh_lease, rh_lease_release)

/* Is it a lease at all?  A folder, a FIFO, another's file is none. */
bool rh_lease_is_one(int dir, const char *name);
/* Without taking it: is there a holder that lives?  *ret_holder as above.  By
 * the file server's clock wherever a file without a name can be made. */
bool rh_lease_held(int dir, const char *name, unsigned stale_seconds,
                   char **ret_holder);

#endif
