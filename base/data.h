/* data.h - where rehost's own data files lie (profiles, models, messages). */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_DATA_H
#define RH_BASE_DATA_H

/* The path of a data folder or file ("profiles", "locale", "schemas"), or NULL
 * when there is none.  Looked for under $REHOST_DATA, then in the source tree
 * that the running library was built in, then where it was installed.  The
 * caller frees. */
char *rh_data_path(const char *name);

/* The path of a helper program ("rehost-ntfs"), or NULL when there is none:
 * under $REHOST_LIBEXEC if that is set, else beside the library in the tree it
 * was built in, else where it was installed.  The caller frees. */
char *rh_helper_path(const char *name);

#endif
