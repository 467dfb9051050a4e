/* page.h - the parts of the HTML page. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_PAGE_H
#define RH_REPORT_PAGE_H

#include "report/markup.h"
#include "report/view.h"

struct rh_page {
    struct rh_buf b;
    const json_t *report;
    size_t drawn; /* pictures so far: their labels need ids */
};

extern const char rh_page_style[], rh_page_script[];

/* page_fleet.c: counts, charts, the sortable table, what was refused. */
void rh_page_fleet(struct rh_page *page);
/* page_vm.c: one VM. */
void rh_page_vm(struct rh_page *page, const json_t *entry, size_t number,
                bool folded);
/* picture.c: before and after, as inline SVG. */
void rh_page_picture(struct rh_page *page, const json_t *entry);

/* <span class="badge ready">ready</span> */
void rh_page_badge(struct rh_buf *b, const char *kind, const char *word);

#endif
