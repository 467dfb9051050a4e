/* place.c - where a VM lies in the inventory: its folder, its resource pool,
 * and what that pool gives to its VMs. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "live/vsphere/machine.h"

static const enum rh_from FROM = RH_FROM_VSPHERE;
enum { POOLS_DEEP = 16 }; /* above one another */

/* --- what a pool does -------------------------------------------------------
 */

/* ResourceAllocationInfo; -1 is "no limit", and no number here. */
static void add_terms(struct rh_buf *b, const xmlNode *a, const char *of,
                      const char *unit)
{
    const char *level = rh_vs_text_at(a, "shares/level");
    uint64_t n;

    if (rh_vs_number_at(a, "limit", &n))
        rh_buf_printf(b, "%s%s limit %llu %s", b->length ? ", " : "", of,
                      (unsigned long long)n, unit);
    if (rh_vs_number_at(a, "reservation", &n) && n)
        rh_buf_printf(b, "%s%s reservation %llu %s", b->length ? ", " : "", of,
                      (unsigned long long)n, unit);
    if (level[0] && strcmp(level, "normal"))
        rh_buf_printf(b, "%s%s shares %.20s", b->length ? ", " : "", of, level);
}

char *rh_vs_pool_terms(const xmlNode *config)
{
    struct rh_buf b = {0};

    add_terms(&b, rh_vs_child(config, "cpuAllocation"), "CPU", "MHz");
    add_terms(&b, rh_vs_child(config, "memoryAllocation"), "memory", "MiB");
    return b.length ? rh_buf_take(&b) : NULL;
}

/* --- the VM's place
 * ------------------------------------------------------------ */

/* The pool that a host or cluster has of itself gives all there is. */
static bool is_own(const struct rh_vs *s, const struct rh_vs_place *pool)
{
    const struct rh_vs_place *above = rh_vs_place(s, pool->parent);

    return !above || strcmp(above->type, pool->type) != 0;
}

static void say_terms(const struct rh_vs *s, const struct rh_vs_place *pool,
                      struct rh_findings *findings)
{
    for (int i = 0; pool && i < POOLS_DEEP && !is_own(s, pool); i++) {
        if (pool->terms)
            rh_finding_add(findings, RH_F_LIVE_POOL, "vm",
                           i ? N_("a resource pool above the VM's shares out: "
                                  "%s")
                             : N_("the VM's resource pool shares out: %s"),
                           pool->terms);
        pool = rh_vs_place(s, pool->parent);
    }
}

void rh_vs_where(const struct rh_vs *s, const xmlNode *object, struct rh_vm *vm,
                 struct rh_findings *findings)
{
    const char *in = rh_vs_text(rh_vs_property(object, "parent"));
    const char *from = rh_vs_text(rh_vs_property(object, "resourcePool"));
    const struct rh_vs_place *pool = rh_vs_place(s, from);
    /* A host alone has one folder. */
    RH_AUTO(rh_freep) char *folder = s->vcenter ? rh_vs_path(s, in) : NULL;
    RH_AUTO(rh_freep)
    char *path = pool && (s->vcenter || !is_own(s, pool))
                     ? rh_vs_path(s, pool->id)
                     : NULL;

    if (folder && folder[0])
        rh_set_text(vm, &vm->folder, folder, FROM, NULL);
    if (path && path[0])
        rh_set_text(vm, &vm->resource_pool, path, FROM, NULL);
    say_terms(s, pool, findings);
}
