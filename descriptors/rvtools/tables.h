/* tables.h - rows of cells out of a CSV text or a workbook (.xlsx).
 *
 * Both come from outside: how much is read, kept and unpacked is bounded, and
 * both stop when the library is told to. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_DESCRIPTORS_RVTOOLS_TABLES_H
#define RH_DESCRIPTORS_RVTOOLS_TABLES_H

#include "base/lib.h"

enum {
    RH_TABLE_COLUMNS = 512,      /* those beyond are not read */
    RH_TABLE_ROWS = 500000,      /* of one tab */
    RH_TABLE_CELL = 128 * 1024,  /* bytes; Excel ends at 32767 characters */
    RH_TABLE_STRINGS = 2000000,  /* shared ones of a workbook */
    RH_TABLE_TEXT_MIB = 64,      /* all of those together */
    RH_TABLE_UNPACKED_MIB = 128, /* any one part of a workbook */
};

/* Cells are UTF-8, borrowed for the call, "" where there is nothing. */
typedef int rh_table_row(void *user, const char *const *cells, size_t count,
                         rh_error **err);

/* UTF-8 or UTF-16, with or without a mark; other bytes are taken for Latin-1,
 * which *ret_guessed tells.  Separated by comma, semicolon or tab, whichever
 * the first line has most of. */
int rh_csv_rows(rh_lib *lib, const char *text, size_t n, rh_table_row *row,
                void *user, bool *ret_guessed, rh_error **err);

/* A workbook borrows its bytes. */
struct rh_xlsx;
struct rh_xlsx *rh_xlsx_open(rh_lib *lib, const char *bytes, size_t n,
                             rh_error **err);
void rh_xlsx_free(struct rh_xlsx *x);
RH_FREEP(rh_xlsx_freep, struct rh_xlsx, rh_xlsx_free)
/* The rows of the tab "vInfo", which may be called "tabvInfo" as well; false in
 * *ret_there when there is none. */
int rh_xlsx_rows(struct rh_xlsx *x, const char *tab, rh_table_row *row,
                 void *user, bool *ret_there, rh_error **err);

#endif
