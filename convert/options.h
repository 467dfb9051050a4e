/* options.h - the options that callers give by name. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONVERT_OPTIONS_H
#define RH_CONVERT_OPTIONS_H

#include "base/error.h"
#include "formats/format.h"

struct rh_option {
    char *key, *value;
};
struct rh_options {
    RH_VEC(struct rh_option) list;
};
typedef struct rh_options rh_options;

/* The last value of that name, or NULL ("" counts as given). */
const char *rh_option(const rh_options *o, const char *key);
/* The i-th value of an option that may be repeated; NULL at the end. */
const char *rh_option_at(const rh_options *o, const char *key, size_t i);
bool rh_option_yes(const rh_options *o, const char *key);
int rh_option_compress(const rh_options *o, enum rh_compress *ret,
                       rh_error **err);
int rh_option_cluster(const rh_options *o, uint32_t *ret, rh_error **err);

#endif
