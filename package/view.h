/* view.h - a place seen from one of its folders, by a reader that is watched.
 */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_PACKAGE_VIEW_H
#define RH_PACKAGE_VIEW_H

#include "base/io.h"

/* What a view tells of every file that is opened through it, by the name in
 * the place below. */
typedef void rh_view_opened(void *user, const char *name, uint64_t size);

/* Names are taken below `folder` ("" or "a/b") of `base`, which must outlive
 * the view.  `opened` may be NULL. */
struct rh_place *rh_view_new(struct rh_place *base, const char *folder,
                             rh_view_opened *opened, void *user);
/* A place with nothing in it. */
struct rh_place *rh_place_nothing(const char *name);
/* The folder part of a name: "a/b" of "a/b/c", "" of "c".  The caller frees. */
char *rh_folder_of(const char *name);

#endif
