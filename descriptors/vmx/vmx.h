/* vmx.h - the lines of a VMX, between vmx_text.c, vmx_disks.c and vmx.c. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_VMX_VMX_H
#define RH_DESCRIPTORS_VMX_VMX_H

#include "package/descriptor.h"

struct rh_vmx_entry {
    const char *key; /* lower case */
    const char *value;
    size_t order;
};
struct rh_vmx {
    struct rh_arena *arena;
    RH_VEC(struct rh_vmx_entry) entries; /* by key, each once */
    const char *unknown_encoding;
    size_t bad_lines, first_bad;
    size_t repeated;          /* keys that stand more than once */
    const char *repeated_key; /* one of them */
};
int rh_vmx_read(struct rh_vmx *v, const char *text, size_t n, rh_error **err);
void rh_vmx_free(struct rh_vmx *v); /* also for RH_AUTO */
const char *rh_vmx_get(const struct rh_vmx *v, const char *key);
const char *rh_vmx_getf(const struct rh_vmx *v, const char *fmt, ...)
    RH_PRINTF(2, 3);

/* Disks and CD-ROMs (vmx_disks.c). */
int rh_vmx_disks(struct rh_package *p, const struct rh_vmx *v, struct rh_vm *vm,
                 struct rh_findings *findings, rh_error **err);

#endif
