/* export.h - an export of RVTools while it is read. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_RVTOOLS_EXPORT_H
#define RH_DESCRIPTORS_RVTOOLS_EXPORT_H

#include "base/names.h"
#include "descriptors/ovf/ovf.h"
#include "descriptors/rvtools/tables.h"

enum rh_rvt_tab {
    RH_RVT_INFO,
    RH_RVT_CPU,
    RH_RVT_MEMORY,
    RH_RVT_DISK,
    RH_RVT_NETWORK,
    RH_RVT_CD,
    RH_RVT_SNAPSHOT,
    RH_RVT_TOOLS,
    RH_RVT_TABS
};
extern const char *const rh_rvt_tabs[RH_RVT_TABS]; /* "vInfo" */
enum { RH_RVT_COLUMNS = 48 };                      /* at most, of all tabs */

/* What is kept of a VM until all tabs are read. */
struct rh_rvt_vm {
    bool on, name_twice;
    unsigned snapshots;
    const char *server, *server_type, *moref, *uuid; /* in `arena` */
};
struct rh_rvt_export {
    struct rh_package *p;
    const char *name; /* the file's */
    size_t first;     /* its first VM in the package */
    RH_VEC(struct rh_rvt_vm) vms;
    struct rh_arena *arena;
    struct rh_name_map keys;
    uint64_t taken; /* bytes of texts */
    /* --- of the tab that is read */
    enum rh_rvt_tab tab;
    bool begun;
    size_t at[RH_RVT_COLUMNS]; /* SIZE_MAX: there is no such column */
    const char *const *cells;
    size_t count, row, lost;
};

/* rows.c: one row of the tab x->tab; the first is its header. */
int rh_rvt_row(void *user, const char *const *cells, size_t count,
               rh_error **err);
/* What takes all tabs to say. */
void rh_rvt_finish(struct rh_rvt_export *x);

#endif
