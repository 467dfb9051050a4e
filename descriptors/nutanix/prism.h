/* prism.h - between prism.c (one VM's answer) and prism_kinds.c (what stands
 * around it, and which version it is). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_NUTANIX_PRISM_H
#define RH_DESCRIPTORS_NUTANIX_PRISM_H

#include "descriptors/fill.h"

enum rh_prism_kind {
    RH_PRISM_V1,
    RH_PRISM_V2,
    RH_PRISM_V3,
    RH_PRISM_V4,
    RH_PRISM_ACLI,
    RH_PRISM_KINDS
};

/* One VM's answer, and the objects in which a path is looked for in turn: a v3
 * answer may repeat lists in its status only. */
struct rh_prism_answer {
    struct rh_fill *f;
    struct rh_fill_vm *to;
    enum rh_prism_kind kind;
    enum rh_from from; /* of the values: set by rh_prism_read() */
    const json_t *in[3];
};

/* "boot/uefi_boot" below an object, or NULL; null counts as absent. */
const json_t *rh_prism_at(const json_t *o, const char *path);
/* Fill in a->to from a->in. */
void rh_prism_read(struct rh_prism_answer *a);
/* Tell that what stands at `path` is of the wrong type. */
void rh_prism_wrong(struct rh_prism_answer *a, const char *path,
                    const json_t *v);
/* Tell of every block and list that is something else. */
void rh_prism_check(struct rh_prism_answer *a, const json_t *o);

#endif
