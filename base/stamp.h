/* stamp.h - by what a web server's file is known again: size, ETag, date. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_STAMP_H
#define RH_BASE_STAMP_H

#include "base/lib.h"

/* One short question (ten seconds at most, a byte at most).  The caller frees;
 * NULL: the server could not be asked, which is nobody's error. */
char *rh_http_stamp(rh_lib *lib, const char *url);

#endif
