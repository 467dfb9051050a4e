/* markup.h - HTML and SVG, piece by piece: nothing gets in unescaped.
 *
 * Attributes are pairs of name and value that a NULL ends; a pair whose value
 * is NULL is left out. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_MARKUP_H
#define RH_REPORT_MARKUP_H

#include "base/mem.h"

#define RH_ENDED __attribute__((sentinel))

void rh_tag(struct rh_buf *b, const char *name, ...) RH_ENDED;
void rh_end(struct rh_buf *b, const char *name);
/* Text between tags: made printable and escaped. */
void rh_text(struct rh_buf *b, const char *text);
void rh_textf(struct rh_buf *b, const char *fmt, ...) RH_PRINTF(2, 3);
/* <name class="class">text</name>; class may be NULL. */
void rh_leaf(struct rh_buf *b, const char *name, const char *class_,
             const char *text);
void rh_leaff(struct rh_buf *b, const char *name, const char *class_,
              const char *fmt, ...) RH_PRINTF(4, 5);

#endif
