/* verify.h - a receipt's disks, as their source has them. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_VERIFY_H
#define RH_CONVERT_VERIFY_H

#include <jansson.h>

#include "formats/format.h"
#include "package/package.h"

/* The disks that the receipt names, as they were converted. */
struct rh_verify_sources {
    struct rh_reader **disks;
    size_t count;
};
/* To be freed also when it failed. */
int rh_verify_sources(struct rh_package *p, const json_t *receipt,
                      struct rh_verify_sources *ret, rh_error **err);
void rh_verify_sources_free(struct rh_verify_sources *s);

#endif
