/* describe.h - a package for people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_CONFIG_DESCRIBE_H
#define RH_CONFIG_DESCRIBE_H

#include "package/package.h"

/* A table of field, value and source for each VM, then the findings; the
 * caller frees. */
char *rh_package_text(struct rh_package *p);
/* "8 GiB", "yes", "not known"; and "fill file: prism.json".  Not made
 * printable; the caller frees. */
char *rh_value_for_people(const struct rh_field *field,
                          const struct rh_value *v);
char *rh_source_for_people(const struct rh_value *v);

#endif
