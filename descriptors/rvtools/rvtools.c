/* rvtools.c - what an export of RVTools knows of a vSphere's VMs: a workbook,
 * or one CSV file for each tab.
 *
 * One row of the tab vInfo is a VM; the other tabs' rows are joined to it by
 * the VM's id, its UUID, or a name that only one VM has (rows.c).  No disk lies
 * beside such an export: it is for planning, and nothing can be converted from
 * it. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "descriptors/rvtools/export.h"

const char *const rh_rvt_tabs[RH_RVT_TABS] = {
    "vInfo",    "vCPU", "vMemory",   "vDisk",
    "vNetwork", "vCD",  "vSnapshot", "vTools"};

/* --- where the tabs come from
 * ------------------------------------------------------------ */

static void begin_tab(struct rh_rvt_export *x, enum rh_rvt_tab tab)
{
    x->tab = tab;
    x->begun = false;
    x->row = x->lost = 0;
}

static void end_tab(struct rh_rvt_export *x, bool there)
{
    if (!there)
        rh_finding_add(&x->p->findings, RH_F_RVTOOLS_READ, rh_rvt_tabs[x->tab],
                       "the export has no tab %s: what it says is not known",
                       rh_rvt_tabs[x->tab])
            ->severity = RH_SEVERITY_INFO;
    if (x->lost)
        rh_finding_add(&x->p->findings, RH_F_RVTOOLS_READ, rh_rvt_tabs[x->tab],
                       "%zu of the %zu rows of the tab %s belong to no VM, or "
                       "to one of several of that name; they are left out",
                       x->lost, x->row - 1, rh_rvt_tabs[x->tab]);
}

static int need_info(const struct rh_rvt_export *x, bool there, rh_error **err)
{
    if (there && x->vms.count)
        return 0;
    return rh_fail(err, RH_ERR_RVTOOLS_FORMAT,
                   there ? N_("the tab vInfo lists no VM")
                         : N_("the workbook has no tab vInfo, which each "
                              "export of RVTools has"));
}

static int read_workbook(struct rh_rvt_export *x, const char *text, size_t n,
                         rh_error **err)
{
    RH_AUTO(rh_xlsx_freep)
    struct rh_xlsx *book = rh_xlsx_open(x->p->lib, text, n, err);

    if (!book)
        return -1;
    for (enum rh_rvt_tab tab = RH_RVT_INFO; tab < RH_RVT_TABS; tab++) {
        bool there;

        begin_tab(x, tab);
        if (rh_xlsx_rows(book, rh_rvt_tabs[tab], rh_rvt_row, x, &there, err) <
            0)
            return rh_error_subject(err, rh_rvt_tabs[tab]);
        if (tab == RH_RVT_INFO && need_info(x, there, err) < 0)
            return -1;
        end_tab(x, there);
    }
    return 0;
}

static int read_csv(struct rh_rvt_export *x, enum rh_rvt_tab tab,
                    const char *text, size_t n, rh_error **err)
{
    bool guessed = false;

    begin_tab(x, tab);
    if (rh_csv_rows(x->p->lib, text, n, rh_rvt_row, x, &guessed, err) < 0)
        return -1;
    if (guessed)
        rh_finding_add(&x->p->findings, RH_F_RVTOOLS_READ, rh_rvt_tabs[tab],
                       "the tab %s is neither UTF-8 nor UTF-16; it was read "
                       "as Latin-1",
                       rh_rvt_tabs[tab]);
    end_tab(x, true);
    return tab == RH_RVT_INFO ? need_info(x, true, err) : 0;
}

/* "RVTools_tabvDisk.csv" beside "RVTools_tabvInfo.csv"; NULL: the name does not
 * say how the others are called. */
static char *beside(const char *name, enum rh_rvt_tab tab)
{
    const char *at = NULL, *p = name;

    while ((p = strcasestr(p, rh_rvt_tabs[RH_RVT_INFO])))
        at = p++;
    return at ? rh_printf("%.*s%s%s", (int)(at - name), name, rh_rvt_tabs[tab],
                          at + strlen(rh_rvt_tabs[RH_RVT_INFO]))
              : NULL;
}

static int read_beside(struct rh_rvt_export *x, enum rh_rvt_tab tab,
                       rh_error **err)
{
    RH_AUTO(rh_freep) char *name = beside(x->name, tab);
    RH_AUTO(rh_freep) char *text = NULL;
    RH_AUTO(rh_io_unrefp) struct rh_io *io = NULL;
    rh_error *why = NULL;
    size_t n;

    if (name && x->p->place)
        io = rh_place_open(x->p->place, name, &why);
    if (!io) {
        bool absent = !why || rh_error_number(why) == RH_ERR_FILE_NOT_FOUND;

        begin_tab(x, tab);
        end_tab(x, false);
        if (!absent && err && !*err)
            *err = RH_TAKE(why);
        rh_error_free(why);
        return absent ? 0 : -1;
    }
    if (rh_io_slurp(io, RH_LIMIT_INVENTORY, &text, &n, err) < 0 ||
        read_csv(x, tab, text, n, err) < 0)
        return rh_error_subject(err, name);
    return 0;
}

static int read_texts(struct rh_rvt_export *x, const char *text, size_t n,
                      rh_error **err)
{
    if (read_csv(x, RH_RVT_INFO, text, n, err) < 0)
        return -1;
    for (enum rh_rvt_tab tab = RH_RVT_CPU; tab < RH_RVT_TABS; tab++)
        if (read_beside(x, tab, err) < 0)
            return -1;
    return 0;
}

/* --- the whole
 * --------------------------------------------------------------------------------
 */

static void export_free(struct rh_rvt_export *x)
{
    rh_name_map_free(&x->keys);
    free(x->vms.items);
    rh_arena_free(x->arena);
}

static int refuse_options(const struct rh_package_options *o, rh_error **err)
{
    if (o && rh_package_one_configuration(o->configuration, err) < 0)
        return -1;
    if (o && o->will_read)
        return rh_fail(err, RH_ERR_RVTOOLS_NO_DISKS,
                       "an export of RVTools lists VMs, and holds none of "
                       "their disks");
    return 0;
}

int rh_rvtools_parse(struct rh_package *p, const char *name, const char *text,
                     size_t n, const struct rh_package_options *o,
                     rh_error **err)
{
    RH_AUTO(export_free)
    struct rh_rvt_export x = {.p = p, .name = name, .first = p->vms.count};
    bool workbook = n >= 4 && !memcmp(text, "PK\3\4", 4);

    if (refuse_options(o, err) < 0)
        return rh_error_subject(err, name);
    x.arena = rh_arena_new();
    if ((workbook ? read_workbook : read_texts)(&x, text, n, err) < 0)
        return rh_error_subject(err, name);
    rh_rvt_finish(&x);
    return 0;
}
