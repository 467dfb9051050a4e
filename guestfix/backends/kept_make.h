/* kept_make.h - running the recipe of the kept appliance. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_GUESTFIX_BACKENDS_KEPT_MAKE_H
#define RH_GUESTFIX_BACKENDS_KEPT_MAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/lib.h"

/* A plain file's text, at most `max` bytes; NULL: it is none.  To be freed. */
char *rh_kept_text(int folder, const char *name, size_t max);

/* appliance/make into the folder `path`; what it says is logged.  It and all
 * it started are gone afterwards. */
int rh_kept_make(rh_lib *lib, const char *recipe, const char *path,
                 const char *supermin, const char *init, bool emulated,
                 rh_error **err);

#endif
