/* stage.h - disks that lie at the far end before their VM does: each pass of a
 * warm migration writes what changed into them, and the cutover makes the VM
 * around them.
 *
 * A delivery that can has a row (struct rh_stager) in its rh_deliverer, and
 * takes such disks by rh_delivery_ops.there.  What was made is known by the
 * job's mark, and is nobody's but ours until a VM has it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DELIVER_STAGE_H
#define RH_DELIVER_STAGE_H

#include "base/options.h"
#include "formats/format.h"

struct rh_range {
    uint64_t offset, length;
};

struct rh_stager;
struct rh_stage {
    const struct rh_stager *kind;
    rh_lib *lib;
    const char *out; /* --out; borrowed, as the rest */
    const rh_options *options;
    const char *mark; /* "rehost warm 0123456789abcdef" */
    void *state;
};

struct rh_stager {
    const char *target; /* whose disks it takes: "xen" */
    const char *format; /* rh_delivery_request.format of such a delivery */
    /* Log in.  On failure close() is called. */
    int (*open)(struct rh_stage *s, rh_error **err);
    /* Disk `i`, all zeros; *ret_id is the far end's, to be freed.  One that was
     * made by a run that died is taken. */
    int (*make)(struct rh_stage *s, size_t i, const char *name, uint64_t size,
                char **ret_id, rh_error **err);
    /* Is it there as it was made, and no VM's? */
    int (*look)(struct rh_stage *s, const char *id, uint64_t size, bool *ret,
                rh_error **err);
    /* These ranges of `disk`, ascending, into it; what was sent is added. */
    int (*write)(struct rh_stage *s, const char *id, struct rh_reader *disk,
                 const struct rh_range *ranges, size_t count,
                 uint64_t *ret_sent, rh_error **err);
    /* All of the mark's that no VM has goes. */
    int (*clean)(struct rh_stage *s, rh_error **err);
    void (*close)(struct rh_stage *s); /* also half open */
};

#endif
