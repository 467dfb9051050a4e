/* source_stamp.h - has a source that is no file changed since? */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_SOURCE_STAMP_H
#define RH_CONVERT_SOURCE_STAMP_H

#include "base/lib.h"
#include "base/options.h"

/* An address: of a web server, of a platform's VM, of an NBD export. */
bool rh_source_is_remote(const char *source);
/* What its server says of it, as one text that another state does not share;
 * the caller frees.  One short question, at most a log-in; nobody is asked for
 * a password.  NULL: the server could not be asked, which is nobody's error.
 * *ret_sure: would it say that the source has changed?  A VM that runs, and an
 * NBD export, change without a word.  *ret_refused: it took the log-in for
 * wrong, and is not to be tried again. */
char *rh_source_stamp(rh_lib *lib, const char *source,
                      const rh_options *options, bool *ret_sure,
                      bool *ret_refused);

#endif
