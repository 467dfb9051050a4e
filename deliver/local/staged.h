/* staged.h - volumes that lie on the node before their VM does: what root knows
 * of them between the passes of a warm migration.
 *
 * One file for each job, in a folder into which only root writes, and which
 * outlives the machine: the number of the VM to come, which other runs leave
 * alone, and each volume, noted before it is made. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_LOCAL_STAGED_H
#define RH_DELIVER_LOCAL_STAGED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum { RH_STAGED_MARK = 16, RH_STAGED_DISKS = 64 };

struct rh_staged_volume {
    char *name; /* "tank:vm-100-disk-0-0123456789abcdef"; NULL: not made */
    char *id;   /* as the storage calls it, once it was seen there */
    uint64_t size;
};
struct rh_staged {
    int folder, fd;
    char mark[RH_STAGED_MARK + 1]; /* of the job; "" while nothing is open */
    char *vmid;                    /* NULL: none yet */
    RH_VEC(struct rh_staged_volume) volumes; /* by the disk's number */
};

/* Of a job with that mark (16 hex digits) on that storage; a new one with
 * `make`.  1, or 0: there is none.  HTTP_BUSY while another run has it. */
int rh_staged_open(struct rh_staged *s, const char *storage, const char *mark,
                   bool make, rh_error **err);
/* What is noted; false: that is no such file. */
bool rh_staged_parse(struct rh_staged *s, const char *storage, char *text);
/* Begin anew, with this number. */
int rh_staged_begin(struct rh_staged *s, const char *storage, const char *vmid,
                    rh_error **err);
/* On the medium when it returns. */
int rh_staged_note(struct rh_staged *s, size_t disk, uint64_t size,
                   const char *name, rh_error **err);
/* The volume of that name and size; NULL: none of ours. */
struct rh_staged_volume *rh_staged_find(const struct rh_staged *s,
                                        const char *name, uint64_t size);
void rh_staged_end(struct rh_staged *s); /* nothing is noted any more */
void rh_staged_close(struct rh_staged *s);
/* Does a job, other than the one with `mark` (or NULL), hold that number? */
bool rh_staged_holds(const char *vmid, const char *mark);

#endif
