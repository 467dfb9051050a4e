/* fold.h - names of files in a code page. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_FOLD_H
#define RH_BASE_FOLD_H

/* A name of a file as UTF-8: bytes that are none are taken as Windows' Japanese
 * code page, else as Western.  The caller frees. */
char *rh_utf8_name(const char *name);

#endif
