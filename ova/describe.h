/* describe.h - a package as a table for people. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_OVA_DESCRIBE_H
#define RH_OVA_DESCRIBE_H

#include "ova/package.h"

/* Field, value, source of each VM, and the findings; the caller frees. */
char *rh_package_text(struct rh_package *p);

#endif
