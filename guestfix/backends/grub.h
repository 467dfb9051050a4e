/* grub.h - GRUB's reader of file systems, grub-fstest: a program that is run,
 * in a sandbox (zfs/README.md). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_GRUB_H
#define RH_GUESTFIX_BACKENDS_GRUB_H

#include "volumes/disks.h"

struct rh_grub;

/* For these volumes, which GRUB calls (loop0), (loop1) ...; they are borrowed.
 * NULL and *ret_why (static, translated): it is not there. */
struct rh_grub *rh_grub_new(struct rh_disks *d,
                            const struct rh_volume *const *volumes,
                            size_t count, const char **ret_why);
void rh_grub_free(struct rh_grub *g);

/* What one command ("ls", "-l" ...; NULL-ended) printed; at most `limit` bytes,
 * more is an error.  *ret_failed: the program itself said so, and
 * `complaints` has what it said printed as well.  When a run ends otherwise
 * than by its own will, all later ones are refused. */
struct rh_grub_output {
    char *bytes; /* yours; a NUL stands behind them */
    size_t size;
    bool failed;
};
int rh_grub_run(struct rh_grub *g, const char *const *words, bool complaints,
                uint64_t limit, struct rh_grub_output *ret, rh_error **err);

#endif
