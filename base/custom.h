/* custom.h - sources and sinks that the caller of the library made itself.
 *
 * They are known by "app:NAME" wherever a path is taken. */
/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef RH_BASE_CUSTOM_H
#define RH_BASE_CUSTOM_H

#include <stdbool.h>

#include "base/io.h"
#include "base/out.h"

bool rh_is_custom(const char *path);
/* The bytes of "app:NAME"; FILE_NOT_FOUND when there is none. */
struct rh_io *rh_custom_io(rh_lib *lib, const char *path, rh_error **err);
/* A file in the sink "app:NAME". */
struct rh_out *rh_custom_out(rh_lib *lib, const char *path, const char *file,
                             rh_error **err);
/* Tell the sink that a result is complete, or that it will not be. */
int rh_custom_end(rh_lib *lib, const char *path, const char *result, bool whole,
                  rh_error **err);
/* With the library object. */
void rh_custom_drop(rh_lib *lib);

#endif
