/* width.h - how wide text stands: Japanese letters take two columns. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_REPORT_WIDTH_H
#define RH_REPORT_WIDTH_H

#include "base/mem.h"

/* All take valid UTF-8 (rh_printable made it so). */
size_t rh_columns(const char *text);
/* At most `columns` wide, with "…" where something was cut; the caller frees.
 */
char *rh_clip(const char *text, size_t columns);
/* Append `text`, and blanks up to `columns`. */
void rh_pad(struct rh_buf *b, const char *text, size_t columns);
/* Append `text` broken into lines of at most `width` columns, each after the
 * first behind `indent` blanks; the first begins at column `at`. */
void rh_wrap(struct rh_buf *b, const char *text, size_t at, size_t indent,
             size_t width);

#endif
