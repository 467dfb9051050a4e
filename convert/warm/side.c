/* side.c - the source of a warm migration, open for one step.
 *
 * A lone disk (a file, a device, nbd://) or a package is simply read again:
 * what changed isn't told, so all of it is compared with the digests. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "convert/warm/warm.h"

int rh_warm_side_open(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    rh_options *o = rh_warm_options(w->j.options, false);

    s->package = rh_package_load(w->lib, w->j.source, o, err);
    rh_options_free(o);
    if (!s->package)
        return -1;
    if (s->package->vms.count == 1)
        return 0;
    rh_fail(err, RH_ERR_USAGE, "%zu VMs are in it; a job is for one",
            s->package->vms.count);
    return rh_hint(err, "say which one with --vm");
}

void rh_warm_side_close(struct rh_warm_side *s)
{
    rh_package_unload(s->package);
    s->package = NULL;
}

int rh_warm_side_check(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    (void)w, (void)s, (void)err;
    return 0;
}

/* Nobody holds it still: an interrupted round begins again. */
int rh_warm_side_freeze(rh_warm *w, struct rh_warm_side *s, bool last,
                        bool *ret_same, rh_error **err)
{
    (void)w, (void)s, (void)last, (void)err;
    *ret_same = false;
    return 0;
}

int rh_warm_side_thaw(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    (void)w, (void)s, (void)err;
    return 0;
}

struct rh_reader *rh_warm_side_disk(rh_warm *w, struct rh_warm_side *s,
                                    size_t i, bool last, rh_error **err)
{
    (void)w, (void)last;
    return rh_package_disk(s->package, 0, i, err);
}

int rh_warm_side_areas(rh_warm *w, struct rh_warm_side *s, size_t i, bool last,
                       rh_pass_areas *ret, bool *ret_known, rh_error **err)
{
    (void)w, (void)s, (void)i, (void)last, (void)ret, (void)err;
    *ret_known = false;
    return 0;
}

bool rh_warm_side_looks(const struct rh_warm_side *s)
{
    (void)s;
    return true;
}

/* Whoever gives us a disk stops what writes it. */
int rh_warm_side_stop(rh_warm *w, struct rh_warm_side *s, const rh_options *o,
                      rh_error **err)
{
    (void)w, (void)s;
    if (!rh_option_yes(o, "power-off"))
        return 0;
    return rh_fail(err, RH_ERR_USAGE,
                   "--power-off is for VMs of a platform: a disk's own VM is "
                   "yours to stop");
}

int rh_warm_side_retire(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    (void)w, (void)s, (void)err;
    return 0;
}

int rh_warm_side_clean(rh_warm *w, struct rh_warm_side *s, rh_error **err)
{
    (void)w, (void)s, (void)err;
    return 0;
}
