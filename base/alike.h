/* alike.h - names that people take for the same. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_ALIKE_H
#define RH_BASE_ALIKE_H

#include <stdbool.h>

/* The same but for the case of letters (ASCII, Latin, Greek, Cyrillic) and for
 * how accents are written: macOS decomposes names, most others don't.  Bytes
 * that are no UTF-8 must be equal. */
bool rh_names_alike(const char *a, const char *b);
/* Names that are alike give the same text, others do not: a key for tables, not
 * to be shown.  The caller frees. */
char *rh_name_folded(const char *name);

#endif
